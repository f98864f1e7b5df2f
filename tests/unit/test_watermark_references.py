"""References keep the look of what they replace, and name the release without their row."""

from __future__ import annotations

import hashlib
import hmac
import math
import random
import re
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watermark.errors import KeyInvalid
from watermark.evidence import Bound, total_score
from watermark.keys import KeyedHash
from watermark.references import References
from watermark.shapes import permuted, unpermuted

KEY = hashlib.sha256(b"layout of a column").digest()
KEYED = KeyedHash(KEY)
SEED = hashlib.sha256(b"the leaking release").digest()
STRANGERS = [hashlib.sha256(b"stranger %d" % index).digest() for index in range(2_000)]


def column(template: str, rows: int) -> list[str | None]:
    """References with random characters where the template has d (digit), x or X (hex), a (letter or digit)."""
    rng = random.Random(4)
    pools = {"d": "0123456789", "x": "0123456789abcdef", "X": "0123456789ABCDEF", "a": "0123456789qrstuvwxyz"}
    return ["".join(rng.choice(pools.get(char, char)) for char in template) for _ in range(rows)]


def references(texts: list[str | None], key: bytes = KEY) -> References:
    found = References.of(texts, few=len(texts) < 16, key=key)
    assert found is not None
    return found


def log10_p(found: References, texts: Iterable[tuple[int | None, str | None]], seed: bytes = SEED) -> float:
    """What the bound says of one seed."""
    evidence = found.evidence(texts)
    return float(Bound.of(evidence).log10_p(total_score(evidence, [seed]))[0])


@pytest.mark.parametrize(
    ("template", "rows", "pattern"),
    [
        ("dddddddddddddddd", 1, r"\d{16}"),
        ("dddddddddddd", 400, r"\d{12}"),
        ("xxxxxxxxxxxxxxxx", 1, r"[0-9a-f]{16}"),
        ("RXXXXXXXXXXXX", 1_000, r"R[0-9A-F]{12}"),
        ("CERT-dddddddddddddddd", 3, r"CERT-\d{16}"),
        ("编号dddddddddddddddd", 3, r"编号\d{16}"),
        ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", 50, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("aaaaaaaaaa", 100, r"[0-9a-z]{10}"),
    ],
)
def test_a_reference_keeps_length_alphabet_and_leading_letters(
    template: str, rows: int, pattern: str
) -> None:
    found = references(column(template, rows))
    assert found.kept
    written = found.write(SEED)
    assert len(set(written.values())) == rows
    assert all(re.fullmatch(pattern, text) for text in written.values())
    one_row_known = log10_p(found, [(0, written[0])])
    two_rows_unknown = log10_p(found, [(None, text) for text in list(written.values())[:2]])
    assert one_row_known < -7
    assert two_rows_unknown < (-14 if rows > 1 else -7)


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["0" * 16], r"[0-9A-HJKMNP-TV-Z]{16}"),
        (["0000-0000-0000"], r"([0-9A-HJKMNP-TV-Z]{4}-){2}[0-9A-HJKMNP-TV-Z]{4}"),
    ],
)
def test_a_placeholder_keeps_its_length(texts: list[str | None], pattern: str) -> None:
    found = references(texts)
    assert found.kept
    assert re.fullmatch(pattern, found.write(SEED)[0])
    assert log10_p(found, [(0, found.write(SEED)[0])]) < -13


@pytest.mark.parametrize(
    "texts",
    [
        [f"R-{row:05d}" for row in range(400)],
        [str(row) for row in range(1, 1_001)],
        ["水" * 20],
        ["x" * 33 + "1"],
        ["a1" * 70],
        ["1 "],
        ["Ａ１２３４５６７８９０１２３４５６"],
        [hashlib.sha256(b"%d" % row).hexdigest()[: 14 + row % 9] for row in range(40)],
    ],
    ids=lambda texts: str(texts[0])[:12],
)
def test_where_the_shape_leaves_no_room_a_shape_of_our_own_is_used(texts: list[str | None]) -> None:
    found = references(texts)
    assert not found.kept
    written = found.write(SEED)
    assert len(set(written.values())) == len(texts)
    assert {len(text) for text in written.values()} <= {10, 11, 12}
    assert log10_p(found, [(None, written[0])]) < -13


def test_lengths_may_differ_within_a_column() -> None:
    texts: list[str | None] = [f"N{row * 7919 + 10 ** (11 + row % 3):d}" for row in range(60)]
    found = references(texts)
    assert found.kept
    written = found.write(SEED)
    assert [len(written[row]) for row in range(60)] == [len(text or "") for text in texts]
    assert log10_p(found, [(None, text) for text in written.values()]) < -400


def test_empty_cells_carry_nothing() -> None:
    found = references(["", *column("XXXXXXXXXXXXX", 3), None, "  "])
    assert set(found.write(SEED)) == {1, 2, 3}
    assert References.of(["", None, " "], few=True, key=KEY) is None


@pytest.mark.parametrize("template", ["RXXXXXXXXXXXX", "xxxxxxxxxxxxxxxx", "dddddddddddddddd", "R-1"])
def test_case_width_blanks_and_invisible_characters_do_not_matter(template: str) -> None:
    found = references(column(template, 1))
    text = found.write(SEED)[0]
    wide = "".join(chr(ord(char) + 0xFEE0) for char in text)
    for shown in (text.lower(), text.upper(), f" {text}\u200b ", wide):
        assert found.read(shown) == found.read(text) is not None


