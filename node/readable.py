"""Wire structs as JSON that people can read: objects with names, bytes as lower-case hexadecimal.

Rule: `from_readable(to_readable(x), type(x)) == x`; what it reads it checks as strictly as `ledger.codec`
does. The canonical encoding stays the only one that is hashed.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from ledger.errors import DecodeError

T = TypeVar("T", bound=Struct)


def to_readable(value: Any) -> Any:
    """The value with structs as dicts, tuples as lists and bytes as hexadecimal text."""
    match value:
        case Struct():
            return {name: to_readable(getattr(value, name)) for name in value.__struct_fields__}
        case bytes():
            return value.hex()
        case tuple() | list():
            return [to_readable(item) for item in value]
        case _:
            return value


def from_readable(data: Any, kind: type[T], *, what: str) -> T:
    """Read such a value.

    Args:
        data: parsed JSON.
        kind: the wire struct expected.
        what: its name, for messages.

    Raises:
        DecodeError: a missing or unknown name, a wrong type, bad hexadecimal, or a value out of range.
    """
    try:
        return msgspec.convert(_positional(data, inspect.type_info(kind), what), kind)
    except msgspec.ValidationError as error:
        raise DecodeError(what=what, reason=str(error)) from None


def _positional(data: Any, kind: inspect.Type, place: str) -> Any:
    """As `msgspec.convert` takes it: structs as lists, bytes as bytes."""
    match kind:
        case inspect.StructType():
            if not isinstance(data, dict):
                raise DecodeError(what=place, reason="not an object")
            names = [field.name for field in kind.fields]
            wrong = sorted(set(names) ^ set(data))
            if wrong:
                reason = "unknown" if wrong[0] in data else "missing"
                raise DecodeError(what=f"{place}.{wrong[0]}", reason=reason)
            return [
                _positional(data[field.name], field.type, f"{place}.{field.name}") for field in kind.fields
            ]
        case inspect.VarTupleType():
            if not isinstance(data, list):
                raise DecodeError(what=place, reason="not a list")
            return [_positional(item, kind.item_type, f"{place}[{n}]") for n, item in enumerate(data)]
        case inspect.BytesType():
            if not isinstance(data, str) or data != data.lower():
                raise DecodeError(what=place, reason="not lower-case hexadecimal")
            try:
                return bytes.fromhex(data)
            except ValueError:
                raise DecodeError(what=place, reason="not lower-case hexadecimal") from None
        case _:
            return data
