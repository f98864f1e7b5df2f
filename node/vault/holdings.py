"""What this node keeps of whose record: a small database beside the blobs, so that nothing is kept or destroyed by guess.

Rule: a blob is noted before it is written and forgotten after it is destroyed, so a crash leaves a note without a blob and
never a blob without a note. What a peer says belongs to a record is noted; what the record's own manifest names is noted as
`named`. Of two records that name one blob, the one issued first owns it: a ciphertext opens under its own record's name
alone, so the later one is a mistake or an attack. The database can be lost: the keeper's walk over the ledger makes it again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.errors import Unavailable

_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS parts (
    blob BLOB NOT NULL, certificate BLOB NOT NULL, size_bytes INTEGER NOT NULL, named INTEGER NOT NULL,
    peer BLOB NOT NULL, since_ms INTEGER NOT NULL, PRIMARY KEY (blob, certificate)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_of ON parts (certificate, since_ms);
CREATE INDEX IF NOT EXISTS parts_by ON parts (named, peer, since_ms);
CREATE TABLE IF NOT EXISTS records (certificate BLOB PRIMARY KEY, issued_ms INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS drafts ON records (issued_ms);
"""
_NEW_RECORD: Final = "INSERT INTO records VALUES (?, NULL) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is kept: records on the ledger, drafts that may still come there, and the bytes of both."""

    records: int
    drafts: int
    size_bytes: int


