"""The audit index in one SQLite file (WAL).

Rule: whole blocks go in, in order, in one database transaction with the new height; so after a crash the file
is at some block exactly, and the follower goes on from there. One thread writes and one reads, so that a long
query delays neither the chain nor the event loop. A file of another chain or another schema is started anew.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from ledger import codec
from ledger.errors import Busy, StorageDamaged, Unavailable, invariant
from node.index import dossier_tables
from node.index.dossiers import NOTHING, FoundEntry, FoundNotice, Section
from node.index.files import PREPARED, file_hashes
from node.index.ports import CURSOR_MAX, INDEX_PAGE_MAX, BlockFacts, IndexedEvent, IndexedObject, cursor_of

SCHEMA_VERSION: Final = 4
QUERIES_WAITING_MAX: Final = 256
EVENT_PARTS_SIZE_BYTES_MAX: Final = 256 * 1024
# The disk is full or fails; what is on it is as it was.
_DISK_REFUSES: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
# Sorts after every kind that begins with the prefix: kinds are ASCII.
_AFTER_EVERY_KIND: Final = "\U0010ffff"

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    cursor INTEGER PRIMARY KEY, height INTEGER NOT NULL, transaction_index INTEGER NOT NULL,
    event_index INTEGER NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, object_id BLOB NOT NULL,
    account BLOB NOT NULL, key_id BLOB NOT NULL, code TEXT NOT NULL, transaction_id BLOB NOT NULL,
    subjects BLOB NOT NULL, data BLOB NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, cursor);
CREATE TABLE event_subjects (
    subject BLOB NOT NULL, cursor INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (subject, cursor)
) WITHOUT ROWID;
CREATE INDEX event_subjects_by_kind ON event_subjects (subject, kind, cursor);
"""
_COLUMNS: Final = (
    "e.cursor, e.kind, e.object_id, e.subjects, e.data, e.height, e.time_ms, "
    "e.transaction_id, e.account, e.key_id, e.code"
)

Subjects = tuple[bytes, ...]
Data = tuple[tuple[str, str | int], ...]
R = TypeVar("R")


