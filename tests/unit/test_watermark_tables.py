"""Marks in CSV and JSON: only what is declared moves, and rows keep their marks wherever they go."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.watermark_covers import (
    CANDIDATES,
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    SCHEMA,
    TABLE_POLICY,
    csv_file,
    marked,
    names_only_the_second,
    rows_of,
    table_rows,
    traced,
)
from watermark import Channel, Policy, TableSchema, embed

CSV = "text/csv"
JSON = "application/json"
ROWS = table_rows(400)
COVER = csv_file(ROWS)
COPY = marked(COVER, CSV, TABLE_POLICY)
HEADER, *BODY = rows_of(COPY)
Table = list[list[str]]


def columns(rows: Table, *names: str) -> Table:
    kept = [HEADER.index(name) for name in names]
    return [[row[column] for column in kept] for row in rows]


def half(rows: Table) -> Table:
    return random.Random(1).sample(rows, len(rows) // 2)


ATTACKS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: COPY,
    "sorting by name": lambda: csv_file([HEADER, *sorted(BODY, key=lambda row: row[1])]),
    "sorting by key": lambda: csv_file([HEADER, *sorted(BODY)]),
    "deleting half of the rows and shuffling": lambda: csv_file([HEADER, *half(BODY)]),
    "keeping two columns": lambda: csv_file(columns([HEADER, *BODY], "id", "income")),
    "dropping the key, the reference and the text": lambda: csv_file(
        columns([HEADER, *BODY], "income", "area", "rate")
    ),
    "renaming every column": lambda: csv_file([list("abcdefgh"), *BODY]),
    "another dialect and encoding": lambda: csv_file([HEADER, *BODY], ";").decode().encode("gb18030"),
    "NFKC": lambda: csv_file(
        [[unicodedata.normalize("NFKC", cell) for cell in row] for row in [HEADER, *BODY]]
    ),
    "conversion to JSON": lambda: json.dumps([dict(zip(HEADER, row, strict=True)) for row in BODY]).encode(),
    "keeping one row with its reference": lambda: csv_file(columns([HEADER, BODY[7]], "id", "ref")),
    "keeping only the order": lambda: csv_file(columns([HEADER, *BODY], "id")),
    "keeping only the text": lambda: csv_file([["id", "note"], *sorted(columns(BODY, "id", "note"))]),
    "changing a third of the numbers": lambda: csv_file(
        [
            HEADER,
            *(
                [*row[:2], "", str(i), *row[4:6], "", row[7]] if i % 3 == 0 else row
                for i, row in enumerate(BODY)
            ),
        ]
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_recipient_of_a_table_is_named_after(attack: str) -> None:
    assert names_only_the_second(traced(ATTACKS[attack](), COVER, CSV, TABLE_POLICY))


def test_only_declared_cells_change_and_numbers_only_within_tolerance() -> None:
    before, after = ({row[0]: row for row in rows_of(data)[1:]} for data in (COVER, COPY))
    assert before.keys() == after.keys()
    for key, old in before.items():
        new = dict(zip(ROWS[0], after[key], strict=True))
        for name, value in zip(ROWS[0], old, strict=True):
            if name in SCHEMA.tolerances:
                assert abs(Decimal(new[name]) - Decimal(value)) <= SCHEMA.tolerances[name]
                assert len(new[name].partition(".")[2]) == len(value.partition(".")[2])
            elif name == "note":
                assert new[name].replace("\u200b", "").replace("\u2060", "") == value
            elif name not in {"ref", "note"}:
                assert new[name] == value


def test_without_a_declaration_a_table_comes_back_unchanged_and_says_so() -> None:
    result = embed(COVER, CSV, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy())
    assert result.data == COVER
    assert result.manifest.channels == ()
    assert "cannot be traced" in result.manifest.notes[0].en


def test_rows_stay_in_place_unless_declared_unordered() -> None:
    ordered = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal("0.05")}))
    assert [row[0] for row in rows_of(marked(COVER, CSV, ordered))] == [row[0] for row in ROWS]


def test_quotes_delimiter_line_ends_and_encoding_stay() -> None:
    cover = 'id;"name";income\n"1";"a ""b""";10.00\n2;x;20.50'.encode("utf-8-sig")
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal("0.05")}))
    copy = marked(cover, CSV, policy).decode("utf-8-sig")
    assert copy.startswith('id;"name";income\n"1";"a ""b""";')
    assert not copy.endswith("\n")
    assert len(copy.encode("utf-8-sig")) in range(len(cover) - 2, len(cover) + 1)
    assert marked(cover, CSV, policy).startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("value", ["007", "1e5", "+3", "n/a", "", "0", "0.00", "12,000", "0.04"])
def test_codes_blanks_and_numbers_that_would_change_sign_are_not_touched(value: str) -> None:
    cover = csv_file([["id", "income"], ["a", value], ["b", "100.00"]])
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal("0.05")}))
    assert rows_of(marked(cover, CSV, policy))[1] == ["a", value]


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert marked(COVER, CSV, TABLE_POLICY) == COPY
    assert marked(COVER, CSV, TABLE_POLICY, NEVER_ISSUED) != COPY


