"""Words and codes as stencils: rasters that say how much ink lies where.

Rule: the font is the one that comes with the project (`zhenglian[report]`), so that no font of a machine makes a difference.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, resources
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from watermark.chips import U8
from watermark.errors import ToolMissing

Stencil = U8
"""Height × width: 0 where nothing is drawn, 255 where all is."""

WORD_PIXELS: Final = 48
"""Size of the font in which words are drawn before they are scaled to their place."""
SLANT_DEGREES: Final = 30.0
_MARGIN_PIXELS: Final = 4


def words_stencil(words: str) -> Stencil:
    """One line of words, slanted upwards, cut to its ink.

    Raises:
        ToolMissing: the font is not installed.
    """
    font = _font()
    left, top, right, bottom = (round(value) for value in font.getbbox(words))
    size = (max(right - left, 1) + 2 * _MARGIN_PIXELS, max(bottom - top, 1) + 2 * _MARGIN_PIXELS)
    line = Image.new("L", size)
    ImageDraw.Draw(line).text((_MARGIN_PIXELS - left, _MARGIN_PIXELS - top), words, fill=255, font=font)
    flat = np.asarray(line)
    height, width = flat.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), SLANT_DEGREES, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    wide, high = int(height * sin + width * cos) + 1, int(height * cos + width * sin) + 1
    turn[:, 2] += (wide / 2 - width / 2, high / 2 - height / 2)
    return np.asarray(cv2.warpAffine(flat, turn, (wide, high), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def code_modules(text: str) -> Stencil:
    """A QR code (ISO/IEC 18004, level M), a pixel a module, without its quiet zone.

    Raises:
        ToolMissing: the encoder is not installed.
    """
    try:
        encoder: Any = import_module("reportlab.graphics.barcode.qrencoder")
    except ImportError as error:
        raise ToolMissing(what="QR code", package="reportlab") from error
    code = encoder.QRCode(None, encoder.QRErrorCorrectLevel.M)
    code.addData(text)
    code.make()
    return np.where(np.array(code.modules, dtype=bool), 255, 0).astype(np.uint8)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    try:
        file = resources.files("paperang_p2_fonts_cjk") / "fonts" / "wqy-microhei.ttc"
    except ImportError as error:
        raise ToolMissing(what="visible words", package="paperang-p2-fonts-cjk") from error
    return ImageFont.truetype(str(file), WORD_PIXELS, layout_engine=ImageFont.Layout.BASIC)
