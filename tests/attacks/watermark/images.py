"""Attacks on pictures.

Rule: each is a pure function of pixels, seed and named parameters, and gives the leaked file; where an attack has a place, an angle
or a sign, the seed draws it. Paper, lens and fax are simulated.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.attacks.watermark.picture_covers import Pixels

U16 = npt.NDArray[np.uint16]
STRATEGIES: Final = ("average", "median", "minmax", "minority", "mosaic")
_MOSAIC_PX: Final = 64
_TIES: Final = 256


def png(pixels: Pixels) -> bytes:
    """A PNG file, as fast as may be: what a leak weighs is nobody's matter."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def encode(pixels: Pixels, kind: str, quality: int) -> bytes:
    """A JPEG or lossy WebP file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, quality=quality)
    return out.getvalue()


def decode(data: bytes) -> Pixels:
    """The RGB pixels of a picture."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8).copy()


def jpeg(pixels: Pixels, seed: int, *, quality: int) -> bytes:
    """Saved as JPEG."""
    return encode(pixels, "JPEG", quality)


def webp(pixels: Pixels, seed: int, *, quality: int) -> bytes:
    """Saved as lossy WebP."""
    return encode(pixels, "WEBP", quality)


def scaled(pixels: Pixels, factor: float) -> Pixels:
    """Another size; areas are averaged on the way down."""
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=kind), np.uint8)


def resize(pixels: Pixels, seed: int, *, factor: float) -> bytes:
    """Another size, PNG."""
    return png(scaled(pixels, factor))


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """Turned in its frame, white around."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    white = (255, 255, 255)
    out = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=white)
    return np.asarray(out, np.uint8)


def rotate(pixels: Pixels, seed: int, *, degrees: float) -> bytes:
    """Turned to the left or to the right."""
    return png(turned(pixels, degrees * (1 if seed % 2 else -1)))


def cut(pixels: Pixels, seed: int, kept_px: float) -> Pixels:
    """A part of so many pixels with the same proportions, at a place drawn by the seed."""
    height, width = pixels.shape[:2]
    side = min(1.0, (kept_px / (height * width)) ** 0.5)
    rows, columns = int(height * side), int(width * side)
    rng = np.random.default_rng([11, seed])
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    return pixels[top : top + rows, left : left + columns]


def crop(pixels: Pixels, seed: int, *, kept: float) -> bytes:
    """A part of the area."""
    return png(cut(pixels, seed, kept * pixels.shape[0] * pixels.shape[1]))


def blur(pixels: Pixels, seed: int, *, sigma: float) -> bytes:
    """Gaussian blur."""
    return png(np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8))


def median(pixels: Pixels, seed: int, *, size: int) -> bytes:
    """Median filter."""
    return png(np.asarray(cv2.medianBlur(np.ascontiguousarray(pixels), size), np.uint8))


def bent(pixels: Pixels, seed: int, amplitude_px: float) -> Pixels:
    """Two slow waves, one along each side, with phases drawn by the seed."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    first, second = np.random.default_rng([12, seed]).uniform(0, 2 * np.pi, 2)
    x = columns + amplitude_px * np.sin(2 * np.pi * rows / height + first)
    y = rows + amplitude_px * np.sin(2 * np.pi * columns / width + second)
    out = cv2.remap(
        pixels, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(out, np.uint8)


def bend(pixels: Pixels, seed: int, *, amplitude_px: float) -> bytes:
    """Bent by so many pixels."""
    return png(bent(pixels, seed, amplitude_px))


def print_scan(
    pixels: Pixels, seed: int, *, factor: float = 1.2, degrees: float = 0.7, noise: float = 4.0
) -> bytes:
    """Printed and scanned: turned, bent by a pixel, soft, darker with another tone curve, grainy, JPEG 80."""
    rng = np.random.default_rng([13, seed])
    paper = bent(turned(scaled(pixels, factor), degrees * (1 if seed % 2 else -1)), seed, 1.0)
    soft = cv2.GaussianBlur(paper.astype(np.float32), (0, 0), 0.9)
    out = 228 * cv2.pow(soft / 255, 1.15) + 14 + noise * rng.standard_normal(soft.shape, np.float32)
    return encode(np.clip(out, 0, 255).astype(np.uint8), "JPEG", 80)


def camera(pixels: Pixels, seed: int, *, tilt: float = 0.02, noise: float = 5.0) -> bytes:
    """Photographed by hand: perspective (corners off by up to `tilt` of a side), uneven light, soft, grainy, JPEG 75."""
    rng = np.random.default_rng([14, seed])
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-tilt, tilt, (4, 2)) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    grey = (96, 96, 96)
    seen = cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=grey)
    light = np.outer(np.linspace(1.0, 0.92, height), np.linspace(0.82, 1.02, width)).astype(np.float32)[
        :, :, None
    ]
    soft = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 0.8)
    out = soft * light * np.array([0.98, 0.96, 0.90], np.float32) + noise * rng.standard_normal(
        soft.shape, np.float32
    )
    return encode(np.clip(out, 0, 255).astype(np.uint8), "JPEG", 75)


