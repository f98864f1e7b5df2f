"""Files that somebody made to break a reader: bombs, loops, lies in headers, and every good file cut short.

Rule: each is a function, so that nothing large is built before it is asked for; the same on every run.
"""

from __future__ import annotations

import base64
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import pyarrow as pa
from docx import Document
from openpyxl import Workbook

from tests.unit.watermark_bomb_parts import (
    LAUGHS,
    MAIN,
    blank_png,
    chunk,
    document,
    many_entries,
    many_large_jpegs,
    object_stream_bomb,
    one_page,
    overlapping,
    parquet,
    pdf,
    png,
    repeated_parquet,
    scans_jpeg,
    stream,
    strip,
    tiff,
    webp,
    workbook,
    worksheet,
    zeros,
    zipped,
)
from tests.unit.watermark_covers import csv_file, file_of, pdf_file, photo_image, table_rows

Made = Callable[[], bytes]
CUTS: Final = (0.01, 0.1, 0.35, 0.7, 0.97, 0.999)


@cache
def good(kind: str) -> bytes:
    """A file of each kind that can be marked."""
    picture, rows = photo_image(160, 120), table_rows(12)
    match kind:
        case "png" | "jpeg" | "webp" | "tiff":
            return file_of(picture, kind.upper())
        case "pdf":
            return pdf_file()
        case "csv":
            return csv_file(rows)
        case "json":
            return '{"id": "P1", "income": 12.25, "note": "依法登记，经营正常。", "holder": {"name": "某", "rate": 7}}'.encode()
        case "jsonl":
            return b"".join(b'{"id": "P%d", "income": %d.25}\n' % (index, index) for index in range(9))
        case "text":
            return "该企业依法登记，经营正常。Some words of text.\n".encode() * 4
        case "parquet":
            return parquet(pa.table({name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])}))
        case "xlsx":
            book = Workbook()
            for row in rows:
                book.active.append(row)
            out = io.BytesIO()
            book.save(out)
            return out.getvalue()
        case _:
            text, out = Document(), io.BytesIO()
            for row in rows:
                text.add_paragraph(" ".join(row))
            text.save(out)
            return out.getvalue()


KINDS: Final = (
    "png",
    "jpeg",
    "webp",
    "tiff",
    "pdf",
    "docx",
    "xlsx",
    "csv",
    "json",
    "jsonl",
    "parquet",
    "text",
)


