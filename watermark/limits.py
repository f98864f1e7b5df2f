"""Every bound of the watermark library, by name.

Rule: whatever grows with the input is checked against one of these before the memory is taken or the work is begun,
and `within` names the limit in the error.
"""

from __future__ import annotations

from typing import Final

from watermark.errors import MediaTooLarge

FILE_BYTES_MAX: Final = 64 << 20
"""Original or leak, any medium."""

IMAGE_PIXELS_MAX: Final = 64_000_000
"""Decoded pixels of an image; a 64 MP page is A3 at 500 dpi."""

TIFF_FRAMES_MAX: Final = 200
"""Pages of a TIFF file."""

IMAGE_SIDE_PIXELS_MIN: Final = 64
"""Below this side an image has too few chips to be worth marking."""

PDF_PAGES_MAX: Final = 200
"""Pages that are marked in one PDF."""

PDF_PAGES_COMPARED_MAX: Final = 20
"""Pages of a leak, and pages of an original, that one detection looks at."""

RENDER_PIXELS_MAX: Final = 5_000_000
"""Pixels of one rendered PDF page."""

RENDER_SECONDS_MAX: Final = 60
"""Processor seconds and wall seconds of the child process that renders a PDF."""

RENDER_MEMORY_BYTES_MAX: Final = 2 << 30
"""Address space of that child process."""

TEXT_BYTES_MAX: Final = 16 << 20
"""A table or record, as original or leak."""

TEXT_CHARS_MAX: Final = 1_000_000
"""Characters of a running text, as original or leak, invisible ones included."""

TABLE_ROWS_MAX: Final = 200_000
TABLE_COLUMNS_MAX: Final = 1_000
TABLE_CELLS_MAX: Final = 1_000_000
CELL_CHARS_MAX: Final = 100_000
XLSX_STRINGS_MAX: Final = TABLE_CELLS_MAX
"""Shared strings of a workbook."""

PACKAGE_PARTS_MAX: Final = 2_000
PACKAGE_BYTES_MAX: Final = 128 << 20
"""Parts of an Office file, and their bytes once unpacked."""

XML_PART_BYTES_MAX: Final = 32 << 20
"""One XML part of an Office file that is parsed."""

PARQUET_SECONDS_MAX: Final = 60
"""Processor seconds and wall seconds of the child process that reads or writes a Parquet file."""

PARQUET_MEMORY_BYTES_MAX: Final = 3 << 30
"""Address space of that child process; its libraries alone take half a gibibyte."""

JSON_TOKENS_MAX: Final = TABLE_CELLS_MAX + TABLE_ROWS_MAX
"""Commas and opening brackets of a JSON file, those inside texts included: counted before anything is parsed."""

JSON_DEPTH_MAX: Final = 32
JSON_FIELDS_MAX: Final = 10_000
"""Leaves and keys of a single JSON record."""

ORDERED_KEYS_MAX: Final = 64
"""Keys of one JSON object whose order carries a mark."""

ORDERED_OBJECTS_MAX: Final = 8
"""Objects of one JSON record whose order of keys carries a mark."""

REFERENCES_READ_MAX: Final = 65_536
"""References of a leak that are compared."""

REFERENCES_SCORED_MAX: Final = 16_384
"""Rows of an original whose references are compared with a leak's; of a longer one, those where most was linked."""

COLUMN_PAIRS_MAX: Final = 4_000
"""Pairs of an original's and a leak's column that are compared by content."""

CANDIDATES_MAX: Final = 1_000_000
PHANTOMS_MAX: Final = 10_000
"""Seeds that were never issued, scored beside the candidates."""


def within(limit: str, maximum: int, actual: int) -> None:
    """Refuse what is above a limit.

    Args:
        limit: the limit's name in this module.
        maximum: its value.
        actual: what the input has.

    Raises:
        MediaTooLarge: when `actual` is above `maximum`.
    """
    if actual > maximum:
        raise MediaTooLarge(limit=limit, maximum=maximum, actual=actual)
