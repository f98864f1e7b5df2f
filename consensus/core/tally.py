"""Votes and certificates: what counting the ones of others and casting one's own leads to.

Rule: votes are cast in this room alone: every kind at most once a view, and Finalize and Nullify never both. A certificate is
kept, journaled and passed on before anything follows from it.
"""

from __future__ import annotations

from consensus.core import speech
from consensus.core.bodies import Bodies
from consensus.core.effects import (
    Blame,
    Broadcast,
    Effect,
    Evidence,
    Lane,
    Persist,
    SetTimer,
    SignVote,
    SilenceKey,
)
from consensus.core.events import Timer
from consensus.core.memory import Memory
from consensus.core.messages import Certificates, Votes
from consensus.core.pace import Pace
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, VoteRecord
from consensus.core.settings import NO_BLOCK, Committee, Timing
from consensus.core.view import Round, Rounds
from consensus.core.votes import VoteCounter
from ledger.errors import invariant
from ledger.types import QuorumCertificate, Vote, VoteKind


class Tally:
    """Counts votes, keeps certificates, casts this node's votes and moves from view to view.

    Attributes:
        voting: whether this node votes in this epoch; False for ever once it turned out to have forgotten votes.
        ready: it may vote now: its past has been replayed, enough others were heard, and the epoch has not ended.
    """

    def __init__(
        self,
        *,
        committee: Committee,
        timing: Timing,
        rounds: Rounds,
        counter: VoteCounter,
        bodies: Bodies,
        pace: Pace,
        memory: Memory,
        voting: bool,
        out: list[Effect],
    ) -> None:
        self._committee = committee
        self._timing = timing
        self._rounds = rounds
        self._counter = counter
        self._bodies = bodies
        self._pace = pace
        self._memory = memory
        self._out = out
        self.voting = voting
        self.ready = False

    # --- what others say --------------------------------------------------------------------------------------------

    def blame(self, peer: bytes, reason: str) -> None:
        self._pace.block(peer)
        self._out.append(Blame(peer=peer, reason=reason))

    def count(self, vote: Vote, *, verified: bool = False) -> None:
        """Count a vote of this epoch, from the validator that it names.

        The window reaches from the last finalized view to the one after the current. In the newest of the finalized views a vote is
        looked at as possible evidence; all others are dropped.
        """
        past = self._rounds.past(vote.view)
        in_window = self._rounds.finalized.view < vote.view <= self._rounds.current + 1
        if not in_window and past is None:
            return
        if not self._counter.well_formed(vote):
            self.blame(self._committee.account(vote.validator), "sent a malformed vote")
            return
        self._pace.heard(vote.validator)
        if past is not None:
            outcome = self._counter.count(past, vote, verified=verified, certify=False)
        else:
            found = self._rounds.at(vote.view)
            certify = vote.kind not in found.certificates
            outcome = self._counter.count(found.ballots, vote, verified=verified, certify=certify)
        for forger in outcome.forgers:
            self.blame(self._committee.account(forger), "sent a vote that it did not sign")
        if outcome.evidence is not None:
            self._out.append(Evidence(first=outcome.evidence[0], second=outcome.evidence[1]))
        if outcome.certificate is not None:
            self._keep(outcome.certificate, spread=True)

    def take(self, certificate: QuorumCertificate, peer: bytes, *, spread: bool = True) -> bool:
        """Accept a certificate of any view from a peer, if it is new and holds; pass it on if it moves views."""
        if not self._is_news(certificate) or self._pace.blocked(peer):
            return False
        if not self._counter.verify_certificate(certificate):
            self.blame(peer, "sent a certificate that does not hold")
            return False
        moves = certificate.view >= self._rounds.current or certificate.kind is VoteKind.FINALIZE
        self._keep(certificate, spread=spread and moves)
        return True

    def believe(self, certificate: QuorumCertificate, peer: bytes) -> bool:
        """Whether a Finalization holds; one of a new view is kept."""
        if certificate == self._rounds.finalized.certificate:
            return True
        if not self._is_news(certificate):
            return certificate.epoch == self._committee.epoch and self._counter.verify_certificate(
                certificate
            )
        return self.take(certificate, peer, spread=False)

    def _is_news(self, certificate: QuorumCertificate) -> bool:
        if certificate.epoch != self._committee.epoch or certificate.view <= self._rounds.finalized.view:
            return False
        found = self._rounds.find(certificate.view)
        held = found.certificates.get(certificate.kind) if found is not None else None
        return held is None or held.digest != certificate.digest

    def _keep(self, certificate: QuorumCertificate, *, spread: bool) -> None:
        """Keep a verified certificate, and go where it leads."""
        rounds, view, kind = self._rounds, certificate.view, certificate.kind
        entry = self._bodies.tree.get(certificate.digest)
        invariant(
            entry is None or not entry.invalid, f"a block that is not valid here was certified in view {view}"
        )
        self._recall(certificate)
        rounds.store(certificate)
        if kind is VoteKind.FINALIZE:
            self._out.append(Persist(record=FinalizationRecord(certificate=certificate)))
        else:
            self._out.append(Persist(record=CertificateRecord(certificate=certificate)))
        if spread:
            self._out.append(Broadcast(message=Certificates(certificates=(certificate,)), lane=Lane.VOTES))
        if kind is VoteKind.NOTARIZE:
            self._finalize_vote(rounds.at(view), certificate.digest)
        if view >= rounds.current:
            self._enter(view + 1, certificate)
        if kind is VoteKind.FINALIZE:
            rounds.finalize(certificate)
            self._out.append(SetTimer(timer=Timer.STANDSTILL, delay_ms=self._timing.standstill_ms))

    def _recall(self, certificate: QuorumCertificate) -> None:
        """Fall silent if this node's key voted for what is certified and this node does not remember it."""
        me = self._committee.me
        if self.voting and me is not None and self._memory.lacks(certificate):
            self.voting = False
            vote_key = self._committee.validators.validators[me].vote_key
            self._out.append(SilenceKey(vote_key=vote_key, certificate=certificate))

    def _enter(self, view: int, certificate: QuorumCertificate) -> None:
        left = self._rounds.now
        if not left.certificates.keys() & {VoteKind.NOTARIZE, VoteKind.FINALIZE} and not left.intended:
            self._bodies.tree.discard(left.proposal_digest)
            left.proposal = None
        self._rounds.current, self._rounds.admitted_by = view, certificate
        for timer in (Timer.LEADER, Timer.ADVANCE, Timer.REPEAT, Timer.EMPTY):
            self._pace.cancel(timer)
        self._bodies.forget_wants()

    # --- what this node says ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """From now on this node may vote; it votes Finalize where it could not before."""
        self.ready = True
        for found in self._rounds.all():
            if found.notarization is not None:
                self._finalize_vote(found, found.notarization.digest)

    def vote(self, found: Round, kind: VoteKind, digest: bytes) -> None:
        """Decide to vote, unless this node has voted so in this view or may not vote."""
        if not self.voting or not self.ready or kind in found.intended:
            return
        found.intended[kind] = digest
        excluding = {VoteKind.NULLIFY, VoteKind.FINALIZE}
        invariant(not excluding <= found.intended.keys(), "Nullify and Finalize in one view")
        self._out.append(SignVote(kind=kind, view=found.view, digest=digest))

    def nullify(self, found: Round) -> None:
        """Skip the view, unless this node voted that it is final."""
        if VoteKind.FINALIZE not in found.intended:
            self.vote(found, VoteKind.NULLIFY, NO_BLOCK)

    def _finalize_vote(self, found: Round, digest: bytes) -> None:
        """Finalize what is notarized, unless this node voted to skip the view or the view is skipped already."""
        if VoteKind.NULLIFY not in found.intended and found.nullification is None:
            self.vote(found, VoteKind.FINALIZE, digest)

    def signed(self, vote: Vote) -> None:
        """An own vote has its signature: journal it behind the body that it names, say it, count it."""
        found = self._rounds.find(vote.view)
        if found is None:
            return
        found.own_votes[vote.kind] = vote
        entry = self._bodies.tree.get(vote.digest) if vote.kind is VoteKind.NOTARIZE else None
        if entry is not None and not entry.persisted:
            entry.persisted = True
            self._out.append(Persist(record=BlockRecord(block=entry.block)))
        self._out.append(Persist(record=VoteRecord(vote=vote)))
        leads = self._committee.leader(vote.view) == self._committee.me
        if vote.kind is VoteKind.NOTARIZE and found.proposal is not None and leads:
            proposal = speech.proposal(self._rounds, found.proposal, vote)
            self._out.append(Broadcast(message=proposal, lane=Lane.BLOCKS))
        else:
            self._out.append(Broadcast(message=Votes(votes=(vote,)), lane=Lane.VOTES))
        self.count(vote, verified=True)
