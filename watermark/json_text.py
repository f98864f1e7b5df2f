"""JSON and JSON Lines, read and written without losing a digit.

Rule: numbers are kept as the text they stand in; indentation, separators and escaping are written as found whenever
the file follows one of the usual styles. Duplicate names and non-finite numbers are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from watermark.errors import MediaMalformed, MediaTooLarge
from watermark.limits import (
    CELL_CHARS_MAX,
    JSON_DEPTH_MAX,
    JSON_FIELDS_MAX,
    JSON_TOKENS_MAX,
    TABLE_CELLS_MAX,
    TABLE_ROWS_MAX,
    within,
)
from watermark.sheets import Changes, Literal, Sheet, decode_text, encode_text

Json = str | list["Json"] | dict[str, "Json"]
Path = tuple[str | int, ...]
KeyOrder = Callable[[Path, list[str]], list[str]]
"""(path of an object, its keys) → its keys in the order to be written."""

_LAYOUTS: Final = ((",", ":"), (", ", ": "), (",", ": "))
_LINE_END: Final = re.compile(r"\r\n|\n")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SAMPLE_ROWS: Final = 3


@dataclass(frozen=True, slots=True)
class Style:
    """How a value is laid out: indentation (None: one line), separators, and whether non-ASCII is escaped."""

    indent: str | None
    comma: str
    colon: str
    ascii_only: bool


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A parsed file.

    Attributes:
        values: the rows: one for a single record.
        shape: "record", "rows" (an array of objects) or "lines".
        style: how it is laid out.
        line_end: what stands between lines of JSON Lines.
        tail: text after the last value (a line end or nothing).
        encoding: name for Python's codecs.
        paths: path of each column of `sheet`.
        sheet: leaves by dotted path.
    """

    values: tuple[dict[str, Json], ...]
    shape: str
    style: Style
    line_end: str
    tail: str
    encoding: str
    paths: tuple[Path, ...]
    sheet: Sheet

    def written(
        self,
        changes: Changes,
        order: Sequence[int],
        key_order: KeyOrder | None = None,
    ) -> bytes:
        """The file with changes made and rows in order; a changed text stays a text and a number a number.

        Args:
            changes: (row, column) → new text.
            order: indexes of rows.
            key_order: the order of keys, as found when None.
        """
        by_row: dict[int, dict[Path, str]] = {}
        for (row, column), text in changes.items():
            by_row.setdefault(row, {})[self.paths[column]] = text
        rows: list[Json] = [_changed(self.values[row], by_row.get(row, {}), key_order, ()) for row in order]
        if self.shape == "lines":
            text = self.line_end.join(dump(row, self.style) for row in rows)
        else:
            text = dump(rows[0] if self.shape == "record" else rows, self.style)
        return encode_text(text + self.tail, self.encoding)

    def holding(self, record: dict[str, Json]) -> JsonFile:
        """The same file, were it this single record.

        Raises:
            MediaTooLarge: more fields than the limit.
        """
        paths, sheet = _sheet((record,))
        return replace(self, values=(record,), shape="record", paths=paths, sheet=sheet)


def parse_json(data: bytes) -> JsonFile:
    """Parse a JSON object, an array of objects, or JSON Lines of objects.

    Raises:
        MediaMalformed: no such text, duplicate names, lone surrogates.
        MediaTooLarge: more values, rows, fields or characters than the limits, or too deep.
    """
    text, encoding = decode_text(data, "JSON")
    within("JSON_TOKENS_MAX", JSON_TOKENS_MAX, sum(text.count(token) for token in ",[{"))
    body = text.rstrip()
    value: Json
    try:
        value = _loads(body)
        shape = "record" if isinstance(value, dict) else "rows"
    except json.JSONDecodeError as error:
        value, shape = _loads_lines(body, error), "lines"
    values = [value] if isinstance(value, dict) else value
    if not isinstance(values, list) or not values or not all(isinstance(row, dict) for row in values):
        raise MediaMalformed(
            what="JSON", reason="an object, an array of objects or lines of objects is expected"
        )
    within("TABLE_ROWS_MAX", TABLE_ROWS_MAX, len(values))
    rows = tuple(row for row in values if isinstance(row, dict))
    paths, sheet = _sheet(rows)
    ends = _LINE_END.search(body) if shape == "lines" else None
    sample: Json = [*rows[:_SAMPLE_ROWS]] if shape == "rows" else rows[0]
    style = _style(sample, body[: ends.start()] if ends else body, whole=len(values) <= _SAMPLE_ROWS)
    return JsonFile(
        rows, shape, style, ends.group() if ends else "\n", text[len(body) :], encoding, paths, sheet
    )


def objects(record: Json, path: Path = ()) -> Iterator[tuple[Path, dict[str, Json]]]:
    """Every object of a record with its path, outermost first; what stands inside arrays is not looked at."""
    if isinstance(record, dict):
        yield path, record
        for name, member in record.items():
            yield from objects(member, (*path, name))


