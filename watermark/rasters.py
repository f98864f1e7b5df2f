"""Decode and encode PNG, JPEG, WebP and TIFF, within bounds.

Rule: the header is checked before a pixel is decoded, and whatever the decoder dislikes becomes a `WatermarkError`.
Pixels are 8-bit grey or RGB, with alpha kept aside; anything else is refused rather than silently converted.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
from PIL import Image

from watermark.chips import U8
from watermark.errors import MediaMalformed, MediaTooLarge, MediaUnsupported
from watermark.limits import IMAGE_PIXELS_MAX, JPEG_SCANS_MAX, TIFF_FRAMES_MAX, within

QUALITY: Final = 92
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
WEBP: Final = "image/webp"
TIFF: Final = "image/tiff"
LOSSY: Final = frozenset({JPEG, WEBP})
"""Encoded again with loss; a WebP file without loss stays without."""
_FORMATS: Final = {PNG: "PNG", JPEG: "JPEG", WEBP: "WEBP", TIFF: "TIFF"}
_MODES: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_WEBP_CHUNKS_MAX: Final = 64
_PNG_LEVEL: Final = 3
"""On marked pages smaller than level 6, and twice as fast."""
_WEBP_METHOD: Final = 2
"""As small as 4 on marked pages and photographs, and twice as fast."""
_WEBP_METHOD_LOSSLESS: Final = 4
_BAND_PIXELS: Final = 4_000_000
_SAMPLE_STRIPS: Final = 4
_SAMPLE_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Raster:
    """A decoded image.

    Attributes:
        colour: height × width × (1 or 3), 8 bits.
        alpha: height × width, or None when opaque.
        dpi: dots per inch as declared, or None.
        icc: colour profile, or None.
        exif: EXIF block, or None; kept so that the declared orientation stays.
        lossless: whether the file it came from keeps every pixel.
    """

    colour: U8
    alpha: U8 | None
    dpi: tuple[float, float] | None
    icc: bytes | None
    exif: bytes | None
    lossless: bool

    @property
    def grey(self) -> U8:
        """Luma (BT.601), transparent parts laid on white."""
        out = np.empty(self.colour.shape[:2], dtype=np.uint8)
        for rows in bands(out.shape):
            out[rows] = self._grey(rows)
        return out

    def _grey(self, rows: slice) -> U8:
        part = self.colour[rows]
        luma = np.asarray(
            cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) if part.shape[2] == 3 else part[:, :, 0], np.uint8
        )
        if self.alpha is None:
            return luma
        cover = self.alpha[rows].astype(np.float64) / 255
        return np.clip(np.rint(luma * cover + 255 * (1 - cover)), 0, 255).astype(np.uint8)


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a raster, some at a time, so that what is computed of them takes little memory.

    Args:
        shape: height and width, then what you like.
    """
    step = max(1, _BAND_PIXELS // max(shape[1], 1))
    return (slice(first, first + step) for first in range(0, shape[0], step))


def decode(data: bytes, media_type: str) -> tuple[Raster, ...]:
    """Decode an image of the stated type.

    Args:
        data: the file.
        media_type: PNG, JPEG, WebP, or TIFF, which alone may have several frames: the pages of a scan.

    Returns:
        Its frames, at least one.

    Raises:
        MediaMalformed: truncated or damaged.
        MediaTooLarge: more than `IMAGE_PIXELS_MAX` in all frames together, or `TIFF_FRAMES_MAX` of them.
        MediaUnsupported: 16-bit, CMYK, animated.
    """
    what = _FORMATS[media_type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_header(data, media_type)
            image = Image.open(io.BytesIO(data), formats=[what])
            within("IMAGE_PIXELS_MAX", IMAGE_PIXELS_MAX, image.width * image.height)
            frames = _tiff_frames(data) if media_type == TIFF else getattr(image, "n_frames", 1)
            if frames != 1 and media_type != TIFF:
                raise MediaUnsupported(what=f"{what}, {frames} frames")
            lossless = media_type in {PNG, TIFF} or (media_type == WEBP and _is_lossless_webp(data))
            return tuple(_frames(image, what, frames, lossless))
    except _DECODER_FAULTS as error:
        raise MediaMalformed(what=what, reason=f"{type(error).__name__}: {error}"[:200]) from error
    except Image.DecompressionBombError as error:
        # Pillow looks first, with a laxer limit of its own.
        actual = f"> {IMAGE_PIXELS_MAX}"
        raise MediaTooLarge(limit="IMAGE_PIXELS_MAX", maximum=IMAGE_PIXELS_MAX, actual=actual) from error


_DECODER_FAULTS: Final = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)


def _check_header(data: bytes, media_type: str) -> None:
    """What the decoder would do before it can be asked, or could not be stopped in.

    The WebP decoder takes memory for the whole canvas when it opens a file; a JPEG may ask for any number of passes.
    """
    if media_type == WEBP:
        width, height = _webp_size(data)
        within("IMAGE_PIXELS_MAX", IMAGE_PIXELS_MAX, width * height)
    elif media_type == JPEG:
        check_jpeg_scans(data)


def check_jpeg_scans(data: bytes) -> None:
    """Raises MediaTooLarge. In pixel data the byte FF is never followed by DA (ITU-T T.81, B.1.1.5)."""
    within("JPEG_SCANS_MAX", JPEG_SCANS_MAX, data.count(b"\xff\xda"))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk (RFC 9649, sections 2.5 to 2.7); 0 where it is none of the three."""
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(
                data[28:30], "little"
            ) & 0x3FFF
        case _:
            return 0, 0


def _tiff_frames(data: bytes) -> int:
    """How many directories are chained in a TIFF file; counted here, since a long chain costs the decoder minutes."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    place, frames = int.from_bytes(data[4:8], order), 0
    while place:
        frames += 1
        within("TIFF_FRAMES_MAX", TIFF_FRAMES_MAX, frames)
        entries = int.from_bytes(data[place : place + 2], order)
        following = place + 2 + 12 * entries
        place = int.from_bytes(data[following : following + 4], order)
    return frames


def _frames(image: Image.Image, what: str, frames: int, lossless: bool) -> Iterator[Raster]:
    pixels = 0
    for index in range(frames):
        if frames > 1:
            image.seek(index)
        pixels += image.width * image.height
        within("IMAGE_PIXELS_MAX", IMAGE_PIXELS_MAX, pixels)
        if image.mode not in _MODES:
            raise MediaUnsupported(what=f"{what}, mode {image.mode}")
        image.load()
        yield _raster(image, lossless)


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the picture stands in a chunk VP8L (RFC 9649, section 2.6), also inside an extended file."""
    return data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and b"VP8L" in _webp_chunks(data))


def _webp_chunks(data: bytes) -> set[bytes]:
    names: set[bytes] = set()
    place = 12
    while place + 8 <= len(data) and len(names) < _WEBP_CHUNKS_MAX:
        names.add(data[place : place + 4])
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + (size & 1)
    return names


def encode(rasters: Sequence[Raster], media_type: str) -> bytes:
    """Encode deterministically: PNG, TIFF and WebP that was so losslessly, others at quality 92, JPEG with 4:2:0.

    Args:
        rasters: the frames; several for TIFF alone.
        media_type: as for `decode`.
    """
    images = [_image(raster) for raster in rasters]
    first = rasters[0]
    kept: dict[str, object] = {"icc_profile": first.icc, "exif": first.exif}
    if media_type != WEBP:
        kept |= {"dpi": first.dpi}
    options: dict[str, Any] = {name: value for name, value in kept.items() if value is not None}
    out = io.BytesIO()
    match media_type:
        case "image/png":
            return _png(images[0], options)
        case "image/webp":
            method = _WEBP_METHOD_LOSSLESS if first.lossless else _WEBP_METHOD
            images[0].save(
                out, "WEBP", quality=QUALITY, method=method, lossless=first.lossless, exact=True, **options
            )
        case "image/tiff":
            for image, raster in zip(images, rasters, strict=True):
                if raster.dpi is not None:
                    image.info["dpi"] = raster.dpi
            options.pop("exif", None)
            images[0].save(
                out,
                "TIFF",
                compression="tiff_adobe_deflate",
                save_all=len(images) > 1,
                append_images=images[1:],
                **options,
            )
        case _:
            images[0].save(out, "JPEG", quality=QUALITY, subsampling="4:2:0", **options)
    return out.getvalue()


def _png(image: Image.Image, options: dict[str, Any]) -> bytes:
    """PNG by the strategy that suits the picture: on restless ground run lengths alone are smaller and faster."""
    sample = _sample(image)
    strategy = min((zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE), key=lambda one: len(_packed(sample, one, {})))
    return _packed(image, strategy, options)


def _packed(image: Image.Image, strategy: int, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=_PNG_LEVEL, compress_type=strategy, **options)
    return out.getvalue()


def _sample(image: Image.Image) -> Image.Image:
    """Some strips of it, from top to bottom."""
    strips = Image.new(image.mode, (image.width, _SAMPLE_STRIPS * _SAMPLE_ROWS))
    for strip in range(_SAMPLE_STRIPS):
        top = image.height * (2 * strip + 1) // (2 * _SAMPLE_STRIPS)
        strips.paste(image.crop((0, top, image.width, top + _SAMPLE_ROWS)), (0, strip * _SAMPLE_ROWS))
    return strips


def _image(raster: Raster) -> Image.Image:
    colour = raster.colour[:, :, 0] if raster.colour.shape[2] == 1 else raster.colour
    image = Image.fromarray(np.ascontiguousarray(colour))
    if raster.alpha is not None:
        image.putalpha(Image.fromarray(raster.alpha))
    return image


def _raster(image: Image.Image, lossless: bool) -> Raster:
    dpi = image.info.get("dpi")
    icc = image.info.get("icc_profile")
    exif = image.info.get("exif")
    alpha: U8 | None = None
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
    grey = image.mode in {"1", "L", "LA"}
    colour = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    return Raster(
        colour=colour.reshape(colour.shape[0], colour.shape[1], -1),
        alpha=alpha,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        icc=icc if isinstance(icc, bytes) else None,
        exif=exif if isinstance(exif, bytes) else None,
        lossless=lossless,
    )
