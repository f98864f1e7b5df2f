"""The one typeface of everything drawn here: WenQuanYi Micro Hei, TrueType outlines, Apache License 2.0.

Rule: parsed once a process; each PDF embeds only the glyphs it uses, so it looks the same everywhere and its
text can be selected. The font comes with a package of the `demo` extra and covers GB 2312 and the names in
use.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from PIL import ImageFont
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

PDF_FONT: Final = "ZhenglianDemo"


@cache
def font_path() -> str:
    """Where the installed font file lies."""
    return str(resources.files("paperang_p2_fonts_cjk") / "fonts" / "wqy-microhei.ttc")


@cache
def register_pdf_font() -> str:
    """Make the font known to reportlab; returns the name to draw with."""
    pdfmetrics.registerFont(TTFont(PDF_FONT, font_path(), subfontIndex=0))
    return PDF_FONT


@cache
def picture_font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font for Pillow at that size."""
    return ImageFont.truetype(font_path(), size_px, index=0)


def text_width(text: str, size: float) -> float:
    """Width of `text` in the PDF font, in the unit of `size`."""
    return float(pdfmetrics.stringWidth(text, register_pdf_font(), size))


def wrap(text: str, size: float, width_max: float) -> list[str]:
    """Break `text` into lines that fit `width_max`, between any two characters as Chinese does."""
    lines, line, used = [], "", 0.0
    for character in text:
        advance = text_width(character, size)
        if line and used + advance > width_max:
            lines.append(line)
            line, used = "", 0.0
        line += character
        used += advance
    return [*lines, line]
