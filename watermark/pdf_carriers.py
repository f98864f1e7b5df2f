"""Which glyphs of a PDF move, by how much, and what measured movements say about the code.

Rule: a *word* moves as a whole by ±0.10 mm; in a word every second glyph moves by ±0.08 mm more, and a glyph that
fills a square, as Han characters do, moves alone by ±0.08 mm. What follows stays where it was. Small type moves less,
in proportion. Reading solves the same linear model for the bits, weighed by how well each glyph was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from watermark.evidence import BitEvidence
from watermark.payload import CODE_POSITIONS, U16, biases, even_biases, uniform_words
from watermark.pdf_lexer import hexadecimal, literal, number
from watermark.pdf_text import Content, Key, Show, Text
from watermark.policy import Channel

F64 = npt.NDArray[np.float64]
Bits = Mapping[Channel, npt.NDArray[np.bool_]]

WORD_MM: Final = 0.10
GLYPH_MM: Final = 0.08
WORD_EM: Final = 0.035
GLYPH_EM: Final = 0.025
"""Of the size of the font, at most: in type below 3.2 mm (9 points) marks shrink with it."""
EM_MM_MIN: Final = 0.7
"""Smaller type (2 points) is left alone."""
OFFSETS: Final[tuple[Channel, ...]] = (Channel.GLYPH_OFFSETS, Channel.WORD_OFFSETS)
EVEN_BELOW: Final = 512
"""With fewer carriers than two colluders would have to face, biases buy nothing."""
_NOISE_MM_MIN: Final = 0.004
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Glyph:
    """What moves a glyph.

    Attributes:
        word: ordinal of its word's carrier; −1 when the word does not move.
        own: ordinal of its own carrier; −1 when it has none.
        word_mm: how far the word moves.
        own_mm: how far the glyph moves besides.
    """

    word: int
    own: int
    word_mm: float
    own_mm: float


STILL: Final = Glyph(-1, -1, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Segment:
    """The code positions of one channel's carriers.

    Attributes:
        position: of each carrier.
        polarity: of each carrier, −1 or 1.
        thresholds: bias of each position.
    """

    position: npt.NDArray[np.intp]
    polarity: F64
    thresholds: U16

    @classmethod
    def keyed(cls, layout_key: bytes, channel: Channel, carriers: int) -> Segment:
        """The segment of so many carriers."""
        words = uniform_words(layout_key, f"offsets/{channel.value}", 2 * carriers)
        positions = min(carriers, CODE_POSITIONS)
        order = np.argsort(words[:carriers], kind="stable") % max(positions, 1)
        thresholds = (
            even_biases(positions) if positions < EVEN_BELOW else biases(layout_key, channel, positions)
        )
        return cls(order, np.where(words[carriers:] & 1, 1.0, -1.0), thresholds)

    def signs(self, bits: npt.NDArray[np.bool_]) -> F64:
        """−1 or 1 for each carrier."""
        return np.where(bits[self.position], self.polarity, -self.polarity)

    def evidence(self, channel: Channel, estimates: F64) -> BitEvidence:
        """From an estimate of each carrier's sign (−1 to 1, 0 unknown) to weights of positions."""
        sums = np.bincount(self.position, weights=estimates * self.polarity, minlength=len(self.thresholds))
        return BitEvidence(channel, self.thresholds, np.clip(sums, -1.0, 1.0).astype(np.float64))


class Carriers:
    """The carriers of a document's text, in the order in which its contents are first used.

    Args:
        text: of the original.
        layout_key: 32 bytes.

    Attributes:
        glyphs: content → one entry a show → one a glyph.
        segments: of each channel.
    """

    def __init__(self, text: Text, layout_key: bytes) -> None:
        counts = dict.fromkeys(OFFSETS, 0)
        self.glyphs: dict[Key, list[list[Glyph]]] = {
            key: _assigned(content, counts) for key, content in text.contents.items()
        }
        self.segments = {channel: Segment.keyed(layout_key, channel, counts[channel]) for channel in OFFSETS}

    def counts(self) -> dict[Channel, int]:
        """Carriers of each channel."""
        return {channel: len(segment.position) for channel, segment in self.segments.items()}

    def signs(self, bits: Bits) -> dict[Channel, F64]:
        """The sign of each carrier; channels without bits do not move."""
        return {
            channel: segment.signs(bits[channel]) if channel in bits else np.zeros(len(segment.position))
            for channel, segment in self.segments.items()
        }


