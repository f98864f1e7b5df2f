"""Draws pictures with Pillow: a made-up portrait and the front of a certificate card.

Rule: nobody's face. A portrait is shapes and seeded colours, the same for one person in every certificate; a
card prints what the certificate says and that it is a specimen. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO
from random import Random
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from zhenglian.identifiers import Sex
from zhenglian_demo.fonts import picture_font
from zhenglian_demo.ornaments import Color, palette_of
from zhenglian_demo.people import REFERENCE_DATE, Person

PORTRAIT_SIZE_PX: Final = (480, 600)
CARD_SIZE_PX: Final = (1011, 638)
_RGB = tuple[int, int, int]

_GROUNDS: Final[tuple[_RGB, ...]] = ((236, 240, 244), (92, 152, 214), (120, 170, 222), (243, 243, 241))
_SKINS: Final[tuple[_RGB, ...]] = ((243, 214, 190), (236, 202, 174), (228, 190, 160), (217, 176, 144))
_CLOTHES: Final[tuple[_RGB, ...]] = (
    (38, 44, 62),
    (28, 30, 34),
    (70, 82, 104),
    (96, 40, 48),
    (44, 72, 66),
    (110, 112, 118),
)
_INK: Final[_RGB] = (34, 34, 40)


@lru_cache(maxsize=512)
def draw_portrait(person: Person) -> bytes:
    """A JPEG portrait of nobody, `PORTRAIT_SIZE_PX`, made from the person's number."""
    rng = Random(f"portrait/{person.identity_number}")
    width, height = PORTRAIT_SIZE_PX
    image = Image.new("RGB", (width, height), rng.choice(_GROUNDS))
    age = REFERENCE_DATE.year - person.birth_date.year
    grey = min(max((age - 45) * 4, 0), 130)
    hair = (28 + grey + rng.randint(0, 12), 24 + grey + rng.randint(0, 8), 24 + grey)
    skin = rng.choice(_SKINS)
    _draw_bust(image, rng, person.sex, skin, hair)
    image = image.filter(ImageFilter.GaussianBlur(1.1))
    return _jpeg(_with_grain(image, rng.getrandbits(32)))


def _draw_bust(image: Image.Image, rng: Random, sex: Sex, skin: _RGB, hair: _RGB) -> None:
    pen = ImageDraw.Draw(image)
    middle, top = 240 + rng.randint(-4, 4), 150 + rng.randint(-8, 8)
    half, length = rng.randint(88, 100), rng.randint(236, 256)
    shade = _mix(skin, (120, 70, 50), 0.22)
    if sex is Sex.FEMALE:
        fall = rng.choice((130, 200, 300))
        pen.rounded_rectangle(
            (middle - half - 26, top - 30, middle + half + 26, top + 160 + fall), 96, fill=hair
        )
    cloth = rng.choice(_CLOTHES)
    _draw_clothes(pen, rng, middle, cloth, skin, shade)
    for side in (-1, 1):
        ear = middle + side * half
        pen.ellipse((ear - 17, top + 104, ear + 17, top + 162), fill=_mix(skin, shade, 0.5))
    pen.ellipse((middle - half, top - 6, middle + half, top + length), fill=skin)
    _soften_face(image, middle, top, half, length, shade)
    _draw_features(ImageDraw.Draw(image), rng, middle, top + int(length * 0.46), sex, skin, hair)
    _draw_hair(ImageDraw.Draw(image), rng, middle, top, half, sex, hair)


def _draw_clothes(
    pen: ImageDraw.ImageDraw, rng: Random, middle: int, cloth: _RGB, skin: _RGB, shade: _RGB
) -> None:
    broad = rng.randint(196, 220)
    pen.rounded_rectangle((middle - broad, 448, middle + broad, 760), 104, fill=cloth)
    pen.polygon(((middle - 60, 452), (middle + 60, 452), (middle, 600)), fill=(246, 246, 244))
    pen.rounded_rectangle((middle - 46, 340, middle + 46, 474), 30, fill=_mix(skin, shade, 0.55))
    pen.polygon(((middle - 44, 462), (middle + 44, 462), (middle, 506)), fill=_mix(skin, shade, 0.4))
    dark = _mix(cloth, (0, 0, 0), 0.28)
    for side in (-1, 1):
        points = (
            (middle + side * 50, 440),
            (middle + side * 82, 462),
            (middle + side * 4, 600),
            (middle, 600),
        )
        pen.polygon(points, fill=dark)
        pen.polygon(
            ((middle + side * 46, 446), (middle + side * 8, 512), (middle + side * 60, 500)),
            fill=(250, 250, 249),
        )
    if rng.random() < 0.5:
        tie = rng.choice(((128, 28, 36), (32, 58, 110), (60, 60, 66)))
        pen.polygon(
            ((middle - 12, 506), (middle + 12, 506), (middle + 22, 600), (middle - 22, 600)), fill=tie
        )


