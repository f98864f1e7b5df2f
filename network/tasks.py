"""Ending tasks for sure.

Rule: who ends a task cancels it until it has ended. One cancellation can be lost where it meets the end of what the task waits
for: `asyncio.gather` then hands on a child's error instead, `asyncio.wait_for` of Python 3.11 a result. The task goes on, and
whoever awaits its end waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

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
