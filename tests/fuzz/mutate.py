"""Structural mutations: an input is read as a tree, one place of it is changed, and it is written again.

Rule: the random generator decides everything. What is no tree of its grammar is mutated as bytes.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

import msgspec

from tests.fuzz.target import Grammar

# What lies at the edges of the types that travel: bounds of integers, sizes of hashes, keys and bitmaps, odd texts.
ODD_VALUES: Final[tuple[Any, ...]] = (
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    2**31,
    2**53 - 1,
    2**53,
    2**63 - 1,
    2**64 - 1,
    -1,
    -(2**63),
    True,
    None,
    0.5,
    "",
    "a",
    "\0",
    "公文",
    "\ufffe",
    "x" * 64,
    "x" * 65,
    b"",
    b"\0",
    b"\x0f",
    b"\xff",
    bytes(8),
    bytes(16),
    bytes(32),
    bytes([0xC0]) + bytes(47),
    bytes([0xC0]) + bytes(95),
    b"\xff" * 96,
    [],
    [[]],
    {},
    {"a": 1},
)
_DEPTH_MAX: Final = 24


def mutated(data: bytes, grammar: Grammar, random: Random, size_bytes_max: int) -> bytes:
    """A neighbour of an input, at most `size_bytes_max` long."""
    if grammar is not Grammar.BYTES and random.random() < 0.7:
        try:
            tree = _read(data, grammar)
            for _ in range(1 + (random.random() < 0.3)):
                tree = _changed(tree, random, 0)
            written = _write(tree, grammar)
        except (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError):
            written = _scrambled(data, random)
    else:
        written = _scrambled(data, random)
    return written[:size_bytes_max]


def _read(data: bytes, grammar: Grammar) -> Any:
    return msgspec.msgpack.decode(data) if grammar is Grammar.MSGPACK else json.loads(data)


def _write(tree: Any, grammar: Grammar) -> bytes:
    if grammar is Grammar.MSGPACK:
        return msgspec.msgpack.encode(tree, order="deterministic")
    shown = json.dumps(tree, ensure_ascii=False, indent=2, default=lambda one: one.hex()) + "\n"
    return shown.encode("utf-8", "surrogatepass")


def _changed(tree: Any, random: Random, depth: int) -> Any:
    """The tree with one place changed: the deeper it branches, the likelier the change is far down."""
    inside = isinstance(tree, list | dict) and bool(tree)
    if inside and depth < _DEPTH_MAX and random.random() < 0.85:
        if isinstance(tree, dict):
            key = random.choice(list(tree))
            return {**tree, key: _changed(tree[key], random, depth + 1)}
        index = random.randrange(len(tree))
        return [*tree[:index], _changed(tree[index], random, depth + 1), *tree[index + 1 :]]
    return _replaced(tree, random)


def _replaced(tree: Any, random: Random) -> Any:
    if random.random() < 0.25:
        return random.choice(ODD_VALUES)
    match tree:
        case bool() | None:
            return random.choice(ODD_VALUES)
        case int():
            return tree + random.choice((-256, -2, -1, 1, 2, 255, 2**32))
        case bytes():
            return _scrambled(tree, random)
        case str():
            at = random.randrange(len(tree) + 1)
            return (
                tree[:at]
                + random.choice(("", "x", "0", "\u200b", "𠀀", tree))
                + tree[at + random.randrange(2) :]
            )
        case list():
            return _rearranged(tree, random)
        case dict():
            return dict(random.sample(list(tree.items()), random.randrange(len(tree) + 1)))
        case _:
            return random.choice(ODD_VALUES)


def _rearranged(items: list[Any], random: Random) -> list[Any]:
    if not items:
        return [random.choice(ODD_VALUES)]
    at = random.randrange(len(items))
    return random.choice(
        (
            items[:at] + items[at + 1 :],
            items[:at] + [items[at]] * random.choice((2, 3, 40)) + items[at + 1 :],
            items[at:] + items[:at],
            items[: at + 1],
            [*items, random.choice(ODD_VALUES)],
        )
    )


def _scrambled(data: bytes, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(out) + 1)
        match random.randrange(6):
            case 0 if out:
                out[at - 1] ^= 1 << random.randrange(8)
            case 1 if out:
                out[at - 1] = random.choice((0, 1, 0x7F, 0x80, 0xC0, 0xFF, random.randrange(256)))
            case 2:
                del out[at : at + random.choice((1, 1, 4, 16))]
            case 3:
                out[at:at] = random.randbytes(random.choice((1, 1, 2, 8)))
            case 4:
                del out[at:]
            case _:
                out[at:at] = out[max(0, at - random.randrange(1, 33)) : at]
    return bytes(out)
