"""Reads a small JSON object, with one verdict on every node.

Rule: what is read is RFC 8259 in valid UTF-8 and nothing beside it: no byte order mark, no member twice in one object, no half of
a surrogate pair, no value behind the end. How deep, how many and how long is bounded here and not by a library's stack, since
whether a block is valid hangs on it. A number is kept as its text: nobody here calculates with one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DEPTH_MAX: Final = 4
VALUES_MAX: Final = 128

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*+')
_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final[tuple[tuple[str, bool | None], ...]] = (("true", True), ("false", False), ("null", None))


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it is written."""

    text: str


Value = dict[str, "Value"] | list["Value"] | str | bool | Number | None


class NotStrict(ValueError):
    """The bytes are not what this module reads."""


def read_object(data: bytes) -> dict[str, Value]:
    """Read one object.

    Args:
        data: all of it; the caller bounds its size.

    Returns:
        Its members in their order.

    Raises:
        NotStrict: it is anything else.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrict("not UTF-8") from None
    reader = _Reader(text)
    value = reader.value(0)
    reader.end()
    if not isinstance(value, dict):
        raise NotStrict("not an object")
    return value


class _Reader:
    __slots__ = ("_at", "_text", "_values")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._values = 0

    def end(self) -> None:
        self._space()
        if self._at != len(self._text):
            raise NotStrict("something behind the end")

    def value(self, depth: int) -> Value:
        self._values += 1
        if depth > DEPTH_MAX or self._values > VALUES_MAX:
            raise NotStrict("too deep or too many values")
        self._space()
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                return self._string()
            case _:
                return self._word_or_number()

    def _object(self, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        self._at += 1
        if self._takes("}"):
            return members
        while True:
            self._space()
            name = self._string()
            if name in members:
                raise NotStrict("a member twice")
            self._need(":")
            members[name] = self.value(depth + 1)
            if self._takes("}"):
                return members
            self._need(",")

    def _array(self, depth: int) -> list[Value]:
        items: list[Value] = []
        self._at += 1
        if self._takes("]"):
            return items
        while True:
            items.append(self.value(depth + 1))
            if self._takes("]"):
                return items
            self._need(",")

    def _string(self) -> str:
        if not self._takes('"', spaced=False):
            raise NotStrict("no string where one belongs")
        parts: list[str] = []
        while True:
            parts.append(self._match(_PLAIN))
            if self._takes('"', spaced=False):
                break
            if not self._takes("\\", spaced=False):
                raise NotStrict("a string without an end, or a control character in it")
            parts.append(self._escape())
        try:
            # Pairs of surrogates come together; a half alone cannot be encoded.
            return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise NotStrict("half a surrogate pair") from None

    def _escape(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter == "u":
            digits = self._match(_HEX)
            return chr(int(digits, 16))
        if letter not in _ESCAPES:
            raise NotStrict("an unknown escape")
        return _ESCAPES[letter]

    def _word_or_number(self) -> Value:
        for word, value in _WORDS:
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        return Number(self._match(_NUMBER))

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise NotStrict("no JSON")
        self._at = found.end()
        return found.group()

    def _space(self) -> None:
        self._match(_SPACE)

    def _takes(self, character: str, *, spaced: bool = True) -> bool:
        if spaced:
            self._space()
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    def _need(self, character: str) -> None:
        if not self._takes(character):
            raise NotStrict(f"no {character} where one belongs")
