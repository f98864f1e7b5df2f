"""Rows and columns of text, whatever file they came from.

Rule: a value is the exact text that stands in the file; comparison happens on `plain`, which forgets what
re-encoding and retyping change (width, case, outer blanks, invisible characters).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

from watermark.errors import MediaMalformed
from watermark.limits import TEXT_BYTES_MAX, within

INVISIBLE: Final = frozenset("\u200b\u200c\u200d\u2060\ufeff")
_TEXT_ENCODINGS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_MARK: Final = "\ufeff"
NUMBER_CHARS_MAX: Final = 40
EXACT: Final = Context(prec=100)
"""For sums of numbers of `NUMBER_CHARS_MAX` characters and tolerances: wide enough that nothing is ever rounded."""


class Literal(str):
    """A number, true, false or null as it stands in the file: no text, so it holds no characters of ours."""

    __slots__ = ()


class Fixed(Literal):
    """What a formula gave, a truth value, a date: never changed, be it text or number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table, or a record as a table of one row.

    Attributes:
        columns: names, in the file's order.
        rows: for each row one text a column; None where the file has nothing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


HEADER_LINES_MAX: Final = 20
"""Lines of a sheet among which its header is looked for: titles, units and dates often stand above it."""
HEADER_SAMPLE_LINES: Final = 1_000
"""Lines that tell how many values are usual."""


def header_place(lines: Sequence[Sequence[str | None]], names: Container[str]) -> int:
    """Which line names the columns: the one with most of the names that are looked for; without any, the first line that
    holds more than half as many values as is usual.

    Args:
        lines: the sheet's lines, or those that hold anything.
        names: as `plain` gives them.
    """
    first = lines[:HEADER_LINES_MAX]
    named = [sum(text is not None and plain(text) in names for text in line) for line in first]
    if any(named):
        return named.index(max(named))
    widths = [sum(1 for text in line if text) for line in lines[:HEADER_SAMPLE_LINES]]
    usual = sorted(widths)[len(widths) // 2] if widths else 0
    return next((place for place, width in enumerate(widths[:HEADER_LINES_MAX]) if 2 * width > usual), 0)


Changes = Mapping[tuple[int, int], str]
"""(row, column) → new text."""


def plain(text: str | None) -> str:
    """What of a value survives retyping: NFKC, no invisible characters, no outer blanks, case folded."""
    if text is None:
        return ""
    if text.isascii():
        return text.strip().casefold()
    return unicodedata.normalize("NFKC", visible(text)).strip().casefold()


def visible(text: str) -> str:
    """The text without invisible characters."""
    return text if text.isascii() else "".join(char for char in text if char not in INVISIBLE)


def number(text: str | None) -> Decimal | None:
    """The value of a plain decimal number (digits, at most one point, a minus), else None.

    Codes that only look like numbers, such as 007, are not numbers.
    """
    if text is None or len(text) > NUMBER_CHARS_MAX or isinstance(text, Fixed):
        return None
    digits = text.removeprefix("-")
    whole, point, fraction = digits.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (len(whole) > 1 and whole[0] == "0"):
        return None
    if point and not (fraction.isascii() and fraction.isdigit()):
        return None
    return Decimal(text)


# As people and spreadsheets show a number: digits in groups of three, a currency sign before it or 元 behind.
_SHOWN: Final = re.compile(
    r"(?P<sign>-?[¥$€]?|[¥$€]-)\s*(?P<whole>[0-9]{1,3}(?:[,' ][0-9]{3})+|[0-9]+)(?P<fraction>\.[0-9]+)?\s*元?"
)


def shown_number(text: str | None) -> Decimal | None:
    """The value of a number in a leak, whose digits somebody may have grouped; None where it is none."""
    found = number(text)
    if found is not None or text is None or len(text) > NUMBER_CHARS_MAX:
        return found
    shown = plain(text)
    bracketed = shown.startswith("(") and shown.endswith(")")
    match = _SHOWN.fullmatch(shown[1:-1] if bracketed else shown)
    if match is None:
        return None
    value = Decimal("".join(char for char in match["whole"] if char.isdigit()) + (match["fraction"] or ""))
    return value.copy_negate() if bracketed or "-" in match["sign"] else value


_WITH_MARK: Final = frozenset({"utf-16-le", "utf-16-be"})


def encode_text(text: str, encoding: str) -> bytes:
    """The bytes of a text in an encoding that `decode_text` told, with the mark that it had."""
    return (_MARK + text if encoding in _WITH_MARK else text).encode(encoding)


def decode_text(data: bytes, what: str) -> tuple[str, str]:
    """Text of a file and the encoding it stands in: UTF-8 or UTF-16 by mark, UTF-8, else GB18030.

    Raises:
        MediaTooLarge: above `TEXT_BYTES_MAX`.
        MediaMalformed: none of them fits, or the text holds NUL.
    """
    within("TEXT_BYTES_MAX", TEXT_BYTES_MAX, len(data))
    marked = next((encoding for mark, encoding in _TEXT_ENCODINGS if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text.removeprefix(_MARK) if encoding in _WITH_MARK else text, encoding
    raise MediaMalformed(what=what, reason="neither UTF-8, UTF-16 with mark, nor GB18030 text")
