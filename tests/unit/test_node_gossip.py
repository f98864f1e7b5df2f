"""The gossip of one node, rule by rule and past each of its bounds: events in, messages out, time as an argument."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import codec
from ledger.errors import DecodeError, LedgerError, LimitExceeded
from ledger.hashing import transaction_id
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Call, Transaction, TransactionBody
from network.frames import PAYLOAD_BYTES_MAX, Channel
from node import gossip, gossip_asks, gossip_messages
from node.dissemination import Dissemination
from node.gossip import Gossip, GossipFault, Sent, Verdict
from node.gossip_asks import ASK_MS, FAILURE_KEPT_MS, LATER_MS, Asks
from node.gossip_messages import IDS_MAX, Answer, Offer, Push
from node.mempool import Mempool, PoolLimits
from tests.suites import suite_under_test

SUITE = suite_under_test()
A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def transaction(number: int, size_bytes: int = 0) -> Transaction:
    body = TransactionBody(
        chain_id=bytes(32),
        account=b"z" * 16,
        key_id=bytes(16),
        nonce=number.to_bytes(16, "big"),
        valid_until_ms=1_000,
        call=Call(contract="deadlines", method="tick", args=bytes(size_bytes)),
    )
    return Transaction(body=body, signature=b"s")


def name_of(item: Transaction) -> bytes:
    return transaction_id(SUITE, item.body)


class Here:
    """A pool and what this node makes of transactions; everything is admissible unless said otherwise."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self.pool = Mempool(limits or PoolLimits(per_account_max=10**6))
        self.verdict = Verdict.TAKEN
        self.decided: set[bytes] = set()
        self.taken = 0
        self.gossip = Gossip(self.pool, self)

    def settled(self, transaction_id: bytes) -> bool:
        return transaction_id in self.pool or transaction_id in self.decided

    def take(self, encoded: bytes) -> tuple[bytes, Verdict]:
        self.taken += 1
        item = codec.decode(encoded, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX)
        if self.settled(name_of(item)):
            return name_of(item), Verdict.KNOWN
        if self.verdict is Verdict.TAKEN:
            self.pool.add(name_of(item), item)
        return name_of(item), self.verdict

    def promise(self, item: Transaction, now_ms: int) -> list[Sent]:
        self.pool.add(name_of(item), item)
        return self.gossip.promised(name_of(item), now_ms)


def names(count: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(32, "big") for number in range(count))


def offered(sent: list[Sent]) -> list[bytes]:
    return [name for _, message in sent if isinstance(message, Offer) for name in message.ids]


def push_of(*items: Transaction) -> Push:
    return Push(transactions=tuple(codec.encode(item) for item in items))


# --- messages -----------------------------------------------------------------------------------------------


def test_every_message_is_read_back_and_fits_its_channel() -> None:
    full = Push(transactions=(bytes(TRANSACTION_SIZE_BYTES_MAX),) * 2)
    small = Push(transactions=(b"x" * 120,) * gossip_messages.PUSH_TRANSACTIONS_MAX)
    for message in (
        full,
        small,
        Offer(ids=names(IDS_MAX)),
        Answer(settled=names(IDS_MAX), wanted=names(IDS_MAX)),
    ):
        payload = gossip_messages.encode(message)
        assert gossip_messages.decode(payload) == message
        assert len(payload) <= gossip_messages.MESSAGE_SIZE_BYTES_MAX
    assert PAYLOAD_BYTES_MAX[Channel.TRANSACTIONS] >= gossip_messages.MESSAGE_SIZE_BYTES_MAX


@pytest.mark.parametrize(
    "value",
    [
        [1, []],
        [1, [b""]],
        [1, [b"x"] * (gossip_messages.PUSH_TRANSACTIONS_MAX + 1)],
        [1, [bytes(TRANSACTION_SIZE_BYTES_MAX + 1)]],
        [2, []],
        [2, [bytes(31)]],
        [2, list(names(IDS_MAX + 1))],
        [3, [], list(names(IDS_MAX + 1))],
        [3, []],
        [4, []],
        [2, [bytes(32)], 0],
    ],
)
def test_what_passes_a_bound_is_no_message(value: object) -> None:
    with pytest.raises(DecodeError):
        gossip_messages.decode(codec.encode(value))


