"""What the figures of a measurement depend on: the machine, and how fast its disk makes things durable."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Final

SYNCS: Final = 200


def fdatasync_ms(folder: Path) -> list[float]:
    """Times of small synced appends to a file in `folder`."""
    times: list[float] = []
    probe = folder / "probe"
    with probe.open("wb") as file:
        for _ in range(SYNCS):
            file.write(bytes(512))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    probe.unlink()
    return times


def fdatasync_ms_median(folder: Path) -> float:
    """The median of `fdatasync_ms`, to microseconds."""
    return round(statistics.median(fdatasync_ms(folder)), 3)


def machine() -> dict[str, object]:
    """Cores, Python and system."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def written_bytes() -> int | None:
    """What this process has handed to the kernel to write; None where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar:")), None)


def memory_bytes() -> dict[str, int]:
    """Resident memory of this process: of its own, and mapped from files, which the system can take back."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    names = {"RssAnon:": "own", "RssFile:": "mapped_files", "VmRSS:": "resident"}
    found = {line.split()[0]: line.split() for line in lines if line.split()}
    return {name: int(found[field][1]) * 1024 for field, name in names.items() if field in found}
