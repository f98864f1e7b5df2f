"""Lay a leaked raster over its original and subtract.

Rule: every decision here looks at the leak and the original only (how well they correlate), never at a codeword. The
alignment is therefore chosen blindly in the sense of the false-positive bound and costs no factor in it.

Hypotheses, best correlation wins: the same frame at another scale; a similarity found by SIFT and MAGSAC; where those
correlate badly, as on a small piece with few details, the place where the leak, at one of some plain scales, fits best
(normalised cross-correlation). The winner is refined by ECC (affine). Tone (gain, offset, gamma) and blur of the leak are
then fitted to the original, so that what remains after subtraction is the mark and noise.

Source: D. Lowe, "Distinctive image features from scale-invariant keypoints" (2004); D. Barath et al., "MAGSAC++"
(2020); G. Evangelidis, E. Psarakis, "Parametric image alignment using enhanced correlation coefficient" (2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from watermark.chips import F32, F64, U8

FEATURE_PIXELS: Final = 800_000
"""Rasters are reduced to this before features are looked for."""
FEATURES_MAX: Final = 3_000
REFINE_PIXELS: Final = 700_000
JUDGE_PIXELS: Final = 300_000
MISFIT_PIXELS: Final = 300_000
"""Blurs are compared on about so many."""
_BAND_ROWS: Final = 32
MATCHES_MIN: Final = 12
MATCH_RATIO: Final = 0.8
CORRELATION_MIN: Final = 0.35
"""Below this the leak is not taken for a copy of the original."""
SCALE_MIN, SCALE_MAX = 0.05, 20.0
CORRELATION_CLEAR: Final = 0.9
"""Above this the plain frame is right and no features need be looked for."""
CORRELATION_FAIR: Final = 0.7
"""Below this pieces are also looked for by cross-correlation, and none is found: many places are tried, and the best of
them would be taken for a copy."""
TEMPLATE_SCALES: Final = (1.0, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 5, 5 / 4, 4 / 3, 3 / 2, 2.0, 3.0)
"""Leak pixels for one original pixel: what screens and programs make of a picture."""
PIECE: Final = "piece"
"""The method of an alignment by cross-correlation."""
TEMPLATE_PIXELS: Final = 800_000
"""Originals are reduced to this before a piece is looked for."""
TEMPLATE_SIDE_MIN: Final = 24
_TEMPLATE_SPREAD_MIN: Final = 2.5
"""Standard deviation in levels: of blank paper no place can be known."""
OVERLAP_MIN: Final = 0.004
_DETAIL_WINDOW: Final = 41
_BLURS: Final = (0.0, 0.5, 0.8, 1.2, 1.8, 2.6)
_ECC_STEPS: Final = 40


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the leak lies on the original.

    Attributes:
        matrix: 2 × 3, original pixels → leak pixels.
        correlation: of the two rasters' details where they overlap, at most 1.
        method: "scale", "features" or "piece", with "+ecc" when refined.
    """

    matrix: F64
    correlation: float
    method: str

    @property
    def scale(self) -> float:
        """Leak pixels for one original pixel."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))

    @property
    def rotation_degrees(self) -> float:
        """Counter-clockwise turn of the leak."""
        return -math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"{self.method}: scale {self.scale:.4f}, rotation {self.rotation_degrees:+.2f}°, "
            f"correlation {self.correlation:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Features:
    """Keypoints of a raster, in its own full-size pixels."""

    points: F32
    descriptors: F32


def features(raster: U8) -> Features:
    """SIFT keypoints of at most `FEATURE_PIXELS` of the raster."""
    small, factors = _reduced(raster, FEATURE_PIXELS)
    keypoints, descriptors = cv2.SIFT.create(nfeatures=FEATURES_MAX).detectAndCompute(small, None)
    if not keypoints:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    points = (np.array([point.pt for point in keypoints]) + 0.5) / factors - 0.5
    return Features(points.astype(np.float32), np.asarray(descriptors, dtype=np.float32))


def align(leak: U8, original: U8, known: Features | None = None) -> Alignment | None:
    """The best alignment of two grey rasters.

    Args:
        leak: grey raster.
        original: grey raster; its frame is the reference.
        known: the original's features, when they are at hand.

    Returns:
        The alignment, or None when the leak does not look like a copy.
    """
    best = rough(leak, original, known)
    if best is None:
        return None
    refined = refine(leak, original, best)
    return refined if refined.correlation >= CORRELATION_MIN else None


def same_frame(leak: U8, original: U8) -> Alignment | None:
    """The hypothesis that both rasters show the same frame, at whatever scale."""
    x, y = leak.shape[1] / original.shape[1], leak.shape[0] / original.shape[0]
    return _judged(leak, original, np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5]]), "scale")


def rough(
    leak: U8,
    original: U8,
    known: Features | None = None,
    seen: Features | None = None,
    *,
    thorough: bool = True,
) -> Alignment | None:
    """The better of the hypotheses, unrefined.

    Args:
        leak: grey raster.
        original: grey raster; its frame is the reference.
        known: the original's features, when they are at hand.
        seen: the leak's features, when they are at hand.
        thorough: whether pieces are looked for, which takes about a second.

    Returns:
        None when no hypothesis stands.
    """
    plain = same_frame(leak, original)
    if plain is not None and plain.correlation > CORRELATION_CLEAR:
        return plain
    matrix = _similarity(
        seen if seen is not None else features(leak), known if known is not None else features(original)
    )
    found = None if matrix is None else _judged(leak, original, matrix, "features")
    hypotheses = [hypothesis for hypothesis in (plain, found) if hypothesis is not None]
    if thorough and all(hypothesis.correlation < CORRELATION_FAIR for hypothesis in hypotheses):
        hypotheses += pieces(leak, original)
    return max(hypotheses, key=lambda hypothesis: hypothesis.correlation, default=None)


def pieces(leak: U8, original: U8) -> list[Alignment]:
    """For each plain scale the place where the leak, as an unturned piece of the original, fits best."""
    small, factors = _reduced(original, TEMPLATE_PIXELS)
    found = []
    for matrix, _ in places(leak, small, factors, _TEMPLATE_SPREAD_MIN):
        judged = _judged(leak, original, matrix, PIECE)
        if judged is not None and judged.correlation >= CORRELATION_FAIR:
            found.append(judged)
    return found


def places(leak: U8 | F32, field: U8 | F32, factors: F64, spread_min: float) -> Iterator[tuple[F64, F64]]:
    """The best place of an unturned piece at each plain scale, and how it fits everywhere.

    Args:
        leak: the piece.
        field: what it is looked for in.
        factors: by which width and height of the field were reduced.
        spread_min: standard deviation below which a piece is blank, in levels.

    Yields:
        The map from the field's full raster to the leak, and the normalised cross-correlation at each place.
    """
    for scale in TEMPLATE_SCALES:
        size = np.rint(np.array(leak.shape[::-1]) / scale * factors).astype(int)
        if size.min() < TEMPLATE_SIDE_MIN or size[0] > field.shape[1] or size[1] > field.shape[0]:
            continue
        kind = cv2.INTER_AREA if scale > factors.min() else cv2.INTER_CUBIC
        piece = cv2.resize(leak, (int(size[0]), int(size[1])), interpolation=kind)
        if float(piece.std()) < spread_min:
            continue
        fit = np.asarray(cv2.matchTemplate(field, piece, cv2.TM_CCOEFF_NORMED), dtype=np.float64)
        corner = np.array(cv2.minMaxLoc(fit)[3]) / factors
        shift = 0.5 * scale - 0.5 - np.rint(corner) * scale
        yield np.column_stack((np.eye(2) * scale, shift)), fit


def residual(leak: U8, original: U8, alignment: Alignment) -> tuple[F32, F32]:
    """Leak minus original on the original's raster.

    Returns:
        The difference in levels, tone and blur of the leak taken out, and a mask: 1 where the leak shows something.
    """
    height, width = original.shape
    warped, mask = _warp(leak, alignment.matrix, width, height)
    reference = original.astype(np.float32)
    rows = [slice(first, first + _BAND_ROWS) for first in _band_starts(height, width)]

    def misfit(sigma: float) -> float:
        """Mean difference after blur and tone, in some bands of rows."""
        shown = [part[band] for band in rows for part in (warped, reference, mask)]
        leaks, originals, masks = shown[::3], shown[1::3], shown[2::3]
        soft = [part if sigma == 0 else _blurred(part, sigma) for part in originals]
        leak_bands, bands, inside = (np.concatenate(parts) for parts in (leaks, soft, masks))
        return float((np.abs(leak_bands - _toned(leak_bands, bands, inside)) * inside).mean())

    best = min(_BLURS, key=misfit)
    soft = reference if best == 0 else _blurred(reference, best)
    return (warped - _toned(warped, soft, mask)) * mask, mask


def _band_starts(height: int, width: int) -> range:
    """First rows of bands that have about `MISFIT_PIXELS` together and lie evenly from top to bottom; of a small raster all."""
    count = max(1, round(MISFIT_PIXELS / (_BAND_ROWS * width)))
    step = max(_BAND_ROWS, height // count)
    return range(0, height, step)


def _blurred(plane: F32, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), dtype=np.float32)


def _similarity(leak: Features, original: Features) -> F64 | None:
    """Original → leak, four degrees of freedom, from MAGSAC's inliers."""
    if min(len(leak.points), len(original.points)) < MATCHES_MIN:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(leak.descriptors, original.descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < MATCH_RATIO * pair[1].distance]
    if len(good) < MATCHES_MIN:
        return None
    source = original.points[[match.trainIdx for match in good]]
    target = leak.points[[match.queryIdx for match in good]]
    _, inliers = cv2.estimateAffine2D(
        source, target, method=cv2.USAC_MAGSAC, ransacReprojThreshold=3.0, maxIters=5000, confidence=0.999
    )
    kept = np.asarray(inliers).ravel() == 1
    if np.count_nonzero(kept) < MATCHES_MIN:
        return None
    matrix, _ = cv2.estimateAffinePartial2D(source[kept], target[kept], method=cv2.LMEDS)
    return None if matrix is None else np.asarray(matrix, dtype=np.float64)


