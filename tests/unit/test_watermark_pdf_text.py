"""Marks in the text of a PDF: which glyphs move, that nothing else does, and that a leak is read from it."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import paperang_p2_fonts_cjk
import pikepdf
import pypdfium2
import pytest
from PIL import Image
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    pdf_file,
    photo_image,
    traced,
)
from watermark import Channel, MediaTooLarge, Policy, embed, pdf_text
from watermark.limits import PDF_CONTENT_BYTES_MAX
from watermark.pdf_carriers import GLYPH_MM, WORD_MM, Carriers, Measured, estimates
from watermark.pdf_lexer import ContentMalformed, literal, operations, string
from watermark.pdf_offsets import from_text
from watermark.pdf_text import Text, Walk

PDF = "application/pdf"
TEXT_ONLY = Policy(channels=frozenset({Channel.GLYPH_OFFSETS, Channel.WORD_OFFSETS}))
HAN = "统一社会信用代码名称类型住所法定代表人注册资本成立日期营业期限经营范围登记机关依法须经批准的项目经相关部门批准后方可开展"
WQY = Path(paperang_p2_fonts_cjk.__file__).parent / "fonts" / "wqy-microhei.ttc"
pdfmetrics.registerFont(TTFont("wqy", WQY, subfontIndex=0))
pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))


def drawn(draw: Callable[[canvas.Canvas], None], pages: int = 1) -> bytes:
    """A PDF (A5) that `draw` fills, with a headline of each page's own."""
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=(420, 595), invariant=1)
    for page in range(pages):
        draw(sheet)
        if pages > 1:
            sheet.drawString(40, 570, HAN[7 * page : 7 * page + 20])
        sheet.showPage()
    sheet.save()
    return out.getvalue()


def han_lines(font: str, size: float = 11) -> Callable[[canvas.Canvas], None]:
    def draw(sheet: canvas.Canvas) -> None:
        sheet.setFont(font, size)
        for line in range(14):
            sheet.drawString(40, 540 - 30 * line, (HAN[line * 3 :] + HAN)[:24] + f" 9144{line * 7919:06d}")

    return draw


def raw_pdf(content: bytes, **font: object) -> bytes:
    """A page (A5) with this content, and Helvetica as /F1."""
    with pikepdf.new() as document:
        page = document.add_blank_page(page_size=(420, 595))
        page.obj.Contents = document.make_stream(content)
        fonts = pikepdf.Dictionary(
            F1=pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica, **font
            )
        )
        page.obj.Resources = pikepdf.Dictionary(Font=fonts)
        out = io.BytesIO()
        document.save(out, deterministic_id=True)
        return out.getvalue()


def content_of(data: bytes, page: int = 0) -> bytes:
    with pikepdf.open(io.BytesIO(data)) as document:
        contents = document.pages[page].obj.Contents
        return b"\n".join(
            part.read_bytes() for part in (contents if isinstance(contents, pikepdf.Array) else [contents])
        )


def texts(data: bytes) -> list[str]:
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data)]


def raster(data: bytes, dpi: float, page: int = 0) -> Image.Image:
    return pypdfium2.PdfDocument(data)[page].render(scale=dpi / 72).to_pil().convert("L")


def two_tones(image: Image.Image) -> bytes:
    return file_of(image.point(lambda level: 255 * (level > 128)).convert("1"))


def walked(data: bytes) -> Text:
    with pikepdf.open(io.BytesIO(data)) as document:
        return Walk(document, 200).run()


EMBEDDED = drawn(han_lines("wqy"))
NAMED = drawn(han_lines("STSong-Light"))
COPIES = {cover: marked(cover, PDF, TEXT_ONLY) for cover in (EMBEDDED, NAMED)}


@pytest.mark.parametrize("cover", [EMBEDDED, NAMED], ids=["embedded subset", "named CID font"])
def test_chinese_text_stays_text_and_names_its_recipient(cover: bytes) -> None:
    copy = COPIES[cover]
    assert texts(copy) == texts(cover)
    assert names_only_the_second(traced(copy, cover, PDF))


def test_a_fax_page_of_chinese_text_names_its_recipient() -> None:
    """Of a font that is in the document: one that is only named is drawn by what the machine happens to have."""
    assert names_only_the_second(traced(two_tones(raster(COPIES[EMBEDDED], 200)), EMBEDDED, PDF))


def test_a_fax_page_and_a_bad_jpeg_of_latin_text_name_their_recipient() -> None:
    cover = pdf_file()
    copy = marked(cover, PDF, TEXT_ONLY)
    assert names_only_the_second(traced(two_tones(raster(copy, 200)), cover, PDF))
    assert names_only_the_second(traced(file_of(raster(copy, 100), "JPEG", quality=30), cover, PDF))


