"""Content streams of PDF as operations with their places.

Rule: nothing is rewritten here. An operation says which bytes it takes, so that whoever changes one copies all others
as they stand. Runs of drawing operators, which move no text, are passed over in one step; work is linear in the
stream, and depth and count are bounded.

Source: ISO 32000-2, 7.2 (lexical conventions), 7.8.2 (content streams), 8.9.7 (inline images).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from watermark.limits import PDF_OPERANDS_MAX

_SPACE: Final = rb"\0\t\n\f\r "
_TOKEN: Final = re.compile(
    rb"(?P<space>[\0\t\n\f\r ]+)"
    rb"|(?P<drawing>(?:[-+.\d][-+.\d\0\t\n\f\r ]*[\0\t\n\f\r ])?"
    rb"(?:re|rg|RG|f\*|F|f|B\*|B|b\*|b|S|s|n|W\*|W|m|l|c|v|y|h|w|J|j|M|i|g|G|k|K)(?=[\0\t\n\f\r \[(</%]|\Z))"
    rb"|(?P<numbers>[-+.\d][-+.\d\0\t\n\f\r ]*)"
    rb"|(?P<word>[A-Za-z'\"][A-Za-z0-9'\"*]*)"
    rb"|(?P<name>/[^\0\t\n\f\r ()<>\[\]{}/%]*)"
    rb"|(?P<literal>\((?:[^()\\]|\\[\s\S])*+\))"
    rb"|(?P<hex><[0-9A-Fa-f\0\t\n\f\r ]*>)"
    rb"|(?P<open><<|\[)"
    rb"|(?P<close>>>|\])"
    rb"|(?P<comment>%[^\r\n]*)"
)
_PARENTHESES: Final = re.compile(rb"\\[\s\S]|[()]")
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|(\r\n|[\s\S]))")
_LINE_ENDS: Final = re.compile(rb"\r\n?")
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_IMAGE_END: Final = re.compile(rb"[\0\t\n\f\r ]EI(?=[\0\t\n\f\r ]|\Z)")
_AFTER_IMAGE: Final = re.compile(rb"[\t\n\f\r\x20-\x7e]*")
_AFTER_IMAGE_BYTES: Final = 12
_VALUES: Final = frozenset({b"true", b"false", b"null"})
_DEPTH_MAX: Final = 16


class ContentMalformed(Exception):
    """The stream is not what the standard says; it stays as it is and carries no mark. Never leaves the package."""


class Kind(Enum):
    """What an operand is."""

    NUMBERS = auto()
    NAME = auto()
    LITERAL = auto()
    HEX = auto()
    OPEN = auto()
    CLOSE = auto()
    OTHER = auto()


_KINDS: Final = {
    "numbers": Kind.NUMBERS,
    "name": Kind.NAME,
    "literal": Kind.LITERAL,
    "hex": Kind.HEX,
    "open": Kind.OPEN,
    "close": Kind.CLOSE,
}


@dataclass(frozen=True, slots=True)
class Token:
    """An operand, or a run of numbers.

    Attributes:
        kind: which.
        start: of its first byte.
        end: behind its last byte.
    """

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its operands.

    Attributes:
        name: of the operator; empty for a run of drawing operators, `BI` for a whole inline image.
        operands: in order; brackets are tokens too.
        start: of the first operand's first byte, or of the operator.
        end: behind the operator.
    """

    name: bytes
    operands: tuple[Token, ...]
    start: int
    end: int


def operations(data: bytes) -> Iterator[Operation]:
    """The operations of a content stream.

    Args:
        data: decoded stream.

    Raises:
        ContentMalformed: not a content stream, too many operands, too deep.
    """
    place, depth = 0, 0
    operands: list[Token] = []
    while place < len(data):
        found = _TOKEN.match(data, place)
        group = None if found is None else found.lastgroup
        if found is None or group is None:
            if data[place : place + 1] != b"(":
                raise ContentMalformed(f"byte {place} begins nothing")
            kind, end = Kind.LITERAL, _nested_end(data, place)
        else:
            end = found.end()
            if group in {"space", "comment"}:
                place = end
                continue
            if group == "drawing" or (group == "word" and found.group() not in _VALUES):
                if depth:
                    raise ContentMalformed(f"an operator inside an array at byte {place}")
                name = b"" if group == "drawing" else found.group()
                if name == b"BI":
                    end = _image_end(data, end)
                yield Operation(name, tuple(operands), operands[0].start if operands else place, end)
                operands.clear()
                place = end
                continue
            kind = _KINDS.get(group, Kind.OTHER)
        depth += (kind is Kind.OPEN) - (kind is Kind.CLOSE)
        if not 0 <= depth <= _DEPTH_MAX or len(operands) >= PDF_OPERANDS_MAX:
            raise ContentMalformed(f"brackets or operands out of bounds at byte {place}")
        operands.append(Token(kind, place, end))
        place = end


def numbers(data: bytes, token: Token) -> list[float]:
    """The numbers of a run. Raises ContentMalformed."""
    try:
        values = [float(part) for part in data[token.start : token.end].replace(b"\0", b" ").split()]
    except ValueError as error:
        raise ContentMalformed(f"no number at byte {token.start}") from error
    if any(abs(value) > 1e9 for value in values):
        raise ContentMalformed(f"a number out of bounds at byte {token.start}")
    return values


def string(data: bytes, token: Token) -> bytes:
    """The bytes that a literal or hexadecimal string stands for."""
    body = data[token.start + 1 : token.end - 1]
    if token.kind is Kind.HEX:
        digits = bytes(byte for byte in body if byte not in _SPACE_BYTES)
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
    if b"\r" in body:
        body = _LINE_ENDS.sub(b"\n", body)
    return _ESCAPE.sub(_unescaped, body) if b"\\" in body else body


def literal(code: bytes) -> bytes:
    """A literal string for these bytes."""
    escaped = code.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)").replace(b"\r", b"\\r")
    return b"(" + escaped + b")"


def hexadecimal(code: bytes) -> bytes:
    """A hexadecimal string for these bytes."""
    return b"<" + code.hex().encode("ascii") + b">"


def number(value: float) -> bytes:
    """A number as short as three decimals allow."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return b"0" if text in {"", "-0"} else text.encode("ascii")


_SPACE_BYTES: Final = frozenset(b"\0\t\n\f\r ")


def _unescaped(found: re.Match[bytes]) -> bytes:
    octal, other = found.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if other in {b"\n", b"\r\n", b"\r"}:
        return b""
    return _ESCAPED.get(other, other)


def _nested_end(data: bytes, start: int) -> int:
    """Behind a literal string that holds parentheses."""
    depth = 0
    for found in _PARENTHESES.finditer(data, start):
        match found.group():
            case b"(":
                depth += 1
            case b")":
                depth -= 1
            case _:
                continue
        if depth == 0:
            return found.end()
    raise ContentMalformed(f"a string without end at byte {start}")


def _image_end(data: bytes, start: int) -> int:
    """Behind the EI of an inline image: the first one that is followed by text, since its data may hold the letters."""
    begin = data.find(b"ID", start)
    if begin < 0:
        raise ContentMalformed("an inline image without data")
    for found in _IMAGE_END.finditer(data, begin + 2):
        after = data[found.end() : found.end() + _AFTER_IMAGE_BYTES]
        if _AFTER_IMAGE.fullmatch(after):
            return found.end()
    raise ContentMalformed("an inline image without end")