@pytest.mark.parametrize("kind", ["original", "sorted original", "never issued", "retyped"])
def test_nobody_is_named_for_a_table_without_a_candidates_mark(kind: str) -> None:
    leak = {
        "original": COVER,
        "sorted original": csv_file([ROWS[0], *sorted(ROWS[1:], key=lambda row: row[1])]),
        "never issued": marked(COVER, CSV, TABLE_POLICY, NEVER_ISSUED),
        "retyped": csv_file(columns(ROWS, "id", "name")),
    }[kind]
    verdict = traced(leak, COVER, CSV, TABLE_POLICY)
    assert verdict.matches == ()
    assert verdict.verdict in {"none", "untraceable"}


def test_both_of_two_colluders_are_named_and_nobody_else() -> None:
    other = {row[0]: row for row in rows_of(marked(COVER, CSV, TABLE_POLICY, CANDIDATES[RECIPIENTS[2]]))}
    rng = random.Random(2)
    mixed = [[rng.choice(pair) for pair in zip(row, other[row[0]], strict=True)] for row in BODY]
    verdict = traced(csv_file([HEADER, *sorted(mixed)]), COVER, CSV, TABLE_POLICY)
    assert {match.release_id for match in verdict.matches} == {RECIPIENTS[1], RECIPIENTS[2]}


def test_duplicate_keys_carry_nothing_rather_than_something_wrong() -> None:
    rows = [["id", "income"], *([["same", "10.00"]] * 40)]
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"income": Decimal("0.05")}))
    cover = csv_file(rows)
    assert marked(cover, CSV, policy) == cover


@pytest.mark.parametrize("media_type", [JSON, "application/x-ndjson"])
def test_json_rows_are_tables_too_and_keep_every_digit(media_type: str) -> None:
    objects = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
    texts = [
        json.dumps(item, ensure_ascii=False).replace(f'"{item["income"]}"', item["income"])
        for item in objects
    ]
    text = "\n".join(texts) + "\n" if media_type != JSON else "[" + ", ".join(texts) + "]"
    cover = text.encode()
    copy = marked(cover, media_type, TABLE_POLICY)
    assert names_only_the_second(traced(copy, cover, media_type, TABLE_POLICY))
    lines = copy.decode().splitlines() if media_type != JSON else None
    parsed: list[dict[str, Any]] = [json.loads(line, parse_float=str) for line in lines] if lines else []
    parsed = parsed or json.loads(copy, parse_float=str)
    was = {item["id"]: item for item in objects}
    assert all(len(item["income"].partition(".")[2]) == 2 for item in parsed)
    assert all(
        abs(Decimal(item["income"]) - Decimal(was[item["id"]]["income"])) <= Decimal("0.05")
        for item in parsed
    )


RECORD = {
    "type": "business licence",
    "number": "91310000MA1K",
    "holder": {"name": "张三", "id": "3101"},
    "capital": 1000000,
    "issued": "2020-01-02",
    "scope": "技术开发、技术咨询、技术服务；销售电子产品。（依法须经批准的项目，经相关部门批准后方可开展经营活动）",
    "valid": True,
    "previous": None,
    "score": 98.50,
    "case": "X-1",
} | {f"field{index}": index for index in range(8)}
RECORD_COVER = json.dumps(RECORD, ensure_ascii=False, indent=2).encode().replace(b"98.5", b"98.50")
RECORD_POLICY = Policy(table=TableSchema(free_text=("scope",), reference="case"))


def test_a_single_record_is_traced_by_the_order_of_its_keys_alone() -> None:
    copy = marked(RECORD_COVER, JSON)
    assert json.loads(copy) == RECORD
    assert b"98.50" in copy
    assert names_only_the_second(traced(copy, RECORD_COVER, JSON))
    assert names_only_the_second(traced(json.dumps(json.loads(copy)).encode(), RECORD_COVER, JSON))


@pytest.mark.parametrize("kept", ["scope", "case"])
def test_a_record_with_sorted_keys_is_traced_by_what_was_declared(kept: str) -> None:
    fields = json.loads(marked(RECORD_COVER, JSON, RECORD_POLICY))
    other = {"scope": "case", "case": "scope"}[kept]
    leak = json.dumps(fields | {other: RECORD[other]}, sort_keys=True, ensure_ascii=False).encode()
    assert names_only_the_second(traced(leak, RECORD_COVER, JSON, RECORD_POLICY))


def test_a_retyped_record_of_legal_values_is_untraceable_and_says_so() -> None:
    leak = json.dumps(RECORD, sort_keys=True).encode()
    verdict = traced(leak, RECORD_COVER, JSON, RECORD_POLICY)
    assert verdict.verdict == "untraceable"
    assert verdict.phantom_best_log10_np is None
    assert any("no readable mark" in note.en for note in verdict.notes)


def test_a_record_of_few_keys_is_too_little_to_accuse_anybody() -> None:
    cover = b'{"name":"a","number":"b","until":"c"}'
    verdict = traced(marked(cover, JSON), cover, JSON)
    assert verdict.verdict == "untraceable"
    assert verdict.matches == ()


def test_the_manifest_lists_channels_and_what_may_differ() -> None:
    manifest = embed(COVER, CSV, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=TABLE_POLICY).manifest
    assert manifest.channels == (Channel.NUMBERS, Channel.REFERENCE, Channel.ROW_ORDER, Channel.ZERO_WIDTH)
    assert any("income ±0.05" in words.en for words in manifest.differences)
    assert len(manifest.differences) == 4
