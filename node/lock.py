"""One process per home folder: two would write one journal and contradict each other's votes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ledger.errors import Category, LedgerError


class HomeInUse(LedgerError):
    """Another process runs on this folder. Fields: path."""

    code = "home_in_use"
    category = Category.CONFLICT
    zh = "{path} 正被另一个节点进程使用；请先停止它"
    en = "Another node process is using {path}; stop it first"


class HomeLock:
    """Held from construction to `release`; the system lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock file at `path`. Raises HomeInUse."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise HomeInUse(path=str(path.parent)) from None

    def release(self) -> None:
        os.close(self._descriptor)


def is_in_use(path: Path) -> bool:
    """Whether a process holds the lock file at `path`; makes no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # A shared lock fails beside an exclusive one, and keeps nobody out who only looks as well.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
