"""Row references that differ by release, and can be read back without knowing their row.

Rule: a reference keeps the length, the alphabet and the leading letters of the one it replaces wherever those leave
enough room. What it holds is

    (number of the row in the original ‖ bits of the release's codeword ‖ zero check bits),

sent through a permutation of all values of its shape that is keyed by the layout key. So whoever holds the layout key
reads row and code bits from the text alone, with key columns dropped, headers renamed and rows in any order; and to
everybody else references of two releases look unrelated.

Why an accusation from it stays valid: row, bits and check are a function of the leak, the original and the layout key,
and no candidate takes part in reading them. The codeword of somebody who never had the file is independent of all
three and uniform at these positions, so it agrees in b bits read with probability 2⁻ᵇ, which is what the Chernoff
bound of `watermark.evidence` charges. The check bits only decide, blindly too, which texts are read at all: they keep
invented references from counting as noise.

Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002: generalised Feistel with cycle
walking; the construction of NIST SP 800-38G with HMAC-SHA-256 as the round function.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

from watermark.sheets import visible

CHECK_BITS: Final = 6
CODE_BITS_MAX: Final = 50
CODE_BITS_FULL: Final = 47
"""Of a reference that cannot keep its shape: one of them names one of 10⁵ releases at 10⁻⁹."""
CODE_BITS_MIN: Final = 24
"""Below this the shape is given up, in a table: two rows still name one of 10⁴."""
CODE_BITS_MIN_FEW: Final = 40
"""The same in a record or a table of few rows, where one reference may be all there is."""
BLOCKS_MAX: Final = 20
"""A row shows one of so many blocks of the segment."""
SHAPES_MAX: Final = 8
"""Shapes of one column that are kept; a column of more is written in one shape of our own."""
VARIABLE_CHARS_MAX: Final = 32
"""Characters of one reference that may vary; 62³² is less than 2¹⁹², well below a round's 2²⁵⁶."""
_ROUNDS: Final = 8
_DECIMAL: Final = "0123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class References:
    """The references of one column.

    Attributes:
        shapes: row of the original → shape of its reference; rows without one carry none.
        rows: rows of the original.
        code_bits: bits of the codeword in each reference.
        key: 32 bytes of the layout.
        originals: what stood there before, as it is compared.
        kept: whether the shapes are the original's.
    """

    shapes: Mapping[int, Shape]
    rows: int
    code_bits: int
    key: bytes
    originals: frozenset[str]
    kept: bool

    @classmethod
    def of(cls, texts: Sequence[str | None], few: bool, key: bytes) -> References | None:
        """Decide the shapes of a column.

        Args:
            texts: the original's cells; None or blank where there is nothing to replace.
            few: whether one reference may be all that is left to go by.
            key: 32 bytes of the layout, for this column alone.

        Returns:
            None when there is nothing to replace.
        """
        cells = {row: text for row, text in enumerate(texts) if text is not None and text.strip()}
        if not cells:
            return None
        shapes = _kept_shapes(cells, len(texts), CODE_BITS_MIN_FEW if few else CODE_BITS_MIN)
        kept = shapes is not None
        if shapes is None:
            shapes = dict.fromkeys(cells, _own_shape(len(texts)))
        bits = min(_code_bits(shape, len(texts)) for shape in set(shapes.values()))
        originals = frozenset(_read_text(text).casefold() for text in cells.values())
        return cls(shapes, len(texts), min(bits, CODE_BITS_MAX), key, originals, kept)

    @property
    def blocks(self) -> int:
        """Blocks of the code segment that the rows show."""
        return min(BLOCKS_MAX, self.rows)

    @property
    def positions(self) -> int:
        """Length of the code segment."""
        return self.blocks * self.code_bits

    def start(self, row: int) -> int:
        """The first code position that a row shows."""
        return row % self.blocks * self.code_bits

    def write(self, row: int, code: int) -> str:
        """The reference of a row.

        Args:
            row: one of `shapes`.
            code: `code_bits` bits of the codeword, the first highest.
        """
        shape = self.shapes[row]
        held = (row << self.code_bits | code) << CHECK_BITS
        return shape.text(permuted(self._shape_key(shape), held, shape.size))

    def read(self, text: str | None) -> tuple[int, int] | None:
        """Row and code bits of a text, None when it is no reference of this column, or an unmarked one."""
        shown = _read_text(text or "")
        if not shown or shown.casefold() in self.originals:
            return None
        for shape in dict.fromkeys(self.shapes.values()):
            value = shape.value(shown)
            if value is None:
                continue
            held = unpermuted(self._shape_key(shape), value, shape.size)
            row, code = divmod(held >> CHECK_BITS, 1 << self.code_bits)
            if held % (1 << CHECK_BITS) == 0 and self.shapes.get(row) == shape:
                return row, code
        return None

    def _shape_key(self, shape: Shape) -> bytes:
        return hmac.digest(self.key, shape.name, "sha256")


