"""Marks in workbooks: what is declared moves, everything else stays, and a leak in any table format names its recipient."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import re
import zipfile
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.styles import Font

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    SCHEMA,
    TABLE_POLICY,
    csv_file,
    marked,
    names_only_the_second,
    table_rows,
    traced,
)
from watermark import (
    Channel,
    MediaMalformed,
    MediaTooLarge,
    MediaUnsupported,
    Policy,
    TableSchema,
    WatermarkError,
    embed,
    sniff,
    zero_width,
)
from watermark.packages import XLSX
from watermark.sheets import Fixed, Literal
from watermark.xlsx import parse_xlsx

NUMBERS = ("income", "area", "rate")
ROWS = table_rows(200)


def value_of(name: str, text: str) -> str | float | int:
    if name not in NUMBERS:
        return text
    return int(text) if name == "rate" else float(text)


def workbook(rows: list[list[str]] = ROWS, shape: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "数据"
    sheet.append(rows[0])
    for row in rows[1:]:
        sheet.append([value_of(name, text) for name, text in zip(rows[0], row, strict=True)])
    sheet["B1"].font = Font(bold=True)
    sheet.column_dimensions["B"].width = 40
    book.create_sheet("说明").append(["第二个工作表"])
    if shape is not None:
        shape(sheet)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_shared_strings(data: bytes) -> bytes:
    """The workbook with every text in the table of shared strings, as most programs write it."""
    texts: list[bytes] = []

    def shared(match: re.Match[bytes]) -> bytes:
        texts.append(match[2])
        return b"<c" + match[1] + b't="s"><v>%d</v></c>' % (len(texts) - 1)

    def change(name: str, part: bytes) -> bytes:
        if name.endswith("sheet1.xml"):
            return re.sub(rb"<c([^>]*)t=\"inlineStr\"><is>(.*?)</is></c>", shared, part)
        return part

    changed = repacked(change, source=data)
    items = b"".join(b"<si>" + text + b"</si>" for text in texts)
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = b'<sst xmlns="' + main + b'">' + items + b"</sst>"
    return repacked(declared, source=changed, extra={"xl/sharedStrings.xml": table})


def declared(name: str, part: bytes) -> bytes:
    """The part, with the shared strings named where a workbook names its parts."""
    if name.endswith("workbook.xml.rels"):
        kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
        entry = b'<Relationship Type="' + kind + b'" Target="sharedStrings.xml" Id="rId99"/>'
        return part.replace(b"</Relationships>", entry + b"</Relationships>")
    if name == "[Content_Types].xml":
        kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
        entry = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/>'
        return part.replace(b"</Types>", entry + b"</Types>")
    return part


def repacked(
    change: Callable[[str, bytes], bytes | None], *, source: bytes, extra: dict[str, bytes] | None = None
) -> bytes:
    """The package with parts changed, or left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = change(entry.filename, old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
        for name, data in (extra or {}).items():
            new.writestr(name, data)
    return out.getvalue()


def values(data: bytes) -> list[list[Any]]:
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def saved_again(data: bytes) -> bytes:
    """As another program opens and saves it."""
    out = io.BytesIO()
    openpyxl.load_workbook(io.BytesIO(data)).save(out)
    return out.getvalue()


INLINE = workbook()
COVER = with_shared_strings(INLINE)
COPY = marked(COVER, XLSX, TABLE_POLICY)


def test_a_workbook_is_known_by_its_content() -> None:
    assert sniff(COVER) == XLSX
    assert sniff(COPY) == XLSX


def test_the_table_is_read_as_the_program_shows_it() -> None:
    sheet = parse_xlsx(COVER).sheet
    assert sheet.columns == tuple(ROWS[0])
    assert len(sheet.rows) == len(ROWS) - 1
    for row, expected in zip(sheet.rows, ROWS[1:], strict=True):
        for name, text, wanted in zip(ROWS[0], row, expected, strict=True):
            assert text is not None
            assert (float(text) == float(wanted)) if name in NUMBERS else text == wanted
            assert isinstance(text, Literal) == (name in NUMBERS)


def test_numbers_move_within_their_tolerance_and_what_is_not_declared_stays() -> None:
    before = {row[0]: row for row in values(COVER)[1:]}
    after = {row[0]: row for row in values(COPY)[1:]}
    assert before.keys() == after.keys()
    moved = 0
    for key, row in before.items():
        for name, old, new in zip(ROWS[0], row, after[key], strict=True):
            if name in SCHEMA.tolerances:
                assert abs(new - old) <= float(SCHEMA.tolerances[name]) * 1.000001
                moved += new != old
            elif name == "note":
                assert new != old
                assert new.replace(zero_width.ZERO, "").replace(zero_width.ONE, "") == old
            elif name != "ref":
                assert new == old
    # A whole number, such as 285.0 that is stored as 285, shows no decimals to move.
    assert moved > 2.5 * (len(ROWS) - 1)


def test_styles_widths_and_other_sheets_stay() -> None:
    book = openpyxl.load_workbook(io.BytesIO(COPY))
    assert book.sheetnames == ["数据", "说明"]
    assert book.worksheets[0]["B1"].font.bold
    assert book.worksheets[0].column_dimensions["B"].width == 40
    assert book.worksheets[1]["A1"].value == "第二个工作表"


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert marked(COVER, XLSX, TABLE_POLICY) == COPY
    assert marked(COVER, XLSX, TABLE_POLICY, seed=NEVER_ISSUED) != COPY


def as_csv(data: bytes) -> bytes:
    return csv_file([[("" if value is None else str(value)) for value in row] for row in values(data)])


def half(data: bytes) -> bytes:
    rows = values(data)
    kept = random.Random(1).sample(rows[1:], len(rows) // 2)
    book = openpyxl.Workbook()
    for row in [rows[0], *kept]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def through_csv(data: bytes) -> bytes:
    book = openpyxl.Workbook()
    for row in csv.reader(io.StringIO(as_csv(data).decode(), newline="")):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_texts_that_stand_in_their_cells_are_marked_too() -> None:
    copy = marked(INLINE, XLSX, TABLE_POLICY)
    assert names_only_the_second(traced(copy, INLINE, XLSX, TABLE_POLICY))


@pytest.mark.parametrize("leaked", [bytes, saved_again, as_csv, half, through_csv])
def test_the_recipient_is_named_after(leaked: Callable[[bytes], bytes]) -> None:
    assert names_only_the_second(traced(leaked(COPY), COVER, XLSX, TABLE_POLICY))


def test_a_workbook_that_leaks_from_a_csv_original_names_its_recipient() -> None:
    cover = csv_file(ROWS)
    leak = through_csv(
        workbook(list(csv.reader(io.StringIO(marked(cover, "text/csv", TABLE_POLICY).decode()))))
    )
    assert names_only_the_second(traced(leak, cover, "text/csv", TABLE_POLICY))


def test_nobody_is_named_for_the_original_or_another_releases_copy() -> None:
    assert traced(COVER, COVER, XLSX, TABLE_POLICY).matches == ()
    other = marked(COVER, XLSX, TABLE_POLICY, seed=NEVER_ISSUED)
    assert traced(other, COVER, XLSX, TABLE_POLICY).matches == ()


def with_formula(sheet: Any) -> None:
    sheet["I1"] = "sum"
    sheet["I2"] = "=SUM(D2:F2)"


def with_merged_cells(sheet: Any) -> None:
    sheet.merge_cells("J2:K3")


@pytest.mark.parametrize("shape", [with_formula, with_merged_cells])
def test_rows_that_something_points_to_keep_their_places_and_the_manifest_says_so(
    shape: Callable[[Any], None],
) -> None:
    cover = workbook(shape=shape)
    result = embed(cover, XLSX, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=TABLE_POLICY)
    assert Channel.ROW_ORDER not in result.manifest.channels
    assert [row[0] for row in values(result.data)] == [row[0] for row in values(cover)]
    assert any("keep their places" in words.en for words in result.manifest.notes)
    assert names_only_the_second(traced(marked(cover, XLSX, TABLE_POLICY), cover, XLSX, TABLE_POLICY))


def test_a_formula_stays_a_formula_also_in_a_declared_column() -> None:
    def shape(sheet: Any) -> None:
        sheet["D2"] = "=1+1"

    cover = workbook(shape=shape)
    copy = openpyxl.load_workbook(io.BytesIO(marked(cover, XLSX, TABLE_POLICY))).worksheets[0]
    assert copy["D2"].value == "=1+1"


def test_rich_text_and_truth_values_are_no_carriers() -> None:
    def shape(sheet: Any) -> None:
        sheet["G2"] = CellRichText("该企业依法", TextBlock(InlineFont(b=True), "登记，经营正常。"))
        sheet["G3"] = True

    cover = workbook(shape=shape)
    notes = [row[ROWS[0].index("note")] for row in parse_xlsx(cover).sheet.rows]
    assert isinstance(notes[0], Literal)
    assert notes[0] == "该企业依法登记，经营正常。"
    assert isinstance(notes[1], Fixed)
    after = parse_xlsx(marked(cover, XLSX, TABLE_POLICY)).sheet
    assert {notes[0], notes[1]} <= {row[ROWS[0].index("note")] for row in after.rows}


def test_a_hidden_first_sheet_is_passed_over() -> None:
    book = openpyxl.load_workbook(io.BytesIO(COVER))
    book.create_sheet("hidden", 0).append(["secret"])
    book.worksheets[0].sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    assert parse_xlsx(out.getvalue()).sheet.columns == tuple(ROWS[0])


# --- hostile files ------------------------------------------------------------------------------------------


def in_part(name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    return repacked(lambda part, data: change(data) if part.endswith(name) else data, source=COVER)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "data",
    [
        in_part("sheet1.xml", lambda data: data[:200]),
        in_part("sheet1.xml", lambda data: BOMB + data),
        in_part("sheet1.xml", lambda data: data.replace(b'r="A2"', b'r="2A"')),
        in_part("sheet1.xml", lambda data: data.replace(b"<v>5</v>", b"<v>99999999</v>", 1)),
        in_part("sheet1.xml", lambda data: None),
        in_part("sheet1.xml", lambda data: b"<worksheet/>"),
        repacked(
            lambda part, data: b"<worksheet><sheetData/></worksheet>" if "worksheets/" in part else data,
            source=COVER,
        ),
        in_part("workbook.xml", lambda data: data.replace(b"sheet ", b"leaf ")),
        in_part("sharedStrings.xml", lambda data: None),
        COVER[: len(COVER) // 2],
    ],
    ids=[
        "part cut short",
        "entities",
        "cell reference",
        "string index",
        "sheet missing",
        "no data",
        "empty",
        "no sheets",
        "no strings",
        "file cut short",
    ],
)
def test_a_damaged_workbook_is_malformed(data: bytes) -> None:
    with pytest.raises(MediaMalformed):
        marked(data, XLSX, TABLE_POLICY)


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = repacked(lambda _, data: data, source=COVER, extra={"xl/workbook.xml": b"<workbook/>"})
    with pytest.raises(MediaMalformed, match="two parts"):
        marked(data, XLSX)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("packages.PACKAGE_BYTES_MAX", 50_000),
        ("packages.PACKAGE_PARTS_MAX", 3),
        ("packages.XML_PART_BYTES_MAX", 10_000),
        ("xlsx.TABLE_ROWS_MAX", 100),
        ("xlsx.TABLE_CELLS_MAX", 100),
        ("xlsx.TABLE_COLUMNS_MAX", 3),
        ("xlsx.CELL_CHARS_MAX", 5),
        ("xlsx.XLSX_STRINGS_MAX", 10),
    ],
)
def test_what_is_past_a_limit_names_it(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(f"watermark.{name}", value)
    with pytest.raises(MediaTooLarge, match=name.partition(".")[2]):
        marked(COVER, XLSX, TABLE_POLICY)


def test_a_zip_bomb_is_refused_when_it_has_unpacked_the_limit() -> None:
    data = repacked(lambda _, data: data, source=COVER, extra={"xl/media/zeros.bin": bytes(140 << 20)})
    assert len(data) < 1 << 20
    with pytest.raises(MediaTooLarge, match="PACKAGE_BYTES_MAX"):
        marked(data, XLSX)


def test_another_zip_and_an_encrypted_one_are_refused_by_name() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(MediaUnsupported, match="ZIP"):
        sniff(out.getvalue())
    data = bytearray(COVER)
    at = data.index(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 1)
    with pytest.raises(MediaUnsupported, match="encrypted"):
        marked(bytes(data), XLSX)


def _other(replacement: bytes, _: bytes) -> bytes:
    return replacement


def test_damage_anywhere_never_ends_in_anything_but_a_watermark_error() -> None:
    cover = workbook(table_rows(12))
    rng = random.Random(5)
    for _ in range(80):
        data = bytearray(cover)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(WatermarkError):
            marked(bytes(data), XLSX, TABLE_POLICY)
    with zipfile.ZipFile(io.BytesIO(cover)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    for _ in range(60):
        part = bytearray(sheet)
        for _ in range(3):
            part[rng.randrange(len(part))] = rng.randrange(32, 127)
        with contextlib.suppress(WatermarkError):
            marked(in_part("sheet1.xml", partial(_other, bytes(part))), XLSX, TABLE_POLICY)


@pytest.mark.parametrize(
    ("form", "moves"),
    [
        ("yyyy-mm-dd", False),
        ("[$-804]yyyy年m月d日", False),
        ("[h]:mm", False),
        ("0.00E+00", True),
        ('0.00" days"', True),
        ("[Red]#,##0.00", True),
        ("General", True),
    ],
)
def test_a_date_is_no_number_even_in_a_column_with_a_tolerance(form: str, moves: bool) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "income"])
    for row in range(2, 12):
        book.active.append([f"P{row}", 45000 + row])
        book.active.cell(row, 2).number_format = form
    out = io.BytesIO()
    book.save(out)
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal(1)}))
    copy = openpyxl.load_workbook(io.BytesIO(marked(out.getvalue(), XLSX, policy))).active
    values = [copy.cell(row, 2).value for row in range(2, 12)]
    before = [
        openpyxl.load_workbook(io.BytesIO(out.getvalue())).active.cell(row, 2).value for row in range(2, 12)
    ]
    assert (values != before) is moves