def combined(pixels: Pixels, seed: int, *, kept: float, degrees: float, factor: float, quality: int) -> bytes:
    """Turned, cropped, made smaller, saved as JPEG."""
    part = cut(turned(pixels, degrees), seed, kept * pixels.shape[0] * pixels.shape[1])
    return encode(scaled(part, factor), "JPEG", quality)


def binarise(pixels: Pixels, seed: int, *, threshold: int) -> bytes:
    """Two tones at a fixed level."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return png(np.where(grey > threshold, 255, 0).astype(np.uint8))


def fax(pixels: Pixels, seed: int, *, factor: float) -> bytes:
    """Sent as a fax of one bit: turned by 0.3°, another size, Otsu's threshold, CCITT group 4."""
    grey = cv2.cvtColor(scaled(turned(pixels, 0.3), factor), cv2.COLOR_RGB2GRAY)
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    out = io.BytesIO()
    Image.fromarray(grey > level).save(out, "TIFF", compression="group4")
    return out.getvalue()


def collude(copies: Sequence[Pixels], seed: int, strategy: str) -> Pixels:
    """One picture of several copies, by one of `STRATEGIES`."""
    match strategy:
        case "average":
            return np.asarray(np.round(_sum(copies) / len(copies)), np.uint8)
        case "median":
            ranked, middle = _ranked(copies), len(copies) // 2
            if len(copies) % 2:
                return ranked[middle]
            return np.asarray(
                np.round((ranked[middle - 1] / np.float32(2)) + ranked[middle] / np.float32(2)), np.uint8
            )
        case "minmax":
            least, *_, most = _ranked(copies)
            return np.asarray((least.astype(np.uint16) + most) // 2, np.uint8)
        case "minority":
            return _furthest(copies, seed)
        case "mosaic":
            height, width = copies[0].shape[:2]
            blocks = (-(-height // _MOSAIC_PX), -(-width // _MOSAIC_PX))
            who = np.random.default_rng([15, seed]).integers(0, len(copies), blocks)
            who = np.kron(who, np.ones((_MOSAIC_PX, _MOSAIC_PX), np.intp))[:height, :width]
            out = copies[0].copy()
            for index, copy in enumerate(copies):
                out[who == index] = copy[who == index]
            return out
        case _:
            raise ValueError(strategy)


def _sum(copies: Sequence[Pixels]) -> U16:
    total = np.zeros(copies[0].shape, np.uint16)
    for copy in copies:
        total += copy
    return total


def _ranked(copies: Sequence[Pixels]) -> list[Pixels]:
    """The values of each pixel in ascending order, by neighbours that change places."""
    ranked = list(copies)
    for turn in range(len(ranked)):
        for first in range(turn % 2, len(ranked) - 1, 2):
            low, high = ranked[first], ranked[first + 1]
            ranked[first], ranked[first + 1] = np.minimum(low, high), np.maximum(low, high)
    return ranked


def _furthest(copies: Sequence[Pixels], seed: int) -> Pixels:
    """The value that lies furthest from what most copies show; of several equally far, as any two are, the seed draws one."""
    total, count = _sum(copies).astype(np.int32), len(copies)
    rng = np.random.default_rng([16, seed])
    out, furthest = copies[0].copy(), np.full(total.shape, -1, np.int32)
    for copy in copies:
        far = np.abs(count * copy.astype(np.int32) - total) * _TIES
        far += rng.integers(0, _TIES, total.shape, np.uint8)
        further = far > furthest
        np.copyto(out, copy, where=further)
        np.copyto(furthest, far, where=further)
    return out
