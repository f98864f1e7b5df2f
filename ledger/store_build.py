"""A store at genesis or from a snapshot, built beside its place and put there whole.

Rule: nothing is at the store's path until all of it is durable, and its state has the root that the certified
header names. What a crash leaves behind has another name and is thrown away by the next attempt.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb

from ledger import codec, state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Unavailable, invariant
from ledger.hashing import block_digest, genesis_header, validators_hash
from ledger.leaf_sorter import LeafSorter
from ledger.lmdb_file import disk_faults, sync_folder
from ledger.snapshot import Snapshot
from ledger.state_bulk import TreeBuilder, leaf_of
from ledger.store_map import MapSize, Tables, open_environment, put_all, write
from ledger.store_records import SCHEMA_VERSION, StoreExists, check_state_key, epoch_records, number
from ledger.types import EpochChange, Genesis, Header
from ledger.verdicts import Check, rejected

# Entries that are sorted and written together.
BATCH_SIZE_BYTES: Final = 32 * 1024 * 1024
BUILDING_SUFFIX: Final = ".building"
LEAVES_SUFFIX: Final = ".leaves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a network comes from.

    Attributes:
        genesis: the document.
        state: the state that it starts with.
        changes: how every epoch from the first on ended, verified (`ledger.epochs`).
    """

    genesis: Genesis
    state: Mapping[bytes, bytes]
    changes: tuple[EpochChange, ...] = ()


def build_at_genesis(
    path: Path,
    suite: CryptoSuite,
    genesis: Genesis,
    state: Mapping[bytes, bytes],
    size: MapSize,
) -> None:
    """See `Store.create`."""
    for key in state:
        check_state_key(key)
    tree = state_tree.update(suite, state_tree.NodeMap({}), None, state, 0)
    header = genesis_header(suite, genesis, tree.root)
    with _building(path, size) as filler:
        filler.put("state", state.items())
        filler.put("tree", tree.nodes.items())
        filler.put("digests", [(block_digest(suite, header), number(0))])
        filler.put("meta", _meta(genesis, header, head=0))


def build_from_snapshot(
    path: Path,
    suite: CryptoSuite,
    origin: Origin,
    snapshot: Snapshot,
    piece: Callable[[int], bytes],
    size: MapSize,
) -> None:
    """See `Store.create_from_snapshot`."""
    changes = tuple(change for change in origin.changes if change.header.height <= snapshot.height)
    validators = changes[-1].validators if changes else origin.genesis.validators
    invariant(
        validators_hash(suite, validators) == snapshot.manifest.header.next_validators_hash,
        "the snapshot's validators are proven from genesis on",
    )
    genesis_root = state_tree.update(suite, state_tree.NodeMap({}), None, origin.state, 0).root
    genesis_block = genesis_header(suite, origin.genesis, genesis_root)
    with _building(path, size) as filler:
        _fill_state(filler, suite, snapshot, piece)
        _fill_block(filler, suite, snapshot, piece)
        filler.put("digests", [(block_digest(suite, genesis_block), number(0))])
        filler.put("epochs", epoch_records(changes).items())
        filler.put("meta", _meta(origin.genesis, genesis_block, head=snapshot.height))


def build_large(
    path: Path, suite: CryptoSuite, genesis: Genesis, entries: Iterable[tuple[bytes, bytes]], size: MapSize
) -> None:
    """A store at genesis whose state may be larger than memory; otherwise as `build_at_genesis`.

    Args:
        path: folder; missing, or empty.
        suite: the suite that genesis names.
        genesis: the document.
        entries: the state, in key order.
        size: of the map.

    Raises:
        StoreExists: the folder is not empty.
        Unavailable: the disk is full or cannot be written.
    """
    with _building(path, size) as filler, LeafSorter(path.with_name(path.name + LEAVES_SUFFIX)) as leaves:
        for key, value in entries:
            check_state_key(key)
            filler.put("state", [(key, value)])
            leaves.add(leaf_of(suite, key, value))
        builder = TreeBuilder(suite, 0)
        for leaf in leaves.sorted():
            filler.put("tree", builder.add(leaf))
        root, nodes = builder.finish()
        filler.put("tree", nodes)
        header = genesis_header(suite, genesis, root)
        filler.put("digests", [(block_digest(suite, header), number(0))])
        filler.put("meta", _meta(genesis, header, head=0))


def _meta(genesis: Genesis, header: Header, *, head: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"schema", number(SCHEMA_VERSION)),
        (b"genesis", codec.encode(genesis)),
        (b"genesis_header", codec.encode(header)),
        (b"head", number(head)),
        (b"first", number(max(head, 1))),
        (b"proofs", number(head)),
    ]


@contextmanager
def _building(path: Path, size: MapSize) -> Iterator[_Filler]:
    """An empty store to fill, which is made durable and put in its place if nothing fails."""
    building = path.with_name(path.name + BUILDING_SUFFIX)
    try:
        if path.exists() and any(path.iterdir()):
            raise StoreExists(path=str(path))
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        env, tables = open_environment(building, size.size_bytes, sync=False)
        try:
            filler = _Filler(env, tables, size.size_bytes_max)
            yield filler
            filler.flush()
            with disk_faults():
                env.sync(True)
        finally:
            env.close()
        sync_folder(building)
        building.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise Unavailable(what="ledger store", reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


class _Filler:
    """Writes records in large sorted batches."""

    def __init__(self, env: lmdb.Environment, tables: Tables, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._env = env
        self._tables = tables
        self._waiting: dict[str, list[tuple[bytes, bytes]]] = {}
        self._size_bytes = 0

    def put(self, table: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        waiting = self._waiting.setdefault(table, [])
        for key, value in records:
            waiting.append((key, value))
            self._size_bytes += len(key) + len(value)
        if self._size_bytes >= BATCH_SIZE_BYTES:
            self.flush()

    def flush(self) -> None:
        write(self._env, self._put_all, self._env.set_mapsize, self._size_bytes_max)
        self._waiting.clear()
        self._size_bytes = 0

    def _put_all(self, transaction: lmdb.Transaction) -> None:
        for table, records in self._waiting.items():
            put_all(transaction, self._tables[table], records)


def _fill_state(
    filler: _Filler, suite: CryptoSuite, snapshot: Snapshot, piece: Callable[[int], bytes]
) -> None:
    builder = TreeBuilder(suite, snapshot.height)
    for index in range(len(snapshot.manifest.chunks)):
        for entry in snapshot.entries(suite, index, piece(index)):
            filler.put("state", [(entry.key, entry.value)])
            filler.put("tree", builder.add(entry.leaf))
    root, nodes = builder.finish()
    if root != snapshot.manifest.header.state_root:
        raise rejected(Check.SNAPSHOT_ROOT)
    filler.put("tree", nodes)


def _fill_block(
    filler: _Filler, suite: CryptoSuite, snapshot: Snapshot, piece: Callable[[int], bytes]
) -> None:
    parts = [piece(index) for index in range(len(snapshot.manifest.chunks), snapshot.piece_count)]
    finalized, results = snapshot.block(suite, parts)
    height = number(snapshot.height)
    filler.put("digests", [(block_digest(suite, snapshot.manifest.header), height)])
    filler.put("blocks", [(height, codec.encode(finalized))])
    filler.put("results", [(height, codec.encode(results))])
    places = (
        (result.transaction_id, height + index.to_bytes(4, "big")) for index, result in enumerate(results)
    )
    filler.put("transactions", places)
