"""Files of the command line: read within a bound, written whole or not at all.

Rule: nothing is read beyond its limit, whatever its size claims (a pipe has none); a file that is written stands there complete or
is not there, what stood there before stays until then, and no input is ever overwritten.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from watermark.errors import FileRefused
from watermark.limits import within

_PIECE_BYTES: Final = 1 << 20


def read_file(path: Path, limit: str, bytes_max: int) -> bytes:
    """The bytes of a file.

    Args:
        path: of a file or a pipe.
        limit: name of the limit.
        bytes_max: its value.

    Raises:
        FileRefused: it cannot be read.
        MediaTooLarge: above the limit.
    """
    try:
        with path.open("rb") as file:
            within(limit, bytes_max, os.fstat(file.fileno()).st_size)
            data = bytearray()
            while piece := file.read(_PIECE_BYTES):
                data += piece
                within(limit, bytes_max, len(data))
    except OSError as error:
        raise _refused(path, error) from error
    return bytes(data)


def check_output(path: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse to write where it cannot be, before any work is done.

    Args:
        path: to be written.
        inputs: files that are read.

    Raises:
        FileRefused: it is one of the inputs, a directory, or in no directory.
    """
    for other in inputs:
        with suppress(OSError):
            if other is not None and path.samefile(other):
                raise FileRefused(what=str(path), reason="it would overwrite a file that is read")
    try:
        if path.is_dir():
            raise FileRefused(what=str(path), reason="Is a directory")
        if not path.absolute().parent.is_dir():
            raise FileRefused(what=str(path), reason="its directory does not exist")
        if path.exists() and not os.access(path, os.W_OK):
            raise FileRefused(what=str(path), reason="Permission denied")
    except OSError as error:
        raise _refused(path, error) from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step; what is no plain file (a pipe, a terminal) is written to as it is.

    Raises:
        FileRefused: it cannot be written; then nothing is left behind.
    """
    try:
        target = path.resolve()
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            target.write_bytes(data)
            return
        _replace(target, data, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
    except OSError as error:
        raise _refused(path, error) from error


def _replace(target: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".marked-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refused(path: Path, error: OSError) -> FileRefused:
    return FileRefused(what=str(path)[:500], reason=error.strerror or str(error))
