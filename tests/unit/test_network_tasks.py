"""A task that is to end ends, also where its cancellation meets the end of what it waits for."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import Unavailable
from network.tasks import end
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
