"""Every bound on a table that is deposited, by name."""

from __future__ import annotations

from typing import Final

STREAMED_BYTES_MAX: Final = 128 * 1024 * 1024
"""A CSV or JSON Lines file, which is read row by row."""

WHOLE_BYTES_MAX: Final = 32 * 1024 * 1024
"""An XLSX or JSON file, which has to be unpacked or parsed as a whole."""

ROWS_MAX: Final = 100_000
COLUMNS_MAX: Final = 256
CELL_CHARS_MAX: Final = 1_000_000
"""One cell: a table inside a cell is a field's value, and as long as one may be."""

ROW_CHARS_MAX: Final = 4_000_000
JSON_DEPTH_MAX: Final = 8

READ_SECONDS_MAX: Final = 120
"""Processor seconds of the child that reads a table; its parent waits twice as long for a word of it."""

READ_MEMORY_BYTES_MAX: Final = 3 << 30
"""Address space of that child; the libraries that read a workbook take half a gibibyte before they begin."""

LINE_BYTES_MAX: Final = 6 * ROW_CHARS_MAX
"""One line of what the child says."""
