"""The command line of the engine alone: one key file in, a verdict out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.watermark_covers import csv_file, table_rows
from watermark import AssetKey, codeword_seed, phantom_seeds
from watermark.__main__ import main
from watermark.errors import KeyInvalid

SCHEMA = {
    "columns": {"id": {"key": True}, "income": {"tolerance": "0.05"}, "ref": {"reference": True}},
    "unordered": True,
}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "original.csv").write_bytes(csv_file(table_rows(200)))
    (tmp_path / "ids.txt").write_text("\n".join(f"{index:016x}" for index in range(50)) + "\n")
    return tmp_path


def embedded(desk: Path, release_id: str = f"{7:016x}") -> int:
    options = [
        "--key-file",
        str(desk / "key"),
        "--schema",
        str(desk / "schema.json"),
        "--release-id",
        release_id,
    ]
    return main(["embed", *options, str(desk / "original.csv"), str(desk / "marked.csv")])


def detected(desk: Path, leak: str, *extra: str, original: str = "original.csv") -> int:
    options = ["--key-file", str(desk / "key"), "--schema", str(desk / "schema.json")]
    files = ["--original", str(desk / original), "--candidates", str(desk / "ids.txt"), str(desk / leak)]
    return main(["detect", *options, *files, *extra])


def test_a_marked_file_is_traced_to_its_release(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embedded(desk) == 0
    assert json.loads(capsys.readouterr().out)["carriers"]["numbers"] == 200
    assert detected(desk, "marked.csv", "--json") == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verdict"] == "accused"
    assert [match["release_id"] for match in verdict["matches"]] == [f"{7:016x}"]
    assert verdict["matches"][0]["log10_np"] < -9 < verdict["phantom_best_log10_np"]
    assert {"reference", "numbers"} <= set(verdict["matches"][0]["channels"])
    assert {"alignment", "notes"} <= verdict.keys()


def test_an_unmarked_file_is_judged_too_and_names_nobody(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detected(desk, "original.csv", "--json") == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verdict"] == "untraceable"
    assert verdict["matches"] == []


def test_without_json_the_verdict_is_told_in_both_languages(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detected(desk, "original.csv") == 0
    told = capsys.readouterr().out
    assert "untraceable by mark" in told
    assert "无法凭标记追溯" in told


@pytest.mark.parametrize("damage", ["leak", "original", "key", "schema", "ids", "missing"])
def test_what_cannot_be_read_ends_with_2_and_the_reason(
    damage: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded(desk)
    capsys.readouterr()
    match damage:
        case "leak":
            (desk / "marked.csv").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        case "original":
            (desk / "original.csv").write_bytes(b"")
        case "key":
            (desk / "key").write_text("abcd")
        case "schema":
            (desk / "schema.json").write_text("{")
        case "ids":
            (desk / "ids.txt").write_text("not-hex")
        case _:
            (desk / "marked.csv").unlink()
    assert detected(desk, "marked.csv", "--json") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 2


def test_a_wrong_release_id_ends_with_2(desk: Path) -> None:
    assert embedded(desk, "12") == 2
    assert embedded(desk, "not hexadecimal!") == 2
    assert not (desk / "marked.csv").exists()


def test_keys_are_fresh_for_every_asset_and_seeds_for_every_release() -> None:
    first, second = (AssetKey.from_master(b"m" * 32, data) for data in (b"one", b"two"))
    assert first == AssetKey.from_master(b"m" * 32, b"one")
    assert len({first.layout, first.mark, second.layout, second.mark}) == 4
    assert codeword_seed(first.mark, b"12345678") != codeword_seed(first.mark, b"12345679")
    with pytest.raises(KeyInvalid):
        AssetKey.from_master(b"short", b"one")
    with pytest.raises(KeyInvalid):
        codeword_seed(first.mark, b"short")


def test_phantoms_are_the_same_for_the_same_leak_and_others_for_another() -> None:
    first = list(phantom_seeds(b"L" * 32, b"leak", 5))
    assert first == list(phantom_seeds(b"L" * 32, b"leak", 5))
    assert not set(first) & set(phantom_seeds(b"L" * 32, b"other", 5))
    assert len(set(first)) == 5
