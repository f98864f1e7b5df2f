"""What a cell of the campaign came to, and the table of them.

Rule: a rate below its goal is a MISS, and so is any false accusation; a rate that reaches its goal in fewer trials than
the design asks for is only "so far". The interval stands beside every rate.
"""

from __future__ import annotations

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

    @property
    def status(self) -> str:
        """`met`, `so far`, `MISS`, or `not run`."""
        if self.false_accusations or self.hits < self.goal * self.trials:
            return "MISS"
        if not self.trials:
            return "not run"
        return "met" if self.trials >= TRIALS_ASKED else "so far"


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
