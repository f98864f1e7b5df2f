"""`python -m tests.tamper`: flip every byte of a store's file, or one of every `--stride`, and print what came of it."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.tamper.campaign import Campaign


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.tamper", description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="flip one byte of so many (default: every one)")
    parser.add_argument("--offset", type=int, default=0, help="the first byte")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        positions = range(arguments.offset, len(campaign.data), arguments.stride)
        size, spare = len(campaign.data), campaign.spare_bytes
        say(f"{size} bytes, of which {spare} are spare; {len(positions)} flips")
        outcome = campaign.run(positions, lambda at: at * 7 % 8)
    for verdict, count in outcome.verdicts.most_common():
        say(f"{count:>9}  {verdict}")
    for line in [*outcome.wrong[:50], *outcome.unlocated[:50]]:
        say(line)
    seconds = time.monotonic() - began
    say(
        f"{outcome.flips} flips in {seconds:.0f} s: {len(outcome.wrong)} wrong, {len(outcome.unlocated)} without a place"
    )
    return 1 if outcome.wrong or outcome.unlocated else 0


if __name__ == "__main__":
    sys.exit(main())
