"""The visible tier on pixels: PNG, JPEG, WebP, TIFF."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from watermark.chips import F32, U8
from watermark.limits import VISIBLE_SIDE_PIXELS_MIN
from watermark.rasters import Raster, bands, decode, encode
from watermark.visible.places import CODE_DARKEN, WORDS_DARKEN, code_place, module_of, word_places, word_scale
from watermark.visible.stencils import WORD_PIXELS, Stencil

DARK_LEVELS: Final = 96
"""Where the surroundings are darker than this, words are lighter than they instead."""
_WORD_PIXELS_MIN: Final = 12.0


def draw_on_picture(data: bytes, media_type: str, words: Stencil, code: Stencil | None) -> tuple[bytes, bool]:
    """Draw on every frame that is large enough; whether all of those have the code."""
    frames = decode(data, media_type)
    drawn: list[Raster] = []
    coded: list[bool] = []
    for frame in frames:
        height, width = frame.colour.shape[:2]
        if min(height, width) < VISIBLE_SIDE_PIXELS_MIN:
            drawn.append(frame)
            continue
        grey = frame.grey
        cover = _words(words, height, width)
        colour = _shaded(frame.colour, grey, cover)
        placed = None if code is None else code_place(grey, code, module_of(grey, code))
        if code is not None and placed is not None:
            _print(colour, code, placed)
        coded.append(placed is not None)
        drawn.append(replace(frame, colour=colour))
    if not coded:
        return data, False
    return encode(drawn, media_type), all(coded)


def _words(stencil: Stencil, height: int, width: int) -> U8:
    """How much ink of words lies on each pixel."""
    shorter = min(height, width)
    scale = max(word_scale(shorter), _WORD_PIXELS_MIN / WORD_PIXELS)
    high, wide = (max(1, round(side * scale)) for side in stencil.shape)
    small = np.asarray(cv2.resize(stencil, (wide, high), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    cover = np.zeros((height, width), np.uint8)
    for left, top in word_places(small, 1.0, width, height):
        _lay(cover, small, round(left), round(top))
    return cover


def _lay(cover: U8, stamp: U8, left: int, top: int) -> None:
    """Lay a stamp on the cover, of which it may reach over the edges."""
    height, width = cover.shape
    y0, y1, x0, x1 = (
        max(top, 0),
        min(top + stamp.shape[0], height),
        max(left, 0),
        min(left + stamp.shape[1], width),
    )
    if y0 < y1 and x0 < x1:
        below = cover[y0:y1, x0:x1]
        np.maximum(below, stamp[y0 - top : y1 - top, x0 - left : x1 - left], out=below)


def _shaded(colour: U8, grey: U8, cover: U8) -> U8:
    """The picture with words: darker in proportion, or lighter where it is dark."""
    side = max(3, min(grey.shape) // 40) | 1
    dark = cv2.blur(grey, (side, side)) < DARK_LEVELS
    out = colour.copy()
    for rows in bands(colour.shape):
        inked = cover[rows] > 0
        if not inked.any():
            continue
        share: F32 = (WORDS_DARKEN / 255 * cover[rows][inked].astype(np.float32))[:, None]
        levels = colour[rows][inked].astype(np.float32)
        lighter = dark[rows][inked][:, None]
        moved = np.where(lighter, levels + (255 - levels) * share, levels * (1 - share))
        out[rows][inked] = np.rint(moved).astype(np.uint8)
    return out


def _print(colour: U8, code: Stencil, placed: tuple[int, int, int]) -> None:
    module, left, top = placed
    inked = np.kron(code > 0, np.ones((module, module), dtype=bool))
    region = colour[top : top + inked.shape[0], left : left + inked.shape[1]]
    region[inked] = np.rint(region[inked] * (1 - CODE_DARKEN)).astype(np.uint8)
