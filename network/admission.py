"""How a connection comes about: TLS with the keys that count now, HELLO, and the link that it belongs to.

Rule: a connection is judged twice by the peer's key, when TLS has proved it and when HELLO is done, for peers and keys
may change in between. Everything that can go wrong comes back as one `LedgerError`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from itertools import chain

from ledger.errors import InvariantViolation, LedgerError, Unavailable
from network.errors import ConnectionEnded, OwnCertificateExpired, PeerCertificateExpired, PinMismatch
from network.frames import Frame
from network.handshake import Hello
from network.links import PeerLink
from network.tcp import TLS_SHUTDOWN_TIMEOUT_S, NetworkTimings, PeerConnection, Traffic
from network.tls import (
    TlsIdentity,
    certificate_expires_at_ms,
    client_context,
    load_certificate,
    server_context,
    tls_failure,
)

STRANGER = "a dialing peer"


class Admission:
    """Owner of one connection: finds its link by the key that TLS proved, and passes everything on to it.

    Args:
        door: whose peers and keys count.
        dialed: who was dialed; None for a connection that came in.
    """

    def __init__(self, door: Door, dialed: PeerLink | None) -> None:
        self._door = door
        self._dialed = dialed
        self._link: PeerLink | None = dialed

    @property
    def peer_name(self) -> str:
        return self._link.address.name if self._link else STRANGER

    def identify(self, key: bytes) -> Collection[bytes]:
        candidates = self._door.links.values() if self._dialed is None else (self._dialed,)
        holders = {link.address.node_id for link in candidates if key in link.certificates}
        if not holders:
            raise PinMismatch(peer=self.peer_name, actual=key.hex())
        return holders

    def connection_ready(self, connection: PeerConnection) -> Traffic:
        link = self._door.links.get(connection.peer.node)
        if link is None or connection.key not in link.certificates:
            raise PinMismatch(peer=self.peer_name, actual=connection.key.hex())
        if connection.generation != self._door.generation:
            raise ConnectionEnded(reason="this node's certificate was renewed meanwhile")
        self._link = link
        return link.adopt(connection)

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


class Door:
    """Opens connections, to peers and from them.

    Attributes:
        links: the peers, as they are now; the owner's own mapping.
        generation: grows each time this node shows another certificate.
        connections: everything that is open, also what is replaced or ending.
    """

    def __init__(
        self, links: Mapping[bytes, PeerLink], hello: Hello, timings: NetworkTimings, tls: TlsIdentity
    ) -> None:
        self.links = links
        self.generation = 0
        self.connections: set[PeerConnection] = set()
        self._hello = hello
        self._timings = timings
        self._tls = tls
        self.trust()

    def trust(self) -> None:
        """Accept exactly the links' certificates from now on; what is open stays open.

        Raises:
            TlsIdentityInvalid: own certificate or key is missing, unreadable or not a pair.
        """
        certificates = list(chain.from_iterable(link.certificates.values() for link in self.links.values()))
        # Both before either is in use; an open connection keeps the context that it was made with.
        client, server = client_context(self._tls, certificates), server_context(self._tls, certificates)
        own = load_certificate(self._tls.path.read_text(), source=str(self._tls.path))
        self._client_context, self._server_context = client, server
        self._own_expires_at_ms = certificate_expires_at_ms(own)

    def show(self, tls: TlsIdentity) -> None:
        """Show another certificate from now on; errors as for `trust`, and then nothing has changed."""
        former, self._tls = self._tls, tls
        try:
            self.trust()
        except LedgerError:
            self._tls = former
            raise
        self.generation += 1

    async def dial(self, link: PeerLink) -> PeerConnection | LedgerError:
        """Connect to a peer, or say why not."""

        def open_with(connection: PeerConnection) -> Coroutine[object, object, object]:
            return asyncio.get_running_loop().create_connection(
                lambda: connection,
                link.address.host,
                link.address.port,
                ssl=self._client_context,
                ssl_handshake_timeout=self._timings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )

        return await self._establish(open_with, link)

    async def admit(self, accepted: socket.socket) -> PeerConnection | LedgerError:
        """Let the other end of an accepted socket in, or say why not."""

        def open_with(connection: PeerConnection) -> Coroutine[object, object, object]:
            return asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._server_context,
                ssl_handshake_timeout=self._timings.handshake_timeout_ms / 1000,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )

        return await self._establish(open_with, None)

    async def close(self, timeout_s: float) -> None:
        """Close every connection, first politely."""
        for abort in (False, True):
            for connection in tuple(self.connections):
                connection.close(Unavailable(what="this node", reason="stopping"), abort=abort)
            if self.connections:
                await asyncio.wait([c.closed for c in self.connections], timeout=timeout_s)

    async def _establish(
        self,
        open_with: Callable[[PeerConnection], Coroutine[object, object, object]],
        dialed: PeerLink | None,
    ) -> PeerConnection | LedgerError:
        """See a connection through TLS and HELLO."""
        admission = Admission(self, dialed)
        connection = PeerConnection(
            self._hello, admission, self._timings, dialed=dialed is not None, generation=self.generation
        )
        what = admission.peer_name
        error: LedgerError = Unavailable(what=what, reason="stopping")
        try:
            async with asyncio.timeout(self._timings.handshake_timeout_ms / 1000):
                await open_with(connection)
                self.connections.add(connection)
                connection.closed.add_done_callback(lambda _: self.connections.discard(connection))
                await asyncio.wait([connection.ready])
            connection.ready.result()
            return connection
        except ssl.SSLError as failure:
            error = tls_failure(failure, what)
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
        return self._name_expired(error, dialed)

    def _name_expired(self, error: LedgerError, dialed: PeerLink | None) -> LedgerError:
        """Say whose certificate has expired: OpenSSL does not tell who came in, and nobody tells who was refused."""
        now_ms = time.time_ns() // 1_000_000
        if dialed is None and isinstance(error, PeerCertificateExpired):
            expired = [
                link.address.name
                for link in self.links.values()
                if any(certificate_expires_at_ms(one) <= now_ms for one in link.certificates.values())
            ]
            return PeerCertificateExpired(peer=" / ".join(expired) or STRANGER)
        if dialed is not None and isinstance(error, ConnectionEnded) and self._own_expires_at_ms <= now_ms:
            return OwnCertificateExpired(peer=dialed.address.name)
        return error
