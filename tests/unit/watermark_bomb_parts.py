"""What bombs are made of: packages, pictures, PDF and Parquet files that lie about what they hold.

Rule: everything is built here byte by byte and the same on every run; the table of bombs is `watermark_bombs.py`.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.watermark_covers import file_of, photo_image

MAIN: Final = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
WORD: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
LAUGHS: Final = (
    '<!DOCTYPE x [<!ENTITY a "lol">'
    + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]>"
)
"""Entities that grow tenfold nine times."""


# --- packages ---


def zipped(parts: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def workbook(sheet: str, strings: str = "", more: Mapping[str, bytes] | None = None, **options: int) -> bytes:
    """A workbook whose only worksheet, and whose shared strings, are these."""
    relation = f'<Relationship Id="r1" Target="worksheets/sheet1.xml" Type="{_OFFICE}/worksheet"/>'
    if strings:
        relation += f'<Relationship Id="r2" Target="sharedStrings.xml" Type="{_OFFICE}/sharedStrings"/>'
    book = f'<workbook {MAIN} xmlns:r="{_OFFICE}"><sheets><sheet name="a" r:id="r1"/></sheets></workbook>'
    parts = {
        "xl/workbook.xml": book.encode(),
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">{relation}</Relationships>'.encode(),
        "xl/worksheets/sheet1.xml": sheet.encode(),
    }
    if strings:
        parts["xl/sharedStrings.xml"] = strings.encode()
    return zipped(parts | dict(more or {}), **options)


def worksheet(rows: str, before: str = "", head: str = "") -> str:
    return f"{head}<worksheet {MAIN}>{before}<sheetData>{rows}</sheetData></worksheet>"


def document(body: str, head: str = "", **options: int) -> bytes:
    """A document of these paragraphs."""
    text = f"{head}<w:document {WORD}><w:body>{body}</w:body></w:document>"
    return zipped({"word/document.xml": text.encode()}, **options)


def many_entries(count: int) -> bytes:
    """A ZIP file whose directory names one part very often."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    named = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0) + (
        b"xl/workbook.xml"
    )
    directory = named + entry * count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), len(local), 0)
    return local + directory + end


def overlapping(count: int, size_bytes: int) -> bytes:
    """Parts that all stand in the same compressed bytes (D. Fifield, "A better zip bomb", 2019, full overlap)."""
    packed = zlib.compress(bytes(size_bytes), 9)[2:-4]
    check = zlib.crc32(bytes(size_bytes))
    names = [b"xl/workbook.xml", *(b"xl/%013d" % index for index in range(count - 1))]
    kernel = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, check, len(packed), size_bytes, 15, 0)
    local = kernel + names[0] + packed
    directory = b"".join(
        struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02", 20, 20, 0, 8, 0, 0, check, len(packed), size_bytes, len(name), 0, 0, 0, 0, 0, 0,
        )
        + name
        for name in names
    )  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


# --- pictures ---


