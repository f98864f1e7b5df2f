"""Marks in Parquet: what is declared moves, types and metadata stay, and a hostile file ends no process but a child."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import random
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.watermark_covers import (
    NEVER_ISSUED,
    TABLE_POLICY,
    csv_file,
    marked,
    names_only_the_second,
    table_rows,
    traced,
)
from watermark import MediaMalformed, MediaTooLarge, WatermarkError, sniff
from watermark.parquet import PARQUET, parse_parquet
from watermark.sheets import Fixed, Literal

ROWS = table_rows(150)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("name", pa.large_string()),
        pa.field("ref", pa.string()),
        pa.field("income", pa.decimal128(12, 2)),
        pa.field("area", pa.float64()),
        pa.field("rate", pa.int32()),
        pa.field("note", pa.string()),
        pa.field("district", pa.string()),
        pa.field("since", pa.date32()),
        pa.field("tags", pa.list_(pa.string())),
    ],
    metadata={"origin": "市数据局"},
)


def parquet(rows: list[list[str]] = ROWS, **options: Any) -> bytes:
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    count = len(rows) - 1
    table = pa.table(
        {
            **{name: list(columns[name]) for name in ("id", "name", "ref")},
            "income": [Decimal(text) for text in columns["income"]],
            "area": [float(text) for text in columns["area"]],
            "rate": [int(text) for text in columns["rate"]],
            **{name: list(columns[name]) for name in ("note", "district")},
            "since": [datetime.date(2020, 1, 1 + row % 28) for row in range(count)],
            "tags": [["a", "b"][: row % 3] for row in range(count)],
        },
        schema=SCHEMA,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue().to_pybytes())


def table_of(data: bytes) -> Any:
    return pq.read_table(pa.BufferReader(data))


COVER = parquet(compression="ZSTD")
COPY = marked(COVER, PARQUET, TABLE_POLICY)


def test_a_file_is_known_by_its_content_and_read_as_it_is() -> None:
    assert sniff(COVER) == PARQUET
    sheet = parse_parquet(COVER).sheet
    assert sheet.columns[:8] == tuple(ROWS[0])
    assert [row[3] for row in sheet.rows] == [row[3] for row in ROWS[1:]]
    assert isinstance(sheet.rows[0][3], Literal)
    assert isinstance(sheet.rows[0][8], Fixed)
    assert type(sheet.rows[0][0]) is str


def test_types_metadata_compression_and_undeclared_values_stay() -> None:
    before, after = table_of(COVER), table_of(COPY)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert pq.ParquetFile(pa.BufferReader(COPY)).metadata.row_group(0).column(0).compression == "ZSTD"
    old = {row["id"]: row for row in before.to_pylist()}
    new = {row["id"]: row for row in after.to_pylist()}
    assert old.keys() == new.keys()
    for key, row in old.items():
        for name in ("name", "district", "since", "tags"):
            assert new[key][name] == row[name]
        assert abs(new[key]["income"] - row["income"]) == Decimal("0.05")
        assert abs(new[key]["rate"] - row["rate"]) == 1
    assert before.column("id") != after.column("id")


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert marked(COVER, PARQUET, TABLE_POLICY) == COPY
    assert marked(COVER, PARQUET, TABLE_POLICY, seed=NEVER_ISSUED) != COPY


def as_csv(data: bytes) -> bytes:
    table = table_of(data)
    rows = [[str(value) for value in row.values()] for row in table.to_pylist()]
    return csv_file([table.column_names, *rows])


def half(data: bytes) -> bytes:
    table = table_of(data)
    kept = random.Random(2).sample(range(table.num_rows), table.num_rows // 2)
    sink = pa.BufferOutputStream()
    pq.write_table(table.take(pa.array(kept)), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("leaked", [bytes, as_csv, half])
def test_the_recipient_is_named_after(leaked: Callable[[bytes], bytes]) -> None:
    assert names_only_the_second(traced(leaked(COPY), COVER, PARQUET, TABLE_POLICY))


def test_a_file_that_leaks_from_a_csv_original_names_its_recipient() -> None:
    cover = csv_file(ROWS)
    copied = list(csv.reader(io.StringIO(marked(cover, "text/csv", TABLE_POLICY).decode(), newline="")))
    assert names_only_the_second(traced(parquet(copied), cover, "text/csv", TABLE_POLICY))


def test_nobody_is_named_for_the_original() -> None:
    assert traced(COVER, COVER, PARQUET, TABLE_POLICY).matches == ()


@pytest.mark.parametrize(
    "data", [COVER[:100], COVER[: len(COVER) // 2], b"PAR1PAR1", b"PAR1" + b"\xff" * 200]
)
def test_a_damaged_file_is_malformed(data: bytes) -> None:
    with pytest.raises(MediaMalformed):
        marked(data, PARQUET, TABLE_POLICY)


@pytest.mark.parametrize(
    ("limit", "value"),
    [("TABLE_ROWS_MAX", 100), ("TABLE_COLUMNS_MAX", 5), ("TABLE_CELLS_MAX", 1000), ("CELL_CHARS_MAX", 5)],
)
def test_what_is_past_a_limit_names_it(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(f"watermark.parquet.{limit}", value)
    with pytest.raises(MediaTooLarge, match=limit):
        marked(COVER, PARQUET, TABLE_POLICY)


def test_a_file_that_unpacks_to_more_than_memory_allows_ends_the_child_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = pa.table({"note": pa.array(["x" * 1_000_000]).take(pa.array([0] * 400))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="ZSTD", use_dictionary=True)
    bomb = bytes(sink.getvalue().to_pybytes())
    assert len(bomb) < 1 << 20
    monkeypatch.setattr("watermark.parquet.PARQUET_MEMORY_BYTES_MAX", 700 << 20)
    with pytest.raises((MediaMalformed, MediaTooLarge)):
        marked(bomb, PARQUET, TABLE_POLICY)


def test_damage_anywhere_never_ends_in_anything_but_a_watermark_error() -> None:
    source = random.Random(8)
    small = parquet(table_rows(10))
    for _ in range(6):
        data = bytearray(small)
        for _ in range(source.randint(1, 6)):
            data[source.randrange(4, len(data))] = source.randrange(256)
        with contextlib.suppress(WatermarkError):
            marked(bytes(data), PARQUET, TABLE_POLICY)


def test_one_reader_reads_and_rewrites_and_ends_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr("watermark.parquet.subprocess.Popen", Watched)
    assert marked(COVER, PARQUET, TABLE_POLICY) == COPY
    (reader,) = started
    assert reader.returncode is not None
    with pytest.raises(MediaMalformed):
        marked(COVER[:100], PARQUET, TABLE_POLICY)
    assert started[1].returncode is not None


def test_a_reader_that_gives_no_answer_in_time_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("import sys\nsys.stdin.buffer.read()\n")
    monkeypatch.setattr("watermark.parquet._WORKER", silent)
    monkeypatch.setattr("watermark.parquet.PARQUET_SECONDS_MAX", 0.5)
    with pytest.raises(MediaMalformed, match="not read within"):
        marked(COVER, PARQUET, TABLE_POLICY)
