"""Every record on k nodes, repaired where a copy is lost or damaged, and gone everywhere once it is erased."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import node.services.keeper
import node.vault.custody
from contracts.erasure_calls import CertificatesErase
from contracts.state import ERASURES
from ledger.errors import Busy, Unavailable
from node.services.keeper import UNISSUED_KEPT_MS, Walk, is_erased
from node.services.ports import AttachmentInput
from node.vault.blobs import LocalBlobStore, blob_hash
from node.vault.custody import Custody, RecordErased
from node.vault.holdings import Holdings
from node.vault.placement import copies_needed, copies_wanted, ranked
from node.vault.records import blobs_of, decode_manifest
from tests.unit.contracts_world import DEPARTMENT, OPERATORS, SUITE, identity
from tests.unit.node_peers import Net, Rogue
from tests.unit.node_replica import OFFICER
from tests.unit.node_world import Node, card, eventually, running

PDF: Final = AttachmentInput(name="document", media_type="application/pdf", data=b"%PDF-1.7 a document")
PNG: Final = AttachmentInput(name="card", media_type="image/png", data=b"\x89PNG\r\n\x1a\n a card")
HERE: Final = OPERATORS[0].account
OTHERS: Final = tuple(operator.account for operator in OPERATORS[1:])


class City:
    """One replica with its keeper; the other operators hold and give blobs as real nodes do."""

    def __init__(self, here: Node, folder: Path) -> None:
        self.here = here
        self.net = Net(folder / "net")
        for account in (HERE, *OTHERS):
            self.net.join(account)
        self.keeper = here.keeper_with(self.net.custodies[HERE], self.net.exchanges[HERE])

    @property
    def store(self) -> LocalBlobStore:
        return self.net.stores[HERE]

    def path(self, at: bytes, blob: bytes) -> Path:
        return self.net.folder / at.hex() / blob.hex()[:2] / blob.hex()[2:]

    def copies(self, blob: bytes) -> set[bytes]:
        return {account for account, store in self.net.stores.items() if store.has(blob)}

    def forget_holdings(self, path: Path) -> None:
        """As after a backup was restored: the blobs are there and nobody knows whose they are."""
        self.net.custodies[HERE] = Custody(
            store=self.store, holdings=Holdings(path), clock_ms=self.here.clock_ms
        )
        self.keeper = self.here.keeper_with(self.net.custodies[HERE], self.net.exchanges[HERE])

    async def issued(self, label: str = "card") -> tuple[bytes, tuple[bytes, ...]]:
        """A certificate on the ledger, placed by this keeper, and its blobs."""
        self.here.deposits = self.here.deposits_with(self.keeper.place)
        draft = await self.here.deposit(card(label, attachments=(PDF, PNG)))
        manifest = decode_manifest(self.store.get(draft.payload_hash) or b"")
        return draft.certificate_id, blobs_of(manifest, draft.payload_hash)


@pytest.fixture
async def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    monkeypatch.setattr(node.services.keeper, "PAUSE_S", 0)
    async with running(tmp_path, populated=True) as here:
        yield City(here, tmp_path)


def keepers(certificate: bytes, copies: int) -> set[bytes]:
    return set(ranked(SUITE, certificate, tuple(operator.account for operator in OPERATORS))[:copies])


async def test_a_record_is_on_as_many_nodes_as_configured_and_on_the_ranked_ones(city: City) -> None:
    certificate, blobs = await city.issued()
    assert len(blobs) == 4
    expected = keepers(certificate, 3) | {HERE}
    for blob in blobs:
        assert HERE in city.copies(blob)
        assert len(city.copies(blob)) == 3
        assert city.copies(blob) <= expected | set(OTHERS)


async def test_too_few_copies_are_refused_and_nothing_is_promised(city: City) -> None:
    for account in OTHERS:
        city.net.rogues[account] = Rogue(Unavailable(what="peer", reason="gone"))
    with pytest.raises(Unavailable) as caught:
        await city.here.deposits_with(city.keeper.place).prepare(card(), OFFICER)
    assert caught.value.fields["what"] == "replication"
    del city.net.rogues[OTHERS[2]]
    draft = await city.here.deposits_with(city.keeper.place).prepare(card(), OFFICER)
    assert draft.replicas == 2


@pytest.mark.parametrize("how", ["lost", "damaged", "cut", "holdings lost"])
async def test_a_copy_that_is_lost_or_damaged_is_repaired(city: City, how: str, tmp_path: Path) -> None:
    certificate, blobs = await city.issued()
    kept = {blob: city.store.get(blob) for blob in blobs}
    for blob in blobs:
        path = city.path(HERE, blob)
        if how == "lost":
            path.unlink()
        elif how == "damaged":
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        else:
            path.write_bytes(path.read_bytes()[:-1])
    if how == "holdings lost":
        city.forget_holdings(tmp_path / "new.sqlite")
    walk = await city.keeper.walk()
    here_is_keeper = HERE in keepers(certificate, 3)
    repaired = len(blobs) if how != "holdings lost" or here_is_keeper else 0
    assert (walk.records, walk.repaired, walk.missing) == (1, repaired, 0)
    if repaired:
        assert {blob: city.store.get(blob) for blob in blobs} == kept
    assert (await city.keeper.walk()).repaired == 0


async def test_what_nobody_has_is_said_to_be_missing_and_found_when_it_comes_back(city: City) -> None:
    _, blobs = await city.issued()
    taken = {account: city.path(account, blobs[1]).read_bytes() for account in city.copies(blobs[1])}
    for account in taken:
        city.path(account, blobs[1]).unlink()
    assert (await city.keeper.walk()).missing == 1
    back = next(account for account in taken if account != HERE)
    city.path(back, blobs[1]).write_bytes(taken[back])
    walk = await city.keeper.walk()
    assert (walk.missing, walk.repaired) == (0, 1)


async def test_after_erasure_nothing_is_left_here_and_that_is_on_the_ledger_once(city: City) -> None:
    certificate, blobs = await city.issued()
    other, kept = await city.issued("other")
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=certificate, reason="mistake"))
    walk = await city.keeper.walk()
    assert walk.destroyed == len(blobs)
    assert [city.store.get(blob) for blob in blobs] == [None] * len(blobs)
    assert all(city.store.has(blob) for blob in kept)
    for _ in range(2):
        erasure = ERASURES.get(city.here.chain.records, certificate)
        assert erasure is not None
        assert [stated.node for stated in erasure.destructions] == [HERE]
        assert (await city.keeper.walk()).destroyed == 0
    assert ERASURES.get(city.here.chain.records, other) is None


async def test_an_erased_record_goes_though_its_holdings_were_lost(city: City, tmp_path: Path) -> None:
    certificate, blobs = await city.issued()
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=certificate, reason="mistake"))
    city.forget_holdings(tmp_path / "new.sqlite")
    assert (await city.keeper.walk()).destroyed == len(blobs)
    assert not any(city.store.has(blob) for blob in blobs)


async def test_a_peer_cannot_keep_anothers_record_from_being_erased(city: City) -> None:
    """It says that the blobs are of a draft of its own, or of another record that was on the ledger before."""
    other, _ = await city.issued("other")
    certificate, blobs = await city.issued()
    liar = OTHERS[0]
    for claimed in (identity("draft"), other):
        await city.net.custodies[HERE].keep(
            claimed, {blob: city.store.get(blob) or b"" for blob in blobs}, peer=liar
        )
    await city.keeper.walk()
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=certificate, reason="mistake"))
    await city.keeper.walk()
    assert not any(city.store.has(blob) for blob in blobs)


async def test_erasing_a_record_takes_no_blob_of_another_with_it(city: City) -> None:
    """The later record was said by a peer to be made of the earlier one's blobs."""
    _, kept = await city.issued()
    later, blobs = await city.issued("later")
    await city.net.custodies[HERE].keep(
        later, {blob: city.store.get(blob) or b"" for blob in kept}, peer=OTHERS[0]
    )
    await city.keeper.walk()
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=later, reason="mistake"))
    assert (await city.keeper.walk()).destroyed == len(blobs)
    assert all(city.store.has(blob) for blob in kept)