def dotted(path: Path) -> str:
    """`holder.name`, `items.0.price`."""
    return ".".join(str(step) for step in path)


def dump(value: Json, style: Style, depth: int = 0) -> str:
    """Serialise in a style."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=style.ascii_only)
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, dict):
        parts = [
            json.dumps(name, ensure_ascii=style.ascii_only) + style.colon + dump(member, style, depth + 1)
            for name, member in value.items()
        ]
        left, right = "{", "}"
    else:
        parts = [dump(member, style, depth + 1) for member in value]
        left, right = "[", "]"
    if style.indent is None:
        return left + style.comma.join(parts) + right
    inner = "\n" + style.indent * (depth + 1)
    return left + inner + (style.comma + inner).join(parts) + "\n" + style.indent * depth + right


def _loads(text: str) -> Json:
    try:
        value = json.loads(
            text,
            parse_float=Literal,
            parse_int=Literal,
            parse_constant=_not_finite,
            object_pairs_hook=_unique,
        )
        return _checked(value, 0)
    except RecursionError as error:
        raise _too_deep() from error


def _loads_lines(body: str, error: json.JSONDecodeError) -> list[Json]:
    # Not splitlines(): a text may hold U+2028 and its like, which end a line for Python and not in JSON.
    lines = [line for line in _LINE_END.split(body) if line.strip()]
    if len(lines) < 2 or "Extra data" not in error.msg:
        raise MediaMalformed(what="JSON", reason=str(error)[:200]) from error
    within("TABLE_ROWS_MAX", TABLE_ROWS_MAX, len(lines))
    try:
        return [_loads(line) for line in lines]
    except json.JSONDecodeError as inner:
        raise MediaMalformed(what="JSON", reason=str(inner)[:200]) from inner


def _checked(value: object, depth: int) -> Json:
    """The value with true, false and null as literals, and its depth and texts within bounds."""
    if depth > JSON_DEPTH_MAX:
        raise _too_deep()
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, dict):
        return {_checked_text(name): _checked(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_checked(member, depth + 1) for member in value]
    return Literal("null" if value is None else "true" if value else "false")


def _checked_text(text: str) -> str:
    within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(text))
    if not text.isascii() and _SURROGATE.search(text):
        raise MediaMalformed(what="JSON", reason="a lone surrogate")
    return text


def _too_deep() -> MediaTooLarge:
    """What lies below the first level too many is not looked at."""
    return MediaTooLarge(limit="JSON_DEPTH_MAX", maximum=JSON_DEPTH_MAX, actual=JSON_DEPTH_MAX + 1)


def _not_finite(text: str) -> Literal:
    raise MediaMalformed(what="JSON", reason=f"{text} is not a JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise MediaMalformed(what="JSON", reason="a name stands twice in one object")
    return names


def _leaves(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    else:
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for step, member in members:
            yield from _leaves(member, (*path, step))


def _sheet(rows: tuple[dict[str, Json], ...]) -> tuple[tuple[Path, ...], Sheet]:
    columns: dict[Path, int] = {}
    cells: list[dict[Path, str]] = []
    count = 0
    for row in rows:
        leaves = dict(islice(_leaves(row, ()), JSON_FIELDS_MAX + 1))
        count += len(leaves)
        within("JSON_FIELDS_MAX", JSON_FIELDS_MAX, len(leaves))
        for path in leaves:
            columns.setdefault(path, len(columns))
        within("JSON_FIELDS_MAX", JSON_FIELDS_MAX, len(columns))
        within("TABLE_CELLS_MAX", TABLE_CELLS_MAX, max(count, len(columns) * len(rows)))
        cells.append(leaves)
    paths = tuple(columns)
    texts = tuple(tuple(leaves.get(path) for path in paths) for leaves in cells)
    return paths, Sheet(tuple(dotted(path) for path in paths), texts)


def _style(sample: Json, text: str, whole: bool) -> Style:
    """The style that gives the file back, by its first values; else a similar one.

    Args:
        sample: the file's value, or its first rows.
        text: the file.
        whole: whether the sample is all there is.
    """
    found = re.match(r"[{\[]\r?\n([ \t]+)", text)
    indent = found.group(1) if found else None
    ascii_only = text.isascii() and "\\u" in text
    for comma, colon in _LAYOUTS:
        style = Style(indent, comma, colon, ascii_only)
        shown = dump(sample, style)
        if shown == text if whole else text.startswith(shown.rstrip("]\n")):
            return style
    return Style(indent, "," if indent else ", ", ": ", ascii_only)


def _changed(
    value: Json,
    changes: Mapping[Path, str],
    key_order: KeyOrder | None,
    path: Path,
) -> Json:
    if isinstance(value, str):
        new = changes.get(path)
        return value if new is None else Literal(new) if isinstance(value, Literal) else new
    if isinstance(value, list):
        return [_changed(member, changes, key_order, (*path, index)) for index, member in enumerate(value)]
    names = list(value)
    if key_order is not None:
        names = key_order(path, names)
    return {name: _changed(value[name], changes, key_order, (*path, name)) for name in names}
