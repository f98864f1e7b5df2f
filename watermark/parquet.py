"""Parquet: the table of a file, read and rewritten by a child process that is bounded in memory and time.

Rule: the Arrow library never runs in this process; a file that makes it crash, loop or swallow memory is a `MediaMalformed`.
Types, metadata and compression stay; nested values, dates and truth values are never carriers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
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
_LENGTH_BYTES: Final = 8
_KINDS: Final[dict[str, type[str]]] = {"text": str, "number": Literal, "float": Literal, "fixed": Fixed}


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A parsed file.

    Attributes:
        sheet: the decoded table.
        reader: the process that holds the file until this object is gone.
    """

    sheet: Sheet
    reader: Reader

    def written(self, changes: Changes, order: Sequence[int]) -> bytes:
        """The file with changes made and rows in order."""
        told = [(row, column, text) for (row, column), text in changes.items()]
        return self.reader.ask({"changes": told, "order": list(order)})


def parse_parquet(data: bytes) -> ParquetFile:
    """Read the table of a file.

    Raises:
        MediaMalformed: unreadable, or not read within the limits.
        MediaTooLarge: more rows, columns, cells or characters a cell than the limits.
    """
    reader = Reader()
    columns = json.loads(reader.ask({"input_bytes": len(data)}, data))
    names = tuple(str(column["name"]) for column in columns)
    decoded = [
        [None if text is None else _KINDS[column["kind"]](_checked(text)) for text in column["values"]]
        for column in columns
    ]
    return ParquetFile(Sheet(names, tuple(zip(*decoded, strict=True))), reader)


def _checked(text: str) -> str:
    within("CELL_CHARS_MAX", CELL_CHARS_MAX, len(text))
    return text


class Reader:
    """The child process of one file: asked first to read it, then perhaps to rewrite it, and ended with this object."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            MediaMalformed: it cannot be started.
        """
        limits = (
            PARQUET_SECONDS_MAX,
            PARQUET_MEMORY_BYTES_MAX,
            TABLE_ROWS_MAX,
            TABLE_COLUMNS_MAX,
            TABLE_CELLS_MAX,
            TABLE_CHARS_MAX,
        )
        command = [sys.executable, "-P", str(_WORKER), *(str(limit) for limit in limits)]
        try:
            self._child = subprocess.Popen(  # the command is ours; the file goes in by standard input
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise MediaMalformed(
                what="Parquet", reason=f"no reader could be started: {error.strerror}"
            ) from error
        weakref.finalize(self, _end, self._child)

    def ask(self, task: dict[str, Any], data: bytes = b"") -> bytes:
        """What it answers to a task, within `PARQUET_SECONDS_MAX`.

        Raises:
            MediaMalformed: it ended, or gave no answer in time.
            MediaTooLarge: the file is above a limit.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._child.kill()

        clock = threading.Timer(PARQUET_SECONDS_MAX, stop)
        clock.daemon = True
        clock.start()
        try:
            answer = self._exchange(json.dumps(task).encode() + b"\n" + data)
        finally:
            clock.cancel()
            clock.join()
        if answer is not None:
            return answer
        if late.is_set():
            raise MediaMalformed(what="Parquet", reason=f"not read within {PARQUET_SECONDS_MAX} s")
        _, told = self._child.communicate()
        if self._child.returncode == _TOO_LARGE:
            raise MediaTooLarge(**json.loads(told))
        raise MediaMalformed(
            what="Parquet", reason=f"cannot be read (reader ended with {self._child.returncode})"
        )

    def _exchange(self, asked: bytes) -> bytes | None:
        """None where it ended before it had answered. It reads all before it writes, so neither waits for the other."""
        to, back = self._child.stdin, self._child.stdout
        if to is None or back is None:
            return None
        try:
            to.write(asked)
            to.flush()
        except BrokenPipeError:
            return None
        told = back.read(_LENGTH_BYTES)
        answer = back.read(int.from_bytes(told, "big"))
        whole = len(told) == _LENGTH_BYTES and len(answer) == int.from_bytes(told, "big")
        return answer if whole else None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    with suppress(BrokenPipeError):
        child.communicate()
