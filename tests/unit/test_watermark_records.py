"""Single JSON records: reference, key order and invisible characters name the recipient; legal values stay."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from watermark import (
    Channel,
    MediaMalformed,
    MediaTooLarge,
    Policy,
    TableSchema,
    Verdict,
    VerdictKind,
    WatermarkError,
    detect,
    embed,
)
from watermark.evidence import Bound, OrderEvidence, key_ranks, total_score
from watermark.limits import (
    CELL_CHARS_MAX,
    JSON_DEPTH_MAX,
    JSON_FIELDS_MAX,
    JSON_TOKENS_MAX,
    ORDERED_KEYS_MAX,
    TEXT_BYTES_MAX,
)
from watermark.media import read

JSON = "application/json"
LAYOUT = hashlib.sha256(b"layout").digest()
RECIPIENTS = 3
DECOYS = 200
GUILTY = 2
POLICY = Policy(table=TableSchema(reference="copy_reference", free_text=("fields.remark",)))
RECORD: dict[str, Any] = {
    "certificate_id": "5f" * 16,
    "certificate_type": "real_estate",
    "certificate_type_name": "不动产权证书",
    "fields": {
        "holder": {"name": "张三", "number": "370502199001011234", "share": "单独所有"},
        "unit_number": "370502000001GB00001F00000001",
        "floor_area_m2": "118.50",
        "registered_on": "2021-03-04",
        "remark": "本单元登记信息与档案一致，复核无误；权利人可凭本证书办理后续业务。",
        "valid": True,
        "annex": None,
        "price": 1.10,
    },
    "copy_reference": "0" * 16,
}
ORIGINAL = json.dumps(RECORD, ensure_ascii=False, indent=1).encode()


def seed(index: int) -> bytes:
    return hashlib.sha256(b"release %d" % index).digest()


CANDIDATES = {index.to_bytes(8, "big"): seed(index) for index in range(RECIPIENTS + DECOYS)}
MARKED = [
    embed(ORIGINAL, JSON, layout_key=LAYOUT, seed=seed(index), policy=POLICY) for index in range(RECIPIENTS)
]
COPY: dict[str, Any] = json.loads(MARKED[GUILTY].data)


def trace(leak: bytes, original: bytes = ORIGINAL, policy: Policy = POLICY, total: int = 10_000) -> Verdict:
    return detect(
        leak,
        original,
        JSON,
        layout_key=LAYOUT,
        candidates=CANDIDATES,
        phantoms=(),
        policy=policy,
        candidates_total=total,
    )


def accused(verdict: Verdict) -> list[int]:
    assert verdict.verdict is VerdictKind.ACCUSED, verdict.to_json()
    return [int.from_bytes(match.release_id, "big") for match in verdict.matches]


def dumped(record: Any, **options: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False, **options).encode()


def stripped(text: str) -> str:
    return "".join(char for char in text if char not in "\u200b\u2060")


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


ATTACKS: dict[str, Callable[[], bytes]] = {
    "none": lambda: MARKED[GUILTY].data,
    "another layout": lambda: json.dumps(COPY, indent=4).encode(),
    "one line": lambda: dumped(COPY, separators=(",", ":")),
    "sorted names": lambda: dumped(COPY, sort_keys=True),
    "BOM": lambda: b"\xef\xbb\xbf" + dumped(COPY),
    "GB18030": lambda: dumped(COPY).decode().encode("gb18030"),
    "NFKC": lambda: unicodedata.normalize("NFKC", dumped(COPY).decode()).encode(),
    "reference alone": lambda: dumped({"copy_reference": COPY["copy_reference"]}),
    "reference in lower case": lambda: dumped(COPY | {"copy_reference": COPY["copy_reference"].lower()}),
    "a list of one": lambda: dumped([COPY]),
    "other values changed": lambda: dumped(COPY | {"certificate_id": "x", "added": [1, 2]}),
}


def stripped_of_reference_and_order() -> bytes:
    return dumped(without(COPY, "copy_reference"), sort_keys=True)


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_the_leaking_recipient_is_accused_after(attack: str) -> None:
    assert accused(trace(ATTACKS[attack]())) == [GUILTY]


def test_every_legal_value_is_the_same_to_the_byte() -> None:
    copy = json.loads(MARKED[GUILTY].data, parse_float=str)
    legal = json.loads(ORIGINAL, parse_float=str)
    copy["fields"]["remark"] = stripped(copy["fields"]["remark"])
    assert without(copy, "copy_reference") == without(legal, "copy_reference")
    assert copy["copy_reference"] != legal["copy_reference"]
    assert b'"price": 1.1' in MARKED[GUILTY].data


def test_the_same_arguments_give_the_same_bytes_and_other_seeds_other_ones() -> None:
    again = embed(ORIGINAL, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=POLICY)
    assert again == MARKED[GUILTY]
    assert len({marked.data for marked in MARKED}) == RECIPIENTS


def test_the_manifest_names_what_may_differ() -> None:
    manifest = MARKED[GUILTY].manifest
    assert set(manifest.channels) == {Channel.REFERENCE, Channel.KEY_ORDER, Channel.ZERO_WIDTH}
    assert len(manifest.differences) == 3
    assert all(words.zh and words.en for words in manifest.differences)


def test_sorted_names_lose_the_key_order_and_nothing_else() -> None:
    policy = Policy(table=TableSchema(reference="copy_reference"))
    verdict = trace(ATTACKS["sorted names"](), policy=policy)
    assert accused(verdict) == [GUILTY]
    assert Channel.KEY_ORDER not in verdict.carriers
    assert verdict.notes


def test_key_order_alone_is_worth_no_more_than_the_number_of_orders() -> None:
    original = dumped({f"field_{index:02d}": "同" for index in range(16)})
    policy = Policy()
    marked = embed(original, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=policy).data
    verdict = trace(marked, original, policy, total=len(CANDIDATES))
    assert accused(verdict) == [GUILTY]
    worth = math.log10(len(CANDIDATES) / math.factorial(16))
    assert verdict.matches[0].log10_np == pytest.approx(worth, abs=0.1)
    assert verdict.matches[0].log10_np >= worth - 1e-9
    assert verdict.matches[0].channels == (Channel.KEY_ORDER,)


def test_thirteen_keys_do_not_accuse_among_ten_thousand() -> None:
    original = dumped({f"field_{index:02d}": "同" for index in range(13)})
    marked = embed(original, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=Policy()).data
    verdict = trace(marked, original, Policy())
    assert verdict.verdict is VerdictKind.UNTRACEABLE
    assert verdict.matches == ()
    assert verdict.notes


def test_key_order_survives_dropped_and_added_names() -> None:
    original = dumped({f"field_{index:02d}": "同" for index in range(24)})
    marked = json.loads(embed(original, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=Policy()).data)
    kept = {"added": 1} | {
        name: value for name, value in marked.items() if name not in {"field_03", "field_17"}
    }
    assert accused(trace(dumped(kept), original, Policy())) == [GUILTY]


def test_without_reference_order_and_invisibles_nothing_is_claimed() -> None:
    retyped = json.loads(stripped_of_reference_and_order())
    retyped["fields"]["remark"] = stripped(retyped["fields"]["remark"])
    verdict = trace(dumped(retyped))
    assert verdict.verdict is VerdictKind.UNTRACEABLE
    assert verdict.matches == ()
    assert any("untraceable" in note.en for note in verdict.notes)
    assert any("无法" in note.zh for note in verdict.notes)


def test_invisible_text_alone_still_speaks_for_the_recipient() -> None:
    evidence = read(stripped_of_reference_and_order(), ORIGINAL, JSON, LAYOUT, POLICY).evidence
    assert {item.channel for item in evidence} == {Channel.ZERO_WIDTH}
    scores = total_score(evidence, list(CANDIDATES.values()))
    assert int(np.argmax(scores)) == GUILTY
    assert scores[GUILTY] == pytest.approx(sum(item.score_max()[0] for item in evidence))


def test_nobody_is_accused_for_the_original_or_for_a_stranger() -> None:
    stranger = embed(ORIGINAL, JSON, layout_key=LAYOUT, seed=seed(10**6), policy=POLICY).data
    assert trace(ORIGINAL).matches == ()
    assert trace(stranger).verdict is VerdictKind.NONE
    assert trace(dumped({"unrelated": 1})).verdict is VerdictKind.UNTRACEABLE


def test_scores_of_strangers_stay_below_their_bound() -> None:
    evidence = read(MARKED[GUILTY].data, ORIGINAL, JSON, LAYOUT, POLICY).evidence
    log10_p = Bound.of(evidence).log10_p(
        total_score(evidence, [seed(10**6 + index) for index in range(2_000)])
    )
    assert np.mean(log10_p <= -1) < 0.1
    assert np.mean(log10_p <= -2) < 0.01
    assert log10_p.min() > -5


def test_the_bound_of_a_perfect_order_is_the_share_of_one_order() -> None:
    size = 9
    order = tuple(np.argsort(key_ranks(seed(0), "", size)).tolist())
    evidence = OrderEvidence(Channel.KEY_ORDER, "", size, order)
    score = total_score([evidence], [seed(0)])
    assert score[0] == 0
    assert Bound.of([evidence]).log10_p(score)[0] == pytest.approx(
        -math.log10(math.factorial(size)), abs=1e-3
    )


def test_a_declared_number_moves_within_its_tolerance_and_keeps_its_decimals() -> None:
    policy = Policy(
        channels=frozenset({Channel.NUMBERS}), table=TableSchema(tolerances={"fields.price": Decimal("0.05")})
    )
    marked = embed(
        ORIGINAL.replace(b"1.1", b"1.10"), JSON, layout_key=LAYOUT, seed=seed(0), policy=policy
    ).data
    assert json.loads(marked, parse_float=str)["fields"]["price"] in {"1.05", "1.15"}


def test_without_permitted_channels_the_record_comes_back_unchanged() -> None:
    marked = embed(ORIGINAL, JSON, layout_key=LAYOUT, seed=seed(0), policy=Policy(channels=frozenset()))
    assert marked.data == ORIGINAL
    assert marked.manifest.channels == ()
    assert marked.manifest.notes


@pytest.mark.parametrize(("size", "ordered"), [(ORDERED_KEYS_MAX, True), (ORDERED_KEYS_MAX + 1, False)])
def test_an_object_with_more_names_than_the_limit_keeps_their_order(size: int, ordered: bool) -> None:
    names = [f"field_{index:03d}" for index in range(size)]
    original = dumped({"many": dict.fromkeys(names, "同"), "few": {"a": 1, "b": 2, "c": 3}})
    marked = embed(original, JSON, layout_key=LAYOUT, seed=seed(GUILTY), policy=Policy())
    assert (list(json.loads(marked.data)["many"]) != names) is ordered
    assert marked.manifest.carriers[Channel.KEY_ORDER] == 2 + 3 + (size if ordered else 0)
    verdict = trace(marked.data, original, Policy())
    assert verdict.verdict is (VerdictKind.ACCUSED if ordered else VerdictKind.UNTRACEABLE)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"a": 1, "b":',
        b'{"a": 1} trailing',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": NaN, "b": 1}',
        b'{"a": -Infinity}',
        rb'{"a": "\ud800"}',
        b'{"a": "\x01"}',
        b'{"a": 1}\x00',
        b"\xff\xfe{",
        b"[]",
        b"[1, 2]",
        b"3",
        b"null",
        rb'{"\ud800": 1, "b": 2}',
        rb'{"\ud800": {"a": 1, "b": 2}}',
    ],
)
def test_a_damaged_record_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(MediaMalformed):
        embed(data, JSON, layout_key=LAYOUT, seed=seed(0), policy=POLICY)
    with pytest.raises(WatermarkError):
        detect(
            MARKED[0].data,
            data,
            JSON,
            layout_key=LAYOUT,
            candidates={},
            phantoms=(),
            policy=POLICY,
            candidates_total=1,
        )


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ("JSON_FIELDS_MAX", dumped({f"field_{index}": 1 for index in range(JSON_FIELDS_MAX + 1)})),
        ("JSON_FIELDS_MAX", dumped({"list": [1] * (JSON_FIELDS_MAX + 1)})),
        ("CELL_CHARS_MAX", dumped({"text": "x" * (CELL_CHARS_MAX + 1)})),
        ("CELL_CHARS_MAX", dumped({"x" * (CELL_CHARS_MAX + 1): 1})),
        ("CELL_CHARS_MAX", b'{"a":' + b"9" * (CELL_CHARS_MAX + 1) + b"}"),
        ("JSON_DEPTH_MAX", b'{"a":' * (JSON_DEPTH_MAX + 1) + b"1" + b"}" * (JSON_DEPTH_MAX + 1)),
        ("JSON_DEPTH_MAX", b'{"a":' * 100_000),
        ("JSON_DEPTH_MAX", b"[" * 100_000),
        ("JSON_TOKENS_MAX", b'{"a":[' + b"0," * JSON_TOKENS_MAX + b"0]}"),
        ("JSON_TOKENS_MAX", b"[" + b"{}," * JSON_TOKENS_MAX + b"{}]"),
        ("JSON_TOKENS_MAX", b"{}" + b"\n{}" * JSON_TOKENS_MAX),
        ("TEXT_BYTES_MAX", b" " * (TEXT_BYTES_MAX + 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_past_a_limit_is_refused_by_the_limits_name(limit: str, data: bytes) -> None:
    with pytest.raises(MediaTooLarge) as caught:
        embed(data, JSON, layout_key=LAYOUT, seed=seed(0), policy=POLICY)
    assert caught.value.fields["limit"] == limit
    assert int(caught.value.fields["actual"]) > int(caught.value.fields["maximum"])


def test_as_deep_as_the_limit_and_numbers_of_any_size_are_read() -> None:
    deep = b'{"a":' * JSON_DEPTH_MAX + b"9" * 5_000 + b"}" * JSON_DEPTH_MAX
    assert embed(deep, JSON, layout_key=LAYOUT, seed=seed(0), policy=Policy()).data == deep
