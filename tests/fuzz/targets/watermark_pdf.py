"""What faces the inside of a PDF: content streams, forms and character maps that somebody else wrote.

Rule: a content is left as it is, or marked so that the copy shows the same codes in the same order, each no further from its
place than the manifest says.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from unittest.mock import patch

import pikepdf
from pikepdf import Dictionary, Name

from tests.fuzz.target import Target, require
from tests.unit.watermark_covers import LAYOUT, NEVER_ISSUED
from watermark import Channel, Policy, WatermarkError, embed
from watermark.pdf_carriers import GLYPH_MM, WORD_MM
from watermark.pdf_fonts import read_font
from watermark.pdf_text import PageText, Walk

# The fuzzer bounds time and memory by the input's length; what a form drawn a thousand times may cost is tested beside its limit.
OPERATORS_MAX = 20_000
_TEXT_ONLY = Policy(channels=frozenset({Channel.GLYPH_OFFSETS, Channel.WORD_OFFSETS}))
_CMAP = (
    b"begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange 2 beginbfchar <0001> <0020> <0002> <4e2d> endbfchar "
    b"2 beginbfrange <0010> <0020> <0041> <0021> <0022> [<0061> <00620063>] endbfrange endcmap"
)


def around(content: bytes, cmap: bytes = _CMAP) -> bytes:
    """A page with this content, which is also its form /X; a simple font /F1 and a composite one /F2."""
    with pikepdf.new() as document:
        page = document.add_blank_page(page_size=(300, 300))
        widths = pikepdf.Array([500] * 256)
        simple = Dictionary(
            Type=Name.Font, Subtype=Name.TrueType, BaseFont=Name.A, FirstChar=0, LastChar=255, Widths=widths
        )
        descendant = Dictionary(
            Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name.B, DW=1000, W=[3, [400, 500]]
        )
        composite = Dictionary(
            Type=Name.Font,
            Subtype=Name.Type0,
            BaseFont=Name.B,
            Encoding=Name("/Identity-H"),
            DescendantFonts=[descendant],
            ToUnicode=document.make_stream(cmap),
        )
        form = document.make_stream(content, Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 300, 300])
        resources = document.make_indirect(
            Dictionary(Font=Dictionary(F1=simple, F2=composite), XObject=Dictionary(X=form))
        )
        form.Resources = page.obj.Resources = resources
        page.obj.Contents = document.make_stream(content)
        out = io.BytesIO()
        document.save(out, deterministic_id=True, compress_streams=False)
        return out.getvalue()


def page_of(data: bytes) -> PageText:
    with pikepdf.open(io.BytesIO(data)) as document:
        return Walk(document, 1).run().pages[0]


def run_content(data: bytes) -> None:
    """Marks a page with the input as content, and compares what both show."""
    cover = around(data)
    with patch("watermark.pdf_text.PDF_OPERATORS_MAX", OPERATORS_MAX):
        copy = embed(cover, "application/pdf", layout_key=LAYOUT, seed=NEVER_ISSUED, policy=_TEXT_ONLY).data
        before, after = page_of(cover), page_of(copy)
    require(
        [show.codes for show in before.shows] == [show.codes for show in after.shows], "other codes are shown"
    )
    for old, new in zip(before.shows, after.shows, strict=True):
        # Numbers of the file have three decimals, and a shift is rounded to a thousandth of the type size.
        most = WORD_MM + GLYPH_MM + old.mm_per_unit * 2 + 1e-3
        for a, b in zip(old.places, new.places, strict=True):
            far = max(abs(b[0] - a[0]), abs(b[1] - a[1])) * 25.4 / 72
            scale = 1e-6 * max(1.0, *(abs(value) for value in (*a, *b)))
            require(not far > most + scale, f"a glyph moved by {far} mm")


def run_font(data: bytes) -> None:
    """Reads a font whose character map the input is, and cuts strings by it."""
    with pikepdf.open(io.BytesIO(around(b"", data))) as document:
        for font in document.pages[0].obj.Resources.Font.values():
            found = read_font(font)
            codes = found.split(data[: len(data) // 2 * 2])
            require(codes is None or b"".join(codes) == data[: len(data) // 2 * 2], "a code is lost")
            for code in (codes or [])[:256]:
                found.is_space(code), found.is_wide(code), found.width(code)


def content_seeds() -> Iterable[bytes]:
    yield b"q 1 0 0 1 20 200 cm BT /F1 12 Tf 14 TL (one (two) \\) three) Tj T* [(fo) -20 (ur) 300 (five)] TJ ET Q"
    yield b"BT /F2 9 Tf 1 0 0.2 1 20 100 Tm <000100020010> Tj (second) ' 1 2 (third line) \" ET /X Do"
    yield b"BI /W 2 /H 1 /BPC 8 /CS /G ID ab EI 0 0 10 10 re f BT 90 Tz 2 Ts 3 Tr /F1 10 Tf (hidden) Tj ET"


def cmap_seeds() -> Iterable[bytes]:
    yield _CMAP


TARGETS = (
    Target(
        name="watermark.pdf_content",
        run=run_content,
        seeds=content_seeds,
        errors=(WatermarkError,),
        size_bytes_max=4096,
    ),
    Target(
        name="watermark.pdf_font",
        run=run_font,
        seeds=cmap_seeds,
        errors=(WatermarkError,),
        size_bytes_max=4096,
    ),
)
