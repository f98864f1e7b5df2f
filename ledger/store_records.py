"""What one finalized block becomes on disk: which tables get which records.

Rule: numbers in keys are 8 bytes big-endian, so that key order is number order; values are canonical
encodings.

| table        | key                                   | value                    |
|--------------|---------------------------------------|--------------------------|
| blocks       | height                                | FinalizedBlock           |
| results      | height                                | list of Result           |
| digests      | block digest                          | height                   |
| transactions | transaction id                        | height, index (4 bytes)  |
| state        | state key                             | value at the head        |
| tree         | node key (`state_tree`)               | node                     |
| stale        | version that replaced it, node key    | nothing                  |
| meta         | schema, genesis, genesis_header, head |                          |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, StorageDamaged, invariant
from ledger.hashing import block_digest
from ledger.state_tree import StateProof
from ledger.types import FinalizedBlock, Result

STATE_KEY_SIZE_BYTES_MAX: Final = 511
RECORD_SIZE_BYTES_MAX: Final = 1 << 30

T = TypeVar("T")


class StoreExists(LedgerError):
    """A ledger is already there. Fields: path."""

    code = "store_exists"
    category = Category.CONFLICT
    zh = "该目录中已有账本：{path}"
    en = "There is a ledger in {path} already"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedBlock:
    """A finalized block with everything that its execution gave.

    Attributes:
        finalized: the block and the proof that it is final.
        results: one for each transaction.
        writes: new value by state key; None deletes.
        nodes: the tree update's nodes.
        stale: the tree update's stale keys.
    """

    finalized: FinalizedBlock
    results: tuple[Result, ...]
    writes: Mapping[bytes, bytes | None]
    nodes: Mapping[bytes, bytes]
    stale: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenValue:
    """A state value at one height, with its proof against that header's state root."""

    height: int
    value: bytes | None
    proof: StateProof


def number(value: int) -> bytes:
    """A height or version in a key."""
    return value.to_bytes(8, "big")


def check_state_key(key: bytes) -> None:
    """LMDB takes keys of 1 … 511 bytes; contracts keep theirs shorter."""
    invariant(0 < len(key) <= STATE_KEY_SIZE_BYTES_MAX, "a state key has 1 … 511 bytes")


def stored(data: bytes, kind: type[T]) -> T:
    """Read a stored record.

    Raises:
        StorageDamaged: it is not what was written.
    """
    try:
        return codec.decode(data, kind, size_bytes_max=RECORD_SIZE_BYTES_MAX)
    except LedgerError as error:
        raise StorageDamaged(what="ledger store", reason=error.message()) from None


def records(suite: CryptoSuite, block: CommittedBlock) -> dict[str, dict[bytes, bytes]]:
    """The records of a block by table, save for the state, which a group writes once."""
    header = block.finalized.block.header
    height = number(header.height)
    return {
        "blocks": {height: codec.encode(block.finalized)},
        "results": {height: codec.encode(block.results)},
        "digests": {block_digest(suite, header): height},
        "transactions": {
            result.transaction_id: height + index.to_bytes(4, "big")
            for index, result in enumerate(block.results)
        },
        "tree": dict(block.nodes),
        "stale": {height + key: b"" for key in block.stale},
    }
