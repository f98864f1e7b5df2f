"""Lay a piece of blank paper over its original by the mark itself.

Rule: no codeword is looked at. The layout key says with which bias each position is drawn, so it says what marks look like on
average; where a piece shows nothing else, it lies where it agrees best with that average. Given the layout key, an innocent's
codeword is as independent of this choice as of the leak, and its score has mean 0 whatever the bias: nothing is paid for it.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from watermark import align
from watermark.chips import U8, ChipGrid, field
from watermark.payload import U16

CELLS_MIN: Final = 64
"""Smaller pieces cannot be told from chance."""
STANDS_OUT: Final = 8.0
"""The best place must lie so many standard deviations above all places."""
PLACES_MIN: Final = 256
"""Among fewer places none can stand out."""
_DRAWN_SHARE_MAX: Final = 0.1
_DRAWN_LEVELS: Final = 16.0
"""What a scanner's grain seldom reaches."""
_LEVELS: Final = 65536.0
_CELL_PIXELS: Final = 8
_SHOWN_LEVELS: Final = 4.0
"""What departs farther from its surroundings is no mark."""
_SPREAD_MIN: Final = 0.05


def place(leak: U8, shape: tuple[int, ...], grid: ChipGrid, thresholds: U16) -> align.Alignment | None:
    """Where a blank, unturned piece lies at one of some plain scales; None when no place stands out.

    Args:
        leak: grey raster.
        shape: height and width of the original as it is compared.
        grid: chips of the original.
        thresholds: biases in units of 2⁻¹⁶, one a position.
    """
    rows, columns = grid.position.shape
    usual = (thresholds[grid.position] / _LEVELS * 2 - 1) * grid.polarity
    size = (rows * _CELL_PIXELS, columns * _CELL_PIXELS)
    expected = field(usual.astype(np.float32), *size)
    factors = np.array([size[1] / shape[1], size[0] / shape[0]])
    plane = leak.astype(np.float32)
    fine = plane - cv2.GaussianBlur(plane, (0, 0), 32)
    if np.count_nonzero(np.abs(fine) >= _DRAWN_LEVELS) > _DRAWN_SHARE_MAX * fine.size:
        return None
    best, shown = None, np.asarray(np.clip(fine, -_SHOWN_LEVELS, _SHOWN_LEVELS), dtype=np.float32)
    for matrix, fit in align.places(shown, expected, factors, _SPREAD_MIN):
        scale = float(matrix[0, 0])
        seen = leak.size / (scale * scale) / (shape[0] * shape[1]) * rows * columns
        peak = float(fit.max())
        clear = fit.size >= PLACES_MIN and peak - float(fit.mean()) >= STANDS_OUT * float(fit.std())
        if seen >= CELLS_MIN and clear and (best is None or peak > best.correlation):
            best = align.Alignment(matrix, peak, "mark")
    return best
