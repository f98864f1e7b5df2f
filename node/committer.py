"""Writes finalized blocks to the store in durable groups, behind the journal that has them already."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from ledger.errors import Unavailable
from ledger.store import Store
from node.execution import Execution

GROUP_BLOCKS_MAX: Final = 16
GROUP_WAIT_S: Final = 0.1
RETRY_S: Final = 5.0

log = structlog.get_logger()


class Committer:
    """Commits after GROUP_WAIT_S or GROUP_BLOCKS_MAX blocks, in a worker thread.

    A full disk is waited out: nothing is lost, since the journal keeps what the store has not got.
    """

    def __init__(self, execution: Execution, store: Store) -> None:
        self._execution = execution
        self._store = store
        self._wanted = asyncio.Event()
        self._full = asyncio.Event()

    def block_finalized(self) -> None:
        """There is something to commit."""
        self._wanted.set()
        if self._execution.finalized_height() - self._store.height >= GROUP_BLOCKS_MAX:
            self._full.set()

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
                log.error("store cannot be written; trying again", reason=str(error))
                self._wanted.set()
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Commit everything that is finalized now. Raises Unavailable when the disk is full."""
        while group := self._execution.next_group(GROUP_BLOCKS_MAX):
            await asyncio.to_thread(self._store.commit, group)
            self._execution.group_committed()
