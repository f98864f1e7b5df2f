"""Simplex: the state machine of one validator.

Protocol, for n validators of which at most f = ⌊(n−1)/3⌋ are faulty, and quorum q = n − f. Validator (v − 1) mod n leads view v.

* **Enter view v** by a certificate of v − 1; any certificate of a view w ≥ v leads to w + 1. While there is work, start
  t_leader = 2Δ and t_advance = 3Δ; a leader that was silent for n views, while a quorum was heard, is given up at once.
* **Leader of v**: extend the newest notarized block, at view p, when every view between p and v has a Nullification.
  Broadcast Propose: the block, the own Notarize vote, the parent's certificate, the gap's Nullifications.
* **Propose(v)** from the leader, the first: once the parent is certified, the gap nullified, the block executed and valid,
  vote Notarize(v), unless Nullify(v) was voted. A block that breaks a rule: Nullify(v) at once.
* **q Notarize(v)**: Notarization(v). Broadcast it and enter v + 1, even after Nullify(v). Vote Finalize(v) unless
  Nullify(v) was voted.
* **A timer of v, or its leader's Nullify(v)**: vote Nullify(v) unless Finalize(v) was voted. Repeat own votes of v every
  t_r, with the certificate that admitted to v.
* **q Nullify(v)**: Nullification(v). Broadcast it and enter v + 1.
* **q Finalize(v)**, however late: Finalization(v). Broadcast it; the block and its ancestors are final.
* **Δ** is multiplied by α for every view without finality and returns to its start with finality.
* **Standstill**: every T_s without finality, repeat the highest Finalization, and certificates and own votes above it.
* **Work** is what the application has, a notarized block above the last finalized one, a proposal or own Notarize in
  the current view, or f + 1 Nullify votes for it. Without work no timer runs and nothing is proposed, but Status goes out.

Safety, since two quorums share an honest validator: one notarized digest a view (the honest notarize once); no Finalization
beside a Nullification of one view (the honest never vote both); so a notarized block above a finalized v that does not
descend from it would have skipped v with a Nullification(v), which cannot be.

Deviations from the paper (Chan and Pass, Simplex Consensus, IACR ePrint 2023/463), each with its reason in
docs/consensus.md: two timers and an adaptive Δ instead of one 3Δ; Nullify is a vote of its own kind, and a late Notarization
still ends a view; views rest when there is no work; an empty block waits Δ for transactions or finality; votes are repeated;
single votes are verified lazily; a silent leader is skipped.

Rule: handlers record facts; `_progress` then does whatever the facts allow, so that no rule depends on the order of events.

Source: IACR ePrint 2023/463, sections 2 and 3.
"""

from __future__ import annotations

from typing import assert_never

from consensus.core import speech
from consensus.core.bodies import Bodies
from consensus.core.chain import BlockTree
from consensus.core.effects import (
    Blame,
    Broadcast,
    ClockApart,
    Effect,
    Evidence,
    Lane,
    Persist,
    Send,
    SetTimer,
    SignVote,
)
from consensus.core.events import (
    BlockBuilt,
    BlockExecuted,
    Event,
    Received,
    Started,
    Timer,
    TimerFired,
    VoteSigned,
    WorkNoticed,
)
from consensus.core.finalizer import Finalizer
from consensus.core.judge import Judge, Verdict
from consensus.core.messages import (
    Certificates,
    FetchBlock,
    FetchCertificates,
    FetchedBlock,
    FetchFinalized,
    FinalizedRange,
    Propose,
    Status,
    Votes,
)
from consensus.core.pace import Pace
from consensus.core.proposer import Proposer
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, VoteRecord
from consensus.core.settings import NO_BLOCK, Committee, Hashing, Timing
from consensus.core.view import Parent, Round, Rounds
from consensus.core.votes import VoteCounter
from ledger.crypto.suite import QuorumScheme
from ledger.errors import invariant
from ledger.types import Header, QuorumCertificate, Vote, VoteKind


