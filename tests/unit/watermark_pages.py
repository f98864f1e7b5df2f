"""`python -m tests.unit.watermark_pages`: draws `docs/watermark-page.png`, a part of a page before and after marking.

Rule: the original, below it the copy, below that both laid over each other: what moved has a red and a blue edge. 200 dpi.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image

from tests.unit.test_watermark_pdf_text import EMBEDDED, PDF
from tests.unit.watermark_covers import marked

OUT = Path(__file__).parents[2] / "docs" / "watermark-page.png"
DPI = 200
PART = (90, 60, 790, 330)


def main() -> None:
    """Write the picture."""
    before, after = (
        np.asarray(pypdfium2.PdfDocument(data)[0].render(scale=DPI / 72).to_pil().convert("L").crop(PART))
        for data in (EMBEDDED, marked(EMBEDDED, PDF))
    )
    overlay = np.dstack((before, (before // 2 + after // 2), after)).astype(np.uint8)
    plain = [np.dstack((part, part, part)) for part in (before, after)]
    picture = np.vstack((*plain, overlay)).astype(np.uint8)
    Image.fromarray(picture).quantize(32).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
