"""What a leak's text may name, and what is read of a file: bounded, and the same however it is written."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import docx
import numpy as np
import openpyxl
import pikepdf
import pytest

from node import leakreading
from node.leakreading import read_leak
from node.leaktext import TEXT_CHARS_READ_MAX
from node.services import leak_index
from node.services.leak_index import LeakIndex, Look, TagKind
from node.services.leak_words import (
    IDS_MAX,
    NUMBER_CHARS_MAX,
    NUMBERS_MAX,
    REFERENCES_MAX,
    ids_in,
    number_word,
    numbers_in,
    references_in,
    shape_of,
)
from tests.unit.contracts_world import SUITE

TITLE = "鲁（2022）东营市不动产权第6018159号"
WORD = "鲁2022东营市不动产权第6018159号"
NUMBER = "L370506-2022-018159"


# --- words ---


def test_a_number_is_compared_without_width_case_separators_and_what_nobody_sees() -> None:
    for written in (
        TITLE,
        "鲁(2022)东营市 不动产权 第6018159号",
        "鲁〔２０２２〕东营市不动产权第\u200b6018159号",
    ):
        assert number_word(written) == WORD
    assert number_word("l370506 2022/018159") == number_word(NUMBER) == "L3705062022018159"


@pytest.mark.parametrize("text", ["", "12345", "某某某某某某某", "A" * 64, "1" * (NUMBER_CHARS_MAX + 1)])
def test_what_says_too_little_or_too_much_is_no_number(text: str) -> None:
    assert number_word(text) == ""


def test_a_shape_says_how_a_number_is_built_and_nothing_of_it() -> None:
    assert shape_of(WORD) == "H9999HHHHHHHH9999999H"
    assert shape_of(number_word(NUMBER)) == "A" + "9" * 16


def test_a_number_is_found_within_a_line_and_not_over_two_nor_inside_another() -> None:
    shapes = {shape_of(WORD), shape_of(number_word(NUMBER))}
    assert WORD in numbers_in([f"权利人某某，证号{TITLE}，面积"], shapes)
    assert numbers_in([f"x\n{NUMBER}\ny"], shapes) == ("L3705062022018159",)
    assert numbers_in(["L370506-\n2022-018159"], shapes) == ()
    assert numbers_in([f"{NUMBER}7 X{NUMBER}"], shapes) == ()
    assert numbers_in([NUMBER], frozenset()) == ()


def test_ids_are_told_from_longer_hexadecimal() -> None:
    certificate, release = "0123456789abcdef" * 2, "fedcba9876543210"
    text = f"{certificate}, {release.upper()}; {certificate}0 {'ab' * 32}"
    assert ids_in([text]) == (bytes.fromhex(certificate), bytes.fromhex(release))


def test_of_everything_only_so_much_is_looked_for() -> None:
    many = " ".join(f"{number:016x}" for number in range(IDS_MAX + 5))
    assert len(ids_in([many])) == IDS_MAX
    words = " ".join(f"word{number:06}" for number in range(REFERENCES_MAX + 5))
    assert len(references_in([words])) == REFERENCES_MAX
    lines = "\n".join(f"{number:07}" for number in range(NUMBERS_MAX + 5))
    assert len(numbers_in([lines], {"9" * 7})) == NUMBERS_MAX


# --- files ---


def test_runs_of_a_paragraph_and_cells_of_a_sheet_are_whole() -> None:
    document, out = docx.Document(), io.BytesIO()
    paragraph = document.add_paragraph("证号：L370506")
    paragraph.add_run("-2022-")
    paragraph.add_run("018159")
    document.save(out)
    assert read_leak(out.getvalue()).text.splitlines() == ["证号：L370506-2022-018159"]
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["name", NUMBER, 6018159])
    book.save(out)
    assert {NUMBER, "6018159"} <= set(read_leak(out.getvalue()).text.splitlines())


def test_a_picture_inside_a_document_is_looked_at() -> None:
    document, out = docx.Document(), io.BytesIO()
    document.add_picture(io.BytesIO(code(NUMBER)))
    document.save(out)
    assert read_leak(out.getvalue()).codes == (NUMBER,)


def test_files_inside_a_pdf_are_read() -> None:
    out = io.BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.attachments["papers.json"] = NUMBER.encode()
        pdf.save(out)
    assert read_leak(out.getvalue()).attached == (NUMBER,)


def test_escapes_of_json_are_what_they_stand_for() -> None:
    assert read_leak(b'{"a":"\\u9c81E1\\nB"}').text == '{"a":"鲁E1\nB"}'


def test_only_so_much_text_is_read_and_it_is_said() -> None:
    told = read_leak(b"ab cd\n" * (TEXT_CHARS_READ_MAX // 6 + 1))
    assert len(told.text) == TEXT_CHARS_READ_MAX
    assert told.truncated


def test_only_so_many_pictures_are_looked_at_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakreading, "PICTURES_MAX", 1)
    document, out = docx.Document(), io.BytesIO()
    for text in ("first", "second"):
        document.add_picture(io.BytesIO(code(text)))
    document.save(out)
    told = read_leak(out.getvalue())
    assert len(told.codes) == 1
    assert told.truncated


def test_a_bomb_is_refused_as_it_is_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(200 << 20))
    told = read_leak(out.getvalue())
    assert told.text == ""
    assert "PACKAGE_BYTES_MAX" in told.note


@pytest.mark.parametrize("data", [b"GIF89a", b"PAR1" + bytes(20) + b"PAR1", b"\x1f\x8b\x08"])
def test_a_kind_that_is_not_read_is_said_so(data: bytes) -> None:
    told = read_leak(data)
    assert (told.text, told.codes) == ("", ())
    assert told.note


def code(text: str) -> bytes:
    small = cv2.QRCodeEncoder.create().encode(text)
    large = cv2.resize(small, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)
    page = cv2.copyMakeBorder(large, 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=255)
    return bytes(cv2.imencode(".png", np.asarray(page))[1])


# --- the index ---


async def test_the_file_alone_says_no_number_and_another_nodes_secret_finds_none(tmp_path: Path) -> None:
    path = tmp_path / "leaks.sqlite"
    index = LeakIndex(path, SUITE, b"a" * 32)
    await index.note(b"c" * 16, b"r" * 32, now_ms=1, number=NUMBER, references=["REF-00000001"])
    assert [one.certificate for one in await index.find(TagKind.NUMBER, [b"L3705062022018159"])] == [
        b"c" * 16
    ]
    assert await index.find(TagKind.REFERENCE, [b"L3705062022018159"]) == ()
    await index.close()
    data = path.read_bytes().lower()
    assert path.stat().st_mode & 0o077 == 0
    for told in (b"370506", b"018159", b"ref-0000"):
        assert told not in data
    other = LeakIndex(path, SUITE, b"b" * 32)
    assert await other.find(TagKind.NUMBER, [b"L3705062022018159"]) == ()
    await other.close()


async def test_of_a_tables_references_a_sample_is_kept_that_survives_deletion(tmp_path: Path) -> None:
    index = LeakIndex(tmp_path / "leaks.sqlite", SUITE, bytes(32))
    references = [f"row-{number:08}" for number in range(1_000)]
    await index.note(b"c" * 16, b"r" * 32, now_ms=1, references=[*references, "short"])
    every = [one.encode() for one in references]
    assert len(await index.find(TagKind.REFERENCE, every)) == leak_index.REFERENCES_PER_COPY_MAX
    assert await index.find(TagKind.REFERENCE, every[700:]) != ()
    assert await index.find(TagKind.REFERENCE, [b"short"]) == ()
    await index.close()


async def test_bounds_of_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHAPES_MAX", "FOUND_MAX", "LOOKS_KEPT_MAX"):
        monkeypatch.setattr(leak_index, name, 2)
    index = LeakIndex(tmp_path / "leaks.sqlite", SUITE, bytes(32))
    for number in range(3):
        await index.note(bytes([number]) * 16, b"r" * 32, now_ms=1, number=NUMBER)
        await index.note(bytes([number]) * 16, b"r" * 32, now_ms=1, number="1" * (6 + number))
        look = Look(time_ms=number, account=b"a", key_id=b"k", file_hash=b"h", size_bytes=1, found="")
        await index.write_look(look)
    assert len(await index.shapes()) == 2
    assert len(await index.find(TagKind.NUMBER, [b"L3705062022018159"])) == 2
    assert [look.time_ms for look in await index.looks(9)] == [2, 1]
    newest, older = await index.looks(9)
    assert (newest.number, older.number) == (3, 2)
    assert await index.looks(9, newest.number) == (older,)
    assert await index.looks(9, older.number) == ()
    assert await index.looks(1) == (newest,)
    await index.close()