def test_fonts_keep_every_byte() -> None:
    with pikepdf.open(io.BytesIO(EMBEDDED)) as before, pikepdf.open(io.BytesIO(COPIES[EMBEDDED])) as after:
        for old, new in zip(fonts_of(before), fonts_of(after), strict=True):
            assert old == new


def fonts_of(document: pikepdf.Pdf) -> list[bytes]:
    found = []
    for item in document.objects:
        if isinstance(item, pikepdf.Stream) and "/Length1" in item:
            found.append(item.read_raw_bytes())
        elif isinstance(item, pikepdf.Dictionary) and item.get("/Type") in {
            pikepdf.Name.Font,
            pikepdf.Name.FontDescriptor,
        }:
            found.append(
                b"".join(str(key).encode() for key in sorted(item.keys())) + str(item.get("/Widths")).encode()
            )
    return sorted(found)


def test_glyphs_move_by_no_more_than_the_manifest_says_and_the_rest_of_the_line_stays() -> None:
    before, after = walked(EMBEDDED), walked(COPIES[EMBEDDED])
    moved = [
        (new[0] - old[0]) * 25.4 / 72
        for ours, theirs in zip(before.pages[0].shows, after.pages[0].shows, strict=True)
        for old, new in zip(ours.places, theirs.places, strict=True)
    ]
    assert 0.05 < max(map(abs, moved)) <= WORD_MM + GLYPH_MM + 0.005
    assert abs(sum(moved)) / len(moved) < 0.02
    assert [show.codes for show in before.pages[0].shows] == [show.codes for show in after.pages[0].shows]


def test_every_byte_that_shows_no_text_is_copied() -> None:
    content = (
        b"/Span <</ActualText (x(y)z)>> BDC q 1 0 0 RG 10 10 m 200 10 l S %comment Tj\n"
        b"BI /W 2 /H 2 /BPC 8 /CS /G ID ab EI EI Q BT /F1 12 Tf 40 500 Td (one two three four) Tj ET EMC"
    )
    cover = raw_pdf(content)
    copy = content_of(marked(cover, PDF, TEXT_ONLY))
    head, tail = content.split(b"(one two three four) Tj")
    assert copy.startswith(head)
    assert copy.endswith(tail)
    assert b"]TJ" in copy[len(head) : -len(tail)]


@pytest.mark.parametrize(
    "shown",
    [
        b"(some words to be shown) Tj ( and more) Tj",
        b"[(some) -250 (wo) 30 (rds) -250.5 (to be) 12 (shown)] TJ (after) Tj",
        b"14 TL (first line of text) ' (second line of text) '",
        b'14 TL 2 0.5 (first line of text) " (second) Tj',
        b"<736f6d6520776f726473> Tj 110 Tz 3 Ts (raised and wide) Tj",
        b"14 TL 0 0 (text without a blank)\"(and so on)' 3 TL",
        b"(a \\(nested (pair) and\\) \\134 \\n escapes) Tj",
        b"0.3 Tc 4 Tw (spread out text here) Tj 0 Tc (not so) Tj",
    ],
)
def test_each_operator_that_shows_text_moves_glyphs_and_nothing_behind_them(shown: bytes) -> None:
    widths = pikepdf.Array([500] * 256)
    cover = raw_pdf(
        b"BT /F1 12 Tf 40 500 Td " + shown + b" (end) Tj ET", FirstChar=0, LastChar=255, Widths=widths
    )
    copy = marked(cover, PDF, TEXT_ONLY)
    before, after = walked(cover).pages[0], walked(copy).pages[0]
    assert [show.codes for show in before.shows] == [show.codes for show in after.shows]
    moved = [
        new[0] - old[0]
        for ours, theirs in zip(before.shows, after.shows, strict=True)
        for old, new in zip(ours.places, theirs.places, strict=True)
    ]
    heights = [[place[1] for show in page.shows for place in show.places] for page in (before, after)]
    assert heights[0] == pytest.approx(heights[1])
    assert max(map(abs, moved)) * 25.4 / 72 <= WORD_MM + GLYPH_MM + 0.01
    assert any(abs(move) > 0.1 for move in moved)


