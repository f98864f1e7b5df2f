"""Votes: counting them, and turning a quorum of them into a certificate with as little verification as possible.

Rule: single votes are not verified when they arrive. At a quorum they are aggregated and the aggregate is verified once. Only
when that fails are bad ones looked for, by halves: a half whose aggregate holds may stay in a certificate, a half whose aggregate
fails is halved again, down to single votes, which are verified; so one forger among n costs O(log n) verifications. A good
aggregate proves the certificate and never its votes (two forged ones can cancel out), so a vote counts as verified, and its
signer as a forger, only after it was verified alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.core.settings import NO_BLOCK, Committee
from ledger.crypto.suite import QuorumScheme
from ledger.types import QuorumCertificate, Vote, VoteKind


class Ballots:
    """The first vote of each validator of each kind in one view. Counts; judges nothing."""

    __slots__ = ("_counts", "_votes", "accused", "verified")

    def __init__(self) -> None:
        self._votes: dict[VoteKind, dict[int, Vote]] = {kind: {} for kind in VoteKind}
        self._counts: dict[tuple[VoteKind, bytes], int] = {}
        self.verified: set[tuple[VoteKind, int]] = set()
        self.accused: set[int] = set()

    def vote_of(self, kind: VoteKind, validator: int) -> Vote | None:
        return self._votes[kind].get(validator)

    def add(self, vote: Vote) -> None:
        """Count a vote whose validator has no vote of that kind here yet."""
        self._votes[vote.kind][vote.validator] = vote
        ballot = (vote.kind, vote.digest)
        self._counts[ballot] = self._counts.get(ballot, 0) + 1

    def remove(self, vote: Vote) -> None:
        del self._votes[vote.kind][vote.validator]
        self._counts[vote.kind, vote.digest] -= 1

    def knows(self, vote: Vote) -> bool:
        """Whether a vote that was counted has been verified alone."""
        return (vote.kind, vote.validator) in self.verified

    def count(self, kind: VoteKind, digest: bytes) -> int:
        return self._counts.get((kind, digest), 0)

    def matching(self, kind: VoteKind, digest: bytes) -> tuple[Vote, ...]:
        """The votes of that kind for that digest, by validator index."""
        votes = self._votes[kind]
        return tuple(votes[index] for index in sorted(votes) if votes[index].digest == digest)

    def conflicting(self, vote: Vote) -> Vote | None:
        """An earlier vote of the same validator that excludes `vote`."""
        same = self._votes[vote.kind].get(vote.validator)
        if same is not None:
            return same if same.digest != vote.digest else None
        if vote.kind is VoteKind.NULLIFY:
            return self._votes[VoteKind.FINALIZE].get(vote.validator)
        if vote.kind is VoteKind.FINALIZE:
            return self._votes[VoteKind.NULLIFY].get(vote.validator)
        return None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What counting a vote led to.

    Attributes:
        certificate: newly formed by it, and verified.
        forgers: validators that sent a vote whose signature does not hold.
        evidence: two verified votes that exclude each other.
    """

    certificate: QuorumCertificate | None = None
    forgers: list[int] = field(default_factory=list)
    evidence: tuple[Vote, Vote] | None = None


class VoteCounter:
    """Counts votes into ballots and makes certificates of them."""

    def __init__(self, committee: Committee, scheme: QuorumScheme) -> None:
        self._committee = committee
        self._scheme = scheme

    def verify_vote(self, vote: Vote) -> bool:
        return self._scheme.verify_vote(self._committee.chain_id, self._committee.validators, vote)

    def verify_certificate(self, certificate: QuorumCertificate) -> bool:
        committee = self._committee
        return self._scheme.verify_certificate(committee.chain_id, committee.validators, certificate)

    def well_formed(self, vote: Vote) -> bool:
        """Whether the vote names this epoch, and a block unless it is a Nullify."""
        return vote.epoch == self._committee.epoch and (vote.digest == NO_BLOCK) == (
            vote.kind is VoteKind.NULLIFY
        )

    def count(self, ballots: Ballots, vote: Vote, *, verified: bool = False, certify: bool = True) -> Outcome:
        """Count one vote.

        Args:
            ballots: of the vote's view.
            vote: from the validator that it names.
            verified: whether its signature has been checked alone.
            certify: whether a certificate of its kind is still wanted.
        """
        outcome = Outcome()
        earlier = ballots.conflicting(vote)
        if earlier is not None and vote.validator not in ballots.accused:
            self._accuse(ballots, earlier, vote, outcome)
        if vote.validator in outcome.forgers:
            return outcome
        if ballots.vote_of(vote.kind, vote.validator) is None:
            ballots.add(vote)
        elif not verified:
            return outcome
        if verified and ballots.vote_of(vote.kind, vote.validator) == vote:
            ballots.verified.add((vote.kind, vote.validator))
        if certify and ballots.count(vote.kind, vote.digest) >= self._committee.quorum:
            outcome.certificate = self._certify(ballots, vote.kind, vote.digest, outcome.forgers)
        return outcome

    def _certify(
        self, ballots: Ballots, kind: VoteKind, digest: bytes, forgers: list[int]
    ) -> QuorumCertificate | None:
        votes = ballots.matching(kind, digest)
        certificate = self._scheme.aggregate(self._committee.validators, votes)
        if self.verify_certificate(certificate):
            return certificate
        self._expose(ballots, tuple(vote for vote in votes if not ballots.knows(vote)), forgers)
        remaining = ballots.matching(kind, digest)
        if len(remaining) < self._committee.quorum:
            return None
        certificate = self._scheme.aggregate(self._committee.validators, remaining)
        return certificate if self.verify_certificate(certificate) else None

    def _expose(self, ballots: Ballots, votes: tuple[Vote, ...], forgers: list[int]) -> None:
        """Uncount the bad votes among some whose aggregate fails."""
        if len(votes) <= 1:
            for vote in votes:
                self._holds(ballots, vote, forgers)
            return
        left, right = votes[: len(votes) // 2], votes[len(votes) // 2 :]
        if self._part_holds(left):
            # What holds and what fails in sum: the failure is in the other half.
            self._expose(ballots, right, forgers)
            return
        self._expose(ballots, left, forgers)
        if not self._part_holds(right):
            self._expose(ballots, right, forgers)

    def _part_holds(self, votes: tuple[Vote, ...]) -> bool:
        """Whether some votes' aggregate holds, be they a quorum or not; a single vote is left to be verified alone."""
        if len(votes) == 1:
            return False
        committee = self._committee
        part = self._scheme.aggregate(committee.validators, votes)
        return self._scheme.verify_part(committee.chain_id, committee.validators, part)

    def _accuse(self, ballots: Ballots, earlier: Vote, later: Vote, outcome: Outcome) -> None:
        """Verify both votes: evidence if both hold; otherwise their sender is a forger, and neither counts further."""
        if not self.verify_vote(later):
            outcome.forgers.append(later.validator)
        elif self._holds(ballots, earlier, outcome.forgers):
            ballots.accused.add(later.validator)
            outcome.evidence = (earlier, later)

    def _holds(self, ballots: Ballots, vote: Vote, forgers: list[int]) -> bool:
        """Whether a counted vote's signature is good; if not, it is uncounted."""
        if ballots.knows(vote):
            return True
        if self.verify_vote(vote):
            ballots.verified.add((vote.kind, vote.validator))
            return True
        ballots.remove(vote)
        forgers.append(vote.validator)
        return False
