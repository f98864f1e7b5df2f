"""The blocks above the last committed one, and how they hang together.

Rule: a body is kept under the digest it was checked against. The root is the last block handed to the application as final;
everything else is above it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ledger.errors import invariant
from ledger.types import Block, Header

# Committed bodies kept to answer peers that are one block behind.
RECENT_BLOCKS_MAX: Final = 16


class Entry:
    """A block with what this node knows of it."""

    __slots__ = ("block", "digest", "executed", "invalid", "persisted")

    def __init__(self, block: Block, digest: bytes) -> None:
        self.block = block
        self.digest = digest
        self.executed = False
        self.invalid = False
        self.persisted = False

    @property
    def header(self) -> Header:
        return self.block.header


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A lineage stops at this block, whose body is not here."""

    digest: bytes
    height: int


class BlockTree:
    """Bodies by digest, from the root upwards."""

    def __init__(self, root_digest: bytes, root_header: Header) -> None:
        self.root_digest = root_digest
        self.root_header = root_header
        self._entries: dict[bytes, Entry] = {}
        self._recent: OrderedDict[bytes, Block] = OrderedDict()

    def add(self, block: Block, digest: bytes) -> Entry | None:
        """Keep a body whose digest and transactions root were checked; None when it is not above the root."""
        if block.header.height <= self.root_header.height:
            return None
        entry = self._entries.get(digest)
        if entry is None:
            entry = self._entries[digest] = Entry(block, digest)
        return entry

    def get(self, digest: bytes) -> Entry | None:
        return self._entries.get(digest)

    def discard(self, digest: bytes) -> None:
        """Forget a body that nobody needs any more."""
        self._entries.pop(digest, None)

    def header(self, digest: bytes) -> Header | None:
        if digest == self.root_digest:
            return self.root_header
        entry = self._entries.get(digest)
        return entry.header if entry is not None else None

    def body(self, digest: bytes) -> Block | None:
        """For a peer that asks: a body above the root or recently committed."""
        entry = self._entries.get(digest)
        return entry.block if entry is not None else self._recent.get(digest)

    def executed(self, digest: bytes) -> bool:
        """Whether the application has the state after this block."""
        if digest == self.root_digest:
            return True
        entry = self._entries.get(digest)
        return entry is not None and entry.executed

    def lineage(self, digest: bytes, *, height: int | None = None) -> list[Entry] | Gap | None:
        """The blocks from the root's child up to `digest`.

        Args:
            digest: where to start walking down.
            height: of that block, if known although its body may be missing.

        Returns:
            The blocks in order, fillers included; a Gap where a body is missing (its height is 0 when unknown); None when the
            walk passes the root, so that the block belongs to another branch.
        """
        found: list[Entry] = []
        while digest != self.root_digest:
            entry = self._entries.get(digest)
            if entry is None:
                below = _height_below(found[-1].header) if found else (height or 0)
                if below and below <= self.root_header.height:
                    return None
                return Gap(digest=digest, height=below)
            found.append(entry)
            digest = entry.header.parent
        found.reverse()
        return found

    def advance(self, entry: Entry) -> None:
        """Make the root's child the new root, and forget what is not above it."""
        invariant(entry.header.parent == self.root_digest, "a finalized block does not extend the one before")
        self.root_digest, self.root_header = entry.digest, entry.header
        self._recent[entry.digest] = entry.block
        if len(self._recent) > RECENT_BLOCKS_MAX:
            self._recent.popitem(last=False)
        for digest in [d for d, other in self._entries.items() if other.header.height <= entry.header.height]:
            del self._entries[digest]


def _height_below(header: Header) -> int:
    """The greatest height that the block's parent can have: a filler has that of its parent."""
    return header.height if header.next_validators_hash != header.validators_hash else header.height - 1
