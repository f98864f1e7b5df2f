"""Marks in WebP, and in TIFF with several pages as scanners write it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    page_image,
    photo_image,
    traced,
)
from watermark import MediaMalformed, MediaTooLarge, MediaUnsupported, Policy, embed, limits, media, sniff

WEBP, TIFF, PNG = "image/webp", "image/tiff", "image/png"
LOSSY = file_of(photo_image(), "WEBP", quality=90)
LOSSLESS = file_of(photo_image(), "WEBP", lossless=True)


def numbered(page: int) -> Image.Image:
    image = page_image(500, 700)
    ImageDraw.Draw(image).rectangle((120 + 40 * page, 400, 300, 500 + 30 * page), fill=(90, 90, 160))
    return image


def tiff_of(*pages: Image.Image, **options: str) -> bytes:
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], dpi=(150, 150), **options)
    return out.getvalue()


SCAN = tiff_of(*(numbered(page) for page in range(3)))


@pytest.mark.parametrize("cover", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("quality", [80, 20])
def test_a_webp_copy_encoded_again_names_its_recipient(cover: bytes, quality: int) -> None:
    copy = marked(cover, WEBP)
    assert sniff(copy) == WEBP
    leak = file_of(image_of(copy), "WEBP", quality=quality)
    assert names_only_the_second(traced(leak, cover, WEBP))


def test_a_webp_without_loss_stays_without_and_its_mark_is_as_fine_as_in_png() -> None:
    before, after = np.asarray(image_of(LOSSLESS)), np.asarray(image_of(marked(LOSSLESS, WEBP)))
    assert np.abs(before.astype(int) - after).max() <= 8
    result = embed(LOSSLESS, WEBP, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy())
    assert result.manifest.quality["psnr_db"] >= 42
    assert not any("encoded again" in words.en for words in result.manifest.differences)


def test_an_extended_webp_without_loss_is_known_for_one() -> None:
    picture = photo_image(200, 150)
    picture.putalpha(Image.new("L", picture.size, 200))
    out = io.BytesIO()
    picture.save(out, "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    cover = out.getvalue()
    assert cover[12:16] == b"VP8X"
    copy = Image.open(io.BytesIO(marked(cover, WEBP)))
    assert copy.getchannel("A").getextrema() == (200, 200)
    result = embed(cover, WEBP, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy())
    assert not any("encoded again" in words.en for words in result.manifest.differences)


@pytest.mark.parametrize("media_type", [WEBP, TIFF])
def test_the_same_arguments_give_the_same_bytes(media_type: str) -> None:
    cover = {WEBP: LOSSY, TIFF: SCAN}[media_type]
    assert marked(cover, media_type) == marked(cover, media_type)
    assert marked(cover, media_type) != marked(cover, media_type, seed=NEVER_ISSUED)


@pytest.mark.parametrize("page", [0, 1, 2])
def test_any_single_page_of_a_scan_names_its_recipient(page: int) -> None:
    copy = Image.open(io.BytesIO(marked(SCAN, TIFF)))
    copy.seek(page)
    leak = file_of(copy.convert("RGB"), "JPEG", quality=60)
    verdict = traced(leak, SCAN, TIFF)
    assert names_only_the_second(verdict)
    assert f"frame {page + 1}" in verdict.alignment


def test_a_whole_scan_keeps_its_pages_and_resolution_and_names_its_recipient() -> None:
    copy = marked(SCAN, TIFF)
    image = Image.open(io.BytesIO(copy))
    assert getattr(image, "n_frames", 1) == 3
    assert [round(float(value)) for value in image.info["dpi"]] == [150, 150]
    assert names_only_the_second(traced(copy, SCAN, TIFF))


def test_a_fax_of_one_bit_is_marked_in_grey_and_says_so() -> None:
    cover = tiff_of(numbered(0).convert("1"), compression="group4")
    result = embed(cover, TIFF, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy())
    assert any("8 bits" in words.en for words in result.manifest.differences)
    assert names_only_the_second(traced(marked(cover, TIFF), cover, TIFF))


def test_a_leak_of_the_original_scan_is_no_copy() -> None:
    verdict = traced(SCAN, SCAN, TIFF)
    assert verdict.verdict == "untraceable"
    assert verdict.alignment == "identical"


def looped_tiff() -> bytes:
    """A TIFF whose directory names itself as the next one."""
    entries = struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 8)
    return b"II*\0" + struct.pack("<I", 8) + entries + struct.pack("<I", 8)


def test_a_chain_of_directories_without_end_is_refused_at_the_limit() -> None:
    image = io.BytesIO()
    Image.new("L", (100, 100)).save(image, "TIFF")
    data = bytearray(image.getvalue())
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    place = first + 2 + 12 * entries
    data[place : place + 4] = first.to_bytes(4, "little")
    with pytest.raises(MediaTooLarge, match="TIFF_FRAMES_MAX"):
        marked(bytes(data), TIFF)
    with pytest.raises((MediaTooLarge, MediaMalformed)):
        marked(looped_tiff(), TIFF)


def test_pixels_of_all_pages_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.rasters.IMAGE_PIXELS_MAX", 2 * 500 * 700)
    with pytest.raises(MediaTooLarge, match="IMAGE_PIXELS_MAX"):
        marked(SCAN, TIFF)


def test_moving_pictures_and_deep_colours_are_refused_by_name() -> None:
    frames = [photo_image(100, 100), page_image(100, 100)]
    moving = io.BytesIO()
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(MediaUnsupported, match="2 frames"):
        marked(moving.getvalue(), WEBP)
    with pytest.raises(MediaUnsupported, match="CMYK"):
        marked(tiff_of(Image.new("CMYK", (100, 100))), TIFF)


@pytest.mark.parametrize(("cover", "media_type"), [(LOSSY, WEBP), (LOSSLESS, WEBP), (SCAN, TIFF)])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_what_is_cut_short_is_malformed(cover: bytes, media_type: str, share: float) -> None:
    with pytest.raises(MediaMalformed):
        marked(cover[: max(16, int(len(cover) * share))], media_type)


def test_riff_that_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(MediaUnsupported, match="RIFF"):
        sniff(b"RIFF\x24\0\0\0WAVEfmt ")


def test_more_frames_of_a_leak_than_are_compared_are_left_out() -> None:
    assert limits.TIFF_FRAMES_MAX > limits.PDF_PAGES_COMPARED_MAX
    many = tiff_of(*(Image.new("L", (20, 20), 9 * page) for page in range(limits.PDF_PAGES_COMPARED_MAX + 2)))
    opened = media.open_leak(many, TIFF)
    assert isinstance(opened, media.Rasters)
    assert len(opened.rasters) == limits.PDF_PAGES_COMPARED_MAX


@pytest.mark.parametrize("restless", [False, True], ids=["scan", "noise in every colour"])
def test_a_png_is_packed_in_the_way_that_suits_it(restless: bool) -> None:
    drawn = np.random.default_rng(3)
    grain = drawn.normal(0, 8, (300, 400, 3 if restless else 1))
    picture = Image.fromarray(np.clip(200 + grain * np.ones(3), 0, 255).astype(np.uint8))
    copy = marked(file_of(picture), PNG)
    other = io.BytesIO()
    image_of(copy).save(
        other, "PNG", compress_level=3, compress_type=zlib.Z_DEFAULT_STRATEGY if restless else zlib.Z_RLE
    )
    assert len(copy) < len(other.getvalue())
