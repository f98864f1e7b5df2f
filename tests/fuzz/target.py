"""What is fuzzed: a function of bytes that faces a peer, the errors it may answer with, and what its inputs look like.

Rule: `run` returns, or raises one of `errors`. Everything else (another exception, a broken invariant, an answer that takes
too long or too much memory, bytes that decode and re-encode to others) is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from hypothesis import strategies as st

from ledger.errors import DecodeError, LedgerError


class Grammar(Enum):
    """How the structural mutator reads an input."""

    BYTES = "bytes"
    MSGPACK = "msgpack"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One function to be fuzzed.

    Attributes:
        name: "<package>.<what>", also the folder of its corpus.
        run: takes in one input and judges what came of it.
        seeds: inputs to begin with, made of real encodings, so that they follow when an encoding changes.
        examples: what Hypothesis draws inputs from, beside mutations of the corpus; None for plain bytes.
        errors: what `run` may raise.
        grammar: of its inputs.
        size_bytes_max: of an input.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    examples: Callable[[], st.SearchStrategy[bytes]] | None = None
    errors: tuple[type[Exception], ...] = (LedgerError,)
    grammar: Grammar = Grammar.BYTES
    size_bytes_max: int = 4096


class Broken(AssertionError):
    """A property does not hold."""


def require(condition: object, message: str) -> None:
    """Unlike `assert`, also holds when Python runs with -O.

    Raises:
        Broken: the condition is false.
    """
    if not condition:
        raise Broken(message)


class Script:
    """Reads choices off an input, for targets that take a course of events; an input that is used up chooses 0.

    Attributes:
        ended: whether the input is used up.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1; one byte for limits to 256, else eight."""
        size = 1 if limit <= 256 else 8
        chosen = int.from_bytes(self._data[self._at : self._at + size], "big")
        self._at += size
        return chosen % limit

    def some(self, size_bytes: int) -> bytes:
        """That many bytes of the input, zeros behind its end."""
        taken = self._data[self._at : self._at + size_bytes]
        self._at += size_bytes
        return taken + bytes(size_bytes - len(taken))

    def rest(self) -> bytes:
        """What is left of the input."""
        taken = self._data[self._at :]
        self._at = len(self._data)
        return taken


def read_script(data: bytes, kind: Any) -> Any:
    """An input that is a MessagePack script of the target's own making.

    Raises:
        DecodeError: it is none.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(what="script", reason=type(error).__name__) from None
