"""`zhenglian region` and `recognition`, as far as they need no network: files that are refused, and what is taken out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.receipts import epochs_to_json, trust_to_json
from node.commands.region import fingerprint
from tests.unit.regions_world import Home
from tests.unit.sdk_ledger import KEY
from tests.unit.test_cli_commands import AWAY, Ran
from tests.unit.test_sdk_regions import WHOLE
from zhenglian import disclosures, exchange

HOME = Home()


@pytest.fixture
def options(tmp_path: Path) -> list[object]:
    path = tmp_path / "officer.json"
    KEY.save(path, unencrypted=True)
    return ["--json", "--node", AWAY, "--key", path]


def trust_file(folder: Path, **changes: object) -> Path:
    path = folder / "theirs.json"
    path.write_text(trust_to_json(replace(HOME.trust, **changes)))
    return path


def test_a_trust_file_is_proposed_only_with_the_fingerprint_that_was_told(
    tmp_path: Path, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "backoff_s", lambda *_: 0.0)
    path = trust_file(tmp_path)
    asked = ["region", "propose", path, "--type", "degree", "--fingerprint"]
    wrong = Ran([*options, *asked, "00" * 16])
    assert (wrong.code, wrong.json["error"]["code"]) == (1, "mismatch")
    told = str(fingerprint(HOME.trust)["fingerprint"])
    away = Ran([*options, *asked, told])
    assert (away.code, away.json["error"]["code"]) == (3, "not_reachable")


def test_a_fingerprint_is_of_everything_that_is_trusted() -> None:
    others = (
        replace(HOME.trust, network="another"),
        replace(HOME.trust, chain_id=bytes(32)),
        replace(HOME.trust, validators=replace(HOME.trust.validators, epoch=2)),
    )
    assert len({fingerprint(one)["fingerprint"] for one in (HOME.trust, *others)}) == 4


def test_a_trust_file_that_does_not_hold_is_refused_before_anything_is_asked(
    tmp_path: Path, options: list[object]
) -> None:
    members = HOME.trust.validators.validators
    stolen = replace(HOME.trust.validators, validators=(members[0], members[0]))
    told = ["--type", "degree", "--fingerprint", "00" * 16]
    for path in (trust_file(tmp_path, validators=stolen), tmp_path / "officer.json", tmp_path / "nothing"):
        ran = Ran([*options, "region", "propose", path, *told])
        assert ran.code == 2, ran.out


def test_spans_are_written_as_spans(tmp_path: Path, options: list[object]) -> None:
    told = str(fingerprint(HOME.trust)["fingerprint"])
    asked = ["region", "propose", trust_file(tmp_path), "--type", "degree", "--fingerprint", told]
    for span in ("1h", "2027-01-31", "+0h", "+1x", "-1h"):
        ran = Ran([*options, *asked, f"--proof-age={span}"])
        assert ran.code == 2, (span, ran.out)


def test_files_that_are_no_proofs_are_refused(tmp_path: Path, options: list[object]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    empty = tmp_path / "epochs.json"
    empty.write_text(epochs_to_json(()))
    identity = "00" * 16
    for words in (
        ("region", "follow", bad),
        ("region", "follow", empty),
        ("region", "report-fork", bad, bad),
        ("recognition", "add", bad, "--consent", bad),
        ("recognition", "refresh", identity, bad),
        ("recognition", "check", identity, bad),
        ("recognition", "show", "xyz"),
    ):
        ran = Ran([*options, *words])
        assert ran.code == 2, (words, ran.out)


def test_of_a_disclosure_only_what_is_asked_for_is_taken_out(tmp_path: Path) -> None:
    whole, out = tmp_path / "mine.json", tmp_path / "shown.json"
    whole.write_bytes(disclosures.to_json(WHOLE))
    ran = Ran(["--json", "recognition", "disclose", whole, "--part", "name", "--out", out])
    assert ran.json == {"disclosure": str(out), "parts": ["name"]}
    shown = json.loads(out.read_text())
    assert ([field["name"] for field in shown["fields"]], shown["attachments"]) == (["name"], [])
    missing = Ran(["recognition", "disclose", whole, "--part", "salary", "--out", out], language="zh")
    assert missing.code == 2
