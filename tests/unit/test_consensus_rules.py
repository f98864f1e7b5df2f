"""Rules of the core that mutants and the fuzzer found without a test, one test each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from consensus.core.effects import Blame, BuildBlock, Effect, ExecuteBlock, SignVote, WantFinalized
from consensus.core.events import Started, Timer, WorkNoticed
from consensus.core.messages import Certificates, FetchedBlock, FinalizedRange, Propose, Votes
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.core.settings import Timing
from consensus.epochs import Epochs
from consensus.sync import Fetcher
from ledger.errors import InvariantViolation
from ledger.types import FinalizedBlock, Header, QuorumCertificate, Vote, VoteKind
from tests.simulation.harness.cluster import CHAIN_ID
from tests.simulation.harness.node import account_of
from tests.unit.consensus_desk import Desk, votes_in

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def blamed(desk: Desk, effects: list[Effect]) -> list[int | None]:
    """Indexes of the validators that are blamed."""
    return [desk.machine.committee.index(one.peer) for one in effects if isinstance(one, Blame)]


@pytest.mark.parametrize("validator", [1, 4, 127])
def test_a_leader_that_proposes_again_under_anothers_vote_is_blamed_itself(validator: int) -> None:
    """The fuzzer's first find: a second proposal's vote was counted unseen, so one leader could stop every node or blame others."""
    desk = Desk(me=3)
    desk.start()
    block, digest = desk.block(1, transactions=(1,))
    desk.propose(block)
    vote = replace(desk.vote(0, NOTARIZE, 1, digest), validator=validator)
    effects = desk.hear(0, Propose(block=block, vote=vote, parent=None, nullifications=()))
    assert blamed(desk, effects) == [0]
    assert votes_in(desk.hear_votes(NOTARIZE, 1, digest, 1)) == [("FINALIZE", 1)]


def test_further_proposals_of_a_view_leave_nothing_behind() -> None:
    """A leader that proposes a thousand blocks in its view fills the memory of nobody."""
    desk = Desk(me=3)
    desk.start()
    for number in range(1, 6):
        block, digest = desk.block(1, transactions=(number,))
        desk.propose(block)
        assert (desk.machine.tree.get(digest) is not None) == (number == 1)


def test_a_view_that_was_voted_to_skip_is_not_notarized_any_more() -> None:
    """The proposal came behind the timer: a vote for it would come behind the vote against it."""
    desk = Desk(me=3)
    desk.start()
    desk.put(WorkNoticed(pending=True))
    assert votes_in(desk.fire(Timer.LEADER)) == [("NULLIFY", 1)]
    block, _ = desk.block(1, transactions=(1,))
    assert votes_in(desk.propose(block)) == []


def test_a_view_that_is_skipped_already_gets_no_finalize() -> None:
    """Its Nullification came first, from others; the late Notarization must not make this node say that the view is final."""
    desk = Desk(me=3)
    desk.start()
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    _, digest = desk.block(1, transactions=(1,))
    assert votes_in(desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))) == []


def test_no_nullify_after_finalize_even_when_the_certificate_behind_it_is_gone() -> None:
    """The journal gives back the Finalize and not the Notarization, so the node is in that view again, and its timer runs out."""
    desk = Desk(me=3)
    _, digest = desk.block(1, transactions=(1,))
    desk.records.append(VoteRecord(vote=desk.vote(3, FINALIZE, 1, digest)))
    again = desk.restarted()
    again.start()
    again.put(WorkNoticed(pending=True))
    assert votes_in(again.fire(Timer.ADVANCE)) == []


def test_a_proposed_body_that_is_not_its_headers_is_blamed() -> None:
    """One header, two bodies: voters would disagree about what they voted for."""
    desk = Desk(me=3)
    desk.start()
    block, _ = desk.block(1, transactions=(1,))
    other, _ = desk.block(1, transactions=(2,))
    assert blamed(desk, desk.propose(replace(block, transactions=other.transactions))) == [0]


def test_a_proposal_of_another_epoch_is_not_looked_at() -> None:
    """It may be a good one of an epoch that this node is not in yet; whoever sent it is not to blame."""
    desk = Desk(me=3)
    desk.start()
    block, _ = desk.block(1, transactions=(1,))
    later = replace(block, header=replace(block.header, epoch=2))
    assert desk.propose(later) == []
    assert desk.machine.rounds.now.proposal is None


def test_a_proposal_far_ahead_leaves_nothing_behind() -> None:
    """Each leader might otherwise fill views that nobody will ever be in."""
    desk = Desk(me=3)
    desk.start()
    for view in (3, 6, 10_001):
        desk.propose(desk.block(view, transactions=(1,))[0])
    assert [found.view for found in desk.machine.rounds.all()] == [1]


def test_a_block_on_a_parent_that_nobody_certified_is_nullified() -> None:
    """A leader may not make its own block of an earlier view final by building on it."""
    desk = Desk(me=3)
    desk.start()
    first, _ = desk.block(1, transactions=(1,))
    desk.propose(first)
    desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    second, _ = desk.block(2, first.header, transactions=(2,))
    assert votes_in(desk.propose(second, nullifications=(desk.certificate(NULLIFY, 1),))) == [("NULLIFY", 2)]


def test_a_leader_does_not_extend_over_a_view_that_may_still_be_final() -> None:
    """Between genesis and its view lies one whose Nullification it has not seen: a block there may be final."""
    desk = Desk(me=2)
    desk.start()
    desk.application.submit(desk.block(1, transactions=(5,))[0].transactions[0])
    desk.put(WorkNoticed(pending=True))
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 2),)))
    assert desk.machine.rounds.current == 3
    assert not any(isinstance(effect, BuildBlock) for effect in effects)
    effects = desk.hear(0, Certificates(certificates=(desk.certificate(NULLIFY, 1),)))
    assert any(isinstance(effect, BuildBlock) for effect in effects)


def test_zeros_stand_for_the_block_of_a_nullify_and_of_nothing_else() -> None:
    desk = Desk(me=3)
    desk.start()
    for kind, digest in ((NOTARIZE, bytes(32)), (FINALIZE, bytes(32)), (NULLIFY, b"\1" * 32)):
        vote = Vote(kind=kind, epoch=1, view=1, digest=digest, validator=1, signature=b"\1")
        assert blamed(desk, desk.hear(1, Votes(votes=(vote,)))) == [1]
        desk = desk.restarted()


def test_a_vote_of_another_epoch_is_not_counted_and_not_blamed() -> None:
    desk = Desk(me=3)
    vote = replace(desk.vote(1, NULLIFY, 1), epoch=2)
    assert desk.hear(1, Votes(votes=(vote,))) == []
    assert not desk.machine.counter.well_formed(vote)
    assert desk.machine.rounds.now.ballots.vote_of(NULLIFY, 1) is None


def test_a_block_that_was_found_invalid_and_is_certified_below_stops_the_node() -> None:
    """Its state and the network's have parted; whatever it did next would be wrong."""
    desk = Desk(me=3)
    desk.start()
    block, digest = desk.block(1, transactions=(1,))
    desk.invalid.add(digest)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, digest),)))
    child, _ = desk.block(2, block.header)
    desk.propose(child, parent=desk.certificate(NOTARIZE, 1, digest))
    with pytest.raises(InvariantViolation, match="is not valid here"):
        desk.hear(0, FetchedBlock(block=block))