class Holdings:
    """The database. Calls block; run them in a worker thread.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version != _SCHEMA_VERSION:
                # Of another release: the next walk makes it again.
                self._database.executescript("DROP TABLE IF EXISTS parts; DROP TABLE IF EXISTS records;")
            self._database.executescript(_SCHEMA)
            self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise Unavailable(what="holdings", reason=f"{path.name}: {error}; it can be deleted") from None

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()

    def note(self, certificate: bytes, sizes: Mapping[bytes, int], *, peer: bytes, now_ms: int) -> None:
        """Note that these blobs are said to belong to the record.

        A blob keeps the peer that it was first noted with; that one may bring it again, and the blob's time begins anew.

        Args:
            certificate: its id.
            sizes: bytes by the blob's hash.
            peer: account of who brought it, for its quota.
            now_ms: wall clock.
        """
        rows = [(blob, certificate, size, peer, now_ms) for blob, size in sizes.items()]
        with self._writing() as database:
            database.execute(_NEW_RECORD, (certificate,))
            database.executemany(
                "INSERT INTO parts VALUES (?, ?, ?, 0, ?, ?) ON CONFLICT DO UPDATE SET since_ms = excluded.since_ms "
                "WHERE peer = excluded.peer AND since_ms < excluded.since_ms",
                rows,
            )

    def settle(self, certificate: bytes, sizes: Mapping[bytes, int], *, issued_ms: int) -> None:
        """The record is on the ledger, and these are the blobs that its manifest names.

        Args:
            certificate: its id.
            sizes: bytes by the blob's hash, 0 where unknown.
            issued_ms: block time at which it was issued.
        """
        rows = [(blob, certificate, size, issued_ms) for blob, size in sizes.items()]
        with self._writing() as database:
            database.execute(_NEW_RECORD, (certificate,))
            database.execute(
                "UPDATE records SET issued_ms = ? WHERE certificate = ?", (issued_ms, certificate)
            )
            database.executemany(
                "INSERT INTO parts VALUES (?, ?, ?, 1, x'', ?) ON CONFLICT DO UPDATE SET named = 1", rows
            )

    def blobs_of(self, certificate: bytes) -> tuple[bytes, ...]:
        """The blobs that are noted for a record."""
        rows = self._read("SELECT blob FROM parts WHERE certificate = ? ORDER BY blob", (certificate,))
        return tuple(row[0] for row in rows)

    def only_of(self, certificate: bytes) -> tuple[bytes, ...]:
        """The blobs that go with a record: all but those that a record issued before it names."""
        rows = self._read(
            "SELECT blob FROM parts AS mine JOIN records AS record USING (certificate) "
            "WHERE mine.certificate = ? AND NOT EXISTS ("
            "SELECT 1 FROM parts AS other JOIN records USING (certificate) WHERE other.blob = mine.blob "
            "AND other.certificate <> mine.certificate AND other.named = 1 "
            "AND (record.issued_ms IS NULL OR mine.named = 0 "
            "OR (records.issued_ms, other.certificate) < (record.issued_ms, mine.certificate))"
            ") ORDER BY blob",
            (certificate,),
        )
        return tuple(row[0] for row in rows)

    def forget(self, certificate: bytes) -> None:
        """Remove the notes of a record whose blobs are destroyed."""
        with self._writing() as database:
            database.execute("DELETE FROM parts WHERE certificate = ?", (certificate,))
            database.execute("DELETE FROM records WHERE certificate = ?", (certificate,))

    def drafts(self, before_ms: int, limit: int) -> tuple[bytes, ...]:
        """Records that never came on the ledger, of which no blob was noted since that time."""
        rows = self._read(
            "SELECT certificate FROM records WHERE issued_ms IS NULL AND NOT EXISTS ("
            "SELECT 1 FROM parts WHERE parts.certificate = records.certificate AND since_ms >= ?) LIMIT ?",
            (before_ms, limit),
        )
        return tuple(row[0] for row in rows)

    def surplus(self, before_ms: int, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        """Certificate and blob where a record is on the ledger, its manifest does not name the blob, and time has passed."""
        rows = self._read(
            "SELECT certificate, blob FROM parts JOIN records USING (certificate) "
            "WHERE named = 0 AND issued_ms IS NOT NULL AND since_ms < ? LIMIT ?",
            (before_ms, limit),
        )
        return tuple((row[0], row[1]) for row in rows)

    def forget_part(self, certificate: bytes, blob: bytes) -> None:
        """Remove the note that a blob belongs to a record."""
        with self._writing() as database:
            database.execute("DELETE FROM parts WHERE certificate = ? AND blob = ?", (certificate, blob))

    def unnamed_bytes(self, peer: bytes) -> int:
        """Bytes that this peer brought and that no record on the ledger names."""
        rows = self._read(
            "SELECT coalesce(sum(size_bytes), 0) FROM parts WHERE peer = ? AND named = 0", (peer,)
        )
        return int(rows[0][0])

    def known(self, blobs: Iterable[bytes]) -> frozenset[bytes]:
        """Those of the blobs that some record names."""
        return frozenset(
            blob for blob in blobs if self._read("SELECT 1 FROM parts WHERE blob = ? LIMIT 1", (blob,))
        )

    def totals(self) -> Totals:
        """What is kept."""
        counts = self._read(
            "SELECT count(issued_ms), count(*) - count(issued_ms) FROM records UNION ALL "
            "SELECT coalesce(sum(size_bytes), 0), 0 FROM parts",
            (),
        )
        return Totals(records=counts[0][0], drafts=counts[0][1], size_bytes=counts[1][0])

    def _read(self, query: str, values: tuple[bytes | int, ...]) -> list[Any]:
        with self._lock, closing(self._cursor(query, values)) as cursor:
            return cursor.fetchall()

    def _cursor(self, query: str, values: tuple[bytes | int, ...]) -> sqlite3.Cursor:
        try:
            return self._database.execute(query, values)
        except sqlite3.Error as error:
            raise Unavailable(what="holdings", reason=str(error)) from None

    def _writing(self) -> _Writing:
        return _Writing(self._lock, self._database)


class _Writing:
    """One transaction: everything or nothing, and a sentence where the disk says no."""

    def __init__(self, lock: threading.Lock, database: sqlite3.Connection) -> None:
        self._lock = lock
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise Unavailable(what="holdings", reason=str(error)) from None
        return self._database

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        try:
            self._database.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error as failure:
            raise Unavailable(what="holdings", reason=str(failure)) from None
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise Unavailable(what="holdings", reason=str(error)) from None
