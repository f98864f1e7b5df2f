"""blind-watermark and invisible-watermark on the same covers and attacks.

Rule: they run as shipped in an environment of their own and give back 64 bits without the original, which is less
than this library is given; they reach a trial when all 64 bits are right. Where the environment is missing, the table says so.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from tests.attacks.watermark import images, picture_covers
from tests.attacks.watermark.cells import Cell

TOOLS: Final = ("blind-watermark", "invisible-watermark")
PYTHON: Final = Path("build/peers/bin/python")
_WORKER: Final = Path(__file__).with_name("peer_worker.py")
_BITS: Final = 64


class Peers:
    """The worker process; use it as a context."""

    def __init__(self, python: Path = PYTHON) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zhenglian-peers-")
        self._worker = subprocess.Popen(
            [str(python), str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.close()
        self._worker.wait()
        self._worker.stdout.close()
        self._folder.cleanup()

    def reaches(self, tool: str, cell: Cell, number: int) -> bool:
        """Whether a tool gives back its 64 bits after the attack of a cell."""
        assert cell.on_pixels is not None
        folder = Path(self._folder.name)
        source, marked, leak = (str(folder / name) for name in ("cover.png", "marked.png", "leak"))
        Path(source).write_bytes(cell.cover(number).data)
        bits = [int(bit) for bit in np.random.default_rng([21, number]).integers(0, 2, _BITS)]
        if "error" in self._ask(tool, source, marked, bits):
            return False
        attacked = cell.on_pixels(images.decode(Path(marked).read_bytes()), cell.seed(number))
        # Saved as PNG, so that no tool fails by the file format.
        Path(leak + ".png").write_bytes(picture_covers.png(images.decode(attacked)))
        return bool(self._ask(tool, leak + ".png", "", None).get("bits") == bits)

    def similarity(self, before: bytes, after: bytes) -> float | None:
        """Structural similarity of two pictures, as scikit-image computes it; None where it is not installed."""
        folder = Path(self._folder.name)
        one, other = folder / "before", folder / "after"
        one.write_bytes(before)
        other.write_bytes(after)
        answer = self._ask("ssim", str(one), str(other), None)
        return round(float(answer["ssim"]), 5) if "ssim" in answer else None

    def _ask(self, tool: str, source: str, out: str, bits: list[int] | None) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        order = {"tool": tool, "source": source, "out": out, "bits": bits}
        self._worker.stdin.write(json.dumps(order) + "\n")
        self._worker.stdin.flush()
        answer: dict[str, Any] = json.loads(self._worker.stdout.readline())
        return answer
