"""Writes finalized blocks to the store in durable groups, behind the journal that has them already.

Rule: a full disk is waited out and loses nothing, since the journal keeps what the store has not got. What waits for it is held
in memory, so it is bounded: from BACKLOG_BLOCKS_MAX blocks on, a node whose store cannot be written stops taking part, which
leaves it as it would be without a network, until the store takes blocks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from ledger.errors import Unavailable
from ledger.store import Store
from node.execution import Execution

GROUP_BLOCKS_MAX: Final = 16
GROUP_WAIT_S: Final = 0.1
RETRY_S: Final = 5.0
BACKLOG_BLOCKS_MAX: Final = 256

log = structlog.get_logger()


class Committer:
    """Commits after GROUP_WAIT_S or GROUP_BLOCKS_MAX blocks, in a worker thread.

    Args:
        execution: has the finalized blocks.
        store: gets them.
        mark_journal: called in the worker thread when a commit is done, at most once in GROUP_WAIT_S or group.
        on_ready: called when the node may take part again.
    """

    def __init__(
        self,
        execution: Execution,
        store: Store,
        *,
        mark_journal: Callable[[], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._execution = execution
        self._store = store
        self._mark_journal = mark_journal
        self._on_ready = on_ready
        self._wanted = asyncio.Event()
        self._full = asyncio.Event()
        self._failing = False

    @property
    def backlog_blocks(self) -> int:
        """How many finalized blocks wait for the store."""
        return self._execution.finalized_height() - self._store.height

    @property
    def ready(self) -> bool:
        """Whether the node may take part: False while the store cannot be written and too much waits for it."""
        return not self._failing or self.backlog_blocks < BACKLOG_BLOCKS_MAX

    def block_finalized(self) -> None:
        """There is something to commit."""
        self._wanted.set()
        if self.backlog_blocks >= GROUP_BLOCKS_MAX:
            self._full.set()
        self._execution.paused = not self.ready

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), GROUP_WAIT_S)
            self._wanted.clear()
            self._full.clear()
            try:
                await self.flush()
            except Unavailable as error:
                log.error(
                    "store cannot be written; trying again",
                    reason=str(error),
                    backlog_blocks=self.backlog_blocks,
                    taking_part=self.ready,
                )
                self._wanted.set()
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Commit everything that is finalized now, and note how far the journal reaches.

        Raises:
            Unavailable: the disk is full; nothing is lost.
        """
        try:
            while group := self._execution.next_group(GROUP_BLOCKS_MAX):
                await asyncio.to_thread(self._store.commit, group)
                self._execution.group_committed()
                self._now_writable(True)
        except Unavailable:
            self._now_writable(False)
            raise
        await asyncio.to_thread(self._mark)

    def _mark(self) -> None:
        try:
            self._mark_journal()
        except OSError as error:
            # The mark before still holds: it names less, and nothing that is not there.
            log.warning("the journal's end mark cannot be written", reason=error.strerror or str(error))

    def _now_writable(self, writable: bool) -> None:
        self._failing = not writable
        paused, self._execution.paused = self._execution.paused, not self.ready
        if paused and not self._execution.paused:
            log.info("the store takes blocks again; taking part")
            self._on_ready()
