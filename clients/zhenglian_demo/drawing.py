"""Draws a certificate's attachments: the document as PDF, the portrait as JPEG, the card as PNG.

Rule: which file is drawn follows from the attachment's declared media type alone, and every file drawn is
really of that type. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.errors import LedgerError
from zhenglian.catalogue import AttachmentSpec, CertificateTypeSpec
from zhenglian_demo.pages import NO_EXPIRY, SPECIMEN, draw_pdf, printed_value
from zhenglian_demo.people import Person
from zhenglian_demo.pictures import draw_card, draw_portrait
from zhenglian_demo.tables import Rows

PORTRAIT_MEDIA_TYPE: Final = "image/jpeg"


class MediaTypeUndrawable(LedgerError):
    """The catalogue declares an attachment that nothing here can draw. Fields: media_type."""

    code = "media_type_undrawable"
    zh = "演示程序不能绘制 {media_type} 类型的附件"
    en = "The demonstration cannot draw an attachment of type {media_type}"


def draw_attachment(
    spec: CertificateTypeSpec,
    attachment: AttachmentSpec,
    fields: Mapping[str, str | int | Rows],
    person: Person,
) -> bytes:
    """Draw one declared attachment.

    Args:
        spec: type of the certificate.
        attachment: one of its attachments.
        fields: what the certificate says.
        person: whose portrait it shows, where the type has one.

    Raises:
        MediaTypeUndrawable: neither PDF, JPEG nor PNG.
    """
    match attachment.media_type:
        case "application/pdf":
            return draw_pdf(spec, fields, _portrait(spec, person))
        case "image/jpeg":
            return draw_portrait(person)
        case "image/png":
            return draw_card(
                spec.number,
                spec.name_zh,
                spec.name_en,
                _card_lines(spec, fields),
                _portrait(spec, person),
                SPECIMEN,
            )
        case _:
            raise MediaTypeUndrawable(media_type=attachment.media_type)


def _portrait(spec: CertificateTypeSpec, person: Person) -> bytes | None:
    has_photo = any(attachment.media_type == PORTRAIT_MEDIA_TYPE for attachment in spec.attachments)
    return draw_portrait(person) if has_photo else None


def _card_lines(spec: CertificateTypeSpec, fields: Mapping[str, str | int | Rows]) -> list[tuple[str, str]]:
    lines = []
    for field in spec.fields:
        value = fields.get(field.name)
        if value is None and field.name == "valid_until":
            lines.append((field.name_zh, NO_EXPIRY))
        elif value is not None and not isinstance(value, list):
            lines.append((field.name_zh, printed_value(field, value)))
    return lines
