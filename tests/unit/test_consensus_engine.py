"""The engine: nothing leaves before it is durable, and one epoch's machine follows another."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from consensus.core.effects import Broadcast, Effect, Persist, Send, SetTimer
from consensus.core.events import Timer
from consensus.core.messages import (
    Certificates,
    FetchFinalized,
    FinalizedRange,
    Status,
    Votes,
    encode_message,
)
from consensus.sync import ANSWERS_PER_PERIOD_MAX, RANGE_COST
from ledger.errors import StorageDamaged
from ledger.types import Vote, VoteKind
from tests.simulation.harness.cluster import Cluster
from tests.simulation.harness.node import account_of
from tests.simulation.test_scenarios import finalize_one, own_votes

SECOND = 1000


def running(size: int = 4) -> Cluster:
    cluster = Cluster(size, seed=4)
    cluster.start()
    return cluster


def test_no_vote_is_visible_before_its_sync_has_ended() -> None:
    cluster = running()
    cluster.nodes[1].sync_delay_ms = (300, 300)
    appended: dict[tuple[int, VoteKind], int] = {}
    waited: list[int] = []

    def see(node: int, effect: Effect) -> None:
        if node != 1:
            return
        if isinstance(effect, Persist) and isinstance(vote := getattr(effect.record, "vote", None), Vote):
            appended[vote.view, vote.kind] = cluster.time.now_ms
        now_ms = cluster.time.now_ms
        waited.extend(now_ms - appended[vote.view, vote.kind] for vote in own_votes(effect))

    cluster.observe(see)
    finalize_one(cluster)
    assert waited
    assert min(waited) >= 300


def test_bytes_that_are_no_message_are_counted_against_their_sender() -> None:
    cluster = running()
    engine = cluster.nodes[0].engine
    assert engine is not None
    engine.deliver(account_of(2), b"\xc1")
    engine.deliver(account_of(0), b"\xc1")
    status = engine.status()
    assert (status.undecodable_count, status.blamed) == (1, {account_of(2): 1})


def test_who_asks_for_all_blocks_again_and_again_does_not_keep_a_validator_from_its_work() -> None:
    """256 ranges of full blocks, which a read node could ask for every 2 s, took 1.8 s to read and encode."""
    cluster = running()
    finalize_one(cluster)
    answered: list[bytes] = []

    def see(node: int, effect: Effect) -> None:
        if node == 0 and isinstance(effect, Send) and isinstance(effect.message, FinalizedRange):
            answered.append(effect.peer)

    cluster.observe(see)
    engine = cluster.nodes[0].engine
    assert engine is not None
    for _ in range(ANSWERS_PER_PERIOD_MAX):
        engine.deliver(account_of(9), encode_message(FetchFinalized(first_height=1)))
    engine.deliver(account_of(2), encode_message(FetchFinalized(first_height=1)))
    assert answered == [account_of(9)] * (ANSWERS_PER_PERIOD_MAX // RANGE_COST) + [account_of(2)]


def test_status_names_peers_and_leaders_by_account() -> None:
    cluster = running()
    finalize_one(cluster)
    cluster.run(3 * SECOND)
    engine = cluster.nodes[0].engine
    assert engine is not None
    status = engine.status()
    assert status.peer_heights == {account_of(index): 1 for index in (1, 2, 3)}
    assert status.validators == tuple(account_of(index) for index in range(4))
    assert status.leader == status.validators[(status.view - 1) % 4]
    assert (status.epoch, status.voting, status.silenced, status.listening) == (1, True, False, False)


def test_with_the_seal_the_old_timers_stop_and_the_new_epoch_starts_its_own() -> None:
    cluster = running()
    node = cluster.nodes[0]
    started: list[Timer] = []

    def see(index: int, effect: Effect) -> None:
        if index == 0 and isinstance(effect, SetTimer) and node.committee.epoch == 2:
            started.append(effect.timer)

    cluster.observe(see)
    cluster.change({3: cluster.new_key(3)})
    cluster.run(5 * SECOND)
    assert cluster.epochs() == [2, 2, 2, 2]
    assert {Timer.STATUS, Timer.STANDSTILL} <= set(started)
    running_now = {timer for timer in node._alarms if isinstance(timer, Timer)}
    assert running_now == {Timer.STATUS, Timer.STANDSTILL}, (
        "no view timer of the old epoch is left, and none runs idle"
    )


def test_a_forgotten_vote_is_durable_in_the_journal_before_the_node_is_told() -> None:
    cluster = running()
    node = cluster.nodes[3]
    engine = node.engine
    assert engine is not None
    key = next(iter(node.signers))
    unsigned = [
        Vote(kind=VoteKind.NULLIFY, epoch=1, view=5, digest=bytes(32), validator=index, signature=b"\0")
        for index in range(4)
    ]
    signed = tuple(
        replace(vote, signature=cluster.signer(index).sign_vote(cluster.genesis.chain_id, vote))
        for index, vote in enumerate(unsigned)
    )
    certificate = cluster.scheme.aggregate(cluster.validators, signed)
    engine.deliver(account_of(1), encode_message(Certificates(certificates=(certificate,))))
    assert node.forgotten == [key]
    status = engine.status()
    assert (status.voting, status.silenced) == (False, True)
    node.crash()
    node.start()
    assert node.engine is not None
    assert node.engine.status().silenced


def test_evidence_is_handed_to_the_node() -> None:
    cluster = running()
    node = cluster.nodes[3]
    first, second = (
        Vote(kind=VoteKind.NOTARIZE, epoch=1, view=1, digest=bytes([fill]) * 32, validator=1, signature=b"\0")
        for fill in (1, 2)
    )
    for vote in (first, second):
        signature = cluster.signer(1).sign_vote(cluster.genesis.chain_id, vote)
        node.deliver(1, encode_message(Votes(votes=(replace(vote, signature=signature),))))
    assert [(a.digest[0], b.digest[0]) for a, b in node.evidence] == [(1, 2)]


def test_questions_of_one_peer_are_answered_up_to_a_bound_in_a_period() -> None:
    cluster = running()
    cluster.run(SECOND)
    answers: list[int] = []

    def see(node: int, effect: Effect) -> None:
        if isinstance(effect, Send):
            answers.append(node)

    cluster.observe(see)
    asking = encode_message(Status(epoch=1, view=1, height=0, finalization=None, asks=True))
    for _ in range(ANSWERS_PER_PERIOD_MAX + 50):
        cluster.nodes[0].deliver(3, asking)
    assert len(answers) <= ANSWERS_PER_PERIOD_MAX
    answers.clear()
    cluster.run(3 * SECOND)
    cluster.nodes[0].deliver(3, asking)
    assert 0 in answers


def test_a_failed_write_of_the_silenced_key_stops_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = running()
    engine = cluster.nodes[3].engine
    assert engine is not None

    def fail(key: bytes) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(engine._journal, "silence", fail)
    with pytest.raises(StorageDamaged):
        engine._silence(next(iter(cluster.nodes[3].signers)))
    cluster.nodes[3].notify_work()
    said: list[Effect] = []
    cluster.observe(
        lambda node, effect: said.append(effect) if node == 3 and isinstance(effect, Broadcast) else None
    )
    cluster.run(5 * SECOND)
    assert said == []


def test_a_node_that_asks_for_status_gets_it_from_everybody() -> None:
    cluster = running()
    cluster.run(SECOND)
    heard: list[int] = []
    cluster.observe(
        lambda node, effect: (
            heard.append(node) if isinstance(getattr(effect, "message", None), Status) else None
        )
    )
    asking = Status(epoch=1, view=1, height=0, finalization=None, asks=True)
    for index in (0, 1, 2):
        cluster.nodes[index].deliver(3, encode_message(asking))
    assert heard == [0, 1, 2]
