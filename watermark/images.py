"""Marks in PNG, JPEG, WebP and TIFF: chips added to the pixels.

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

from watermark import align, blank, chips, saved_again, two_tones
from watermark.chips import F32, U8, ChipGrid
from watermark.evidence import BitEvidence
from watermark.limits import FILE_BYTES_MAX, IMAGE_SIDE_PIXELS_MIN, PDF_PAGES_COMPARED_MAX, within
from watermark.pages import THOROUGH_PAGES_MAX, Placed, place
from watermark.payload import CODE_POSITIONS, biases, codeword
from watermark.policy import Channel, Policy
from watermark.rasters import JPEG, QUALITY, TIFF, bands, decode, encode
from watermark.results import Manifest, Marked, Reading, Words

AMPLITUDE_LEVELS: Final = 1.1
"""d on flat ground at strength 1, in levels of 255."""
PSNR_DB_MIN: Final = 42.0
"""Of the marked pixels against the original ones, at strength 1, before a JPEG original is encoded again."""
_CONTRAST_LEVELS: Final = 10.0
_CONTRAST_GAIN_MAX: Final = 2.5
_PAPER_LEVELS: Final = 32.0
_DITHER_PIXELS: Final = 2.0
"""Over which the dots of a dithered leak are averaged before cells are, as a standard deviation."""
COPY_PIXELS: Final = 6_000_000
"""Larger originals are compared at this size."""


@dataclass(frozen=True, slots=True)
class ImageCodec:
    """PNG, JPEG, WebP, or TIFF with one or several pages.

    Attributes:
        media_type: of the files.
    """

    media_type: str

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Add the chips of one release to every frame; see `watermark.embed`."""
        frames = decode(original, self.media_type)
        if Channel.PIXELS not in policy.channels:
            return _unmarked(
                original, self.media_type, "策略未允许像素通道", "the policy allows no channel in pixels"
            )
        if not any(_is_large_enough(frame.colour) for frame in frames):
            return _unmarked(original, self.media_type, "图像太小", "the image is too small")
        thresholds = biases(layout_key, Channel.PIXELS)
        bits = codeword(seed, Channel.PIXELS, thresholds)
        carriers = 0
        marked = list(frames)
        for index, frame in enumerate(frames):
            if _is_large_enough(frame.colour):
                grid = _grid(layout_key, index, *frame.colour.shape[:2])
                signs = chips.field(grid.signs(bits), *frame.colour.shape[:2])
                colour = add_chips(frame.colour, signs, _amplitude(frame.grey), policy.strength)
                marked[index] = replace(frame, colour=colour)
                carriers += grid.position.size
        data = encode(marked, self.media_type)
        # A copy that could not be read back would be untraceable.
        within("FILE_BYTES_MAX", FILE_BYTES_MAX, len(data))
        lossless = all(frame.lossless for frame in frames)
        stored = tuple(marked) if lossless else decode(data, self.media_type)
        worst = min(
            psnr_db(before.colour, after.colour) for before, after in zip(frames, stored, strict=True)
        )
        return Marked(data, self._manifest(worst, carriers, lossless=frames[0].lossless))

    def read(self, leaks: list[U8], original: bytes, layout_key: bytes) -> Reading:
        """Read the chips of every raster that can be laid over a frame; see `watermark.detect`."""
        frames = [frame.grey for frame in decode(original, self.media_type)[:PDF_PAGES_COMPARED_MAX]]
        compared = tuple(_reduced(frame) for frame in frames)
        known: list[align.Features | None] = [None] * len(frames)
        sums, longest = np.zeros(CODE_POSITIONS), 0
        found: list[str] = []
        identical = 0
        for order, leak in enumerate(leaks):
            if any(np.array_equal(leak, frame) for frame in frames):
                identical += 1
                continue
            placed = place(leak, order, compared, known)
            # A piece with few details may fit in many places, and only one has its mark.
            few = max(len(frames), order + 1) <= THOROUGH_PAGES_MAX
            if few and (placed is None or placed.alignment.method.startswith(align.PIECE)):
                placed = _by_mark(leak, frames, compared, layout_key) or placed
            if placed is None:
                continue
            index, alignment, leak = placed.page, placed.alignment, placed.leak
            grid = _grid(layout_key, index, *frames[index].shape)
            sums[: grid.positions] += grid.gather(_read(leak, compared[index], alignment, grid))
            longest = max(longest, grid.positions)
            found.append((f"frame {index + 1} " if len(frames) > 1 else "") + alignment.describe())
        if not found:
            return equal_to_original() if identical else not_a_copy()
        thresholds = biases(layout_key, Channel.PIXELS, longest)
        evidence = BitEvidence(Channel.PIXELS, thresholds, chips.soft_bits(sums[:longest]))
        return Reading((evidence,), "; ".join(found))

    def _manifest(self, quality: float, carriers: int, *, lossless: bool) -> Manifest:
        differences = [
            Words(
                f"像素亮度有肉眼不可见的微小变化（峰值信噪比 {quality:.1f} dB），文字与图形内容不变",
                f"pixel brightness differs invisibly (PSNR {quality:.1f} dB); text and drawing are the same",
            )
        ]
        if not lossless:
            name = "JPEG" if self.media_type == JPEG else "WebP"
            differences.append(
                Words(f"以 {name} 质量 {QUALITY} 重新编码", f"encoded again as {name}, quality {QUALITY}")
            )
        if self.media_type == TIFF:
            differences.append(
                Words(
                    "以 8 位灰度或彩色重新编码，文件会变大",
                    "encoded again with 8 bits a colour; the file grows",
                )
            )
        return Manifest(
            self.media_type, {Channel.PIXELS: carriers}, {"psnr_db": round(quality, 2)}, tuple(differences)
        )


