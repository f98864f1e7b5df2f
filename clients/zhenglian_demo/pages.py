"""Draws a certificate as a PDF: one upright page, then landscape pages for its tables.

Rule: what is printed is `printed_value` of each field, as selectable text; the same input gives the same
bytes. Each page says that it is a specimen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from io import BytesIO
from typing import Final

from reportlab import rl_config
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from zhenglian.catalogue import CertificateTypeSpec, ColumnKind, FieldKind, FieldSpec
from zhenglian_demo.fonts import PDF_FONT, register_pdf_font, text_width, wrap
from zhenglian_demo.ornaments import GREY, INK, Color, Palette, draw_ground, draw_seal, palette_of
from zhenglian_demo.tables import Row, Rows

SPECIMEN: Final = "样本 SPECIMEN 虚构数据"
NO_EXPIRY: Final = "长期"
_WIDTH, _HEIGHT = A4
_TABLE_WIDTH, _TABLE_HEIGHT = landscape(A4)
_LEFT: Final = 66.0
_RIGHT: Final = _WIDTH - 66.0
_LABEL_WIDTH: Final = 128.0
_FIELDS_TOP: Final = 644.0
_FIELDS_BOTTOM: Final = 212.0
_PHOTO_WIDTH: Final = 96.0
_PHOTO_HEIGHT: Final = 120.0
_ROW_HEIGHT: Final = 14.2
_ROWS_PER_PAGE: Final = 30
_CELL_SIZE: Final = 7.6
_CELL_GAP: Final = 9.0
_TABLE_MARGIN: Final = 58.0


def printed_value(field: FieldSpec, value: object) -> str:
    """How the value of a field that is no table stands on paper; dates as 2024年05月01日."""
    if field.kind is FieldKind.DATE:
        return f"{date.fromisoformat(str(value)):%Y年%m月%d日}"
    return str(value)


def draw_pdf(
    spec: CertificateTypeSpec, fields: Mapping[str, str | int | Rows], portrait: bytes | None
) -> bytes:
    """Draw the certificate.

    Args:
        spec: its type.
        fields: its values, as `certificates.make_certificate` makes them.
        portrait: a JPEG for types with a photograph.

    Returns:
        The PDF file.
    """
    # Streams as plain bytes: the ASCII armour that reportlab puts around them costs more than all the
    # drawing.
    rl_config.useA85 = 0
    font = register_pdf_font()
    output = BytesIO()
    canvas = Canvas(output, pagesize=A4, invariant=1, pageCompression=1, initialFontName=font)
    canvas.setTitle(f"{spec.name_zh}（{SPECIMEN}）")
    canvas.setAuthor("证链 Zhenglian")
    canvas.setSubject(spec.name_en)
    palette = palette_of(spec.number)
    authority = str(fields.get("issuing_authority", spec.issuers_zh[0]))
    draw_ground(canvas, _WIDTH, _HEIGHT, palette)
    _draw_title(canvas, spec, str(fields[spec.certificate_number_field]), palette)
    _draw_fields(canvas, spec, fields, portrait, palette)
    _draw_issuer(canvas, spec, fields, authority)
    _draw_specimen(canvas, _WIDTH)
    canvas.showPage()
    for field in spec.fields:
        rows = fields.get(field.name)
        if field.kind is FieldKind.ROWS and isinstance(rows, list):
            _draw_table(canvas, spec, field, rows, palette)
    canvas.save()
    return output.getvalue()


def _draw_title(canvas: Canvas, spec: CertificateTypeSpec, number: str, palette: Palette) -> None:
    title, middle = spec.name_zh, _WIDTH / 2
    spaced = len(title) <= 8
    size = 34.0 if len(title) <= 8 else min(30.0, 420 / len(title))
    gap = size * 0.28 if spaced else size * 0.04
    # The saved state takes back the letter spacing and the stroked text mode.
    canvas.saveState()
    total = text_width(title, size) + gap * (len(title) - 1)
    text = canvas.beginText(middle - total / 2, 724)
    text.setFont(PDF_FONT, size)
    text.setFillColorRGB(*palette.main)
    text.setStrokeColorRGB(*palette.main)
    # Stroked as well as filled: the bold cut that the typeface lacks.
    text.setTextRenderMode(2)
    canvas.setLineWidth(size * 0.022)
    text.setCharSpace(gap)
    text.textOut(title)
    canvas.drawText(text)
    canvas.restoreState()
    _put(canvas, middle, 700, spec.name_en, 10, GREY, align=0.5)
    canvas.setStrokeColorRGB(*palette.main)
    canvas.setLineWidth(0.8)
    canvas.line(_LEFT, 686, _RIGHT, 686)
    canvas.setLineWidth(0.3)
    canvas.line(_LEFT, 683.5, _RIGHT, 683.5)
    label = next(field.name_zh for field in spec.fields if field.name == spec.certificate_number_field)
    _put(canvas, _RIGHT, 664, f"{label}：{number}", 10.5, INK, align=1.0)
    _put(canvas, _LEFT, 664, f"证照目录第{spec.number:02d}类", 9, GREY)


def _draw_fields(
    canvas: Canvas,
    spec: CertificateTypeSpec,
    fields: Mapping[str, str | int | Rows],
    portrait: bytes | None,
    palette: Palette,
) -> None:
    shown = [(field, _shown(field, fields)) for field in spec.fields]
    lines = [(field.name_zh, value) for field, value in shown if value]
    height = min(33.0, (_FIELDS_TOP - _FIELDS_BOTTOM) / len(lines))
    beside_photo = -(-int(_PHOTO_HEIGHT + 14) // int(height)) if portrait else 0
    for index, (label, value) in enumerate(lines):
        top = _FIELDS_TOP - index * height
        right = _RIGHT - (_PHOTO_WIDTH + 16 if index < beside_photo else 0)
        _draw_field(canvas, label, value, top, right, height, palette)
    if portrait:
        x, y = _RIGHT - _PHOTO_WIDTH, _FIELDS_TOP - _PHOTO_HEIGHT - 4
        canvas.drawImage(ImageReader(BytesIO(portrait)), x, y, _PHOTO_WIDTH, _PHOTO_HEIGHT)
        canvas.setStrokeColorRGB(*palette.main)
        canvas.setLineWidth(0.6)
        canvas.rect(x, y, _PHOTO_WIDTH, _PHOTO_HEIGHT)


def _shown(field: FieldSpec, fields: Mapping[str, str | int | Rows]) -> str:
    value = fields.get(field.name)
    if isinstance(value, list):
        return f"共{len(value)}条，见附页"
    if value is None:
        return NO_EXPIRY if field.name == "valid_until" else ""
    return printed_value(field, value)


def _draw_field(
    canvas: Canvas, label: str, value: str, top: float, right: float, height: float, palette: Palette
) -> None:
    canvas.setStrokeColorRGB(*palette.pale)
    canvas.setLineWidth(0.6)
    canvas.line(_LEFT, top - height, right, top - height)
    size = 12.0
    lines = wrap(value, size, right - _LEFT - _LABEL_WIDTH - 6)
    while len(lines) * size * 1.18 > height and size > 7:
        size -= 0.5
        lines = wrap(value, size, right - _LEFT - _LABEL_WIDTH - 6)
    label_size = min(10.5, 10.5 * (_LABEL_WIDTH - 10) / text_width(label, 10.5))
    middle = top - height / 2
    _put(canvas, _LEFT + 4, middle - label_size * 0.36, label, label_size, palette.main)
    first = middle + (len(lines) - 1) * size * 0.59 - size * 0.36
    for index, line in enumerate(lines):
        _put(canvas, _LEFT + _LABEL_WIDTH, first - index * size * 1.18, line, size, INK)


def _draw_issuer(
    canvas: Canvas, spec: CertificateTypeSpec, fields: Mapping[str, str | int | Rows], authority: str
) -> None:
    middle = _RIGHT - 96
    _put(canvas, middle, 142, authority, min(12.0, 190 * 12 / text_width(authority, 12)), INK, align=0.5)
    day = next(
        (fields[name] for name in ("issue_date", "registration_date", "valid_from") if name in fields), None
    )
    if day:
        _put(canvas, middle, 120, f"{date.fromisoformat(str(day)):%Y年%m月%d日}", 12, INK, align=0.5)
    _put(canvas, _LEFT, 134, f"数据责任层级：{spec.level_zh}", 9, GREY)
    _put(canvas, _LEFT, 119, f"制发部门：{'、'.join(spec.issuers_zh)}", 9, GREY)
    _put(canvas, _LEFT, 104, "电子证照与纸质证照具有同等效力", 9, GREY)
    draw_seal(canvas, middle, 140, authority)


def _draw_specimen(canvas: Canvas, width: float) -> None:
    _put(canvas, width / 2, 52, f"{SPECIMEN} · 仅供演示，不具有任何效力", 8.5, GREY, align=0.5)


def _draw_table(
    canvas: Canvas, spec: CertificateTypeSpec, field: FieldSpec, rows: Rows, palette: Palette
) -> None:
    layout = _layout(field, rows)
    pages = max(-(-len(rows) // _ROWS_PER_PAGE), 1)
    for page in range(pages):
        canvas.setPageSize((_TABLE_WIDTH, _TABLE_HEIGHT))
        draw_ground(canvas, _TABLE_WIDTH, _TABLE_HEIGHT, palette, guilloche=False)
        title = f"{spec.name_zh} · {field.name_zh}（第{page + 1}页，共{pages}页）"
        _put(canvas, _TABLE_WIDTH / 2, _TABLE_HEIGHT - 66, title, 13, palette.main, align=0.5)
        _draw_rows(canvas, field, rows[page * _ROWS_PER_PAGE : (page + 1) * _ROWS_PER_PAGE], layout, palette)
        _draw_specimen(canvas, _TABLE_WIDTH)
        canvas.showPage()


def _draw_rows(
    canvas: Canvas, field: FieldSpec, rows: Rows, layout: tuple[float, list[float]], palette: Palette
) -> None:
    size, widths = layout
    left = (_TABLE_WIDTH - sum(widths)) / 2
    top = _TABLE_HEIGHT - 80
    canvas.setFillColorRGB(*palette.main)
    canvas.rect(left, top - _ROW_HEIGHT, sum(widths), _ROW_HEIGHT, stroke=0, fill=1)
    canvas.setFillColorRGB(1, 1, 1)
    for index in range(0, len(rows), 2):
        canvas.rect(left, top - (index + 2) * _ROW_HEIGHT, sum(widths), _ROW_HEIGHT, stroke=0, fill=1)
    canvas.setStrokeColorRGB(*palette.main)
    canvas.setLineWidth(0.5)
    canvas.rect(left, top - (len(rows) + 1) * _ROW_HEIGHT, sum(widths), (len(rows) + 1) * _ROW_HEIGHT)
    heads: Row = {column.name: column.name_zh for column in field.columns}
    for index, row in enumerate([heads, *rows]):
        text = canvas.beginText()
        text.setFont(PDF_FONT, size)
        text.setFillColorRGB(*(INK if index else (1.0, 1.0, 1.0)))
        x = left + 4
        for column, width in zip(field.columns, widths, strict=True):
            cell = str(row[column.name])
            numeric = column.kind in {ColumnKind.INTEGER, ColumnKind.DECIMAL}
            indent = width - 10 - text_width(cell, size) if numeric else 0.0
            text.setTextOrigin(x + indent, top - index * _ROW_HEIGHT - _ROW_HEIGHT * 0.68)
            text.textOut(cell)
            x += width
        canvas.drawText(text)


def _layout(field: FieldSpec, rows: Rows) -> tuple[float, list[float]]:
    """Size of the letters and widths of the columns with which the table fills the frame and stays in it."""
    letters = []
    for column in field.columns:
        longest = max((str(row[column.name]) for row in rows), key=_print_length, default="")
        letters.append(max(text_width(text, 1.0) for text in (column.name_zh, longest)))
    space = _TABLE_WIDTH - 2 * _TABLE_MARGIN - _CELL_GAP * len(letters)
    size = min(_CELL_SIZE, space / sum(letters))
    spare = (space - size * sum(letters)) / len(letters)
    return size, [size * width + _CELL_GAP + spare for width in letters]


def _print_length(text: str) -> int:
    """About how long the text is in print: Chinese characters are twice as wide as the rest."""
    return sum(1 if character.isascii() else 2 for character in text)


def _put(
    canvas: Canvas, x: float, y: float, text: str, size: float, color: Color, *, align: float = 0.0
) -> None:
    canvas.setFont(PDF_FONT, size)
    canvas.setFillColorRGB(*color)
    canvas.drawString(x - align * text_width(text, size), y, text)
