"""JSON as it may be deposited: no member twice, no depth without end, no number that is none. Runs in the child.

Rule: a number keeps its text; what its field makes of it is decided by the field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from zhenglian.tables.errors import TableInvalid, TableTooLarge
from zhenglian.tables.limits import CELL_CHARS_MAX, COLUMNS_MAX, JSON_DEPTH_MAX, ROWS_MAX
from zhenglian.tables.rows import Cell, Row

_INTEGER_CHARS_MAX = 17


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _Twice(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def strict_json(text: str, *, line: int) -> Any:
    """Parse one JSON text.

    Args:
        text: bounded by the caller.
        line: where it begins, for the error.

    Raises:
        TableInvalid: json, json_twice.
        TableTooLarge: nested too deeply.
    """
    _check_depth(text)
    try:
        return json.loads(
            text.lstrip("\ufeff"),
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_refused,
            object_pairs_hook=_members,
        )
    except _Twice as error:
        raise TableInvalid("json_twice", column=error.name[:64]) from None
    except json.JSONDecodeError as error:
        raise TableInvalid("json", line=line + error.lineno - 1, detail=error.msg[:80]) from None
    except ValueError as error:
        raise TableInvalid("json", line=line, detail=str(error)[:80]) from None


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Twice(name)
            seen.add(name)
    return found


def _check_depth(text: str) -> None:
    """Count brackets outside of strings, before a parser recurses into them."""
    depth = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                raise TableTooLarge(limit="JSON_DEPTH_MAX", maximum=JSON_DEPTH_MAX)
        elif character in "]}":
            depth -= 1


def read_json(path: Path) -> Iterator[Row]:
    """The rows of a JSON file: an array of objects, or an object that has one under `rows`; numbered from 1.

    Raises:
        TableInvalid, TableTooLarge.
    """
    from zhenglian.tables.texts import whole_text

    document = strict_json(whole_text(path), line=1)
    if isinstance(document, dict) and isinstance(document.get("rows"), list):
        document = document["rows"]
    elif isinstance(document, dict):
        document = [document]
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise TableInvalid("json_shape")
    if len(document) > ROWS_MAX:
        raise TableTooLarge(limit="ROWS_MAX", maximum=ROWS_MAX)
    for number, item in enumerate(document, start=1):
        yield row_of(number, item)


def row_of(number: int, item: Any) -> Row:
    """An object as a row. Raises TableInvalid, TableTooLarge."""
    if not isinstance(item, dict):
        raise TableInvalid("json_shape")
    if len(item) > COLUMNS_MAX:
        raise TableTooLarge(limit="COLUMNS_MAX", maximum=COLUMNS_MAX)
    cells: dict[str, Cell] = {}
    problems: list[tuple[str, str]] = []
    for name, value in item.items():
        if value is None or value in ("", []):
            continue
        cell = _cell(value)
        if cell is None:
            problems.append((name[:64], "cell_kind"))
        else:
            cells[name] = cell
    return Row(number, cells, tuple(problems))


def _cell(value: Any) -> Cell | None:
    """A value as a cell; None if it is of no kind that a cell can be."""
    match value:
        case _Number():
            return _number(value)
        case str():
            if len(value) > CELL_CHARS_MAX:
                raise TableTooLarge(limit="CELL_CHARS_MAX", maximum=CELL_CHARS_MAX)
            return value
        case list():
            return table_of(value)
        case _:
            return None


def _number(text: str) -> str | int:
    whole = text.removeprefix("-")
    return int(text) if whole.isdigit() and len(whole) <= _INTEGER_CHARS_MAX else str(text)


def table_of(items: list[Any]) -> list[dict[str, str | int]] | None:
    """A table inside a row; None if it is none."""
    rows: list[dict[str, str | int]] = []
    for item in items:
        if not isinstance(item, dict) or len(item) > COLUMNS_MAX:
            return None
        row: dict[str, str | int] = {}
        for name, value in item.items():
            match value:
                case None:
                    continue
                case _Number():
                    row[name] = _number(value)
                case str():
                    row[name] = value
                case _:
                    return None
        rows.append(row)
    return rows
