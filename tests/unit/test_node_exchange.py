"""Blobs between nodes: whole or not at all, bounded, and never on a peer's word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import node.exchange
import node.vault.custody
from ledger import codec
from ledger.errors import Busy, LedgerError, NotFound, Unavailable
from node.exchange import (
    CHUNK_SIZE_BYTES,
    CHUNKS_PER_PEER_MAX,
    HOLD_BLOBS_MAX,
    BlobExchange,
    Chunk,
    GetChunk,
    Held,
    Hold,
)
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, blob_hash
from tests.unit.contracts_world import SUITE, identity
from tests.unit.node_peers import A, B, C, Net, Rogue


@pytest.fixture
def net(tmp_path: Path) -> Net:
    return Net(tmp_path)


def chunk(data: bytes, size_bytes: int | None = None) -> bytes:
    return codec.encode(Chunk(size_bytes=len(data) if size_bytes is None else size_bytes, data=data))


RECORD = b"r" * 16


async def replicated(here: BlobExchange, blobs: tuple[bytes, ...]) -> int:
    """How many of B and C hold them, when both are asked to."""
    return await here.replicate(RECORD, blobs, ranked=(B, C), copies=2)


LARGE = identity("large", 32) * (CHUNK_SIZE_BYTES * 5 // 64)


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES + 1, len(LARGE)])
async def test_a_blob_of_any_size_arrives_whole_and_is_kept_by_nobody_unasked(net: Net, size: int) -> None:
    here, _ = net.join(A), net.join(B)
    name = net.stores[B].put(LARGE[:size])
    assert await here.fetch(name) == LARGE[:size]
    assert not net.stores[A].has(name)
    assert len(net.asked) == max(1, -(-size // CHUNK_SIZE_BYTES))


async def test_the_next_peer_is_asked_when_one_lacks_the_blob(net: Net) -> None:
    here, _, _ = net.join(A), net.join(B), net.join(C)
    name = net.stores[C].put(b"only there")
    assert await here.fetch(name) == b"only there"
    assert await here.fetch(bytes(32)) is None


@pytest.mark.parametrize(
    "rogue",
    [
        Rogue(chunk(b"something else")),
        Rogue(chunk(b"")),
        Rogue(chunk(b"x", 3), chunk(b"y", 3)),
        Rogue(chunk(b"", 9)),
        Rogue(chunk(b"too long", 3)),
        Rogue(chunk(bytes(CHUNK_SIZE_BYTES), CHUNK_SIZE_BYTES + 9), chunk(b"grows", 10**6)),
        Rogue(chunk(bytes(CHUNK_SIZE_BYTES), BLOB_SIZE_BYTES_MAX)),
        Rogue(chunk(b"x", BLOB_SIZE_BYTES_MAX + 1)),
        Rogue(chunk(bytes(CHUNK_SIZE_BYTES + 1))),
        Rogue(chunk(bytes(2 * CHUNK_SIZE_BYTES))),
        Rogue(b""),
        Rogue(b"\xc1"),
        Rogue(codec.encode(Held())),
        Rogue(chunk(b"good")[:-1]),
        Rogue(chunk(b"good") + b"\0"),
        Rogue(Unavailable(what="peer", reason="gone")),
    ],
)
async def test_a_peer_that_answers_wrongly_is_passed_over_after_a_bounded_number_of_questions(
    net: Net, rogue: Rogue
) -> None:
    net.rogues[C] = rogue
    here, _ = net.join(A), net.join(B)
    name = net.stores[B].put(b"good")
    assert await here.fetch(name) == b"good"
    assert rogue.count <= BLOB_SIZE_BYTES_MAX // CHUNK_SIZE_BYTES
    assert not net.stores[A].has(name)


async def test_a_peer_that_is_too_slow_is_passed_over(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.exchange, "FETCH_TIMEOUT_S", 0.0)
    here, _ = net.join(A), net.join(B)
    assert await here.fetch(net.stores[B].put(b"good")) is None


async def test_replicas_are_counted_and_are_there(net: Net) -> None:
    here, _, _ = net.join(A), net.join(B), net.join(C)
    names = tuple(net.stores[A].put(data) for data in (LARGE, b"small", b""))
    assert await replicated(here, names) == 2
    for peer in (B, C):
        assert [net.stores[peer].get(name) for name in names] == [LARGE, b"small", b""]
    asked = len(net.asked)
    assert await replicated(here, names) == 2
    assert len(net.asked) == asked + 2


async def test_more_blobs_than_one_request_takes_are_all_replicated(net: Net) -> None:
    here, _ = net.join(A), net.join(B)
    names = tuple(net.stores[A].put(n.to_bytes(2, "big")) for n in range(HOLD_BLOBS_MAX + 1))
    assert await replicated(here, names) == 1
    assert all(net.stores[B].has(name) for name in names)


async def test_a_peer_that_cannot_hold_everything_is_no_replica(net: Net) -> None:
    here, _ = net.join(A), net.join(B)
    there = net.stores[A].put(b"there")
    assert await replicated(here, (there, bytes(32))) == 0
    net.rogues[C] = Rogue(chunk(b"held, surely"))
    assert await replicated(here, (there,)) == 1


async def test_nobody_but_those_named_is_asked_and_no_more_than_wanted(net: Net) -> None:
    """A read node that lies was once counted among those of whom one must be honest."""
    here = net.join(A)
    for name in (B, C):
        net.join(name)
    names = (net.stores[A].put(b"ciphertext"),)
    assert await here.replicate(RECORD, names, ranked=(C,), copies=2) == 1
    assert not net.stores[B].has(names[0])
    assert await here.replicate(RECORD, names, ranked=(B, C), copies=1) == 1
    assert net.stores[B].has(names[0])
    assert {peer for peer, _ in net.asked} == {A, B, C}


async def test_who_cannot_hold_is_passed_over_for_the_next(net: Net) -> None:
    here = net.join(A)
    net.join(C)
    net.rogues[B] = Rogue(Unavailable(what="peer", reason="gone"))
    names = (net.stores[A].put(b"ciphertext"),)
    assert await here.replicate(RECORD, names, ranked=(b"away".ljust(16), B, C), copies=1) == 1
    assert net.stores[C].has(names[0])


async def test_a_peer_brings_only_so_much_for_records_that_are_not_on_the_ledger(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.vault.custody, "DRAFT_BYTES_PER_PEER_MAX", 11)
    here, _ = net.join(A), net.join(B)
    assert await replicated(here, (net.stores[A].put(b"0123456789"),)) == 1
    assert await replicated(here, (net.stores[A].put(b"x"),)) == 1
    assert await replicated(here, (net.stores[A].put(b"y"),)) == 0
    assert not net.stores[B].has(blob_hash(SUITE, b"y"))


async def test_a_peer_that_asks_for_chunk_upon_chunk_leaves_threads_to_others(net: Net) -> None:
    """64 reads of a large blob at once had every thread, and finalized blocks waited for one to be committed."""
    here = net.join(A)
    question = codec.encode(GetChunk(blob=net.stores[A].put(b"ciphertext"), offset=0))
    greedy = [here.serve(B, question) for _ in range(CHUNKS_PER_PEER_MAX + 3)]
    answers = await asyncio.gather(*greedy, here.serve(C, question), return_exceptions=True)
    assert [isinstance(answer, Busy) for answer in answers] == [False] * CHUNKS_PER_PEER_MAX + [True] * 3 + [
        False
    ]
    assert await here.serve(B, question) == answers[0]


async def test_a_damaged_copy_is_no_copy_and_is_replaced(net: Net) -> None:
    here, _ = net.join(A), net.join(B)
    name = net.stores[A].put(b"ciphertext")
    assert net.stores[B].put(b"ciphertext") == name
    path = net.folder / B.hex() / name.hex()[:2] / name.hex()[2:]
    path.write_bytes(b"cIphertext")
    with pytest.raises(LedgerError):
        await net.exchanges[B].serve(A, codec.encode(GetChunk(blob=name, offset=0)))
    assert await replicated(here, (name,)) == 1
    assert net.stores[B].get(name) == b"ciphertext"


async def test_hostile_requests_get_an_error_and_nothing_else(net: Net) -> None:
    here = net.join(A)
    name = net.stores[A].put(b"0123456789")
    for payload in (
        codec.encode(GetChunk(blob=name, offset=11)),
        codec.encode(GetChunk(blob=name, offset=BLOB_SIZE_BYTES_MAX)),
        codec.encode(GetChunk(blob=name, offset=BLOB_SIZE_BYTES_MAX + 1)),
        codec.encode(GetChunk(blob=name, offset=-1)),
        codec.encode(GetChunk(blob=name[:-1], offset=0)),
        codec.encode(GetChunk(blob=b"../" * 10 + b"xx", offset=0)),
        codec.encode(Hold(certificate=RECORD, blobs=())),
        codec.encode(Hold(certificate=RECORD, blobs=(name,) * (HOLD_BLOBS_MAX + 1))),
        codec.encode(Hold(certificate=RECORD, blobs=(name[:-1],))),
        codec.encode(Held()),
        chunk(b"data"),
        codec.encode(("erase", name)),
        b"",
        bytes(10_000),
    ):
        with pytest.raises(LedgerError):
            await here.serve(B, payload)
    assert net.stores[A].get(name) == b"0123456789"
    assert net.asked == []
    with pytest.raises(NotFound):
        await here.serve(B, codec.encode(GetChunk(blob=bytes(32), offset=0)))


@given(payload=st.binary(max_size=100))
async def test_no_payload_makes_it_raise_anything_else(
    payload: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = Net(tmp_path_factory.getbasetemp() / "rubbish").join(A)
    with pytest.raises(LedgerError):
        await here.serve(B, payload)


async def test_who_asks_to_hold_must_give_it_itself(net: Net) -> None:
    here, _ = net.join(A), net.join(B)
    net.join(C)
    elsewhere = net.stores[C].put(b"elsewhere")
    with pytest.raises(NotFound):
        await here.serve(B, codec.encode(Hold(certificate=RECORD, blobs=(elsewhere,))))
    assert not net.stores[A].has(elsewhere)


async def test_a_liar_that_asks_to_hold_leaves_nothing_here(net: Net) -> None:
    here = net.join(A)
    net.rogues[C] = Rogue(chunk(b"something else"))
    wanted = blob_hash(SUITE, b"what it names")
    with pytest.raises(Unavailable):
        await here.serve(C, codec.encode(Hold(certificate=RECORD, blobs=(wanted,))))
    assert not any(path.is_file() for path in (net.folder / A.decode()).rglob("*"))
