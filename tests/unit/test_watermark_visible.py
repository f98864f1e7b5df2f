"""The visible tier: it is seen, hides nothing, and neither helps nor hinders a trace."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pikepdf
import pypdfium2
import pytest
from PIL import Image, ImageOps

from node.leakreading import qr_codes
from tests.unit.watermark_bombs import BOMBS
from tests.unit.watermark_covers import (
    CANDIDATES,
    RECIPIENTS,
    csv_file,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    page_image,
    pdf_file,
    photo_image,
    table_rows,
    traced,
)
from watermark import MediaMalformed, MediaTooLarge, PolicyInvalid, WatermarkError
from watermark.errors import ToolMissing
from watermark.limits import (
    VISIBLE_CODE_BYTES_MAX,
    VISIBLE_SIDE_PIXELS_MIN,
    VISIBLE_TILES_MAX,
    VISIBLE_WORDS_CHARS_MAX,
)
from watermark.visible import VISIBLE_MEDIA, Drawn, VisibleTier, draw, stencils
from watermark.visible.places import CODE_DARKEN, INK_MAX, WORDS_DARKEN, word_places
from watermark.visible.stencils import words_stencil

PDF, PNG, JPEG, WEBP, TIFF = "application/pdf", "image/png", "image/jpeg", "image/webp", "image/tiff"
CODE = "ZL1.0123456789ABCDEF." + "A7" * 51 + "Q"
TIER = VisibleTier(words="示例银行 · 2026-11-23 09:30 UTC · 01234567", code=CODE)
OTHER = VisibleTier(words="另一银行 · 2026-11-24 10:00 UTC · 76543210", code=CODE.replace("0123", "3210"))
PAGE = page_image(1240, 1754)


def with_tier(cover: bytes, media_type: str, tier: VisibleTier = TIER) -> bytes:
    return draw(marked(cover, media_type), media_type, tier).data


def grey(data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    return np.asarray(image_of(data).convert("L"), np.int16)


def raster(data: bytes, dpi: float, page: int = 0) -> Image.Image:
    return pypdfium2.PdfDocument(data)[page].render(scale=dpi / 72).to_pil().convert("L")


def two_tones(image: Image.Image) -> Image.Image:
    return image.point(lambda level: 255 * (level > 128)).convert("1")


def codes_in(image: Image.Image) -> list[str]:
    return qr_codes(np.asarray(image.convert("L")))


PICTURES = {
    PNG: file_of(PAGE),
    JPEG: file_of(PAGE, "JPEG", quality=90),
    WEBP: file_of(PAGE, "WEBP", quality=90),
    TIFF: file_of(PAGE, "TIFF"),
}
DRAWN = {kind: with_tier(cover, kind) for kind, cover in PICTURES.items()}
PAPER = pdf_file(pages=2)
DRAWN_PAPER = with_tier(PAPER, PDF)


# --- what is seen ---


@pytest.mark.parametrize("kind", sorted(PICTURES))
def test_words_and_code_are_seen_and_nothing_is_hidden(kind: str) -> None:
    before, after = grey(marked(PICTURES[kind], kind)), grey(DRAWN[kind])
    assert codes_in(image_of(DRAWN[kind])) == [CODE]
    paper = before > 245
    words = paper & (after < before - 10) & (after > 200)
    assert 0.002 < words.mean() < INK_MAX
    # What was dark stays darker than anything drawn on paper in words; ink never gets lighter.
    assert (after[before < 100] <= before[before < 100] + 12).all()
    lightest_ink = 255 * (1 - CODE_DARKEN)
    assert after[paper].min() > lightest_ink - 20


LIES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Orientation → how a picture is turned before it is stored with it."""


@pytest.mark.parametrize("orientation", LIES)
def test_a_picture_that_is_shown_turned_has_its_words_upright_as_it_is_shown(orientation: int) -> None:
    shown = page_image(620, 877)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    shown.transpose(LIES[orientation]).save(stored, "PNG", exif=exif)
    drawn = draw(stored.getvalue(), PNG, TIER)
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(drawn.data)))
    assert np.array_equal(np.asarray(seen), np.asarray(image_of(draw(file_of(shown), PNG, TIER).data)))


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense", bytes(64)])
def test_an_orientation_that_cannot_be_read_leaves_the_picture_as_it_lies(block: bytes) -> None:
    stored = io.BytesIO()
    page_image(620, 877).save(stored, "PNG", exif=block)
    assert np.array_equal(
        grey(draw(stored.getvalue(), PNG, TIER).data),
        grey(draw(file_of(page_image(620, 877)), PNG, TIER).data),
    )


