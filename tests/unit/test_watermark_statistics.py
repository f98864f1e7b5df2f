"""The statistics that every accusation rests on."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from watermark.detect import WAY_SHARES, judge
from watermark.evidence import (
    LAMBDA_GRID,
    BitEvidence,
    Bound,
    Evidence,
    OrderEvidence,
    key_ranks,
    total_score,
)
from watermark.payload import biases, codeword, codewords, even_biases
from watermark.policy import Channel
from watermark.results import Reading, VerdictKind

LAYOUT = b"L" * 32
POSITIONS = 256
THRESHOLDS = biases(LAYOUT, Channel.PIXELS, POSITIONS)


def seeds(count: int, label: bytes = b"seed") -> list[bytes]:
    return [hashlib.sha256(label + b"%d" % index).digest() for index in range(count)]


def leak_like(kind: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rng = np.random.default_rng(5)
    own = np.where(codeword(b"G" * 32, Channel.PIXELS, THRESHOLDS), 1.0, -1.0)
    match kind:
        case "a guilty copy":
            return own
        case "a noisy guilty copy":
            return np.clip(own + rng.normal(0, 1, POSITIONS), -1, 1)
        case "all ones":
            return np.ones(POSITIONS)
        case "chosen with the biases known":
            return np.where(THRESHOLDS > 32768, -1.0, 1.0)
        case _:
            return rng.uniform(-1, 1, POSITIONS)


@pytest.mark.parametrize(
    "kind", ["a guilty copy", "a noisy guilty copy", "all ones", "chosen with the biases known", "noise"]
)
@pytest.mark.parametrize("way", [0, 1], ids=["symmetric", "interleaving"])
def test_innocents_pass_each_threshold_no_more_often_than_the_bound_allows(kind: str, way: int) -> None:
    trials = 20_000
    evidence = BitEvidence(Channel.PIXELS, THRESHOLDS, leak_like(kind))
    log10_p = Bound.of([evidence], way).log10_p(total_score([evidence], seeds(trials), way))
    for digits in range(1, 5):
        expected = trials * 10.0**-digits
        assert np.count_nonzero(log10_p <= -digits) <= expected + 4 * math.sqrt(expected) + 1
    assert np.count_nonzero(log10_p <= -1) > 0, "the bound must not be vacuous"


@pytest.mark.parametrize("way", [0, 1], ids=["symmetric", "interleaving"])
def test_a_hundred_thousand_innocents_of_a_tabled_null_stay_within_the_bound(way: int) -> None:
    rng = np.random.default_rng(7)
    evidence = BitEvidence(Channel.PIXELS, THRESHOLDS, leak_like("a noisy guilty copy"))
    p, w = THRESHOLDS / 65536, evidence.weights
    bits = rng.random((100_000, POSITIONS)) < p
    ones, zeros = w * np.sqrt((1 - p) / p), -w * np.sqrt(p / (1 - p))
    if way == 1:
        ones, zeros = np.where(w > 0, w * (1 - p) / p, w), np.where(w > 0, -w, -w * p / (1 - p))
    scores = bits @ (ones - zeros) + zeros.sum()
    assert total_score([evidence], [b"G" * 32], way)[0] == pytest.approx(
        np.where(codeword(b"G" * 32, Channel.PIXELS, THRESHOLDS), ones, zeros).sum()
    )
    log10_p = Bound.of([evidence], way).log10_p(scores)
    for digits in range(1, 6):
        expected = 10.0 ** (5 - digits)
        assert np.count_nonzero(log10_p <= -digits) <= expected + 4 * math.sqrt(expected) + 1


def test_perfect_agreement_of_even_bits_is_worth_exactly_their_number() -> None:
    weights = np.where(codeword(b"G" * 32, Channel.REFERENCE, even_biases(50)), 1.0, -1.0)
    evidence = BitEvidence(Channel.REFERENCE, even_biases(50), weights)
    log10_p = Bound.of([evidence]).log10_p(total_score([evidence], [b"G" * 32]))
    assert log10_p[0] == pytest.approx(-50 * math.log10(2), abs=1e-6)


@pytest.mark.parametrize("size", [2, 5, 13])
def test_perfect_agreement_of_an_order_is_worth_exactly_n_factorial(size: int) -> None:
    order = tuple(int(key) for key in np.argsort(key_ranks(b"G" * 32, "holder", size)))
    evidence = OrderEvidence(Channel.KEY_ORDER, "holder", size, order)
    log10_p = Bound.of([evidence]).log10_p(total_score([evidence], [b"G" * 32]))
    assert log10_p[0] == pytest.approx(-math.log10(math.factorial(size)), abs=1e-6)


def test_orders_of_innocents_stay_within_the_bound() -> None:
    trials = 20_000
    evidence = OrderEvidence(Channel.KEY_ORDER, "", 9, tuple(range(9)))
    log10_p = Bound.of([evidence]).log10_p(total_score([evidence], seeds(trials)))
    for digits in range(1, 4):
        expected = trials * 10.0**-digits
        assert np.count_nonzero(log10_p <= -digits) <= expected + 4 * math.sqrt(expected) + 1


def test_channels_make_one_code_with_one_bound() -> None:
    bits = BitEvidence(Channel.PIXELS, THRESHOLDS, leak_like("a noisy guilty copy"))
    order = OrderEvidence(
        Channel.KEY_ORDER, "", 9, tuple(int(key) for key in np.argsort(key_ranks(b"G" * 32, "", 9)))
    )
    both: list[Evidence] = [bits, order]
    guilty = [b"G" * 32]
    together = Bound.of(both).log10_p(total_score(both, guilty))[0]
    assert together < Bound.of([bits]).log10_p(total_score([bits], guilty))[0]
    assert together < Bound.of([order]).log10_p(total_score([order], guilty))[0]
    null = Bound.of(both).log10_p(total_score(both, seeds(5_000)))
    assert np.count_nonzero(null <= -2) <= 50 + 4 * math.sqrt(50)


def test_both_of_two_colluders_who_mix_their_copies_at_random_are_named() -> None:
    thresholds = biases(LAYOUT, Channel.PIXELS)
    first, second = codewords([b"1" * 32, b"2" * 32], Channel.PIXELS, thresholds)
    mixed = np.where(np.random.default_rng(3).random(len(thresholds)) < 0.5, first, second)
    reading = Reading((BitEvidence(Channel.PIXELS, thresholds, np.where(mixed, 1.0, -1.0)),), "")
    candidates = {b"first   ": b"1" * 32, b"second  ": b"2" * 32} | {
        index.to_bytes(8, "big"): seed for index, seed in enumerate(seeds(500))
    }
    verdict = judge(reading, candidates, seeds(500, b"phantom"), 10_000)
    assert verdict.verdict is VerdictKind.ACCUSED
    assert {match.release_id for match in verdict.matches} == {b"first   ", b"second  "}


def test_more_candidates_make_the_same_agreement_less_certain() -> None:
    reading = Reading((BitEvidence(Channel.PIXELS, THRESHOLDS, leak_like("a guilty copy")),), "")
    few, many = (judge(reading, {b"guilty  ": b"G" * 32}, [], n) for n in (1, 10**6))
    assert many.matches[0].log10_np == pytest.approx(few.matches[0].log10_np + 6)


def test_a_reading_too_short_to_accuse_anybody_is_untraceable_and_says_so() -> None:
    weights = np.zeros(POSITIONS)
    weights[:12] = leak_like("a guilty copy")[:12]
    verdict = judge(
        Reading((BitEvidence(Channel.PIXELS, THRESHOLDS, weights),), ""), {b"guilty  ": b"G" * 32}, [], 100
    )
    assert verdict.verdict is VerdictKind.UNTRACEABLE
    assert verdict.matches == ()
    assert "too little" in verdict.notes[-1].en


def test_the_biases_follow_the_discrete_distribution_for_six_colluders() -> None:
    thresholds = biases(LAYOUT, Channel.NUMBERS)
    values, counts = np.unique(thresholds / 65536, return_counts=True)
    assert values == pytest.approx([0.1127, 0.5, 0.8873], abs=1e-4)
    assert counts / counts.sum() == pytest.approx([0.332, 0.336, 0.332], abs=0.03)


def test_codewords_depend_on_seed_channel_and_position_and_follow_their_biases() -> None:
    thresholds = biases(LAYOUT, Channel.PIXELS)
    words = codewords(seeds(200), Channel.PIXELS, thresholds)
    assert np.abs(words.mean(axis=0) - thresholds / 65536).max() < 0.2
    assert not np.array_equal(words[0], codeword(seeds(1)[0], Channel.NUMBERS, thresholds))
    assert np.array_equal(words[0], codeword(seeds(1)[0], Channel.PIXELS, thresholds))
    assert not np.array_equal(words[0], words[1])


NODES = np.unique(biases(LAYOUT, Channel.PIXELS)) / 65536
WEIGHTS = np.array([np.mean(biases(LAYOUT, Channel.PIXELS, 1 << 20) == round(p * 65536)) for p in NODES])


def test_the_scale_is_that_of_docs_mean_zero_and_variance_one_at_every_bias() -> None:
    for p in NODES:
        one, zero = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))
        assert p * one + (1 - p) * zero == pytest.approx(0, abs=1e-12)
        assert p * one**2 + (1 - p) * zero**2 == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("colluders", range(1, 7))
def test_up_to_six_colluders_cannot_change_their_common_score(colluders: int) -> None:
    """By the number of ones among them: nothing where they differ, 1/Z where they agree."""
    for ones in range(colluders + 1):
        seen = math.comb(colluders, ones) * NODES**ones * (1 - NODES) ** (colluders - ones)
        together = (ones - colluders * NODES) / np.sqrt(NODES * (1 - NODES))
        expected = float((WEIGHTS * seen * together).sum())
        agreed = {0: -0.378, colluders: 0.378}.get(ones, 0.0)
        assert expected == pytest.approx(agreed, abs=0.004)


def test_beyond_six_colluders_the_choice_matters() -> None:
    """So that the test above can fail."""
    worst = 0.0
    for ones in range(1, 12):
        seen = math.comb(12, ones) * NODES**ones * (1 - NODES) ** (12 - ones)
        together = (ones - 12 * NODES) / np.sqrt(NODES * (1 - NODES))
        worst = max(worst, abs(float((WEIGHTS * seen * together).sum())))
    assert worst > 0.05


def test_the_grid_of_lambda_gives_up_less_than_a_hundredth_of_the_exponent() -> None:
    evidence = BitEvidence(Channel.PIXELS, THRESHOLDS, leak_like("a noisy guilty copy"))
    fine = np.geomspace(LAMBDA_GRID[0], LAMBDA_GRID[-1], 20_000)
    for way, cumulant in enumerate(evidence.cumulant(fine)):
        score = total_score([evidence], [b"G" * 32], way)
        best = float((cumulant - fine * score[0]).min()) / math.log(10)
        assert best <= Bound.of([evidence], way).log10_p(score)[0] <= best * 0.99


@pytest.mark.parametrize("strategy", ["somebody's", "what most have"])
@pytest.mark.parametrize("colluders", [3, 5])
def test_the_second_score_says_more_about_three_colluders_and_more(colluders: int, strategy: str) -> None:
    thresholds = biases(LAYOUT, Channel.NUMBERS, 3_000)
    guilty = seeds(colluders, b"guilty")
    words = codewords(guilty, Channel.NUMBERS, thresholds)
    rng = np.random.default_rng(colluders)
    mixed = words[rng.integers(0, colluders, 3_000), np.arange(3_000)]
    leak = mixed if strategy == "somebody's" else 2 * words.sum(axis=0) > colluders
    evidence = BitEvidence(Channel.NUMBERS, thresholds, np.where(leak, 1.0, -1.0))
    first, second = (
        Bound.of([evidence], way).log10_p(total_score([evidence], guilty, way)).sum() for way in (0, 1)
    )
    assert second < 1.1 * first < 0


def test_two_ways_of_scoring_cost_their_share_of_the_bound_and_even_bits_have_one() -> None:
    weights = leak_like("a guilty copy")
    uneven = BitEvidence(Channel.PIXELS, THRESHOLDS, weights)
    best = min(
        float(Bound.of([uneven], way).log10_p(total_score([uneven], [b"G" * 32], way))[0]) - math.log10(share)
        for way, share in enumerate(WAY_SHARES)
    )
    assert sum(WAY_SHARES) == pytest.approx(1)
    verdict = judge(Reading((uneven,), ""), {b"guilty  ": b"G" * 32}, [], 1)
    assert verdict.matches[0].log10_np == pytest.approx(best)
    word = np.where(codeword(b"G" * 32, Channel.PIXELS, even_biases(50)), 1.0, -1.0)
    even = BitEvidence(Channel.PIXELS, even_biases(50), word)
    verdict = judge(Reading((even,), ""), {b"guilty  ": b"G" * 32}, [], 1)
    assert verdict.matches[0].log10_np == pytest.approx(-50 * math.log10(2), abs=1e-6)


def test_what_was_not_marked_is_not_read() -> None:
    loud = BitEvidence(Channel.WORD_OFFSETS, THRESHOLDS, leak_like("a guilty copy"))
    noise = BitEvidence(Channel.PAGE_CHIPS, THRESHOLDS, leak_like("noise"))
    reading = Reading((noise, loud), "", (), ((1,), (0,)))
    only = reading.only(frozenset({Channel.WORD_OFFSETS}))
    assert (only.evidence, only.alternatives) == ((loud,), ()), "one code, which costs no share of the bound"
    assert reading.only(frozenset(Channel)) == reading
    assert reading.only(frozenset()).evidence == ()
