"""Faint chips over the pages of a PDF.

Rule: the chips are one image of one bit a chip, drawn after the page's content with blend mode Multiply, so that they
also show above an opaque background and leave black ink black. They lie over the visible box, upright as displayed.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pikepdf
from pikepdf import Array, Dictionary, Name

from watermark import align, chips
from watermark.chips import F64, U8, ChipGrid
from watermark.images import read_chips
from watermark.limits import RENDER_PIXELS_MAX
from watermark.pdf_text import Matrix, times
from watermark.render import RENDER_DPI

CHIP_LEVELS: Final = 2.5
"""How much darker a chip makes white paper at strength 1, in levels of 255."""
_IMAGE: Final = "ZhenglianChips"
_BLEND: Final = "ZhenglianBlend"


def page_signs(
    layout_key: bytes, index: int, page: pikepdf.Page, bits: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Signs of the page's chips, as displayed; the grid is the one that `read_page` finds on the rendered page."""
    width, height = displayed_points(page)
    scale = min(RENDER_DPI / 72, (RENDER_PIXELS_MAX / max(width * height, 1.0)) ** 0.5)
    rows, columns = chips.grid_shape(_ceil(height * scale), _ceil(width * scale))
    return ChipGrid.keyed(layout_key, f"page/{index}", rows, columns).signs(bits)


def read_page(
    layout_key: bytes, index: int, leak: U8, page: U8, alignment: align.Alignment, sums: F64
) -> None:
    """Add what an aligned leak's chips say to the sums of the code positions."""
    rows, columns = chips.grid_shape(*page.shape)
    grid = ChipGrid.keyed(layout_key, f"page/{index}", rows, columns)
    sums[: grid.positions] += grid.gather(read_chips(leak, page, alignment, rows, columns))


def cover(
    document: pikepdf.Pdf, page: pikepdf.Page, state: Any, signs: npt.NDArray[np.float32], strength: float
) -> bytes:
    """Have the chips at hand on the page; returns the operators that draw them."""
    image = _chip_image(document, signs, strength)
    taken = {
        name for names in page.resources.as_dict().values() if isinstance(names, Dictionary) for name in names
    }
    number = next(n for n in range(len(taken) + 1) if not {f"/{_IMAGE}{n}", f"/{_BLEND}{n}"} & taken)
    drawn = page.add_resource(image, Name.XObject, Name(f"/{_IMAGE}{number}"), replace_existing=False)
    blend = page.add_resource(state, Name.ExtGState, Name(f"/{_BLEND}{number}"), replace_existing=False)
    matrix = " ".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in square_to_page(page))
    return f"q\n{blend} gs\n{matrix} cm\n{drawn} Do\nQ\n".encode("ascii")


def multiply_state(document: pikepdf.Pdf) -> Any:
    """The graphics state under which the chips are drawn."""
    return document.make_indirect(
        Dictionary(Type=Name.ExtGState, BM=Name.Multiply, ca=1, CA=1, SMask=Name("/None"))
    )


def _chip_image(document: pikepdf.Pdf, signs: npt.NDArray[np.float32], strength: float) -> pikepdf.Stream:
    """One bit a chip; the two greys stand in the palette."""
    rows, columns = signs.shape
    packed = np.packbits(signs < 0, axis=1).tobytes()
    dark = 255 - round(CHIP_LEVELS * strength)
    return document.make_stream(
        zlib.compress(packed, 9),
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=columns,
        Height=rows,
        BitsPerComponent=1,
        ColorSpace=Array([Name.Indexed, Name.DeviceGray, 1, pikepdf.String(bytes([255, dark]))]),
        Interpolate=True,
        Filter=Name.FlateDecode,
    )


def free_name(page: pikepdf.Page, kind: Any, prefix: str) -> Any:
    """A name that no resource of this kind has on the page; one that pikepdf chose would be another every time."""
    taken = page.resources.get(kind, Dictionary())
    return next(Name(f"/{prefix}{n}") for n in range(len(taken) + 1) if f"/{prefix}{n}" not in taken)


def turn(page: pikepdf.Page) -> int:
    """Quarter turns clockwise that the page is displayed with."""
    return int(page.obj.get(Name.Rotate, 0)) // 90 % 4


def displayed_points(page: pikepdf.Page) -> tuple[float, float]:
    """Width and height as displayed, in points."""
    x0, y0, x1, y1 = _box(page)
    # PDFium, like most viewers, measures a page in user units of 1/72 inch times UserUnit.
    unit = float(page.obj.get(Name.UserUnit, 1))
    width, height = (x1 - x0) * unit, (y1 - y0) * unit
    return (height, width) if turn(page) % 2 else (width, height)


def page_to_raster(page: pikepdf.Page, height: int, width: int) -> Matrix:
    """User space → pixels of the displayed page (pixel corners at whole numbers)."""
    x0, y0, x1, y1 = _box(page)
    w, h = x1 - x0, y1 - y0
    to_square: Matrix = (1 / w, 0, 0, 1 / h, -x0 / w, -y0 / h)
    turned: Matrix = ((1, 0, 0, -1, 0, 1), (0, 1, 1, 0, 0, 0), (-1, 0, 0, 1, 1, 0), (0, -1, -1, 0, 1, 1))[
        turn(page)
    ]
    return times(times(to_square, turned), (width, 0, 0, height, 0, 0))


def _box(page: pikepdf.Page) -> tuple[float, float, float, float]:
    """The visible box: crop box cut to the media box, corners in order."""
    crop, media = (
        (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        for x0, y0, x1, y1 in ([float(value) for value in box] for box in (page.cropbox, page.mediabox))
    )
    box = (max(crop[0], media[0]), max(crop[1], media[1]), min(crop[2], media[2]), min(crop[3], media[3]))
    if box[0] >= box[2] or box[1] >= box[3]:
        box = media
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("page without area")
    return box


def square_to_page(page: pikepdf.Page) -> Matrix:
    """Unit square → visible box, so that the image stands upright as the page is displayed."""
    x0, y0, x1, y1 = _box(page)
    w, h = x1 - x0, y1 - y0
    return (
        (w, 0, 0, h, x0, y0),
        (0, h, -w, 0, x1, y0),
        (-w, 0, 0, -h, x1, y1),
        (0, -h, w, 0, x0, y1),
    )[turn(page)]


def _ceil(value: float) -> int:
    return int(-(-value // 1))
