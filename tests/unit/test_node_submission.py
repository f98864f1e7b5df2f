"""From a signed transaction to its result: accepted means durable, once means once, and every wait ends."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

import node.poollog
from contracts.admission import (
    Expired,
    LifetimeTooLong,
    TooLarge,
    TransactionSignatureInvalid,
    UnknownAccount,
    UnknownKey,
    WrongNetwork,
)
from contracts.calls import DeadlinesTick
from contracts.state import ACCOUNTS
from ledger import codec
from ledger.errors import Busy, LedgerError, LimitExceeded, NotFound, Unavailable
from ledger.hashing import sign_transaction, transaction_id
from ledger.store_records import NotHeld
from ledger.types import Call, Transaction, TransactionBody
from node import gossip_messages
from node.gossip import GossipFault, Verdict
from node.gossip_messages import Push
from node.mempool import PoolLimits
from node.poollog import PoolLog
from node.services.ports import Standing
from tests.unit.contracts_world import BANK, LI, NODES, SUITE, Actor
from tests.unit.node_world import Node, eventually, running


def tick(at: Node, lifetime_ms: int = 60_000, who: Actor = NODES[0]) -> Transaction:
    return at.sign(who, DeadlinesTick(), lifetime_ms=lifetime_ms)


def name_of(transaction: Transaction) -> bytes:
    return transaction_id(SUITE, transaction.body)


def from_peer(here: Node, *encoded: bytes) -> None:
    """A peer that knows these transactions sends them."""
    here.submission.receive(here.peers[0], gossip_messages.encode(Push(transactions=encoded)))


def logged(folder: Path) -> list[bytes]:
    """What a restart would find in the pool log."""
    copy = folder / "copy.log"
    copy.write_bytes((folder / "pool.log").read_bytes())
    log = PoolLog(copy)
    log.close()
    return log.recovered()


class Disk:
    """The disk under the pool log: its syncs wait until they are let go, or fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = asyncio.Event()
        self.let_go = threading.Event()
        self.failures = 0
        self._loop = asyncio.get_running_loop()
        self._sync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def fdatasync(self, descriptor: int) -> None:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self.let_go.wait(30)
        if self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        self._sync(descriptor)


async def test_nobody_hears_accepted_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        disk = Disk(monkeypatch)
        sent = tick(here)
        first = asyncio.create_task(here.submission.submit(sent, wait_s=0))
        await disk.entered.wait()
        again = asyncio.create_task(here.submission.submit(sent, wait_s=0))
        await asyncio.sleep(0)
        assert not first.done()
        assert not again.done()
        assert here.spread == []
        disk.let_go.set()
        for status in await asyncio.gather(first, again):
            assert status.standing is Standing.PENDING
        assert here.spread[0] == codec.encode(sent)
        assert set(logged(tmp_path)) == {codec.encode(sent)}