async def test_erasing_a_record_that_took_anothers_manifest_for_its_own_leaves_that_one_whole(
    city: City,
) -> None:
    """The other one's draft was seen, and put on the ledger under another id before it was issued itself."""
    city.here.deposits = city.here.deposits_with(city.keeper.place)
    content = card()
    draft = await city.here.deposits.prepare(content, OFFICER)
    thief = replace(draft, certificate_id=identity("thief"))
    await city.here.issue(content, thief)
    await city.here.issue(content, draft)
    await city.keeper.walk()
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=thief.certificate_id, reason="mistake"))
    assert (await city.keeper.walk()).destroyed == 0
    assert city.store.has(draft.payload_hash)


async def test_a_draft_that_is_never_issued_goes_when_its_time_is_over(city: City) -> None:
    city.net.time_ms = city.here.now_ms
    draft = await city.here.deposits_with(city.keeper.place).prepare(card(), OFFICER)
    city.here.now_ms = city.net.time_ms + UNISSUED_KEPT_MS
    assert (await city.keeper.walk()).destroyed == 0
    assert city.store.has(draft.payload_hash)
    city.here.now_ms += 1
    assert (await city.keeper.walk()).destroyed == 2
    assert not city.store.has(draft.payload_hash)


async def test_a_blob_that_belongs_to_nothing_goes_and_one_that_is_noted_stays(city: City) -> None:
    _, blobs = await city.issued()
    stray = city.store.put(b"nobody's")
    written_s = city.here.now_ms // 1000 - UNISSUED_KEPT_MS // 1000
    for blob, age_s in ((stray, 0), (blobs[0], 10)):
        os.utime(city.path(HERE, blob), (written_s - age_s, written_s - age_s))
    city.here.now_ms = (written_s * 1000) + UNISSUED_KEPT_MS
    assert (await city.keeper.walk()).destroyed == 0
    city.here.now_ms += 1
    assert (await city.keeper.walk()).destroyed == 1
    assert not city.store.has(stray)
    assert all(city.store.has(blob) for blob in blobs)


