"""`python -m tests.crash`: every crash point; `--every N` for a selection. Ends with `crash points: K passed, 0 failed`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.crash import files, lives, lmdb_writes


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.crash", description=__doc__)
    parser.add_argument(
        "--every", type=int, default=1, help="kill at every N-th point, and damage every N-th byte"
    )
    parser.add_argument("--point", type=int, default=0, help="kill at this point alone")
    parser.add_argument("--seed", type=int, default=1, help="which samples of LMDB's writes are replayed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        scratch = Path(folder)
        if arguments.point:
            faults = lives.kill_at(scratch, arguments.point)
            say("\n".join(faults) or "survived")
            return bool(faults)
        passed = failed = 0
        parts: tuple[tuple[str, Callable[[], tuple[int, int]]], ...] = (
            ("kills", lambda: lives.campaign(scratch, every=arguments.every, twice_every=8, show=say)),
            ("files", lambda: files.campaign(scratch, every=arguments.every, show=say)),
            ("LMDB writes", lambda: lmdb_writes.campaign(scratch, seed=arguments.seed, show=say)),
        )
        for name, part in parts:
            good, bad = part()
            say(f"{name}: {good} passed, {bad} failed")
            passed, failed = passed + good, failed + bad
    say(f"crash points: {passed} passed, {failed} failed")
    return 1 if failed else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
