"""Wire structs as JSON that people can read, and back, without any freedom in the writing.

Rule: a value has one JSON form. Structs are objects with all their members in the order of the struct; bytes
are lowercase hex; a vote kind is its name in lowercase; where there may be nothing, that is null. Reading
back checks the form and then, by the codec, every bound of the type.
"""

from __future__ import annotations

import json
import re
import types
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from ledger import codec
from ledger.errors import DecodeError, LimitExceeded
from ledger.types import Wire

Tree = dict[str, "Tree"] | list["Tree"] | str | int | None
S = TypeVar("S", bound=Wire)

NESTING_MAX: Final = 32
INTEGER_CHARACTERS_MAX: Final = 20

_STRING_OR_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')
# Possessive, and content with a string that is not ended: hostile text must not be gone over again and again.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


@lru_cache(maxsize=64)
def _members(kind: type[Wire]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, hints[name]) for name in kind.__struct_fields__)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {Union, types.UnionType} else ()


def _choice_from(tree: Any, choices: tuple[Any, ...], where: str) -> Any:
    """A value that may be of several plain types, or nothing at all in place of one type."""
    present = [choice for choice in choices if choice is not types.NoneType]
    if tree is None and len(present) < len(choices):
        return None
    if len(present) == 1:
        return _value_from(tree, present[0], where)
    if type(tree) in present:
        return tree
    raise DecodeError(what=where, reason="not of the expected type")


def to_tree(value: Any, kind: Any) -> Tree:
    """The JSON tree of a value of type `kind`, which is a wire struct or occurs in one."""
    kind = _bare(kind)
    if isinstance(value, Wire):
        return {name: to_tree(getattr(value, name), hint) for name, hint in _members(type(value))}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_tree(item, hint) for item, hint in zip(value, _item_kinds(kind, len(value)), strict=True)]
    if isinstance(value, IntEnum):
        return value.name.lower()
    return cast("str | int | None", value)


def _item_kinds(kind: Any, count: int) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return (kinds[0],) * count
    if len(kinds) != count:
        raise DecodeError(what="list", reason=f"{count} items in place of {len(kinds)}")
    return kinds


def _struct_from(tree: Any, kind: type[Wire], where: str) -> Wire:
    if not isinstance(tree, dict):
        raise DecodeError(what=where, reason="not an object")
    members = _members(kind)
    names = [name for name, _ in members]
    if list(tree) != names:
        unknown = sorted(set(tree) - set(names))
        missing = sorted(set(names) - set(tree))
        raise DecodeError(
            what=where,
            reason=f"unknown members {unknown}, missing members {missing}"[:200]
            if unknown or missing
            else "members out of order",
        )
    return kind(**{name: _value_from(tree[name], hint, f"{where}.{name}") for name, hint in members})


def _bytes_from(tree: Any, where: str) -> bytes:
    try:
        data = bytes.fromhex(tree)
    except (ValueError, TypeError):
        data = None
    if data is None or data.hex() != tree:
        raise DecodeError(what=where, reason="not lowercase hex")
    return data


def _value_from(tree: Any, kind: Any, where: str) -> Any:
    kind = _bare(kind)
    if choices := _choices(kind):
        return _choice_from(tree, choices, where)
    if get_origin(kind) is tuple:
        if not isinstance(tree, list):
            raise DecodeError(what=where, reason="not a list")
        kinds = _item_kinds(kind, len(tree))
        return tuple(
            _value_from(item, hint, f"{where}[{at}]")
            for at, (item, hint) in enumerate(zip(tree, kinds, strict=True))
        )
    if issubclass(kind, Wire):
        return _struct_from(tree, kind, where)
    if issubclass(kind, bytes):
        return _bytes_from(tree, where)
    if issubclass(kind, IntEnum):
        named = {member.name.lower(): member for member in kind}
        if not isinstance(tree, str) or tree not in named:
            raise DecodeError(what=where, reason=f"not one of {', '.join(named)}")
        return named[tree]
    if type(tree) is not kind:
        raise DecodeError(what=where, reason="not of the expected type")
    return tree


def from_tree(tree: Any, kind: type[S], where: str, *, size_bytes_max: int) -> S:
    """The struct whose JSON tree this is.

    Args:
        tree: what `parse` gave.
        kind: the struct's type.
        where: its name, for messages.
        size_bytes_max: bound on its canonical encoding.

    Raises:
        DecodeError: unknown, missing or disordered members, wrong types, a bound of the type passed.
        LimitExceeded: its encoding is larger than `size_bytes_max`.
    """
    value = _struct_from(tree, kind, where)
    try:
        encoded = codec.encode(value)
    except (OverflowError, UnicodeError, msgspec.MsgspecError) as error:
        raise DecodeError(what=where, reason=str(error)) from None
    return codec.decode(encoded, kind, size_bytes_max=size_bytes_max, what=where)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _check_nesting(text: str) -> None:
    """Stop before the parser recurses: how deep it may go is the interpreter's setting, not ours."""
    depth = 0
    for token in _BRACKET.finditer(_STRING.sub("", text)):
        if token.group() in "[{":
            depth += 1
            if depth > NESTING_MAX:
                raise ValueError(f"nested more than {NESTING_MAX} deep")
        else:
            depth -= 1


def _integer(text: str) -> int:
    if len(text) > INTEGER_CHARACTERS_MAX:
        raise ValueError("a number is too long")
    return int(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not an integer")


def parse(text: bytes | str, what: str, *, size_bytes_max: int) -> dict[str, Any]:
    """Read a JSON object without fractions.

    Raises:
        LimitExceeded: the text is larger than `size_bytes_max`.
        DecodeError: not UTF-8, not JSON, a member twice, a fraction, or nested too deep.
    """
    try:
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) > size_bytes_max:
            raise LimitExceeded(limit=f"{what} bytes", maximum=size_bytes_max, actual=len(data))
        shown = data.decode()
        _check_nesting(shown)
        tree = json.loads(
            shown,
            object_pairs_hook=_no_duplicates,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except ValueError as error:
        raise DecodeError(what=what, reason=str(error)[:200]) from None
    if not isinstance(tree, dict):
        raise DecodeError(what=what, reason="not an object")
    return tree


def render(tree: Tree) -> str:
    """The JSON text of a tree: two spaces of indentation, characters as they are, a final newline."""
    return json.dumps(tree, ensure_ascii=False, indent=2) + "\n"


def same_but_for_space(text: bytes | str, tree: Tree) -> bool:
    """Whether the text is the tree as `render` writes it, save for white space between tokens."""
    shown = text if isinstance(text, str) else text.decode()
    return _STRING_OR_SPACE.sub(r"\1", shown) == _STRING_OR_SPACE.sub(r"\1", render(tree))
