"""Tables: one recipient is named whatever the leaker does to rows, columns and file format, and nobody else is."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
from collections.abc import Callable
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest

from watermark import (
    Channel,
    MediaTooLarge,
    Policy,
    PolicyInvalid,
    TableSchema,
    Verdict,
    VerdictKind,
    WatermarkError,
    detect,
    embed,
    linking,
)
from watermark.csv_text import parse_csv
from watermark.evidence import Bound, total_score
from watermark.limits import CELL_CHARS_MAX
from watermark.media import read

Row = list[str]
Rows = list[Row]

CSV = "text/csv"
JSON = "application/json"
LAYOUT = hashlib.sha256(b"layout").digest()
HEADER = ["row_reference", "day", "meter", "flow", "temperature", "remark", "verdict"]
TOLERANCES = {"flow": Decimal("0.05"), "temperature": Decimal("0.10")}
LEGAL = ("day", "meter", "verdict")
POLICY = Policy(
    table=TableSchema(
        keys=("day", "meter"),
        tolerances=TOLERANCES,
        reference="row_reference",
        free_text=("remark",),
        unordered=True,
    )
)
RECIPIENTS = 3
DECOYS = 200
GUILTY = 1


def seed(index: int) -> bytes:
    return hashlib.sha256(b"release %d" % index).digest()


CANDIDATES = {index.to_bytes(8, "big"): seed(index) for index in range(RECIPIENTS + DECOYS)}


def table(rows: int) -> Rows:
    rng = random.Random(rows)
    return [
        [
            f"R{rng.getrandbits(48):012X}",
            f"2024-{index:06d}",
            "一号泵站" if index % 2 else "二号泵站",
            f"{rng.randint(4000, 9800) / 100:.2f}",
            f"{rng.randint(-900, 2400) / 100:.2f}",
            "读数正常，已复核",
            '合格, "A"' if index % 3 else "合格",
        ]
        for index in range(rows)
    ]


def to_csv(
    header: Row, rows: Rows, *, delimiter: str = ",", end: str = "\r\n", quoted: bool = False
) -> bytes:
    text = io.StringIO()
    csv.writer(
        text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    ).writerows([header, *rows])
    return text.getvalue().encode()


def rows_of(data: bytes) -> Rows:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]


def only(rows: Rows, *names: str) -> bytes:
    columns = [HEADER.index(name) for name in names]
    return to_csv(list(names), [[row[column] for column in columns] for row in rows])


ORIGINAL = to_csv(HEADER, table(400))
MARKED = [
    embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(index), policy=POLICY) for index in range(RECIPIENTS)
]
COPY = rows_of(MARKED[GUILTY].data)


def trace(leak: bytes, original: bytes = ORIGINAL, media_type: str = CSV, policy: Policy = POLICY) -> Verdict:
    return detect(
        leak,
        original,
        media_type,
        layout_key=LAYOUT,
        candidates=CANDIDATES,
        phantoms=(),
        policy=policy,
        candidates_total=10_000,
    )


def accused(verdict: Verdict) -> list[int]:
    assert verdict.verdict is VerdictKind.ACCUSED, verdict.to_json()
    return [int.from_bytes(match.release_id, "big") for match in verdict.matches]


def tenth_sorted(rows: Rows) -> Rows:
    return sorted(random.Random(6).sample(rows, len(rows) // 10), key=lambda row: row[::-1])


def with_changed_cells(rows: Rows) -> Rows:
    """Three of ten cells replaced by the same column's cell of another row."""
    rng = random.Random(7)
    return [
        [rng.choice(rows)[column] if rng.random() < 0.3 else cell for column, cell in enumerate(row)]
        for row in rows
    ]


