"""Marks in PNG and JPEG: chips added to the pixels.

Rule: every channel of a pixel moves by 2d between bit 0 and bit 1, symmetric around the original where there is room
and one-sided where there is not (white paper can only darken), d shaped by local contrast and bounded by the file's
PSNR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from watermark import align, chips
from watermark.chips import F32, U8, ChipGrid
from watermark.evidence import BitEvidence
from watermark.limits import IMAGE_SIDE_PIXELS_MIN
from watermark.payload import biases, codeword
from watermark.policy import Channel, Policy
from watermark.rasters import JPEG, JPEG_QUALITY, decode, encode
from watermark.results import Manifest, Marked, Reading, Words

AMPLITUDE_LEVELS: Final = 1.1
"""d on flat ground at strength 1, in levels of 255."""
PSNR_DB_MIN: Final = 42.0
"""Of the marked pixels against the original ones, at strength 1, before a JPEG original is encoded again."""
_CONTRAST_LEVELS: Final = 10.0
_CONTRAST_GAIN_MAX: Final = 2.5
_PAPER_LEVELS: Final = 32.0
COPY_PIXELS: Final = 6_000_000
"""Larger originals are compared at this size."""


@dataclass(frozen=True, slots=True)
class ImageCodec:
    """PNG or JPEG.

    Attributes:
        media_type: `image/png` or `image/jpeg`.
    """

    media_type: str

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Add the chips of one release; see `watermark.embed`."""
        raster = decode(original, self.media_type)
        height, width = raster.colour.shape[:2]
        if Channel.PIXELS not in policy.channels:
            return _unmarked(
                original, self.media_type, "策略未允许像素通道", "the policy allows no channel in pixels"
            )
        if min(height, width) < IMAGE_SIDE_PIXELS_MIN:
            return _unmarked(original, self.media_type, "图像太小", "the image is too small")
        grid = ChipGrid.keyed(layout_key, "image", *chips.grid_shape(height, width))
        bits = codeword(seed, Channel.PIXELS, biases(layout_key, Channel.PIXELS, grid.positions))
        signs = chips.field(grid.signs(bits), height, width)
        marked = add_chips(raster.colour, signs, _amplitude(raster.grey), policy.strength)
        data = encode(replace(raster, colour=marked), self.media_type)
        stored = decode(data, self.media_type).colour
        return Marked(data, self._manifest(raster.colour, stored, grid.position.size))

    def read(self, leaks: list[U8], original: bytes, layout_key: bytes) -> Reading:
        """Read the chips of the best aligned of some rasters; see `watermark.detect`."""
        reference = decode(original, self.media_type).grey
        if any(np.array_equal(leak, reference) for leak in leaks):
            return equal_to_original()
        rows, columns = chips.grid_shape(*reference.shape)
        if reference.size > COPY_PIXELS:
            factor = math.sqrt(COPY_PIXELS / reference.size)
            size = (round(reference.shape[1] * factor), round(reference.shape[0] * factor))
            reference = np.asarray(cv2.resize(reference, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        found = [(leak, align.align(leak, reference)) for leak in leaks]
        leak, alignment = max(found, key=lambda pair: -1.0 if pair[1] is None else pair[1].correlation)
        if alignment is None:
            return not_a_copy()
        grid = ChipGrid.keyed(layout_key, "image", rows, columns)
        cells = read_chips(leak, reference, alignment, rows, columns)
        weights = chips.soft_bits(grid.gather(cells))
        thresholds = biases(layout_key, Channel.PIXELS, grid.positions)
        return Reading((BitEvidence(Channel.PIXELS, thresholds, weights),), alignment.describe())

    def _manifest(self, before: U8, after: U8, carriers: int) -> Manifest:
        quality = psnr_db(before, after)
        differences = [
            Words(
                f"像素亮度有肉眼不可见的微小变化（峰值信噪比 {quality:.1f} dB），文字与图形内容不变",
                f"pixel brightness differs invisibly (PSNR {quality:.1f} dB); text and drawing are the same",
            )
        ]
        if self.media_type == JPEG:
            differences.append(
                Words(
                    f"以 JPEG 质量 {JPEG_QUALITY} 重新编码", f"encoded again as JPEG, quality {JPEG_QUALITY}"
                )
            )
        return Manifest(
            self.media_type, {Channel.PIXELS: carriers}, {"psnr_db": round(quality, 2)}, tuple(differences)
        )


def add_chips(colour: U8, signs: F32, amplitude: F32, strength: float) -> U8:
    """Move every channel of every pixel by the field of chips.

    Args:
        colour: height × width × channels.
        signs: −1..1 for each pixel.
        amplitude: d for each pixel at strength 1, in levels.
        strength: factor on d, and on the permitted error.

    Returns:
        The marked pixels, at `PSNR_DB_MIN` or better for strength 1.
    """
    error_max = 255.0 * 10 ** (-PSNR_DB_MIN / 20) * strength
    d = amplitude * np.float32(strength)
    marked = np.empty_like(colour)
    for _ in range(4):
        for channel in range(colour.shape[2]):
            plane = colour[:, :, channel].astype(np.float32)
            shift = np.maximum(d - plane, 0) - np.maximum(d - (255 - plane), 0)
            marked[:, :, channel] = np.clip(np.rint(plane + signs * d + shift), 0, 255).astype(np.uint8)
        error = math.sqrt(float(((marked.astype(np.float32) - colour) ** 2).mean(dtype=np.float64)))
        if error <= error_max:
            break
        d *= np.float32(0.97 * error_max / error)
    return marked


def read_chips(leak: U8, reference: U8, alignment: align.Alignment, rows: int, columns: int) -> chips.F64:
    """Normalised chip values of an aligned leak."""
    difference, mask = align.residual(leak, reference, alignment)
    return chips.read_cells(difference, chips.quiet(reference) * mask, rows, columns)


def equal_to_original() -> Reading:
    """The reading of a raster that is, pixel for pixel, the unmarked original."""
    note = Words("与未加标记的原件逐像素相同", "equal to the unmarked original, pixel for pixel")
    return Reading((), "identical", (note,))


def not_a_copy() -> Reading:
    """The reading of a raster that could not be laid over the original."""
    note = Words(
        "无法与原件对齐：可能不是该原件的副本，或剩余画面太少",
        "could not be aligned with the original: it may not be a copy of it, or too little of it is left",
    )
    return Reading((), "none", (note,))


def psnr_db(before: U8, after: U8) -> float:
    """Peak signal-to-noise ratio in dB; 99 for equal rasters."""
    error = float(((before.astype(np.float32) - after.astype(np.float32)) ** 2).mean(dtype=np.float64))
    return 99.0 if error == 0 else 10 * math.log10(255.0**2 / error)


def _amplitude(grey: U8) -> F32:
    """d for each pixel: more where the picture itself is restless, but never on paper, where a halo would show."""
    plane = grey.astype(np.float32)
    mean = cv2.GaussianBlur(plane, (0, 0), 4)
    variance = np.maximum(cv2.GaussianBlur(plane * plane, (0, 0), 4) - mean * mean, 0)
    gain = np.minimum(np.sqrt(variance) / _CONTRAST_LEVELS, _CONTRAST_GAIN_MAX - 1)
    inked = np.clip((255 - cv2.GaussianBlur(plane, (0, 0), 1)) / _PAPER_LEVELS, 0, 1)
    return np.asarray(AMPLITUDE_LEVELS * (1 + gain * inked), dtype=np.float32)


def _unmarked(original: bytes, media_type: str, zh: str, en: str) -> Marked:
    return Marked(original, Manifest(media_type, {}, notes=(Words(f"未加标记：{zh}", f"not marked: {en}"),)))
