"""Which page of an original a leaked raster shows, and which way round.

Rule: the choice rests on how leak and page correlate, never on a score of a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from watermark import align
from watermark.chips import U8

THOROUGH_PAGES_MAX: Final = 4
"""Of longer originals, and of later rasters of a leak, no pieces, mirror images and negatives are looked for: each takes
a second."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A leaked raster on the page that it shows.

    Attributes:
        page: its number, from 0.
        alignment: how the raster lies on it.
        leak: the raster, turned back from a mirror image or a negative.
    """

    page: int
    alignment: align.Alignment
    leak: U8


def place(leak: U8, order: int, pages: tuple[U8, ...], known: list[align.Features | None]) -> Placed | None:
    """The page that a leak shows, and how it lies on it; None when it shows none of them.

    Pages often look alike, so all are compared; a tie goes to the same place.

    Args:
        leak: grey raster.
        order: place of the leak among the leaked rasters.
        pages: grey rasters of the original.
        known: features of each page, filled in as they are needed; as long as `pages`.
    """
    thorough = max(len(pages), order + 1) <= THOROUGH_PAGES_MAX
    best = _placed(leak, order, pages, known, thorough=thorough)
    if thorough and (best is None or best.alignment.correlation < align.CORRELATION_CLEAR):
        best = max(
            (best, *_other_ways_round(leak, order, pages, known, best)),
            key=lambda found: -1.0 if found is None else found.alignment.correlation,
        )
    if best is None:
        return None
    refined = align.refine(best.leak, pages[best.page], best.alignment)
    return replace(best, alignment=refined) if refined.correlation >= align.CORRELATION_MIN else None


def _other_ways_round(
    leak: U8, order: int, pages: tuple[U8, ...], known: list[align.Features | None], best: Placed | None
) -> list[Placed]:
    """The leak as a mirror image, as a negative, and as both, where it is one beyond doubt.

    A page of text looks somewhat like its mirror image; where the leak fits fairly as it is, only whole frames are compared.
    """
    poor = best is None or best.alignment.correlation < align.CORRELATION_FAIR
    negative = np.asarray(255 - leak, np.uint8)
    views = {
        "mirrored": np.ascontiguousarray(leak[:, ::-1]),
        "negative": negative,
        "mirrored negative": np.ascontiguousarray(negative[:, ::-1]),
    }
    standing = []
    for name, view in views.items():
        found = _placed(view, order, pages, known, thorough=False) if poor else _whole(view, order, pages)
        if found is not None and found.alignment.correlation >= align.CORRELATION_FAIR:
            method = f"{name}, {found.alignment.method}"
            standing.append(replace(found, alignment=replace(found.alignment, method=method)))
    return standing


def _whole(leak: U8, order: int, pages: tuple[U8, ...]) -> Placed | None:
    """The page whose whole frame it shows."""
    frames = [
        Placed(index, plain, leak)
        for index, page in enumerate(pages)
        if (plain := align.same_frame(leak, page))
    ]
    return _better(frames, order)


def _placed(
    leak: U8,
    order: int,
    pages: tuple[U8, ...],
    known: list[align.Features | None],
    *,
    thorough: bool,
) -> Placed | None:
    best = _whole(leak, order, pages)
    if best is None or best.alignment.correlation < align.CORRELATION_CLEAR:
        seen = align.features(leak)
        for index, page in enumerate(pages):
            known[index] = known[index] or align.features(page)
        found = [
            Placed(index, rough, leak)
            for index, page in enumerate(pages)
            if (rough := align.rough(leak, page, known[index], seen, thorough=thorough))
        ]
        best = _better(found, order)
    return best


def _better(found: list[Placed], order: int) -> Placed | None:
    return max(found, key=lambda one: (round(one.alignment.correlation, 4), one.page == order), default=None)
