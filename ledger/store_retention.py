"""What a store keeps of its past, and clearing up what it no longer does.

Rule: clearing up is part of whole transactions and bounded in each, so that it never holds up a block and a
crash leaves nothing half done. Heights that can be proven against keep their blocks. Room that becomes free
is used again for what is written next; the file itself never shrinks. The proofs of how epochs ended are kept
for ever: trust at genesis reaches every later block through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import lmdb

from ledger.crypto.suite import CryptoSuite
from ledger.errors import invariant
from ledger.hashing import block_digest
from ledger.store_map import Tables
from ledger.store_records import number, stale_keys, stored
from ledger.types import FinalizedBlock, Header, Result

RETAIN_VERSIONS: Final = 1000
PRUNED_NODES_PER_COMMIT_MIN: Final = 4096
PRUNED_BLOCKS_PER_COMMIT_MIN: Final = 64
PRUNED_BLOCK_BYTES_PER_COMMIT_MAX: Final = 16 * 1024 * 1024
NO_VERSION: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the past a node keeps.

    Attributes:
        proof_blocks: how many heights below the head can be proven against, 0 or more.
        blocks: how many blocks are kept, the head's among them, 1 or more; None for all.
        age_ms: blocks older than this are not kept, by block time against the head's, 0 or more; None for all.

    Where both bounds are set, a block goes by the one that it passes first. Blocks of heights that can be
    proven against stay in any case.
    """

    proof_blocks: int = RETAIN_VERSIONS
    blocks: int | None = None
    age_ms: int | None = None

    def __post_init__(self) -> None:
        invariant(self.proof_blocks >= 0, "a number of provable heights is 0 or more")
        invariant(self.blocks is None or self.blocks >= 1, "a number of kept blocks is 1 or more")
        invariant(self.age_ms is None or self.age_ms >= 0, "an age is 0 ms or more")

    @property
    def keeps_all_blocks(self) -> bool:
        """Whether no block is ever let go of."""
        return self.blocks is None and self.age_ms is None

    def lets_go(self, header: Header, head: Header) -> bool:
        """Whether a block is past a bound."""
        return (self.blocks is not None and header.height <= head.height - self.blocks) or (
            self.age_ms is not None and header.time_ms < head.time_ms - self.age_ms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpace:
    """What a store takes on disk.

    Attributes:
        file_bytes: size of the data file.
        live_bytes: of that, pages that hold what the store shows now.
        reusable_bytes: of that, the rest: pages that the next writes take before the file grows. Those that a
            reader still sees, and the newest few, have to wait for a commit or two.
    """

    file_bytes: int
    live_bytes: int
    reusable_bytes: int


@dataclass(slots=True)
class Pruning:
    """One step of clearing up, within one write transaction.

    Args:
        suite: the network's suite.
        transaction, tables: the store.
        head: header of the newest block, that of this transaction included.
        retention: what is kept.
    """

    suite: CryptoSuite
    transaction: lmdb.Transaction
    tables: Tables
    head: Header
    retention: Retention

    def run(self, *, nodes_max: int, blocks_max: int) -> bool:
        """Clear up so much and no more; True when nothing is left to do."""
        done = self._proofs(nodes_max)
        return self._blocks(blocks_max) and done

    @property
    def first_height(self) -> int:
        """Lowest height whose block is held."""
        return self._meta(b"first")

    def _meta(self, name: bytes) -> int:
        return int.from_bytes(self.transaction.get(name, db=self.tables["meta"]) or b"", "big")

    def _set_meta(self, name: bytes, value: int) -> None:
        self.transaction.put(name, number(value), db=self.tables["meta"])

    def _proofs(self, nodes_max: int) -> bool:
        """Let go of the trees below the retained heights, and of the values that only they have."""
        first = self._meta(b"proofs")
        # Versions below this one go; what replaced them at or below it is listed under it.
        wanted = self.head.height - self.retention.proof_blocks
        pruned = 0
        tree = self.tables["tree"]
        cursor = self.transaction.cursor(self.tables["stale"])
        cursor.first()
        while pruned < nodes_max and _version(cursor) <= wanted:
            first = _version(cursor)
            for key in stale_keys(bytes(cursor.value())):
                self.transaction.delete(key, db=tree)
                pruned += 1
            cursor.delete()
        self._set_meta(b"proofs", first)
        return self._values(first, nodes_max) and _version(cursor) > wanted

    def _values(self, first: int, values_max: int) -> bool:
        """Let go of values that were overwritten at or below the first height that can be proven against."""
        cursor = self.transaction.cursor(self.tables["history"])
        cursor.first()
        while values_max > 0 and _version(cursor) <= first:
            cursor.delete()
            values_max -= 1
        return _version(cursor) > first

    def _blocks(self, blocks_max: int) -> bool:
        """Let go of the oldest blocks."""
        if self.retention.keeps_all_blocks:
            return True
        first, provable = self._meta(b"first"), self._meta(b"proofs")
        height, size_bytes = first, PRUNED_BLOCK_BYTES_PER_COMMIT_MAX
        done = False
        while not done and height < first + blocks_max and size_bytes > 0:
            data = bytes(self.transaction.get(number(height), db=self.tables["blocks"]) or b"")
            finalized = stored(data, FinalizedBlock) if data else None
            if finalized is None or height >= provable or not self._goes(finalized):
                done = True
            else:
                size_bytes -= len(data)
                self._delete_block(finalized)
                height += 1
        self._set_meta(b"first", height)
        return done

    def _goes(self, finalized: FinalizedBlock) -> bool:
        return self.retention.lets_go(finalized.block.header, self.head)

    def _delete_block(self, finalized: FinalizedBlock) -> None:
        header = finalized.block.header
        height = number(header.height)
        data = bytes(self.transaction.get(height, db=self.tables["results"]) or b"")
        results = stored(data, tuple[Result, ...])
        gone: Mapping[str, list[bytes]] = {
            "blocks": [height],
            "results": [height],
            "digests": [block_digest(self.suite, header)],
            "transactions": [result.transaction_id for result in results],
        }
        for table, keys in gone.items():
            for key in keys:
                self.transaction.delete(key, db=self.tables[table])


def _version(cursor: lmdb.Cursor) -> int:
    """The version under which the record at a cursor is; above all versions where there is none."""
    key = cursor.key()
    return int.from_bytes(key[:8], "big") if key else NO_VERSION
