"""`python -m tests.attacks.watermark.docs`: write the figures of docs/watermark.md anew from bench/results.

Rule: no figure of the campaign is written by hand; a test compares the page with what this makes of the committed results.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from bench import watermark as bench
from tests.attacks.watermark import quality
from tests.attacks.watermark.nulls import Nulls
from tests.attacks.watermark.peers import TOOLS
from tests.attacks.watermark.table import Result, render, render_goals

PAGE: Final = Path("docs/watermark.md")
RESULTS: Final = Path("bench/results/watermark.json")
_COLLUSION: Final = re.compile(
    r"(?P<who>.+): (?P<count>\d+) collude, (?P<strategy>.+), (?P<output>PNG|JPEG 75|print-scan)"
)


class Campaign(msgspec.Struct, frozen=True):
    """What the page says of the campaign's results."""

    machine: dict[str, object]
    command: str
    peer_trials: int
    cells: list[Result]
    nulls: Nulls | None


def section(name: str, text: str, body: str) -> str:
    """The page with what stands between two markers replaced.

    Raises:
        ValueError: the page has no such markers, or several.
    """
    begin, end = f"<!-- {name}: made by tests/attacks/watermark/docs.py -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the page has not exactly one section {name!r}")
    head, rest = text.split(begin)
    return f"{head}{begin}\n\n{body.strip()}\n\n{end}{rest.split(end)[1]}"


def campaign(found: Campaign) -> str:
    """What was measured, in sentences and tables."""
    plain = [one for one in found.cells if not _COLLUSION.fullmatch(one.cell)]
    together = [one for one in found.cells if _COLLUSION.fullmatch(one.cell)]
    tools = TOOLS if found.peer_trials else ()
    parts = [_summary(found), render_goals(found.cells), "Cell by cell:", render(plain, tools)]
    if together:
        parts.append(
            "Collusion: copies mixed pixel by pixel, or in blocks of 64 pixels (mosaic); trials reached when the mixture leaks as "
            "PNG, as JPEG 75, and printed and scanned. None of the other tools claims it."
        )
        parts.append(_collusion(together))
    return "\n\n".join(parts)


def _summary(found: Campaign) -> str:
    cells = found.cells
    trials = sorted({one.trials for one in cells})
    many = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}"
    missed = [f"{one.cell} {one.hits}/{one.trials}" for one in cells if one.status == "MISS"]
    met = sum(one.status == "met" for one in cells)
    so_far = sum(one.status == "so far" for one in cells)
    wrong = sum(one.false_accusations for one in cells)
    scored = sum(one.bystanders for one in cells)
    lines = [
        f"Measured with `{found.command}` on {found.machine['cores']} cores, Python {found.machine['python']};",
        f"{many} trials a cell.",
        f"{len(cells)} cells: {met} met, {so_far} reach their goal so far, {len(missed)} miss it"
        + (f" ({'; '.join(missed)})." if missed else "."),
        f"Innocents accused in the trials: {wrong:,} of {scored:,} scored.",
    ]
    if found.nulls is not None:
        null = found.nulls
        lines.append(
            f"Null trials: {null.scored:,} ids never issued, scored against {null.leaks} attacked leaks: "
            f"{null.falsely_accused} accused, {null.falsely_suspected} suspected (95 % upper end of the rate of false "
            f"accusations {null.rate_below:.1e}; the goal is none in 1,000,000)."
        )
    if found.peer_trials:
        lines.append(
            "Other tools: blind-watermark and invisible-watermark (`dwtDctSvd`) as shipped, reached when all of 64 bits are "
            f"right, without the original that this library is given; trials a cell: {found.peer_trials}."
        )
    return "\n".join(lines)


def _collusion(cells: list[Result]) -> str:
    strategies: dict[str, None] = {}
    rows: dict[tuple[str, int], dict[str, list[Result]]] = {}
    for one in cells:
        named = _COLLUSION.fullmatch(one.cell)
        assert named is not None
        strategies[named["strategy"]] = None
        row = rows.setdefault((named["who"], int(named["count"])), {})
        row.setdefault(named["strategy"], []).append(one)
    lines = [
        "| colluders: goal | " + " | ".join(strategies) + " |",
        "|---|" + "---|" * len(strategies),
    ]
    for (who, count), row in rows.items():
        first = next(iter(row.values()))[0]
        goal = f"{who}, {count}: {first.success} ≥ {100 * first.goal:g} %"
        shown = [", ".join(_hits(one) for one in row.get(strategy, [])) or "–" for strategy in strategies]
        lines.append(f"| {goal} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _hits(one: Result) -> str:
    text = f"{one.hits}/{one.trials}"
    return f"**{text}**" if one.status == "MISS" else text


def made(text: str) -> str:
    """The page with every section written anew from the committed results."""
    found = msgspec.json.decode(RESULTS.read_bytes(), type=Campaign)
    measured = msgspec.json.decode(quality.OUT.read_bytes(), type=quality.Quality)
    shown = f"Measured with `{measured.command}`.\n\n{quality.render(measured)}"
    costs = msgspec.json.decode(bench.RESULTS.read_bytes(), type=bench.Costs)
    spent = (
        f"Measured with `{costs.command}` on {costs.machine['cores']} cores.\n\n{bench.render(costs.rows)}"
    )
    for name, body in (("campaign", campaign(found)), ("quality", shown), ("costs", spent)):
        text = section(name, text, body)
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(made(PAGE.read_text()))


if __name__ == "__main__":
    main()
