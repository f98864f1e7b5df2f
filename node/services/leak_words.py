"""What in a leak's text may name a record: ids of the ledger, copy references, and numbers of certificates.

Rule: two writings of one number are one word, whatever its width, case, separators and invisible characters. Everything here is
bounded by the text's length and the named limits, and compares nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate
from typing import Final

NUMBER_CHARS_MIN: Final = 6
NUMBER_CHARS_MAX: Final = 64
NUMBERS_MAX: Final = 20_000
IDS_MAX: Final = 1_000
CERTIFICATE_ID_DIGITS: Final = 32
RELEASE_ID_DIGITS: Final = 16
REFERENCES_MAX: Final = 10_000
REFERENCE_CHARS_MAX: Final = 64

_HEX: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{16})(?![0-9A-Za-z])")
_ATOM: Final = re.compile(r"[0-9]+|[A-Z]+|[^\W\d_A-Z]")
_WORD: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_./-]{6,62}[0-9A-Za-z]")
_IGNORED: Final = frozenset({"Cf", "Mn"})
_DIGITS: Final = str.maketrans("0123456789", "9" * 10)
_LETTERS: Final = re.compile(r"[A-Z]")
_OTHERS: Final = re.compile(r"[^9A]")


def ids_in(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Ids of certificates (16 bytes) and of releases (8 bytes) that may stand in texts, as they are met; at most `IDS_MAX`."""
    found: dict[bytes, None] = {}
    for text in texts:
        for match in _HEX.finditer(_plain(text)):
            found.setdefault(bytes.fromhex(match.group()))
            if len(found) == IDS_MAX:
                return tuple(found)
    return tuple(found)


def references_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Words that may be references of copies; at most `REFERENCES_MAX`."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _WORD.finditer(_plain(text)):
            found.setdefault(reference_word(match.group()))
            if len(found) == REFERENCES_MAX:
                return tuple(found)
    return tuple(found)


def reference_word(text: str) -> str:
    """A reference as it is compared."""
    return text.strip().casefold()[:REFERENCE_CHARS_MAX]


def number_word(text: str) -> str:
    """A number as it is compared, empty where it says too little or too much to be looked for."""
    word = "".join(_ATOM.findall(_upper(text)))
    long_enough = NUMBER_CHARS_MIN <= len(word) <= NUMBER_CHARS_MAX
    return word if long_enough and any(one.isdigit() for one in word) else ""


def shape_of(word: str) -> str:
    """How a number is built: which of its places are digits, letters or others. Says nothing of which."""
    return _OTHERS.sub("H", _LETTERS.sub("A", word.translate(_DIGITS)))


def numbers_in(texts: Iterable[str], shapes: Collection[str]) -> tuple[str, ...]:
    """Every word of one of these shapes that stands somewhere within a line; at most `NUMBERS_MAX`.

    Args:
        texts: of a leak.
        shapes: of the numbers that are known.
    """
    lengths = sorted({len(shape) for shape in shapes})
    found: dict[str, None] = {}
    for text in texts if lengths else ():
        for line in _upper(text).splitlines():
            for word in _words(_ATOM.findall(line), lengths, shapes):
                found.setdefault(word)
                if len(found) == NUMBERS_MAX:
                    return tuple(found)
    return tuple(found)


def _words(atoms: list[str], lengths: list[int], shapes: Collection[str]) -> Iterator[str]:
    """Runs of whole atoms: digits or letters that stand together are never split, a Han character is an atom of its own."""
    line = "".join(atoms)
    shape = shape_of(line)
    starts = list(accumulate(map(len, atoms), initial=0))
    ends = set(starts)
    for start in starts[:-1]:
        for length in lengths:
            end = start + length
            if end in ends and shape[start:end] in shapes:
                yield line[start:end]


def _upper(text: str) -> str:
    return _plain(text).upper()


def _plain(text: str) -> str:
    """Compatibility forms as what they stand for, without what nobody sees."""
    folded = unicodedata.normalize("NFKC", text)
    if folded.isascii():
        return folded
    return "".join(one for one in folded if unicodedata.category(one) not in _IGNORED)
