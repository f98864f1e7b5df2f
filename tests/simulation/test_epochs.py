"""Validators come, go and rotate their keys while the chain runs, crashes and is partitioned; each test is one story."""

from __future__ import annotations

from random import Random

import pytest

from consensus.core.effects import Broadcast, Effect, Finalize
from consensus.core.messages import Propose, Votes
from ledger.types import Vote, VoteKind
from network.simulated import LinkFaults
from tests.simulation.harness.actors import SealBreaker, StaleView, corrupt
from tests.simulation.harness.cluster import Cluster
from tests.simulation.harness.node import Crash, SimNode
from tests.simulation.test_scenarios import SECOND, cut_off, finalize_one, own_votes


def running(size: int = 4, *, readers: int = 1, seed: int = 11) -> Cluster:
    cluster = Cluster(size, seed=seed, readers=readers)
    cluster.start()
    return cluster


def everyone(cluster: Cluster) -> list[int]:
    return list(range(len(cluster.nodes)))


def reach(cluster: Cluster, epoch: int, indexes: list[int] | None = None, *, within_s: int = 60) -> None:
    """Require the nodes to enter an epoch."""
    chosen = indexes if indexes is not None else everyone(cluster)
    cluster.run(within_s * SECOND, stop=lambda: set(cluster.epochs(chosen)) == {epoch})
    assert set(cluster.epochs(chosen)) == {epoch}, cluster.epochs()


def voters(cluster: Cluster, blocks: int = 8) -> set[int]:
    """Who votes while some blocks become final."""
    found: set[int] = set()
    cluster.observe(lambda node, effect: found.add(node) if own_votes(effect) else None)
    for _ in range(blocks):
        finalize_one(cluster, [0])
    cluster.observe(lambda node, effect: None)
    return found


def restart(node: SimNode) -> None:
    node.crash()
    node.start()


# --- changes --------------------------------------------------------------------------------------------------------


def test_a_validator_that_is_added_votes_from_the_next_epoch_on() -> None:
    cluster = running()
    finalize_one(cluster)
    assert voters(cluster) == {0, 1, 2, 3}
    cluster.change({4: cluster.new_key(4)})
    reach(cluster, 2)
    assert voters(cluster) == {0, 1, 2, 3, 4}


def test_a_validator_that_is_removed_follows_and_votes_no_more() -> None:
    cluster = running(5, readers=0)
    cluster.change({4: None})
    reach(cluster, 2)
    assert voters(cluster) == {0, 1, 2, 3}
    finalize_one(cluster, everyone(cluster))


def test_a_validator_is_replaced_by_a_read_node() -> None:
    cluster = running()
    cluster.change({0: None, 4: cluster.new_key(4)})
    reach(cluster, 2)
    assert voters(cluster) == {1, 2, 3, 4}
    finalize_one(cluster, everyone(cluster))


def test_a_rotated_key_votes_in_place_of_the_old_one() -> None:
    cluster = running(readers=0)
    key = cluster.new_key(2)
    cluster.change({2: key})
    reach(cluster, 2)
    assert voters(cluster) == {0, 1, 2, 3}
    node = cluster.nodes[2]
    assert node.engine is not None
    assert node.engine.machine.committee.validators.validators[2].vote_key == key


def test_all_validators_are_replaced_one_after_the_other_under_load() -> None:
    cluster = running(4, readers=4)
    for index in range(4):
        cluster.change({index: None, index + 4: cluster.new_key(index + 4)})
        cluster.submit()
        reach(cluster, index + 2)
    assert voters(cluster, 16) == {4, 5, 6, 7}
    finalize_one(cluster, everyone(cluster))


def test_a_second_change_of_an_epoch_waits_for_the_next() -> None:
    cluster = running(5, readers=0)
    cluster.change({4: None})
    cluster.change({3: None})
    reach(cluster, 2)
    cluster.run(5 * SECOND)
    assert set(cluster.epochs()) == {2}, "the other change was for epoch 2 too"


def test_a_read_node_follows_live_and_is_ready_to_serve() -> None:
    cluster = running(readers=2)
    began = cluster.time.now_ms
    for _ in range(5):
        finalize_one(cluster, [0, 4, 5], within_s=2)
    assert cluster.time.now_ms - began < 5 * SECOND


# --- the seal -------------------------------------------------------------------------------------------------------


def test_a_seal_whose_finalize_votes_are_lost_becomes_final_through_fillers() -> None:
    cluster = running(readers=0)
    fillers: list[int] = []

    def lose(node: int, effect: Effect) -> None:
        if isinstance(effect, Broadcast) and isinstance(effect.message, Propose):
            header = effect.message.block.header
            if (
                header.next_validators_hash != header.validators_hash
                and not effect.message.block.transactions
            ):
                fillers.append(header.height)
        for vote in own_votes(effect):
            if vote.kind is VoteKind.FINALIZE and vote.epoch == 1 and vote.view == sealing_view:
                cluster.network.faults = LinkFaults(loss=1.0)
                cluster.time.after(50, lambda: setattr(cluster.network, "faults", LinkFaults()))

    sealing_view = 1
    cluster.observe(lose)
    cluster.change({2: cluster.new_key(2)})
    reach(cluster, 2, within_s=120)
    assert set(fillers) == {1}, "fillers have the seal's height"
    seal = cluster.nodes[0].application
    assert seal is not None
    finalized = seal.block(1)
    assert finalized is not None
    assert finalized.path
    finalize_one(cluster)
    assert set(cluster.heights()) == {2}


