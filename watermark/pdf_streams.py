"""Decoding streams of a PDF within bounds.

Rule: no byte is unpacked beyond the limit that is asked for; a filter whose output cannot be bounded before it runs is
left alone, and the stream with it.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream

from watermark.errors import MediaTooLarge
from watermark.limits import (
    PDF_CONTENT_BYTES_MAX,
    PDF_LZW_BYTES_MAX,
    PDF_STREAM_FILTERS_MAX,
    within,
)

_ASCII_SPACE: Final = re.compile(rb"[\0\t\n\f\r ]+")
_SHORT: Final[Mapping[str, str]] = {
    "/Fl": "/FlateDecode",
    "/A85": "/ASCII85Decode",
    "/AHx": "/ASCIIHexDecode",
    "/DCT": "/DCTDecode",
    "/LZW": "/LZWDecode",
}
_LZW: Final = "/LZWDecode"

# What qpdf unpacks by itself (tables, packed objects, streams that it writes anew) stays within the same bounds; process-wide.
pikepdf.settings.set_qpdf_limits(
    max_stream_filters=PDF_STREAM_FILTERS_MAX,
    flate_max_memory=PDF_CONTENT_BYTES_MAX,
    run_length_max_memory=PDF_CONTENT_BYTES_MAX,
    png_max_memory=PDF_CONTENT_BYTES_MAX,
    tiff_max_memory=PDF_CONTENT_BYTES_MAX,
)


def filters_of(stream: Any) -> list[str]:
    """The names of a stream's filters, written out."""
    names = stream.get(Name.Filter)
    listed = list(names) if isinstance(names, Array) else [] if names is None else [names]
    return [_SHORT.get(str(item), str(item)) for item in listed]


def check_lzw(document: pikepdf.Pdf) -> None:
    """Refuse what qpdf could not be stopped in while it writes a document: much LZW, or LZW in LZW.

    Raises:
        MediaTooLarge: more than `PDF_LZW_BYTES_MAX`.
    """
    packed = 0
    for found in document.objects:
        if not isinstance(found, Stream):
            continue
        count = filters_of(found).count(_LZW)
        if count:
            packed += len(found.read_raw_bytes()) if count == 1 else PDF_LZW_BYTES_MAX + 1
            within("PDF_LZW_BYTES_MAX", PDF_LZW_BYTES_MAX, packed)


def decoded(stream: Any, bytes_max: int, but: str = "") -> bytes | None:
    """The content of a stream; None when its filters are not among those that can be bounded, or it is damaged.

    Args:
        stream: of a PDF.
        bytes_max: at most so many bytes.
        but: a last filter that is left on, such as `/DCTDecode`.

    Raises:
        MediaTooLarge: more than `bytes_max`.
    """
    filters = filters_of(stream)
    if but and filters[-1:] == [but]:
        filters.pop()
    parameters = stream.get(Name.DecodeParms)
    if len(filters) > PDF_STREAM_FILTERS_MAX or (parameters is not None and not _plain(parameters)):
        return None
    data = bytes(stream.read_raw_bytes())
    for name in filters:
        unpacked = _unpacked(name, data, bytes_max)
        if unpacked is None:
            return None
        data = unpacked
    if len(data) > bytes_max:
        raise MediaTooLarge(
            limit="PDF_CONTENT_BYTES_MAX", maximum=PDF_CONTENT_BYTES_MAX, actual=f"> {bytes_max}"
        )
    return data


def _plain(parameters: Any) -> bool:
    """Whether these parameters ask for nothing: no predictor."""
    items = list(parameters) if isinstance(parameters, Array) else [parameters]
    return all(
        item is None or (isinstance(item, Dictionary) and int(item.get(Name.Predictor, 1)) == 1)
        for item in items
    )


def _unpacked(name: str, data: bytes, bytes_max: int) -> bytes | None:
    try:
        match name:
            case "/FlateDecode":
                return _inflated(data, bytes_max)
            case "/ASCII85Decode":
                return base64.a85decode(_ASCII_SPACE.sub(b"", data.partition(b"~>")[0]).removeprefix(b"<~"))
            case "/ASCIIHexDecode":
                digits = _ASCII_SPACE.sub(b"", data.partition(b">")[0])
                return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
            case _:
                return None
    except (ValueError, zlib.error):
        return None


def _inflated(data: bytes, bytes_max: int) -> bytes:
    machine = zlib.decompressobj()
    out = machine.decompress(data, bytes_max + 1)
    if len(out) > bytes_max:
        raise MediaTooLarge(
            limit="PDF_CONTENT_BYTES_MAX", maximum=PDF_CONTENT_BYTES_MAX, actual=f"> {bytes_max}"
        )
    return out