def damaged(kind: str, seed: int) -> bytes:
    """A good file with some bits turned over."""
    rng = random.Random(f"{kind}/{seed}")
    data = bytearray(good(kind))
    for _ in range(rng.choice((1, 3, 10, 40))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _nested_zip() -> bytes:
    inner = zipped({"a": bytes(4 << 20)})
    for depth in range(4):
        inner = zipped({f"{depth}/{copy}.zip": inner for copy in range(10)})
    return zipped({"xl/workbook.xml": b"<workbook/>", "xl/a.zip": inner})


def _cells(count: int) -> str:
    return "".join(f'<c r="A{count}"><v>1</v></c>' for _ in range(count))


BOMBS: Final[Mapping[str, Made]] = {
    # packages
    "xlsx: deflate bomb": lambda: workbook(worksheet(""), more={"xl/big.xml": bytes(300 << 20)}),
    "xlsx: bzip2 bomb": lambda: zipped({"xl/workbook.xml": bytes(300 << 20)}, zipfile.ZIP_BZIP2),
    "xlsx: LZMA bomb": lambda: zipped({"xl/workbook.xml": bytes(300 << 20)}, zipfile.ZIP_LZMA),
    "xlsx: nested bomb": _nested_zip,
    "xlsx: overlapping parts": lambda: overlapping(2_000, 20 << 20),
    "xlsx: a million parts": lambda: many_entries(1_000_000),
    "xlsx: XML bomb in sheet": lambda: workbook(
        worksheet('<row r="1"><c t="inlineStr"><is><t>&j;</t></is></c></row>', head=LAUGHS)
    ),
    "xlsx: XML bomb in an attribute": lambda: workbook(worksheet('<row r="&j;"/>', head=LAUGHS)),
    "xlsx: XML bomb in strings": lambda: workbook(
        worksheet('<row><c t="s"><v>0</v></c></row>'),
        strings=f"{LAUGHS}<sst {MAIN}><si><t>&j;</t></si></sst>",
    ),
    "xlsx: 30 MB of small elements": lambda: workbook(worksheet("<r/>" * (30 << 18))),
    "xlsx: 30 MB of small attributes": lambda: workbook(
        worksheet("".join(f'<r a{n}=""/>' for n in range(2_000_000)))
    ),
    "xlsx: a million strings": lambda: workbook(
        worksheet('<row><c t="s"><v>0</v></c></row>'), strings=f"<sst {MAIN}>{'<si/>' * 1_000_001}</sst>"
    ),
    "xlsx: dimension of all rows and columns": lambda: workbook(
        worksheet(
            '<row><c r="A1" t="inlineStr"><is><t>id</t></is></c></row>', '<dimension ref="A1:XFD1048576"/>'
        )
    ),
    "xlsx: last cell only": lambda: workbook(
        worksheet('<row><c r="A1"><v>1</v></c><c r="XFD1"><v>1</v></c></row>')
    ),
    "xlsx: no header cell": lambda: workbook(worksheet('<row r="1"/>')),
    "xlsx: one string a million times": lambda: workbook(
        worksheet(
            "<row>"
            + '<c t="s"><v>0</v></c>' * 900
            + "</row>"
            + ("<row>" + '<c t="s"><v>0</v></c>' * 900 + "</row>") * 1_000
        ),
        strings=f"<sst {MAIN}><si><t>{'x' * 99_000}</t></si></sst>",
    ),
    "xlsx: XML 250 deep": lambda: workbook(worksheet("<a>" * 250 + "</a>" * 250)),
    "xlsx: XML 100,000 deep": lambda: workbook(worksheet("<a>" * 100_000 + "</a>" * 100_000)),
    "xlsx: external entity": lambda: workbook(
        worksheet("<row>&x;</row>", head='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>')
    ),
    "docx: XML bomb": lambda: document("<w:p><w:r><w:t>&j;</w:t></w:r></w:p>", head=LAUGHS),
    "docx: one run of 30 MB": lambda: document(f"<w:p><w:r><w:t>{'x' * (9 << 20)}</w:t></w:r></w:p>"),
    "docx: a million runs": lambda: document("<w:p>" + "<w:t/>" * 1_500_000 + "</w:p>"),
    "docx: bzip2": lambda: document("<w:p/>", compression=zipfile.ZIP_BZIP2),
    "docx: no text": lambda: document(""),
    "docx: not XML": lambda: zipped({"word/document.xml": b"\xff\xfe\0"}),
    "docx: is empty": lambda: zipped({"word/document.xml": b""}),
    "docx: relations loop": lambda: zipped(
        {"word/document.xml": b"<a/>", "word/_rels/document.xml.rels": b"<a/>"}
    ),
    # pictures
    "png: 30,000 × 30,000 declared": lambda: png(30_000, 30_000, zlib.compress(b"\0")),
    "png: 2³¹ declared": lambda: png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0")),
    "png: 64 million blank pixels": lambda: blank_png(8_000, 8_000),
    "png: 0 × 0": lambda: png(0, 0, zlib.compress(b"")),
    "png: 1 × 1": lambda: png(1, 1, zlib.compress(b"\0\1\2\3")),
    "png: 1 × 1,000,000": lambda: png(1, 1_000_000, zlib.compress(bytes(4_000_000))),
    "png: 60,000,000 × 1": lambda: png(60_000_000, 1, zeros(172 << 20)),
    "png: text bomb": lambda: png(
        100,
        100,
        zlib.compress(bytes(30_100)),
        more=b"".join(chunk(b"zTXt", b"k\0\0" + zeros(64 << 20)) for _ in range(40)),
    ),
    "png: profile bomb": lambda: png(
        100, 100, zlib.compress(bytes(30_100)), more=chunk(b"iCCP", b"k\0\0" + zeros(300 << 20))
    ),
    "png: more data than pixels": lambda: png(100, 100, zeros(300 << 20)),
    "png: 100,000 chunks": lambda: png(
        100, 100, zlib.compress(bytes(30_100)), more=chunk(b"tEXt", b"k\0v") * 100_000
    ),
    "jpeg: 65,500 × 65,500 declared": lambda: _resized_jpeg(65_500),
    "jpeg: 20,000 scans": lambda: scans_jpeg(20_000, 7_900),
    "jpeg: 200 scans": lambda: scans_jpeg(200, 7_900),
    "jpeg: header alone": lambda: b"\xff\xd8\xff",
    "webp: 16,383 × 16,383 declared": lambda: webp(16_383, 16_383),
    "webp: 7,999 × 7,999 declared": lambda: webp(7_999, 7_999),
    "tiff: 60,000 × 60,000 declared": lambda: strip(60_000, 60_000, 1, b"x"),
    "tiff: 2³² - 1 declared": lambda: strip(2**32 - 1, 2**32 - 1, 8, zlib.compress(b"x")),
    "tiff: Deflate bomb": lambda: strip(8_000, 8_000, 8, zeros(300 << 20)),
    "tiff: strip claimed 4 GB": lambda: strip(100, 100, 8, zlib.compress(bytes(10_000)), 2**32 - 1),
    "tiff: directory that loops": lambda: tiff([(256, 4, 1, 1)], following=8),
    "tiff: tag of 2³² values": lambda: tiff([(256, 4, 2**32 - 1, 0), (257, 4, 2**32 - 1, 0)]),
    "tiff: no tags": lambda: tiff([]),
    "tiff: LZW": lambda: strip(4_000, 4_000, 5, b"\x80" * 5_000),
    "tiff: fax": lambda: strip(9_000, 7_000, 4, bytes(10)),
    # PDF
    "pdf: object stream bomb": lambda: object_stream_bomb(128 << 20),
    "pdf: object stream packed twice": lambda: object_stream_bomb(128 << 20, 2),
    "pdf: content bomb": lambda: one_page(stream(zeros(300 << 20, b"q Q "), b"/Filter /FlateDecode")),
    "pdf: content packed three times": lambda: one_page(
        stream(
            zlib.compress(zlib.compress(zeros(1 << 30))), b"/Filter [/FlateDecode /FlateDecode /FlateDecode]"
        )
    ),
    "pdf: hexadecimal 24 times": lambda: one_page(
        stream(b"3" * 1_000_000 + b">", b"/Filter [" + b"/ASCIIHexDecode " * 24 + b"]")
    ),
    "pdf: hexadecimal 1,000 times": lambda: one_page(
        stream(b"3" * 1_000_000 + b">", b"/Filter [" + b"/ASCIIHexDecode " * 1_000 + b"]")
    ),
    "pdf: LZW twice": lambda: one_page(stream(b"\x80" * 100_000, b"/Filter [/LZWDecode /LZWDecode]")),
    "pdf: run lengths packed": lambda: one_page(
        stream(zeros(512 << 20, b"\x81x"), b"/Filter [/FlateDecode /RunLengthDecode]")
    ),
    "pdf: predictor of two thousand million columns": lambda: one_page(
        stream(zeros(64 << 20), b"/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 2000000000 >>")
    ),
    "pdf: page tree loops": lambda: pdf(
        {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"}
    ),
    "pdf: page tree 100,000 deep": lambda: pdf(
        {1: b"<< /Type /Catalog /Pages 2 0 R >>"}
        | {n: b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (n + 1) for n in range(2, 100_000)}
        | {100_000: b"<< /Type /Page /MediaBox [0 0 9 9] >>"}
    ),
    "pdf: pages are one page": lambda: pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [" + b"3 0 R " * 200_000 + b"] /Count 200000 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        }
    ),
    "pdf: no pages": lambda: pdf(
        {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Kids [] /Count 0 >>"}
    ),
    "pdf: catalogue is itself": lambda: pdf({1: b"1 0 R"}),
    "pdf: huge page": lambda: one_page(stream(b"BT /F1 9 Tf (x) Tj ET"), b"/MediaBox [0 0 1e30 1e30]"),
    "pdf: page of no size": lambda: one_page(stream(b"BT /F1 9 Tf (x) Tj ET"), b"/MediaBox [0 0 0 0]"),
    "pdf: page of no numbers": lambda: one_page(
        stream(b"BT /F1 9 Tf (x) Tj ET"), b"/MediaBox [/a (b) null true]"
    ),
    "pdf: long thin page": lambda: one_page(stream(b"BT /F1 9 Tf (x) Tj ET"), b"/MediaBox [0 0 14400 0.01]"),
    "pdf: form draws itself": lambda: one_page(
        stream(b"/X Do"),
        more={
            5: stream(
                b"/X Do /X Do",
                b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>",
            )
        },
    ),
    "pdf: forms draw forms": lambda: one_page(
        stream(b"/X Do " * 10),
        more={
            n: stream(
                b"/X Do " * 10,
                b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>"
                % (n + 1),
            )
            for n in range(5, 60)
        },
    ),
    "pdf: dictionaries 100,000 deep": lambda: one_page(
        stream(b""), b"/A " + b"<< /A " * 100_000 + b">> " * 100_000
    ),
    "pdf: arrays 100,000 deep in content": lambda: one_page(stream(b"[" * 100_000 + b"]" * 100_000 + b" TJ")),
    "pdf: brackets never closed": lambda: one_page(stream(b"(" * 4_000_000)),
    "pdf: inline images": lambda: one_page(stream(b"BI /W 9 ID x EI\xff" * 200_000)),
    "pdf: graphics states": lambda: one_page(stream(b"q " * 4_000_000)),
    "pdf: numbers without end": lambda: one_page(stream(b"1 " * 4_000_000)),
    "pdf: long numbers": lambda: one_page(stream(b"BT /F1 9 Tf " + b"9" * 4_000_000 + b" 0 Td (x) Tj ET")),
    "pdf: small pictures that are large": lambda: many_large_jpegs(60),
    "pdf: header alone": lambda: b"%PDF-1.7\n",
    "pdf: JavaScript and actions": lambda: pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (while(1){}) >> >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>",
        }
    ),
    # records and tables
    "json: a million deep": lambda: b"[" * 1_000_000 + b"]" * 1_000_000,
    "json: a million objects deep": lambda: b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000,
    "json: 10⁵ digits": lambda: b'{"income": ' + b"9" * 100_000 + b"}",
    "json: 10⁷ digits": lambda: b'{"income": ' + b"9" * 10_000_000 + b"}",
    "json: huge exponent": lambda: b'{"income": 1e999999999999, "area": -1E-999999999999}',
    "json: names twice": lambda: b'{"a": 1, "a": 2}',
    "json: NaN": lambda: b'{"income": NaN}',
    "json: Infinity": lambda: b'[{"income": -Infinity}]',
    "json: lone surrogate": lambda: b'{"note": "\\ud800"}',
    "json: lone surrogate in a name": lambda: b'{"\\udfff": 1}',
    "json: cut escape": lambda: b'{"note": "\\u12',
    "json: array of numbers": lambda: b"[" + b"1," * 1_000_000 + b"1]",
    "json: empty array": lambda: b"[]",
    "json: empty object": lambda: b"{}",
    "json: one key": lambda: b'{"a": 1}',
    "json: many names": lambda: b"{" + b",".join(b'"n%d": %d' % (n, n) for n in range(20_000)) + b"}",
    "json: rows with names of their own": lambda: (
        b"[" + b",".join(b'{"n%d": %d}' % (n, n) for n in range(100_000)) + b"]"
    ),
    "json: one long text": lambda: b'{"note": "' + b"x" * 15_000_000 + b'"}',
    "json: name of 10⁶ characters": lambda: b'{"' + b"x" * 1_000_000 + b'": 1}',
    "json: a comma too many": lambda: b'{"a": 1,}',
    "json: two values": lambda: b'{"a": 1} {"a": 2}',
    "json: UTF-16": lambda: '{"income": 1.25, "note": "依法登记"}'.encode("utf-16"),
    "json: UTF-16 big-endian": lambda: b"\xfe\xff" + '{"income": 1.25}'.encode("utf-16-be"),
    "json: UTF-32": lambda: '{"income": 1.25}'.encode("utf-32"),
    "jsonl: one line broken": lambda: b'{"a": 1}\n{"a": \n{"a": 3}\n',
    "jsonl: one line is a list": lambda: b'{"a": 1}\n[1]\n',
    "jsonl: one line is deep": lambda: b'{"a": 1}\n' + b"[" * 100_000 + b"\n",
    "jsonl: 300,000 lines": lambda: b'{"a": 1}\n' * 300_000,
    "csv: a million columns": lambda: (
        b",".join([b"c"] * 1_000_000) + b"\n" + b",".join([b"1"] * 1_000_000) + b"\n"
    ),
    "csv: quote never closed": lambda: b'id,income\n"' + b"x" * 10_000_000,
    "csv: quotes": lambda: b"id,income\n" + b'"' * 10_000_000,
    "csv: NUL": lambda: b"id,income\na\0,1.00\n",
    "csv: a cell of 10⁷ characters": lambda: b"id,income\n" + b"x" * 10_000_000 + b",1.00\n",
    "csv: UTF-16 big-endian": lambda: b"\xfe\xff" + csv_file(table_rows(9)).decode().encode("utf-16-be"),
    "csv: UTF-16 cut": lambda: csv_file(table_rows(9)).decode().encode("utf-16")[:-1],
    "csv: GB18030": lambda: csv_file(table_rows(9)).decode().encode("gb18030"),
    "csv: mixed line ends": lambda: b"id,income\r\na,1.00\nb,2.00\rc,3.00",
    "csv: header alone": lambda: b"id,income\n",
    "csv: one cell": lambda: b"id\n",
    "csv: same name twice": lambda: b"id,id,income\na,b,1.00\nc,d,2.00\n",
    "csv: 300,000 rows": lambda: b"id,income\n" + b"a,1.00\n" * 300_000,
    "csv: blank lines": lambda: b"\n" * 250_000 + b"id,income\na,1\n",
    "csv: bytes of no text": lambda: random.Random(1).randbytes(100_000),
    "text: one word": lambda: b"word",
    "text: blanks": lambda: b" \n\t " * 1_000,
    "text: 2 million characters": lambda: b"word " * 400_000,
    "text: combining characters": lambda: b"a" + "\u0301".encode() * 900_000,
    "text: of its own marks": lambda: "\u200b\u2060".encode() * 300_000,
    "text: one character": lambda: "字".encode() * 900_000,
    "text: 64 MB": lambda: b"x" * (64 << 20),
    "text: above 64 MB": lambda: b"x" * ((64 << 20) + 1),
    # Parquet
    "parquet: signature alone": lambda: b"PAR1",
    "parquet: signatures alone": lambda: b"PAR1PAR1",
    "parquet: footer of 2³¹": lambda: b"PAR1" + bytes(64) + struct.pack("<I", 2**31 - 1) + b"PAR1",
    "parquet: one text 30,000 times": lambda: repeated_parquet(30_000, 99_000),
    "parquet: 10⁷ rows of nothing": lambda: parquet(pa.table({"id": pa.nulls(10_000_000, pa.int8())})),
    "parquet: 1,500 columns": lambda: parquet(pa.table({f"c{n}": [1] for n in range(1_500)})),
    "parquet: no columns": lambda: parquet(pa.table({})),
    "parquet: no rows": lambda: parquet(pa.table({"id": pa.array([], pa.string())})),
    "parquet: 400 lists deep": lambda: parquet(pa.table({"id": _nested_list(400)})),
    "parquet: names that are no text": lambda: parquet(pa.table({"": ["x"], "\ud7ff": ["y"]})),
    # nothing
    "nothing": lambda: b"",
    "NULs": lambda: bytes(10_000_000),
    "gzip": lambda: b"\x1f\x8b\x08\0" + bytes(20),
    "GIF": lambda: b"GIF89a" + bytes(20),
    "an encoding of its own": lambda: base64.b85encode(random.Random(2).randbytes(90_000)),
}


def _nested_list(depth: int) -> pa.Array:
    kind: pa.DataType = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return pa.array([None], kind)


def _resized_jpeg(side: int) -> bytes:
    data = bytearray(good("jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)
