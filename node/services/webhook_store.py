"""Webhooks, deliveries and read marks in one SQLite file of the node's home.

Rule: deliveries are written in the same database transaction that moves their webhook's position, so that a crash neither loses a
notice nor makes a second delivery of it; the result of an attempt is durable before the next begins. Secrets are sealed under a key
of this node. One thread does all of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ledger import domains
from ledger.crypto.suite import CryptoSuite
from ledger.decoders import convert, decode_msgpack
from ledger.errors import Busy, NotFound, StorageDamaged, Unavailable
from node.services.webhook_records import (
    DELIVERIES_KEPT_MAX,
    DELIVERIES_KEPT_MS,
    SECRETS_KEPT_MAX,
    WEBHOOKS_MAX,
    WEBHOOKS_PER_ACCOUNT_MAX,
    Delivery,
    DeliveryState,
    Secret,
    TooManyWebhooks,
    Webhook,
    WebhookState,
)

SCHEMA_VERSION: Final = 1
CALLS_WAITING_MAX: Final = 1024
DUE_PER_WEBHOOK_MAX: Final = 4
SECRETS_LABEL: Final = b"webhooks"
_DISK_REFUSES: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
T = TypeVar("T")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS read_marks (account BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhooks (
    webhook_id BLOB PRIMARY KEY, account BLOB NOT NULL, created_by BLOB NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL,
    kinds TEXT NOT NULL, created_ms INTEGER NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
    failing_since_ms INTEGER NOT NULL, disabled_reason TEXT NOT NULL, secrets BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhooks_by_account ON webhooks (account, created_ms);
CREATE TABLE IF NOT EXISTS deliveries (
    webhook_id BLOB NOT NULL, message_id BLOB NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, created_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL,
    status INTEGER NOT NULL, error TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (webhook_id, message_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_position ON deliveries (webhook_id, position);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_ms) WHERE state = 'pending';
"""
_WEBHOOK: Final = (
    "webhook_id, account, created_by, name, url, kinds, created_ms, position, state, "
    "failing_since_ms, disabled_reason"
)
_DELIVERY: Final = (
    "d.webhook_id, d.message_id, d.position, d.kind, d.state, d.attempts, d.created_ms, d.next_ms, d.finished_ms, "
    "d.status, d.error, d.body"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What came of an attempt: the delivery as it is now, and whether its webhook came through."""

    delivery: Delivery
    through: bool


class WebhookStore:
    """See the module.

    Args:
        path: the file; its folder must exist.
        suite: crypto suite.
        node_secret: a secret of this node; the key that seals webhooks' secrets derives from it.

    Raises:
        StorageDamaged: the file is no usable database.
    """

    def __init__(self, path: Path, suite: CryptoSuite, node_secret: bytes) -> None:
        self._path = path
        self._suite = suite
        self._key = suite.mac(node_secret, domains.WEBHOOK_SECRETS, SECRETS_LABEL)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhooks")
        self._waiting = 0
        try:
            self._connection = self._executor.submit(_open, path).result()
        except sqlite3.Error as error:
            self._executor.shutdown()
            raise StorageDamaged(what=path.name, reason=str(error)) from None

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._connection.close)
        self._executor.shutdown()

    # --- read marks ---

    async def read_to(self, account: bytes) -> int:
        """See `notices.ReadMarks`."""
        rows = await self._query("SELECT position FROM read_marks WHERE account = ?", (account,))
        return int(rows[0][0]) if rows else -1

    async def set_read(self, account: bytes, position: int) -> int:
        """See `notices.ReadMarks`."""
        await self._execute(
            "INSERT INTO read_marks VALUES (?, ?) ON CONFLICT (account) DO UPDATE "
            "SET position = MAX(position, excluded.position)",
            (account, position),
        )
        return await self.read_to(account)

    # --- webhooks ---

    async def add(self, webhook: Webhook, secret: Secret) -> None:
        """Keep a new webhook.

        Raises:
            TooManyWebhooks: of the account, or of the node.
        """

        def work() -> None:
            for where, parameters, maximum in (
                ("WHERE account = ?", (webhook.account,), WEBHOOKS_PER_ACCOUNT_MAX),
                ("", (), WEBHOOKS_MAX),
            ):
                (count,) = self._connection.execute(
                    f"SELECT COUNT(*) FROM webhooks {where}",  # noqa: S608
                    parameters,
                ).fetchone()
                if count >= maximum:
                    raise TooManyWebhooks(maximum=maximum)
            self._connection.execute(
                f"INSERT INTO webhooks ({_WEBHOOK}, secrets) VALUES ({', '.join('?' * 12)})",  # noqa: S608
                (*_webhook_row(webhook), self._seal(webhook.webhook_id, (secret,))),
            )

        await self._within(work)

    async def webhooks(self, account: bytes | None = None) -> tuple[Webhook, ...]:
        """An account's, or everybody's, oldest first."""
        where, parameters = ("", ()) if account is None else ("WHERE account = ?", (account,))
        rows = await self._query(
            f"SELECT {_WEBHOOK} FROM webhooks {where} ORDER BY created_ms, webhook_id",  # noqa: S608
            parameters,
        )
        return tuple(_webhook(row) for row in rows)

    async def webhook(self, webhook_id: bytes, account: bytes | None = None) -> Webhook:
        """One webhook.

        Raises:
            NotFound: there is none, or it is another account's.
        """
        rows = await self._query(f"SELECT {_WEBHOOK} FROM webhooks WHERE webhook_id = ?", (webhook_id,))  # noqa: S608
        if not rows or (account is not None and rows[0][1] != account):
            raise NotFound(what="webhook", id=webhook_id.hex())
        return _webhook(rows[0])

    async def delete(self, webhook_id: bytes) -> None:
        """Forget a webhook with all its deliveries."""

        def work() -> None:
            self._connection.execute("DELETE FROM deliveries WHERE webhook_id = ?", (webhook_id,))
            self._connection.execute("DELETE FROM webhooks WHERE webhook_id = ?", (webhook_id,))

        await self._within(work)

    async def set_state(
        self, webhook_id: bytes, state: WebhookState, reason: str = "", *, for_key: bytes | None = None
    ) -> None:
        """Enable or disable, perhaps for another key; either begins a new count of how long it has been failing."""
        await self._execute(
            "UPDATE webhooks SET state = ?, disabled_reason = ?, failing_since_ms = 0, created_by = COALESCE(?, created_by) "
            "WHERE webhook_id = ?",
            (state.value, reason, for_key, webhook_id),
        )

    async def secrets(self, webhook_id: bytes, now_ms: int) -> tuple[bytes, ...]:
        """What to sign with: the secret in use, and those whose time is not over."""
        rows = await self._query("SELECT secrets FROM webhooks WHERE webhook_id = ?", (webhook_id,))
        if not rows:
            return ()
        return tuple(
            one.data
            for one in self._opened(webhook_id, rows[0][0])
            if one.until_ms == 0 or now_ms < one.until_ms
        )

    async def rotate(self, webhook_id: bytes, secret: Secret, *, old_until_ms: int) -> None:
        """Take another secret into use; the one before goes on beside it until then."""

        def work() -> None:
            row = self._connection.execute(
                "SELECT secrets FROM webhooks WHERE webhook_id = ?", (webhook_id,)
            ).fetchone()
            if row is None:
                raise NotFound(what="webhook", id=webhook_id.hex())
            old = self._opened(webhook_id, row[0])[: SECRETS_KEPT_MAX - 1]
            kept = tuple(Secret(data=one.data, until_ms=old_until_ms) for one in old)
            self._connection.execute(
                "UPDATE webhooks SET secrets = ? WHERE webhook_id = ?",
                (self._seal(webhook_id, (secret, *kept)), webhook_id),
            )

        await self._within(work)

    def _seal(self, webhook_id: bytes, secrets: Sequence[Secret]) -> bytes:
        plain = msgspec.msgpack.encode([(one.data, one.until_ms) for one in secrets])
        return self._suite.seal(self._key, plain, webhook_id)

    def _opened(self, webhook_id: bytes, sealed: bytes) -> tuple[Secret, ...]:
        plain = self._suite.open(self._key, sealed, webhook_id)
        pairs = decode_msgpack(plain, list[tuple[bytes, int]])
        return tuple(Secret(data=data, until_ms=until_ms) for data, until_ms in pairs)

    # --- deliveries ---

    async def enqueue(self, webhook_id: bytes, deliveries: Sequence[Delivery], position: int) -> None:
        """Add deliveries and move the webhook's position to `position`, together; one that is there already stays as it is."""

        def work() -> None:
            self._connection.executemany(
                f"INSERT OR IGNORE INTO deliveries VALUES ({', '.join('?' * 12)})",  # noqa: S608
                map(astuple, deliveries),
            )
            self._connection.execute(
                "UPDATE webhooks SET position = ? WHERE webhook_id = ? AND position < ?",
                (position, webhook_id, position),
            )

        await self._within(work)

    async def pending_count(self, webhook_id: bytes) -> int:
        """How many deliveries of a webhook are under way."""
        rows = await self._query(
            "SELECT COUNT(*) FROM deliveries WHERE webhook_id = ? AND state = 'pending'", (webhook_id,)
        )
        return int(rows[0][0])

    async def due(self, now_ms: int, limit: int, busy: Sequence[tuple[bytes, bytes]]) -> tuple[Delivery, ...]:
        """Deliveries of active webhooks whose time has come, the longest due first, less those under way.

        Only a few of each webhook, so that one whose receiver is slow does not hide the others.
        """
        rows = await self._query(
            f"SELECT {_DELIVERY} FROM (SELECT p.*, ROW_NUMBER() OVER "  # noqa: S608
            "(PARTITION BY p.webhook_id ORDER BY p.next_ms, p.position) n FROM deliveries p "
            "JOIN webhooks w ON w.webhook_id = p.webhook_id "
            "WHERE p.state = 'pending' AND p.next_ms <= ? AND w.state = 'active') d "
            "WHERE d.n <= ? ORDER BY d.next_ms, d.position LIMIT ?",
            (now_ms, DUE_PER_WEBHOOK_MAX, limit + len(busy)),
        )
        taken = set(busy)
        found = (_delivery(row) for row in rows if (row[0], row[1]) not in taken)
        return tuple(found)[:limit]

    async def next_due_ms(self) -> int | None:
        """When the next attempt is due; None while nothing waits."""
        rows = await self._query(
            "SELECT MIN(d.next_ms) FROM deliveries d JOIN webhooks w ON w.webhook_id = d.webhook_id "
            "WHERE d.state = 'pending' AND w.state = 'active'",
            (),
        )
        return None if rows[0][0] is None else int(rows[0][0])

    async def attempted(self, attempted: Attempted, now_ms: int) -> Webhook | None:
        """Write down what came of an attempt; the webhook as it is then, or None when it was deleted meanwhile."""
        delivery, through = attempted.delivery, attempted.through

        def work() -> None:
            self._connection.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, next_ms = ?, finished_ms = ?, status = ?, error = ? "
                "WHERE webhook_id = ? AND message_id = ?",
                (
                    delivery.state.value,
                    delivery.attempts,
                    delivery.next_ms,
                    delivery.finished_ms,
                    delivery.status,
                    delivery.error,
                    delivery.webhook_id,
                    delivery.message_id,
                ),
            )
            since = "0" if through else "CASE failing_since_ms WHEN 0 THEN ? ELSE failing_since_ms END"
            parameters = (delivery.webhook_id,) if through else (now_ms, delivery.webhook_id)
            self._connection.execute(
                f"UPDATE webhooks SET failing_since_ms = {since} WHERE webhook_id = ?",  # noqa: S608
                parameters,
            )

        await self._within(work)
        try:
            return await self.webhook(delivery.webhook_id)
        except NotFound:
            return None

    async def deliveries(
        self, webhook_id: bytes, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> tuple[Delivery, ...]:
        """A webhook's deliveries, newest first."""
        rows = await self._query(
            f"SELECT {_DELIVERY} FROM deliveries d WHERE d.webhook_id = ? AND (? = '' OR d.state = ?) "  # noqa: S608
            "AND d.position < ? ORDER BY d.position DESC LIMIT ?",
            (
                webhook_id,
                state.value if state else "",
                state.value if state else "",
                2**63 - 1 if before is None else before,
                limit,
            ),
        )
        return tuple(_delivery(row) for row in rows)

    async def replay(self, webhook_id: bytes, message_id: bytes | None, now_ms: int) -> int:
        """Have one delivery sent now, once more where it is finished, or all that have failed; how many."""
        which = "state = 'failed'" if message_id is None else "message_id = ?"
        parameters = () if message_id is None else (message_id,)

        def work() -> int:
            return self._connection.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, next_ms = ?, finished_ms = 0 "  # noqa: S608
                f"WHERE webhook_id = ? AND {which}",
                (now_ms, webhook_id, *parameters),
            ).rowcount

        return await self._within(work)

    async def prune(self, now_ms: int) -> None:
        """Forget finished deliveries that are too old or too many."""

        def work() -> None:
            self._connection.execute(
                "DELETE FROM deliveries WHERE state != 'pending' AND finished_ms < ?",
                (now_ms - DELIVERIES_KEPT_MS,),
            )
            self._connection.execute(
                "DELETE FROM deliveries WHERE (webhook_id, message_id) IN (SELECT webhook_id, message_id FROM ("
                "SELECT webhook_id, message_id, ROW_NUMBER() OVER (PARTITION BY webhook_id ORDER BY position DESC) n "
                "FROM deliveries WHERE state != 'pending') WHERE n > ?)",
                (DELIVERIES_KEPT_MAX,),
            )

        await self._within(work)

    # --- the thread ---

    async def _query(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._connection.execute(sql, parameters).fetchall())

    async def _execute(self, sql: str, parameters: Sequence[object]) -> None:
        await self._within(lambda: self._connection.execute(sql, parameters))

    async def _within(self, work: Callable[[], T]) -> T:
        """Do it as one database transaction."""

        def whole() -> T:
            with _transaction(self._connection):
                return work()

        return await self._run(whole)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= CALLS_WAITING_MAX:
            raise Busy(what="webhooks", retry_after_s=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_REFUSES:
                raise Unavailable(what=self._path.name, reason=str(error)) from None
            raise StorageDamaged(what=self._path.name, reason=str(error)) from None
        finally:
            self._waiting -= 1


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, SCHEMA_VERSION}:
        connection.close()
        raise sqlite3.DatabaseError(f"schema version {version}, expected {SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return connection


def _webhook_row(webhook: Webhook) -> tuple[object, ...]:
    return tuple("\n".join(value) if isinstance(value, tuple) else value for value in astuple(webhook))


def _webhook(row: Sequence[object]) -> Webhook:
    values = dict(zip((field.name for field in fields(Webhook)), row, strict=True))
    values["kinds"] = tuple(str(values["kinds"]).split("\n")) if values["kinds"] else ()
    return convert(values, Webhook, builtin_types=(bytes,))


def _delivery(row: Sequence[object]) -> Delivery:
    values = dict(zip((field.name for field in fields(Delivery)), row, strict=True))
    return convert(values, Delivery, builtin_types=(bytes,))
