"""Parquet: the table of a file, read and rewritten by a child process that is bounded in memory and time.

Rule: the Arrow library never runs in this process; a file that makes it crash, loop or swallow memory is a `MediaMalformed`.
Types, metadata and compression stay; nested values, dates and truth values are never carriers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from watermark.errors import MediaMalformed, MediaTooLarge
from watermark.limits import (
    CELL_CHARS_MAX,
    PARQUET_MEMORY_BYTES_MAX,
    PARQUET_SECONDS_MAX,
    TABLE_CELLS_MAX,
    TABLE_CHARS_MAX,
    TABLE_COLUMNS_MAX,
    TABLE_ROWS_MAX,
    within,
)
from watermark.sheets import Changes, Fixed, Literal, Sheet

PARQUET: Final = "application/vnd.apache.parquet"
_WORKER: Final = Path(__file__).with_name("parquet_worker.py")
_TOO_LARGE: Final = 5
_KINDS: Final[dict[str, type[str]]] = {"text": str, "number": Literal, "float": Literal, "fixed": Fixed}


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A parsed file.

    Attributes:
        data: the file.
        sheet: the decoded table.
    """

    data: bytes
    sheet: Sheet

    def written(self, changes: Changes, order: Sequence[int]) -> bytes:
        """The file with changes made and rows in order."""
        told = [(row, column, text) for (row, column), text in changes.items()]
        return _run(self.data, {"changes": told, "order": list(order)})


def parse_parquet(data: bytes) -> ParquetFile:
    """Read the table of a file.

    Raises:
        MediaMalformed: unreadable, or not read within the limits.
        MediaTooLarge: more rows, columns, cells or characters a cell than the limits.
    """
    columns = json.loads(_run(data, {}))
    names = tuple(str(column["name"]) for column in columns)
    decoded = [
        [None if text is None else _KINDS[column["kind"]](_checked(text)) for text in column["values"]]
        for column in columns
    ]
    return ParquetFile(data, Sheet(names, tuple(zip(*decoded, strict=True))))


def _checked(text: str) -> str:
    within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(text))
    return text


def _run(data: bytes, task: dict[str, Any]) -> bytes:
    limits = (
        PARQUET_SECONDS_MAX,
        PARQUET_MEMORY_BYTES_MAX,
        TABLE_ROWS_MAX,
        TABLE_COLUMNS_MAX,
        TABLE_CELLS_MAX,
        TABLE_CHARS_MAX,
    )
    command = [sys.executable, "-P", str(_WORKER), *(str(limit) for limit in limits)]
    told = json.dumps({"input_bytes": len(data), **task}).encode() + b"\n" + data
    try:
        done = subprocess.run(  # the command is ours; the file goes in by standard input
            command, input=told, capture_output=True, timeout=PARQUET_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MediaMalformed(what="Parquet", reason=f"not read within {PARQUET_SECONDS_MAX} s") from error
    except OSError as error:
        raise MediaMalformed(
            what="Parquet", reason=f"no reader could be started: {error.strerror}"
        ) from error
    if done.returncode == _TOO_LARGE:
        raise MediaTooLarge(**json.loads(done.stderr))
    if done.returncode != 0:
        raise MediaMalformed(what="Parquet", reason=f"cannot be read (reader ended with {done.returncode})")
    return done.stdout
