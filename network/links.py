"""A link: what this node knows of one peer, over all its connections, and which connection counts.

Rule: at most one connection a peer. Both sides may dial, and both decide alike which of two connections stays
(`replaces`), so that they never keep one each. A link reports each change once: connected, then disconnected,
in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509

from ledger.errors import InvariantViolation, LedgerError, Unavailable
from network.errors import DuplicateConnection, PinMismatch
from network.frames import Channel, Frame, FrameKind, check_payload
from network.lanes import lane_name, lane_of
from network.logs import Logger
from network.rpc import FatalHandler, PeerRequests, RequestHandler
from network.tcp import PeerConnection, Traffic
from network.tls import certificate_expires_at_ms, load_certificate, spki_sha256

MessageHandler = Callable[[bytes, Channel, bytes], None]
PeerCallback = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddress:
    """A peer as genesis and the operator's configuration describe it.

    Attributes:
        node_id: the operator's account id, 16 bytes.
        name: what people call it.
        host: name or IP address to dial.
        port: 1 to 65535.
        spki_sha256: what genesis pins (`GenesisOperator.tls_spki`).
        certificate_pem: the X.509 certificate that carries that key.
    """

    node_id: bytes
    name: str
    host: str
    port: int
    spki_sha256: bytes
    certificate_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """How a peer stands now, for people and metrics.

    Attributes:
        node_id, name, host, port: whose status it is.
        connected: whether messages can be sent.
        dialed: whether this side opened the connection.
        rtt_ms: last measured round trip, or None.
        version: protocol version agreed, 0 while disconnected.
        release: the peer's software release, empty before the first connection.
        sent_bytes, received_bytes: frames, since start.
        queued_bytes: waiting in the send lanes now.
        unsent_frames: frames that full lanes cost since start, by lane.
        connections: how often a connection was made since start.
        last_error: code of the last error, empty if there was none.
        certificate_expires_at_ms: when the peer's X.509 certificate ends, Unix milliseconds.
    """

    node_id: bytes
    name: str
    host: str
    port: int
    connected: bool
    dialed: bool
    rtt_ms: float | None
    version: int
    release: str
    sent_bytes: int
    received_bytes: int
    queued_bytes: int
    unsent_frames: dict[str, int]
    connections: int
    last_error: str
    certificate_expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """What the owner of the network does with what peers send; see `PeerNetwork`."""

    on_message: MessageHandler
    on_request: RequestHandler
    on_connect: PeerCallback
    on_disconnect: PeerCallback
    on_fatal: FatalHandler


def check_certificate(address: PeerAddress) -> x509.Certificate:
    """The peer's certificate, if its key is the pinned one.

    Raises:
        TlsIdentityInvalid: it is no X.509 certificate.
        PinMismatch: it carries another key.
    """
    certificate = load_certificate(address.certificate_pem, source=address.name)
    actual = spki_sha256(certificate)
    if actual != address.spki_sha256:
        raise PinMismatch(peer=address.name, expected=address.spki_sha256.hex(), actual=actual.hex())
    return certificate


def replaces(*, current_dialed: bool, new_dialed: bool, restarted: bool, own_is_lower: bool) -> bool:
    """Whether a second connection to a peer takes the first one's place; both sides judge alike.

    A restarted peer has forgotten the first. A side that dials again has given up its first. When each side
    has dialed one, that of the lower id stays.

    Args:
        current_dialed: whether this side opened the connection it has.
        new_dialed: whether this side opened the new one.
        restarted: whether the peer was started anew in between.
        own_is_lower: whether this node's id is lower than the peer's.
    """
    return restarted or new_dialed in {current_dialed, own_is_lower}


class PeerLink:
    """One peer."""

    def __init__(self, own_node: bytes, address: PeerAddress, handlers: Handlers, logger: Logger) -> None:
        self.address = address
        self.certificate = check_certificate(address)
        self.connection: PeerConnection | None = None
        self.last_error = ""
        self._own_node = own_node
        self._handlers = handlers
        self._logger = logger
        self._traffic = Traffic()
        self._requests: PeerRequests | None = None
        self._release = ""
        self._connections = 0

    def adopt(self, connection: PeerConnection) -> Traffic:
        """Make a connection the link's own.

        Raises:
            DuplicateConnection: the one it has is to stay.
        """
        current = self.connection
        if current is not None:
            if not replaces(
                current_dialed=current.dialed,
                new_dialed=connection.dialed,
                restarted=connection.peer.instance != current.peer.instance,
                own_is_lower=self._own_node < self.address.node_id,
            ):
                raise DuplicateConnection(peer=self.address.name)
            error = DuplicateConnection(peer=self.address.name)
            self.release(current, error)
            current.close(error)
        self.connection = connection
        self._release = connection.peer.release
        self._connections += 1
        self.last_error = ""
        self._requests = PeerRequests(
            peer=self.address.node_id,
            name=self.address.name,
            send=connection.send,
            serve=self._handlers.on_request,
            on_fatal=self._handlers.on_fatal,
            logger=self._logger,
        )
        self._logger.info(
            "peer.connected", peer=self.address.name, release=self._release, dialed=connection.dialed
        )
        self._handlers.on_connect(self.address.node_id)
        return self._traffic

    def release(self, connection: PeerConnection, error: LedgerError) -> None:
        """A connection is gone; nothing happens if it was replaced before."""
        if connection is not self.connection:
            return
        self.connection = None
        self.last_error = error.code
        if self._requests is not None:
            self._requests.end(error)
            self._requests = None
        self._logger.info("peer.disconnected", peer=self.address.name, reason=str(error))
        self._handlers.on_disconnect(self.address.node_id)

    def receive(self, connection: PeerConnection, frame: Frame) -> None:
        """Hand a frame to whom it concerns. A LedgerError from the message handler is the peer's fault."""
        if connection is not self.connection or frame.channel is None:
            return
        if frame.kind is not FrameKind.MESSAGE:
            if self._requests is not None:
                self._requests.receive(frame)
            return
        try:
            self._handlers.on_message(self.address.node_id, frame.channel, frame.payload)
        except LedgerError as error:
            if self.last_error != error.code:
                self._logger.warning("peer.bad_message", peer=self.address.name, reason=str(error))
            self.last_error = error.code
        except InvariantViolation as violation:
            self._handlers.on_fatal(violation)

    def unsent(self, connection: PeerConnection, frame: Frame) -> None:
        """Count a frame that a full lane cost, and tell who waits for it."""
        lane = lane_name(lane_of(frame))
        self._traffic.unsent_frames[lane] = self._traffic.unsent_frames.get(lane, 0) + 1
        if connection is self.connection and self._requests is not None:
            self._requests.unsent(frame)

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a message; False when it will not be sent."""
        check_payload(channel, payload)
        return self.connection is not None and self.connection.send(
            Frame(FrameKind.MESSAGE, channel, payload=payload)
        )

    async def request(self, channel: Channel, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask the peer; see `PeerNetwork.request`."""
        check_payload(channel, payload)
        if self._requests is None:
            raise Unavailable(what=self.address.name, reason="not connected")
        return await self._requests.ask(channel, payload, timeout_s=timeout_s)

    def status(self) -> PeerStatus:
        """How it stands now."""
        connection = self.connection
        return PeerStatus(
            node_id=self.address.node_id,
            name=self.address.name,
            host=self.address.host,
            port=self.address.port,
            connected=connection is not None,
            dialed=connection is not None and connection.dialed,
            rtt_ms=connection.rtt_ms if connection else None,
            version=connection.version if connection else 0,
            release=self._release,
            sent_bytes=self._traffic.sent_bytes,
            received_bytes=self._traffic.received_bytes,
            queued_bytes=connection.queued_bytes if connection else 0,
            unsent_frames=dict(self._traffic.unsent_frames),
            connections=self._connections,
            last_error=self.last_error,
            certificate_expires_at_ms=certificate_expires_at_ms(self.certificate),
        )
