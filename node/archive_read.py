"""Reads archives from files: what one says of itself, and whether it holds.

Rule: one pass, one frame in memory; what is wrong is said with its place in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.genesis import genesis_state
from contracts.state import ACCOUNTS
from ledger import state_tree
from ledger.archive import ArchivedBlock, ArchiveManifest, ArchiveReader, Closing, Opening, Placed
from ledger.archive_check import ArchiveCheck, ProvenArchive
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError, invariant
from ledger.hashing import block_digest, genesis_header
from ledger.state_receipts import StateReceipt
from ledger.types import Genesis, Trust
from node.home import FileUnusable

Progress = Callable[[str, int, int], None]


class ContractMeaning:
    """`ledger.archive_check.Meaning` by this release's contracts."""

    def genesis_digest(self, suite: CryptoSuite, genesis: Genesis) -> bytes:
        state = genesis_state(suite, genesis)
        root = state_tree.update(suite, state_tree.NodeMap({}), None, state, 0).root
        return block_digest(suite, genesis_header(suite, genesis, root))

    def key_in(self, manifest: ArchiveManifest, standing: StateReceipt) -> bool:
        if standing.key != ACCOUNTS.key(manifest.account) or standing.value is None:
            return False
        try:
            account = ACCOUNTS.decode(standing.value)
        except LedgerError:
            return False
        return any(
            (key.key_id, key.scheme, key.public_key, key.revoked_ms)
            == (manifest.key_id, manifest.scheme, manifest.public_key, 0)
            for key in account.keys
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[ArchiveReader, int]]:
    """An archive's reader, and the size of the file.

    Raises:
        FileUnusable: it cannot be read. ArchiveRejected: it is no archive.
    """
    with _told(path), path.open("rb") as file:
        yield ArchiveReader(file.read), path.stat().st_size


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileUnusable(path=str(path), reason=error.strerror or str(error)) from None


def verify_archive(path: Path, trust: Trust, progress: Progress) -> ProvenArchive:
    """Prove a whole archive from a trust point; executes nothing.

    Args:
        path: the file.
        trust: chain and validators.
        progress: told the stage, and how many bytes of how many are read.

    Returns:
        What it holds.

    Raises:
        ArchiveRejected: it does not hold; says where and why. ProofRejected: the trust point is not sound.
        FileUnusable: it cannot be read.
    """
    with opened(path) as (reader, size_bytes):
        check = ArchiveCheck(reader, trust, ContractMeaning())
        proven: ProvenArchive | None = None
        for placed in reader.frames_after_opening():
            proven = check.take(placed)
            progress("verify", reader.offset, size_bytes)
    return closed(proven)


def closed(proven: ProvenArchive | None) -> ProvenArchive:
    """What was proven at the closing frame, which a reader always ends with."""
    invariant(proven is not None, "a reader ends with the closing frame")
    assert proven is not None  # noqa: S101  # for the type checker
    return proven


def inspect_archive(path: Path, progress: Progress) -> tuple[Opening, ArchiveManifest, int]:
    """What an archive says of itself: whole, its links hold, and nothing is proven.

    Returns:
        Opening, manifest, and the time of its last block in Unix milliseconds (0 for none).

    Raises:
        ArchiveRejected, FileUnusable: as for `verify_archive`.
    """
    time_ms = 0
    last: Placed | None = None
    with opened(path) as (reader, size_bytes):
        for placed in reader.frames_after_opening():
            last = placed
            if isinstance(placed.frame, ArchivedBlock):
                time_ms = placed.frame.finalized.block.header.time_ms
            progress("read", reader.offset, size_bytes)
        opening = reader.opening
    invariant(last is not None and isinstance(last.frame, Closing), "a reader ends with the closing frame")
    assert last is not None  # noqa: S101  # for the type checker
    assert isinstance(last.frame, Closing)  # noqa: S101
    return opening, last.frame.manifest, time_ms
