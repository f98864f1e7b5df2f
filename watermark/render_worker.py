"""Render pages of a PDF in a process of its own.

Rule: this file is run as a script, never imported by the package. It bounds its own memory and processor time before
it looks at a byte, so that a hostile PDF can end only this process. It reads the PDF from standard input and writes,
for each page, one JSON line (width, height, bytes of a pixel) and the pixels.

Arguments: mode (`grey`: as displayed; `labels`: text alone, in colour, without smoothing), dots per inch, pages at
most or the first page's index and a count as `first+count`, pixels of a page at most, factor by which width and height
exceed that, seconds, bytes of address space.
"""

from __future__ import annotations

import json
import math
import resource
import sys


def main() -> int:
    """Exit code 0 when rendered, 3 when the PDF is unreadable, 4 when it is encrypted."""
    labels = sys.argv[1] == "labels"
    first, count = (int(part) for part in sys.argv[3].split("+"))
    dpi, pixels_max, factor, seconds, memory_bytes = (int(sys.argv[index]) for index in (2, 4, 5, 6, 7))
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        # Whoever started the parent may have set a lower limit already, and it cannot be raised.
        hard = resource.getrlimit(kind)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))
    import pypdfium2

    data = sys.stdin.buffer.read()
    try:
        document = pypdfium2.PdfDocument(data)
        total = len(document)
    except pypdfium2.PdfiumError as error:
        return 4 if "password" in str(error).lower() or "security" in str(error).lower() else 3
    if total == 0:
        return 3
    last = min(total, first + count)
    sys.stdout.buffer.write(json.dumps({"pages": total, "rendered": max(0, last - first)}).encode() + b"\n")
    for index in range(first, last):
        try:
            page = document[index]
            width, height = page.get_size()
            scale = min(dpi / 72, math.sqrt(pixels_max / max(width * height, 1.0))) * factor
            if not (math.isfinite(scale) and min(width, height) * scale >= 1):
                return 3
            if labels:
                bitmap = page.render(
                    scale=scale,
                    may_draw_forms=False,
                    draw_annots=False,
                    no_smoothtext=True,
                    no_smoothpath=True,
                    force_bitmap_format=pypdfium2.raw.FPDFBitmap_BGR,
                )
            else:
                bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=True)
        except (pypdfium2.PdfiumError, MemoryError, ValueError):
            return 3
        size = 3 if labels else 1
        rows = bytes(bitmap.buffer)
        pixels = b"".join(
            rows[row * bitmap.stride : row * bitmap.stride + size * bitmap.width]
            for row in range(bitmap.height)
        )
        shape = {"width": bitmap.width, "height": bitmap.height, "bytes": size}
        sys.stdout.buffer.write(json.dumps(shape).encode() + b"\n")
        sys.stdout.buffer.write(pixels)
        page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
