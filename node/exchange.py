"""Blobs between nodes: fetch what is missing here, and ask others to keep copies.

Rule: only ciphertext travels, in bounded chunks, over the peers' mutual TLS; what arrives counts only if it hashes to its
name. A replica is counted when the peer says that it holds the blob durably. Whose a blob is goes with it, so that it can be
destroyed with its record.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, assert_never

import structlog
from msgspec import Meta

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy, DecodeError, LedgerError, NotFound, Unavailable
from ledger.types import Hash, Id16, Wire
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, blob_hash
from node.vault.custody import Custody

CHUNK_SIZE_BYTES: Final = 512 * 1024
HOLD_BLOBS_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 10.0
FETCH_TIMEOUT_S: Final = 25.0
HOLD_TIMEOUT_S: Final = 30.0
FETCHES_PER_PEER_MAX: Final = 4
# Nobody who keeps to the bound above has more chunks under way from one peer.
CHUNKS_PER_PEER_MAX: Final = FETCHES_PER_PEER_MAX
# Threads that peers' wishes may occupy, of those that commit blocks too.
DISK_WORKERS_MAX: Final = 2
REQUEST_SIZE_BYTES_MAX: Final = 4096
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
    """Fetch these blobs of a record from me, keep them, and answer when they are durable."""

    certificate: Id16
    blobs: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=HOLD_BLOBS_MAX)]


class Held(Wire, tag="held"):
    """All of them are durable here."""


class BlobExchange:
    """Both sides of the exchange.

    Args:
        suite: crypto suite.
        custody: this node's blobs, and whose they are.
        request: sends a request on the blobs channel: (peer, payload, timeout in seconds) -> answer.
        peers: the peers that are connected now.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        custody: Custody,
        request: PeerRequest,
        peers: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._suite = suite
        self._custody = custody
        self._request = request
        self._peers = peers
        self._fetching: defaultdict[bytes, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(FETCHES_PER_PEER_MAX)
        )
        self._serving: Counter[bytes] = Counter()
        self._disk = asyncio.Semaphore(DISK_WORKERS_MAX)

    async def fetch(self, blob: bytes) -> bytes | None:
        """The blob from whichever peer has it; None when no connected peer has it. It is not kept here."""
        for peer in self._peers():
            try:
                return await self._fetch_from(peer, blob)
            except LedgerError as error:
                log.info("peer could not give blob", peer=peer.hex(), blob=blob.hex(), reason=str(error))
        return None

    async def replicate(
        self, certificate: bytes, blobs: tuple[bytes, ...], *, ranked: Sequence[bytes], copies: int
    ) -> int:
        """Have other nodes keep a record's blobs.

        Args:
            certificate: the record's id.
            blobs: hashes of what it is made of, all of them here.
            ranked: who should, the first ones first; who cannot is passed over for the next.
            copies: how many should.

        Returns:
            How many hold all of them, by their own word; at most `copies`.
        """
        connected = set(self._peers())
        waiting = [peer for peer in ranked if peer in connected]
        held = 0
        while waiting and held < copies:
            asked, waiting = waiting[: copies - held], waiting[copies - held :]
            answers = await asyncio.gather(*(self._hold_at(peer, certificate, blobs) for peer in asked))
            held += sum(answers)
        return held

    async def serve(self, peer: bytes, payload: bytes) -> bytes:
        """Answer a peer's request. Raises LedgerError for what is malformed or not here."""
        message = _decode_request(payload)
        match message:
            case GetChunk(blob=blob, offset=offset):
                return codec.encode(await self._serve_chunk(peer, blob, offset))
            case Hold(certificate=certificate, blobs=blobs):
                for blob in blobs:
                    await self._hold(peer, certificate, blob)
                return codec.encode(Held())
            case _:
                assert_never(message)

    async def _serve_chunk(self, peer: bytes, blob: bytes, offset: int) -> Chunk:
        self._serving = +self._serving
        if self._serving[peer] >= CHUNKS_PER_PEER_MAX:
            raise Busy(what="blob service", retry_after_s=1)
        self._serving[peer] += 1
        try:
            return await self._chunk(blob, offset)
        finally:
            self._serving[peer] -= 1

    async def _chunk(self, blob: bytes, offset: int) -> Chunk:
        async with self._disk:
            data = await asyncio.to_thread(self._custody.store.get, blob)
        if data is None:
            raise NotFound(what="blob", id=blob.hex())
        if offset > len(data):
            raise DecodeError(what="blob request", reason=f"offset {offset} in a blob of {len(data)} bytes")
        return Chunk(size_bytes=len(data), data=data[offset : offset + CHUNK_SIZE_BYTES])

    async def _hold(self, peer: bytes, certificate: bytes, blob: bytes) -> None:
        await self._custody.require_room(peer)
        async with self._disk:
            data = await self._custody.read(blob)
        if data is None:
            data = await self._fetch_from(peer, blob)
        async with self._disk:
            await self._custody.keep(certificate, {blob: data}, peer=peer)

    async def _hold_at(self, peer: bytes, certificate: bytes, blobs: tuple[bytes, ...]) -> bool:
        try:
            for start in range(0, len(blobs), HOLD_BLOBS_MAX):
                some = blobs[start : start + HOLD_BLOBS_MAX]
                question = codec.encode(Hold(certificate=certificate, blobs=some))
                answer = await self._request(peer, question, HOLD_TIMEOUT_S)
                codec.decode(answer, Held, size_bytes_max=_MESSAGE_SIZE_BYTES_MAX)
        except LedgerError as error:
            log.warning("peer does not hold blobs", peer=peer.hex(), reason=str(error))
            return False
        return True

    async def _fetch_from(self, peer: bytes, blob: bytes) -> bytes:
        """The blob, checked. Raises LedgerError when the peer lacks it, is too slow or sends something else."""
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S), self._fetching[peer]:
                received = await self._collect(peer, blob)
        except TimeoutError:
            raise Unavailable(what="blob", reason=f"not here within {FETCH_TIMEOUT_S:g} s") from None
        if blob_hash(self._suite, received) != blob:
            raise Unavailable(what="blob", reason=f"peer {peer.hex()} sent other bytes than {blob.hex()}")
        return received

    async def _collect(self, peer: bytes, blob: bytes) -> bytes:
        """Ask for chunk after chunk. Each has its full size, so their number is bounded by the blob's."""
        data = bytearray()
        size_bytes: int | None = None
        while size_bytes is None or len(data) < size_bytes:
            question = codec.encode(GetChunk(blob=blob, offset=len(data)))
            answer = await self._request(peer, question, REQUEST_TIMEOUT_S)
            chunk = codec.decode(answer, Chunk, size_bytes_max=_MESSAGE_SIZE_BYTES_MAX)
            size_bytes = chunk.size_bytes if size_bytes is None else size_bytes
            expected = min(CHUNK_SIZE_BYTES, size_bytes - len(data))
            if chunk.size_bytes != size_bytes or len(chunk.data) != expected:
                raise Unavailable(what="blob", reason=f"peer {peer.hex()} sent a chunk that does not fit")
            data += chunk.data
        return bytes(data)


def _decode_request(payload: bytes) -> GetChunk | Hold:
    kinds: Any = GetChunk | Hold
    message: GetChunk | Hold = codec.decode(
        payload, kinds, size_bytes_max=REQUEST_SIZE_BYTES_MAX, what="blob request"
    )
    return message
