"""XLSX for depositing: the first visible worksheet, with days as days. Runs in the child.

Rule: the package is opened, bounded and parsed by the watermark library's reader; this module adds what a day or a number
means there, from the cell's style. A value that a workbook shows otherwise than it holds it is noted or refused, never guessed.

Source: ECMA-376, part 1, clauses 18.8.30 (number formats), 18.17.4.1 (dates as numbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from watermark.errors import MediaMalformed, MediaTooLarge, WatermarkError
from watermark.packages import WORKBOOK, Element, local
from watermark.xlsx import XlsxFile, parse_xlsx
from zhenglian.tables.errors import TableInvalid, TableTooLarge
from zhenglian.tables.limits import CELL_CHARS_MAX, ROWS_MAX
from zhenglian.tables.rows import Cell, Header, Row
from zhenglian.tables.texts import checked_header

# Number formats that every workbook has and that show a day, those of Chinese editions included (27 to 36, 50 to 58).
_DATE_FORMATS: Final = frozenset({*range(14, 18), 22, *range(27, 32), 36, *range(50, 55), 57, 58})
_TIME_FORMATS: Final = frozenset({18, 19, 20, 21, 32, 33, 34, 35, 45, 46, 47, 55, 56})
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})\Z")
_STYLES: Final = "xl/styles.xml"
_SERIAL_MAX: Final = 2_958_465  # 9999-12-31
# What a binary number in a workbook can be relied on for.
_DIGITS_EXACT: Final = 15
_STYLES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Styles:
    """Which of a workbook's cell styles show a day or a time, and its day 0."""

    days: frozenset[int]
    times: frozenset[int]
    epoch: date
    since_1904: bool


def read_xlsx(path: Path) -> Iterator[Header | Row]:
    """Header and rows of a workbook; a row's number is that of the sheet.

    Raises:
        TableInvalid, TableTooLarge.
    """
    try:
        file = parse_xlsx(path.read_bytes(), titles=False)
        styles = _styles(file)
    except MediaTooLarge as error:
        raise TableTooLarge(limit=str(error.fields["limit"]), maximum=error.fields["maximum"]) from None
    except MediaMalformed as error:
        raise TableInvalid("workbook", detail=str(error.fields["reason"])[:120]) from None
    except WatermarkError as error:
        raise TableInvalid("workbook", detail=str(error)[:120]) from None
    names = dict(
        zip(file.header, checked_header([name.strip() for name in file.sheet.columns]), strict=False)
    )
    rows = [row for child in file.root if local(child) == "sheetData" for row in child if local(row) == "row"]
    if len(file.lines) - 1 > ROWS_MAX:
        raise TableTooLarge(limit="ROWS_MAX", maximum=ROWS_MAX)
    yield Header(tuple(name for name in names.values() if name))
    for line, values in zip(file.lines[1:], file.sheet.rows, strict=True):
        yield _row(rows[line], line, dict(zip(file.header, values, strict=True)), names, styles)


def _row(
    element: Element, line: int, values: dict[int, str | None], names: dict[int, str], styles: _Styles
) -> Row:
    cells: dict[str, Cell] = {}
    problems: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    column = -1
    for cell in element:
        if local(cell) != "c":
            continue
        column = _column(cell, column)
        name = names.get(column, "")
        text = values.get(column)
        if not name:
            if any(local(child) in {"v", "is"} for child in cell):
                problems.append(("", "cell_without_column"))
            continue
        if text is None or not text.strip():
            if any(local(child) == "f" for child in cell):
                problems.append((name, "formula_unknown"))
            continue
        if len(text) > CELL_CHARS_MAX:
            raise TableTooLarge(limit="CELL_CHARS_MAX", maximum=CELL_CHARS_MAX)
        shown, problem, note = _shown(cell, text, styles)
        if problem:
            problems.append((name, problem))
            continue
        if any(local(child) == "f" for child in cell):
            notes.append((name, "formula_result"))
        if note:
            notes.append((name, note))
        cells[name] = shown
    number = element.get("r", "")
    place = int(number) if number.isascii() and number.isdigit() and len(number) <= 7 else line + 1
    return Row(place, cells, tuple(dict.fromkeys(problems)), tuple(notes))


