"""Marks in PDF: a faint raster of chips multiplied over each page.

Rule: not one operator of the page's own content is touched: text stays text, fonts stay embedded, images keep their
bytes. The chips are one image of one bit a chip, drawn after the content with blend mode Multiply, so that they also
show above an opaque background and leave black ink black.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pikepdf
from pikepdf import Array, Dictionary, Name

from watermark import align, chips
from watermark.chips import U8, ChipGrid
from watermark.errors import MediaMalformed, MediaUnsupported
from watermark.evidence import BitEvidence
from watermark.images import equal_to_original, not_a_copy, read_chips
from watermark.limits import PDF_PAGES_COMPARED_MAX, PDF_PAGES_MAX, RENDER_PIXELS_MAX, within
from watermark.pages import place
from watermark.payload import CODE_POSITIONS, biases, codeword
from watermark.policy import Channel, Policy
from watermark.render import RENDER_DPI, render
from watermark.results import Manifest, Marked, Reading, Words

PDF: Final = "application/pdf"
CHIP_LEVELS: Final = 2.5
"""How much darker a chip makes white paper at strength 1, in levels of 255."""
_IMAGE: Final = "ZhenglianChips"
_BLEND: Final = "ZhenglianBlend"


@dataclass(frozen=True, slots=True)
class PdfCodec:
    """PDF pages."""

    media_type: str = PDF

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Draw the chips of one release over every page; see `watermark.embed`."""
        try:
            with pikepdf.open(io.BytesIO(original)) as document:
                if document.is_encrypted:
                    raise MediaUnsupported(what="encrypted PDF")
                within("PDF_PAGES_MAX", PDF_PAGES_MAX, len(document.pages))
                if Channel.PAGE_CHIPS not in policy.channels:
                    return Marked(original, Manifest(self.media_type, {}, notes=(_NOT_ALLOWED,)))
                bits = codeword(seed, Channel.PAGE_CHIPS, biases(layout_key, Channel.PAGE_CHIPS))
                state = _multiply_state(document)
                carriers = 0
                for index, page in enumerate(document.pages):
                    carriers += _cover(
                        document, page, state, _page_signs(layout_key, index, page, bits), policy
                    )
                out = io.BytesIO()
                document.save(out, deterministic_id=True, fix_metadata_version=False)
        except pikepdf.PasswordError as error:
            raise MediaUnsupported(what="encrypted PDF") from error
        except (
            pikepdf.PdfError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            IndexError,
            RuntimeError,
        ) as error:
            raise MediaMalformed(what="PDF", reason=f"{type(error).__name__}: {error}"[:200]) from error
        return Marked(
            out.getvalue(), _manifest(carriers, policy.strength, len(original), len(out.getvalue()))
        )

    def read(self, leaks: list[U8], original: bytes, layout_key: bytes) -> Reading:
        """Read the chips of every leaked page that can be laid over a page; see `watermark.detect`."""
        rendered = render(original)
        pages = rendered.rasters
        known: list[align.Features | None] = [None] * len(pages)
        thresholds = biases(layout_key, Channel.PAGE_CHIPS)
        sums = np.zeros(CODE_POSITIONS)
        found: list[str] = []
        identical = 0
        for order, leak in enumerate(leaks):
            placed = place(leak, order, pages, known)
            if placed is None:
                continue
            index, alignment = placed
            if np.array_equal(leak, pages[index]):
                identical += 1
                continue
            rows, columns = chips.grid_shape(*pages[index].shape)
            grid = ChipGrid.keyed(layout_key, f"page/{index}", rows, columns)
            sums[: grid.positions] += grid.gather(read_chips(leak, pages[index], alignment, rows, columns))
            found.append(f"page {index + 1} {alignment.describe()}")
        if not found:
            return equal_to_original() if identical else not_a_copy()
        evidence = BitEvidence(Channel.PAGE_CHIPS, thresholds, chips.soft_bits(sums))
        return Reading((evidence,), "; ".join(found), _page_limit_notes(rendered.total))


