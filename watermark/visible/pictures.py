"""The visible tier on pixels: PNG, JPEG, WebP, TIFF."""

from __future__ import annotations

import struct
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from PIL import Image

from watermark.chips import F32, U8
from watermark.limits import VISIBLE_SIDE_PIXELS_MIN
from watermark.rasters import Raster, bands, decode, encode
from watermark.visible.places import CODE_DARKEN, WORDS_DARKEN, code_place, module_of, word_places, word_scale
from watermark.visible.stencils import WORD_PIXELS, Stencil

DARK_LEVELS: Final = 96
"""Where the surroundings are darker than this, words are lighter than they instead."""
_WORD_PIXELS_MIN: Final = 12.0
_ORIENTATION: Final = 0x0112
_UNREADABLE: Final = (SyntaxError, ValueError, KeyError, TypeError, IndexError, OSError, struct.error)
_SHOWN: Final = {
    1: (False, 0),
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 1),
    6: (False, -1),
    7: (True, -1),
    8: (False, 1),
}
"""Orientation as declared (Exif 3.0, tag 274) → whether pixels are mirrored left to right, and then how many quarters they
are turned counter-clockwise."""


def draw_on_picture(data: bytes, media_type: str, words: Stencil, code: Stencil | None) -> tuple[bytes, bool]:
    """Draw on every frame that is large enough; whether all of those have the code."""
    frames = decode(data, media_type)
    drawn: list[Raster] = []
    coded: list[bool] = []
    for frame in frames:
        if min(frame.colour.shape[:2]) < VISIBLE_SIDE_PIXELS_MIN:
            drawn.append(frame)
            continue
        mirrored, turns = _SHOWN[_orientation(frame.exif)]
        grey = _as_shown(frame.grey, mirrored, turns)
        cover = _words(words, *grey.shape)
        colour = _shaded(_as_shown(frame.colour, mirrored, turns), grey, cover)
        placed = None if code is None else code_place(grey, code, module_of(grey, code))
        if code is not None and placed is not None:
            _print(colour, code, placed)
        coded.append(placed is not None)
        stored = np.rot90(colour, -turns)
        drawn.append(replace(frame, colour=np.ascontiguousarray(stored[:, ::-1] if mirrored else stored)))
    if not coded:
        return data, False
    return encode(drawn, media_type), all(coded)


def _orientation(exif: bytes | None) -> int:
    """How the pixels are to be shown, 1 to 8; 1 where nothing readable says."""
    declared: object = 1
    if exif is not None:
        block = Image.Exif()
        with warnings.catch_warnings(), suppress(*_UNREADABLE):
            warnings.simplefilter("ignore")
            block.load(exif)
            declared = block.get(_ORIENTATION, 1)
    return declared if isinstance(declared, int) and declared in _SHOWN else 1


def _as_shown(pixels: U8, mirrored: bool, turns: int) -> U8:
    """The pixels as a viewer shows them."""
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))


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
