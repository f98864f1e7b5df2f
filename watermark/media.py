"""Which codec for which file.

Rule: a leak is believed by its first bytes and never by its name; a file that no codec knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from watermark.chips import U8
from watermark.csv_text import looks_like_table
from watermark.errors import MediaMalformed, MediaUnsupported
from watermark.images import ImageCodec
from watermark.json_text import parse_json
from watermark.limits import FILE_BYTES_MAX, PDF_PAGES_COMPARED_MAX, within
from watermark.packages import DOCX, XLSX, package_kind
from watermark.parquet import PARQUET
from watermark.pdf import PDF, PdfCodec
from watermark.policy import Policy
from watermark.rasters import JPEG, PNG, TIFF, WEBP, decode
from watermark.records import CSV, JSON, JSON_LINES, SheetCodec, SheetFile, parse
from watermark.render import render
from watermark.results import Reading, Words
from watermark.sheets import decode_text
from watermark.texts import TEXT, TextCodec, parse_docx, parse_text

Codec = ImageCodec | PdfCodec | SheetCodec | TextCodec

CODECS: Final[Mapping[str, Codec]] = {
    PNG: ImageCodec(PNG),
    JPEG: ImageCodec(JPEG),
    WEBP: ImageCodec(WEBP),
    TIFF: ImageCodec(TIFF),
    PDF: PdfCodec(),
    CSV: SheetCodec(CSV),
    JSON: SheetCodec(JSON),
    JSON_LINES: SheetCodec(JSON_LINES),
    XLSX: SheetCodec(XLSX),
    PARQUET: SheetCodec(PARQUET),
    TEXT: TextCodec(TEXT),
    DOCX: TextCodec(DOCX),
}
"""Media type → codec: everything the library can mark."""

_IMAGES: Final = frozenset({PNG, JPEG, WEBP, TIFF})
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"%PDF-", PDF),
    (b"PAR1", PARQUET),
)
_RIFF: Final = b"RIFF"
_ZIP: Final = b"PK\x03\x04"
_FOREIGN: Final = (
    (b"GIF8", "GIF"),
    (_RIFF, "RIFF other than WebP"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"BM", "BMP"),
    (b"\xd0\xcf\x11\xe0", "Office 97"),
    (b"\x1f\x8b", "gzip"),
)
_PDF_HEADER_WITHIN: Final = 1024
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Rasters:
    """A leak that shows pictures: an image, or the pages of a PDF."""

    media_type: str
    rasters: list[U8]


@dataclass(frozen=True, slots=True)
class Sheets:
    """A leak that holds rows."""

    media_type: str
    file: SheetFile


@dataclass(frozen=True, slots=True)
class Running:
    """A leak that holds running text."""

    media_type: str
    text: str


def codec(media_type: str) -> Codec:
    """The codec of a media type (parameters such as `; charset=` are ignored).

    Raises:
        MediaUnsupported: none.
    """
    found = CODECS.get(media_type.partition(";")[0].strip().lower())
    if found is None:
        raise MediaUnsupported(what=media_type[:100])
    return found


def sniff(data: bytes) -> str:
    """The media type of a file by its content.

    Raises:
        MediaTooLarge: above `FILE_BYTES_MAX`.
        MediaMalformed: empty, or neither a known format nor text.
        MediaUnsupported: a known format without a codec.
    """
    media_type = _kind(data)
    if media_type != JSON:
        return media_type
    try:
        return JSON_LINES if parse_json(data).shape == "lines" else JSON
    except MediaMalformed:
        # Text that only begins with a bracket; a broken JSON file is reported as such by its own codec.
        return JSON


def _kind(data: bytes) -> str:
    """The media type by the first bytes; JSON Lines count as JSON, and text is a table if its lines look like one."""
    within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(data))
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data.startswith(_RIFF) and data[8:12] == b"WEBP":
        return WEBP
    if data.startswith(_ZIP):
        kind = package_kind(data)
        if kind is None or kind not in CODECS:
            raise MediaUnsupported(what=kind or "ZIP")
        return kind
    for signature, name in _FOREIGN:
        if data.startswith(signature):
            raise MediaUnsupported(what=name)
    if b"%PDF-" in data[:_PDF_HEADER_WITHIN]:
        return PDF
    if not data.strip():
        raise MediaMalformed(what="file", reason="empty")
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if data[:2] in _UTF16_MARKS:
        head = data[2:_PDF_HEADER_WITHIN].replace(b"\0", b"").lstrip()[:1]
    if head in {b"{", b"["}:
        return JSON
    return CSV if looks_like_table(decode_text(data, "text")[0]) else TEXT


def open_leak(data: bytes, original_type: str) -> Rasters | Sheets | Running:
    """Decode a leak into what detection compares with an original.

    Args:
        data: the leak.
        original_type: media type of the original: the same characters are rows to a table and a passage to a text.

    Raises:
        WatermarkError: unreadable, unknown, or beyond the limits.
    """
    media_type = _kind(data)
    if media_type == PDF:
        return Rasters(media_type, list(render(data).rasters))
    if media_type in _IMAGES:
        frames = decode(data, media_type)[:PDF_PAGES_COMPARED_MAX]
        return Rasters(media_type, [frame.grey for frame in frames])
    if media_type == DOCX:
        return Running(media_type, parse_docx(data).text)
    if isinstance(codec(original_type), TextCodec) and media_type not in {XLSX, PARQUET}:
        return Running(media_type, parse_text(data).text)
    return Sheets(media_type, parse(data, CSV if media_type == TEXT else media_type))


def read(leak: bytes, original: bytes, media_type: str, layout_key: bytes, policy: Policy) -> Reading:
    """Let the original's codec read the leak; media that cannot be compared give an empty reading.

    Raises:
        WatermarkError: the leak or the original is unreadable.
    """
    chosen = codec(media_type)
    opened = open_leak(leak, media_type)
    match chosen:
        case ImageCodec():
            if isinstance(opened, Rasters):
                return chosen.read(opened.rasters, original, layout_key)
        case PdfCodec():
            if isinstance(opened, Rasters):
                document = leak if opened.media_type == PDF else None
                return chosen.read(opened.rasters, original, layout_key, document)
        case SheetCodec():
            if isinstance(opened, Sheets):
                return chosen.read(opened.file, original, layout_key, policy)
        case TextCodec():
            if isinstance(opened, Running):
                return chosen.read(opened.text, original, layout_key, policy)
        case _:
            assert_never(chosen)
    note = Words(
        f"无法把 {opened.media_type} 与原件 {media_type} 比对：标记不随转写保留",
        f"a leak of type {opened.media_type} cannot be compared with an original of type {media_type}: "
        "the mark does not survive transcription",
    )
    return Reading((), "none", (note,))
