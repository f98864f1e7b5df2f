"""`python -m tests.simulation --seeds N`: run many seeds, or replay one with `--seed X --trace`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from consensus.core.effects import Effect
from tests.simulation.harness.campaign import Campaign, Report
from tests.simulation.harness.checkers import PropertyBroken
from tests.simulation.harness.words import in_words


def say(text: str) -> None:
    """One line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show(time_ms: int, node: int, effect: Effect) -> None:
    """One line of a readable trace."""
    say(f"{time_ms:>8} node {node}: {in_words(effect)}")


def run_seed(seed: int, *, trace: bool) -> Report | None:
    """Run one seed; None, after saying how to replay it, when it fails."""
    campaign = Campaign(
        seed,
        observe=show if trace else None,
        trace=(lambda node, text: say(f"         node {node}: {text}")) if trace else None,
    )
    try:
        return campaign.run()
    except PropertyBroken as error:
        say(f"seed {seed} FAILED ({campaign.cluster.size} nodes, {campaign.byzantine}): {error}")
    except Exception:  # noqa: BLE001
        say(traceback.format_exc())
        say(f"seed {seed} FAILED ({campaign.cluster.size} nodes, {campaign.byzantine}): an exception")
    say(f"replay it with: python -m tests.simulation --seed {seed} --trace")
    return None


def main() -> int:
    """Command line; the exit code is 0 only if every seed passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=30, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--trace", action="store_true", help="print every effect of every node")
    arguments = parser.parse_args()
    seeds = (
        [arguments.seed]
        if arguments.seed is not None
        else range(arguments.first, arguments.first + arguments.seeds)
    )
    failed = 0
    simulated_ms = 0
    began = time.perf_counter()
    for count, seed in enumerate(seeds, start=1):
        report = run_seed(seed, trace=arguments.trace)
        failed += report is None
        if report is not None:
            simulated_ms += report.simulated_ms
            if arguments.seed is not None:
                say(str(report))
        if count % 10 == 0:
            elapsed = time.perf_counter() - began
            rate = (
                f"{count / elapsed * 60:.0f} seeds/min, {simulated_ms / 1000 / elapsed:.0f} simulated s per s"
            )
            say(f"{count}/{len(seeds)} seeds, {failed} failed, {rate}")
    say(f"simulation: {len(seeds) - failed} seeds passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
