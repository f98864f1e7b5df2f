"""Marks in running text: nothing visible changes, a passage is enough, and what strips them is said to have."""

from __future__ import annotations

import contextlib
import io
import random
import unicodedata
import zipfile
from collections.abc import Callable
from typing import Any

import docx
import pytest

from tests.unit.watermark_covers import (
    CANDIDATES,
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    marked,
    names_only_the_second,
    table_rows,
    traced,
)
from watermark import Channel, MediaMalformed, MediaTooLarge, Policy, WatermarkError, embed, sniff
from watermark.packages import DOCX
from watermark.texts import SYMBOLS, TEXT, aligned, split

HAN = "关于进一步推进无证明城市建设的若干意见办理材料数据共享授权同意市民企业部门核验责任追溯应当依法及时准确完整"


def passage(characters: int, seed: int = 1) -> str:
    """Chinese prose with some Latin words and figures, in paragraphs."""
    source = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < characters:
        words = "".join(source.choice(HAN) for _ in range(source.randint(8, 24)))
        parts.append(words + source.choice(["，", "。", "；", f" No. {source.randint(1, 9999)}，", "。\n"]))
    return "".join(parts)[:characters]


TEXT_3000 = passage(3000)
COVER = TEXT_3000.encode()
COPY = marked(COVER, TEXT)


def document(text: str) -> bytes:
    file = docx.Document()
    file.add_heading("通知", 1)
    for number, paragraph in enumerate(text.split("\n")):
        added = file.add_paragraph()
        middle = len(paragraph) // 2
        added.add_run(paragraph[:middle]).bold = number % 2 == 0
        added.add_run(paragraph[middle:])
    table = file.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "联系人", "市数据局"
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


PAGES = document(TEXT_3000)
PAGES_COPY = marked(PAGES, DOCX)


def paragraphs(data: bytes) -> str:
    return "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(data)).paragraphs)


# --- what changes -------------------------------------------------------------------------------------------


def test_nothing_that_is_seen_changes() -> None:
    assert split(COPY.decode())[0] == TEXT_3000
    assert split(paragraphs(PAGES_COPY))[0] == paragraphs(PAGES)
    assert COPY != COVER


def test_formats_and_tables_of_a_document_stay() -> None:
    before, after = docx.Document(io.BytesIO(PAGES)), docx.Document(io.BytesIO(PAGES_COPY))
    for old, new in zip(before.paragraphs, after.paragraphs, strict=True):
        assert old.style is not None
        assert new.style is not None
        assert old.style.name == new.style.name
        assert [run.bold for run in old.runs] == [run.bold for run in new.runs]
    assert len(after.tables) == 1
    assert split(after.tables[0].cell(0, 1).text)[0] == "市数据局"


def test_a_text_grows_by_less_than_its_size_and_the_manifest_says_what_differs() -> None:
    assert len(COPY) < 2 * len(COVER)
    manifest = embed(COVER, TEXT, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy()).manifest
    assert manifest.channels == (Channel.ZERO_WIDTH, Channel.VARIATION)
    assert any("invisible" in words.en for words in manifest.differences)


@pytest.mark.parametrize(("cover", "media_type"), [(COVER, TEXT), (PAGES, DOCX)])
def test_the_same_arguments_give_the_same_bytes(cover: bytes, media_type: str) -> None:
    assert marked(cover, media_type) == marked(cover, media_type)
    assert marked(cover, media_type) != marked(cover, media_type, seed=NEVER_ISSUED)


def test_files_are_known_by_their_content() -> None:
    assert sniff(COVER) == TEXT
    assert sniff(PAGES) == DOCX
    assert sniff(b"id,name\n1,a\n2,b\n") == "text/csv"
    assert sniff(b"Hello, world. One line, no table.") == TEXT


# --- what survives ------------------------------------------------------------------------------------------


