"""What is drawn is real: PDFs whose text is the fields, pictures that decode, the same bytes each time."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from random import Random

import msgspec
import pikepdf
import pypdfium2
import pytest
from PIL import Image

from zhenglian.catalogue import AttachmentSpec, CertificateTypeSpec, load_catalogue
from zhenglian_demo.certificates import CertificateContent, make_certificate, suits
from zhenglian_demo.drawing import MediaTypeUndrawable, draw_attachment
from zhenglian_demo.fonts import wrap
from zhenglian_demo.pages import NO_EXPIRY, SPECIMEN, draw_pdf, printed_value
from zhenglian_demo.people import make_people
from zhenglian_demo.pictures import CARD_SIZE_PX, PORTRAIT_SIZE_PX, draw_portrait

PEOPLE = make_people(11, 120)
CATALOGUE = {spec.code: spec for spec in load_catalogue()}


def _make(spec: CertificateTypeSpec, seed: int = 1) -> CertificateContent:
    person = next(person for person in PEOPLE[spec.number :] if suits(spec, person))
    return make_certificate(spec, person, Random(seed))


def _page_texts(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    texts = ["".join(page.get_textpage().get_text_bounded().split()) for page in document]
    document.close()
    return texts


def _squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("code", CATALOGUE)
def test_the_selectable_text_of_each_type_holds_its_title_labels_and_values(code: str) -> None:
    spec = CATALOGUE[code]
    content = _make(spec)
    files = {name: data for name, _, data in content.attachments}
    assert list(files) == [attachment.name for attachment in spec.attachments]
    first, *tables = _page_texts(files["document"])
    assert _squeezed(spec.name_zh) in first
    for field in spec.fields:
        value = content.fields.get(field.name)
        if isinstance(value, list):
            assert tables
            continue
        if value is not None:
            assert _squeezed(field.name_zh + printed_value(field, value)) in first, field.name
    for text in (first, *tables):
        assert _squeezed(SPECIMEN) in text


def test_every_cell_of_every_row_is_on_the_table_pages_in_order() -> None:
    content = _make(CATALOGUE["social_security_card"])
    rows = content.fields["payments"]
    assert isinstance(rows, list)
    _, *tables = _page_texts(content.attachments[0][2])
    printed = "".join(tables)
    position = 0
    for row in rows:
        position = printed.index(_squeezed("".join(map(str, row.values()))), position)


@pytest.mark.parametrize(
    "code", ["real_estate_enquiry_proof", "social_security_card", "enterprise_change_proof"]
)
def test_no_text_leaves_the_frame(code: str) -> None:
    content = _make(CATALOGUE[code])
    document = pypdfium2.PdfDocument(content.attachments[0][2])
    for page in document:
        width, height = page.get_size()
        text = page.get_textpage()
        boxes = [text.get_charbox(index) for index in range(text.count_chars())]
        assert boxes
        assert min(box[0] for box in boxes) > 40
        assert max(box[2] for box in boxes) < width - 40
        assert min(box[1] for box in boxes) > 40
        assert max(box[3] for box in boxes) < height - 40
    document.close()


def test_no_cell_of_a_wide_table_runs_into_the_next() -> None:
    document = pypdfium2.PdfDocument(_make(CATALOGUE["real_estate_enquiry_proof"]).attachments[0][2])
    text = document[1].get_textpage()
    lines: dict[int, list[tuple[float, float]]] = {}
    for index in range(text.count_chars()):
        left, bottom, right, _ = text.get_charbox(index, loose=True)
        lines.setdefault(round(bottom), []).append((left, right))
    document.close()
    for spans in lines.values():
        ordered = sorted(span for span in spans if span[1] > span[0])
        assert all(one[1] <= two[0] + 1.0 for one, two in pairwise(ordered))


def test_the_font_is_embedded_as_truetype_subsets_with_a_way_back_to_unicode() -> None:
    data = _make(CATALOGUE["resident_identity_card"]).attachments[0][2]
    with pikepdf.open(BytesIO(data)) as document:
        fonts = [font for page in document.pages for font in page.Resources.Font.values()]
        used = [font for font in fonts if "/FontDescriptor" in font]
        assert used
        for font in used:
            assert "/FontFile2" in font.FontDescriptor
            assert "/ToUnicode" in font
            assert str(font.BaseFont)[7] == "+"


def test_an_identity_card_for_life_says_so() -> None:
    spec = CATALOGUE["resident_identity_card"]
    person = min(PEOPLE, key=lambda someone: someone.birth_date)
    content = make_certificate(spec, person, Random(1))
    assert NO_EXPIRY in _page_texts(content.attachments[0][2])[0]


def test_the_same_input_draws_the_same_bytes_and_another_value_other_bytes() -> None:
    spec = CATALOGUE["driving_licence"]
    content = _make(spec)
    portrait = content.attachments[1][2]
    first = draw_pdf(spec, content.fields, portrait)
    assert first == draw_pdf(spec, content.fields, portrait) == content.attachments[0][2]
    assert first != draw_pdf(spec, content.fields | {"nationality": "外国"}, portrait)
    assert draw_portrait.__wrapped__(PEOPLE[0]) == draw_portrait.__wrapped__(PEOPLE[0])
    assert draw_portrait(PEOPLE[0]) != draw_portrait(PEOPLE[1])
    assert _make(spec).attachments == content.attachments


def test_pictures_are_of_their_declared_type_and_size() -> None:
    content = _make(CATALOGUE["driving_licence"])
    pictures = {media_type: Image.open(BytesIO(data)) for _, media_type, data in content.attachments[1:]}
    assert (pictures["image/jpeg"].format, pictures["image/jpeg"].size) == ("JPEG", PORTRAIT_SIZE_PX)
    assert (pictures["image/png"].format, pictures["image/png"].size) == ("PNG", CARD_SIZE_PX)


def test_a_very_long_value_stays_on_the_page_in_full() -> None:
    spec = CATALOGUE["business_licence"]
    content = _make(spec)
    scope = "石油钻采专用设备制造；" * 12
    text = _page_texts(draw_pdf(spec, content.fields | {"business_scope": scope}, None))[0]
    assert scope in text


def test_lines_break_between_any_two_characters_and_lose_none() -> None:
    text = "山东省东营市东营区ABC12345678901234567890府前大街"
    lines = wrap(text, 12, 60)
    assert len(lines) > 3
    assert "".join(lines) == text
    assert wrap("", 12, 60) == [""]


def test_an_attachment_that_cannot_be_drawn_is_refused() -> None:
    spec = CATALOGUE["driving_licence"]
    video = AttachmentSpec(name="clip", name_zh="视频", media_type="application/mp4", class_level=1)
    odd = msgspec.structs.replace(spec, attachments=(video,))
    with pytest.raises(MediaTypeUndrawable) as caught:
        draw_attachment(odd, video, _make(spec).fields, PEOPLE[0])
    assert "application/mp4" in caught.value.message("zh")
