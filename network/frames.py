"""Frames: how messages lie on a peer connection.

A frame is one message. It travels in fragments, so that what is urgent waits behind one fragment of what is large and
not behind all of it:

    length   4 bytes  big-endian; number of bytes after this field
    channel  1 byte   `Channel`, or 0 for HELLO, PING and PONG
    kind     1 byte   `FrameKind`; the highest bit is set when more fragments of this frame follow
    request  8 bytes  big-endian; pairs RESPONSE and ERROR with a REQUEST, PONG with a PING; otherwise 0
    payload  the rest, at most `FRAGMENT_BYTES_MAX`

Rule: pure and bounded. There is one way to cut a frame: every fragment but the last is full, and a last one that
follows others is not empty. Fragments of one channel's frame follow each other; only those of other channels, and
frames that are never cut (ERROR and the control frames), come in between, so a receiver holds at most one unfinished
frame a channel. A fragment is judged against its channel's bound as soon as its fourteen header bytes are there and
before anything is kept for it; the first frame of a connection is a HELLO and no other frame is.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from msgspec import Struct as MsgStruct

from ledger.errors import LimitExceeded, invariant
from network.errors import FrameInvalid


class Channel(IntEnum):
    """What a payload is about; the lower the number, the sooner it is written."""

    VOTES = 1
    BLOCKS = 2
    SHARES = 3
    TRANSACTIONS = 4
    SYNC = 5
    BLOBS = 6
    SNAPSHOT = 7


class FrameKind(IntEnum):
    """What a frame does."""

    HELLO = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    REQUEST = 5
    RESPONSE = 6
    ERROR = 7


CONTROL_CHANNEL: Final = 0
REQUEST_ID_MAX: Final = 2**64 - 1

# What a vote waits behind: 2.6 ms on a line of 100 Mbit/s.
FRAGMENT_BYTES_MAX: Final = 32 * 1024

HELLO_BYTES_MAX: Final = 4096
ERROR_BYTES_MAX: Final = 4 * 1024
VOTES_BYTES_MAX: Final = 64 * 1024
BLOCKS_BYTES_MAX: Final = 8 * 1024 * 1024
# What uses a key share, and pieces of one: 128 KiB of payload and the envelope around it.
SHARES_BYTES_MAX: Final = 192 * 1024
# A batch of transactions as peers spread them; senders keep theirs far smaller.
TRANSACTIONS_BYTES_MAX: Final = 1024 * 1024
SYNC_BYTES_MAX: Final = 8 * 1024 * 1024
# A chunk of 1 MiB and the envelope around it.
BLOBS_BYTES_MAX: Final = 1024 * 1024 + 4 * 1024
# A chunk of a state snapshot, whose entries are cut at 1 MiB, and its proof.
SNAPSHOT_BYTES_MAX: Final = 1280 * 1024

PAYLOAD_BYTES_MAX: Final[dict[Channel, int]] = {
    Channel.VOTES: VOTES_BYTES_MAX,
    Channel.BLOCKS: BLOCKS_BYTES_MAX,
    Channel.SHARES: SHARES_BYTES_MAX,
    Channel.TRANSACTIONS: TRANSACTIONS_BYTES_MAX,
    Channel.SYNC: SYNC_BYTES_MAX,
    Channel.BLOBS: BLOBS_BYTES_MAX,
    Channel.SNAPSHOT: SNAPSHOT_BYTES_MAX,
}

_HEADER: Final = Struct(">IBBQ")
_LENGTH_SIZE_BYTES: Final = 4
HEADER_SIZE_BYTES: Final = _HEADER.size
_MORE: Final = 0x80
_CONTROL_KINDS: Final = {FrameKind.HELLO: HELLO_BYTES_MAX, FrameKind.PING: 0, FrameKind.PONG: 0}
_UNNUMBERED_KINDS: Final = frozenset({FrameKind.HELLO, FrameKind.MESSAGE})


class Frame(MsgStruct, frozen=True, gc=False):
    """One frame.

    Attributes:
        kind: what it does.
        channel: None for HELLO, PING and PONG.
        request_id: 0 for HELLO and MESSAGE, else 1 to `REQUEST_ID_MAX`.
        payload: at most `payload_bytes_max(kind, channel)` bytes.
    """

    kind: FrameKind
    channel: Channel | None = None
    request_id: int = 0
    payload: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Its size on the wire, but for the headers of further fragments."""
        return HEADER_SIZE_BYTES + len(self.payload)


