"""Hypothesis strategies for the values of any wire type, read off the type itself.

Rule: what is drawn obeys the type's bounds, keeps near them, and is small; so it must encode, decode and re-encode.
"""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from ledger import codec

_ITEMS_MAX: Final = 3
_TEXTS: Final = st.characters(codec="utf-8")


def encodings(kind: Any) -> st.SearchStrategy[bytes]:
    """Canonical encodings of values of a type."""
    return values(kind).map(codec.encode)


@lru_cache(maxsize=256)
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type."""
    return _of(inspect.type_info(kind))


def _of(node: inspect.Type) -> st.SearchStrategy[Any]:
    match node:
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.IntType():
            return _integers(node)
        case inspect.FloatType():
            return st.floats(allow_nan=False)
        case inspect.BytesType() | inspect.ByteArrayType():
            return _sized(st.binary, node.min_length, node.max_length)
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case inspect.StrType():
            return _sized(lambda **size: st.text(_TEXTS, **size), node.min_length, node.max_length)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.LiteralType(values=literals):
            return st.sampled_from(list(literals))
        case inspect.StructType():
            return st.deferred(lambda: _structs(node))
        case inspect.UnionType(types=types):
            return st.one_of(*(_of(one) for one in types))
        case inspect.TupleType(item_types=types):
            return st.tuples(*(_of(one) for one in types))
        case inspect.VarTupleType(item_type=item):
            return _many(item, node.min_length, node.max_length).map(tuple)
        case inspect.ListType(item_type=item):
            return _many(item, node.min_length, node.max_length)
        case inspect.DateTimeType():
            return st.datetimes(timezones=st.just(UTC))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=_ITEMS_MAX)
        case inspect.AnyType() | inspect.RawType():
            return st.none() | st.integers(0, 9) | st.text(max_size=3)
        case _:
            raise TypeError(f"no strategy for {node}")


def _structs(node: inspect.StructType) -> st.SearchStrategy[Any]:
    return st.builds(node.cls, **{field.name: _of(field.type) for field in node.fields})


def _integers(node: inspect.IntType) -> st.SearchStrategy[int]:
    lowest = node.ge if node.ge is not None else (node.gt + 1 if node.gt is not None else -(2**63))
    highest = node.le if node.le is not None else (node.lt - 1 if node.lt is not None else 2**64 - 1)
    return st.integers(int(lowest), int(highest)) | st.integers(
        int(lowest), min(int(highest), int(lowest) + 8)
    )


def _sized(make: Any, min_length: int | None, max_length: int | None) -> st.SearchStrategy[Any]:
    low = min_length or 0
    high = low + 12 if max_length is None else min(max_length, low + 12)
    drawn: st.SearchStrategy[Any] = make(min_size=low, max_size=high)
    return drawn


def _many(item: inspect.Type, min_length: int | None, max_length: int | None) -> st.SearchStrategy[list[Any]]:
    low = min_length or 0
    high = low + _ITEMS_MAX if max_length is None else min(max_length, low + _ITEMS_MAX)
    return st.lists(_of(item), min_size=low, max_size=high)


def json_bodies(kind: Any) -> st.SearchStrategy[bytes]:
    """JSON of values of a type."""
    return values(kind).map(msgspec.json.encode)
