"""Changes of who belongs to the network, under load: they must disturb those who use it no more than a fault does.

Rule: each begins with a new network of four. What joins is asked like the others from the moment it is started or votes, so the
time to recover is the time until a transaction handed in there is final there.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.harness import members
from tests.e2e.harness.cluster import until
from tests.e2e.harness.links import Link
from tests.e2e.harness.scenario import Bench, scenario

NEWCOMER, LEAVING, SPONSOR = 5, 4, 1
LATE_S = 10.0
# It begins at genesis, with every block since.
CATCH_UP_S_MAX = 30.0
SNAPSHOT_ABOVE_BLOCKS = 30
FAR_MS = 400.0
SYNC_BEGINS = "beginning with a snapshot"
SYNC_ENDS = "the ledger begins with a snapshot"
EXIT_UNAVAILABLE = 3


@scenario(
    "join-reader",
    "a read node joins late, catches up and serves",
    seconds=LATE_S,
    recovery_s_max=CATCH_UP_S_MAX,
    fresh=True,
)
def join_reader(bench: Bench) -> Iterator[None]:
    """市县数据节点: it follows the chain and hands transactions in, without a vote."""
    cluster = bench.cluster
    cluster.add(NEWCOMER)
    members.decide(cluster, cluster.numbers[:3], "admit-reader", members.card(cluster, NEWCOMER))
    yield
    bench.note(f"{cluster.height(SPONSOR)} blocks to catch up with")
    cluster.numbers.append(NEWCOMER)
    cluster.start(NEWCOMER)

    def only_reads() -> None:
        status = cluster.status(NEWCOMER)
        bench.expect(status is not None and not status.voting, "a read node does not vote")
        bench.expect(cluster.api(NEWCOMER).network().epoch == 1, "a read node is no change of validators")

    bench.afterwards.append(only_reads)


@scenario(
    "join-validator",
    "a read node becomes the fifth validator, and then another may fail",
    seconds=LATE_S,
    fresh=True,
)
def join_validator(bench: Bench) -> Iterator[None]:
    """The way of docs/operations.md: admitted, level with the others, then given its vote by a change of epoch."""
    cluster = bench.cluster
    _fifth(bench)
    cluster.kill(LEAVING)
    before = bench.finalized()
    yield
    bench.expect(bench.finalized() > before, "four of five go on, so the newcomer votes")
    cluster.start(LEAVING)


@scenario(
    "remove-validator",
    "a validator is removed, but not while the others would be no quorum",
    seconds=LATE_S,
    fresh=True,
)
def remove_validator(bench: Bench) -> Iterator[None]:
    """A set without a live quorum would stop for good, so the command looks first who of it runs."""
    cluster = bench.cluster
    _fifth(bench)
    remaining = cluster.others(LEAVING)
    asleep = remaining[-2:]
    for number in asleep:
        cluster.kill(number)
    for number in asleep:
        cluster.wait_gone(number)
    removal = ("remove-validator", cluster.name(LEAVING))
    members.refuse(cluster, cluster.others(*asleep), "quorum_not_live", EXIT_UNAVAILABLE, *removal)
    cluster.start_all()
    cluster.wait_ready()
    members.decide(cluster, remaining, *removal)
    members.wait_epoch(cluster, remaining, 3)
    cluster.numbers.remove(LEAVING)
    bench.departed.add(LEAVING)
    voters = {one.name for one in cluster.api(SPONSOR).network().validators}
    bench.expect(voters == {cluster.name(number) for number in remaining}, "the others are the validators")
    cluster.terminate(LEAVING)
    bench.expect(cluster.exit_status(LEAVING) == 0, "the node that was removed stops in good order")
    before = bench.finalized()
    yield
    bench.expect(bench.finalized() > before, "the four go on")


@scenario("replace-validator", "a dead validator is replaced in one decision", seconds=LATE_S, fresh=True)
def replace_validator(bench: Bench) -> Iterator[None]:
    """Three of four decide; with the newcomer there are four again, so that another one may fail."""
    cluster = bench.cluster
    _follow(bench)
    cluster.kill(LEAVING)
    remaining = cluster.others(LEAVING)
    members.decide(
        cluster,
        remaining,
        "replace-validator",
        cluster.name(LEAVING),
        members.card(cluster, NEWCOMER),
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


@scenario(
    "late-join-state-sync",
    "a read node begins with a snapshot; one of those who serve it is killed meanwhile",
    seconds=5.0,
    fresh=True,
)
def late_join(bench: Bench) -> Iterator[None]:
    """It takes the state in place of the old blocks, proven from genesis on, while the others keep finalizing."""
    cluster, dies = bench.cluster, LEAVING
    cluster.add(NEWCOMER, state_sync_above_blocks=SNAPSHOT_ABOVE_BLOCKS)
    members.decide(cluster, cluster.numbers[:3], "admit-reader", members.card(cluster, NEWCOMER))
    until(lambda: cluster.height(SPONSOR) > 2 * SNAPSHOT_ABOVE_BLOCKS, "a history worth a snapshot")
    before, height = bench.finalized(), cluster.height(SPONSOR)
    far = [Link(source=other, target=NEWCOMER, delay_ms=FAR_MS) for other in cluster.numbers]
    with bench.links(far, stops=False):
        cluster.start(NEWCOMER)
        until(lambda: SYNC_BEGINS in cluster.said(NEWCOMER), "it begins with a snapshot")
        cluster.kill(dies)
        bench.expect(SYNC_ENDS not in cluster.said(NEWCOMER), "a peer was killed while it fetched")
        until(lambda: SYNC_ENDS in cluster.said(NEWCOMER), "it has a snapshot")
    cluster.wait_ready([NEWCOMER])
    first = cluster.first_height(NEWCOMER)
    bench.expect(first > 1, "it has no old blocks")
    bench.expect(
        cluster.height(SPONSOR) > height and bench.finalized() > before, "the others keep finalizing"
    )
    bench.note(f"its first block is {first}")
    yield
    cluster.numbers.append(NEWCOMER)
    cluster.start(dies)


def _fifth(bench: Bench) -> None:
    """Make the newcomer the fifth validator, which begins epoch 2."""
    cluster = bench.cluster
    _follow(bench)
    members.decide(cluster, cluster.numbers[:3], "add-validator", members.card(cluster, NEWCOMER))
    cluster.numbers.append(NEWCOMER)
    members.wait_epoch(cluster, cluster.numbers, 2)
    cluster.wait_voting(NEWCOMER)
    voters = cluster.api(NEWCOMER).network().validators
    bench.expect(len(voters) == len(cluster.numbers), "there are five validators")


def _follow(bench: Bench) -> None:
    """Admit the newcomer as a read node and wait until it has caught up."""
    cluster = bench.cluster
    cluster.add(NEWCOMER)
    members.decide(cluster, cluster.numbers[:3], "admit-reader", members.card(cluster, NEWCOMER))
    cluster.start(NEWCOMER)
    cluster.wait_ready([NEWCOMER])
