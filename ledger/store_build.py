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
from ledger.lmdb_file import disk_faults, sync_folder
from ledger.snapshot import Snapshot
from ledger.state_bulk import TreeBuilder
from ledger.store_records import StoreExists, check_state_key, epoch_records, number
from ledger.store_view import SCHEMA_VERSION, Tables, open_environment
from ledger.types import EpochChange, Genesis, Header
from ledger.verdicts import Check, rejected

# Entries that are sorted and written together.
BATCH_SIZE_BYTES: Final = 32 * 1024 * 1024
BUILDING_SUFFIX: Final = ".building"


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
    path: Path, suite: CryptoSuite, genesis: Genesis, state: Mapping[bytes, bytes], map_size_bytes: int
) -> None:
    """See `Store.create`."""
    for key in state:
        check_state_key(key)
    tree = state_tree.update(suite, state_tree.NodeMap({}), None, state, 0)
    header = genesis_header(suite, genesis, tree.root)
    with _building(path, map_size_bytes) as filler:
        filler.put("state", state.items())
        filler.put("tree", tree.nodes.items())
        filler.put("digests", [(block_digest(suite, header), number(0))])
        filler.put("meta", _meta(genesis, header, head=0, first=1))


def build_from_snapshot(
    path: Path,
    suite: CryptoSuite,
    origin: Origin,
    snapshot: Snapshot,
    piece: Callable[[int], bytes],
    map_size_bytes: int,
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
    with _building(path, map_size_bytes) as filler:
        _fill_state(filler, suite, snapshot, piece)
        _fill_block(filler, suite, snapshot, piece)
        filler.put("digests", [(block_digest(suite, genesis_block), number(0))])
        filler.put("epochs", epoch_records(changes).items())
        filler.put("meta", _meta(origin.genesis, genesis_block, head=snapshot.height, first=snapshot.height))


def _meta(genesis: Genesis, header: Header, *, head: int, first: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"schema", number(SCHEMA_VERSION)),
        (b"genesis", codec.encode(genesis)),
        (b"genesis_header", codec.encode(header)),
        (b"head", number(head)),
        (b"first", number(first)),
    ]


@contextmanager
def _building(path: Path, map_size_bytes: int) -> Iterator[_Filler]:
    """An empty store to fill, which is made durable and put in its place if nothing fails."""
    building = path.with_name(path.name + BUILDING_SUFFIX)
    try:
        if path.exists() and any(path.iterdir()):
            raise StoreExists(path=str(path))
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        env, tables = open_environment(building, map_size_bytes, sync=False)
        try:
            filler = _Filler(env, tables)
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

    def __init__(self, env: lmdb.Environment, tables: Tables) -> None:
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
        with disk_faults(), self._env.begin(write=True) as transaction:
            for table, records in self._waiting.items():
                for key, value in sorted(records):
                    transaction.put(key, value, db=self._tables[table])
        self._waiting.clear()
        self._size_bytes = 0


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
