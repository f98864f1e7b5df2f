"""The asyncio shell: real files, real signatures, a real loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consensus.core.effects import Lane
from consensus.core.settings import Timing
from consensus.disk import FileDisk
from consensus.journal import Journal
from consensus.runner import ConsensusRunner
from ledger.errors import InvariantViolation, StorageDamaged
from tests.simulation.harness.application import SimApplication, make_transaction
from tests.simulation.harness.cluster import CHAIN_ID, Cluster
from tests.simulation.harness.node import account_of, index_of

TIMEOUT_S = 20


class Wires:
    """Carries messages between the runners of one loop."""

    def __init__(self) -> None:
        self.runners: dict[int, ConsensusRunner] = {}

    def carry(self, sender: int, receiver: int, data: bytes) -> None:
        runner = self.runners.get(receiver)
        if runner is not None:
            asyncio.get_running_loop().call_soon(runner.deliver, account_of(sender), data)


class Port:
    def __init__(self, wires: Wires, index: int, size: int) -> None:
        self._wires, self._index, self._size = wires, index, size

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self._wires.carry(self._index, index_of(peer), message)

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        for peer in range(self._size):
            if peer != self._index:
                self._wires.carry(self._index, peer, message)


class Node:
    """One runner with an application in memory that says when it has grown."""

    def __init__(self, cluster: Cluster, wires: Wires, index: int, folder: Path) -> None:
        node = cluster.nodes[index]
        self.failures: list[BaseException] = []
        self.failed = asyncio.Event()
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []
        self.application = SimApplication(
            node.store, cluster.hashing, lambda finalized, digest: self._grown()
        )
        disk = FileDisk(folder / str(index))
        self.runner = ConsensusRunner(
            chain_id=CHAIN_ID,
            account=node.account,
            signers=node.signers,
            clock_drift_ms_max=10_000,
            timing=Timing(),
            scheme=cluster.scheme,
            hashing=cluster.hashing,
            application=self.application,
            transport=Port(wires, index, cluster.size),
            journal=Journal.open(disk) if disk.names() else Journal.create(disk, silenced=None),
            on_failure=self._fail,
        )
        wires.runners[index] = self.runner

    def _fail(self, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()

    def _grown(self) -> None:
        for height, future in self.waiters:
            if self.application.finalized_height() >= height and not future.done():
                future.set_result(None)

    async def reach(self, height: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters.append((height, future))
        self._grown()
        await asyncio.wait_for(future, TIMEOUT_S)

    def submit(self, number: int) -> None:
        self.application.submit(make_transaction(CHAIN_ID, number))
        self.runner.notify_work()


@pytest.mark.parametrize("size", [1, 4])
async def test_real_signatures_and_files_finalize_and_a_restart_resumes_from_the_journal(
    size: int, tmp_path: Path
) -> None:
    cluster = Cluster(size, seed=3, real_signatures=True)
    wires = Wires()
    nodes = [Node(cluster, wires, index, tmp_path) for index in range(size)]
    for node in nodes:
        await node.runner.start()
    for number in range(1, 4):
        for node in nodes:
            node.submit(number)
        for node in nodes:
            await node.reach(number)
    for node in nodes:
        await node.runner.stop()
        assert node.failures == []

    wires.runners.clear()
    again = [Node(cluster, wires, index, tmp_path) for index in range(size)]
    for before, after in zip(nodes, again, strict=True):
        await after.runner.start()
        assert after.application.finalized_height() >= 3
        status = after.runner.status()
        assert status.voting
        assert not status.silenced
        assert before.application.head()[1].height >= 3
    for node in again:
        node.submit(4)
    for node in again:
        await node.reach(4)
        await node.runner.stop()


async def test_a_failed_write_stops_consensus_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(1, seed=3)
    node = Node(cluster, Wires(), 0, tmp_path)

    def fail(self: FileDisk, name: str) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(FileDisk, "sync", fail)
    await node.runner.start()
    node.submit(1)
    await asyncio.wait_for(node.failed.wait(), TIMEOUT_S)
    node.submit(2)
    await node.runner.stop()
    assert [type(error) for error in node.failures] == [StorageDamaged]
    assert node.application.finalized_height() == 0


async def test_a_broken_invariant_is_not_swallowed_by_the_loop(tmp_path: Path) -> None:
    cluster = Cluster(1, seed=3)
    node = Node(cluster, Wires(), 0, tmp_path)

    def broken() -> bool:
        raise InvariantViolation("broken on purpose")

    await node.runner.start()
    node.application.has_work = broken  # type: ignore[method-assign]
    node.runner.notify_work()
    node.runner.notify_work()
    await node.runner.stop()
    assert [type(error) for error in node.failures] == [InvariantViolation]
