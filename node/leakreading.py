"""What a leaked file says in plain text: its text layer, its QR codes, and small files inside it.

Rule: this reads files of strangers and runs in the child `node/leakchild.py` alone. It decides nothing, keeps nothing, and stops
at named limits; what lies beyond them is not read, and the answer says so. Text in pictures is not recognised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np
import pypdfium2

from node.leaktext import TEXT_CHARS_READ_MAX, LeakText
from watermark.chips import U8
from watermark.errors import WatermarkError
from watermark.media import sniff
from watermark.packages import DOCX, XLSX, Element, Package, local, open_package
from watermark.rasters import JPEG, PNG, TIFF, WEBP, decode
from watermark.records import CSV, JSON, JSON_LINES
from watermark.sheets import decode_text
from watermark.texts import TEXT

PDF: Final = "application/pdf"
PDF_TEXT_PAGES_MAX: Final = 200
PDF_ATTACHMENTS_MAX: Final = 20
PICTURES_MAX: Final = 20
CODES_MAX: Final = 40
CODE_CHARS_MAX: Final = 4_096
# A picture is looked at in this size at most, once more in half of it, and enlarged up to twice as far as this size allows.
PICTURE_PIXELS_MAX: Final = 6_000_000
_ENLARGED_MIN: Final = 1.3
PAGE_DPI: Final = 150
_PICTURES: Final = {".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WEBP, ".tif": TIFF, ".tiff": TIFF}
_IMAGES: Final = frozenset(_PICTURES.values())
_TEXTS: Final = frozenset({CSV, JSON, JSON_LINES, TEXT})
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrt]")


class _Gathered:
    """Texts within the limits."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.codes: dict[str, None] = {}
        self.attached: list[str] = []
        self.pictures = 0
        self.truncated = False
        self._room = TEXT_CHARS_READ_MAX

    def say(self, text: str) -> bool:
        """Whether there is room for more."""
        self._take(self.lines, text)
        return self._room > 0

    def attach(self, text: str) -> None:
        self._take(self.attached, text)

    def look(self, raster: Callable[[], U8]) -> None:
        """Look for QR codes in a picture."""
        if self.pictures >= PICTURES_MAX or len(self.codes) >= CODES_MAX:
            self.truncated = True
            return
        self.pictures += 1
        for code in qr_codes(raster()):
            self.codes.setdefault(code)

    def told(self, media_type: str, note: str = "") -> LeakText:
        return LeakText(
            media_type=media_type,
            text="\n".join(self.lines),
            codes=tuple(self.codes)[:CODES_MAX],
            attached=tuple(self.attached),
            truncated=self.truncated or len(self.codes) > CODES_MAX,
            note=note,
        )

    def _take(self, where: list[str], text: str) -> None:
        self.truncated = self.truncated or len(text) > self._room
        where.append(text[: max(self._room, 0)])
        self._room -= len(text) + 1


def read_leak(data: bytes) -> LeakText:
    """Read a file of whatever kind; one that cannot be read says nothing, and why.

    Args:
        data: the file, at most `watermark.limits.FILE_BYTES_MAX` bytes.
    """
    found = _Gathered()
    media_type = ""
    try:
        media_type = sniff(data)
        if media_type == PDF:
            _read_pdf(data, found)
        elif media_type in _IMAGES:
            _read_image(data, media_type, found)
        elif media_type in {DOCX, XLSX}:
            _read_package(open_package(data, "Office file"), found)
        elif media_type in _TEXTS:
            text, _ = decode_text(data, "text")
            found.say(_unescaped(text) if media_type in {JSON, JSON_LINES} else text)
        else:
            return found.told(media_type, f"{media_type} is compared by its hash alone")
    except WatermarkError as error:
        return found.told(media_type, error.message("en")[:500])
    except (pypdfium2.PdfiumError, cv2.error, ValueError, OverflowError, RuntimeError) as error:
        return found.told(media_type, f"not readable: {type(error).__name__}")
    return found.told(media_type)


