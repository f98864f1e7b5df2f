"""Measure what marks survive: `python -m tests.unit.watermark_figures [trials]` prints the tables of docs/watermark.md.

Each trial marks a cover with a seed of its own, attacks the copy, and scores it as one of N = 10,000 candidates; the
table gives how many were accused (N·p ≤ 10⁻⁹) and the median and worst log₁₀(N·p). The covers are drawn, not scanned.
"""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
import sys
import time
import unicodedata
from collections.abc import Callable

import cv2
import numpy as np
import pypdfium2
from PIL import Image

from tests.unit.watermark_covers import (
    LAYOUT,
    MARK,
    TABLE_POLICY,
    csv_file,
    file_of,
    image_of,
    page_image,
    pdf_file,
    photo_image,
    rows_of,
    table_rows,
)
from watermark import Policy, codeword_seed, detect, embed, media, phantom_seeds
from watermark.evidence import Bound, total_score

N = 10_000
BYSTANDERS = 20


def jpeg(image: Image.Image, quality: int) -> bytes:
    return file_of(image, "JPEG", quality=quality)


def crop(image: Image.Image, area: float) -> Image.Image:
    side = area**0.5
    width, height = int(image.width * side), int(image.height * side)
    left, top = (image.width - width) // 3, (image.height - height) // 3
    return image.crop((left, top, left + width, top + height))


def turn(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="white")


def scale(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.BICUBIC)


def blur(image: Image.Image, sigma: float) -> Image.Image:
    return Image.fromarray(np.asarray(cv2.GaussianBlur(np.asarray(image), (0, 0), sigma)))


def noise(image: Image.Image) -> Image.Image:
    levels = np.asarray(image) + np.random.default_rng(3).normal(0, 6, np.asarray(image).shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def two_tone(image: Image.Image) -> Image.Image:
    return image.convert("L").point(lambda level: 255 if level > 128 else 0)


PICTURE_ATTACKS: dict[str, Callable[[Image.Image], bytes]] = {
    "none": file_of,
    **{f"JPEG {quality}": lambda image, q=quality: jpeg(image, q) for quality in (75, 50, 30, 20)},
    **{
        f"resize {factor}": lambda image, f=factor: file_of(scale(image, f))
        for factor in (0.3, 0.5, 0.75, 1.5)
    },
    "resize 0.5, JPEG 50": lambda image: jpeg(scale(image, 0.5), 50),
    **{
        f"crop to {int(100 * area)} %": lambda image, a=area: file_of(crop(image, a))
        for area in (0.9, 0.5, 0.1)
    },
    **{f"rotate {angle}°": lambda image, a=angle: file_of(turn(image, a)) for angle in (1, 5)},
    "rotate 2°, crop to 75 %, resize 0.75, JPEG 50": lambda image: jpeg(
        scale(crop(turn(image, 2), 0.75), 0.75), 50
    ),
    "blur σ 2": lambda image: file_of(blur(image, 2)),
    "noise σ 6": lambda image: file_of(noise(image)),
    "two tones": lambda image: file_of(two_tone(image)),
}


def render(data: bytes, dpi: float) -> Image.Image:
    document = pypdfium2.PdfDocument(data)
    image = document[0].render(scale=dpi / 72).to_pil().convert("RGB")
    document.close()
    return image


PDF_ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    **{
        f"{dpi} dpi, JPEG {quality}": lambda data, d=dpi, q=quality: jpeg(render(data, d), q)
        for dpi, quality in ((72, 75), (100, 75), (150, 75), (200, 75), (100, 30), (150, 30))
    },
    "130 dpi, rotate 1°, crop to 80 %, JPEG 75": lambda data: jpeg(crop(turn(render(data, 130), 1), 0.8), 75),
    "150 dpi, two tones": lambda data: file_of(two_tone(render(data, 150))),
}


def lines(data: bytes) -> tuple[list[str], list[list[str]]]:
    header, *body = rows_of(data)
    return header, body


def only(data: bytes, *names: str) -> bytes:
    header, body = lines(data)
    kept = [header.index(name) for name in names]
    return csv_file([[row[column] for column in kept] for row in [header, *body]])


def sample(data: bytes, share: float) -> bytes:
    header, body = lines(data)
    return csv_file([header, *random.Random(1).sample(body, int(len(body) * share))])


def as_json(data: bytes) -> bytes:
    return json.dumps(list(csv.DictReader(io.StringIO(data.decode())))).encode()


def cells(data: bytes, change: Callable[[str], str]) -> bytes:
    return csv_file([[change(cell) for cell in row] for row in rows_of(data)])


