"""What faces whoever has a leak looked up: reading the file, and the words of its text.

Rule: any file is read, within the limits, into text with or without a note; and a number that stands in a text by itself is found
in it whatever stands around it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache
from unittest.mock import patch

import cv2
import pikepdf

from node.leakreading import CODES_MAX, read_leak
from node.leaktext import TEXT_CHARS_READ_MAX
from node.services.leak_words import (
    IDS_MAX,
    NUMBERS_MAX,
    REFERENCES_MAX,
    ids_in,
    number_word,
    numbers_in,
    references_in,
    shape_of,
)
from tests.fuzz.target import Target, require
from tests.fuzz.targets.watermark import in_workbook

# The fuzzer bounds memory by the input's length; how many pixels a small file may claim is tested beside the limit.
PIXELS_MAX = 100_000
NUMBER = "鲁（2022）东营市不动产权第6018159号"


def run_file(data: bytes) -> None:
    """Any bytes as a leak."""
    with patch("watermark.rasters.IMAGE_PIXELS_MAX", PIXELS_MAX), patch("node.leakreading.PAGE_DPI", 20):
        told = read_leak(data)
    length = len(told.text) + sum(len(one) for one in told.attached)
    require(length <= TEXT_CHARS_READ_MAX + told.text.count("\n") + 1, "more text than the limit")
    require(len(told.codes) <= CODES_MAX, "more codes than the limit")


def run_text(data: bytes) -> None:
    """Any text with a known number in it, on a line of its own."""
    around = data.decode("utf-8", errors="replace")
    word = number_word(NUMBER)
    texts = [f"{around}\n{NUMBER}"]
    found = numbers_in(texts, {shape_of(word)})
    require(len(found) == NUMBERS_MAX or word in found, "a number that stands there is not found")
    require(all(number_word(one) == one for one in found), "a word is not as numbers are compared")
    require(
        len(ids_in(texts)) <= IDS_MAX and len(references_in(texts)) <= REFERENCES_MAX, "beyond the limits"
    )


@lru_cache(maxsize=1)
def picture() -> bytes:
    code = cv2.QRCodeEncoder.create().encode("00112233445566778899aabbccddeeff")
    large = cv2.resize(code, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    return bytes(
        cv2.imencode(".png", cv2.copyMakeBorder(large, 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=255))[1]
    )


@lru_cache(maxsize=1)
def document() -> bytes:
    out = io.BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page(page_size=(200, 100))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        pdf.pages[0].Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        pdf.pages[0].Contents = pdf.make_stream(b"BT /F1 12 Tf 20 50 Td (L370506-2022-018159) Tj ET")
        pdf.attachments["a.json"] = b'{"certificate_id":"00112233445566778899aabbccddeeff"}'
        pdf.save(out, static_id=True)
    return out.getvalue()


def files() -> Iterable[bytes]:
    yield from (picture(), document(), in_workbook(b"<a/>"), b'{"a":"\\u9c81E20256018"}', b"a,b\n1,2\n")


TARGETS = (
    Target(name="leaks.file", run=run_file, seeds=files, errors=(), size_bytes_max=32 * 1024),
    Target(
        name="leaks.text", run=run_text, seeds=lambda: [NUMBER.encode(), b"00" * 16, b"a1" * 40], errors=()
    ),
)
