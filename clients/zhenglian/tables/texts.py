"""CSV and JSON Lines, row by row: how their text is encoded, and where a row ends. Runs in the child.

Rule: no more than one row is in memory, and no row grows beyond `ROW_CHARS_MAX`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zhenglian.tables.errors import TableInvalid, TableTooLarge
from zhenglian.tables.jsons import row_of, strict_json
from zhenglian.tables.limits import CELL_CHARS_MAX, COLUMNS_MAX, ROW_CHARS_MAX, ROWS_MAX
from zhenglian.tables.rows import Cell, Header, Row

_DELIMITERS: Final = (",", "\t", ";", "|")
_CHUNK_BYTES: Final = 1 << 20
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(path: Path) -> str:
    """The encoding that the whole file is valid in: by its mark, else UTF-8, UTF-16 without a mark, GB18030.

    Raises:
        TableInvalid: encoding, nul.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    if marked:
        candidates: tuple[str, ...] = (marked,)
    elif b"\0" in head:
        # Text of no mark with zero bytes: delimiters and digits have theirs on one side.
        odd, even = head[1::2].count(0), head[::2].count(0)
        candidates = ("utf-16-le" if odd > even else "utf-16-be",)
    else:
        candidates = ("utf-8", "gb18030")
    for name in candidates:
        if _valid(path, name):
            return name
    raise TableInvalid("nul" if b"\0" in head and not marked else "encoding")


def _valid(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if "\0" in decoder.decode(chunk):
                    raise TableInvalid("nul")
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open("r", encoding=encoding, newline="") as file:
        while line := file.readline(ROW_CHARS_MAX + 1):
            if len(line) > ROW_CHARS_MAX:
                raise TableTooLarge(limit="ROW_CHARS_MAX", maximum=ROW_CHARS_MAX)
            yield line


class _Record:
    """Lines for `csv.reader`, which puts those of one record together: as many as one record may have."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.chars = 0

    def __iter__(self) -> _Record:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.chars += len(line)
        if self.chars > ROW_CHARS_MAX:
            raise TableTooLarge(limit="ROW_CHARS_MAX", maximum=ROW_CHARS_MAX)
        return line


def read_csv(path: Path) -> Iterator[Header | Row]:
    """Header and rows of a CSV file whose first record is the header; a row's number is its record's, the header being 1.

    Raises:
        TableInvalid, TableTooLarge.
    """
    encoding = encoding_of(path)
    csv.field_size_limit(CELL_CHARS_MAX)
    first = next((line for line in _lines(path, encoding) if line.strip()), "")
    if not first:
        raise TableInvalid("empty")
    source = _Record(_lines(path, encoding))
    reader = csv.reader(source, delimiter=_delimiter(first), strict=True)
    header: list[str] | None = None
    number = rows = 0
    while True:
        source.chars = 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                raise TableTooLarge(limit="CELL_CHARS_MAX", maximum=CELL_CHARS_MAX) from None
            raise TableInvalid("quote", line=reader.line_num) from None
        number += 1
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = checked_header(cells)
            yield Header(tuple(name for name in header if name))
            continue
        rows += 1
        if rows > ROWS_MAX:
            raise TableTooLarge(limit="ROWS_MAX", maximum=ROWS_MAX)
        yield _row(number, header, cells)


def _row(number: int, header: list[str], cells: list[str]) -> Row:
    stray = any(cell.strip() for cell in cells[len(header) :])
    values: dict[str, Cell] = {
        name: cell for name, cell in zip(header, cells, strict=False) if name and cell.strip()
    }
    stray = stray or any(cell.strip() for name, cell in zip(header, cells, strict=False) if not name)
    return Row(number, values, (("", "cell_without_column"),) if stray else ())


def checked_header(cells: list[str]) -> list[str]:
    """The column names. Raises TableInvalid (header_empty, header_twice), TableTooLarge."""
    names = [cell.strip().strip("\ufeff") for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > COLUMNS_MAX:
        raise TableTooLarge(limit="COLUMNS_MAX", maximum=COLUMNS_MAX)
    if not any(names):
        raise TableInvalid("header_empty")
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise TableInvalid("header_twice", column=name[:64])
        seen.add(name)
    return names


def _delimiter(line: str) -> str:
    """What splits the header into most cells, quoted ones aside."""
    bare = "".join(part for place, part in enumerate(line.split('"')) if place % 2 == 0)
    return max(_DELIMITERS, key=bare.count)


def read_json_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file: an object a line; a row's number is its line's.

    Raises:
        TableInvalid, TableTooLarge.
    """
    rows = 0
    for number, line in enumerate(_lines(path, encoding_of(path)), start=1):
        if not line.strip():
            continue
        rows += 1
        if rows > ROWS_MAX:
            raise TableTooLarge(limit="ROWS_MAX", maximum=ROWS_MAX)
        yield row_of(number, strict_json(line, line=number))


def whole_text(path: Path) -> str:
    """A file's text at once; the caller has bounded its size."""
    with io.open(path, encoding=encoding_of(path), newline="") as file:  # noqa: UP020
        return file.read()
