"""What an input reaches: the steps from line to line that it takes through our packages.

Rule: used to choose what is kept, not while fuzzing; it is slow, and needs no engine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import ledger.codec
from tests.fuzz.target import Target
from tests.fuzz.watch import Watch

ROOT: Final = Path(ledger.codec.__file__).resolve().parents[1]
PACKAGES: Final = ("ledger", "consensus", "contracts", "network", "node", "watermark", "clients")
Step = tuple[str, int, int]


def reached(watch: Watch, data: bytes) -> frozenset[Step]:
    """The steps of one input. Raises Finding."""
    steps: set[Step] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_PREFIXES):
            return None
        if event in {"call", "line"}:
            steps.add((name, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        watch.run(data)
    finally:
        sys.settrace(before)
    return frozenset(steps)


def needed_inputs(target: Target, candidates: Iterable[bytes]) -> list[bytes]:
    """Those candidates, in their order, that take a step which none before them takes."""
    watch = Watch(target, measure=False)
    seen: set[Step] = set()
    needed = []
    for data in candidates:
        steps = reached(watch, data)
        if not steps <= seen:
            seen |= steps
            needed.append(data)
    return needed


_PREFIXES: Final = tuple(f"{ROOT / package}/" for package in PACKAGES)
