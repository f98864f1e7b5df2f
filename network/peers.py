"""The peer network: one authenticated connection to every validator, and messages and requests over it.

Rule: delivery is best effort and at most once, in order within a channel and connection; a `True` from `send`
means queued, not received. Whoever needs more says it again, as consensus does, or asks with `request`. Both
sides dial; a lost connection is dialed again for ever, with growing, jittered, bounded pauses. Nothing here
blocks, and everything has a bound.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

import structlog

from ledger.errors import Busy, InvariantViolation, LedgerError, Unavailable, invariant
from network.errors import PinMismatch, TlsFailed
from network.frames import Channel, Frame
from network.handshake import PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN, Hello
from network.links import Handlers, MessageHandler, PeerAddress, PeerCallback, PeerLink, PeerStatus
from network.logs import Logger
from network.rpc import FatalHandler, RequestHandler
from network.tcp import TLS_SHUTDOWN_TIMEOUT_S, NetworkTimings, PeerConnection, Traffic
from network.tls import TlsIdentity, client_context, describe_tls_error, server_context

__all__ = ["Channel", "NetworkTimings", "PeerAddress", "PeerNetwork", "PeerStatus", "TlsIdentity"]

# Connections that are not authenticated yet; one more costs the oldest of the address that has most of them.
HANDSHAKES_PENDING_MAX: Final = 64
LISTEN_BACKLOG: Final = 128
ACCEPT_RETRY_S: Final = 1.0
REJECTION_LOG_INTERVAL_S: Final = 1.0
STOP_TIMEOUT_S: Final = 2.0
EXIT_STATUS_BROKEN_INVARIANT: Final = 70


class Backoff:
    """Growing pauses between attempts.

    Args:
        timings: the shortest and the longest pause.
        jitter: gives a number from 0 to 1; spreads a pause over its upper half, so that restarted nodes do
            not dial in step.
    """

    def __init__(self, timings: NetworkTimings, jitter: Callable[[], float]) -> None:
        self._timings = timings
        self._jitter = jitter
        self._pause_ms = timings.redial_min_ms

    def next_s(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause_ms = self._pause_ms
        self._pause_ms = min(2 * pause_ms, self._timings.redial_max_ms)
        return pause_ms * (0.5 + 0.5 * self._jitter()) / 1000

    def reset(self) -> None:
        """Things went well: begin with the shortest pause again."""
        self._pause_ms = self._timings.redial_min_ms


class _Admission:
    """Owner of one connection: finds its link by the key that TLS proved, and passes everything on to it."""

    def __init__(self, links_by_spki: dict[bytes, PeerLink], dialed: PeerLink | None) -> None:
        self._links_by_spki = links_by_spki
        self._dialed = dialed
        self._link: PeerLink | None = dialed

    def identify(self, spki: bytes) -> bytes:
        link = self._links_by_spki.get(spki)
        if link is None or (self._dialed is not None and link is not self._dialed):
            name = self._dialed.address.name if self._dialed else "a dialing peer"
            expected = self._dialed.address.spki_sha256.hex() if self._dialed else "one in genesis"
            raise PinMismatch(peer=name, expected=expected, actual=spki.hex())
        self._link = link
        return link.address.node_id

    def connection_ready(self, connection: PeerConnection) -> Traffic:
        return self._known().adopt(connection)

    def connection_frame(self, connection: PeerConnection, frame: Frame) -> None:
        self._known().receive(connection, frame)

    def connection_unsent(self, connection: PeerConnection, frame: Frame) -> None:
        self._known().unsent(connection, frame)

    def connection_closed(self, connection: PeerConnection, error: LedgerError) -> None:
        self._known().release(connection, error)

    def _known(self) -> PeerLink:
        if self._link is None:
            raise InvariantViolation("a connection acted before its peer was identified")
        return self._link


def _ignore(_node_id: bytes) -> None:
    return None


class PeerNetwork:
    """This node's connections to its peers.

    Args:
        node_id: this node's account id, 16 bytes.
        chain_id: the network's identity, 32 bytes.
        tls: this node's X.509 certificate and key.
        listen: host and port to accept peers at; port 0 takes a free one (see `port`).
        peers: everybody else; each certificate has to carry the pinned key.
        on_message: (sender, channel, payload); runs in the event loop and must be quick. A LedgerError it
            raises is counted as that peer's fault.
        on_request: (sender, channel, payload) to the answer; a LedgerError it raises is told to the peer.
        on_connect, on_disconnect: called in turn with the peer's id, in the event loop.
        on_fatal: called when a handler broke an invariant; by default the process exits with status 70.
        release: this node's software release, told to peers.
        timings: time-outs and pauses.
        logger: structlog or alike.

    Raises:
        TlsIdentityInvalid: own or a peer's certificate cannot be used.
        PinMismatch: a peer's certificate carries another key than the pinned one.
    """

    def __init__(
        self,
        *,
        node_id: bytes,
        chain_id: bytes,
        tls: TlsIdentity,
        listen: tuple[str, int],
        peers: Sequence[PeerAddress],
        on_message: MessageHandler,
        on_request: RequestHandler,
        on_connect: PeerCallback = _ignore,
        on_disconnect: PeerCallback = _ignore,
        on_fatal: FatalHandler | None = None,
        release: str = "",
        timings: NetworkTimings | None = None,
        logger: Logger | None = None,
    ) -> None:
        self._logger: Logger = logger or structlog.get_logger("network")
        self._timings = timings or NetworkTimings()
        handlers = Handlers(
            on_message=on_message,
            on_request=on_request,
            on_connect=on_connect,
            on_disconnect=on_disconnect,
            on_fatal=on_fatal or self._stop_process,
        )
        self._node_id = node_id
        self._links = {peer.node_id: PeerLink(node_id, peer, handlers, self._logger) for peer in peers}
        self._links_by_spki = {link.address.spki_sha256: link for link in self._links.values()}
        invariant(len(self._links_by_spki) == len(peers), "two peers share an id or a TLS key")
        invariant(node_id not in self._links, "a node is its own peer")
        certificates = [link.certificate for link in self._links.values()]
        self._client_context = client_context(tls, certificates)
        self._server_context = server_context(tls, certificates)
        self._listen = listen
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[PeerConnection] = set()
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._rejections: dict[str, int] = {}
        self._rejections_logged_s: dict[str, float] = {}
        self._hello = Hello(
            version_min=PROTOCOL_VERSION_MIN,
            version_max=PROTOCOL_VERSION_MAX,
            chain_id=chain_id,
            node=node_id,
            release=release,
            instance=secrets.token_bytes(16),
        )

    @property
    def port(self) -> int:
        """The port it listens at; 0 before `start`."""
        return int(self._listener.getsockname()[1]) if self._listener else 0

    @property
    def rejections(self) -> dict[str, int]:
        """How many incoming connections were refused since construction, by error code."""
        return dict(self._rejections)

    async def start(self) -> None:
        """Listen, and begin to dial.

        Raises:
            Unavailable: the address cannot be listened at.
        """
        host, port = self._listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
        except OSError as error:
            raise Unavailable(
                what=f"peer address {host}:{port}", reason=error.strerror or str(error)
            ) from None
        self._listener.setblocking(False)
        self._spawn(self._accept(self._listener))
        for link in self._links.values():
            self._spawn(self._keep_connected(link))

    async def stop(self) -> None:
        """Stop dialing and listening, and close every connection; what waits to be sent is lost."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for abort in (False, True):
            for connection in tuple(self._connections):
                connection.close(Unavailable(what="this node", reason="stopping"), abort=abort)
            if self._connections:
                await asyncio.wait([c.closed for c in self._connections], timeout=STOP_TIMEOUT_S)

    def send(self, node_id: bytes, channel: Channel, payload: bytes) -> bool:
        """Queue a message for a peer.

        Args:
            node_id: account id of the receiver.
            channel: decides urgency and bound.
            payload: at most `PAYLOAD_BYTES_MAX[channel]` bytes.

        Returns:
            Whether it was queued; False when the peer is unknown or not connected, or its lane is full.

        Raises:
            LimitExceeded: the payload is too large for the channel.
        """
        link = self._links.get(node_id)
        return link is not None and link.send(channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a message for every connected peer; see `send`."""
        for link in self._links.values():
            link.send(channel, payload)

    async def request(self, node_id: bytes, channel: Channel, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask a peer.

        Args:
            node_id: account id of the peer.
            channel: decides urgency and bounds, of the answer too.
            payload: at most `PAYLOAD_BYTES_MAX[channel]` bytes.
            timeout_s: how long to wait, in seconds, over 0.

        Returns:
            The peer's answer.

        Raises:
            Unavailable: unknown or not connected, the connection was lost, or no answer in time.
            Busy: too many requests are under way here or there, or a lane is full.
            RemoteError: the peer refused; carries its error's code and message.
            LimitExceeded: the payload is too large for the channel.
        """
        link = self._links.get(node_id)
        if link is None:
            raise Unavailable(what=f"peer {node_id.hex()}", reason="not a peer of this node")
        return await link.request(channel, payload, timeout_s=timeout_s)

    def connected(self) -> tuple[bytes, ...]:
        """Ids of the peers that can be sent to now."""
        return tuple(node_id for node_id, link in self._links.items() if link.connection is not None)

    def status(self) -> tuple[PeerStatus, ...]:
        """How every peer stands now."""
        return tuple(link.status() for link in self._links.values())

    # dialing

    async def _keep_connected(self, link: PeerLink) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._timings, secrets.SystemRandom().random)
        grace_s = 0.0 if self._node_id < link.address.node_id else self._timings.dial_grace_ms / 1000
        await asyncio.sleep(grace_s)
        while True:
            connection = link.connection or await self._dial(link)
            if connection is not None:
                began_s = loop.time()
                await asyncio.wait([connection.closed])
                if loop.time() - began_s >= self._timings.stable_after_ms / 1000:
                    backoff.reset()
            await asyncio.sleep(backoff.next_s() + grace_s)

    async def _dial(self, link: PeerLink) -> PeerConnection | None:
        def open_with(connection: PeerConnection) -> Coroutine[object, object, object]:
            return asyncio.get_running_loop().create_connection(
                lambda: connection,
                link.address.host,
                link.address.port,
                ssl=self._client_context,
                ssl_handshake_timeout=self._timings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )

        result = await self._establish(open_with, link)
        if isinstance(result, PeerConnection):
            return result
        if link.connection is None and link.last_error != result.code:
            self._logger.info("peer.unreachable", peer=link.address.name, reason=str(result))
            link.last_error = result.code
        return None

    # listening

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                self._reject(Unavailable(what="peer listener", reason=error.strerror or str(error)))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self._handshakes) >= HANDSHAKES_PENDING_MAX:
                self._make_room()
            task = self._spawn(self._admit(accepted))
            self._handshakes[task] = str(address[0])
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))
            # Under a flood an accept never waits; the rest of the node has to run as well.
            await asyncio.sleep(0)

    def _make_room(self) -> None:
        """Give up a handshake, so that whoever opens connections only to hold them keeps no peer out."""
        crowd = Counter(self._handshakes.values()).most_common(1)[0][0]
        oldest = next(task for task, address in self._handshakes.items() if address == crowd)
        del self._handshakes[oldest]
        oldest.cancel()
        self._reject(Busy(what="handshakes", retry_after_s=1))

    async def _admit(self, accepted: socket.socket) -> None:
        def open_with(connection: PeerConnection) -> Coroutine[object, object, object]:
            return asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._server_context,
                ssl_handshake_timeout=self._timings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )

        result = await self._establish(open_with, None)
        if isinstance(result, LedgerError):
            self._reject(result)

    def _reject(self, error: LedgerError) -> None:
        self._rejections[error.code] = self._rejections.get(error.code, 0) + 1
        now_s = asyncio.get_running_loop().time()
        if (
            now_s - self._rejections_logged_s.get(error.code, -REJECTION_LOG_INTERVAL_S)
            >= REJECTION_LOG_INTERVAL_S
        ):
            self._rejections_logged_s[error.code] = now_s
            self._logger.warning("peer.rejected", reason=str(error), count=self._rejections[error.code])

    # both

    async def _establish(
        self,
        open_with: Callable[[PeerConnection], Coroutine[object, object, object]],
        dialed: PeerLink | None,
    ) -> PeerConnection | LedgerError:
        """Open a connection and see it through TLS and HELLO, or say why not."""
        admission = _Admission(self._links_by_spki, dialed)
        connection = PeerConnection(self._hello, admission, self._timings, dialed=dialed is not None)
        what = dialed.address.name if dialed else "dialing peer"
        error: LedgerError = Unavailable(what=what, reason="stopping")
        try:
            async with asyncio.timeout(self._timings.handshake_timeout_ms / 1000):
                await open_with(connection)
                self._connections.add(connection)
                connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
                await asyncio.wait([connection.ready])
            connection.ready.result()
            return connection
        except ssl.SSLError as failure:
            error = TlsFailed(reason=describe_tls_error(failure))
        except TimeoutError:
            error = Unavailable(
                what=what, reason=f"no handshake within {self._timings.handshake_timeout_ms} ms"
            )
        except (OSError, UnicodeError) as failure:
            error = Unavailable(what=what, reason=str(failure) or type(failure).__name__)
        except LedgerError as failure:
            error = failure
        finally:
            if not connection.ready.done():
                connection.close(error, abort=True)
        return error

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop_process(self, violation: InvariantViolation) -> None:
        self._logger.error("node.invariant_broken", exc_info=violation)
        raise SystemExit(EXIT_STATUS_BROKEN_INVARIANT) from violation
