"""One connection to one peer: bytes in, frames out, and the other way round.

Rule: an `asyncio.Protocol` that decides nothing about peers; its owner does. It writes only while the
transport takes more (back-pressure), most urgent lane first, and it closes itself when nothing was heard for
`dead_after_ms`. Between `connection_ready` and `connection_closed` the owner may send; each of the two is
called at most once, in that order.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, cast

from ledger.errors import LedgerError
from network.errors import ConnectionEnded
from network.frames import FRAGMENT_BYTES_MAX, Frame, FrameKind, FrameParser, encode_fragment, encode_frame
from network.handshake import Hello, agree, decode_hello, encode_hello
from network.lanes import SendLanes
from network.tls import spki_of_peer, tls_failure

# Small frames are joined up to this size before they are encrypted: one record and one system call for many votes.
WRITE_BATCH_BYTES: Final = FRAGMENT_BYTES_MAX
# What lies in the transport, and in the system without being on its way, is out of reach of the lanes: it is kept short.
WRITE_BUFFER_BYTES_MAX: Final = 64 * 1024
UNSENT_BYTES_MAX: Final = 128 * 1024
CLOSED: Final = "closed by the peer"
# In TLS 1.3 the listening side judges last, and it says nothing when it refuses.
REFUSED: Final = "closed by the peer before its HELLO; its ledger may not name this node's certificate yet"
TLS_SHUTDOWN_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTimings:
    """How long things take, in milliseconds.

    Attributes:
        ping_interval_ms: time between keep-alive pings.
        dead_after_ms: a peer silent for so long is given up; several ping intervals.
        handshake_timeout_ms: bound on TCP connect, TLS and HELLO, each connection together.
        dial_grace_ms: the side with the higher id dials so much later, since the other dials at once.
        redial_min_ms: pause before the second attempt; doubles with each failure.
        redial_max_ms: longest pause between attempts.
        stable_after_ms: a connection that lived so long sets the pause back to `redial_min_ms`.
        renewal_pause_ms: after a change of this node's certificate its connections are made anew one by one, so far apart.
    """

    ping_interval_ms: int = 2_000
    dead_after_ms: int = 7_000
    handshake_timeout_ms: int = 5_000
    dial_grace_ms: int = 500
    redial_min_ms: int = 100
    redial_max_ms: int = 5_000
    stable_after_ms: int = 5_000
    renewal_pause_ms: int = 1_000


class Traffic:
    """Counters of one peer, over all of its connections."""

    __slots__ = ("received_bytes", "sent_bytes", "unsent_frames")

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self.unsent_frames: dict[str, int] = {}


class ConnectionOwner(Protocol):
    """What a connection asks of, and tells, the peer network."""

    @property
    def peer_name(self) -> str:
        """Who it is or should be, for messages."""
        ...

    def identify(self, key: bytes) -> Collection[bytes]:
        """Accounts whose key that is (SHA-256 of the SPKI); a LedgerError when it is nobody's or another's."""
        ...

    def connection_ready(self, connection: PeerConnection) -> Traffic:
        """The handshake is done; where to count. Raises a LedgerError to have the connection closed."""
        ...

    def connection_frame(self, connection: PeerConnection, frame: Frame) -> None: ...

    def connection_unsent(self, connection: PeerConnection, frame: Frame) -> None:
        """A full lane cost this frame."""
        ...

    def connection_closed(self, connection: PeerConnection, error: LedgerError) -> None: ...


class PeerConnection(asyncio.Protocol):
    """A TLS session with a peer.

    Attributes:
        ready: done when the handshake is; fails with the reason when there will be none.
        closed: done, with the reason, when the connection is gone.
        dialed: whether this side opened it.
        generation: which of this node's own certificates it was made with, as the owner counts them.
        key: SHA-256 of the key that the peer has proved, once it has.
        peer: the peer's HELLO, once `ready`.
        version: the protocol version agreed, once `ready`.
        rtt_ms: last measured round trip, or None.
    """

    def __init__(
        self, own: Hello, owner: ConnectionOwner, timings: NetworkTimings, *, dialed: bool, generation: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[LedgerError] = self._loop.create_future()
        self.dialed = dialed
        self.generation = generation
        self.key = b""
        self.peer = own
        self.version = 0
        self.rtt_ms: float | None = None
        self._own = own
        self._owner = owner
        self._timings = timings
        self._transport: asyncio.Transport | None = None
        self._parser = FrameParser()
        self._lanes = SendLanes()
        self._traffic = Traffic()
        self._holders: Collection[bytes] = ()
        self._error: LedgerError | None = None
        self._paused = False
        self._flush: asyncio.Handle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._last_tick_s = self._last_heard_s = self._loop.time()

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, without what the transport holds already."""
        return self._lanes.size_bytes

    def send(self, frame: Frame) -> bool:
        """Queue a frame; False when it will not be sent."""
        if self._error is not None or self._transport is None:
            return False
        unsent = self._lanes.push(frame)
        if self._flush is None and not self._paused:
            self._flush = self._loop.call_soon(self._write_waiting)
        for lost in unsent:
            self._owner.connection_unsent(self, lost)
        return all(lost is not frame for lost in unsent)

    def close(self, error: LedgerError, *, abort: bool = False) -> None:
        """End the connection for the reason given; with `abort` at once, without a farewell."""
        self._error = self._error or error
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands: see whose key it is, and say hello."""
        # uvloop's TLS transport is one in all but its base class, so that isinstance would refuse it.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        _bound_unsent(transport.get_extra_info("socket"))
        try:
            self.key = spki_of_peer(transport.get_extra_info("ssl_object"))
            self._holders = self._owner.identify(self.key)
        except LedgerError as error:
            self.close(error)
            return
        self._transport.write(encode_frame(Frame(FrameKind.HELLO, payload=encode_hello(self._own))))

    def data_received(self, data: bytes) -> None:
        """Hand every complete frame on; a malformed one ends the connection."""
        self._last_heard_s = self._loop.time()
        self._traffic.received_bytes += len(data)
        if self._error is not None:
            return
        try:
            for frame in self._parser.feed(data):
                self._receive(frame)
                if self._error is not None:
                    return
        except LedgerError as error:
            self.close(error)

    def pause_writing(self) -> None:
        """The transport holds enough: the rest waits in the lanes."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._write_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, whoever ended it."""
        for handle in (self._flush, self._tick_timer):
            if handle is not None:
                handle.cancel()
        if isinstance(exc, ssl.SSLError):
            ended: LedgerError = tls_failure(exc, self._owner.peer_name)
        else:
            ended = ConnectionEnded(reason=str(exc or (CLOSED if self.ready.done() else REFUSED)))
        error = self._error = self._error or ended
        was_ready = self.ready.done()
        if not was_ready:
            self.ready.set_exception(error)
            # Whoever waited may have been cancelled; the reason is in `closed` as well.
            self.ready.exception()
        if not self.closed.done():
            self.closed.set_result(error)
        if was_ready:
            self._owner.connection_closed(self, error)

    # inside

    def _receive(self, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.HELLO:
                self._greet(decode_hello(frame.payload))
            case FrameKind.PING:
                self.send(Frame(FrameKind.PONG, request_id=frame.request_id))
            case FrameKind.PONG:
                rtt_us = self._now_us() - frame.request_id
                if 0 <= rtt_us <= self._timings.dead_after_ms * 1000:
                    self.rtt_ms = rtt_us / 1000
            case FrameKind.MESSAGE | FrameKind.REQUEST | FrameKind.RESPONSE | FrameKind.ERROR:
                self._owner.connection_frame(self, frame)

    def _greet(self, theirs: Hello) -> None:
        self.version = agree(self._own, theirs, self._holders)
        self.peer = theirs
        traffic = self._owner.connection_ready(self)
        traffic.received_bytes += self._traffic.received_bytes
        self._traffic = traffic
        self.ready.set_result(None)
        self._last_tick_s = self._loop.time() - self._timings.ping_interval_ms / 1000
        self._tick()

    def _write_waiting(self) -> None:
        self._flush = None
        while self._transport is not None and self._error is None and not self._paused:
            fragments = self._lanes.pop(WRITE_BATCH_BYTES)
            if not fragments:
                return
            data = b"".join(part for fragment in fragments for part in encode_fragment(fragment))
            self._traffic.sent_bytes += len(data)
            self._transport.write(data)

    def _now_us(self) -> int:
        """The loop's clock, over 0: the number of a ping, which its pong brings back."""
        return 1 + int(self._loop.time() * 1_000_000)

    def _tick(self) -> None:
        """Ping, or give a silent peer up."""
        now_s, interval_s = self._loop.time(), self._timings.ping_interval_ms / 1000
        if now_s - self._last_tick_s > 2 * interval_s:
            # It was this process that stood still; what the peer sent meanwhile is not read yet.
            self._last_heard_s = now_s
        self._last_tick_s = now_s
        silent_ms = int((now_s - self._last_heard_s) * 1000)
        if silent_ms > self._timings.dead_after_ms:
            self.close(ConnectionEnded(reason=f"nothing heard for {silent_ms} ms"), abort=True)
            return
        self.send(Frame(FrameKind.PING, request_id=self._now_us()))
        self._tick_timer = self._loop.call_later(interval_s, self._tick)


def _bound_unsent(transport_socket: socket.socket | None) -> None:
    """Have the system take more only when little of what it has is still to be sent, where it can."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if transport_socket is None or option is None:
        return
    # The transport's own socket object is not for use; a second one on the same connection is.
    with suppress(OSError), transport_socket.dup() as own:
        own.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES_MAX)