class SqliteIndex:
    """See `node.index.ports.Index`.

    Args:
        path: the database file; its folder must exist.
        chain_id: the network that it follows.

    Raises:
        StorageDamaged: the file is no usable database; deleting it is safe.
    """

    def __init__(self, path: Path, chain_id: bytes) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-writer")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-reader")
        self._waiting = 0
        self._applied = asyncio.Event()
        try:
            self._write_connection = self._writer.submit(_open_writable, path, chain_id).result()
            self._height = _stored(self._write_connection, "height")
            self._first_height = _stored(self._write_connection, "first")
            self._read_connection = self._reader.submit(_connect, path).result()
        except sqlite3.Error as error:
            self._writer.shutdown()
            self._reader.shutdown()
            raise StorageDamaged(what=path.name, reason=str(error)) from None

    @property
    def height(self) -> int:
        return self._height

    @property
    def first_height(self) -> int:
        return self._first_height

    async def begin(self, first_height: int) -> None:
        await _run(self._writer, lambda: _begin(self._write_connection, first_height), self._path)
        self._height, self._first_height = first_height - 1, first_height

    async def apply(self, blocks: Sequence[BlockFacts]) -> None:
        if not blocks:
            return
        for offset, block in enumerate(blocks, start=1):
            invariant(
                block.header.height == self._height + offset,
                "the index is given blocks in order, without gaps",
            )
        await _run(self._writer, lambda: _write(self._write_connection, blocks), self._path)
        self._height = blocks[-1].header.height
        applied, self._applied = self._applied, asyncio.Event()
        applied.set()

    async def events(
        self,
        *,
        subject: bytes | None = None,
        kind_prefix: str = "",
        after: int | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> tuple[IndexedEvent, ...]:
        prefix = (kind_prefix, kind_prefix + _AFTER_EVERY_KIND)
        start, comparison, order = _window(after, newest_first=newest_first)
        if subject is None:
            kinds = "AND e.kind >= ? AND e.kind < ?" if kind_prefix else ""
            sql = (
                f"SELECT {_COLUMNS} FROM events e WHERE e.cursor {comparison} ? {kinds} "  # noqa: S608
                f"ORDER BY e.cursor {order} LIMIT ?"
            )
            parameters: list[object] = [start, *(prefix if kind_prefix else ())]
        else:
            sql = (
                f"SELECT {_COLUMNS} FROM event_subjects s JOIN events e ON e.cursor = s.cursor "  # noqa: S608
                f"WHERE s.subject = ? AND s.cursor {comparison} ? AND s.kind >= ? AND s.kind < ? "
                f"ORDER BY s.cursor {order} LIMIT ?"
            )
            parameters = [subject, start, *prefix]
        rows = await self._query(sql, [*parameters, _page(limit)])
        return tuple(_event(row) for row in rows)

    async def objects(
        self,
        kind: str,
        *,
        subject: bytes | None = None,
        after: int | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> tuple[IndexedObject, ...]:
        start, comparison, order = _window(after, newest_first=newest_first)
        if subject is None:
            sql = (
                f"SELECT cursor, object_id FROM events WHERE kind = ? AND cursor {comparison} ? "  # noqa: S608
                f"ORDER BY cursor {order} LIMIT ?"
            )
            parameters: list[object] = [kind, start]
        else:
            sql = (
                "SELECT e.cursor, e.object_id FROM event_subjects s JOIN events e "  # noqa: S608
                f"ON e.cursor = s.cursor WHERE s.subject = ? AND s.kind = ? AND s.cursor {comparison} ? "
                f"ORDER BY s.cursor {order} LIMIT ?"
            )
            parameters = [subject, kind, start]
        rows = await self._query(sql, [*parameters, _page(limit)])
        return tuple(
            IndexedObject(cursor=_checked(cursor, int), object_id=_checked(object_id, bytes))
            for cursor, object_id in rows
        )

    async def entries(
        self, account: bytes, section: Section, *, at_ms: int, after: int | None = None, limit: int
    ) -> tuple[FoundEntry, ...]:
        start, _, _ = _window(after, newest_first=True)
        sql = (
            f"SELECT d.key, d.grant_id, {_COLUMNS} FROM entries d JOIN events e ON e.cursor = d.cursor "  # noqa: S608
            "WHERE d.account = ? AND d.section = ? AND d.cursor < ? AND d.shown_from_ms <= ? "
            "ORDER BY d.cursor DESC LIMIT ?"
        )
        rows = await self._query(sql, [account, section.value, start, at_ms, _page(limit)])
        return tuple(_found_entry(row) for row in rows)

    async def entry(self, account: bytes, section: Section, key: bytes, *, at_ms: int) -> FoundEntry | None:
        sql = (
            f"SELECT d.key, d.grant_id, {_COLUMNS} FROM entries d JOIN events e ON e.cursor = d.cursor "  # noqa: S608
            "WHERE d.account = ? AND d.section = ? AND d.key = ? AND d.shown_from_ms <= ?"
        )
        rows = await self._query(sql, [account, section.value, key, at_ms])
        return _found_entry(rows[0]) if rows else None

    async def entry_counts(self, account: bytes, *, at_ms: int) -> Mapping[Section, int]:
        sql = (
            "SELECT section, COUNT(*) FROM entries WHERE account = ? AND shown_from_ms <= ? GROUP BY section"
        )
        return dossier_tables.counted(await self._query(sql, [account, at_ms]))

    async def notices(
        self, account: bytes | None, *, after: int | None = None, limit: int, newest_first: bool = False
    ) -> tuple[FoundNotice, ...]:
        start, comparison, order = _window(after, newest_first=newest_first)
        sql = dossier_tables.notices_query(account, comparison, order, _COLUMNS)
        whose = [] if account is None else [account]
        rows = await self._query(sql, [*whose, start, _page(limit)])
        return tuple(_found_notice(row) for row in rows)

    async def notice_count(self, account: bytes, *, after: int) -> int:
        sql = "SELECT COUNT(*) FROM notices WHERE account = ? AND position > ?"
        rows = await self._query(sql, [account, _clamp(after)])
        return _checked(rows[0][0], int)

    async def add_notice(self, account: bytes, kind: str, object_id: bytes, time_ms: int) -> None:
        def work() -> None:
            with _transaction(self._write_connection):
                dossier_tables.add_notice(
                    self._write_connection,
                    _stored(self._write_connection, "height"),
                    account=account,
                    kind=kind,
                    object_id=object_id,
                    time_ms=time_ms,
                )

        await _run(self._writer, work, self._path)

    async def wait_height(self, height: int, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self._height < height:
                    await self._applied.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        await _run(self._reader, self._read_connection.close, self._path)
        await _run(self._writer, self._write_connection.close, self._path)
        self._reader.shutdown()
        self._writer.shutdown()

    async def _query(self, sql: str, parameters: Sequence[object]) -> list[tuple[object, ...]]:
        if self._waiting >= QUERIES_WAITING_MAX:
            raise Busy(what="audit index", retry_after_s=1)
        self._waiting += 1
        try:
            return await _run(
                self._reader, lambda: self._read_connection.execute(sql, parameters).fetchall(), self._path
            )
        finally:
            self._waiting -= 1


async def _run(executor: ThreadPoolExecutor, work: Callable[[], R], path: Path) -> R:
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_REFUSES:
            raise Unavailable(what=path.name, reason=str(error)) from None
        raise StorageDamaged(what=path.name, reason=str(error)) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # The index follows the chain: after a power cut the last blocks are simply applied again.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _open_writable(path: Path, chain_id: bytes) -> sqlite3.Connection:
    identity = SCHEMA_VERSION.to_bytes(4, "big") + chain_id
    connection = _connect(path)
    if _has_schema(connection):
        row = connection.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
        if row is not None and row[0] == identity:
            return connection
        connection.close()
        for stale in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            stale.unlink(missing_ok=True)
        connection = _connect(path)
    connection.executescript(f"BEGIN;{_SCHEMA}{dossier_tables.SCHEMA}")
    connection.execute("INSERT INTO meta VALUES ('identity', ?), ('height', 0), ('first', 1)", (identity,))
    connection.execute("COMMIT")
    return connection


def _has_schema(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def _stored(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection, first_height: int) -> None:
    with _transaction(connection):
        connection.execute("DELETE FROM events")
        connection.execute("DELETE FROM event_subjects")
        dossier_tables.clear(connection)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'height'", (first_height - 1,))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'first'", (first_height,))


def _write(connection: sqlite3.Connection, blocks: Sequence[BlockFacts]) -> None:
    with _transaction(connection):
        for block in blocks:
            for row, subjects in _rows(block):
                connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * 13)})", row)  # noqa: S608
                connection.executemany("INSERT INTO event_subjects VALUES (?, ?, ?)", subjects)
            dossier_tables.write(
                connection, block.header.height, block.header.time_ms, block.concerns or NOTHING
            )
        connection.execute("UPDATE meta SET value = ? WHERE name = 'height'", (blocks[-1].header.height,))