class Machine:
    """One validator's consensus, or a follower's.

    Args:
        committee: who votes.
        timing: how long to wait.
        scheme: checks and aggregates votes; pure.
        hashing: the network's hashes.
        root: digest and header of the application's finalized head.
        certificate: a Finalization that proves the head final; None at genesis.
        voting: False for a node that follows without voting.
    """

    def __init__(
        self,
        *,
        committee: Committee,
        timing: Timing,
        scheme: QuorumScheme,
        hashing: Hashing,
        root: tuple[bytes, Header],
        certificate: QuorumCertificate | None,
        voting: bool,
    ) -> None:
        self.committee = committee
        self.voting = voting and committee.me is not None
        self._timing = timing
        self._hashing = hashing
        self._out: list[Effect] = []
        self._now_ms = 0
        self._recovering = True
        digest, header = root
        certified = (digest, 0) if certificate is None else (certificate.digest, certificate.view)
        self.rounds = Rounds(Parent(digest=certified[0], view=certified[1], certificate=certificate))
        self.tree = BlockTree(digest, header)
        self.counter = VoteCounter(committee, scheme)
        self.bodies = Bodies(self.tree, hashing, self._out)
        self.finalizer = Finalizer(self.bodies, self.rounds, hashing, self._out)
        self.pace = Pace(committee, self.rounds, self._out)
        self._judge = Judge(committee, self.rounds, self.bodies)
        self._proposer = Proposer(
            committee=committee,
            rounds=self.rounds,
            bodies=self.bodies,
            pace=self.pace,
            hashing=hashing,
            vote=self._vote,
            out=self._out,
        )

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Take in one event.

        Args:
            event: what happened.
            now_ms: the wall clock, milliseconds since the Unix epoch; used for block times alone.

        Returns:
            What is to be done, in order.

        Raises:
            InvariantViolation: more than f validators are faulty, or this node's own state is wrong.
        """
        self._now_ms = now_ms
        match event:
            case Received(peer=peer):
                if not self.pace.blocked(peer):
                    self._received(event)
            case VoteSigned(vote=vote):
                self._on_signed(vote)
            case BlockExecuted(digest=digest, valid=valid):
                self.bodies.executed(digest, valid=valid, certified=self.rounds.certified(digest) is not None)
            case BlockBuilt(view=view, block=block):
                self._proposer.built(view, block, self._delta())
            case TimerFired(timer=timer):
                self._on_timer(timer)
            case WorkNoticed(pending=pending):
                self.pace.pending = pending
                if pending:
                    self._proposer.noticed_work(self.rounds.now)
            case Started():
                self._out.append(SetTimer(timer=Timer.STATUS, delay_ms=self._timing.status_ms))
                self._on_timer(Timer.STANDSTILL)
            case _:
                assert_never(event)
        self._progress()
        effects = self._out[:]
        self._out.clear()
        return effects

    # --- messages ---------------------------------------------------------------------------------------------------

    def _received(self, event: Received) -> None:
        peer = event.peer
        match event.message:
            case Votes(votes=votes, admitted_by=admitted_by):
                if admitted_by is not None:
                    self._take(admitted_by, peer)
                for vote in votes:
                    if vote.validator != peer:
                        self._blame(peer, "sent a vote in another's name")
                        return
                    self._count(vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self._take(certificate, peer)
            case Propose():
                self._on_propose(peer, event.message)
            case Status(epoch=epoch, finalization=finalization):
                if epoch == self.committee.epoch:
                    if finalization is not None:
                        self._take(finalization, peer)
                    if (finalization.view if finalization is not None else 0) < self.rounds.finalized.view:
                        self._out.append(Send(peer=peer, message=self._status(), lane=Lane.VOTES))
            case FetchedBlock(block=block):
                self.bodies.fetched(block)
            case FinalizedRange(blocks=blocks):
                reason = self.finalizer.receive(blocks, lambda certificate: self._believe(certificate, peer))
                if reason is not None:
                    self._blame(peer, f"sent a finalized block that is none: {reason}")
                self.bodies.forget_wants()
            case FetchBlock(epoch=epoch, digest=digest):
                body = self.tree.body(digest) if epoch == self.committee.epoch else None
                if body is not None:
                    self._out.append(Send(peer=peer, message=FetchedBlock(block=body), lane=Lane.SYNC))
            case FetchCertificates():
                answer = speech.certificates_asked_for(self.rounds, event.message, self.committee.epoch)
                if answer is not None:
                    self._out.append(Send(peer=peer, message=answer, lane=Lane.SYNC))
            case FetchFinalized():
                pass
            case _:
                assert_never(event.message)

    def _on_propose(self, peer: int, message: Propose) -> None:
        header, vote = message.block.header, message.vote
        view = header.view
        if header.epoch != self.committee.epoch or view <= self.rounds.finalized.view:
            return
        if peer != self.committee.leader(view):
            self._blame(peer, "proposed in another's view")
            return
        for certificate in (*(() if message.parent is None else (message.parent,)), *message.nullifications):
            self._take(certificate, peer)
        if self.pace.blocked(peer) or not self.rounds.current <= view <= self.rounds.current + 1:
            return
        found = self.rounds.at(view)
        if found.proposal is not None:
            self._count(vote)
            return
        digest = self._hashing.block_digest(header)
        named = (vote.kind, vote.view, vote.digest, vote.validator)
        if (
            named != (VoteKind.NOTARIZE, view, digest, peer)
            or not self.counter.well_formed(vote)
            or self._hashing.transactions_root(message.block.transactions) != header.transactions_root
            or not self.counter.verify_vote(vote)
        ):
            self._blame(peer, "proposed a block that it did not sign")
            return
        found.proposal, found.proposal_digest = message.block, digest
        self.tree.add(message.block, digest)
        self.pace.cancel(Timer.LEADER)
        self._count(vote, verified=True)

    def _blame(self, peer: int, reason: str) -> None:
        self.pace.block(peer)
        self._out.append(Blame(peer=peer, reason=reason))

    # --- votes and certificates -------------------------------------------------------------------------------------

    def _count(self, vote: Vote, *, verified: bool = False) -> None:
        """Count a vote in the window from the last finalized view to the one after the current; others are dropped."""
        if not self.rounds.finalized.view < vote.view <= self.rounds.current + 1:
            return
        if not self.counter.well_formed(vote):
            self._blame(vote.validator, "sent a malformed vote")
            return
        self.pace.heard(vote.validator)
        found = self.rounds.at(vote.view)
        outcome = self.counter.count(
            found.ballots, vote, verified=verified, certify=vote.kind not in found.certificates
        )
        for forger in outcome.forgers:
            self._blame(forger, "sent a vote that it did not sign")
        if outcome.evidence is not None:
            self._out.append(Evidence(first=outcome.evidence[0], second=outcome.evidence[1]))
        if outcome.certificate is not None:
            self._keep(outcome.certificate, spread=True)

    def _take(self, certificate: QuorumCertificate, peer: int, *, spread: bool = True) -> bool:
        """Accept a certificate of any view from a peer, if it is new and holds; pass it on if it moves views."""
        if not self._is_news(certificate) or self.pace.blocked(peer):
            return False
        if not self.counter.verify_certificate(certificate):
            self._blame(peer, "sent a certificate that does not hold")
            return False
        moves = certificate.view >= self.rounds.current or certificate.kind is VoteKind.FINALIZE
        self._keep(certificate, spread=spread and moves)
        return True

    def _is_news(self, certificate: QuorumCertificate) -> bool:
        if certificate.epoch != self.committee.epoch or certificate.view <= self.rounds.finalized.view:
            return False
        found = self.rounds.find(certificate.view)
        held = found.certificates.get(certificate.kind) if found is not None else None
        return held is None or held.digest != certificate.digest

    def _believe(self, certificate: QuorumCertificate, peer: int) -> bool:
        """Whether a Finalization holds; one of a new view is kept."""
        final = self.rounds.finalized
        if certificate == final.certificate:
            return True
        if not self._is_news(certificate):
            return certificate.epoch == self.committee.epoch and self.counter.verify_certificate(certificate)
        return self._take(certificate, peer, spread=False)

    def _keep(self, certificate: QuorumCertificate, *, spread: bool) -> None:
        """Keep a verified certificate, and go where it leads."""
        rounds, view, kind = self.rounds, certificate.view, certificate.kind
        entry = self.tree.get(certificate.digest)
        invariant(
            entry is None or not entry.invalid, f"a block that is not valid here was certified in view {view}"
        )
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

    def _finalize_vote(self, found: Round, digest: bytes) -> None:
        """Finalize what is notarized, unless this node voted to skip the view or the view is skipped already."""
        if VoteKind.NULLIFY not in found.intended and found.nullification is None:
            self._vote(found, VoteKind.FINALIZE, digest)

    def _vote(self, found: Round, kind: VoteKind, digest: bytes) -> None:
        """Decide to vote. Every kind is voted at most once a view, and Finalize and Nullify never both."""
        if not self.voting or kind in found.intended:
            return
        found.intended[kind] = digest
        excluding = {VoteKind.NULLIFY, VoteKind.FINALIZE}
        invariant(not excluding <= found.intended.keys(), "Nullify and Finalize in one view")
        self._out.append(SignVote(kind=kind, view=found.view, digest=digest))

    def _on_signed(self, vote: Vote) -> None:
        found = self.rounds.find(vote.view)
        if found is None:
            return
        found.own_votes[vote.kind] = vote
        entry = self.tree.get(vote.digest) if vote.kind is VoteKind.NOTARIZE else None
        if entry is not None and not entry.persisted:
            entry.persisted = True
            self._out.append(Persist(record=BlockRecord(block=entry.block)))
        self._out.append(Persist(record=VoteRecord(vote=vote)))
        if vote.kind is VoteKind.NOTARIZE and found.proposal is not None and self._leads(vote.view):
            proposal = speech.proposal(self.rounds, found.proposal, vote)
            self._out.append(Broadcast(message=proposal, lane=Lane.BLOCKS))
        else:
            self._out.append(Broadcast(message=Votes(votes=(vote,)), lane=Lane.VOTES))
        self._count(vote, verified=True)

    # --- views ------------------------------------------------------------------------------------------------------

    def _leads(self, view: int) -> bool:
        return self.committee.leader(view) == self.committee.me

    def _enter(self, view: int, certificate: QuorumCertificate) -> None:
        left = self.rounds.now
        if not left.certificates.keys() & {VoteKind.NOTARIZE, VoteKind.FINALIZE} and not left.intended:
            self.tree.discard(left.proposal_digest)
            left.proposal = None
        self.rounds.current, self.rounds.admitted_by = view, certificate
        for timer in (Timer.LEADER, Timer.ADVANCE, Timer.REPEAT, Timer.EMPTY):
            self.pace.cancel(timer)
        self.bodies.forget_wants()

    def _progress(self) -> None:
        """Do whatever the facts now allow; doing it again changes nothing.

        After a restart, blocks that the journal proves final are committed before the node votes again.
        """
        self.finalizer.commit()
        if self._recovering:
            if self.bodies.executing:
                return
            self._recovering = False
        found = self.rounds.now
        if self.voting:
            self._consider(found)
            self._proposer.propose(found, self._now_ms)
            self._keep_pace(found)

    def _keep_pace(self, found: Round) -> None:
        """Run the timers of the view while there is work; give it up when its leader does."""
        if VoteKind.NULLIFY not in found.intended:
            delta = self._delta()
            work = self.pace.has_work(found)
            leader = self.committee.leader(found.view)
            if found.ballots.vote_of(VoteKind.NULLIFY, leader) is not None:
                self._nullify(found)
            elif work and not found.timed:
                found.timed = True
                if self.pace.silent(leader):
                    self._nullify(found)
                else:
                    if found.proposal is None:
                        self.pace.start(Timer.LEADER, 2 * delta)
                    self.pace.start(Timer.ADVANCE, 3 * delta)
            elif found.timed and not work:
                found.timed = False
                self.pace.cancel(Timer.LEADER)
                self.pace.cancel(Timer.ADVANCE)
        if VoteKind.NULLIFY in found.intended and Timer.REPEAT not in self.pace.running:
            self.pace.start(Timer.REPEAT, self._timing.repeat_ms)

    def _nullify(self, found: Round) -> None:
        if VoteKind.FINALIZE not in found.intended:
            self._vote(found, VoteKind.NULLIFY, NO_BLOCK)

    def _delta(self) -> int:
        """Δ now. Entering v + 1 when v − 1 is final is the ordinary course, so two views are no delay."""
        return self._timing.delta_after(max(0, self.rounds.current - self.rounds.finalized.view - 2))

    def _on_timer(self, timer: Timer) -> None:
        self.pace.running.discard(timer)
        found = self.rounds.now
        match timer:
            case Timer.LEADER:
                if found.proposal is None:
                    self._nullify(found)
            case Timer.ADVANCE:
                self._nullify(found)
            case Timer.REPEAT:
                if found.own_votes:
                    self._out.append(Broadcast(message=speech.repetition(self.rounds), lane=Lane.VOTES))
            case Timer.EMPTY:
                self._proposer.waited(found)
            case Timer.STANDSTILL:
                for message in speech.standstill(self.rounds):
                    self._out.append(Broadcast(message=message, lane=Lane.VOTES))
                self._out.append(SetTimer(timer=Timer.STANDSTILL, delay_ms=self._timing.standstill_ms))
            case Timer.STATUS:
                self.pace.tick()
                self.bodies.forget_wants()
                self._out.append(Broadcast(message=self._status(), lane=Lane.VOTES))
                self._out.append(SetTimer(timer=Timer.STATUS, delay_ms=self._timing.status_ms))
            case _:
                assert_never(timer)

    def _status(self) -> Status:
        return speech.status(self.rounds, self.tree.root_header.height, self.committee.epoch)

    # --- judging a proposal -----------------------------------------------------------------------------------------

    def _consider(self, found: Round) -> None:
        """Vote on the proposal of the current view, once."""
        if found.proposal is None or found.intended or found.rejected:
            return
        verdict = self._judge.judge(found.proposal.header, found.proposal_digest, self._now_ms)
        if verdict is Verdict.VALID:
            self._vote(found, VoteKind.NOTARIZE, found.proposal_digest)
        elif verdict is not Verdict.WAIT:
            found.rejected = True
            if verdict is Verdict.UNTIMELY:
                apart_ms = found.proposal.header.time_ms - self._now_ms
                self._out.append(ClockApart(leader=self.committee.leader(found.view), apart_ms=apart_ms))
            self._nullify(found)
