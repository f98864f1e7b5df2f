"""Argument structs as JSON that people write: objects by member name, bytes in hex, a choice named by `type`.

Rule: what is read is put through the canonical codec, so that JSON never allows what the ledger would refuse
as malformed. Members with a default may be left out; unknown ones are refused by name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from ledger import codec
from ledger.errors import DecodeError
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Wire

W = TypeVar("W", bound=Wire)

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


def from_plain(document: Any, kind: type[W], what: str) -> W:
    """The struct that a JSON value describes.

    Args:
        document: decoded JSON.
        kind: a struct of `contracts.calls` or `contracts.records`.
        what: its name in messages.

    Raises:
        DecodeError: names the first member that is wrong.
    """
    value = _value(document, inspect.type_info(kind), what)
    try:
        data = codec.encode(value)
    except (msgspec.MsgspecError, TypeError, OverflowError) as error:
        raise DecodeError(what=what, reason=str(error)) from None
    return codec.decode(data, kind, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX, what=what)


def _value(document: Any, kind: inspect.Type, where: str) -> Any:
    match kind:
        case inspect.StructType():
            return _struct(document, kind, where)
        case inspect.UnionType():
            return _choice(document, kind, where)
        case inspect.BytesType():
            if not isinstance(document, str) or not _HEX.fullmatch(document):
                raise DecodeError(what=where, reason="lower-case hex is expected")
            return bytes.fromhex(document)
        case inspect.VarTupleType():
            if not isinstance(document, list):
                raise DecodeError(what=where, reason="a list is expected")
            return tuple(_value(item, kind.item_type, f"{where}[{i}]") for i, item in enumerate(document))
        case inspect.EnumType():
            try:
                return kind.cls(document)
            except ValueError:
                names = ", ".join(str(member.value) for member in kind.cls)
                raise DecodeError(what=where, reason=f"one of {names} is expected") from None
        case _:
            return document


def _struct(document: Any, kind: inspect.StructType, where: str) -> Any:
    if not isinstance(document, dict):
        raise DecodeError(what=where, reason="an object is expected")
    known = {field.name: field for field in kind.fields}
    given = {name: item for name, item in document.items() if not (name == "type" and kind.tag is not None)}
    for name in given:
        if name not in known:
            raise DecodeError(what=f"{where}.{name}"[:200], reason="no such member")
    for field in kind.fields:
        if field.required and field.name not in given:
            raise DecodeError(what=f"{where}.{field.name}", reason="missing")
    return kind.cls(
        **{name: _value(item, known[name].type, f"{where}.{name}") for name, item in given.items()}
    )


def _choice(document: Any, kind: inspect.UnionType, where: str) -> Any:
    choices = {option.tag: option for option in kind.types if isinstance(option, inspect.StructType)}
    tag = document.get("type") if isinstance(document, dict) else None
    if not isinstance(tag, str) or tag not in choices:
        raise DecodeError(what=f"{where}.type", reason=f"one of {', '.join(map(str, choices))} is expected")
    return _struct(document, choices[tag], where)


def to_plain(value: Any) -> Any:
    """A struct of `contracts.records` or `contracts.calls`, or what occurs in one, as JSON: the way back."""
    match value:
        case Wire():
            tag = value.__struct_config__.tag
            members = {name: to_plain(getattr(value, name)) for name in value.__struct_fields__}
            return members if tag is None else {"type": tag, **members}
        case bytes():
            return value.hex()
        case tuple() | list():
            return [to_plain(item) for item in value]
        case Enum():
            return value.value
        case _:
            return value
