"""Handing data out: no byte before PREPARED is final, one use a release, and the same bytes every time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from contracts.calls import (
    Args,
    DeadlinesTick,
    GrantsPause,
    GrantsRevoke,
    ReleasesAcknowledge,
)
from contracts.erasure_calls import CertificatesErase
from contracts.records import Certificate, Grant, GrantState, Output, OutputFormat, Release, ReleaseState
from ledger import codec
from ledger.errors import Busy, DecodeError, NotFound, VerificationFailed
from ledger.hashing import transaction_id
from ledger.types import Call, Transaction
from node.holders.errors import KeyRefused
from node.holders.ports import ShareAnswer
from node.holders.server import decode_answer, decode_ask
from node.home import FileUnusable
from node.mempool import PoolLimits
from node.services import releases, spool
from node.services.ports import AttachmentInput, Denied, Draft, TransactionStatus
from node.services.releases import (
    NotPerformedHere,
    ReleaseErased,
    ReleaseNotPrepared,
    ReleaseWindowOver,
    WrongCall,
)
from node.services.rendering import COPY_REFERENCE, COPY_REFERENCE_OF_ORIGINAL
from node.vault.blobs import DISK_KEPT_FREE_BYTES
from node.vault.records import Manifest, PlainField, decode_manifest, seal_record
from tests.unit.contracts_world import BANK, DEPARTMENT, LI, SHOP, SUITE, identity
from tests.unit.node_world import Node, card, card_fields, eventually, running
from tests.unit.vault_world import ACCOUNTS, GROUP
from zhenglian.catalogue import CertificateTypeSpec, MarksSpec

JSON_FIELDS = ("name", "identity_number")


@dataclass
class Lent:
    """A node with Li's card on it, which a bank may download."""

    node: Node
    draft: Draft
    grant_id: bytes

    @property
    def certificate(self) -> bytes:
        return self.draft.certificate_id

    @property
    def grant(self) -> Grant:
        grant = self.node.chain.records.grant(self.grant_id)
        assert grant is not None
        return grant

    def json(self) -> Output:
        return Output(
            certificate=self.certificate, format=OutputFormat.JSON, fields=JSON_FIELDS, attachment=""
        )

    def request(self, *outputs: Output) -> Transaction:
        return self.node.request_of(BANK, self.grant_id, *(outputs or (self.json(),)))

    def release(self, transaction: Transaction) -> Release:
        release = self.node.chain.records.release(self.node.releases.release_id(transaction))
        assert release is not None
        return release

    async def until(self, transaction: Transaction, state: ReleaseState) -> Release:
        await self.node.until(lambda: self.release(transaction).state is state)
        return self.release(transaction)

    async def prepared(self) -> Release:
        release = await self.node.releases.request(self.request(), wait_s=30)
        assert release.state is ReleaseState.PREPARED, release.failure
        return release


async def lend(node: Node) -> Lent:
    draft = await node.deposit(
        card(attachments=(AttachmentInput(name="card", media_type="image/png", data=PNG),))
    )
    return Lent(node, draft, await node.grant(BANK, draft))


