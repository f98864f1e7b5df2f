"""Damaged, foreign and oversized files: a clear error in both languages, in bounded time and memory."""

from __future__ import annotations

import contextlib
import importlib
import io
import random
import struct
import zlib

import pytest
from PIL import Image

from tests.unit.watermark_covers import (
    LAYOUT,
    NEVER_ISSUED,
    RECIPIENTS,
    TABLE_POLICY,
    csv_file,
    file_of,
    pdf_file,
    photo_image,
    table_rows,
    traced,
)
from watermark import (
    KeyInvalid,
    MediaMalformed,
    MediaTooLarge,
    MediaUnsupported,
    Policy,
    PolicyInvalid,
    TableSchema,
    WatermarkError,
    detect,
    embed,
    limits,
    media,
    sniff,
)

PNG, JPEG, PDF, CSV, JSON = "image/png", "image/jpeg", "application/pdf", "text/csv", "application/json"
DETECT = importlib.import_module("watermark.detect")
PICTURE = photo_image(160, 120)
FILES = {
    PNG: file_of(PICTURE),
    JPEG: file_of(PICTURE, "JPEG", quality=90),
    PDF: pdf_file(),
    CSV: csv_file(table_rows(30)),
    JSON: b'{"a": 1, "b": {"c": "text"}}',
}


def marked(data: bytes, media_type: str) -> bytes:
    return embed(data, media_type, layout_key=LAYOUT, seed=NEVER_ISSUED, policy=TABLE_POLICY).data


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("media_type", [PNG, JPEG, PDF])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_truncated_original_or_leak_is_malformed(media_type: str, share: float) -> None:
    data = FILES[media_type]
    cut = data[: max(12, int(len(data) * share))]
    with pytest.raises(MediaMalformed) as caught:
        marked(cut, media_type)
    assert caught.value.message("zh") != caught.value.message("en")
    with pytest.raises(MediaMalformed):
        traced(cut, FILES[PNG], PNG)


@pytest.mark.parametrize("media_type", [PNG, JPEG, CSV, JSON])
def test_damage_anywhere_never_ends_in_anything_but_a_watermark_error(media_type: str) -> None:
    rng = random.Random(3)
    for _ in range(60):
        data = bytearray(FILES[media_type])
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(WatermarkError):
            marked(bytes(data), media_type)


def test_a_damaged_pdf_never_ends_in_anything_but_a_watermark_error() -> None:
    rng = random.Random(4)
    for _ in range(30):
        data = bytearray(FILES[PDF])
        for _ in range(6):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(WatermarkError):
            marked(bytes(data), PDF)


def test_an_image_of_too_many_pixels_is_refused_by_its_header() -> None:
    with pytest.raises(MediaTooLarge, match="IMAGE_PIXELS_MAX"):
        marked(png_header(30_000, 30_000), PNG)
    with pytest.raises(MediaTooLarge, match="IMAGE_PIXELS_MAX"):
        traced(png_header(2**31 - 1, 2**31 - 1), FILES[PNG], PNG)


@pytest.mark.parametrize("mode", ["I;16", "CMYK"])
def test_deep_and_print_colours_are_refused_by_name(mode: str) -> None:
    kind, media_type = ("PNG", PNG) if mode == "I;16" else ("JPEG", JPEG)
    with pytest.raises(MediaUnsupported, match=mode):
        marked(file_of(Image.new(mode, (100, 100)), kind), media_type)


