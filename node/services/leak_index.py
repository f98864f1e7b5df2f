"""What this node knows of the records that it sealed or handed out, by which a leak is found: numbers, originals, copy references.

Rule: everything is a keyed hash under a secret of this node, so that the file alone says neither a number nor whether a guessed one
is in it; the ledger and other nodes get nothing of it. What the ledger does not have (yet), or has erased, is never found, and is
deleted. Every look is written down with who looked.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.errors import StorageDamaged, Unavailable
from node.services.leak_words import number_word, reference_word, shape_of

SHAPES_MAX: Final = 4_096
FOUND_MAX: Final = 1_000
LOOKS_KEPT_MAX: Final = 100_000
# Of a table's references those with the smallest tags: so a tenth of its rows still holds some of them.
REFERENCES_PER_COPY_MAX: Final = 64
REFERENCE_CHARS_MIN: Final = 8
_SCHEMA_VERSION: Final = 1
_NUMBER_MAX: Final = 2**63 - 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tags (
    tag BLOB NOT NULL, certificate BLOB NOT NULL, root BLOB NOT NULL, kind INTEGER NOT NULL, added_ms INTEGER NOT NULL,
    PRIMARY KEY (tag, certificate, root)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_of_certificate ON tags (certificate);
CREATE TABLE IF NOT EXISTS shapes (shape TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (
    look INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, account BLOB NOT NULL, key_id BLOB NOT NULL,
    file_hash BLOB NOT NULL, size_bytes INTEGER NOT NULL, found TEXT NOT NULL
);
"""
R = TypeVar("R")


class TagKind(IntEnum):
    """What a tag is of."""

    NUMBER = 1
    ORIGINAL = 2
    REFERENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A record that was found, with the commitment root that it had when it was noted."""

    certificate: bytes
    root: bytes
    kind: TagKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Who looked, for which file, and what was found (`id:way+way …`), for auditors. `number` is given when it is written."""

    time_ms: int
    account: bytes
    key_id: bytes
    file_hash: bytes
    size_bytes: int
    found: str
    number: int = 0


