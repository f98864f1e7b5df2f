"""A store's LMDB environment: its tables, the one writer's transactions, and a map that grows when it is full.

Rule: the map is moved to another place in memory while nobody looks into it. Each read goes through the gate;
growth closes it, waits until everybody has come out, and takes away the transactions of views that are held
open: these say so when they are used again, and never read what is no longer theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock, get_ident
from typing import Final, Protocol, TypeVar

import lmdb

from ledger.errors import Unavailable
from ledger.lmdb_file import disk_faults

# What a map begins with costs address space only; a store that outgrows it doubles it.
MAP_SIZE_BYTES: Final = 1 << 40
MAP_SIZE_BYTES_MAX: Final = 1 << 46
GROWTH_WAIT_S: Final = 30.0

TABLES: Final = (
    "blocks",
    "results",
    "digests",
    "transactions",
    "state",
    "tree",
    "stale",
    "history",
    "epochs",
    "meta",
)

Tables = Mapping[str, lmdb._Database]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MapSize:
    """How large a map is to be.

    Attributes:
        size_bytes: size that the file can have until the map grows.
        size_bytes_max: the largest map.
    """

    size_bytes: int = MAP_SIZE_BYTES
    size_bytes_max: int = MAP_SIZE_BYTES_MAX


class Revocable(Protocol):
    """Something with a transaction that is held open."""

    def revoke(self) -> None:
        """Let go of it; called while the gate is closed."""
        ...


def open_environment(path: Path, map_size_bytes: int, *, sync: bool) -> tuple[lmdb.Environment, Tables]:
    """Open the environment in a folder that exists, and its tables.

    Args:
        path: the folder.
        map_size_bytes: size that the file can have until the map grows.
        sync: whether each transaction is durable when it ends; without, nothing is before `env.sync(True)`.

    Raises:
        StorageDamaged: it is damaged. Unavailable: it cannot be read.
    """
    with disk_faults():
        env = lmdb.open(
            str(path),
            map_size=map_size_bytes,
            max_dbs=len(TABLES),
            subdir=True,
            sync=sync,
            metasync=sync,
            writemap=False,
        )
        return env, {name: env.open_db(name.encode()) for name in TABLES}


def write(
    env: lmdb.Environment,
    work: Callable[[lmdb.Transaction], T],
    grow: Callable[[int], None],
    size_bytes_max: int,
) -> T:
    """Do `work` in one write transaction; where the map is too small for it, once more in a larger one.

    Args:
        env: the environment.
        work: everything that is to be written together; nothing of a failed attempt is left.
        grow: sets the map to so many bytes.
        size_bytes_max: the largest map.

    Raises:
        Unavailable: the disk is full, or the map has its largest size.
        StorageDamaged: the environment is damaged.
    """
    while True:
        try:
            with disk_faults(lmdb.MapFullError), env.begin(write=True) as transaction:
                return work(transaction)
        except lmdb.MapFullError:
            size_bytes = int(env.info()["map_size"])
            if size_bytes >= size_bytes_max:
                reason = f"it has its largest size of {size_bytes_max} bytes"
                raise Unavailable(what="ledger store", reason=reason) from None
            grow(min(2 * size_bytes, size_bytes_max))


def put_all(
    transaction: lmdb.Transaction, table: lmdb._Database, entries: Iterable[tuple[bytes, bytes]]
) -> None:
    """Write records in key order, which is how they fill pages best."""
    with transaction.cursor(table) as cursor:
        cursor.putmulti(sorted(entries))


class Gate:
    """Many may be inside, or one alone. A thread that is inside may enter again."""

    __slots__ = ("_changed", "_closing", "_inside", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._inside: dict[int, int] = {}
        self._closing = False

    def __enter__(self) -> None:
        thread = get_ident()
        with self._lock:
            while self._closing and thread not in self._inside:
                self._changed.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        thread = get_ident()
        with self._lock:
            left = self._inside[thread] - 1
            if left:
                self._inside[thread] = left
                return
            del self._inside[thread]
            if self._closing:
                self._changed.notify_all()

    @contextmanager
    def alone(self, wait_s: float) -> Iterator[None]:
        """Be inside when nobody else is.

        Raises:
            Unavailable: somebody did not come out in time.
        """
        with self._changed:
            self._closing = True
            try:
                if not self._changed.wait_for(lambda: not self._inside, wait_s):
                    raise Unavailable(
                        what="ledger store", reason="its map cannot grow while it is being read"
                    )
                yield
            finally:
                self._closing = False
                self._changed.notify_all()


class StoreMap:
    """The environment of an open store.

    Args:
        path: its folder.
        size: of its map.

    Attributes:
        env, tables: the environment and its tables; read only inside `gate`.
        gate: to be inside of while reading.
    """

    def __init__(self, path: Path, size: MapSize) -> None:
        self.env, self.tables = open_environment(path, size.size_bytes, sync=True)
        self.gate = Gate()
        self._size_bytes_max = size.size_bytes_max
        self._held: set[Revocable] = set()

    def hold(self, view: Revocable) -> None:
        """Note that a transaction stays open; called inside the gate."""
        self._held.add(view)

    def release(self, view: Revocable) -> None:
        """Note that it is over; called inside the gate."""
        self._held.discard(view)

    def write(self, work: Callable[[lmdb.Transaction], T]) -> T:
        """See the function of that name. One thread at a time, and none that is inside the gate."""
        return write(self.env, work, self._grow, self._size_bytes_max)

    def _grow(self, size_bytes: int) -> None:
        with self.gate.alone(GROWTH_WAIT_S):
            for view in tuple(self._held):
                view.revoke()
            self._held.clear()
            with disk_faults():
                self.env.set_mapsize(size_bytes)
