"""The visible tier on pages of PDF: a stencil of one bit for the words on each page, one for the code on the first, drawn over the
page's content.

Rule: text stays text. The stencils are images of white and one grey, so that neither a search nor a copy of the text meets them,
and no font is needed. They are multiplied with what lies below (ISO 32000-2, 11.3.5.2): white changes nothing. PDF/A-1 knows no
transparency: there the tier lies under the content.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import pikepdf
from pikepdf import Array, Name, ObjectStreamMode

from watermark.chips import U8
from watermark.limits import RENDER_PIXELS_MAX
from watermark.pdf import is_pdf_a_1, opened
from watermark.pdf_chips import displayed_points, free_name, multiply_state, square_to_page
from watermark.pdf_streams import check_lzw
from watermark.pdf_text import Matrix, times
from watermark.render import render_fine
from watermark.visible.places import CODE_DARKEN, WORDS_DARKEN, code_place, word_places, word_scale
from watermark.visible.stencils import Stencil

PAGE_POINTS_MIN: Final = 100.0
"""Below this side a page gets no tier."""
MODULE_POINTS: Final = 1
"""Side of a code's module: 0.35 mm."""
_STENCIL_PART: Final = 0.5
"""Of the words' own raster: 24 pixels a line are sharp enough in print."""


def draw_on_pdf(data: bytes, _media_type: str, words: Stencil, code: Stencil | None) -> tuple[bytes, bool]:
    """Draw the words on every page that is large enough, and the code on the first of these; whether it found a place."""
    with opened(data) as document:
        check_lzw(document)
        under = is_pdf_a_1(document)
        thinned = _thinned(words)
        words_image = _image(document, thinned, WORDS_DARKEN)
        coded = drawn = False
        for index, page in enumerate(document.pages):
            width, height = displayed_points(page)
            if min(width, height) < PAGE_POINTS_MIN:
                continue
            tier = _words(document, page, words_image, thinned, under, width, height)
            place = None
            if code is not None and not drawn and width * height <= RENDER_PIXELS_MAX:
                place = code_place(_seen(data, index, width, height), code, MODULE_POINTS)
            if code is not None and place is not None:
                tier += _code(document, page, code, place, under, width, height)
                coded = True
            drawn = True
            if under:
                page.contents_add(tier, prepend=True)
            else:
                page.contents_add(b"q\n", prepend=True)
                page.contents_add(b"\nQ\n" + tier)
        if not drawn:
            return data, False
        out = io.BytesIO()
        document.save(
            out,
            deterministic_id=True,
            fix_metadata_version=False,
            object_stream_mode=ObjectStreamMode.preserve,
        )
        return out.getvalue(), coded


def _seen(data: bytes, index: int, width: float, height: float) -> U8:
    """A page as displayed, a pixel a point."""
    return render_fine(data, index, (max(1, round(height)), max(1, round(width))))


def _thinned(words: Stencil) -> Stencil:
    """A stencil of all or nothing, with as few pixels as print shows."""
    small = cv2.resize(words, None, fx=_STENCIL_PART, fy=_STENCIL_PART, interpolation=cv2.INTER_AREA)
    return np.where(small >= 128, 255, 0).astype(np.uint8)


def _image(document: pikepdf.Pdf, stencil: Stencil, darken: float) -> pikepdf.Stream:
    """A stencil of one bit, whose two greys stand in the palette."""
    rows, columns = stencil.shape
    ink = round(255 * (1 - darken))
    return document.make_stream(
        zlib.compress(np.packbits(stencil >= 128, axis=1).tobytes(), 9),
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=columns,
        Height=rows,
        BitsPerComponent=1,
        ColorSpace=Array([Name.Indexed, Name.DeviceGray, 1, pikepdf.String(bytes([255, ink]))]),
        Filter=Name.FlateDecode,
    )


def _words(
    document: pikepdf.Pdf,
    page: pikepdf.Page,
    image: Any,
    words: Stencil,
    under: bool,
    width: float,
    height: float,
) -> bytes:
    """Operators that draw the words all over a page."""
    scale = word_scale(min(width, height)) / _STENCIL_PART
    wide, high = words.shape[1] * scale, words.shape[0] * scale
    places = [
        (wide, 0.0, 0.0, high, left, height - top - high)
        for left, top in word_places(words, scale, width, height)
    ]
    return _drawn(document, page, image, "Words", under, places, (width, height))


def _code(
    document: pikepdf.Pdf,
    page: pikepdf.Page,
    code: Stencil,
    place: tuple[int, int, int],
    under: bool,
    width: float,
    height: float,
) -> bytes:
    """Operators that draw the code."""
    module, left, top = place
    side = float(module * code.shape[0])
    places = [(side, 0.0, 0.0, side, float(left), height - top - side)]
    return _drawn(document, page, _image(document, code, CODE_DARKEN), "Code", under, places, (width, height))


def _drawn(
    document: pikepdf.Pdf,
    page: pikepdf.Page,
    image: Any,
    name: str,
    under: bool,
    places: Sequence[Matrix],
    size: tuple[float, float],
) -> bytes:
    """Have a stencil at hand on the page; returns the operators that draw it in these places of the page as displayed."""
    stencil = page.add_resource(image, Name.XObject, free_name(page, Name.XObject, f"ZhenglianVisible{name}"))
    state = "q"
    if not under:
        # A name serves one kind of resource: under another kind it would replace the first.
        free = free_name(page, Name.ExtGState, f"ZhenglianVisible{name}State")
        state = f"q {page.add_resource(multiply_state(document), Name.ExtGState, free)} gs"
    upright = times((1 / size[0], 0, 0, 1 / size[1], 0, 0), square_to_page(page))
    lines = [state, f"{_numbers(upright)} cm"]
    lines += [f"q {_numbers(place)} cm {stencil} Do Q" for place in places]
    return "\n".join([*lines, "Q\n"]).encode("ascii")


def _numbers(matrix: Matrix) -> str:
    return " ".join(f"{value:.5f}".rstrip("0").rstrip(".") for value in matrix)
