"""Faults of the network between nodes: cut, lossy and slow links.

Rule: the API stays reachable; clients of a node that is cut off go on handing in there. What was in `links` is perfect
again when the fault is healed.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.harness.cluster import NotInTime, until
from tests.e2e.harness.links import Link, between, beyond_neighbours, cut, everywhere
from tests.e2e.harness.scenario import Bench, scenario

ONE, LEADER_S, QUICK_S = 3, 10.0, 4.0
OUTLIVED_MS = 5_000
DELAY_MS, JITTER_MS = 200.0, 60.0


@scenario("disconnect-one", "one node cut off from all others", quick_s=QUICK_S)
def disconnect_one(bench: Bench) -> Iterator[None]:
    """The other three go on."""
    before = bench.finalized()
    with bench.links(cut(between([ONE], bench.cluster.others(ONE)))):
        yield
        bench.expect(bench.finalized() > before, "three of four go on")


@scenario("disconnect-leader", "the leader of the moment cut off")
def disconnect_leader(bench: Bench) -> Iterator[None]:
    """Its view is skipped, and so is each later one that it leads."""
    leader = bench.cluster.leader()
    bench.note(f"the leader was node {leader}")
    before = bench.finalized()
    with bench.links(cut(between([leader], bench.cluster.others(leader)))):
        yield
        bench.expect(bench.finalized() > before, "three of four go on")


@scenario("isolate-all", "every node cut off from every other", quick_s=QUICK_S)
def isolate_all(bench: Bench) -> Iterator[None]:
    """Nothing can be final."""
    with bench.links(cut(everywhere(bench.cluster.numbers))):
        heights = _resting_heights(bench)
        yield
        bench.expect(_heights(bench) == heights, "no node finalizes alone")


@scenario(
    "outage-beyond-lifetime",
    "every node cut off for longer than the load's transactions are valid",
    lifetime_ms=OUTLIVED_MS,
)
def outage_beyond_lifetime(bench: Bench) -> Iterator[None]:
    """What was accepted and not final has to end as expired, in no ledger and said so by the node that accepted it."""
    with bench.links(cut(everywhere(bench.cluster.numbers))):
        yield
    bench.expires = True


@scenario("halves", "two nodes and two nodes, cut off from each other", quick_s=QUICK_S)
def halves(bench: Bench) -> Iterator[None]:
    """Neither half is a quorum, so nothing can be final in either."""
    left, right = bench.cluster.numbers[:2], bench.cluster.numbers[2:]
    with bench.links(cut(between(left, right))):
        heights = _resting_heights(bench)
        yield
        bench.expect(_heights(bench) == heights, "no half finalizes")


@scenario("deaf-one-way", "packets from node 1 never reach node 2; the other way they do")
def asymmetric(bench: Bench) -> Iterator[None]:
    """TCP needs both directions, so what node 2 sends arrives at node 1 until acknowledgements run out, and then stops."""
    with bench.links(cut([(1, 2)])):
        yield


@scenario("deaf", "node 3 is heard by all and hears nobody")
def deaf(bench: Bench) -> Iterator[None]:
    """The other three go on."""
    before = bench.finalized()
    with bench.links(cut((other, ONE) for other in bench.cluster.others(ONE))):
        yield
        bench.expect(bench.finalized() > before, "three of four go on")


@scenario("ring", "each node reaches only the one before and the one after it", quick_s=QUICK_S)
def ring(bench: Bench) -> Iterator[None]:
    """No node sees all, each sees a quorum with itself: certificates are passed on."""
    with bench.links(cut(beyond_neighbours(bench.cluster.numbers))):
        yield


@scenario("delay", f"every packet takes {DELAY_MS:.0f} to {DELAY_MS + JITTER_MS:.0f} ms")
def delay(bench: Bench) -> Iterator[None]:
    """Slow, and goes on."""
    before = bench.finalized()
    pairs = sorted(everywhere(bench.cluster.numbers))
    slow = [Link(source=a, target=b, delay_ms=DELAY_MS, jitter_ms=JITTER_MS) for a, b in pairs]
    with bench.links(slow, stops=False):
        yield
        bench.expect(bench.finalized() > before, "a slow network goes on")


def _lossy(bench: Bench, percent: float) -> Iterator[None]:
    pairs = sorted(everywhere(bench.cluster.numbers))
    with bench.links(Link(source=a, target=b, loss_percent=percent) for a, b in pairs):
        yield


@scenario("loss-5", "5 % of all packets lost")
def loss_5(bench: Bench) -> Iterator[None]:
    """TCP repeats them."""
    yield from _lossy(bench, 5)


@scenario("loss-20", "20 % of all packets lost", quick_s=QUICK_S)
def loss_20(bench: Bench) -> Iterator[None]:
    """TCP repeats them, with growing pauses."""
    yield from _lossy(bench, 20)


def _heights(bench: Bench) -> list[int]:
    return [bench.cluster.height(number) for number in bench.cluster.numbers]


def _resting_heights(bench: Bench) -> list[int]:
    """Heights once what was under way before the cut has been worked off: the same twice, a second apart."""
    seen: list[list[int]] = []

    def resting() -> bool:
        seen.append(_heights(bench))
        same = [heights for heights in seen[-20:] if heights == seen[-1]]
        return len(same) == 20

    try:
        until(resting, "no node finalizes alone", 10.0)
    except NotInTime as error:
        raise NotInTime(f"{error}: {seen[-3:]}") from None
    return seen[-1]
