"""Foretell on which side of a threshold each pixel of a leak of two tones falls.

Rule: a logistic model of the original alone, fitted to the leak; no codeword is looked at. It knows threshold, softness, light
across the page, sharpness, and a place exact to some hundredths of a pixel: an edge of text climbs a hundred levels a pixel, a mark
two. How a leak was resampled, and in how many steps, cannot be known; so the original is rendered in several ways, and the fit
mixes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from watermark.chips import F32, F64, U8

Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

PIXELS_MIN: Final = 64
"""Fewer pixels near the threshold say nothing."""
PIXELS_MAX: Final = 1_000_000
"""Of more, every second, third … is used."""
_ROUNDS: Final = ((64.0, False), (40.0, False), (40.0, True), (40.0, True))
"""Levels from the threshold within which pixels are fitted, and whether the original is rendered in several ways."""
_FITTED_MAX: Final = 60_000
_NEWTON_STEPS: Final = 16
_RIDGE: Final = 1e-3
_CLASSES: Final = 8
_FIXED: Final = 7
"""Columns of level and light (4) and curvature (3)."""
_SHIFTS: Final = 6
"""Columns of a shift, an affine map and a bend, along each axis."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What is foretold of the pixels near the threshold.

    Attributes:
        place: columns and rows in the original, 2 × pixels.
        light: the side it fell on.
        eta: log-odds of the light side, as foretold.
        sharpness: change of the log-odds a level.
    """

    place: F64
    light: Bools
    eta: F64
    sharpness: F64


@dataclass(frozen=True, slots=True)
class _Fit:
    """The model after one round: the pixels, what may explain their sides, and the weights found."""

    x: Places
    y: Places
    features: F32
    weights: F64

    def corrected(self, matrix: F64, shape: tuple[int, ...]) -> F64:
        """The map with the affine part of the shift that was found."""
        height, width = shape
        size = max(height, width) / 2
        relative = self.weights / self.weights[0]
        dx, dy = relative[_FIXED : _FIXED + 3], relative[_FIXED + _SHIFTS : _FIXED + _SHIFTS + 3]
        linear = np.array([dx[1:], dy[1:]]) / size
        constant = np.array([dx[0], dy[0]]) - linear @ np.array([width / 2, height / 2])
        back = np.vstack([np.column_stack([np.eye(2) + linear, constant]), [0, 0, 1]])
        moved = np.linalg.pinv(back) @ np.vstack([matrix, [0, 0, 1]])
        return np.asarray(moved[:2], dtype=np.float64)

    def doubts(self) -> tuple[F32, F32]:
        """Where a model errs most: how curved and how steep the original is at each pixel."""
        curved = np.abs(self.features[:, _FIXED - 3 : _FIXED]).sum(axis=1)
        steep = np.hypot(self.features[:, _FIXED], self.features[:, _FIXED + _SHIFTS])
        return curved, steep


def foretell(light: Bools, original: U8, matrix: F64) -> Sides | None:
    """Fit the model.

    Args:
        light: the leak.
        original: grey raster.
        matrix: 2 × 3, original pixels → leak pixels, right to about half a pixel.

    Returns:
        None when too few pixels stand near the threshold, or the original foretells nothing.
    """
    used = matrix
    fit: _Fit | None = None
    for window, ways in _ROUNDS:
        used = matrix if fit is None else fit.corrected(used, light.shape)
        if not 0.5 < abs(float(np.linalg.det(used[:, :2]) / np.linalg.det(matrix[:, :2]))) < 2:
            return None
        fit = _fit(light, original, used, window, ways)
        if fit is None:
            return None
    if fit is None:
        return None
    light_there, eta = light[fit.y, fit.x], np.asarray(fit.features @ fit.weights, dtype=np.float64)
    sharpness: F64 = np.full(eta.size, float(fit.weights[0]))
    for measure in fit.doubts():
        factor = _by_class(measure, eta, light_there)
        eta = np.asarray(eta * factor)
        sharpness = np.asarray(sharpness * factor)
    back = np.asarray(cv2.invertAffineTransform(used), dtype=np.float64)
    place: F64 = back @ np.stack([fit.x, fit.y, np.ones(fit.x.size)])
    return Sides(place, light_there, eta, sharpness)


def rendered(original: U8, matrix: F64, shape: tuple[int, ...], kind: int = cv2.INTER_CUBIC) -> F32:
    """The original on a raster of this shape."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    source = original.astype(np.float32)
    if scale < 1:
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.5 / scale), dtype=np.float32)
    return _warped(source, matrix, shape, kind)


def threshold(light: Bools, plane: F32) -> tuple[float, int]:
    """The threshold that explains most, and how many pixels it leaves wrong."""
    levels = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    white = np.bincount(levels[light], minlength=256).cumsum()
    black = np.bincount(levels[~light], minlength=256)
    wrong = white + (black.sum() - black.cumsum())
    best = np.flatnonzero(wrong == wrong.min())
    return float(best.mean()) + 0.5, int(wrong.min())


def _warped(source: F32, matrix: F64, shape: tuple[int, ...], kind: int) -> F32:
    size = (shape[1], shape[0])
    out = cv2.warpAffine(source, matrix, size, flags=kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)


