"""Counting votes: few verifications, blame for forgers alone, evidence also when it comes late."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.core.effects import Blame, Effect, Evidence
from consensus.core.messages import Certificates, Votes
from consensus.core.settings import Committee
from consensus.core.view import PAST_VIEWS_MAX
from consensus.core.votes import Ballots, Outcome, VoteCounter
from ledger.types import Validator, ValidatorSet, Vote, VoteKind, quorum_size
from tests.simulation.harness.cluster import CHAIN_ID, Cluster
from tests.simulation.harness.node import account_of
from tests.simulation.harness.scheme import SimScheme
from tests.suites import suite_under_test
from tests.unit.consensus_desk import Desk

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
DIGEST = b"\x07" * 32


@dataclass
class Box:
    """A ballot box of `size` validators."""

    size: int

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.size, seed=1)
        scheme = self.cluster.scheme
        assert isinstance(scheme, SimScheme)
        self.scheme = scheme
        self.counter = VoteCounter(self.cluster.committee(None), scheme)
        self.ballots = Ballots()

    def vote(self, validator: int) -> Vote:
        unsigned = Vote(kind=NOTARIZE, epoch=1, view=1, digest=DIGEST, validator=validator, signature=b"\0")
        return replace(unsigned, signature=self.cluster.signer(validator).sign_vote(CHAIN_ID, unsigned))

    def count(self, votes: list[Vote]) -> Outcome:
        """Everything; the outcomes together."""
        total = Outcome()
        for vote in votes:
            outcome = self.counter.count(self.ballots, vote, certify=total.certificate is None)
            total.forgers += outcome.forgers
            total.certificate = outcome.certificate or total.certificate
        return total


def bent(vote: Vote, mask: bytes) -> Vote:
    return replace(vote, signature=bytes(a ^ b for a, b in zip(vote.signature, mask, strict=True)))


def test_one_forger_among_31_costs_a_logarithm_of_aggregate_checks_and_few_single_ones() -> None:
    for forger in (0, 7, 20):
        box = Box(31)
        quorum = quorum_size(31)
        votes = [box.vote(index) for index in range(quorum)]
        votes[forger] = bent(votes[forger], b"\x01" * 32)
        outcome = box.count(votes)
        assert outcome.forgers == [forger]
        assert box.scheme.parts_verified + box.scheme.votes_verified <= 12
        assert box.scheme.votes_verified <= 3
        assert outcome.certificate is None
        assert box.count([box.vote(quorum)]).certificate is not None


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from([4, 7, 10, 31]),
    masks=st.dictionaries(st.integers(0, 30), st.sampled_from([b"\x01" * 32, b"\x02" * 32, b"\x03" * 32])),
    order=st.randoms(use_true_random=False),
)
def test_only_forgers_are_blamed_and_a_certificate_forms_whenever_a_quorum_is_good(
    size: int, masks: dict[int, bytes], order: object
) -> None:
    """Masks of the same value cancel out in pairs, and three of different values together: as forgers may arrange it."""
    box = Box(size)
    forgers = {index for index in masks if index < size}
    votes = [bent(box.vote(i), masks[i]) if i in forgers else box.vote(i) for i in range(size)]
    order.shuffle(votes)
    outcome = box.count(votes)
    assert set(outcome.forgers) <= forgers
    assert len(outcome.forgers) == len(set(outcome.forgers))
    if size - len(forgers) >= quorum_size(size):
        assert outcome.certificate is not None
    if outcome.certificate is not None:
        assert box.counter.verify_certificate(outcome.certificate)
    assert all(box.counter.verify_vote(box.vote(index)) for _, index in box.ballots.verified)


def test_real_signatures_are_bisected_too() -> None:
    suite = suite_under_test()
    signers = [suite.load_vote_signer(bytes(31) + bytes([index + 1])) for index in range(7)]
    members = tuple(
        Validator(account=account_of(i), name=f"v{i}", vote_key=one.public_key, possession=b"\x01")
        for i, one in enumerate(signers)
    )
    validators = ValidatorSet(epoch=1, validators=members)
    committee = Committee(chain_id=CHAIN_ID, validators=validators, validators_hash=bytes(32), me=None)
    counter, ballots = VoteCounter(committee, suite.quorum), Ballots()
    votes: list[Vote] = []
    for index, signer in enumerate(signers):
        unsigned = Vote(kind=NOTARIZE, epoch=1, view=1, digest=DIGEST, validator=index, signature=b"\0")
        votes.append(replace(unsigned, signature=signer.sign_vote(CHAIN_ID, unsigned)))
    votes[2] = replace(votes[2], signature=votes[3].signature)
    votes[4] = replace(votes[4], signature=b"\xff" * 96)
    outcomes = [counter.count(ballots, vote) for vote in votes]
    assert sorted(forger for outcome in outcomes for forger in outcome.forgers) == [2, 4]
    assert [outcome.certificate is not None for outcome in outcomes] == [False] * 6 + [True]


# --- evidence that comes late ---------------------------------------------------------------------------------------


def evidence(effects: list[Effect]) -> list[tuple[VoteKind, VoteKind]]:
    return [(one.first.kind, one.second.kind) for one in effects if isinstance(one, Evidence)]


def test_a_conflicting_vote_is_evidence_also_after_its_view_is_final() -> None:
    desk = Desk(me=1)
    block, digest = desk.block(1)
    desk.propose(block)
    desk.hear_votes(NOTARIZE, 1, digest, 3)
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, digest),)))
    assert evidence(desk.hear_votes(NOTARIZE, 1, DIGEST, 3)) == [(NOTARIZE, NOTARIZE)]
    assert evidence(desk.hear_votes(NOTARIZE, 1, DIGEST, 3)) == [], "once"
    assert evidence(desk.hear_votes(NULLIFY, 1, bytes(32), 2) + desk.hear_votes(FINALIZE, 1, digest, 2)) == [
        (NULLIFY, FINALIZE)
    ]


def test_a_forged_late_vote_is_no_evidence_and_costs_its_sender_its_voice() -> None:
    desk = Desk(me=1)
    _, digest = desk.block(1)
    desk.hear_votes(NOTARIZE, 1, digest, 3)
    desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, 1, digest),)))
    forged = replace(desk.vote(3, NOTARIZE, 1, DIGEST), signature=bytes(32))
    effects = desk.hear(3, Votes(votes=(forged,)))
    assert evidence(effects) == []
    assert [one.peer for one in effects if isinstance(one, Blame)] == [account_of(3)]


def test_votes_of_finalized_views_are_kept_for_a_bounded_number_of_views() -> None:
    desk = Desk(me=1)
    for view in range(1, PAST_VIEWS_MAX + 10):
        desk.hear_votes(NULLIFY, view, bytes(32), 3)
        desk.hear(0, Certificates(certificates=(desk.certificate(NOTARIZE, view, DIGEST),)))
        desk.hear(0, Certificates(certificates=(desk.certificate(FINALIZE, view, DIGEST),)))
    assert evidence(desk.hear_votes(FINALIZE, 1, DIGEST, 3)) == []
    kept = [view for view in range(PAST_VIEWS_MAX + 10) if desk.machine.rounds.past(view) is not None]
    assert len(kept) == PAST_VIEWS_MAX
    assert evidence(desk.hear_votes(FINALIZE, kept[0], DIGEST, 3)) == [(NULLIFY, FINALIZE)]