ATTACKS: dict[str, Callable[[Rows], bytes]] = {
    "none": lambda rows: MARKED[GUILTY].data,
    "reversed": lambda rows: to_csv(HEADER, rows[::-1]),
    "90 % deleted and sorted": lambda rows: to_csv(HEADER, tenth_sorted(rows)),
    "every row twice": lambda rows: to_csv(HEADER, [*rows, *rows]),
    "30 % of the cells changed": lambda rows: to_csv(HEADER, with_changed_cells(rows)),
    "reference dropped": lambda rows: only(rows, *HEADER[1:]),
    "numbers dropped": lambda rows: only(rows, "row_reference", "day", "meter", "verdict"),
    "keys dropped": lambda rows: only(rows, "row_reference", "flow", "temperature", "verdict"),
    "keys and numbers kept, sorted": lambda rows: only(sorted(rows, key=lambda r: r[3]), *HEADER[1:5]),
    "all but the references dropped": lambda rows: only(tenth_sorted(rows), "row_reference"),
    "all but the references dropped, one row left": lambda rows: only(
        rows[5:6], "day", "meter", "row_reference"
    ),
    "keys dropped, the rest renamed": lambda rows: to_csv(
        list("abcd"), [[*r[:1], *r[3:5], r[6]] for r in rows]
    ),
    "references moved to other rows": lambda rows: to_csv(
        HEADER, [[other[0], *row[1:3], "", "", *row[5:]] for row, other in zip(rows, rows[::-1], strict=True)]
    ),
    "columns turned round": lambda rows: only(rows, *HEADER[::-1]),
    "tabs and BOM": lambda rows: b"\xef\xbb\xbf" + to_csv(HEADER, rows, delimiter="\t"),
    "UTF-16": lambda rows: to_csv(HEADER, rows).decode().encode("utf-16"),
    "trailing zeros and blanks": lambda rows: to_csv(
        HEADER, [[*r[:3], r[3] + "00", f" {r[4]} ", *r[5:]] for r in rows]
    ),
    "references in lower case": lambda rows: to_csv(HEADER, [[row[0].lower(), *row[1:]] for row in rows]),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_the_leaking_recipient_is_accused_after(attack: str) -> None:
    assert accused(trace(ATTACKS[attack](COPY))) == [GUILTY]


def test_each_channel_names_the_recipient_by_itself() -> None:
    speaking = set(trace(MARKED[GUILTY].data).matches[0].channels)
    assert speaking == {Channel.NUMBERS, Channel.REFERENCE, Channel.ROW_ORDER, Channel.ZERO_WIDTH}


def test_dropped_columns_leave_the_other_channel_alone() -> None:
    numbers = trace(only(sorted(COPY, key=lambda row: row[3]), "day", "meter", "flow", "temperature"))
    references = trace(only(sorted(COPY, key=lambda row: row[0]), "day", "meter", "row_reference"))
    assert numbers.matches[0].channels == (Channel.NUMBERS,)
    assert references.matches[0].channels == (Channel.REFERENCE,)


def test_two_copies_mixed_row_by_row_accuse_both_and_no_third() -> None:
    mixed = [
        mine if index % 2 else theirs
        for index, (mine, theirs) in enumerate(
            zip(
                sorted(COPY, key=lambda row: row[1]),
                sorted(rows_of(MARKED[2].data), key=lambda row: row[1]),
                strict=True,
            )
        )
    ]
    assert sorted(accused(trace(to_csv(HEADER, mixed)))) == [GUILTY, 2]


def test_nobody_is_accused_for_the_original_for_strangers_or_for_legal_columns_only() -> None:
    stranger = embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(10**6), policy=POLICY).data
    other_asset = embed(ORIGINAL, CSV, layout_key=bytes(32), seed=seed(GUILTY), policy=POLICY).data
    assert trace(ORIGINAL).verdict is VerdictKind.UNTRACEABLE
    assert trace(stranger).verdict is VerdictKind.NONE
    assert trace(other_asset).matches == ()
    legal = trace(only(sorted(COPY, key=lambda row: row[1]), *LEGAL))
    assert legal.verdict is VerdictKind.UNTRACEABLE
    assert legal.notes


