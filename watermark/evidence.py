"""What a leak says, and how surprising each candidate's agreement with it is.

Rule: everything here is a function of the leak, the original and the layout key, never of a candidate. Given it, the
score of somebody who never had the file is a sum of independent bounded variables with known cumulants, so

    log P(score ≥ s) ≤ min over λ > 0 of  K(λ) − λ s,     K(λ) = Σ over channels of K_c(λ)

(Chernoff) bounds the probability of a false accusation whatever was done to the file. The bound holds for every
single λ; a fixed grid of λ gives up a little sharpness and no validity. All channels make one long code with one
bound; their weights are fixed before a candidate is looked at.

Evidence may be scored in two ways; each is a code of its own with a fixed share of the bound (Bonferroni, weighted).

Source: B. Škorić, S. Katzenbeisser, M. Celik, "Symmetric Tardos fingerprinting codes for arbitrary alphabet sizes",
Des. Codes Cryptogr. 46 (2008), the symmetric score; J.-J. Oosterwijk, B. Škorić, J. Doumen, "Optimal suspicion functions
for Tardos traitor tracing schemes", IH&MMSec 2013, the score against interleaving; H. Chernoff (1952), the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from watermark.payload import U16, codewords, uniform_words
from watermark.policy import Channel

F64 = npt.NDArray[np.float64]

LAMBDA_GRID: Final[F64] = np.geomspace(1e-4, 64.0, 128)
_SCORED_AT_ONCE: Final = 256
_LEVELS: Final = 65536.0
_EVEN: Final = 32768


class Evidence(Protocol):
    """One channel's reading of the leak, scored in one way or in several; a row of what it returns belongs to a way."""

    @property
    def channel(self) -> Channel: ...

    @property
    def carriers(self) -> int:
        """Code positions, or ordered keys, that could be read."""
        ...

    @property
    def ways(self) -> int:
        """In how many ways it is scored, at least 1."""
        ...

    def score(self, seeds: Sequence[bytes]) -> F64:
        """The score of each seed, ways × seeds; larger means better agreement."""
        ...

    def score_max(self) -> F64:
        """The score of a codeword that agrees everywhere, in each way."""
        ...

    def cumulant(self, lambdas: F64) -> F64:
        """log E exp(λ · score) for a seed that is independent of the leak, at each λ > 0: ways × lambdas."""
        ...


@dataclass(frozen=True, slots=True)
class BitEvidence:
    """Soft decisions about code positions, scored in two ways that are fixed for each position by its bias and weight.

    The symmetric score says most about one recipient, and whatever up to six of them mix, nothing that they do changes it. The
    other is the best there is when each symbol is some colluder's, drawn at random; it says more about three or more of them.

    Attributes:
        channel: whose codeword segment.
        thresholds: biases in units of 2⁻¹⁶, one a position.
        weights: −1 (surely 0) to 1 (surely 1), one a position; 0 is an erasure.
    """

    channel: Channel
    thresholds: U16
    weights: F64

    @property
    def carriers(self) -> int:
        return int(np.count_nonzero(self.weights))

    @property
    def ways(self) -> int:
        # With even bits both are the same.
        return 1 if bool((self.thresholds == _EVEN).all()) else 2

    def score(self, seeds: Sequence[bytes]) -> F64:
        ones, zeros = self._gains()
        scores = np.repeat(zeros.sum(axis=1)[:, None], len(seeds), axis=1)
        used = np.flatnonzero(self.weights)
        if not used.size:
            return scores
        last = int(used[-1]) + 1
        slopes = (ones - zeros)[:, :last].T
        for start in range(0, len(seeds), _SCORED_AT_ONCE):
            batch = seeds[start : start + _SCORED_AT_ONCE]
            words = codewords(batch, self.channel, self.thresholds[:last])
            scores[:, start : start + len(batch)] += (words @ slopes).T
        return scores

    def score_max(self) -> F64:
        best: F64 = np.maximum(*self._gains()).sum(axis=1)
        return best

    def cumulant(self, lambdas: F64) -> F64:
        used = np.flatnonzero(self.weights)
        p = self.thresholds[used] / _LEVELS
        log_p, log_q = np.log(p), np.log1p(-p)
        rows = [
            [_log_sum(log_p + lam * up, log_q + lam * down) for lam in lambdas]
            for up, down in zip(*(gain[:, used] for gain in self._gains()), strict=True)
        ]
        return np.array(rows)

    def _gains(self) -> tuple[F64, F64]:
        """What bit 1, and bit 0, of each position adds to the score: ways × positions."""
        p, w = self.thresholds / _LEVELS, self.weights
        odds = (1 - p) / p
        symmetric = w * np.sqrt(odds), -w / np.sqrt(odds)
        interleaving = np.where(w > 0, w * odds, w), np.where(w > 0, -w, -w / odds)
        both = zip(symmetric, interleaving, strict=True)
        ones, zeros = (np.stack(gains)[: self.ways] for gains in both)
        return ones, zeros


