"""Marks in PNG and JPEG: invisible, deterministic, and still there after what people do to pictures."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from tests.unit.watermark_covers import (
    CANDIDATES,
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    page_image,
    photo_image,
    traced,
)
from watermark import Channel, Policy, embed
from watermark.images import psnr_db

PAGE = file_of(page_image())
PHOTO = file_of(photo_image())
PHOTO_JPEG = file_of(photo_image(), "JPEG", quality=95)


def jpeg(image: Image.Image, quality: int) -> bytes:
    return file_of(image, "JPEG", quality=quality)


def resized(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(width * left), int(height * top), int(width * right), int(height * bottom)))


def turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="white")


ATTACKS: dict[str, Callable[[Image.Image], bytes]] = {
    "lossless copy": file_of,
    "JPEG 75": lambda image: jpeg(image, 75),
    "JPEG 30": lambda image: jpeg(image, 30),
    "half size": lambda image: file_of(resized(image, 0.5)),
    "one and a half": lambda image: file_of(resized(image, 1.5)),
    "half of the area": lambda image: file_of(cropped(image, 0.2, 0.2, 0.9, 0.9)),
    "turned by 2 degrees": lambda image: file_of(turned(image, 2)),
    "crop, turn, shrink, JPEG 50": lambda image: jpeg(
        resized(cropped(turned(image, 2), 0.1, 0.1, 0.95, 0.95), 0.75), 50
    ),
    "blur": lambda image: file_of(
        Image.fromarray(np.asarray(cv2.GaussianBlur(np.asarray(image), (0, 0), 2)))
    ),
    "grey and other tones": lambda image: file_of(
        image.convert("L").point(lambda level: int(level * 0.85 + 20))
    ),
}


PHOTO_ATTACKS = ("JPEG 30", "crop, turn, shrink, JPEG 50", "grey and other tones")


@pytest.mark.parametrize(
    ("cover", "attack"),
    [(PAGE, attack) for attack in ATTACKS] + [(PHOTO, attack) for attack in PHOTO_ATTACKS],
    ids=[f"page, {attack}" for attack in ATTACKS] + [f"photo, {attack}" for attack in PHOTO_ATTACKS],
)
def test_the_recipient_is_named_after(cover: bytes, attack: str) -> None:
    leak = ATTACKS[attack](image_of(MARKED[cover]))
    assert names_only_the_second(traced(leak, cover, "image/png"))


MARKED = {cover: marked(cover, "image/png") for cover in (PAGE, PHOTO)}


@pytest.mark.parametrize("quality", [90, 60])
def test_a_jpeg_original_gives_a_jpeg_and_names_its_recipient(quality: int) -> None:
    copy = marked(PHOTO_JPEG, "image/jpeg")
    assert Image.open(io.BytesIO(copy)).format == "JPEG"
    assert names_only_the_second(traced(jpeg(image_of(copy), quality), PHOTO_JPEG, "image/jpeg"))


@pytest.mark.parametrize("cover", [PAGE, PHOTO], ids=["page", "photo"])
def test_marked_pixels_stay_at_42_db_or_better_and_within_a_few_levels(cover: bytes) -> None:
    before, after = np.asarray(image_of(cover)), np.asarray(image_of(MARKED[cover]))
    assert psnr_db(before, after) >= 42
    assert np.abs(before.astype(int) - after).max() <= 8


def test_paper_only_darkens_and_by_no_more_than_three_levels() -> None:
    before, after = np.asarray(image_of(PAGE)).astype(int), np.asarray(image_of(MARKED[PAGE])).astype(int)
    paper = cv2.erode((before.min(axis=2) == 255).astype(np.uint8), np.ones((9, 9))) > 0
    assert set(np.unique((after - before)[paper])) <= {-3, -2, -1, 0}


def test_the_manifest_states_carriers_and_quality() -> None:
    manifest = embed(PAGE, "image/png", layout_key=LAYOUT, seed=NEVER_ISSUED, policy=Policy()).manifest
    assert manifest.channels == (Channel.PIXELS,)
    assert manifest.carriers[Channel.PIXELS] > 5000
    assert manifest.quality["psnr_db"] >= 42
    assert all(words.zh and words.en for words in manifest.differences)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others() -> None:
    assert marked(PAGE, "image/png") == MARKED[PAGE]
    assert marked(PAGE, "image/png", seed=NEVER_ISSUED) != MARKED[PAGE]


@pytest.mark.parametrize(
    "leak",
    [PHOTO, jpeg(image_of(PHOTO), 75), marked(PHOTO, "image/png", seed=NEVER_ISSUED)],
    ids=["original", "encoded again", "never issued"],
)
def test_nobody_is_named_for_a_copy_without_a_candidates_mark(leak: bytes) -> None:
    verdict = traced(leak, PHOTO, "image/png")
    assert verdict.matches == ()
    assert verdict.verdict in {"none", "untraceable"}


def test_the_untouched_original_is_reported_as_such() -> None:
    verdict = traced(PAGE, PAGE, "image/png")
    assert verdict.verdict == "untraceable"
    assert any("pixel for pixel" in note.en for note in verdict.notes)


def test_another_picture_is_not_taken_for_a_copy() -> None:
    verdict = traced(file_of(page_image()), PHOTO, "image/png")
    assert verdict.verdict == "untraceable"
    assert verdict.alignment == "none"


def test_another_layout_key_reads_nothing_from_the_same_copy() -> None:
    copy = embed(
        PHOTO, "image/png", layout_key=b"x" * 32, seed=CANDIDATES[RECIPIENTS[1]], policy=Policy()
    ).data
    assert traced(copy, PHOTO, "image/png").matches == ()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_grey_palette_and_transparent_pictures_are_marked_too(mode: str) -> None:
    picture = photo_image(360, 280).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.new("L", picture.size, 200))
    cover = file_of(picture)
    copy = marked(cover, "image/png")
    if mode == "RGBA":
        assert Image.open(io.BytesIO(copy)).getchannel("A").getextrema() == (200, 200)
    assert names_only_the_second(traced(copy, cover, "image/png"))


def test_resolution_and_orientation_stay_declared() -> None:
    picture = photo_image(320, 240)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=95, dpi=(200, 200), exif=exif)
    copy = Image.open(io.BytesIO(marked(out.getvalue(), "image/jpeg")))
    assert copy.info["dpi"] == (200, 200)
    assert copy.getexif()[0x0112] == 6


def test_a_policy_or_a_size_that_allows_no_mark_gives_the_original_back_and_says_so() -> None:
    small = file_of(photo_image(60, 60))
    none = Policy(channels=frozenset())
    for cover, policy in ((PHOTO, none), (small, Policy())):
        result = embed(cover, "image/png", layout_key=LAYOUT, seed=NEVER_ISSUED, policy=policy)
        assert result.data == cover
        assert result.manifest.channels == ()
        assert result.manifest.notes


@pytest.mark.parametrize("cover", ["page", "photo"])
@pytest.mark.parametrize(
    "turn", [ImageOps.mirror, ImageOps.flip, ImageOps.invert], ids=["mirror", "flip", "negative"]
)
def test_a_mirror_image_and_a_negative_name_their_recipient(
    cover: str, turn: Callable[[Image.Image], Image.Image]
) -> None:
    original = file_of(page_image() if cover == "page" else photo_image())
    leak = file_of(turn(image_of(marked(original, "image/png")).convert("RGB")), "JPEG", quality=80)
    verdict = traced(leak, original, "image/png")
    assert names_only_the_second(verdict)
    assert ("negative" if turn is ImageOps.invert else "mirrored") in verdict.alignment


@pytest.mark.parametrize("cover", ["page", "photo"])
def test_a_dithered_picture_names_its_recipient(cover: str) -> None:
    original = file_of(page_image() if cover == "page" else photo_image())
    leak = file_of(image_of(marked(original, "image/png")).convert("1"))
    assert names_only_the_second(traced(leak, original, "image/png"))


@pytest.mark.parametrize("cover", ["page", "photo"])
def test_a_copy_with_notes_a_stamp_and_a_covered_part_names_its_recipient(cover: str) -> None:
    original = file_of(page_image() if cover == "page" else photo_image())
    leak = image_of(marked(original, "image/png")).convert("RGB")
    width, height = leak.size
    drawn = ImageDraw.Draw(leak)
    drawn.rectangle((width // 4, height // 3, width * 3 // 4, height // 2), fill="white")
    drawn.ellipse((width // 2, height // 2, width // 2 + 120, height // 2 + 120), outline="red", width=6)
    for line in range(12):
        drawn.line((0, 40 * line, width, 40 * line + 90), fill=(40, 40, 160), width=2)
    assert names_only_the_second(traced(jpeg(leak, 80), original, "image/png"))
