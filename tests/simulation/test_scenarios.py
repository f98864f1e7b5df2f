"""Failures that other chains met, and the promises of the design, each as one readable run of a whole cluster."""

from __future__ import annotations

from random import Random

import pytest

from consensus.core.effects import Broadcast, BuildBlock, Effect
from consensus.core.messages import FinalizedRange, Propose, Votes, encode_message
from consensus.core.settings import Timing
from ledger.errors import StorageDamaged
from ledger.types import Vote, VoteKind
from network.simulated import LinkFaults
from tests.simulation.harness.actors import ConflictingVoter, Equivocator, ForgingServer, corrupt
from tests.simulation.harness.campaign import Campaign
from tests.simulation.harness.checkers import PropertyBroken
from tests.simulation.harness.cluster import Cluster
from tests.simulation.harness.node import Crash

SECOND = 1000


def running(size: int = 4, *, timing: Timing | None = None) -> Cluster:
    cluster = Cluster(size, seed=11, timing=timing)
    cluster.start()
    return cluster


def finalize_one(cluster: Cluster, indexes: list[int] | None = None, *, within_s: int = 60) -> None:
    """Submit a transaction everywhere and require it to become final on the given nodes."""
    chosen = indexes if indexes is not None else list(range(cluster.size))
    number = cluster.submit()
    cluster.run(within_s * SECOND, stop=lambda: cluster.all_final([number], chosen))
    assert cluster.all_final([number], chosen), (cluster.heights(), cluster.views())


def own_votes(effect: Effect) -> tuple[Vote, ...]:
    match effect:
        case Broadcast(message=Votes(votes=votes)):
            return votes
        case Broadcast(message=Propose(vote=vote)):
            return (vote,)
        case _:
            return ()


def cut_off(cluster: Cluster, index: int) -> None:
    for other in range(cluster.size):
        if other != index:
            cluster.network.cut |= {(index, other), (other, index)}


# --- ordinary life --------------------------------------------------------------------------------------------------


def test_a_transaction_is_final_everywhere_after_three_message_delays() -> None:
    cluster = running()
    cluster.run(SECOND)
    began = cluster.time.now_ms
    finalize_one(cluster, within_s=1)
    syncs_ms = 3 * 5
    assert cluster.time.now_ms - began <= 3 * 100 + syncs_ms


def test_a_devnet_of_one_validator_finalizes_alone() -> None:
    cluster = running(1)
    for _ in range(20):
        finalize_one(cluster, within_s=1)
    assert cluster.heights() == [20]


@pytest.mark.parametrize("size", [2, 3, 4, 7, 10])
def test_clusters_of_every_size_agree(size: int) -> None:
    cluster = running(size)
    for _ in range(5):
        finalize_one(cluster)
    assert len(set(cluster.heights())) == 1


def test_an_idle_chain_rests_after_its_last_block_is_final() -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.run(5 * SECOND)
    views, heights = cluster.views(), cluster.heights()
    cluster.run(60 * SECOND)
    assert (cluster.views(), cluster.heights()) == (views, heights)
    assert len(set(heights)) == 1


def test_the_last_block_becomes_final_even_if_every_vote_to_finalize_it_was_lost() -> None:
    cluster = running()
    lost: set[int] = set()

    def lose(node: int, effect: Effect) -> None:
        for vote in own_votes(effect):
            if vote.kind is VoteKind.FINALIZE and vote.view == 1:
                lost.add(node)
                cluster.network.faults = LinkFaults(loss=1.0)
                cluster.time.after(50, lambda: setattr(cluster.network, "faults", LinkFaults()))

    cluster.observe(lose)
    finalize_one(cluster, within_s=30)
    assert lost == {0, 1, 2, 3}


def test_a_dead_validator_costs_little_once_it_has_been_silent_for_a_round() -> None:
    cluster = running(timing=Timing(delta_ms=1000))
    cluster.nodes[3].crash()
    for _ in range(8):
        finalize_one(cluster, [0, 1, 2])
    began = cluster.time.now_ms
    for _ in range(8):
        finalize_one(cluster, [0, 1, 2])
    assert cluster.time.now_ms - began < 8 * 1000, "no view waited 2 s for the dead leader"