class Fragment(MsgStruct, frozen=True, gc=False):
    """A frame's payload from `start` to `end`, as one piece on the wire."""

    frame: Frame
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        """Whether the frame ends with it."""
        return self.end == len(self.frame.payload)


def payload_bytes_max(kind: FrameKind, channel: Channel | None) -> int:
    """The bound on the payload of a frame of that kind on that channel."""
    if channel is None:
        return _CONTROL_KINDS[kind]
    return ERROR_BYTES_MAX if kind is FrameKind.ERROR else PAYLOAD_BYTES_MAX[channel]


def check_payload(channel: Channel, payload: bytes) -> None:
    """Refuse a payload that no peer would accept on `channel`.

    Raises:
        LimitExceeded: it is larger than the channel's bound.
    """
    maximum = PAYLOAD_BYTES_MAX[channel]
    if len(payload) > maximum:
        raise LimitExceeded(limit=f"{channel.name.lower()} frame bytes", maximum=maximum, actual=len(payload))


def next_fragment(frame: Frame, start: int) -> Fragment:
    """The fragment that begins at `start`, of a frame that obeys the rules above."""
    return Fragment(frame, start, min(start + FRAGMENT_BYTES_MAX, len(frame.payload)))


def encode_fragment(fragment: Fragment) -> tuple[bytes, memoryview]:
    """Header and payload of a fragment, as they follow each other on the wire."""
    frame = fragment.frame
    invariant(
        (frame.channel is None) == (frame.kind in _CONTROL_KINDS), f"{frame.kind.name} on the wrong channel"
    )
    invariant(
        len(frame.payload) <= payload_bytes_max(frame.kind, frame.channel), "an oversized frame was made"
    )
    channel = CONTROL_CHANNEL if frame.channel is None else frame.channel
    kind = frame.kind if fragment.is_last else frame.kind | _MORE
    length = HEADER_SIZE_BYTES - _LENGTH_SIZE_BYTES + fragment.end - fragment.start
    header = _HEADER.pack(length, channel, kind, frame.request_id)
    return header, memoryview(frame.payload)[fragment.start : fragment.end]


def encode_frame(frame: Frame) -> bytes:
    """A whole frame, its fragments one after the other."""
    parts: list[bytes | memoryview] = []
    fragment = next_fragment(frame, 0)
    parts += encode_fragment(fragment)
    while not fragment.is_last:
        fragment = next_fragment(frame, fragment.end)
        parts += encode_fragment(fragment)
    return b"".join(parts)


class _Header(MsgStruct, frozen=True, gc=False):
    """Of a fragment."""

    kind: FrameKind
    channel: Channel | None
    request_id: int
    size_bytes: int
    more: bool


def _read_header(buffer: bytearray, position: int) -> _Header:
    """The header at `position`, or why it is none; the channel's bound is not judged yet."""
    length, channel_number, kind_number, request_id = _HEADER.unpack_from(buffer, position)
    try:
        kind = FrameKind(kind_number & ~_MORE)
        channel = None if channel_number == CONTROL_CHANNEL else Channel(channel_number)
    except ValueError as error:
        raise FrameInvalid(reason=str(error)) from None
    if (channel is None) != (kind in _CONTROL_KINDS):
        raise FrameInvalid(reason=f"{kind.name} on channel {channel_number}")
    if (request_id == 0) != (kind in _UNNUMBERED_KINDS):
        raise FrameInvalid(reason=f"{kind.name} with request id {request_id}")
    size_bytes = length - (HEADER_SIZE_BYTES - _LENGTH_SIZE_BYTES)
    if size_bytes < 0:
        raise FrameInvalid(reason=f"length {length} is shorter than a header")
    more = bool(kind_number & _MORE)
    if more and (channel is None or kind is FrameKind.ERROR):
        raise FrameInvalid(reason=f"{kind.name} in fragments")
    if size_bytes > FRAGMENT_BYTES_MAX:
        raise LimitExceeded(limit="fragment bytes", maximum=FRAGMENT_BYTES_MAX, actual=size_bytes)
    if more and size_bytes < FRAGMENT_BYTES_MAX:
        raise FrameInvalid(reason=f"a fragment of {size_bytes} bytes with more to follow")
    return _Header(kind, channel, request_id, size_bytes, more)


