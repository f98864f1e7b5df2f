"""The SDK's part in recognising: disclosures that prove themselves, and proofs split over calls that fit."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.region_calls import FOLLOW_CHANGES_MAX
from contracts.region_records import SHOWN_PATH_HEADERS_MAX, SHOWN_VALUE_BYTES_MAX
from contracts.regions import CHECK_COST_MAX, follow_cost
from contracts.state import CERTIFICATES
from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.receipts import RECEIPT_FILE_SIZE_BYTES_MAX, StateReceipt
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from tests.suites import suite_under_test
from tests.unit.contracts_world import identity
from tests.unit.regions_world import CERTIFICATE, CONTRACT_KEY, Home, degree
from zhenglian import certificate_proofs, disclosures
from zhenglian.api import DepositRequest
from zhenglian.api_regions import Disclosure, RecognitionView
from zhenglian.certificate_proofs import certificate_proof
from zhenglian.deposits import commitment_of
from zhenglian.disclosures import DISCLOSURE_FILE_SIZE_BYTES_MAX
from zhenglian.plans.regions import follow_calls

SUITE = suite_under_test()
CHAIN = identity("chain", 32)
DEPOSIT = msgspec.convert(
    {
        "certificate_id": CERTIFICATE.hex(),
        "certificate_type": "degree",
        "holder": identity("holder").hex(),
        "fields": {
            "name": "王小明",
            "grade": 90,
            "terms": [{"term": "一", "mark": 3}, {"term": "二", "mark": -4}],
        },
        "salt_seed": identity("seed", 32).hex(),
        "attachments": [
            {
                "name": "scan",
                "media_type": "application/pdf",
                "data": base64.b64encode(b"%PDF").decode(),
            }
        ],
    },
    DepositRequest,
)
WHOLE = disclosures.disclosure_of(SUITE, CHAIN, DEPOSIT)


def view(**changes: object) -> RecognitionView:
    values: dict[str, Any] = dict.fromkeys(RecognitionView.__struct_fields__, "")
    values |= {
        "recognition_id": "00" * 16,
        "region": CHAIN.hex(),
        "certificate_id": CERTIFICATE.hex(),
        "commitment_root": commitment_of(SUITE, DEPOSIT).hex(),
        "holds": True,
    }
    return RecognitionView(**{**values, **changes})


def test_everything_that_was_deposited_is_disclosed_and_proves_itself() -> None:
    found = disclosures.check(SUITE, view(), WHOLE)
    assert (found.accepted, found.disproven) == (True, [])
    assert sorted(found.proven) == ["grade", "name", "scan", "terms"]


def test_a_part_that_is_taken_out_still_proves_itself_and_shows_nothing_else() -> None:
    part = disclosures.selected(WHOLE, ["scan", "name"])
    data = disclosures.to_json(part)
    assert "terms" not in data.decode()
    assert disclosures.from_json(data) == part
    found = disclosures.check(SUITE, view(), part)
    assert (found.accepted, found.proven) == (True, ["name", "scan"])
    with pytest.raises(DecodeError, match="salary"):
        disclosures.selected(WHOLE, ["name", "salary"])


def test_a_recognition_that_does_not_hold_accepts_nothing() -> None:
    found = disclosures.check(SUITE, view(holds=False, reason="revoked"), WHOLE)
    assert (found.accepted, found.reason, found.disproven) == (False, "revoked", [])


def test_showing_nothing_is_not_accepted() -> None:
    found = disclosures.check(SUITE, view(), disclosures.selected(WHOLE, []))
    assert (found.accepted, found.holds) == (False, True)


def test_another_certificates_disclosure_is_refused() -> None:
    for changes in ({"certificate_id": "00" * 16}, {"region": "00" * 32}):
        with pytest.raises(DecodeError):
            disclosures.check(SUITE, view(**changes), WHOLE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_in_a_disclosed_part_can_be_changed(data: st.DataObject) -> None:
    tree = msgspec.to_builtins(WHOLE)
    part = data.draw(st.sampled_from(tree["fields"] + tree["attachments"]))
    match data.draw(st.sampled_from(["value", "salt", "index", "size", "sibling"])):
        case "value" if "value" in part:
            part["value"] = data.draw(st.text(max_size=3))
        case "value":
            part["content_hash"] = "00" * 32
        case "salt":
            part["salt"] = identity("another salt").hex()
        case "index":
            part["proof"]["index"] += 1
        case "size":
            part["proof"]["size"] += 1
        case _:
            part["proof"]["siblings"][0] = "00" * 32
    changed = msgspec.convert(tree, Disclosure)
    found = disclosures.check(SUITE, view(), changed)
    assert not found.accepted
    assert found.disproven == [part["name"]]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"format": "zhenglian-disclosure-2"}', b"\xff", b"[" * 100_000],
)
def test_a_file_that_is_no_disclosure_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        disclosures.from_json(data)


def test_a_disclosure_file_is_bounded() -> None:
    with pytest.raises(LimitExceeded):
        disclosures.from_json(b" " * (DISCLOSURE_FILE_SIZE_BYTES_MAX + 1))


# --- splitting ----------------------------------------------------------------------------------------------


def test_changes_are_packed_into_as_few_calls_as_they_fit() -> None:
    home = Home()
    changes = [home.seal() for _ in range(2 * FOLLOW_CHANGES_MAX + 3)]
    calls = follow_calls(home.chain_id, changes)
    assert [change for one in calls for change in one.changes] == changes
    assert [len(one.changes) for one in calls] == [FOLLOW_CHANGES_MAX, FOLLOW_CHANGES_MAX, 3]
    long = [home.seal(fillers=40) for _ in range(6)]
    calls = follow_calls(home.chain_id, long)
    assert len(calls) == 2
    for one in calls:
        assert len(codec.encode(one)) <= CALL_ARGS_SIZE_BYTES_MAX
        assert follow_cost(one) <= CHECK_COST_MAX
    assert follow_calls(home.chain_id, []) == []


def test_a_change_that_fits_no_call_is_told_with_the_limit() -> None:
    home = Home()
    change = home.seal(fillers=SHOWN_PATH_HEADERS_MAX + 1)
    with pytest.raises(LimitExceeded) as caught:
        follow_calls(home.chain_id, [change])
    assert caught.value.fields == {
        "limit": "SHOWN_PATH_HEADERS_MAX",
        "maximum": SHOWN_PATH_HEADERS_MAX,
        "actual": SHOWN_PATH_HEADERS_MAX + 1,
    }


# --- what a home proves ---------------------------------------------------------------------------------------


def receipts(home: Home) -> tuple[StateReceipt, StateReceipt]:
    """Of a certificate, and of the contract's version."""
    final = home.final(home.deposit(degree(home)))
    made = StateReceipt(
        version=1,
        network="n",
        key=CERTIFICATES.key(CERTIFICATE),
        value=home.shown().value,
        proof=home.shown().proof,
        header=final.header,
        path=final.path,
        certificate=final.certificate,
    )
    contract = home.entry(CONTRACT_KEY)
    return made, replace(made, key=CONTRACT_KEY, value=contract.value, proof=contract.proof)


