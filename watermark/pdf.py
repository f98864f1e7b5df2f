"""Marks in PDF: places of words and glyphs, pictures, and a faint raster of chips over each page.

Rule: text stays text. Only the places of glyphs change, by a tenth of a millimetre at most; which glyphs, in which
font, in which order stays, fonts keep their bytes, and so does every operator that shows no text. A content that
cannot be followed stays as it is.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, ObjectStreamMode

from watermark import pdf_chips, pdf_images
from watermark.chips import U8
from watermark.errors import MediaMalformed, MediaUnsupported
from watermark.limits import PDF_PAGES_MAX, within
from watermark.payload import biases, codeword
from watermark.pdf_carriers import GLYPH_MM, OFFSETS, WORD_MM, Carriers, rewritten
from watermark.pdf_reading import read_pdf
from watermark.pdf_streams import check_lzw
from watermark.pdf_text import Text, Walk
from watermark.policy import Channel, Policy
from watermark.results import Manifest, Marked, Reading, Words

PDF: Final = "application/pdf"
GROWTH_MAX: Final = 0.10
CARRIERS_ENOUGH: Final = 160
"""Carriers in the text with which a small file does without chips."""
_FIELDS_MAX: Final = 10_000
_PART_1: Final = re.compile(rb"""pdfaid:part(?:\s[^<>]{0,200})?>\s*1\s*<|pdfaid:part\s*=\s*["']1["']""")
"""ISO 19005-1, 6.7.11: as an element, which may declare its name space itself, or as an attribute."""
_THINNEST: Final = 4
_END: Final = b"%%EOF"
_END_WITHIN: Final = 4096
"""Bytes at a file's end among which the end mark is looked for; readers take 1,024."""


@dataclass(frozen=True, slots=True)
class PdfCodec:
    """PDF pages."""

    media_type: str = PDF

    def embed(self, original: bytes, layout_key: bytes, seed: bytes, policy: Policy) -> Marked:
        """Mark the pages for one release; see `watermark.embed`."""
        _check_whole(original)
        if not policy.channels & _CHANNELS:
            with opened(original):
                return Marked(original, Manifest(self.media_type, {}, notes=(_NOT_ALLOWED,)))
        first = copy = _made(original, layout_key, seed, policy, _PLANS[0])
        for plan in _PLANS:
            if plan is not _PLANS[0]:
                copy = _made(original, layout_key, seed, policy, plan)
            if len(copy.data) <= (1 + GROWTH_MAX) * len(original) or not copy.could_be_smaller:
                return Marked(copy.data, _manifest(copy, policy, len(original)))
            if copy.text_carriers < CARRIERS_ENOUGH * plan.thin:
                break
        return Marked(first.data, _manifest(first, policy, len(original)))

    def read(
        self, leaks: list[U8], original: bytes, layout_key: bytes, document: bytes | None = None
    ) -> Reading:
        """Read every leaked page that can be laid over a page; see `watermark.detect`.

        Args:
            leaks: pages as rasters.
            original: the unmarked file.
            layout_key: 32 bytes.
            document: the leak itself, when it is a PDF.
        """
        with opened(original) as ours:
            if document is None:
                return read_pdf(leaks, original, ours, layout_key, None)
            with opened(document) as theirs:
                return read_pdf(leaks, original, ours, layout_key, theirs)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much is written: a small file must not grow by more than a tenth.

    Attributes:
        chips: over the pages.
        thin: every how many-th carrier in the text moves.
        packed: small objects are compressed together (PDF 1.5).
    """

    chips: bool
    thin: int
    packed: bool


_PLANS: Final = (
    _Plan(True, 1, False),
    _Plan(True, 1, True),
    _Plan(False, 1, False),
    _Plan(False, 1, True),
    *(_Plan(False, thin, True) for thin in range(2, _THINNEST + 1)),
)


@dataclass(slots=True)
class _Copy:
    data: bytes = b""
    carriers: dict[Channel, int] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    notes: list[Words] = field(default_factory=list)
    text_carriers: int = 0
    could_be_smaller: bool = True


def _check_whole(original: bytes) -> None:
    """Refuse a file without its end (ISO 32000-2, 7.5.5): qpdf would mend it, and a copy would lack what is missing."""
    if _END not in original[-_END_WITHIN:]:
        raise MediaMalformed(what="PDF", reason="the file is cut short: it has no end mark")


@contextmanager
def opened(data: bytes) -> Iterator[pikepdf.Pdf]:
    """The document, whose damage becomes a `MediaMalformed`.

    Raises:
        MediaMalformed: unreadable.
        MediaUnsupported: encrypted.
        MediaTooLarge: more than `PDF_PAGES_MAX` pages.
    """
    try:
        with pikepdf.open(io.BytesIO(data)) as document:
            if document.is_encrypted:
                raise MediaUnsupported(what="encrypted PDF")
            within("PDF_PAGES_MAX", PDF_PAGES_MAX, len(document.pages))
            yield document
    except pikepdf.PasswordError as error:
        raise MediaUnsupported(what="encrypted PDF") from error
    except _FAULTS as error:
        raise MediaMalformed(what="PDF", reason=f"{type(error).__name__}: {error}"[:200]) from error


_FAULTS: Final = (
    pikepdf.PdfError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    RuntimeError,
    ArithmeticError,
)


def _made(original: bytes, layout_key: bytes, seed: bytes, policy: Policy, plan: _Plan) -> _Copy:
    """The copy by one plan."""
    copy = _Copy()
    with opened(original) as document:
        check_lzw(document)
        text = Walk(document, PDF_PAGES_MAX).run()
        offsets: list[Channel] = [channel for channel in OFFSETS if channel in policy.channels]
        moved: dict[int, bytes] = {}
        if offsets:
            moved = _move(document, text, layout_key, seed, offsets, plan.thin, copy)
        if Channel.PIXELS in policy.channels:
            _mark_pictures(document, text, layout_key, seed, policy, len(original), copy)
        chips = plan.chips and Channel.PAGE_CHIPS in policy.channels
        _draw(document, moved, layout_key, seed, policy, copy, chips=chips)
        copy.could_be_smaller = bool(offsets) or copy.carriers.get(Channel.PIXELS, 0) > 0
        if not chips and Channel.PAGE_CHIPS in policy.channels:
            copy.notes.append(_SMALL)
        if is_signed(document):
            copy.notes.append(_SIGNED)
        packed = plan.packed and not is_pdf_a_1(document)
        mode = ObjectStreamMode.generate if packed else ObjectStreamMode.preserve
        out = io.BytesIO()
        document.save(out, deterministic_id=True, fix_metadata_version=False, object_stream_mode=mode)
        copy.data = out.getvalue()
    return copy


def _move(
    document: pikepdf.Pdf,
    text: Text,
    layout_key: bytes,
    seed: bytes,
    offsets: list[Channel],
    thin: int,
    copy: _Copy,
) -> dict[int, bytes]:
    """Move glyphs; returns the new contents of pages, and writes those of forms."""
    carriers = Carriers(text, layout_key)
    bits = {channel: codeword(seed, channel, carriers.segments[channel].thresholds) for channel in offsets}
    signs = carriers.signs(bits)
    for channel in offsets:
        signs[channel][np.arange(len(signs[channel])) % thin != 0] = 0.0
        copy.carriers[channel] = int(np.count_nonzero(signs[channel]))
    copy.text_carriers = sum(carriers.counts()[channel] for channel in offsets)
    pages: dict[int, bytes] = {}
    for key, content in text.contents.items():
        data = rewritten(content, carriers.glyphs[key], signs)
        if data == content.data:
            continue
        if key[1] < 0:
            pages[key[0]] = data
        else:
            content.owner.write(zlib.compress(data, 9), filter=Name.FlateDecode)
    return pages


def _mark_pictures(
    document: pikepdf.Pdf, text: Text, layout_key: bytes, seed: bytes, policy: Policy, size: int, copy: _Copy
) -> None:
    left = int(GROWTH_MAX / 2 * size)
    worst, total = 99.0, 0
    for picture in pdf_images.pictures(document, text):
        done = pdf_images.mark(picture, layout_key, seed, policy.strength, max(0, left))
        if done is None:
            continue
        carriers, growth, psnr = done
        left -= growth
        total += carriers
        worst = min(worst, psnr)
    if total:
        copy.carriers[Channel.PIXELS] = total
        copy.quality["pictures_psnr_db"] = round(worst, 2)


def _draw(
    document: pikepdf.Pdf,
    moved: dict[int, bytes],
    layout_key: bytes,
    seed: bytes,
    policy: Policy,
    copy: _Copy,
    *,
    chips: bool,
) -> None:
    """Write the pages' contents, with chips over them where they are wanted."""
    state: Any = pdf_chips.multiply_state(document) if chips else None
    bits = codeword(seed, Channel.PAGE_CHIPS, biases(layout_key, Channel.PAGE_CHIPS)) if chips else None
    for index, page in enumerate(document.pages):
        over = b""
        if bits is not None:
            signs = pdf_chips.page_signs(layout_key, index, page, bits)
            over = pdf_chips.cover(document, page, state, signs, policy.strength)
            copy.carriers[Channel.PAGE_CHIPS] = copy.carriers.get(Channel.PAGE_CHIPS, 0) + int(signs.size)
        if index in moved:
            data = b"q\n" + moved[index] + b"\nQ\n" + over if over else moved[index]
            stream = document.make_stream(zlib.compress(data, 9), Filter=Name.FlateDecode)
            page.obj[Name.Contents] = stream
        elif over:
            page.contents_add(b"q\n", prepend=True)
            page.contents_add(b"\nQ\n" + over)


def is_signed(document: pikepdf.Pdf) -> bool:
    """Whether a signature field of the document has a value."""
    form = document.Root.get(Name.AcroForm)
    fields = form.get(Name.Fields) if isinstance(form, Dictionary) else None
    waiting = list(fields) if isinstance(fields, Array) else []
    seen = 0
    while waiting and seen < _FIELDS_MAX:
        item = waiting.pop()
        seen += 1
        if not isinstance(item, Dictionary):
            continue
        if item.get(Name.FT) == Name.Sig and isinstance(item.get(Name.V), Dictionary):
            return True
        kids = item.get(Name.Kids)
        waiting += list(kids) if isinstance(kids, Array) else []
    return False


def is_pdf_a_1(document: pikepdf.Pdf) -> bool:
    """PDF/A-1 forbids packed objects and transparency."""
    found = document.Root.get(Name.Metadata)
    raw = bytes(found.read_raw_bytes()[: 1 << 16]) if isinstance(found, pikepdf.Stream) else b""
    return _PART_1.search(raw) is not None


def _manifest(copy: _Copy, policy: Policy, before: int) -> Manifest:
    differences: list[Words] = []
    quality = {**copy.quality, "size_growth_bytes": float(len(copy.data) - before)}
    if any(copy.carriers.get(channel) for channel in OFFSETS):
        quality["offset_mm_max"] = WORD_MM + GLYPH_MM
        differences.append(
            Words(
                f"单词与字符沿书写方向移动至多 {WORD_MM:.2f} 毫米（字符相对于单词至多 {GLYPH_MM:.2f} 毫米）；"
                "文字内容、顺序与字体不变，仍可选取和检索",
                f"words move along the line by at most {WORD_MM:.2f} mm, glyphs in a word by at most {GLYPH_MM:.2f} mm "
                "more; the text, its order and its fonts are the same, and it can be selected and searched",
            )
        )
    if copy.carriers.get(Channel.PIXELS):
        worst = copy.quality["pictures_psnr_db"]
        differences.append(
            Words(
                f"文件内图片的像素亮度有肉眼不可见的微小变化（峰值信噪比不低于 {worst:.1f} dB），格式不变",
                f"pixels of pictures in the file differ invisibly (PSNR {worst:.1f} dB or more); formats are the same",
            )
        )
    if copy.carriers.get(Channel.PAGE_CHIPS):
        percent = round(100 * pdf_chips.CHIP_LEVELS * policy.strength / 255, 1)
        quality["darkening_percent"] = percent
        differences.append(
            Words(
                f"每页叠加一层肉眼不可见的底纹（最多使白纸变暗 {percent}%）",
                f"an invisible pattern lies over each page (darkens white paper by at most {percent} %)",
            )
        )
    return Manifest(PDF, copy.carriers, quality, tuple(differences), tuple(copy.notes))


_CHANNELS: Final = frozenset({*OFFSETS, Channel.PIXELS, Channel.PAGE_CHIPS})
_NOT_ALLOWED: Final = Words(
    "未加标记：策略未允许 PDF 的任何通道", "not marked: the policy allows no channel of a PDF"
)
_SMALL: Final = Words(
    "文件很小：为使增长不超过 10%，未叠加页面底纹",
    "the file is small: to keep it from growing by more than 10 %, no pattern lies over its pages",
)
_SIGNED: Final = Words(
    "原件带有数字签名；标记改变了文件，该签名在副本中不再有效",
    "the original is digitally signed; marking changes the file, and that signature is not valid in the copy",
)