@pytest.mark.parametrize("picture", [page_image(), photo_image()], ids=["page", "photo"])
def test_words_are_sparse_and_move_each_pixel_by_a_tenth_at_most(picture: Image.Image) -> None:
    words = VisibleTier(words=TIER.words)
    before = np.asarray(picture, np.int64)
    after = np.asarray(image_of(draw(file_of(picture), PNG, words).data), np.int64)
    assert 0 < (before != after).any(axis=2).mean() <= INK_MAX
    assert (before - after <= np.rint(WORDS_DARKEN * before) + 1).all()
    assert (after - before <= np.rint(WORDS_DARKEN * (255 - before)) + 1).all()


def test_on_dark_ground_words_are_lighter() -> None:
    cover = file_of(Image.new("RGB", (800, 800), (30, 40, 50)))
    before, after = grey(marked(cover, PNG)), grey(with_tier(cover, PNG))
    assert (after > before + 10).mean() > 0.002
    assert not (after < before - 2).any()
    assert (after - before).max() <= WORDS_DARKEN * 255 + 1


def test_a_code_stands_where_it_can_be_read_or_not_at_all() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 900), dtype=np.uint8)
    restless = file_of(Image.fromarray(noise))
    drawn = draw(marked(restless, PNG), PNG, TIER)
    assert drawn.notes
    assert "QR" in drawn.notes[0].en
    assert codes_in(image_of(drawn.data)) == []
    # One calm corner is enough.
    image = Image.fromarray(noise)
    image.paste(235, (0, 600, 300, 900))
    drawn = draw(marked(file_of(image), PNG), PNG, TIER)
    assert drawn.notes == ()
    assert codes_in(image_of(drawn.data)) == [CODE]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_every_page_of_a_pdf_has_the_words_upright_and_the_first_the_code(rotation: int) -> None:
    cover = pdf_file(pages=2, rotation=rotation)
    copy = marked(cover, PDF)
    drawn = draw(copy, PDF, TIER).data
    upright = []
    for page in range(2):
        before, after = (
            np.asarray(raster(copy, 100, page), np.int16),
            np.asarray(raster(drawn, 100, page), np.int16),
        )
        words = (before > 245) & (after < before - 8) & (after > 200)
        assert 0.002 < words.mean() < INK_MAX
        upright.append(words)
    assert codes_in(raster(drawn, 200)) == [CODE]
    assert codes_in(raster(drawn, 200, 1)) == []


def test_an_opaque_background_covers_nothing_of_the_tier() -> None:
    cover = pdf_file(opaque=True)
    drawn = with_tier(cover, PDF)
    assert codes_in(raster(drawn, 200)) == [CODE]


def test_text_of_a_pdf_stays_as_it_is() -> None:
    copy = marked(PAPER, PDF)
    for before, after in zip(pypdfium2.PdfDocument(copy), pypdfium2.PdfDocument(DRAWN_PAPER), strict=True):
        assert before.get_textpage().get_text_range() == after.get_textpage().get_text_range()


@pytest.mark.parametrize(
    "metadata",
    [
        b"<x><pdfaid:part>1</pdfaid:part></x>",
        b"<x pdfaid:part='1'/>",
        b'<pdfaid:part xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/"> 1 </pdfaid:part>',
    ],
)
def test_without_transparency_the_tier_lies_under_the_content(metadata: bytes) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf_file())) as document:
        document.Root.Metadata = document.make_stream(metadata)
        document.save(out, deterministic_id=True, fix_metadata_version=False, compress_streams=False)
    drawn = draw(out.getvalue(), PDF, TIER).data
    with pikepdf.open(io.BytesIO(drawn)) as document:
        assert pikepdf.Name.ExtGState not in document.pages[0].Resources
    assert codes_in(raster(drawn, 200)) == [CODE]


