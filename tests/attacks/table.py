"""What an attack is, and the table of them.

Rule: `expected` is written before the attack is run and never changed to fit what came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from tests.attacks.scene import Scene

Try = Callable[["Scene"], str]
F = TypeVar("F", bound=Callable[["Scene"], str])


class Succeeded(AssertionError):
    """The attacker got what nobody may get; the text says what."""


class Attack(msgspec.Struct, frozen=True):
    """An attack.

    Attributes:
        name: what people call it.
        attacker: what the attacker has.
        expected: what the design says comes of it.
        attempt: does it; returns what came.
        quick: whether it is part of `make test`.
    """

    name: str
    attacker: str
    expected: str
    attempt: Try
    quick: bool


class Row(msgspec.Struct, frozen=True):
    """A line of the table; `held` is whether the attack was withstood."""

    attack: str
    attacker: str
    expected: str
    got: str
    held: bool
    seconds: float


ATTACKS: Final[dict[str, Attack]] = {}


def attack(name: str, *, attacker: str, expected: str, quick: bool = False) -> Callable[[F], F]:
    """Put a function into the table of attacks."""

    def put(attempt: F) -> F:
        assert name not in ATTACKS, f"two attacks are called {name}"
        ATTACKS[name] = Attack(name, attacker, expected, attempt, quick)
        return attempt

    return put


def must(condition: object, what: str) -> None:
    """Raise `Succeeded` unless so."""
    if not condition:
        raise Succeeded(what)


def render(rows: Sequence[Row]) -> str:
    """The table as text, its columns as wide as what is in them, at most 48 characters."""
    columns = [("attack", "expected", "got", "")] + [
        (row.attack, row.expected, row.got, "held" if row.held else "BROKEN") for row in rows
    ]
    widths = [min(48, max(len(line[at]) for line in columns)) for at in range(4)]
    lines: list[str] = []
    for line in columns:
        cells = [_wrapped(text, width) for text, width in zip(line, widths, strict=True)]
        for at in range(max(map(len, cells))):
            parts = [
                (cell[at] if at < len(cell) else "").ljust(width)
                for cell, width in zip(cells, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
