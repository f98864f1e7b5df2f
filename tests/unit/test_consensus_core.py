"""The rules of the core, one test each, and two traces to read."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from consensus.core.effects import (
    Blame,
    Broadcast,
    ClockApart,
    Effect,
    Evidence,
    ExecuteBlock,
    Finalize,
    Persist,
    Send,
    SetTimer,
    WantBlock,
    WantCertificates,
    WantFinalized,
)
from consensus.core.events import Timer, WorkNoticed
from consensus.core.messages import (
    Certificates,
    FetchedBlock,
    FinalizedRange,
    Propose,
    Status,
    Votes,
    encode_message,
)
from consensus.core.records import CertificateRecord, VoteRecord
from consensus.core.settings import Committee, Timing
from consensus.core.votes import Ballots, VoteCounter
from ledger.errors import InvariantViolation
from ledger.types import FinalizedBlock, VoteKind, quorum_size
from tests.simulation.harness.node import account_of
from tests.unit.consensus_desk import Desk, readable, votes_in

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def of(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


# --- traces ---------------------------------------------------------------------------------------------------------


def test_trace_of_a_voter_from_proposal_to_finality() -> None:
    desk = Desk(me=3)
    block, digest = desk.block(1, transactions=(1,))
    assert readable(desk.start()) == [
        "broadcast status view 1 height 0",
        "set status 2000",
        "set standstill 10000",
    ]
    assert readable(desk.propose(block)) == [
        "execute block 1",
        "set advance 1500",
        "sign notarize 1",
        "persist block 1",
        "persist notarize 1",
        "broadcast notarize 1",
    ]
    assert readable(desk.hear_votes(NOTARIZE, 1, digest, 2)) == [
        "persist notarize certificate 1",
        "broadcast notarize certificate 1",
        "sign finalize 1",
        "cancel advance",
        "set leader 1000",
        "set advance 1500",
        "persist finalize 1",
        "broadcast finalize 1",
    ]
    assert readable(desk.hear_votes(FINALIZE, 1, digest, 0, 1)) == [
        "persist finalize certificate 1",
        "broadcast finalize certificate 1",
        "set standstill 10000",
        "finalize block 1",
        "cancel leader",
        "cancel advance",
    ]


def test_trace_of_a_leader_that_was_nullified_before_and_extends_the_block_below_the_gap() -> None:
    desk = Desk(me=2)
    block, digest = desk.block(1, transactions=(1,))
    desk.start()
    desk.propose(block)
    desk.hear_votes(NOTARIZE, 1, digest, 3)
    desk.fire(Timer.LEADER)
    desk.application.submit(desk.block(1, transactions=(5,))[0].transactions[0])
    desk.put(WorkNoticed(pending=True))
    desk.hear_votes(NULLIFY, 2, bytes(32), 0)
    effects = desk.hear_votes(NULLIFY, 2, bytes(32), 1)
    assert readable(effects) == [
        "persist nullify certificate 2",
        "broadcast nullify certificate 2",
        "cancel advance",
        "cancel repeat",
        "build block 2 in view 3",
        "set leader 1500",
        "set advance 2250",
        "sign notarize 3",
        "persist block 2",
        "persist notarize 3",
        "broadcast propose block 2 in view 3",
    ]
    proposal = next(
        effect.message
        for effect in effects
        if isinstance(effect, Broadcast) and isinstance(effect.message, Propose)
    )
    assert proposal.parent is not None
    assert (proposal.parent.kind, proposal.parent.view) == (NOTARIZE, 1)
    assert [(one.kind, one.view) for one in proposal.nullifications] == [(NULLIFY, 2)]


# --- voting ---------------------------------------------------------------------------------------------------------


def test_only_the_first_proposal_of_a_view_is_voted_for() -> None:
    desk = Desk(me=1)
    first, second = desk.block(1), desk.block(1, transactions=(1,))
    assert votes_in(desk.propose(first[0])) == [("NOTARIZE", 1)]
    assert votes_in(desk.propose(second[0])) == []


def test_an_equivocating_leader_is_proven_by_two_verified_votes_once() -> None:
    desk = Desk(me=1)
    first, second, third = desk.block(1), desk.block(1, transactions=(1,)), desk.block(1, transactions=(2,))
    desk.propose(first[0])
    evidence = of(desk.propose(second[0]), Evidence)
    assert [(one.first.digest, one.second.digest) for one in evidence if isinstance(one, Evidence)] == [
        (first[1], second[1])
    ]
    assert not of(desk.propose(third[0]), Evidence)


def test_nullify_and_finalize_of_one_view_are_evidence() -> None:
    desk = Desk(me=1)
    digest = desk.block(1)[1]
    desk.hear_votes(NULLIFY, 1, bytes(32), 3)
    assert len(of(desk.hear_votes(FINALIZE, 1, digest, 3), Evidence)) == 1


def test_a_proposal_in_anothers_view_or_under_anothers_vote_is_blamed() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    stolen = Propose(block=block, vote=desk.vote(0, NOTARIZE, 1, digest), parent=None, nullifications=())
    assert of(desk.hear(3, stolen), Blame)
    desk = Desk(me=1)
    unsigned = replace(stolen, vote=replace(stolen.vote, signature=bytes(32)))
    assert of(desk.hear(0, unsigned), Blame)


def test_a_block_that_is_not_valid_is_nullified_at_once() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.invalid.add(digest)
    assert votes_in(desk.propose(block)) == [("NULLIFY", 1)]


@pytest.mark.parametrize("offset_ms", [10_001, -10_001])
def test_a_block_whose_time_is_too_far_from_the_clock_is_nullified_without_being_executed(
    offset_ms: int,
) -> None:
    desk = Desk(me=1)
    desk.now_ms += 100_000
    block, _ = desk.block(1, time_ms=desk.now_ms + offset_ms)
    effects = desk.propose(block)
    assert votes_in(effects) == [("NULLIFY", 1)]
    assert not of(effects, ExecuteBlock)
    assert of(effects, ClockApart) == [ClockApart(leader=account_of(0), apart_ms=offset_ms)]


@pytest.mark.parametrize("offset_ms", [10_000, -10_000])
def test_a_block_whose_time_is_just_near_enough_is_voted_for(offset_ms: int) -> None:
    desk = Desk(me=1)
    desk.now_ms += 100_000
    block, _ = desk.block(1, time_ms=desk.now_ms + offset_ms)
    assert votes_in(desk.propose(block)) == [("NOTARIZE", 1)]


@pytest.mark.parametrize(("after_parent_ms", "voted"), [(1, "NOTARIZE"), (2, "NULLIFY")])
def test_a_chain_that_a_quorums_clocks_took_hours_ahead_goes_on_by_the_least_step(
    after_parent_ms: int, voted: str
) -> None:
    """Seed 41450: most clocks were three hours ahead for a moment; right again, they refused every block for three hours."""
    desk = Desk(me=1)
    genesis_ms = desk.cluster.genesis.time_ms
    desk.now_ms = genesis_ms - 3 * 3_600_000
    block, _ = desk.block(1, time_ms=genesis_ms + after_parent_ms)
    assert votes_in(desk.propose(block)) == [(voted, 1)]


def test_a_block_no_later_than_its_parent_is_nullified() -> None:
    desk = Desk(me=1)
    block, _ = desk.block(1, time_ms=desk.cluster.genesis.time_ms)
    assert votes_in(desk.propose(block)) == [("NULLIFY", 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"chain_id": b"\x01" * 32},
        {"proposer": b"\x09" * 16},
        {"next_validators_hash": bytes(32)},
        {"height": 2},
    ],
)
def test_a_header_that_does_not_fit_is_nullified(change: dict[str, int | bytes]) -> None:
    desk = Desk(me=1)
    block, _ = desk.block(1)
    assert votes_in(desk.propose(replace(block, header=replace(block.header, **change)))) == [("NULLIFY", 1)]


def test_a_gap_without_nullifications_is_asked_for_and_voted_over_only_when_proven() -> None:
    desk = Desk(me=3)
    first, _ = desk.block(1)
    desk.propose(first)
    desk.hear(2, Certificates(certificates=(desk.certificate(NULLIFY, 2),)))
    assert desk.machine.rounds.current == 3
    block, _ = desk.block(3)
    effects = desk.propose(block)
    assert votes_in(effects) == []
    assert of(effects, WantCertificates) == [WantCertificates(first_view=1, last_view=1, hint=account_of(2))]
    effects = desk.hear(2, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    assert votes_in(effects) == [("NOTARIZE", 3)]


def test_a_parent_whose_body_is_missing_is_fetched_from_the_leader_and_then_voted_on() -> None:
    desk = Desk(me=3)
    first, digest = desk.block(1, transactions=(1,))
    block, _ = desk.block(2, first.header)
    effects = desk.propose(block, parent=desk.certificate(NOTARIZE, 1, digest))
    assert of(effects, WantBlock) == [WantBlock(digest=digest, height=1, hint=account_of(1))]
    assert votes_in(effects) == [("FINALIZE", 1)]
    other, _ = desk.block(1, transactions=(2,))
    assert votes_in(desk.hear(1, FetchedBlock(block=other))) == []
    forged = replace(first, transactions=other.transactions)
    assert votes_in(desk.hear(1, FetchedBlock(block=forged))) == []
    assert votes_in(desk.hear(1, FetchedBlock(block=first))) == [("NOTARIZE", 2)]


def test_peers_split_by_two_certificate_types_of_one_view_accept_each_others_proposals() -> None:
    nullified = Desk(me=3)
    first, digest = nullified.block(1, transactions=(1,))
    nullified.hear(0, Certificates(certificates=(nullified.certificate(NULLIFY, 1),)))
    above, _ = nullified.block(2, first.header)
    nullified.propose(above, parent=nullified.certificate(NOTARIZE, 1, digest))
    assert votes_in(nullified.hear(1, FetchedBlock(block=first))) == [("NOTARIZE", 2)]

    notarized = Desk(me=3)
    notarized.propose(first)
    notarized.hear(0, Certificates(certificates=(notarized.certificate(NOTARIZE, 1, digest),)))
    beside, _ = notarized.block(2)
    effects = notarized.propose(beside, nullifications=(notarized.certificate(NULLIFY, 1),))
    assert votes_in(effects) == [("NOTARIZE", 2)]


def test_a_nullified_node_still_follows_a_late_notarization_but_does_not_finalize() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    desk.put(WorkNoticed(pending=True))
    assert votes_in(desk.fire(Timer.LEADER)) == [("NULLIFY", 1)]
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    assert desk.machine.rounds.current == 2
    assert ("FINALIZE", 1) not in votes_in(effects)


def test_no_finalize_after_nullify_even_when_both_come_back_from_the_journal() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    desk.put(WorkNoticed(pending=True))
    desk.fire(Timer.LEADER)
    again = desk.restarted()
    effects = again.start() + again.hear(
        0, Certificates(certificates=(again.certificate(NOTARIZE, 1, digest),))
    )
    effects += again.fire(Timer.STANDSTILL)
    assert ("NULLIFY", 1) in votes_in(effects)
    assert ("FINALIZE", 1) not in votes_in(effects)


def test_a_vote_from_before_a_restart_is_not_voted_differently_after_it() -> None:
    desk = Desk(me=1)
    first, second = desk.block(1), desk.block(1, transactions=(1,))
    desk.propose(first[0])
    again = desk.restarted()
    assert votes_in(again.start()) == [("NOTARIZE", 1)]
    assert votes_in(again.propose(second[0])) == []


def test_a_follower_without_its_journal_never_votes() -> None:
    desk = Desk(me=0, voting=False)
    desk.start()
    desk.put(WorkNoticed(pending=True))
    block, digest = desk.block(1)
    desk.hear(1, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    following, _ = desk.block(2, block.header)
    effects = desk.propose(following) + desk.fire(Timer.ADVANCE) + desk.fire(Timer.STANDSTILL)
    assert votes_in(effects) == []


# --- certificates ---------------------------------------------------------------------------------------------------


def test_quorum_is_n_minus_f_also_where_two_thirds_are_exact() -> None:
    sizes = {1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5, 9: 7, 10: 7, 100: 67}
    assert {size: quorum_size(size) for size in sizes} == sizes
    desk = Desk(me=5, size=6)
    digest = desk.block(1)[1]
    desk.hear_votes(NOTARIZE, 1, digest, 0, 1, 2, 3)
    assert desk.machine.rounds.current == 1
    desk.hear_votes(NOTARIZE, 1, digest, 4)
    assert desk.machine.rounds.current == 2


def test_votes_are_verified_as_one_aggregate_and_not_singly() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.propose(block)
    before = (desk.scheme.votes_verified, desk.scheme.certificates_verified)
    desk.hear_votes(NOTARIZE, 1, digest, 2, 3)
    assert desk.machine.rounds.current == 2
    assert (desk.scheme.votes_verified, desk.scheme.certificates_verified) == (before[0], before[1] + 1)


def test_a_forged_vote_costs_its_sender_its_voice_and_not_the_certificate() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    forged = replace(desk.vote(3, NOTARIZE, 1, digest), signature=bytes(32))
    desk.hear(3, Votes(votes=(forged,)))
    effects = desk.hear_votes(NOTARIZE, 1, digest, 0, 2)
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(3)]
    assert desk.machine.rounds.current == 1
    assert desk.hear(3, Votes(votes=(desk.vote(3, NOTARIZE, 1, digest),))) == []


def test_two_forged_votes_that_cancel_out_make_a_certificate_but_never_evidence() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    mask = b"\x5a" * 32
    for validator in (2, 3):
        vote = desk.vote(validator, NOTARIZE, 1, digest)
        bent = bytes(a ^ b for a, b in zip(vote.signature, mask, strict=True))
        desk.hear(validator, Votes(votes=(replace(vote, signature=bent),)))
    desk.hear_votes(NOTARIZE, 1, digest, 0)
    assert desk.machine.rounds.current == 2
    other = desk.vote(3, NOTARIZE, 1, b"\x07" * 32)
    effects = desk.hear(3, Votes(votes=(other,)))
    assert not of(effects, Evidence)
    assert of(effects, Blame)


def test_a_vote_in_anothers_name_is_blamed_on_its_sender() -> None:
    desk = Desk(me=1)
    effects = desk.hear(3, Votes(votes=(desk.vote(2, NULLIFY, 1),)))
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(3)]


def test_a_forged_certificate_moves_nobody_however_high_its_view() -> None:
    desk = Desk(me=1)
    forged = replace(desk.certificate(NULLIFY, 2**40), signature=bytes(32))
    effects = desk.hear(2, Status(epoch=1, view=2**40, height=2**40, finalization=None))
    effects += desk.hear(3, Certificates(certificates=(forged,)))
    assert desk.machine.rounds.current == 1
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(3)]


def test_votes_beyond_the_next_view_and_at_final_ones_leave_nothing_behind() -> None:
    desk = Desk(me=1)
    for view in range(3, 200):
        desk.hear_votes(NULLIFY, view, bytes(32), 3)
    assert [found.view for found in desk.machine.rounds.all()] == [1]
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 50, b"\x01" * 32),)))
    desk.hear_votes(NULLIFY, 50, bytes(32), 3)
    assert [found.view for found in desk.machine.rounds.all()] == [51]


def test_messages_of_another_epoch_are_ignored() -> None:
    desk = Desk(me=1)
    alien = replace(desk.certificate(NULLIFY, 1), epoch=2)
    assert desk.hear(2, Certificates(certificates=(alien,))) == []
    alien_status = Status(epoch=2, view=9, height=9, finalization=alien)
    assert desk.hear(2, alien_status) == [WantFinalized(first_height=1)]
    assert desk.machine.rounds.current == 1


def test_a_late_finalize_quorum_commits_the_block_and_its_ancestors_with_a_path() -> None:
    desk = Desk(me=3)
    first, one = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header)
    desk.propose(first)
    desk.propose(second, parent=desk.certificate(NOTARIZE, 1, one))
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 2, two),)))
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 3),)))
    assert desk.machine.rounds.current == 4
    effects = desk.hear_votes(FINALIZE, 2, two, 0, 1)
    finalized = [effect.finalized for effect in effects if isinstance(effect, Finalize)]
    assert [(one.block.header.height, [header.height for header in one.path]) for one in finalized] == [
        (1, [2]),
        (2, []),
    ]


def test_more_than_f_faults_stop_the_node_loudly() -> None:
    desk = Desk(me=1)
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    with pytest.raises(InvariantViolation, match="finalized and nullified"):
        desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, b"\x01" * 32),)))


def test_a_certified_block_that_is_not_valid_here_stops_the_node() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.invalid.add(digest)
    desk.propose(block)
    with pytest.raises(InvariantViolation, match="not valid here"):
        desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))


def test_every_certificate_is_persisted_before_it_is_passed_on_and_survives_a_restart() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 2),)))
    kinds = [record.certificate.kind for record in desk.records if isinstance(record, CertificateRecord)]
    assert kinds == [NOTARIZE, NULLIFY]
    again = desk.restarted()
    assert again.machine.rounds.current == 3
    effects = again.start()
    said = [effect.message for effect in effects if isinstance(effect, Broadcast)]
    assert any(isinstance(message, Certificates) and len(message.certificates) == 2 for message in said)


# --- time and work --------------------------------------------------------------------------------------------------


def test_a_vote_to_skip_is_repeated_with_the_certificate_that_admitted_here() -> None:
    desk = Desk(me=2)
    desk.put(WorkNoticed(pending=True))
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    assert "set repeat 2000" in readable(desk.fire(Timer.LEADER))
    for _ in range(3):
        assert readable(desk.fire(Timer.REPEAT)) == [
            "broadcast nullify 2 with what admitted here",
            "set repeat 2000",
        ]


def test_the_leaders_own_nullify_ends_the_wait_for_it() -> None:
    desk = Desk(me=1)
    assert votes_in(desk.hear_votes(NULLIFY, 1, bytes(32), 0)) == [("NULLIFY", 1)]


def test_without_work_no_view_timer_runs_and_f_plus_one_nullify_votes_are_work() -> None:
    desk = Desk(me=1)
    assert [
        effect for effect in desk.start() if isinstance(effect, SetTimer) and effect.timer is Timer.ADVANCE
    ] == []
    assert desk.hear_votes(NULLIFY, 1, bytes(32), 2) == []
    assert readable(desk.hear_votes(NULLIFY, 1, bytes(32), 3)) == ["set leader 1000", "set advance 1500"]


def test_an_idle_node_still_says_where_it_is() -> None:
    desk = Desk(me=1)
    desk.start()
    for _ in range(3):
        assert readable(desk.fire(Timer.STATUS)) == ["broadcast status view 1 height 0", "set status 2000"]


def test_an_empty_block_waits_and_gives_way_to_transactions() -> None:
    desk = Desk(me=0)
    desk.application.fillable = True
    assert readable(desk.put(WorkNoticed(pending=True)))[:2] == ["build block 1 in view 1", "set leader 1000"]
    assert "set empty 500" in readable(desk.restarted().put(WorkNoticed(pending=True)))
    desk.application.submit(desk.block(1, transactions=(1,))[0].transactions[0])
    assert votes_in(desk.put(WorkNoticed(pending=True))) == [("NOTARIZE", 1)]


def test_an_empty_block_is_proposed_once_it_has_waited() -> None:
    desk = Desk(me=0)
    desk.put(WorkNoticed(pending=True))
    assert votes_in(desk.fire(Timer.EMPTY)) == [("NOTARIZE", 1)]


def test_an_empty_block_after_a_skipped_view_is_proposed_at_once() -> None:
    """With Δ not growing, waiting Δ in each view made the others skip every view for ever (simulation seed 2198)."""
    desk = Desk(me=1)
    desk.put(WorkNoticed(pending=True))
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    assert votes_in(effects) == [("NOTARIZE", 2)]


def test_a_leader_that_cannot_build_gives_its_view_up() -> None:
    desk = Desk(me=0)
    desk.application.fillable = False
    assert votes_in(desk.put(WorkNoticed(pending=True))) == [("NULLIFY", 1)]


def test_delta_grows_by_half_for_each_view_without_finality_up_to_its_bound() -> None:
    timing = Timing()
    assert [timing.delta_after(views) for views in range(9)] == [
        500,
        750,
        1125,
        1687,
        2530,
        3795,
        5692,
        8538,
        10_000,
    ]
    assert timing.delta_after(10**9) == 10_000


def test_a_leader_silent_for_a_round_of_views_is_skipped_at_once() -> None:
    desk = Desk(me=1)
    desk.put(WorkNoticed(pending=True))
    for view in range(1, 9):
        desk.hear_votes(NULLIFY, view, bytes(32), 0, 2)
        if view in desk.machine.rounds.now.intended or desk.machine.rounds.current == view:
            desk.fire(Timer.ADVANCE)
        if desk.machine.rounds.current == 8:
            break
    assert desk.machine.rounds.current == 8
    assert desk.machine.committee.leader(8) == 3
    assert NULLIFY in desk.machine.rounds.now.intended, "validator 3 was not heard in four views"


def test_standstill_repeats_what_is_above_the_last_finalization() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.start()
    desk.propose(block)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    assert readable(desk.fire(Timer.STANDSTILL)) == [
        "broadcast notarize certificate 1",
        "broadcast notarize 1, finalize 1 with what admitted here",
        "set standstill 10000",
    ]


def test_a_long_standstill_is_repeated_in_portions_that_fit_their_frames() -> None:
    desk = Desk(me=1)
    for view in range(1, 150):
        desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, view),)))
    messages = [effect.message for effect in desk.fire(Timer.STANDSTILL) if isinstance(effect, Broadcast)]
    sizes = [len(message.certificates) for message in messages if isinstance(message, Certificates)]
    assert sizes == [64, 64, 21]
    assert all(len(encode_message(message)) < 64 * 1024 for message in messages)


# --- catching up ----------------------------------------------------------------------------------------------------


def chain(desk: Desk, length: int) -> tuple[FinalizedBlock, ...]:
    found: list[FinalizedBlock] = []
    above = None
    for view in range(1, length + 1):
        block, digest = desk.block(view, above, transactions=(view,))
        found.append(
            FinalizedBlock(block=block, path=(), certificate=desk.certificate(FINALIZE, view, digest))
        )
        above = block.header
    return tuple(found)


def test_a_node_behind_asks_for_finalized_blocks_and_commits_them_in_order() -> None:
    desk = Desk(me=3)
    blocks = chain(desk, 5)
    effects = desk.hear(1, Status(epoch=1, view=6, height=5, finalization=blocks[-1].certificate))
    assert of(effects, WantFinalized) == [WantFinalized(first_height=1)]
    assert desk.machine.rounds.current == 6
    effects = desk.hear(1, FinalizedRange(first_height=1, blocks=blocks[:3]))
    assert desk.application.finalized_height() == 3
    assert of(effects, WantFinalized) == [WantFinalized(first_height=4)]
    desk.hear(2, FinalizedRange(first_height=4, blocks=blocks[3:]))
    assert desk.application.finalized_height() == 5
    assert not desk.machine.finalizer.behind


def test_forged_ranges_are_blamed_and_do_not_stand_in_the_way_of_good_ones() -> None:
    desk = Desk(me=3)
    blocks = chain(desk, 3)
    desk.hear(1, Status(epoch=1, view=4, height=3, finalization=blocks[-1].certificate))
    bad = replace(blocks[1], certificate=replace(blocks[1].certificate, signature=bytes(32)))
    effects = desk.hear(0, FinalizedRange(first_height=1, blocks=(blocks[0], bad, blocks[2])))
    assert [effect.peer for effect in effects if isinstance(effect, Blame)] == [account_of(0)]
    assert desk.application.finalized_height() == 1
    other = replace(blocks[1], block=replace(blocks[1].block, transactions=()))
    desk.hear(1, FinalizedRange(first_height=2, blocks=(other,)))
    assert desk.application.finalized_height() == 1
    desk.hear(2, FinalizedRange(first_height=2, blocks=blocks[1:]))
    assert desk.application.finalized_height() == 3


def test_what_was_fetched_as_final_is_final_again_after_a_restart() -> None:
    desk = Desk(me=3)
    blocks = chain(desk, 4)
    path = replace(
        blocks[1], path=tuple(one.block.header for one in blocks[2:]), certificate=blocks[3].certificate
    )
    desk.hear(1, Status(epoch=1, view=5, height=4, finalization=blocks[-1].certificate))
    desk.hear(1, FinalizedRange(first_height=1, blocks=(blocks[0], path)))
    assert desk.application.finalized_height() == 2
    again = desk.restarted()
    again.start()
    assert again.application.finalized_height() == 2


def test_what_was_final_is_final_after_a_restart_although_the_body_of_a_newer_final_block_is_missing() -> (
    None
):
    desk = Desk(me=3)
    first, one = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header)
    desk.propose(first)
    desk.propose(second, parent=desk.certificate(NOTARIZE, 1, one))
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 2, two),)))
    assert desk.application.finalized_height() == 2
    _, three = desk.block(3, second.header)
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 3, three),)))
    again = desk.restarted()
    again.start()
    assert again.application.finalized_height() == 2


def test_bodies_that_a_proof_leads_through_are_journaled_before_the_first_of_them_is_handed_on() -> None:
    desk = Desk(me=3, voting=False)
    first, one = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header)
    desk.propose(first)
    desk.propose(second, parent=desk.certificate(NOTARIZE, 1, one))
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 2, two),)))
    lines = readable(effects)
    assert max(lines.index("persist block 1"), lines.index("persist block 2")) < lines.index(
        "finalize block 1"
    )


def test_a_peer_that_is_behind_is_told_of_the_highest_finalization() -> None:
    desk = Desk(me=3)
    blocks = chain(desk, 1)
    desk.hear(1, Status(epoch=1, view=2, height=1, finalization=blocks[0].certificate))
    effects = desk.hear(2, Status(epoch=1, view=1, height=0, finalization=None))
    sent = [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.message, Status)]
    assert [
        (effect.peer, effect.message.finalization) for effect in sent if isinstance(effect.message, Status)
    ] == [(account_of(2), blocks[0].certificate)]


def test_a_vote_is_persisted_with_its_block_and_before_it_leaves() -> None:
    desk = Desk(me=1)
    effects = desk.propose(desk.block(1)[0])
    order = [
        "vote" if isinstance(effect.record, VoteRecord) else "block"
        for effect in effects
        if isinstance(effect, Persist)
    ]
    assert order == ["block", "vote"]
    assert max(i for i, e in enumerate(effects) if isinstance(e, Persist)) < min(
        i for i, e in enumerate(effects) if isinstance(e, Broadcast)
    )


def test_counting_knows_nothing_of_machines() -> None:
    desk = Desk()
    committee: Committee = desk.machine.committee
    counter = VoteCounter(committee, desk.scheme)
    ballots = Ballots()
    digest = b"\x01" * 32
    outcomes = [
        counter.count(ballots, desk.vote(validator, NOTARIZE, 1, digest)) for validator in (0, 0, 1, 2)
    ]
    assert [outcome.certificate is not None for outcome in outcomes] == [False, False, False, True]
