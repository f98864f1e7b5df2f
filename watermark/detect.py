"""From a leak to a verdict.

Rule: the leak is read first, blindly; only then are candidates scored, all of them by one fixed long code and one
Chernoff bound, and every p-value is multiplied by N, the number of candidates scored anywhere in this trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np

from watermark.errors import MediaMalformed, MemoryShort
from watermark.evidence import F64, Bound, Evidence, in_way, take, ways_of
from watermark.keys import check_release_id, check_secret
from watermark.limits import CANDIDATES_MAX, FILE_BYTES_MAX, PHANTOMS_MAX, within
from watermark.media import codec, read
from watermark.policy import Channel, Policy
from watermark.results import Marked, Match, Reading, Verdict, VerdictKind, Words

R = TypeVar("R")

ACCUSE_LOG10_NP: Final = -9.0
INVESTIGATE_LOG10_NP: Final = -6.0
WAY_SHARES: Final = (0.95, 0.05)
"""Of the bound, for each way of scoring: most leaks are one recipient's, about whom the first says most."""
CHANNEL_LOG10_P: Final = -3.0
"""A channel is named with a match when it alone speaks for it at this level."""


def embed(original: bytes, media_type: str, *, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
    """Mark a file for one release. The same arguments give the same bytes.

    Args:
        original: the file.
        media_type: one of `watermark.media.CODECS`.
        layout_key: 32 bytes, the asset's.
        seed: 32 bytes, the release's codeword seed.
        policy: what may be changed.

    Returns:
        The marked file and its manifest; a file in which nothing may be marked comes back unchanged, and its
        manifest says so.

    Raises:
        WatermarkError: an unreadable, unknown or too large file, keys of the wrong length, or too little memory.
    """
    within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(original))
    check_secret("layout key", layout_key)
    check_secret("codeword seed", seed)
    return _told(lambda: codec(media_type).embed(original, layout_key, seed, policy))


def detect(
    leak: bytes,
    original: bytes,
    media_type_of_original: str,
    *,
    layout_key: bytes,
    candidates: Mapping[bytes, bytes],
    phantoms: Iterable[bytes],
    policy: Policy,
    candidates_total: int,
) -> Verdict:
    """Name the releases whose mark a leaked file carries.

    Args:
        leak: the file under examination, of any medium the library knows.
        original: the unmarked file.
        media_type_of_original: one of `watermark.media.CODECS`.
        layout_key: 32 bytes, the asset's.
        candidates: release id (8 bytes) → codeword seed (32 bytes).
        phantoms: seeds that were never issued; at most `PHANTOMS_MAX` are scored beside the candidates.
        policy: the policy under which the copies were marked.
        candidates_total: every candidate scored in this trace over all assets; at least `len(candidates)` is used.

    Returns:
        The verdict with family-wise error bounds.

    Raises:
        WatermarkError: an unreadable, unknown or too large file, or keys of the wrong length.
    """
    within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(leak))
    within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(original))
    within("CANDIDATES_MAX", CANDIDATES_MAX, len(candidates))
    check_secret("layout key", layout_key)
    for release_id, seed in candidates.items():
        check_release_id(release_id)
        check_secret("codeword seed", seed)
    n = max(candidates_total, len(candidates), 1)

    def judged() -> Verdict:
        reading = read(leak, original, media_type_of_original, layout_key, policy).only(policy.channels)
        return judge(reading, candidates, take(phantoms, PHANTOMS_MAX), n)

    return _told(judged)


def _told(work: Callable[[], R]) -> R:
    """What a file does to the memory, or to OpenCV, becomes an error of this package."""
    try:
        return work()
    except MemoryError as error:
        raise MemoryShort from error
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryShort from error
        raise MediaMalformed(what="picture", reason=str(error)[:200]) from error


