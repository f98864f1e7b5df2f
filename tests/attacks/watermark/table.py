"""What a cell of the campaign came to, the table of them, and the table of the goals.

Rule: a rate below its goal is a MISS, and so is any false accusation; a rate that reaches its goal in fewer trials than
the design asks for is only "so far". A goal is often several attacks on several media: its row adds up their cells, and misses
where one of them does. The interval stands beside every rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from tests.attacks.watermark.statistics import interval

TRIALS_ASKED: Final = 300
_UNTESTED: Final = "–"


class Result(msgspec.Struct, frozen=True):
    """A cell after its trials.

    Attributes:
        cell: medium and attack.
        success: what counts as reached.
        goal: share, 0 to 1.
        hits: trials that reached it.
        trials: how many there were.
        false_accusations: innocents accused, in all trials.
        bystanders: innocents scored, in all trials.
        worst_log10_np: the largest log₁₀ N·p of the recipient, or of the best one of several; 0 when not named.
        failures: verdict and cover of the first few that did not reach it.
        seconds: what the cell took.
        peers: tool → of how many trials it gave back all 64 bits, as `hits/trials`.
        engine: what the trials depend on, as a hash; only trials of the same may be added.
    """

    cell: str
    success: str
    goal: float
    hits: int
    trials: int
    false_accusations: int
    bystanders: int
    worst_log10_np: float
    failures: list[str]
    seconds: float
    peers: dict[str, str] = {}
    engine: str = ""

    @property
    def status(self) -> str:
        """`met`, `so far`, `MISS`, or `not run`."""
        if self.false_accusations or self.hits < self.goal * self.trials:
            return "MISS"
        if not self.trials:
            return "not run"
        return "met" if self.trials >= TRIALS_ASKED else "so far"


GOAL_ROWS: Final = (
    ("JPEG 90 to 30", r"JPEG \d+"),
    ("resize 0.5 to 1.5, rotation to 5°, crop to 50 %", r"resize .*|rotate .*|crop (25|50) %"),
    ("crop 90 %, 0.2 MP left", r"crop 90 %, 0\.2 MP left"),
    ("crop 90 %, 0.03 MP left", r"crop 90 %, 0\.03 MP left"),
    ("print-scan", r"print-scan"),
    ("camera", r"camera"),
    ("crop 25 %, rotate 2°, × 0.75, JPEG 50", r"crop 25 %, rotate 2°.*"),
    ("blur σ 2, bend 1.5 px, median 5, WebP 20", r"blur .*|bend .*|median 5|WebP 20"),
    ("binarised, fax", r"binarised|fax, 1 bit"),
    ("pictures: 2 collude", r"2 collude, .*(PNG|JPEG 75|print-scan)"),
    ("pictures: 3 collude", r"3 collude, .*(PNG|JPEG 75|print-scan)"),
    ("pictures: 5 collude", r"5 collude, .*(PNG|JPEG 75|print-scan)"),
    ("pictures: 8 collude", r"8 collude, .*(PNG|JPEG 75|print-scan)"),
    ("tables of 1,000 rows", r"90 % of rows.*|half of .*|30 % of cells.*|sorted|CSV .*|NFKC"),
    ("table of 10,000 rows, 99 % of rows deleted", r"99 % of rows deleted"),
    ("tables of 1,000 rows: 2, 3 and 5 collude", r"\d collude(, numbers alone, .*)?"),
    ("JSON record, serialised again", r"serialised again.*"),
    ("text, stripped or retyped", r"invisibles stripped|retyped"),
)
"""The rows of the goals, and which attacks each of them names."""


def by_goal(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The cells of each row of the goals, in the order of the goals."""
    rows: dict[str, list[Result]] = {name: [] for name, _ in GOAL_ROWS}
    for one in results:
        rows[row_of(one.cell)].append(one)
    return {name: cells for name, cells in rows.items() if cells}


def shared_by_goal(names: Sequence[str], trials: int) -> dict[str, int]:
    """How many trials each cell has when every row of the goals is to have so many: as many as the others of its row.

    Args:
        names: of cells.
        trials: of a row.
    """
    rows: dict[str, list[str]] = {}
    for name in names:
        rows.setdefault(row_of(name), []).append(name)
    return {name: -(-trials // len(row)) for row in rows.values() for name in row}


def row_of(cell: str) -> str:
    """The row of the goals to which a cell belongs."""
    attack = cell.split(": ", 1)[1]
    return next(name for name, pattern in GOAL_ROWS if re.fullmatch(pattern, attack))


def render_goals(results: Sequence[Result]) -> str:
    """A line for each row of the goals: all its cells together, and whether every one of them reaches its goal."""
    header = ["goal", "", "cells", "reached", "trials", "95 % interval", "worst log₁₀ N·p", ""]
    rows = [header, ["---"] * len(header)]
    for name, cells in by_goal(results).items():
        hits, trials = sum(one.hits for one in cells), sum(one.trials for one in cells)
        low, high = interval(hits, trials)
        missed = [one.cell for one in cells if one.status == "MISS"]
        status = "met" if trials >= TRIALS_ASKED and all(one.trials for one in cells) else "so far"
        rows.append(
            [
                name,
                f"{cells[0].success} ≥ {percent(cells[0].goal)} %",
                str(len(cells)),
                f"{percent(hits / trials)} %" if trials else _UNTESTED,
                f"{hits}/{trials}",
                f"{percent(low)}–{percent(high)} %",
                f"{max(one.worst_log10_np for one in cells):.0f}",
                f"**MISS**: {'; '.join(missed)}" if missed else status,
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def percent(rate: float) -> str:
    """A share as text."""
    return f"{100 * rate:.1f}".removesuffix(".0")


def line(result: Result, tools: Sequence[str]) -> list[str]:
    """The columns of a result."""
    low, high = interval(result.hits, result.trials)
    rate = percent(result.hits / result.trials) if result.trials else _UNTESTED
    peers = [result.peers.get(tool, _UNTESTED) for tool in tools]
    goal = f"{result.success} ≥ {percent(result.goal)} %"
    status = f"**{result.status}**" if result.status == "MISS" else result.status
    return [
        result.cell,
        goal,
        f"{rate} %",
        f"{result.hits}/{result.trials}",
        f"{percent(low)}–{percent(high)} %",
        f"{result.worst_log10_np:.0f}",
        *peers,
        status,
    ]


def render(results: Sequence[Result], tools: Sequence[str]) -> str:
    """The table in Markdown."""
    header = ["medium, attack", "goal", "reached", "trials", "95 % interval", "worst log₁₀ N·p", *tools, ""]
    rows = [header, ["---"] * len(header), *(line(result, tools) for result in results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