def _assigned(content: Content, counts: dict[Channel, int]) -> list[list[Glyph]]:
    """Give the words and glyphs of one content their carriers."""
    found: list[list[Glyph]] = []
    word, place, still = -1, 0, True
    for show in content.shows:
        row: list[Glyph] = []
        word_mm = min(WORD_MM, WORD_EM * show.em_mm)
        glyph_mm = min(GLYPH_MM, GLYPH_EM * show.em_mm)
        too_small = show.em_mm < EM_MM_MIN or round(glyph_mm / show.mm_per_unit) < 1
        for index, apart in enumerate(show.words):
            if show.spaces[index] or too_small:
                row.append(STILL)
                still = True
            elif show.wide[index]:
                row.append(Glyph(-1, counts[Channel.GLYPH_OFFSETS], 0.0, glyph_mm))
                counts[Channel.GLYPH_OFFSETS] += 1
                still = True
            else:
                if apart or still:
                    word, place, still = counts[Channel.WORD_OFFSETS], 0, False
                    counts[Channel.WORD_OFFSETS] += 1
                own = -1
                if place % 2:
                    own = counts[Channel.GLYPH_OFFSETS]
                    counts[Channel.GLYPH_OFFSETS] += 1
                row.append(Glyph(word, own, word_mm, glyph_mm if own >= 0 else 0.0))
                place += 1
        found.append(row)
    return found


def rewritten(content: Content, glyphs: Sequence[Sequence[Glyph]], signs: Mapping[Channel, F64]) -> bytes:
    """The content with its glyphs moved; all other bytes stand as they were."""
    out: list[bytes] = []
    place = 0
    for show, row in zip(content.shows, glyphs, strict=True):
        shifts = [_units(show, glyph, signs) for glyph in row]
        if any(shifts):
            out.append(content.data[place : show.start])
            out.append(_moved(show, shifts))
            place = show.end
    out.append(content.data[place:])
    return b"".join(out)


def _units(show: Show, glyph: Glyph, signs: Mapping[Channel, F64]) -> int:
    """How far a glyph moves in thousandths of the text space: whole ones, which are short to write."""
    mm = 0.0
    if glyph.word >= 0:
        mm += glyph.word_mm * float(signs[Channel.WORD_OFFSETS][glyph.word])
    if glyph.own >= 0:
        mm += glyph.own_mm * float(signs[Channel.GLYPH_OFFSETS][glyph.own])
    return round(mm / show.mm_per_unit)


def _moved(show: Show, shifts: Sequence[int]) -> bytes:
    write = hexadecimal if show.hexadecimal else literal
    parts: list[bytes] = []
    run = b""
    shifted = 0
    for code, adjust, shift in zip(show.codes, show.before, shifts, strict=True):
        step = adjust - (shift - shifted)
        if step:
            if run:
                parts.append(write(run))
            parts.append(number(step))
            run = b""
        run += code
        shifted = shift
    parts.append(write(run))
    rest = show.after + (shifted if show.continued else 0)
    if rest:
        parts.append(number(rest))
    text = b"[" + b"".join(parts) + b"]TJ"
    match show.name:
        case b"'":
            return b" T* " + text
        case b'"':
            word, char = show.spacing.split()[:2]
            return b" " + word + b" Tw " + char + b" Tc T* " + text
        case _:
            return text


@dataclass(frozen=True, slots=True)
class Measured:
    """Glyphs of the original whose movement was measured.

    Attributes:
        glyphs: what moves them.
        mm: how far each is from where the original has it, along the line of writing.
        trust: of each, above 0: the inverse of the variance of its measurement, on any common scale.
    """

    glyphs: Sequence[Glyph]
    mm: F64
    trust: F64