def test_an_idle_chain_seals_its_epoch_and_comes_to_rest_in_the_next() -> None:
    cluster = running()
    cluster.change({4: cluster.new_key(4)})
    reach(cluster, 2)
    cluster.run(5 * SECOND)
    views, heights = cluster.views(), cluster.heights()
    cluster.run(60 * SECOND)
    assert (cluster.views(), cluster.heights()) == (views, heights)
    assert set(heights) == {1}


def test_who_missed_the_seals_finality_learns_of_it_although_the_network_stands_still_after_it() -> None:
    cluster = running(readers=0)
    finalize_one(cluster)
    cut_off(cluster, 3)
    cluster.change({2: cluster.new_key(2)}, to=[0, 1, 2])
    reach(cluster, 2, [0, 1, 2])
    cluster.run(5 * SECOND)
    for index in (0, 1):
        restart(cluster.nodes[index])
    cluster.network.heal()
    reach(cluster, 2, within_s=6)


def test_a_node_that_was_away_for_several_epochs_catches_up_through_all_of_them() -> None:
    cluster = running(4, readers=4)
    cluster.nodes[7].crash()
    cluster.nodes[3].crash()
    for index in range(3):
        cluster.change({index: None, index + 4: cluster.new_key(index + 4)})
        reach(cluster, index + 2, [0, 1, 2, 4, 5, 6])
        for _ in range(3):
            finalize_one(cluster, [4])
    cluster.nodes[7].start()
    cluster.nodes[3].start()
    reach(cluster, 4, within_s=20)
    finalize_one(cluster, everyone(cluster))


def test_a_new_node_finds_its_way_although_all_validators_that_it_knows_have_gone_silent() -> None:
    """Genesis names validators that left long ago; those of today it knows only from what they say of themselves."""
    cluster = running(4, readers=5)
    cluster.nodes[8].crash()
    for index in range(4):
        cluster.change({index: None, index + 4: cluster.new_key(index + 4)})
        reach(cluster, index + 2, list(range(8)))
    for index in range(4):
        cluster.nodes[index].crash()
    cluster.nodes[8].start()
    reach(cluster, 5, [4, 5, 6, 7, 8], within_s=20)


# --- crashes at the border ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", range(0, 60, 4))
def test_all_validators_crash_at_any_effect_around_the_seal_and_come_back(effects: int) -> None:
    cluster = running(readers=1)
    finalize_one(cluster)
    cluster.change({4: cluster.new_key(4), 2: cluster.new_key(2)})
    for node in cluster.nodes:
        node.crash_after_effects = effects + node.index
    cluster.run(10 * SECOND)
    for node in cluster.nodes:
        node.crash_after_effects = None
        if not node.up:
            node.start()
    reach(cluster, 2)
    for node in cluster.nodes:
        restart(node)
    finalize_one(cluster)


def test_a_journal_that_reaches_beyond_a_seal_above_the_store_is_replayed_through_it() -> None:
    """The store lags behind the seal, so replay must commit it, change over, and go on with the votes of the next epoch."""
    cluster = running(readers=0)
    node = cluster.nodes[3]
    finalize_one(cluster)
    cluster.run(SECOND)
    durable = node.store.copy()
    cluster.change({1: cluster.new_key(1)})
    reach(cluster, 2)
    for _ in range(3):
        finalize_one(cluster)
    voted: dict[tuple[int, int, VoteKind], bytes] = {}
    node.crash()
    node.store = durable
    node.start()
    assert node.engine is not None
    assert node.engine.status().epoch == 2
    assert node.application is not None
    assert node.application.finalized_height() == 5

    def remember(index: int, effect: Effect) -> None:
        for vote in own_votes(effect) if index == 3 else ():
            voted[vote.epoch, vote.view, vote.kind] = vote.digest

    cluster.observe(remember)
    finalize_one(cluster)
    assert {epoch for epoch, _, _ in voted} == {2}


def test_a_partition_across_the_seal_heals() -> None:
    cluster = running(7, readers=0)
    cluster.change({6: None}, to=[0, 1, 2, 3])
    cluster.run(250)
    cluster.network.cut = {(a, b) for a in range(7) for b in range(7) if (a < 3) != (b < 3)}
    cluster.run(30 * SECOND)
    cluster.network.heal()
    reach(cluster, 2)
    finalize_one(cluster)


# --- forgotten votes ------------------------------------------------------------------------------------------------