def leaked_text(data: bytes) -> str:
    return data.decode()


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "copied": str.encode,
    "NFKC": lambda text: unicodedata.normalize("NFKC", text).encode(),
    "GB18030": lambda text: text.encode("gb18030"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "first half": lambda text: text[: len(text) // 2].encode(),
    "second half": lambda text: text[len(text) // 2 :].encode(),
    "a tenth": lambda text: text[len(text) // 3 : len(text) // 3 + len(text) // 10].encode(),
    "lines joined": lambda text: text.replace("\n", " ").encode(),
    "wrapped": lambda text: "\n".join(text[at : at + 30] for at in range(0, len(text), 30)).encode(),
    "quoted in another text": lambda text: (passage(2000, 7) + text[500:2500] + passage(2000, 8)).encode(),
    "zero width stripped": lambda text: "".join(
        char for char in text if char not in SYMBOLS[Channel.ZERO_WIDTH]
    ).encode(),
    "every tenth character replaced": lambda text: "".join(
        "某" if at % 40 == 7 else char for at, char in enumerate(text)
    ).encode(),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_recipient_is_named_after(attack: str) -> None:
    assert names_only_the_second(traced(ATTACKS[attack](COPY.decode()), COVER, TEXT))


@pytest.mark.parametrize(
    "leak",
    [
        PAGES_COPY,
        document(paragraphs(PAGES_COPY)),
        paragraphs(PAGES_COPY).encode(),
        paragraphs(PAGES_COPY)[600:1500].encode(),
    ],
    ids=["itself", "pasted into another document", "pasted as text", "a passage pasted as text"],
)
def test_the_recipient_of_a_document_is_named_after(leak: bytes) -> None:
    assert names_only_the_second(traced(leak, PAGES, DOCX))


def test_a_text_that_leaks_inside_a_document_names_its_recipient() -> None:
    assert names_only_the_second(traced(document(COPY.decode()), COVER, TEXT))


def test_a_text_without_han_characters_is_marked_too() -> None:
    cover = " ".join(f"word{index * 7919 % 1000}" for index in range(400)).encode()
    assert names_only_the_second(traced(marked(cover, TEXT), cover, TEXT))


@pytest.mark.parametrize("channel", [Channel.ZERO_WIDTH, Channel.VARIATION])
def test_a_policy_allows_one_channel_alone(channel: Channel) -> None:
    policy = Policy(channels=frozenset({channel}))
    copy = marked(COVER, TEXT, policy)
    verdict = traced(copy, COVER, TEXT, policy)
    assert names_only_the_second(verdict)
    assert set(verdict.carriers) == {channel}


# --- what does not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "leak",
    [COVER, split(COPY.decode())[0].encode(), marked(COVER, TEXT, seed=NEVER_ISSUED)],
    ids=["original", "stripped", "never issued"],
)
def test_nobody_is_named_for_a_copy_without_a_candidates_mark(leak: bytes) -> None:
    verdict = traced(leak, COVER, TEXT)
    assert verdict.matches == ()


def test_a_stripped_text_is_untraceable_and_the_note_says_why() -> None:
    verdict = traced(COVER, COVER, TEXT)
    assert verdict.verdict == "untraceable"
    assert any("stripped" in note.en for note in verdict.notes)


def test_another_text_is_no_copy() -> None:
    other = marked(passage(800, 5).encode(), TEXT)
    verdict = traced(other, COVER, TEXT)
    assert verdict.verdict == "untraceable"


def test_a_text_that_holds_invisible_characters_already_is_not_marked_and_says_so() -> None:
    cover = ("甲\u200b" + TEXT_3000).encode()
    result = embed(cover, TEXT, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy())
    assert result.data == cover
    assert result.manifest.channels == ()
    assert result.manifest.notes


def test_a_picture_of_a_text_is_not_compared() -> None:
    verdict = traced(b"id,name\n1,a\n2,b\n", COVER, TEXT)
    assert verdict.verdict == "untraceable"


def test_two_who_mix_their_copies_are_named() -> None:
    source = random.Random(3)
    first = marked(COVER, TEXT, seed=CANDIDATES[RECIPIENTS[0]]).decode()
    second = COPY.decode()
    assert len(first) == len(second)
    mixed = "".join(source.choice(pair) for pair in zip(first, second, strict=True))
    named = {match.release_id for match in traced(mixed.encode(), COVER, TEXT).matches}
    assert named == set(RECIPIENTS[:2])


# --- bounds -------------------------------------------------------------------------------------------------


def test_alignment_is_linear_and_finds_passages_again() -> None:
    places = aligned(TEXT_3000[1000:1200], TEXT_3000)
    assert sum(places.get(at) == 1000 + at for at in range(200)) > 150
    repeated = "阿" * 50_000
    assert len(aligned(repeated + "x", repeated)) < 20


def test_what_is_past_a_limit_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.texts.TEXT_CHARS_MAX", 2000)
    for cover, media_type in ((COVER, TEXT), (PAGES, DOCX)):
        with pytest.raises(MediaTooLarge, match="TEXT_CHARS_MAX"):
            marked(cover, media_type)
    with pytest.raises(MediaTooLarge, match="TEXT_CHARS_MAX"):
        traced(COPY, TEXT_3000[:100].encode(), TEXT)


def test_a_copy_too_large_to_be_read_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.texts.TEXT_BYTES_MAX", len(COVER) + 10)
    with pytest.raises(MediaTooLarge, match="TEXT_BYTES_MAX"):
        marked(COVER, TEXT)


def without(part: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(PAGES)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            if entry.filename != part:
                new.writestr(entry.filename, old.read(entry))
    return out.getvalue()


@pytest.mark.parametrize("data", [PAGES[: len(PAGES) // 2], without("word/document.xml"), b"PK\x03\x04"])
def test_a_damaged_document_is_malformed(data: bytes) -> None:
    with pytest.raises(MediaMalformed):
        marked(data, DOCX)


def test_damage_anywhere_never_ends_in_anything_but_a_watermark_error() -> None:
    source = random.Random(6)
    small: Any = document(passage(200))
    for _ in range(60):
        data = bytearray(small)
        for _ in range(source.randint(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        with contextlib.suppress(WatermarkError):
            marked(bytes(data), DOCX)


def test_a_table_is_still_a_table() -> None:
    rows = "\n".join(",".join(row) for row in table_rows(3)).replace(", ", " ")
    assert sniff(rows.encode()) == "text/csv"