def _column(cell: Element, before: int) -> int:
    match = _REFERENCE.match(cell.get("r", ""))
    if match is None:
        return before + 1
    index = 0
    for letter in match[1]:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _shown(cell: Element, text: str, styles: _Styles) -> tuple[str, str, str]:
    """What a cell shows; what is wrong with it; what reading has changed."""
    kind = cell.get("t", "n")
    if kind == "e":
        return "", "cell_error", ""
    if kind == "b":
        return "", "cell_kind", ""
    if kind == "d":
        return text[:10], "", "workbook_date"
    if kind != "n":
        return text, "", ""
    style = cell.get("s", "0")
    index = int(style) if style.isascii() and style.isdigit() and len(style) <= 6 else 0
    try:
        value = Decimal(text)
    except ArithmeticError:
        return "", "cell_kind", ""
    if not value.is_finite() or abs(value.adjusted()) > 30:
        return "", "cell_kind", ""
    if index in styles.days:
        day = _day(value, styles)
        return (day, "", "workbook_date") if day else ("", "date_unknown", "")
    if index in styles.times:
        return "", "date_unknown", ""
    return _number(value)


def _number(value: Decimal) -> tuple[str, str, str]:
    """A number's digits, of which a workbook keeps fifteen."""
    digits = len(value.as_tuple().digits)
    if value == value.to_integral_value():
        whole = format(value.quantize(Decimal(1)) if abs(value.adjusted()) < 28 else value, "f")
        if len(whole.lstrip("-")) > _DIGITS_EXACT:
            return "", "number_mangled", ""
        return whole, "", ""
    if digits <= _DIGITS_EXACT:
        return format(value, "f"), "", ""
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - _DIGITS_EXACT + 1)).normalize()
    return format(rounded, "f"), "", "workbook_precision"


def _day(value: Decimal, styles: _Styles) -> str:
    """The day of a serial number; empty if it is none, or has a time of day."""
    if value != value.to_integral_value() or not 1 <= value <= _SERIAL_MAX:
        return ""
    serial = int(value)
    # The workbooks' calendar has a 29 February 1900, which never was.
    if not styles.since_1904 and serial <= 60:
        return "" if serial == 60 else (styles.epoch + timedelta(days=serial + 1)).isoformat()
    try:
        return (styles.epoch + timedelta(days=serial)).isoformat()
    except OverflowError:
        return ""


def _styles(file: XlsxFile) -> _Styles:
    since_1904 = any(
        local(element) == "workbookPr" and element.get("date1904") in {"1", "true"}
        for element in file.book.package.xml(WORKBOOK)
    )
    epoch = date(1904, 1, 1) if since_1904 else date(1899, 12, 30)
    if _STYLES not in file.book.package.parts:
        return _Styles(frozenset(), frozenset(), epoch, since_1904)
    root = file.book.package.xml(_STYLES)
    days, times = set(_DATE_FORMATS), set(_TIME_FORMATS)
    for element in root.iter():
        if local(element) == "numFmt" and element.get("numFmtId", "").isdigit():
            plain = _LITERAL.sub("", element.get("formatCode", "")).lower()
            if "y" in plain or "d" in plain:
                days.add(int(element.get("numFmtId")))
            elif "h" in plain or "s" in plain:
                times.add(int(element.get("numFmtId")))
    cells = next((element for element in root if local(element) == "cellXfs"), None)
    formats = [] if cells is None else [style.get("numFmtId", "0") for style in cells if local(style) == "xf"]
    if len(formats) > _STYLES_MAX:
        raise TableTooLarge(limit="_STYLES_MAX", maximum=_STYLES_MAX)
    ids = [int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0 for text in formats]
    return _Styles(
        frozenset(place for place, one in enumerate(ids) if one in days),
        frozenset(place for place, one in enumerate(ids) if one in times),
        epoch,
        since_1904,
    )
