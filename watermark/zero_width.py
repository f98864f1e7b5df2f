"""Invisible characters between the characters of free text.

Rule: a bit is which of two characters of no width stands in a gap, so a missing character is an erasure and never a
wrong bit. Both are left alone by NFC, NFKC, JSON, CSV, UTF-16 and GB18030; whoever strips or retypes removes them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Final

from watermark.limits import CELL_CHARS_MAX
from watermark.sheets import INVISIBLE

ZERO: Final = "\u200b"
ONE: Final = "\u2060"
GAPS_PER_CELL_MAX: Final = 8
GAPS_PER_FIELD_MAX: Final = 64
"""In a record or a table of few rows, where every bit counts."""
FEW_ROWS: Final = 16
_AROUND: Final = 4
"""Characters on either side that must agree where the text was changed."""


def gaps(text: str, rows: int) -> list[int]:
    """Offsets in `text` before which a mark may stand, evenly spread.

    Args:
        text: the original text; none is marked when it already holds invisible characters, or is so long that quotes
            and marks could take it past `CELL_CHARS_MAX`.
        rows: rows of the original, which decides how many gaps a text offers.
    """
    if 2 * len(text) + GAPS_PER_FIELD_MAX > CELL_CHARS_MAX or any(char in INVISIBLE for char in text):
        return []
    free = [offset for offset in range(1, len(text)) if not joins(text[offset])]
    count = min(len(free), GAPS_PER_FIELD_MAX if rows < FEW_ROWS else GAPS_PER_CELL_MAX)
    return [free[index * len(free) // count] for index in range(count)]


def write(text: str, bits: dict[int, bool]) -> str:
    """The text with a mark before each offset of `bits`."""
    return "".join(
        (ONE if bits[offset] else ZERO) + char if offset in bits else char for offset, char in enumerate(text)
    )


def read(leaked: str, original: str) -> dict[int, bool]:
    """Offset in the original → the bit that stands before it in the leak."""
    text, marks = _split(leaked)
    if not marks:
        return {}
    place = (
        {offset: offset for offset in range(len(text) + 1)} if text == original else _moved(text, original)
    )
    return {place[offset]: bit for offset, bit in marks.items() if offset in place}


def _split(leaked: str) -> tuple[str, dict[int, bool]]:
    text: list[str] = []
    marks: dict[int, bool] = {}
    for char in leaked:
        if char in (ZERO, ONE):
            marks[len(text)] = char == ONE
        elif char not in INVISIBLE:
            text.append(char)
    return "".join(text), marks


def _moved(text: str, original: str) -> dict[int, int]:
    """Offsets of the leaked text → offsets of the original, where the two agree after NFKC.

    The common beginning and the common end lie on each other; in between, a place is known again by the characters
    around it when these stand only once in both. That is linear in the texts' length, whatever they hold.
    """
    a, b = ([unicodedata.normalize("NFKC", char) for char in side] for side in (text, original))
    shorter = min(len(a), len(b))
    first = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    last = next((i for i in range(shorter - first) if a[-1 - i] != b[-1 - i]), shorter - first)
    place = _surroundings(b)
    moved = {offset: place[around] for around, offset in _surroundings(a).items() if around in place}
    moved |= {len(a) - step: len(b) - step for step in range(last)}
    return moved | {offset: offset for offset in range(first)}


def _surroundings(chars: list[str]) -> dict[tuple[str, ...], int]:
    """The characters around each offset → the offset, where they stand only once."""
    around = {
        offset: tuple(chars[offset - _AROUND : offset + _AROUND])
        for offset in range(_AROUND, len(chars) - _AROUND + 1)
    }
    counts = Counter(around.values())
    return {chars: offset for offset, chars in around.items() if counts[chars] == 1}


def joins(char: str) -> bool:
    """Whether the character belongs to the one before it."""
    return unicodedata.combining(char) != 0 or unicodedata.category(char) in {"Mn", "Me", "Mc", "Cf", "Sk"}