def qr_codes(raster: U8) -> list[str]:
    """The texts of the QR codes in a grey picture."""
    texts: dict[str, None] = {}
    scale = min(1.0, math.sqrt(PICTURE_PIXELS_MAX / max(raster.size, 1)))
    # Small modules are read when they are enlarged, within the same bound.
    larger = min(2.0, math.sqrt(PICTURE_PIXELS_MAX / max(raster.size, 1)))
    for factor in (scale, scale / 2, *((larger,) if larger >= _ENLARGED_MIN else ())):
        height, width = (int(side * factor) for side in raster.shape[:2])
        if min(height, width) < 21:
            continue
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LANCZOS4
        small = cv2.resize(raster, (width, height), interpolation=how) if factor != 1 else raster
        for detector in (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()):
            try:
                _, decoded, _, _ = detector.detectAndDecodeMulti(small)
            except (cv2.error, UnicodeDecodeError):
                continue
            texts.update(dict.fromkeys(text[:CODE_CHARS_MAX] for text in decoded if text))
        if texts:
            break
    return list(texts)


def _unescaped(text: str) -> str:
    """JSON's escapes as the characters that they stand for; a line break inside a text ends the line."""

    def shown(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "\n"
        code = int(match.group(1), 16)
        return " " if 0xD800 <= code <= 0xDFFF else chr(code)

    return _ESCAPE.sub(shown, text) if "\\" in text else text


def _read_image(data: bytes, media_type: str, found: _Gathered) -> None:
    for frame in decode(data, media_type):
        found.look(lambda grey=frame.grey: grey)  # type: ignore[misc]


def _read_pdf(data: bytes, found: _Gathered) -> None:
    document = pypdfium2.PdfDocument(data)
    attachments = document.count_attachments()
    for index in range(min(attachments, PDF_ATTACHMENTS_MAX)):
        content = bytes(document.get_attachment(index).get_data())
        found.attach(content.decode("utf-8", errors="replace"))
    beyond = attachments > PDF_ATTACHMENTS_MAX or len(document) > min(PDF_TEXT_PAGES_MAX, PICTURES_MAX)
    found.truncated = found.truncated or beyond
    for index in range(min(len(document), PDF_TEXT_PAGES_MAX)):
        page = document[index]
        text = page.get_textpage()
        # PDFium writes U+FFFE where a word was broken at a line's end.
        told = text.get_text_range(0, min(text.count_chars(), TEXT_CHARS_READ_MAX)).replace("￾", "")
        text.close()
        if not found.say(told):
            page.close()
            break
        if index < PICTURES_MAX:
            found.look(lambda page=page: _page(page))  # type: ignore[misc]
        page.close()


def _page(page: pypdfium2.PdfPage) -> U8:
    width, height = page.get_size()
    scale = min(PAGE_DPI / 72, math.sqrt(PICTURE_PIXELS_MAX / max(width * height, 1.0)))
    if not (math.isfinite(scale) and min(width, height) * scale >= 1):
        raise ValueError("a page without size")
    bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
    return np.ascontiguousarray(
        bitmap.to_numpy().reshape(bitmap.height, -1)[:, : bitmap.width], dtype=np.uint8
    )


def _read_package(package: Package, found: _Gathered) -> None:
    for name in package.parts:
        lowered = name.lower()
        if lowered.startswith(("word/", "xl/")) and lowered.endswith(".xml"):
            for line in _lines(package.xml(name)):
                if not found.say(line):
                    break
    for name, data in package.parts.items():
        kind = _PICTURES.get("." + name.lower().rpartition(".")[2])
        if kind is None or "/media/" not in name:
            continue
        try:
            found.look(lambda data=data, kind=kind: decode(data, kind)[0].grey)  # type: ignore[misc]
        except WatermarkError:
            continue


def _lines(root: Element) -> Iterator[str]:
    """The text of each paragraph of a document, and of each cell of a workbook, runs joined."""
    for block in root.iter():
        match local(block):
            case "p" | "si" | "is":
                line = "".join(one.text or "" for one in block.iter() if local(one) == "t")
            case "v":
                line = block.text or ""
            case _:
                continue
        if line:
            yield line