def judge(reading: Reading, candidates: Mapping[bytes, bytes], phantoms: Sequence[bytes], n: int) -> Verdict:
    """Score everybody against a reading.

    Args:
        reading: what the leak says.
        candidates: release id → seed.
        phantoms: seeds never issued.
        n: the N of N·p, at least 1.
    """
    evidence = reading.evidence
    subsets = [tuple(evidence[index] for index in chosen) for chosen in reading.alternatives]
    codes = [code for items in (evidence, *subsets) for code in Code.each_way(items)]
    # The best of several codes is at most so many times as likely by chance (Bonferroni).
    log10_n = math.log10(n * (1 + len(subsets)))
    carriers = {
        channel: sum(item.carriers for item in evidence if item.channel is channel)
        for channel in Channel
        if any(item.channel is channel for item in evidence)
    }
    best_possible = log10_n + min(code.log10_p_max() for code in codes)
    ids = list(candidates)
    seeds = [candidates[release_id] for release_id in ids]
    log10_np = _best(codes, seeds) + log10_n
    named = [
        index for index in np.argsort(log10_np, kind="stable") if log10_np[index] <= INVESTIGATE_LOG10_NP
    ]
    alone = {channel: _own(evidence, channel) for channel in carriers} if named else {}
    matches = tuple(
        Match(ids[index], float(log10_np[index]), _channels(alone, seeds[index])) for index in named
    )
    phantom_best = None
    if evidence and phantoms:
        phantom_best = float(_best(codes, phantoms).min()) + log10_n
    return Verdict(
        verdict=_kind(matches, best_possible),
        matches=matches,
        phantom_best_log10_np=phantom_best,
        alignment=reading.alignment,
        notes=(*reading.notes, *_power_notes(evidence, best_possible)),
        candidates_total=n,
        carriers=carriers,
    )


@dataclass(frozen=True, slots=True)
class Code:
    """Some evidence as one long code, scored in one way.

    Attributes:
        items: the evidence.
        way: see `watermark.evidence`.
        bound: its Chernoff bound.
        share: of the false accusations that the ways of the same evidence may make together.
    """

    items: Sequence[Evidence]
    way: int
    bound: Bound
    share: float

    @classmethod
    def each_way(cls, items: Sequence[Evidence]) -> list[Code]:
        """The codes of some evidence, in every way in which it is scored."""
        shares = WAY_SHARES if len(ways_of(items)) > 1 else (1.0,)
        return [cls(items, way, Bound.of(items, way), share) for way, share in enumerate(shares)]

    def log10_p(self, scores: Callable[[Evidence], F64], count: int) -> F64:
        """For each of so many seeds, given the scores of an item in all its ways, the share taken into account."""
        found = sum((in_way(scores(item), self.way) for item in self.items), np.zeros(count))
        return self.bound.log10_p(found) - math.log10(self.share)

    def log10_p_max(self) -> float:
        """Of a codeword that agrees everywhere."""
        return float(self.log10_p(lambda item: item.score_max()[:, None], 1)[0])


def _best(codes: Sequence[Code], seeds: Sequence[bytes]) -> F64:
    """For each seed the smallest log₁₀ p over the codes; each item of evidence is scored once."""
    scores = {id(item): item.score(seeds) for code in codes if code.way == 0 for item in code.items}
    rows = [code.log10_p(lambda item: scores[id(item)], len(seeds)) for code in codes]
    best: F64 = np.min(rows, axis=0)
    return best


def _kind(matches: tuple[Match, ...], best_possible: float) -> VerdictKind:
    if best_possible > INVESTIGATE_LOG10_NP:
        return VerdictKind.UNTRACEABLE
    if not matches:
        return VerdictKind.NONE
    return VerdictKind.ACCUSED if matches[0].log10_np <= ACCUSE_LOG10_NP else VerdictKind.INVESTIGATE


def _own(evidence: Sequence[Evidence], channel: Channel) -> list[Code]:
    """What one channel says by itself."""
    return Code.each_way([item for item in evidence if item.channel is channel])


def _channels(alone: Mapping[Channel, list[Code]], seed: bytes) -> tuple[Channel, ...]:
    """Channels that speak for one seed by themselves."""
    return tuple(
        channel for channel, codes in alone.items() if float(_best(codes, [seed])[0]) <= CHANNEL_LOG10_P
    )


def _power_notes(evidence: Sequence[Evidence], best_possible: float) -> tuple[Words, ...]:
    if best_possible <= ACCUSE_LOG10_NP:
        return ()
    if not evidence:
        return (Words("该副本无法凭标记追溯", "this copy is untraceable by mark"),)
    figure = f"{best_possible:.1f}"
    return (
        Words(
            f"剩余标记太少：即使完全吻合，log₁₀(N·p) 也只有 {figure}",
            f"too little of the mark is left: even perfect agreement gives log10(N*p) of only {figure}",
        ),
    )