PNG = b"\x89PNG\r\n\x1a\n no picture at all"


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Lent]:
    async with running(tmp_path, populated=True) as node:
        yield await lend(node)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(releases, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(releases, "RETRY_LONGEST_S", 0.001)


def freeze_at(node: Node, kind: str) -> None:
    """Make no block any more after the one in which this has happened."""

    def look(final: object) -> None:
        events = [event for result in node.finalized[-1].executed.results for event in result.events]
        if any(event.kind == kind for event in events):
            node.frozen = True

    node.services.append(look)


async def pooled(node: Node, contract: str, method: str) -> bytes:
    """Wait until a call is in the pool; its transaction's id."""

    def found() -> list[bytes]:
        return [
            entry.transaction_id
            for entry in node.mempool
            if (entry.transaction.body.call.contract, entry.transaction.body.call.method)
            == (contract, method)
        ]

    await eventually(lambda: bool(found()))
    return found()[0]


def acknowledgement(release: Release) -> ReleasesAcknowledge:
    return ReleasesAcknowledge(
        release_id=release.release_id, file_hashes=tuple(file.file_hash for file in release.files)
    )


# --- the whole path ---


async def test_from_request_to_acknowledgement(lent: Lent) -> None:
    release = await lent.prepared()
    assert lent.grant.uses_left == 8
    (prepared,) = release.files
    file = await lent.node.releases.file(release.release_id, 0)
    assert file.prepared == prepared
    assert SUITE.digest(file.data) == prepared.file_hash
    assert len(file.data) == prepared.size_bytes
    document = json.loads(file.data)
    assert document["fields"] == {name: card_fields()[name] for name in JSON_FIELDS}
    await lent.node.send(BANK, acknowledgement(release))
    delivered = lent.node.chain.records.release(release.release_id)
    assert delivered is not None
    assert delivered.state is ReleaseState.DELIVERED
    assert (await lent.node.releases.file(release.release_id, 0)).data == file.data
    assert (lent.grant.uses_left, lent.grant.uses_reserved) == (8, 0)


async def test_a_retry_gives_the_same_release_and_bytes_and_costs_no_second_use(lent: Lent) -> None:
    request = lent.request()
    both = await asyncio.gather(*(lent.node.releases.request(request, wait_s=30) for _ in range(2)))
    again = await lent.node.releases.request(request, wait_s=30)
    assert both[0] == both[1] == again
    files = [await lent.node.releases.file(again.release_id, 0) for _ in range(3)]
    assert len({file.data for file in files}) == 1
    assert lent.grant.uses_left == 8


async def test_two_releases_of_the_same_data_differ(lent: Lent) -> None:
    one, two = await lent.prepared(), await lent.prepared()
    first, second = [await lent.node.releases.file(each.release_id, 0) for each in (one, two)]
    assert first.data != second.data
    assert first.prepared.mark_commitment != second.prepared.mark_commitment
    assert json.loads(first.data)["fields"] == json.loads(second.data)["fields"]


async def test_a_release_of_several_files_has_them_in_order(lent: Lent) -> None:
    table = Output(certificate=lent.certificate, format=OutputFormat.CSV, fields=("payments",), attachment="")
    line = Output(certificate=lent.certificate, format=OutputFormat.CSV, fields=JSON_FIELDS, attachment="")
    release = await lent.node.releases.request(lent.request(table, lent.json(), line), wait_s=30)
    assert [file.media_type for file in release.files] == ["text/csv", "application/json", "text/csv"]
    files = [(await lent.node.releases.file(release.release_id, n)).data.decode() for n in range(3)]
    assert "养老" in files[0]
    assert "养老" not in files[1] + files[2]
    assert "11010519491231002X" in files[2]


async def test_the_transactions_of_a_release_are_found_whatever_else_is_tried_on_it(lent: Lent) -> None:
    request = lent.request()
    release = await lent.node.releases.request(request, wait_s=30)
    for _ in range(3):
        await lent.node.submission.submit(lent.node.sign(SHOP, acknowledgement(release)), wait_s=30)
    found = await lent.node.releases.transactions_of(release.release_id)
    assert found.request == transaction_id(SUITE, request.body)
    assert found.prepare is not None
    assert lent.node.chain.locate(found.prepare) is not None
    with pytest.raises(NotFound):
        await lent.node.releases.transactions_of(bytes(8))


# --- nothing too early, nothing elsewhere, nothing too late ---


async def test_no_byte_leaves_before_prepared_is_final(lent: Lent) -> None:
    freeze_at(lent.node, "releases.requested")
    request = lent.request()
    release = await lent.node.releases.request(request, wait_s=0)
    assert release.state is ReleaseState.REQUESTED
    await pooled(lent.node, "releases", "prepare")
    assert files_of(lent.node) == [f"release-{release.release_id.hex()}-0"]
    with pytest.raises(ReleaseNotPrepared):
        await lent.node.releases.file(release.release_id, 0)
    lent.node.thaw()
    await lent.until(request, ReleaseState.PREPARED)
    assert (await lent.node.releases.file(release.release_id, 0)).data


async def test_what_is_not_there_is_not_found(lent: Lent) -> None:
    release = await lent.prepared()
    for index in (-1, 1, 10**9):
        with pytest.raises(NotFound):
            await lent.node.releases.file(release.release_id, index)
    with pytest.raises(NotFound):
        await lent.node.releases.file(bytes(8), 0)


async def test_another_nodes_release_is_neither_taken_nor_performed_nor_served(lent: Lent) -> None:
    elsewhere = lent.node.request_of(BANK, lent.grant_id, lent.json(), at=1)
    with pytest.raises(NotPerformedHere):
        await lent.node.releases.request(elsewhere, wait_s=0)
    await lent.node.submission.submit(elsewhere, wait_s=30)
    assert lent.release(elsewhere).state is ReleaseState.REQUESTED
    assert len(lent.node.releases._jobs) == 0
    with pytest.raises(NotPerformedHere):
        await lent.node.releases.file(lent.release(elsewhere).release_id, 0)


async def test_only_a_release_request_is_taken(lent: Lent) -> None:
    with pytest.raises(WrongCall):
        await lent.node.releases.request(lent.node.sign(LI, GrantsPause(grant_id=lent.grant_id)), wait_s=0)
    for args in (b"", b"\x90", codec.encode(GrantsPause(grant_id=lent.grant_id)), b"\xc1"):
        call = Call(contract="releases", method="request", args=args)
        with pytest.raises(DecodeError):
            await lent.node.releases.request(lent.node.sign(BANK, call), wait_s=0)
    assert len(lent.node.mempool) == 0


async def test_what_the_contract_refuses_is_told_with_its_code(lent: Lent) -> None:
    other = await lent.node.grant(SHOP, lent.draft)
    with pytest.raises(Denied) as caught:
        await lent.node.releases.request(lent.node.request_of(BANK, other, lent.json()), wait_s=30)
    assert caught.value.result.code == "not_grantee"
    assert len(lent.node.releases._jobs) == 0


async def test_after_the_keep_window_nothing_is_served_and_nothing_is_kept(lent: Lent) -> None:
    release = await lent.prepared()
    lent.node.now_ms = release.window_ends_ms - 1
    lent.node.releases.sweep()
    assert (await lent.node.releases.file(release.release_id, 0)).data
    lent.node.now_ms += 1
    with pytest.raises(ReleaseWindowOver):
        await lent.node.releases.file(release.release_id, 0)
    assert len(files_of(lent.node)) == 1
    lent.node.releases.sweep()
    assert lent.node.spool.names() == []


# --- what a recipient is told of marks ---


async def test_what_was_done_to_a_copy_is_told_as_long_as_it_is_kept(lent: Lent) -> None:
    release = await lent.prepared()
    told = await lent.node.releases.marks(release.release_id, 0)
    assert told is not None
    manifest = json.loads(told)
    assert manifest["carriers"]
    assert all(one["zh"] and one["en"] for one in manifest["differences"])
    assert await lent.node.releases.marks(release.release_id, 1) is None
    damage(lent.node)
    assert await lent.node.releases.marks(release.release_id, 0) is None
    await lent.node.releases.file(release.release_id, 0)
    assert await lent.node.releases.marks(release.release_id, 0) == told


async def test_a_copy_is_marked_as_its_type_says(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = lent.node.maker.schema

    def by_order_alone(certificate: Certificate) -> CertificateTypeSpec:
        return replace(schema(certificate), marks=MarksSpec(channels=("key_order",)))

    monkeypatch.setattr(lent.node.maker, "schema", by_order_alone)
    release = await lent.prepared()
    told = await lent.node.releases.marks(release.release_id, 0)
    assert told is not None
    assert set(json.loads(told)["carriers"]) == {"key_order"}
    document = json.loads((await lent.node.releases.file(release.release_id, 0)).data)
    assert document[COPY_REFERENCE] == COPY_REFERENCE_OF_ORIGINAL


# --- losses ---


def files_of(node: Node) -> list[str]:
    """Kept files, without what is said of their marks."""
    return [name for name in node.spool.names() if not name.endswith("-marks")]


def lose(node: Node) -> None:
    for name in node.spool.names():
        node.spool.delete(name)


def damage(node: Node) -> None:
    for name in node.spool.names():
        path = node.folder / "spool" / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def mix_up(node: Node) -> None:
    for name in node.spool.names():
        node.spool.put(name, b"another file")


@pytest.mark.parametrize("mishap", [lose, damage, mix_up])
async def test_a_kept_file_that_is_lost_is_made_again_byte_for_byte(
    lent: Lent, mishap: Callable[[Node], None]
) -> None:
    release = await lent.prepared()
    before = await lent.node.releases.file(release.release_id, 0)
    mishap(lent.node)
    after = await lent.node.releases.file(release.release_id, 0)
    assert after == before
    assert lent.node.spool.get(files_of(lent.node)[0]) == before.data


async def test_a_lost_file_stays_lost_when_the_grant_is_over_or_the_copy_was_acknowledged(lent: Lent) -> None:
    delivered, revoked = await lent.prepared(), await lent.prepared()
    await lent.node.send(BANK, acknowledgement(delivered))
    await lent.node.send(LI, GrantsRevoke(grant_id=lent.grant_id))
    assert (await lent.node.releases.file(revoked.release_id, 0)).data
    lose(lent.node)
    for release in (delivered, revoked):
        with pytest.raises(KeyRefused):
            await lent.node.releases.file(release.release_id, 0)


# --- interruptions ---


async def test_a_node_that_was_stopped_between_request_and_prepare_finds_its_work_again(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, populated=True) as node:
        lent = await lend(node)
        (tmp_path / "blobs").rename(tmp_path / "away")
        request = lent.request()
        release = await node.releases.request(request, wait_s=0)
        assert release.state is ReleaseState.REQUESTED
        head = node.chain.height
    (tmp_path / "away").rename(tmp_path / "blobs")
    async with running(tmp_path) as again:
        assert again.chain.height == head
        after = Lent(again, lent.draft, lent.grant_id)
        assert after.release(request).state is ReleaseState.REQUESTED
        await again.releases.resume()
        await after.until(request, ReleaseState.PREPARED)
        file = await again.releases.file(release.release_id, 0)
        assert SUITE.digest(file.data) == after.release(request).files[0].file_hash
        assert after.grant.uses_left == 8


async def test_a_prepare_that_was_under_way_at_the_stop_and_its_repetition_make_one_release(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, populated=True) as node:
        lent = await lend(node)
        freeze_at(node, "releases.requested")
        request = lent.request()
        await node.releases.request(request, wait_s=0)
        await pooled(node, "releases", "prepare")
        await eventually(lambda: bool(node.submission._promises))
    async with running(tmp_path, frozen=True) as again:
        after = Lent(again, lent.draft, lent.grant_id)
        assert len(again.mempool) == 1
        await again.releases.resume()
        await eventually(lambda: len(again.mempool) == 2)
        again.thaw()
        await again.until(lambda: len(again.mempool) == 0)
        release = after.release(request)
        assert release.state is ReleaseState.PREPARED
        await eventually(lambda: not again.releases._jobs)
        assert after.release(request) == release
        assert len(files_of(again)) == 1
        assert (await again.releases.file(release.release_id, 0)).prepared == release.files[0]
        assert after.grant.uses_left == 8


@pytest.mark.parametrize(
    ("stop", "state"), [(GrantsPause, GrantState.PAUSED), (GrantsRevoke, GrantState.REVOKED)]
)
async def test_what_is_stopped_before_it_is_opened_fails_and_returns_the_use(
    lent: Lent, impatient: None, stop: type[GrantsPause | GrantsRevoke], state: GrantState
) -> None:
    blobs = lent.node.folder / "blobs"
    blobs.rename(lent.node.folder / "away")
    request = lent.request()
    await lent.node.releases.request(request, wait_s=0)
    assert lent.grant.uses_left == 8
    await lent.node.send(LI, stop(grant_id=lent.grant_id))
    (lent.node.folder / "away").rename(blobs)
    release = await lent.until(request, ReleaseState.FAILED)
    assert release.failure == f"grant_{state.value}"
    assert lent.grant.state is state
    assert (lent.grant.uses_left, lent.grant.uses_reserved) == (9, 0)
    with pytest.raises(ReleaseNotPrepared):
        await lent.node.releases.file(release.release_id, 0)
    assert lent.node.spool.names() == []


@pytest.mark.parametrize("stop", [GrantsPause, GrantsRevoke])
async def test_what_is_stopped_after_it_was_marked_and_before_prepared_is_final_fails_too(
    lent: Lent, stop: type[GrantsPause | GrantsRevoke]
) -> None:
    node = lent.node
    freeze_at(node, "releases.requested")
    request = lent.request()
    await node.releases.request(request, wait_s=0)
    prepare = await pooled(node, "releases", "prepare")
    overtaken = node.mempool.remove(prepare)
    assert overtaken is not None
    node.pool(node.sign(LI, stop(grant_id=lent.grant_id)), overtaken.transaction)
    node.thaw()
    release = await lent.until(request, ReleaseState.FAILED)
    assert release.failure == "grant_not_active"
    assert (lent.grant.uses_left, lent.grant.uses_reserved) == (9, 0)
    await eventually(lambda: not node.releases._jobs)
    assert node.spool.names() == []


async def test_a_busy_pool_delays_a_release_and_does_not_fail_it(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = PoolLimits(transactions_max=2)
    async with running(tmp_path, populated=False, pool=pool) as node:
        node.mempool._limits = PoolLimits()
        node.populate()
        node.mempool._limits = pool
        lent = await lend(node)
        freeze_at(node, "releases.requested")
        request = lent.request()
        others = [node.sign(LI, GrantsPause(grant_id=bytes([n]) * 16)) for n in range(2)]

        def fill(_final: object) -> None:
            if node.frozen:
                node.pool(*others[len(node.mempool) :])

        node.services.append(fill)
        refused: list[Busy] = []
        submit = node.account.submit

        async def counted(args: Args) -> TransactionStatus:
            try:
                return await submit(args)
            except Busy as error:
                refused.append(error)
                raise

        monkeypatch.setattr(node.account, "submit", counted)
        await node.releases.request(request, wait_s=0)
        await eventually(lambda: len(refused) > 2)
        assert lent.release(request).state is ReleaseState.REQUESTED
        node.services.pop()
        node.thaw()
        await lent.until(request, ReleaseState.PREPARED)


@pytest.mark.parametrize("at", ["first file", "second file", "submit", "prepared"])
async def test_a_node_killed_at_any_durable_step_makes_the_same_release_and_costs_one_use(
    tmp_path: Path, at: str
) -> None:
    async with running(tmp_path, populated=True) as node:
        lent = await lend(node)
        line = Output(
            certificate=lent.certificate, format=OutputFormat.CSV, fields=JSON_FIELDS, attachment=""
        )
        request = lent.request(lent.json(), line)
        killed = asyncio.Event()
        put, submit, kept = node.spool.put, node.account.submit, 0

        async def gone() -> None:
            killed.set()
            await asyncio.Event().wait()

        async def submit_or_die(args: Args) -> TransactionStatus:
            if at == "submit":
                await gone()
            status = await submit(args)
            if at == "prepared":
                await gone()
            return status

        def put_or_die(name: str, data: bytes) -> None:
            nonlocal kept
            whole = not name.endswith("-marks")
            kept += whole
            if whole and at == ("first file", "second file")[kept - 1]:
                loop.call_soon_threadsafe(killed.set)
                raise asyncio.CancelledError
            put(name, data)

        loop = asyncio.get_running_loop()
        node.spool.put = put_or_die  # type: ignore[method-assign]
        node.account.submit = submit_or_die  # type: ignore[method-assign]
        await node.releases.request(request, wait_s=0)
        await killed.wait()
        before = {name: node.spool.get(name) for name in files_of(node)}
        assert len(before) == {"first file": 0, "second file": 1}.get(at, 2)
    async with running(tmp_path) as again:
        after = Lent(again, lent.draft, lent.grant_id)
        await again.releases.resume()
        release = await after.until(request, ReleaseState.PREPARED)
        await eventually(lambda: not again.releases._jobs)
        files = [(await again.releases.file(release.release_id, n)).data for n in range(2)]
        assert [SUITE.digest(data) for data in files] == [file.file_hash for file in release.files]
        for name, data in before.items():
            assert files[int(name[-1])] == data
        assert (after.grant.uses_left, after.grant.uses_reserved) == (8, 0)


async def test_a_release_whose_node_never_acts_fails_by_its_deadline_and_returns_the_use(lent: Lent) -> None:
    node = lent.node
    elsewhere = node.request_of(BANK, lent.grant_id, lent.json(), at=1)
    await node.submission.submit(elsewhere, wait_s=30)
    assert (lent.grant.uses_left, lent.grant.uses_reserved) == (8, 1)
    node.now_ms = lent.release(elsewhere).deadline_ms + 60_000
    await node.account.submit(DeadlinesTick())
    assert (lent.release(elsewhere).state, lent.release(elsewhere).failure) == (
        ReleaseState.FAILED,
        "deadline",
    )
    assert (lent.grant.uses_left, lent.grant.uses_reserved) == (9, 0)


async def test_a_release_that_nobody_acknowledges_is_closed_and_its_file_destroyed(lent: Lent) -> None:
    node, release = lent.node, await lent.prepared()
    await eventually(lambda: not node.releases._jobs)
    assert len(files_of(node)) == 1
    node.now_ms = release.window_ends_ms + 60_000
    await node.account.submit(DeadlinesTick())
    closed = node.chain.records.release(release.release_id)
    assert closed is not None
    assert closed.state is ReleaseState.CLOSED
    await eventually(lambda: node.spool.names() == [])
    with pytest.raises(ReleaseWindowOver):
        await node.releases.file(release.release_id, 0)
    assert lent.grant.uses_left == 8


async def test_the_file_of_an_erased_record_is_destroyed_before_its_window_ends(lent: Lent) -> None:
    """It lay in the spool, and was served, until the recipient's time was over."""
    release = await lent.node.releases.request(lent.request(lent.json()), wait_s=30)
    await lent.node.releases.file(release.release_id, 0)
    erase = CertificatesErase(certificate_id=lent.certificate, reason="asked_by_holder")
    await lent.node.send(DEPARTMENT, erase)
    await eventually(lambda: not lent.node.spool.names())
    with pytest.raises(ReleaseErased):
        await lent.node.releases.file(release.release_id, 0)


async def test_a_full_disk_delays_a_release_and_does_not_fail_it(
    lent: Lent, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given up for good at the first file that could not be written."""
    tries: list[str] = []
    free = DISK_KEPT_FREE_BYTES

    def usage(_folder: object) -> object:
        tries.append("look")
        return SimpleNamespace(free=free)

    monkeypatch.setattr(spool, "shutil", SimpleNamespace(disk_usage=usage))
    request = lent.request()
    await lent.node.releases.request(request, wait_s=0)
    await eventually(lambda: len(tries) > 2)
    assert lent.release(request).state is ReleaseState.REQUESTED
    assert lent.node.spool.names() == []
    free = 2 * DISK_KEPT_FREE_BYTES
    release = await lent.until(request, ReleaseState.PREPARED)
    assert (await lent.node.releases.file(release.release_id, 0)).data
    assert lent.grant.uses_left == 8


async def test_a_disk_that_cannot_be_written_delays_a_release_too(
    lent: Lent, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    write = spool.write_file

    def broken(path: Path, data: bytes, **options: bool) -> None:
        tries.append(path.name)
        if len(tries) < 3:
            raise FileUnusable(path=str(path), reason="No space left on device")
        write(path, data, **options)

    monkeypatch.setattr(spool, "write_file", broken)
    release = await lent.node.releases.request(lent.request(), wait_s=30)
    assert release.state is ReleaseState.PREPARED
    assert len([name for name in tries if not name.endswith("-marks")]) == 1
    assert len(tries) == 4


async def test_strange_files_in_the_spool_and_a_broken_disk_stop_no_sweep(lent: Lent) -> None:
    """A sweep that raises stops the node."""
    release = await lent.prepared()
    folder = lent.node.folder / "spool"
    for name in ("release-", "release-xyz-0", "release-00-0", "notes.txt"):
        (folder / name).write_bytes(b"")
    (folder / f"release-{release.release_id.hex()}-1").mkdir()
    lent.node.now_ms = release.window_ends_ms
    lent.node.releases.sweep()
    assert f"release-{release.release_id.hex()}-0" not in lent.node.spool.names()
    assert "notes.txt" in lent.node.spool.names()


async def test_sixty_four_releases_at_once_are_sixty_four_files_and_uses(lent: Lent) -> None:
    grant_id = await lent.node.grant(BANK, lent.draft, uses_max=64)
    requests = [lent.node.request_of(BANK, grant_id, lent.json()) for _ in range(64)]
    made = await asyncio.gather(*(lent.node.releases.request(one, wait_s=60) for one in requests))
    assert {release.state for release in made} == {ReleaseState.PREPARED}
    files = [(await lent.node.releases.file(release.release_id, 0)).data for release in made]
    assert len(set(files)) == 64
    grant = lent.node.chain.records.grant(grant_id)
    assert grant is not None
    assert (grant.uses_left, grant.uses_reserved) == (0, 0)


# --- the holders ---


async def test_all_parts_of_a_release_are_asked_for_in_one_ask_of_each_holder(lent: Lent) -> None:
    table = Output(certificate=lent.certificate, format=OutputFormat.CSV, fields=("payments",), attachment="")
    lent.node.operators.asked.clear()
    await lent.node.releases.request(lent.request(lent.json(), table), wait_s=30)
    for kind in ("release", "release_marks"):
        asked = [peer for peer, payload in lent.node.operators.asked if decode_ask(payload[1:]).kind == kind]
        assert sorted(asked) == sorted(ACCOUNTS[1:])


async def test_a_forged_share_names_its_node_and_the_release_still_succeeds(lent: Lent) -> None:
    liar = ACCOUNTS[2]

    def forge(peer: bytes, _payload: bytes, answer: bytes) -> bytes:
        given = decode_answer(answer)
        if peer != liar or not isinstance(given, ShareAnswer):
            return answer
        shares = tuple(replace(share, element=GROUP.generator.encode()) for share in given.shares)
        return codec.encode(ShareAnswer(shares=shares))

    operators = lent.node.operators
    operators.between = forge
    await lent.prepared()
    operators.silent = {ACCOUNTS[3]}
    operators.accused.clear()
    request = lent.request()
    await lent.node.releases.request(request, wait_s=0)
    await eventually(lambda: operators.accused == [liar])
    operators.silent = set()
    await lent.until(request, ReleaseState.PREPARED)


async def test_a_release_waits_for_absent_holders_and_does_not_fail(lent: Lent, impatient: None) -> None:
    operators = lent.node.operators
    operators.silent = set(ACCOUNTS[2:])
    request = lent.request()
    await lent.node.releases.request(request, wait_s=0)
    await eventually(lambda: len(operators.asked) >= 6)
    assert lent.release(request).state is ReleaseState.REQUESTED
    operators.silent = set()
    await lent.until(request, ReleaseState.PREPARED)
    assert lent.grant.uses_left == 8


# --- what cannot be handed out ---


async def test_an_attachment_in_another_format_fails_and_returns_the_use(lent: Lent) -> None:
    as_pdf = Output(certificate=lent.certificate, format=OutputFormat.PDF, fields=(), attachment="card")
    release = await lent.node.releases.request(lent.request(as_pdf), wait_s=30)
    assert (release.state, release.failure) == (ReleaseState.FAILED, "verification_failed")
    assert lent.grant.uses_left == 9


async def test_a_file_that_cannot_be_marked_fails_with_the_reason_and_returns_the_use(lent: Lent) -> None:
    picture = Output(certificate=lent.certificate, format=OutputFormat.PNG, fields=(), attachment="card")
    release = await lent.node.releases.request(lent.request(lent.json(), picture), wait_s=30)
    assert (release.state, release.failure) == (ReleaseState.FAILED, "media_malformed")
    assert lent.grant.uses_left == 9
    await eventually(lambda: not lent.node.releases._jobs)
    assert lent.node.spool.names() == []


async def test_a_record_that_names_a_part_twice_is_not_believed(lent: Lent) -> None:
    """The root takes the last part of a name; a forger would have the first one opened."""
    node = lent.node
    true = PlainField(name="name", salt=identity("salt"), value=codec.encode("张三"))
    forged = PlainField(name="name", salt=identity("other salt"), value=codec.encode("李鬼"))
    certificate = node.chain.records.certificate(lent.certificate)
    assert certificate is not None

    def manifest(field: PlainField) -> Manifest:
        sealed = seal_record(SUITE, node.keys, certificate.certificate_id, (field,), ())
        return decode_manifest(sealed.blobs[sealed.payload_hash])

    honest = seal_record(SUITE, node.keys, certificate.certificate_id, (true,), ())
    both = replace(manifest(true), parts=(manifest(forged).parts[0], *manifest(true).parts))
    payload_hash = node.blobs.put(codec.encode(both))
    claimed = {
        **{name: getattr(certificate, name) for name in certificate.__struct_fields__},
        "payload_hash": payload_hash,
        "commitment_root": honest.commitment_root,
    }
    with pytest.raises(VerificationFailed, match="twice"):
        await node.reader.manifest(type(certificate)(**claimed))