class _Unfinished:
    """A frame of which some fragments have come."""

    __slots__ = ("kind", "payload", "request_id")

    def __init__(self, header: _Header) -> None:
        self.kind = header.kind
        self.request_id = header.request_id
        self.payload = bytearray()


class FrameParser:
    """Turns the bytes of one connection into frames, whatever pieces they arrive in.

    After it has raised, the connection has to be closed; every later call raises again.
    """

    __slots__ = ("_buffer", "_failed", "_greeted", "_unfinished")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._unfinished: dict[Channel, _Unfinished] = {}
        self._greeted = False
        self._failed = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept: of the fragment that is not complete, and of at most one unfinished frame a channel."""
        return len(self._buffer) + sum(len(frame.payload) for frame in self._unfinished.values())

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the connection.

        Args:
            data: any number of bytes.

        Returns:
            The frames that they complete, in order of completion.

        Raises:
            FrameInvalid: the bytes are no frame, or a HELLO is missing or not the first.
            LimitExceeded: a fragment is too large, or a frame comes to more than its channel's bound.
        """
        if self._failed:
            raise FrameInvalid(reason="bytes after a malformed frame")
        self._buffer += data
        try:
            return self._take_frames()
        except (FrameInvalid, LimitExceeded):
            self._failed = True
            self._buffer.clear()
            self._unfinished.clear()
            raise

    def _take_frames(self) -> list[Frame]:
        frames: list[Frame] = []
        position = 0
        while len(self._buffer) - position >= HEADER_SIZE_BYTES:
            header = _read_header(self._buffer, position)
            if (header.kind is FrameKind.HELLO) == self._greeted:
                raise FrameInvalid(
                    reason="a second HELLO" if self._greeted else f"{header.kind.name} before HELLO"
                )
            self._check_place(header)
            begin, end = position + HEADER_SIZE_BYTES, position + HEADER_SIZE_BYTES + header.size_bytes
            if len(self._buffer) < end:
                break
            frame = self._take(header, begin, end)
            if frame is not None:
                frames.append(frame)
            self._greeted = True
            position = end
        del self._buffer[:position]
        return frames

    def _check_place(self, header: _Header) -> None:
        """Whether the fragment fits what came before it on its channel, in kind and in size."""
        unfinished = self._unfinished_of(header)
        before_bytes = 0
        if unfinished is not None:
            if (header.kind, header.request_id) != (unfinished.kind, unfinished.request_id):
                raise FrameInvalid(reason=f"{header.kind.name} amid an unfinished {unfinished.kind.name}")
            if header.size_bytes == 0:
                raise FrameInvalid(reason="an empty last fragment")
            before_bytes = len(unfinished.payload)
        maximum = payload_bytes_max(header.kind, header.channel)
        # A fragment that announces more is followed by at least one byte.
        size_bytes = before_bytes + header.size_bytes + header.more
        if size_bytes > maximum:
            name = "control" if header.channel is None else header.channel.name.lower()
            raise LimitExceeded(limit=f"{name} frame bytes", maximum=maximum, actual=size_bytes)

    def _take(self, header: _Header, begin: int, end: int) -> Frame | None:
        """Keep a fragment; the frame, when it is the last."""
        unfinished = self._unfinished_of(header)
        if unfinished is None:
            if header.channel is None or not header.more:
                payload = bytes(self._buffer[begin:end])
                return Frame(header.kind, header.channel, header.request_id, payload)
            unfinished = self._unfinished[header.channel] = _Unfinished(header)
        unfinished.payload += self._buffer[begin:end]
        if header.channel is None or header.more:
            return None
        del self._unfinished[header.channel]
        return Frame(header.kind, header.channel, header.request_id, bytes(unfinished.payload))

    def _unfinished_of(self, header: _Header) -> _Unfinished | None:
        """The frame that a fragment belongs to; frames that are never cut belong to none."""
        if header.channel is None or header.kind is FrameKind.ERROR:
            return None
        return self._unfinished.get(header.channel)
