"""Work that a finalized record asks of this node, done in the background: one job for each record.

Rule: a job deals with the world's faults itself; what still ends it is a fault of our own, and is told to the event
loop's exception handler at once, so that a broken invariant is never lost in a forgotten task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from network.tasks import end


class Jobs:
    """The jobs that run now, by the id of their record."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, record_id: bytes, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work`, unless a job for this record runs already."""
        if record_id in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(work(), name=f"{self._what} {record_id.hex()}")
        self._tasks[record_id] = task
        task.add_done_callback(lambda done: self._ended(record_id, done))

    async def cancel(self, record_id: bytes) -> None:
        """Cancel one job, if it runs, and wait until it has ended."""
        task = self._tasks.get(record_id)
        if task is not None:
            await end((task,))

    async def stop(self) -> None:
        """Cancel what runs; whoever started it finds it again on the ledger."""
        await end(self._tasks.values())

    def _ended(self, record_id: bytes, task: asyncio.Task[None]) -> None:
        del self._tasks[record_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{task.get_name()} ended", "exception": error, "task": task}
            )
