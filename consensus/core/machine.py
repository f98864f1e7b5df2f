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
* **Epochs**: one machine is one epoch. Above the block that names another validator set, the epoch's seal, there are only
  fillers; when the seal is final and committed, this machine is done, and the next epoch's begins at view 1 with the
  seal as its root.
* **Work** is what the application has, a notarized block above the last finalized one, a proposal or own Notarize in
  the current view, or f + 1 Nullify votes for it. Without work no timer runs and nothing is proposed, but Status goes out.

Safety, since two quorums share an honest validator: one notarized digest a view (the honest notarize once); no Finalization
beside a Nullification of one view (the honest never vote both); so a notarized block above a finalized v that does not
descend from it would have skipped v with a Nullification(v), which cannot be.

Deviations from the paper (Chan and Pass, Simplex Consensus, IACR ePrint 2023/463), each with its reason in
docs/consensus.md: two timers and an adaptive Δ instead of one 3Δ; Nullify is a vote of its own kind, and a late Notarization
still ends a view; views rest when there is no work; an empty block waits Δ for transactions or finality; votes are repeated;
single votes are verified lazily; a silent leader is skipped; validator sets change; a restarted validator listens before it votes.

Rule: handlers record facts; `_progress` then does whatever the facts allow, so that no rule depends on the order of events.

