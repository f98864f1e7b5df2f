"""Entries and notices in the index's SQLite file.

Rule: written in the same database transaction as the block that they come from; so they are at the same height as the events, and
what waits for its time is never lost or told twice. Nothing here commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from node.index.dossiers import (
    ENDS_SOON,
    TOLD_PER_BLOCK_MAX,
    BlockConcerns,
    Entry,
    GrantTimes,
    Section,
    Told,
    position_of,
)

# What is told late is spread over blocks, so that a single one never takes long.
LATE_PER_BLOCK_MAX: Final = 10_000
NO_EVENT: Final = -1

SCHEMA: Final = """
CREATE TABLE entries (
    account BLOB NOT NULL, section TEXT NOT NULL, key BLOB NOT NULL, cursor INTEGER NOT NULL,
    grant_id BLOB NOT NULL, shown_from_ms INTEGER NOT NULL, PRIMARY KEY (account, section, key)
) WITHOUT ROWID;
CREATE INDEX entries_by_cursor ON entries (account, section, cursor);
CREATE INDEX entries_by_grant ON entries (grant_id) WHERE shown_from_ms > 0;
CREATE TABLE notices (
    position INTEGER PRIMARY KEY, account BLOB NOT NULL, kind TEXT NOT NULL, cursor INTEGER NOT NULL,
    object_id BLOB NOT NULL, time_ms INTEGER NOT NULL
);
CREATE INDEX notices_by_account ON notices (account, position);
CREATE TABLE notices_to_come (
    from_ms INTEGER NOT NULL, cursor INTEGER NOT NULL, account BLOB NOT NULL, kind TEXT NOT NULL,
    object_id BLOB NOT NULL, grant_id BLOB NOT NULL, PRIMARY KEY (from_ms, cursor, account, kind)
) WITHOUT ROWID;
CREATE INDEX notices_to_come_by_grant ON notices_to_come (grant_id);
"""
TABLES: Final = ("entries", "notices", "notices_to_come")


def write(connection: sqlite3.Connection, height: int, time_ms: int, concerns: BlockConcerns) -> None:
    """Add what a block means, and tell what its time has come for."""
    for entry in concerns.entries:
        _write_entry(connection, entry)
    for grant in concerns.grants:
        _write_times(connection, grant)
    late = [told for told in concerns.told if told.from_ms > time_ms]
    connection.executemany(
        "INSERT OR IGNORE INTO notices_to_come VALUES (?, ?, ?, ?, ?, ?)", map(_row_to_come, late)
    )
    due = connection.execute(
        "SELECT from_ms, cursor, account, kind, object_id FROM notices_to_come WHERE from_ms <= ? "
        "ORDER BY from_ms, cursor, account, kind LIMIT ?",
        (time_ms, LATE_PER_BLOCK_MAX),
    ).fetchall()
    rows = [(account, kind, cursor, object_id) for _, cursor, account, kind, object_id in due]
    rows += [
        (told.account, told.kind, told.cursor, told.object_id)
        for told in concerns.told
        if told.from_ms <= time_ms
    ]
    connection.executemany(
        "INSERT INTO notices (position, account, kind, cursor, object_id, time_ms) VALUES (?, ?, ?, ?, ?, ?)",
        ((position_of(height, number), *row, time_ms) for number, row in enumerate(rows)),
    )
    connection.executemany(
        "DELETE FROM notices_to_come WHERE from_ms = ? AND cursor = ? AND account = ? AND kind = ?",
        (row[:4] for row in due),
    )


def _write_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    if entry.section is Section.REQUESTS and not entry.open:
        connection.execute(
            "DELETE FROM entries WHERE account = ? AND section = ? AND key = ?",
            (entry.account, entry.section.value, entry.key),
        )
        return
    connection.execute(
        "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?)",
        (
            entry.account,
            entry.section.value,
            entry.key,
            entry.cursor,
            entry.grant_id,
            entry.shown_from_ms,
        ),
    )


def _write_times(connection: sqlite3.Connection, grant: GrantTimes) -> None:
    """What was put off further is kept back further, and the word before the end is for the end that holds now."""
    connection.execute(
        "UPDATE entries SET shown_from_ms = ? WHERE grant_id = ? AND shown_from_ms > 0 AND shown_from_ms < ?",
        (grant.shown_from_ms, grant.grant_id, grant.shown_from_ms),
    )
    connection.execute(
        "UPDATE notices_to_come SET from_ms = ? WHERE grant_id = ? AND from_ms < ?",
        (grant.shown_from_ms, grant.grant_id, grant.shown_from_ms),
    )
    connection.execute(
        "DELETE FROM notices_to_come WHERE grant_id = ? AND kind = ?", (grant.grant_id, ENDS_SOON)
    )
    if grant.ending is not None:
        connection.execute(
            "INSERT INTO notices_to_come VALUES (?, ?, ?, ?, ?, ?)", _row_to_come(grant.ending)
        )


def _row_to_come(told: Told) -> tuple[object, ...]:
    return (told.from_ms, told.cursor, told.account, told.kind, told.object_id, told.grant_id)


def add_notice(
    connection: sqlite3.Connection, height: int, *, account: bytes, kind: str, object_id: bytes, time_ms: int
) -> None:
    """Tell something of this node's own, behind all that the block of `height` has told."""
    row = connection.execute(
        "SELECT MAX(position) FROM notices WHERE position >= ?", (position_of(height, 0),)
    ).fetchone()
    position = position_of(height, 0) if row[0] is None else row[0] + 1
    if position > position_of(height, TOLD_PER_BLOCK_MAX - 1):
        return
    connection.execute(
        "INSERT INTO notices (position, account, kind, cursor, object_id, time_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (position, account, kind, NO_EVENT, object_id, time_ms),
    )


def clear(connection: sqlite3.Connection) -> None:
    """Forget everything."""
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # names of our own


def notices_query(account: bytes | None, comparison: str, order: str, columns: str) -> str:
    """SQL of a page of notices, of one account or of all."""
    whose = "n.account = ? AND " if account is not None else ""
    return (
        f"SELECT n.position, n.account, n.kind, n.object_id, n.time_ms, {columns} FROM notices n "  # noqa: S608
        f"LEFT JOIN events e ON e.cursor = n.cursor WHERE {whose}n.position {comparison} ? "
        f"ORDER BY n.position {order} LIMIT ?"
    )


def counted(rows: Sequence[tuple[object, ...]]) -> dict[Section, int]:
    """Rows of (section, number) as a mapping over every section."""
    numbers = {str(section): int(str(number)) for section, number in rows}
    return {section: numbers.get(section.value, 0) for section in Section}
