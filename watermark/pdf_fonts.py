"""What the marking of a PDF's text must know of its fonts: where a code ends, how wide its glyph is, which is a space.

Rule: a font is read and never written. What a font does not say is unknown, and whoever asks leaves that text alone
or treats it as a whole.

Source: ISO 32000-2, 9.6 (simple fonts), 9.7 (composite fonts), 9.10.3 (ToUnicode).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pikepdf import Array, Dictionary, Name, Object, Stream

from watermark.errors import MediaTooLarge
from watermark.limits import PDF_CMAP_BYTES_MAX, PDF_FONT_WIDTHS_MAX
from watermark.pdf_streams import decoded

CodeSpace = tuple[int, bytes, bytes]
"""Length of a code in bytes, and its lowest and highest value, byte by byte."""

SPACES: Final = frozenset({0x20, 0xA0, 0x3000})
WIDE_FROM: Final = 0x2E80
"""Han, kana, hangul and full-width forms stand from here on."""
WIDE_WIDTH: Final = 980.0
_CODE: Final = rb"<\s*([0-9A-Fa-f\s]{1,16})>\s*"
_TEXT: Final = rb"<\s*([0-9A-Fa-f\s]{1,64})>"
_PAIRS: Final = re.compile(_CODE + _TEXT)
_TRIPLES: Final = re.compile(_CODE + _CODE + _TEXT)
_SECTIONS: Final = re.compile(rb"begin(codespacerange|bfchar|bfrange)([^b]*(?:b(?!egin)[^b]*)*?)end\1")
_ARRAY: Final = re.compile(_CODE + _CODE + rb"\[\s*" + _TEXT)


def _spaces(*ranges: tuple[str, str]) -> tuple[CodeSpace, ...]:
    return tuple((len(low) // 2, bytes.fromhex(low), bytes.fromhex(high)) for low, high in ranges)


_TWO_BYTES: Final = _spaces(("0000", "FFFF"))
_PREDEFINED: Final[Sequence[tuple[str, tuple[CodeSpace, ...]]]] = (
    ("Identity", _TWO_BYTES),
    ("UTF16", _spaces(("D800DC00", "DBFFDFFF"), ("0000", "FFFF"))),
    ("UCS2", _TWO_BYTES),
    ("GBK2K", _spaces(("00", "7F"), ("81308130", "FE39FE39"), ("8140", "FEFE"))),
    ("GBK", _spaces(("00", "80"), ("8140", "FEFE"))),
    ("GB-EUC", _spaces(("00", "80"), ("A1A1", "FEFE"))),
    ("GBpc-EUC", _spaces(("00", "80"), ("A1A1", "FCFE"), ("FD", "FF"))),
    ("HKscs", _spaces(("00", "80"), ("8740", "FEFE"))),
    ("B5", _spaces(("00", "80"), ("A140", "FEFE"))),
    ("KSC", _spaces(("00", "84"), ("8141", "FEFE"))),
    ("RKSJ", _spaces(("00", "80"), ("A0", "DF"), ("8140", "9FFC"), ("E040", "FCFC"))),
)
_UNICODE: Final = ("UCS2", "UTF16")


@dataclass(slots=True)
class Font:
    """A font as its text is walked.

    Attributes:
        code_spaces: how its strings are cut into codes; empty when that is unknown.
        widths: code → width in thousandths of the text space, for simple fonts and those with identity encoding.
        width_default: of codes that `widths` does not name; None when unknown.
        vertical: written from top to bottom.
        composite: a Type 0 font.
        unicode_codes: the codes are Unicode themselves.
        to_unicode: ranges (length, first, last, first character) of the map, if there is one, in order.
    """

    code_spaces: tuple[CodeSpace, ...]
    widths: Mapping[int, float]
    width_default: float | None
    vertical: bool = False
    composite: bool = False
    unicode_codes: bool = False
    to_unicode: Sequence[tuple[int, int, int, int]] = ()
    _known: dict[bytes, int | None] = field(default_factory=dict)

    def split(self, text: bytes) -> list[bytes] | None:
        """The codes of a string; None when they cannot be told."""
        if not self.code_spaces:
            return None
        if len(self.code_spaces) == 1:
            length = self.code_spaces[0][0]
            if len(text) % length:
                return None
            return [text[place : place + length] for place in range(0, len(text), length)]
        codes, place = [], 0
        while place < len(text):
            found = self._length(text, place)
            if found is None:
                return None
            codes.append(text[place : place + found])
            place += found
        return codes

    def width(self, code: bytes) -> float | None:
        """In thousandths of the text space; None when unknown."""
        return self.widths.get(int.from_bytes(code, "big"), self.width_default)

    def is_space(self, code: bytes) -> bool:
        """Whether the code leaves a gap between words."""
        char = self.character(code)
        return char in SPACES if char is not None else code == b" "

    def is_wide(self, code: bytes) -> bool:
        """Whether the glyph fills a square of its own, as Han characters do."""
        char = self.character(code)
        if char is not None:
            return char >= WIDE_FROM
        width = self.width(code)
        if self.composite and width is None:
            return len(code) > 1
        return width is not None and width >= WIDE_WIDTH and code != b" "

    def character(self, code: bytes) -> int | None:
        """The first character that the code stands for; None when the font does not say."""
        if code not in self._known:
            self._known[code] = self._character(code)
        return self._known[code]

    def _character(self, code: bytes) -> int | None:
        value = int.from_bytes(code, "big")
        place = bisect_right(self.to_unicode, (len(code), value, 1 << 64, 0)) - 1
        if place >= 0:
            length, first, last, char = self.to_unicode[place]
            if length == len(code) and first <= value <= last:
                return char + value - first
        return value if self.unicode_codes else None

    def _length(self, text: bytes, place: int) -> int | None:
        for length, low, high in self.code_spaces:
            code = text[place : place + length]
            if len(code) == length and all(a <= b <= c for a, b, c in zip(low, code, high, strict=True)):
                return length
        return None


UNKNOWN: Final = Font(code_spaces=(), widths={}, width_default=None)


def read_font(font: Object) -> Font:
    """A font dictionary; what is damaged in it is unknown."""
    try:
        return _composite(font) if font.get(Name.Subtype) == Name.Type0 else _simple(font)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        return UNKNOWN


def _simple(font: Object) -> Font:
    first = int(font.get(Name.FirstChar, 0))
    listed = font.get(Name.Widths)
    scale = 1.0
    if font.get(Name.Subtype) == Name.Type3:
        scale = 1000.0 * abs(float(font[Name.FontMatrix][0]))
    widths: dict[int, float] = {}
    default: float | None = None
    if isinstance(listed, Array):
        widths = {first + index: scale * float(width) for index, width in enumerate(list(listed)[:256])}
        described = font.get(Name.FontDescriptor)
        default = float(described.get(Name.MissingWidth, 0)) if isinstance(described, Dictionary) else 0.0
    return Font(((1, b"\0", b"\xff"),), widths, default, to_unicode=_to_unicode(font))


def _composite(font: Object) -> Font:
    encoding = font.get(Name.Encoding)
    descendant = font[Name.DescendantFonts][0]
    default = float(descendant.get(Name.DW, 1000))
    name, vertical = "", False
    spaces: tuple[CodeSpace, ...] = ()
    if isinstance(encoding, Stream):
        spaces = _embedded_spaces(encoding)
        vertical = int(encoding.get(Name.WMode, 0)) == 1
    else:
        name = str(encoding)
        spaces = next((spaces for part, spaces in _PREDEFINED if part in name), ())
        vertical = name.endswith("-V") or name == "/V"
    identity = name.startswith("/Identity")
    return Font(
        spaces,
        _cid_widths(descendant.get(Name.W)) if identity else {},
        default if identity else None,
        vertical=vertical,
        composite=True,
        unicode_codes=any(part in name for part in _UNICODE),
        to_unicode=_to_unicode(font),
    )


def _cid_widths(listed: Any) -> dict[int, float]:
    """`c [w1 w2 …]` and `first last w`."""
    widths: dict[int, float] = {}
    items = list(listed) if isinstance(listed, Array) else []
    place = 0
    while place + 1 < len(items) and len(widths) < PDF_FONT_WIDTHS_MAX:
        first, second = int(items[place]), items[place + 1]
        if isinstance(second, Array):
            widths.update({first + index: float(width) for index, width in enumerate(list(second)[:65536])})
            place += 2
        else:
            last = min(int(second), first + 65535)
            widths.update(dict.fromkeys(range(first, last + 1), float(items[place + 2])))
            place += 3
    return widths


def _cmap(stream: Any) -> bytes:
    if not isinstance(stream, Stream):
        return b""
    try:
        return decoded(stream, PDF_CMAP_BYTES_MAX) or b""
    except MediaTooLarge:
        return b""


def _embedded_spaces(encoding: Stream) -> tuple[CodeSpace, ...]:
    spaces: list[CodeSpace] = []
    for section in _SECTIONS.finditer(_cmap(encoding)):
        if section.group(1) == b"codespacerange":
            for pair in _PAIRS.finditer(section.group(2)):
                low, high = _hex(pair.group(1)), _hex(pair.group(2))
                if len(low) == len(high):
                    spaces.append((len(low), low, high))
    return tuple(sorted(spaces, key=lambda space: -space[0])[:64])


def _to_unicode(font: Object) -> list[tuple[int, int, int, int]]:
    ranges: list[tuple[int, int, int, int]] = []
    for section in _SECTIONS.finditer(_cmap(font.get(Name.ToUnicode))):
        kind, body = section.group(1), section.group(2)
        if kind == b"bfchar":
            for pair in _PAIRS.finditer(body):
                _add(ranges, pair.group(1), pair.group(1), pair.group(2))
        elif kind == b"bfrange":
            for triple in _TRIPLES.finditer(body):
                _add(ranges, *triple.groups())
            for array in _ARRAY.finditer(body):
                _add(ranges, array.group(1), array.group(1), array.group(3))
    return sorted(ranges)


def _add(ranges: list[tuple[int, int, int, int]], first: bytes, last: bytes, char: bytes) -> None:
    low, high, text = _hex(first), _hex(last), _hex(char)
    if len(text) >= 2:
        ranges.append(
            (
                len(low),
                int.from_bytes(low, "big"),
                int.from_bytes(high, "big"),
                int.from_bytes(text[:2], "big"),
            )
        )


def _hex(digits: bytes) -> bytes:
    plain = b"".join(digits.split())
    return bytes.fromhex((plain + b"0" * (len(plain) % 2)).decode("ascii"))
