"""Sharing a scalar by a polynomial (Shamir 1979): t values determine it, t − 1 say nothing about it.

Rule: everything is modulo the prime order q; holders are the points 1, 2, …; the secret is the value at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ledger.errors import invariant
from ledger.types import VALIDATORS_MAX

HOLDERS_MAX: Final = VALIDATORS_MAX


def random_polynomial(order: int, threshold: int, draw: Callable[[], int], *, secret: int) -> tuple[int, ...]:
    """Coefficients, constant first, of a uniform polynomial of degree `threshold` − 1 with that constant.

    Args:
        order: q.
        threshold: values that determine it, 1 … 128.
        draw: gives a uniform scalar in 1 … q − 1.
        secret: the constant, 1 … q − 1.
    """
    invariant(1 <= threshold <= HOLDERS_MAX, "a threshold is in 1 … 128")
    invariant(0 < secret < order, "a secret is in 1 … q − 1")
    return (secret, *(draw() for _ in range(threshold - 1)))


def value_at(order: int, coefficients: Sequence[int], holder: int) -> int:
    """The polynomial's value at a holder's point, by Horner's rule."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * holder + coefficient) % order
    return value


def weights_at(order: int, holders: Sequence[int], point: int = 0) -> dict[int, int]:
    """Lagrange's weights: the value at `point` is the sum of the holders' values by these weights.

    Args:
        order: q.
        holders: distinct points, each in 1 … 128, none of them `point`.
        point: 0 for the secret; a lost holder's point to give it back its share.

    Returns:
        Weight in 1 … q − 1 by holder.
    """
    invariant(holders and len(set(holders)) == len(holders), "holders are distinct")
    invariant(all(1 <= holder <= HOLDERS_MAX and holder != point for holder in holders), "holders are points")
    weights: dict[int, int] = {}
    for holder in holders:
        above = below = 1
        for other in holders:
            if other != holder:
                above = above * (point - other) % order
                below = below * (holder - other) % order
        weights[holder] = above * pow(below, -1, order) % order
    return weights


def interpolate(order: int, values: Mapping[int, int], point: int = 0) -> int:
    """The value at `point` of the polynomial through the holders' values."""
    weights = weights_at(order, tuple(values), point)
    return sum(weights[holder] * value for holder, value in values.items()) % order


def coefficients_through(order: int, values: Mapping[int, int]) -> tuple[int, ...]:
    """The coefficients, constant first, of the polynomial of least degree through the holders' values."""
    total = [0] * len(values)
    for holder, value in values.items():
        basis, below = [1], 1
        for other in values:
            if other != holder:
                basis = [
                    (low - other * high) % order for low, high in zip([0, *basis], [*basis, 0], strict=True)
                ]
                below = below * (holder - other) % order
        scale = value * pow(below, -1, order) % order
        total = [(sum_ + scale * term) % order for sum_, term in zip(total, basis, strict=True)]
    return tuple(total)
