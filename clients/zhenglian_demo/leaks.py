"""What leakers do to a file before they pass it on, and copies that nobody may be accused of."""

from __future__ import annotations

import csv
import io
import random

import pypdfium2
from PIL import Image

RASTER_DPI = 150
JPEG_QUALITY = 75


def rasterize(pdf: bytes, *, dpi: int = RASTER_DPI, quality: int = JPEG_QUALITY) -> bytes:
    """The first page as a JPEG: no metadata, no text, no structure of the PDF is left.

    Args:
        pdf: the file.
        dpi: resolution of the raster.
        quality: JPEG quality, 1 to 95.
    """
    document = pypdfium2.PdfDocument(pdf)
    try:
        page = document[0]
        bitmap = page.render(scale=dpi / 72)
        image: Image.Image = bitmap.to_pil().convert("RGB")
        bitmap.close()
        page.close()
    finally:
        document.close()
    target = io.BytesIO()
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()


def pdf_text(pdf: bytes) -> str:
    """What can be selected and copied out of a PDF, without line breaks."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        pages = []
        for page in document:
            text = page.get_textpage()
            pages.append(text.get_text_range())
            text.close()
            page.close()
    finally:
        document.close()
    return "".join("".join(pages).split())


def half_sorted(table: bytes, *, seed: int) -> bytes:
    """A CSV with half its rows gone and the rest sorted by all columns from the last to the first."""
    rows = list(csv.reader(io.StringIO(table.decode())))
    header, body = rows[0], rows[1:]
    kept = random.Random(seed).sample(body, len(body) // 2)
    kept.sort(key=lambda row: row[::-1])
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows([header, *kept])
    return target.getvalue().encode()