def test_a_message_over_the_size_bound_is_not_even_parsed() -> None:
    with pytest.raises(LimitExceeded):
        gossip_messages.decode(bytes(gossip_messages.MESSAGE_SIZE_BYTES_MAX + 1))


@given(st.binary(max_size=300))
def test_rubbish_is_refused_with_an_error_of_ours(data: bytes) -> None:
    try:
        message = gossip_messages.decode(data)
    except LedgerError:
        return
    assert gossip_messages.encode(message) == data


# --- pushing ------------------------------------------------------------------------------------------------


def test_the_first_goes_out_at_once_and_what_follows_within_the_window_together() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    items = [transaction(number) for number in range(4)]
    assert here.promise(items[0], 100) == [(A, push_of(items[0]))]
    for item in items[1:]:
        assert here.promise(item, 101) == []
    assert here.gossip.next_due_ms() == 100 + gossip.BATCH_MS
    assert here.gossip.tick(100 + gossip.BATCH_MS) == [(A, push_of(*items[1:]))]


def test_no_push_is_larger_than_its_bounds() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.promise(transaction(0), 0)
    for number in range(1, 8):
        here.promise(transaction(number, 50_000), 1)
    for number in range(8, 8 + gossip_messages.PUSH_TRANSACTIONS_MAX + 1):
        here.promise(transaction(number), 1)
    pushes = [message for _, message in here.gossip.tick(gossip.BATCH_MS) if isinstance(message, Push)]
    assert sum(len(push.transactions) for push in pushes) == 8 + gossip_messages.PUSH_TRANSACTIONS_MAX
    for push in pushes:
        gossip_messages.decode(gossip_messages.encode(push))


def test_a_connection_that_takes_no_more_is_left_in_peace_and_offered_it_later() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    item = transaction(1)
    ((_, message),) = here.promise(item, 0)
    assert here.gossip.reached(name_of(item)) == {A}
    here.gossip.unsent(A, message, 0)
    assert here.gossip.reached(name_of(item)) == set()
    assert here.promise(transaction(2), gossip.BATCH_MS) == []
    assert len(offered(here.gossip.tick(gossip.OFFER_PAUSE_MS + gossip.BATCH_MS))) == 2


# --- offering -----------------------------------------------------------------------------------------------


def test_offers_are_repeated_with_growing_pauses_until_they_are_answered() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.promise(transaction(1), 0)
    times = [now for now in range(1, 20_000) if offered(here.gossip.tick(now))]
    assert times[:6] == [500, 1_000, 2_000, 4_000, 8_000, 12_000]
    here.gossip.received(A, Answer(settled=(name_of(transaction(1)),), wanted=()), 20_000)
    assert not any(offered(here.gossip.tick(now)) for now in range(20_000, 40_000, 50))


def test_what_is_decided_is_offered_no_more_and_no_timer_is_left() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.promise(transaction(1), 0)
    here.pool.remove(name_of(transaction(1)))
    here.gossip.decided([name_of(transaction(1))])
    assert here.gossip.tick(1_000) == []
    assert here.gossip.next_due_ms() is None
    assert here.gossip.received(A, Answer(settled=(), wanted=(name_of(transaction(1)),)), 1_000) == []


def test_after_connecting_much_is_offered_at_a_pace_that_the_other_side_listens_to() -> None:
    here, there = Here(), Here()
    for number in range(3 * gossip.OFFERED_PER_PACE_MAX):
        item = transaction(number)
        here.pool.add(name_of(item), item)
        here.gossip.carry(name_of(item), 0)
    there.gossip.connected(B, 0)
    sent = here.gossip.connected(A, 0)
    assert len(offered(sent)) == gossip.OFFERED_PER_PACE_MAX
    assert all(len(message.ids) <= IDS_MAX for _, message in sent if isinstance(message, Offer))
    assert here.gossip.tick(1) == []
    assert here.gossip.next_due_ms() == gossip.PACE_MS
    assert len(offered(here.gossip.tick(gossip.PACE_MS))) == gossip.OFFERED_PER_PACE_MAX
    assert 5 * gossip.OFFERED_PER_PACE_MAX <= gossip.OFFERED_PER_WINDOW_MAX


def test_what_was_taken_from_a_peer_is_offered_to_the_others_after_a_while() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.gossip.connected(B, 0)
    here.gossip.received(A, push_of(transaction(1)), 0)
    assert offered(here.gossip.tick(gossip.RELAY_OFFER_MS - 1)) == []
    assert [peer for peer, _ in here.gossip.tick(gossip.RELAY_OFFER_MS)] == [B]


