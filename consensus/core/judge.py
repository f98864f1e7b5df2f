"""Whether the leader's proposal may be voted for.

Rule: a verdict is final once it is not WAIT. While it is WAIT, what is missing has been asked for, and the question is put again
after every event.
"""

from __future__ import annotations

from enum import Enum

from consensus.core.bodies import Bodies
from consensus.core.fillers import follows
from consensus.core.settings import Committee, Hashing
from consensus.core.view import Rounds
from ledger.types import Header


class Verdict(Enum):
    """What to do about a proposal."""

    WAIT = "wait"
    VALID = "valid"
    INVALID = "invalid"
    UNTIMELY = "untimely"


class Judge:
    """Judges proposals against what is certified, and has them executed."""

    def __init__(self, committee: Committee, rounds: Rounds, bodies: Bodies, hashing: Hashing) -> None:
        self._committee = committee
        self._hashing = hashing
        self._rounds = rounds
        self._bodies = bodies

    def judge(self, header: Header, digest: bytes, now_ms: int) -> Verdict:
        """Judge the proposal of the current view, which this node has not voted on.

        Args:
            header: the proposed block's; its body is in the tree under `digest`.
            digest: its digest.
            now_ms: the wall clock.
        """
        parent = self._rounds.certified(header.parent)
        if not self._fits(header) or parent is None or parent.view >= header.view:
            return Verdict.INVALID
        leader = self._committee.account(self._committee.leader(header.view))
        gap = self._rounds.unproven_gap(parent.view, header.view)
        if gap is not None:
            self._bodies.want_certificates(gap, leader)
            return Verdict.WAIT
        if not self._bodies.ensure_executed(header.parent, height=header.height - 1, hint=leader):
            return Verdict.WAIT
        above = self._bodies.tree.header(header.parent)
        if above is None or not follows(above, header, self._committee, self._hashing):
            return Verdict.INVALID
        entry = self._bodies.tree.get(digest)
        if entry is None or entry.invalid:
            return Verdict.INVALID
        if not entry.executed:
            # Only here, before the first vote: a certified block is never held against a clock again.
            if not self._timely(header, above, now_ms):
                return Verdict.UNTIMELY
            if self._committee.seals(above):
                return Verdict.VALID
            self._bodies.execute(entry, certified=False)
            return Verdict.WAIT
        return Verdict.VALID

    def _timely(self, header: Header, above: Header, now_ms: int) -> bool:
        """Whether the block's time is near this node's clock, or is the least that its parent leaves it.

        Once a quorum's clocks were ahead, so is the chain for good: no leader can do better than a millisecond after the
        parent, and to refuse that would stop the network until every clock has caught up.
        """
        ahead_ms = header.time_ms - now_ms
        least = header.time_ms == above.time_ms + 1
        return abs(ahead_ms) <= self._committee.clock_drift_ms_max or (least and ahead_ms > 0)

    def _fits(self, header: Header) -> bool:
        """What the core knows better than the application; version and next validator set are for execution to judge."""
        committee = self._committee
        return (
            header.chain_id == committee.chain_id
            and header.proposer == committee.account(committee.leader(header.view))
            and header.validators_hash == committee.validators_hash
        )