def test_a_tiff_has_the_tier_on_every_page() -> None:
    frames = [page_image(900, 1200), page_image(900, 1200).rotate(180)]
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], dpi=(150, 150))
    drawn = Image.open(io.BytesIO(with_tier(out.getvalue(), TIFF)))
    for page in range(2):
        drawn.seek(page)
        assert codes_in(drawn.convert("L")) == [CODE]
        assert drawn.info["dpi"] == (150, 150)


def test_the_code_survives_paper_tones_and_bad_jpeg() -> None:
    assert codes_in(two_tones(raster(DRAWN_PAPER, 200)).convert("L")) == [CODE]
    page = image_of(DRAWN[PNG])
    half = page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS)
    for leak in (image_of(file_of(page, "JPEG", quality=50)), half):
        assert codes_in(leak) == [CODE]


# --- traces ---


def test_copies_with_the_tier_name_their_recipient() -> None:
    leaks = {
        "saved": (DRAWN[PNG], PNG),
        "jpeg original": (DRAWN[JPEG], JPEG),
        "jpeg 50": (file_of(image_of(DRAWN[JPEG]), "JPEG", quality=50), JPEG),
        "half": (
            file_of(image_of(DRAWN[PNG]).resize((620, 877), Image.Resampling.LANCZOS), "JPEG", quality=75),
            PNG,
        ),
        "piece": (file_of(image_of(DRAWN[PNG]).crop((150, 200, 1020, 1430)), "JPEG", quality=75), PNG),
    }
    for name, (leak, kind) in leaks.items():
        assert names_only_the_second(traced(leak, PICTURES[kind], kind)), name


def test_pictures_of_two_tones_with_a_code_are_not_taken_for_dithered_ones() -> None:
    for cover in (PICTURES[PNG], file_of(page_image())):
        leak = file_of(two_tones(image_of(with_tier(cover, PNG)).convert("L")))
        assert names_only_the_second(traced(leak, cover, PNG))


def test_papers_with_the_tier_name_their_recipient_also_after_a_fax() -> None:
    for leak in (
        DRAWN_PAPER,
        file_of(two_tones(raster(DRAWN_PAPER, 200))),
        file_of(raster(DRAWN_PAPER, 100), "JPEG", quality=50),
    ):
        assert names_only_the_second(traced(leak, PAPER, PDF))


def test_a_photograph_with_the_tier_names_its_recipient() -> None:
    cover = file_of(photo_image(), "JPEG", quality=90)
    leak = file_of(image_of(with_tier(cover, JPEG)), "JPEG", quality=75)
    assert names_only_the_second(traced(leak, cover, JPEG))


def test_words_of_another_recipient_accuse_nobody() -> None:
    """The marks of the second under the words of another name the second; words alone name nobody."""
    forged = with_tier(PICTURES[PNG], PNG, OTHER)
    assert names_only_the_second(traced(forged, PICTURES[PNG], PNG))
    unmarked = draw(PICTURES[PNG], PNG, TIER).data
    assert traced(unmarked, PICTURES[PNG], PNG).matches == ()


def test_copies_of_two_recipients_differ_under_the_same_words() -> None:
    first = draw(marked(PICTURES[PNG], PNG, seed=CANDIDATES[RECIPIENTS[0]]), PNG, TIER).data
    assert first != DRAWN[PNG]


# --- bounds ---


