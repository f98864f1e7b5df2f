"""What lies beyond a limit of the reading of leaks is not read, and the answer says so."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pikepdf
import pytest
from reportlab.pdfgen import canvas

from node import leakreading
from node.leakreading import PDF_ATTACHMENTS_MAX, PDF_TEXT_PAGES_MAX, PICTURES_MAX, read_leak


def pages(count: int) -> bytes:
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=(60, 60), invariant=1)
    for number in range(count):
        sheet.drawString(2, 30, f"page{number}")
        sheet.showPage()
    sheet.save()
    return out.getvalue()


def attached(count: int, size_chars: int = 1) -> bytes:
    out = io.BytesIO()
    with pikepdf.new() as document:
        document.add_blank_page(page_size=(60, 60))
        for number in range(count):
            document.attachments[f"{number:03d}"] = f"file{number:03d}".encode() * size_chars
        document.save(out)
    return out.getvalue()


def codes(texts: list[str]) -> bytes:
    """A picture of QR codes side by side."""
    drawn = [cv2.QRCodeEncoder.create().encode(text) for text in texts]
    side = max(code.shape[0] for code in drawn) + 8
    row = np.full((side, side * len(drawn)), 255, np.uint8)
    for at, code in enumerate(drawn):
        row[4 : 4 + code.shape[0], at * side + 4 : at * side + 4 + code.shape[1]] = code
    _, data = cv2.imencode(".png", cv2.resize(row, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST))
    return data.tobytes()


def test_only_so_many_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakreading, "qr_codes", lambda raster: [])
    told = read_leak(pages(PDF_TEXT_PAGES_MAX + 1))
    assert told.truncated
    words = told.text.split()
    assert f"page{PDF_TEXT_PAGES_MAX - 1}" in words
    assert f"page{PDF_TEXT_PAGES_MAX}" not in words


@pytest.mark.parametrize(("count", "truncated"), [(PICTURES_MAX, False), (PICTURES_MAX + 1, True)])
def test_pages_that_are_not_searched_for_codes_are_said(
    count: int, truncated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leakreading, "qr_codes", lambda raster: [])
    assert read_leak(pages(count)).truncated is truncated


@pytest.mark.parametrize(
    ("count", "truncated"), [(PDF_ATTACHMENTS_MAX, False), (PDF_ATTACHMENTS_MAX + 1, True)]
)
def test_only_so_many_files_inside_a_pdf_are_read(count: int, truncated: bool) -> None:
    told = read_leak(attached(count))
    assert len(told.attached) == PDF_ATTACHMENTS_MAX
    assert told.truncated is truncated


def test_a_long_file_inside_a_pdf_is_cut_and_it_is_said() -> None:
    assert read_leak(attached(1, leakreading.TEXT_CHARS_READ_MAX)).truncated


@pytest.mark.parametrize(("maximum", "truncated"), [(2, False), (1, True)])
def test_only_so_many_codes_of_a_picture_are_told(
    maximum: int, truncated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leakreading, "CODES_MAX", maximum)
    told = read_leak(codes(["first", "second"]))
    assert len(told.codes) == maximum
    assert told.truncated is truncated


def test_no_picture_is_looked_at_once_there_are_enough_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"code {number}" for number in range(leakreading.CODES_MAX + 1)]
    monkeypatch.setattr(leakreading, "qr_codes", lambda raster: many)
    told = read_leak(pages(2))
    assert told.codes == tuple(many[: leakreading.CODES_MAX])
    assert told.truncated