def _rows(block: BlockFacts) -> Iterator[tuple[tuple[object, ...], list[tuple[bytes, int, str]]]]:
    height, time_ms = block.header.height, block.header.time_ms
    pairs = zip(block.transactions, block.results, strict=True)
    for transaction_index, (transaction, result) in enumerate(pairs):
        body = transaction.body
        for event_index, event in enumerate(result.events):
            cursor = cursor_of(height, transaction_index, event_index)
            # The acting account finds its own event, and an object its history, whatever the contract listed; a file that
            # was prepared leads to its release.
            files = file_hashes(body.call) if event.kind == PREPARED else ()
            found_by = dict.fromkeys((*event.subjects, event.object_id, body.account, *files))
            yield (
                (
                    cursor,
                    height,
                    transaction_index,
                    event_index,
                    time_ms,
                    event.kind,
                    event.object_id,
                    body.account,
                    body.key_id,
                    result.code,
                    result.transaction_id,
                    codec.encode(event.subjects),
                    codec.encode(event.data),
                ),
                [(subject, cursor, event.kind) for subject in found_by if subject],
            )


def _window(after: int | None, *, newest_first: bool) -> tuple[int, str, str]:
    """Where to start, how to compare the cursor with it, and the order."""
    if newest_first:
        return (CURSOR_MAX if after is None else _clamp(after)), "<", "DESC"
    return (-1 if after is None else _clamp(after)), ">", "ASC"


def _clamp(cursor: int) -> int:
    return max(-1, min(cursor, CURSOR_MAX))


def _page(limit: int) -> int:
    return max(1, min(limit, INDEX_PAGE_MAX))


def _event(row: tuple[object, ...]) -> IndexedEvent:
    cursor, kind, object_id, subjects, data, height, time_ms, transaction_id, account, key_id, code = row
    return IndexedEvent(
        cursor=_checked(cursor, int),
        kind=_checked(kind, str),
        object_id=_checked(object_id, bytes),
        subjects=_parts(subjects, Subjects),
        data=_parts(data, Data),
        height=_checked(height, int),
        time_ms=_checked(time_ms, int),
        transaction_id=_checked(transaction_id, bytes),
        account=_checked(account, bytes),
        key_id=_checked(key_id, bytes),
        code=_checked(code, str),
    )


def _found_entry(row: tuple[object, ...]) -> FoundEntry:
    event = _event(row[2:])
    return FoundEntry(
        cursor=event.cursor, key=_checked(row[0], bytes), grant_id=_checked(row[1], bytes), event=event
    )


def _found_notice(row: tuple[object, ...]) -> FoundNotice:
    return FoundNotice(
        position=_checked(row[0], int),
        account=_checked(row[1], bytes),
        kind=_checked(row[2], str),
        object_id=_checked(row[3], bytes),
        time_ms=_checked(row[4], int),
        event=None if row[5] is None else _event(row[5:]),
    )


def _checked(value: object, kind: type[R]) -> R:
    if not isinstance(value, kind):
        raise StorageDamaged(
            what="audit index", reason=f"expected {kind.__name__}, found {type(value).__name__}"
        )
    return value


def _parts(value: object, kind: type[R]) -> R:
    return codec.decode(
        _checked(value, bytes), kind, size_bytes_max=EVENT_PARTS_SIZE_BYTES_MAX, what="indexed event"
    )
