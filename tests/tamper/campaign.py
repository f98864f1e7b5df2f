"""One flip after another in a real store's file, each judged by two processes: LMDB's reader, and the check."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import lmdb

from ledger.lmdb_file import DATA_FILE
from ledger.store import Retention, Store
from ledger.store_view import MAP_SIZE_BYTES, TABLES
from node.storecheck import check_store
from tests.tamper.layout import in_use
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

RETAIN_VERSIONS: Final = 3
BLOCKS: Final = 5
DIED: Final = "died"
# A pointer that leads back makes a reader that never ends.
ENDLESS_S: Final = 20


@dataclass(slots=True)
class Outcome:
    """What the flips came to.

    Attributes:
        flips: how many there were.
        verdicts: how many of each kind.
        wrong: what contradicts the rule, in words.
        unlocated: found, but without table, page or byte in the words.
    """

    flips: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unlocated: list[str] = field(default_factory=list)


def make_store(folder: Path) -> World:
    """A small store with all that a store can hold: long records, deleted keys, an end of an epoch, pruned versions."""
    world = World()
    with Store.create(
        folder, SUITE, world.genesis, GENESIS_STATE, retention=Retention(proof_blocks=RETAIN_VERSIONS)
    ) as store:
        for height in range(1, BLOCKS + 1):
            writes: dict[bytes, bytes | None] = {
                b"key/%d" % at: fixed(height, at, size=60) for at in range(height, height + 6)
            }
            writes[b"key/%d" % (height - 1)] = None
            if height in {1, BLOCKS}:
                writes[b"long"] = fixed(height, size=5000)
            following = world.rotated() if height == 3 else None
            store.commit([world.committed(writes, transactions=1, next_validators=following)])
    return world


class Campaign:
    """A store, and what it says when a byte of it is another.

    Attributes:
        data: its file.
        used: one byte for each of the file's, 0 where it is spare (`tests/tamper/layout.py`).
    """

    def __init__(self, folder: Path) -> None:
        self.whole = folder / "whole"
        self.world = make_store(self.whole)
        self.data = (self.whole / DATA_FILE).read_bytes()
        self.used = in_use(self.data)
        self._store = Path(shutil.copytree(self.whole, folder / "flipped"))
        self._expected = self._in_child(self._contents)

    @property
    def spare_bytes(self) -> int:
        return self.used.count(0)

    def run(self, positions: Iterable[int], bit_of: Callable[[int], int]) -> Outcome:
        """Flip a bit of each of these bytes."""
        outcome = Outcome()
        assert self._in_child(self._check) == "", "a whole store is found whole"
        with (self._store / DATA_FILE).open("r+b", buffering=0) as file:
            for at in positions:
                self._flip(file.fileno(), at, self.data[at] ^ 1 << bit_of(at))
                self._judge(at, outcome)
                self._flip(file.fileno(), at, self.data[at])
        return outcome

    def _flip(self, descriptor: int, at: int, value: int) -> None:
        os.pwrite(descriptor, bytes((value,)), at)

    def _judge(self, at: int, outcome: Outcome) -> None:
        found = self._in_child(self._check)
        contents = self._in_child(self._contents)
        place = f"byte {at} (page {at // 4096}, {at % 4096})"
        outcome.flips += 1
        if contents != self._expected:
            outcome.verdicts["contents differ, found" if found else "contents differ, NOT FOUND"] += 1
            if not found:
                outcome.wrong.append(f"{place}: what is read differs, and nothing was found")
        elif found:
            kind = "bookkeeping differs, found" if self.used[at] else "spare byte, FOUND"
            outcome.verdicts[kind] += 1
            if not self.used[at]:
                outcome.wrong.append(f"{place}: a spare byte was reported: {found}")
        else:
            outcome.verdicts["bookkeeping, harmless" if self.used[at] else "spare byte"] += 1
        if found and found != DIED and not any(word in found for word in ("page", "meta", *TABLES)):
            outcome.unlocated.append(f"{place}: {found}")

    def _check(self) -> str:
        found = check_store(
            self._store,
            genesis=self.world.genesis,
            sample=None,
            pages=True,
            progress=lambda stage, done, total: None,
        )
        return "\n".join(found.faults)

    def _contents(self) -> str:
        """A hash of all that LMDB gives: every record in order, and every record by its key."""
        digest = hashlib.sha256()
        env = lmdb.open(str(self._store), map_size=MAP_SIZE_BYTES, max_dbs=len(TABLES), readonly=True)
        with env.begin() as transaction:
            for name in TABLES:
                table = env.open_db(name.encode(), transaction, create=False)
                digest.update(repr(transaction.stat(table)["entries"]).encode())
                for key, value in transaction.cursor(table):
                    digest.update(repr((name, bytes(key), bytes(value))).encode())
                    digest.update(repr(transaction.get(bytes(key), db=table)).encode())
        return digest.hexdigest()

    def _in_child(self, work: Callable[[], str]) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            said = DIED
            signal.alarm(ENDLESS_S)
            try:
                said = work()
            finally:
                os.write(writer, said.encode()[:4000])
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        return said if status == 0 else DIED
