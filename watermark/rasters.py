"""Decode and encode PNG and JPEG, within bounds.

Rule: the header is checked before a pixel is decoded, and whatever the decoder dislikes becomes a `WatermarkError`.
Pixels are 8-bit grey or RGB, with alpha kept aside; anything else is refused rather than silently converted.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from watermark.chips import F64, U8
from watermark.errors import MediaMalformed, MediaTooLarge, MediaUnsupported
from watermark.limits import IMAGE_PIXELS_MAX, within

JPEG_QUALITY: Final = 92
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_FORMATS: Final = {PNG: "PNG", JPEG: "JPEG"}
_MODES: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})


@dataclass(frozen=True, slots=True)
class Raster:
    """A decoded image.

    Attributes:
        colour: height × width × (1 or 3), 8 bits.
        alpha: height × width, or None when opaque.
        dpi: dots per inch as declared, or None.
        icc: colour profile, or None.
        exif: EXIF block, or None; kept so that the declared orientation stays.
    """

    colour: U8
    alpha: U8 | None
    dpi: tuple[float, float] | None
    icc: bytes | None
    exif: bytes | None

    @property
    def grey(self) -> U8:
        """Luma (BT.601), transparent parts laid on white."""
        mix = _LUMA if self.colour.shape[2] == 3 else np.ones(1)
        luma: F64 = np.asarray(self.colour @ mix, dtype=np.float64)
        if self.alpha is not None:
            cover = self.alpha.astype(np.float64) / 255
            luma = luma * cover + 255 * (1 - cover)
        return np.clip(np.rint(luma), 0, 255).astype(np.uint8)


def decode(data: bytes, media_type: str) -> Raster:
    """Decode an image of the stated type.

    Args:
        data: the file.
        media_type: `image/png` or `image/jpeg`.

    Raises:
        MediaMalformed: truncated or damaged.
        MediaTooLarge: more than `IMAGE_PIXELS_MAX`.
        MediaUnsupported: 16-bit, CMYK, animated.
    """
    what = _FORMATS[media_type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=[what])
            within("IMAGE_PIXELS_MAX", IMAGE_PIXELS_MAX, image.width * image.height)
            if image.mode not in _MODES or getattr(image, "n_frames", 1) != 1:
                raise MediaUnsupported(
                    what=f"{what}, mode {image.mode}, {getattr(image, 'n_frames', 1)} frame(s)"
                )
            image.load()
            return _raster(image)
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        KeyError,
        TypeError,
        IndexError,
        ArithmeticError,
    ) as error:
        raise MediaMalformed(what=what, reason=f"{type(error).__name__}: {error}"[:200]) from error
    except Image.DecompressionBombError as error:
        # Pillow looks first, with a laxer limit of its own.
        actual = f"> {IMAGE_PIXELS_MAX}"
        raise MediaTooLarge(limit="IMAGE_PIXELS_MAX", maximum=IMAGE_PIXELS_MAX, actual=actual) from error


def encode(raster: Raster, media_type: str) -> bytes:
    """Encode deterministically: PNG losslessly, JPEG at quality 92 with the usual 4:2:0."""
    colour = raster.colour[:, :, 0] if raster.colour.shape[2] == 1 else raster.colour
    image = Image.fromarray(np.ascontiguousarray(colour))
    if raster.alpha is not None:
        image.putalpha(Image.fromarray(raster.alpha))
    kept = {"dpi": raster.dpi, "icc_profile": raster.icc, "exif": raster.exif}
    options = {name: value for name, value in kept.items() if value is not None}
    out = io.BytesIO()
    if media_type == PNG:
        image.save(out, "PNG", compress_level=6, **options)
    else:
        image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", **options)
    return out.getvalue()


def _raster(image: Image.Image) -> Raster:
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
    )