def _judged(leak: U8, original: U8, matrix: F64, method: str) -> Alignment | None:
    """The hypothesis with its correlation; None when it is out of bounds or overlaps too little."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    if not SCALE_MIN <= scale <= SCALE_MAX or not np.isfinite(matrix).all():
        return None
    small, factors = _reduced(original, JUDGE_PIXELS)
    height, width = small.shape
    warped, mask = _warp(leak, _scaled(matrix, factors), width, height)
    if mask.mean() < OVERLAP_MIN:
        return None
    return Alignment(matrix, _correlation(warped, small.astype(np.float32), mask), method)


def _correlation(a: F32, b: F32, mask: F32) -> float:
    """Correlation of details (what is left when the mean of a wide window is taken off), inside the mask alone."""
    window = (_DETAIL_WINDOW, _DETAIL_WINDOW)
    share = np.maximum(cv2.blur(mask, window), 1e-6)
    fine_a, fine_b = (x - cv2.blur(x * mask, window) / share for x in (_blurred(a, 1), _blurred(b, 1)))
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) > 0
    if np.count_nonzero(inside) < 256:
        return 0.0
    left, right = fine_a[inside].astype(np.float64), fine_b[inside].astype(np.float64)
    left, right = left - left.mean(), right - right.mean()
    power = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / power if power > 1e-6 * left.size else 0.0


def refine(leak: U8, original: U8, start: Alignment) -> Alignment:
    """ECC from a good start; kept only when it correlates better."""
    small, factors = _reduced(original, REFINE_PIXELS)
    matrix = _scaled(start.matrix, factors)
    source, shrinkage = _matched(leak, matrix)
    matrix = _to_resized(matrix, shrinkage)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ECC_STEPS, 1e-5)
    try:
        whole = np.full(source.shape, 255, np.uint8)
        _, found = cv2.findTransformECC(
            small, source, matrix.astype(np.float32), cv2.MOTION_AFFINE, criteria, whole, 5
        )
    except cv2.error:
        return start
    refined = _scaled(_to_resized(np.asarray(found, dtype=np.float64), 1 / shrinkage), 1 / factors)
    judged = _judged(leak, original, refined, f"{start.method}+ecc")
    return judged if judged is not None and judged.correlation > start.correlation else start


def _warp(leak: U8, matrix: F64, width: int, height: int) -> tuple[F32, F32]:
    """The leak on a reference raster of this size, and where it shows something."""
    source, shrinkage = _matched(leak, matrix)
    matrix = _to_resized(matrix, shrinkage)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        source.astype(np.float32), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    mask = cv2.warpAffine(np.ones(source.shape, np.float32), matrix, (width, height), flags=flags)
    return warped.astype(np.float32), (mask > 0.999).astype(np.float32)


def _matched(leak: U8, matrix: F64) -> tuple[U8, F64]:
    """The leak shrunk to the reference's scale when it is much larger: a mean of pixels, not every second one."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    return (leak, np.ones(2)) if scale <= 1.3 else _shrunk(leak, 1 / scale)


