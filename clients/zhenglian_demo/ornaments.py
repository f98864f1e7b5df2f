"""What makes a sheet look like a certificate: fretwork border, guilloche ground, round red seal.

Rule: vector paths only, computed once for a size and used again; nothing here is any authority's real emblem
or seal.
"""

from __future__ import annotations

from functools import cache
from math import cos, pi, radians, sin
from typing import Final

from msgspec import Struct
from reportlab.pdfgen.canvas import Canvas
from reportlab.pdfgen.pathobject import PDFPathObject

from zhenglian_demo.fonts import PDF_FONT

Color = tuple[float, float, float]

SEAL_RED: Final[Color] = (0.82, 0.09, 0.10)
INK: Final[Color] = (0.13, 0.13, 0.15)
GREY: Final[Color] = (0.45, 0.45, 0.48)


class Palette(Struct, frozen=True):
    """Main colour of titles and borders, and the pale one of grounds and lines."""

    main: Color
    pale: Color
    wash: Color


PALETTES: Final = (
    Palette((0.62, 0.11, 0.13), (0.90, 0.74, 0.70), (0.995, 0.965, 0.950)),
    Palette((0.07, 0.33, 0.52), (0.70, 0.82, 0.90), (0.955, 0.978, 0.992)),
    Palette((0.10, 0.42, 0.33), (0.70, 0.86, 0.79), (0.958, 0.985, 0.972)),
    Palette((0.53, 0.35, 0.10), (0.90, 0.82, 0.66), (0.995, 0.984, 0.955)),
    Palette((0.32, 0.22, 0.50), (0.81, 0.76, 0.90), (0.975, 0.967, 0.992)),
)


def palette_of(number: int) -> Palette:
    """The palette of the certificate type with that number."""
    return PALETTES[number % 11 % len(PALETTES)]


def draw_ground(
    canvas: Canvas, width: float, height: float, palette: Palette, *, guilloche: bool = True
) -> None:
    """Wash, guilloche and border of a page of that size, in points."""
    canvas.setFillColorRGB(*palette.wash)
    canvas.rect(24, 24, width - 48, height - 48, stroke=0, fill=1)
    if guilloche:
        canvas.setStrokeColorRGB(*palette.pale)
        canvas.setLineWidth(0.25)
        canvas.drawPath(_guilloche(width, height), stroke=1, fill=0)
    canvas.setStrokeColorRGB(*palette.main)
    canvas.setLineWidth(0.7)
    canvas.drawPath(_fretwork(width, height), stroke=1, fill=0)
    canvas.setLineWidth(2.2)
    canvas.rect(24, 24, width - 48, height - 48)
    canvas.setLineWidth(0.8)
    canvas.rect(40, 40, width - 80, height - 80)


def draw_seal(canvas: Canvas, x: float, y: float, authority: str, radius: float = 50) -> None:
    """A round seal around (x, y): ring, star, the authority's name on the upper arc, its use below."""
    canvas.saveState()
    canvas.translate(x, y)
    canvas.setFillAlpha(0.86)
    canvas.setStrokeAlpha(0.86)
    canvas.setStrokeColorRGB(*SEAL_RED)
    canvas.setFillColorRGB(*SEAL_RED)
    canvas.setLineWidth(radius * 0.055)
    canvas.circle(0, 0, radius)
    canvas.drawPath(_star(radius * 0.30), stroke=0, fill=1)
    canvas.setFont(PDF_FONT, radius * 0.19)
    canvas.drawCentredString(0, -radius * 0.62, "证照专用章")
    size = min(radius * 0.30, radius * 3.3 / len(authority))
    step = min(radians(262) / max(len(authority) - 1, 1), radians(26))
    start = pi / 2 + step * (len(authority) - 1) / 2
    canvas.setFont(PDF_FONT, size)
    for place, character in enumerate(authority):
        angle = start - step * place
        canvas.saveState()
        canvas.translate(cos(angle) * radius * 0.80, sin(angle) * radius * 0.80)
        canvas.rotate(angle * 180 / pi - 90)
        canvas.scale(0.82, 1.12)
        canvas.drawCentredString(0, -size * 0.36, character)
        canvas.restoreState()
    canvas.restoreState()


@cache
def _star(radius: float) -> PDFPathObject:
    path = PDFPathObject()
    for corner in range(10):
        reach = radius if corner % 2 == 0 else radius * 0.382
        angle = pi / 2 + corner * pi / 5
        (path.lineTo if corner else path.moveTo)(cos(angle) * reach, sin(angle) * reach)
    path.close()
    return path


@cache
def _guilloche(width: float, height: float) -> PDFPathObject:
    """A rosette of interlaced curves in the middle of the page, and waves behind the title."""
    path = PDFPathObject()
    across, up = width / 2, height / 2
    for strand in range(6):
        phase = strand * pi / 3
        for step in range(361):
            angle = step * pi / 180
            reach = 112 + 26 * sin(12 * angle + phase) + 9 * sin(24 * angle - phase)
            (path.lineTo if step else path.moveTo)(across + reach * cos(angle), up - 20 + reach * sin(angle))
    for wave in range(9):
        for step in range(49):
            x = 41 + (width - 82) * step / 48
            y = height - 96 - wave * 3.2 + 13 * sin(step * pi / 6 + wave * 0.42)
            (path.lineTo if step else path.moveTo)(x, y)
    return path


@cache
def _fretwork(width: float, height: float) -> PDFPathObject:
    """A meander (回纹) between the two frames, which are 16 points apart."""
    path = PDFPathObject()
    unit = ((0, 0), (0, 8), (8, 8), (8, 2), (3, 2), (3, 5), (5, 5))
    for y in (28.0, height - 36):
        _meander(path, unit, 28.0, width - 28, y, vertical=False)
    for x in (28.0, width - 36):
        _meander(path, unit, 44.0, height - 44, x, vertical=True)
    return path


def _meander(
    path: PDFPathObject,
    unit: tuple[tuple[int, int], ...],
    start: float,
    end: float,
    across: float,
    *,
    vertical: bool,
) -> None:
    count = round((end - start) / 11)
    step = (end - start) / count
    for index in range(count):
        along = start + index * step + (step - 8) / 2
        for corner, (x, y) in enumerate(unit):
            point = (across + y, along + x) if vertical else (along + x, across + y)
            (path.lineTo if corner else path.moveTo)(*point)
