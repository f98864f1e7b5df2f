"""`python -m tests.unit.watermark_pdf_figures [trials]`: measures the text marks of a Chinese PDF, layer of chips taken out.

Rule: as `watermark_figures`: each trial marks with a seed of its own, attacks, and scores the copy as one of N = 10,000 candidates.
The attacks take the background layer away first, so that the figures are those of the text alone. Paper is simulated.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pikepdf
import pypdfium2
from PIL import Image

from tests.unit.test_watermark_pdf_text import EMBEDDED, NAMED, PDF
from tests.unit.watermark_covers import LAYOUT, MARK, file_of, pdf_file
from watermark import Policy, codeword_seed, detect, embed, phantom_seeds

N = 10_000
Grey = npt.NDArray[np.uint8]


def stripped(data: bytes) -> bytes:
    """Without the layer of chips, saved anew."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as document:
        for page in document.pages:
            pictures = page.resources.get("/XObject", pikepdf.Dictionary())
            for name in [name for name in pictures if "Chips" in name]:
                del pictures[name]
        document.save(out)
    return out.getvalue()


def raster(data: bytes, dpi: float) -> Grey:
    return np.asarray(pypdfium2.PdfDocument(stripped(data))[0].render(scale=dpi / 72).to_pil().convert("L"))


def scanned(
    dpi: float, *, degrees: float, bend: float, blur: float, noise: float, quality: int
) -> Callable[[bytes], bytes]:
    """Printed at 600 dpi and scanned: turned, bent by so many pixels, blurred, darkened, noisy, JPEG."""

    def attack(data: bytes) -> bytes:
        page = raster(data, 600)
        scale = dpi / 600
        page = np.asarray(cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = page.shape
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.004)
        x = turn[0, 0] * columns + turn[0, 1] * rows + turn[0, 2] + bend * np.sin(rows / height * 5)
        y = turn[1, 0] * columns + turn[1, 1] * rows + turn[1, 2] + bend * np.sin(columns / width * 4)
        page = cv2.remap(page, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderValue=255)
        soft = cv2.GaussianBlur(page.astype(np.float32), (0, 0), blur)
        grain = np.random.default_rng(len(data)).normal(0, noise, soft.shape)
        out = np.clip(235 * (soft / 255) ** 1.15 + 12 + grain, 0, 255).astype(np.uint8)
        return file_of(Image.fromarray(out), "JPEG", quality=quality)

    return attack


def jpeg(dpi: float, quality: int) -> Callable[[bytes], bytes]:
    return lambda data: file_of(Image.fromarray(raster(data, dpi)), "JPEG", quality=quality)


def two_tones(dpi: float) -> Callable[[bytes], bytes]:
    return lambda data: file_of(
        Image.fromarray(raster(data, dpi)).point(lambda level: 255 * (level > 128)).convert("1")
    )


def cropped(dpi: float, part: float) -> Callable[[bytes], bytes]:
    def attack(data: bytes) -> bytes:
        page = raster(data, dpi)
        rows = round(page.shape[0] * part)
        return file_of(Image.fromarray(page[:rows]), "JPEG", quality=75)

    return attack


ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "PDF, layer taken out": stripped,
    "72 dpi, JPEG 60": jpeg(72, 60),
    "100 dpi, JPEG 30": jpeg(100, 30),
    "300 dpi, JPEG 90": jpeg(300, 90),
    "one bit, 100 dpi": two_tones(100),
    "fax, one bit, 200 dpi": two_tones(200),
    "upper 40 %, 150 dpi, JPEG 75": cropped(150, 0.4),
    "print-scan 300 dpi, 0.7°, bend 1 px": scanned(300, degrees=0.7, bend=1, blur=1.2, noise=4, quality=80),
    "print-scan 150 dpi, 1.5°, bend 1.5 px": scanned(
        150, degrees=1.5, bend=1.5, blur=0.8, noise=5, quality=60
    ),
}


def main() -> None:
    """Print the table."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    covers = {"Latin": pdf_file(), "Chinese, embedded": EMBEDDED, "Chinese, named font": NAMED}
    for cover_name, cover in covers.items():
        began = time.perf_counter()
        copies = [
            embed(
                cover, PDF, layout_key=LAYOUT, seed=codeword_seed(MARK, b"%08d" % trial), policy=Policy()
            ).data
            for trial in range(trials)
        ]
        cost = (time.perf_counter() - began) / trials
        growth = max(len(copy) for copy in copies) / len(cover) - 1
        sys.stdout.write(f"\n{cover_name}: {len(cover)} B, {growth:+.1%}, {cost:.3f} s to mark\n")
        for name, attack in ATTACKS.items():
            results = [one(cover, attack(copy), b"%08d" % trial) for trial, copy in enumerate(copies)]
            named = sum(value <= -9 for value in results)
            sys.stdout.write(f"| {name} | {named}/{trials}, {max(results):.0f} |\n")
            sys.stdout.flush()


def one(cover: bytes, leak: bytes, release: bytes) -> float:
    """log₁₀ N·p of the guilty release; 0 when it was not named, and an error when anybody else was."""
    candidates = {id_: codeword_seed(MARK, id_) for id_ in (b"%08d" % number for number in range(200))}
    verdict = detect(
        leak, cover, PDF, layout_key=LAYOUT, candidates=candidates, phantoms=phantom_seeds(LAYOUT, leak, 100),
        policy=Policy(), candidates_total=N,
    )  # fmt: skip
    if any(match.release_id != release for match in verdict.matches):
        raise AssertionError("an innocent was named")
    return verdict.matches[0].log10_np if verdict.matches else 0.0


if __name__ == "__main__":
    main()