TABLE_ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "sorted by name": lambda data: csv_file(
        [lines(data)[0], *sorted(lines(data)[1], key=lambda row: row[1])]
    ),
    "half of the rows": lambda data: sample(data, 0.5),
    "a tenth of the rows": lambda data: sample(data, 0.1),
    "a tenth of the rows, key and three numbers only": lambda data: only(
        sample(data, 0.1), "id", "income", "area", "rate"
    ),
    "three numbers only, shuffled": lambda data: only(sample(data, 1.0), "income", "area", "rate"),
    "one number only, shuffled": lambda data: only(sample(data, 1.0), "income"),
    "key and order only": lambda data: only(data, "id"),
    "columns renamed": lambda data: csv_file([list("abcdefgh"), *lines(data)[1]]),
    "NFKC in every cell": lambda data: cells(data, lambda cell: unicodedata.normalize("NFKC", cell)),
    "semicolons, GB18030": lambda data: csv_file(rows_of(data), ";").decode().encode("gb18030"),
    "CSV to JSON": as_json,
}


def trial(
    cover: bytes, media_type: str, policy: Policy, attack: Callable[[bytes], bytes], number: int
) -> tuple[float, float]:
    """log₁₀(N·p) of the guilty release (0 when not named) and the best of everybody else."""
    guilty = number.to_bytes(8, "big")
    seed = codeword_seed(MARK, guilty)
    leak = attack(embed(cover, media_type, layout_key=LAYOUT, seed=seed, policy=policy).data)
    others = [(10**6 * (number + 1) + index).to_bytes(8, "big") for index in range(BYSTANDERS)]
    verdict = detect(
        leak,
        cover,
        media_type,
        layout_key=LAYOUT,
        candidates={release: codeword_seed(MARK, release) for release in [guilty, *others]},
        phantoms=(codeword_seed(b"p" * 32, release) for release in others),
        policy=policy,
        candidates_total=N,
    )
    named = {match.release_id: match.log10_np for match in verdict.matches}
    innocent = min((value for release, value in named.items() if release != guilty), default=0.0)
    return named.get(guilty, 0.0), innocent


def table(
    title: str,
    covers: list[bytes],
    media_type: str,
    policy: Policy,
    attacks: dict[str, Callable[[bytes], bytes]],
    n: int,
) -> None:
    sys.stdout.write(f"\n{title}\n\n| attack | accused | median log10 N·p | worst |\n|---|---|---|---|\n")
    started, count = time.monotonic(), 0
    for name, attack in attacks.items():
        results = [
            trial(cover, media_type, policy, attack, 100 * place + number)
            for place, cover in enumerate(covers)
            for number in range(n)
        ]
        count += len(results)
        scores = [score for score, _ in results]
        accused = sum(score <= -9 for score in scores)
        wrong = sum(innocent < 0 for _, innocent in results)
        flag = f" ({wrong} FALSE)" if wrong else ""
        row = f"{accused}/{len(scores)}{flag} | {statistics.median(scores):.0f} | {max(scores):.0f}"
        sys.stdout.write(f"| {name} | {row} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{count} trials, {(time.monotonic() - started) / count:.2f} s each\n")


def null(title: str, cover: bytes, media_type: str, policy: Policy, leak: bytes, seeds: int) -> None:
    """Score seeds that nobody ever had and compare with what the bound promises at most."""
    reading = media.read(leak, cover, media_type, LAYOUT, policy)
    started = time.monotonic()
    scores = total_score(reading.evidence, list(phantom_seeds(LAYOUT, leak, seeds)))
    log10_p = Bound.of(reading.evidence).log10_p(scores)
    counts = ", ".join(f"{np.count_nonzero(log10_p <= -digits)} at 1e-{digits}" for digits in range(2, 6))
    took = (time.monotonic() - started) / seeds * 10_000
    sys.stdout.write(f"\n{title}: of {seeds} seeds {counts}; {took:.2f} s for 10,000\n")


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    pictures = {name: (lambda data, a=attack: a(image_of(data))) for name, attack in PICTURE_ATTACKS.items()}
    page, small_page = file_of(page_image(1240, 1754)), file_of(page_image())
    table("Drawn page, 2.2 and 0.8 MP, PNG", [page, small_page], "image/png", Policy(), pictures, trials)
    photos = [file_of(photo_image(1200, 900)), file_of(photo_image(480, 360))]
    table("Random texture, 1.1 and 0.17 MP, PNG", photos, "image/png", Policy(), pictures, trials)
    pdfs = [pdf_file(), pdf_file(opaque=True)]
    table("PDF page A5, plain and on opaque white", pdfs, "application/pdf", Policy(), PDF_ATTACKS, trials)
    rows = csv_file(table_rows(1000))
    copy = embed(
        page, "image/png", layout_key=LAYOUT, seed=codeword_seed(MARK, b"one copy"), policy=Policy()
    ).data
    null("Null, marked page, JPEG 30", page, "image/png", Policy(), jpeg(image_of(copy), 30), 100_000)
    null("Null, unmarked page, JPEG 75", page, "image/png", Policy(), jpeg(image_of(page), 75), 100_000)
    table("CSV, 1,000 rows", [rows], "text/csv", TABLE_POLICY, TABLE_ATTACKS, 2 * trials)


if __name__ == "__main__":
    main()
