"""Changes of who belongs to the network, under load: they must disturb those who use it no more than a fault does.

Rule: each begins with a new network of four. What joins is asked like the others from the moment it is started or votes, so the
time to recover is the time until a transaction handed in there is final there.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.harness import members
from tests.e2e.harness.scenario import Bench, scenario

NEWCOMER, LEAVING, SPONSOR = 5, 4, 1
LATE_S = 10.0


@scenario("join-reader", "a read node joins late, catches up and serves", seconds=LATE_S, fresh=True)
def join_reader(bench: Bench) -> Iterator[None]:
    """市县数据节点: it follows the chain and hands transactions in, without a vote."""
    cluster = bench.cluster
    cluster.add(NEWCOMER)
    members.decide(cluster, cluster.numbers[:3], "admit-reader", members.card(cluster, NEWCOMER))
    yield
    bench.note(f"{cluster.height(SPONSOR)} blocks to catch up with")
    cluster.numbers.append(NEWCOMER)
    cluster.start(NEWCOMER)


@scenario("join-validator", "a read node becomes the fifth validator", seconds=LATE_S, fresh=True)
def join_validator(bench: Bench) -> Iterator[None]:
    """The way of docs/operations.md: admitted, level with the others, then given its vote by a change of epoch."""
    cluster = bench.cluster
    _follow(bench)
    home = ("--home", str(cluster.home(SPONSOR)))
    yield
    members.decide(cluster, cluster.numbers[:3], "add-validator", members.card(cluster, NEWCOMER), *home)
    cluster.numbers.append(NEWCOMER)
    members.wait_epoch(cluster, cluster.numbers, 2)
    cluster.wait_voting(NEWCOMER)


@scenario("replace-validator", "a dead validator is replaced in one decision", seconds=LATE_S, fresh=True)
def replace_validator(bench: Bench) -> Iterator[None]:
    """Three of four decide; with the newcomer there are four again, so that another one may fail."""
    cluster = bench.cluster
    _follow(bench)
    cluster.kill(LEAVING)
    remaining = cluster.others(LEAVING)
    home = ("--home", str(cluster.home(SPONSOR)))
    members.decide(
        cluster,
        remaining,
        "replace-validator",
        cluster.name(LEAVING),
        members.card(cluster, NEWCOMER),
        *home,
    )
    members.wait_epoch(cluster, [*remaining, NEWCOMER], 2)
    cluster.wait_voting(NEWCOMER)
    cluster.kill(remaining[-1])
    before = bench.finalized()
    yield
    bench.expect(bench.finalized() > before, "three of the new four go on")
    cluster.numbers.remove(LEAVING)
    bench.departed.add(LEAVING)
    cluster.numbers.append(NEWCOMER)
    cluster.start(remaining[-1])


def _follow(bench: Bench) -> None:
    """Admit the newcomer as a read node and wait until it has caught up."""
    cluster = bench.cluster
    cluster.add(NEWCOMER)
    members.decide(cluster, cluster.numbers[:3], "admit-reader", members.card(cluster, NEWCOMER))
    cluster.start(NEWCOMER)
    cluster.wait_ready([NEWCOMER])
