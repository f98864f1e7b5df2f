"""Have a child read a table, and pass its rows on.

Rule: the child is trusted with nothing: it has a time for every line and for all of them, a bound for each, and is killed when it
passes one. Blocks; run it beside an event loop.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ledger.decoders import decode_json
from zhenglian.tables.errors import REASONS, TableInvalid, TableTooLarge
from zhenglian.tables.limits import (
    LINE_BYTES_MAX,
    READ_MEMORY_BYTES_MAX,
    READ_SECONDS_MAX,
    ROWS_MAX,
    STREAMED_BYTES_MAX,
    WHOLE_BYTES_MAX,
)
from zhenglian.tables.rows import Cell
from zhenglian.tables.rows import Row as FileRow
from zhenglian.tables.sniff import HEAD_BYTES, TableKind, kind_of

__all__ = ["FileRow", "Opened", "open_table", "size_bytes_max"]

SILENCE_S_MAX: Final = 2 * READ_SECONDS_MAX


class _Said(msgspec.Struct, frozen=True):
    h: tuple[str, ...] | None = None
    n: int = 0
    c: dict[str, Cell] = {}
    p: list[tuple[str, str]] = []
    k: list[tuple[str, str]] = []
    end: int | None = None
    fault: tuple[str, dict[str, str | int]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A table that is being read.

    Attributes:
        kind: of file.
        columns: as the header names them; None where every row names its own.
        rows: come as they are read.
    """

    kind: TableKind
    columns: tuple[str, ...] | None
    rows: Iterator[FileRow]


def size_bytes_max(kind: TableKind) -> int:
    """How large a file of that kind may be."""
    return STREAMED_BYTES_MAX if kind in {TableKind.CSV, TableKind.JSON_LINES} else WHOLE_BYTES_MAX


@contextmanager
def open_table(
    path: Path,
    stated: TableKind | None,
    *,
    memory_bytes: int = READ_MEMORY_BYTES_MAX,
    seconds: int = READ_SECONDS_MAX,
    descriptors: tuple[int, ...] = (),
) -> Iterator[Opened]:
    """Read a table.

    Args:
        path: the file.
        stated: what its sender says that it is; None to go by its first bytes.
        memory_bytes, seconds: of the child.
        descriptors: what it inherits, for a file that has no name.

    Raises:
        TableInvalid, TableTooLarge: here, or from the rows while they are read.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = kind_of(head, stated)
    if path.stat().st_size > size_bytes_max(kind):
        raise TableTooLarge(
            limit="STREAMED_BYTES_MAX" if size_bytes_max(kind) == STREAMED_BYTES_MAX else "WHOLE_BYTES_MAX",
            maximum=size_bytes_max(kind),
        )
    command = [
        sys.executable,
        "-P",
        "-m",
        "zhenglian.tables.worker",
        str(path),
        kind.value,
        str(seconds),
        str(memory_bytes),
    ]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
    )
    try:
        lines = _said(child, seconds)
        first = next(lines) if kind in {TableKind.CSV, TableKind.XLSX} else None
        yield Opened(kind=kind, columns=None if first is None else first.h, rows=_rows(lines))
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _said(child: subprocess.Popen[bytes], seconds: int) -> Iterator[_Said]:
    """What the child says, up to its end. Raises what it found, or TableInvalid (too_long) where it says no end."""
    assert child.stdout is not None  # noqa: S101  # a pipe was asked for
    for line in _lines(child.stdout.fileno(), seconds):
        try:
            said = decode_json(line, _Said)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            break
        if said.fault is not None:
            raise _fault(*said.fault)
        yield said
        if said.end is not None:
            return
    raise TableInvalid("too_long", seconds=seconds)


def _rows(lines: Iterator[_Said]) -> Iterator[FileRow]:
    for count, said in enumerate(lines):
        if said.end is not None:
            if count == 0:
                raise TableInvalid("no_rows")
            return
        if count >= ROWS_MAX:
            raise TableTooLarge(limit="ROWS_MAX", maximum=ROWS_MAX)
        yield FileRow(said.n, said.c, tuple(said.p), tuple(said.k))


def _lines(descriptor: int, seconds: int) -> Iterator[bytes]:
    """The child's lines, until it ends or is silent for too long. Time that the taker takes is not the child's."""
    waiting = bytearray()
    patience_s = 2.0 * seconds
    while patience_s > 0:
        began_s = time.monotonic()
        if not select.select([descriptor], [], [], patience_s)[0]:
            return
        data = os.read(descriptor, 1 << 16)
        patience_s -= time.monotonic() - began_s
        if not data:
            return
        waiting += data
        if b"\n" not in data:
            if len(waiting) > LINE_BYTES_MAX:
                return
            continue
        *lines, rest = bytes(waiting).split(b"\n")
        waiting = bytearray(rest)
        yield from lines


def _fault(code: str, fields: dict[str, str | int]) -> TableInvalid | TableTooLarge:
    if code == TableTooLarge.code:
        return TableTooLarge(**fields)
    reason = str(fields.pop("reason", "unknown_kind"))
    return TableInvalid(reason if reason in REASONS else "unknown_kind", **fields)
