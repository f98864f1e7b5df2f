"""A page of which only black and white are left still names its recipient, and nobody else."""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.unit.watermark_covers import (
    NEVER_ISSUED,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    page_image,
    traced,
)
from watermark import sides, two_tones


def dense_page() -> Image.Image:
    """A small page with much text; on sparse ones too few pixels stand near the threshold."""
    rng = np.random.default_rng(14)
    page = Image.new("RGB", (480, 640), "white")
    draw = ImageDraw.Draw(page)
    for top in range(20, 620, 24):
        words = hashlib.sha256(b"%d" % top).hexdigest()[:44]
        draw.text((20, top), words, font=ImageFont.load_default(int(rng.integers(16, 20))), fill=(10, 10, 10))
    return page


def faxed(page: Image.Image, factor: float, degrees: float) -> bytes:
    """Turned, scaled, made of two tones, as group 4."""
    turned = page.convert("L").rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    size = (round(page.width * factor), round(page.height * factor))
    grey = np.asarray(turned.resize(size, Image.Resampling.BICUBIC))
    out = io.BytesIO()
    Image.fromarray(grey > 140).save(out, "TIFF", compression="group4")
    return out.getvalue()


@pytest.mark.parametrize("threshold", [90, 128, 180])
def test_a_small_page_of_two_tones_names_its_recipient(threshold: int) -> None:
    cover = file_of(dense_page())
    copy = image_of(marked(cover, "image/png")).convert("L")
    leak = file_of(copy.point(lambda level: 255 if level > threshold else 0))
    assert names_only_the_second(traced(leak, cover, "image/png"))


@pytest.mark.parametrize(("factor", "degrees"), [(1.36, 0.3), (2.0, -0.5)])
def test_a_faxed_page_names_its_recipient(factor: float, degrees: float) -> None:
    page = page_image()
    copy = image_of(marked(file_of(page), "image/png"))
    assert names_only_the_second(traced(faxed(copy, factor, degrees), file_of(page), "image/png"))


@pytest.mark.parametrize("share", [0.001, 0.003])
def test_dust_on_a_page_of_two_tones_is_not_taken_for_the_dots_of_a_grey(share: float) -> None:
    cover = file_of(page_image())
    copy = np.asarray(image_of(marked(cover, "image/png")).convert("L"))
    dusty = np.where(copy > 128, 255, 0).astype(np.uint8)
    dusty[np.random.default_rng(5).random(dusty.shape) < share] = 0
    assert names_only_the_second(traced(file_of(Image.fromarray(dusty)), cover, "image/png"))


def test_a_faxed_page_of_somebody_else_names_nobody() -> None:
    page = page_image()
    copy = image_of(marked(file_of(page), "image/png", seed=NEVER_ISSUED))
    verdict = traced(faxed(copy, 1.36, 0.3), file_of(page), "image/png", phantoms=1_000)
    assert verdict.matches == ()
    assert verdict.phantom_best_log10_np is not None
    assert verdict.phantom_best_log10_np > -3


def test_an_unmarked_page_of_two_tones_names_nobody() -> None:
    page = page_image()
    leak = file_of(page.convert("L").point(lambda level: 255 if level > 128 else 0))
    assert traced(leak, file_of(page), "image/png").matches == ()


def test_greys_between_the_tones_are_told_from_two_tones() -> None:
    grey = np.asarray(page_image().convert("L"))
    assert not two_tones.is_two_toned(grey)
    assert two_tones.is_two_toned(np.where(grey > 128, 255, 0).astype(np.uint8))


def test_marks_on_a_page_that_had_two_tones_are_not_taken_for_flat() -> None:
    page = dense_page().convert("L").point(lambda level: 255 if level > 128 else 0)
    copy = np.asarray(image_of(marked(file_of(page), "image/png")).convert("L"))
    assert two_tones.is_two_toned(copy)
    assert not two_tones.is_flat(copy)
    assert two_tones.is_flat(np.asarray(page))


def test_the_place_is_found_to_a_tenth_of_a_pixel() -> None:
    original = np.asarray(dense_page().convert("L"))
    true = np.array([[1.3, 0.004, 2.7], [-0.003, 1.3, 1.2]])
    light = sides.rendered(original, true, (840, 640)) > 120
    start = true + np.array([[0, 0, 0.4], [0, 0, -0.3]])
    found = sides.foretell(light, original, start)
    assert found is not None
    back = cv2.transform(found.place.T[None], true)[0]
    off = np.abs(back - np.rint(back))
    assert off.max() < 0.1


def test_without_pixels_near_the_threshold_nothing_is_read() -> None:
    original = np.asarray(dense_page().convert("L"))
    plain = np.eye(3)[:2]
    pure = np.where(original > 128, 255, 0).astype(np.uint8)
    assert sides.foretell(pure > 128, pure, plain) is None


def test_of_a_leak_beyond_the_bound_every_second_pixel_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = file_of(dense_page())
    copy = image_of(marked(cover, "image/png"))
    leak = faxed(copy, 3.0, 0.2)
    seen: list[tuple[int, ...]] = []
    true = sides.foretell

    def foretell(light: sides.Bools, *rest: object) -> sides.Sides | None:
        seen.append(light.shape)
        return true(light, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sides, "foretell", foretell)
    monkeypatch.setattr(two_tones, "LEAK_PIXELS", 1_000_000)
    assert names_only_the_second(traced(leak, cover, "image/png"))
    assert seen == [(960, 720)]
