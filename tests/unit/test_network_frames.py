"""Frames survive any cutting into pieces, and hostile bytes are refused before they cost memory."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvariantViolation, LimitExceeded
from network.errors import FrameInvalid
from network.frames import (
    FRAGMENT_BYTES_MAX,
    HEADER_SIZE_BYTES,
    HELLO_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REQUEST_ID_MAX,
    Channel,
    Frame,
    FrameKind,
    FrameParser,
    check_payload,
    encode_fragment,
    encode_frame,
    next_fragment,
)

HELLO = encode_frame(Frame(FrameKind.HELLO, payload=b"hi"))


def header(*, size: int, channel: int, kind: int, request_id: int) -> bytes:
    return struct.pack(">IBBQ", size + 10, channel, kind, request_id)


def frames() -> st.SearchStrategy[Frame]:
    numbered = st.integers(1, REQUEST_ID_MAX)
    channel, payload = st.sampled_from(Channel), st.binary(max_size=100)
    answers = st.sampled_from([FrameKind.REQUEST, FrameKind.RESPONSE, FrameKind.ERROR])
    return st.one_of(
        st.builds(Frame, st.sampled_from([FrameKind.PING, FrameKind.PONG]), request_id=numbered),
        st.builds(Frame, st.just(FrameKind.MESSAGE), channel, payload=payload),
        st.builds(Frame, answers, channel, numbered, payload),
    )


@given(st.lists(frames(), max_size=8), st.lists(st.integers(1, 60), min_size=1))
def test_frames_are_the_same_however_the_bytes_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    data = HELLO + b"".join(encode_frame(frame) for frame in sent)
    parser, received, position, turn = FrameParser(), [], 0, 0
    while position < len(data):
        step = cuts[turn % len(cuts)]
        received += parser.feed(data[position : position + step])
        position, turn = position + step, turn + 1
    assert received == [Frame(FrameKind.HELLO, payload=b"hi"), *sent]
    assert parser.buffered_bytes == 0


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_a_named_error(data: bytes) -> None:
    parser = FrameParser()
    try:
        parser.feed(HELLO)
        parser.feed(data)
    except (FrameInvalid, LimitExceeded):
        assert parser.buffered_bytes == 0
        with pytest.raises(FrameInvalid):
            parser.feed(HELLO)


MORE = 0x80
FULL = bytes(FRAGMENT_BYTES_MAX)


def piece(channel: Channel, payload: bytes, *, more: bool, request_id: int = 0) -> bytes:
    kind = FrameKind.REQUEST if request_id else FrameKind.MESSAGE
    return (
        header(size=len(payload), channel=channel, kind=kind | (MORE if more else 0), request_id=request_id)
        + payload
    )


def greeted() -> FrameParser:
    parser = FrameParser()
    parser.feed(HELLO)
    return parser


@pytest.mark.parametrize("channel", list(Channel))
def test_a_frame_over_its_channels_bound_is_refused_by_a_header_alone(channel: Channel) -> None:
    maximum = PAYLOAD_BYTES_MAX[channel]
    largest = Frame(FrameKind.MESSAGE, channel, payload=bytes(maximum))
    assert greeted().feed(encode_frame(largest)) == [largest]
    parser = greeted()
    for _ in range(maximum // FRAGMENT_BYTES_MAX - 1):
        assert parser.feed(piece(channel, FULL, more=True)) == []
    left = maximum - (maximum // FRAGMENT_BYTES_MAX - 1) * FRAGMENT_BYTES_MAX
    if left > FRAGMENT_BYTES_MAX:
        parser.feed(piece(channel, FULL, more=True))
        left -= FRAGMENT_BYTES_MAX
    with pytest.raises(LimitExceeded) as refused:
        parser.feed(
            header(size=left + 1, channel=channel, kind=FrameKind.MESSAGE, request_id=0)
            if left < FRAGMENT_BYTES_MAX
            else header(size=left, channel=channel, kind=FrameKind.MESSAGE | MORE, request_id=0)
        )
    assert (refused.value.fields["maximum"], refused.value.fields["actual"]) == (maximum, maximum + 1)
    assert parser.buffered_bytes == 0


def test_frames_of_all_channels_come_whole_out_of_a_mixture_of_their_fragments() -> None:
    sent = [
        Frame(FrameKind.MESSAGE, channel, payload=bytes([channel]) * (FRAGMENT_BYTES_MAX + channel))
        for channel in Channel
    ]
    heads = [next_fragment(frame, 0) for frame in sent]
    tails = [next_fragment(frame, head.end) for frame, head in zip(sent, heads, strict=True)]
    refusal = Frame(FrameKind.ERROR, Channel.SYNC, 5, b"no")
    parser = greeted()
    for head in heads:
        assert parser.feed(b"".join(encode_fragment(head))) == []
    assert parser.buffered_bytes == len(sent) * FRAGMENT_BYTES_MAX
    # What is never cut comes in between, also on the channel of what is.
    assert parser.feed(encode_frame(refusal)) == [refusal]
    received = [frame for tail in reversed(tails) for frame in parser.feed(b"".join(encode_fragment(tail)))]
    assert received == sent[::-1]
    assert parser.buffered_bytes == 0


def test_a_receiver_never_holds_more_than_one_frame_a_channel() -> None:
    parser = greeted()
    for channel in Channel:
        for _ in range((PAYLOAD_BYTES_MAX[channel] - 1) // FRAGMENT_BYTES_MAX):
            parser.feed(piece(channel, FULL, more=True))
    assert parser.buffered_bytes <= sum(PAYLOAD_BYTES_MAX.values())
    with pytest.raises(FrameInvalid):
        parser.feed(piece(Channel.SYNC, b"x", more=False, request_id=1))


@pytest.mark.parametrize(
    ("fragments", "error"),
    [
        ([piece(Channel.SYNC, b"short", more=True)], FrameInvalid),
        ([piece(Channel.SYNC, b"", more=True)], FrameInvalid),
        ([piece(Channel.SYNC, FULL, more=True), piece(Channel.SYNC, b"", more=False)], FrameInvalid),
        (
            [piece(Channel.SYNC, FULL, more=True), piece(Channel.SYNC, b"x", more=False, request_id=9)],
            FrameInvalid,
        ),
        ([piece(Channel.SYNC, FULL + b"x", more=False)], LimitExceeded),
        ([header(size=0, channel=0, kind=FrameKind.PING | MORE, request_id=1)], FrameInvalid),
        (
            [header(size=FRAGMENT_BYTES_MAX, channel=4, kind=FrameKind.ERROR | MORE, request_id=1)],
            FrameInvalid,
        ),
    ],
)
def test_there_is_one_way_to_cut_a_frame(fragments: list[bytes], error: type[Exception]) -> None:
    parser = greeted()
    for fragment in fragments[:-1]:
        parser.feed(fragment)
    with pytest.raises(error):
        parser.feed(fragments[-1])
    assert parser.buffered_bytes == 0


@pytest.mark.parametrize(
    "bad",
    [
        header(size=0, channel=9, kind=FrameKind.MESSAGE, request_id=0),
        header(size=0, channel=Channel.VOTES, kind=0, request_id=0),
        header(size=0, channel=Channel.VOTES, kind=99, request_id=0),
        header(size=0, channel=0, kind=FrameKind.MESSAGE, request_id=0),
        header(size=0, channel=Channel.VOTES, kind=FrameKind.PING, request_id=1),
        header(size=0, channel=Channel.VOTES, kind=FrameKind.MESSAGE, request_id=1),
        header(size=0, channel=Channel.VOTES, kind=FrameKind.REQUEST, request_id=0),
        header(size=0, channel=0, kind=FrameKind.PING, request_id=0),
        header(size=-1, channel=Channel.VOTES, kind=FrameKind.MESSAGE, request_id=0),
        header(size=-10, channel=Channel.VOTES, kind=FrameKind.MESSAGE, request_id=0),
        HELLO,
    ],
)
def test_headers_that_mean_nothing_are_refused(bad: bytes) -> None:
    parser = FrameParser()
    parser.feed(HELLO)
    with pytest.raises(FrameInvalid):
        parser.feed(bad)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (encode_frame(Frame(FrameKind.MESSAGE, Channel.BLOCKS, payload=b"x")), FrameInvalid),
        (header(size=9, channel=Channel.BLOCKS, kind=FrameKind.MESSAGE | 0x80, request_id=0), FrameInvalid),
        (header(size=HELLO_BYTES_MAX + 1, channel=0, kind=FrameKind.HELLO, request_id=0), LimitExceeded),
        (b"GET / HTTP/1.1\r\n\r\n", FrameInvalid),
        (b"\xff" * HEADER_SIZE_BYTES, FrameInvalid),
    ],
)
def test_nothing_but_a_short_hello_opens_a_connection(bad: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        FrameParser().feed(bad)


def test_a_ping_carries_nothing() -> None:
    parser = FrameParser()
    parser.feed(HELLO)
    with pytest.raises(LimitExceeded):
        parser.feed(header(size=1, channel=0, kind=FrameKind.PING, request_id=1))


def test_own_oversized_payloads_are_refused_before_they_are_sent() -> None:
    check_payload(Channel.VOTES, bytes(PAYLOAD_BYTES_MAX[Channel.VOTES]))
    with pytest.raises(LimitExceeded):
        check_payload(Channel.VOTES, bytes(PAYLOAD_BYTES_MAX[Channel.VOTES] + 1))
    with pytest.raises(InvariantViolation):
        encode_frame(Frame(FrameKind.MESSAGE, Channel.VOTES, payload=bytes(64 * 1024 + 1)))
    with pytest.raises(InvariantViolation):
        encode_frame(Frame(FrameKind.PING, Channel.VOTES, 1))