def test_two_blocks_certified_in_one_view_stop_the_node() -> None:
    desk = Desk(me=3)
    desk.start()
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, b"\1" * 32),)))
    with pytest.raises(InvariantViolation, match="two blocks are certified"):
        desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, b"\2" * 32),)))


def certified(desk: Desk, header: Header) -> QuorumCertificate:
    """A Finalization of whatever block has that header."""
    return desk.certificate(FINALIZE, header.view, desk.hashing.block_digest(header))


def ranged(desk: Desk, **changes: object) -> list[Effect]:
    """What comes of a range of the two blocks of a chain, the first proven by a path to the second and then changed."""
    first, _ = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header, transactions=(2,))
    certificate = desk.certificate(FINALIZE, 2, two)
    good = FinalizedBlock(block=first, path=(second.header,), certificate=certificate)
    return desk.hear(1, FinalizedRange(first_height=1, blocks=(replace(good, **changes),)))


def test_a_block_is_final_by_its_path() -> None:
    desk = Desk(me=3)
    assert blamed(desk, ranged(desk)) == []
    assert desk.application.finalized_height() == 1


@pytest.mark.parametrize("case", ["kind", "subject", "path", "hash", "epoch"])
def test_what_only_looks_final_is_not(case: str) -> None:
    """A Notarization, another block's Finalization, a path with a hole or to elsewhere, and a block of another epoch."""
    desk = Desk(me=3)
    first, one = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header)
    stranger = replace(second.header, parent=b"\1" * 32)
    jumped, alien = replace(second.header, height=3), replace(first.header, epoch=2)
    changes: dict[str, dict[str, object]] = {
        "kind": {"path": (), "certificate": desk.certificate(NOTARIZE, 1, one)},
        "subject": {"path": (), "certificate": desk.certificate(FINALIZE, 2, two)},
        "path": {"path": (jumped,), "certificate": certified(desk, jumped)},
        "hash": {"path": (stranger,), "certificate": certified(desk, stranger)},
        "epoch": {"block": replace(first, header=alien), "path": (), "certificate": certified(desk, alien)},
    }
    assert blamed(desk, ranged(desk, **changes[case])) == [1]
    assert desk.application.finalized_height() == 0


