"""Peers come, go, move and change their keys while the network runs, and what is good stays connected."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.errors import InvariantViolation, LimitExceeded
from network.errors import (
    ConnectionEnded,
    PeerRemoved,
    PinMismatch,
    TlsFailed,
    TlsIdentityInvalid,
    VersionMismatch,
)
from network.frames import FRAGMENT_BYTES_MAX, SYNC_BYTES_MAX, Channel, Frame, FrameKind
from network.peers import PEERS_MAX, TlsIdentity
from tests.unit.network_cluster import QUICK, Member, RawPeer
from tests.unit.test_network_peers import SLOW_TO_DIAL, Make, join, on_both_loops


@on_both_loops
async def test_a_node_that_joins_is_connected_and_one_that_leaves_is_not(make: Make) -> None:
    one, two, three = make(1), make(2), make(3)
    await join(one, two)
    await three.start(one.address(), two.address())
    assert three.net.connected() == ()
    for member, other in ((one, two), (two, one)):
        member.net.update_peers([other.address(), three.address()])
    await three.connected(one, two)
    await one.connected(two, three)
    one.net.update_peers([two.address()])
    assert one.net.connected() == (two.node_id,)
    assert one.net.send(three.node_id, Channel.VOTES, b"x") is False
    assert one.log.named("peer.disconnected")[-1]["reason"].startswith(PeerRemoved.code)
    await one.rejected(TlsFailed.code)
    assert one.net.connected() == (two.node_id,)
    # The pair that stays has never been disturbed.
    assert [status.connections for status in one.net.status()] == [1]
    assert [fields["peer"] for fields in one.log.named("test.disconnect")] == [three.node_id]


@on_both_loops
async def test_a_peer_that_moves_is_found_at_its_new_address(make: Make) -> None:
    one, two = make(1), make(2)
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    never = replace(QUICK, redial_min_ms=600_000, redial_max_ms=600_000)
    await one.start(two.address(port=1), timings=never)
    await one.log.until(lambda: one.log.named("peer.unreachable"))
    one.net.update_peers([two.address()])
    await one.connected(two)


@on_both_loops
async def test_a_connection_to_a_former_address_stays_until_the_new_one_stands(make: Make) -> None:
    one, moved, two = make(1), make(2), make(2)
    moved.certificate = two.certificate
    await two.start(one.address(), timings=SLOW_TO_DIAL)
    await one.start(two.address())
    await one.connected(two)
    one.net.update_peers([two.address(port=1)])
    await one.log.until(lambda: one.net.connected() == (two.node_id,))
    assert one.log.named("test.disconnect") == []
    await moved.start(one.address(), timings=SLOW_TO_DIAL)
    one.net.update_peers([moved.address()])
    await moved.connected(one)
    assert one.net.send(two.node_id, Channel.VOTES, b"at the new place")
    await moved.got(1)


@on_both_loops
async def test_a_certificate_is_renewed_without_a_moment_in_which_peers_refuse_it(make: Make) -> None:
    one, two, three = members = [make(number) for number in (1, 2, 3)]
    await join(*members)
    tls, certificate = one.make_certificate("-next")
    both = one.address(one.certificate, certificate)
    two.net.update_peers([both, three.address()])
    three.net.update_peers([both, two.address()])
    assert two.net.status()[0].connections == three.net.status()[0].connections == 1
    one.net.use_certificate(tls)
    await one.log.until(lambda: one.net.certificate_in_use and len(one.net.connected()) == 2)
    new = one.address(certificate)
    two.net.update_peers([new, three.address()])
    three.net.update_peers([new, two.address()])
    for member in (two, three):
        await member.connected(one)
        assert not [
            fields for fields in member.log.named("peer.disconnected") if PinMismatch.code in fields["reason"]
        ]
    # Nobody else noticed.
    assert {status.name: status.connections for status in two.net.status()}["node-3"] == 1


@on_both_loops
async def test_a_key_that_is_pinned_no_more_is_disconnected_and_stays_out(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    _, certificate = two.make_certificate("-next")
    one.net.update_peers([two.address(certificate)])
    assert one.net.connected() == ()
    assert one.log.named("peer.disconnected")[0]["reason"].startswith(PinMismatch.code)
    await one.rejected(TlsFailed.code)
    await two.log.until(lambda: two.net.status()[0].last_error == ConnectionEnded.code)
    assert one.net.connected() == ()


@on_both_loops
async def test_a_certificate_that_cannot_be_used_changes_nothing(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    with pytest.raises(TlsIdentityInvalid):
        one.net.use_certificate(TlsIdentity(one.tls.path.with_name("none.pem")))
    assert one.net.certificate_in_use
    assert one.net.connected() == (two.node_id,)
    await two.net.stop()
    await one.log.until(lambda: not one.net.connected())
    await two.start(one.address())
    await one.connected(two)


@on_both_loops
async def test_more_peers_than_the_bound_are_refused_and_the_others_stay(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    many = [
        replace(two.address(), node_id=number.to_bytes(16, "big"), certificates=())
        for number in range(PEERS_MAX + 1)
    ]
    with pytest.raises(LimitExceeded) as refused:
        one.net.update_peers(many)
    assert refused.value.fields["maximum"] == PEERS_MAX
    with pytest.raises(InvariantViolation):
        one.net.update_peers([one.address()])
    assert one.net.connected() == (two.node_id,)


async def stalled_reader(reader: Member, target: Member) -> RawPeer:
    """A connection whose far end reads nothing."""
    raw = await RawPeer.dial(reader, target)
    raw.hello(reader)
    await target.connected(reader)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return raw


@on_both_loops
async def test_a_slow_reader_of_large_answers_delays_no_vote(make: Make) -> None:
    one, slow, quick = make(1), make(2), make(3)
    await one.start(slow.address(), quick.address(), timings=SLOW_TO_DIAL)
    await quick.start(one.address())
    await one.connected(quick)
    raw = await stalled_reader(slow, one)
    answer = b"s" * SYNC_BYTES_MAX
    assert [one.net.send(slow.node_id, Channel.SYNC, answer) for _ in range(4)] == [True, True, True, False]
    assert one.net.status()[0].unsent_frames == {"sync": 1}
    # Others are not concerned at all.
    assert one.net.send(quick.node_id, Channel.VOTES, b"to the others")
    await quick.got(1)
    # The slow one itself gets the vote amid the first answer, of which nearly all still waits in the lane.
    assert one.net.send(slow.node_id, Channel.VOTES, b"vote")
    assert one.net.status()[0].queued_bytes > 2 * SYNC_BYTES_MAX
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    arrived: list[Frame] = []
    while len(arrived) < 2:
        frame = await raw.frame()
        if frame.kind is FrameKind.MESSAGE:
            arrived.append(frame)
    assert [frame.payload for frame in arrived] == [b"vote", answer]
    await raw.close()


@on_both_loops
async def test_large_messages_of_every_channel_arrive_whole(make: Make) -> None:
    one, two = make(1), make(2)
    await join(one, two)
    sent = [(channel, bytes([channel]) * (FRAGMENT_BYTES_MAX + channel)) for channel in Channel]
    for channel, payload in sent:
        assert one.net.send(two.node_id, channel, payload)
    await two.got(len(sent))
    assert [(channel, payload) for _, channel, payload in two.messages] == sent


@on_both_loops
async def test_two_releases_speak_the_highest_version_in_common(make: Make) -> None:
    older, newer, far = make(1), make(2), make(3)
    for member in (older, newer, far):
        await member.start()
        await member.net.stop()
    addresses = [member.address() for member in (older, newer, far)]
    await older.start(*addresses[1:], release="1.0", versions=(1, 2))
    await newer.start(
        addresses[0],
        addresses[2],
        release="2.0",
        versions=(2, 3),
        ledger_versions=(1, 4),
        contracts={"grants": 2},
    )
    await far.start(*addresses[:2], release="4.0", versions=(3, 5))
    await older.connected(newer)
    await newer.connected(older, far)
    seen = {status.name: status for status in older.net.status()}
    assert (seen["node-2"].version, seen["node-2"].release) == (2, "2.0")
    assert seen["node-2"].ledger_versions == (1, 4)
    assert seen["node-2"].contracts == {"grants": 2}
    assert {status.name: status.version for status in newer.net.status()} == {"node-1": 2, "node-3": 3}
    await older.log.until(lambda: older.net.status()[1].last_error == VersionMismatch.code)
    refusals = [fields["reason"] for fields in older.log.named("peer.unreachable")]
    assert any("1.0" in reason and "4.0" in reason for reason in refusals)
    assert older.net.connected() == (newer.node_id,)
