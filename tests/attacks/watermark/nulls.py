"""Null trials: ids that were never issued, scored against real attacked leaks.

Rule: the leaks are those of the campaign, one after another through its cells, so that alignment, tone and blur have been chosen as
in a true trace; every innocent at N·p ≤ 10⁻⁹ is counted as a false accusation, and at ≤ 10⁻⁶ as falsely suspected.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tests.attacks.watermark.campaign import cells_by_name, falsely_accused, leak_of, trace
from tests.attacks.watermark.cells import Cell
from tests.attacks.watermark.statistics import interval

A_LEAK: Final = 10_000
_FAR: Final = 1_000_000


class Nulls(msgspec.Struct, frozen=True):
    """What became of the innocents; `rate_below` is the upper end of the 95 % interval of false accusations."""

    scored: int
    leaks: int
    falsely_accused: int
    falsely_suspected: int
    rate_below: float

    def with_leak(self, scored: int, accused: int, suspected: int) -> Nulls:
        """The sums with one leak more."""
        scored, accused = self.scored + scored, self.falsely_accused + accused
        return Nulls(
            scored, self.leaks + 1, accused, self.falsely_suspected + suspected, interval(accused, scored)[1]
        )


NONE: Final = Nulls(0, 0, 0, 0, 1.0)


def on_leak(cell: Cell, number: int, innocents: int, first: int) -> tuple[int, int, int]:
    """Score ids that were never issued against the leak of one trial.

    Args:
        cell: of the campaign.
        number: of the trial.
        innocents: how many.
        first: the number of the first of them; those of other leaks are others.

    Returns:
        How many were scored, accused, and suspected or accused.
    """
    leak = leak_of(cell, number)
    verdict = trace(leak, innocents, _FAR + first)
    suspected = sum(match.release_id not in leak.guilty for match in verdict.matches)
    return innocents, falsely_accused(leak, verdict), suspected


def on_leak_by_name(name: str, number: int, innocents: int, first: int) -> tuple[int, int, int]:
    """The same for a worker process, to which a cell cannot be sent."""
    return on_leak(cells_by_name()[name], number, innocents, first)