def estimates(measured: Sequence[Measured], carriers: Carriers) -> dict[Channel, F64]:
    """The sign of each carrier from all measurements: −1 to 1, near 0 where the noise hides it.

    The noise is estimated from the measurements and the model, never from a candidate.
    """
    counts = carriers.counts()
    out = {channel: np.zeros(count) for channel, count in counts.items()}
    parts = [_Model.of(part, counts[Channel.WORD_OFFSETS]) for part in measured if len(part.glyphs)]
    for model in parts:
        noise = 0.03**2
        signs = np.zeros(model.unknowns)
        for _ in range(_ROUNDS):
            signs = model.solve(noise)
            noise = model.noise(signs)
        for channel, ordinals, chosen in model.split(signs):
            out[channel][ordinals] += chosen
    return {channel: np.clip(values, -1.0, 1.0) for channel, values in out.items()}


@dataclass(frozen=True, slots=True)
class _Model:
    """mm = A·signs + noise, for the glyphs of one page; words are independent of each other."""

    word: npt.NDArray[np.intp]
    own: npt.NDArray[np.intp]
    word_mm: F64
    own_mm: F64
    mm: F64
    trust: F64
    words: npt.NDArray[np.intp]
    owns: npt.NDArray[np.intp]

    @classmethod
    def of(cls, part: Measured, _: int) -> _Model:
        word = np.array([glyph.word for glyph in part.glyphs], dtype=np.intp)
        own = np.array([glyph.own for glyph in part.glyphs], dtype=np.intp)
        words, word_index = np.unique(word, return_inverse=True)
        owns, own_index = np.unique(own, return_inverse=True)
        return cls(
            word_index,
            own_index,
            np.array([glyph.word_mm for glyph in part.glyphs]),
            np.array([glyph.own_mm for glyph in part.glyphs]),
            part.mm,
            part.trust / float(np.median(part.trust)),
            words,
            owns,
        )

    @property
    def unknowns(self) -> int:
        return len(self.words) + len(self.owns)

    def solve(self, noise: float) -> F64:
        """Signs by linear least squares with a prior of variance 1 (alternating between words and glyphs)."""
        weight = self.trust / noise
        words, owns = np.zeros(len(self.words)), np.zeros(len(self.owns))
        for _ in range(12):
            words = self._one(
                self.word, self.word_mm, weight, self.mm - self.own_mm * owns[self.own], len(words)
            )
            owns = self._one(
                self.own, self.own_mm, weight, self.mm - self.word_mm * words[self.word], len(owns)
            )
        return np.concatenate((words, owns))

    def noise(self, signs: F64) -> float:
        """Variance of what the model with hard signs leaves, for a glyph of median trust."""
        hard = np.where(signs < 0, -1.0, 1.0)
        words, owns = hard[: len(self.words)], hard[len(self.words) :]
        rest = self.mm - self.word_mm * words[self.word] - self.own_mm * owns[self.own]
        spread = 1.4826 * float(np.median(np.abs(rest) * np.sqrt(self.trust)))
        return max(spread, _NOISE_MM_MIN) ** 2

    def split(self, signs: F64) -> list[tuple[Channel, npt.NDArray[np.intp], F64]]:
        pairs = (
            (Channel.WORD_OFFSETS, self.words, signs[: len(self.words)]),
            (Channel.GLYPH_OFFSETS, self.owns, signs[len(self.words) :]),
        )
        return [
            (channel, ordinals[ordinals >= 0], chosen[ordinals >= 0]) for channel, ordinals, chosen in pairs
        ]

    @staticmethod
    def _one(index: npt.NDArray[np.intp], mm: F64, weight: F64, rest: F64, size: int) -> F64:
        above = np.bincount(index, weights=mm * weight * rest, minlength=size)
        below = np.bincount(index, weights=mm * mm * weight, minlength=size)
        return above / (1.0 + below)
