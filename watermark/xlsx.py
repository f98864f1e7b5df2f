"""XLSX: one visible worksheet as a table, changed cell by cell.

Rule: a cell that is not changed keeps its XML; styles, other sheets, drawings and formulas stay as they are. A formula's
result, rich text, a boolean, an error or a date by itself is never a carrier of text. Rows change places only on a sheet where
nothing points to a row.

Source: ECMA-376, part 1, clauses 18.3 (worksheets) and 18.4 (shared strings).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from watermark.errors import MediaMalformed
from watermark.limits import (
    CELL_CHARS_MAX,
    TABLE_CELLS_MAX,
    TABLE_CHARS_MAX,
    TABLE_COLUMNS_MAX,
    TABLE_ROWS_MAX,
    XLSX_STRINGS_MAX,
    within,
)
from watermark.packages import WORKBOOK, Element, Package, local, open_package, sibling
from watermark.sheets import HEADER_SAMPLE_LINES, Changes, Fixed, Literal, Sheet, header_place, plain

_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})\Z")
_SPACE: Final = "{http://www.w3.org/XML/1998/namespace}space"
# Numbers of the formats for dates and times that every workbook has, those of East Asia included: first, and one past the last.
_DATE_FORMATS: Final = ((14, 23), (27, 37), (45, 48), (50, 59))
_NOT_CODE: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|General', re.IGNORECASE)
_DATE_CODE: Final = re.compile("[dmyhs]", re.IGNORECASE)
# Elements of a worksheet that name no row, or all rows alike; with any other, rows keep their places.
_ROWLESS: Final = frozenset(
    {
        "sheetPr",
        "dimension",
        "sheetViews",
        "sheetFormatPr",
        "cols",
        "sheetData",
        "sheetCalcPr",
        "phoneticPr",
        "printOptions",
        "pageMargins",
        "pageSetup",
        "headerFooter",
    }
)


@dataclass(frozen=True, slots=True)
class Workbook:
    """What worksheets share.

    Attributes:
        package: all parts.
        strings: the shared strings.
        dates: indexes of the cell styles that show a date.
    """

    package: Package
    strings: list[str]
    dates: frozenset[str]


@dataclass(frozen=True, slots=True)
class XlsxFile:
    """A parsed workbook.

    Attributes:
        book: the workbook that it stands in.
        part: name of the worksheet that is the table.
        root: its root element; never changed.
        lines: the row elements: the header, then those of `sheet.rows`.
        header: column letters' index of each column of `sheet`.
        sheet: the decoded table.
        movable: whether rows may change places.
        formulas: whether any cell holds a formula.
    """

    book: Workbook
    part: str
    root: Element
    lines: tuple[int, ...]
    header: tuple[int, ...]
    sheet: Sheet
    movable: bool
    formulas: bool

    def naming(self, names: AbstractSet[str]) -> XlsxFile:
        """The same workbook, its table below the line with most of these names (as `plain` gives them) on the first visible
        worksheet that has any; as it is where none has.
        """
        for part in _worksheets(self.book.package):
            found = self if part == self.part and self._named(names) else _table(self.book, part, names)
            if found is not None and found._named(names):
                return found
        return self

    def _named(self, names: AbstractSet[str]) -> bool:
        return any(plain(column) in names for column in self.sheet.columns)

    def written(self, changes: Changes, order: Sequence[int]) -> bytes:
        """The file with changes made and rows in order."""
        root = copy.deepcopy(self.root)
        data = next(child for child in root if local(child) == "sheetData")
        rows = [row for row in data if local(row) == "row"]
        wanted: dict[int, dict[int, str]] = {}
        for (row, column), text in changes.items():
            wanted.setdefault(self.lines[row + 1], {})[self.header[column]] = text
        for place, texts in wanted.items():
            for cell, column in _cells(rows[place], self.book.package.what):
                if column in texts:
                    _set(cell, texts[column])
        if self.movable:
            self._move(rows, order)
        return self.book.package.written({self.part: root})

    def _move(self, rows: list[Element], order: Sequence[int]) -> None:
        """Exchange the cells of rows; each row element keeps its number and height."""
        places = self.lines[1:]
        cells = [list(rows[place]) for place in places]
        for target, source in enumerate(order):
            if target == source:
                continue
            row = rows[places[target]]
            for child in list(row):
                row.remove(child)
            for child in cells[source]:
                found = _REFERENCE.match(child.get("r", ""))
                if found is not None:
                    child.set("r", f"{found[1]}{_row_number(rows, places[target])}")
                row.append(child)


def parse_xlsx(data: bytes, *, titles: bool = True) -> XlsxFile:
    """Parse a workbook: its first visible worksheet that holds anything.

    Args:
        titles: lines may stand above the header, which is found by `header_place`; without, the first line is the header.

    Raises:
        WatermarkError: no workbook, or beyond the limits.
    """
    package = open_package(data, "XLSX")
    book = Workbook(package, _shared_strings(package), _date_styles(package))
    tables = (_table(book, part, frozenset(), titles=titles) for part in _worksheets(package))
    first = next((table for table in tables if table is not None), None)
    if first is None:
        raise MediaMalformed(what="XLSX", reason="no visible worksheet holds anything")
    return first


def _table(book: Workbook, part: str, names: AbstractSet[str], *, titles: bool = True) -> XlsxFile | None:
    """A worksheet as a table; None when it is empty."""
    root = book.package.xml(part)
    data = next((child for child in root if local(child) == "sheetData"), None)
    if data is None:
        raise MediaMalformed(what="XLSX", reason="the worksheet has no data")
    rows = [row for row in data if local(row) == "row"]
    within("TABLE_ROWS_MAX", TABLE_ROWS_MAX, len(rows))
    lines: list[int] = []
    texts: list[dict[int, str]] = []
    count = chars = 0
    for place, row in enumerate(rows):
        values = {
            column: value
            for cell, column in _cells(row, "XLSX")
            if (value := _value(cell, book.strings, book.dates)) is not None
        }
        count += len(values)
        within("TABLE_CELLS_MAX", TABLE_CELLS_MAX, count)
        chars += sum(map(len, values.values()))
        within("TABLE_CHARS_MAX", TABLE_CHARS_MAX, chars)
        if values:
            lines.append(place)
            texts.append(values)
    if not texts:
        return None
    top = (
        header_place([list(values.values()) for values in texts[:HEADER_SAMPLE_LINES]], names)
        if titles
        else 0
    )
    header = tuple(sorted(texts[top]))
    within("TABLE_CELLS_MAX", TABLE_CELLS_MAX, len(header) * len(texts))
    sheet = Sheet(
        tuple(str(texts[top][column]) for column in header),
        tuple(tuple(values.get(column) for column in header) for values in texts[top + 1 :]),
    )
    formulas = next(root.iter(sibling(root, "f")), None) is not None
    movable = top == 0 and not formulas and all(local(child) in _ROWLESS for child in root)
    return XlsxFile(book, part, root, tuple(lines[top:]), header, sheet, movable, formulas)


def _worksheets(package: Package) -> Iterator[str]:
    """Parts of the worksheets that are not hidden, in the workbook's order, each once however often it is named.

    Raises:
        MediaMalformed: there are none.
    """
    related = package.related(WORKBOOK)
    seen: set[str] = set()
    for sheet in package.xml(WORKBOOK).iter():
        if local(sheet) != "sheet" or sheet.get("state", "visible") != "visible":
            continue
        relation = next((value for name, value in sheet.items() if name.endswith("}id")), "")
        part = related.get(relation, "")
        if part not in seen and local(package.xml(part)) == "worksheet":
            seen.add(part)
            yield part
    if not seen:
        raise MediaMalformed(what="XLSX", reason="no visible worksheet")


def _shared_strings(package: Package) -> list[str]:
    """Texts that cells refer to; rich text as what it is not: a text of ours to change."""
    part = next(
        (name for name in package.related(WORKBOOK).values() if name.endswith("sharedStrings.xml")), ""
    )
    if part not in package.parts:
        return []
    items = [item for item in package.xml(part) if local(item) == "si"]
    within("XLSX_STRINGS_MAX", XLSX_STRINGS_MAX, len(items))
    return [_text(item) for item in items]


def _text(item: Element) -> str:
    """The text of a shared or inline string, without phonetic hints."""
    plain: list[str] = []
    rich = False
    for child in item:
        match local(child):
            case "t":
                plain.append(child.text or "")
            case "r":
                rich = True
                plain += [part.text or "" for part in child if local(part) == "t"]
            case _:
                pass
    text = "".join(plain)
    within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(text))
    return Literal(text) if rich else text


def _cells(row: Element, what: str) -> list[tuple[Element, int]]:
    """A row's cells with the index of their column."""
    found: list[tuple[Element, int]] = []
    column = -1
    for cell in row:
        if local(cell) != "c":
            continue
        reference = cell.get("r")
        if reference is None:
            column += 1
        else:
            match = _REFERENCE.match(reference)
            if match is None:
                raise MediaMalformed(what=what, reason=f"cell {reference[:20]!r}")
            column = _column_index(match[1])
        within("TABLE_COLUMNS_MAX", TABLE_COLUMNS_MAX, column + 1)
        found.append((cell, column))
    return found