def _log_sum(a: F64, b: F64) -> float:
    """Σ log(eᵃ + eᵇ): `numpy.logaddexp`, three times as fast since it is made of what numpy does to many at once."""
    return float((np.maximum(a, b) + np.log(1 + np.exp(-np.abs(a - b)))).sum())


@dataclass(frozen=True, slots=True)
class OrderEvidence:
    """The order in which the keys of one object stand, compared with each candidate's keyed permutation.

    The score is minus the number of inversions between the two orders. For an independent uniform permutation of n
    keys that number is a sum of independent uniforms on {0..i−1}, i = 1..n, which gives the cumulant exactly; a
    perfect agreement is bounded by exactly 1/n!.

    Attributes:
        channel: `Channel.KEY_ORDER`.
        label: which object; part of the permutation's derivation, and different for each item of one evidence, since
            the bound takes the items for independent.
        size: keys of the object in the original.
        order: indexes (into the original's sorted keys) of the keys found, as they stand in the leak.
    """

    channel: Channel
    label: str
    size: int
    order: tuple[int, ...]

    @property
    def carriers(self) -> int:
        return len(self.order)

    @property
    def ways(self) -> int:
        return 1

    def score(self, seeds: Sequence[bytes]) -> F64:
        found = np.array(self.order, dtype=np.intp)
        first, second = np.triu_indices(len(found), 1)
        scores = np.empty(len(seeds))
        for start in range(0, len(seeds), _SCORED_AT_ONCE):
            batch = seeds[start : start + _SCORED_AT_ONCE]
            ranks = _rank_rows(batch, self.label, self.size)[:, found]
            scores[start : start + len(batch)] = -np.count_nonzero(ranks[:, first] > ranks[:, second], axis=1)
        return scores[None]

    def score_max(self) -> F64:
        return np.zeros(1)

    def cumulant(self, lambdas: F64) -> F64:
        total = np.zeros(len(lambdas))
        for i in range(2, len(self.order) + 1):
            total += np.log(np.exp(-np.outer(lambdas, np.arange(i))).mean(axis=1))
        return total[None]


def key_ranks(seed: bytes, label: str, size: int) -> npt.NDArray[np.intp]:
    """The keyed permutation of an object's keys: the rank of each (sorted) key."""
    ranks: npt.NDArray[np.intp] = _rank_rows([seed], label, size)[0]
    return ranks


def _rank_rows(seeds: Sequence[bytes], label: str, size: int) -> npt.NDArray[np.intp]:
    """The same for many seeds, one row each: what scoring 10⁴ candidates spends its time on."""
    words = np.stack([uniform_words(seed, f"key-order/{label}", size) for seed in seeds])
    ranks: npt.NDArray[np.intp] = np.argsort(np.argsort(words, axis=1, kind="stable"), axis=1)
    return ranks


@dataclass(frozen=True, slots=True)
class Bound:
    """The Chernoff bound of some evidence, ready for any number of scores.

    Attributes:
        cumulants: K(λ) on `LAMBDA_GRID`.
    """

    cumulants: F64

    @classmethod
    def of(cls, evidence: Iterable[Evidence], way: int = 0) -> Bound:
        """Of all of it as one code, scored in one way."""
        total = np.zeros(len(LAMBDA_GRID))
        for item in evidence:
            total += in_way(item.cumulant(LAMBDA_GRID), way)
        return cls(total)

    def log10_p(self, scores: F64) -> F64:
        """log₁₀ of a bound on the probability that an innocent's score reaches each of `scores`; at most 0."""
        best = np.zeros(len(scores))
        for lam, cumulant in zip(LAMBDA_GRID, self.cumulants, strict=True):
            np.minimum(best, cumulant - lam * scores, out=best)
        return best / math.log(10)


def in_way(rows: F64, way: int) -> F64:
    """The row of a way; evidence that is scored in fewer ways has the same score in the others."""
    row: F64 = rows[min(way, len(rows) - 1)]
    return row


def ways_of(evidence: Iterable[Evidence]) -> range:
    """The ways in which some evidence is scored as one code."""
    return range(max((item.ways for item in evidence), default=1))


def total_score(evidence: Sequence[Evidence], seeds: Sequence[bytes], way: int = 0) -> F64:
    """The sum of the channels' scores for each seed."""
    total = np.zeros(len(seeds))
    for item in evidence:
        total += in_way(item.score(seeds), way)
    return total


def take(seeds: Iterable[bytes], count: int) -> list[bytes]:
    """At most `count` seeds."""
    return list(islice(seeds, count))
