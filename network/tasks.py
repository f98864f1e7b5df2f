"""Ending tasks for sure, and work in threads with them.

Rule: who ends a task cancels it until it has ended. One cancellation can be lost where it meets the end of what the task waits
for: `asyncio.gather` then hands on a child's error instead, `asyncio.wait_for` of Python 3.11 a result. The task goes on, and
whoever awaits its end waits for ever.

Rule: what writes to a disk has ended when the task that asked for it has. `asyncio.to_thread` lets a cancelled task go at once
while its thread writes on, beside whoever opens the same files next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Longer than a task needs to clear up after the first cancellation.
AGAIN_S: Final = 2.0


async def end(tasks: Iterable[asyncio.Future[Any]], *, again_s: float = AGAIN_S) -> None:
    """Cancel tasks and wait until all have ended; what they raise is dropped.

    Args:
        tasks: to end.
        again_s: after so many seconds those that go on are cancelled once more.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=again_s)
        for task in done:
            if not task.cancelled():
                task.exception()


async def in_thread_to_its_end(work: Callable[[], T]) -> T:
    """Run short blocking work in a thread; a caller that is cancelled goes only when the work has ended.

    Args:
        work: cannot be interrupted.

    Returns:
        What it returns; what it raises is raised, unless the caller was cancelled.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()
        raise
