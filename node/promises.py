"""The transactions that this node has accepted and that are not decided yet.

Rule: `keep` returns once the transaction is durable, and only then it counts as promised. All that comes while one sync runs shares
the next. From the first `keep` on the pool log is this object's alone, until `stop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from ledger.errors import LedgerError, Unavailable
from node.home import FileUnusable
from node.poollog import PoolLog

log = structlog.get_logger()


class _Entry(NamedTuple):
    name: bytes
    encoded: bytes
    waiter: asyncio.Future[None]


class Promises:
    """What is promised, and the log of it.

    Args:
        pool_log: the file.
        undecided: whether a transaction still waits for its block.
        remembered: encoded transactions that a rewritten log holds besides what is promised.
        on_kept: told of each transaction once it is promised, whether or not its client still waits.
    """

    def __init__(
        self,
        pool_log: PoolLog,
        *,
        undecided: Callable[[bytes], bool],
        remembered: Callable[[], Iterable[bytes]],
        on_kept: Callable[[bytes], None],
    ) -> None:
        self._pool_log = pool_log
        self._undecided = undecided
        self._remembered = remembered
        self._on_kept = on_kept
        self._promised: dict[bytes, bytes] = {}
        self._to_log: list[_Entry] = []
        self._task: asyncio.Task[None] | None = None
        self._in_doubt = False

    def __contains__(self, name: bytes) -> bool:
        return name in self._promised

    def __len__(self) -> int:
        return len(self._promised)

    async def keep(self, name: bytes, encoded: bytes) -> None:
        """Make a transaction durable.

        Raises:
            Unavailable: it could not be made durable; nothing is promised.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_log.append(_Entry(name, encoded, waiter))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name="pool log")
        await waiter

    def recovered(self, name: bytes, encoded: bytes) -> None:
        """The log held it at start, and it is not decided."""
        self._promised[name] = encoded

    def decided(self, name: bytes) -> None:
        """It is finalized or expired."""
        self._promised.pop(name, None)

    async def stop(self) -> None:
        """Wait until the pool log is not written any more, so that it can be closed."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        """Write what waits, one sync for all that came while the one before ran."""
        while self._to_log:
            batch, self._to_log = self._to_log, []
            rewritten: list[bytes] | None = None
            if self._in_doubt or self._pool_log.wants_rewrite:
                rewritten = [*self._remembered(), *self._promised.values()]
            failure: LedgerError | None = None
            try:
                await asyncio.to_thread(self._write_batch, [entry.encoded for entry in batch], rewritten)
            except (OSError, FileUnusable) as error:
                # A full disk is no surprise worth a trace, and one word on it is enough.
                reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                failure = Unavailable(what="pool log", reason=reason)
                if not self._in_doubt:
                    log.error(
                        "pool log cannot be written; transactions are refused until it can", reason=reason
                    )
            except Exception as error:
                log.exception("pool log cannot be written")
                failure = Unavailable(what="pool log", reason=str(error) or type(error).__name__)
            if self._in_doubt and failure is None:
                log.info("pool log can be written again")
            self._in_doubt = failure is not None
            for entry in batch:
                self._written(entry, failure)

    def _written(self, entry: _Entry, failure: LedgerError | None) -> None:
        # Before anything else happens: the next batch may rewrite the log, and must find this one here.
        if failure is None and self._undecided(entry.name):
            self._promised[entry.name] = entry.encoded
            self._on_kept(entry.name)
        if entry.waiter.done():
            return
        if failure is None:
            entry.waiter.set_result(None)
        else:
            entry.waiter.set_exception(failure)

    def _write_batch(self, new: list[bytes], rewritten: list[bytes] | None) -> None:
        """In a worker thread, the only place that touches the file: append, or begin the file anew."""
        if rewritten is not None:
            self._pool_log.rewrite([*rewritten, *new])
            return
        for encoded in new:
            self._pool_log.append(encoded)
        self._pool_log.sync()
