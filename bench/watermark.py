"""What marking and tracing cost: each medium on one core, and a trace of one record among a million releases.

Rule: elapsed time of a call with everything in it (decode, mark, encode; decode, align, read, 10,000 candidates and 10,000
seeds never issued), with one thread of OpenCV; the median of several calls after one that does not count. Goals are the design's.

    python -m bench.watermark [--repeat N] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from docx import Document
from PIL import Image

from bench.machine import machine
from contracts.records import Output, OutputFormat
from contracts.shared_key_records import KeyPurpose
from ledger import domains
from ledger.crypto.threshold.group import Element
from node.holders.ports import BASES_PER_ASK_MAX, OwnShare, Permitted
from node.holders.work import ShareWork
from node.index.ports import INDEX_PAGE_MAX
from node.index.sqlite import SqliteIndex
from node.vault.mark_seeds import Copy, copy_name
from tests.attacks.watermark import covers, images, picture_covers, rows
from tests.attacks.watermark.covers import Cover
from tests.unit.contracts_world import SUITE
from tests.unit.vault_world import ACCOUNTS, GROUP, dealt
from watermark import AssetKey, Policy, codeword_seed, detect, embed, phantom_seeds

RESULTS: Final = Path(__file__).parent / "results" / "watermark_costs.json"
CANDIDATES: Final = 10_000
RELEASES: Final = 1_000_000
RELEASE: Final = b"release1"
MASTER: Final = hashlib.sha256(b"bench").digest()
_TRACE_GOAL_S: Final = 60.0


class Row(msgspec.Struct, frozen=True):
    """A line of the table: `value` in `unit`, at most `goal` where the design has one."""

    what: str
    unit: str
    value: float
    goal: float | None

    @property
    def status(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.value <= self.goal else "**MISS**"


class Costs(msgspec.Struct, frozen=True):
    """The file of results."""

    machine: dict[str, object]
    command: str
    repeat: int
    rows: list[Row]


def median_s(work: Callable[[], object], repeat: int) -> float:
    """The median time of a call."""
    work()
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _as(pixels: picture_covers.Pixels, kind: str) -> Cover:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, quality=95)
    return Cover(kind, f"image/{kind.lower()}", out.getvalue(), Policy())


def pictures() -> Iterator[tuple[str, float, Cover]]:
    """Name, megapixels and cover."""
    for dpi in (150, 300):
        pixels = picture_covers.raster(picture_covers.certificate(0).data, dpi)
        millions = pixels.shape[0] * pixels.shape[1] / 1e6
        kinds = ("PNG", "JPEG", "WebP", "TIFF") if dpi == 150 else ("PNG", "JPEG")
        for kind in kinds:
            yield f"{kind} page, {millions:.1f} MP", millions, _as(pixels, kind)
    pixels = images.decode(picture_covers.texture(0).data)
    for kind in ("PNG", "JPEG"):
        yield f"{kind} photo, 1.1 MP", pixels.shape[0] * pixels.shape[1] / 1e6, _as(pixels, kind)


def tables() -> Iterator[tuple[str, Cover]]:
    """A table of 1,000 rows in every form."""
    table = covers.table(1_000)(0)
    header, *body = rows.read(table.data)
    records = [dict(zip(header, line, strict=True)) for line in body]
    book, out = openpyxl.Workbook(), io.BytesIO()
    for line in (header, *body):
        book.active.append(line)
    book.save(out)
    parquet = io.BytesIO()
    pq.write_table(pa.table({name: [record[name] for record in records] for name in header}), parquet)
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()
    xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    yield "CSV", table
    yield "XLSX", Cover("XLSX", xlsx, out.getvalue(), table.policy)
    yield "JSON Lines", Cover("JSON Lines", "application/x-ndjson", lines, table.policy)
    yield "JSON rows", Cover("JSON rows", "application/json", json.dumps(records).encode(), table.policy)
    yield "Parquet", Cover("Parquet", "application/vnd.apache.parquet", parquet.getvalue(), table.policy)


def document() -> Cover:
    """A text of some 1,500 characters as DOCX."""
    made, out = Document(), io.BytesIO()
    for line in covers.passage(0).data.decode().splitlines():
        made.add_paragraph(line)
    made.save(out)
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    return Cover("DOCX", kind, out.getvalue(), Policy())


class Marking:
    """A cover with its keys."""

    def __init__(self, cover: Cover) -> None:
        self.cover = cover
        self.keys = AssetKey.from_master(MASTER, cover.data)
        self.seed = codeword_seed(self.keys.mark, RELEASE)
        others = (hashlib.sha256(b"%d" % index).digest() for index in range(CANDIDATES - 1))
        self.candidates = {RELEASE: self.seed} | {name[:8]: name for name in others}

    def copy(self) -> bytes:
        """A marked copy."""
        return embed(
            self.cover.data,
            self.cover.media_type,
            layout_key=self.keys.layout,
            seed=self.seed,
            policy=self.cover.policy,
        ).data

    def trace(self, leak: bytes) -> None:
        """All candidates and as many seeds never issued.

        Raises:
            ValueError: the recipient was not named: the figure would be of nothing.
        """
        found = detect(
            leak,
            self.cover.data,
            self.cover.media_type,
            layout_key=self.keys.layout,
            candidates=self.candidates,
            phantoms=phantom_seeds(self.keys.layout, leak, CANDIDATES),
            policy=self.cover.policy,
            candidates_total=CANDIDATES,
        )
        if [match.release_id for match in found.matches] != [RELEASE]:
            raise ValueError(f"{self.cover.name}: the recipient was not named")


def media(repeat: int) -> Iterator[Row]:
    """Every medium: marking, and tracing a leak of it."""
    for name, millions, cover in pictures():
        made = Marking(cover)
        yield Row(f"mark {name}", "s/MP", median_s(made.copy, repeat) / millions, 0.1)
        pixels = images.decode(made.copy())
        leak = images.jpeg(images.decode(images.crop(pixels, 1, kept=0.8)), 1, quality=60)
        cost = median_s(lambda made=made, leak=leak: made.trace(leak), min(repeat, 3))
        yield Row(f"trace {name}: cropped to 80 %, JPEG 60", "s/MP", cost / millions, 2.0)
    page = Marking(picture_covers.certificate(0))
    yield Row("mark PDF, a page of A4", "s", median_s(page.copy, repeat), 0.3)
    leak = images.jpeg(picture_covers.raster(page.copy(), 150), 1, quality=75)
    yield Row(
        "trace PDF page: 150 dpi, JPEG 75", "s", median_s(lambda: page.trace(leak), min(repeat, 3)), None
    )
    for name, cover in tables():
        made = Marking(cover)
        yield Row(f"mark {name}, 1,000 rows", "s", median_s(made.copy, repeat), 0.15)
        whole = made.copy()
        cost = median_s(lambda made=made, whole=whole: made.trace(whole), min(repeat, 3))
        yield Row(f"trace {name}, 1,000 rows", "s", cost, None)
    record = Marking(covers.record(0))
    yield Row("mark JSON record", "ms", 1000 * median_s(record.copy, 10 * repeat), 2.0)
    yield Row(
        "mark plain text, 1,200 characters",
        "ms",
        1000 * median_s(Marking(covers.passage(0)).copy, repeat),
        None,
    )
    yield Row("mark DOCX, 1,200 characters", "ms", 1000 * median_s(Marking(document()).copy, repeat), None)


async def among_a_million(folder: Path) -> Row:
    """Find 10,000 releases of one record in an index of a million, and trace a page among them."""
    chain, record = bytes(32), b"r" * 16
    path = folder / "index.sqlite"
    SqliteIndex(path, chain)
    with sqlite3.connect(path) as connection:
        kind, ids = "releases.prepared", np.random.default_rng(1).bytes(8 * RELEASES)
        name = [ids[8 * at : 8 * at + 8] for at in range(RELEASES)]
        every = RELEASES // CANDIDATES
        connection.executemany(
            "INSERT INTO events VALUES (?, ?, 0, 0, 0, ?, ?, x'', x'', 'ok', x'', x'', x'')",
            ((at + 1, at + 1, kind, name[at]) for at in range(RELEASES)),
        )
        connection.executemany(
            "INSERT INTO event_subjects VALUES (?, ?, ?)",
            (
                (record if at % every == 0 else (at // 5).to_bytes(16, "big"), at + 1, kind)
                for at in range(RELEASES)
            ),
        )
    index = SqliteIndex(path, chain)
    page = Marking(picture_covers.page(0))
    leak = images.jpeg(images.decode(page.copy()), 1, quality=60)
    begun = time.perf_counter()
    found: list[bytes] = []
    after: int | None = None
    while True:
        part = await index.objects(kind, subject=record, after=after, limit=INDEX_PAGE_MAX)
        found += [one.object_id for one in part]
        if len(part) < INDEX_PAGE_MAX:
            break
        after = part[-1].cursor
    page.candidates = {RELEASE: page.seed} | {name: hashlib.sha256(name).digest() for name in found[1:]}
    await asyncio.to_thread(page.trace, leak)
    cost = time.perf_counter() - begun
    if len(found) != CANDIDATES:
        raise ValueError(f"{len(found)} releases were found")
    what = f"trace a page: {CANDIDATES:,} releases of its record in an index of {RELEASES:,}, seeds at hand"
    return Row(what, "s", cost, _TRACE_GOAL_S)


async def seeds_of_a_trace() -> Row:
    """Have the seeds of 10,000 copies computed as a trace does, by four operators who all work on this machine.

    Each of the four derives the bases and multiplies, the asker decodes the others' and combines. In a city the four work beside
    each other.
    """
    suite, chain = SUITE, bytes(32)
    keys = dealt(1, 0, purpose=KeyPurpose.MARKS)
    workers = [ShareWork(GROUP, suite.hash) for _ in ACCOUNTS]
    output = Output(certificate=bytes(16), format=OutputFormat.PDF, fields=(), attachment="document")
    names = [
        copy_name(chain, Copy(release_id=number.to_bytes(8, "big"), index=0, output=output))
        for number in range(CANDIDATES)
    ]
    own = [OwnShare(holder=number, secret=secret) for number, secret in enumerate(keys.secrets, start=1)]

    async def of_holder(place: int, batch: Sequence[bytes]) -> tuple[Permitted, tuple[Element, ...]]:
        bases = await workers[place].hash_to_elements(domains.MARK_SEED, batch)
        permitted = Permitted(bases=bases, context=b"")
        return permitted, await workers[place].own(own[place], permitted)

    begun = time.perf_counter()
    seeds: set[bytes] = set()
    for at in range(0, CANDIDATES, BASES_PER_ASK_MAX):
        batch = names[at : at + BASES_PER_ASK_MAX]
        answers = await asyncio.gather(*(of_holder(place, batch) for place in range(len(ACCOUNTS))))
        permitted, mine = answers[0]
        checked = {1: mine}
        for holder, (_, elements) in enumerate(answers[1:], start=2):
            decoded = await workers[0].decode(permitted, [element.encode() for element in elements])
            if decoded is None:
                raise ValueError("a share is none")
            checked[holder] = decoded
        combined = await workers[0].combine(keys.key, checked)
        seeds |= {
            suite.hash(domains.MARK_SEED, name + element.encode())
            for name, element in zip(batch, combined, strict=True)
        }
    cost = time.perf_counter() - begun
    if len(seeds) != CANDIDATES:
        raise ValueError(f"{len(seeds)} seeds were made")
    return Row(f"seeds of {CANDIDATES:,} copies, four operators on this machine", "s", cost, None)


def render(found: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = ["| what | measured | goal |  |", "| --- | --- | --- | --- |"]
    for row in found:
        goal = "–" if row.goal is None else f"≤ {row.goal:g} {row.unit}"
        lines.append(f"| {row.what} | {row.value:.3g} {row.unit} | {goal} | {row.status} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.watermark", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.repeat < 1:
        parser.error("one call at least")
    cv2.setNumThreads(1)
    found: list[Row] = []
    for row in media(given.repeat):
        found.append(row)
        sys.stderr.write(f"{row.what}: {row.value:.3g} {row.unit} {row.status}\n")
    with tempfile.TemporaryDirectory() as folder:
        found.append(asyncio.run(among_a_million(Path(folder))))
    found.append(asyncio.run(seeds_of_a_trace()))
    costs = Costs(machine(), " ".join(["python -m bench.watermark", *arguments]), given.repeat, found)
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=1) + b"\n")
    sys.stdout.write(render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