def _toned(warped: F32, reference: F32, mask: F32) -> F32:
    """The reference in the leak's tones: one curve through the means of 32 bands of grey."""
    inside = mask > 0
    if not inside.any():
        return reference
    # Most leaks show the whole frame, and picking every pixel out costs more than all the rest.
    shown = (warped.ravel(), reference.ravel()) if inside.all() else (warped[inside], reference[inside])
    leak, original = shown
    bands = np.clip(original / 8, 0, 31).astype(np.uint8)
    counts = np.bincount(bands, minlength=32).astype(np.float64)
    used = counts > 0.0005 * counts.sum()
    x = np.bincount(bands, weights=original, minlength=32)[used] / counts[used]
    y = np.bincount(bands, weights=leak, minlength=32)[used] / counts[used]
    return np.asarray(np.interp(reference, x, y), dtype=np.float32)


def _reduced(raster: U8, pixels_max: int) -> tuple[U8, F64]:
    """The raster at no more than so many pixels, and the exact factors by which width and height shrank."""
    factor = min(1.0, math.sqrt(pixels_max / raster.size))
    return (raster, np.ones(2)) if factor == 1.0 else _shrunk(raster, factor)


def _shrunk(raster: U8, factor: float) -> tuple[U8, F64]:
    size = (max(1, round(raster.shape[1] * factor)), max(1, round(raster.shape[0] * factor)))
    small = np.asarray(cv2.resize(raster, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, np.array([size[0] / raster.shape[1], size[1] / raster.shape[0]])


def _scaled(matrix: F64, factors: F64) -> F64:
    """The same map when the original is resized by these factors (pixel centres stay centres)."""
    shift = matrix[:, 2] + matrix[:, :2] @ (0.5 / factors - 0.5)
    return np.column_stack((matrix[:, :2] / factors, shift))


def _to_resized(matrix: F64, factors: F64) -> F64:
    """The same map when the leak is resized by these factors."""
    return np.column_stack((matrix[:, :2] * factors[:, None], (matrix[:, 2] + 0.5) * factors - 0.5))
