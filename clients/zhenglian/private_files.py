"""Files that only their owner may open: read through one descriptor, written whole, replaced by a rename.

Rule: what is checked is what is read. Wherever a crash cuts a replacement short, the name leads to the one file or the other.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from zhenglian.errors import KeyFileUnusable

KEY_FILE_SIZE_BYTES_MAX: Final = 16 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """The bytes of a file that nobody else may open.

    Raises:
        KeyFileUnusable: missing, open to others, or too large.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _OTHERS:
                raise KeyFileUnusable(
                    path=str(path),
                    reason=f"others may read or change it (mode {mode & 0o777:o}); run: chmod 600 {path}",
                )
            data = file.read(KEY_FILE_SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    if len(data) > KEY_FILE_SIZE_BYTES_MAX:
        raise KeyFileUnusable(path=str(path), reason=f"larger than {KEY_FILE_SIZE_BYTES_MAX} bytes")
    return data


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file with permissions 0600, durably.

    Args:
        path: the file; its folder is made.
        data: all of it.
        replace: whether one that exists is replaced. Its bytes are then overwritten, as far as the disk lets it, unless they are
            also some other file's.

    Raises:
        KeyFileUnusable: it exists and may not be replaced, or it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace and path.exists():
            with path.open("r+b") as former:
                temporary.replace(path)
                _sync_folder(path.parent)
                if os.fstat(former.fileno()).st_nlink == 0:
                    former.write(bytes(os.fstat(former.fileno()).st_size))
                    former.flush()
                    os.fsync(former.fileno())
        else:
            path.hardlink_to(temporary)
            _sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileUnusable(
            path=str(path), reason="it exists already; a key is never overwritten"
        ) from None
    except OSError as error:
        raise KeyFileUnusable(path=str(path), reason=error.strerror or str(error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
