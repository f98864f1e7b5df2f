"""A task that is to end ends, also where its cancellation meets the end of what it waits for."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from ledger.errors import Unavailable
from network.tasks import end, in_thread_to_its_end
from node.services.jobs import Jobs


class Stubborn:
    """Work that tries again whatever happens, as jobs do; its parts fail together with the cancellation."""

    def __init__(self) -> None:
        self.tries = 0
        self.failing = asyncio.Event()
        self.trying = asyncio.Event()

    async def part(self) -> None:
        await self.failing.wait()
        raise Unavailable(what="a holder", reason="away")

    async def other_part(self) -> None:
        await asyncio.Event().wait()

    async def work(self) -> None:
        while True:
            self.tries += 1
            self.trying.set()
            try:
                await asyncio.gather(self.part(), self.other_part())
            except Unavailable:
                await asyncio.Event().wait()


async def meet(stubborn: Stubborn) -> None:
    """Let the part fail, and stop just before the one that awaits it hears of it."""
    await stubborn.trying.wait()
    await asyncio.sleep(0)
    stubborn.failing.set()
    await asyncio.sleep(0)


async def test_one_cancellation_can_be_lost() -> None:
    """What this room is for. Should Python mend it, this test says that the room can go."""
    stubborn = Stubborn()
    task = asyncio.create_task(stubborn.work())
    await meet(stubborn)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=0.05)
    assert not done
    await end((task,))
    assert task.cancelled()


async def test_a_job_that_has_lost_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(end, "__kwdefaults__", {"again_s": 0.01})
    stubborn, jobs = Stubborn(), Jobs("test")
    jobs.start(b"record", stubborn.work)
    await meet(stubborn)
    async with asyncio.timeout(5):
        await jobs.stop()
    assert len(jobs) == 0


async def test_what_has_ended_and_what_fails_while_it_ends_is_waited_for() -> None:
    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise Unavailable(what="disk", reason="full")

    ended = asyncio.create_task(asyncio.sleep(0))
    await ended
    other = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await end((ended, other))
    assert other.done()
    await end(())


async def test_who_is_cancelled_waits_for_the_thread_that_writes() -> None:
    started, may_end = threading.Event(), threading.Event()
    written: list[str] = []

    def write() -> None:
        started.set()
        may_end.wait()
        written.append("whole")

    task = asyncio.create_task(in_thread_to_its_end(write))
    await asyncio.to_thread(started.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    done, _ = await asyncio.wait((task,), timeout=0.05)
    assert not done
    may_end.set()
    await end((task,))
    assert task.cancelled()
    assert written == ["whole"]


async def test_work_in_a_thread_gives_what_it_returns_and_raises() -> None:
    def fail() -> None:
        raise Unavailable(what="disk", reason="full")

    assert await in_thread_to_its_end(lambda: 7) == 7
    with pytest.raises(Unavailable):
        await in_thread_to_its_end(fail)


async def test_what_fails_after_its_caller_was_cancelled_is_no_unhandled_error() -> None:
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    started, may_end = threading.Event(), threading.Event()

    def fail() -> None:
        started.set()
        may_end.wait()
        raise Unavailable(what="disk", reason="full")

    task = asyncio.create_task(in_thread_to_its_end(fail))
    await asyncio.to_thread(started.wait)
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    assert unhandled == []
