"""What a reference looks like, and the numbers that stand for its texts.

Rule: the shape of a column is decided by the original alone. A reference keeps the length, the alphabet and the
leading letters of the one it replaces wherever these leave enough room; where they do not, the whole column takes one
shape of our own, which the receipt then says.

Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002: generalised Feistel with cycle
walking, the construction of NIST SP 800-38G with HMAC-SHA-256 as the round function.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import isqrt
from typing import Final

from watermark.keys import KeyedHash
from watermark.sheets import visible

BITS_OWN: Final = 47
"""Of a reference in our own shape, its row unknown: one of them names one of 10⁵ releases at 10⁻⁹."""
BITS_MIN: Final = 24
"""Below this the original's shape is given up, in a table: two rows still name one of 10⁴."""
BITS_MIN_FEW: Final = 40
"""The same in a record or a table of few rows, where one reference may be all there is."""
SHAPES_MAX: Final = 8
"""Shapes of one column that are kept."""
VARIABLE_CHARS_MAX: Final = 32
"""Characters of one reference that may vary; half of 62³² values is far below a round's 2²⁵⁶."""
REFERENCE_CHARS_MAX: Final = 128
"""Characters of a reference that keeps its shape."""
_ROUNDS: Final = 8
_DECIMAL: Final = "0123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """Characters that may stand in a reference.

    Attributes:
        chars: in order of value.
        values: what each character is read as; holds both cases where case means nothing.
    """

    chars: str
    values: Mapping[str, int]


def _alphabet(chars: str, alike: Mapping[str, str] | None = None) -> Alphabet:
    values = {char: value for value, char in enumerate(chars)}
    if chars in {chars.upper(), chars.lower()}:
        values |= {char.swapcase(): value for char, value in values.items()}
    return Alphabet(chars, values | {char: values[same] for char, same in (alike or {}).items()})


OWN: Final = _alphabet("0123456789ABCDEFGHJKMNPQRSTVWXYZ", {"O": "0", "o": "0"} | dict.fromkeys("IiLl", "1"))
"""D. Crockford's base 32: no two characters that are mistaken for each other."""
KEPT: Final = tuple(
    _alphabet(chars)
    for chars in (
        _DECIMAL,
        _DECIMAL + _LOWER[:6],
        _DECIMAL + _LOWER[:6].upper(),
        _DECIMAL + _LOWER,
        _DECIMAL + _LOWER.upper(),
        _DECIMAL + _LOWER.upper() + _LOWER,
    )
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text keeps when it becomes a reference.

    Attributes:
        pattern: one entry a character: the character itself where it stays, None where it varies.
        alphabet: of the characters that vary.
    """

    pattern: tuple[str | None, ...]
    alphabet: Alphabet

    @property
    def size(self) -> int:
        """How many texts have this shape."""
        return int(len(self.alphabet.chars) ** self.pattern.count(None))

    @property
    def name(self) -> bytes:
        """What tells this shape from every other; a NUL, which no text holds, stands where characters vary."""
        return f"{self.alphabet.chars}\0{''.join(char or chr(0) for char in self.pattern)}".encode()

    def text(self, value: int) -> str:
        """The text of a value below `size`."""
        chars = []
        for fixed in reversed(self.pattern):
            if fixed is None:
                value, digit = divmod(value, len(self.alphabet.chars))
                chars.append(self.alphabet.chars[digit])
            else:
                chars.append(fixed)
        return "".join(reversed(chars))

    def value(self, text: str) -> int | None:
        """The value of a text, None when it has another shape. Digits that lost leading zeros get them back."""
        if len(text) < len(self.pattern) and self.alphabet is KEPT[0] and set(self.pattern) == {None}:
            text = text.zfill(len(self.pattern))
        if len(text) != len(self.pattern):
            return None
        total = 0
        for char, fixed in zip(text, self.pattern, strict=True):
            digit = self.alphabet.values.get(char)
            if fixed is not None:
                if char.casefold() != fixed.casefold():
                    return None
            elif digit is None:
                return None
            else:
                total = total * len(self.alphabet.chars) + digit
        return total


def permuted(key: KeyedHash, value: int, size: int) -> int:
    """A keyed permutation of the numbers below `size`."""
    side = isqrt(size - 1) + 1
    while True:
        left, right = divmod(value, side)
        for number in range(_ROUNDS):
            left, right = right, (left + _round(key, number, right)) % side
        value = left * side + right
        if value < size:
            return value


def unpermuted(key: KeyedHash, value: int, size: int) -> int:
    """The inverse of `permuted`."""
    side = isqrt(size - 1) + 1
    while True:
        left, right = divmod(value, side)
        for number in reversed(range(_ROUNDS)):
            left, right = (right - _round(key, number, left)) % side, left
        value = left * side + right
        if value < size:
            return value


def _round(key: KeyedHash, number: int, half: int) -> int:
    return int.from_bytes(key.digest(bytes((number,)) + half.to_bytes(32, "big")), "big")


def kept_shapes(texts: set[str], rows: int, few: bool) -> dict[str, Shape] | None:
    """Text → shape under the smallest alphabet that fits every text; None when that leaves no room.

    Texts that repeat one character are placeholders and have no alphabet to keep, only a length; ours is used, since
    sixteen digits would be rounded by a spreadsheet.

    Args:
        texts: every original reference, none blank.
        rows: of the original.
        few: whether one reference may be all that is left to go by.
    """
    bits_min = BITS_MIN_FEW if few else BITS_MIN
    placeholders = all(_is_placeholder(text) for text in texts)
    for alphabet in (OWN,) if placeholders else KEPT:
        found: dict[str, Shape] = {}
        for text in texts:
            shape = _shape(text, alphabet, placeholders)
            if shape is None:
                break
            found[text] = shape
        if len(found) == len(texts):
            different = set(found.values())
            room = min(_bits(shape, rows) for shape in different)
            return found if len(different) <= SHAPES_MAX and room >= bits_min else None
    return None


def _is_placeholder(text: str) -> bool:
    return text.isascii() and len({char for char in text if char.isalnum()}) == 1


def _shape(text: str, alphabet: Alphabet, placeholder: bool) -> Shape | None:
    """What of a text stays: separators, and leading letters up to the last that is not of the alphabet."""
    if len(text) > REFERENCE_CHARS_MAX or text != read_text(text):
        return None
    leading = () if placeholder else takewhile(lambda char: char not in _DECIMAL, text)
    body = max((index + 1 for index, char in enumerate(leading) if char not in alphabet.chars), default=0)
    pattern = tuple(None if index >= body and char.isalnum() else char for index, char in enumerate(text))
    varying = {char for char, fixed in zip(text, pattern, strict=True) if fixed is None}
    if not varying or pattern.count(None) > VARIABLE_CHARS_MAX:
        return None
    if not placeholder and not varying <= set(alphabet.chars):
        return None
    return Shape(pattern, alphabet)


def own_shape(rows: int) -> Shape:
    """The shape for references that cannot keep theirs: as short as names one of 10⁵ releases at 10⁻⁹."""
    length = 1
    while _bits(shape := Shape((None,) * length, OWN), rows) < BITS_OWN:
        length += 1
    return shape


def _bits(shape: Shape, rows: int) -> int:
    """What one reference is worth when its row is unknown: log₂ of the texts of the shape for each row."""
    return (shape.size // rows).bit_length() - 1


def read_text(text: str) -> str:
    """A reference as it is read: NFKC, no invisible characters, no outer blanks."""
    return unicodedata.normalize("NFKC", visible(text)).strip()