def png(width: int, height: int, data: bytes, more: bytes = b"", kind: int = 2, depth: int = 8) -> bytes:
    """A PNG that declares a size and holds these compressed lines."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def blank_png(width: int, height: int) -> bytes:
    """A blank picture: a thousandth of its pixels in bytes."""
    machine = zlib.compressobj(9)
    packed = b"".join(machine.compress(bytes(1 + 3 * width)) for _ in range(height)) + machine.flush()
    return png(width, height, packed)


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, body: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value)."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", following) + body


def strip(width: int, height: int, compression: int, body: bytes, claimed: int | None = None) -> bytes:
    """A grey TIFF of one strip."""
    offset = 8 + 2 + 12 * 9 + 4
    return tiff(
        [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 8),
            (259, 3, 1, compression),
            (262, 3, 1, 1),
            (273, 4, 1, offset),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, len(body) if claimed is None else claimed),
        ],
        body=body,
    )


def webp(width: int, height: int) -> bytes:
    """A WebP whose canvas is declared so large."""
    canvas = (
        struct.pack("<I", 0x10)[:4] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    lossless = b"\x2f" + ((width - 1) | ((height - 1) << 14)).to_bytes(4, "little") + bytes(8)
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas
    body += b"VP8L" + struct.pack("<I", len(lossless)) + lossless + b"\0" * (len(lossless) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def scans_jpeg(scans: int, side: int) -> bytes:
    """A progressive JPEG that asks for the same pass over every block again and again."""
    data = file_of(photo_image(64, 64).convert("L"), "JPEG", quality=50, progressive=True)
    head = bytearray(data[: data.index(b"\xff\xda")])
    frame = head.index(b"\xff\xc2")
    head[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    # A refining pass over the highest coefficient, whose bits are all zero.
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 63, 63, 0x10) + bytes(4)
    return bytes(head) + data[data.index(b"\xff\xda") : -2] + scan * scans + b"\xff\xd9"


# --- PDF ---


def pdf(objects: Mapping[int, bytes], root: int = 1) -> bytes:
    """A PDF of these objects with a proper table."""
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    size = max(objects) + 1
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        out += b"%010d 00000 %s \n" % (places.get(number, 0), b"n" if number in places else b"f")
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, table)
    return bytes(out)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n" % (len(data), entries) + data + b"\nendstream"


def one_page(content: bytes, page: bytes = b"", more: Mapping[int, bytes] | None = None) -> bytes:
    """A PDF of one page with this content object."""
    font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> /XObject << /X 5 0 R >> >>"
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources "
            + font
            + (page or b" /MediaBox [0 0 420 595]")
            + b" >>",
            4: content,
            **dict(more or {}),
        }
    )


def object_stream_bomb(size_bytes: int, times: int = 1) -> bytes:
    """A PDF whose catalogue stands behind so many unpacked bytes, compressed so often."""
    head = b"1 0 2 60 "
    packed = head + b"<< /Type /Catalog /Pages 2 0 R >>".ljust(60) + b"<< /Type /Pages /Kids [] /Count 0 >>"
    machine = zlib.compressobj(9)
    body = machine.compress(packed)
    for _ in range(size_bytes >> 20):
        body += machine.compress(b" " * (1 << 20))
    body += machine.flush()
    for _ in range(times - 1):
        body = zlib.compress(body, 9)
    filters = b"[" + b"/FlateDecode " * times + b"]"
    out = bytearray(b"%PDF-1.7\n")
    place = len(out)
    out += b"3 0 obj\n" + stream(body, b"/Type /ObjStm /N 2 /First %d /Filter %s" % (len(head), filters))
    out += b"\nendobj\n"
    table = len(out)
    rows = b"".join(
        struct.pack(">BIH", *row)
        for row in ((0, 0, 65535), (2, 3, 0), (2, 3, 1), (1, place, 0), (1, table, 0))
    )
    entries = b"/Type /XRef /W [1 4 2] /Size 5 /Root 1 0 R"
    out += b"4 0 obj\n" + stream(rows, entries) + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % table
    return bytes(out)


def zeros(size_bytes: int, fill: bytes = b"\0") -> bytes:
    """So many bytes, compressed."""
    machine = zlib.compressobj(9)
    block = fill * ((1 << 20) // len(fill))
    return b"".join(machine.compress(block) for _ in range(size_bytes >> 20)) + machine.flush()


def many_large_jpegs(count: int) -> bytes:
    """Pictures that say they are small, and whose files hold forty million pixels."""
    picture = file_of(photo_image(64, 64).convert("L").resize((6400, 6400)), "JPEG", quality=5)
    names = b" ".join(b"/I%d %d 0 R" % (index, 10 + index) for index in range(count))
    drawn = b" ".join(b"q 1 0 0 1 0 0 cm /I%d Do Q" % index for index in range(count))
    entries = (
        b"/Type /XObject /Subtype /Image /Width 200 /Height 200 /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    page = b"<< /XObject << " + names + b" >> >> /MediaBox [0 0 420 595]"
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources " + page + b" >>",
            4: stream(drawn),
        }
        | {10 + index: stream(picture, entries + b" /Filter /DCTDecode") for index in range(count)}
    )


# --- Parquet ---


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def repeated_parquet(rows: int, chars: int) -> bytes:
    """A table whose every cell is the same long text, kept once."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * chars]))
    return parquet(pa.table({"id": values}), compression="zstd", store_schema=False)
