"""The engine's contract, for files nobody thought of: the same bytes again, no legal value changed, no innocent accused."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.watermark_bombs import KINDS, good
from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    TABLE_POLICY,
    marked,
    traced,
)
from watermark import AssetKey, Policy, TableSchema, codeword_seed, embed, sniff

DELTA = Decimal("0.05")
POLICY = Policy.from_json(
    {
        "columns": {
            "id": {"key": True},
            "income": {"tolerance": str(DELTA)},
            "ref": {"reference": True},
            "note": {"free_text": True},
        },
        "unordered": True,
    }
)
COLUMNS = ("id", "income", "ref", "note", "legal")
ODD = st.sampled_from(
    [
        *[
            "",
            "0",
            "-0",
            "007",
            "1.50",
            "-3.1",
            "1e5",
            "1E-3",
            "NaN",
            "inf",
            "-inf",
            "+1.2",
            " 1.5",
            "1.5 ",
            "1,5",
        ],
        *[
            "0.04",
            ".5",
            "5.",
            "99999999999999999999.99",
            "2026-02-30",
            "31/12/1999",
            "TRUE",
            "null",
            "#N/A",
            "=1+1",
        ],
        *[
            "'007",
            "１２．５",
            "١٢",
            "依法登记，经营正常。",
            'a "quoted" cell',
            "two\nlines",
            "tab\tand\rreturn",
            "a;b|c",
        ],
        *["\u200b", "e\u0301", "👩\u200d👩\u200d👧", "İ"],
    ]
)
TEXTS = ODD | st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
QUICK = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)


def rows_of(text: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Any]]]:
    """Rows whose first cell is a key of its own."""
    row = st.lists(text, min_size=len(COLUMNS) - 1, max_size=len(COLUMNS) - 1)
    return st.lists(row, max_size=24).map(lambda rows: [[f"P{at}", *row] for at, row in enumerate(rows)])


def check(before: Sequence[Sequence[Any]], after: Sequence[Sequence[Any]]) -> None:
    """No row is lost, no cell changed that is not declared, and no number moved further than declared."""
    assert len(before) == len(after)
    found = {row[0]: row for row in after}
    for row in before:
        again = found[row[0]]
        assert type(again[4]) is type(row[4])
        assert same(again[4], row[4])
        if not same(again[1], row[1]):
            old, new = Decimal(str(row[1])), Decimal(str(again[1]))
            assert type(again[1]) is type(row[1]) or {type(again[1]), type(row[1])} == {int, float}
            # A spreadsheet's sixteen digits are noise at the end.
            assert abs(new - old) <= DELTA + abs(old) * Decimal("1E-15")
            assert old.is_signed() == new.is_signed()
        if not isinstance(row[3], str):
            assert same(again[3], row[3])
        else:
            assert visible(again[3]) == visible(row[3])


def same(one: Any, other: Any) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or bool(one == other)


def visible(text: str) -> str:
    return text.replace("\u200b", "").replace("\u2060", "")


def copy_of(data: bytes, media_type: str) -> bytes:
    first = embed(data, media_type, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=POLICY).data
    assert first == embed(data, media_type, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=POLICY).data
    return first


@QUICK
@given(
    rows=rows_of(TEXTS),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
)
def test_csv_keeps_every_value_that_is_not_declared(
    rows: list[list[str]], delimiter: str, quoting: int, end: str, encoding: str
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # The writer of the standard library leaves a lone return without quotes, and its reader ends the row there.
        rows = [[cell.replace("\r", " ") for cell in row] for row in rows]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([COLUMNS, *rows])  # type: ignore[arg-type]
    data = out.getvalue().encode(encoding)
    with suppress(UnicodeDecodeError):
        # What is UTF-8 as well is taken for that; so is plain ASCII.
        data.decode("utf-8")
        encoding = "utf-8-sig"

    def read(file: bytes) -> list[list[str]]:
        return list(csv.reader(io.StringIO(file.decode(encoding), newline=""), delimiter=delimiter))[1:]

    check(read(data), read(copy_of(data, "text/csv")))


def test_a_table_whose_cells_go_over_several_lines_is_a_table() -> None:
    for delimiter in ",;\t|":
        lines = [["id", "note", "legal"], *([f"P{at}", "two\nlines, and; more|\t", "x"] for at in range(9))]
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(lines)
        data = out.getvalue().encode()
        assert sniff(data) == "text/csv"
        after = list(
            csv.reader(io.StringIO(copy_of(data, "text/csv").decode(), newline=""), delimiter=delimiter)
        )
        assert [row[2] for row in after] == ["legal"] + ["x"] * 9
        assert [visible(row[1]) for row in sorted(after[1:])] == [row[1] for row in lines[1:]]


JSON_VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-1000, 1000, places=2).map(float),
    st.just({}),
    st.just([]),
    st.lists(st.integers(), max_size=3),
)


@QUICK
@given(
    rows=rows_of(JSON_VALUES).filter(bool),
    indent=st.sampled_from([None, 2, 4, "\t"]),
    escaped=st.booleans(),
    lines=st.booleans(),
)
def test_json_keeps_every_value_that_is_not_declared(
    rows: list[list[Any]], indent: Any, escaped: bool, lines: bool
) -> None:
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    if lines:
        data = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in named).encode()
    else:
        data = json.dumps(named, indent=indent, ensure_ascii=escaped).encode()

    def read(file: bytes) -> list[list[Any]]:
        read = [json.loads(line) for line in file.split(b"\n")] if lines else json.loads(file)
        return [[row[name] for name in COLUMNS] for row in read]

    check(read(data), read(copy_of(data, sniff(data))))


DAY = datetime.datetime(2026, 2, 28, 13, 5)
XLSX_VALUES = st.one_of(
    TEXTS.map(lambda text: text.replace("\r", " ").replace("=", "-")),
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 4)),
    st.sampled_from([DAY, DAY.date(), datetime.time(7, 30), "=SUM(B2:B3)", '=CONCATENATE("a","b")']),
)


@settings(QUICK, max_examples=12)
@given(rows=rows_of(XLSX_VALUES), merged=st.booleans())
def test_xlsx_keeps_every_value_formula_and_merged_cell(rows: list[list[Any]], merged: bool) -> None:
    book = openpyxl.Workbook()
    for row in [list(COLUMNS), *rows]:
        book.active.append(row)
    if merged and rows:
        book.active.merge_cells(start_row=len(rows) + 2, start_column=1, end_row=len(rows) + 3, end_column=2)
    out = io.BytesIO()
    book.save(out)

    def read(file: bytes) -> tuple[list[list[Any]], list[str]]:
        sheet = openpyxl.load_workbook(io.BytesIO(file)).active
        found = [
            [cell.value for cell in row]
            for row in sheet.iter_rows(min_row=2, max_row=len(rows) + 1, max_col=5)
        ]
        return found, [str(area) for area in sheet.merged_cells.ranges]

    (before, areas), (after, again) = (
        read(out.getvalue()),
        read(copy_of(out.getvalue(), sniff(out.getvalue()))),
    )
    assert areas == again
    check(before, after)


PARQUET_VALUES: list[tuple[pa.DataType, list[Any]]] = [
    (
        pa.float64(),
        [1.5, -2.25, float("nan"), None, float("inf"), 4e15 + 0.5, 1e300, 5e-324, 0.1 + 0.2, -0.0],
    ),
    (pa.float32(), [1.5, 0.1, 8388607.5, None, float("nan"), 3.4e38, 1e-40, 16777216.0, 99.95, -7.3]),
    (pa.float16(), [1.5, 65504.0, None, 0.1, 2048.0]),
    (pa.int8(), [127, -128, 0, None, 1, 5]),
    (pa.uint8(), [0, 1, 255, None]),
    (pa.int64(), [2**63 - 1, -(2**63), 0, None, 12]),
    (pa.uint64(), [2**64 - 1, 0, 1]),
    (pa.decimal128(4, 2), [Decimal("99.99"), Decimal("-99.99"), Decimal("0.01"), None, Decimal("1.00")]),
    (pa.decimal128(38, 30), [Decimal("1.000000000000000000000000000001"), None]),
    (pa.date32(), [datetime.date(2026, 2, 28), None]),
    (pa.timestamp("ns"), [DAY, None]),
    (pa.bool_(), [True, None, False]),
    (pa.binary(), [b"\xff\x00", None]),
    (pa.string(), ["1.5", "007", None, "1.50", "NaN"]),
    (pa.dictionary(pa.int32(), pa.string()), ["a", None, "1.5"]),
    (pa.list_(pa.int8()), [[1, 2], None, []]),
    (pa.struct([("income", pa.float64())]), [{"income": 1.5}, None]),
]


def test_parquet_keeps_types_nulls_and_tolerances() -> None:
    rows = max(len(values) for _, values in PARQUET_VALUES)
    columns = {
        f"{use} {at}": pa.array(values + [None] * (rows - len(values)), kind)
        for at, (kind, values) in enumerate(PARQUET_VALUES)
        for use in ("moves", "legal")
    }
    table = pa.table({"id": [f"P{at}" for at in range(rows)], **columns})
    deltas = {
        f"moves {at}": Decimal(1) if pa.types.is_integer(kind) else Decimal("0.3")
        for at, (kind, _) in enumerate(PARQUET_VALUES)
    }
    sink = io.BytesIO()
    pq.write_table(table, sink)
    policy = Policy(table=TableSchema(keys=("id",), tolerances=deltas))
    copy = embed(
        sink.getvalue(), "application/vnd.apache.parquet", layout_key=LAYOUT, seed=NEVER_ISSUED, policy=policy
    )
    after = pq.read_table(io.BytesIO(copy.data))
    assert after.schema == table.schema
    moved = 0
    for name in table.column_names:
        for old, new in zip(table[name].to_pylist(), after[name].to_pylist(), strict=True):
            if repr(old) != repr(new):
                moved += 1
                assert abs(Decimal(str(new)) - Decimal(str(old))) <= deltas[name]
    assert moved > 10


def test_another_process_with_another_hash_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / kind).write_bytes(good(kind))
    script = (
        "import hashlib, pathlib, sys\n"
        "from tests.unit.watermark_covers import TABLE_POLICY, marked\n"
        "from watermark import sniff\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    data = path.read_bytes()\n"
        "    print(path.name, hashlib.sha256(marked(data, sniff(data), TABLE_POLICY)).hexdigest())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "77")
    }
    assert len(told) == 1
    assert len(told.pop().splitlines()) == len(KINDS)


# --- nobody is accused who never had the file ---


@pytest.mark.parametrize("kind", KINDS)
def test_no_innocent_is_accused(kind: str) -> None:
    original = good(kind)
    media_type = sniff(original)
    other = AssetKey.from_master(b"another master key of 32 bytes..", original)
    by_another_key = embed(
        original,
        media_type,
        layout_key=other.layout,
        seed=codeword_seed(other.mark, RECIPIENTS[1]),
        policy=TABLE_POLICY,
    ).data
    of_somebody_else = marked(original, media_type, TABLE_POLICY, seed=NEVER_ISSUED)
    for leak in (original, by_another_key, of_somebody_else):
        verdict = traced(leak, original, media_type, TABLE_POLICY)
        assert verdict.matches == ()
        assert verdict.verdict in {"none", "untraceable"}
