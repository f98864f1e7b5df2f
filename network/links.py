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
from network.errors import DuplicateConnection, PinMismatch, TlsIdentityInvalid
from network.frames import Channel, Frame, FrameKind, check_payload
from network.lanes import lane_name, lane_of
from network.logs import Logger
from network.rpc import FatalHandler, PeerRequests, RequestHandler
from network.tcp import PeerConnection, Traffic
from network.tls import certificate_expires_at_ms, load_certificate_der, spki_sha256

MessageHandler = Callable[[bytes, Channel, bytes], None]
PeerCallback = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddress:
    """A peer as the ledger and the operator's configuration describe it.

    Attributes:
        node_id: its account id, 16 bytes.
        name: what people call it.
        host: name or IP address to dial.
        port: 1 to 65535.
        certificates: its X.509 certificates, DER, mostly one; exactly their keys are accepted from it. One that cannot be
            used is passed over with a warning, for its node's mistake must not harm others.
    """

    node_id: bytes
    name: str
    host: str
    port: int
    certificates: tuple[bytes, ...]


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
        ledger_versions: lowest and highest version of blocks that release can judge; (0, 0) before the first connection.
        contracts: latest version of each contract that release has, by name; empty before the first connection.
        sent_bytes, received_bytes: frames, since start.
        queued_bytes: waiting in the send lanes now.
        unsent_frames: frames that full lanes cost since start, by lane.
        connections: how often a connection was made since start.
        last_error: code of the last error, empty if there was none.
        certificate_expires_at_ms: when the last of the peer's X.509 certificates ends, Unix milliseconds; 0 if none of
            them can be used.
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
    ledger_versions: tuple[int, int]
    contracts: dict[str, int]
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
        self.certificates: dict[bytes, x509.Certificate] = {}
        self.connection: PeerConnection | None = None
        self.last_error = ""
        self._own_node = own_node
        self._handlers = handlers
        self._logger = logger
        self._traffic = Traffic()
        self._requests: PeerRequests | None = None
        self._release = ""
        self._ledger_versions = (0, 0)
        self._contracts: dict[str, int] = {}
        self._connections = 0
        self._load_certificates()

    def update(self, address: PeerAddress) -> None:
        """The peer is described anew. A connection stays if the key that it proved is still the peer's."""
        renewed = address.certificates != self.address.certificates
        self.address = address
        if not renewed:
            return
        self._load_certificates()
        if self.connection is not None and self.connection.key not in self.certificates:
            self.end(PinMismatch(peer=address.name, actual=self.connection.key.hex()))

    def end(self, error: LedgerError) -> None:
        """Give up the connection, if there is one."""
        connection = self.connection
        if connection is not None:
            self.release(connection, error)
            connection.close(error)

    def _load_certificates(self) -> None:
        """The certificates that can be used, by the SHA-256 of their keys."""
        self.certificates = {}
        for der in self.address.certificates:
            try:
                certificate = load_certificate_der(der, source=self.address.name)
            except TlsIdentityInvalid as error:
                self._logger.warning(
                    "peer.certificate_unusable", peer=self.address.name, reason=error.message("en")
                )
                continue
            self.certificates[spki_sha256(certificate)] = certificate

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
            self.end(DuplicateConnection(peer=self.address.name))
        self.connection = connection
        self._release = connection.peer.release
        self._ledger_versions = (connection.peer.ledger_version_min, connection.peer.ledger_version_max)
        self._contracts = dict(connection.peer.contracts)
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
            "peer.connected",
            peer=self.address.name,
            release=self._release,
            version=connection.version,
            dialed=connection.dialed,
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
            ledger_versions=self._ledger_versions,
            contracts=self._contracts,
            sent_bytes=self._traffic.sent_bytes,
            received_bytes=self._traffic.received_bytes,
            queued_bytes=connection.queued_bytes if connection else 0,
            unsent_frames=dict(self._traffic.unsent_frames),
            connections=self._connections,
            last_error=self.last_error,
            certificate_expires_at_ms=max(
                map(certificate_expires_at_ms, self.certificates.values()), default=0
            ),
        )
