"""Marked JSON stays JSON: the same structure, numbers to the digit, and nothing but declared texts changed."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watermark import Channel, Policy, TableSchema, Verdict, VerdictKind, detect, embed
from watermark.limits import ORDERED_OBJECTS_MAX

JSON, LINES = "application/json", "application/x-ndjson"
LAYOUT = hashlib.sha256(b"layout").digest()
GUILTY = (7).to_bytes(8, "big")


def seed(index: int) -> bytes:
    return hashlib.sha256(b"release %d" % index).digest()


CANDIDATES = {index.to_bytes(8, "big"): seed(index) for index in range(60)}


def marked(original: bytes, policy: Policy, media_type: str = JSON) -> bytes:
    return embed(original, media_type, layout_key=LAYOUT, seed=CANDIDATES[GUILTY], policy=policy).data


def trace(leak: bytes, original: bytes, policy: Policy, media_type: str = JSON) -> Verdict:
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


def names_only_the_guilty(verdict: Verdict) -> bool:
    return verdict.verdict is VerdictKind.ACCUSED and [m.release_id for m in verdict.matches] == [GUILTY]


def dumped(value: Any, **options: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **options).encode()


def exact(data: bytes) -> Any:
    """Numbers as they stand in the file."""
    return json.loads(
        data, parse_int=lambda text: ("number", text), parse_float=lambda text: ("number", text)
    )


@pytest.mark.parametrize("value", ["12", "-0.50", "1e9", "null", "true", "false"])
@pytest.mark.parametrize("declared", ["reference", "free_text"])
def test_only_a_text_becomes_a_reference_or_holds_invisible_characters(value: str, declared: str) -> None:
    original = f'{{"r": {value}, "b": 1, "c": 2}}'.encode()
    schema = TableSchema(reference="r") if declared == "reference" else TableSchema(free_text=("r",))
    result = embed(original, JSON, layout_key=LAYOUT, seed=seed(0), policy=Policy(table=schema))
    assert exact(result.data) == exact(original)
    assert result.manifest.channels == (Channel.KEY_ORDER,)
    assert any("carry no mark: r" in note.en for note in result.manifest.notes)


def test_of_a_column_of_texts_and_numbers_the_texts_are_marked() -> None:
    rows = [{"k": index, "r": index if index % 2 else f"{index:016x}"} for index in range(40)]
    policy = Policy(table=TableSchema(keys=("k",), reference="r"))
    copy = marked(dumped(rows), policy)
    for before, after in zip(rows, json.loads(copy), strict=True):
        assert (before["r"] == after["r"]) is isinstance(before["r"], int)
        assert isinstance(after["r"], int) or re.fullmatch("[0-9a-f]{16}", after["r"])
    assert names_only_the_guilty(trace(copy, dumped(rows), policy))


NAMES = st.sampled_from(["a", "b", "r", "t", "n", "a.b", "中文", 'q"\\', "\u2028", ""])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(float),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.from_regex("[0-9A-F]{14}", fullmatch=True),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
RECORDS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    document=RECORDS | st.lists(RECORDS, min_size=1, max_size=4),
    indent=st.sampled_from([None, 1, 2, "\t"]),
    escaped=st.booleans(),
    names=st.permutations(["r", "t", "n", "a.b", "中文"]),
)
def test_any_json_under_any_declaration_stays_the_same_but_for_declared_texts_and_numbers(
    document: Any, indent: int | str | None, escaped: bool, names: list[str]
) -> None:
    original = json.dumps(document, indent=indent, ensure_ascii=escaped).encode()
    policy = Policy(
        table=TableSchema(keys=(names[0],), reference=names[1], free_text=(names[2],), unordered=False)
    )
    copy = embed(original, JSON, layout_key=LAYOUT, seed=seed(1), policy=policy).data
    changed = set(names[1:3])

    def same(before: Any, after: Any, path: str) -> None:
        if path in changed and isinstance(before, str):
            assert isinstance(after, str)
        elif isinstance(before, dict):
            assert isinstance(after, dict)
            assert set(before) == set(after)
            for name, value in before.items():
                same(value, after[name], f"{path}.{name}" if path else name)
        elif isinstance(before, list) and before and not isinstance(before[0], str):
            assert isinstance(after, list)
            assert len(before) == len(after)
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                same(one, other, path if before is rows else f"{path}.{index}")
        else:
            assert before == after

    rows = exact(original)
    same(rows, exact(copy), "")


def test_lines_end_where_json_ends_them_and_not_at_every_line_separator() -> None:
    lines = [{"a": f"{index:016x}", "b": f"x\u2028y\u2029z\x85 {index}"} for index in range(30)]
    policy = Policy(table=TableSchema(keys=("b",), reference="a"))
    for end in ("\n", "\r\n"):
        original = end.join(json.dumps(line, ensure_ascii=False) for line in lines).encode() + end.encode()
        copy = marked(original, policy, LINES)
        assert copy.count(end.encode()) == 30
        assert [json.loads(line)["b"] for line in copy.decode().split(end)[:-1]] == [
            line["b"] for line in lines
        ]
        assert names_only_the_guilty(trace(copy, original, policy, LINES))


RECORD: dict[str, Any] = {
    "certificate_id": "5f" * 16,
    "certificate_type": "real_estate",
    "fields": {f"field_{index:02d}": f"value {index}" for index in range(18)}
    | {"holder": {"name": "张三", "number": "3705"}},
    "copy_reference": "0" * 16,
}
ORIGINAL = dumped(RECORD, indent=1)
POLICY = Policy(table=TableSchema(reference="copy_reference"))
COPY: dict[str, Any] = json.loads(marked(ORIGINAL, POLICY))


@pytest.mark.parametrize(
    "leak",
    [
        dumped(COPY["fields"]),
        dumped([COPY["fields"]]),
        dumped({"data": {"items": COPY}}),
        dumped({"data": COPY["fields"] | {"more": 1}, "status": 200}),
        dumped({"renamed": COPY["copy_reference"]}),
        dumped({"some": 1, "other": {"reference": COPY["copy_reference"].lower()}}),
        json.dumps(COPY).encode("utf-16"),
    ],
    ids=["inner object", "in a list", "wrapped", "inner wrapped", "reference", "reference deep", "UTF-16"],
)
def test_a_part_of_a_record_or_a_record_inside_another_is_recognised(leak: bytes) -> None:
    assert names_only_the_guilty(trace(leak, ORIGINAL, POLICY))


def test_a_part_that_may_lie_in_two_places_is_laid_in_neither() -> None:
    inner = {f"field_{index:02d}": index for index in range(20)}
    original = dumped({"left": inner, "right": inner})
    copy = json.loads(marked(original, Policy()))
    assert names_only_the_guilty(trace(dumped(copy), original, Policy()))
    verdict = trace(dumped(copy["left"]), original, Policy())
    assert verdict.verdict is VerdictKind.UNTRACEABLE


def test_objects_inside_arrays_and_past_the_limit_keep_the_order_of_their_keys() -> None:
    inner = dict.fromkeys("abcdefgh", 1)
    record = {f"o{index:02d}": inner for index in range(ORDERED_OBJECTS_MAX + 1)} | {"rows": [inner] * 3}
    result = embed(dumped(record), JSON, layout_key=LAYOUT, seed=seed(3), policy=Policy())
    copy = json.loads(result.data)
    # The record itself is one of the ordered objects, so two of its members are too many.
    assert result.manifest.carriers[Channel.KEY_ORDER] == len(record) + 8 * (ORDERED_OBJECTS_MAX - 1)
    ordered = [name for name in record if name != "rows" and list(copy[name]) != list(inner)]
    assert len(ordered) == ORDERED_OBJECTS_MAX - 1
    assert all(list(row) == list(inner) for row in copy["rows"])


def test_objects_of_like_paths_have_orders_of_their_own() -> None:
    """Two orders that were always alike would count the same luck twice."""
    inner = {f"field_{index:02d}": 1 for index in range(12)}
    copy = json.loads(marked(dumped({"a.b": inner, "a": {"b": inner}}), Policy()))
    assert list(copy["a.b"]) != list(copy["a"]["b"])


@pytest.mark.parametrize(
    "layout",
    [
        {"indent": 1},
        {"indent": 2},
        {"indent": 3},
        {"indent": "\t"},
        {"separators": (",", ":")},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("escaped", [False, True])
def test_the_layout_of_the_file_is_kept(layout: dict[str, Any], escaped: bool) -> None:
    policy = Policy(channels=frozenset({Channel.REFERENCE}), table=POLICY.table)
    for document in (RECORD, [RECORD | {"n": index} for index in range(9)]):
        original = json.dumps(document, ensure_ascii=escaped, **layout).encode()
        copy = marked(original, policy)
        assert copy != original
        assert (
            re.sub(rb'"copy_reference":( ?)"\w+"', rb'"copy_reference":\1"0000000000000000"', copy)
            == original
        )


def test_one_reference_in_ten_thousand_is_worth_its_bits() -> None:
    (match,) = trace(dumped({"copy_reference": COPY["copy_reference"]}), ORIGINAL, POLICY).matches
    assert match.log10_np == pytest.approx(4 - 63 * math.log10(2), abs=0.01)
