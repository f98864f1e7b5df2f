"""A disk that forgets: what was not synced may be lost, kept or torn when its node crashes."""

from __future__ import annotations

from random import Random


class SimDisk:
    """Implements `JournalDisk` in memory.

    Attributes:
        failing: the next sync raises OSError.
        dying: the node is crashing; nothing is made durable any more.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._files: dict[str, bytearray] = {}
        self._pending: list[tuple[str, int, bytes]] = []
        self.failing = False
        self.dying = False

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        content = bytearray(self._files[name])
        for pending, offset_bytes, data in self._pending:
            if pending == name:
                _put(content, offset_bytes, data)
        return bytes(content)

    def create(self, name: str, content: bytes, size_bytes: int) -> None:
        """Segments are not filled with zeros here, so that files may also end in the middle of a record."""
        self._files[name] = bytearray(content)

    def write(self, name: str, offset_bytes: int, data: bytes) -> None:
        self._pending.append((name, offset_bytes, data))

    def sync(self, name: str) -> None:
        if self.failing:
            raise OSError(5, "simulated write error")
        if self.dying:
            return
        for pending, offset_bytes, data in self._pending:
            _put(self._files[pending], offset_bytes, data)
        self._pending.clear()

    def remove(self, name: str) -> None:
        self._files.pop(name, None)

    def random(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)

    def crash(self) -> None:
        """Each unsynced write is lost, kept, cut short or partly zero."""
        for name, offset_bytes, data in self._pending:
            fate = self._random.randrange(4)
            kept = data
            if fate == 0:
                continue
            if fate == 1:
                kept = data[: self._random.randint(0, len(data))]
            elif fate == 2:
                middle = self._random.randint(0, len(data))
                kept = bytes(middle) + data[middle:]
            if name in self._files:
                _put(self._files[name], offset_bytes, kept)
        self._pending.clear()
        self.dying = False

    def copy(self) -> SimDisk:
        """What is durable, on another disk."""
        other = SimDisk(self._random)
        other._files = {name: bytearray(content) for name, content in self._files.items()}
        return other

    def wipe(self) -> None:
        """Lose every file."""
        self._files.clear()
        self._pending.clear()

    def damage(self, name: str, offset_bytes: int) -> None:
        """Flip one bit of what is durable."""
        self._files[name][offset_bytes] ^= 1

    def size_bytes(self, name: str) -> int:
        return len(self._files[name])


def _put(content: bytearray, offset_bytes: int, data: bytes) -> None:
    if len(content) < offset_bytes:
        content.extend(bytes(offset_bytes - len(content)))
    content[offset_bytes : offset_bytes + len(data)] = data
