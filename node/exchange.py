"""Blobs between nodes: fetch what is missing here, and ask others to keep copies.

Rule: only ciphertext travels, in bounded chunks, over the peers' mutual TLS; what arrives counts only if it hashes to its
name. A replica is counted when the peer says that it holds the blob durably.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import structlog
from msgspec import Meta

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import DecodeError, LedgerError, NotFound, Unavailable
from ledger.types import Hash, Wire
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, BlobStore, blob_hash

CHUNK_SIZE_BYTES: Final = 512 * 1024
HOLD_BLOBS_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 10.0
HOLD_TIMEOUT_S: Final = 30.0
_MESSAGE_SIZE_BYTES_MAX: Final = CHUNK_SIZE_BYTES + 4096

log = structlog.get_logger()

PeerRequest = Callable[[bytes, bytes, float], Awaitable[bytes]]


class GetChunk(Wire, tag="get"):
    """Send me the blob from `offset` on, one chunk."""

    blob: Hash
    offset: Annotated[int, Meta(ge=0, le=BLOB_SIZE_BYTES_MAX)]


class Chunk(Wire, tag="chunk"):
    """A piece of a blob and the blob's whole size."""

    size_bytes: Annotated[int, Meta(ge=0, le=BLOB_SIZE_BYTES_MAX)]
    data: Annotated[bytes, Meta(max_length=CHUNK_SIZE_BYTES)]


class Hold(Wire, tag="hold"):
    """Fetch these blobs from me, keep them, and answer when they are durable."""

    blobs: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=HOLD_BLOBS_MAX)]


class Held(Wire, tag="held"):
    """All of them are durable here."""


class BlobExchange:
    """Both sides of the exchange.

    Args:
        suite: crypto suite.
        store: this node's blobs.
        request: sends a request on the blobs channel: (peer, payload, timeout in seconds) -> answer.
        peers: the peers that are connected now.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        store: BlobStore,
        request: PeerRequest,
        peers: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._suite = suite
        self._store = store
        self._request = request
        self._peers = peers

    async def fetch(self, blob: bytes) -> bytes | None:
        """The blob from whichever peer has it, kept here from then on; None when no connected peer has it."""
        for peer in self._peers():
            try:
                return await self._fetch_from(peer, blob)
            except LedgerError as error:
                log.info("peer could not give blob", peer=peer.hex(), blob=blob.hex(), code=error.code)
        return None

    async def replicate(self, blobs: tuple[bytes, ...]) -> int:
        """Ask every connected peer to hold `blobs`; how many do."""
        answers = await asyncio.gather(*(self._hold_at(peer, blobs) for peer in self._peers()))
        return sum(answers)

    async def serve(self, peer: bytes, payload: bytes) -> bytes:
        """Answer a peer's request. Raises LedgerError for what is malformed or not here."""
        message = codec.decode(
            payload, GetChunk | Hold, size_bytes_max=_MESSAGE_SIZE_BYTES_MAX, what="blob request"
        )  # type: ignore[arg-type]
        match message:
            case GetChunk():
                data = await asyncio.to_thread(self._store.get, message.blob)
                if data is None:
                    raise NotFound(what="blob", id=message.blob.hex())
                piece = data[message.offset : message.offset + CHUNK_SIZE_BYTES]
                return codec.encode(Chunk(size_bytes=len(data), data=piece))
            case Hold():
                for blob in message.blobs:
                    if not await asyncio.to_thread(self._store.has, blob):
                        await self._fetch_from(peer, blob)
                return codec.encode(Held())
            case _:
                raise DecodeError(what="blob request", reason="unknown kind")

    async def _hold_at(self, peer: bytes, blobs: tuple[bytes, ...]) -> bool:
        try:
            answer = await self._request(peer, codec.encode(Hold(blobs=blobs)), HOLD_TIMEOUT_S)
            codec.decode(answer, Held, size_bytes_max=_MESSAGE_SIZE_BYTES_MAX)
        except LedgerError as error:
            log.warning("peer does not hold blobs", peer=peer.hex(), code=error.code)
            return False
        return True

    async def _fetch_from(self, peer: bytes, blob: bytes) -> bytes:
        data = bytearray()
        while True:
            question = codec.encode(GetChunk(blob=blob, offset=len(data)))
            answer = await self._request(peer, question, REQUEST_TIMEOUT_S)
            chunk = codec.decode(answer, Chunk, size_bytes_max=_MESSAGE_SIZE_BYTES_MAX)
            data += chunk.data
            if len(data) >= chunk.size_bytes or not chunk.data:
                break
        received = bytes(data)
        if blob_hash(self._suite, received) != blob:
            raise Unavailable(what="blob", reason=f"peer {peer.hex()} sent other bytes than {blob.hex()}")
        await asyncio.to_thread(self._store.put, received)
        return received
