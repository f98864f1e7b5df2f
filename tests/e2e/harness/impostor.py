"""A validator that has turned: it speaks over the real peer network with a stopped node's real keys, and says what it likes.

Rule: it holds exactly what an operator holds, its own home folder. It runs in a thread and an event loop of its own, so that a test
can act as a client meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

from consensus.core.messages import (
    FetchFinalized,
    FinalizedRange,
    Message,
    Status,
    Votes,
    decode_message,
    encode_message,
)
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import chain_id
from ledger.errors import LedgerError
from ledger.types import HASH_SIZE_BYTES, FinalizedBlock, Vote, VoteKind
from network.frames import Channel
from network.peers import PeerNetwork
from node import gossip_messages
from node.config import load_config
from node.exchange import CHUNK_SIZE_BYTES, REQUEST_SIZE_BYTES_MAX, Chunk, GetChunk
from node.founding import bundled_addresses, load_network, peer_addresses
from node.home import Home
from node.identity import load_identity

CALL_TIMEOUT_S: Final = 60.0
EPOCH: Final = 1

T = TypeVar("T")


@dataclass
class Heard:
    """What the others told it."""

    views: dict[bytes, int] = field(default_factory=dict)
    blocks: list[FinalizedBlock] = field(default_factory=list)
    transactions: list[bytes] = field(default_factory=list)
    asked: int = 0


class Impostor:
    """Node `home`'s place taken, while a `with` block lasts.

    Attributes:
        peers: accounts of the others.
        index: its number among the validators.
        heard: what came in.
        answer: what it sends to who asks for finalized blocks; nothing by default.
        blobs: what it gives to who asks for blobs, by name.
    """

    def __init__(self, home: Home) -> None:
        bundle = load_network(home)
        self.suite = load_suite(bundle.genesis.suite)
        self.chain_id = chain_id(self.suite, bundle.genesis)
        self.identity = load_identity(home, self.suite)
        account = self.identity.account
        self._addresses = peer_addresses(bundled_addresses(bundle), load_config(home.config), account)
        self._listen = (load_config(home.config).network.host, load_config(home.config).network.port)
        self.peers = tuple(address.node_id for address in self._addresses)
        voters = bundle.genesis.validators.validators
        self.index = [voter.account for voter in voters].index(account)
        self.heard = Heard()
        self.answer: Callable[[FetchFinalized], FinalizedRange | None] = lambda _asked: None
        self.blobs: dict[bytes, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="impostor")

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone, so that the node can have its place again."""
        if not self._thread.is_alive():
            return
        self.run(self._network.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the impostor's loop, to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    def connected(self) -> int:
        return len(self._network.connected())

    # --- what it says ---

    def send(self, channel: Channel, payload: bytes) -> None:
        """Tell everybody bytes; what a full lane costs is lost."""
        self._loop.call_soon_threadsafe(self._network.broadcast, channel, payload)

    def say(self, message: Message, channel: Channel = Channel.SYNC) -> None:
        """Tell everybody a consensus message."""
        self.send(channel, encode_message(message))

    def vote(self, kind: VoteKind, view: int, digest: bytes | None = None, *, epoch: int = EPOCH) -> Vote:
        """A vote with a good signature of the stopped node's key."""
        unsigned = Vote(
            kind=kind,
            epoch=epoch,
            view=view,
            digest=bytes(HASH_SIZE_BYTES)
            if kind is VoteKind.NULLIFY
            else digest or os.urandom(HASH_SIZE_BYTES),
            validator=self.index,
            signature=b"\0",
        )
        signature = self.identity.vote_signer.sign_vote(self.chain_id, unsigned)
        return Vote(
            kind=kind,
            epoch=epoch,
            view=view,
            digest=unsigned.digest,
            validator=self.index,
            signature=signature,
        )

    def cast(self, *votes: Vote) -> None:
        self.say(Votes(votes=votes), Channel.VOTES)

    def ask_all(self, channel: Channel, payloads: Sequence[bytes]) -> int:
        """Put every one of these requests to every peer at once; how many were answered with a payload."""

        async def one(peer: bytes, payload: bytes) -> int:
            with suppress(LedgerError):
                await self._network.request(peer, channel, payload, timeout_s=5.0)
                return 1
            return 0

        async def every() -> int:
            return sum(await asyncio.gather(*(one(peer, p) for peer in self.peers for p in payloads)))

        return self.run(every())

    # --- inside ---

    async def _open(self) -> None:
        self._network = PeerNetwork(
            node_id=self.identity.account,
            chain_id=self.chain_id,
            tls=self.identity.tls,
            listen=self._listen,
            peers=self._addresses,
            on_message=self._on_message,
            on_request=self._on_request,
        )
        await self._network.start()

    async def _on_request(self, _peer: bytes, channel: Channel, payload: bytes) -> bytes:
        if channel is not Channel.BLOBS:
            return os.urandom(64)
        asked = codec.decode(payload, GetChunk, size_bytes_max=REQUEST_SIZE_BYTES_MAX)
        data = self.blobs[asked.blob]
        chunk = data[asked.offset : asked.offset + CHUNK_SIZE_BYTES]
        return codec.encode(Chunk(size_bytes=len(data), data=chunk))

    def _on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        if channel is Channel.TRANSACTIONS:
            message = gossip_messages.decode(payload)
            if isinstance(message, gossip_messages.Push):
                self.heard.transactions += message.transactions
            return
        match decode_message(payload):
            case Status(view=view):
                self.heard.views[peer] = view
            case FinalizedRange(blocks=blocks):
                self.heard.blocks += blocks
            case FetchFinalized() as asked:
                self.heard.asked += 1
                told = self.answer(asked)
                if told is not None:
                    self._network.send(peer, Channel.SYNC, encode_message(told))
            case _:
                pass
