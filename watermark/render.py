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

import numpy as np

from watermark.chips import U8
from watermark.errors import MediaMalformed, MediaUnsupported
from watermark.limits import (
    PDF_PAGES_COMPARED_MAX,
    RENDER_MEMORY_BYTES_MAX,
    RENDER_PIXELS_MAX,
    RENDER_SECONDS_MAX,
)

RENDER_DPI: Final = 150
_WORKER: Final = Path(__file__).with_name("render_worker.py")
_ENCRYPTED: Final = 4


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
    limits = (
        RENDER_DPI,
        PDF_PAGES_COMPARED_MAX,
        RENDER_PIXELS_MAX,
        RENDER_SECONDS_MAX,
        RENDER_MEMORY_BYTES_MAX,
    )
    command = [sys.executable, "-P", str(_WORKER), *(str(limit) for limit in limits)]
    try:
        done = subprocess.run(  # the command is ours; the file goes in by standard input
            command, input=data, capture_output=True, timeout=RENDER_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MediaMalformed(what="PDF", reason=f"not rendered within {RENDER_SECONDS_MAX} s") from error
    if done.returncode == _ENCRYPTED:
        raise MediaUnsupported(what="encrypted PDF")
    if done.returncode != 0:
        raise MediaMalformed(what="PDF", reason=f"cannot be rendered (renderer ended with {done.returncode})")
    stream = io.BytesIO(done.stdout)
    header = json.loads(stream.readline())
    rasters = []
    for _ in range(header["rendered"]):
        size = json.loads(stream.readline())
        pixels = np.frombuffer(stream.read(size["width"] * size["height"]), dtype=np.uint8)
        rasters.append(pixels.reshape(size["height"], size["width"]))
    return Pages(tuple(rasters), int(header["pages"]))