def _other_ways(original: U8, matrix: F64, shape: tuple[int, ...]) -> list[F32]:
    """Turned in its own frame, then scaled; scaled, then turned; both at once, coarsely: what scanners and programs do."""
    source = original.astype(np.float32)
    x, y = shape[1] / original.shape[1], shape[0] / original.shape[0]
    scaling = np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]])
    whole = np.vstack([matrix, [0, 0, 1]])
    first = (np.linalg.inv(scaling) @ whole)[:2]
    second = (whole @ np.linalg.inv(scaling))[:2]
    size = (shape[1], shape[0])
    smooth = cv2.INTER_AREA if x * y < 1 else cv2.INTER_CUBIC
    plain = cv2.INTER_AREA if x * y < 1 else cv2.INTER_LINEAR
    turned = _warped(source, first, source.shape, cv2.INTER_CUBIC)
    coarse = _warped(source, first, source.shape, cv2.INTER_LINEAR)
    scaled = np.asarray(cv2.resize(source, size, interpolation=smooth), dtype=np.float32)
    return [
        np.asarray(cv2.resize(turned, size, interpolation=smooth), dtype=np.float32),
        np.asarray(cv2.resize(coarse, size, interpolation=plain), dtype=np.float32),
        _warped(scaled, second, shape, cv2.INTER_CUBIC),
        rendered(original, matrix, shape, cv2.INTER_LINEAR),
    ]


def _fit(light: Bools, original: U8, matrix: F64, window: float, ways: bool) -> _Fit | None:
    """One round; None when too few pixels stand near the threshold, or the original foretells nothing."""
    plane = rendered(original, matrix, light.shape)
    level, _ = threshold(light, plane)
    y, x = np.nonzero(np.abs(plane - np.float32(level)) <= window)
    step = max(1, -(-y.size // PIXELS_MAX))
    y, x = y[::step], x[::step]
    if y.size < PIXELS_MIN:
        return None
    others = _other_ways(original, matrix, light.shape) if ways else []
    features = _features(plane, others, level, y, x)
    weights = _regression(features, light[y, x])
    return _Fit(x, y, features, weights) if weights[0] > 0 else None


def _features(plane: F32, others: list[F32], level: float, y: Places, x: Places) -> F32:
    """What may explain a pixel's side; the first column is its level."""
    height, width = plane.shape
    size = max(height, width) / 2
    u, v = ((x - width / 2) / size).astype(np.float32), ((y - height / 2) / size).astype(np.float32)

    def slope(across: int, down: int, scale: float) -> F32:
        return np.asarray(cv2.Sobel(plane, cv2.CV_32F, across, down, scale=scale)[y, x])

    slope_x, slope_y = slope(1, 0, 1 / 8), slope(0, 1, 1 / 8)
    value = plane[y, x]
    one = np.ones(x.size, np.float32)
    bends = (one, u, v, u * u, u * v, v * v)
    curves = (slope(*order, 1 / 4) for order in ((2, 0), (0, 2), (1, 1)))
    columns = [value - np.float32(level), one, u, v, *curves]
    columns += [slope_x * bend for bend in bends] + [slope_y * bend for bend in bends]
    columns += [other[y, x] - value for other in others]
    return np.stack(columns, axis=1).astype(np.float32)


def _regression(features: F32, light: Bools) -> F64:
    """Weights of a logistic regression, by damped Newton steps on at most `_FITTED_MAX` pixels."""
    step = -(-len(light) // _FITTED_MAX)
    used, sides = features[::step].astype(np.float64), light[::step].astype(np.float64)
    scale = np.sqrt((used**2).mean(axis=0)) + 1e-9
    used = used / scale
    weights = np.zeros(used.shape[1])
    weights[0] = scale[0] / 8

    def loss(at: F64) -> float:
        eta = used @ at
        return float((np.logaddexp(0, eta) - sides * eta).sum() + _RIDGE / 2 * (at @ at))

    now = loss(weights)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(used @ weights, -30, 30)))
        gradient = used.T @ (sides - p) - _RIDGE * weights
        curvature = (used * (p * (1 - p))[:, None]).T @ used
        curvature.flat[:: len(weights) + 1] += _RIDGE + 1e-7 * len(sides)
        move = np.linalg.solve(curvature, gradient)
        factor, following = 1.0, loss(weights + move)
        while following > now and factor > 1e-3:
            factor /= 2
            following = loss(weights + factor * move)
        if following > now:
            break
        weights = weights + factor * move
        if now - following < 1e-2:
            break
        now = following
    return np.asarray(weights / scale, dtype=np.float64)


def _by_class(measure: F32, eta: F64, light: Bools) -> F64:
    """A factor on the log-odds for each class of pixels: what is steep or curved is foretold less well."""
    edges = np.quantile(measure, np.linspace(0, 1, _CLASSES + 1)[1:-1])
    kinds = np.searchsorted(edges, measure)
    factors = np.ones(_CLASSES)
    for kind in range(_CLASSES):
        chosen = kinds == kind
        if np.count_nonzero(chosen) >= PIXELS_MIN:
            weights = _regression(np.asarray(eta[chosen, None], dtype=np.float32), light[chosen])
            factors[kind] = np.clip(weights[0], 0.1, 10)
    return factors[kinds]
