"""The files that are marked and attacked.

Rule: every cover is drawn from its number alone, and no parameter of the scheme was chosen on them. Certificates are drawn with the
packaged CJK font; "scans" are such pages with paper, light and noise. Every second photo is a photograph that scikit-image ships,
every other one a procedural texture (sums of noise at five scales, with gradients and hard-edged shapes).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import pypdfium2
from PIL import Image
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

from tests.attacks.watermark import photos
from watermark import Policy, TableSchema

Pixels = npt.NDArray[np.uint8]
PDF: Final = "application/pdf"
PNG: Final = "image/png"
CSV: Final = "text/csv"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
_FONT: Final = "campaign-cjk"
_TYPES: Final = (
    ("营业执照", (120, 0, 0), ("名称", "统一社会信用代码", "类型", "法定代表人", "经营范围", "注册资本", "成立日期", "住所")),
    ("不动产权证书", (0, 70, 40), ("权利人", "共有情况", "坐落", "不动产单元号", "权利类型", "面积", "使用期限", "附记")),
    ("学历证书", (150, 20, 20), ("姓名", "性别", "出生日期", "专业", "学制", "层次", "校名", "证书编号")),
    ("医师执业证书", (0, 40, 110), ("姓名", "执业类别", "执业范围", "执业地点", "发证机关", "编码", "签发日期")),
    ("食品经营许可证", (90, 60, 0), ("经营者名称", "社会信用代码", "经营场所", "主体业态", "经营项目", "许可证编号", "有效期至")),
    ("完税证明", (60, 0, 80), ("纳税人名称", "识别号", "税种", "品目名称", "税款所属时期", "实缴金额", "填票人")),
)  # fmt: skip
_HAN: Final = (
    "东城区建设路人民市场有限责任公司科技发展服务技术开发咨询中心第一二三四五六七八九十号楼单元室经营管理综合"
)


@dataclass(frozen=True, slots=True)
class Cover:
    """A file to be marked, and what may be changed in it."""

    name: str
    media_type: str
    data: bytes
    policy: Policy


def png(pixels: Pixels) -> bytes:
    """Pixels as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def raster(data: bytes, dpi: float) -> Pixels:
    """The first page of a PDF, RGB."""
    document = pypdfium2.PdfDocument(data)
    try:
        return np.asarray(document[0].render(scale=dpi / 72).to_pil().convert("RGB"), np.uint8).copy()
    finally:
        document.close()


def certificate(number: int) -> Cover:
    """A certificate as PDF: its type goes round with the number, its words are drawn by it."""
    if _FONT not in pdfmetrics.getRegisteredFontNames():
        font = str(resources.files("paperang_p2_fonts_cjk") / "fonts" / "wqy-microhei.ttc")
        pdfmetrics.registerFont(TTFont(_FONT, font, subfontIndex=0))
    rng = np.random.default_rng([1, number])
    title, (red, green, blue), fields = _TYPES[number % len(_TYPES)]
    size = ((595, 842), (842, 595), (420, 595))[number // len(_TYPES) % 3]
    width, height = size
    out = io.BytesIO()
    sheet = canvas.Canvas(out, pagesize=size, invariant=1)
    sheet.setStrokeColorRGB(red / 255, green / 255, blue / 255)
    for inset in (18, 24):
        sheet.rect(inset, inset, width - 2 * inset, height - 2 * inset)
    sheet.setFillColorRGB(red / 255, green / 255, blue / 255)
    sheet.setFont(_FONT, 26)
    sheet.drawCentredString(width / 2, height - 75, title)
    sheet.setFillColorRGB(0, 0, 0)
    sheet.setFont(_FONT, 11)
    step = (height - 190) / len(fields)
    for line, field in enumerate(fields):
        for row in range(2):
            words = "".join(rng.choice(list(_HAN), int(rng.integers(10, 24))))
            digits = "".join(str(digit) for digit in rng.integers(0, 10, 8))
            sheet.drawString(
                45, height - 120 - line * step - row * 17, f"{field if row == 0 else '　　'}　{words}{digits}"
            )
    sheet.setStrokeColorRGB(0.8, 0, 0)
    sheet.circle(width - 110, 90, 45)
    sheet.showPage()
    sheet.save()
    return Cover(f"{title} {width}×{height} pt", PDF, out.getvalue(), Policy())


def page(number: int) -> Cover:
    """A certificate as a picture, 1.0 to 2.2 MP; every third one looks scanned."""
    drawn = certificate(number)
    pixels = raster(drawn.data, 150 if "420" in drawn.name else (105, 150)[number % 2])
    if number % 3 == 2:
        return Cover(f"scan of {drawn.name}", PNG, png(_scanned(pixels, number)), Policy())
    return Cover(drawn.name, PNG, png(pixels), Policy())


def sized(draw: Callable[[int], Cover], megapixels: float) -> Callable[[int], Cover]:
    """The same pictures with so many megapixels."""

    def drawn(number: int) -> Cover:
        cover = draw(number)
        picture = Image.open(io.BytesIO(cover.data)).convert("RGB")
        factor = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        size = (round(picture.width * factor), round(picture.height * factor))
        pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS), np.uint8)
        return Cover(f"{cover.name}, {megapixels} MP", PNG, png(pixels), cover.policy)

    return drawn


