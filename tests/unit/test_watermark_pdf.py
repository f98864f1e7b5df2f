"""Marks in PDF: the text stays what it is, and the mark survives rendering, scaling and saving again."""

from __future__ import annotations

import io

import numpy as np
import pikepdf
import pypdfium2
import pytest
from PIL import Image

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    file_of,
    marked,
    names_only_the_second,
    pdf_file,
    traced,
)
from watermark import Channel, MediaUnsupported, Policy, embed
from watermark.images import psnr_db

PDF = "application/pdf"
PLAIN = pdf_file()
CHIPS = Policy(channels=frozenset({Channel.PAGE_CHIPS}))
OPAQUE = pdf_file(opaque=True)
TWO = pdf_file(pages=2)
COPIES = {cover: marked(cover, PDF) for cover in (PLAIN, OPAQUE, TWO)}


def raster(data: bytes, dpi: float, page: int = 0) -> Image.Image:
    document = pypdfium2.PdfDocument(data)
    image = document[page].render(scale=dpi / 72).to_pil().convert("RGB")
    document.close()
    return image


def texts(data: bytes) -> list[str]:
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data)]


@pytest.mark.parametrize(
    ("cover", "dpi", "quality"),
    [(PLAIN, 100, 75), (OPAQUE, 100, 75), (OPAQUE, 200, 75), (PLAIN, 130, 30)],
    ids=["100 dpi", "100 dpi, opaque", "200 dpi, opaque", "130 dpi, JPEG 30"],
)
def test_a_page_that_leaks_as_a_jpeg_names_its_recipient(cover: bytes, dpi: int, quality: int) -> None:
    leak = file_of(raster(COPIES[cover], dpi), "JPEG", quality=quality)
    assert names_only_the_second(traced(leak, cover, PDF))


def test_the_pdf_itself_stripped_of_metadata_and_saved_again_names_its_recipient() -> None:
    with pikepdf.open(io.BytesIO(COPIES[OPAQUE])) as document:
        del document.trailer["/Info"]
        out = io.BytesIO()
        document.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate, linearize=True)
    assert names_only_the_second(traced(out.getvalue(), OPAQUE, PDF))


def test_a_cropped_and_turned_picture_of_a_page_names_its_recipient() -> None:
    image = raster(COPIES[PLAIN], 130)
    image = image.rotate(1, Image.Resampling.BICUBIC, fillcolor="white")
    leak = file_of(image.crop((40, 35, image.width - 60, image.height - 80)), "JPEG", quality=75)
    assert names_only_the_second(traced(leak, PLAIN, PDF))


def test_one_page_of_several_that_look_alike_is_found_and_names_its_recipient() -> None:
    leak = file_of(raster(COPIES[TWO], 110, page=1), "JPEG", quality=75)
    verdict = traced(leak, TWO, PDF)
    assert names_only_the_second(verdict)
    assert verdict.alignment.startswith("page 2 ")


def test_pages_of_a_pdf_are_read_together() -> None:
    verdict = traced(COPIES[TWO], TWO, PDF)
    assert names_only_the_second(verdict)
    assert {"page 1 text", "page 2 text"} <= {found.split(":")[0] for found in verdict.alignment.split("; ")}


@pytest.mark.parametrize("rotation", [90, 270])
def test_turned_pages_are_marked_as_displayed(rotation: int) -> None:
    cover = pdf_file(rotation=rotation)
    leak = file_of(raster(marked(cover, PDF), 100), "JPEG", quality=75)
    assert names_only_the_second(traced(leak, cover, PDF))


def test_a_page_with_an_inner_crop_box_is_marked_as_displayed() -> None:
    with pikepdf.open(io.BytesIO(PLAIN)) as document:
        document.pages[0].cropbox = [30, 40, 360, 570]
        out = io.BytesIO()
        document.save(out, deterministic_id=True)
    cover = out.getvalue()
    assert names_only_the_second(traced(file_of(raster(marked(cover, PDF), 120)), cover, PDF))


