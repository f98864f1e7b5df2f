"""Marks in running text: plain text, and the text of DOCX documents.

Rule: no word, space or line is changed. A bit is which of two invisible characters stands in a gap, so a missing one is an
erasure and never a wrong bit. One gap in four carries a mark, evenly spread, so that any longer passage carries enough.
Whoever strips invisible characters, or retypes, removes the mark; the software says so then.

Two channels stand in different gaps: characters of no width, and after Han characters the last two variation selectors, for
which no glyph is registered (Unicode, UTS #37) and which cleaners of zero-width characters leave alone.
"""

from __future__ import annotations

import copy
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from watermark.errors import MediaMalformed
from watermark.evidence import BitEvidence, Evidence
from watermark.limits import FILE_BYTES_MAX, TEXT_BYTES_MAX, TEXT_CHARS_MAX, within
from watermark.packages import DOCUMENT, DOCX, Element, Package, local, open_package
from watermark.payload import CODE_POSITIONS, U16, biases, codeword, even_biases, uniform_words
from watermark.policy import Channel, Policy
from watermark.results import Manifest, Marked, Reading, Words
from watermark.sheets import INVISIBLE, decode_text, encode_text
from watermark.zero_width import ONE, ZERO, joins

TEXT: Final = "text/plain"
SYMBOLS: Final[Mapping[Channel, tuple[str, str]]] = {
    Channel.ZERO_WIDTH: (ZERO, ONE),
    Channel.VARIATION: ("\U000e01ee", "\U000e01ef"),
}
"""Channel → what stands for bit 0 and for bit 1."""
GAPS_PER_MARK: Final = 4
GAPS_ALL_BELOW: Final = 512
"""A text with fewer places uses every one of them, and even bits: colluders matter less than every single bit."""
_AROUND: Final = 4
_SPACE: Final = "{http://www.w3.org/XML/1998/namespace}space"
_BITS: Final = {
    symbol: (channel, bit == 1) for channel, pair in SYMBOLS.items() for bit, symbol in enumerate(pair)
}
_HIDDEN: Final = INVISIBLE | frozenset(_BITS)


class TextFile(Protocol):
    """A file that holds running text."""

    @property
    def text(self) -> str:
        """All of it, in reading order."""
        ...

    def written(self, marks: Mapping[int, str]) -> bytes:
        """The file with invisible characters before some offsets of `text`."""
        ...


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text file in its encoding."""

    text: str
    encoding: str

    def written(self, marks: Mapping[int, str]) -> bytes:
        """See `TextFile`."""
        data = encode_text(_inserted(self.text, 0, marks), self.encoding)
        # A copy that could not be read back would be untraceable.
        within("TEXT_BYTES_MAX", TEXT_BYTES_MAX, len(data))
        return data


@dataclass(frozen=True, slots=True)
class DocxText:
    """A document's text; runs stand where `starts` says."""

    package: Package
    root: Element
    text: str
    starts: tuple[int, ...]

    def written(self, marks: Mapping[int, str]) -> bytes:
        """See `TextFile`."""
        root = copy.deepcopy(self.root)
        for run, start in zip(_runs(root), self.starts, strict=True):
            text = run.text or ""
            marked = _inserted(text, start, marks)
            if marked != text:
                run.text = marked
                run.set(_SPACE, "preserve")
        data = self.package.written({DOCUMENT: root})
        within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(data))
        return data


def parse_text(data: bytes) -> PlainText:
    """Read a text file.

    Raises:
        WatermarkError: no text, or above `TEXT_BYTES_MAX` or `TEXT_CHARS_MAX`.
    """
    text, encoding = decode_text(data, "text")
    within("TEXT_CHARS_MAX", TEXT_CHARS_MAX, len(text))
    return PlainText(text, encoding)