@pytest.mark.parametrize("attack", ["none", "90 % deleted and sorted", "30 % of the cells changed"])
def test_scores_of_strangers_stay_below_their_bound(attack: str) -> None:
    evidence = read(ATTACKS[attack](COPY), ORIGINAL, CSV, LAYOUT, POLICY).evidence
    scores = total_score(evidence, [seed(10**6 + index) for index in range(2_000)])
    log10_p = Bound.of(evidence).log10_p(scores)
    assert np.mean(log10_p <= -1) < 0.1
    assert np.mean(log10_p <= -2) < 0.01
    assert log10_p.min() > -5
    assert abs(scores.mean()) < 4 * scores.std() / np.sqrt(len(scores))


def test_cells_that_are_not_declared_keep_their_bytes_quotes_and_line_ends() -> None:
    original = (
        '\ufeffid;note;"value";code\r\n"a";"x; ""y""";1.50;007\r\nb;中文 ;-0.3;"12.0"\r\nc;;n/a;0012'.encode()
    )
    policy = Policy(table=TableSchema(keys=("id",), tolerances={"value": Decimal("0.1"), "code": Decimal(1)}))
    marked = embed(original, CSV, layout_key=LAYOUT, seed=seed(0), policy=policy).data
    old, new = parse_csv(original), parse_csv(marked)
    assert (old.ends, old.encoding, old.delimiter, old.tokens[0]) == (
        new.ends,
        new.encoding,
        new.delimiter,
        new.tokens[0],
    )
    changed = {
        (row, column)
        for row, (before, after) in enumerate(zip(old.tokens, new.tokens, strict=True))
        for column, (one, other) in enumerate(zip(before, after, strict=True))
        if one != other
    }
    assert changed == {(1, 2), (2, 2), (2, 3)}
    assert new.tokens[2][3] in {'"11.0"', '"13.0"'}


def test_a_channel_that_the_policy_excludes_changes_nothing() -> None:
    policy = Policy(channels=frozenset({Channel.REFERENCE}), table=POLICY.table)
    marked = embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(GUILTY), policy=policy)
    assert [row[1:] for row in rows_of(marked.data)] == [row[1:] for row in table(400)]
    assert accused(trace(marked.data, policy=policy)) == [GUILTY]


def test_references_differ_by_row_and_release() -> None:
    references = [row[0] for marked in MARKED for row in rows_of(marked.data)]
    assert len(set(references)) == len(references) == RECIPIENTS * 400


def test_one_line_with_a_declared_reference_is_traced_by_it_alone() -> None:
    original = to_csv(["certificate_id", "holder", "copy_reference"], [["ab12", "张三", "0" * 16]])
    policy = Policy(table=TableSchema(keys=("certificate_id",), reference="copy_reference"))
    marked = embed(original, CSV, layout_key=LAYOUT, seed=seed(GUILTY), policy=policy).data
    assert accused(trace(marked, original, policy=policy)) == [GUILTY]
    line = rows_of(marked)[0]
    gone = trace(to_csv(["certificate_id", "holder"], [line[:2]]), original, policy=policy)
    assert gone.verdict is VerdictKind.UNTRACEABLE
    assert gone.notes


def test_json_rows_are_marked_in_their_style_and_traced_as_csv_too() -> None:
    document = [
        {"day": row[1], "flow": json.loads(row[3]), "nested": {"a": [1.50, True, None]}, "verdict": row[6]}
        for row in table(400)
    ]
    original = json.dumps(document, ensure_ascii=False, indent=2).encode()
    policy = Policy(table=TableSchema(keys=("day",), tolerances={"flow": Decimal("0.1")}))
    marked = embed(original, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=policy).data
    changed = json.loads(marked)
    before, after = original.decode().splitlines(), marked.decode().splitlines()
    differing = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(differing) > 300
    assert all(old.startswith('    "flow": ') and new.startswith('    "flow": ') for old, new in differing)
    assert [{**row, "flow": 0} for row in changed] == [{**row, "flow": 0} for row in document]
    assert accused(trace(marked, original, JSON, policy)) == [GUILTY]
    as_csv = to_csv(["day", "flow"], [[row["day"], str(row["flow"])] for row in changed[::-1]])
    assert accused(trace(as_csv, original, JSON, policy)) == [GUILTY]