@pytest.mark.parametrize("filters", ["", "/FlateDecode", "/ASCIIHexDecode", "/ASCII85Decode /FlateDecode"])
def test_contents_are_unpacked_whatever_bounded_filters_they_have(filters: str) -> None:
    content = b"BT /F1 12 Tf 40 500 Td (some words to be moved here) Tj ET"
    packed = zlib.compress(content) if "Flate" in filters else content
    if "85" in filters:
        packed = base64.a85encode(packed) + b"~>"
    if "Hex" in filters:
        packed = packed.hex().encode() + b">"
    with pikepdf.open(io.BytesIO(raw_pdf(b""))) as document:
        names = [pikepdf.Name(name) for name in filters.split()]
        document.pages[0].Contents = document.make_stream(packed)
        if names:
            document.pages[0].Contents.Filter = pikepdf.Array(names) if len(names) > 1 else names[0]
        out = io.BytesIO()
        document.save(out, compress_streams=False, deterministic_id=True)
    assert b"]TJ" in content_of(marked(out.getvalue(), PDF, TEXT_ONLY))


def test_a_content_that_unpacks_beyond_the_limit_is_refused() -> None:
    bomb = raw_pdf(b" " * (PDF_CONTENT_BYTES_MAX + 1))
    assert len(bomb) < PDF_CONTENT_BYTES_MAX // 100
    with pytest.raises(MediaTooLarge, match="PDF_CONTENT_BYTES_MAX"):
        marked(bomb, PDF)


def test_vertical_writing_is_left_alone() -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(NAMED)) as document:
        for font in document.pages[0].Resources.Font.values():
            if str(font.get("/Encoding")).endswith("-H"):
                font.Encoding = pikepdf.Name(str(font.Encoding)[:-1] + "V")
        document.save(out, deterministic_id=True)
    assert not walked(out.getvalue()).pages[0].shows
    assert content_of(out.getvalue()) in content_of(marked(out.getvalue(), PDF, TEXT_ONLY))


def test_a_pages_text_taken_into_another_document_names_its_recipient() -> None:
    cover = drawn(han_lines("wqy"), pages=3)
    out = io.BytesIO()
    with pikepdf.new() as merged, pikepdf.open(io.BytesIO(marked(cover, PDF, TEXT_ONLY))) as copy:
        merged.add_blank_page()
        merged.pages.append(copy.pages[2])
        merged.save(out)
    verdict = traced(out.getvalue(), cover, PDF)
    assert names_only_the_second(verdict)
    assert " text: " in verdict.alignment


def test_pages_printed_two_to_a_sheet_name_their_recipient() -> None:
    cover = drawn(han_lines("wqy"), pages=2)
    out = io.BytesIO()
    with pikepdf.new() as sheet, pikepdf.open(io.BytesIO(marked(cover, PDF, TEXT_ONLY))) as copy:
        page = sheet.add_blank_page(page_size=(595, 420))
        for place in (0, 1):
            page.add_overlay(copy.pages[place], pikepdf.Rectangle(297 * place, 0, 297 * place + 297, 420))
        sheet.save(out)
    assert names_only_the_second(traced(out.getvalue(), cover, PDF))


def test_a_page_whose_background_layer_was_taken_out_names_its_recipient() -> None:
    cover = drawn(han_lines("wqy"))
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(marked(cover, PDF))) as copy:
        del copy.pages[0].obj.Resources.XObject
        copy.save(out)
    assert names_only_the_second(traced(file_of(raster(out.getvalue(), 130), "JPEG", quality=60), cover, PDF))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_fax_of_a_turned_page_names_its_recipient(rotation: int) -> None:
    cover = pdf_file(rotation=rotation)
    assert names_only_the_second(traced(two_tones(raster(marked(cover, PDF), 200)), cover, PDF))


def test_text_in_a_form_drawn_on_two_pages_is_marked_once_for_both() -> None:
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=(420, 595), invariant=1)
    sheet.beginForm("head")
    han_lines("wqy", 9)(sheet)
    sheet.endForm()
    for _ in range(2):
        sheet.doForm("head")
        sheet.showPage()
    sheet.save()
    cover = out.getvalue()
    copy = marked(cover, PDF, TEXT_ONLY)
    assert texts(copy) == texts(cover)
    assert names_only_the_second(traced(copy, cover, PDF))
    assert names_only_the_second(traced(file_of(raster(copy, 150, page=1)), cover, PDF))


def test_a_picture_inside_stays_a_jpeg_and_names_its_recipient_from_page_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(file_of(photo_image(), "JPEG", quality=80))

    def draw(sheet: canvas.Canvas) -> None:
        sheet.drawImage(str(path), 40, 200, width=320, height=240)

    cover = drawn(draw)
    copy = marked(cover, PDF, Policy(channels=frozenset({Channel.PIXELS})))
    with pikepdf.open(io.BytesIO(copy)) as document:
        (picture,) = document.pages[0].obj.Resources.XObject.values()
        assert picture.Filter == pikepdf.Name.DCTDecode
        alone = bytes(picture.read_raw_bytes())
    assert len(copy) < 1.1 * len(cover)
    assert image_of(alone).size == photo_image().size
    assert names_only_the_second(traced(file_of(raster(copy, 120), "JPEG", quality=60), cover, PDF))
    assert names_only_the_second(traced(alone, cover, PDF))