async def test_a_node_that_was_away_at_the_deposit_gets_its_copy_when_it_follows(city: City) -> None:
    certificate, blobs = await city.issued()
    for blob in blobs:
        city.path(HERE, blob).unlink()
    city.forget_holdings(city.net.folder / "new.sqlite")
    walk = await city.keeper.walk()
    assert walk.repaired == (len(blobs) if HERE in keepers(certificate, 3) else 0)


# --- what goes wrong around it ---


async def test_a_store_that_is_out_of_order_for_a_while_ends_no_keeper(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs beside the node stops it when it raises: an object store that is away stopped every node that uses it."""
    monkeypatch.setattr(node.services.keeper, "RETRY_FIRST_S", 0.001)
    walks: list[Walk] = []
    keeper = city.here.keeper_with(city.net.custodies[HERE], city.net.exchanges[HERE])
    keeper._on_walk = walks.append
    running_keeper = asyncio.ensure_future(keeper.run())
    await eventually(lambda: len(walks) == 1)
    get, refused = city.store.get, 0

    def away(blob: bytes) -> bytes | None:
        nonlocal refused
        refused += 1
        raise Unavailable(what="object store", reason="connection refused")

    certificate, blobs = await city.issued()
    monkeypatch.setattr(city.store, "get", away)
    for final in city.here.finalized:
        keeper.block_finalized(final)
    await eventually(lambda: refused > 2)
    assert not running_keeper.done()
    monkeypatch.setattr(city.store, "get", get)
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=certificate, reason="mistake"))
    keeper.block_finalized(city.here.finalized[-1])
    await eventually(lambda: not any(city.store.has(blob) for blob in blobs))
    running_keeper.cancel()
    await asyncio.gather(running_keeper, return_exceptions=True)


async def test_one_record_that_cannot_be_read_keeps_no_other_from_being_tended(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = {certificate: blobs async for certificate, blobs in several(city, 3)}
    first, *others = sorted(issued)
    for certificate in others:
        city.path(HERE, issued[certificate][1]).unlink()
    get = city.store.get

    def broken(blob: bytes) -> bytes | None:
        if blob == issued[first][0]:
            raise Unavailable(what="disk", reason="input/output error")
        return get(blob)

    monkeypatch.setattr(city.store, "get", broken)
    walk = await city.keeper.walk()
    assert (walk.repaired, walk.missing, walk.faults) == (len(others), 1, 1)
    monkeypatch.setattr(node.services.keeper, "FAULTS_PER_WALK_MAX", 1)
    with pytest.raises(Unavailable):
        await city.keeper.walk()


async def several(city: City, count: int) -> AsyncIterator[tuple[bytes, tuple[bytes, ...]]]:
    for number in range(count):
        yield await city.issued(f"card {number}")


async def test_nobody_has_an_erased_record_kept_again(city: City) -> None:
    certificate, blobs = await city.issued()
    data = {blob: city.store.get(blob) or b"" for blob in blobs}
    erased = False
    custody = Custody(
        store=city.store,
        holdings=Holdings(city.net.folder / "own.sqlite"),
        clock_ms=city.here.clock_ms,
        erased=lambda record: erased and is_erased(city.here.chain, record),
    )
    await city.here.send(DEPARTMENT, CertificatesErase(certificate_id=certificate, reason="mistake"))
    await city.keeper.walk()
    put = city.store.put
    written: list[bytes] = []

    def then_erased(data: bytes) -> bytes:
        nonlocal erased
        written.append(put(data))
        erased = len(written) == len(blobs)
        return written[-1]

    city.store.put = then_erased  # type: ignore[method-assign]
    with pytest.raises(RecordErased):
        await custody.keep(certificate, data, peer=OTHERS[0])
    assert len(written) == len(blobs)
    assert not any(city.store.has(blob) for blob in blobs)
    with pytest.raises(RecordErased):
        await custody.keep(certificate, data, peer=OTHERS[0])
    assert len(written) == len(blobs)


async def test_what_a_peer_adds_to_anothers_record_counts_on_it_and_goes_in_its_time(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted on nobody once the record was on the ledger, and on the depositor's node before."""
    certificate, blobs = await city.issued()
    custody, liar, honest = city.net.custodies[HERE], OTHERS[0], OTHERS[1]
    city.net.time_ms = city.here.now_ms
    await custody.keep(identity("draft"), {blob_hash(SUITE, b"own"): b"own"}, peer=honest)
    for record in (certificate, identity("draft")):
        junk = b"junk" + record
        await custody.keep(record, {blob_hash(SUITE, junk): junk}, peer=liar)
    monkeypatch.setattr(node.vault.custody, "DRAFT_BYTES_PER_PEER_MAX", 40)
    with pytest.raises(Busy):
        await custody.require_room(liar)
    await custody.require_room(honest)
    await city.keeper.walk()
    surplus = blob_hash(SUITE, b"junk" + certificate)
    assert city.store.has(surplus)
    city.here.now_ms = city.net.time_ms + UNISSUED_KEPT_MS + 1
    await city.keeper.walk()
    assert not city.store.has(surplus)
    assert all(city.store.has(blob) for blob in blobs)
    await custody.require_room(liar)


async def test_a_draft_that_is_brought_again_has_its_time_again_and_a_peer_keeps_no_others_alive(
    city: City,
) -> None:
    custody = city.net.custodies[HERE]
    for who, kept in ((HERE, True), (OTHERS[0], False)):
        data = b"draft of " + who
        blob, draft = blob_hash(SUITE, data), identity(f"draft of {who.hex()}")
        city.net.time_ms = city.here.now_ms
        await custody.keep(draft, {blob: data}, peer=HERE)
        city.net.time_ms += UNISSUED_KEPT_MS
        await custody.keep(draft, {blob: data}, peer=who)
        city.here.now_ms = city.net.time_ms + 1
        await city.keeper.walk()
        assert city.store.has(blob) is kept


async def test_the_same_ciphertext_brought_while_it_is_swept_is_there_afterwards(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = city.store.put(b"nobody's yet")
    os.utime(city.path(HERE, stray), (1, 1))
    custody = city.net.custodies[HERE]
    known = custody._holdings.known
    brought: list[asyncio.Future[None]] = []
    bringing = threading.Event()
    loop = asyncio.get_running_loop()

    def bring() -> None:
        keeping = custody.keep(identity("again"), {stray: b"nobody's yet"}, peer=HERE)
        brought.append(asyncio.ensure_future(keeping))
        bringing.set()

    def looked(blobs: Iterable[bytes]) -> frozenset[bytes]:
        found = known(tuple(blobs))
        if not brought:
            loop.call_soon_threadsafe(bring)
            bringing.wait()
        return found

    monkeypatch.setattr(custody._holdings, "known", looked)
    await custody.destroy_unknown(city.here.now_ms)
    await brought[0]
    assert city.store.get(stray) == b"nobody's yet"


def test_holdings_of_another_release_are_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "holdings.sqlite"
    with closing(sqlite3.connect(path)) as before:
        before.execute("CREATE TABLE parts (blob BLOB, certificate BLOB, size_bytes INTEGER, named INTEGER)")
        before.execute("CREATE TABLE records (certificate BLOB, peer BLOB, since_ms INTEGER)")
    holdings = Holdings(path)
    holdings.note(b"c" * 16, {bytes(32): 5}, peer=HERE, now_ms=1)
    holdings.close()
    again = Holdings(path)
    assert again.blobs_of(b"c" * 16) == (bytes(32),)
    again.close()


def test_placement_moves_only_what_a_leaving_node_kept() -> None:
    validators = [identity(f"validator {n}") for n in range(7)]
    for number in range(50):
        record = identity(f"record {number}")
        before = ranked(SUITE, record, validators)
        after = ranked(SUITE, record, validators[1:])
        assert sorted(before) == sorted(validators)
        assert [account for account in before if account != validators[0]] == list(after)


@pytest.mark.parametrize(
    ("validators", "configured", "wanted"),
    [(1, 0, 1), (4, 0, 3), (4, 1, 2), (4, 9, 4), (7, 0, 5), (7, 2, 3), (31, 0, 21), (31, 12, 12)],
)
def test_a_record_is_on_enough_nodes_that_not_all_are_faulty(
    validators: int, configured: int, wanted: int
) -> None:
    assert copies_wanted(validators, configured) == wanted
    assert copies_needed(validators) == (validators - 1) // 3 + 1
