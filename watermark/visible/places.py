"""Where the tier stands on a page: sizes and places in proportion to the page, alike for pixels and points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from watermark.chips import U8
from watermark.limits import VISIBLE_TILES_MAX
from watermark.visible.stencils import WORD_PIXELS, Stencil

WORDS_DARKEN: Final = 0.10
"""By how much of itself what lies under the words gets darker."""
CODE_DARKEN: Final = 0.60
"""The same, under the modules of the code."""
INK_MAX: Final = 0.03
"""Of a page's pixels, touched by words."""
_INK_AIM: Final = 0.025
"""The pattern does not begin at a page's corner: what is aimed at leaves room for that."""
QUIET_MODULES: Final = 4
"""Free of ink around a code (ISO/IEC 18004, 6.3.8)."""
MODULE_PIXELS_MIN: Final = 3
_CODE_PART: Final = 0.08
_CODE_PART_MAX: Final = 1 / 3
"""Side of a code, of a page's shorter side: wanted, and at most."""
_EMPTY_LEVELS_MIN: Final = 150.0
_RESTLESS_LEVELS_MAX: Final = 12.0
"""Mean and deviation of a place where a code can be read."""
_RESTLESS_STEP_LEVELS: Final = 4.0
"""Places whose deviations differ by less are alike, and the first of them is taken."""
_PLACES: Final = 24
_WORD_PART: Final = 1 / 50
"""Size of the words, of a page's shorter side."""


def word_scale(shorter: float) -> float:
    """By how much a stencil of words is scaled for a page.

    Args:
        shorter: the page's shorter side.
    """
    return shorter * _WORD_PART / WORD_PIXELS


def word_places(stamp: Stencil, unit: float, width: float, height: float) -> Iterator[tuple[float, float]]:
    """Left upper corners of the words on a page, in a brick pattern that keeps to `INK_MAX` and leaves gaps.

    Args:
        stamp: the words as they are laid on the page.
        unit: side of the stamp's pixels on the page.
        width, height: of the page.

    Yields:
        At most about `VISIBLE_TILES_MAX` places.
    """
    high, wide = stamp.shape[0] * unit, stamp.shape[1] * unit
    gap = min(width, height) * _WORD_PART
    across, down = wide + gap, high + gap
    inked = float(np.count_nonzero(stamp)) * unit**2
    room = max(inked / _INK_AIM, width * height / VISIBLE_TILES_MAX)
    spread = max(1.0, room / (across * down)) ** 0.5
    across, down = across * spread, down * spread
    row, top = 0, -high / 2
    while top < height:
        left = -across / 2 * (row % 2) - wide / 4
        while left < width:
            yield left, top
            left += across
        row, top = row + 1, top + down


def module_of(grey: U8, code: Stencil) -> int:
    """Pixels of a code's module on a picture."""
    modules = code.shape[0] + 2 * QUIET_MODULES
    height, width = grey.shape
    wanted: int = round(min(height, width) * _CODE_PART / modules)
    return max(MODULE_PIXELS_MIN, wanted)


def code_place(grey: U8, code: Stencil, module: int) -> tuple[int, int, int] | None:
    """The emptiest place for a code near the edges of a page, those at the right and the bottom first.

    Args:
        grey: the page.
        code: a pixel a module, without its quiet zone.
        module: pixels a module.

    Returns:
        `module`, and left and top of the code; None where no place is large, light and calm enough.
    """
    height, width = grey.shape
    side = module * (code.shape[0] + 2 * QUIET_MODULES)
    if side > min(height, width) * _CODE_PART_MAX:
        return None
    best: tuple[int, int, int, int] | None = None
    for order, (left, top) in enumerate(_rim(width - side, height - side)):
        # Every pixel of a small picture, three by three a module of a large one.
        step = max(1, module // 3)
        levels = grey[top : top + side : step, left : left + side : step]
        restless = float(levels.std())
        if levels.mean() >= _EMPTY_LEVELS_MIN and restless <= _RESTLESS_LEVELS_MAX:
            found = (round(restless / _RESTLESS_STEP_LEVELS), order, left, top)
            best = found if best is None else min(best, found)
    if best is None:
        return None
    return module, best[2] + module * QUIET_MODULES, best[3] + module * QUIET_MODULES


def _rim(right: int, bottom: int) -> Sequence[tuple[int, int]]:
    """Places in the outer fifth of a page, those at the right and the bottom first."""
    xs = np.linspace(right, 0, _PLACES).round().astype(int).tolist()
    ys = np.linspace(bottom, 0, _PLACES).round().astype(int).tolist()
    return [
        (x, y) for y in ys for x in xs if min(x, right - x) <= right / 5 or min(y, bottom - y) <= bottom / 5
    ]
