"""Tables as people and enemies make them: read as they are meant, or refused in one sentence, in bounded time and memory."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhenglian.tables import (
    FileRow,
    TableInvalid,
    TableKind,
    TableTooLarge,
    jsons,
    open_table,
    reading,
    texts,
    workbooks,
)
from zhenglian.tables.jsons import strict_json
from zhenglian.tables.sniff import kind_of
from zhenglian.tables.texts import encoding_of, read_csv
from zhenglian.tables.worker import rows_of


def read(folder: Path, data: bytes, stated: TableKind | None = None) -> list[FileRow]:
    path = folder / "table"
    path.write_bytes(data)
    with open_table(path, stated) as opened:
        return list(opened.rows)


def rows_here(folder: Path, data: bytes, kind: TableKind) -> list[dict[str, object]]:
    """In this process: for what a child would say alike."""
    path = folder / "table"
    path.write_bytes(data)
    return [dict(row.cells) for row in rows_of(path, kind) if isinstance(row, FileRow)]


# --- as they are meant --------------------------------------------------------------------------------------

TEXT = "姓名,出生日期\n张三,2024年3月5日\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("gb18030"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.replace(",", "\t").encode("utf-16"),
        TEXT.replace(",", ";").encode(),
        TEXT.replace("\n", "\r\n").encode(),
        ("\n" + TEXT + "\n\n,\n").encode(),
    ],
)
def test_csv_in_every_usual_encoding_and_form(tmp_path: Path, data: bytes) -> None:
    assert rows_here(tmp_path, data, TableKind.CSV) == [{"姓名": "张三", "出生日期": "2024年3月5日"}]


def test_a_child_reads_what_is_read_here(tmp_path: Path) -> None:
    (row,) = read(tmp_path, TEXT.encode("gb18030"))
    assert (row.number, row.cells) == (2, {"姓名": "张三", "出生日期": "2024年3月5日"})


def test_quoted_cells_keep_their_delimiters_and_lines(tmp_path: Path) -> None:
    data = b'a,b\n"x, ""y""","two\nlines"\nlast,1\n'
    assert rows_here(tmp_path, data, TableKind.CSV) == [
        {"a": 'x, "y"', "b": "two\nlines"},
        {"a": "last", "b": "1"},
    ]


def test_numbers_in_json_keep_their_digits(tmp_path: Path) -> None:
    data = b'[{"a": 1.50, "b": 7, "c": 123456789012345678901, "d": null, "e": "", "f": 1e3}]'
    assert rows_here(tmp_path, data, TableKind.JSON) == [
        {"a": "1.50", "b": 7, "c": "123456789012345678901", "f": "1e3"}
    ]


def test_a_workbook_shows_days_as_days_and_refuses_what_it_has_lost(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["name", "day", "number", "code", "time"])
    sheet.append(["x", datetime.date(1900, 2, 28), 0.1 + 0.2, 110105194912310021, datetime.time(12)])
    sheet.append(["y", datetime.date(2024, 3, 5), 7, "007", None])
    book.save(tmp_path / "book.xlsx")
    first, second = read(tmp_path, (tmp_path / "book.xlsx").read_bytes())
    assert first.cells == {"name": "x", "day": "1900-02-28", "number": "0.3"}
    assert dict(first.problems) == {"code": "number_mangled", "time": "date_unknown"}
    assert second.cells == {"name": "y", "day": "2024-03-05", "number": "7", "code": "007"}
    assert (first.number, second.number) == (2, 3)


def rows_of_some(folder: Path, data: bytes, stated: TableKind | None) -> None:
    """Raises TableInvalid for a table without rows, too, as its reader does."""
    if not rows_here(folder, data, kind_of(data[:4096], stated)):
        raise TableInvalid("no_rows")


# --- hostile ------------------------------------------------------------------------------------------------


