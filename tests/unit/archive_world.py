"""An archive of a small real ledger with two epochs, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace

from contracts.actions import ChangeValidators, RotateVoteKey
from ledger.archive import (
    ArchivedBlob,
    ArchivedBlock,
    ArchiveReader,
    ArchiveWriter,
    Closing,
    Contents,
    EpochEnd,
    Frame,
    SnapshotPiece,
    sign_manifest,
)
from ledger.archive_check import ArchiveCheck, ProvenArchive
from ledger.store import Store
from ledger.types import Trust
from node.archive_make import ArchiveWish, Maker, make_archive
from node.archive_read import ContractMeaning
from node.vault.blobs import LocalBlobStore
from tests.unit.contracts_world import NODES, OPERATORS, SUITE, voter
from tests.unit.node_replica import Replica

MADE_MS: Final = 1_800_000_000_000
Frames = list[Frame]


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def rotation_of_first() -> ChangeValidators:
    second = voter("second vote")
    return ChangeValidators(
        changes=(
            RotateVoteKey(
                account=OPERATORS[0].account,
                vote_key=second.public_key,
                possession=second.prove_possession("test", OPERATORS[0].account),
            ),
        )
    )


def grow(replica: Replica) -> Replica:
    """Some blocks of epoch 1, its seal, and some of epoch 2."""
    replica.populate()
    replica.vote(rotation_of_first())
    for _ in range(3):
        replica.step()
    while replica.commit():
        pass
    return replica


def maker(n: int = 0) -> Maker:
    return Maker(account=OPERATORS[n].account, signer=NODES[n].signer)


def archive(store: Store, path: Path, wish: ArchiveWish | None = None) -> Path:
    make_archive(path, SUITE, store, wish or ArchiveWish(made_ms=MADE_MS), maker(), quiet)
    return path


@lru_cache(maxsize=2)
def archived(*, first_height: int | None = None) -> tuple[bytes, Trust]:
    """The bytes of an archive with all that one can have, and the trust point of genesis."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        replica = grow(Replica(folder, dealt=False))
        vault = LocalBlobStore(folder / "blobs", SUITE)
        for n in range(3):
            vault.put(bytes([n]) * (n + 1))
        wish = ArchiveWish(first_height=first_height, snapshot=True, blobs=folder / "blobs", made_ms=MADE_MS)
        path = archive(replica.store, folder / "city.archive", wish)
        trust = replica.chain.trust()
        replica.close()
        return path.read_bytes(), trust


def frames_of(data: bytes) -> Frames:
    reader = ArchiveReader(BytesIO(data).read)
    return [reader.opening, *(placed.frame for placed in reader.frames_after_opening())]


def verified(data: bytes, trust: Trust | None, *, every_certificate: bool = True) -> ProvenArchive:
    reader = ArchiveReader(BytesIO(data).read)
    check = ArchiveCheck(reader, trust, ContractMeaning(), every_certificate=every_certificate)
    proven = None
    for placed in reader.frames_after_opening():
        proven = check.take(placed)
    assert proven is not None
    return proven


def forged(change: Callable[[Frames], Frames], *, signer: Maker | None = None) -> bytes:
    """The archive as an operator with a node key would forge it: changed, linked, counted and signed anew."""
    data, _ = archived()
    *frames, closing = change(frames_of(data))
    assert isinstance(closing, Closing)
    writer = ArchiveWriter(SUITE)
    parts = [writer.frame(frame) for frame in frames]
    blocks = [frame for frame in frames if isinstance(frame, ArchivedBlock)]
    blobs = [frame for frame in frames if isinstance(frame, ArchivedBlob)]
    manifest = replace(
        closing.manifest,
        contents=Contents(
            epochs=sum(isinstance(frame, EpochEnd) for frame in frames),
            blocks=len(blocks),
            transactions=sum(len(block.results) for block in blocks),
            pieces=sum(isinstance(frame, SnapshotPiece) for frame in frames),
            blobs=len(blobs),
            blob_bytes=sum(len(blob.data) for blob in blobs),
        ),
        frames=writer.frames,
        size_bytes=writer.size_bytes,
        link=writer.link,
    )
    parts.append(writer.frame(sign_manifest((signer or maker()).signer, manifest)))
    return b"".join(parts)
