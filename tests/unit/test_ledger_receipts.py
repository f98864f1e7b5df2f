"""Receipts: what is proven holds, and every change to a receipt or its file is rejected with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from ledger import codec, receipts
from ledger.errors import LedgerError, LimitExceeded
from ledger.hashing import transaction_id
from ledger.light import PATH_HEADERS_MAX, check_finality, check_trust
from ledger.receipts import (
    build_receipt,
    receipt_from_json,
    receipt_to_json,
    trust_from_json,
    trust_to_json,
    verify_receipt,
)
from ledger.types import Receipt, Trust, VoteKind
from ledger.verdicts import Check, ProofRejected, rejected
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed

replace = msgspec.structs.replace
WORLD = World()
FINALIZED, RESULTS = WORLD.finalized_with_path(2)
RECEIPT = build_receipt(SUITE, NETWORK, FINALIZED, RESULTS, 3)
TRUST = WORLD.trust
TEXT = receipt_to_json(RECEIPT)


def check_of(action: Callable[[], object]) -> str:
    with pytest.raises(ProofRejected) as caught:
        action()
    assert caught.value.fields["reason"]
    return str(caught.value.fields["check"])


def verdict(**changes: Any) -> str:
    return check_of(lambda: verify_receipt(TRUST, replace(RECEIPT, **changes)))


def header(**changes: Any) -> Any:
    return replace(RECEIPT.header, **changes)


def test_a_receipt_proves_transaction_result_block_and_signers() -> None:
    proven = verify_receipt(TRUST, RECEIPT)
    assert proven.receipt == RECEIPT
    assert proven.transaction_id == transaction_id(SUITE, RECEIPT.transaction.body)
    assert (proven.height, proven.time_ms) == (1, FINALIZED.block.header.time_ms)
    assert proven.signers == ("节点 0", "节点 1", "节点 2")
    assert proven.validator_count == 4


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_block_is_final_by_its_own_certificate_or_a_descendants(length: int) -> None:
    world = World()
    finalized, results = world.finalized_with_path(length)
    for index in range(len(results)):
        receipt = build_receipt(SUITE, NETWORK, finalized, results, index)
        assert verify_receipt(world.trust, receipt).height == 1


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"version": 2}, Check.VERSION),
        ({"network": "another"}, Check.NETWORK),
        ({"header": header(version=2)}, Check.VERSION),
        ({"header": header(chain_id=fixed("c"))}, Check.CHAIN),
        ({"header": header(epoch=2)}, Check.EPOCH),
        ({"header": header(validators_hash=fixed("v"))}, Check.VALIDATORS),
        ({"header": header(state_root=fixed("s"))}, Check.PATH_NOT_LINKED),
        ({"header": header(height=2)}, Check.PATH_NOT_LINKED),
        ({"path": ()}, Check.CERTIFICATE_SUBJECT),
        ({"path": RECEIPT.path[:1]}, Check.CERTIFICATE_SUBJECT),
        ({"path": RECEIPT.path[1:]}, Check.PATH_NOT_LINKED),
        ({"path": RECEIPT.path[::-1]}, Check.PATH_NOT_LINKED),
        ({"path": (*RECEIPT.path, RECEIPT.path[-1])}, Check.PATH_NOT_LINKED),
        ({"path": (RECEIPT.path[0],) * (PATH_HEADERS_MAX + 1)}, Check.PATH_TOO_LONG),
        ({"certificate": replace(RECEIPT.certificate, kind=VoteKind.NOTARIZE)}, Check.CERTIFICATE_KIND),
        ({"certificate": replace(RECEIPT.certificate, epoch=2)}, Check.CERTIFICATE_SUBJECT),
        ({"certificate": replace(RECEIPT.certificate, view=9)}, Check.CERTIFICATE_SUBJECT),
        ({"certificate": replace(RECEIPT.certificate, digest=fixed("d"))}, Check.CERTIFICATE_SUBJECT),
        ({"certificate": replace(RECEIPT.certificate, signers=b"\x03")}, Check.CERTIFICATE_SIGNERS),
        ({"certificate": replace(RECEIPT.certificate, signers=b"\x17")}, Check.CERTIFICATE_SIGNERS),
        ({"certificate": replace(RECEIPT.certificate, signers=b"\x0f")}, Check.CERTIFICATE_SIGNATURE),
        ({"certificate": replace(RECEIPT.certificate, signature=b"\x01" * 96)}, Check.CERTIFICATE_SIGNATURE),
        (
            {
                "transaction": replace(
                    RECEIPT.transaction, body=replace(RECEIPT.transaction.body, chain_id=fixed("c"))
                )
            },
            Check.TRANSACTION_CHAIN,
        ),
        ({"transaction": replace(RECEIPT.transaction, signature=bytes(64))}, Check.TRANSACTION_PROOF),
        ({"transaction": FINALIZED.block.transactions[0]}, Check.TRANSACTION_PROOF),
        ({"transaction_proof": replace(RECEIPT.transaction_proof, index=2)}, Check.TRANSACTION_PROOF),
        ({"transaction_proof": replace(RECEIPT.transaction_proof, size=6)}, Check.TRANSACTION_PROOF),
        ({"transaction_proof": replace(RECEIPT.transaction_proof, siblings=())}, Check.TRANSACTION_PROOF),
        ({"result": RESULTS[0]}, Check.RESULT_TRANSACTION),
        ({"result": replace(RECEIPT.result, code="denied")}, Check.RESULT_PROOF),
        ({"result": replace(RECEIPT.result, output=b"")}, Check.RESULT_PROOF),
        ({"result": replace(RECEIPT.result, events=())}, Check.RESULT_PROOF),
        ({"result_proof": replace(RECEIPT.result_proof, index=0)}, Check.RESULT_POSITION),
        ({"result_proof": replace(RECEIPT.result_proof, siblings=())}, Check.RESULT_PROOF),
    ],
)
def test_a_changed_receipt_is_rejected_for_what_was_changed(changes: dict[str, Any], check: Check) -> None:
    assert verdict(**changes) == check


@pytest.mark.parametrize("changes", [{"height": 7}, {"height": 0}, {"view": 1}, {"time_ms": 0}])
def test_a_path_out_of_order_is_rejected_even_if_linked_and_certified(changes: dict[str, int]) -> None:
    world = World()
    block, _, _ = world.next_block({})
    child = replace(world.next_block({})[0].header, **changes)
    certificate = world.certify(child)
    check = check_of(lambda: check_finality(SUITE, TRUST, block.header, (child,), certificate))
    assert check == Check.PATH_ORDER


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"network": "another"}, Check.NETWORK),
        ({"chain_id": fixed("c")}, Check.CHAIN),
        ({"validators": replace(TRUST.validators, epoch=2)}, Check.EPOCH),
        (
            {"validators": replace(TRUST.validators, validators=TRUST.validators.validators[::-1])},
            Check.VALIDATORS,
        ),
    ],
)
def test_another_trust_point_does_not_accept_it(changes: dict[str, Any], check: Check) -> None:
    assert check_of(lambda: verify_receipt(replace(TRUST, **changes), RECEIPT)) == check


def test_a_trust_point_must_be_sound_in_itself() -> None:
    check_trust(SUITE, TRUST)
    assert check_of(lambda: check_trust(SUITE, replace(TRUST, version=2))) == Check.VERSION
    assert check_of(lambda: check_trust(SUITE, replace(TRUST, network="another"))) == Check.TRUST_KEYS


def test_a_path_longer_than_a_receipt_may_carry_is_not_built() -> None:
    long = replace(FINALIZED, path=(RECEIPT.path[0],) * (PATH_HEADERS_MAX + 1))
    with pytest.raises(LimitExceeded):
        build_receipt(SUITE, NETWORK, long, RESULTS, 0)


# --- files ----------------------------------------------------------------------------------------------------


def test_files_are_read_back_as_written() -> None:
    assert receipt_from_json(TEXT) == RECEIPT
    assert receipt_from_json(TEXT.encode()) == RECEIPT
    assert trust_from_json(trust_to_json(TRUST)) == TRUST


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_even_other_white_space_is_a_change(indent: int | str | None) -> None:
    for changed in (
        json.dumps(json.loads(TEXT), ensure_ascii=False, indent=indent),
        TEXT + "\n",
        TEXT.rstrip(),
    ):
        with pytest.raises(ProofRejected) as caught:
            receipt_from_json(changed)
        assert caught.value.fields["check"] == Check.NOT_CANONICAL


def test_any_changed_character_of_the_file_is_rejected() -> None:
    random = Random(20261122)
    places = random.sample(range(len(TEXT)), 250)
    for at in places:
        for new in (chr(random.randrange(32, 127)), "\n", ""):
            changed = TEXT[:at] + new + TEXT[at + 1 :]
            if changed == TEXT:
                continue
            with pytest.raises(LedgerError):
                verify_receipt(TRUST, receipt_from_json(changed))


def test_any_changed_byte_of_the_encoding_is_rejected() -> None:
    data = codec.encode(RECEIPT)
    random = Random(7)
    for at in random.sample(range(len(data)), 400):
        changed = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        with pytest.raises(LedgerError):
            verify_receipt(TRUST, codec.decode(changed, Receipt, size_bytes_max=100_000))


def edited(edit: Callable[[Any], object]) -> str:
    tree = json.loads(TEXT)
    edit(tree)
    return json.dumps(tree, ensure_ascii=False)


@pytest.mark.parametrize("member", list(json.loads(TEXT)["summary"]))
def test_a_changed_summary_is_rejected(member: str) -> None:
    def change(tree: Any) -> None:
        old = tree["summary"][member]
        tree["summary"][member] = old + 1 if isinstance(old, int) else old + "0"

    assert check_of(lambda: receipt_from_json(edited(change))) == Check.SUMMARY
    assert check_of(lambda: receipt_from_json(edited(lambda t: t["summary"].pop(member)))) == Check.SUMMARY


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("", Check.FORMAT),
        ("[]", Check.FORMAT),
        ("null", Check.FORMAT),
        ("{}", Check.FORMAT),
        (b"\xff", Check.FORMAT),
        ("\ud800", Check.FORMAT),
        ("[" * 100_000, Check.FORMAT),
        ('{"format":' * 50_000, Check.FORMAT),
        (TEXT[:-3], Check.FORMAT),
        (TEXT + "{}", Check.FORMAT),
        ("\ufeff" + TEXT, Check.FORMAT),
        (TEXT.replace("receipt-1", "receipt-2"), Check.FORMAT),
        (TEXT.replace('"receipt": {', '"extra": 1, "receipt": {'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": 1.0'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": 1e0'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": NaN'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": true'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": "1"'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": ' + "9" * 5000), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": 18446744073709551616'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": -1'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": 1, "version": 1'), Check.FORMAT),
        (TEXT.replace('"version": 1', '"version": 1, "more": 1'), Check.FORMAT),
        (TEXT.replace('"kind": "finalize"', '"kind": "FINALIZE"'), Check.FORMAT),
        (TEXT.replace('"kind": "finalize"', '"kind": 3'), Check.FORMAT),
        (TEXT.replace('"result": "ok"', '"result": "\\u006fk"'), Check.NOT_CANONICAL),
        (TEXT.replace('"block_height": 1', '"block_height": true'), Check.NOT_CANONICAL),
        (TEXT.replace('"result": "ok"', '"result": null'), Check.SUMMARY),
        (TEXT.replace('"result": "ok"', '"result": "\\ud800"'), Check.SUMMARY),
        (
            json.dumps(dict(reversed(json.loads(TEXT).items())), ensure_ascii=False),
            Check.NOT_CANONICAL,
        ),
    ],
)
def test_a_file_has_one_form(text: str | bytes, check: Check) -> None:
    assert check_of(lambda: receipt_from_json(text)) == check


def test_upper_case_hex_is_rejected() -> None:
    signature = RECEIPT.transaction.signature.hex()
    assert check_of(lambda: receipt_from_json(TEXT.replace(signature, signature.upper()))) == Check.FORMAT


def test_members_out_of_order_and_missing_members_are_rejected() -> None:
    def turn(tree: Any) -> None:
        tree["receipt"]["header"] = dict(reversed(tree["receipt"]["header"].items()))

    assert check_of(lambda: receipt_from_json(edited(turn))) == Check.FORMAT
    assert check_of(lambda: receipt_from_json(edited(lambda t: t["receipt"].pop("path")))) == Check.FORMAT
    assert check_of(lambda: receipt_from_json(edited(lambda t: t.pop("summary")))) == Check.FORMAT


def test_files_past_their_size_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(LimitExceeded):
        receipt_from_json(" " * receipts.RECEIPT_FILE_SIZE_BYTES_MAX + TEXT)
    with pytest.raises(LimitExceeded):
        trust_from_json(" " * receipts.TRUST_FILE_SIZE_BYTES_MAX + trust_to_json(TRUST))
    with pytest.raises(ProofRejected):
        receipt_from_json(" " * (receipts.RECEIPT_FILE_SIZE_BYTES_MAX - len(TEXT.encode())) + TEXT)


def test_a_receipt_past_its_encoded_size_is_refused() -> None:
    many = replace(RECEIPT.result, output=bytes(receipts.RECEIPT_SIZE_BYTES_MAX))
    with pytest.raises(LimitExceeded):
        receipt_from_json(receipt_to_json(replace(RECEIPT, result=many)))


def test_changed_trust_files_are_rejected() -> None:
    text = trust_to_json(TRUST)
    for changed in (
        text.replace("trust-1", "trust-2"),
        text.replace('"epoch": 1', '"epoch": 1, "epoch": 1'),
        text.replace(f'"suite": "{SUITE.name}"', f'"suite": "\\u{ord(SUITE.name[0]):04x}{SUITE.name[1:]}"'),
        text.replace('"validators": [', '"validators": [{}, '),
        TEXT,
    ):
        assert check_of(lambda t=changed: trust_from_json(t)) in {Check.FORMAT, Check.NOT_CANONICAL}


def test_a_set_larger_than_allowed_is_refused() -> None:
    many = replace(TRUST.validators, validators=TRUST.validators.validators * 33)
    text = trust_to_json(replace(TRUST, validators=many))
    assert check_of(lambda: trust_from_json(text)) == Check.FORMAT
    assert isinstance(trust_from_json(trust_to_json(TRUST)), Trust)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_123, "2026-09-21T14:13:20.123Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "253402300800000 ms"),
        (2**53 - 1, "9007199254740991 ms"),
    ],
)
def test_times_are_written_in_one_way(time_ms: int, text: str) -> None:
    assert receipts.time_text(time_ms) == text


@pytest.mark.parametrize("check", list(Check))
def test_every_check_has_its_words_in_both_languages(check: Check) -> None:
    error = rejected(check, "detail")
    assert error.message("en") != error.message("zh")
    assert "detail" in error.message("zh")
    assert len(rejected(check, "x" * 1000).fields["detail"]) == 200  # type: ignore[arg-type]
