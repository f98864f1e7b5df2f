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
| stale        | version, number of record (4 bytes)   | keys of nodes that it replaced, each after its length (1 byte) |
| history      | height, hash of the state key         | value that the block at that height replaced or deleted |
| epochs       | epoch                                 | EpochChange that ends it |
| meta         | schema, genesis, genesis_header, head, first, proofs | see below |

`first` is the lowest height whose block is held, `proofs` the lowest one whose tree and values are: from there
up to the head everything can be proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger import codec, state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, StorageDamaged, invariant
from ledger.hashing import block_digest, validators_hash
from ledger.light import is_seal
from ledger.state_tree import NodeMap, StateProof
from ledger.types import EpochChange, FinalizedBlock, Result, ValidatorSet

SCHEMA_VERSION: Final = 3
STATE_KEY_SIZE_BYTES_MAX: Final = 511
# So that a record stays within a page.
STALE_KEYS_PER_RECORD: Final = 64
RECORD_SIZE_BYTES_MAX: Final = 1 << 30

T = TypeVar("T")


class StoreExists(LedgerError):
    """A ledger is already there. Fields: path."""

    code = "store_exists"
    category = Category.CONFLICT
    zh = "该目录中已有账本：{path}"
    en = "There is a ledger in {path} already"


class OtherSchema(StorageDamaged):
    """The store is laid out as another release did it. Fields: what, reason, found, expected."""

    zh = (
        "账本存储的格式版本为 {found}，本版本需要 {expected}，不能就地转换。请停止节点并运行 "
        "“zhenglian node resync --store”（由其他节点同步状态重建），或用本版本制作的备份执行 “zhenglian node restore”"
    )
    en = (
        "The ledger store has schema {found}, this release needs {expected} and does not convert it. Stop the node and "
        "run 'zhenglian node resync --store' (it rebuilds by state sync from its peers), or 'zhenglian node restore' "
        "with a backup that this release made"
    )


class NotHeld(LedgerError):
    """History that this node does not have: it began with a snapshot, or has pruned it. Fields: what, id, first_height."""

    code = "not_held"
    category = Category.MISSING
    zh = "本节点没有{what} {id}：其历史从区块高度 {first_height} 开始，请向保存完整历史的节点查询"
    en = (
        "{what} {id} is not held here: the history of this node begins at height {first_height}; "
        "ask a node that has all of it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedBlock:
    """A finalized block with everything that its execution gave.

    Attributes:
        finalized: the block and the proof that it is final.
        results: one for each transaction.
        writes: new value by state key; None deletes.
        nodes: the tree update's nodes.
        stale: the tree update's stale keys.
        next_validators: for the block that ends its epoch, the set that its header names for the next one;
            otherwise None.
    """

    finalized: FinalizedBlock
    results: tuple[Result, ...]
    writes: Mapping[bytes, bytes | None]
    nodes: Mapping[bytes, bytes]
    stale: tuple[bytes, ...]
    next_validators: ValidatorSet | None = None

    @property
    def epoch_change(self) -> EpochChange | None:
        """The proof that the block ended its epoch; None for any other block."""
        if self.next_validators is None:
            return None
        final = self.finalized
        return EpochChange(
            header=final.block.header,
            path=final.path,
            certificate=final.certificate,
            validators=self.next_validators,
        )


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


def check_complete(suite: CryptoSuite, block: CommittedBlock) -> None:
    """A block comes with one result for each transaction, with its tree, and with the set that it names."""
    header = block.finalized.block.header
    count = len(block.finalized.block.transactions)
    invariant(len(block.results) == count, "a committed block has one result for each transaction")
    written = NodeMap(block.nodes)
    invariant(state_tree.has_version(written, header.height), "a committed block brings its tree")
    root = state_tree.root_at(suite, written, header.height)
    invariant(root == header.state_root, "a committed tree has the root that its header names")
    validators = block.next_validators
    invariant(is_seal(header) == (validators is not None), "the block that ends an epoch brings the next set")
    if validators is not None:
        named = validators_hash(suite, validators)
        invariant(named == header.next_validators_hash, "the next set is the one that its header names")
        invariant(validators.epoch == header.epoch + 1, "the next set is of the next epoch")


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
        "stale": stale_records(header.height, block.stale),
        "epochs": epoch_records([block.epoch_change] if block.epoch_change else []),
    }


def stale_records(version: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """The records of the nodes that a version replaced."""
    ordered = sorted(keys)
    return {
        number(version) + index.to_bytes(4, "big"): b"".join(
            bytes((len(key),)) + key for key in ordered[at : at + STALE_KEYS_PER_RECORD]
        )
        for index, at in enumerate(range(0, len(ordered), STALE_KEYS_PER_RECORD))
    }


def stale_keys(data: bytes) -> list[bytes]:
    """The node keys in such a record.

    Raises:
        StorageDamaged: it is none.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        found.append(data[at + 1 : end])
        at = end
    if at != len(data):
        raise StorageDamaged(what="ledger store", reason="malformed list of stale nodes")
    return found


def epoch_records(changes: Iterable[EpochChange]) -> dict[bytes, bytes]:
    """The records of epoch changes."""
    return {number(change.header.epoch): codec.encode(change) for change in changes}