def test_digits_that_lost_leading_zeros_are_read() -> None:
    found = references(column("dddddddddddddddd", 1))
    text = next(text for seed in STRANGERS for text in found.write(seed).values() if text.startswith("0"))
    assert found.read(text.lstrip("0")) == found.read(text) is not None


def test_originals_and_foreign_texts_are_not_read() -> None:
    texts = column("XXXXXXXXXXXXXX", 200)
    found = references(texts)
    assert [text for text in texts if found.read(text)] == []
    for text in (None, "", "R", "x" * 100_000, "ﷺ" * 40, "\ud800" * 14):
        assert found.read(text) is None


def test_the_more_is_known_of_the_row_the_more_a_reference_is_worth() -> None:
    found = references(column("XXXXXXXXXXXX", 1_000))
    written = found.write(SEED)
    linked = log10_p(found, [(7, written[7])])
    unlinked = log10_p(found, [(None, written[7])])
    alone = references(column("XXXXXXXXXXXX", 1))
    assert log10_p(alone, [(0, alone.write(SEED)[0])]) == pytest.approx(-48 * math.log10(2), abs=0.01)
    assert linked == pytest.approx(-48 * math.log10(2), abs=1)
    assert unlinked == pytest.approx(-48 * math.log10(2) + 3, abs=1)
    assert linked < unlinked - 2
    assert log10_p(found, [(8, written[7])]) == pytest.approx(unlinked, abs=0.1)


def test_invented_references_speak_against_nobody_and_hide_nobody() -> None:
    found = references(column("XXXXXXXXXXXX", 300))
    written = found.write(SEED)
    invented = [(row, text) for row, text in enumerate(column("XXXXXXXXXXXX", 600)[300:])]
    assert log10_p(found, invented) == 0
    assert log10_p(found, [*invented[:290], *list(written.items())[290:]]) < -60


def test_each_of_five_who_mix_their_rows_is_named() -> None:
    found = references(column("RXXXXXXXXXXXX", 200))
    copies = [found.write(seed) for seed in STRANGERS[:5]]
    mixed = [(None, copies[row % 5][row]) for row in range(200)]
    assert all(log10_p(found, mixed, seed) < -200 for seed in STRANGERS[:5])
    assert all(log10_p(found, mixed, seed) == 0 for seed in STRANGERS[5:25])


def test_another_layout_key_recognises_nothing() -> None:
    texts = column("RXXXXXXXXXXXX", 64)
    written = references(texts).write(SEED)
    assert log10_p(references(texts, bytes(32)), list(written.items())) == 0


@pytest.mark.parametrize(("digits", "leaked", "linked"), [(2, 16, True), (4, 2, True), (4, 2, False)])
def test_innocents_agree_no_more_often_than_the_bound_allows(
    digits: int, leaked: int, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over references drawn from so few texts that strangers do agree now and then."""
    monkeypatch.setattr("watermark.shapes.BITS_MIN", 2)
    found = references([f"R{row:0{digits}d}" for row in range(16)])
    assert found.kept
    texts = [(row if linked else None, text) for row, text in list(found.write(SEED).items())[:leaked]]
    evidence = found.evidence(texts)
    strangers = [b"%032d" % index for index in range(20_000)]
    bounds = Bound.of(evidence).log10_p(total_score(evidence, strangers))
    assert np.count_nonzero(bounds < 0) > 20, "nobody agrees: nothing is tested"
    for threshold in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        expected = len(strangers) * 10**-threshold
        assert np.count_nonzero(bounds <= -threshold) <= expected + 4 * math.sqrt(expected)
    guilty = total_score(evidence, [SEED])
    assert guilty[0] > sum(item.score_max()[0] for item in evidence) / 2


def test_no_two_rows_get_the_same_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.shapes.BITS_MIN", 1)
    texts: list[str | None] = [f"{row:03d}" for row in range(300)]
    for seed in STRANGERS[:5]:
        written = references(texts).write(seed)
        assert len(set(written.values()) | set(texts)) == 600


def test_of_more_rows_than_the_limit_those_that_were_linked_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = references(column("XXXXXXXXXXXX", 2_000))
    written = found.write(SEED)
    monkeypatch.setattr("watermark.references.REFERENCES_SCORED_MAX", 512)
    (evidence,) = found.evidence((row, written[row]) for row in range(1_500, 1_600))
    assert len(evidence.linked) == 512
    assert log10_p(found, [(row, written[row]) for row in range(1_500, 1_600)]) < -1_000
    monkeypatch.setattr("watermark.references.REFERENCES_READ_MAX", 50)
    assert found.evidence((row, written[row]) for row in range(100))[0].carriers == 50


@given(st.integers(2, 1 << 80), st.data())
def test_the_permutation_is_undone_and_stays_below_its_size(size: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, size - 1))
    image = permuted(KEYED, value, size)
    assert 0 <= image < size
    assert unpermuted(KEYED, image, size) == value


@given(st.binary(max_size=64), st.lists(st.binary(max_size=200)))
def test_one_key_hashes_many_messages_as_hmac_does(key: bytes, messages: list[bytes]) -> None:
    keyed = KeyedHash(key)
    for message in messages:
        assert keyed.digest(message) == hmac.digest(key, message, "sha256")


def test_a_key_longer_than_a_block_is_refused() -> None:
    with pytest.raises(KeyInvalid, match="64 bytes at most, got 65"):
        KeyedHash(b"k" * 65)


def test_the_permutation_takes_every_value_once() -> None:
    assert sorted(permuted(KEYED, value, 1_000) for value in range(1_000)) == list(range(1_000))
