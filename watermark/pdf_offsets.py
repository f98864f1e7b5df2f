"""Measuring how far the glyphs of a leak stand from where the original has them.

Rule: original and leak are compared and nothing else; no candidate is looked at. Where the leak still has the text,
positions are read from it exactly; from a picture each glyph's movement is the one that best explains, to first order,
the difference between the leak and the page (Lucas and Kanade's estimate along the line of writing). Whatever bends
slowly over the page is paper, lens or scale, and is taken out.

Source: B. Lucas, T. Kanade, "An iterative image registration technique" (1981).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from watermark import align
from watermark.chips import F64, U8
from watermark.pdf_carriers import Carriers, Glyph, Measured
from watermark.pdf_text import MM_PER_POINT, Key, PageText, Show, Text

SHOWS_MATCHED_MAX: Final = 3_000
"""Of a page, where the leak's differ from the original's; more are compared only if they are the same throughout."""
GLYPHS_MIN: Final = 16
FAR_MM: Final = 0.4
"""A glyph that seems further away was measured wrongly, or is another one."""
_SMOOTH_PIXELS: Final = 1.0
_BENDING_FROM: Final = 120
"""Glyphs from which a cubic drift is taken out; with fewer an affine one, or only the mean."""
_AFFINE_FROM: Final = 40

I32 = npt.NDArray[np.int32]


def from_text(leak: Text, original: Text, carriers: Carriers) -> tuple[list[Measured], list[str], set[int]]:
    """Positions read from the leak's own text.

    Returns:
        What was measured, how each page was found, and which pages of the leak spoke.
    """
    pages: dict[bytes, set[int]] = defaultdict(set)
    for page in original.pages:
        for token in _tokens(page):
            pages[token].add(page.index)
    rows = rows_of(original, carriers)
    found, words, spoke = [], [], set()
    for page in leak.pages:
        index = _best_page(page, pages)
        if index is None:
            continue
        ours = original.pages[index]
        measured = _compared(page, ours, [rows.get((show.key, show.start), []) for show in ours.shows])
        if measured is not None:
            found.append(measured)
            words.append(f"page {index + 1} text: {len(measured.glyphs)} glyphs")
            spoke.add(page.index)
    return found, words, spoke


def rows_of(text: Text, carriers: Carriers) -> dict[tuple[Key, int], list[Glyph]]:
    """The glyphs of each operator that shows text, by content and place."""
    return {
        (key, show.start): row
        for key, content in text.contents.items()
        for show, row in zip(content.shows, carriers.glyphs[key], strict=True)
    }


def _tokens(page: PageText) -> list[bytes]:
    return [b"\0".join(show.codes) for show in page.shows]


def _best_page(page: PageText, pages: dict[bytes, set[int]]) -> int | None:
    votes: Counter[int] = Counter()
    for token in set(_tokens(page)):
        for index in pages.get(token, ()):
            votes[index] += len(token)
    return max(votes, key=lambda index: (votes[index], index == page.index, -index), default=None)


def _compared(leak: PageText, original: PageText, rows: list[list[Glyph]]) -> Measured | None:
    theirs, ours = _tokens(leak), _tokens(original)
    if theirs == ours:
        pairs = [(index, index) for index in range(len(ours))]
    elif max(len(theirs), len(ours)) <= SHOWS_MATCHED_MAX:
        blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
        pairs = [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    else:
        return None
    glyphs: list[Glyph] = []
    before: list[tuple[float, float]] = []
    after: list[tuple[float, float]] = []
    along: list[tuple[float, float]] = []
    for a, b in pairs:
        if len(rows[a]) != len(original.shows[a].codes):
            continue
        glyphs += rows[a]
        before += original.shows[a].places
        after += leak.shows[b].places
        along += [original.shows[a].direction] * len(rows[a])
    if len(glyphs) < GLYPHS_MIN:
        return None
    mm, known = _apart(np.array(before), np.array(after), np.array(along), original.unit * MM_PER_POINT)
    if np.count_nonzero(known) < GLYPHS_MIN:
        return None
    return Measured(
        [glyph for glyph, use in zip(glyphs, known, strict=True) if use], mm[known], np.ones(int(known.sum()))
    )


def _apart(before: F64, after: F64, along: F64, mm: float) -> tuple[F64, npt.NDArray[np.bool_]]:
    """Movement along the writing in mm; a page placed at another scale or turned is laid back first."""
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    where = np.flatnonzero(known)
    if where.size >= GLYPHS_MIN and float(np.median(np.abs(after - before)[where])) * mm > FAR_MM:
        ones = np.column_stack((after[where], np.ones(where.size)))
        fitted, *_ = np.linalg.lstsq(ones, before[where], rcond=None)
        after = np.column_stack((after, np.ones(len(after)))) @ fitted
    moved = ((after - before) * along).sum(axis=1) * mm
    with np.errstate(invalid="ignore"):
        known &= np.abs(moved) <= FAR_MM
    return np.where(known, moved, 0.0), known


def from_picture(
    leak: U8,
    page: U8,
    labels: I32,
    alignment: align.Alignment,
    glyphs: Sequence[tuple[int, Glyph]],
    directions: F64,
    mm_per_pixel: float,
) -> Measured | None:
    """Movements measured on a raster.

    Args:
        leak: grey raster.
        page: grey raster of the original, rendered finely and reduced.
        labels: of the page's pixels; −1 is nobody's.
        alignment: of the leak on the page.
        glyphs: label and glyph.
        directions: of writing on the raster, one row a glyph, length 1.
        mm_per_pixel: of the page.
    """
    difference, mask = align.residual(leak, page, alignment)
    smooth = cv2.GaussianBlur(page.astype(np.float32), (0, 0), _SMOOTH_PIXELS)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    change = cv2.GaussianBlur(difference, (0, 0), 0.7)
    owner = _grown(labels)
    seen = (owner >= 0) & (mask > 0)
    owners = owner[seen]
    size = max(int(labels.max(initial=0)), max((label for label, _ in glyphs), default=0)) + 1
    ways = np.zeros((size, 2), np.float32)
    chosen = np.array([label for label, _ in glyphs], dtype=np.intp)
    ways[chosen] = directions
    slope = across[seen] * ways[owners, 0] + down[seen] * ways[owners, 1]
    above = -np.bincount(owners, weights=change[seen] * slope, minlength=size)[chosen]
    below: F64 = np.bincount(owners, weights=slope * slope, minlength=size)[chosen].astype(np.float64)
    # A glyph of which hardly an edge is to be seen says nothing.
    usable = below > 0.05 * float(np.median(below[below > 0])) if (below > 0).any() else below > 0
    if np.count_nonzero(usable) < GLYPHS_MIN:
        return None
    mm: F64 = np.asarray(above[usable] / below[usable] * mm_per_pixel, dtype=np.float64)
    height, width = labels.shape
    rows, columns = _centres(owner, size, width)
    where = np.column_stack((columns[chosen][usable] / width, rows[chosen][usable] / height))
    mm = _steady(mm, below[usable], where, directions[usable])
    near = np.abs(mm) <= FAR_MM
    kept = np.flatnonzero(usable)[near]
    if kept.size < GLYPHS_MIN:
        return None
    return Measured([glyphs[index][1] for index in kept], mm[near], below[kept])


def _grown(labels: I32) -> I32:
    """Labels a pixel wider: a glyph's edge is where it shows that it moved."""
    plane = (labels + 1).astype(np.float32)
    wider = cv2.dilate(plane, np.ones((3, 3), np.uint8))
    return np.where(labels >= 0, labels, wider.astype(np.int32) - 1).astype(np.int32)


