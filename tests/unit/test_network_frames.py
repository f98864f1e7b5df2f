"""Frames survive any cutting into pieces, and hostile bytes are refused before they cost memory."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvariantViolation, LimitExceeded
from network.errors import FrameInvalid
from network.frames import (
    HEADER_SIZE_BYTES,
    HELLO_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REQUEST_ID_MAX,
    Channel,
    Frame,
    FrameKind,
    FrameParser,
    check_payload,
    encode_frame,
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


@pytest.mark.parametrize("channel", list(Channel))
def test_a_length_over_the_channels_bound_is_refused_by_its_header_alone(channel: Channel) -> None:
    maximum = PAYLOAD_BYTES_MAX[channel]
    parser = FrameParser()
    parser.feed(HELLO)
    assert parser.feed(header(size=maximum, channel=channel, kind=FrameKind.MESSAGE, request_id=0)) == []
    greedy = FrameParser()
    greedy.feed(HELLO)
    with pytest.raises(LimitExceeded) as refused:
        greedy.feed(header(size=maximum + 1, channel=channel, kind=FrameKind.MESSAGE, request_id=0))
    assert refused.value.fields["maximum"] == maximum
    assert refused.value.fields["actual"] == maximum + 1


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
        (header(size=8 << 20, channel=Channel.BLOCKS, kind=FrameKind.MESSAGE, request_id=0), FrameInvalid),
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