def _soften_face(image: Image.Image, middle: int, top: int, half: int, length: int, shade: _RGB) -> None:
    """Shadow to one side and rosy cheeks, blurred, so that the face is not a flat disc."""
    mask = Image.new("L", image.size, 0)
    face = ImageDraw.Draw(mask)
    face.ellipse((middle - half, top - 6, middle + half, top + length), fill=88)
    face.ellipse((middle - half - 34, top - 20, middle + half - 34, top + length - 14), fill=0)
    image.paste(shade, (0, 0), mask.filter(ImageFilter.GaussianBlur(14)))
    mask = Image.new("L", image.size, 0)
    cheeks = ImageDraw.Draw(mask)
    for side in (-1, 1):
        x, y = middle + side * 50, top + int(length * 0.62)
        cheeks.ellipse((x - 26, y - 20, x + 26, y + 20), fill=54)
    image.paste((226, 120, 104), (0, 0), mask.filter(ImageFilter.GaussianBlur(11)))


def _draw_features(
    pen: ImageDraw.ImageDraw, rng: Random, middle: int, eyes: int, sex: Sex, skin: _RGB, hair: _RGB
) -> None:
    apart, wide = rng.randint(40, 46), rng.randint(19, 23)
    brow = _mix(hair, skin, 0.25)
    for side in (-1, 1):
        x = middle + side * apart
        pen.ellipse((x - wide, eyes - 9, x + wide, eyes + 9), fill=(250, 248, 246))
        pen.ellipse((x - 9, eyes - 9, x + 9, eyes + 9), fill=(44, 30, 24))
        pen.ellipse((x - 1, eyes - 6, x + 4, eyes - 1), fill=(240, 240, 240))
        pen.arc((x - wide - 2, eyes - 12, x + wide + 2, eyes + 14), 195, 345, fill=(48, 34, 30), width=4)
        lift = rng.randint(28, 33)
        pen.arc(
            (x - wide - 8, eyes - lift, x + wide + 8, eyes + 10),
            208,
            332,
            fill=brow,
            width=6 if sex is Sex.MALE else 4,
        )
    nose = _mix(skin, (140, 84, 62), 0.42)
    pen.arc((middle - 16, eyes + 38, middle + 16, eyes + 62), 20, 160, fill=nose, width=4)
    pen.line((middle + 7, eyes + 14, middle + 10, eyes + 44), fill=_mix(skin, nose, 0.5), width=3)
    lips = (186, 84, 84) if sex is Sex.FEMALE else (176, 104, 92)
    mouth, spread = eyes + 84, rng.randint(25, 31)
    pen.chord((middle - spread, mouth - 11, middle + spread, mouth + 11), 0, 180, fill=lips)
    pen.line((middle - spread, mouth, middle + spread, mouth), fill=_mix(lips, (60, 20, 20), 0.5), width=3)
    if rng.random() < 0.3:
        for side in (-1, 1):
            x = middle + side * apart
            pen.rounded_rectangle((x - 31, eyes - 19, x + 31, eyes + 21), 14, outline=(40, 40, 46), width=4)
        pen.line((middle - apart + 31, eyes - 3, middle + apart - 31, eyes - 3), fill=(40, 40, 46), width=4)


def _draw_hair(
    pen: ImageDraw.ImageDraw, rng: Random, middle: int, top: int, half: int, sex: Sex, hair: _RGB
) -> None:
    crown = top - 40
    if sex is Sex.MALE:
        line = top + rng.randint(44, 60)
        pen.chord((middle - half - 8, crown, middle + half + 8, crown + 216), 180, 360, fill=hair)
        pen.rectangle((middle - half - 7, crown + 100, middle - half + 12, line + 52), fill=hair)
        pen.rectangle((middle + half - 12, crown + 100, middle + half + 7, line + 52), fill=hair)
        return
    parting = middle + rng.choice((-30, 0, 30))
    pen.pieslice((middle - half - 26, crown - 6, middle + half + 26, crown + 230), 180, 360, fill=hair)
    for side in (-1, 1):
        edge = middle + side * (half + 22)
        points = (
            (parting, crown + 40),
            (edge, crown + 96),
            (edge, top + 190),
            (middle + side * (half - 16), top + 96),
        )
        pen.polygon(points, fill=hair)


