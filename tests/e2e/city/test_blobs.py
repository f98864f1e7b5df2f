"""Ciphertext on real nodes: placed on as many as there should be, repaired, and gone from every disk after erasure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.records import OutputFormat
from ledger.errors import LedgerError
from tests.e2e.cities import IDENTITY, READY_S, SUITE, City, Holder, until
from zhenglian import ApiError, Client, Denied
from zhenglian.grant_bodies import GrantBody

COPIES = 3


def places(city: City, blob: bytes) -> list[Path]:
    """Where a blob lies, over all nodes."""
    text = blob.hex()
    paths = [city.devnet.home(n) / "blobs" / text[:2] / text[2:] for n in city.devnet.numbers]
    return [path for path in paths if path.exists()]


@pytest.fixture
def holder(city: City) -> Iterator[Holder]:
    made = Holder(city)
    yield made
    made.client.close()


def payload(city: City, holder: Holder) -> bytes:
    return bytes.fromhex(holder.client.certificate(holder.certificates[IDENTITY]).payload_hash)


def test_a_copy_that_is_lost_is_back_after_the_node_has_started_again(city: City, holder: Holder) -> None:
    blob = payload(city, holder)
    until(lambda: len(places(city, blob)) >= COPIES, "the record is on its nodes")
    kept = places(city, blob)
    lost = kept[0]
    n = next(n for n in city.devnet.numbers if lost.is_relative_to(city.devnet.home(n)))
    whole = lost.read_bytes()
    city.devnet.terminate(n)
    lost.write_bytes(whole[:-1])
    city.devnet.start(n)
    city.devnet.wait_ready(READY_S)
    until(lambda: lost.read_bytes() == whole, "the copy is repaired")


def test_after_erasure_nothing_is_on_any_disk_and_every_node_has_said_so(city: City, holder: Holder) -> None:
    blob, bank = payload(city, holder), city.banks[0].client
    certificate = holder.certificates[IDENTITY]
    grant = holder.granted(bank)
    holder.client.request_erasure(certificate, reason="purpose_fulfilled")
    assert holder.client.certificate(certificate).erasure is not None
    city.police.client.erase_certificate(certificate, reason="asked_by_holder")

    def stated() -> bool:
        erasure = holder.client.certificate(certificate).erasure
        return erasure is not None and len(erasure.destructions) == len(city.devnet.numbers)

    until(stated, "every node has stated destruction")
    assert places(city, blob) == []
    seen = holder.client.certificate(certificate)
    assert seen.erased is not None
    assert not seen.valid
    with pytest.raises(Denied) as refused:
        bank.request_release(grant, [holder.output(IDENTITY, OutputFormat.JSON, "name")])
    assert refused.value.code in {"certificate_not_valid", "certificate_erased"}
    with pytest.raises(LedgerError):
        holder.client.request_erasure(certificate, reason="again")


def test_the_reasons_of_a_request_are_read_by_its_parties_on_record_and_erased_with_it(
    city: City, holder: Holder
) -> None:
    bank, body = city.banks[0].client, GrantBody({"note": "住房贷款，合同号 2026-0417"}, bytes(range(32)))
    grant = holder.granted(bank, body_commitment=body.commitment(SUITE))
    with pytest.raises(ApiError):
        bank.keep_grant_body(grant, GrantBody({"note": "another"}, body.salt))
    bank.keep_grant_body(grant, body)
    assert holder.client.open_grant_body(grant) == dict(body.texts)
    other = Client(list(reversed(city.devnet.urls)), city.banks[0].officer)
    assert other.open_grant_body(grant) == dict(body.texts), "another node reads it too"
    other.close()
    with pytest.raises(Denied) as refused:
        city.banks[1].client.open_grant_body(grant)
    assert refused.value.code == "body_of_others"
    for n in city.devnet.numbers:
        for path in (city.devnet.home(n) / "blobs").glob("??/*"):
            assert b"2026-0417" not in path.read_bytes()
    [kept] = holder.client.grant_bodies(grant)
    sealed = bytes.fromhex(kept.payload_hash)
    until(lambda: len(places(city, sealed)) >= COPIES, "the body is on its nodes")
    with pytest.raises(Denied):
        bank.erase_grant_body(grant)
    holder.client.revoke_grant(grant)
    bank.erase_grant_body(grant)

    def destroyed() -> bool:
        [left] = holder.client.grant_bodies(grant)
        return left.destroyed_by == len(city.devnet.numbers)

    until(destroyed, "every node has stated destruction")
    assert places(city, sealed) == []
    with pytest.raises(Denied):
        holder.client.open_grant_body(grant)
