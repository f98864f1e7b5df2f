"""Pictures and certificates that are marked and attacked.

Rule: every cover is drawn from its number alone, and no parameter of the scheme was chosen on them. Certificates are drawn with the
packaged CJK font; "scans" are such pages with paper, light and noise. Every second photo is a photograph that scikit-image ships,
every other one a procedural texture (sums of noise at five scales, with gradients and hard-edged shapes).
"""

from __future__ import annotations

import io
from collections.abc import Callable
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
from tests.attacks.watermark.covers import HAN, PDF, PNG, Cover
from watermark import Policy

Pixels = npt.NDArray[np.uint8]
_FONT: Final = "campaign-cjk"
_TYPES: Final = (
    ("营业执照", (120, 0, 0), ("名称", "统一社会信用代码", "类型", "法定代表人", "经营范围", "注册资本", "成立日期", "住所")),
    ("不动产权证书", (0, 70, 40), ("权利人", "共有情况", "坐落", "不动产单元号", "权利类型", "面积", "使用期限", "附记")),
    ("学历证书", (150, 20, 20), ("姓名", "性别", "出生日期", "专业", "学制", "层次", "校名", "证书编号")),
    ("医师执业证书", (0, 40, 110), ("姓名", "执业类别", "执业范围", "执业地点", "发证机关", "编码", "签发日期")),
    ("食品经营许可证", (90, 60, 0), ("经营者名称", "社会信用代码", "经营场所", "主体业态", "经营项目", "许可证编号", "有效期至")),
    ("完税证明", (60, 0, 80), ("纳税人名称", "识别号", "税种", "品目名称", "税款所属时期", "实缴金额", "填票人")),
)  # fmt: skip


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
            words = "".join(rng.choice(list(HAN), int(rng.integers(10, 24))))
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
    """A certificate as a picture of 1.1 MP, every fourth one of 2.2 MP; every third one looks scanned."""
    drawn = certificate(number)
    pixels = raster(drawn.data, 150 if "420" in drawn.name or number % 4 == 3 else 105)
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
