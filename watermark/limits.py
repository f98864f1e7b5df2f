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

JPEG_SCANS_MAX: Final = 100
"""Passes over the pixels of a JPEG; encoders make ten or so, and each costs as much as a whole picture."""

TIFF_FRAMES_MAX: Final = 200
"""Pages of a TIFF file."""

IMAGE_SIDE_PIXELS_MIN: Final = 64
"""Below this side an image has too few chips to be worth marking."""

VISIBLE_WORDS_CHARS_MAX: Final = 200
VISIBLE_CODE_BYTES_MAX: Final = 400
"""Of the visible tier; the code is at most a QR code of version 15."""

VISIBLE_SIDE_PIXELS_MIN: Final = 256
"""Below this side a picture gets no visible tier."""

VISIBLE_TILES_MAX: Final = 2_000
"""Times that the words stand on one page, however long and narrow it is."""

PDF_PAGES_MAX: Final = 200
"""Pages that are marked in one PDF."""

PDF_PAGES_COMPARED_MAX: Final = 20
"""Pages of a leak, and pages of an original, that one detection looks at."""

PDF_CONTENT_BYTES_MAX: Final = 64 << 20
"""Content streams and form XObjects of a PDF together, once unpacked."""

PDF_OPERATORS_MAX: Final = 4_000_000
"""Operations of a PDF's content together, those of a form each time it is drawn."""

PDF_OPERANDS_MAX: Final = 20_000
"""Operands of one operator, elements of its arrays included."""

PDF_GLYPHS_MAX: Final = 500_000
"""Glyphs of a PDF's text together."""

PDF_FORM_DEPTH_MAX: Final = 8
"""Form XObjects drawn by form XObjects; deeper ones are left as they are."""

PDF_FORMS_DRAWN_MAX: Final = 2_000
"""Form XObjects drawn on one page whose text is followed."""

PDF_GRAPHICS_STATES_MAX: Final = 512
"""Graphics states saved and not yet restored in one stream."""

PDF_STREAM_FILTERS_MAX: Final = 4
"""Filters of one stream of a PDF, one after the other."""

PDF_LZW_BYTES_MAX: Final = 4 << 20
"""Bytes of a PDF that are packed by LZW, together: unpacking cannot be stopped half-way, and may give a thousand times as much."""

PDF_CMAP_BYTES_MAX: Final = 1 << 20
PDF_FONT_WIDTHS_MAX: Final = 65_536
"""A font's character map once unpacked, and the widths that are read of one font."""

PDF_IMAGES_MAX: Final = 200
"""Pictures inside a PDF that are marked."""

RENDER_PIXELS_MAX: Final = 5_000_000
"""Pixels of one rendered PDF page."""

RENDER_FINE_FACTOR: Final = 3
"""How much finer a page is rendered where the places of its glyphs are measured."""

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
TABLE_CHARS_MAX: Final = 32 << 20
"""Characters of a table together, a text that many cells share counted for each of them."""
XLSX_STRINGS_MAX: Final = TABLE_CELLS_MAX
"""Shared strings of a workbook."""

PACKAGE_PARTS_MAX: Final = 2_000
PACKAGE_BYTES_MAX: Final = 128 << 20
"""Parts of an Office file, and their bytes once unpacked."""

PACKAGE_ENTRIES_SEEN_MAX: Final = 20 * PACKAGE_PARTS_MAX
"""Places of an Office file that look like an entry of its directory, those of packages inside it included."""

XML_PART_BYTES_MAX: Final = 32 << 20
XML_TAGS_MAX: Final = 6_000_000
XML_ATTRIBUTES_MAX: Final = 4_000_000
"""One XML part of an Office file that is parsed, and its angle brackets and equals signs: each becomes a hundred bytes and more."""

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