@pytest.mark.parametrize("cut", [1, 40, 1_000, 7_777])
def test_a_truncated_leak_is_judged_or_refused_but_accuses_no_other(cut: int) -> None:
    try:
        verdict = trace(MARKED[GUILTY].data[:cut])
    except WatermarkError:
        return
    assert {int.from_bytes(match.release_id, "big") for match in verdict.matches} <= {GUILTY}
    assert cut < 7_000 or verdict.verdict is VerdictKind.ACCUSED


def test_ragged_lines_and_foreign_numbers_in_a_leak_cost_only_their_cells() -> None:
    lines = MARKED[GUILTY].data.decode().split("\r\n")
    lines[5] = "short"
    lines[6] += ",1,2,3"
    lines[7] = lines[7].replace(COPY[6][3], "NaN")
    lines[8] = lines[8].replace(COPY[7][3], "1e999999999")
    assert accused(trace("\n".join(lines).encode())) == [GUILTY]


def test_references_look_like_the_ones_they_replace_and_empty_cells_stay_empty() -> None:
    rows = [["", *row[1:]] if index % 4 == 0 else row for index, row in enumerate(table(40))]
    marked = rows_of(embed(to_csv(HEADER, rows), CSV, layout_key=LAYOUT, seed=seed(0), policy=POLICY).data)
    after = {tuple(row[1:3]): row[0] for row in marked}
    for row in rows:
        new = after[tuple(row[1:3])]
        assert new == "" if row[0] == "" else re.fullmatch(r"R[0-9A-F]{12}", new) and new != row[0]


def test_one_row_of_a_long_table_is_enough_while_its_key_is_there() -> None:
    line = to_csv(["day", "meter", "row_reference"], [[COPY[7][1], COPY[7][2], COPY[7][0]]])
    assert accused(trace(line)) == [GUILTY]


def test_a_declared_column_that_is_not_in_the_file_is_named_in_the_manifest() -> None:
    schema = TableSchema(
        keys=("day", "uhr"), tolerances={"flow": Decimal("0.05"), "gone": Decimal(1)}, reference="nope"
    )
    manifest = embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(0), policy=Policy(table=schema)).manifest
    assert manifest.channels == (Channel.NUMBERS,)
    assert any("uhr, gone, nope" in note.en and "uhr, gone, nope" in note.zh for note in manifest.notes)
    nothing = Policy(table=TableSchema(reference="nope"))
    notes = embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(0), policy=nothing).manifest.notes
    assert ["cannot be traced" in note.en or "nope" in note.en for note in notes] == [True, True]


@pytest.mark.parametrize("delta", ["1E+30", "1E-30", "1E+999999", "1e-999999", "Infinity", "0." + "1" * 25])
def test_a_tolerance_beyond_reason_is_refused(delta: str) -> None:
    with pytest.raises(PolicyInvalid, match="tolerance"):
        TableSchema(tolerances={"flow": Decimal(delta)})


def test_a_column_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="name of a column"):
        TableSchema(keys=("\ud800",))
    with pytest.raises(PolicyInvalid, match="name of a column"):
        TableSchema(keys=("x" * 1_001,))