def permuted(key: bytes, value: int, size: int) -> int:
    """A keyed permutation of the numbers below `size`."""
    side = isqrt(size - 1) + 1
    while True:
        left, right = divmod(value, side)
        for number in range(_ROUNDS):
            left, right = right, (left + _round(key, number, right)) % side
        value = left * side + right
        if value < size:
            return value


def unpermuted(key: bytes, value: int, size: int) -> int:
    """The inverse of `permuted`."""
    side = isqrt(size - 1) + 1
    while True:
        left, right = divmod(value, side)
        for number in reversed(range(_ROUNDS)):
            left, right = (right - _round(key, number, left)) % side, left
        value = left * side + right
        if value < size:
            return value


def _round(key: bytes, number: int, half: int) -> int:
    return int.from_bytes(hmac.digest(key, bytes((number,)) + half.to_bytes(32, "big"), "sha256"), "big")


def _kept_shapes(cells: Mapping[int, str], rows: int, bits_min: int) -> dict[int, Shape] | None:
    """The shapes under the smallest alphabet that fits every cell and leaves room.

    Cells that repeat one character are placeholders and have no alphabet to keep, only a length; ours is used, since
    sixteen digits would be rounded by a spreadsheet.
    """
    placeholders = all(len({char for char in text if char.isalnum()}) == 1 for text in cells.values())
    for alphabet in (OWN,) if placeholders else KEPT:
        found: dict[str, Shape] = {}
        for text in cells.values():
            shape = None if text in found else _shape(text, alphabet, placeholders)
            if shape is not None:
                found[text] = shape
            elif text not in found:
                break
        else:
            different = set(found.values())
            if len(different) <= SHAPES_MAX and all(_code_bits(s, rows) >= bits_min for s in different):
                return {row: found[text] for row, text in cells.items()}
    return None


def _shape(text: str, alphabet: Alphabet, placeholder: bool) -> Shape | None:
    """Leading letters that are not of the alphabet stay, with all before them, and so do separators."""
    if text != _read_text(text):
        return None
    body = 0
    if not placeholder:
        for index, char in enumerate(text):
            if char in _DECIMAL:
                break
            if char not in alphabet.chars:
                body = index + 1
    pattern = tuple(
        None if index >= body and char.isalnum() else char for index, char in enumerate(text)
    )
    varying = [char for char, fixed in zip(text, pattern, strict=True) if fixed is None]
    if len(varying) > VARIABLE_CHARS_MAX or not (placeholder or set(varying) <= set(alphabet.chars)):
        return None
    return Shape(pattern, alphabet)


def _own_shape(rows: int) -> Shape:
    length = 1
    while _code_bits(shape := Shape((None,) * length, OWN), rows) < CODE_BITS_FULL:
        length += 1
    return shape


def _code_bits(shape: Shape, rows: int) -> int:
    """Bits left for the codeword beside the row's number and the check; negative when there is no room at all."""
    return (shape.size // rows).bit_length() - 1 - CHECK_BITS


def _read_text(text: str) -> str:
    return unicodedata.normalize("NFKC", visible(text)).strip()