def parse_docx(data: bytes) -> DocxText:
    """Read a document (ECMA-376, part 1, clause 17): the texts of its runs, paragraphs apart by line ends.

    Raises:
        WatermarkError: no document, or beyond the limits.
    """
    package = open_package(data, "DOCX")
    root = package.xml(DOCUMENT)
    if local(root) != "document":
        raise MediaMalformed(what="DOCX", reason="no document")
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for element in root.iter():
        match local(element):
            case "t":
                starts.append(length)
                parts.append(element.text or "")
            case "p" | "br" | "cr":
                parts.append("\n")
            case "tab":
                parts.append("\t")
            case _:
                continue
        length += len(parts[-1])
        within("TEXT_CHARS_MAX", TEXT_CHARS_MAX, length)
    return DocxText(package, root, "".join(parts), tuple(starts))


@dataclass(frozen=True, slots=True)
class TextCodec:
    """Plain text or DOCX.

    Attributes:
        media_type: one of the two.
    """

    media_type: str

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Write the codeword of one release between the characters; see `watermark.embed`."""
        parsed = self._parse(original)
        marks: dict[int, str] = {}
        carriers: dict[Channel, int] = {}
        for places in _places(parsed.text, layout_key, policy):
            bits = codeword(seed, places.channel, places.thresholds)
            symbols = SYMBOLS[places.channel]
            for offset, position, sign in places:
                marks[offset] = symbols[bool(bits[position]) == (sign > 0)]
            carriers[places.channel] = len(places.offsets)
        if not marks:
            return Marked(original, Manifest(self.media_type, {}, notes=(_NOTHING_MARKED,)))
        return Marked(
            parsed.written(marks), Manifest(self.media_type, carriers, differences=(_INVISIBLE_DIFFER,))
        )

    def read(self, leak: str, original: bytes, layout_key: bytes, policy: Policy) -> Reading:
        """Read what is left of the codeword in a text; see `watermark.detect`."""
        text = self._parse(original).text
        within("TEXT_CHARS_MAX", TEXT_CHARS_MAX, len(leak))
        shown, found = split(leak)
        moved = aligned(shown, text)
        if not found or not moved:
            note = _NOTHING_LEFT if moved else _ANOTHER_TEXT
            return Reading((), "none", (note,))
        evidence: list[Evidence] = []
        for places in _places(text, layout_key, policy):
            held = {
                moved[offset]: bit
                for offset, channel, bit in found
                if channel is places.channel and offset in moved
            }
            weights = np.zeros(len(places.thresholds))
            votes = np.zeros(len(places.thresholds))
            for offset, position, sign in places:
                if offset in held:
                    weights[position] += sign if held[offset] else -sign
                    votes[position] += 1
            np.divide(weights, votes, out=weights, where=votes > 0)
            if votes.any():
                evidence.append(BitEvidence(places.channel, places.thresholds, weights))
        alignment = f"{len(moved)} of {len(text)} places of the text found again"
        return Reading(tuple(evidence), alignment, () if evidence else (_NOTHING_LEFT,))

    def _parse(self, data: bytes) -> TextFile:
        return parse_docx(data) if self.media_type == DOCX else parse_text(data)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a channel's positions stand in a text.

    Attributes:
        channel: whose.
        offsets: before which character of the text, in order.
        position: code position of each.
        polarity: −1 or 1 of each: the sign with which bit 1 is written.
        thresholds: biases of the channel's segment.
    """

    channel: Channel
    offsets: Sequence[int]
    position: npt.NDArray[np.intp]
    polarity: npt.NDArray[np.int8]
    thresholds: U16

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.offsets, self.position.tolist(), self.polarity.tolist(), strict=True)