def test_an_image_original_that_leaks_inside_a_pdf_names_its_recipient() -> None:
    cover = file_of(raster(PLAIN, 100))
    out = io.BytesIO()
    Image.open(io.BytesIO(marked(cover, "image/png"))).save(out, "PDF", resolution=100)
    assert names_only_the_second(traced(out.getvalue(), cover, "image/png"))


@pytest.mark.parametrize("cover", [PLAIN, OPAQUE, TWO], ids=["plain", "opaque", "two pages"])
def test_text_and_fonts_stay(cover: bytes) -> None:
    copy = COPIES[cover]
    assert texts(copy) == texts(cover)
    with pikepdf.open(io.BytesIO(cover)) as before, pikepdf.open(io.BytesIO(copy)) as after:
        for old, new in zip(before.pages, after.pages, strict=True):
            fonts = old.resources["/Font"]
            assert fonts.keys() == new.resources["/Font"].keys()
            for name in set(fonts.as_dict()):
                assert fonts[name].unparse(resolved=True) == new.resources["/Font"][name].unparse(
                    resolved=True
                )


def test_chips_alone_leave_every_operator_and_look_the_same() -> None:
    copy = marked(OPAQUE, PDF, CHIPS)
    with pikepdf.open(io.BytesIO(OPAQUE)) as before, pikepdf.open(io.BytesIO(copy)) as after:
        assert before.pages[0].Contents.read_bytes() in after.pages[0].Contents[1].read_bytes()
    before_pixels, after_pixels = np.asarray(raster(OPAQUE, 150)), np.asarray(raster(copy, 150))
    assert psnr_db(before_pixels, after_pixels) >= 42
    assert np.abs(before_pixels.astype(int) - after_pixels).max() <= 3
    assert names_only_the_second(traced(file_of(raster(copy, 130), "JPEG", quality=30), OPAQUE, PDF))


def test_even_a_small_file_grows_by_less_than_a_tenth() -> None:
    for cover, copy in COPIES.items():
        assert len(copy) < 1.1 * len(cover)


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert marked(TWO, PDF) == COPIES[TWO]
    assert marked(TWO, PDF, seed=NEVER_ISSUED) != COPIES[TWO]


@pytest.mark.parametrize("kind", ["original", "rendered original", "never issued"])
def test_nobody_is_named_for_a_copy_without_a_candidates_mark(kind: str) -> None:
    leak = {
        "original": lambda: PLAIN,
        "rendered original": lambda: file_of(raster(PLAIN, 120), "JPEG", quality=75),
        "never issued": lambda: marked(PLAIN, PDF, seed=NEVER_ISSUED),
    }[kind]()
    verdict = traced(leak, PLAIN, PDF)
    assert verdict.matches == ()
    assert verdict.verdict in {"none", "untraceable"}


def test_names_already_in_use_on_the_page_are_left_alone() -> None:
    twice = marked(marked(PLAIN, PDF, CHIPS), PDF, CHIPS)
    with pikepdf.open(io.BytesIO(twice)) as document:
        assert len(document.pages[0].resources["/XObject"].keys()) == 2


def test_the_manifest_states_what_moved_and_the_depth_of_the_pattern() -> None:
    manifest = embed(TWO, PDF, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy()).manifest
    assert set(manifest.channels) == {Channel.GLYPH_OFFSETS, Channel.WORD_OFFSETS}
    assert manifest.quality["offset_mm_max"] <= 0.2
    assert any("small" in note.en for note in manifest.notes)
    chips = embed(TWO, PDF, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=CHIPS).manifest
    assert chips.channels == (Channel.PAGE_CHIPS,)
    assert chips.quality["darkening_percent"] <= 1.5
    none = embed(TWO, PDF, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy(channels=frozenset()))
    assert none.data == TWO
    assert none.manifest.notes


def test_an_encrypted_pdf_is_refused_by_name() -> None:
    with pikepdf.open(io.BytesIO(PLAIN)) as document:
        out = io.BytesIO()
        document.save(out, encryption=pikepdf.Encryption(owner="owner", user="user"))
    with pytest.raises(MediaUnsupported, match="encrypted"):
        marked(out.getvalue(), PDF)
    with pytest.raises(MediaUnsupported, match="encrypted"):
        traced(out.getvalue(), PLAIN, PDF)
