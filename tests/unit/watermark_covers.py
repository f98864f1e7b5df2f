"""Covers that the watermark tests mark, attack and trace: drawn here, the same on every run."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen import canvas

from watermark import Policy, TableSchema, Verdict, codeword_seed, detect, embed, phantom_seeds

LAYOUT = hashlib.sha256(b"layout").digest()
MARK = hashlib.sha256(b"mark").digest()
RECIPIENTS = [bytes([0xA0 + index] * 8) for index in range(3)]
DECOYS = [index.to_bytes(8, "big") for index in range(100)]
CANDIDATES = {release: codeword_seed(MARK, release) for release in [*RECIPIENTS, *DECOYS]}
NEVER_ISSUED = codeword_seed(MARK, b"never  !")
SCHEMA = TableSchema(
    keys=("id",),
    tolerances={"income": Decimal("0.05"), "area": Decimal("0.2"), "rate": Decimal(1)},
    reference="ref",
    free_text=("note",),
    unordered=True,
)
TABLE_POLICY = Policy(table=SCHEMA)


def marked(cover: bytes, media_type: str, policy: Policy | None = None, seed: bytes | None = None) -> bytes:
    """The cover as the second recipient gets it."""
    seed = seed or CANDIDATES[RECIPIENTS[1]]
    return embed(cover, media_type, layout_key=LAYOUT, seed=seed, policy=policy or Policy()).data


def traced(
    leak: bytes, cover: bytes, media_type: str, policy: Policy | None = None, phantoms: int = 50
) -> Verdict:
    """The verdict over three recipients and a hundred decoys."""
    return detect(
        leak,
        cover,
        media_type,
        layout_key=LAYOUT,
        candidates=CANDIDATES,
        phantoms=phantom_seeds(LAYOUT, leak, phantoms),
        policy=policy or Policy(),
        candidates_total=len(CANDIDATES),
    )


def names_only_the_second(verdict: Verdict) -> bool:
    """Accused is the second recipient, and nobody else is even suspected."""
    ids = [match.release_id for match in verdict.matches]
    phantom = verdict.phantom_best_log10_np
    return verdict.verdict == "accused" and ids == [RECIPIENTS[1]] and phantom is not None and phantom > -4


def page_image(width: int = 744, height: int = 1052) -> Image.Image:
    """A certificate-like white page."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((30, 30, width - 30, height - 30), outline=(150, 20, 20), width=5)
    draw.text((width // 4, 80), "BUSINESS LICENCE", font=ImageFont.load_default(44), fill=(120, 0, 0))
    for line in range(14):
        words = hashlib.sha256(b"%d" % line).hexdigest()[:40]
        draw.text(
            (100, 220 + line * 48),
            f"Field {line}: {words}",
            font=ImageFont.load_default(20),
            fill=(20, 20, 20),
        )
    draw.ellipse((width - 300, height - 320, width - 120, height - 140), outline=(200, 0, 0), width=6)
    return image


def photo_image(width: int = 720, height: int = 540) -> Image.Image:
    """A restless picture with detail at every scale."""
    rng = np.random.default_rng(2)
    picture = np.full((height, width, 3), 120, np.float32)
    for sigma, levels in ((120, 60), (40, 40), (12, 25), (4, 12), (1, 5)):
        noise = rng.standard_normal((height, width, 3)).astype(np.float32)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.float32)
        picture += levels * noise / noise.std()
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def file_of(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    """An encoded image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def image_of(data: bytes) -> Image.Image:
    """A decoded image."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def pdf_file(pages: int = 1, opaque: bool = False, rotation: int = 0) -> bytes:
    """A PDF (A5) with text and shapes, on request above an opaque white background or on turned pages."""
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=(420, 595), invariant=1)
    for page in range(pages):
        if opaque:
            sheet.setFillColorRGB(1, 1, 1)
            sheet.rect(0, 0, 420, 595, fill=1, stroke=0)
        if rotation:
            sheet.setPageRotation(rotation)
        sheet.setStrokeColorRGB(0.6, 0.1, 0.1)
        sheet.rect(20, 20, 380, 555)
        sheet.setFillColorRGB(0.5, 0, 0)
        sheet.setFont("Helvetica-Bold", 20)
        sheet.drawString(100, 535, f"BUSINESS LICENCE {page}")
        sheet.setFillColorRGB(0, 0, 0)
        sheet.setFont("Helvetica", 9)
        for line in range(18):
            words = hashlib.sha256(b"%d/%d" % (page, line)).hexdigest()[:42]
            sheet.drawString(50, 490 - line * 20, f"Field {line}: {words}")
        sheet.circle(320, 80, 40)
        sheet.showPage()
    sheet.save()
    return out.getvalue()


def table_rows(count: int) -> list[list[str]]:
    """A header and rows with a key, a name, a reference, three numbers, a note and a district."""
    rng = np.random.default_rng(4)
    rows = [["id", "name", "ref", "income", "area", "rate", "note", "district"]]
    for index in range(count):
        numbers = [
            f"{rng.uniform(1e3, 9e4):.2f}",
            f"{rng.uniform(20, 300):.1f}",
            str(rng.integers(100, 9999)),
        ]
        name = f"Company {hashlib.sha256(b'%d' % index).hexdigest()[:6]}, 有限公司"
        note = "该企业依法登记，经营正常。"
        rows.append([f"P{index:06d}", name, f"R-{index:05d}", *numbers, note, "ABCD"[int(rng.integers(4))]])
    return rows


def csv_file(rows: Iterable[Sequence[str]], delimiter: str = ",") -> bytes:
    """Rows as CSV."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def rows_of(data: bytes) -> list[list[str]]:
    """CSV as rows, by the standard library."""
    return list(csv.reader(io.StringIO(data.decode(), newline="")))
