"""Files with little room for marks, few candidates or many, and what a document shows: judged, and nobody else is accused."""

from __future__ import annotations

import io
import zipfile

import pytest
from docx import Document
from lxml import etree
from PIL import Image

from tests.unit.watermark_bombs import good
from tests.unit.watermark_covers import (
    CANDIDATES,
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    TABLE_POLICY,
    file_of,
    marked,
    photo_image,
    traced,
)
from watermark import Policy, Verdict, codeword_seed, detect, embed, phantom_seeds, sniff
from watermark.packages import DOCX
from watermark.texts import TEXT, split

SMALL = {
    "1 × 1 picture": file_of(Image.new("RGB", (1, 1))),
    "63 × 63 picture": file_of(photo_image(63, 63)),
    "64 × 64 picture": file_of(photo_image(64, 64)),
    "64 × 3,000 picture": file_of(photo_image(64, 3_000)),
    "blank picture": file_of(Image.new("L", (300, 300), 255)),
    "transparent picture": file_of(Image.new("RGBA", (90, 90), (0, 0, 0, 0))),
    "one cell": b"income\n1.50\n",
    "header alone": b"id,income\n",
    "one name": b'{"income": 1.5}',
    "no names": b"{}",
    "rows of nothing": b"[{}, {}]",
    "one word": b"word",
    "one Han character": "照".encode(),
}


def judged(leak: bytes, candidates: dict[bytes, bytes]) -> Verdict:
    return detect(
        leak,
        good("text"),
        TEXT,
        layout_key=LAYOUT,
        candidates=candidates,
        phantoms=phantom_seeds(LAYOUT, leak, 20),
        policy=Policy(),
        candidates_total=1,
    )


@pytest.mark.parametrize("count", [0, 1])
def test_no_innocent_is_accused_where_he_is_the_only_candidate(count: int) -> None:
    verdict = judged(marked(good("text"), TEXT, seed=NEVER_ISSUED), dict(list(CANDIDATES.items())[:count]))
    assert verdict.matches == ()
    assert verdict.verdict == "none"


def test_among_ten_thousand_the_one_is_named() -> None:
    everybody = {at.to_bytes(8, "big"): codeword_seed(LAYOUT, at.to_bytes(8, "big")) for at in range(10_000)}
    guilty = (4_711).to_bytes(8, "big")
    verdict = judged(marked(good("text"), TEXT, seed=everybody[guilty]), everybody)
    assert [match.release_id for match in verdict.matches] == [guilty]
    assert verdict.candidates_total == 10_000


@pytest.mark.parametrize("name", SMALL)
def test_a_file_with_little_room_is_judged_and_accuses_nobody_else(name: str) -> None:
    original = SMALL[name]
    media_type = sniff(original)
    copy = embed(
        original, media_type, layout_key=LAYOUT, seed=CANDIDATES[RECIPIENTS[1]], policy=TABLE_POLICY
    ).data
    for leak in (copy, original):
        verdict = traced(leak, original, media_type, TABLE_POLICY)
        assert {match.release_id for match in verdict.matches} <= {RECIPIENTS[1]}
        if leak == original:
            assert verdict.verdict in {"untraceable", "none"}


def test_a_document_shows_the_same_with_tables_headers_changes_and_links() -> None:
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    text = Document()
    text.sections[0].header.paragraphs[0].text = "页眉 header"
    text.sections[0].footer.paragraphs[0].text = "页脚 footer"
    text.add_paragraph("依法登记的企业 with words").add_run(" bold").bold = True
    table = text.add_table(2, 2)
    for at, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"单元格 cell {at}"
    changed = 'w:id="1" w:author="a" w:date="2026-01-01T00:00:00Z"'
    for tag, inner, attributes in (
        ("ins", "t", changed),
        ("del", "delText", changed),
        ("hyperlink", "t", ""),
    ):
        run = f"<w:r><w:{inner}>{tag} 文字 here</w:{inner}></w:r>"
        paragraph = f'<w:p xmlns:w="{namespace}"><w:{tag} {attributes}>{run}</w:{tag}></w:p>'
        text.element.body.insert(0, etree.fromstring(paragraph))
    out = io.BytesIO()
    text.save(out)
    copy = embed(out.getvalue(), DOCX, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy()).data
    before, after = parts(out.getvalue()), parts(copy)
    assert {name for name in before if before[name] != after[name]} == {"word/document.xml"}
    shown, again = (
        [element.text or "" for element in etree.fromstring(file["word/document.xml"]).iter()]
        for file in (before, after)
    )
    assert shown != again
    assert [split(line)[0] for line in again] == shown


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