def workbook(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


BOOK = {
    "xl/workbook.xml": b'<workbook xmlns="m" xmlns:r="r"><sheets><sheet name="s" r:id="1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        b'<Relationship Id="1" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}
LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><worksheet xmlns="m"><sheetData><row><c t="inlineStr"><is><t>&c;</t></is></c>'
    b"</row></sheetData></worksheet>"
)
HOSTILE: list[tuple[str, bytes, TableKind | None]] = [
    ("nothing", b"", None),
    ("blanks", b" \n\t ", None),
    ("a million columns", b"," * 1_000_000 + b"\na", TableKind.CSV),
    ("a million named columns", b"a," * 1_000_000 + b"\na", TableKind.CSV),
    ("NUL in CSV", b"a,b\n1,\x002\n", TableKind.CSV),
    ("a quote without end", b'a,b\n1,"2\n', TableKind.CSV),
    ("a cell without end", b"a\n" + b"x" * 1_100_000, TableKind.CSV),
    ("a line without end", b"a\n" + b"x" * 4_100_000, TableKind.CSV),
    ("no encoding", b"a\n\xff\xff\xff\x80\n", TableKind.CSV),
    ("half a surrogate", "a\n".encode("utf-16") + b"\x00\xd8", None),
    ("a column twice", b"a,a\n1,2\n", TableKind.CSV),
    ("only a header", b"a,b\n", TableKind.CSV),
    ("deep JSON", b"[" * 100_000, TableKind.JSON),
    ("deep JSON in a line", b'{"a":' * 50_000, TableKind.JSON_LINES),
    ("a member twice", b'[{"a": 1, "a": 2}]', TableKind.JSON),
    ("JSON that is a number", b"7", TableKind.JSON),
    ("a list of lists", b"[[1]]", TableKind.JSON),
    ("not a number", b'[{"a": NaN}]', TableKind.JSON),
    ("cut short", b'[{"a": 1', TableKind.JSON),
    (
        "a million columns in JSON",
        b"{" + b",".join(b'"%d":1' % n for n in range(1000)) + b"}",
        TableKind.JSON,
    ),
    ("an old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), None),
    ("a page called a workbook", b"<html><table><tr><td>1</td></tr></table></html>", TableKind.XLSX),
    ("a PDF called CSV", b"%PDF-1.7\n", TableKind.CSV),
    ("a ZIP called CSV", workbook(BOOK), TableKind.CSV),
    ("text called a workbook", b"a,b\n1,2\n", TableKind.XLSX),
    ("a ZIP that is no workbook", workbook({"a.txt": b"x"}), TableKind.XLSX),
    ("half a ZIP", workbook(BOOK)[:60], TableKind.XLSX),
    ("a workbook without its sheet", workbook(BOOK), TableKind.XLSX),
    ("a ZIP bomb", workbook({**BOOK, "xl/worksheets/sheet1.xml": b" " * 200_000_000}), TableKind.XLSX),
    ("ten thousand parts", workbook({**BOOK, **{f"p{n}": b"" for n in range(10_000)}}), TableKind.XLSX),
    ("a billion laughs", workbook({**BOOK, "xl/worksheets/sheet1.xml": LAUGHS}), TableKind.XLSX),
]


@pytest.mark.parametrize(("name", "data", "stated"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_what_is_no_table_is_refused_in_two_languages(
    tmp_path: Path, name: str, data: bytes, stated: TableKind | None
) -> None:
    with pytest.raises((TableInvalid, TableTooLarge)) as refused:
        rows_of_some(tmp_path, data, stated)
    assert refused.value.message("zh") != refused.value.message("en")
    assert "{" not in refused.value.message("zh") + refused.value.message("en")


def test_a_child_that_takes_too_much_memory_ends_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b'[{"a": "' + b"x" * 900_000 + b'"}]')
    with pytest.raises(TableInvalid) as refused, open_table(path, None, memory_bytes=1 << 20) as opened:
        list(opened.rows)
    assert refused.value.fields["reason"] == "too_long"


@given(st.text(max_size=200))
def test_json_is_what_the_standard_reader_says_or_refused(text: str) -> None:
    try:
        found = strict_json(text, line=1)
    except (TableInvalid, TableTooLarge):
        return
    assert json.loads(text.lstrip("\ufeff"), parse_int=str, parse_float=str) == found


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=2, max_size=4), max_size=5
    )
)
def test_a_csv_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_text("\n".join(["a,b", *(",".join(row) for row in rows)]), encoding="utf-8")
    try:
        found = [row for row in read_csv(path) if isinstance(row, FileRow)]
    except (TableInvalid, TableTooLarge):
        return
    assert encoding_of(path)
    assert all(set(row.cells) <= {"a", "b"} for row in found)


def test_too_many_rows_and_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (texts, jsons, workbooks):
        monkeypatch.setattr(module, "ROWS_MAX", 2)
    csv_rows, json_rows = b"a\n1\n2\n3\n", b'[{"a": 1}, {"a": 2}, {"a": 3}]'
    for data, kind in ((csv_rows, TableKind.CSV), (json_rows, TableKind.JSON)):
        with pytest.raises(TableTooLarge):
            rows_here(tmp_path, data, kind)
    with pytest.raises(TableTooLarge):
        rows_here(tmp_path, b'{"a": 1}\n' * 3, TableKind.JSON_LINES)
    for name, kind in (("STREAMED_BYTES_MAX", TableKind.CSV), ("WHOLE_BYTES_MAX", TableKind.JSON)):
        monkeypatch.setattr(reading, name, 5)
        with pytest.raises(TableTooLarge):
            read(tmp_path, b"[ab,cd]", kind)
