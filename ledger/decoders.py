"""Typed decoders, made by one thread at a time and kept.

msgspec (0.22) describes a struct to itself when its first decoder is made, and other threads see that description
before it is whole: a decoder that they make meanwhile reads what is not there, and ends the process.

Rule: every typed decoding and conversion of the project goes through here. A decoder that is made once may be used
by any number of threads.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from threading import Lock
from typing import Any, Final, TypeVar, cast

import msgspec

T = TypeVar("T")

# Types are those that the code names, some hundreds; the bound is for a program that makes types as it goes.
DECODERS_MAX: Final = 1024

_making: Final = Lock()


@lru_cache(maxsize=DECODERS_MAX)
def _msgpack(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    with _making:
        return msgspec.msgpack.Decoder(kind, strict=True)


@lru_cache(maxsize=DECODERS_MAX)
def _json(kind: Any) -> msgspec.json.Decoder[Any]:
    with _making:
        return msgspec.json.Decoder(kind, strict=True)


def decode_msgpack(data: bytes, kind: type[T]) -> T:
    """One value of a type out of MessagePack, strictly; see `ledger.codec` for canonical bytes.

    Raises:
        msgspec.MsgspecError: no such value. RecursionError: nested too deeply.
    """
    return cast("T", _msgpack(cast("Hashable", kind)).decode(data))


def decode_json(data: bytes | str, kind: type[T]) -> T:
    """One value of a type out of JSON, strictly.

    Raises:
        msgspec.MsgspecError: no such value. RecursionError: nested too deeply.
    """
    return cast("T", _json(cast("Hashable", kind)).decode(data))


def convert(
    value: Any, kind: type[T], *, strict: bool = True, builtin_types: tuple[type, ...] | None = None
) -> T:
    """A value of a type out of plain dicts, lists and texts.

    Args:
        value: them.
        kind: the type.
        strict: whether texts are not taken for numbers and booleans.
        builtin_types: types that are taken as they are, beside JSON's.

    Raises:
        msgspec.ValidationError: no such value.
    """
    _msgpack(cast("Hashable", kind))
    return msgspec.convert(value, kind, strict=strict, builtin_types=builtin_types)
