"""Attacks on tables, records and text.

Rule: each is a pure function of the file, seed and named parameters; the attacker knows no key, but the schema and everything else.
"""

from __future__ import annotations

import csv
import io
import json
import random
import unicodedata
from decimal import Decimal

import openpyxl

Lines = list[list[str]]
_INVISIBLE = {"\u200b", "\u200c", "\u200d", "\u2060", "\ufeff"}


def read(data: bytes) -> Lines:
    """A CSV file as rows."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def write(lines: Lines) -> bytes:
    """Rows as a CSV file."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue().encode()


def delete_rows(data: bytes, seed: int, *, kept: float) -> bytes:
    """Only a share of the rows, drawn by the seed, in their order."""
    header, *body = read(data)
    chosen = sorted(random.Random(seed).sample(range(len(body)), round(kept * len(body))))
    return write([header, *(body[index] for index in chosen)])


def drop_columns(data: bytes, seed: int, *, kept: float) -> bytes:
    """Only a share of the columns, drawn by the seed; the first, the key, stays."""
    header, *body = read(data)
    count = max(1, round(kept * len(header)) - 1)
    chosen = [0, *sorted(random.Random(seed).sample(range(1, len(header)), count))]
    return write([[line[column] for column in chosen] for line in [header, *body]])


def change_cells(data: bytes, seed: int, *, share: float) -> bytes:
    """A share of all cells but keys becomes something else: numbers by up to a tenth, other values those of another row."""
    header, *body = read(data)
    rng = random.Random(seed)
    out = [header]
    for line in body:
        changed = list(line)
        for column in range(1, len(line)):
            if rng.random() < share:
                changed[column] = _another(line[column], rng.choice(body)[column], rng)
        out.append(changed)
    return write(out)


def _another(cell: str, other: str, rng: random.Random) -> str:
    try:
        number = Decimal(cell)
    except ArithmeticError:
        return other
    moved = number * (1 + Decimal(str(round(rng.uniform(-0.1, 0.1), 4))))
    return str(moved.quantize(Decimal(1).scaleb(int(number.as_tuple().exponent))))


def sort_rows(data: bytes, seed: int, *, by: int) -> bytes:
    """Sorted by a column."""
    header, *body = read(data)
    return write([header, *sorted(body, key=lambda line: line[by])])


def through_xlsx(data: bytes, seed: int) -> bytes:
    """CSV → XLSX with numbers as numbers → CSV."""
    book = openpyxl.Workbook()
    sheet = book.active
    for number, line in enumerate(read(data)):
        sheet.append([_typed(cell) if number else cell for cell in line])
    out = io.BytesIO()
    book.save(out)
    again = openpyxl.load_workbook(io.BytesIO(out.getvalue())).active
    return write(
        [["" if cell is None else str(cell) for cell in row] for row in again.iter_rows(values_only=True)]
    )


def _typed(cell: str) -> str | float | int:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def nfkc(data: bytes, seed: int) -> bytes:
    """Every cell in normal form NFKC."""
    return write([[unicodedata.normalize("NFKC", cell) for cell in line] for line in read(data)])


def collude(copies: list[bytes], seed: int) -> bytes:
    """Cell by cell the value of a recipient drawn by the seed, keys of the first, rows in the first one's order."""
    header, *first = read(copies[0])
    others = [{line[0]: line for line in read(copy)[1:]} for copy in copies]
    rng = random.Random(seed)
    mixed = [[line[0], *(rng.choice(others)[line[0]][at] for at in range(1, len(line)))] for line in first]
    return write([header, *mixed])


def reserialise(data: bytes, seed: int, *, indent: int) -> bytes:
    """Read and written again by another program: other spaces, escapes; names keep their order."""
    return json.dumps(json.loads(data), indent=indent, ensure_ascii=True).encode()


def sort_names(data: bytes, seed: int) -> bytes:
    """Read and written again with sorted names."""
    return json.dumps(json.loads(data), sort_keys=True, ensure_ascii=False).encode()


def strip_invisible(data: bytes, seed: int) -> bytes:
    """Every character that nobody sees is taken out."""
    return "".join(char for char in data.decode() if _visible(char)).encode()


def _visible(char: str) -> bool:
    selector = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return not selector and char not in _INVISIBLE and unicodedata.category(char) != "Cf"


def retype(data: bytes, seed: int) -> bytes:
    """Typed anew from what is seen, in lines of another length."""
    seen = strip_invisible(data, seed).decode().replace("\n", "")
    return "\n".join(seen[start : start + 30] for start in range(0, len(seen), 30)).encode()
