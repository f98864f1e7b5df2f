"""The journal's files on a real disk.

Rule: after a failed write or sync of a segment nothing is retried, because the kernel may have dropped the data already;
the error stops the node.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from consensus.journal_format import END_FILE


class FileReader:
    """The files of a journal in one folder, for who only looks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        found = [path.name for path in self._folder.glob("journal-*.seg")]
        if (self._folder / END_FILE).exists():
            found.append(END_FILE)
        return sorted(found)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


class FileDisk(FileReader):
    """The files of a journal in one folder; the end mark may be written in another thread than the segments."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: made if it is missing."""
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, int] = {}

    def create(self, name: str, content: bytes, size_bytes: int) -> None:
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        _write_all(descriptor, content + bytes(max(0, size_bytes - len(content))), 0)
        os.fsync(descriptor)
        for other in [each for each in self._open if each not in {name, END_FILE}]:
            os.close(self._open.pop(other))
        self._open[name] = descriptor
        self._sync_folder()

    def write(self, name: str, offset_bytes: int, data: bytes) -> None:
        _write_all(self._descriptor(name), data, offset_bytes)

    def sync(self, name: str) -> None:
        os.fdatasync(self._descriptor(name))

    def remove(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)
        (self._folder / name).unlink(missing_ok=True)
        self._sync_folder()

    def random(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)

    def close(self) -> None:
        """Close every file."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            self._open[name] = os.open(self._folder / name, os.O_RDWR)
        return self._open[name]

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset_bytes: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset_bytes)
        view, offset_bytes = view[written:], offset_bytes + written