def test_the_same_arguments_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    assert with_tier(PAPER, PDF) == DRAWN_PAPER
    source = tmp_path / "copy.pdf"
    source.write_bytes(marked(PAPER, PDF))
    program = (
        "import sys; from pathlib import Path; from watermark.visible import VisibleTier, draw; "
        f"tier = VisibleTier(words={TIER.words!r}, code={TIER.code!r}); "
        "sys.stdout.buffer.write(draw(Path(sys.argv[1]).read_bytes(), 'application/pdf', tier).data)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(source)],
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout == DRAWN_PAPER


def test_other_media_and_small_pictures_stay_as_they_are_and_say_so() -> None:
    table = csv_file(table_rows(20))
    side = VISIBLE_SIDE_PIXELS_MIN
    for data, kind in ((table, "text/csv"), (file_of(PAGE.resize((side - 1, side))), PNG)):
        drawn = draw(data, kind, TIER)
        assert drawn == Drawn(data=data, differences=(), notes=drawn.notes)
        assert len(drawn.notes) == 1
    assert draw(file_of(PAGE.resize((side, side))), PNG, TIER).differences
    assert "text/csv" not in VISIBLE_MEDIA


@pytest.mark.parametrize("words", ["", "  ", "two\nlines", "\x07bell"])
def test_words_are_one_printable_line(words: str) -> None:
    with pytest.raises(PolicyInvalid):
        VisibleTier(words=words)


def test_limits_have_names_and_hold() -> None:
    longest = VisibleTier(words="证" * VISIBLE_WORDS_CHARS_MAX, code="A" * VISIBLE_CODE_BYTES_MAX)
    drawn = draw(file_of(page_image(2480, 3508)), PNG, longest)
    assert codes_in(image_of(drawn.data)) == [longest.code]
    with pytest.raises(MediaTooLarge, match="VISIBLE_WORDS_CHARS_MAX"):
        VisibleTier(words="证" * (VISIBLE_WORDS_CHARS_MAX + 1))
    with pytest.raises(MediaTooLarge, match="VISIBLE_CODE_BYTES_MAX"):
        VisibleTier(words="a", code="A" * (VISIBLE_CODE_BYTES_MAX + 1))
    with pytest.raises(PolicyInvalid):
        VisibleTier(words="a", code="二维码")


def test_a_long_and_narrow_page_has_no_more_words_than_the_limit() -> None:
    places = list(word_places(words_stencil("."), 0.1, 100.0, 100_000.0))
    assert 0 < len(places) < 1.5 * VISIBLE_TILES_MAX
    with pikepdf.new() as document:
        document.add_blank_page(page_size=(150, 14_400))
        document.add_blank_page(page_size=(14_400, 14_400))
        out = io.BytesIO()
        document.save(out)
    drawn = draw(out.getvalue(), PDF, TIER)
    assert drawn.differences
    assert len(drawn.data) < 200_000


@pytest.mark.parametrize("name", ["pdf: page of no size", "pdf: page of no numbers"])
def test_hostile_pages_end_in_a_fault_or_a_file(name: str) -> None:
    with suppress(WatermarkError):
        assert draw(BOMBS[name](), PDF, TIER).data


def test_much_lzw_is_refused_before_anything_is_unpacked() -> None:
    with pytest.raises(MediaTooLarge, match="PDF_LZW_BYTES_MAX"):
        draw(BOMBS["pdf: LZW twice"](), PDF, TIER)


@pytest.mark.parametrize("kind", sorted(VISIBLE_MEDIA))
def test_what_cannot_be_read_is_refused(kind: str) -> None:
    whole = DRAWN_PAPER if kind == PDF else DRAWN[kind]
    for data in (b"", b"nothing", whole[: len(whole) // 3]):
        try:
            draw(data, kind, TIER)
        except WatermarkError:
            continue
        assert kind == PDF, "a PDF that was cut may be mended"


def test_a_font_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise ImportError

    stencils._font.cache_clear()
    monkeypatch.setattr(stencils.resources, "files", missing)
    with pytest.raises(ToolMissing, match="paperang"):
        draw(PICTURES[PNG], PNG, TIER)
    monkeypatch.undo()
    stencils._font.cache_clear()
    monkeypatch.setattr(stencils, "import_module", missing)
    with pytest.raises(ToolMissing, match="reportlab"):
        draw(PICTURES[PNG], PNG, TIER)


def test_the_command_line_draws_it(tmp_path: Path) -> None:
    key, original, copy = tmp_path / "key", tmp_path / "page.png", tmp_path / "copy.png"
    key.write_text("ab" * 32)
    original.write_bytes(PICTURES[PNG])
    command = [sys.executable, "-m", "watermark", "embed", "--key-file", str(key), "--release-id", "01" * 8]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options, str(original), str(copy)], capture_output=True, text=True, check=False
        )

    done = run("--visible", TIER.words, "--visible-code", CODE)
    assert done.returncode == 0, done.stderr
    assert any(TIER.words in words["zh"] for words in json.loads(done.stdout)["differences"])
    assert codes_in(image_of(copy.read_bytes())) == [CODE]
    copy.unlink()
    assert run("--visible-code", CODE).returncode == 2
    assert not copy.exists()


def test_a_damaged_page_is_named() -> None:
    with pytest.raises(MediaMalformed):
        draw(b"%PDF-1.7 nothing", PDF, TIER)
