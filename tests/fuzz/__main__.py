"""`python -m tests.fuzz --seconds N`: fuzz every decoder that faces a peer, the time split fairly over the targets.

Each target gets inputs that Hypothesis generates and, where atheris is installed (`make fuzz` does it), coverage-guided ones.
The exit code is 1 on a finding. `--target T --replay FILE` runs one input again; `--keep` takes what was found into the kept
corpus.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import corpus, guided
from tests.fuzz.generated import run_for
from tests.fuzz.reach import needed_inputs
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Target
from tests.fuzz.watch import Finding, Watch, replay_command, say

GENERATED_SHARE = 0.35
# What a process needs before its first input.
STARTING_S = 3.0
CANDIDATES_MAX = 400


@dataclass(slots=True, kw_only=True)
class Row:
    """A line of the summary."""

    target: str
    generated: int = 0
    guided: int = 0
    corpus: int = 0
    edges: int = 0
    new_edges: int = 0
    crashes: int = 0


def fuzz(target: Target, seconds: float, number: int, *, with_engine: bool) -> Row:
    """Both kinds of inputs for one target."""
    row = Row(target=target.name, corpus=len(corpus.inputs(target)))
    watch = Watch(target)
    try:
        run_for(watch, seconds * GENERATED_SHARE if with_engine else seconds, number)
    except Finding as finding:
        row.crashes += 1
        report(finding)
    row.generated = watch.inputs
    if with_engine:
        outcome = guided.run(target.name, max(1, round(seconds * (1 - GENERATED_SHARE) - STARTING_S)), number)
        row.guided, row.edges, row.new_edges = outcome.inputs, outcome.edges, outcome.new_edges
        row.crashes += outcome.finding
        if outcome.finding:
            newest = max(corpus.CRASHES.glob(f"{target.name}-*.txt"), key=lambda path: path.stat().st_mtime)
            say(newest.read_text())
        if outcome.failed:
            row.crashes += 1
            say(f"{target.name}: the engine ended badly\n{outcome.failed}")
    return row


def report(finding: Finding) -> None:
    path = finding.save()
    say(f"{finding}\nreplay it with: {replay_command(finding.target, path)}")


def show(rows: list[Row]) -> None:
    """The summary."""
    say(
        f"{'target':<24}{'generated':>10}{'guided':>10}{'corpus':>8}{'edges':>8}{'new edges':>11}{'crashes':>9}"
    )
    for row in rows:
        say(
            f"{row.target:<24}{row.generated:>10}{row.guided:>10}{row.corpus:>8}{row.edges:>8}"
            f"{row.new_edges:>11}{row.crashes:>9}"
        )


def keep(target: Target) -> None:
    """Of everything known, smallest first, keep what reaches a line by a way that nothing before it did."""
    found = [path.read_bytes() for path in (guided.FOUND / target.name).glob("*")]
    known = corpus.inputs(target)
    candidates = [*known, *sorted({one for one in found if one not in set(known)}, key=len)[:CANDIDATES_MAX]]
    needed = needed_inputs(target, candidates)
    say(f"{target.name}: kept {corpus.keep(target, needed)} of {len(candidates)} inputs")


def replay(target: Target, path: Path) -> int:
    """Run one input and show what it does."""
    try:
        Watch(target).run(path.read_bytes())
    except Finding as finding:
        say("".join(traceback.format_exception(finding.__cause__ or finding)))
        return 1
    say(f"{target.name}: nothing wrong with it")
    return 0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="for all targets together")
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the generators; the clock by default")
    parser.add_argument("--replay", type=Path, help="run the input in this file against the target")
    parser.add_argument(
        "--keep", action="store_true", help="take what was found into the kept corpus, and do nothing else"
    )
    parser.add_argument("--list", action="store_true", help="name the targets")
    arguments = parser.parse_args()
    chosen = [TARGETS[name] for name in arguments.target or TARGETS]
    if arguments.list:
        say("\n".join(target.name for target in chosen))
        return 0
    if arguments.replay is not None:
        return replay(chosen[0], arguments.replay)
    if arguments.keep:
        for target in chosen:
            keep(target)
        return 0
    number = arguments.seed if arguments.seed is not None else int(time.time())
    with_engine = guided.available()
    if not with_engine:
        say(
            "fuzz: atheris is not installed for this Python, so nothing is coverage-guided; generated inputs only"
        )
    rows: list[Row] = []
    for target in chosen:
        rows.append(fuzz(target, arguments.seconds / len(chosen), number, with_engine=with_engine))
        last = rows[-1]
        say(
            f"{len(rows)}/{len(chosen)} {last.target}: {last.generated + last.guided} inputs, {last.crashes} crashes"
        )
    show(rows)
    inputs = sum(row.generated + row.guided for row in rows)
    crashes = sum(row.crashes for row in rows)
    say(f"fuzz: {len(rows)} targets, {inputs} inputs, {crashes} crashes")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
