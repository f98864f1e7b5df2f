"""PDF pages as grey rasters, rendered by a child process that is bounded in memory and time.

Rule: PDFium never runs in this process; a file that makes it crash, loop or swallow memory is a `MediaMalformed`.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from watermark.chips import U8
from watermark.errors import MediaMalformed, MediaUnsupported
from watermark.limits import (
    PDF_PAGES_COMPARED_MAX,
    RENDER_FINE_FACTOR,
    RENDER_MEMORY_BYTES_MAX,
    RENDER_PIXELS_MAX,
    RENDER_SECONDS_MAX,
)

RENDER_DPI: Final = 150
_WORKER: Final = Path(__file__).with_name("render_worker.py")
_ENCRYPTED: Final = 4
_WHITE: Final = 0xFFFFFF


@dataclass(frozen=True, slots=True)
class Pages:
    """Rendered pages.

    Attributes:
        rasters: grey, as displayed (crop box, rotation applied), the first `PDF_PAGES_COMPARED_MAX` pages.
        total: pages of the document.
    """

    rasters: tuple[U8, ...]
    total: int


def render(data: bytes) -> Pages:
    """Render the first pages at 150 dpi.

    Args:
        data: a PDF file.

    Raises:
        MediaMalformed: unreadable, or not rendered within the limits.
        MediaUnsupported: encrypted.
    """
    return _run(data, "grey", 0, PDF_PAGES_COMPARED_MAX, 1)


def render_fine(data: bytes, index: int, size: tuple[int, int]) -> U8:
    """One page, rendered `RENDER_FINE_FACTOR` times finer and reduced: glyphs stand where they are, not on whole pixels.

    Args:
        data: a PDF file.
        index: of the page.
        size: height and width of the raster wanted.

    Raises:
        MediaMalformed: unreadable, or not rendered within the limits.
    """
    raster = _run(data, "grey", index, 1, RENDER_FINE_FACTOR).rasters[0]
    return np.asarray(cv2.resize(raster, (size[1], size[0]), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def render_labels(data: bytes) -> tuple[npt.NDArray[np.int32], ...]:
    """The pages of a document drawn in labels: of each pixel the colour as a number, −1 on white.

    Raises:
        MediaMalformed: unreadable, or not rendered within the limits.
    """
    rasters = _run(data, "labels", 0, PDF_PAGES_COMPARED_MAX, 1).rasters
    out = []
    for raster in rasters:
        wide = raster.astype(np.int32)
        value = (wide[:, :, 2] << 16) | (wide[:, :, 1] << 8) | wide[:, :, 0]
        out.append(np.where(value == _WHITE, -1, value).astype(np.int32))
    return tuple(out)


def _run(data: bytes, mode: str, first: int, count: int, factor: int) -> Pages:
    command = [
        sys.executable,
        "-P",
        str(_WORKER),
        mode,
        str(RENDER_DPI),
        f"{first}+{count}",
        str(RENDER_PIXELS_MAX),
        str(factor),
        str(RENDER_SECONDS_MAX),
        str(RENDER_MEMORY_BYTES_MAX),
    ]
    try:
        done = subprocess.run(  # the command is ours; the file goes in by standard input
            command, input=data, capture_output=True, timeout=RENDER_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MediaMalformed(what="PDF", reason=f"not rendered within {RENDER_SECONDS_MAX} s") from error
    except OSError as error:
        raise MediaMalformed(what="PDF", reason=f"no reader could be started: {error.strerror}") from error
    if done.returncode == _ENCRYPTED:
        raise MediaUnsupported(what="encrypted PDF")
    if done.returncode != 0:
        raise MediaMalformed(what="PDF", reason=f"cannot be rendered (renderer ended with {done.returncode})")
    stream = io.BytesIO(done.stdout)
    header = json.loads(stream.readline())
    rasters = []
    for _ in range(header["rendered"]):
        size = json.loads(stream.readline())
        width, height, deep = size["width"], size["height"], size["bytes"]
        pixels = np.frombuffer(stream.read(width * height * deep), dtype=np.uint8)
        rasters.append(pixels.reshape((height, width) if deep == 1 else (height, width, deep)))
    return Pages(tuple(rasters), int(header["pages"]))
