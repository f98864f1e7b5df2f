"""What the command line reads and writes: within bounds, in one step, and never over an input."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.test_watermark_command import desk, detected, embedded
from watermark.__main__ import IDS_BYTES_MAX, KEY_FILE_BYTES_MAX, SCHEMA_BYTES_MAX, main
from watermark.limits import CANDIDATES_MAX

__all__ = ["desk"]


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    chinese, english = captured.err.splitlines()
    assert captured.out == ""
    assert chinese != english
    return english


def embedded_into(desk: Path, name: str) -> int:
    common = ["--key-file", str(desk / "key"), "--schema", str(desk / "schema.json")]
    return main(["embed", *common, "--release-id", "0" * 16, str(desk / "original.csv"), str(desk / name)])


@pytest.mark.parametrize("name", ["original.csv", "key", "schema.json", "link", "hard"])
def test_no_input_is_ever_overwritten(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "link").symlink_to(desk / "original.csv")
    (desk / "hard").hardlink_to(desk / "original.csv")
    before = (desk / name).read_bytes()
    assert embedded_into(desk, name) == 2
    assert "would overwrite" in refused(capsys)
    assert (desk / name).read_bytes() == before


@pytest.mark.parametrize("name", ["", "nowhere/marked.csv", "key/marked.csv", "x" * 300])
def test_a_place_where_nothing_can_be_written_is_refused(
    name: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(desk.iterdir())
    assert embedded_into(desk, name) == 2
    assert "Cannot read or write" in refused(capsys)
    assert sorted(desk.iterdir()) == before


def test_a_file_that_may_not_be_written_stays(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "marked.csv").write_text("of somebody")
    monkeypatch.setattr("watermark.files.os.access", lambda path, mode: False)
    assert embedded(desk) == 2
    assert "Permission denied" in refused(capsys)
    assert (desk / "marked.csv").read_text() == "of somebody"


def test_a_copy_replaces_what_stood_there_and_keeps_its_mode(desk: Path) -> None:
    (desk / "marked.csv").write_text("before")
    (desk / "marked.csv").chmod(0o640)
    assert embedded(desk) == 0
    assert stat.S_IMODE((desk / "marked.csv").stat().st_mode) == 0o640
    assert (desk / "marked.csv").read_bytes() != b"before"


def test_a_new_copy_has_the_mode_that_the_user_asked_for(desk: Path) -> None:
    before = os.umask(0o027)
    try:
        assert embedded(desk) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((desk / "marked.csv").stat().st_mode) == 0o640


def test_a_copy_can_go_into_a_pipe(desk: Path) -> None:
    os.mkfifo(desk / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((desk / "pipe").read_bytes()))
    reader.start()
    assert embedded_into(desk, "pipe") == 0
    reader.join()
    assert embedded_into(desk, "marked.csv") == 0
    assert got == [(desk / "marked.csv").read_bytes()]


@pytest.mark.parametrize(
    ("name", "size_bytes", "limit"),
    [
        ("key", KEY_FILE_BYTES_MAX, "KEY_FILE_BYTES_MAX"),
        ("schema.json", SCHEMA_BYTES_MAX, "SCHEMA_BYTES_MAX"),
        ("ids.txt", IDS_BYTES_MAX, "IDS_BYTES_MAX"),
    ],
)
def test_one_byte_past_a_files_limit_is_refused_by_name(
    name: str, size_bytes: int, limit: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / name).write_bytes(b" " * (size_bytes + 1))
    assert detected(desk, "original.csv") == 2
    assert limit in refused(capsys)


@pytest.mark.parametrize("name", ["key", "schema.json", "ids.txt", "original.csv"])
def test_what_has_no_end_is_not_read_to_its_end(
    name: str, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watermark.__main__.FILE_BYTES_MAX", 1 << 20)
    (desk / name).unlink()
    (desk / name).symlink_to("/dev/zero")
    assert detected(desk, "original.csv") == 2
    assert "BYTES_MAX" in refused(capsys)


@pytest.mark.parametrize("name", ["key", "schema.json", "ids.txt", "original.csv", "marked.csv"])
def test_a_directory_is_no_file(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / name).unlink(missing_ok=True)
    (desk / name).mkdir()
    assert detected(desk, "marked.csv") == 2
    assert "directory" in refused(capsys)


@pytest.mark.parametrize(
    "lines",
    [
        "\ufeff{0}\r\n{1}\r\n",
        "{0}\n{0}\n{1}\n{1}\n",
        "  {0}\t{1}  ",
        "\n\n{0}\n\n{1}",
    ],
)
def test_ids_are_read_however_an_editor_wrote_them(
    lines: str, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watermark.__main__.PHANTOMS_MAX", 10)
    assert embedded(desk) == 0
    capsys.readouterr()
    (desk / "ids.txt").write_text(lines.format(f"{7:016x}", f"{8:016X}"), encoding="utf-8", newline="")
    assert detected(desk, "marked.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [match["release_id"] for match in told["matches"]] == [f"{7:016x}"]


@pytest.mark.parametrize(
    "line", ["0x00000000000000a1", "00000000000000a", "00000000000000a1b2", "１" * 16, "\0"]
)
def test_an_id_of_another_form_is_refused(line: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "ids.txt").write_text(f"{7:016x}\n{line}\n", encoding="utf-8")
    assert detected(desk, "original.csv") == 2
    assert "release id" in refused(capsys)


def test_more_ids_than_are_scored_are_refused_by_name(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CANDIDATES_MAX == 1_000_000
    monkeypatch.setattr("watermark.__main__.CANDIDATES_MAX", 49)
    assert detected(desk, "original.csv") == 2
    assert "CANDIDATES_MAX" in refused(capsys)


@pytest.mark.parametrize(
    "schema",
    [
        '{"strength": 1' + "0" * 400 + "}",
        '{"strength": 1' + "0" * 5_000 + "}",
        '{"strength": NaN}',
        '{"strength": 1e999}',
        '{"columns": {"a": {"tolerance": "1e999999"}}}',
        '{"columns": {"a": {"tolerance": "1e-999999"}}}',
        '{"columns": {"a": {"tolerance": "0.' + "1" * 1_000 + '"}}}',
        '{"columns": {"a": {"key": true}, "a": {"free_text": true}}}',
        '{"columns": {"\\ud800": {"key": true}}}',
        '{"unordered": true, "unordered": false}',
        "[" * 100_000,
        '{"columns": ' * 100_000,
        "[]",
        "null",
        "",
        "\ufeff",
        '{"channels": [["pixels"]]}',
        '{"columns": {"' + "x" * 1_001 + '": {"key": true}}}',
        '{"columns": {"a\\nb": {"no such": true}}}',
    ],
    ids=lambda schema: schema[:30],
)
def test_a_schema_that_cannot_be_read_is_refused(
    schema: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "schema.json").write_text(schema, encoding="utf-8")
    assert embedded(desk) == 2
    refused(capsys)
    assert not (desk / "marked.csv").exists()


@pytest.mark.parametrize("words", [True, False])
def test_a_terminal_that_knows_no_chinese_gets_the_verdict_all_the_same(
    words: bool, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert detected(desk, "original.csv", *([] if words else ["--json"])) == 0
    told = out.buffer.getvalue().decode("ascii")
    assert "untraceable" in told
    if not words:
        assert "标记" in json.loads(told)["notes"][0]["zh"]


def test_a_result_that_nobody_takes_is_told_as_such(desk: Path) -> None:
    files = ["--original", str(desk / "original.csv"), "--candidates", str(desk / "ids.txt")]
    command = [sys.executable, "-m", "watermark", "detect", "--key-file", str(desk / "key"), *files]
    with Path("/dev/full").open("wb", buffering=0) as full:
        done = subprocess.run(
            [*command, str(desk / "original.csv")],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    assert len(done.stderr.decode().splitlines()) == 2
