"""Spread spectrum over a grid of chips: the carrier of images and of PDF pages.

Rule: the grid covers the whole reference raster evenly, so a chip's place is known in relative coordinates whatever
the resolution. Each cell carries one code position, chosen by a keyed permutation, with a keyed polarity: without the
layout key nobody knows what a dark cell means, and the field is fair (mean zero) wherever it is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from watermark.payload import CODE_POSITIONS, uniform_words

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

CELL_PIXELS_MIN: Final = 8
"""Smaller chips do not survive JPEG's blocks or a half-size copy."""
CELL_PIXELS_MAX: Final = 24
"""Larger ones begin to show as blotches; from there on positions repeat instead."""
_NEIGHBOURHOOD_CELLS: Final = 9
_EDGE_LEVELS: Final = 8.0
_NOISE_FLOOR_LEVELS: Final = 0.05
EDGE_SOFTNESS: Final = 6.0
_STROKE_NEIGHBOURHOOD: Final = 31
_STROKE_SPREADS: Final = 6.0
_STROKE_LEVELS: Final = 4.0
_SMEAR: Final = 13
_EDGE_SPREADS: Final = 3.5
_STROKE_USUAL_MAX: Final = 4.0
_STROKE_TRUST: Final = 0.5
_GROSS_LEVELS: Final = 40.0
_GROSS_SHARE: Final = 0.15


@dataclass(frozen=True, slots=True)
class ChipGrid:
    """Which cell carries which position, and how.

    Attributes:
        position: code position of each cell, rows × columns.
        polarity: −1 or 1, rows × columns: the sign with which bit 1 is written.
        positions: length of the code segment in use.
    """

    position: npt.NDArray[np.intp]
    polarity: F32
    positions: int

    @classmethod
    def keyed(cls, layout_key: bytes, label: str, rows: int, columns: int) -> ChipGrid:
        """The grid of one raster.

        Args:
            layout_key: 32 bytes.
            label: which raster of the asset ("image", "page/0"); each has a permutation of its own.
            rows: cells from top to bottom, at least 1.
            columns: cells from left to right, at least 1.
        """
        cells = rows * columns
        words = uniform_words(layout_key, f"chips/{label}", 2 * cells)
        positions = min(cells, CODE_POSITIONS)
        permutation = np.argsort(words[:cells], kind="stable") % positions
        polarity = np.where(words[cells:] & 1, 1.0, -1.0).astype(np.float32)
        return cls(permutation.reshape(rows, columns), polarity.reshape(rows, columns), positions)

    def signs(self, bits: npt.NDArray[np.bool_]) -> F32:
        """−1 or 1 for each cell, given the codeword."""
        return np.where(bits[self.position], self.polarity, -self.polarity).astype(np.float32)

    def gather(self, cells: F64) -> F64:
        """Sum what the cells say about each position, polarity removed."""
        signed = (cells * self.polarity).ravel()
        return np.bincount(self.position.ravel(), weights=signed, minlength=self.positions).astype(np.float64)


def grid_shape(height: float, width: float) -> tuple[int, int]:
    """Rows and columns of chips for a raster of this many pixels (or page of this many 1/150 inch)."""
    side = min(max(math.sqrt(height * width / CODE_POSITIONS), CELL_PIXELS_MIN), CELL_PIXELS_MAX)
    return max(1, round(height / side)), max(1, round(width / side))


