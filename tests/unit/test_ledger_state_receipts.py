"""State receipts: what was there, and what was not, after a block; and every way in which one can lie."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger import codec, readable
from ledger.errors import DecodeError, LimitExceeded
from ledger.hashing import block_digest
from ledger.receipts import (
    build_state_receipt,
    proof_from_json,
    state_receipt_from_json,
    state_receipt_to_json,
    verify_proof,
    verify_state_receipt,
)
from ledger.state_receipts import STATE_RECEIPT_VALUE_SIZE_BYTES_MAX, StateReceipt, check_state_proof
from ledger.types import PATH_HEADERS_MAX
from ledger.verdicts import Check, ProofRejected
from tests.unit.ledger_world import NETWORK, SUITE
from tests.vectors.proof_files import KEY, REVOKED_KEY, Proofs

PROOFS = Proofs()
TRUST = PROOFS.trusts["trust"]
PRESENT, ABSENT = PROOFS.states["state_present"], PROOFS.states["state_absent"]
HISTORIC = PROOFS.states["state_historic"]


def check_of(receipt: StateReceipt) -> str:
    with pytest.raises(ProofRejected) as caught:
        verify_state_receipt(TRUST, receipt)
    return str(caught.value.fields["check"])


def test_a_receipt_proves_a_value_its_block_and_signers() -> None:
    proven = verify_state_receipt(TRUST, PRESENT)
    assert (proven.key, proven.value, proven.height) == (KEY, b"issued", 1)
    assert proven.block_digest == block_digest(SUITE, PRESENT.header)
    assert proven.time_ms == PRESENT.header.time_ms
    assert proven.signers == ("节点 0", "节点 1", "节点 2")
    assert proven.validator_count == 4


def test_a_receipt_proves_that_nothing_was_there() -> None:
    proven = verify_state_receipt(TRUST, ABSENT)
    assert (proven.key, proven.value) == (REVOKED_KEY, None)


def test_each_height_proves_its_own_value_and_no_other() -> None:
    assert verify_state_receipt(TRUST, HISTORIC).value == b"mortgaged"
    assert check_of(replace(HISTORIC, value=b"issued")) == "state_proof"
    assert check_of(replace(PRESENT, value=b"mortgaged")) == "state_proof"


def test_a_receipt_of_a_later_epoch_needs_the_changes_between() -> None:
    receipt = PROOFS.states["state_epoch_3"]
    assert check_of(receipt) == "epoch"
    assert verify_state_receipt(TRUST, receipt, PROOFS.changes).value == b"epoch 3"


def test_the_state_proof_alone_says_nothing_of_finality() -> None:
    forged = replace(PRESENT.header, height=7)
    check_state_proof(SUITE, replace(PRESENT, header=forged))
    assert check_of(replace(PRESENT, header=forged)) == "path_not_linked"


def test_the_file_reads_back_and_says_whether_there_was_something() -> None:
    for receipt, word in ((PRESENT, "present"), (ABSENT, "absent")):
        text = state_receipt_to_json(receipt)
        assert f'"state": "{word}"' in text
        assert state_receipt_from_json(text) == receipt
        assert proof_from_json(text.encode()) == receipt
        assert verify_proof(TRUST, receipt) == verify_state_receipt(TRUST, receipt)


def test_a_transactions_receipt_is_told_from_a_state_receipt_by_its_file() -> None:
    receipt = PROOFS.receipts["receipt"]
    assert proof_from_json(PROOFS.files()["receipt.json"]) == receipt
    assert verify_proof(TRUST, receipt).height == 1


def test_a_receipt_is_not_built_past_its_bounds() -> None:
    header = PRESENT.header
    finalized = PROOFS.world.committed({}).finalized
    long = replace(finalized, path=(header,) * (PATH_HEADERS_MAX + 1))
    with pytest.raises(LimitExceeded, match="path headers"):
        build_state_receipt(NETWORK, long, KEY, b"", PRESENT.proof)
    with pytest.raises(LimitExceeded, match="value"):
        build_state_receipt(
            NETWORK, finalized, KEY, bytes(STATE_RECEIPT_VALUE_SIZE_BYTES_MAX + 1), PRESENT.proof
        )
    largest = bytes(STATE_RECEIPT_VALUE_SIZE_BYTES_MAX)
    assert build_state_receipt(NETWORK, finalized, KEY, largest, PRESENT.proof).value == largest


def test_a_receipts_bytes_are_canonical_with_and_without_a_value() -> None:
    for receipt in (PRESENT, ABSENT):
        data = codec.encode(receipt)
        assert codec.decode(data, StateReceipt, size_bytes_max=10_000) == receipt


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"' + '\\"' * 200_000,
        '"' + '\\"' * 200_000,
        '"' * 400_001,
        "[" * 400_000,
        '{"a":' * 100_000,
        '{"a": ' + "1" * 400_000 + "}",
    ],
    ids=["escapes in an object", "escapes", "quotes", "lists", "objects", "digits"],
)
def test_hostile_text_is_gone_over_once_and_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        readable.parse(text, "receipt", size_bytes_max=1 << 20)


def test_every_check_has_words_in_both_languages() -> None:
    with pytest.raises(ProofRejected) as caught:
        verify_state_receipt(TRUST, replace(PRESENT, value=None))
    rejection = caught.value
    assert rejection.fields["check"] == Check.STATE_PROOF
    assert "状态" in rejection.message("zh")
    assert "state" in rejection.message("en")