def test_a_validator_without_its_journal_votes_again_once_its_key_is_rotated() -> None:
    cluster = running(readers=0)
    finalize_one(cluster)
    cluster.run(SECOND)
    node = cluster.nodes[3]
    node.crash()
    node.lose_journal()
    node.start()
    assert voters(cluster) == {0, 1, 2}
    assert node.engine is not None
    assert node.engine.status().silenced
    cluster.change({3: cluster.new_key(3)})
    reach(cluster, 2)
    assert not node.engine.status().silenced
    assert voters(cluster) == {0, 1, 2, 3}
    restart(node)
    assert voters(cluster) == {0, 1, 2, 3}


def test_a_validator_restored_from_an_old_backup_notices_and_votes_no_more() -> None:
    cluster = running(readers=0)
    finalize_one(cluster)
    cluster.run(SECOND)
    node = cluster.nodes[3]
    node.honest = False
    backup = node.backup()
    cluster.nodes[2].crash()
    for _ in range(8):
        finalize_one(cluster, [0, 1, 3])
    cluster.nodes[2].start()
    old_key = next(iter(node.signers))
    node.crash()
    node.bring_back(backup)
    node.start()
    cluster.run(5 * SECOND)
    assert node.forgotten == [old_key]
    assert voters(cluster) == {0, 1, 2}
    restart(node)
    assert node.engine is not None
    assert node.engine.status().silenced, "also after a restart"
    assert voters(cluster) == {0, 1, 2}
    cluster.change({3: cluster.new_key(3)})
    reach(cluster, 2)
    assert voters(cluster) == {0, 1, 2, 3}


def test_a_restarted_validator_cannot_vote_alone_with_its_past() -> None:
    """Cut off with an old backup it hears nobody, so it says nothing new that could contradict what it forgot."""
    cluster = running(readers=0)
    finalize_one(cluster)
    node = cluster.nodes[3]
    node.honest = False
    backup = node.backup()
    for _ in range(4):
        finalize_one(cluster)
    node.crash()
    node.bring_back(backup)
    cut_off(cluster, 3)
    node.start()
    said: list[Vote] = []
    known = (
        {(vote.view, vote.kind) for vote in node.engine.machine.rounds.now.own_votes.values()}
        if node.engine
        else set()
    )

    def hear(index: int, effect: Effect) -> None:
        if index == 3 and isinstance(effect, Broadcast) and isinstance(effect.message, Votes):
            said.extend(vote for vote in effect.message.votes if (vote.view, vote.kind) not in known)

    cluster.observe(hear)
    cluster.submit([3])
    cluster.run(30 * SECOND)
    assert said == []


def test_a_whole_network_restarts_at_once_and_does_not_wait_for_itself() -> None:
    cluster = running(readers=0)
    finalize_one(cluster)
    for node in cluster.nodes:
        node.crash()
    for node in cluster.nodes:
        node.start()
    finalize_one(cluster, within_s=3)


# --- Byzantine validators -------------------------------------------------------------------------------------------


def test_a_leader_that_breaks_the_seal_does_not_get_its_block_through() -> None:
    cluster = Cluster(4, seed=3)
    corrupt(cluster.nodes[0], SealBreaker, Random(1))
    cluster.start()
    for epoch in range(2, 8):
        cluster.change({3: cluster.new_key(3)})
        reach(cluster, epoch, [1, 2, 3])


def test_claims_of_later_epochs_move_nobody() -> None:
    cluster = Cluster(4, seed=3)
    corrupt(cluster.nodes[0], StaleView, Random(1))
    cluster.start()
    for _ in range(10):
        finalize_one(cluster, [1, 2, 3])
    assert set(cluster.epochs([1, 2, 3])) == {1}


def test_a_crash_just_before_the_seal_is_handed_over_loses_nothing() -> None:
    cluster = running(readers=0)
    crashed: set[int] = set()

    def crash(node: int, effect: Effect) -> None:
        if isinstance(effect, Finalize) and node not in crashed:
            crashed.add(node)
            raise Crash

    cluster.observe(crash)
    cluster.change({1: cluster.new_key(1)})
    cluster.run(10 * SECOND)
    assert crashed == {0, 1, 2, 3}
    for node in cluster.nodes:
        node.start()
    reach(cluster, 2)
    finalize_one(cluster)


def test_a_removal_that_leaves_no_live_quorum_stalls_safely_until_a_member_returns() -> None:
    """The contract checks structure only; that a quorum of the new set is alive is for the operator to look after."""
    cluster = running(4, readers=0)
    finalize_one(cluster)
    cluster.nodes[2].crash()
    cluster.change({3: None})
    reach(cluster, 2, [0, 1, 3])
    number = cluster.submit()
    cluster.run(60 * SECOND)
    assert not any(cluster.has_final(number, index) for index in (0, 1, 3))
    cluster.nodes[2].start()
    cluster.run(20 * SECOND, stop=lambda: cluster.all_final([number], range(4)))
    assert cluster.all_final([number], range(4))
