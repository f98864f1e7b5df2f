"""Reading a leak of a PDF: its text, its pictures and its pages.

Rule: each carrier is read once, by the best way that the leak leaves: positions from the leak's own text where it
survived, from the rendered page otherwise. No candidate is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pikepdf

from watermark import align, chips, pdf_chips, pdf_images
from watermark.chips import F64, U8
from watermark.evidence import BitEvidence, Evidence
from watermark.images import equal_to_original, not_a_copy
from watermark.limits import PDF_PAGES_COMPARED_MAX, PDF_PAGES_MAX
from watermark.pages import place
from watermark.payload import CODE_POSITIONS, biases
from watermark.pdf_carriers import OFFSETS, Carriers, Glyph, Measured, estimates
from watermark.pdf_labels import labelled
from watermark.pdf_offsets import direction_of, from_picture, from_text, rows_of
from watermark.pdf_text import MM_PER_POINT, Key, Matrix, PageText, Text, Walk, times
from watermark.policy import Channel
from watermark.render import render, render_fine, render_labels
from watermark.results import Reading, Words

Placed = tuple[int, int, align.Alignment]
"""Place among the leaked rasters, page of the original, alignment."""

STILL_MM: Final = 0.015
"""Where glyphs of a leak's text stand as exactly as this where the original has them, they are not marked there."""


def read_pdf(
    leaks: Sequence[U8], original: bytes, ours: pikepdf.Pdf, layout_key: bytes, theirs: pikepdf.Pdf | None
) -> Reading:
    """Everything that a leak says.

    Args:
        leaks: its pages as rasters.
        original: the unmarked file.
        ours: the same, open; it is changed.
        layout_key: 32 bytes.
        theirs: the leak, open, when it is a PDF.
    """
    text = Walk(ours, PDF_PAGES_MAX).run()
    carriers = Carriers(text, layout_key)
    measured: list[Measured] = []
    found: list[str] = []
    spoke: set[int] = set()
    if theirs is not None:
        measured, found, spoke = _from_text(Walk(theirs, PDF_PAGES_MAX).run(), text, carriers)
    rendered = render(original)
    placed, leaks, identical = _placed(leaks, rendered.rasters)
    found += [f"page {index + 1} {alignment.describe()}" for _, index, alignment in placed]
    pictures = _pictures(leaks, placed, rendered.rasters, ours, text, layout_key, found)
    sums = np.zeros(CODE_POSITIONS)
    for order, index, alignment in placed:
        pdf_chips.read_page(layout_key, index, leaks[order], rendered.rasters[index], alignment, sums)
    silent = [item for item in placed if item[0] not in spoke]
    measured += _from_pictures(leaks, silent, original, ours, text, carriers, rendered.rasters)
    if not measured and not placed and not pictures:
        return equal_to_original() if identical else not_a_copy()
    groups: list[list[Evidence]] = [_offsets(measured, carriers), pictures]
    if placed:
        thresholds = biases(layout_key, Channel.PAGE_CHIPS)
        groups.append([BitEvidence(Channel.PAGE_CHIPS, thresholds, chips.soft_bits(sums))])
    groups = [group for group in groups if group]
    evidence = [item for group in groups for item in group]
    return Reading(
        tuple(evidence), "; ".join(found), _page_limit_notes(rendered.total), _alternatives(groups)
    )


def _from_text(leak: Text, text: Text, carriers: Carriers) -> tuple[list[Measured], list[str], set[int]]:
    """Positions in the leak's own text; pages whose text stands where the original has it are left to the picture."""
    measured, found, spoke = from_text(leak, text, carriers)
    kept = [
        index for index, part in enumerate(measured) if float(np.quantile(np.abs(part.mm), 0.9)) > STILL_MM
    ]
    pages = sorted(spoke)
    return (
        [measured[index] for index in kept],
        [found[index] for index in kept],
        {pages[index] for index in kept},
    )


def _placed(leaks: Sequence[U8], pages: tuple[U8, ...]) -> tuple[list[Placed], list[U8], int]:
    """Where each leaked raster lies, the rasters the right way round, and how many are the unmarked original."""
    turned = list(leaks)
    known: list[align.Features | None] = [None] * len(pages)
    placed: list[Placed] = []
    identical = 0
    for order, leak in enumerate(leaks):
        if any(np.array_equal(leak, page) for page in pages):
            identical += 1
            continue
        best = place(leak, order, pages, known)
        if best is not None:
            placed.append((order, best.page, best.alignment))
            turned[order] = best.leak
    return placed, turned, identical


def _offsets(measured: Sequence[Measured], carriers: Carriers) -> list[Evidence]:
    if not measured:
        return []
    signs = estimates(measured, carriers)
    return [
        carriers.segments[channel].evidence(channel, signs[channel])
        for channel in OFFSETS
        if signs[channel].any()
    ]


