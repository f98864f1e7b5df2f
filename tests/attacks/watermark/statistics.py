"""How sure a rate is that was seen in few trials.

Rule: intervals are exact (Clopper and Pearson 1934), never an approximation: with no failure in few trials the normal interval is
empty and would promise what nobody measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 60


def interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact two-sided interval of a rate.

    Args:
        hits: successes, 0 to `trials`.
        trials: at least 0; without any the interval is everything.
        confidence: 0 to 1, exclusive.

    Returns:
        Lower and upper end, 0 to 1.

    Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits of {trials} trials")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, trials, p), tail)
    high = 1.0 if hits == trials else _solve(lambda p: -_at_most(hits, trials, p), -tail)
    return low, high


def _at_most(hits: int, trials: int, p: float) -> float:
    """P(X ≤ hits) of the binomial distribution, 0 < p < 1."""
    terms = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(p)
        + (trials - k) * math.log1p(-p)
        for k in range(hits + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _solve(rising: Callable[[float], float], value: float) -> float:
    """Where a rising function reaches a value, by halving."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2