# --- asking -------------------------------------------------------------------------------------------------


def test_an_offer_is_answered_with_what_is_lacking_and_what_is_settled() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    held, done, lacking = (transaction(number) for number in range(3))
    here.promise(held, 0)
    here.decided.add(name_of(done))
    ids = tuple(map(name_of, (held, done, lacking)))
    assert here.gossip.received(A, Offer(ids=ids), 0) == [(A, Answer(settled=ids[:2], wanted=ids[2:]))]


def test_a_full_pool_asks_for_nothing() -> None:
    here = Here(PoolLimits(transactions_max=1))
    here.gossip.connected(A, 0)
    here.promise(transaction(1), 0)
    assert here.gossip.received(A, Offer(ids=names(3)), 0) == []


def test_a_silent_peer_delays_a_transaction_once() -> None:
    asks = Asks()
    (name,) = names(1)
    assert asks.offered(name, A, 0)
    assert not asks.offered(name, B, ASK_MS - 1)
    assert asks.offered(name, A, ASK_MS)
    assert asks.offered(name, B, ASK_MS + 1)
    assert not asks.offered(name, A, ASK_MS + 2)
    asks.lost(B)
    assert len(asks) == 0


def test_asks_of_one_peer_have_a_bound_and_end() -> None:
    asks = Asks()
    count = gossip_asks.ASKS_PER_PEER_MAX
    assert [asks.offered(name, A, 0) for name in names(count + 1)] == [True] * count + [False]
    assert asks.offered(names(count + 1)[-1], B, 0)
    asks.refused(bytes([255]) * 32, A, 0)
    assert len(asks) == count + 1
    assert asks.offered(bytes([255]) * 32, A, ASK_MS + FAILURE_KEPT_MS)
    assert len(asks) == 1


def test_what_cannot_be_admitted_is_asked_for_again_when_the_head_moves_and_not_before() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.verdict = Verdict.LATER
    item = transaction(1)
    here.gossip.received(A, push_of(item), 0)
    assert here.gossip.received(A, Offer(ids=(name_of(item),)), LATER_MS - 1) == []
    assert here.gossip.head_moved(10) == [(A, Answer(settled=(), wanted=(name_of(item),)))]
    here.gossip.received(A, push_of(item), 20)
    assert here.gossip.head_moved(30) == []
    assert here.gossip.next_due_ms() == 10 + gossip.HEAD_ROUND_MS
    here.verdict = Verdict.TAKEN
    assert len(here.gossip.tick(10 + gossip.HEAD_ROUND_MS)) == 1
    here.gossip.received(A, push_of(item), 500)
    assert name_of(item) in here.pool
    assert here.gossip.head_moved(1_000) == []


def test_a_moving_head_asks_again_for_so_many_in_one_round() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.verdict = Verdict.LATER
    here.gossip.received(A, push_of(*(transaction(number) for number in range(300))), 0)
    ((_, first),) = here.gossip.head_moved(10)
    ((_, second),) = here.gossip.tick(10 + gossip.HEAD_ROUND_MS)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (len(first.wanted), len(second.wanted)) == (gossip.ASKED_AGAIN_PER_ROUND_MAX, 44)
    assert here.gossip.tick(10 + 2 * gossip.HEAD_ROUND_MS) == []


# --- what a peer may cost -----------------------------------------------------------------------------------


def test_a_peer_may_send_so_much_that_is_inadmissible_and_is_heard_again_in_the_next_window() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.verdict = Verdict.LATER
    items = [transaction(number) for number in range(gossip.INADMISSIBLE_PER_WINDOW_MAX + 10)]
    here.gossip.received(A, push_of(*items), 0)
    assert here.taken == gossip.INADMISSIBLE_PER_WINDOW_MAX
    assert here.gossip.counts.unheard == 10
    here.gossip.received(A, push_of(*items[-10:]), gossip.WINDOW_MS)
    assert here.taken == gossip.INADMISSIBLE_PER_WINDOW_MAX + 10


