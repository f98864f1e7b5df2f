"""What a leader does in its view: find a parent, have a block built on it, and hold back an empty one.

Rule: a block without transactions waits Δ. Mostly the finality that is on its way makes it superfluous, and an idle chain comes
to rest after its last block; else it is proposed, so that the last block becomes final even if votes were lost.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.core.bodies import Bodies
from consensus.core.effects import BuildBlock, Effect, ProposalContext
from consensus.core.events import Timer
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

    def propose(self, found: Round, now_ms: int) -> None:
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
        context = ProposalContext(
            epoch=self._committee.epoch,
            view=found.view,
            height=header.height + 1,
            time_ms=max(now_ms, header.time_ms + 1),
            proposer=self._committee.account(me),
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
        if not block.transactions and not found.empty_allowed:
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

    def waited(self, found: Round) -> None:
        """An empty block has waited long enough."""
        found.empty_allowed, found.held, found.building = True, False, False

    def noticed_work(self, found: Round) -> None:
        """There may be transactions for a block that came out empty."""
        if found.held:
            found.held, found.building = False, False
