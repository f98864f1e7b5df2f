"""Finalized blocks reach the store in groups; a store that cannot be written makes the node pause, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import node.committer
from ledger.errors import Unavailable
from node.committer import Committer
from tests.unit.node_replica import Replica

LIMIT = 4


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path)
    yield made
    made.close()


class World:
    """A committer over a real store whose disk can be full."""

    def __init__(self, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node.committer, "BACKLOG_BLOCKS_MAX", LIMIT)
        self.replica = replica
        self.full = False
        self.marks = 0
        self.ready = 0
        self.mark_error: OSError | None = None
        commit = replica.store.commit

        def commit_or_fail(group: list[object]) -> None:
            if self.full:
                raise Unavailable(what="ledger store", reason="no space left")
            commit(group)  # type: ignore[arg-type]

        monkeypatch.setattr(replica.store, "commit", commit_or_fail)
        self.committer = Committer(
            replica.execution, replica.store, mark_journal=self._mark, on_ready=self._on_ready
        )

    def _mark(self) -> None:
        self.marks += 1
        if self.mark_error is not None:
            raise self.mark_error

    def _on_ready(self) -> None:
        self.ready += 1

    def finalize(self, count: int) -> None:
        for _ in range(count):
            self.replica.step()
            self.committer.block_finalized()


@pytest.fixture
def world(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(replica, monkeypatch)


async def test_a_flush_commits_everything_and_marks_the_journal_once(world: World) -> None:
    world.finalize(20)
    await world.committer.flush()
    assert (world.replica.store.height, world.committer.backlog_blocks, world.marks) == (20, 0, 1)


async def test_a_store_that_takes_blocks_lets_the_node_go_on_however_many_wait(world: World) -> None:
    world.finalize(LIMIT + 3)
    assert world.committer.ready
    assert not world.replica.execution.paused


async def test_a_full_disk_pauses_the_node_at_the_limit_and_loses_nothing(world: World) -> None:
    world.full = True
    world.finalize(LIMIT - 1)
    with pytest.raises(Unavailable):
        await world.committer.flush()
    assert world.committer.ready, "below the limit it takes part"
    world.finalize(1)
    execution = world.replica.execution
    assert not world.committer.ready
    assert execution.paused
    assert not execution.has_work()
    assert execution.head()[1].height == LIMIT
    assert [execution.block(height) is not None for height in range(1, LIMIT + 1)] == [True] * LIMIT
    assert world.ready == 0
    world.full = False
    await world.committer.flush()
    assert (world.replica.store.height, world.ready, execution.paused) == (LIMIT, 1, False)
    assert world.committer.ready


async def test_a_paused_node_proposes_nothing(world: World) -> None:
    world.replica.execution.paused = True
    with pytest.raises(AssertionError):
        world.replica.propose()


async def test_a_mark_that_cannot_be_written_does_not_stop_the_node(world: World) -> None:
    world.mark_error = OSError(28, "no space left")
    world.finalize(1)
    await world.committer.flush()
    assert world.replica.store.height == 1
