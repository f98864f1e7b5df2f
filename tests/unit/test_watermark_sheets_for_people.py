"""Sheets as offices make them: titles and units above the header, a first sheet of instructions, digits in groups."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import openpyxl
import pytest

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    TABLE_POLICY,
    csv_file,
    marked,
    names_only_the_second,
    rows_of,
    table_rows,
    traced,
)
from watermark import Channel, Marked, TableSchema, embed
from watermark.csv_text import parse_csv
from watermark.packages import XLSX
from watermark.policy import Policy
from watermark.records import CSV
from watermark.sheets import HEADER_LINES_MAX, header_place, shown_number
from watermark.xlsx import parse_xlsx

ROWS = table_rows(120)
WIDTH = len(ROWS[0])
TITLES = (["某市企业经营情况一览表"], ["单位：元", "2026年11月"])
PLAIN = csv_file(ROWS)


def workbook(*sheets: Sequence[Sequence[str]], merged: bool = False) -> bytes:
    """A workbook of sheets, every value a text; with `merged`, the first line of the last sheet as wide as the table."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet: Any = book.create_sheet(f"表{number + 1}")
        for row in rows:
            sheet.append(list(row))
    if merged:
        sheet.merge_cells(start_row=1, start_column=1, end_row=1, end_column=WIDTH)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def below(titles: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], padded: bool) -> bytes:
    """CSV below titles; padded as spreadsheets write it."""
    return csv_file([[*line, *[""] * ((WIDTH - len(line)) * padded)] for line in (*titles, *rows)])


def made(cover: bytes, media_type: str) -> Marked:
    return embed(cover, media_type, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=TABLE_POLICY)


def test_a_workbook_with_titles_above_its_header_is_marked_below_them() -> None:
    cover = workbook([*TITLES, *ROWS], merged=True)
    copy = made(cover, XLSX)
    assert Channel.NUMBERS in copy.manifest.channels
    assert Channel.REFERENCE in copy.manifest.channels
    before, after = (openpyxl.load_workbook(io.BytesIO(data)).active for data in (cover, copy.data))
    assert after is not None
    assert before is not None
    assert [[cell.value for cell in row] for row in after.iter_rows(max_row=3)] == [
        [cell.value for cell in row] for row in before.iter_rows(max_row=3)
    ]
    assert names_only_the_second(traced(marked(cover, XLSX, TABLE_POLICY), cover, XLSX, TABLE_POLICY))


@pytest.mark.parametrize("padded", [True, False])
def test_a_csv_file_with_titles_is_marked_below_them_and_its_rows_keep_their_places(padded: bool) -> None:
    cover = below(TITLES, ROWS, padded)
    copy = made(cover, CSV)
    assert rows_of(copy.data)[:3] == rows_of(cover)[:3]
    assert [row[0] for row in rows_of(copy.data)] == [row[0] for row in rows_of(cover)]
    assert Channel.ROW_ORDER not in copy.manifest.channels
    assert any("rows keep their places" in words.en for words in copy.manifest.notes)
    assert names_only_the_second(traced(marked(cover, CSV, TABLE_POLICY), cover, CSV, TABLE_POLICY))


@pytest.mark.parametrize("form", ["workbook", "padded", "bare"])
def test_a_leak_that_somebody_gave_a_title_names_its_recipient(form: str) -> None:
    rows = rows_of(marked(PLAIN, CSV, TABLE_POLICY))
    shuffled = [rows[0], *random.Random(3).sample(rows[1:], len(rows) - 1)]
    leak = workbook([*TITLES, *shuffled]) if form == "workbook" else below(TITLES, shuffled, form == "padded")
    assert names_only_the_second(traced(leak, PLAIN, CSV, TABLE_POLICY))


def test_a_leak_with_a_title_and_other_names_of_columns_names_its_recipient() -> None:
    rows = rows_of(marked(PLAIN, CSV, TABLE_POLICY))
    renamed = [[f"column {index}" for index in range(WIDTH)], *rows[1:]]
    assert names_only_the_second(traced(workbook([*TITLES, *renamed]), PLAIN, CSV, TABLE_POLICY))