def _page_signs(
    layout_key: bytes, index: int, page: pikepdf.Page, bits: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Signs of the page's chips, as displayed; the grid is the one that `read` finds on the rendered page."""
    width, height = _displayed_points(page)
    scale = min(RENDER_DPI / 72, (RENDER_PIXELS_MAX / max(width * height, 1.0)) ** 0.5)
    rows, columns = chips.grid_shape(_ceil(height * scale), _ceil(width * scale))
    return ChipGrid.keyed(layout_key, f"page/{index}", rows, columns).signs(bits)


def _cover(
    document: pikepdf.Pdf, page: pikepdf.Page, state: Any, signs: npt.NDArray[np.float32], policy: Policy
) -> int:
    """Draw the chips over the page's visible box; returns their number."""
    image = _chip_image(document, signs, policy.strength)
    taken = {
        name for names in page.resources.as_dict().values() if isinstance(names, Dictionary) for name in names
    }
    number = next(n for n in range(len(taken) + 1) if not {f"/{_IMAGE}{n}", f"/{_BLEND}{n}"} & taken)
    drawn = page.add_resource(image, Name.XObject, Name(f"/{_IMAGE}{number}"), replace_existing=False)
    blend = page.add_resource(state, Name.ExtGState, Name(f"/{_BLEND}{number}"), replace_existing=False)
    matrix = " ".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in _matrix(page))
    page.contents_add(b"q\n", prepend=True)
    page.contents_add(f"\nQ\nq\n{blend} gs\n{matrix} cm\n{drawn} Do\nQ\n".encode("ascii"))
    return int(signs.size)


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


def _multiply_state(document: pikepdf.Pdf) -> Any:
    return document.make_indirect(
        Dictionary(Type=Name.ExtGState, BM=Name.Multiply, ca=1, CA=1, SMask=Name("/None"))
    )


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


def _turn(page: pikepdf.Page) -> int:
    return int(page.obj.get(Name.Rotate, 0)) // 90 % 4


def _displayed_points(page: pikepdf.Page) -> tuple[float, float]:
    x0, y0, x1, y1 = _box(page)
    # PDFium, like most viewers, measures a page in user units of 1/72 inch times UserUnit.
    unit = float(page.obj.get(Name.UserUnit, 1))
    width, height = (x1 - x0) * unit, (y1 - y0) * unit
    return (height, width) if _turn(page) % 2 else (width, height)


def _matrix(page: pikepdf.Page) -> tuple[float, float, float, float, float, float]:
    """Unit square → visible box, so that the image stands upright as the page is displayed."""
    x0, y0, x1, y1 = _box(page)
    w, h = x1 - x0, y1 - y0
    return (
        (w, 0, 0, h, x0, y0),
        (0, h, -w, 0, x1, y0),
        (-w, 0, 0, -h, x1, y1),
        (0, -h, w, 0, x0, y1),
    )[_turn(page)]


def _ceil(value: float) -> int:
    return int(-(-value // 1))


def _manifest(carriers: int, strength: float, before: int, after: int) -> Manifest:
    percent = round(100 * CHIP_LEVELS * strength / 255, 1)
    differences = (
        Words(
            f"每页叠加一层肉眼不可见的底纹（最多使白纸变暗 {percent}%）；文字、字体与图片未改动",
            f"an invisible pattern lies over each page (darkens white paper by at most {percent} %); text, fonts and "
            "images are untouched",
        ),
    )
    quality = {"size_growth_bytes": float(after - before), "darkening_percent": percent}
    return Manifest(PDF, {Channel.PAGE_CHIPS: carriers}, quality, differences)


def _page_limit_notes(total: int) -> tuple[Words, ...]:
    if total <= PDF_PAGES_COMPARED_MAX:
        return ()
    return (
        Words(
            f"原件共 {total} 页，只比对前 {PDF_PAGES_COMPARED_MAX} 页",
            f"the original has {total} pages; only the first {PDF_PAGES_COMPARED_MAX} were compared",
        ),
    )


_NOT_ALLOWED: Final = Words("未加标记：策略未允许页面底纹", "not marked: the policy allows no page chips")
