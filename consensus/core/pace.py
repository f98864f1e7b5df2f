"""Whether to hurry: what work there is, who has been heard, who is not listened to, which timers run.

Rule: nothing here bears on safety.
"""

from __future__ import annotations

from typing import Final

from consensus.core.effects import CancelTimer, Effect, SetTimer
from consensus.core.events import Timer
from consensus.core.settings import NO_BLOCK, Committee
from consensus.core.view import Round, Rounds
from ledger.types import VoteKind

# A blamed peer is ignored for so many Status periods.
BLOCKED_TICKS: Final = 30


class Pace:
    """Work, silence and blame.

    Attributes:
        pending: whether the application has work.
        running: the view's timers that have been set and have neither fired nor been cancelled.
    """

    def __init__(self, committee: Committee, rounds: Rounds, out: list[Effect]) -> None:
        self._out = out
        self._committee = committee
        self._rounds = rounds
        self.pending = False
        self.running: set[Timer] = set()
        self._heard_in = [rounds.current] * committee.size
        self._ticks = 0
        self._blocked_until: dict[bytes, int] = {}

    def start(self, timer: Timer, delay_ms: int) -> None:
        """Start a timer of the current view."""
        self.running.add(timer)
        self._out.append(SetTimer(timer=timer, delay_ms=delay_ms))

    def cancel(self, timer: Timer) -> None:
        """Stop a timer of the current view, if it runs."""
        if timer in self.running:
            self.running.discard(timer)
            self._out.append(CancelTimer(timer=timer))

    def tick(self) -> None:
        """A Status period has passed."""
        self._ticks += 1
        for peer in [peer for peer, until in self._blocked_until.items() if until <= self._ticks]:
            del self._blocked_until[peer]

    def block(self, peer: bytes) -> None:
        if self._committee.me is None or peer != self._committee.account(self._committee.me):
            self._blocked_until[peer] = self._ticks + BLOCKED_TICKS

    def blocked(self, peer: bytes) -> bool:
        return peer in self._blocked_until

    def heard(self, validator: int) -> None:
        """A vote of this validator arrived."""
        self._heard_in[validator] = self._rounds.current

    def restart(self) -> None:
        """Count everybody as just heard: after a replay nobody has had the chance to speak."""
        self._heard_in = [self._rounds.current] * self._committee.size

    def silent(self, leader: int) -> bool:
        """Whether the leader has not been heard for n views in which a quorum was."""
        since = self._rounds.current - self._committee.size
        others = sum(1 for view in self._heard_in if view >= since)
        return (
            leader != self._committee.me
            and self._heard_in[leader] < since
            and others >= self._committee.quorum
        )

    def has_work(self, now: Round) -> bool:
        """Whether the current view has anything to wait for."""
        return (
            self.pending
            or now.proposal is not None
            or VoteKind.NOTARIZE in now.intended
            or self._rounds.any_notarized()
            or now.ballots.count(VoteKind.NULLIFY, NO_BLOCK) >= self._committee.one_honest
        )