def test_final_blocks_that_do_not_extend_the_chain_are_blamed() -> None:
    """A range with a hole: its blocks are final, and yet committing them would skip one."""
    desk = Desk(me=3)
    first, _ = desk.block(1, transactions=(1,))
    second, two = desk.block(2, first.header)
    hole = FinalizedBlock(block=second, path=(), certificate=desk.certificate(FINALIZE, 2, two))
    effects = desk.hear(1, FinalizedRange(first_height=1, blocks=(hole,)))
    assert blamed(desk, effects) == [1]
    assert desk.application.finalized_height() == 0


def test_own_votes_of_an_earlier_run_count_towards_a_quorum() -> None:
    """Four nodes, one of them down for good: without its own earlier vote a restarted node would wait for ever."""
    desk = Desk(me=3)
    desk.start()
    block, digest = desk.block(1, transactions=(1,))
    desk.propose(block)
    again = desk.restarted()
    again.start()
    again.hear_votes(NOTARIZE, 1, digest, 1, 2)
    assert again.machine.rounds.current == 2


def test_an_answer_counts_only_from_the_peer_that_was_asked() -> None:
    fetcher = Fetcher(account_of(3))
    fetcher.enter(1, tuple(account_of(index) for index in range(4)))
    ((asked, _),) = fetcher.want(WantFinalized(first_height=1))
    other = next(account_of(index) for index in range(3) if account_of(index) != asked)
    assert not fetcher.answered(other, "finalized", b"")
    assert fetcher.answered(asked, "finalized", b"")
    assert not fetcher.answered(asked, "finalized", b"")


def test_a_certified_block_above_the_seal_that_is_no_filler_stops_the_node() -> None:
    """A quorum certified what no correct validator votes for."""
    desk = Desk(me=3)
    seal, one = desk.block(1, change=desk.next_set())
    desk.propose(seal)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 1, one),)))
    bad, two = desk.filler(2, seal.header, state_root=b"\1" * 32)
    desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, 2, two),)))
    desk.propose(desk.filler(3, bad.header)[0], parent=desk.certificate(NOTARIZE, 2, two))
    with pytest.raises(InvariantViolation, match="no filler"):
        desk.hear(2, FetchedBlock(block=bad))


def final_seal() -> Desk:
    """A machine whose epoch is over, with records of it."""
    desk = Desk(me=3)
    seal, digest = desk.block(1, change=desk.next_set())
    desk.propose(seal)
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, digest),)))
    assert desk.application.finalized_height() == 1
    return desk


def epochs_of(desk: Desk, silenced: bytes | None = None) -> Epochs:
    signer = desk.cluster.signer(desk.me)
    return Epochs(
        chain_id=CHAIN_ID,
        account=account_of(desk.me),
        signers={signer.public_key: signer},
        silenced=silenced,
        clock_drift_ms_max=10_000,
        timing=Timing(),
        scheme=desk.scheme,
        hashing=desk.hashing,
        application=desk.application,
        records=(),
    )


def test_an_epoch_begins_in_view_1_above_its_seal_and_without_a_certificate() -> None:
    """The seal's certificate is of another epoch's view; it must not count as one of this epoch."""
    desk = final_seal()
    machine = epochs_of(desk).next(desk.machine)
    assert machine.committee.epoch == 2
    assert (machine.rounds.current, machine.rounds.finalized.view) == (1, 0)
    assert machine.rounds.finalized.certificate is None
    assert machine.tree.root_header.height == 1


def test_an_application_that_has_not_taken_the_seal_in_does_not_begin_the_next_epoch() -> None:
    """With the old set in the new epoch the node would vote beside its network."""
    with pytest.raises(InvariantViolation, match="validators"):
        epochs_of(Desk(me=3)).next(final_seal().machine)


def test_a_silenced_key_has_no_voice() -> None:
    """Its journal was lost: what it voted before, nobody here knows."""
    desk = Desk(me=3)
    assert epochs_of(desk).first().voting
    epochs = epochs_of(desk, silenced=desk.cluster.signer(3).public_key)
    assert not epochs.first().voting
    assert epochs.silenced_now
    assert epochs.signer is None


def test_what_the_journal_proves_final_is_executed_before_this_node_votes_again() -> None:
    first_of_all = Desk(me=3)
    first, one = first_of_all.block(1, transactions=(1,))
    _, two = first_of_all.block(2, first.header)
    records: list[Record] = [
        BlockRecord(block=first),
        FinalizationRecord(certificate=first_of_all.certificate(FINALIZE, 1, one)),
        CertificateRecord(certificate=first_of_all.certificate(NOTARIZE, 2, two)),
    ]
    effects = Desk(me=3, records=records).machine.handle(Started(), first_of_all.now_ms)
    assert any(isinstance(effect, ExecuteBlock) for effect in effects)
    assert not any(isinstance(effect, SignVote) for effect in effects)
    assert votes_in(Desk(me=3, records=records).start()) == [("FINALIZE", 2)]