def _from_pictures(
    leaks: Sequence[U8],
    placed: Sequence[Placed],
    original: bytes,
    ours: pikepdf.Pdf,
    text: Text,
    carriers: Carriers,
    pages: Sequence[U8],
) -> list[Measured]:
    """Movements of glyphs, from rendered pages. The document is spent afterwards."""
    wanted = sorted({index for _, index, _ in placed if text.pages[index].shows})
    if not wanted:
        return []
    turns = {index: pdf_chips.turn(ours.pages[index]) for index in wanted}
    mm = {
        index: pdf_chips.displayed_points(ours.pages[index])[0] * MM_PER_POINT / pages[index].shape[1]
        for index in wanted
    }
    drawn, first = labelled(ours, text, wanted)
    labels = dict(zip(wanted, render_labels(drawn), strict=True))
    rows = rows_of(text, carriers)
    measured: list[Measured] = []
    for index in wanted:
        fine = render_fine(original, index, pages[index].shape)
        glyphs, directions = _glyphs(text.pages[index], text, rows, first, turns[index])
        if labels[index].shape != fine.shape or not glyphs:
            continue
        for order, chosen, alignment in placed:
            if chosen != index:
                continue
            part = from_picture(leaks[order], fine, labels[index], alignment, glyphs, directions, mm[index])
            if part is not None:
                measured.append(part)
    return measured


def _glyphs(
    page: PageText,
    text: Text,
    rows: Mapping[tuple[Key, int], Sequence[Glyph]],
    first: Mapping[Key, Sequence[int]],
    turn: int,
) -> tuple[list[tuple[int, Glyph]], F64]:
    """Label and glyph of everything that stands on the page, and the directions of writing."""
    starts = {
        (key, show.start): label
        for key, labels in first.items()
        for show, label in zip(text.contents[key].shows, labels, strict=True)
    }
    glyphs: list[tuple[int, Glyph]] = []
    directions: list[tuple[float, float]] = []
    seen: set[tuple[Key, int]] = set()
    for show in page.shows:
        place = (show.key, show.start)
        if place in seen or show.hidden:
            continue
        seen.add(place)
        way = direction_of(show, turn)
        for offset, glyph in enumerate(rows[place]):
            glyphs.append((starts[place] + offset, glyph))
            directions.append(way)
    return glyphs, np.array(directions, dtype=np.float64).reshape(-1, 2)


def _pictures(
    leaks: Sequence[U8],
    placed: Sequence[Placed],
    pages: Sequence[U8],
    ours: pikepdf.Pdf,
    text: Text,
    layout_key: bytes,
    found: list[str],
) -> list[Evidence]:
    """Evidence of pictures that show on the leaked pages, or leaked by themselves."""
    orders = {order for order, _, _ in placed}
    alone = [leak for order, leak in enumerate(leaks) if order not in orders]
    shown = {drawn.key for _, index, _ in placed for drawn in text.pages[index].drawn}
    if not alone and not shown:
        return []
    out: list[Evidence] = []
    for picture in pdf_images.pictures(ours, text):
        where = [
            (leaks[order], pdf_images.placed(alignment, _square(drawn.matrix, ours, index, pages), picture))
            for order, index, alignment in placed
            for drawn in text.pages[index].drawn
            if drawn.key == picture.key
        ]
        where += [
            (leak, alignment) for leak in alone if (alignment := align.align(leak, picture.grey)) is not None
        ]
        readable = [item for item in where if align.SCALE_MIN < item[1].scale < align.SCALE_MAX]
        if readable:
            sums = [pdf_images.read(picture, layout_key, leak, alignment) for leak, alignment in readable]
            out.append(pdf_images.evidence(picture, layout_key, np.sum(sums, axis=0)))
            found.append(f"picture {picture.index + 1}")
    return out


def _square(matrix: Matrix, ours: pikepdf.Pdf, index: int, pages: Sequence[U8]) -> F64:
    """Unit square of a drawn picture → raster of the page."""
    height, width = pages[index].shape
    a, b, c, d, e, f = times(matrix, pdf_chips.page_to_raster(ours.pages[index], height, width))
    return np.array([[a, c, e], [b, d, f]])


def _alternatives(groups: Sequence[Sequence[Evidence]]) -> tuple[tuple[int, ...], ...]:
    """Each kind of carrier alone, besides all together: a layer or a text may have been taken away whole."""
    if len(groups) < 2:
        return ()
    out: list[tuple[int, ...]] = []
    start = 0
    for group in groups:
        out.append(tuple(range(start, start + len(group))))
        start += len(group)
    return tuple(out)


def _page_limit_notes(total: int) -> tuple[Words, ...]:
    if total <= PDF_PAGES_COMPARED_MAX:
        return ()
    return (
        Words(
            f"原件共 {total} 页，页面图像只比对前 {PDF_PAGES_COMPARED_MAX} 页",
            f"the original has {total} pages; only the first {PDF_PAGES_COMPARED_MAX} were compared as pictures",
        ),
    )
