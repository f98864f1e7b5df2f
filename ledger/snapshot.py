"""A snapshot: the whole state after one finalized block, in pieces that are verified one by one.

Rule: nothing of a snapshot is believed. Its manifest is checked against a validator set that is trusted, each
chunk of state against the manifest, so that a wrong byte is found in the piece that holds it, and whoever
sent that piece is known.

- **Chunks** are subtrees of the state tree. From the root on, a subtree whose entries take more than
  `CHUNK_SIZE_BYTES` is cut into its two halves, so the cut depends on the state alone and is the same at every
  node. The manifest lists the chunks from left to right, by depth and root: the depths say where each of them
  is, and the roots make the state root of the certified header.
- **Parts** are the transactions and results of the block itself, in slices, so that a node that begins with
  the snapshot holds that block like any later one.
- The **id** covers all but path and certificate: those of one block may differ from node to node. Whoever
  names an id has made that very list, so a piece that contradicts the list is the fault of whoever sent it.

What else a node needs is in the state (validators, included transactions) or in the epoch changes
(`ledger/epochs.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.domains import SNAPSHOT
from ledger.errors import LedgerError, LimitExceeded, invariant
from ledger.hashing import results_root, transaction_id, transactions_root
from ledger.light import check_finality
from ledger.state_bulk import join_roots, leaf_of, subtree_root
from ledger.state_nodes import DEPTH_BITS_MAX, EMPTY_ROOT, Leaf
from ledger.store_records import STATE_KEY_SIZE_BYTES_MAX
from ledger.types import (
    BLOCK_TRANSACTIONS_MAX,
    Block,
    Count,
    FinalizedBlock,
    Hash,
    Header,
    QuorumCertificate,
    Result,
    Transaction,
    Trust,
    Wire,
)
from ledger.verdicts import Check, rejected

SNAPSHOT_VERSION: Final = 1
CHUNK_SIZE_BYTES: Final = 1024 * 1024
# What encoding an entry adds to its key and value, at most.
ENTRY_OVERHEAD_BYTES: Final = 9
# The entries and the heads of the lists around them.
PIECE_SIZE_BYTES_MAX: Final = CHUNK_SIZE_BYTES + 16
CHUNKS_MAX: Final = 12_288
PARTS_MAX: Final = 64
MANIFEST_PATH_HEADERS_MAX: Final = 512
MANIFEST_SIZE_BYTES_MAX: Final = 1024 * 1024


class ChunkInfo(Wire):
    """A subtree of the state.

    Attributes:
        depth: in bits below the root of the state tree.
        root: hash of the subtree.
        entries: how many keys are in it.
        size_bytes: of the encoded `StateChunk`.
    """

    depth: Annotated[int, Meta(ge=0, le=DEPTH_BITS_MAX)]
    root: Hash
    entries: Count
    size_bytes: Annotated[int, Meta(ge=1, le=PIECE_SIZE_BYTES_MAX)]


class PartInfo(Wire):
    """A slice of the encoded `BlockContent`."""

    digest: Hash
    size_bytes: Annotated[int, Meta(ge=1, le=CHUNK_SIZE_BYTES)]


class SnapshotManifest(Wire):
    """What a snapshot consists of.

    Attributes:
        version: 1.
        header: of the block after which the state is taken.
        path, certificate: proof that this block is final, as in a `FinalizedBlock`.
        chunks: the state, from left to right.
        parts: the block's content.
    """

    version: Count
    header: Header
    path: Annotated[tuple[Header, ...], Meta(max_length=MANIFEST_PATH_HEADERS_MAX)]
    certificate: QuorumCertificate
    chunks: Annotated[tuple[ChunkInfo, ...], Meta(min_length=1, max_length=CHUNKS_MAX)]
    parts: Annotated[tuple[PartInfo, ...], Meta(min_length=1, max_length=PARTS_MAX)]


StateKey = Annotated[bytes, Meta(min_length=1, max_length=STATE_KEY_SIZE_BYTES_MAX)]
Entry = tuple[bytes, bytes]


class StateChunk(Wire):
    """The entries of a subtree, in the order of their key hashes."""

    entries: tuple[tuple[StateKey, bytes], ...]


class BlockContent(Wire):
    """A block without its header, and its results."""

    transactions: Annotated[tuple[Transaction, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]
    results: Annotated[tuple[Result, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]


class Sorted(NamedTuple):
    """A state entry with its place in the tree."""

    leaf: Leaf
    key: bytes
    value: bytes

    @property
    def size_bytes(self) -> int:
        """What it takes in a chunk, at most."""
        return len(self.key) + len(self.value) + ENTRY_OVERHEAD_BYTES


# --- making -------------------------------------------------------------------------------------------------


def split(entries: Sequence[Sorted], depth: int) -> Iterator[tuple[int, Sequence[Sorted]]]:
    """Cut a subtree at `depth` into chunks; gives the depth and the entries of each, from left to right."""
    if len(entries) <= 1 or sum(entry.size_bytes for entry in entries) <= CHUNK_SIZE_BYTES:
        yield depth, entries
        return
    shift = DEPTH_BITS_MAX - 1 - depth
    middle = bisect_left(
        entries, 1, key=lambda entry: int.from_bytes(entry.leaf.key_hash, "big") >> shift & 1
    )
    yield from split(entries[:middle], depth + 1)
    yield from split(entries[middle:], depth + 1)


def make_chunk(suite: CryptoSuite, depth: int, entries: Sequence[Sorted]) -> tuple[ChunkInfo, bytes]:
    """What the manifest says of a chunk, and the chunk.

    Raises:
        LimitExceeded: it holds one entry that is too large for a chunk.
    """
    data = codec.encode(StateChunk(entries=tuple((entry.key, entry.value) for entry in entries)))
    if len(data) > PIECE_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="snapshot chunk bytes", maximum=PIECE_SIZE_BYTES_MAX, actual=len(data))
    root = subtree_root(suite, [entry.leaf for entry in entries], depth)
    return ChunkInfo(depth=depth, root=root, entries=len(entries), size_bytes=len(data)), data


def make_parts(
    suite: CryptoSuite, block: Block, results: tuple[Result, ...]
) -> tuple[tuple[PartInfo, ...], tuple[bytes, ...]]:
    """The block's content in slices.

    Raises:
        LimitExceeded: there are more than 64 of them.
    """
    data = codec.encode(BlockContent(transactions=block.transactions, results=results))
    slices = tuple(data[at : at + CHUNK_SIZE_BYTES] for at in range(0, len(data), CHUNK_SIZE_BYTES))
    if len(slices) > PARTS_MAX:
        raise LimitExceeded(limit="snapshot parts", maximum=PARTS_MAX, actual=len(slices))
    return tuple(PartInfo(digest=suite.digest(part), size_bytes=len(part)) for part in slices), slices


# --- checking -----------------------------------------------------------------------------------------------


def snapshot_id(suite: CryptoSuite, manifest: SnapshotManifest) -> bytes:
    """The 32 bytes by which nodes name a snapshot."""
    named = (manifest.version, manifest.header, manifest.chunks, manifest.parts)
    return suite.hash(SNAPSHOT, codec.encode(named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A manifest that was checked. Pieces are counted through: the chunks, then the parts.

    Attributes:
        id: 32 bytes.
        manifest: the manifest.
        starts: first key hash, as a number, that belongs to each chunk.
    """

    id: bytes
    manifest: SnapshotManifest
    starts: tuple[int, ...]

    @property
    def height(self) -> int:
        """Of the block after which the state is taken."""
        return self.manifest.header.height

    @property
    def piece_count(self) -> int:
        """How many pieces there are."""
        return len(self.manifest.chunks) + len(self.manifest.parts)

    def piece_size_bytes(self, index: int) -> int:
        """Size of a piece."""
        return self._info(index).size_bytes

    def piece_name(self, index: int) -> str:
        """A name that depends on the piece's content alone, so that what two snapshots share is fetched once."""
        info = self._info(index)
        if isinstance(info, PartInfo):
            return f"part-{info.digest.hex()}"
        return f"chunk-{info.depth}-{info.root.hex()}"

    def _info(self, index: int) -> ChunkInfo | PartInfo:
        chunks = self.manifest.chunks
        return chunks[index] if index < len(chunks) else self.manifest.parts[index - len(chunks)]

    def check_piece(self, suite: CryptoSuite, index: int, data: bytes) -> None:
        """Whether `data` is piece `index`.

        Raises:
            ProofRejected: SNAPSHOT_CHUNK or SNAPSHOT_BLOCK.
        """
        info = self._info(index)
        if isinstance(info, ChunkInfo):
            self.entries(suite, index, data)
        elif len(data) != info.size_bytes or suite.digest(data) != info.digest:
            raise rejected(Check.SNAPSHOT_BLOCK, f"part {index - len(self.manifest.chunks)}")

    def entries(self, suite: CryptoSuite, index: int, data: bytes) -> list[Sorted]:
        """The entries of chunk `index`, if `data` is that chunk.

        Raises:
            ProofRejected: SNAPSHOT_CHUNK.
        """
        info = self.manifest.chunks[index]
        if len(data) != info.size_bytes:
            raise rejected(Check.SNAPSHOT_CHUNK, f"{len(data)} bytes in place of {info.size_bytes}")
        try:
            chunk = codec.decode(data, StateChunk, size_bytes_max=PIECE_SIZE_BYTES_MAX)
        except LedgerError as error:
            raise rejected(Check.SNAPSHOT_CHUNK, error.message()) from None
        if len(chunk.entries) != info.entries:
            raise rejected(Check.SNAPSHOT_CHUNK, f"{len(chunk.entries)} entries in place of {info.entries}")
        found = [Sorted(leaf_of(suite, key, value), key, value) for key, value in chunk.entries]
        for before, after in pairwise(found):
            if before.leaf.key_hash >= after.leaf.key_hash:
                raise rejected(Check.SNAPSHOT_CHUNK, "entries out of order")
        for entry in (*found[:1], *found[-1:]):
            place = int.from_bytes(entry.leaf.key_hash, "big") - self.starts[index]
            if not 0 <= place < 1 << (DEPTH_BITS_MAX - info.depth):
                raise rejected(Check.SNAPSHOT_CHUNK, "an entry of another chunk")
        if subtree_root(suite, [entry.leaf for entry in found], info.depth) != info.root:
            raise rejected(Check.SNAPSHOT_CHUNK, "another root")
        return found

    def block(self, suite: CryptoSuite, parts: Sequence[bytes]) -> tuple[FinalizedBlock, tuple[Result, ...]]:
        """The block and its results, if the parts are what the header commits to.

        Raises:
            ProofRejected: SNAPSHOT_BLOCK.
        """
        manifest = self.manifest
        try:
            content = codec.decode(b"".join(parts), BlockContent, size_bytes_max=PARTS_MAX * CHUNK_SIZE_BYTES)
        except LedgerError as error:
            raise rejected(Check.SNAPSHOT_BLOCK, error.message()) from None
        ids = tuple(transaction_id(suite, transaction.body) for transaction in content.transactions)
        if (
            transactions_root(suite, content.transactions) != manifest.header.transactions_root
            or results_root(suite, content.results) != manifest.header.results_root
            or tuple(result.transaction_id for result in content.results) != ids
        ):
            raise rejected(Check.SNAPSHOT_BLOCK)
        block = Block(header=manifest.header, transactions=content.transactions)
        finalized = FinalizedBlock(block=block, path=manifest.path, certificate=manifest.certificate)
        return finalized, content.results


