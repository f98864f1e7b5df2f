"""`python -m tests.attacks.watermark.quality`: what marking does to the copies that are handed out.

    --covers N      covers of each kind (default 28)
    --json FILE     where the results go (default bench/results/watermark_quality.json)

Rule: before and after are compared from the files alone, and never with what the engine says that it did. Of pictures PSNR and
structural similarity (scikit-image); of a page's text, tables and records, values: a legal value that differs is a fault (exit 1).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import numpy as np
import pypdfium2

from bench.machine import machine
from tests.attacks.watermark import covers, images, picture_covers, rows
from tests.attacks.watermark.campaign import MASTER
from tests.attacks.watermark.covers import Cover
from tests.attacks.watermark.peers import PYTHON, Peers
from watermark import TableSchema, embed
from watermark.keys import AssetKey, codeword_seed

OUT: Final = Path("bench/results/watermark_quality.json")
COVERS: Final = 28
INVISIBLE: Final = dict.fromkeys((0x200B, 0x2060, *range(0xE0100, 0xE01F0)))
Compare = Callable[[Cover], "Values"]
PAGE_DB_MIN: Final = 42.0
PHOTO_DB_MIN: Final = 40.0


class Picture(msgspec.Struct, frozen=True):
    """A picture before and after. `ssim` is None where scikit-image is not installed."""

    cover: str
    psnr_db: float
    ssim: float | None
    size_before_bytes: int
    size_after_bytes: int


class Values(msgspec.Struct, frozen=True):
    """Values before and after.

    Attributes:
        cover: what was marked.
        legal, legal_changed: values of which nothing is declared, and how many of them differ.
        size_before_bytes, size_after_bytes: of the files.
        numbers, numbers_changed: values with a declared tolerance.
        furthest: largest change of such a value, as a share of its tolerance.
        texts, texts_changed: free text, and how many differ when invisible characters are taken out.
        references, references_changed: opaque references.
    """

    cover: str
    legal: int
    legal_changed: int
    size_before_bytes: int
    size_after_bytes: int
    numbers: int = 0
    numbers_changed: int = 0
    furthest: float = 0.0
    texts: int = 0
    texts_changed: int = 0
    references: int = 0
    references_changed: int = 0


class Quality(msgspec.Struct):
    """The file of results, by kind of cover."""

    machine: dict[str, object]
    command: str
    pictures: dict[str, list[Picture]]
    values: dict[str, list[Values]]


def marked(cover: Cover) -> bytes:
    """A copy of it."""
    keys = AssetKey.from_master(MASTER, cover.data)
    return embed(
        cover.data,
        cover.media_type,
        layout_key=keys.layout,
        seed=codeword_seed(keys.mark, b"quality "),
        policy=cover.policy,
    ).data


def picture(cover: Cover, peers: Peers | None) -> Picture:
    """How much a copy of a picture differs from it."""
    copy = marked(cover)
    before, after = images.decode(cover.data), images.decode(copy)
    error = float(np.mean((before.astype(np.float64) - after.astype(np.float64)) ** 2))
    return Picture(
        cover=cover.name,
        psnr_db=round(float(10 * np.log10(255**2 / error)), 2),
        ssim=None if peers is None else peers.similarity(cover.data, copy),
        size_before_bytes=len(cover.data),
        size_after_bytes=len(copy),
    )


def page_text(cover: Cover) -> Values:
    """The words of a PDF, as a reader selects and searches them."""
    copy = marked(cover)
    before, after = _words(cover.data), _words(copy)
    changed = sum(one != other for one, other in zip(before, after, strict=False))
    return Values(
        cover=cover.name,
        legal=len(before),
        legal_changed=changed + abs(len(before) - len(after)),
        size_before_bytes=len(cover.data),
        size_after_bytes=len(copy),
    )


def _words(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    try:
        return [word for page in document for word in page.get_textpage().get_text_range().split()]
    finally:
        document.close()


def table_values(cover: Cover) -> Values:
    """The cells of a table, row by row by its key."""
    copy = marked(cover)
    header, *before = rows.read(cover.data)
    names, *after = rows.read(copy)
    (key,) = cover.policy.table.keys
    places = {line[names.index(key)]: line for line in after}
    pairs = [
        (name, cell, places[line[header.index(key)]][names.index(name)])
        for line in before
        for name, cell in zip(header, line, strict=True)
    ]
    return _compared(cover, copy, pairs, abs(len(before) - len(after)))


def record_values(cover: Cover) -> Values:
    """The members of a record."""
    copy = marked(cover)
    before, after = json.loads(cover.data), json.loads(copy)
    pairs = [(name, str(value), str(after.get(name))) for name, value in before.items()]
    return _compared(cover, copy, pairs, abs(len(before) - len(after)))


def passage_values(cover: Cover) -> Values:
    """The characters that are seen."""
    copy = marked(cover)
    before, after = cover.data.decode(), copy.decode().translate(INVISIBLE)
    return Values(
        cover=cover.name,
        legal=len(before),
        legal_changed=sum(one != other for one, other in zip(before, after, strict=False))
        + abs(len(before) - len(after)),
        size_before_bytes=len(cover.data),
        size_after_bytes=len(copy),
    )


def _compared(cover: Cover, copy: bytes, pairs: Sequence[tuple[str, str, str]], lost: int) -> Values:
    schema = cover.policy.table
    kinds = [_kind(schema, name) for name, _, _ in pairs]

    def count(kind: str) -> tuple[int, int]:
        of_kind = [(one, other) for found, (_, one, other) in zip(kinds, pairs, strict=True) if found == kind]
        if kind == "texts":
            of_kind = [(one, other.translate(INVISIBLE)) for one, other in of_kind]
        return len(of_kind), sum(one != other for one, other in of_kind)

    moved = [
        abs(Decimal(one) - Decimal(other)) / schema.tolerances[name]
        for kind, (name, one, other) in zip(kinds, pairs, strict=True)
        if kind == "numbers"
    ]
    (legal, legal_changed), (numbers, numbers_changed) = count("legal"), count("numbers")
    (texts, texts_changed), (references, references_changed) = count("texts"), count("references")
    return Values(
        cover=cover.name,
        legal=legal,
        legal_changed=legal_changed + lost,
        numbers=numbers,
        numbers_changed=numbers_changed,
        furthest=float(max(moved, default=Decimal(0))),
        texts=texts,
        texts_changed=texts_changed,
        references=references,
        references_changed=references_changed,
        size_before_bytes=len(cover.data),
        size_after_bytes=len(copy),
    )


def _kind(schema: TableSchema, name: str) -> str:
    if name in schema.tolerances:
        return "numbers"
    if name == schema.reference:
        return "references"
    return "texts" if name in schema.free_text else "legal"


PICTURES: Final[dict[str, tuple[Callable[[int], Cover], float]]] = {
    "page": (picture_covers.page, PAGE_DB_MIN),
    "photo": (picture_covers.photo, PHOTO_DB_MIN),
}
VALUES: Final[dict[str, tuple[Callable[[int], Cover], Compare]]] = {
    "PDF page, words": (picture_covers.certificate, page_text),
    "table of 1,000 rows, cells": (covers.table(1_000), table_values),
    "JSON record, members": (covers.record, record_values),
    "text, characters": (covers.passage, passage_values),
}


def render(found: Quality) -> str:
    """Both tables in Markdown."""
    return "\n".join((*_picture_lines(found), "", *_value_lines(found))) + "\n"


def _picture_lines(found: Quality) -> Iterator[str]:
    yield "| pictures | PSNR dB, worst | median | goal | SSIM, worst | median | size after / before, median |  |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for kind, each in found.pictures.items():
        worst, goal = min(one.psnr_db for one in each), PICTURES[kind][1]
        alike = [one.ssim for one in each if one.ssim is not None]
        shown = f"{min(alike):.4f} | {median(alike):.4f}" if alike else "– | –"
        grown = median(one.size_after_bytes / one.size_before_bytes for one in each)
        status = "met" if worst >= goal else "**MISS**"
        middle = median(one.psnr_db for one in each)
        yield (
            f"| {len(each)} × {kind} | {worst:.1f} | {middle:.1f} | ≥ {goal:.0f} | {shown} | {grown:.2f} | {status} |"
        )


def _value_lines(found: Quality) -> Iterator[str]:
    yield (
        "| values | legal, changed | with tolerance, changed | furthest / tolerance | free text, seen changes "
        "| references, replaced | size after / before, median |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for kind, each in found.values.items():
        columns = [_counted(each, name) for name in ("legal", "numbers", "texts", "references")]
        numbers = any(one.numbers for one in each)
        columns.insert(2, f"{max(one.furthest for one in each):.2f}" if numbers else "–")
        grown = median(one.size_after_bytes / one.size_before_bytes for one in each)
        yield f"| {len(each)} × {kind} | " + " | ".join(columns) + f" | {grown:.2f} |"


def _counted(each: Sequence[Values], name: str) -> str:
    there, changed = (sum(getattr(one, of) for one in each) for of in (name, f"{name}_changed"))
    return f"{there:,}, {changed:,}" if there else "–"


def faults(found: Quality) -> int:
    """Legal values that differ, free text that is seen to differ, and numbers beyond their tolerance."""
    each = [one for several in found.values.values() for one in several]
    return sum(one.legal_changed + one.texts_changed + (one.furthest > 1) for one in each)


def main(arguments: Sequence[str]) -> int:
    """Run the program; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks.watermark.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--covers", type=int, default=COVERS)
    parser.add_argument("--json", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    if given.covers < 1:
        parser.error("one cover at least")
    found = Quality(
        machine=machine(),
        command=" ".join(["python -m tests.attacks.watermark.quality", *arguments]),
        pictures={},
        values={},
    )
    numbers = range(given.covers)
    peers = Peers() if PYTHON.exists() else None
    try:
        for kind, (draw, _) in PICTURES.items():
            found.pictures[kind] = [picture(draw(number), peers) for number in numbers]
    finally:
        if peers is not None:
            peers.__exit__(None, None, None)
    for kind, (draw, compare) in VALUES.items():
        found.values[kind] = [compare(draw(number)) for number in numbers]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    sys.stdout.write(render(found))
    return int(faults(found) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