def _centres(owner: I32, size: int, width: int) -> tuple[F64, F64]:
    flat = np.flatnonzero(owner.ravel() >= 0)
    owners = owner.ravel()[flat]
    count = np.maximum(np.bincount(owners, minlength=size), 1)
    rows = np.bincount(owners, weights=flat // width, minlength=size) / count
    columns = np.bincount(owners, weights=flat % width, minlength=size) / count
    return rows, columns


def _steady(mm: F64, trust: F64, where: F64, directions: F64) -> F64:
    """Take out what changes slowly over the page, separately for each way of writing."""
    out = mm.copy()
    turned = np.round(np.arctan2(directions[:, 1], directions[:, 0]) / (np.pi / 4)).astype(int) % 8
    for way in np.unique(turned):
        own = np.flatnonzero(turned == way)
        degree = 3 if own.size >= _BENDING_FROM else 1 if own.size >= _AFFINE_FROM else 0
        x, y = where[own, 0] - 0.5, where[own, 1] - 0.5
        terms = np.column_stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)])
        weight = np.sqrt(np.minimum(trust[own], 4 * np.median(trust[own])))
        for _ in range(2):
            fitted, *_ = np.linalg.lstsq(terms * weight[:, None], mm[own] * weight, rcond=None)
            out[own] = mm[own] - terms @ fitted
            weight = weight * (np.abs(out[own]) < FAR_MM)
    return out


def direction_of(show: Show, turn: int) -> tuple[float, float]:
    """The direction of writing on the displayed raster, whose rows run downward.

    Args:
        show: on the page.
        turn: quarter turns clockwise that the page is displayed with.
    """
    x, y = show.direction
    return ((x, -y), (y, x), (-x, y), (-y, -x))[turn]
