"""Frames: how messages lie on a peer connection.

    length   4 bytes  big-endian; number of bytes after this field
    channel  1 byte   `Channel`, or 0 for HELLO, PING and PONG
    kind     1 byte   `FrameKind`
    request  8 bytes  big-endian; pairs RESPONSE and ERROR with a REQUEST, PONG with a PING; otherwise 0
    payload  the rest

Rule: pure and bounded. A length is judged against its channel's bound as soon as its fourteen header bytes
are there and before anything is kept for it; the first frame of a connection is a HELLO and no other frame
is.
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
    TRANSACTIONS = 3
    SYNC = 4
    BLOBS = 5


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

HELLO_BYTES_MAX: Final = 1024
ERROR_BYTES_MAX: Final = 4 * 1024
VOTES_BYTES_MAX: Final = 64 * 1024
BLOCKS_BYTES_MAX: Final = 8 * 1024 * 1024
TRANSACTIONS_BYTES_MAX: Final = 1024 * 1024
SYNC_BYTES_MAX: Final = 8 * 1024 * 1024
# A chunk of 1 MiB and the envelope around it.
BLOBS_BYTES_MAX: Final = 1024 * 1024 + 4 * 1024

PAYLOAD_BYTES_MAX: Final[dict[Channel, int]] = {
    Channel.VOTES: VOTES_BYTES_MAX,
    Channel.BLOCKS: BLOCKS_BYTES_MAX,
    Channel.TRANSACTIONS: TRANSACTIONS_BYTES_MAX,
    Channel.SYNC: SYNC_BYTES_MAX,
    Channel.BLOBS: BLOBS_BYTES_MAX,
}

_HEADER: Final = Struct(">IBBQ")
_LENGTH_SIZE_BYTES: Final = 4
HEADER_SIZE_BYTES: Final = _HEADER.size
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
        """Its size on the wire."""
        return HEADER_SIZE_BYTES + len(self.payload)


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


def frame_header(frame: Frame) -> bytes:
    """The header of a frame that obeys the rules above; the payload follows it on the wire."""
    invariant(
        (frame.channel is None) == (frame.kind in _CONTROL_KINDS), f"{frame.kind.name} on the wrong channel"
    )
    invariant(
        len(frame.payload) <= payload_bytes_max(frame.kind, frame.channel), "an oversized frame was made"
    )
    channel = CONTROL_CHANNEL if frame.channel is None else frame.channel
    length = frame.size_bytes - _LENGTH_SIZE_BYTES
    return _HEADER.pack(length, channel, frame.kind, frame.request_id)


def encode_frame(frame: Frame) -> bytes:
    """A whole frame in one piece."""
    return frame_header(frame) + frame.payload


def _read_header(buffer: bytearray, position: int) -> tuple[FrameKind, Channel | None, int, int]:
    """Kind, channel, request id and payload size of the header at `position`, or why it is no header."""
    length, channel_number, kind_number, request_id = _HEADER.unpack_from(buffer, position)
    try:
        kind = FrameKind(kind_number)
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
    maximum = payload_bytes_max(kind, channel)
    if size_bytes > maximum:
        name = "control" if channel is None else channel.name.lower()
        raise LimitExceeded(limit=f"{name} frame bytes", maximum=maximum, actual=size_bytes)
    return kind, channel, request_id, size_bytes


class FrameParser:
    """Turns the bytes of one connection into frames, whatever pieces they arrive in.

    After it has raised, the connection has to be closed; every later call raises again.
    """

    __slots__ = ("_buffer", "_failed", "_greeted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False
        self._failed = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of a frame that is not complete yet; never more than one frame and one read."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the connection.

        Args:
            data: any number of bytes.

        Returns:
            The frames that they complete, in order.

        Raises:
            FrameInvalid: the bytes are no frame, or a HELLO is missing or not the first.
            LimitExceeded: a frame announces more than its channel's bound.
        """
        if self._failed:
            raise FrameInvalid(reason="bytes after a malformed frame")
        self._buffer += data
        try:
            return self._take_frames()
        except (FrameInvalid, LimitExceeded):
            self._failed = True
            self._buffer.clear()
            raise

    def _take_frames(self) -> list[Frame]:
        frames: list[Frame] = []
        position = 0
        while len(self._buffer) - position >= HEADER_SIZE_BYTES:
            kind, channel, request_id, size_bytes = _read_header(self._buffer, position)
            if (kind is FrameKind.HELLO) == self._greeted:
                raise FrameInvalid(reason="a second HELLO" if self._greeted else f"{kind.name} before HELLO")
            end = position + HEADER_SIZE_BYTES + size_bytes
            if len(self._buffer) < end:
                break
            frames.append(
                Frame(kind, channel, request_id, bytes(self._buffer[position + HEADER_SIZE_BYTES : end]))
            )
            self._greeted = True
            position = end
        del self._buffer[:position]
        return frames