def _is_large_enough(colour: U8) -> bool:
    height, width = colour.shape[:2]
    return bool(min(height, width) >= IMAGE_SIDE_PIXELS_MIN)


def _grid(layout_key: bytes, index: int, height: int, width: int) -> ChipGrid:
    """The grid of one frame; each has a permutation of its own."""
    label = "image" if index == 0 else f"image/{index}"
    return ChipGrid.keyed(layout_key, label, *chips.grid_shape(height, width))


def _by_mark(leak: U8, frames: list[U8], compared: tuple[U8, ...], layout_key: bytes) -> Placed | None:
    """The frame of which a blank leak is a piece, and where; see `watermark.blank`."""
    thresholds = biases(layout_key, Channel.PIXELS)
    found = []
    for index, frame in enumerate(frames):
        grid = _grid(layout_key, index, *frame.shape)
        alignment = blank.place(leak, compared[index].shape, grid, thresholds)
        found += [] if alignment is None else [Placed(index, alignment, leak)]
    return max(found, key=lambda one: one.alignment.correlation, default=None)


def _reduced(frame: U8) -> U8:
    """The frame as it is compared."""
    if frame.size <= COPY_PIXELS:
        return frame
    factor = math.sqrt(COPY_PIXELS / frame.size)
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


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
        for rows in bands(colour.shape):
            least, most, moved = d[rows], 255 - d[rows], signs[rows] * d[rows]
            for channel in range(colour.shape[2]):
                plane = colour[rows, :, channel].astype(np.float32)
                # On black or white there is room for one sign alone: the middle moves.
                between = np.minimum(np.maximum(plane, least), most)
                marked[rows, :, channel] = np.clip(np.rint(between + moved), 0, 255).astype(np.uint8)
        error = math.sqrt(_squared_error(colour, marked))
        if error <= error_max:
            break
        d *= np.float32(0.97 * error_max / error)
    return marked


def read_chips(
    leak: U8, reference: U8, alignment: align.Alignment, rows: int, columns: int, *, dithered: bool = False
) -> chips.F64:
    """Normalised chip values of an aligned leak; where dots stand for greys, none of them is taken for what lies over the page."""
    difference, mask = align.residual(leak, reference, alignment)
    trust = chips.quiet(reference) * mask
    if dithered:
        # A dot is paid for by its neighbours: their mean is far steadier than each of them.
        difference = np.asarray(cv2.GaussianBlur(difference, (0, 0), _DITHER_PIXELS), np.float32)
    else:
        trust = trust * chips.clean(difference, trust)
    return chips.read_cells(difference, trust, rows, columns)


def _read(leak: U8, reference: U8, alignment: align.Alignment, grid: ChipGrid) -> chips.F64:
    """Chip values by what was done to the leak: saved again, made of two tones, or anything else."""
    shape = grid.position.shape
    if two_tones.is_two_toned(leak):
        if two_tones.is_dithered(leak, reference, alignment):
            return read_chips(leak, reference, alignment, *shape, dithered=True)
        cells = two_tones.read_cells(leak, reference, alignment, _amplitude(reference), *shape)
        return cells if two_tones.is_flat(leak) else cells + read_chips(leak, reference, alignment, *shape)
    difference, mask = align.residual(leak, reference, alignment)
    saved = saved_again.read_cells(leak, reference, alignment, difference, _amplitude, (shape[0], shape[1]))
    if saved is not None:
        return saved
    return chips.read_cells(difference, chips.quiet(reference) * mask, *shape)


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
    error = _squared_error(before, after)
    return 99.0 if error == 0 else 10 * math.log10(255.0**2 / error)


def _squared_error(before: U8, after: U8) -> float:
    """The mean; of whole numbers, so it is exact."""
    return float(cv2.norm(before, after, cv2.NORM_L2SQR)) / before.size


def _amplitude(grey: U8) -> F32:
    """d for each pixel: more where the picture itself is restless, but never on paper, where a halo would show."""
    plane = grey.astype(np.float32)
    mean = cv2.GaussianBlur(plane, (0, 0), 4)
    squares = cv2.GaussianBlur(plane * plane, (0, 0), 4)
    blurred = cv2.GaussianBlur(plane, (0, 0), 1)
    del plane
    out = np.empty(grey.shape, dtype=np.float32)
    for rows in bands(grey.shape):
        variance = np.maximum(squares[rows] - mean[rows] * mean[rows], 0)
        gain = np.minimum(np.sqrt(variance) / _CONTRAST_LEVELS, _CONTRAST_GAIN_MAX - 1)
        inked = np.clip((255 - blurred[rows]) / _PAPER_LEVELS, 0, 1)
        out[rows] = AMPLITUDE_LEVELS * (1 + gain * inked)
    return out


def _unmarked(original: bytes, media_type: str, zh: str, en: str) -> Marked:
    return Marked(original, Manifest(media_type, {}, notes=(Words(f"未加标记：{zh}", f"not marked: {en}"),)))
