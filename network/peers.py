"""The peer network: one authenticated connection to every node, and messages and requests over it.

Rule: delivery is best effort and at most once, in order within a channel and connection; a `True` from `send`
means queued, not received. Whoever needs more says it again, as consensus does, or asks with `request`. Both
sides dial; a lost connection is dialed again for ever, with growing, jittered, bounded pauses. Who the peers are, where,
and with which keys, changes while it runs; a connection lives as long as the key that it proved is still its peer's.
Nothing here blocks, and everything has a bound.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from typing import Final

import structlog

from ledger.errors import InvariantViolation, LimitExceeded, Unavailable, invariant
from network.admission import Door
from network.dialing import keep_connected
from network.errors import ConnectionEnded, PeerRemoved
from network.frames import Channel
from network.handshake import PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN, Hello
from network.links import Handlers, MessageHandler, PeerAddress, PeerCallback, PeerLink, PeerStatus
from network.listening import Listener
from network.logs import Logger
from network.rpc import FatalHandler, RequestHandler
from network.tasks import end
from network.tcp import NetworkTimings
from network.tls import TlsIdentity

__all__ = ["Channel", "NetworkTimings", "PeerAddress", "PeerNetwork", "PeerStatus", "TlsIdentity"]

# Every node is connected with every other; beyond this a network would need relays.
PEERS_MAX: Final = 512
STOP_TIMEOUT_S: Final = 2.0
EXIT_STATUS_BROKEN_INVARIANT: Final = 70


def _ignore(_node_id: bytes) -> None:
    return None


class PeerNetwork:
    """This node's connections to its peers.

    Args:
        node_id: this node's account id, 16 bytes.
        chain_id: the network's identity, 32 bytes.
        tls: this node's X.509 certificate and key.
        listen: host and port to accept peers at; port 0 takes a free one (see `port`).
        peers: everybody else, at most `PEERS_MAX`; see `update_peers`.
        on_message: (sender, channel, payload); runs in the event loop and must be quick. A LedgerError it
            raises is counted as that peer's fault.
        on_request: (sender, channel, payload) to the answer; a LedgerError it raises is told to the peer.
        on_connect, on_disconnect: called in turn with the peer's id, in the event loop.
        on_fatal: called when a handler broke an invariant; by default the process exits with status 70.
        release: this node's software release, told to peers.
        versions: lowest and highest version of this protocol to speak.
        ledger_versions: lowest and highest version of blocks that this release can judge, told to peers.
        contracts: latest version of each contract that this release has, by name; told to peers.
        timings: time-outs and pauses.
        logger: structlog or alike.

    Raises:
        TlsIdentityInvalid: own certificate cannot be used.
        LimitExceeded: too many peers.
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
        versions: tuple[int, int] = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX),
        ledger_versions: tuple[int, int] = (1, 1),
        contracts: Mapping[str, int] | None = None,
        timings: NetworkTimings | None = None,
        logger: Logger | None = None,
    ) -> None:
        self._logger: Logger = logger or structlog.get_logger("network")
        self._timings = timings or NetworkTimings()
        self._handlers = Handlers(
            on_message=on_message,
            on_request=on_request,
            on_connect=on_connect,
            on_disconnect=on_disconnect,
            on_fatal=on_fatal or self._stop_process,
        )
        self._node_id = node_id
        self._links: dict[bytes, PeerLink] = {}
        self._dialers: dict[bytes, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        hello = Hello(
            version_min=versions[0],
            version_max=versions[1],
            chain_id=chain_id,
            node=node_id,
            release=release,
            instance=secrets.token_bytes(16),
            ledger_version_min=ledger_versions[0],
            ledger_version_max=ledger_versions[1],
            contracts=tuple(sorted((contracts or {}).items())),
        )
        self._door = Door(self._links, hello, self._timings, tls)
        self._listener = Listener(listen, self._door.admit, self._logger)
        self.update_peers(peers)

    @property
    def port(self) -> int:
        """The port it listens at; 0 before `start`."""
        return self._listener.port

    @property
    def rejections(self) -> dict[str, int]:
        """How many incoming connections were refused since construction, by error code."""
        return self._listener.rejections

    async def start(self) -> None:
        """Listen, and begin to dial.

        Raises:
            Unavailable: the address cannot be listened at.
        """
        self._listener.open()
        self._running = True
        self._spawn(self._listener.run())
        for link in self._links.values():
            self._keep(link)

    async def stop(self) -> None:
        """Stop dialing and listening, and close every connection; what waits to be sent is lost."""
        self._running = False
        await end(self._tasks)
        await self._listener.close()
        await self._door.close(STOP_TIMEOUT_S)

    # what changes while it runs

    def update_peers(self, peers: Sequence[PeerAddress]) -> None:
        """Have exactly these peers from now on.

        New ones are dialed, those that are missing lose their connection, and so does one whose connection proved a key
        that is no longer its own. Every other connection stays; one to a peer that has moved is made anew first.

        Args:
            peers: everybody else.

        Raises:
            LimitExceeded: more than `PEERS_MAX`; then nothing has changed.
        """
        if len(peers) > PEERS_MAX:
            raise LimitExceeded(limit="peers", maximum=PEERS_MAX, actual=len(peers))
        wanted = {peer.node_id: peer for peer in peers}
        invariant(len(wanted) == len(peers), "two peers share an id")
        invariant(self._node_id not in wanted, "a node is its own peer")
        before = {node_id: link.address.certificates for node_id, link in self._links.items()}
        gone = [self._links.pop(node_id) for node_id in before.keys() - wanted.keys()]
        moved: list[PeerLink] = []
        for node_id, address in wanted.items():
            link = self._links.get(node_id)
            if link is None:
                self._links[node_id] = PeerLink(self._node_id, address, self._handlers, self._logger)
            elif link.address != address:
                if (link.address.host, link.address.port) != (address.host, address.port):
                    moved.append(link)
                link.update(address)
        if before != {node_id: link.address.certificates for node_id, link in self._links.items()}:
            self._door.trust()
        for link in gone:
            self._drop(link)
        for link in self._links.values():
            if link in moved or link.address.node_id not in self._dialers:
                self._keep(link)

    def use_certificate(self, tls: TlsIdentity) -> None:
        """Show another certificate of this node from now on, which every peer must know already.

        Connections that were made with the former are made anew, one by one with pauses; see `certificate_in_use`.

        Raises:
            TlsIdentityInvalid: it cannot be used; then nothing has changed.
        """
        self._door.show(tls)
        if self._running:
            self._spawn(self._renew_connections())

    @property
    def certificate_in_use(self) -> bool:
        """Whether every connection was made with the certificate that this node shows now."""
        links = self._links.values()
        return all(
            link.connection is None or link.connection.generation == self._door.generation for link in links
        )

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

    # inside

    def _keep(self, link: PeerLink) -> None:
        """Dial a peer, now and whenever its connection is lost."""
        if not self._running:
            return
        node_id = link.address.node_id
        former = self._dialers.pop(node_id, None)
        if former is not None:
            former.cancel()
        # Where a connection came from that the peer has opened does not matter.
        redial = link.connection is not None and link.connection.dialed
        grace_ms = 0 if self._node_id < node_id else self._timings.dial_grace_ms
        self._dialers[node_id] = self._spawn(
            keep_connected(self._door, link, self._timings, self._logger, grace_ms=grace_ms, redial=redial)
        )

    def _drop(self, link: PeerLink) -> None:
        """The peer is one no longer."""
        dialer = self._dialers.pop(link.address.node_id, None)
        if dialer is not None:
            dialer.cancel()
        link.end(PeerRemoved(peer=link.address.name))
        self._logger.info("peer.removed", peer=link.address.name)

    async def _renew_connections(self) -> None:
        """End what was made with a former certificate; both sides dial again at once."""
        for link in tuple(self._links.values()):
            connection = link.connection
            if connection is not None and connection.generation != self._door.generation:
                link.end(ConnectionEnded(reason="this node's certificate was renewed"))
                await asyncio.sleep(self._timings.renewal_pause_ms / 1000)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop_process(self, violation: InvariantViolation) -> None:
        self._logger.error("node.invariant_broken", exc_info=violation)
        raise SystemExit(EXIT_STATUS_BROKEN_INVARIANT) from violation