@cache
def _card_ground(number: int) -> Image.Image:
    """Pale interference lines of two rosettes, in the palette of the type."""
    width, height = CARD_SIZE_PX
    palette = palette_of(number)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    lines = np.zeros((height, width))
    for across, up, petals in ((0.72, 0.45, 9), (0.12, 0.95, 12)):
        angle = np.arctan2(y - height * up, x - width * across)
        reach = np.hypot(y - height * up, x - width * across)
        lines = np.maximum(lines, np.cos(reach / 4.2 + 3.2 * np.sin(petals * angle)) ** 8)
    fade = 0.5 + 0.5 * np.cos((x / width - 0.62) * 2.6)
    wash, pale = (np.array(color) * 255 for color in (palette.wash, palette.pale))
    mixed = wash + (pale - wash) * (lines * fade * 0.62)[..., None]
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))


def draw_card(
    number: int,
    title: str,
    subtitle: str,
    lines: Sequence[tuple[str, str]],
    portrait: bytes | None,
    footer: str,
) -> bytes:
    """A PNG of the front of a certificate card, `CARD_SIZE_PX`.

    Args:
        number: number of the certificate type; chooses the colours.
        title, subtitle: its name in Chinese and in English.
        lines: label and value; those that no longer fit are left out, whole.
        portrait: a JPEG, or None.
        footer: the specimen line.
    """
    width, height = CARD_SIZE_PX
    main = _rgb(palette_of(number).main)
    image = _card_ground(number).copy()
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width, 12), fill=main)
    pen.rounded_rectangle((10, 22, width - 10, height - 10), 26, outline=main, width=3)
    size = 46 if len(title) <= 10 else 34
    pen.text((48, 40), title, font=picture_font(size), fill=main, stroke_width=1, stroke_fill=main)
    pen.text((50, 100), subtitle, font=picture_font(19), fill=(110, 110, 118))
    pen.line((48, 134, width - 48, 134), fill=main, width=2)
    right = width - 48
    if portrait is not None:
        face = Image.open(BytesIO(portrait)).resize((248, 310), Image.Resampling.LANCZOS)
        image.paste(face, (width - 48 - 248, 166))
        pen.rectangle((width - 48 - 249, 165, width - 48, 476), outline=(150, 150, 156))
        right -= 248 + 28
    _draw_lines(pen, lines, right, main)
    pen.text((48, height - 52), footer, font=picture_font(20), fill=(120, 120, 126))
    output = BytesIO()
    image.save(output, "PNG", compress_level=4)
    return output.getvalue()


def _draw_lines(pen: ImageDraw.ImageDraw, lines: Sequence[tuple[str, str]], right: int, main: _RGB) -> None:
    label_font = picture_font(22)
    y = 158
    for label, value in lines:
        x = 48 + max(132, int(label_font.getlength(label)) + 20)
        wrapped = _wrapped(value, 26, right - x)
        if y + 35 * len(wrapped) > CARD_SIZE_PX[1] - 60:
            return
        pen.text((48, y + 3), label, font=label_font, fill=main)
        for line in wrapped:
            pen.text((x, y), line, font=picture_font(26), fill=_INK)
            y += 35
        y += 20


def _wrapped(text: str, size_px: int, width_px: int) -> list[str]:
    font, lines, line = picture_font(size_px), [], ""
    for character in text:
        if line and font.getlength(line + character) > width_px:
            lines.append(line)
            line = ""
        line += character
    return [*lines, line]


def _with_grain(image: Image.Image, seed: int) -> Image.Image:
    """Sensor noise, so that a portrait behaves like a photograph under compression and marking."""
    pixels = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(seed).normal(0.0, 2.6, pixels.shape[:2]).astype(np.float32)
    return Image.fromarray((pixels + noise[..., None]).round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image) -> bytes:
    output = BytesIO()
    image.save(output, "JPEG", quality=92, subsampling=0)
    return output.getvalue()


def _mix(one: _RGB, other: _RGB, share: float) -> _RGB:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _rgb(color: Color) -> _RGB:
    red, green, blue = (round(part * 255) for part in color)
    return red, green, blue