def test_an_animated_picture_is_refused_by_name() -> None:
    out = io.BytesIO()
    PICTURE.save(out, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
    with pytest.raises(MediaUnsupported, match="2 frame"):
        marked(out.getvalue(), PNG)


def test_a_pdf_that_cannot_be_rendered_in_bounds_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.render.RENDER_MEMORY_BYTES_MAX", 16 << 20)
    with pytest.raises(MediaMalformed, match="cannot be rendered"):
        traced(FILES[PDF], FILES[PDF], PDF)
    monkeypatch.undo()
    monkeypatch.setattr("watermark.render.RENDER_SECONDS_MAX", 0.001)
    with pytest.raises(MediaMalformed, match=r"not rendered within|cannot be rendered"):
        traced(FILES[PDF], FILES[PDF], PDF)


def test_a_pdf_of_a_huge_page_is_rendered_small() -> None:
    huge = FILES[PDF].replace(b"/MediaBox [ 0 0 420 595 ]", b"/MediaBox [ 0 0 14400 14400 ]")
    assert huge != FILES[PDF]
    leak = media.open_leak(huge, PDF)
    assert isinstance(leak, media.Rasters)
    assert leak.rasters[0].size <= limits.RENDER_PIXELS_MAX * 1.01


def test_more_pages_than_the_limit_are_refused() -> None:
    with pytest.raises(MediaTooLarge, match="PDF_PAGES_MAX"):
        marked(pdf_file(pages=limits.PDF_PAGES_MAX + 1), PDF)


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ("TABLE_COLUMNS_MAX", b"," * limits.TABLE_COLUMNS_MAX + b"\n"),
        ("TABLE_ROWS_MAX", b"a\n" * (limits.TABLE_ROWS_MAX + 2)),
        ("TABLE_CELLS_MAX", b",".join([b"c"] * 900) + b"\n" + b"a\n" * 2_500),
        ("CELL_CHARS_MAX", b"a,b\n" + b"x" * (limits.CELL_CHARS_MAX + 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_past_a_tables_limit_is_refused_by_the_limits_name(limit: str, data: bytes) -> None:
    with pytest.raises(MediaTooLarge) as caught:
        marked(data, CSV)
    assert caught.value.fields["limit"] == limit


@pytest.mark.parametrize(
    "data", [b"", b"  \n ", b"a,b\0c\n", b'a,b\n"x"y,2\n', b'a\n"never closed', b"\xff\xff\xff"]
)
def test_what_is_not_a_table_is_malformed(data: bytes) -> None:
    with pytest.raises(MediaMalformed):
        marked(data, CSV)


def test_rows_shorter_or_longer_than_the_header_are_carried_along() -> None:
    data = b"id,income\nx\ny,10.00,extra\nz,20.00\n"
    assert marked(data, CSV).splitlines()[1] == b"x"
    assert marked(data, CSV).splitlines()[2].endswith(b",extra")


def test_a_file_above_the_byte_limit_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DETECT, "FILE_BYTES_MAX", 1000)
    with pytest.raises(MediaTooLarge, match="FILE_BYTES_MAX"):
        marked(b"x" * 1001, PNG)
    with pytest.raises(MediaTooLarge, match="FILE_BYTES_MAX"):
        traced(b"x" * 1001, b"", PNG)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GIF89a....", MediaUnsupported),
        (b"PK\x03\x04....", MediaMalformed),
        (b"II*\0....", MediaMalformed),
        (b"RIFF....WEBP", MediaMalformed),
        (b"RIFF....WAVE", MediaUnsupported),
        (b"II+\0....", MediaUnsupported),
        (b"", MediaMalformed),
        (b"\x00\x01\x02", MediaMalformed),
    ],
)
def test_a_foreign_leak_is_refused_by_name(data: bytes, error: type[WatermarkError]) -> None:
    with pytest.raises(error):
        traced(data, FILES[PNG], PNG)


@pytest.mark.parametrize("media_type", FILES)
def test_files_are_known_by_their_content(media_type: str) -> None:
    assert sniff(FILES[media_type]) == media_type


def test_an_unknown_media_type_is_refused_and_parameters_are_ignored() -> None:
    with pytest.raises(MediaUnsupported, match="video/mp4"):
        marked(b"", "video/mp4")
    assert marked(FILES[CSV], "text/CSV; charset=utf-8")


@pytest.mark.parametrize(("leak", "original"), [(CSV, PNG), (PNG, CSV), (PDF, JSON)])
def test_media_that_cannot_be_compared_are_untraceable_with_the_reason(leak: str, original: str) -> None:
    verdict = traced(FILES[leak], FILES[original], original)
    assert verdict.verdict == "untraceable"
    assert any("cannot be compared" in note.en for note in verdict.notes)


def test_keys_seeds_and_release_ids_of_the_wrong_length_are_refused() -> None:
    data = FILES[CSV]
    with pytest.raises(KeyInvalid):
        embed(data, CSV, layout_key=b"short", seed=NEVER_ISSUED, policy=Policy())
    with pytest.raises(KeyInvalid):
        embed(data, CSV, layout_key=LAYOUT, seed=b"short", policy=Policy())
    for candidates in ({b"short": NEVER_ISSUED}, {RECIPIENTS[0]: b"short"}):
        with pytest.raises(KeyInvalid):
            detect(
                data,
                data,
                CSV,
                layout_key=LAYOUT,
                candidates=candidates,
                phantoms=(),
                policy=Policy(),
                candidates_total=1,
            )


def test_more_candidates_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DETECT, "CANDIDATES_MAX", 102)
    with pytest.raises(MediaTooLarge, match="CANDIDATES_MAX"):
        traced(FILES[CSV], FILES[CSV], CSV)


@pytest.mark.parametrize(
    "document",
    [
        {"colums": {}},
        {"columns": []},
        {"columns": {"a": {}}},
        {"columns": {"a": {"key": True, "free_text": True}}},
        {"columns": {"a": {"key": False}}},
        {"columns": {"a": {"tolerance": "many"}}},
        {"columns": {"a": {"tolerance": "-1"}}},
        {"columns": {"a": {"tolerance": "NaN"}}},
        {"columns": {"a": {"reference": True}, "b": {"reference": True}}},
        {"columns": {"a": {"secret": True}}},
        {"unordered": 1},
        {"strength": 9},
        {"strength": True},
        {"channels": ["smoke"]},
        {"channels": "pixels"},
    ],
    ids=str,
)
def test_a_schema_that_says_something_impossible_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(PolicyInvalid):
        Policy.from_json(document)


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="twice"):
        TableSchema(keys=("a",), free_text=("a",))
