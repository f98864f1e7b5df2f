"""Worker processes of the campaign, and what they run: the same figures however many there are.

Rule: a trial is a function of its cell and its number alone, so trials may run anywhere and be added up later; but only with
trials of the same engine, attacks and covers (`fingerprint`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
from msgspec.structs import replace

from tests.attacks.watermark import nulls
from tests.attacks.watermark.campaign import added, summed, trials_by_name
from tests.attacks.watermark.cells import Cell
from tests.attacks.watermark.nulls import A_LEAK, Nulls
from tests.attacks.watermark.table import Result

A_ROUND: Final = 3
"""Trials of every cell before the file of results is written: a run that ends early has tried all cells equally often."""
_ENGINE: Final = Path("watermark")
_ATTACKS: Final = Path("tests/attacks/watermark")
_OF_NO_CELL: Final = ("__main__", "parquet*", "xlsx")
"""Media, and the command line, that no cell tries."""
_PICTURES_ALONE: Final = (
    *(
        "align",
        "blank",
        "chips",
        "images",
        "pages",
        "pdf*",
        "rasters",
        "render*",
        "saved_again",
        "sides",
        "two_tones",
    ),
    *("photos", "picture_covers"),
)
_ROWS_ALONE: Final = (
    *(
        "csv_text",
        "json_text",
        "linking",
        "records",
        "references",
        "shapes",
        "sheets",
        "tables",
        "texts",
        "zero_width",
    ),
    *("row_collusion", "rows"),
)
_DECIDE: Final = (
    *("campaign", "cells", "covers", "images", "nulls", "photos", "picture_covers", "row_collusion", "rows"),
)


def fingerprint(pictures: bool | None = None) -> str:
    """What the figures depend on, as a hash: the sources of engine, attacks and covers.

    Args:
        pictures: of cells of pictures (True) or of rows and text (False): without the sources of the others alone; None: of all.
    """
    without = (*_OF_NO_CELL, *(() if pictures is None else _ROWS_ALONE if pictures else _PICTURES_ALONE))
    found = hashlib.sha256()
    for file in (*sorted(_ENGINE.glob("*.py")), *(_ATTACKS / f"{name}.py" for name in _DECIDE)):
        if not any(fnmatch(file.stem, pattern) for pattern in without):
            found.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def pool(jobs: int) -> ProcessPoolExecutor:
    """So many processes, each of one thread."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_alone)


def _alone() -> None:
    cv2.setNumThreads(1)


def rounds(
    workers: Executor,
    cells: Sequence[Cell],
    trials: Mapping[str, int],
    known: dict[str, Result],
    late: Callable[[], bool],
) -> Iterator[dict[str, Result]]:
    """Cells with more and more trials, until each has so many or it is late.

    Args:
        workers: where the trials run.
        cells: what is tried.
        trials: how many of each, by its name.
        known: results so far, by cell; trials go on behind them.
        late: asked before each round.

    Yields:
        The results, by cell, after each round.
    """
    engine = {of: fingerprint(of) for of in (True, False)}
    done = {cell.name: known.get(cell.name, summed(cell, ())) for cell in cells}
    by_name = {cell.name: cell for cell in cells}
    for first in range(0, max(trials.values()), A_ROUND):
        tasks = [
            (names, number)
            for number in range(first, first + A_ROUND)
            for group in together(cells)
            if (names := [name for name in group if done[name].trials <= number < trials[name]])
        ]
        if not tasks:
            continue
        if late():
            return
        for (names, _), found in zip(
            tasks, workers.map(trials_by_name, *zip(*tasks, strict=True)), strict=True
        ):
            for name, one in zip(names, found, strict=True):
                together_now = added(done[name], summed(by_name[name], (one,)))
                done[name] = replace(together_now, engine=engine[by_name[name].of_pictures])
        yield done


def together(cells: Sequence[Cell]) -> list[list[str]]:
    """The names of cells that attack the same copies: whoever tries them one after another makes the copies once."""
    groups: dict[tuple[object, int], list[str]] = {}
    for cell in cells:
        groups.setdefault((cell.cover, cell.recipients), []).append(cell.name)
    # What takes long begins first, so that no worker waits for it at the end of a round.
    return sorted(groups.values(), key=len, reverse=True)


def null_trials(
    workers: Executor, cells: Sequence[Cell], count: int, known: Nulls, late: Callable[[], bool]
) -> Iterator[Nulls]:
    """Score ids that were never issued until there are so many or it is late, 10,000 a leak, round the cells.

    Args:
        workers: where they are scored.
        cells: whose leaks.
        count: how many ids.
        known: the sums so far.
        late: asked before each round of leaks.
    """
    sums = known
    while sums.scored < count and not late():
        tasks = []
        for ahead in range(A_ROUND):
            leak, first = sums.leaks + ahead, sums.scored + ahead * A_LEAK
            if first < count:
                cell = cells[leak % len(cells)]
                tasks.append((cell.name, leak // len(cells), min(A_LEAK, count - first), first))
        for found in workers.map(nulls.on_leak_by_name, *zip(*tasks, strict=True)):
            sums = sums.with_leak(*found)
        yield sums
