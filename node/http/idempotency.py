"""Idempotency keys: the same request again gets the same answer, also after a restart.

Rule: same caller, same key, same request → the first success is replayed; another request under that key →
conflict. Requests under one key run one after another. Failures are not kept: they changed nothing, and a
retry may succeed. Bodies are kept as a hash; routes whose answers must not lie on disk (tokens, tags) do not
use this.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ledger.decoders import decode_msgpack
from ledger.errors import StorageDamaged
from node.http.errors import IdempotencyConflict
from node.http.problems import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

ANSWER_SIZE_BYTES_MAX: Final = 256 * 1024
SCHEMA_VERSION: Final = 1
REPLAYED: Final = "Idempotency-Replayed"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    scope TEXT NOT NULL, key TEXT NOT NULL, request BLOB NOT NULL, created_ms INTEGER NOT NULL,
    answer BLOB NOT NULL, PRIMARY KEY (scope, key)
);
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (created_ms);
"""


class IdempotencyStore:
    """Answers by (scope, key), in one SQLite file.

    Args:
        path: the file; its folder must exist.
        lifetime_ms: how long an answer is kept.
        answers_max: above it the oldest are forgotten.
        clock_ms: wall clock.

    Raises:
        StorageDamaged: the file is no usable database.
    """

    def __init__(
        self, path: Path, *, lifetime_ms: int, answers_max: int, clock_ms: Callable[[], int]
    ) -> None:
        self._path = path
        self._lifetime_ms = lifetime_ms
        self._answers_max = answers_max
        self._clock_ms = clock_ms
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="idempotency")
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        try:
            self._connection = self._executor.submit(_open, path).result()
        except sqlite3.DatabaseError as error:
            self._executor.shutdown()
            raise StorageDamaged(what=path.name, reason=str(error)) from None

    async def run(
        self, scope: str, key: str, request: bytes, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Answer from memory, or do the work and remember its success.

        Args:
            scope: who asks; keys of different scopes are different keys.
            key: the Idempotency-Key.
            request: hash of method, path and body.
            work: what makes the answer.

        Raises:
            IdempotencyConflict: the key was used for another request.
        """
        async with self._alone(scope, key):
            known = await self._in_thread(lambda: self._load(scope, key))
            if known is not None:
                known_request, answer = known
                if known_request != request:
                    raise IdempotencyConflict
                return msgspec.structs.replace(answer, headers={**answer.headers, REPLAYED: "true"})
            answer = await work()
            if answer.kept and 200 <= answer.status < 300 and len(answer.body) <= ANSWER_SIZE_BYTES_MAX:
                await self._in_thread(lambda: self._save(scope, key, request, answer))
            return answer

    async def close(self) -> None:
        await self._in_thread(self._connection.close)
        self._executor.shutdown()

    @asynccontextmanager
    async def _alone(self, scope: str, key: str) -> AsyncIterator[None]:
        """One at a time per key; the lock lives only as long as somebody holds or awaits it."""
        name = (scope, key)
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            users = self._locks[name][1]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, users - 1)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.DatabaseError as error:
            raise StorageDamaged(what=self._path.name, reason=str(error)) from None

    def _load(self, scope: str, key: str) -> tuple[bytes, Answer] | None:
        row = self._connection.execute(
            "SELECT request, answer FROM answers WHERE scope = ? AND key = ? AND created_ms > ?",
            (scope, key, self._clock_ms() - self._lifetime_ms),
        ).fetchone()
        return None if row is None else (row[0], decode_msgpack(row[1], Answer))

    def _save(self, scope: str, key: str, request: bytes, answer: Answer) -> None:
        now_ms = self._clock_ms()
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            (scope, key, request, now_ms, msgspec.msgpack.encode(answer)),
        )
        connection.execute("DELETE FROM answers WHERE created_ms <= ?", (now_ms - self._lifetime_ms,))
        (count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        connection.execute(
            "DELETE FROM answers WHERE rowid IN "
            "(SELECT rowid FROM answers ORDER BY created_ms, rowid LIMIT ?)",
            (max(0, count - self._answers_max),),
        )
        connection.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # An answer is remembered before it is sent, so that whoever saw it can rely on it after a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, SCHEMA_VERSION}:
        connection.close()
        raise sqlite3.DatabaseError(f"schema version {version}, expected {SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return connection
