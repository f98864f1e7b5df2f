"""What embedding and detecting hand back.

Rule: everything a receipt or an evidence report must print stands here in words (zh and en) or in numbers with their
unit, so that no other part has to know how a medium is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from watermark.evidence import Evidence
from watermark.policy import Channel


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence in both languages."""

    zh: str
    en: str

    def to_json(self) -> dict[str, str]:
        return {"zh": self.zh, "en": self.en}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was done to a file.

    Attributes:
        media_type: of the marked file.
        carriers: channel → carriers written (chips, cells, characters, ordered keys).
        quality: named measures, for example `psnr_db`.
        differences: what may differ from the original, and by how much.
        notes: what a reader should know besides, for example that nothing could be marked.
    """

    media_type: str
    carriers: Mapping[Channel, int]
    quality: Mapping[str, float] = field(default_factory=dict)
    differences: tuple[Words, ...] = ()
    notes: tuple[Words, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Channels that carry something, in a fixed order."""
        return tuple(channel for channel in Channel if self.carriers.get(channel, 0) > 0)

    def to_json(self) -> dict[str, Any]:
        return {
            "media_type": self.media_type,
            "carriers": {channel.value: self.carriers[channel] for channel in self.channels},
            "quality": dict(self.quality),
            "differences": [words.to_json() for words in self.differences],
            "notes": [words.to_json() for words in self.notes],
        }


@dataclass(frozen=True, slots=True)
class Marked:
    """A marked file and what was done to it."""

    data: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Reading:
    """What a codec read from a leak; no candidate was looked at.

    Attributes:
        evidence: one item a channel or object; empty when nothing could be read.
        alignment: how the leak was laid over the original, one line.
        notes: what was tried and failed.
        alternatives: sets of indexes into `evidence`, each scored as a code of its own besides all together; for
            carriers that may have been removed whole, whose silence would drown the others. Every one costs its
            share of the bound.
    """

    evidence: tuple[Evidence, ...]
    alignment: str
    notes: tuple[Words, ...] = ()
    alternatives: tuple[tuple[int, ...], ...] = ()

    def only(self, channels: frozenset[Channel]) -> Reading:
        """What was read in these channels: where nothing was marked there is only noise, which would drown the rest."""
        kept = [index for index, item in enumerate(self.evidence) if item.channel in channels]
        places = {index: place for place, index in enumerate(kept)}
        sets = [tuple(places[index] for index in chosen if index in places) for chosen in self.alternatives]
        return replace(
            self,
            evidence=tuple(self.evidence[index] for index in kept),
            alternatives=tuple(
                chosen for chosen in dict.fromkeys(sets) if chosen and len(chosen) < len(kept)
            ),
        )


class VerdictKind(StrEnum):
    """`accused`: N·p ≤ 10⁻⁹. `investigate`: ≤ 10⁻⁶. `none`: read, and no candidate fits. `untraceable`: the leak
    carries too little for any candidate to reach 10⁻⁶."""

    ACCUSED = "accused"
    INVESTIGATE = "investigate"
    NONE = "none"
    UNTRACEABLE = "untraceable"


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate whose codeword agrees with the leak beyond chance.

    Attributes:
        release_id: 8 bytes.
        log10_np: log₁₀ of the bound on the family-wise false-accusation probability N·p.
        channels: channels that by themselves speak for this candidate at p ≤ 10⁻³.
    """

    release_id: bytes
    log10_np: float
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a detection.

    Attributes:
        verdict: see `VerdictKind`.
        matches: candidates at N·p ≤ 10⁻⁶, most certain first.
        phantom_best_log10_np: the best of the seeds never issued, on the same scale; None when nothing was read.
        alignment: how the leak was laid over the original.
        notes: limits and failures, in words.
        candidates_total: the N of N·p.
        carriers: channel → carriers read.
    """

    verdict: VerdictKind
    matches: tuple[Match, ...]
    phantom_best_log10_np: float | None
    alignment: str
    notes: tuple[Words, ...]
    candidates_total: int
    carriers: Mapping[Channel, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value,
            "matches": [
                {
                    "release_id": match.release_id.hex(),
                    "log10_np": round(match.log10_np, 3),
                    "channels": [channel.value for channel in match.channels],
                }
                for match in self.matches
            ],
            "phantom_best_log10_np": None
            if self.phantom_best_log10_np is None
            else round(self.phantom_best_log10_np, 3),
            "alignment": self.alignment,
            "notes": [words.to_json() for words in self.notes],
        }
