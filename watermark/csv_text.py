"""CSV, read and written cell by cell.

Rule: a cell that is not changed keeps its bytes, quotes included; delimiter, line ends and encoding stay as they were.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from watermark.errors import MediaMalformed
from watermark.limits import CELL_CHARS_MAX, TABLE_CELLS_MAX, TABLE_COLUMNS_MAX, TABLE_ROWS_MAX, within
from watermark.sheets import HEADER_SAMPLE_LINES, Changes, Sheet, decode_text, encode_text, header_place

_DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_CHARS: Final = 20_000
_SAMPLE_LINES: Final = 20
# A cell in quotes from its beginning to its end, or to that of the sample.
_QUOTED: Final = re.compile(r'(?:(?<=[,;\t|\r\n])|\A)"[^"]*+(?:""[^"]*+)*+(?:"(?=[,;\t|\r\n]|\Z)|\Z)')


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A parsed CSV file.

    Attributes:
        tokens: raw cells of each line.
        ends: line end of each line, by place; the last may be empty.
        delimiter: one character.
        encoding: name for Python's codecs.
        header: place of the line that names the columns; `sheet.rows` are those below it.
        sheet: the decoded table.
    """

    tokens: tuple[tuple[str, ...], ...]
    ends: tuple[str, ...]
    delimiter: str
    encoding: str
    header: int
    sheet: Sheet

    @property
    def movable(self) -> bool:
        """Whether rows may change places: not below a title, where people read them in order."""
        return self.header == 0

    def naming(self, names: AbstractSet[str]) -> CsvFile:
        """The same file, its header the line with most of these names (as `plain` gives them), if any has one."""
        place, sheet = _sheet(self.tokens, names)
        return self if place == self.header else replace(self, header=place, sheet=sheet)

    def written(self, changes: Changes, order: Sequence[int]) -> bytes:
        """The file with changes made and rows in order."""
        lines = [list(tokens) for tokens in self.tokens]
        head, rows = lines[: self.header + 1], lines[self.header + 1 :]
        for (row, column), text in changes.items():
            rows[row][column] = self._token(text, quoted=rows[row][column].startswith('"'))
        placed = [*head, *(rows[row] for row in order)]
        text = "".join(
            self.delimiter.join(tokens) + end for tokens, end in zip(placed, self.ends, strict=True)
        )
        return encode_text(text, self.encoding)

    def _token(self, text: str, quoted: bool) -> str:
        if quoted or any(char in text for char in (self.delimiter, '"', "\r", "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text


def parse_csv(data: bytes) -> CsvFile:
    """Parse a CSV file; the first line that is as wide as a table is the header (`header_place`).

    Raises:
        MediaMalformed: no text, no header, a quote out of place.
        MediaTooLarge: more rows, columns, cells or characters a cell than the limits.
    """
    text, encoding = decode_text(data, "CSV")
    if not text.strip():
        raise MediaMalformed(what="CSV", reason="empty")
    delimiter = _delimiter(text)
    tokens, ends = _tokens(text, delimiter)
    header, sheet = _sheet(tokens, frozenset())
    return CsvFile(tuple(tokens), tuple(ends), delimiter, encoding, header, sheet)


def _sheet(tokens: Sequence[Sequence[str]], names: AbstractSet[str]) -> tuple[int, Sheet]:
    """Place of the header, and the table below it."""
    place = header_place([[_value(token) for token in line] for line in tokens[:HEADER_SAMPLE_LINES]], names)
    header = tuple(_value(token) for token in tokens[place])
    within("TABLE_CELLS_MAX", TABLE_CELLS_MAX, len(header) * len(tokens))
    rows = tuple(
        tuple(_value(line[column]) if column < len(line) else None for column in range(len(header)))
        for line in tokens[place + 1 :]
    )
    return place, Sheet(header, rows)


def looks_like_table(text: str) -> bool:
    """Whether the beginning of a text is at least two lines that one delimiter splits into equally many cells."""
    bare = _bare_lines(text)
    if len(text) >= _SAMPLE_CHARS:
        bare = bare[:-1]
    return len(bare) > 1 and any(
        bare[0].count(delimiter) > 0 and len({line.count(delimiter) for line in bare}) == 1
        for delimiter in _DELIMITERS
    )


def _delimiter(text: str) -> str:
    """The delimiter that splits the sample's lines into most, and equally many, cells."""
    bare = _bare_lines(text)
    best, best_score = ",", (0, 0)
    for delimiter in _DELIMITERS:
        counts = [line.count(delimiter) for line in bare]
        usual = max(set(counts), key=lambda count: (counts.count(count), count)) if counts else 0
        score = (counts.count(usual) if usual else 0, usual)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _bare_lines(text: str) -> list[str]:
    """The first lines without what stands in quotes; a cell in quotes may go over several of them."""
    sample = text[:_SAMPLE_CHARS]
    whole = _QUOTED.sub("", sample)
    if len(whole.splitlines()) != len(sample.splitlines()):
        return [line for line in whole.splitlines()[:_SAMPLE_LINES] if line]
    lines = [line for line in sample.splitlines()[:_SAMPLE_LINES] if line.strip()]
    return [re.sub(r'"[^"]*"', "", line) for line in lines]


def _tokens(text: str, delimiter: str) -> tuple[list[tuple[str, ...]], list[str]]:
    cell = re.compile(
        r'("[^"]*(?:""[^"]*)*")?([^'
        + re.escape(delimiter)
        + r"\r\n]*)("
        + re.escape(delimiter)
        + r"|\r\n|\n|\r|\Z)"
    )
    lines: list[tuple[str, ...]] = []
    ends: list[str] = []
    line: list[str] = []
    place = cells = 0
    while place < len(text) or line:
        # Bounded, so that a run of quotes takes no more memory than one cell may.
        match = cell.match(text, place, place + CELL_CHARS_MAX + 2)
        if match is None:
            raise MediaMalformed(what="CSV", reason=f"line {len(lines) + 1} cannot be split into cells")
        quoted, bare, end = match.groups(default="")
        if not end and match.end() < len(text):
            within("CELL_CHARS_MAX", CELL_CHARS_MAX, match.end() - place)
        if (quoted and bare) or bare.startswith('"'):
            raise MediaMalformed(what="CSV", reason=f"line {len(lines) + 1}: a quote out of place")
        within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(quoted) + len(bare))
        line.append(quoted + bare)
        within("TABLE_COLUMNS_MAX", TABLE_COLUMNS_MAX, len(line))
        cells += 1
        place = match.end()
        if end != delimiter:
            within("TABLE_ROWS_MAX", TABLE_ROWS_MAX, len(lines))
            within("TABLE_CELLS_MAX", TABLE_CELLS_MAX, cells)
            lines.append(tuple(line))
            ends.append(end)
            line = []
    return lines, ends


def _value(token: str) -> str:
    return token[1:-1].replace('""', '"') if token.startswith('"') else token
