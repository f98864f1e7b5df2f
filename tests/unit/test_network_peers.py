"""Peers find each other, talk, lose each other and find each other again: real sockets, TLS, both loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop

from ledger.errors import Busy, InvariantViolation, LimitExceeded, NotFound, Unavailable
from network.dialing import Backoff
from network.errors import RemoteError
from network.frames import VOTES_BYTES_MAX, Channel, Frame, FrameKind, encode_frame
from network.lanes import LANE_LIMITS
from network.links import replaces
from network.peers import NetworkTimings
from network.rpc import REQUESTS_IN_FLIGHT_MAX, REQUESTS_SERVED_MAX
from tests.unit.network_cluster import QUICK, Member, RawPeer

SLOW_TO_DIAL = replace(QUICK, dial_grace_ms=60_000)


Make = Callable[[int], Member]


def on_both_loops(scenario: Callable[[Make], Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a scenario on asyncio's own event loop and on uvloop, and stop every node that it made."""

    async def played(folder: Path) -> None:
        members: list[Member] = []

        def make(number: int) -> Member:
            members.append(Member(folder, number))
            return members[-1]

        try:
            await scenario(make)
        finally:
            for member in members:
                member.gate.set()
                if member.network is not None:
                    await member.network.stop()

    def test(new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(played(tmp_path))

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("new_loop", loops, ids=["asyncio", "uvloop"])(test)


async def join(*members: Member) -> None:
    """Start everybody at a known port and wait until all are connected to all."""
    for member in members:
        await member.start()
        await member.net.stop()
    for member in members:
        await member.start(*(other.address() for other in members if other is not member))
    for member in members:
        await member.connected(*(other for other in members if other is not member))


@on_both_loops
async def test_three_networks_exchange_messages(make: Make) -> None:
    one, two, three = members = [make(number) for number in (1, 2, 3)]
    await join(*members)
    for member in members:
        member.net.broadcast(Channel.VOTES, b"vote of " + member.name.encode())
    assert one.net.send(three.node_id, Channel.BLOCKS, bytes(3_000_000))
    await one.got(2)
    await two.got(2)
    await three.got(3)
    assert {(sender, payload) for sender, _, payload in two.messages} == {
        (one.node_id, b"vote of node-1"),
        (three.node_id, b"vote of node-3"),
    }
    assert (one.node_id, Channel.BLOCKS, bytes(3_000_000)) in three.messages
    status = {peer.name: peer for peer in one.net.status()}["node-3"]
    assert status.connected
    assert (status.version, status.release) == (1, "test")
    assert status.sent_bytes > 3_000_000
    assert status.received_bytes > 0
    assert status.certificate_expires_at_ms > 0


@on_both_loops
async def test_messages_of_a_channel_arrive_in_order(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    for number in range(500):
        assert one.net.send(two.node_id, Channel.TRANSACTIONS, str(number).encode())
    await two.got(500)
    assert [int(payload) for _, _, payload in two.messages] == list(range(500))


@on_both_loops
async def test_each_pair_keeps_exactly_one_connection(make: Make) -> None:
    one, two = make(1), make(2)
    for member in (one, two):
        await member.start()
        await member.net.stop()
    both_at_once = replace(QUICK, dial_grace_ms=0)
    await one.start(two.address(), timings=both_at_once)
    await two.start(one.address(), timings=both_at_once)
    await one.connected(two)
    await two.connected(one)
    # Whatever raced, an answer in each direction shows that both ended on the same connection.
    for asker, other in ((one, two), (two, one)):
        answer = None
        while answer is None:
            try:
                answer = await asker.net.request(other.node_id, Channel.SYNC, b"ab", timeout_s=5)
            except Unavailable:
                await asker.connected(other)
        assert answer == b"ba"
    assert one.net.status()[0].dialed != two.net.status()[0].dialed


@on_both_loops
async def test_requests_are_answered_refused_or_fail_by_name(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)

    async def ask(payload: bytes) -> bytes:
        return await one.net.request(two.node_id, Channel.BLOBS, payload, timeout_s=5)

    assert list(await asyncio.gather(ask(b"abc"), ask(b"def"))) == [b"cba", b"fed"]
    with pytest.raises(RemoteError) as refused:
        await ask(b"missing")
    assert refused.value.fields["code"] == NotFound.code
    assert "No block 7" in refused.value.message()
    with pytest.raises(RemoteError) as crashed:
        await ask(b"crash")
    assert crashed.value.fields["code"] == "internal"
    assert two.log.named("peer.request_failed")
    with pytest.raises(RemoteError) as huge:
        await ask(b"huge")
    assert huge.value.fields["code"] == LimitExceeded.code
    with pytest.raises(Unavailable):
        await one.net.request(b"?" * 16, Channel.BLOBS, b"", timeout_s=5)
    assert await ask(b"still here") == b"ereh llits"


@on_both_loops
async def test_a_request_without_an_answer_times_out_and_a_late_answer_harms_nobody(
    make: Make,
) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    with pytest.raises(Unavailable) as late:
        await one.net.request(two.node_id, Channel.SYNC, b"wait", timeout_s=0.02)
    assert "0.02" in late.value.message()
    await two.log.until(lambda: two.log.named("test.waiting"))
    two.gate.set()
    assert await one.net.request(two.node_id, Channel.SYNC, b"ok", timeout_s=5) == b"ko"


@on_both_loops
async def test_more_requests_than_the_bound_are_busy_at_once(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    mute = await RawPeer.dial(one, two)
    mute.hello(one)
    await two.connected(one)
    waiting = [
        asyncio.ensure_future(two.net.request(one.node_id, Channel.SYNC, b"x", timeout_s=60))
        for _ in range(REQUESTS_IN_FLIGHT_MAX)
    ]
    asked = 0
    while asked < REQUESTS_IN_FLIGHT_MAX:
        asked += (await mute.frame()).kind is FrameKind.REQUEST
    with pytest.raises(Busy):
        await two.net.request(one.node_id, Channel.SYNC, b"one more", timeout_s=60)
    mute.say(encode_frame(Frame(FrameKind.RESPONSE, Channel.SYNC, 1, b"answer")))
    assert await waiting[0] == b"answer"
    await mute.close()
    for request in waiting[1:]:
        with pytest.raises(Unavailable):
            await request


@on_both_loops
async def test_a_peer_that_asks_too_much_is_told_that_we_are_busy(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    raw = await RawPeer.dial(one, two)
    raw.hello(one)
    for number in range(1, REQUESTS_SERVED_MAX + 2):
        raw.say(encode_frame(Frame(FrameKind.REQUEST, Channel.SYNC, number, b"wait")))
    frame = await raw.frame()
    while frame.kind is not FrameKind.ERROR:
        frame = await raw.frame()
    assert frame.request_id == REQUESTS_SERVED_MAX + 1
    assert b"busy" in frame.payload
    await raw.close()


@on_both_loops
async def test_a_lost_connection_fails_its_requests_at_once(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    waiting = asyncio.ensure_future(one.net.request(two.node_id, Channel.SYNC, b"wait", timeout_s=60))
    await two.log.until(lambda: two.log.named("test.waiting"))
    await two.net.stop()
    with pytest.raises(Unavailable):
        await waiting
    await one.log.until(lambda: not one.net.connected())
    assert one.net.send(two.node_id, Channel.VOTES, b"x") is False
    with pytest.raises(Unavailable):
        await one.net.request(two.node_id, Channel.SYNC, b"x", timeout_s=5)


@on_both_loops
async def test_a_restarted_peer_is_found_again(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    for restart in range(1, 4):
        await two.net.stop()
        await one.log.until(lambda: not one.net.connected())
        await two.start(one.address())
        await one.connected(two)
        await two.connected(one)
        assert one.net.send(two.node_id, Channel.VOTES, b"again")
        await two.got(restart)
    changes = [name for name, _ in one.log.events if name in {"test.connect", "test.disconnect"}]
    assert changes[:2] == ["test.connect", "test.disconnect"]
    assert all(first != second for first, second in pairwise(changes))


@on_both_loops
async def test_a_restarted_peer_replaces_its_half_open_connection(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    before = await RawPeer.dial(one, two)
    before.hello(one, instance=b"a" * 16)
    await two.connected(one)
    after = await RawPeer.dial(one, two)
    after.hello(one, instance=b"b" * 16)
    await before.ended()
    await two.log.until(lambda: len(two.log.named("test.connect")) == 2)
    assert len(two.log.named("test.disconnect")) == 1
    assert two.net.connected() == (one.node_id,)
    await before.close()
    await after.close()


@on_both_loops
async def test_a_silent_peer_is_given_up(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=replace(SLOW_TO_DIAL, ping_interval_ms=20, dead_after_ms=60))
    raw = await RawPeer.dial(one, two)
    raw.hello(one)
    await raw.ended()
    await two.log.until(lambda: two.log.named("test.disconnect"))
    assert "nothing heard" in two.log.named("peer.disconnected")[0]["reason"]
    await raw.close()


@on_both_loops
async def test_a_peer_that_answers_pings_is_kept_and_measured(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=replace(SLOW_TO_DIAL, ping_interval_ms=5))
    raw = await RawPeer.dial(one, two)
    raw.hello(one)
    pings = 0
    while pings < 5:
        frame = await raw.frame()
        if frame.kind is FrameKind.PING:
            pings += 1
            raw.say(encode_frame(Frame(FrameKind.PONG, request_id=frame.request_id)))
    raw.say(encode_frame(Frame(FrameKind.PING, request_id=77)))
    while (frame := await raw.frame()).request_id != 77:
        pass
    assert frame.kind is FrameKind.PONG
    assert two.net.status()[0].rtt_ms is not None
    await raw.close()


@on_both_loops
async def test_a_reader_that_stops_reading_costs_bounded_memory(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    raw = await RawPeer.dial(one, two)
    raw.hello(one)
    await two.connected(one)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    most_queued, refused = 0, False
    for _ in range(100):
        for _ in range(8):
            two.net.send(one.node_id, Channel.VOTES, bytes(VOTES_BYTES_MAX))
            refused |= not two.net.send(one.node_id, Channel.TRANSACTIONS, bytes(512 * 1024))
        most_queued = max(most_queued, two.net.status()[0].queued_bytes)
        await asyncio.sleep(0)
    unsent = two.net.status()[0].unsent_frames
    assert refused
    assert unsent["votes"] > 0
    assert unsent["transactions"] > 0
    assert (
        most_queued
        <= LANE_LIMITS[Channel.VOTES].bytes_max + LANE_LIMITS[Channel.TRANSACTIONS].bytes_max + 1000
    )
    await raw.close()


@on_both_loops
async def test_too_large_a_message_is_refused_here_not_there(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    with pytest.raises(LimitExceeded):
        one.net.send(two.node_id, Channel.VOTES, bytes(VOTES_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        await one.net.request(two.node_id, Channel.VOTES, bytes(VOTES_BYTES_MAX + 1), timeout_s=5)
    assert one.net.send(two.node_id, Channel.VOTES, bytes(VOTES_BYTES_MAX))
    await two.got(1)


@on_both_loops
async def test_a_peers_bad_message_is_its_fault_and_our_broken_invariant_is_ours(
    make: Make,
) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    faults: list[BaseException] = [NotFound(what="x", id="y"), InvariantViolation("broken")]

    def on_message(sender: bytes, channel: Channel, payload: bytes) -> None:
        two.log.note("test.message")
        raise faults[int(payload)]

    await two.net.stop()
    two.on_message = on_message  # type: ignore[method-assign]
    await two.start(one.address())
    await one.connected(two)
    assert one.net.send(two.node_id, Channel.VOTES, b"0")
    await two.log.until(lambda: two.log.named("peer.bad_message"))
    assert two.net.status()[0].last_error == NotFound.code
    assert two.fatal == []
    assert one.net.send(two.node_id, Channel.VOTES, b"1")
    await two.log.until(lambda: len(two.log.named("test.message")) == 2)
    assert two.fatal == [faults[1]]


@on_both_loops
async def test_an_address_that_is_taken_is_an_error_by_name(make: Make) -> None:
    one, two = make(1), make(2)
    await one.start()
    two.port = one.port
    with pytest.raises(Unavailable) as taken:
        await two.start()
    assert str(one.port) in taken.value.message()


@pytest.mark.parametrize("own_is_lower", [True, False])
@pytest.mark.parametrize("current_dialed", [True, False])
def test_both_sides_keep_the_same_of_two_connections(own_is_lower: bool, current_dialed: bool) -> None:
    def replaced(*, new_dialed: bool, restarted: bool = False) -> bool:
        return replaces(
            current_dialed=current_dialed,
            new_dialed=new_dialed,
            restarted=restarted,
            own_is_lower=own_is_lower,
        )

    crossing = replaced(new_dialed=not current_dialed)
    stays_dialed_by_own = current_dialed if not crossing else not current_dialed
    assert stays_dialed_by_own == own_is_lower
    assert replaced(new_dialed=current_dialed)
    assert replaced(new_dialed=not current_dialed, restarted=True)


def test_pauses_between_attempts_grow_up_to_a_bound_and_reset() -> None:
    timings = NetworkTimings(redial_min_ms=100, redial_max_ms=1000)
    backoff = Backoff(timings, lambda: 1.0)
    assert [backoff.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next_s() == 0.1
    assert Backoff(timings, lambda: 0.0).next_s() == 0.05
