"""Read chips from a leak that was only saved as JPEG, whole or cut out: nothing turned, nothing scaled.

Rule: as in `watermark.align`, everything is decided by the leak and the original alone. JPEG rounds each coefficient of a block to
a multiple of a step. The original tells where the coefficient stood without a mark, and the leak in which interval it ended: what
the mark added is estimated by its mean, given that interval. So the noise of rounding, which drowns a mark in blocks of text, falls
away, and a coefficient just below the edge of its interval speaks by staying there.

Source: ITU-T T.81 (1992), Annex K: the tables of steps; the Independent JPEG Group's scaling of them by quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from watermark import align
from watermark.chips import EDGE_SOFTNESS, F32, F64, U8, field, local_mean, quiet

_LUMA: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
QUALITIES: Final = range(5, 91)
"""Above, the noise of rounding is small beside a mark."""
_COARSE: Final = 3
"""Every so manieth quality is tried first, then those around the best."""
_SIDE: Final = 8
_TURN: Final[F32] = np.array(
    [
        [np.sqrt((1 if u == 0 else 2) / _SIDE) * np.cos((2 * x + 1) * u * np.pi / 16) for x in range(_SIDE)]
        for u in range(_SIDE)
    ],
    dtype=np.float32,
)
"""Rows: the cosines of one dimension."""
JPEG_SIDE_MAX: Final = 65_500
"""Pixels; no encoder at hand writes more."""
_JUDGED_PIXELS: Final = 120_000
_MISFIT_SHARE: Final = 0.75
_NEAR_SHARE: Final = 1.1
_QUIET: Final = 0.5
_TURNED_MAX: Final = 0.002
_NOISE: Final = 2.0
"""Standard deviation of a coefficient that no mark explains: rounding and clipping of pixels."""
_SURPRISE_MAX: Final = 1.5
"""A coefficient that lies farther off has another cause."""
_FAR: Final = 12.0


def steps(quality: int) -> F32:
    """The steps of luma at a quality, 8 × 8."""
    factor = 5000 / quality if quality < 50 else 200 - 2 * quality
    return np.clip(np.floor((_LUMA * factor + 50) / 100), 1, 255).astype(np.float32)


def quality_of(leak: U8, piece: U8, otherwise: F32) -> int | None:
    """The quality at which a raster was last saved as JPEG; None when it seems not to have been.

    Args:
        leak: grey raster.
        piece: of the original, what the leak shows.
        otherwise: how far the leak lies from the piece in levels when another tone and blur are held to be the cause;
            JPEG must explain clearly more.
    """
    band = _busiest(piece)
    shown, original = leak[band].astype(np.int16), np.ascontiguousarray(piece[band])
    busy = cv2.dilate((quiet(original) < _QUIET).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    if not busy.any():
        return None

    def misfit(raster: U8) -> float:
        return float(np.abs(raster - shown)[busy].mean())

    trials = {quality: misfit(_saved(original, quality)) for quality in QUALITIES[::_COARSE]}
    around = min(trials, key=trials.__getitem__)
    for quality in range(
        max(QUALITIES[0], around - _COARSE + 1), min(QUALITIES[-1], around + _COARSE - 1) + 1
    ):
        if quality not in trials:
            trials[quality] = misfit(_saved(original, quality))
    least = min(trials.values())
    if least >= _MISFIT_SHARE * float(np.abs(otherwise[band])[busy].mean()):
        return None
    # Of qualities that fit about as well, the right one changes least when the leak is saved at it once more.
    again = np.ascontiguousarray(leak[band])
    near = [quality for quality, found in sorted(trials.items()) if found <= _NEAR_SHARE * least]
    return min(near, key=lambda quality: float(np.abs(_saved(again, quality) - shown).mean()))


def _busiest(piece: U8) -> slice:
    """The rows, of at most `_JUDGED_PIXELS`, beginning at a block, that show most."""
    height, width = piece.shape
    rows = max(_SIDE, _JUDGED_PIXELS // width // _SIDE * _SIDE)
    if rows >= height:
        return slice(0, height)
    restless = (1 - quiet(piece)).sum(axis=1).cumsum()
    starts = np.arange(0, height - rows, _SIDE)
    begin = int(starts[np.argmax(restless[starts + rows] - restless[starts])])
    return slice(begin, begin + rows)


def _saved(raster: U8, quality: int) -> U8:
    _, data = cv2.imencode(".jpg", raster, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def unturned(leak: U8, original: U8, placed: align.Alignment) -> tuple[int, int] | None:
    """Column and row of the original at which the leak begins, if it is an unturned, unscaled piece; else None."""
    if np.abs(placed.matrix[:, :2] - np.eye(2)).max() > _TURNED_MAX or max(leak.shape) > JPEG_SIDE_MAX:
        return None
    centre = np.array([leak.shape[1] / 2, leak.shape[0] / 2])
    back = np.linalg.solve(placed.matrix[:, :2], centre - placed.matrix[:, 2])
    column, row = (int(value) for value in np.rint(back - centre))
    height, width = leak.shape
    inside = 0 <= column <= original.shape[1] - width and 0 <= row <= original.shape[0] - height
    return (column, row) if inside else None


def read_cells(
    leak: U8,
    original: U8,
    placed: align.Alignment,
    difference: F32,
    amplitude_of: Callable[[U8], F32],
    shape: tuple[int, int],
) -> F64 | None:
    """Chip values of a leak that was only cut and saved as JPEG; None when it is something else.

    Args:
        leak: grey raster.
        original: grey raster.
        placed: how the leak lies on it.
        difference: leak minus original in levels, as `watermark.align.residual` sees it.
        amplitude_of: how far a mark moves each pixel of an original, in levels.
        shape: rows and columns of cells.
    """
    corner = unturned(leak, original, placed)
    if corner is None:
        return None
    shown = np.s_[corner[1] : corner[1] + leak.shape[0], corner[0] : corner[0] + leak.shape[1]]
    quality = quality_of(leak, original[shown], difference[shown])
    if quality is None:
        return None
    (height, width), (rows, columns) = original.shape, shape
    amplitude = amplitude_of(original)
    step, after = steps(quality), _turned(leak.astype(np.float32) - np.float32(128))
    # Where there is no room for both signs, on white paper, a mark moves the mean.
    before = np.minimum(np.maximum(original, amplitude), 255 - amplitude)
    low = (np.rint(after / step) - np.float32(0.5)) * step - _turned(before[shown] - np.float32(128))
    variance = (_spectrum(height, width, rows, columns) * _block_means(amplitude[shown])) ** 2 + _NOISE**2
    spread = np.sqrt(variance)
    score = np.clip(_mean_within(low, low + step, spread) / spread, -_SURPRISE_MAX, _SURPRISE_MAX) / spread
    speaking, seen = np.zeros(original.shape, np.float32), np.zeros(original.shape, np.float32)
    speaking[shown] = _raster(score, *leak.shape) * amplitude[shown]
    seen[shown] = 1.0
    return _gathered(speaking, seen, rows, columns)


def _gathered(speaking: F32, seen: F32, rows: int, columns: int) -> F64:
    """Sum what the pixels say over each cell, and compare cells with their neighbourhood."""
    area = seen.size / (rows * columns)
    soft = cv2.GaussianBlur(speaking, (0, 0), math.sqrt(area) / EDGE_SOFTNESS)
    weight = cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
    value = cv2.resize(soft, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64) * area
    value -= weight * local_mean(np.divide(value, weight, out=np.zeros_like(value), where=weight > 0), weight)
    return np.asarray(value / np.sqrt(local_mean(value**2, weight) + 1), dtype=np.float64)


def _spectrum(height: int, width: int, rows: int, columns: int) -> F32:
    """Standard deviation of each coefficient over a field of chips of one level, whatever their signs: 8 × 8."""
    signs = np.where(np.random.default_rng(0).random((rows, columns)) < 0.5, -1.0, 1.0).astype(np.float32)
    coefficients = _turned(field(signs, height, width))
    return np.asarray(np.sqrt((coefficients**2).mean(axis=0, dtype=np.float64)), dtype=np.float32)


def _block_means(plane: F32) -> F32:
    """Blocks × 1 × 1."""
    return np.asarray(_blocks(plane).mean(axis=(1, 2), keepdims=True), dtype=np.float32)


def _mean_within(low: F32, high: F32, spread: F32) -> F32:
    """Mean of a logistic variable with this standard deviation, given that it lies between two bounds."""
    scale = spread * np.float32(math.sqrt(3) / math.pi)
    a, b = np.clip(low / scale, -_FAR, _FAR), np.clip(high / scale, -_FAR, _FAR)
    odds_a, odds_b = 1 + np.exp(a), 1 + np.exp(b)
    below, above = 1 - 1 / odds_a, 1 - 1 / odds_b
    share = above - below
    gain = b * above - a * below - np.log(odds_b / odds_a)
    mean = np.divide(gain, share, out=np.zeros_like(gain), where=share > 1e-5)
    # Far out in a tail the variable stands at the nearer bound.
    return np.asarray(np.clip(mean, a, b) * scale, dtype=np.float32)


def _blocks(plane: F32) -> F32:
    """Blocks × 8 × 8; the last row and column repeat up to a whole block."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % _SIDE), (0, -width % _SIDE)), mode="edge")
    rows, columns = padded.shape[0] // _SIDE, padded.shape[1] // _SIDE
    return np.asarray(padded.reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2)).reshape(-1, _SIDE, _SIDE)


def _turned(plane: F32) -> F32:
    """The coefficients of each block."""
    return np.asarray(_TURN @ _blocks(plane) @ _TURN.T, dtype=np.float32)


def _raster(coefficients: F32, height: int, width: int) -> F32:
    rows, columns = -(-height // _SIDE), -(-width // _SIDE)
    blocks = (_TURN.T @ coefficients @ _TURN).reshape(rows, columns, _SIDE, _SIDE).swapaxes(1, 2)
    return np.asarray(blocks.reshape(rows * _SIDE, columns * _SIDE)[:height, :width], dtype=np.float32)
