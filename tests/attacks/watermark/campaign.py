"""A trial and a cell of the campaign.

Rule: the recipient is one of 10,000 candidates of the trace, innocents are scored in the same detection, and a trial counts only
by the verdict the library gives: `accused` names, `investigate` does not. Trials of one cell share nothing; trials of several cells
that have the same number attack the same copies.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from msgspec.structs import replace

from tests.attacks.watermark.cells import Cell, Success, all_cells
from tests.attacks.watermark.covers import Cover
from tests.attacks.watermark.table import Result
from watermark import AssetKey, Verdict, codeword_seed, detect, embed, phantom_seeds

N: Final = 10_000
BYSTANDERS: Final = 50
MASTER: Final = hashlib.sha256(b"campaign").digest()
ACCUSED_LOG10_NP: Final = -9.0
FAILURES_KEPT: Final = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """A leaked file, and whose copies it was made of."""

    cover: Cover
    data: bytes
    keys: AssetKey
    guilty: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """A cover, and the copies of it that were handed out."""

    cover: Cover
    keys: AssetKey
    copies: tuple[bytes, ...]
    recipients: tuple[bytes, ...]


@lru_cache(maxsize=1)
def marked(medium: str, draw: Callable[[int], Cover], number: int, recipients: int) -> Marked:
    """What the cells of a medium attack in their trial of this number: the same copies, in every way."""
    cover = draw(number)
    keys = AssetKey.from_master(MASTER, cover.data)
    releases = tuple(
        hashlib.sha256(f"{medium}/{number}/{copy}".encode()).digest()[:8] for copy in range(recipients)
    )
    copies = tuple(
        embed(
            cover.data,
            cover.media_type,
            layout_key=keys.layout,
            seed=codeword_seed(keys.mark, release),
            policy=cover.policy,
        ).data
        for release in releases
    )
    return Marked(cover, keys, copies, releases)


def leak_of(cell: Cell, number: int) -> Leak:
    """The leak of a trial: cover and recipients come from its number and the medium, the attack's seed from the cell too."""
    found = marked(cell.medium, cell.cover, number, cell.recipients)
    leak = cell.leak(list(found.copies), cell.seed(number))
    return Leak(found.cover, leak, found.keys, found.recipients)


def trace(leak: Leak, innocents: int, first: int = 0) -> Verdict:
    """The verdict over the recipients and so many ids that were never issued."""
    others = (hashlib.sha256(f"never/{first + index}".encode()).digest()[:8] for index in range(innocents))
    return detect(
        leak.data,
        leak.cover.data,
        leak.cover.media_type,
        layout_key=leak.keys.layout,
        candidates={release: codeword_seed(leak.keys.mark, release) for release in (*leak.guilty, *others)},
        phantoms=phantom_seeds(leak.keys.layout, leak.data, 1),
        policy=leak.cover.policy,
        candidates_total=N,
    )


def falsely_accused(leak: Leak, verdict: Verdict) -> int:
    """Innocents that the verdict accuses."""
    return sum(
        match.log10_np <= ACCUSED_LOG10_NP and match.release_id not in leak.guilty
        for match in verdict.matches
    )


def reached(success: Success, leak: Leak, verdict: Verdict) -> bool:
    """Whether a verdict is what the goal asks for."""
    named = {match.release_id for match in verdict.matches if match.log10_np <= ACCUSED_LOG10_NP}
    match success:
        case Success.UNTRACEABLE:
            return verdict.verdict == "untraceable" and not verdict.matches
        case Success.ONE_NAMED:
            return bool(named & set(leak.guilty))
        case Success.NAMED | Success.ALL_NAMED:
            return named >= set(leak.guilty)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial came to; `failure` says how it missed, and is empty where it did not."""

    reached: bool
    falsely_accused: int
    log10_np: float
    failure: str
    seconds: float


def trial(cell: Cell, number: int) -> Trial:
    """Mark, attack, trace."""
    begun = time.process_time()
    leak = leak_of(cell, number)
    verdict = trace(leak, BYSTANDERS, number * BYSTANDERS)
    good = reached(cell.success, leak, verdict)
    scores = {match.release_id: match.log10_np for match in verdict.matches}
    of_guilty = [scores.get(release, 0.0) for release in leak.guilty]
    named = sum(score <= ACCUSED_LOG10_NP for score in of_guilty)
    failure = (
        f"{leak.cover.name}: {verdict.verdict.value}, {named} of {len(leak.guilty)} named, "
        f"aligned: {verdict.alignment}"
    )
    return Trial(
        reached=good,
        falsely_accused=falsely_accused(leak, verdict),
        log10_np=min(of_guilty) if cell.success is Success.ONE_NAMED else max(of_guilty),
        failure="" if good else failure,
        seconds=time.process_time() - begun,
    )


def trials_by_name(names: Sequence[str], number: int) -> list[Trial]:
    """A trial of each of some cells, for a worker process, to which a cell cannot be sent."""
    return [trial(cells_by_name()[name], number) for name in names]


@cache
def cells_by_name() -> dict[str, Cell]:
    """Every cell."""
    return {cell.name: cell for cell in all_cells()}


def summed(cell: Cell, trials: Sequence[Trial]) -> Result:
    """A cell after its trials."""
    return Result(
        cell=cell.name,
        success=cell.success.value,
        goal=cell.goal,
        hits=sum(one.reached for one in trials),
        trials=len(trials),
        false_accusations=sum(one.falsely_accused for one in trials),
        bystanders=len(trials) * BYSTANDERS,
        worst_log10_np=round(max((one.log10_np for one in trials), default=0.0), 1),
        failures=[one.failure for one in trials if one.failure][:FAILURES_KEPT],
        seconds=round(sum(one.seconds for one in trials), 1),
    )


def added(before: Result, more: Result) -> Result:
    """Earlier trials of a cell and later ones together."""
    if not before.trials:
        return more
    return replace(
        before,
        hits=before.hits + more.hits,
        trials=before.trials + more.trials,
        false_accusations=before.false_accusations + more.false_accusations,
        bystanders=before.bystanders + more.bystanders,
        worst_log10_np=max(before.worst_log10_np, more.worst_log10_np)
        if more.trials
        else before.worst_log10_np,
        failures=[*before.failures, *more.failures][:FAILURES_KEPT],
        seconds=round(before.seconds + more.seconds, 1),
    )