def _places(text: str, layout_key: bytes, policy: Policy) -> Iterator[Places]:
    """The places of each channel that the policy allows; no offset has two."""
    if any(char in _HIDDEN for char in text):
        # What stands there already would be read as ours.
        return
    free = [offset for offset in range(1, len(text)) if not joins(text[offset]) and text[offset - 1] != "\r"]
    after_han = [offset for offset in free if _is_han(text[offset - 1])]
    for channel, gaps in ((Channel.VARIATION, after_han[1::2]), (Channel.ZERO_WIDTH, free)):
        if channel is Channel.ZERO_WIDTH:
            taken = set(after_han[1::2])
            gaps = [offset for offset in gaps if offset not in taken]
        if channel not in policy.channels or not gaps:
            continue
        count = len(gaps) if len(gaps) < GAPS_ALL_BELOW else max(GAPS_ALL_BELOW, len(gaps) // GAPS_PER_MARK)
        offsets = [gaps[index * len(gaps) // count] for index in range(count)]
        words = uniform_words(layout_key, f"text/{channel.value}", 2 * count)
        positions = min(count, CODE_POSITIONS)
        few = count < GAPS_ALL_BELOW
        yield Places(
            channel,
            offsets,
            np.argsort(words[:count], kind="stable") % positions,
            np.where(words[count:] & 1, 1, -1).astype(np.int8),
            even_biases(positions) if few else biases(layout_key, channel, positions),
        )


def split(leaked: str) -> tuple[str, list[tuple[int, Channel, bool]]]:
    """A text without invisible characters, and the bits that stood before its offsets."""
    shown: list[str] = []
    found: list[tuple[int, Channel, bool]] = []
    for char in leaked:
        if char in _BITS:
            found.append((len(shown), *_BITS[char]))
        elif char not in _HIDDEN:
            shown.append(char)
    return "".join(shown), found


def aligned(leaked: str, original: str) -> dict[int, int]:
    """Offset of a leaked text → offset of the original, wherever the passage around it stands once in both.

    Linear in the texts' length, whatever they hold; white space counts for nothing, so re-wrapped lines lie on each other.
    """
    if leaked == original:
        return {offset: offset for offset in range(len(original) + 1)}
    (a, places_a), (b, places_b) = _plain(leaked), _plain(original)
    known = _surroundings(b)
    return {
        places_a[at]: places_b[known[around]] for around, at in _surroundings(a).items() if around in known
    }


def _plain(text: str) -> tuple[str, list[int]]:
    """The characters that count, width and case forgotten, and the offset of each."""
    chars: list[str] = []
    places: list[int] = []
    for offset, char in enumerate(text):
        if not char.isspace():
            folded = char.lower() if char.isascii() else unicodedata.normalize("NFKC", char).casefold()
            chars.append(folded if len(folded) == 1 else char)
            places.append(offset)
    return "".join(chars), places


def _surroundings(text: str) -> dict[str, int]:
    """The characters around each offset → the offset, where they stand only once."""
    around = [text[max(0, at - _AROUND) : at + _AROUND] for at in range(len(text))]
    counts = Counter(around)
    return {chars: at for at, chars in enumerate(around) if counts[chars] == 1}


def _inserted(text: str, start: int, marks: Mapping[int, str]) -> str:
    """A passage that begins at offset `start`, with its marks."""
    return "".join(marks.get(start + index, "") + char for index, char in enumerate(text))


def _runs(root: Element) -> list[Element]:
    return [element for element in root.iter() if local(element) == "t"]


def _is_han(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf"


_NOTHING_MARKED: Final = Words(
    "未加标记：文本太短、已含不可见字符，或策略不允许",
    "not marked: the text is too short, holds invisible characters already, or the policy allows no channel",
)
_INVISIBLE_DIFFER: Final = Words(
    "文字之间含不可见字符；文字、空格与换行不变",
    "invisible characters stand between the characters; words, spaces and lines are the same",
)
_NOTHING_LEFT: Final = Words(
    "文本中没有可读的标记：不可见字符已被去除，或文本被重新录入",
    "the text carries no readable mark: invisible characters were stripped, or it was retyped",
)
_ANOTHER_TEXT: Final = Words(
    "无法与原文对应：可能不是该文本的副本", "could not be laid on the original: it may be another text"
)