def test_the_manifest_says_that_a_signature_does_not_survive() -> None:
    with pikepdf.open(io.BytesIO(pdf_file())) as document:
        field = pikepdf.Dictionary(
            FT=pikepdf.Name.Sig, T=pikepdf.String("s"), V=pikepdf.Dictionary(Type=pikepdf.Name.Sig)
        )
        document.Root.AcroForm = pikepdf.Dictionary(Fields=[document.make_indirect(field)], SigFlags=3)
        out = io.BytesIO()
        document.save(out)
    manifest = embed(out.getvalue(), PDF, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy()).manifest
    assert any("signed" in note.en for note in manifest.notes)


def test_a_copy_nobody_had_and_an_unmarked_one_name_nobody() -> None:
    for leak in (
        EMBEDDED,
        marked(EMBEDDED, PDF, TEXT_ONLY, seed=NEVER_ISSUED),
        file_of(raster(EMBEDDED, 140)),
    ):
        assert traced(leak, EMBEDDED, PDF).matches == ()


def test_what_is_measured_depends_on_no_candidate_and_noise_lowers_its_weight() -> None:
    text = walked(EMBEDDED)
    carriers = Carriers(text, LAYOUT)
    measured, _, _ = from_text(walked(COPIES[EMBEDDED]), text, carriers)
    clear = estimates(measured, carriers)[Channel.GLYPH_OFFSETS]
    still = estimates([Measured(part.glyphs, 0 * part.mm, part.trust) for part in measured], carriers)
    assert abs(clear).mean() > 0.9
    assert abs(still[Channel.GLYPH_OFFSETS]).max() < 0.05


@pytest.mark.parametrize(
    "content",
    [
        b"BT /F1 12 Tf (never closed Tj ET",
        b"BT /F1 12 Tf [(a) (b) Tj ET",
        b"BT /F1 12 Tf 10 20 Td (text) Tj ]",
        b"BT /F1 1e5 Tf {} (text) Tj ET",
        b"BT /F1 12 Tf 1-2 Tc (text) Tj ET",
        b"BT 12 Tf (no font) Tj ET",
        b"BI /W 9 ID no end",
        b"[" * 40 + b"]" * 40,
        b"q " * 1000 + b"BT /F1 12 Tf (deep) Tj ET",
    ],
)
def test_a_content_that_cannot_be_followed_stays_as_it_is(content: bytes) -> None:
    assert content in content_of(marked(raw_pdf(content), PDF))


def test_limits_are_named_and_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = raw_pdf(b"BT /F1 12 Tf 10 500 Td (text of a page) Tj ET")
    for limit in ("PDF_GLYPHS_MAX", "PDF_OPERATORS_MAX"):
        with monkeypatch.context() as patched:
            patched.setattr(pdf_text, limit, 3)
            with pytest.raises(MediaTooLarge, match=limit):
                marked(cover, PDF)
    monkeypatch.setattr(pdf_text, "PDF_CONTENT_BYTES_MAX", 10)
    with pytest.raises(MediaTooLarge, match="PDF_CONTENT_BYTES_MAX"):
        marked(cover, PDF)


def test_a_form_that_draws_itself_ends() -> None:
    with pikepdf.open(io.BytesIO(raw_pdf(b"/X Do"))) as document:
        form = document.make_stream(
            b"/X Do BT /F1 12 Tf (again) Tj ET /X Do",
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Form,
            BBox=[0, 0, 420, 595],
        )
        form.Resources = pikepdf.Dictionary(
            XObject=pikepdf.Dictionary(X=form), Font=document.pages[0].Resources.Font
        )
        document.pages[0].Resources.XObject = pikepdf.Dictionary(X=form)
        out = io.BytesIO()
        document.save(out)
    assert marked(out.getvalue(), PDF)


def test_strings_are_read_as_the_standard_says() -> None:
    for written, meant in (
        (rb"(a\)b\\c)", b"a)b\\c"),
        (rb"(\101\1012\7)", b"AA2\x07"),
        (b"(a\\\r\nb\rc)", b"ab\nc"),
        (b"<4 1 4>", b"A@"),
    ):
        (operation,) = operations(written + b" Tj")
        assert string(written, operation.operands[0]) == meant
    for code in (b"(", b"\\\r\n", bytes(range(256))):
        (operation,) = operations(literal(code) + b" Tj")
        assert string(literal(code), operation.operands[0]) == code
    with pytest.raises(ContentMalformed):
        list(operations(b"(never closed"))