def test_a_flood_of_what_is_here_already_costs_so_much_and_no_more() -> None:
    """A turned validator repeated one transaction so fast that the others decoded nothing else, and finalized nothing."""
    here = Here()
    here.gossip.connected(A, 0)
    here.verdict = Verdict.KNOWN
    item = transaction(1)
    for _ in range(gossip.DUPLICATES_PER_WINDOW_MAX // 256 + 1):
        here.gossip.received(A, push_of(*[item] * 256), 0)
    assert here.taken == gossip.DUPLICATES_PER_WINDOW_MAX
    assert here.gossip.counts.unheard == 256
    here.gossip.received(A, push_of(item), gossip.WINDOW_MS)
    assert here.taken == gossip.DUPLICATES_PER_WINDOW_MAX + 1


def test_a_peer_may_offer_so_much() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    for _ in range(gossip.OFFERED_PER_WINDOW_MAX // IDS_MAX):
        here.gossip.received(A, Offer(ids=names(IDS_MAX)), 0)
    assert here.gossip.counts.unheard == 0
    here.gossip.received(A, Offer(ids=names(3)), 0)
    assert here.gossip.counts.unheard == 3


def test_a_peer_is_sent_so_much_at_its_word() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    item = transaction(1, 60_000)
    here.promise(item, 0)
    sent: list[Sent] = []
    for _ in range(3):
        sent += here.gossip.received(A, Answer(settled=(), wanted=(name_of(item),) * 100), 0)
    size_bytes = sum(len(one) for _, push in sent if isinstance(push, Push) for one in push.transactions)
    assert gossip.SERVED_BYTES_PER_WINDOW_MAX - 70_000 < size_bytes <= gossip.SERVED_BYTES_PER_WINDOW_MAX


def test_a_forger_is_muted_for_a_while_and_a_new_connection_does_not_help_it() -> None:
    here = Here()
    here.gossip.connected(A, 0)
    here.verdict = Verdict.FORGED
    with pytest.raises(GossipFault):
        here.gossip.received(A, push_of(transaction(1)), 0)
    here.gossip.disconnected(A)
    here.gossip.connected(A, 1)
    here.verdict = Verdict.TAKEN
    assert here.gossip.received(A, push_of(transaction(1)), gossip.MUTE_MS - 1) == []
    assert here.taken == 1
    here.gossip.received(A, push_of(transaction(1)), gossip.MUTE_MS)
    assert len(here.pool) == 1


def test_a_stranger_is_not_heard() -> None:
    here = Here()
    assert here.gossip.received(C, push_of(transaction(1)), 0) == []
    assert len(here.pool) == 0


# --- on a loop ----------------------------------------------------------------------------------------------


async def test_the_timer_sends_the_batch_and_the_offers_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip, "FIRST_OFFER_MS", 10)
    here = Here()
    heard: list[bytes] = []
    arrived = asyncio.Event()

    def send(_peer: bytes, payload: bytes) -> bool:
        heard.append(payload)
        if len(heard) == 3:
            arrived.set()
        return True

    shell = Dissemination(here.pool, here, send=send)
    shell.connected(A)
    for number in range(3):
        here.pool.add(name_of(transaction(number)), transaction(number))
        shell.promised(name_of(transaction(number)))
    await asyncio.wait_for(arrived.wait(), 30)
    messages = [gossip_messages.decode(payload) for payload in heard]
    assert messages[:2] == [push_of(transaction(0)), push_of(transaction(1), transaction(2))]
    assert isinstance(messages[2], Offer)
    shell.stop()


async def test_whoever_waits_for_peers_hears_when_enough_were_sent_it_or_it_is_decided_or_time_is_over() -> (
    None
):
    here = Here()
    now_ms = 0
    shell = Dissemination(here.pool, here, send=lambda _peer, _payload: True, now_ms=lambda: now_ms)
    shell.connected(A)
    item = transaction(1)
    here.pool.add(name_of(item), item)
    shell.promised(name_of(item))
    assert await shell.reached(name_of(item), {A, B, C}, 1, 30)
    assert not await shell.reached(name_of(item), {B, C}, 1, 0.001)
    waiting = asyncio.create_task(shell.reached(name_of(item), {A, B, C}, 2, 30))
    await asyncio.sleep(0)
    shell.connected(B)
    await asyncio.sleep(0)
    assert not waiting.done()
    shell.received(B, gossip_messages.encode(Answer(settled=(), wanted=(name_of(item),))))
    assert await waiting
    waiting = asyncio.create_task(shell.reached(name_of(item), {A, B, C}, 3, 30))
    await asyncio.sleep(0)
    shell.decided([name_of(item)])
    assert await waiting
    shell.stop()
