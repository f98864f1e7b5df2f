"""`python -m tests.attacks.watermark`: attack marked copies, and print how often their recipients are still named.

    --only TEXT …   cells whose name contains one of these     --list          what there is
    --trials N      trials of each row of the goals, shared by its cells (default 60, about half an hour on one core; 300 is the
                    full run)
    --each N        trials of every cell in its place
    --nulls N       ids never issued, scored against attacked leaks (default 1,000,000)
    --peer-trials N trials a cell of the other tools (default 1)
    --json [FILE]   where the results go, written as they come (default bench/results/watermark.json)
    --resume        go on behind the trials that this file already holds, if engine, attacks and covers are the same
    --minutes M     end after so many minutes with what there is; --resume goes on from there
    --jobs N        worker processes (default: one a core)

Exit status: 0 nobody was falsely accused (cells may miss: the table says so), 1 somebody was, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from bench.machine import machine
from tests.attacks.watermark import nulls
from tests.attacks.watermark.cells import Cell, all_cells
from tests.attacks.watermark.nulls import Nulls
from tests.attacks.watermark.peers import PYTHON, TOOLS, Peers
from tests.attacks.watermark.table import Result, render, render_goals, shared_by_goal
from tests.attacks.watermark.workers import fingerprint, null_trials, pool, rounds

TRIALS_DEFAULT: Final = 60
NULLS_DEFAULT: Final = 1_000_000
OUT: Final = Path("bench/results/watermark.json")


class Report(msgspec.Struct):
    """The file of results. `engine`: what the null trials depend on, as a hash."""

    machine: dict[str, object]
    command: str
    peers: str
    peer_trials: int
    cells: list[Result]
    nulls: Nulls | None = None
    engine: str = ""


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(text)
    sys.stderr.flush()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks.watermark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--trials", type=int, default=TRIALS_DEFAULT)
    parser.add_argument("--each", type=int)
    parser.add_argument("--nulls", type=int, default=NULLS_DEFAULT)
    parser.add_argument("--peer-trials", type=int, default=1)
    parser.add_argument("--json", type=Path, nargs="?", const=OUT, default=OUT)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    if (
        min(given.trials, given.each or 0, given.nulls, given.peer_trials, given.minutes) < 0
        or given.jobs < 1
    ):
        parser.error("counts are not negative")
    return given


def chosen(only: Sequence[str]) -> list[Cell]:
    """The cells whose name contains one of the texts; all without any."""
    return [cell for cell in all_cells() if not only or any(text in cell.name for text in only)]


def write(report: Report, path: Path) -> None:
    """The results so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def with_peers(report: Report, cells: Sequence[Cell], trials: int) -> None:
    """What other tools reach in the first trials of each cell that has not been given to them yet."""
    if not PYTHON.exists() or not trials:
        return
    wanted = {cell.name: cell for cell in cells if cell.on_pixels is not None}
    peers = Peers()
    try:
        for at, result in enumerate(report.cells):
            cell = wanted.get(result.cell)
            if cell is None or result.peers:
                continue
            reached = {
                tool: f"{sum(peers.reaches(tool, cell, number) for number in range(trials))}/{trials}"
                for tool in TOOLS
            }
            report.cells[at] = msgspec.structs.replace(result, peers=reached)
            say(f"\rother tools: {cell.name} {reached}\n")
    finally:
        peers.__exit__(None, None, None)


def earlier(path: Path) -> Report | None:
    """What of earlier results is of the same engine, attacks and covers; None where there are none."""
    if not path.exists():
        return None
    found = msgspec.json.decode(path.read_bytes(), type=Report)
    engine = {cell.name: fingerprint(cell.of_pictures) for cell in all_cells()}
    kept = [one for one in found.cells if one.engine == engine.get(one.cell)]
    if len(kept) < len(found.cells):
        count = len(found.cells) - len(kept)
        say(f"{count} cells in the file are of another engine, other attacks or other covers: begun anew\n")
    nulls_of_ours = found.nulls if found.engine == fingerprint() else None
    return msgspec.structs.replace(found, cells=kept, nulls=nulls_of_ours)


