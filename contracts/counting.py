"""How a count becomes what may be told: rounding, and suppression of small cells.

Rule: pure arithmetic, the same for the node that counts and for the contract that takes the numbers. No cell with
fewer than `group_min` is told, nor what the others would tell of it: those suppressed have at least `group_min`
between them, or nothing is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.question_records import CellCount, DeclaredPartition


def rounded(count: int, base: int) -> int:
    """The nearest multiple of `base`, halves up."""
    return (count + base // 2) // base * base


def told(partition: DeclaredPartition, counts: Sequence[int]) -> tuple[CellCount, ...]:
    """What may be told of true counts, one for each cell of the partition in its order."""
    suppressed = _suppressed(counts, partition.group_min)
    return tuple(
        CellCount(
            cell=cell,
            count=0 if at in suppressed else rounded(count, partition.base),
            suppressed=at in suppressed,
        )
        for at, (cell, count) in enumerate(zip(partition.cells, counts, strict=True))
    )


def why_not_told(partition: DeclaredPartition, cells: Sequence[CellCount], counted: int) -> str:
    """Empty if these cells could come of `counted` certificates by `told`, else what is wrong with them."""
    if tuple(cell.cell for cell in cells) != partition.cells:
        return "cells"
    least = rounded(partition.group_min, partition.base)
    for cell in cells:
        if cell.suppressed and cell.count:
            return "suppressed"
        if not cell.suppressed and (cell.count % partition.base or cell.count < least):
            return "rounding"
    open_cells = [cell.count for cell in cells if not cell.suppressed]
    # Each number is at most half a base away from what was counted.
    slack = len(open_cells) * (partition.base // 2)
    hidden = partition.group_min if len(open_cells) < len(cells) and open_cells else 0
    if sum(open_cells) - slack + hidden > counted:
        return "sum"
    if len(open_cells) == len(cells) and sum(open_cells) + slack < counted:
        return "sum"
    return ""


def _suppressed(counts: Sequence[int], group_min: int) -> frozenset[int]:
    """The small cells, and the smallest others until those hidden are `group_min` between them."""
    hidden = {at for at, count in enumerate(counts) if count < group_min}
    if not hidden:
        return frozenset()
    for at in sorted(range(len(counts)), key=lambda at: (counts[at], at)):
        if sum(counts[hid] for hid in hidden) >= group_min and len(hidden) > 1:
            break
        hidden.add(at)
    return frozenset(hidden)