Source: IACR ePrint 2023/463, sections 2 and 3.
"""

from __future__ import annotations

from typing import Final, assert_never

from consensus.core import speech
from consensus.core.bodies import Bodies
from consensus.core.chain import BlockTree
from consensus.core.effects import (
    Broadcast,
    ClockApart,
    Effect,
    Lane,
    Send,
    SetTimer,
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
from consensus.core.memory import Memory
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
from consensus.core.settings import Committee, Hashing, Timing
from consensus.core.tally import Tally
from consensus.core.view import Parent, Round, Rounds
from consensus.core.votes import VoteCounter
from ledger.crypto.suite import QuorumScheme
from ledger.types import Header, QuorumCertificate, VoteKind

# A restarted validator that waits for others asks so many times as often as Status is due.
LISTENING_PACE: Final = 8


class Machine:
    """One validator's consensus, or a follower's.

    Args:
        committee: who votes.
        timing: how long to wait.
        scheme: checks and aggregates votes; pure.
        hashing: the network's hashes.
        root: digest and header of the application's finalized head.
        certificate: a Finalization of this epoch that proves the head final; None for the epoch's root.
        voting: False for a node that follows without voting.
        wary: it voted in an earlier run, so it listens before it votes.
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
        wary: bool = False,
    ) -> None:
        self.committee = committee
        self._timing = timing
        self._hashing = hashing
        self._out: list[Effect] = []
        self._now_ms = 0
        digest, header = root
        own_view = header.view if header.epoch == committee.epoch else 0
        certified = (digest, own_view) if certificate is None else (certificate.digest, certificate.view)
        self.rounds = Rounds(Parent(digest=certified[0], view=certified[1], certificate=certificate))
        self.tree = BlockTree(digest, header)
        self.counter = VoteCounter(committee, scheme)
        self.bodies = Bodies(self.tree, committee, hashing, self._out)
        self.finalizer = Finalizer(self.bodies, self.rounds, committee, hashing, self._out)
        self.pace = Pace(committee, self.rounds, self._out)
        self.memory = Memory(committee, self.rounds, wary=wary)
        self._tally = Tally(
            committee=committee,
            timing=timing,
            rounds=self.rounds,
            counter=self.counter,
            bodies=self.bodies,
            pace=self.pace,
            memory=self.memory,
            voting=voting and committee.me is not None,
            out=self._out,
        )
        self._judge = Judge(committee, self.rounds, self.bodies, hashing)
        self._proposer = Proposer(
            committee=committee,
            rounds=self.rounds,
            bodies=self.bodies,
            pace=self.pace,
            hashing=hashing,
            vote=self._tally.vote,
            out=self._out,
        )

    @property
    def voting(self) -> bool:
        """Whether this node takes part; False for ever once it turned out to have forgotten votes."""
        return self._tally.voting

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
                self._tally.signed(vote)
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
                self._say_status(asks=True)
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
                    self._tally.take(admitted_by, peer)
                index = self.committee.index(peer)
                for vote in votes:
                    if vote.epoch != self.committee.epoch:
                        continue
                    if vote.validator != index:
                        self._tally.blame(peer, "sent a vote in another's name")
                        return
                    self._tally.count(vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self._tally.take(certificate, peer)
            case Propose():
                self._on_propose(peer, event.message)
            case Status():
                self._on_status(peer, event.message)
            case FetchedBlock(block=block):
                self.bodies.fetched(block)
            case FinalizedRange(blocks=blocks):
                reason = self.finalizer.receive(
                    blocks, lambda certificate: self._tally.believe(certificate, peer)
                )
                if reason is not None:
                    self._tally.blame(peer, f"sent a finalized block that is none: {reason}")
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

    def _on_status(self, peer: bytes, status: Status) -> None:
        """Take what it proves; ask for blocks where it claims more; answer who is behind or asks."""
        epoch, final = self.committee.epoch, status.finalization
        if final is not None:
            self._tally.take(final, peer)
        unproven = status.epoch == epoch and final is None and status.height >= self.finalizer.next_height
        if status.epoch > epoch or unproven:
            self.bodies.want_finalized(self.finalizer.next_height)
        self.memory.heard_status(self.committee.index(peer), status.epoch)
        theirs = (status.epoch, final.view if final is not None else 0)
        if status.asks or theirs < (epoch, self.rounds.finalized.view):
            self._out.append(Send(peer=peer, message=self._status(asks=False), lane=Lane.VOTES))

    def _on_propose(self, peer: bytes, message: Propose) -> None:
        header, vote = message.block.header, message.vote
        view = header.view
        if header.epoch != self.committee.epoch or view <= self.rounds.finalized.view:
            return
        leader = self.committee.leader(view)
        if peer != self.committee.account(leader):
            self._tally.blame(peer, "proposed in another's view")
            return
        if vote.validator != leader:
            self._tally.blame(peer, "sent a vote in another's name")
            return
        for certificate in (*(() if message.parent is None else (message.parent,)), *message.nullifications):
            self._tally.take(certificate, peer)
        if self.pace.blocked(peer) or not self.rounds.current <= view <= self.rounds.current + 1:
            return
        found = self.rounds.at(view)
        if found.proposal is not None:
            self._tally.count(vote)
            return
        digest = self._hashing.block_digest(header)
        named = (vote.kind, vote.view, vote.digest, vote.validator)
        if (
            named != (VoteKind.NOTARIZE, view, digest, leader)
            or not self.counter.well_formed(vote)
            or self._hashing.transactions_root(message.block.transactions) != header.transactions_root
            or not self.counter.verify_vote(vote)
        ):
            self._tally.blame(peer, "proposed a block that it did not sign")
            return
        found.proposal, found.proposal_digest = message.block, digest
        self.tree.add(message.block, digest)
        self.pace.cancel(Timer.LEADER)
        self._tally.count(vote, verified=True)

    # --- what follows from the facts -----------------------------------------------------------------------------------

    def _progress(self) -> None:
        """Do whatever the facts now allow; doing it again changes nothing.

        After a restart, blocks that the journal proves final are committed, and others heard, before the node votes again.
        """
        self.finalizer.commit()
        tally = self._tally
        if self.finalizer.sealed:
            tally.ready = False
        if self.finalizer.sealed or not tally.voting:
            return
        if not tally.ready:
            if self.memory.wary or self.bodies.executing:
                return
            tally.begin()
        found = self.rounds.now
        self._consider(found)
        self._proposer.propose(found, self._now_ms, self._delta())
        self._keep_pace(found)

    def _keep_pace(self, found: Round) -> None:
        """Run the timers of the view while there is work; give it up when its leader does."""
        if VoteKind.NULLIFY not in found.intended:
            delta = self._delta()
            work = self.pace.has_work(found)
            leader = self.committee.leader(found.view)
            if found.ballots.vote_of(VoteKind.NULLIFY, leader) is not None:
                self._tally.nullify(found)
            elif work and not found.timed:
                found.timed = True
                if self.pace.silent(leader):
                    self._tally.nullify(found)
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

    def _delta(self) -> int:
        """Δ now. Entering v + 1 when v − 1 is final is the ordinary course, so two views are no delay."""
        return self._timing.delta_after(max(0, self.rounds.current - self.rounds.finalized.view - 2))

    def _on_timer(self, timer: Timer) -> None:
        self.pace.running.discard(timer)
        found = self.rounds.now
        match timer:
            case Timer.LEADER:
                if found.proposal is None:
                    self._tally.nullify(found)
            case Timer.ADVANCE:
                self._tally.nullify(found)
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
                self._say_status(asks=self.memory.wary)
            case _:
                assert_never(timer)

    def _say_status(self, *, asks: bool) -> None:
        """Say where this node is, and ask others until it has heard enough to vote."""
        self._out.append(Broadcast(message=self._status(asks=asks), lane=Lane.VOTES))
        delay_ms = self._timing.status_ms
        if self.memory.wary:
            delay_ms = max(1, delay_ms // LISTENING_PACE)
        self._out.append(SetTimer(timer=Timer.STATUS, delay_ms=delay_ms))

    def _status(self, *, asks: bool) -> Status:
        return speech.status(self.rounds, self.tree.root_header.height, self.committee.epoch, asks=asks)

    # --- judging a proposal -----------------------------------------------------------------------------------------

    def _consider(self, found: Round) -> None:
        """Vote on the proposal of the current view, once."""
        if found.proposal is None or found.intended or found.rejected:
            return
        verdict = self._judge.judge(found.proposal.header, found.proposal_digest, self._now_ms)
        if verdict is Verdict.VALID:
            self._tally.vote(found, VoteKind.NOTARIZE, found.proposal_digest)
        elif verdict is not Verdict.WAIT:
            found.rejected = True
            if verdict is Verdict.UNTIMELY:
                apart_ms = found.proposal.header.time_ms - self._now_ms
                leader = self.committee.account(self.committee.leader(found.view))
                self._out.append(ClockApart(leader=leader, apart_ms=apart_ms))
            self._tally.nullify(found)