# --- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(VoteKind))
def test_all_nodes_crash_right_after_journaling_a_vote_and_come_back(kind: VoteKind) -> None:
    cluster = running()
    crashed: set[int] = set()
    proposed: set[int] = set()

    def crash(node: int, effect: Effect) -> None:
        """Before the vote leaves; a leader just after its proposal left, since nobody else could vote on it."""
        says_so = any(vote.kind is kind for vote in own_votes(effect))
        if says_so and isinstance(effect, Broadcast) and isinstance(effect.message, Propose):
            proposed.add(node)
        elif node not in crashed and (says_so or node in proposed):
            crashed.add(node)
            raise Crash

    cluster.observe(crash)
    if kind is VoteKind.NULLIFY:
        cluster.network.cut = {(0, other) for other in range(1, 4)}
    number = cluster.submit()
    cluster.run(20 * SECOND, stop=lambda: len(crashed) == 4)
    assert crashed == {0, 1, 2, 3}
    cluster.run(10)
    cluster.network.heal()
    for node in cluster.nodes:
        if not node.up:
            node.start()
    cluster.run(60 * SECOND, stop=lambda: cluster.all_final([number], range(4)))
    assert cluster.all_final([number], range(4))


def test_a_node_that_was_down_catches_up_and_its_timers_run_again() -> None:
    cluster = running()
    cluster.nodes[3].crash()
    for _ in range(100):
        finalize_one(cluster, [0, 1, 2])
    cluster.nodes[3].start()
    cluster.run(20 * SECOND, stop=lambda: len(set(cluster.heights())) == 1)
    assert len(set(cluster.heights())) == 1
    cluster.nodes[2].crash()
    for _ in range(8):
        finalize_one(cluster, [0, 1, 3])


def test_a_node_that_missed_an_idle_chains_last_blocks_learns_of_them_by_status() -> None:
    cluster = running()
    cut_off(cluster, 3)
    for _ in range(3):
        finalize_one(cluster, [0, 1, 2])
    cluster.run(20 * SECOND)
    cluster.network.heal()
    cluster.run(5 * SECOND)
    assert len(set(cluster.heights())) == 1


def test_a_node_without_its_journal_follows_without_voting() -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.run(SECOND)
    node = cluster.nodes[3]
    node.crash()
    node.lose_journal()
    node.start()
    voted: list[Vote] = []
    cluster.observe(lambda index, effect: voted.extend(own_votes(effect)) if index == 3 else None)
    for _ in range(8):
        finalize_one(cluster)
    assert voted == []
    assert node.engine is not None
    assert node.engine.status().silenced
    node.crash()
    node.start()
    assert node.engine.status().silenced


