"""What a leader does in its view: find a parent, have a block built on it, and hold back an empty one.

Rule: a block without transactions waits Δ when its parent is of the view before: mostly the finality that is on its way makes it
superfluous, and an idle chain comes to rest after its last block. Else it is proposed at once, so that the last block becomes
final even if votes were lost: after a skipped view nothing is on its way, and the wait would use up the others' patience.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.core.bodies import Bodies
from consensus.core.effects import BuildBlock, Effect, ProposalContext
from consensus.core.events import Timer
from consensus.core.fillers import filler
from consensus.core.pace import Pace
from consensus.core.settings import NO_BLOCK, Committee, Hashing
from consensus.core.view import Round, Rounds
from ledger.errors import invariant
from ledger.types import Block, VoteKind


class Proposer:
    """Leads the views that are this validator's.

    Args:
        vote: decides to vote, in the machine.
    """

    def __init__(
        self,
        *,
        committee: Committee,
        rounds: Rounds,
        bodies: Bodies,
        pace: Pace,
        hashing: Hashing,
        vote: Callable[[Round, VoteKind, bytes], None],
        out: list[Effect],
    ) -> None:
        self._committee = committee
        self._rounds = rounds
        self._bodies = bodies
        self._pace = pace
        self._hashing = hashing
        self._vote = vote
        self._out = out

    def propose(self, found: Round, now_ms: int, patience_ms: int) -> None:
        """Ask for a block if it is this node's turn, there is work, and everything that a proposal needs is here."""
        me = self._committee.me
        if me is None or self._committee.leader(found.view) != me:
            return
        if found.building or found.intended or not self._pace.has_work(found):
            return
        parent = self._rounds.parent_for(found.view)
        if parent is None:
            lacking = self._rounds.unproven_gap(self._rounds.finalized.view, found.view)
            invariant(lacking is not None, "a parent is missing although no certificate is")
            if lacking is not None:
                self._bodies.want_certificates(lacking, None)
            return
        if not self._bodies.ensure_executed(parent.digest, height=0, hint=None):
            return
        header = self._bodies.tree.header(parent.digest)
        if header is None:
            return
        found.building = True
        proposer, time_ms = self._committee.account(me), max(now_ms, header.time_ms + 1)
        if self._committee.seals(header):
            block = filler(
                header,
                parent.digest,
                view=found.view,
                time_ms=time_ms,
                proposer=proposer,
                hashing=self._hashing,
            )
            self.built(found.view, block, patience_ms)
            return
        context = ProposalContext(
            epoch=self._committee.epoch,
            view=found.view,
            height=header.height + 1,
            time_ms=time_ms,
            proposer=proposer,
        )
        self._out.append(BuildBlock(parent=parent.digest, context=context))

    def built(self, view: int, block: Block | None, patience_ms: int) -> None:
        """Propose what was built, by voting for it; give the view up when nothing could be built."""
        found = self._rounds.find(view)
        if found is None or view != self._rounds.current or found.intended:
            return
        if block is None:
            self._vote(found, VoteKind.NULLIFY, NO_BLOCK)
            return
        if not block.transactions and not found.empty_allowed and self._finality_is_due(block, view):
            found.held = True
            if Timer.EMPTY not in self._pace.running:
                self._pace.start(Timer.EMPTY, patience_ms)
            return
        digest = self._hashing.block_digest(block.header)
        entry = self._bodies.tree.add(block, digest)
        if entry is not None:
            entry.executed = True
            found.proposal, found.proposal_digest = block, digest
            self._vote(found, VoteKind.NOTARIZE, digest)

    def _finality_is_due(self, block: Block, view: int) -> bool:
        parent = self._rounds.certified(block.header.parent)
        return parent is not None and parent.view == view - 1

    def waited(self, found: Round) -> None:
        """An empty block has waited long enough."""
        found.empty_allowed, found.held, found.building = True, False, False

    def noticed_work(self, found: Round) -> None:
        """There may be transactions for a block that came out empty."""
        if found.held:
            found.held, found.building = False, False
