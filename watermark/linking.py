"""Which row of a leak is which row of the original.

Rule: a row is linked by the strongest means that names exactly one original row: its declared key, then all unmarked
values, then the nearest numbers. What cannot be linked is an erasure. Nothing here depends on a codeword.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Final

from watermark.limits import COLUMN_PAIRS_MAX
from watermark.policy import TableSchema
from watermark.sheets import Sheet, number, plain, shown_number, visible

COMPARISONS_MAX: Final = 2_000_000
"""Row pairs compared by their numbers."""
_OVERLAP_MIN: Final = 0.6
_SAMPLE_ROWS: Final = 500
_CARRIER_SAMPLE_ROWS: Final = 100
_NUMBERS_MIN: Final = 2
_CARRIER_SHARE_MIN: Final = 0.8
_CARRIER_ROWS_MIN: Final = 5


@dataclass(frozen=True, slots=True)
class Links:
    """How a leak lies on its original.

    Attributes:
        rows: leak row → original row, one to one where the leak repeats nothing.
        columns: original column → leak column.
        how: means → rows linked by it.
    """

    rows: Mapping[int, int]
    columns: Mapping[int, int]
    how: Mapping[str, int]

    def describe(self, leak: Sheet, original: Sheet) -> str:
        """One line for a report."""
        means = ", ".join(f"{name} {count}" for name, count in self.how.items() if count) or "none"
        return (
            f"rows {len(self.rows)} of {len(leak.rows)} leaked, {len(original.rows)} original ({means}); "
            f"columns {len(self.columns)} of {len(original.columns)}"
        )


def row_keys(sheet: Sheet, schema: TableSchema) -> list[str | None]:
    """The name of each row: its declared keys, else all its unmarked values. None where two rows share it."""
    if len(sheet.rows) == 1:
        return [""]
    columns = _indexes(sheet, schema.keys) if schema.keys else _unmarked(sheet, schema)
    return _unique([_joined(row, columns) for row in sheet.rows])


def link(leak: Sheet, original: Sheet, schema: TableSchema) -> Links:
    """Link columns by name and content, then rows, then the columns that only rows can tell."""
    columns = _columns(leak, original, schema)
    if len(original.rows) == 1 and len(leak.rows) == 1:
        return Links({0: 0}, columns, {"record": 1})
    rows: dict[int, int] = {}
    how: dict[str, int] = {}
    keys = _indexes(original, schema.keys)
    if keys and all(column in columns for column in keys):
        how["key"] = _by_values(rows, leak, original, columns, keys)
    unmarked = [column for column in _unmarked(original, schema) if column in columns]
    if unmarked:
        how["values"] = _by_values(rows, leak, original, columns, unmarked)
    numeric = [column for column in _indexes(original, schema.tolerances) if column in columns]
    if len(numeric) >= _NUMBERS_MIN:
        deltas = [schema.tolerances[original.columns[column]] for column in numeric]
        how["numbers"] = _by_numbers(rows, leak, original, columns, numeric, deltas)
    _carrier_columns(rows, leak, original, columns, schema)
    return Links(rows, columns, how)


def _indexes(sheet: Sheet, names: Iterable[str]) -> list[int]:
    return [sheet.columns.index(name) for name in names if name in sheet.columns]


def _unmarked(sheet: Sheet, schema: TableSchema) -> list[int]:
    return [index for index, name in enumerate(sheet.columns) if name not in schema.carriers]


def _joined(row: Sequence[str | None], columns: Iterable[int]) -> str:
    return "\x1f".join(plain(row[column]) for column in columns)


def _unique(names: list[str]) -> list[str | None]:
    counts = Counter(names)
    return [name if counts[name] == 1 and name.strip("\x1f") else None for name in names]


def _by_values(
    rows: dict[int, int], leak: Sheet, original: Sheet, columns: Mapping[int, int], used: list[int]
) -> int:
    names = _unique([_joined(row, used) for row in original.rows])
    place = {name: index for index, name in enumerate(names) if name is not None}
    taken = set(rows.values())
    before = len(rows)
    for index, row in enumerate(leak.rows):
        if index not in rows:
            found = place.get(_joined(row, [columns[column] for column in used]))
            if found is not None and found not in taken:
                rows[index] = found
                taken.add(found)
    return len(rows) - before


def _by_numbers(
    rows: dict[int, int],
    leak: Sheet,
    original: Sheet,
    columns: Mapping[int, int],
    numeric: list[int],
    deltas: list[Decimal],
) -> int:
    """Rows whose numbers all lie within the tolerance of exactly one original row that is not taken."""
    taken, before, compared = set(rows.values()), len(rows), 0
    ordered = sorted(
        (values, index)
        for index, row in enumerate(original.rows)
        if index not in taken and (values := _numbers(row, numeric)) is not None
    )
    firsts = [values[0] for values, _ in ordered]
    for index, row in enumerate(leak.rows):
        values = None if index in rows else _numbers(row, [columns[column] for column in numeric])
        if values is None:
            continue
        place = bisect_left(firsts, values[0] - deltas[0])
        hits: list[int] = []
        while place < len(ordered) and firsts[place] <= values[0] + deltas[0] and compared < COMPARISONS_MAX:
            compared += 1
            theirs, found = ordered[place]
            if all(abs(a - b) <= delta for a, b, delta in zip(values, theirs, deltas, strict=True)):
                hits.append(found)
            place += 1
        if len(hits) == 1 and hits[0] not in taken:
            rows[index] = hits[0]
            taken.add(hits[0])
    return len(rows) - before


def _numbers(row: Sequence[str | None], columns: Iterable[int]) -> tuple[Decimal, ...] | None:
    values = [shown_number(plain(row[column])) for column in columns]
    present = tuple(value for value in values if value is not None)
    return present if len(present) == len(values) else None


def _columns(leak: Sheet, original: Sheet, schema: TableSchema) -> dict[int, int]:
    """Original column → leak column: by name, the rest by content."""
    names = {plain(name): index for index, name in reversed(list(enumerate(leak.columns)))}
    columns = {
        index: names[plain(name)] for index, name in enumerate(original.columns) if plain(name) in names
    }
    free = {
        index: [text for row in leak.rows[:_SAMPLE_ROWS] if (text := plain(row[index]))]
        for index in unlinked(leak, columns)
    }
    pairs = 0
    for index in _unmarked(original, schema):
        pairs += len(free)
        if index in columns or not free or pairs > COLUMN_PAIRS_MAX:
            continue
        here = {plain(row[index]) for row in original.rows} - {""}
        share, other = max((_overlap(texts, here), -other) for other, texts in free.items())
        if share >= _OVERLAP_MIN:
            columns[index] = -other
            del free[-other]
    return columns


def unlinked(leak: Sheet, columns: Mapping[int, int]) -> list[int]:
    """Columns of the leak that lie on none of the original."""
    linked = set(columns.values())
    return [index for index in range(len(leak.columns)) if index not in linked]


def _carrier_columns(
    rows: Mapping[int, int], leak: Sheet, original: Sheet, columns: dict[int, int], schema: TableSchema
) -> None:
    """Find renamed columns that carry marks by what stands in rows that are already linked."""
    sample = list(islice(rows.items(), _CARRIER_SAMPLE_ROWS))
    if len(sample) < _CARRIER_ROWS_MIN:
        return
    pairs = 0
    for index in _indexes(original, (*schema.tolerances, *schema.free_text)):
        free = unlinked(leak, columns)
        if index in columns or not free:
            continue
        pairs += len(free)
        if pairs > COLUMN_PAIRS_MAX:
            return
        delta = schema.tolerances.get(original.columns[index])
        alike = [
            (sum(_alike(leak.rows[a][other], original.rows[b][index], delta) for a, b in sample), -other)
            for other in free
        ]
        count, other = max(alike)
        if count >= _CARRIER_SHARE_MIN * len(sample):
            columns[index] = -other


def _alike(leaked: str | None, original: str | None, delta: Decimal | None) -> bool:
    """Equal but for what a mark may change."""
    if delta is None:
        return visible(leaked or "") == (original or "") != ""
    a, b = shown_number(plain(leaked)), number(original)
    return a is not None and b is not None and abs(a - b) <= delta


def _overlap(sample: list[str], values: set[str]) -> float:
    return sum(text in values for text in sample) / len(sample) if sample and len(values) > 1 else 0.0
