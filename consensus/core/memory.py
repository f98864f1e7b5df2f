"""Whether this validator can rely on what it remembers of its own votes.

A validator that was restored from an old backup has forgotten votes that others hold, and might contradict them. Two rules
keep it from that: one that voted in an earlier run says nothing new before a quorum, itself included, has told it where the
others are; and a certificate that holds a vote by its key which it does not remember silences that key for ever.

Rule: judges only what is above the last finalized view; at or below it votes are forgotten on purpose and never cast again.
"""

from __future__ import annotations

from consensus.core.settings import Committee
from consensus.core.view import Rounds
from ledger.types import QuorumCertificate


class Memory:
    """What was heard since the start, and what is remembered.

    Args:
        committee: the epoch's.
        rounds: hold the own votes.
        wary: this node voted in an earlier run and has not heard from a quorum in this one.
    """

    def __init__(self, committee: Committee, rounds: Rounds, *, wary: bool) -> None:
        self._committee = committee
        self._rounds = rounds
        self._heard: set[int] = set()
        self.wary = wary and committee.quorum > 1

    def heard_status(self, validator: int | None, epoch: int) -> None:
        """A peer has said where it is. One in a later epoch says that this node is behind, so it does not count."""
        if self.wary and validator is not None and validator != self._committee.me:
            if epoch == self._committee.epoch:
                self._heard.add(validator)
            self.wary = len(self._heard) < self._committee.quorum - 1

    def lacks(self, certificate: QuorumCertificate) -> bool:
        """Whether this node signed what is certified, above the last finalized view, and does not know of it."""
        me = self._committee.me
        if me is None or not certificate.signers[me // 8] >> me % 8 & 1:
            return False
        found = self._rounds.find(certificate.view)
        return found is None or found.intended.get(certificate.kind) != certificate.digest
