"""Faults of node processes: stopped, killed, restarted, away for long.

Rule: a process is ended as a power cut would (SIGKILL) or as an operator would (SIGTERM), never more gently.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from tests.e2e.harness.scenario import Bench, scenario

QUICK_S = 4.0
LONG_BLOCKS_MIN = 40


@scenario("pause", "one node stopped (SIGSTOP), then continued", quick_s=QUICK_S)
def pause(bench: Bench) -> Iterator[None]:
    """It believes that no time has passed."""
    before = bench.finalized()
    bench.cluster.signal(2, signal.SIGSTOP)
    yield
    bench.expect(bench.finalized() > before, "three of four go on")
    bench.cluster.signal(2, signal.SIGCONT)


@scenario("kill-one", "kill -9 of one node, started again later", quick_s=3.0)
def kill_one(bench: Bench) -> Iterator[None]:
    """The other three go on."""
    before = bench.finalized()
    bench.cluster.kill(4)
    yield
    bench.expect(bench.finalized() > before, "three of four go on")
    bench.cluster.start(4)


@scenario("kill-all", "kill -9 of all nodes at once, started again later", seconds=3.0, quick_s=1.0)
def kill_all(bench: Bench) -> Iterator[None]:
    """A power cut of the whole city."""
    for number in bench.cluster.numbers:
        bench.cluster.signal(number, signal.SIGKILL)
    for number in bench.cluster.numbers:
        bench.cluster.kill(number)
    yield
    bench.cluster.start_all()


@scenario("kill-all-at-once-again", "kill -9 of all nodes three times, each while they recover", seconds=1.0)
def kill_all_repeatedly(bench: Bench) -> Iterator[None]:
    """Recovery is itself interrupted."""
    for _ in range(3):
        for number in bench.cluster.numbers:
            bench.cluster.signal(number, signal.SIGKILL)
        for number in bench.cluster.numbers:
            bench.cluster.kill(number)
        bench.cluster.start_all()
        bench.cluster.wait_answering(bench.cluster.numbers[-1])
    for number in bench.cluster.numbers:
        bench.cluster.kill(number)
    yield
    bench.cluster.start_all()


@scenario("rolling-restart", "every node stopped (SIGTERM) and started, one after the other", seconds=0.0)
def rolling_restart(bench: Bench) -> Iterator[None]:
    """As for an update of the machines: the next goes down when the one before is ready."""
    before = bench.finalized()
    for number in bench.cluster.numbers:
        bench.cluster.terminate(number)
        bench.expect(bench.cluster.exit_status(number) == 0, f"node {number} stops in good order")
        bench.cluster.start(number)
        bench.cluster.wait_ready()
    bench.expect(bench.finalized() > before, "the network goes on while nodes are restarted")
    yield


@scenario("away-for-long", "one node away while many blocks are finalized, then it catches up", seconds=20.0)
def away_for_long(bench: Bench) -> Iterator[None]:
    """Block sync, while the others keep finalizing."""
    cluster = bench.cluster
    cluster.terminate(1)
    before = cluster.height(2)
    yield
    missed = cluster.height(2) - before
    bench.expect(missed >= LONG_BLOCKS_MIN, f"at least {LONG_BLOCKS_MIN} blocks without it, not {missed}")
    bench.note(f"{missed} blocks missed")
    cluster.start(1)
