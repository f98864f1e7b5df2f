"""Read chips from a leak of two tones: a fax, a photocopy, a page binarised.

Rule: as in `watermark.align`, everything is decided by the leak and the original alone. A threshold keeps nothing of a
mark but which side a pixel fell on, and only pixels whose original stands near the threshold could have fallen on
either. Each of them speaks by how much likelier its side is under one bit than under the other (`watermark.sides`
foretells it without a mark).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from watermark import align, sides
from watermark.chips import EDGE_SOFTNESS, F32, F64, U8

EDGE_GREYS_MAX: Final = 0.05
"""Pixels between the tones, for each pixel at a sharp edge: more, and the leak has greys."""
LEAK_PIXELS: Final = 16_000_000
"""Of a larger leak every second, third … pixel is read along each side."""
FLAT_SHARE: Final = 0.7
"""Of a leak of pure tones at least so many pixels have exactly one of two values; a marked page of two tones has not."""
DOTS_SHARE: Final = 0.005
"""Of flat paper far from the threshold at most so many pixels are on the wrong side, unless they are a grey: dust is less."""
_SURE_LEVELS: Final = 64.0
_FLAT_LEVELS: Final = 12.0
_AROUND: Final = np.ones((5, 5), np.uint8)
_SOLID: Final = np.ones((3, 3), np.uint8)
_SHARPNESS_MAX: Final = 2.5
"""Of the log-odds a level: what rounding leaves."""
_APART_MAX: Final = 2.0
"""Leak pixels for one of the original's that still say something of their own; where there are more they repeat each other."""
_VARIANCE: Final = np.pi**2 / 3
"""Of the logistic distribution."""


def is_two_toned(leak: U8) -> bool:
    """Whether hardly a pixel stands between the leak's two tones."""
    low, high = float(leak.min()), float(leak.max())
    if high - low < 64:
        return False
    quarter = (high - low) / 4
    between = np.count_nonzero((leak > low + quarter) & (leak < high - quarter))
    edges = np.count_nonzero(np.abs(np.diff(leak.astype(np.int16), axis=1)) > 2 * quarter)
    return bool(between <= EDGE_GREYS_MAX * edges)


def is_flat(leak: U8) -> bool:
    """Whether within its two tones nothing is left that could be read as grey."""
    counts = np.sort(np.bincount(leak.ravel(), minlength=256))
    return bool(counts[-2:].sum() >= FLAT_SHARE * leak.size)


def is_dithered(leak: U8, original: U8, placed: align.Alignment) -> bool:
    """Whether single dots stand for greys, as a printer's driver sets them: no threshold leaves them in flat paper."""
    light = leak.astype(np.int16) * 2 > int(leak.max()) + int(leak.min())
    plane = sides.rendered(original, placed.matrix, leak.shape)
    level, _ = sides.threshold(light, plane)
    flat = cv2.dilate(plane, _AROUND) - cv2.erode(plane, _AROUND) <= _FLAT_LEVELS
    sure = flat & (np.abs(plane - np.float32(level)) > _SURE_LEVELS)
    wrong = (sure & (light != (plane > level))).astype(np.uint8)
    # What is three pixels wide is no dot: a code or a stamp that lies over the page.
    dots = wrong - cv2.morphologyEx(wrong, cv2.MORPH_OPEN, _SOLID)
    return bool(np.count_nonzero(dots) > DOTS_SHARE * np.count_nonzero(sure))


def read_cells(
    leak: U8, original: U8, placed: align.Alignment, amplitude: F32, rows: int, columns: int
) -> F64:
    """Chip values of a leak of two tones: half the log-odds of each cell's sign.

    Args:
        leak: grey raster, see `is_two_toned`.
        original: grey raster.
        placed: how the leak lies on it; the plain frame is preferred where it foretells more pixels.
        amplitude: how far a mark moves each pixel of the original, in levels.
        rows: cells from top to bottom.
        columns: cells from left to right.
    """
    plain = align.same_frame(leak, original)
    step = max(1, round(np.ceil(np.sqrt(leak.size / LEAK_PIXELS))))
    starts = [one.matrix / step for one in (placed, plain) if one is not None]
    light = leak[::step, ::step].astype(np.int16) * 2 > int(leak.max()) + int(leak.min())
    matrix = min(
        starts, key=lambda start: sides.threshold(light, sides.rendered(original, start, light.shape))[1]
    )
    found = sides.foretell(light, original, matrix)
    if found is None:
        return np.zeros((rows, columns))
    height, width = original.shape
    across, down = (found.place[0] + 0.5) / width * columns, (found.place[1] + 0.5) / height * rows
    column, row = np.floor(across).astype(np.intp), np.floor(down).astype(np.intp)
    nearest = np.clip(np.rint(found.place), 0, [[width - 1], [height - 1]]).astype(np.intp)
    moves = amplitude[nearest[1], nearest[0]] * _own(across - column) * _own(down - row)
    # Part of the softness that was fitted is the mark itself.
    rest = np.maximum(found.sharpness**-2.0 - np.square(moves) / _VARIANCE, _SHARPNESS_MAX**-2.0)
    sharper = 1 / np.sqrt(rest) / found.sharpness
    eta, moves = found.eta * sharper, moves * found.sharpness * sharper
    sign = np.where(found.light, 1.0, -1.0)
    odds = np.logaddexp(0, -sign * (eta - moves)) - np.logaddexp(0, -sign * (eta + moves))
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    index = (row * columns + column)[inside]
    sums = np.bincount(index, weights=odds[inside], minlength=rows * columns)
    apart = min(1.0, _APART_MAX / float(abs(np.linalg.det(matrix[:, :2]))))
    return np.asarray(sums.reshape(rows, columns) * (apart / 2), dtype=np.float64)


def _own(place: F64) -> F64:
    """How much of a chip's soft-edged field is its own, at this place from one side of it (0) to the other (1)."""
    return np.asarray(np.clip(np.minimum(place, 1 - place) * EDGE_SOFTNESS / 2.5 + 0.5, 0, 1))
