"""Rows and columns of text, whatever file they came from.

Rule: a value is the exact text that stands in the file; comparison happens on `plain`, which forgets what
re-encoding and retyping change (width, case, outer blanks, invisible characters).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
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
