"""Which page of an original a leaked raster shows.

Rule: the choice rests on how leak and page correlate, never on a score of a candidate.
"""

from __future__ import annotations

from watermark import align
from watermark.chips import U8


def place(
    leak: U8, order: int, pages: tuple[U8, ...], known: list[align.Features | None]
) -> tuple[int, align.Alignment] | None:
    """The page that a leak shows, and how it lies on it; None when it shows none of them.

    Pages often look alike, so all are compared; a tie goes to the same place.

    Args:
        leak: grey raster.
        order: place of the leak among the leaked rasters.
        pages: grey rasters of the original.
        known: features of each page, filled in as they are needed; as long as `pages`.
    """
    frames = [(index, align.same_frame(leak, page)) for index, page in enumerate(pages)]
    best = _better(frames, order)
    if best is None or best[1].correlation < align.CORRELATION_CLEAR:
        seen = align.features(leak)
        for index, page in enumerate(pages):
            known[index] = known[index] or align.features(page)
        found = [(index, align.rough(leak, page, known[index], seen)) for index, page in enumerate(pages)]
        best = _better(found, order)
    if best is None:
        return None
    refined = align.refine(leak, pages[best[0]], best[1])
    return (best[0], refined) if refined.correlation >= align.CORRELATION_MIN else None


def _better(
    found: list[tuple[int, align.Alignment | None]], order: int
) -> tuple[int, align.Alignment] | None:
    standing = [(index, alignment) for index, alignment in found if alignment is not None]
    return max(standing, key=lambda place: (round(place[1].correlation, 4), place[0] == order), default=None)