def _scanned(pixels: Pixels, number: int) -> Pixels:
    rng = np.random.default_rng([2, number])
    height, width = pixels.shape[:2]
    light = np.linspace(0.93, 1.0, width, dtype=np.float32)[None, :, None]
    grain = rng.normal(0, 2.5, (height, width, 1)).astype(np.float32)
    soft = cv2.GaussianBlur(pixels, (0, 0), 0.6).astype(np.float32)
    return np.asarray(np.clip(soft * light * 0.96 + 6 + grain, 0, 255), np.uint8)


def photo(number: int) -> Cover:
    """A photograph of 0.1 to 2 MP, or a texture; textures alone where no photographs are installed."""
    found = photos.photograph(number // 2) if number % 2 == 0 else None
    if found is None:
        return texture(number)
    name, pixels = found
    return Cover(name, PNG, png(pixels), Policy())


def texture(number: int) -> Cover:
    """A procedural texture of 1.1 MP."""
    rng = np.random.default_rng([3, number])
    height, width = ((900, 1200), (1200, 900))[number % 2]
    picture = np.full((height, width, 3), 120, np.float32)
    for sigma, levels in ((120, 60), (40, 40), (12, 25), (4, 12), (1, 5)):
        noise = rng.standard_normal((height // 2, width // 2, 3)).astype(np.float32)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma / 2), np.float32)
        picture += levels * np.asarray(cv2.resize(noise / noise.std(), (width, height)), np.float32)
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(6):
        x, y, radius = (int(rng.integers(100, limit)) for limit in (width - 100, height - 100, 120))
        cv2.circle(pixels, (x, y), radius, [int(level) for level in rng.integers(0, 255, 3)], -1)
    return Cover(f"texture {width}×{height}", PNG, png(pixels), Policy())


def table(rows: int) -> Callable[[int], Cover]:
    """Tables of so many rows with 4 to 8 columns besides the key: numbers of several scales, a note, a reference."""

    def draw(number: int) -> Cover:
        rng = np.random.default_rng([4, rows, number])
        numeric = 3 + number % 4
        deltas = [("0.05", 2), ("0.2", 1), ("1", 0), ("0.005", 3), ("2", 0), ("0.5", 1)][:numeric]
        with_note, with_reference = number % 2 == 0, number % 3 != 2
        header = ["id", "name", *(f"value{at}" for at in range(numeric))]
        header += ["note"] * with_note + ["ref"] * with_reference
        lines = [header]
        for row in range(rows):
            values = [f"{rng.uniform(1, 10 ** (4 + at % 3)):.{deltas[at][1]}f}" for at in range(numeric)]
            name = "".join(rng.choice(list(_HAN), 6))
            notes = ["依法登记，经营正常。" + name] * with_note
            lines.append([f"P{row:06d}", name, *values, *notes, *([f"R-{row:06d}"] * with_reference)])
        schema = TableSchema(
            keys=("id",),
            tolerances={f"value{at}": Decimal(delta) for at, (delta, _) in enumerate(deltas)},
            reference="ref" if with_reference else None,
            free_text=("note",) if with_note else (),
            unordered=number % 2 == 1,
        )
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\r\n").writerows(lines)
        return Cover(f"table {rows}×{len(header)}", CSV, out.getvalue().encode(), Policy(table=schema))

    return draw


def record(number: int) -> Cover:
    """A JSON record of 13 to 20 names, with a reference and a passage of free text."""
    rng = np.random.default_rng([5, number])
    fields: dict[str, object] = {f"field_{at:02d}": int(rng.integers(10**9)) for at in range(11 + number % 8)}
    note = "".join(rng.choice(list(_HAN), 40))
    document = {**fields, "reference": f"R-{int(rng.integers(10**9)):010d}", "note": note}
    data = json.dumps(document, ensure_ascii=False).encode()
    schema = TableSchema(reference="reference", free_text=("note",))
    return Cover(f"record of {len(document)} names", JSON, data, Policy(table=schema))


def passage(number: int) -> Cover:
    """A passage of running text."""
    rng = np.random.default_rng([6, number])
    lines = ["".join(rng.choice(list(_HAN), 38)) + "。" for _ in range(30 + number % 20)]
    return Cover(f"text of {len(lines)} lines", TEXT, "\n".join(lines).encode(), Policy())
