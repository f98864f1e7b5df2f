"""What a row of a file is before anybody knows its fields."""

from __future__ import annotations

from dataclasses import dataclass

# A number stays the text that stands in the file; a table inside a row is a list of objects.
Cell = str | int | list[dict[str, str | int]]


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table that names them once, before its rows."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        number: as a person counts it in the file: the line of a CSV or workbook with the header as 1, the place of an
            object in JSON.
        cells: by column; what is empty is not there.
        problems: (column, code of `zhenglian.rows.problems`) of what could not even be read.
        notes: (column, rule of `zhenglian.rows.normalising`) of what reading has changed.
    """

    number: int
    cells: dict[str, Cell]
    problems: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
