"""Peer networks on loopback with real sockets and real TLS, and the means to wait for what they do."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509

from ledger.errors import NotFound
from network.frames import Channel, Frame, FrameKind, FrameParser, encode_frame
from network.handshake import Hello, encode_hello
from network.peers import NetworkTimings, PeerAddress, PeerNetwork, TlsIdentity
from network.tls import (
    CERTIFICATE_LIFE_S,
    certificate_der,
    client_context,
    issue_certificate,
    load_certificate,
    spki_sha256,
)

# OpenSSL judges certificates by the system's clock.
NOW_MS = int(time.time()) * 1000
LONG_AGO_MS = NOW_MS - 400 * 86_400_000
CHAIN = b"\x07" * 32
WAIT_S = 10.0
QUICK = NetworkTimings(
    ping_interval_ms=50,
    dead_after_ms=3_000,
    handshake_timeout_ms=3_000,
    dial_grace_ms=20,
    redial_min_ms=5,
    redial_max_ms=40,
    stable_after_ms=100,
    renewal_pause_ms=5,
)


class EventLog:
    """A logger that remembers, and that can be waited on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    info = warning = error = note

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something was noted after which the condition holds."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]


class Member:
    """One node: its keys, its network, and what it got."""

    def __init__(self, folder: Path, number: int, *, now_ms: int = NOW_MS) -> None:
        self.node_id = bytes([number]) * 16
        self.name = f"node-{number}"
        self._folder = folder
        self.tls, self.certificate = self.make_certificate(now_ms=now_ms)
        self.spki = spki_sha256(self.certificate)
        self.port = 1
        self.log = EventLog()
        self.messages: list[tuple[bytes, Channel, bytes]] = []
        self.gate = asyncio.Event()
        self.fatal: list[BaseException] = []
        self.network: PeerNetwork | None = None

    def make_certificate(
        self, label: str = "", *, now_ms: int = NOW_MS, life_s: int = CERTIFICATE_LIFE_S
    ) -> tuple[TlsIdentity, x509.Certificate]:
        """A new key and certificate of this node, in a file of its own."""
        certificate_pem, key_pem = issue_certificate(now_ms=now_ms, life_s=life_s)
        identity = TlsIdentity(self._folder / f"{self.name}{label}.pem")
        identity.path.write_text(key_pem + certificate_pem)
        return identity, load_certificate(certificate_pem, source=self.name)

    @property
    def net(self) -> PeerNetwork:
        assert self.network is not None
        return self.network

    def address(self, *certificates: x509.Certificate, port: int | None = None) -> PeerAddress:
        return PeerAddress(
            node_id=self.node_id,
            name=self.name,
            host="127.0.0.1",
            port=self.port if port is None else port,
            certificates=tuple(certificate_der(one) for one in certificates or (self.certificate,)),
        )

    def on_message(self, sender: bytes, channel: Channel, payload: bytes) -> None:
        self.messages.append((sender, channel, payload))
        self.log.note("test.message")

    async def on_request(self, sender: bytes, channel: Channel, payload: bytes) -> bytes:
        if payload == b"missing":
            raise NotFound(what="block", id="7")
        if payload == b"crash":
            raise ZeroDivisionError
        if payload == b"huge":
            return bytes(9 * 1024 * 1024)
        if payload == b"wait":
            self.log.note("test.waiting")
            await self.gate.wait()
        return payload[::-1]

    async def start(
        self,
        *peers: PeerAddress,
        chain: bytes = CHAIN,
        timings: NetworkTimings = QUICK,
        release: str = "test",
        versions: tuple[int, int] = (1, 1),
        ledger_versions: tuple[int, int] = (1, 1),
        contracts: dict[str, int] | None = None,
    ) -> None:
        self.network = PeerNetwork(
            node_id=self.node_id,
            chain_id=chain,
            tls=self.tls,
            listen=("127.0.0.1", 0 if self.port == 1 else self.port),
            peers=peers,
            on_message=self.on_message,
            on_request=self.on_request,
            on_connect=lambda peer: self.log.note("test.connect", peer=peer),
            on_disconnect=lambda peer: self.log.note("test.disconnect", peer=peer),
            on_fatal=self.fatal.append,
            release=release,
            versions=versions,
            ledger_versions=ledger_versions,
            contracts=contracts,
            timings=timings,
            logger=self.log,
        )
        await self.network.start()
        self.port = self.network.port

    async def connected(self, *others: Member) -> None:
        await self.log.until(lambda: set(self.net.connected()) >= {other.node_id for other in others})

    async def got(self, count: int) -> None:
        await self.log.until(lambda: len(self.messages) >= count)

    async def rejected(self, code: str) -> None:
        await self.log.until(lambda: self.net.rejections.get(code))


class RawPeer:
    """A peer in the hands of the test: speaks TLS with a member's key, and whatever bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parser = FrameParser()
        self.frames: list[Frame] = []

    @classmethod
    async def dial(cls, own: Member, target: Member, context: ssl.SSLContext | None = None) -> RawPeer:
        tls = context or client_context(own.tls, [target.certificate])
        # A small receive buffer makes back-pressure reach the writer soon.
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, ssl=tls, limit=1024)
        return cls(reader, writer)

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def hello(self, own: Member, **changes: Any) -> None:
        fields = {
            "version_min": 1,
            "version_max": 1,
            "chain_id": CHAIN,
            "node": own.node_id,
            "release": "raw",
            "instance": b"\1" * 16,
            "ledger_version_min": 1,
            "ledger_version_max": 1,
            "contracts": (),
        }
        self.say(encode_frame(Frame(FrameKind.HELLO, payload=encode_hello(Hello(**{**fields, **changes})))))

    async def frame(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(WAIT_S):
            while not self.frames:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionResetError
                self.frames += self.parser.feed(data)
        return self.frames.pop(0)

    async def ended(self) -> None:
        """Wait until the other side has closed."""
        async with asyncio.timeout(WAIT_S):
            with suppress(OSError, ssl.SSLError):
                while await self.reader.read(65536):
                    pass

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()
