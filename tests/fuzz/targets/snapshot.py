"""Snapshots from strangers: the manifest and its pieces.

Rule: a manifest that is taken lists the whole state under its header's root, and a piece that is taken is the one piece there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from msgspec.structs import replace

from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.snapshot import (
    MANIFEST_SIZE_BYTES_MAX,
    ChunkInfo,
    PartInfo,
    Snapshot,
    SnapshotManifest,
    Sorted,
    listed,
    make_chunk,
)
from ledger.state_bulk import leaf_of, subtree_root
from ledger.verdicts import ProofRejected
from node.statesync.messages import (
    MESSAGE_SIZE_BYTES_MAX,
    CertifiedHead,
    GetOffer,
    GetPiece,
    GetProgress,
    Offer,
    Piece,
    Progress,
    decode_request,
)
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require
from tests.unit.ledger_world import SUITE, World

ENTRIES = tuple((b"key %d" % index, bytes([index]) * 3) for index in range(24))
HALVES_DEPTH = 2


@lru_cache(maxsize=1)
def pieces() -> tuple[tuple[ChunkInfo, bytes], ...]:
    """Four chunks, each a quarter of the key space."""
    found = sorted(
        (Sorted(leaf_of(SUITE, key, value), key, value) for key, value in ENTRIES),
        key=lambda entry: entry.leaf.key_hash,
    )
    quarters: list[Sequence[Sorted]] = [[] for _ in range(1 << HALVES_DEPTH)]
    for entry in found:
        quarters[entry.leaf.key_hash[0] >> (8 - HALVES_DEPTH)] = [
            *quarters[entry.leaf.key_hash[0] >> (8 - HALVES_DEPTH)],
            entry,
        ]
    return tuple(make_chunk(SUITE, HALVES_DEPTH, quarter) for quarter in quarters)


@lru_cache(maxsize=1)
def good() -> SnapshotManifest:
    world = World()
    block, _, _ = world.next_block({})
    leaves = sorted((leaf_of(SUITE, key, value) for key, value in ENTRIES), key=lambda leaf: leaf.key_hash)
    header = replace(block.header, state_root=subtree_root(SUITE, leaves, 0))
    return SnapshotManifest(
        version=1,
        header=header,
        path=(),
        certificate=world.certify(header),
        chunks=tuple(info for info, _ in pieces()),
        parts=(PartInfo(digest=bytes(32), size_bytes=10),),
    )


def run_manifest(data: bytes) -> None:
    manifest = codec.decode(data, SnapshotManifest, size_bytes_max=MANIFEST_SIZE_BYTES_MAX)
    require(codec.encode(manifest) == data, "a manifest re-encodes to other bytes")
    snapshot = listed(SUITE, manifest)
    for index in range(snapshot.piece_count):
        require(snapshot.piece_size_bytes(index) > 0 and snapshot.piece_name(index), "a piece without a name")
    if manifest.header.state_root == good().header.state_root:
        # How many entries a chunk has is not under the root; a piece with another number is refused later.
        same = [(one.depth, one.root) for one in manifest.chunks] == [
            (one.depth, one.root) for one in good().chunks
        ]
        require(same or len(manifest.chunks) < len(good().chunks), "other chunks under the same root")


def run_piece(data: bytes) -> None:
    """The first byte chooses which chunk the rest is said to be."""
    script = Script(data)
    snapshot = taken()
    index = script.below(len(pieces()))
    piece = script.rest()
    found = snapshot.entries(SUITE, index, piece)
    require(piece == pieces()[index][1], "another piece is taken for the chunk")
    require(
        {(entry.key, entry.value) for entry in found} <= set(ENTRIES), "entries that are not in the state"
    )


@lru_cache(maxsize=1)
def taken() -> Snapshot:
    return listed(SUITE, good())


ERRORS = (DecodeError, LimitExceeded, ProofRejected)


def run_question(data: bytes) -> None:
    question = decode_request(data)
    require(codec.encode(question) == data, "a question about snapshots re-encodes to other bytes")


def run_answer(data: bytes) -> None:
    """The first byte chooses which question the rest answers."""
    script = Script(data)
    kind = (Progress, Offer, Piece)[script.below(3)]
    encoded = script.rest()
    answer = codec.decode(encoded, kind, size_bytes_max=MESSAGE_SIZE_BYTES_MAX)
    require(codec.encode(answer) == encoded, "an answer about snapshots re-encodes to other bytes")


def answers() -> list[bytes]:
    manifest = good()
    head = CertifiedHead(header=manifest.header, path=(), certificate=manifest.certificate)
    found = (Progress(changes=(), head=head), Offer(manifest=manifest, making=True), Piece(data=b"piece"))
    return [bytes([place]) + codec.encode(answer) for place, answer in enumerate(found)]


TARGETS = (
    Target(
        name="node.snapshot_question",
        run=run_question,
        seeds=lambda: [
            codec.encode(question)
            for question in (GetProgress(from_epoch=1), GetOffer(), GetPiece(snapshot=bytes(32), index=7))
        ],
        examples=lambda: encodings(cast("type[GetProgress]", GetProgress | GetOffer | GetPiece)),
        errors=(DecodeError, LimitExceeded),
        grammar=Grammar.MSGPACK,
        size_bytes_max=512,
    ),
    Target(
        name="node.snapshot_answer",
        run=run_answer,
        seeds=answers,
        errors=(DecodeError, LimitExceeded),
        size_bytes_max=8192,
    ),
    Target(
        name="ledger.snapshot_manifest",
        run=run_manifest,
        seeds=lambda: [codec.encode(good())],
        examples=lambda: encodings(SnapshotManifest),
        errors=ERRORS,
        grammar=Grammar.MSGPACK,
        size_bytes_max=8192,
    ),
    Target(
        name="ledger.snapshot_piece",
        run=run_piece,
        seeds=lambda: [bytes([index]) + piece for index, (_, piece) in enumerate(pieces())],
        errors=(ProofRejected,),
    ),
)