async def test_the_same_transaction_twice_takes_effect_once(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent = tick(here)
        for _ in range(3):
            assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
        assert len(here.mempool) == 1
        assert logged(tmp_path) == [codec.encode(sent)]
        assert here.spread == [codec.encode(sent)]
        here.thaw()
        done = await asyncio.gather(*(here.submission.submit(sent, wait_s=30) for _ in range(3)))
        assert {status.location for status in done} == {here.submission.status(name_of(sent)).location}
        assert len([final for final in here.finalized if final.executed.results]) == 1
        assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.FINALIZED


async def test_what_a_peer_brought_first_is_promised_only_after_it_is_durable_here(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent = tick(here)
        from_peer(here, codec.encode(sent))
        assert logged(tmp_path) == []
        assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
        assert logged(tmp_path) == [codec.encode(sent)]


async def test_a_wait_ends_with_the_result(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        status = await here.submission.submit(tick(here), wait_s=30)
        assert status.standing is Standing.FINALIZED
        assert status.result is not None
        assert status.result.code == "ok"
        assert status.location is not None
        assert status.time_ms == here.finalized[-1].executed.header.time_ms


async def test_a_wait_ends_when_block_time_has_passed_the_transaction(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        sent = tick(here, lifetime_ms=500)
        status = await here.submission.submit(sent, wait_s=30)
        assert status.standing is Standing.EXPIRED
        assert status.result is None
        assert len(here.mempool) == 0
        assert (await here.submission.submit(sent, wait_s=30)).standing is Standing.EXPIRED


async def test_a_wait_that_is_over_first_says_pending(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent = tick(here)
        assert (await here.submission.submit(sent, wait_s=0.001)).standing is Standing.PENDING
        assert here.submission._waiters == {}
        here.thaw()
        assert (await here.submission.submit(sent, wait_s=30)).standing is Standing.FINALIZED


async def test_a_promise_stands_until_block_time_decides_whatever_the_clock_says(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent = tick(here, lifetime_ms=1_500)
        await here.submission.submit(sent, wait_s=0)
        here.now_ms += 3_600_000
        assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
        assert here.spread == [codec.encode(sent)]


async def test_nobody_knows_a_transaction_that_was_never_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        with pytest.raises(NotFound):
            here.submission.status(bytes(32))


async def test_what_was_promised_is_carried_out_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        done = await here.submission.submit(first := tick(here), wait_s=0)
        assert done.standing is Standing.PENDING
        here.thaw()
        await here.submission.submit(first, wait_s=30)
        here.frozen = True
        late = tick(here, lifetime_ms=500)
        promised = tick(here)
        for transaction in (late, promised):
            await here.submission.submit(transaction, wait_s=0)
    async with running(tmp_path, frozen=True) as again:
        assert again.submission.status(name_of(first)).standing is Standing.FINALIZED
        for transaction in (late, promised):
            assert again.submission.status(name_of(transaction)).standing is Standing.PENDING
        again.thaw()
        assert (await again.submission.submit(promised, wait_s=30)).standing is Standing.FINALIZED
        assert (await again.submission.submit(late, wait_s=30)).standing is Standing.EXPIRED


async def test_a_promise_is_not_held_against_the_clock_at_restart(tmp_path: Path) -> None:
    """Only block time decides that a transaction has expired: others may include it still."""
    async with running(tmp_path, frozen=True) as here:
        sent = tick(here, lifetime_ms=1_500)
        await here.submission.submit(sent, wait_s=0)
    again = Node(tmp_path)
    again.now_ms += 3_600_000
    assert again.submission.recover(again.pool_log.recovered()) == 1
    assert again.submission.status(name_of(sent)).standing is Standing.PENDING
    again.step()
    assert again.submission.status(name_of(sent)).standing is Standing.EXPIRED
    await again.index.close()
    again.pool_log.close()
    again.close()


async def test_rubbish_in_the_log_costs_no_promise(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        good = tick(here)
        kept = codec.encode(good)
        forged = codec.encode(Transaction(body=tick(here).body, signature=good.signature))
        assert here.submission.recover([b"", b"\xc1", forged, kept, kept]) == 1
        assert len(here.mempool) == 1


async def test_a_full_pool_says_busy_and_promises_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True, pool=PoolLimits(transactions_max=1)) as here:
        await here.submission.submit(tick(here), wait_s=0)
        refused = tick(here)
        with pytest.raises(Busy):
            await here.submission.submit(refused, wait_s=0)
        assert len(logged(tmp_path)) == 1
        with pytest.raises(NotFound):
            here.submission.status(name_of(refused))
        from_peer(here, codec.encode(refused))
        assert len(here.mempool) == 1


async def test_the_reason_why_a_transaction_is_inadmissible_passes_through(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        good = tick(here)
        hour_ms = 3_600_000

        def changed(**changes: object) -> Transaction:
            fields = {name: getattr(good.body, name) for name in good.body.__struct_fields__}
            return sign_transaction(SUITE, NODES[0].signer, TransactionBody(**{**fields, **changes}))

        big = Call(contract="deadlines", method="tick", args=b"x" * 65_500)
        cases: list[tuple[type[LedgerError], Transaction]] = [
            (UnknownAccount, tick(here, who=LI)),
            (UnknownKey, changed(key_id=BANK.key_id)),
            (WrongNetwork, changed(chain_id=bytes(32))),
            (Expired, changed(valid_until_ms=here.now_ms - 1)),
            (LifetimeTooLong, changed(valid_until_ms=here.now_ms + hour_ms)),
            (TransactionSignatureInvalid, Transaction(body=good.body, signature=b"\1" * 64)),
            (LimitExceeded, changed(call=big)),
        ]
        for expected, transaction in cases:
            with pytest.raises(expected):
                await here.submission.submit(transaction, wait_s=0)
        assert TooLarge.code == "too_large"
        assert len(here.mempool) == 0
        assert logged(tmp_path) == []
        assert here.spread == []


async def test_a_peers_good_transaction_is_carried_and_not_sent_on(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        sent = tick(here)
        from_peer(here, codec.encode(sent))
        await here.until(lambda: here.chain.locate(name_of(sent)) is not None)
        from_peer(here, codec.encode(sent))
        assert len(here.mempool) == 0
        assert here.spread == []


async def test_a_peers_rubbish_is_its_fault_and_what_is_good_in_it_is_not_lost(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        good = codec.encode(tick(here))
        cut = [good[:size] for size in range(1, len(good))]
        flipped = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
        verdicts = {here.submission.take(payload)[1] for payload in (*cut, good + b"\0", b"\xc1" * 60_000)}
        assert verdicts == {Verdict.FORGED}
        for payload in flipped:
            assert here.submission.take(payload)[1] not in {Verdict.TAKEN, Verdict.KNOWN}
        assert len(here.mempool) == 0
        for payload in (gossip_messages.encode(Push(transactions=(cut[-1],))), b"", b"\xc1" * 200_000):
            with pytest.raises(GossipFault):
                here.submission.receive(here.peers[0], payload)
        from_peer(here, good)
        assert len(here.mempool) == 0
        other = here.peers[1]
        here.submission.receive(other, gossip_messages.encode(Push(transactions=(good,))))
        assert len(here.mempool) == 1


class Unreadable:
    """A state whose accounts no longer read as accounts."""

    def get(self, key: bytes) -> bytes | None:
        return b"\xc1" if key.startswith(ACCOUNTS.prefix) else None


async def test_a_state_that_cannot_be_read_here_is_no_fault_of_the_peer_who_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent = codec.encode(tick(here))
        with monkeypatch.context() as patched:
            patched.setattr(here.chain, "executed_state", Unreadable)
            assert here.submission.take(sent)[1] is Verdict.LATER
            assert len(here.mempool) == 0
        assert here.submission.take(sent)[1] is Verdict.TAKEN


async def test_a_refusal_to_a_client_is_said_by_what_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        stranger = here.sign(NODES[0], DeadlinesTick())
        stranger = replace(stranger, body=replace(stranger.body, account=b"\x07" * 16))
        read: list[bytes] = []
        proven = type(here.chain.records).get

        def get(records: object, key: bytes) -> bytes | None:
            read.append(key)
            return proven(here.chain.records, key)

        monkeypatch.setattr(type(here.chain.records), "get", get)
        with pytest.raises(UnknownAccount):
            await here.submission.submit(stranger, wait_s=0)
        assert ACCOUNTS.key(b"\x07" * 16) in read


async def test_a_disk_that_fails_is_reported_and_nothing_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        earlier, sent = tick(here), tick(here)
        await here.submission.submit(earlier, wait_s=0)
        disk = Disk(monkeypatch)
        disk.let_go.set()
        disk.failures = 1
        with pytest.raises(Unavailable) as caught:
            await here.submission.submit(sent, wait_s=0)
        assert caught.value.fields["what"] == "pool log"
        assert codec.encode(sent) not in here.spread
        # A disk that failed says so once: what is acknowledged now must not rest on what it may have dropped.
        entered = disk.entered = asyncio.Event()
        assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
        assert not entered.is_set()
        assert logged(tmp_path) == [codec.encode(earlier), codec.encode(sent)]
        await eventually(lambda: codec.encode(sent) in here.spread)  # with the next batch


async def test_a_record_written_in_part_is_reported_and_harms_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        sent, later = tick(here), tick(here)

        class FullDisk:
            def __init__(self, file: object) -> None:
                self.file = file

            def write(self, data: bytes) -> int:
                return int(self.file.write(data[:7]))  # type: ignore[attr-defined]

            def fileno(self) -> int:
                return int(self.file.fileno())  # type: ignore[attr-defined]

            def close(self) -> None:
                self.file.close()  # type: ignore[attr-defined]

        monkeypatch.setattr(here.pool_log, "_file", FullDisk(here.pool_log._file))
        with pytest.raises(Unavailable):
            await here.submission.submit(sent, wait_s=0)
        await here.submission.submit(later, wait_s=0)
        assert logged(tmp_path) == [codec.encode(later)]


async def test_a_caller_who_goes_away_during_the_sync_leaves_the_others_their_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        disk = Disk(monkeypatch)
        disk.failures = 1
        gone = asyncio.create_task(here.submission.submit(tick(here), wait_s=0))
        await disk.entered.wait()
        other = asyncio.create_task(here.submission.submit(tick(here), wait_s=0))
        await asyncio.sleep(0)
        gone.cancel()
        disk.let_go.set()
        assert (await other).standing is Standing.PENDING
        with pytest.raises(asyncio.CancelledError):
            await gone


async def test_the_log_forgets_what_is_decided_and_keeps_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as here:
        monkeypatch.setattr(node.poollog, "LOG_SIZE_BYTES_BEFORE_REWRITE", 1000)
        for _ in range(20):
            await here.submission.submit(tick(here), wait_s=30)
            assert (tmp_path / "pool.log").stat().st_size < 2000
        here.frozen = True
        pending = [tick(here) for _ in range(20)]
        for transaction in pending:
            await here.submission.submit(transaction, wait_s=0)
        found = logged(tmp_path)
        assert [item for item in found if item in {codec.encode(one) for one in pending}] == [
            codec.encode(one) for one in pending
        ]


async def test_a_rewrite_keeps_what_became_durable_a_moment_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was synced was dropped when the log was rewritten before its client's task had run again."""
    async with running(tmp_path, frozen=True) as here:
        disk = Disk(monkeypatch)
        first, second = tick(here), tick(here)
        tasks = [asyncio.create_task(here.submission.submit(first, wait_s=0))]
        await disk.entered.wait()
        monkeypatch.setattr(node.poollog, "LOG_SIZE_BYTES_BEFORE_REWRITE", 0)
        tasks.append(asyncio.create_task(here.submission.submit(second, wait_s=0)))
        await asyncio.sleep(0)
        disk.let_go.set()
        await asyncio.gather(*tasks)
        assert set(logged(tmp_path)) == {codec.encode(first), codec.encode(second)}


async def test_a_client_who_goes_away_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, frozen=True) as here:
        disk = Disk(monkeypatch)
        sent = tick(here)
        gone = asyncio.create_task(here.submission.submit(sent, wait_s=0))
        await disk.entered.wait()
        gone.cancel()
        disk.let_go.set()
        await here.submission._promises.stop()
        assert here.spread == [codec.encode(sent)]
        assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
        assert logged(tmp_path) == [codec.encode(sent)]


async def test_no_bound_of_the_pool_keeps_out_what_was_promised_before_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True) as here:
        promised = [tick(here) for _ in range(3)]
        for transaction in promised:
            await here.submission.submit(transaction, wait_s=0)
    async with running(tmp_path, frozen=True, pool=PoolLimits(transactions_max=1)) as again:
        assert len(again.mempool) == 3
        again.sent = len(promised)
        with pytest.raises(Busy):
            await again.submission.submit(tick(again), wait_s=0)


async def test_a_repetition_and_a_full_pool_cost_no_signature_check(tmp_path: Path) -> None:
    async with running(tmp_path, frozen=True, pool=PoolLimits(transactions_max=1)) as here:
        sent, refused = tick(here), tick(here)
        await here.submission.submit(sent, wait_s=0)

        def check(*_args: object) -> bool:
            raise AssertionError("a signature was checked")

        here.submission._verify = check  # type: ignore[assignment]
        for _ in range(100):
            assert (await here.submission.submit(sent, wait_s=0)).standing is Standing.PENDING
            from_peer(here, codec.encode(sent))
        with pytest.raises(Busy):
            await here.submission.submit(refused, wait_s=0)
        from_peer(here, codec.encode(refused))
        other = Transaction(body=sent.body, signature=b"\1" * 64)
        assert (await here.submission.submit(other, wait_s=0)).standing is Standing.PENDING
        assert here.mempool.get(name_of(sent)).encoded == codec.encode(sent)  # type: ignore[union-attr]


async def test_a_node_whose_history_began_with_a_snapshot_calls_nothing_expired_that_may_have_been_in_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as here:
        included = tick(here)
        await here.submission.submit(included, wait_s=30)
        late = tick(here, lifetime_ms=500)
        await here.submission.submit(late, wait_s=30)
    again = Node(tmp_path)
    monkeypatch.setattr(type(again.chain), "first_height", property(lambda _self: 2))
    monkeypatch.setattr(again.chain, "locate", lambda _name: None)
    assert again.submission.recover(again.pool_log.recovered()) == 0
    for transaction in (included, late):
        with pytest.raises(NotHeld):
            again.submission.status(name_of(transaction))
    with pytest.raises(NotHeld):
        await again.submission.submit(late, wait_s=0)
    await again.index.close()
    again.pool_log.close()
    again.close()
