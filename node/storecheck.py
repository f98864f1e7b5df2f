"""Proves a store equal to what its network certified: everything in it, or a sample of the certificates.

Rule: nothing is believed but the genesis document. From it follow the validator sets, from them the certificates, from
those the headers, and from the headers the transactions, the results, the state tree and every value of the state. What serves
only to find things (the tables of digests and ids) is compared with what it points to. A fault is told with its place, and
reading goes on where it can.

A damaged data file can kill the process that maps it, so `node/storechild.py` runs this in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final, TypeVar, cast

import lmdb

from contracts.shared_key_records import SharedKey
from contracts.shared_key_rounds import keys_made
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.epochs import advance_trust
from ledger.errors import InvariantViolation, LedgerError, StorageDamaged
from ledger.hashing import block_digest, results_root, transaction_id, transactions_root, validators_hash
from ledger.light import TRUST_VERSION, check_finality
from ledger.lmdb_file import check_whole, disk_faults
from ledger.state_tree import root_at
from ledger.store_records import number, stored
from ledger.store_view import MAP_SIZE_BYTES, SCHEMA_VERSION, TABLES, StoreView
from ledger.types import EpochChange, FinalizedBlock, Genesis, Header, Result, Trust
from node.storecheck_places import Misplaced, misplaced
from node.storecheck_state import check_state
from node.storefind import PageFinder, check_newest
from node.storepages import check_pages
from node.upgrades import Coming, coming_at

FAULTS_MAX: Final = 100

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is.

    Attributes:
        table: of the store; empty where it is none of them.
        key: of the record there.
        height: block height or version that it belongs to; -1 where none does.
        page: of the data file, where the record lies; -1 where it could not be found.
    """

    table: str = ""
    key: bytes = b""
    height: int = -1
    page: int = -1


@dataclass(slots=True)
class StoreCheck:
    """What came of it.

    Attributes:
        height, head_digest, head_time_ms: of the head; the time only by `glance`.
        coming: versions of protocol and contracts that its state sets; only by `glance`.
        keys: shared keys in force, as encoded records; only by `glance`.
        first_height: lowest height that is held.
        blocks, certificates, state_values, tree_nodes, pages: how many were proven.
        faults: what is wrong, and where in words; at most FAULTS_MAX.
        places: where each of the faults is.
    """

    height: int = 0
    head_digest: bytes = b""
    head_time_ms: int = 0
    coming: tuple[Coming, ...] = ()
    keys: tuple[SharedKey, ...] = ()
    first_height: int = 0
    blocks: int = 0
    certificates: int = 0
    state_values: int = 0
    tree_nodes: int = 0
    pages: int = 0
    faults: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def fault(self, text: str, table: str = "", key: bytes = b"", height: int = -1) -> None:
        """Note a fault; a record's page is looked up when all is read."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)
            self.places.append(Place(table=table, key=key, height=height))

    def damaged(
        self, error: LedgerError, before: str = "", table: str = "", key: bytes = b"", height: int = -1
    ) -> None:
        """Note what an error says, at the place that it names, or else at the given one."""
        named = error.fields if isinstance(error, Misplaced) else {}
        self.fault(
            f"{before}{_reason(error)}",
            str(named.get("table", table)),
            bytes.fromhex(str(named["key"])) if "key" in named else key,
            height,
        )

    def find_pages(self, folder: Path) -> None:
        """Look up in which page of the data file each fault's record lies."""
        with PageFinder(folder) as finder:
            self.places = [
                replace(place, page=finder.page_of(place.table, place.key)) if place.key else place
                for place in self.places
            ]
        self.faults = [
            f"{text} (page {place.page})" if place.page >= 0 else text
            for text, place in zip(self.faults, self.places, strict=True)
        ]


