"""What faces a file: every parser of the watermark library, and marking with what it gave.

Rule: a file is refused with a `WatermarkError`, or marked so that the copy can be read again.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from unittest.mock import patch

from PIL import Image

from tests.fuzz.target import Grammar, Target, require
from tests.unit.watermark_covers import LAYOUT, NEVER_ISSUED, TABLE_POLICY, csv_file, photo_image, table_rows
from watermark import WatermarkError, embed
from watermark.media import open_leak, sniff
from watermark.packages import DOCX, XLSX
from watermark.rasters import JPEG, PNG, TIFF, WEBP
from watermark.records import CSV, JSON
from watermark.texts import TEXT

# The fuzzer bounds memory by the input's length; how many pixels a small file may claim is tested beside the limit.
PIXELS_MAX = 100_000
_WORKSHEET = "xl/worksheets/sheet1.xml"
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def run_marked(media_type: str) -> Callable[[bytes], None]:
    """Marks the input as a file of that type, and reads the copy."""

    def run(data: bytes) -> None:
        with patch("watermark.rasters.IMAGE_PIXELS_MAX", PIXELS_MAX):
            mark_and_read(data)

    def mark_and_read(data: bytes) -> None:
        marked = embed(data, media_type, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=TABLE_POLICY)
        open_leak(data, media_type)
        # What could be read before it was marked can be read afterwards.
        try:
            open_leak(marked.data, media_type)
        except WatermarkError as error:
            require(False, f"the copy cannot be read: {error}")

    return run


def run_sniffed(data: bytes) -> None:
    """Any bytes as a leak of any original."""
    with patch("watermark.rasters.IMAGE_PIXELS_MAX", PIXELS_MAX):
        for media_type in (sniff(data), TEXT):
            open_leak(data, media_type)


def package(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def in_workbook(sheet: bytes) -> bytes:
    """A workbook whose only worksheet is the input."""
    relations = f'<Relationship Id="r1" Target="worksheets/sheet1.xml" Type="{_RELATIONS}/worksheet"/>'
    workbook = (
        f'<workbook {_MAIN} xmlns:r="{_RELATIONS}"><sheets><sheet name="a" r:id="r1"/></sheets></workbook>'
    )
    return package(
        {
            "xl/workbook.xml": workbook.encode(),
            "xl/_rels/workbook.xml.rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                f"{relations}</Relationships>"
            ).encode(),
            _WORKSHEET: sheet,
        }
    )


def run_worksheet(data: bytes) -> None:
    run_marked(XLSX)(in_workbook(data))


def run_document(data: bytes) -> None:
    run_marked(DOCX)(package({"word/document.xml": data}))


def worksheet_seeds() -> Iterable[bytes]:
    cells = "".join(
        f'<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>P{row}</t></is></c><c r="B{row}"><v>{row}.25</v></c></row>'
        for row in range(2, 8)
    )
    header = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c t="str" r="B1"><v>income</v></c></row>'
    )
    yield f"<worksheet {_MAIN}><sheetData>{header}{cells}</sheetData></worksheet>".encode()


def document_seeds() -> Iterable[bytes]:
    run = "<w:r><w:t>依法登记，经营正常。</w:t><w:tab/><w:t>Text</w:t></w:r>"
    yield f"<w:document {_WORD}><w:body><w:p>{run}</w:p><w:p>{run}</w:p></w:body></w:document>".encode()


@lru_cache(maxsize=1)
def image_seeds() -> dict[str, bytes]:
    picture = photo_image(72, 68)
    files: dict[str, bytes] = {}
    for media_type, kind in ((PNG, "PNG"), (JPEG, "JPEG"), (WEBP, "WEBP"), (TIFF, "TIFF")):
        out = io.BytesIO()
        pages = [Image.new("L", (66, 66), 200)] if media_type == TIFF else []
        picture.save(out, kind, **({"save_all": True, "append_images": pages} if pages else {}))
        files[media_type] = out.getvalue()
    return files


def table_seed() -> Iterable[bytes]:
    yield csv_file(table_rows(9))


def record_seed() -> Iterable[bytes]:
    yield '{"id": "P1", "income": 12.25, "note": "依法登记", "holder": {"name": "某", "rate": 7}}'.encode()
    yield b'[{"id": "a", "income": 1.5}, {"id": "b", "income": 2.5}]'


def _target(
    name: str, media_type: str, seeds: Callable[[], Iterable[bytes]], *, json: bool = False
) -> Target:
    return Target(
        name=f"watermark.{name}",
        run=run_marked(media_type),
        seeds=seeds,
        errors=(WatermarkError,),
        grammar=Grammar.JSON if json else Grammar.BYTES,
        size_bytes_max=64 * 1024,
    )


TARGETS = (
    _target("csv", CSV, table_seed),
    _target("json", JSON, record_seed, json=True),
    _target("text", TEXT, lambda: ["依法登记，经营正常。Some text.\n".encode() * 3]),
    _target("png", PNG, lambda: [image_seeds()[PNG]]),
    _target("jpeg", JPEG, lambda: [image_seeds()[JPEG]]),
    _target("webp", WEBP, lambda: [image_seeds()[WEBP]]),
    _target("tiff", TIFF, lambda: [image_seeds()[TIFF]]),
    Target(
        name="watermark.worksheet",
        run=run_worksheet,
        seeds=worksheet_seeds,
        errors=(WatermarkError,),
        size_bytes_max=8192,
    ),
    Target(
        name="watermark.document",
        run=run_document,
        seeds=document_seeds,
        errors=(WatermarkError,),
        size_bytes_max=8192,
    ),
    Target(
        name="watermark.leak",
        run=run_sniffed,
        seeds=lambda: [*table_seed(), *record_seed(), in_workbook(b"<a/>"), image_seeds()[TIFF]],
        errors=(WatermarkError,),
        size_bytes_max=32 * 1024,
    ),
)