def check_manifest(suite: CryptoSuite, trust: Trust, manifest: SnapshotManifest) -> Snapshot:
    """Whether a manifest lists the state after a block that is final.

    Args:
        suite: the suite that `trust.suite` names.
        trust: the validator set of the block's epoch.
        manifest: any manifest, however hostile.

    Raises:
        ProofRejected: VERSION, SNAPSHOT_SHAPE, SNAPSHOT_ROOT, or what `check_finality` rejects.
    """
    if manifest.version != SNAPSHOT_VERSION:
        raise rejected(Check.VERSION, f"snapshot {manifest.version}")
    check_finality(suite, trust, manifest.header, manifest.path, manifest.certificate)
    return listed(suite, manifest)


def listed(suite: CryptoSuite, manifest: SnapshotManifest) -> Snapshot:
    """The snapshot of a manifest whose header is known to be final.

    Raises:
        ProofRejected: SNAPSHOT_SHAPE or SNAPSHOT_ROOT.
    """
    starts: list[int] = []
    place = 0
    # Left subtrees that wait for their right half, each deeper than the one before.
    waiting: list[tuple[int, tuple[bytes, int]]] = []
    for chunk in manifest.chunks:
        if (chunk.entries == 0) != (chunk.root == EMPTY_ROOT):
            raise rejected(Check.SNAPSHOT_SHAPE, "an empty chunk with a root, or a full one without")
        if place >> DEPTH_BITS_MAX or (waiting and chunk.depth < waiting[-1][0]):
            raise rejected(Check.SNAPSHOT_SHAPE, "chunks overlap")
        starts.append(place)
        place += 1 << (DEPTH_BITS_MAX - chunk.depth)
        depth, joined = chunk.depth, (chunk.root, chunk.entries)
        while waiting and waiting[-1][0] == depth:
            joined = join_roots(suite, waiting.pop()[1], joined)
            depth -= 1
        waiting.append((depth, joined))
    if place != 1 << DEPTH_BITS_MAX:
        raise rejected(Check.SNAPSHOT_SHAPE, "chunks are missing")
    invariant(len(waiting) == 1, "subtrees that cover the tree join into one")
    if waiting[0][1][0] != manifest.header.state_root:
        raise rejected(Check.SNAPSHOT_ROOT)
    return Snapshot(id=snapshot_id(suite, manifest), manifest=manifest, starts=tuple(starts))