def field(signs: F32, height: int, width: int) -> F32:
    """Spread a grid of signs over a raster, with soft edges that the eye does not catch."""
    flat = cv2.resize(signs, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    softness = math.sqrt(height * width / signs.size) / EDGE_SOFTNESS
    return np.asarray(cv2.GaussianBlur(flat, (0, 0), softness), dtype=np.float32)


def quiet(reference: U8) -> F32:
    """How far each pixel of the reference can be trusted: near 1 on flat ground, near 0 on sharp edges.

    A leak's blur, ringing and misalignment all show at edges first.
    """
    smooth = cv2.GaussianBlur(reference, (0, 0), 1.5).astype(np.float32)
    slope = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 4
    return np.asarray(1.0 / (1.0 + (slope / _EDGE_LEVELS * 2) ** 2), dtype=np.float32)


def clean(residual: F32, trust: F32) -> F32:
    """1 where a residual is what noise and chips leave, 0 on what lies over the page: a visible tier, a stamp, handwriting.

    A stroke stands out from the middle of its neighbourhood by far more than that neighbourhood does from itself; and where much
    is grossly different, as under a code, nothing is believed.

    Args:
        residual: leak minus original, in levels.
        trust: as for `read_cells`.
    """
    seen = residual[trust > _STROKE_TRUST]
    if seen.size == 0:
        return np.ones_like(residual)
    middle = float(np.median(seen))
    usual = float(np.median(np.abs(seen - middle)))
    away = np.abs(residual - _middle(residual))
    spread = np.clip(_middle(away), usual, _STROKE_USUAL_MAX * max(usual, _STROKE_LEVELS))
    stroke = away > np.maximum(_STROKE_SPREADS * spread, _STROKE_LEVELS)
    # A blurred stroke has a soft edge, which stands out less.
    edge = _wider(stroke, _SMEAR) & (away > _EDGE_SPREADS * spread)
    gross = (np.abs(residual - middle) > _GROSS_LEVELS) & (trust > _STROKE_TRUST)
    window = (_STROKE_NEIGHBOURHOOD, _STROKE_NEIGHBOURHOOD)
    hidden = np.asarray(cv2.blur(gross.astype(np.float32), window) > _GROSS_SHARE, dtype=np.bool_)
    covered = _wider(stroke | edge, 3) | _wider(hidden, _STROKE_NEIGHBOURHOOD)
    return np.where(covered, 0, 1).astype(np.float32)


def _wider(where: npt.NDArray[np.bool_], pixels: int) -> npt.NDArray[np.bool_]:
    grown = cv2.dilate(where.astype(np.uint8), np.ones((pixels, pixels), np.uint8))
    return np.asarray(grown, dtype=np.bool_)


def _middle(plane: F32) -> F32:
    """The median of each pixel's neighbourhood, to a quarter of a level and within 32 levels of 0."""
    coarse = np.clip(np.rint(plane * 4) + 128, 0, 255).astype(np.uint8)
    middle = cv2.medianBlur(coarse, _STROKE_NEIGHBOURHOOD).astype(np.float32)
    return np.asarray((middle - 128) / 4, dtype=np.float32)


def read_cells(residual: F32, trust: F32, rows: int, columns: int) -> F64:
    """Normalised chip values of a residual.

    Args:
        residual: leak minus original, in levels, on the reference raster.
        trust: weight of each pixel, 0 where the leak shows nothing.
        rows: cells from top to bottom.
        columns: cells from left to right.

    Returns:
        For each cell its departure from the neighbourhood in units of the local spread, scaled down where little of
        the cell could be read; 0 where nothing could.
    """
    weight = cv2.resize(trust, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
    total = cv2.resize(residual * trust, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
    seen = weight > 0.02
    weight[~seen] = 0.0
    value = np.divide(total, weight, out=np.zeros_like(total), where=seen)
    value -= local_mean(value, weight)
    spread = np.sqrt(local_mean(value**2, weight) + _NOISE_FLOOR_LEVELS**2)
    return np.asarray(value / spread * np.sqrt(np.minimum(weight, 1.0)), dtype=np.float64)


def soft_bits(positions: F64) -> F64:
    """Turn sums of normalised chips into weights between −1 and 1."""
    return np.tanh(positions)


def local_mean(value: F64, weight: F64) -> F64:
    """Weighted mean over each cell's neighbourhood; 0 where nothing has weight."""
    numerator, denominator = (
        cv2.boxFilter(
            plane,
            -1,
            (_NEIGHBOURHOOD_CELLS, _NEIGHBOURHOOD_CELLS),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        for plane in (value * weight, weight)
    )
    mean = np.zeros_like(value)
    np.divide(numerator, denominator, out=mean, where=np.asarray(denominator) > 0)
    return mean
