"""Render the first pages of a PDF in a process of its own.

Rule: this file is run as a script, never imported by the package. It bounds its own memory and processor time before
it looks at a byte, so that a hostile PDF can end only this process. It reads the PDF from standard input and writes,
for each page, one JSON line (width, height) and the grey pixels.

Arguments: dots per inch, pages at most, pixels of a page at most, seconds, bytes of address space.
"""

from __future__ import annotations

import json
import math
import resource
import sys


def main() -> int:
    """Exit code 0 when rendered, 3 when the PDF is unreadable, 4 when it is encrypted."""
    dpi, pages_max, pixels_max, seconds, memory_bytes = (int(argument) for argument in sys.argv[1:6])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import pypdfium2

    data = sys.stdin.buffer.read()
    try:
        document = pypdfium2.PdfDocument(data)
        count = len(document)
    except pypdfium2.PdfiumError as error:
        return 4 if "password" in str(error).lower() or "security" in str(error).lower() else 3
    if count == 0:
        return 3
    header = {"pages": count, "rendered": min(count, pages_max)}
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    for index in range(header["rendered"]):
        try:
            page = document[index]
            width, height = page.get_size()
            scale = min(dpi / 72, math.sqrt(pixels_max / max(width * height, 1.0)))
            if not (math.isfinite(scale) and min(width, height) * scale >= 1):
                return 3
            bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=True)
        except (pypdfium2.PdfiumError, MemoryError, ValueError):
            return 3
        rows = bytes(bitmap.buffer)
        pixels = b"".join(
            rows[row * bitmap.stride : row * bitmap.stride + bitmap.width] for row in range(bitmap.height)
        )
        sys.stdout.buffer.write(json.dumps({"width": bitmap.width, "height": bitmap.height}).encode() + b"\n")
        sys.stdout.buffer.write(pixels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
