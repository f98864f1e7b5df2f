"""Several recipients make one table of their copies.

Rule: each strategy is a pure function of the copies and the seed; the colluders know the schema, no key, and link their rows by the
declared key. Rows stand in the first copy's order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from tests.attacks.watermark.rows import read, strip_invisible, write

Choice = Callable[[Sequence[str], random.Random], str]


def collude(copies: list[bytes], seed: int, *, strategy: str, bare: bool = False) -> bytes:
    """One table of several copies.

    Args:
        copies: CSV files with the same rows, their key first.
        seed: of everything that is drawn.
        strategy: one of `STRATEGIES`.
        bare: invisible characters and the column of references are taken out first.
    """
    if bare:
        copies = [_bare(copy) for copy in copies]
    header, *first = read(copies[0])
    others = [{line[0]: line for line in read(copy)[1:]} for copy in copies]
    rng = random.Random(seed)
    lines = [header]
    for line in first:
        versions = [copy[line[0]] for copy in others]
        if strategy == _MOSAIC:
            lines.append(rng.choice(versions))
            continue
        choose = _CELLS[strategy]
        cells = (choose([version[at] for version in versions], rng) for at in range(1, len(line)))
        lines.append([line[0], *cells])
    return write(lines)


def _mixed(values: Sequence[str], rng: random.Random) -> str:
    """Somebody's."""
    return rng.choice(values)


def _majority(values: Sequence[str], rng: random.Random) -> str:
    """What most have."""
    counts = Counter(values)
    most = max(counts.values())
    return rng.choice([value for value, count in counts.items() if count == most])


def _minority(values: Sequence[str], rng: random.Random) -> str:
    """What fewest have."""
    counts = Counter(values)
    fewest = min(counts.values())
    return rng.choice([value for value, count in counts.items() if count == fewest])


def _average(values: Sequence[str], rng: random.Random) -> str:
    """The mean of numbers, with as many decimals; of anything else somebody's."""
    try:
        numbers = [Decimal(value) for value in values]
    except ArithmeticError:
        return rng.choice(values)
    unit = Decimal(1).scaleb(int(numbers[0].as_tuple().exponent))
    return f"{(sum(numbers, Decimal()) / len(numbers)).quantize(unit):f}"


def _extremes(values: Sequence[str], rng: random.Random) -> str:
    """The least or the greatest of numbers."""
    try:
        ordered = sorted(values, key=Decimal)
    except ArithmeticError:
        return rng.choice(values)
    return rng.choice((ordered[0], ordered[-1]))


_MOSAIC: Final = "row by row"
_CELLS: Final[Mapping[str, Choice]] = {
    "cell by cell": _mixed,
    "majority": _majority,
    "minority": _minority,
    "average": _average,
    "extremes": _extremes,
}
STRATEGIES: Final = (*_CELLS, _MOSAIC)


def _bare(copy: bytes) -> bytes:
    header, *body = read(strip_invisible(copy, 0))
    kept = [at for at, name in enumerate(header) if name != "ref"]
    return write([[line[at] for at in kept] for line in (header, *body)])