def check_store(
    folder: Path,
    *,
    genesis: Genesis | None,
    sample: int | None,
    pages: bool,
    progress: Progress,
    shared: bool = True,
) -> StoreCheck:
    """Read the whole store.

    Args:
        folder: the store's folder.
        genesis: what the network's document is; None to believe the store's own.
        sample: how many certificates are verified, chosen at random besides the first and the last; None for all.
        pages: whether the pages of the file are accounted for too; only while nobody writes.
        progress: told the stage, and how much of it is done.
        shared: whether others may have it open; without, no lock file is made.
    """
    found = StoreCheck()
    try:
        if pages:
            progress("pages", 0, 1)
            found.pages = check_pages(folder)
            check_newest(folder)
        with _opened(folder, shared=shared) as (view, transaction, tables):
            _check_tables(transaction, tables, found, progress)
            chain = _Chain(view, found, genesis)
            chain.bound(transaction, tables)
            chain.check(sample, progress)
            found.head_digest = block_digest(chain.suite, chain.header(chain.height))
            chain.finish(transaction, tables)
            check_state(
                chain.suite,
                view,
                transaction,
                tables,
                chain.state_roots,
                found,
                progress,
            )
    except LedgerError as error:
        found.damaged(error)
    except OSError as error:
        found.fault(error.strerror or str(error))
    if found.faults:
        found.find_pages(folder)
    return found


def glance(folder: Path, *, genesis: Genesis | None, shared: bool = True) -> StoreCheck:
    """Look whether a store opens and its newest block and state belong together, as a node does at its start; writes nothing.

    Args:
        folder, genesis, shared: as for `check_store`.
    """
    found = StoreCheck()
    try:
        check_whole(folder)
        with _opened(folder, shared=shared) as (view, _, _):
            chain = _Chain(view, found, genesis)
            header = chain.header(chain.height)
            found.head_time_ms = header.time_ms
            found.head_digest = block_digest(chain.suite, header)
            if root_at(chain.suite, view, chain.height) != header.state_root:
                found.fault("tree: the newest version is not that of the newest block")
            with suppress(
                InvariantViolation
            ):  # of a state that cannot be read, `check_store` says what is wrong
                found.coming = coming_at(_State(view), header.height)
                found.keys = keys_made(_State(view))
    except LedgerError as error:
        found.damaged(error)
    except OSError as error:
        found.fault(error.strerror or str(error))
    return found


class _State:
    """The state at the head, unproven."""

    def __init__(self, view: StoreView) -> None:
        self._view = view

    def get(self, key: bytes) -> bytes | None:
        return self._view.get("state", key)


def _reason(error: LedgerError) -> str:
    return str(error.fields["reason"]) if isinstance(error, StorageDamaged) else error.message()


@contextmanager
def _opened(
    folder: Path, *, shared: bool
) -> Iterator[tuple[StoreView, lmdb.Transaction, dict[str, lmdb._Database]]]:
    with disk_faults():
        env = lmdb.open(
            str(folder),
            map_size=MAP_SIZE_BYTES,
            max_dbs=len(TABLES),
            readonly=True,
            readahead=True,
            lock=shared,
        )
    try:
        with disk_faults():
            tables = {name: _table(env, name) for name in TABLES}
            with env.begin() as transaction:
                yield StoreView(transaction, tables), transaction, tables
    finally:
        env.close()


def _table(env: lmdb.Environment, name: str) -> lmdb._Database:
    try:
        return env.open_db(name.encode(), create=False)
    except (lmdb.NotFoundError, lmdb.InvalidError, lmdb.IncompatibleError) as error:
        raise misplaced("", name.encode(), f"table {name} cannot be opened: {error}") from None


def _check_tables(
    transaction: lmdb.Transaction, tables: dict[str, lmdb._Database], found: StoreCheck, progress: Progress
) -> None:
    """Whether each record is found under its key, in order, and there are as many as each table counts."""
    for name, table in tables.items():
        entries = int(transaction.stat(table)["entries"])
        seen = 0
        last = b""
        for each in transaction.cursor(table).iternext(keys=True, values=False):
            key = bytes(each)
            if seen and key <= last:
                found.fault(f"{name}: key {key.hex()} is out of order", name, key)
            if transaction.get(key, db=table) is None:
                found.fault(f"{name}: key {key.hex()} is not found", name, key)
            last = key
            seen += 1
            if seen % 4096 == 0:
                progress(name, seen, entries)
            if seen > entries:
                break
        if seen != entries:
            found.fault(f"{name}: {seen} records, but it counts {entries}", name)