def run_cells(workers: Executor, cells: Sequence[Cell], given: argparse.Namespace, report: Report) -> None:
    """Every cell in rounds, the file of results written as they come."""
    deadline = time.monotonic() + 60 * given.minutes
    late = partial(_later_than, deadline)
    order = {cell.name: at for at, cell in enumerate(all_cells())}
    known = {result.cell: result for result in report.cells}
    names = [cell.name for cell in cells]
    trials = shared_by_goal(names, given.trials) if given.each is None else dict.fromkeys(names, given.each)
    for done in rounds(workers, cells, trials, known, late):
        known |= done
        report.cells = sorted(known.values(), key=lambda one: order.get(one.cell, len(order)))
        write(report, given.json)
        say(progress(list(done.values()), trials))
    # Other strides than the trials', so that a short run meets every medium.
    stride = max(1, len(cells) * nulls.A_LEAK // max(1, given.nulls))
    for sums in null_trials(workers, cells[::stride], given.nulls, report.nulls or nulls.NONE, late):
        report.nulls = sums
        write(report, given.json)
        say(f"\rnull trials: {sums.scored}/{given.nulls}")
    say("\n")


def progress(results: Sequence[Result], trials: Mapping[str, int]) -> str:
    """A line for the round, and one for each cell that has missed a trial."""
    done = sum(min(one.trials, trials[one.cell]) for one in results)
    seconds = sum(one.seconds for one in results)
    lines = [f"{len(results)} cells, {done:,} of {sum(trials.values()):,} trials, {seconds:,.0f} s of work"]
    lines += [
        f"  {one.cell}: {one.hits}/{one.trials} {one.status}" for one in results if one.hits < one.trials
    ]
    return "\n".join(lines) + "\n"


def _later_than(deadline: float) -> bool:
    return time.monotonic() >= deadline


def main(arguments: Sequence[str]) -> int:
    """Run the program; the exit status."""
    given = parse(arguments)
    cells = chosen(given.only)
    if given.list:
        sys.stdout.writelines(f"{cell.name}\n" for cell in cells)
        return 0
    if not cells:
        say(f"no such cell: {', '.join(given.only)}\n")
        return 2
    installed = PYTHON.exists()
    report = (earlier(given.json) if given.resume else None) or Report(
        machine=machine(), command="", peers="", peer_trials=0, cells=[]
    )
    report.engine = fingerprint()
    report.command = " ".join(["python -m tests.attacks.watermark", *arguments])
    report.peers = "as shipped, 64 bits" if installed else "not installed: not run"
    report.peer_trials = given.peer_trials if installed else report.peer_trials
    with pool(given.jobs) as workers:
        run_cells(workers, cells, given, report)
    with_peers(report, cells, given.peer_trials)
    write(report, given.json)
    sys.stdout.write(summary(report))
    wrong = sum(result.false_accusations for result in report.cells)
    return int(bool(wrong or (report.nulls and report.nulls.falsely_accused)))


def summary(report: Report) -> str:
    """The table and what stands below it."""
    tools = TOOLS if report.peer_trials else ()
    count = {
        status: sum(result.status == status for result in report.cells)
        for status in ("met", "so far", "MISS")
    }
    lines = [
        render(report.cells, tools),
        "",
        render_goals(report.cells),
        "",
        (
            f"{len(report.cells)} cells: {count['met']} met, {count['so far']} reach their goal so far, "
            f"{count['MISS']} miss it. Other tools: {report.peers}."
        ),
        (
            f"False accusations in the trials: {sum(result.false_accusations for result in report.cells)} "
            f"of {sum(result.bystanders for result in report.cells)} innocents scored."
        ),
    ]
    if report.nulls is not None:
        found = report.nulls
        lines.append(
            f"Null trials: {found.scored} ids on {found.leaks} leaks, {found.falsely_accused} accused, "
            f"{found.falsely_suspected} suspected; 95 % upper end {found.rate_below:.1e}."
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
