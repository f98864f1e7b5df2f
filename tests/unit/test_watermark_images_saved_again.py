"""A picture that was only saved again, or of which a small or blank piece is left, still names its recipient."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.unit.watermark_covers import (
    NEVER_ISSUED,
    file_of,
    image_of,
    marked,
    names_only_the_second,
    page_image,
    photo_image,
    traced,
)
from watermark import align, saved_again
from watermark.chips import F32, U8

SMALL = (480, 640)
BLANK_CORNER = (430, 900, 730, 1020)
BESIDE_THE_TEXT = (600, 560, 735, 700)


def grey(data: bytes) -> U8:
    """Its grey levels."""
    return np.asarray(image_of(data).convert("L"))


def unread(leak: U8, original: U8) -> F32:
    """Leak minus original, nothing fitted."""
    return leak.astype(np.float32) - original.astype(np.float32)


@pytest.mark.parametrize("quality", [20, 50])
def test_a_small_page_saved_as_jpeg_names_its_recipient(quality: int) -> None:
    cover = file_of(page_image(*SMALL))
    leak = file_of(image_of(marked(cover, "image/png")), "JPEG", quality=quality)
    assert names_only_the_second(traced(leak, cover, "image/png"))


def test_a_part_saved_as_jpeg_and_then_as_png_names_its_recipient() -> None:
    cover = file_of(page_image())
    part = image_of(marked(cover, "image/png")).crop((37, 51, 700, 800))
    leak = file_of(image_of(file_of(part, "JPEG", quality=30)))
    assert names_only_the_second(traced(leak, cover, "image/png"))


def test_a_page_of_somebody_else_saved_as_jpeg_names_nobody() -> None:
    cover = file_of(page_image(*SMALL))
    copy = image_of(marked(cover, "image/png", seed=NEVER_ISSUED))
    verdict = traced(file_of(copy, "JPEG", quality=20), cover, "image/png", phantoms=1_000)
    assert verdict.matches == ()
    assert verdict.phantom_best_log10_np is not None
    assert verdict.phantom_best_log10_np > -3


@pytest.mark.parametrize("quality", [15, 30, 62, 75])
def test_the_quality_is_known_again(quality: int) -> None:
    page = page_image()
    leak = grey(file_of(image_of(marked(file_of(page), "image/png")), "JPEG", quality=quality))
    original = np.asarray(page.convert("L"))
    found = saved_again.quality_of(leak, original, unread(leak, original))
    assert found is not None
    assert abs(found - quality) <= 1


def test_what_was_not_saved_as_jpeg_is_not_taken_for_one() -> None:
    page = page_image()
    copy = grey(marked(file_of(page), "image/png"))
    original = np.asarray(page.convert("L"))
    plain = align.same_frame(copy, original)
    assert plain is not None
    for leak in (copy, cv2.GaussianBlur(copy, (0, 0), 1.2), cv2.medianBlur(copy, 3)):
        difference, _ = align.residual(leak, original, plain)
        assert saved_again.quality_of(leak, original, difference) is None


def test_steps_are_those_of_the_standard_tables() -> None:
    assert saved_again.steps(50)[0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert saved_again.steps(90)[0, :3].tolist() == [3, 2, 2]
    assert saved_again.steps(5).max() == 255


def test_only_an_unturned_unscaled_piece_has_the_original_s_pixels() -> None:
    original = np.asarray(page_image().convert("L"))
    piece = original[100:400, 50:300]

    def corner(matrix: list[list[float]]) -> tuple[int, int] | None:
        return saved_again.unturned(piece, original, align.Alignment(np.array(matrix), 1.0, "piece"))

    assert corner([[1, 0, -50.1], [0, 1, -99.8]]) == (50, 100)
    assert corner([[1.01, 0, -50], [0, 1.01, -100]]) is None
    assert corner([[1, 0.01, -50], [-0.01, 1, -100]]) is None
    assert corner([[1, 0, 3], [0, 1, -100]]) is None
    wide = np.zeros((64, saved_again.JPEG_SIDE_MAX + 1), np.uint8)
    assert saved_again.unturned(wide, wide, align.Alignment(np.eye(3)[:2], 1.0, "scale")) is None


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_piece_with_few_details_names_its_recipient(factor: float) -> None:
    cover = file_of(page_image())
    part = image_of(marked(cover, "image/png")).crop(BESIDE_THE_TEXT)
    leak = part.resize((round(part.width * factor), round(part.height * factor)), Image.Resampling.BICUBIC)
    verdict = traced(file_of(leak), cover, "image/png")
    assert names_only_the_second(verdict)
    assert verdict.alignment.startswith(("piece", "mark"))


def test_a_piece_of_blank_paper_names_its_recipient() -> None:
    page = Image.new("RGB", (744, 1052), "white")
    page.paste(page_image().crop((0, 0, 744, 500)), (0, 0))
    cover = file_of(page)
    part = image_of(marked(cover, "image/png")).crop(BLANK_CORNER)
    verdict = traced(file_of(part), cover, "image/png")
    assert names_only_the_second(verdict)
    assert verdict.alignment.startswith("mark")


def test_blank_paper_without_a_mark_has_no_place() -> None:
    cover = file_of(page_image())
    noise = np.random.default_rng(5).normal(252, 1.5, (240, 300))
    verdict = traced(file_of(Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))), cover, "image/png")
    assert verdict.alignment == "none"
    assert verdict.verdict == "untraceable"


def test_a_piece_whose_only_line_lies_at_its_edge_is_laid_at_its_own_scale() -> None:
    page = np.full((1052, 744), 235, np.uint8)
    for top in range(80, 1000, 60):
        page[top : top + 3, 60:680] = 90
    page[500:, 300:] = 235
    page[560:563, 420:600] = 90
    page[640:760, 300:700] = 20
    piece = page[548:636, 430:590]
    fits = {
        scale: align._judged(
            cv2.resize(piece, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC),
            page,
            np.array(
                [[scale, 0, 0.5 * scale - 0.5 - 430 * scale], [0, scale, 0.5 * scale - 0.5 - 548 * scale]]
            ),
            align.PIECE,
        )
        for scale in (1.0, 1.5)
    }
    assert all(fit is not None and fit.correlation > 0.97 for fit in fits.values())


def test_a_piece_of_another_page_is_not_laid_anywhere() -> None:
    other = page_image().transpose(Image.Transpose.ROTATE_90).crop((300, 100, 460, 260))
    assert align.pieces(np.asarray(other.convert("L")), np.asarray(page_image().convert("L"))) == []


def test_another_picture_of_the_same_size_is_not_laid_by_the_mark() -> None:
    verdict = traced(file_of(photo_image(744, 1052)), file_of(page_image()), "image/png")
    assert verdict.alignment == "none"