def _sampled(heights: range, sample: int | None) -> set[int] | range:
    if sample is None or sample >= len(heights):
        return heights
    return {heights[0], heights[-1], *Random().sample(heights, sample)}  # noqa: S311 - a sample, no secret


class _Chain:
    """The blocks from the first that is held, each proven by the sets that genesis leads to."""

    def __init__(self, view: StoreView, found: StoreCheck, genesis: Genesis | None) -> None:
        self._view = view
        self._found = found
        if view.get("meta", b"schema") != number(SCHEMA_VERSION):
            raise misplaced("meta", b"schema", "meta: no ledger, or one of another release")
        self._genesis = self._stored(b"genesis", Genesis)
        if genesis is not None and self._genesis != genesis:
            raise misplaced("meta", b"genesis", "meta: its genesis is not the network's")
        self.suite: CryptoSuite = load_suite(self._genesis.suite)
        self._genesis_header = self._stored(b"genesis_header", Header)
        self.height = found.height = int.from_bytes(self._meta(b"head"), "big")
        self.first = found.first_height = int.from_bytes(self._meta(b"first"), "big")
        self._trusts = self._epochs()
        self._parent = block_digest(self.suite, self._genesis_header) if self.first == 1 else b""
        self.state_roots = {0: self._genesis_header.state_root} if self.first == 1 else {}
        self._transactions = 0
        self._check_genesis_header()

    def _meta(self, key: bytes) -> bytes:
        value = self._view.get("meta", key)
        if value is None:
            raise misplaced("meta", key, f"meta: {key.decode()} is missing")
        return value

    def _stored(self, key: bytes, kind: type[T]) -> T:
        try:
            return stored(self._meta(key), kind)
        except Misplaced:
            raise
        except StorageDamaged as error:
            raise misplaced("meta", key, f"meta: {key.decode()}: {error.fields['reason']}") from None

    def header(self, height: int) -> Header:
        """The header at a height that is held."""
        if height == 0:
            return self._genesis_header
        finalized = self._view.block(height)
        if finalized is None or finalized.block.header.height != height:
            raise misplaced("blocks", number(height), f"blocks: height {height}: missing")
        return finalized.block.header

    def _check_genesis_header(self) -> None:
        header = self._genesis_header
        validators = validators_hash(self.suite, self._genesis.validators)
        if (header.chain_id, header.height, header.validators_hash) != (
            chain_id(self.suite, self._genesis),
            0,
            validators,
        ):
            self._found.fault(
                "meta: the genesis header is not that of its genesis", "meta", b"genesis_header", 0
            )
        if self._view.get("digests", block_digest(self.suite, header)) != number(0):
            self._found.fault(
                "digests: genesis is not listed", "digests", block_digest(self.suite, header), 0
            )

    def _epochs(self) -> dict[int, Trust]:
        trust = Trust(
            version=TRUST_VERSION,
            network=self._genesis.network,
            suite=self._genesis.suite,
            chain_id=chain_id(self.suite, self._genesis),
            validators=self._genesis.validators,
        )
        trusts = {trust.validators.epoch: trust}
        epoch = trust.validators.epoch
        while (data := self._view.get("epochs", number(epoch))) is not None:
            try:
                trust = advance_trust(self.suite, trust, stored(data, EpochChange))
            except LedgerError as error:
                raise misplaced(
                    "epochs", number(epoch), f"epochs: end of epoch {epoch}: {_reason(error)}"
                ) from None
            epoch = trust.validators.epoch
            trusts[epoch] = trust
        return trusts

    def bound(self, transaction: lmdb.Transaction, tables: dict[str, lmdb._Database]) -> None:
        """The head is no higher than there are blocks, so that a damaged one is not counted up to."""
        entries = int(cast("dict[str, int]", transaction.stat(tables["blocks"]))["entries"])
        last = self.first + entries - 1 if entries else 0
        if self.height > last:
            self._found.fault(f"meta: head {self.height}, but the last block is {last}", "meta", b"head")
            self.height = last

    def check(self, sample: int | None, progress: Progress) -> None:
        """Every block that is held, and all of the certificates or a sample."""
        heights = range(self.first, self.height + 1) if self.height else range(0)
        wanted = _sampled(heights, sample)
        for height in heights:
            self._block(height, certificate=height in wanted)
            if (height - self.first) % 16 == 0:
                progress("blocks", height - self.first, len(heights))

    def _block(self, height: int, *, certificate: bool) -> None:
        place = f"blocks: height {height}"
        try:
            data = self._view.get("blocks", number(height))
            if data is None:
                raise StorageDamaged(what="ledger store", reason="missing")
            finalized = stored(data, FinalizedBlock)
            self._check(height, finalized, certificate=certificate)
            if codec.encode(finalized) != data:
                raise StorageDamaged(what="ledger store", reason="not its canonical encoding")
        except LedgerError as error:
            self._found.damaged(error, f"{place}: ", "blocks", number(height), height)
            self._parent = b""

    def _check(self, height: int, finalized: FinalizedBlock, *, certificate: bool) -> None:
        block, suite = finalized.block, self.suite
        header = block.header
        digest = block_digest(suite, header)
        trust = self._trusts.get(header.epoch)
        checks = (
            (header.height == height, "another height in its header"),
            (not self._parent or header.parent == self._parent, "not the child of the block before"),
            (header.transactions_root == transactions_root(suite, block.transactions), "other transactions"),
            (trust is not None, f"no validator set of epoch {header.epoch}"),
            (
                trust is None or header.validators_hash == validators_hash(suite, trust.validators),
                "another validator set",
            ),
        )
        for good, reason in checks:
            if not good:
                raise StorageDamaged(what="ledger store", reason=reason)
        if self._view.get("digests", digest) != number(height):
            raise misplaced("digests", digest, "its digest is not listed under it")
        if trust is not None and certificate:
            check_finality(suite, trust, header, finalized.path, finalized.certificate)
            self._found.certificates += 1
        self.state_roots[height] = header.state_root
        self._parent = digest
        self._check_results(height, finalized)
        self._found.blocks += 1

    def _check_results(self, height: int, finalized: FinalizedBlock) -> None:
        data = self._view.get("results", number(height))
        try:
            results = () if data is None else stored(data, tuple[Result, ...])
        except StorageDamaged as error:
            raise misplaced("results", number(height), f"results: {error.fields['reason']}") from None
        ids = [transaction_id(self.suite, one.body) for one in finalized.block.transactions]
        if (
            data is None
            or results_root(self.suite, results) != finalized.block.header.results_root
            or [result.transaction_id for result in results] != ids
        ):
            raise misplaced("results", number(height), "other results")
        for index, name in enumerate(ids):
            if self._view.get("transactions", name) != number(height) + index.to_bytes(4, "big"):
                raise misplaced("transactions", name, f"transaction {name.hex()} is not listed in it")
        self._transactions += len(ids)

    def finish(self, transaction: lmdb.Transaction, tables: dict[str, lmdb._Database]) -> None:
        """Nothing is listed that is not in the blocks."""
        held = self.height - self.first + 1 if self.height else 0
        expected = {
            "blocks": held,
            "results": held,
            "digests": held + 1,
            "transactions": self._transactions,
            "epochs": len(self._trusts) - 1,
            "meta": 6,
        }
        for name, count in expected.items():
            entries = int(cast("dict[str, int]", transaction.stat(tables[name]))["entries"])
            if entries != count:
                self._found.fault(f"{name}: {entries} records, but the chain has {count}", name)
