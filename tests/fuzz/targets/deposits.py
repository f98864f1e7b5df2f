"""Tables and attachments from strangers, as the children that read them see them.

Rule: a table is rows, or a sentence about it; what a row becomes holds under its type's own checks. A picture
that is refused is refused by its walk alone, whatever it claims.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import openpyxl
from PIL import Image

from node.services.attachment_checks import _Refused, check_jpeg, check_png
from tests.fuzz.target import Target, require
from zhenglian.catalogue import CertificateTypeSpec, load_catalogue
from zhenglian.field_checks import check_value
from zhenglian.rows import ColumnsInvalid, RowRules, check_row
from zhenglian.tables import FileRow, TableInvalid, TableKind, TableTooLarge
from zhenglian.tables.limits import ROWS_MAX
from zhenglian.tables.sniff import kind_of
from zhenglian.tables.worker import rows_of

ERRORS = (TableInvalid, TableTooLarge, ColumnsInvalid)
HEADER = "姓名,性别,出生日期,公民身份号码"


@lru_cache(maxsize=1)
def place() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-deposits-")) / "table"


@lru_cache(maxsize=1)
def card() -> CertificateTypeSpec:
    return next(spec for spec in load_catalogue() if spec.code == "social_security_card")


def run_table(kind: TableKind) -> Callable[[bytes], None]:
    """Reads the input as a table of that kind and makes certificates of its rows."""

    def run(data: bytes) -> None:
        place().write_bytes(data)
        rules = RowRules(spec=card(), holder="0" * 32)
        for count, row in enumerate(rows_of(place(), kind_of(data[:4096], kind))):
            require(count <= ROWS_MAX, "more rows than there may be")
            if isinstance(row, FileRow):
                made = check_row(rules, row)
                for name, value in made.fields.items():
                    field = card().field(name)
                    require(field is not None, "a field of no type")
                    if field is not None:
                        check_value(field, value)

    return run


def run_png(data: bytes) -> None:
    check_png(data)


def run_jpeg(data: bytes) -> None:
    check_jpeg(data)


def picture(kind: str) -> list[bytes]:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), "white").save(out, kind)
    return [out.getvalue()]


def tables() -> list[bytes]:
    text = f"{HEADER}\n张三,男,2024年3月5日,11010519491231002x\n"
    return [text.encode(), text.encode("gb18030"), text.encode("utf-16"), b'a,b\n"x\n",1\n']


def documents() -> list[bytes]:
    row = '{"姓名": "张三", "出生日期": "20240305", "缴费记录": [{"月份": "2024-01"}]}'
    return [f"[{row}]".encode(), f'{{"rows": [{row}]}}'.encode(), row.encode()]


def workbooks() -> list[bytes]:
    book = openpyxl.Workbook()
    book.active.append(HEADER.split(","))
    book.active.append(["张三", "男", "2024年3月5日", "11010519491231002x"])
    out = io.BytesIO()
    book.save(out)
    return [out.getvalue()]


TARGETS = (
    Target(
        name="deposits.csv", run=run_table(TableKind.CSV), seeds=tables, errors=ERRORS, size_bytes_max=8192
    ),
    Target(
        name="deposits.json",
        run=run_table(TableKind.JSON),
        seeds=documents,
        errors=ERRORS,
        size_bytes_max=8192,
    ),
    Target(
        name="deposits.json_lines",
        run=run_table(TableKind.JSON_LINES),
        seeds=documents,
        errors=ERRORS,
        size_bytes_max=8192,
    ),
    Target(
        name="deposits.xlsx",
        run=run_table(TableKind.XLSX),
        seeds=workbooks,
        errors=ERRORS,
        size_bytes_max=16_384,
    ),
    Target(name="deposits.png", run=run_png, seeds=lambda: picture("PNG"), errors=(_Refused,)),
    Target(name="deposits.jpeg", run=run_jpeg, seeds=lambda: picture("JPEG"), errors=(_Refused,)),
)