def test_the_table_of_a_workbook_is_the_sheet_that_names_declared_columns() -> None:
    instructions = [["填表说明"], ["一、金额以元为单位"], ["二、不得涂改"]]
    cover = workbook(instructions, [*TITLES, *ROWS], [["其他"], ["无关"]])
    copy = made(cover, XLSX)
    assert Channel.NUMBERS in copy.manifest.channels
    other = openpyxl.load_workbook(io.BytesIO(copy.data)).worksheets[0]
    assert [[cell.value for cell in row] for row in other.iter_rows()] == instructions
    assert names_only_the_second(traced(marked(cover, XLSX, TABLE_POLICY), cover, XLSX, TABLE_POLICY))


def test_an_empty_first_sheet_is_passed_over() -> None:
    rows = rows_of(marked(PLAIN, CSV, TABLE_POLICY))
    assert parse_xlsx(workbook([], rows)).sheet.columns == tuple(rows[0])
    assert names_only_the_second(traced(workbook([], rows), PLAIN, CSV, TABLE_POLICY))


def test_without_declared_names_the_header_is_the_first_line_as_wide_as_the_table() -> None:
    assert parse_csv(below(TITLES, ROWS, padded=True)).sheet.columns == tuple(ROWS[0])


def test_a_deposit_is_not_guessed_at() -> None:
    assert parse_xlsx(workbook([*TITLES, *ROWS]), titles=False).sheet.columns == (TITLES[0][0],)


@pytest.mark.parametrize(
    ("lines", "names", "place"),
    [
        ([["a", "b", "c"], ["1", "2", "3"]], set(), 0),
        ([["title", None, ""], ["a", "b", "c"], ["1", "2", "3"]], set(), 1),
        ([["name"], ["x"], ["y"]], set(), 0),
        ([["a", "b", "c", "d"], ["1", "", "", ""], ["2", "", "", ""]], set(), 0),
        ([["a", "b", "c"], ["income", "id", "c"]], {"income", "id"}, 1),
        ([["income", "by year", "c"], ["INCOME", " ID", "c"]], {"income", "id"}, 1),
        ([*[["-"]] * HEADER_LINES_MAX, ["income", "id"]], {"income", "id"}, 0),
        ([], set(), 0),
    ],
)
def test_which_line_is_the_header(lines: list[list[str | None]], names: set[str], place: int) -> None:
    assert header_place(lines, names) == place


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12345.67", "12345.67"),
        ("12,345.67", "12345.67"),
        ("1,234,567", "1234567"),
        ("¥12,345.67", "12345.67"),
        ("￥１２，３４５．６７", "12345.67"),
        ("12,345.67元", "12345.67"),
        ("-12,345.67", "-12345.67"),
        ("(12,345.67)", "-12345.67"),
        ("¥-12,345.67", "-12345.67"),
        ("12 345.67", "12345.67"),
        ("12,34.5", None),
        ("12%", None),
        ("(12", None),
        ("12)", None),
        ("--12,345", None),
        ("1" * 100, None),
        ("1e5", None),
        ("", None),
        (None, None),
    ],
)
def test_a_number_is_read_as_people_show_it(text: str | None, value: str | None) -> None:
    assert shown_number(text) == (None if value is None else Decimal(value))


def test_a_leak_whose_digits_somebody_grouped_names_its_recipient_by_its_numbers() -> None:
    rows = rows_of(marked(PLAIN, CSV, TABLE_POLICY))
    at = [ROWS[0].index(name) for name in ("id", "income", "area", "rate")]
    shown = [
        [row[at[0]], f"¥{Decimal(row[at[1]]):,}", row[at[2]], f"{Decimal(row[at[3]]):,}"] for row in rows[1:]
    ]
    verdict = traced(csv_file([["a", "b", "c", "d"], *shown]), PLAIN, CSV, TABLE_POLICY)
    assert names_only_the_second(verdict)
    assert Channel.NUMBERS in verdict.matches[0].channels


def test_a_manifest_says_that_grouped_digits_of_an_original_carry_no_mark() -> None:
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal("0.05")}))
    cover = csv_file([["id", "income"], *[[f"P{index}", f"{index + 1},345.67"] for index in range(50)]])
    copy = embed(cover, CSV, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=policy)
    assert copy.data == cover
    assert any("income" in words.en and "grouped digits" in words.en for words in copy.manifest.notes)