class LeakIndex:
    """The index of one node.

    Args:
        path: the SQLite file.
        suite: the network's.
        secret: of this node; without it nothing is found in the file.

    Raises:
        StorageDamaged: the file cannot be used.
    """

    def __init__(self, path: Path, suite: CryptoSuite, secret: bytes) -> None:
        self._path = path
        self._suite = suite
        self._secret = suite.mac(secret, domains.LEAK_INDEX, b"key")
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="leaks")
        try:
            self._connection = self._executor.submit(_open, path).result()
        except sqlite3.Error as error:
            self._executor.shutdown()
            raise StorageDamaged(what=path.name, reason=str(error)) from None
        path.chmod(0o600)

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._connection.close)
        self._executor.shutdown()

    # --- what is noted ---

    async def note(
        self,
        certificate: bytes,
        root: bytes,
        *,
        now_ms: int,
        number: str = "",
        originals: Iterable[bytes] = (),
        references: Iterable[str] = (),
    ) -> None:
        """Note what may lead to a record; again is the same as once.

        Args:
            certificate: its id.
            root: its commitment root.
            now_ms: wall clock.
            number: the value of the field that its type declares as its number.
            originals: contents of its attachments.
            references: opaque references in a copy that this node made.

        Raises:
            Unavailable: the disk does not take it.
        """
        word = number_word(number)
        words = {reference_word(one) for one in references}

        def work() -> None:
            tags = [(self._tag(TagKind.NUMBER, word.encode()), TagKind.NUMBER)] if word else []
            tags += [
                (self._tag(TagKind.ORIGINAL, self._suite.digest(one)), TagKind.ORIGINAL) for one in originals
            ]
            marked = sorted(
                self._tag(TagKind.REFERENCE, one.encode()) for one in words if len(one) >= REFERENCE_CHARS_MIN
            )
            tags += [(tag, TagKind.REFERENCE) for tag in marked[:REFERENCES_PER_COPY_MAX]]
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                self._connection.executemany(
                    "INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?, ?)",
                    [(tag, certificate, root, int(kind), now_ms) for tag, kind in tags],
                )
                (count,) = self._connection.execute("SELECT COUNT(*) FROM shapes").fetchone()
                if word and count < SHAPES_MAX:
                    self._connection.execute("INSERT OR IGNORE INTO shapes VALUES (?)", (shape_of(word),))

        await self._run(work)

    async def forget(self, certificates: Sequence[bytes]) -> None:
        """Delete everything of these records."""
        await self._run(
            lambda: self._connection.executemany(
                "DELETE FROM tags WHERE certificate = ?", [(one,) for one in certificates]
            )
        )

    async def prune(self, stays: Callable[[bytes, int], bool]) -> int:
        """Delete the records that do not stay, by id and the time when they were noted; how many there were."""
        rows = await self._run(
            lambda: self._connection.execute(
                "SELECT certificate, MAX(added_ms) FROM tags GROUP BY certificate"
            ).fetchall()
        )
        gone = [certificate for certificate, added_ms in rows if not stays(certificate, added_ms)]
        if gone:
            await self.forget(gone)
        return len(gone)

    # --- what is found ---

    async def shapes(self) -> frozenset[str]:
        """How the numbers that are known are built."""
        rows = await self._run(lambda: self._connection.execute("SELECT shape FROM shapes").fetchall())
        return frozenset(shape for (shape,) in rows)

    async def find(self, kind: TagKind, values: Sequence[bytes]) -> tuple[Tagged, ...]:
        """Records that any of these values leads to, in the values' order; at most `FOUND_MAX`."""

        def work() -> list[Tagged]:
            found: list[Tagged] = []
            for value in values:
                rows = self._connection.execute(
                    "SELECT certificate, root FROM tags WHERE tag = ? LIMIT ?",
                    (self._tag(kind, value), FOUND_MAX - len(found)),
                )
                found += [Tagged(certificate=row[0], root=row[1], kind=kind) for row in rows]
                if len(found) >= FOUND_MAX:
                    break
            return found

        return tuple(await self._run(work))

    # --- who looked ---

    async def write_look(self, look: Look) -> None:
        """Write down that somebody looked; of the oldest no more than `LOOKS_KEPT_MAX` are kept. Raises Unavailable."""

        def work() -> None:
            self._connection.execute("PRAGMA synchronous = FULL")
            cursor = self._connection.execute(
                "INSERT INTO looks (time_ms, account, key_id, file_hash, size_bytes, found) VALUES (?, ?, ?, ?, ?, ?)",
                (look.time_ms, look.account, look.key_id, look.file_hash, look.size_bytes, look.found),
            )
            self._connection.execute(
                "DELETE FROM looks WHERE look <= ?", ((cursor.lastrowid or 0) - LOOKS_KEPT_MAX,)
            )
            self._connection.execute("PRAGMA synchronous = NORMAL")

        await self._run(work)

    async def looks(self, limit: int, before: int | None = None) -> tuple[Look, ...]:
        """The newest looks first, of those with a number below `before`."""
        rows = await self._run(
            lambda: self._connection.execute(
                "SELECT time_ms, account, key_id, file_hash, size_bytes, found, look FROM looks "
                "WHERE look < ? ORDER BY look DESC LIMIT ?",
                (_NUMBER_MAX if before is None else before, limit),
            ).fetchall()
        )
        return tuple(
            Look(
                time_ms=row[0],
                account=row[1],
                key_id=row[2],
                file_hash=row[3],
                size_bytes=row[4],
                found=row[5],
                number=row[6],
            )
            for row in rows
        )

    def _tag(self, kind: TagKind, value: bytes) -> bytes:
        return self._suite.mac(self._secret, domains.LEAK_INDEX, bytes([kind]) + value)

    async def _run(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.Error as error:
            raise Unavailable(what=self._path.name, reason=str(error)) from None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # After a power cut the last notes may be missing; a deposit does not wait for the disk once more.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, _SCHEMA_VERSION}:
        connection.close()
        raise sqlite3.DatabaseError(f"schema version {version}, expected {_SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    return connection