def _column_index(letters: str) -> int:
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _row_number(rows: list[Element], place: int) -> int:
    number = rows[place].get("r", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 7 else place + 1


def _date_styles(package: Package) -> frozenset[str]:
    """Indexes of the cell styles that show a number as a date or a time (ECMA-376, part 1, clauses 18.8.30 and 18.8.31)."""
    part = next((name for name in package.related(WORKBOOK).values() if name.endswith("styles.xml")), "")
    if part not in package.parts:
        return frozenset()
    root = package.xml(part)
    dates = {str(number) for start, end in _DATE_FORMATS for number in range(start, end)}
    for found in root.iter(sibling(root, "numFmt")):
        if _DATE_CODE.search(_NOT_CODE.sub("", found.get("formatCode", ""))):
            dates.add(found.get("numFmtId", ""))
    styles = next((child for child in root if local(child) == "cellXfs"), ())
    return frozenset(str(index) for index, style in enumerate(styles) if style.get("numFmtId") in dates)


def _value(cell: Element, strings: list[str], dates: frozenset[str]) -> str | None:
    """The text of a cell; a `Literal` where it may not be changed as text; None when it is empty."""
    kind = cell.get("t", "n")
    children = {local(child): child for child in cell}
    if kind == "inlineStr":
        inline = children.get("is")
        return None if inline is None else _text(inline) or None
    stored = children.get("v")
    text = "" if stored is None else (stored.text or "")
    within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(text))
    if kind == "s":
        index = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
        if not 0 <= index < len(strings):
            raise MediaMalformed(what="XLSX", reason=f"shared string {text[:20]!r}")
        text = strings[index]
    if not text:
        return None
    if "f" in children or kind in {"b", "e", "d", "str"} or (kind == "n" and cell.get("s") in dates):
        return Fixed(text)
    return text if kind == "s" else Literal(text)


def _set(cell: Element, text: str) -> None:
    """Give a cell another value: a number stays one, a text stands in the cell itself."""
    was_number = cell.get("t", "n") == "n"
    for child in list(cell):
        if local(child) in {"v", "is"}:
            cell.remove(child)
    if was_number:
        value = cell.makeelement(sibling(cell, "v"))
        value.text = text
        cell.append(value)
        return
    cell.set("t", "inlineStr")
    inline = cell.makeelement(sibling(cell, "is"))
    body = cell.makeelement(sibling(cell, "t"))
    body.set(_SPACE, "preserve")
    body.text = text
    inline.append(body)
    cell.append(inline)