def test_a_damaged_journal_is_refused_at_start() -> None:
    cluster = running()
    for _ in range(3):
        finalize_one(cluster)
    node = cluster.nodes[3]
    node.crash()
    name = node.disk.names()[0]
    node.disk.damage(name, node.disk.size_bytes(name) // 2)
    with pytest.raises(StorageDamaged):
        node.start()


def test_a_failed_write_stops_the_node_before_its_vote_leaves() -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.run(5 * SECOND)
    voted: list[Vote] = []
    cluster.observe(lambda index, effect: voted.extend(own_votes(effect)) if index == 3 else None)
    cluster.nodes[3].disk.failing = True
    cluster.submit()
    with pytest.raises(StorageDamaged):
        cluster.run(5 * SECOND)
    cluster.run(SECOND)
    assert voted == []


def test_journal_segments_below_the_store_are_removed() -> None:
    cluster = running()
    for _ in range(300):
        finalize_one(cluster)
    cluster.run(5 * SECOND)
    assert all(len(node.disk.names()) <= 3 for node in cluster.nodes)
    for node in cluster.nodes:
        node.crash()
        node.start()
    finalize_one(cluster)


# --- partitions and clocks ------------------------------------------------------------------------------------------


def test_halves_make_no_progress_and_go_on_once_joined() -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.network.cut = {(a, b) for a in range(4) for b in range(4) if (a < 2) != (b < 2)}
    number = cluster.submit()
    cluster.run(60 * SECOND)
    assert not any(cluster.has_final(number, index) for index in range(4))
    cluster.network.heal()
    cluster.run(60 * SECOND, stop=lambda: cluster.all_final([number], range(4)))
    assert cluster.all_final([number], range(4))


def test_a_node_that_nullified_alone_follows_the_late_notarization() -> None:
    cluster = running()
    cut_off(cluster, 3)
    number = cluster.submit()
    cluster.run(3 * SECOND)
    assert cluster.all_final([number], [0, 1, 2])
    cluster.network.heal()
    cluster.run(10 * SECOND)
    assert len(set(cluster.heights())) == 1
    finalize_one(cluster)


def test_a_node_returning_after_a_day_accepts_old_certified_blocks() -> None:
    cluster = running()
    cluster.nodes[3].crash()
    for _ in range(3):
        finalize_one(cluster, [0, 1, 2])
    for node in cluster.nodes:
        node.skew_ms += 24 * 3600 * SECOND
    cluster.nodes[3].start()
    cluster.run(10 * SECOND)
    assert len(set(cluster.heights())) == 1
    finalize_one(cluster)


@pytest.mark.parametrize("jump_ms", [-3600 * SECOND, 3600 * SECOND])
def test_one_clock_that_jumps_by_an_hour_counts_toward_f_and_block_time_still_grows(jump_ms: int) -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.nodes[1].skew_ms = jump_ms
    for _ in range(6):
        finalize_one(cluster)
    cluster.nodes[1].skew_ms = 0
    for _ in range(6):
        finalize_one(cluster)


def test_a_lossy_reordering_duplicating_network_only_slows_things() -> None:
    cluster = running()
    cluster.network.faults = LinkFaults(loss=0.2, duplication=0.5, delay_ms_min=1, delay_ms_max=400)
    for _ in range(20):
        finalize_one(cluster)


# --- Byzantine validators -------------------------------------------------------------------------------------------


def corrupted(index: int, kind: type[Equivocator | ConflictingVoter | ForgingServer]) -> Cluster:
    cluster = Cluster(4, seed=5)
    corrupt(cluster.nodes[index], kind, Random(5))
    cluster.start()
    return cluster


def test_an_equivocating_leader_splits_nobody_and_is_proven() -> None:
    cluster = corrupted(0, Equivocator)
    for _ in range(40):
        finalize_one(cluster, [1, 2, 3])
    engines = [cluster.nodes[index].engine for index in (1, 2, 3)]
    assert sum(engine.status().evidence_count for engine in engines if engine is not None) > 0


def test_a_conflicting_voter_stops_nobody() -> None:
    cluster = corrupted(2, ConflictingVoter)
    for _ in range(12):
        finalize_one(cluster, [0, 1, 3])


def test_forged_and_unasked_for_sync_answers_do_not_shadow_good_ones() -> None:
    cluster = corrupted(0, ForgingServer)
    finalize_one(cluster, [1, 2, 3])
    cluster.nodes[3].crash()
    for _ in range(30):
        finalize_one(cluster, [1, 2])
    cluster.nodes[3].start()
    unasked = encode_message(FinalizedRange(first_height=2, blocks=()))
    for _ in range(50):
        cluster.nodes[3].deliver(0, unasked)
        cluster.run(100)
    cluster.run(20 * SECOND, stop=lambda: cluster.heights([3]) == cluster.heights([1]))
    assert cluster.heights([3]) == cluster.heights([1])


def test_a_proposal_is_built_once_a_view_by_its_leader_alone() -> None:
    cluster = running()
    built: list[tuple[int, int]] = []

    def see(node: int, effect: Effect) -> None:
        if isinstance(effect, BuildBlock):
            built.append((effect.context.view, node))

    cluster.observe(see)
    for _ in range(8):
        finalize_one(cluster)
    assert all(node == (view - 1) % 4 for view, node in built)


def test_the_checkers_notice_a_broken_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the tests: without the memory of own votes, restarts lead to votes for two blocks of one view."""
    monkeypatch.setattr("consensus.core.restore._restore_votes", lambda machine, votes: None)
    broken: list[str] = []
    for seed in range(1, 40):
        try:
            Campaign(seed).run()
        except PropertyBroken as error:
            broken.append(str(error))
            break
    assert broken
    assert "voted" in broken[0]
