"""The goal table: every medium and attack, with the goal that was set before anything was measured.

Rule: goals are the design's; a cell is never taken out because it misses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from typing import Final

from tests.attacks.watermark import covers, images, picture_covers, row_collusion, rows
from tests.attacks.watermark.covers import Cover
from tests.attacks.watermark.picture_covers import Pixels

PixelAttack = Callable[[Pixels, int], bytes]
FileAttack = Callable[[bytes, int], bytes]
_KINDS: Final[dict[str, Callable[[int], Cover]]] = {
    "page": picture_covers.page,
    "photo": picture_covers.photo,
    "PDF page": picture_covers.certificate,
}
_PDF_DPI: Final = 150
_COPIES_KEPT: Final = 8


class Success(StrEnum):
    """What a trial must come to."""

    NAMED = "named"
    ALL_NAMED = "all named"
    ONE_NAMED = "one named"
    UNTRACEABLE = "declared untraceable"


@dataclass(frozen=True, slots=True)
class Cell:
    """A line of the goal table.

    Attributes:
        name: medium and attack.
        cover: number → the file to mark.
        leak: marked copies and seed → the leaked file.
        goal: share of trials, 0 to 1.
        success: what counts.
        recipients: copies that are marked.
        on_pixels: the attack by itself, for other tools on the same files.
        drawn_by: what the seeds are drawn from; the name where it is empty. Cells that share it do the same to the copies.
    """

    name: str
    cover: Callable[[int], Cover]
    leak: Callable[[list[bytes], int], bytes]
    goal: float
    success: Success = Success.NAMED
    recipients: int = 1
    on_pixels: PixelAttack | None = None
    drawn_by: str = ""

    @property
    def medium(self) -> str:
        """What is marked, as its name says."""
        return self.name.partition(":")[0]

    @property
    def of_pictures(self) -> bool:
        """Whether pixels are attacked, not rows or text."""
        return self.medium in _KINDS

    def seed(self, number: int) -> int:
        """The seed of a trial, 32 bits."""
        text = f"{self.drawn_by or self.name}/{number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@lru_cache(maxsize=_COPIES_KEPT)
def pixels_of(data: bytes) -> Pixels:
    """What a picture or the first page of a PDF shows; not to be written to."""
    pixels = picture_covers.raster(data, _PDF_DPI) if data.startswith(b"%PDF-") else images.decode(data)
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=1)
def mixed(copies: tuple[bytes, ...], seed: int, strategy: str) -> Pixels:
    """The picture that colluders make of their copies; not to be written to."""
    pixels = images.collude([pixels_of(copy) for copy in copies], seed, strategy)
    pixels.flags.writeable = False
    return pixels


def _pictures(
    name: str, attack: PixelAttack, goal: float, kinds: tuple[str, ...] = ("page", "photo")
) -> Iterator[Cell]:
    for kind in kinds:

        def leak(copies: list[bytes], seed: int) -> bytes:
            return attack(pixels_of(copies[0]), seed)

        peer = None if kind == "PDF page" else attack
        yield Cell(f"{kind}: {name}", _KINDS[kind], leak, goal, on_pixels=peer)


def _image_cells() -> Iterator[Cell]:
    for quality in (90, 75, 50, 30):
        jpeg = partial(images.jpeg, quality=quality)
        yield from _pictures(f"JPEG {quality}", jpeg, 0.995, ("page", "photo", "PDF page"))
    for factor in (0.5, 0.75, 1.5):
        yield from _pictures(f"resize {factor}", partial(images.resize, factor=factor), 0.995)
    for degrees in (1.0, 5.0):
        yield from _pictures(f"rotate {degrees:g}°", partial(images.rotate, degrees=degrees), 0.995)
    for kept in (0.75, 0.5):
        yield from _pictures(f"crop {round(100 - 100 * kept)} %", partial(images.crop, kept=kept), 0.995)
    for whole, goal in ((2.0, 0.99), (0.3, 0.90)):
        tenth = partial(images.crop, kept=0.1)
        for cell in _pictures(f"crop 90 %, {whole / 10:g} MP left", tenth, goal):
            yield replace(cell, cover=picture_covers.sized(cell.cover, whole))
    every = ("page", "photo", "PDF page")
    yield from _pictures("print-scan", images.print_scan, 0.99, every)
    yield from _pictures("camera", images.camera, 0.97, every)
    together = partial(images.combined, kept=0.75, degrees=2.0, factor=0.75, quality=50)
    yield from _pictures("crop 25 %, rotate 2°, × 0.75, JPEG 50", together, 0.99, every)
    yield from _pictures("blur σ 2", partial(images.blur, sigma=2.0), 0.99)
    yield from _pictures("bend 1.5 px", partial(images.bend, amplitude_px=1.5), 0.99)
    yield from _pictures("median 5", partial(images.median, size=5), 0.99)
    yield from _pictures("WebP 20", partial(images.webp, quality=20), 0.99)
    yield from _pictures("binarised", partial(images.binarise, threshold=128), 0.99, ("page", "PDF page"))
    yield from _pictures("fax, 1 bit", partial(images.fax, factor=1.36), 0.99, ("page", "PDF page"))


def _collusion_cells() -> Iterator[Cell]:
    outputs: dict[str, PixelAttack] = {
        "PNG": lambda pixels, seed: images.png(pixels),
        "JPEG 75": partial(images.jpeg, quality=75),
        "print-scan": images.print_scan,
    }
    for count in (2, 3, 5, 8):
        success = Success.ALL_NAMED if count < 8 else Success.ONE_NAMED
        for strategy in images.STRATEGIES:
            for kind, output in outputs.items():

                def leak(
                    copies: list[bytes], seed: int, strategy: str = strategy, output: PixelAttack = output
                ) -> bytes:
                    return output(mixed(tuple(copies), seed, strategy), seed)

                who = f"page: {count} collude, {strategy}"
                yield Cell(f"{who}, {kind}", picture_covers.page, leak, 0.99, success, count, drawn_by=who)


def _rows(name: str, attack: FileAttack, cover: Callable[[int], Cover], goal: float) -> Cell:
    return Cell(name, cover, lambda copies, seed: attack(copies[0], seed), goal)


def _table_cells() -> Iterator[Cell]:
    thousand, ten_thousand = covers.table(1_000), covers.table(10_000)
    attacks: dict[str, FileAttack] = {
        "90 % of rows deleted": partial(rows.delete_rows, kept=0.1),
        "half of the columns dropped": partial(rows.drop_columns, kept=0.5),
        "30 % of cells changed": partial(rows.change_cells, share=0.3),
        "sorted": partial(rows.sort_rows, by=1),
        "CSV → XLSX → CSV": rows.through_xlsx,
        "NFKC": rows.nfkc,
    }
    for name, attack in attacks.items():
        yield _rows(f"table of 1,000 rows: {name}", attack, thousand, 0.999)
    few = partial(rows.delete_rows, kept=0.01)
    yield _rows("table of 10,000 rows: 99 % of rows deleted", few, ten_thousand, 0.99)
    yield Cell("table of 1,000 rows: 5 collude", thousand, rows.collude, 0.99, Success.ONE_NAMED, 5)
    for count in (2, 3, 5):
        for strategy in row_collusion.STRATEGIES:
            mix = partial(row_collusion.collude, strategy=strategy, bare=True)
            name = f"table of 1,000 rows: {count} collude, numbers alone, {strategy}"
            yield Cell(name, thousand, mix, 0.99, Success.ONE_NAMED, count)
    again = partial(rows.reserialise, indent=2)
    yield _rows("JSON record: serialised again, order kept", again, covers.record, 0.99)
    yield _rows("JSON record: serialised again, names sorted", rows.sort_names, covers.record, 0.99)
    for name, attack in (("invisibles stripped", rows.strip_invisible), ("retyped", rows.retype)):

        def leak(copies: list[bytes], seed: int, attack: FileAttack = attack) -> bytes:
            return attack(copies[0], seed)

        yield Cell(f"text: {name}", covers.passage, leak, 1.0, Success.UNTRACEABLE)


def all_cells() -> list[Cell]:
    """Every cell, in the order of the table."""
    return [*_image_cells(), *_table_cells(), *_collusion_cells()]
