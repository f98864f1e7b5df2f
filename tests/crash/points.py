"""Where a process can be killed, by number: around everything that a node does to its disk, its peers and its clients.

Rule: production code knows nothing of this. The points are in objects that stand around the real ones. A write that was not
synced is held back, so that a kill loses it as a power cut would, or leaves half of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consensus.application import Lane, Transport
from consensus.disk import FileDisk
from ledger.store import Store
from ledger.store_records import CommittedBlock
from node.poollog import PoolLog


@dataclass(slots=True)
class CrashPoints:
    """Counts points, and dies at one of them.

    Attributes:
        deadly: number of the point at which the process is killed; 0 for none.
        names: of the points passed so far.
    """

    deadly: int = 0
    names: list[str] = field(default_factory=list)

    def reach(self, name: str, *, last_words: Callable[[], None] | None = None) -> None:
        """Pass a point, or die there after `last_words`."""
        self.names.append(name)
        if len(self.names) == self.deadly:
            if last_words is not None:
                last_words()
            os.kill(os.getpid(), signal.SIGKILL)


class CrashDisk(FileDisk):
    """Journal files whose unsynced writes a kill loses."""

    def __init__(self, folder: Path, points: CrashPoints) -> None:
        super().__init__(folder)
        self._points = points
        self._held: dict[str, list[tuple[int, bytes]]] = {}

    def create(self, name: str, content: bytes, size_bytes: int) -> None:
        self._points.reach(f"create {_kind(name)}: before")
        self._points.reach(
            f"create {_kind(name)}: torn",
            last_words=lambda: super(CrashDisk, self).create(name, content[: len(content) // 2], 0),
        )
        super().create(name, content, size_bytes)
        self._points.reach(f"create {_kind(name)}: after")

    def write(self, name: str, offset_bytes: int, data: bytes) -> None:
        self._held.setdefault(name, []).append((offset_bytes, data))
        self._points.reach(f"write {_kind(name)}: lost")

    def sync(self, name: str) -> None:
        self._points.reach(f"sync {_kind(name)}: torn", last_words=lambda: self._let_go(name, torn=True))
        self._let_go(name, torn=False)
        self._points.reach(f"sync {_kind(name)}: written")
        super().sync(name)
        self._points.reach(f"sync {_kind(name)}: after")

    def remove(self, name: str) -> None:
        self._points.reach(f"remove {_kind(name)}: before")
        super().remove(name)
        self._points.reach(f"remove {_kind(name)}: after")

    def _let_go(self, name: str, *, torn: bool) -> None:
        for offset_bytes, data in self._held.pop(name, []):
            super().write(name, offset_bytes, data[: len(data) // 2] if torn else data)


def _kind(name: str) -> str:
    return "segment" if name.endswith(".seg") else "end mark"


class CrashTransport:
    """Messages on their way out."""

    def __init__(self, inner: Transport, points: CrashPoints) -> None:
        self._inner = inner
        self._points = points

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self._points.reach("send: before")
        self._inner.send(peer, message, lane=lane)
        self._points.reach("send: after")

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        self._points.reach("broadcast: before")
        self._inner.broadcast(message, lane=lane)
        self._points.reach("broadcast: after")


class CrashStore(Store):
    """Group commits; what happens within one is for `tests/crash/lmdb_writes.py`."""

    points: CrashPoints

    def commit(self, group: Sequence[CommittedBlock]) -> None:
        self.points.reach("group commit: before")
        super().commit(group)
        self.points.reach("group commit: after")


class CrashPoolLog(PoolLog):
    """Promised transactions."""

    def __init__(self, path: Path, points: CrashPoints) -> None:
        self._points = points
        super().__init__(path)

    def append(self, encoded: bytes) -> None:
        self._points.reach("pool log append: before")
        super().append(encoded)
        self._points.reach(
            "pool log append: torn",
            last_words=lambda: os.truncate(self._path, self._path.stat().st_size - len(encoded) // 2),
        )

    def sync(self) -> None:
        super().sync()
        self._points.reach("pool log sync: after")