@pytest.mark.parametrize("value", ["1" * 39, "0." + "1" * 38, "-" + "9" * 30 + ".12345678"])
@pytest.mark.parametrize("delta", ["1E+12", "1E-12", "0.05", "999999999999.123456789"])
def test_numbers_of_many_digits_move_exactly_and_within_tolerance(value: str, delta: str) -> None:
    original = to_csv(["k", "a"], [["1", value], ["2", "x"]])
    policy = Policy(table=TableSchema(keys=("k",), tolerances={"a": Decimal(delta)}))
    new = rows_of(embed(original, CSV, layout_key=LAYOUT, seed=seed(0), policy=policy).data)[0][1]
    with localcontext(Context(prec=200)):
        assert abs(Decimal(new) - Decimal(value)) <= Decimal(delta)
    assert len(new.partition(".")[2]) == len(value.partition(".")[2])


def test_a_run_of_quotes_is_refused_by_the_limit_of_a_cell() -> None:
    with pytest.raises(MediaTooLarge, match="CELL_CHARS_MAX"):
        embed(b"a,b\n" + b'"' * (1 << 20), CSV, layout_key=LAYOUT, seed=seed(0), policy=Policy())


@pytest.mark.parametrize("length", [CELL_CHARS_MAX - 1, CELL_CHARS_MAX])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_cell_as_long_as_the_limit_is_read(length: int, quoted: bool) -> None:
    cell = b'"' + b"x" * (length - 2) + b'"' if quoted else b"x" * length
    for end in (b"", b",1\n", b"\n"):
        data = b"a,b\n" + cell + end
        assert embed(data, CSV, layout_key=LAYOUT, seed=seed(0), policy=Policy()).data == data
        longer = data.replace(b"xx", b"xx" + b"x" * (CELL_CHARS_MAX + 1 - length), 1)
        with pytest.raises(MediaTooLarge, match="CELL_CHARS_MAX"):
            embed(longer, CSV, layout_key=LAYOUT, seed=seed(0), policy=Policy())


def test_a_copy_too_large_to_be_read_back_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.records.TEXT_BYTES_MAX", len(ORIGINAL))
    with pytest.raises(MediaTooLarge, match="TEXT_BYTES_MAX"):
        embed(ORIGINAL, CSV, layout_key=LAYOUT, seed=seed(0), policy=POLICY)


def test_text_so_long_that_marks_could_pass_the_limit_of_a_cell_holds_none() -> None:
    for length, marked in ((CELL_CHARS_MAX // 2 - 32, True), (CELL_CHARS_MAX // 2, False)):
        original = to_csv(["k", "t"], [["1", "文" * length]])
        policy = Policy(table=TableSchema(keys=("k",), free_text=("t",)))
        copy = embed(original, CSV, layout_key=LAYOUT, seed=seed(0), policy=policy).data
        assert (copy != original) is marked


def test_marks_around_a_changed_place_are_still_read() -> None:
    rows = [
        [*row[:5], f"{row[1]}：{row[5]}另附说明第{index}条", row[6]] for index, row in enumerate(table(40))
    ]
    original = to_csv(HEADER, rows)
    policy = Policy(table=TableSchema(keys=("day", "meter"), free_text=("remark",)))
    copy = rows_of(embed(original, CSV, layout_key=LAYOUT, seed=seed(GUILTY), policy=policy).data)
    changed = [[*row[:5], f"注意！{row[5][:9]}（已改）{row[5][12:]}", row[6]] for row in copy]
    verdict = trace(to_csv(HEADER, changed), original, policy=policy)
    assert accused(verdict) == [GUILTY]


def test_a_leak_of_very_many_columns_is_compared_with_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    overlap = linking._overlap

    def counted(sample: list[str], values: set[str]) -> float:
        nonlocal compared
        compared += 1
        return overlap(sample, values)

    monkeypatch.setattr(linking, "COLUMN_PAIRS_MAX", 300)
    monkeypatch.setattr(linking, "_overlap", counted)
    wide = to_csv([f"c{index}" for index in range(200)], [["x"] * 200] * 20)
    assert trace(wide).verdict is VerdictKind.UNTRACEABLE
    assert 0 < compared <= 300
