"""The end of an epoch, as one machine sees it: the seal, fillers above it, and nothing else."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from consensus.core.effects import (
    Blame,
    Broadcast,
    BuildBlock,
    Effect,
    ExecuteBlock,
    Finalize,
    Send,
    WantFinalized,
)
from consensus.core.events import Timer, WorkNoticed
from consensus.core.messages import Certificates, FinalizedRange, Propose, Status
from ledger.types import Block, FinalizedBlock, Header, VoteKind
from tests.simulation.harness.node import account_of
from tests.unit.consensus_desk import Desk, votes_in

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def sealed(me: int) -> tuple[Desk, Header, bytes]:
    """A machine in view 2, above a notarized seal that it has voted for."""
    desk = Desk(me=me)
    seal, digest = desk.block(1, change=desk.next_set())
    if me != 0:
        desk.propose(seal)
    desk.hear(0 if me else 1, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    return desk, seal.header, digest


def finalized(effects: list[Effect]) -> list[tuple[int, int]]:
    """Height of each block that became final, and length of its path."""
    return [
        (effect.finalized.block.header.height, len(effect.finalized.path))
        for effect in effects
        if isinstance(effect, Finalize)
    ]


def test_a_filler_above_the_seal_is_voted_for_without_being_executed() -> None:
    desk, seal, digest = sealed(me=3)
    effects = desk.propose(desk.filler(2, seal)[0], parent=desk.certificate(NOTARIZE, 1, digest))
    assert votes_in(effects) == [("NOTARIZE", 2)]
    assert not any(isinstance(effect, ExecuteBlock) for effect in effects)


def test_a_filler_may_stand_above_a_filler() -> None:
    desk, seal, digest = sealed(me=3)
    first, one = desk.filler(2, seal)
    desk.propose(first, parent=desk.certificate(NOTARIZE, 1, digest))
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 2, one),)))
    second = desk.filler(3, first.header)[0]
    assert votes_in(desk.propose(second, parent=desk.certificate(NOTARIZE, 2, one))) == [("NOTARIZE", 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"height": 2},
        {"state_root": b"\x01" * 32},
        {"results_root": b"\x01" * 32},
        {"version": 2},
        {"next_validators_hash": b"\x01" * 32},
        {"validators_hash": b"\x01" * 32},
        {"time_ms": 0},
        {"proposer": b"\x09" * 16},
    ],
)
def test_anything_but_a_filler_above_the_seal_is_nullified(change: dict[str, int | bytes]) -> None:
    desk, seal, digest = sealed(me=3)
    block = desk.filler(2, seal, **change)[0]
    effects = desk.propose(block, parent=desk.certificate(NOTARIZE, 1, digest))
    assert votes_in(effects) == [("NULLIFY", 2)]


def test_transactions_above_the_seal_are_nullified() -> None:
    desk, seal, digest = sealed(me=3)
    block, _ = desk.block(2, seal, transactions=(1,))
    assert votes_in(desk.propose(block, parent=desk.certificate(NOTARIZE, 1, digest))) == [("NULLIFY", 2)]
    desk, seal, digest = sealed(me=3)
    full = Block(
        header=replace(desk.filler(2, seal)[0].header, transactions_root=block.header.transactions_root),
        transactions=block.transactions,
    )
    assert votes_in(desk.propose(full, parent=desk.certificate(NOTARIZE, 1, digest))) == [("NULLIFY", 2)]


def test_a_filler_where_nothing_is_sealed_is_nullified() -> None:
    desk = Desk(me=3)
    first, digest = desk.block(1, transactions=(1,))
    desk.propose(first)
    effects = desk.propose(desk.filler(2, first.header)[0], parent=desk.certificate(NOTARIZE, 1, digest))
    assert votes_in(effects) == [("FINALIZE", 1), ("NULLIFY", 2)]


def test_a_filler_far_from_the_clock_is_nullified() -> None:
    desk, seal, digest = sealed(me=3)
    block = desk.filler(2, seal, time_ms=desk.now_ms + 10_001)[0]
    assert votes_in(desk.propose(block, parent=desk.certificate(NOTARIZE, 1, digest))) == [("NULLIFY", 2)]


def test_the_leader_above_the_seal_proposes_a_filler_and_asks_the_application_for_nothing() -> None:
    desk, seal, _ = sealed(me=1)
    desk.application.submit(desk.block(1, transactions=(5,))[0].transactions[0])
    effects = desk.put(WorkNoticed(pending=True)) + desk.fire(Timer.EMPTY)
    assert not any(isinstance(effect, BuildBlock) for effect in effects)
    proposed = [
        effect.message.block.header
        for effect in effects
        if isinstance(effect, Broadcast) and isinstance(effect.message, Propose)
    ]
    expected = desk.filler(2, seal)[0].header
    assert proposed == [expected]


def test_a_final_filler_makes_the_seal_final_with_a_path_and_is_not_committed_itself() -> None:
    desk, seal, digest = sealed(me=3)
    filler, above = desk.filler(2, seal)
    desk.propose(filler, parent=desk.certificate(NOTARIZE, 1, digest))
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 2, above),)))
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 2, above),)))
    assert finalized(effects) == [(1, 1)]
    assert desk.application.validators() == desk.next_set()
    assert desk.machine.finalizer.sealed
    assert not desk.machine.finalizer.behind


def test_after_its_seal_a_machine_votes_no_more() -> None:
    desk, seal, digest = sealed(me=3)
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, digest),)))
    assert desk.machine.finalizer.sealed
    effects = desk.propose(desk.filler(2, seal)[0], parent=desk.certificate(NOTARIZE, 1, digest))
    effects += desk.fire(Timer.ADVANCE) + desk.put(WorkNoticed(pending=True))
    assert votes_in(effects) == []


def test_a_seal_whose_filler_is_missing_here_is_fetched_as_final_by_height() -> None:
    desk, seal, _ = sealed(me=3)
    filler, above = desk.filler(2, seal)
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 2, above),)))
    assert WantFinalized(first_height=1) in effects
    sealing = FinalizedBlock(
        block=desk.block(1, change=desk.next_set())[0],
        path=(filler.header,),
        certificate=desk.certificate(FINALIZE, 2, above),
    )
    assert finalized(desk.hear(1, FinalizedRange(first_height=1, blocks=(sealing,)))) == [(1, 1)]


@pytest.mark.parametrize("change", [{"height": 2}, {"state_root": b"\x01" * 32}, {"time_ms": 0}])
def test_a_path_above_the_seal_that_is_not_of_fillers_proves_nothing(change: dict[str, int | bytes]) -> None:
    desk = Desk(me=3)
    seal, _ = desk.block(1, change=desk.next_set())
    filler, above = desk.filler(2, seal.header, **change)
    certificate = desk.certificate(FINALIZE, 2, above)
    desk.hear(0, Certificates(certificates=(certificate,)))
    forged = FinalizedBlock(block=seal, path=(filler.header,), certificate=certificate)
    effects = desk.hear(1, FinalizedRange(first_height=1, blocks=(forged,)))
    assert finalized(effects) == []
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(1)]


def test_blocks_beyond_the_seal_are_left_for_the_next_epoch_and_nobody_is_blamed() -> None:
    desk = Desk(me=3)
    seal, digest = desk.block(1, change=desk.next_set())
    sealing = FinalizedBlock(block=seal, path=(), certificate=desk.certificate(FINALIZE, 1, digest))
    beyond = replace(desk.block(2, seal.header)[0].header, epoch=2, view=1)
    later = FinalizedBlock(
        block=Block(header=beyond, transactions=()), path=(), certificate=sealing.certificate
    )
    effects = desk.hear(1, FinalizedRange(first_height=1, blocks=(sealing, later)))
    assert finalized(effects) == [(1, 0)]
    assert not any(isinstance(effect, Blame) for effect in effects)


def test_a_restart_above_the_seal_comes_back_to_the_same_votes_and_to_the_same_finality() -> None:
    desk, seal, digest = sealed(me=3)
    filler, above = desk.filler(2, seal)
    desk.propose(filler, parent=desk.certificate(NOTARIZE, 1, digest))
    again = desk.restarted()
    assert ("NOTARIZE", 2) in votes_in(again.start())
    other = again.filler(2, seal, time_ms=seal.time_ms + 2)[0]
    assert votes_in(again.propose(other)) == []
    again.hear(0, Certificates(certificates=(again.certificate(FINALIZE, 2, above),)))
    assert again.application.finalized_height() == 1
    after = again.restarted()
    after.start()
    assert after.application.validators() == desk.next_set()


def test_what_a_filler_made_final_for_a_read_node_is_final_after_its_restart() -> None:
    """Who does not vote had no filler in its journal, so the way from seal to certificate was lost (seed 3060)."""
    desk = Desk(me=3, voting=False)
    seal, digest = desk.block(1, change=desk.next_set())
    desk.propose(seal)
    filler, above = desk.filler(2, seal.header)
    desk.propose(filler, parent=desk.certificate(NOTARIZE, 1, digest))
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 2, above),)))
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 2, above),)))
    assert desk.application.finalized_height() == 1
    again = desk.restarted()
    again.start()
    assert again.application.finalized_height() == 1


def test_a_claim_of_a_later_epoch_moves_nobody_but_has_blocks_asked_for() -> None:
    desk = Desk(me=3)
    desk.start()
    later = Status(epoch=9, view=9, height=99, finalization=None)
    assert WantFinalized(first_height=1) in desk.hear(1, later)
    assert desk.machine.rounds.current == 1
    assert WantFinalized(first_height=1) not in desk.hear(2, later), "asked once until the next Status is due"


def test_who_is_in_an_earlier_epoch_is_told_where_this_node_is() -> None:
    desk = Desk(me=3)
    effects = desk.hear(1, Status(epoch=0, view=9, height=9, finalization=None))
    answers = [effect for effect in effects if isinstance(effect, Send)]
    assert [(one.peer, type(one.message)) for one in answers] == [(account_of(1), Status)]


def test_a_read_nodes_votes_and_proposals_are_not_counted_but_its_certificates_are() -> None:
    desk = Desk(me=3)
    block, digest = desk.block(1)
    vote = desk.vote(0, NOTARIZE, 1, digest)
    reader = 7
    effects = desk.hear(reader, Propose(block=block, vote=vote, parent=None, nullifications=()))
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(reader)]
    assert desk.machine.rounds.now.proposal is None
    desk.hear(reader + 1, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    assert desk.machine.rounds.current == 2
