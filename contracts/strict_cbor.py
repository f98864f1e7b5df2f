"""Sees whether bytes are one CBOR map as an authenticator has to write it.

Rule: the canonical form of CTAP2 and no other: definite lengths, the shortest heads, keys of a map in ascending order and each
once, valid UTF-8, no tags, no floats, nothing behind the end. What the map says is nobody's business here: no extension is ever
asked for, and an answer to none changes nothing.

Source: CTAP 2.1, section 8; W3C Web Authentication Level 3, 6.1.
"""

from __future__ import annotations

from typing import Final

DEPTH_MAX: Final = 4

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
# false, true, null, undefined.
_SIMPLE_VALUES: Final = (20, 21, 22, 23)
_SHORT_MAX: Final = 23


class _NotCanonical(ValueError):
    pass


def is_text_map(data: bytes) -> bool:
    """Whether `data` is exactly one canonical map whose keys are text, with at least one entry."""
    try:
        end = _item(data, 0, 0)
    except _NotCanonical:
        return False
    if end != len(data) or data[0] >> 5 != _MAP:
        return False
    _, count, at = _head(data, 0)
    for _ in range(count):
        if data[at] >> 5 != _TEXT:
            return False
        at = _item(data, _item(data, at, 1), 1)
    return count > 0


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type and argument of the item at `at`, and where its head ends."""
    if at >= len(data):
        raise _NotCanonical
    major, short = data[at] >> 5, data[at] & 0x1F
    at += 1
    if short <= _SHORT_MAX:
        return major, short, at
    if short > 27 or major == _SIMPLE:
        raise _NotCanonical
    size = 1 << (short - 24)
    argument = int.from_bytes(data[at : at + size], "big")
    least = _SHORT_MAX + 1 if size == 1 else 1 << (4 * size)
    if at + size > len(data) or argument < least:
        raise _NotCanonical
    return major, argument, at + size


def _item(data: bytes, at: int, depth: int) -> int:
    """Where the item at `at` ends."""
    if depth > DEPTH_MAX:
        raise _NotCanonical
    major, argument, at = _head(data, at)
    if major in {_UNSIGNED, _NEGATIVE}:
        return at
    if major in {_BYTES, _TEXT}:
        if argument > len(data) - at:
            raise _NotCanonical
        if major == _TEXT:
            _require_utf8(data[at : at + argument])
        return at + argument
    if major in {_ARRAY, _MAP}:
        # Each entry takes a byte at least, so that a count that cannot be is refused before anything is counted.
        if argument > len(data) - at:
            raise _NotCanonical
        return _array(data, at, argument, depth) if major == _ARRAY else _map(data, at, argument, depth)
    if major == _SIMPLE and argument in _SIMPLE_VALUES:
        return at
    raise _NotCanonical


def _array(data: bytes, at: int, count: int, depth: int) -> int:
    for _ in range(count):
        at = _item(data, at, depth + 1)
    return at


def _map(data: bytes, at: int, count: int, depth: int) -> int:
    before: tuple[int, int, bytes] | None = None
    for _ in range(count):
        end = _item(data, at, depth + 1)
        # Major type first, then the shorter, then the lower (CTAP 2.1, section 8).
        key = (data[at] >> 5, end - at, data[at:end])
        if before is not None and key <= before:
            raise _NotCanonical
        before = key
        at = _item(data, end, depth + 1)
    return at


def _require_utf8(data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotCanonical from None