def test_a_homes_proof_is_a_file_that_has_one_way_to_be_written() -> None:
    certificate, contract = receipts(Home())
    made = certificate_proof(CERTIFICATE, certificate, contract, None)
    text = certificate_proofs.to_json(made)
    assert certificate_proofs.from_json(text) == made
    assert certificate_proofs.from_json(" " + text) == made
    for broken in (
        "{}",
        text.replace("zhenglian-certificate-proof-1", "zhenglian-certificate-proof-2"),
        text.replace('"version": 1', '"version": 2', 1),
        text.replace('"network"', '"\\u006eetwork"', 1),
        text[:-3],
        "[" * 100_000,
    ):
        with pytest.raises(DecodeError):
            certificate_proofs.from_json(broken)
    with pytest.raises(LimitExceeded):
        certificate_proofs.from_json(" " * (RECEIPT_FILE_SIZE_BYTES_MAX + 1))


def test_a_homes_proof_is_of_one_block_and_of_values_that_others_take() -> None:
    certificate, contract = receipts(Home())
    later = replace(contract, header=replace(contract.header, height=9))
    with pytest.raises(DecodeError):
        certificate_proof(CERTIFICATE, certificate, later, None)
    with pytest.raises(DecodeError):
        certificate_proof(CERTIFICATE, certificate, contract, later)
    huge = replace(certificate, value=bytes(SHOWN_VALUE_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        certificate_proof(CERTIFICATE, huge, contract, None)
