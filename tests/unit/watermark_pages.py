"""`python -m tests.unit.watermark_pages`: draws the pictures of `docs/watermark.md`.

Rule: `watermark-page.png` is a part of a page before and after marking: the original, below it the copy, below that both laid over
each other; what moved has a red and a blue edge; 200 dpi. `watermark-visible.png` is a page with the visible tier, 110 dpi.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image

from tests.unit.test_watermark_pdf_text import EMBEDDED, PDF
from tests.unit.test_watermark_visible import DRAWN_PAPER
from tests.unit.watermark_covers import marked

DOCS = Path(__file__).parents[2] / "docs"
DPI = 200
VISIBLE_DPI = 110
PART = (90, 60, 790, 330)


def main() -> None:
    """Write the pictures."""
    before, after = (
        np.asarray(pypdfium2.PdfDocument(data)[0].render(scale=DPI / 72).to_pil().convert("L").crop(PART))
        for data in (EMBEDDED, marked(EMBEDDED, PDF))
    )
    overlay = np.dstack((before, (before // 2 + after // 2), after)).astype(np.uint8)
    plain = [np.dstack((part, part, part)) for part in (before, after)]
    picture = np.vstack((*plain, overlay)).astype(np.uint8)
    Image.fromarray(picture).quantize(32).save(DOCS / "watermark-page.png", optimize=True)
    shown = pypdfium2.PdfDocument(DRAWN_PAPER)[0].render(scale=VISIBLE_DPI / 72).to_pil()
    shown.convert("L").quantize(32).save(DOCS / "watermark-visible.png", optimize=True)


if __name__ == "__main__":
    main()
