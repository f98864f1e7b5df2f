"""`zhenglian proof` and what `zhenglian verify` says of a state receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.state import CERTIFICATES, GRANTS, INCLUDED, NETWORK, RELEASES
from contracts.state_keys import state_entry
from ledger import codec, state_tree
from ledger.receipts import build_state_receipt, state_receipt_to_json, trust_to_json
from tests.unit import http_world as w
from tests.unit import ledger_world
from tests.unit.sdk_ledger import KEY, Ledger
from tests.unit.test_cli_commands import Ran, run
from zhenglian.plain import to_plain

CERTIFICATE = w.certificate()
GRANT_KEY = GRANTS.key(w.GRANT_ID)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "officer.json"
    KEY.save(path, unencrypted=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A certificate's receipt, a grant's absence, and the trust to check them with."""
    world = ledger_world.World()
    key = CERTIFICATES.key(w.CERTIFICATE_ID)
    value = codec.encode(CERTIFICATE)
    block = world.committed({key: value, INCLUDED.key(b"i" * 32): codec.encode(7)})
    (tmp_path / "trust.json").write_text(trust_to_json(world.trust))
    held = (
        ("certificate", key, value),
        ("no_grant", GRANT_KEY, None),
        ("raw", b"limits", ledger_world.GENESIS_STATE[b"limits"]),
    )
    for name, state_key, state_value in held:
        proof = state_tree.prove(ledger_world.SUITE, world.reader, 1, state_key)
        receipt = build_state_receipt(ledger_world.NETWORK, block.finalized, state_key, state_value, proof)
        (tmp_path / f"{name}.json").write_text(state_receipt_to_json(receipt))
    return tmp_path


def test_a_proven_record_is_shown_decoded(folder: Path) -> None:
    told = Ran(["verify", folder / "certificate.json", "--json"])
    assert told.code == 0
    assert (told.json["table"], told.json["name"]) == ("certificates", w.CERTIFICATE_ID.hex())
    assert told.json["present"] is True
    assert told.json["record"] == to_plain(CERTIFICATE)
    assert told.json["record"]["commitment_root"] == CERTIFICATE.commitment_root.hex()
    assert (told.json["height"], told.json["validators"]) == (1, 4)
    shown = Ran(["verify", folder / "certificate.json"], language="zh")
    assert "区块高度 1" in shown.out
    assert "账本中有 certificates" in shown.out
    assert CERTIFICATE.commitment_root.hex() in shown.out


def test_absence_is_told_as_absence(folder: Path) -> None:
    told = Ran(["verify", folder / "no_grant.json", "--json"])
    assert told.code == 0
    assert (told.json["present"], told.json["value"], told.json["record"]) == (False, None, None)
    assert "nothing at all" in Ran(["verify", folder / "no_grant.json"]).out
    assert "账本中没有 grants" in Ran(["verify", folder / "no_grant.json"], language="zh").out


def test_what_stands_under_no_known_table_is_shown_in_hex(folder: Path) -> None:
    told = Ran(["verify", folder / "raw.json", "--json"])
    assert (told.code, told.json["table"], told.json["record"]) == (0, "", None)
    assert told.json["value"] == "01"
    assert "limits" in Ran(["verify", folder / "raw.json"]).out


def test_a_state_receipt_that_lies_is_rejected_with_exit_1(folder: Path) -> None:
    text = (folder / "no_grant.json").read_text()
    (folder / "lie.json").write_text(
        text.replace('"value": null', '"value": ""').replace("absent", "present")
    )
    told = Ran(["verify", folder / "lie.json", "--json"])
    assert (told.code, told.json["valid"], told.json["check"]) == (1, False, "state_proof")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("certificate", w.CERTIFICATE_ID.hex()), f"/v1/certificates/{w.CERTIFICATE_ID.hex()}/proof"),
        (("grant", w.GRANT_ID.hex(), "--height", "3"), f"/v1/grants/{w.GRANT_ID.hex()}/proof?height=3"),
        (("release", w.RELEASE_ID.hex()), f"/v1/releases/{w.RELEASE_ID.hex()}/proof"),
        (("state", RELEASES.key(w.RELEASE_ID).hex()), f"/v1/state/{RELEASES.key(w.RELEASE_ID).hex()}"),
    ],
)
async def test_a_proof_is_fetched_and_written_as_it_came(
    folder: Path, key_file: Path, words: tuple[str, ...], path: str
) -> None:
    text = (folder / "no_grant.json").read_text()
    ledger = Ledger(proofs={path: text})
    got = await run(ledger, "proof", *words, "--out", folder / "p.json", "--json", key=key_file)
    assert got.code == 0, got.out + got.err
    assert got.json == {"proof": str(folder / "p.json"), "height": 1, "present": False}
    assert (folder / "p.json").read_text() == text
    assert Ran(["verify", folder / "p.json"]).code == 0
    shown = await run(ledger, "proof", *words, key=key_file)
    assert shown.out == text


async def test_a_height_that_is_not_kept_and_words_that_are_no_ids_are_told(key_file: Path) -> None:
    ledger = Ledger()
    gone = await run(ledger, "proof", "grant", w.GRANT_ID.hex(), "--height", "1", "--json", key=key_file)
    assert (gone.code, gone.json["error"]["code"]) == (1, "height_not_provable")
    for words in (("grant", "xyz"), ("state", ""), ("state", "0g"), ("state", "00" * 512), ("release", "00")):
        assert (await run(ledger, "proof", *words, key=key_file)).code == 2
    assert (await run(ledger, "proof", "grant", w.GRANT_ID.hex(), "--height", "0", key=key_file)).code == 2
    assert (await run(ledger, "proof", "grant", w.GRANT_ID.hex())).code != 0, "a key is needed"


def test_a_state_key_tells_its_table_and_hostile_values_are_no_record() -> None:
    assert state_entry(b"network", b"\xc1").table == "network"
    assert state_entry(NETWORK.key(None), b"").record is None
    assert state_entry(b"networks", None).table == ""
    assert state_entry(b"included_blocks/" + bytes(8), None).table == "included_blocks"
    assert state_entry(INCLUDED.key(b"i"), codec.encode(7)).record == 7
    assert state_entry(b"", None).table == ""
