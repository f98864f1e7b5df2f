"""What waits for a peer is bounded, urgent things first, and nothing disappears without being reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from network.frames import FRAGMENT_BYTES_MAX, HEADER_SIZE_BYTES, Channel, Fragment, Frame, FrameKind
from network.lanes import LANE_LIMITS, LaneLimit, SendLanes, lane_of

SMALL = tuple(
    LaneLimit(frames_max=3, bytes_max=200, drops_oldest=limit.drops_oldest) for limit in LANE_LIMITS
)


def message(channel: Channel, payload: bytes = b"") -> Frame:
    return Frame(FrameKind.MESSAGE, channel, payload=payload)


def request(channel: Channel, number: int) -> Frame:
    return Frame(FrameKind.REQUEST, channel, number)


def whole(fragments: list[Fragment]) -> list[Frame]:
    """The frames that the fragments finish, in that order."""
    return [fragment.frame for fragment in fragments if fragment.is_last]


def test_the_most_urgent_lane_is_written_first_and_each_lane_in_order() -> None:
    lanes = SendLanes()
    for channel in reversed(Channel):
        lanes.push(message(channel, b"1"))
        lanes.push(message(channel, b"2"))
    lanes.push(Frame(FrameKind.PING, request_id=1))
    order = [(frame.channel, frame.payload) for frame in whole(lanes.pop(1 << 20))]
    assert order == [(None, b""), *((channel, number) for channel in Channel for number in (b"1", b"2"))]


def test_an_error_answer_overtakes_everything() -> None:
    lanes = SendLanes()
    lanes.push(message(Channel.VOTES))
    error = Frame(FrameKind.ERROR, Channel.BLOBS, 5)
    lanes.push(error)
    assert whole(lanes.pop(1)) == [error]


def test_full_lanes_of_votes_and_blocks_lose_their_oldest_message() -> None:
    for channel in (Channel.VOTES, Channel.BLOCKS):
        lanes = SendLanes(SMALL)
        for number in b"abc":
            assert lanes.push(message(channel, bytes([number]))) == ()
        assert lanes.push(message(channel, b"d")) == (message(channel, b"a"),)
        assert [frame.payload for frame in whole(lanes.pop(1 << 20))] == [b"b", b"c", b"d"]


def test_other_full_lanes_refuse_the_newest() -> None:
    for channel in (Channel.TRANSACTIONS, Channel.SYNC, Channel.BLOBS, Channel.SNAPSHOT):
        lanes = SendLanes(SMALL)
        for number in b"abc":
            lanes.push(message(channel, bytes([number])))
        late = message(channel, b"d")
        assert lanes.push(late) == (late,)
        assert [frame.payload for frame in whole(lanes.pop(1 << 20))] == [b"a", b"b", b"c"]


def test_a_request_is_never_dropped_for_a_message_nor_drops_one() -> None:
    lanes = SendLanes(SMALL)
    for number in (1, 2, 3):
        lanes.push(request(Channel.VOTES, number))
    late = message(Channel.VOTES)
    assert lanes.push(late) == (late,)
    lanes = SendLanes(SMALL)
    for _ in range(3):
        lanes.push(late)
    asked = request(Channel.VOTES, 1)
    assert lanes.push(asked) == (asked,)


def test_one_frame_of_any_size_fits_an_empty_lane() -> None:
    lanes = SendLanes(SMALL)
    assert lanes.push(message(Channel.BLOCKS, bytes(5000))) == ()
    assert whole(lanes.pop(1))[0].payload == bytes(5000)


def test_a_batch_is_bounded_but_never_empty_while_something_waits() -> None:
    lanes = SendLanes()
    for _ in range(10):
        lanes.push(message(Channel.VOTES, bytes(86)))
    assert len(lanes.pop(1)) == 1
    assert len(lanes.pop(250)) == 3
    assert len(lanes.pop(1 << 20)) == 6
    assert lanes.pop(1) == []


def test_what_is_urgent_waits_behind_one_fragment_of_what_is_large() -> None:
    lanes = SendLanes()
    large, vote = message(Channel.SYNC, bytes(10 * FRAGMENT_BYTES_MAX)), message(Channel.VOTES, b"v")
    lanes.push(large)
    first = lanes.pop(1)
    assert [(one.start, one.end) for one in first] == [(0, FRAGMENT_BYTES_MAX)]
    lanes.push(vote)
    assert lanes.pop(1) == [Fragment(vote, 0, 1)]
    rest = lanes.pop(1 << 30)
    assert [one.start for one in rest] == [FRAGMENT_BYTES_MAX * number for number in range(1, 10)]
    assert whole(rest) == [large]
    assert lanes.size_bytes == 0


def test_a_message_of_which_a_part_has_gone_is_never_dropped() -> None:
    """A receiver that has half of it would take what follows for its end."""
    limits = tuple(
        LaneLimit(frames_max=2, bytes_max=1 << 30, drops_oldest=limit.drops_oldest) for limit in LANE_LIMITS
    )
    lanes = SendLanes(limits)
    begun = message(Channel.BLOCKS, bytes(2 * FRAGMENT_BYTES_MAX))
    lanes.push(begun)
    lanes.pop(1)
    # Equal to the one that has begun: it is told by its place, not by what is in it.
    second = message(Channel.BLOCKS, bytes(2 * FRAGMENT_BYTES_MAX))
    lanes.push(second)
    assert lanes.push(message(Channel.BLOCKS, b"3")) == (second,)
    assert lanes.size_bytes == FRAGMENT_BYTES_MAX + 2 * HEADER_SIZE_BYTES + 1
    assert [frame.payload for frame in whole(lanes.pop(1 << 30))] == [begun.payload, b"3"]


def test_a_lane_full_with_what_has_begun_refuses_the_newest() -> None:
    limits = tuple(LaneLimit(frames_max=1, bytes_max=1, drops_oldest=True) for _ in LANE_LIMITS)
    lanes = SendLanes(limits)
    lanes.push(message(Channel.BLOCKS, bytes(2 * FRAGMENT_BYTES_MAX)))
    lanes.pop(1)
    late = message(Channel.BLOCKS, b"late")
    assert lanes.push(late) == (late,)


@given(st.lists(st.tuples(st.sampled_from(Channel), st.booleans(), st.integers(0, 150))))
def test_frames_sent_and_frames_reported_are_all_frames(pushes: list[tuple[Channel, bool, int]]) -> None:
    lanes, unsent, pushed = SendLanes(SMALL), 0, 0
    for channel, is_request, size in pushes:
        frame = Frame(FrameKind.REQUEST if is_request else FrameKind.MESSAGE, channel, 1, bytes(size))
        unsent += len(lanes.push(frame))
        pushed += 1
        assert lanes.size_bytes <= sum(limit.bytes_max for limit in SMALL)
    sent = whole(lanes.pop(1 << 30))
    assert len(sent) + unsent == pushed
    assert [lane_of(frame) for frame in sent] == sorted(lane_of(frame) for frame in sent)
    assert (len(lanes), lanes.size_bytes) == (0, 0)
