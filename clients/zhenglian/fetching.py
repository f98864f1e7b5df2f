"""Which files a grant gives: from “this grant, as JSON” to the outputs of a release, the same in client and node.

Rule: exactly what the grant opens of certificates that are there, in the certificate's own order; nothing is asked for that the
grant does not open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.records import OUTPUTS_PER_RELEASE_MAX, Output, OutputFormat
from ledger.errors import Category, LedgerError

FORMATS: Final = ("json", "csv", "files", "all")
_OF_MEDIA: Final = {
    "application/pdf": OutputFormat.PDF,
    "image/png": OutputFormat.PNG,
    "image/jpeg": OutputFormat.JPEG,
}


class NothingToFetch(LedgerError):
    """The grant opens nothing of that kind. Fields: grant, reason_zh, reason_en."""

    code = "nothing_to_fetch"
    category = Category.MISSING
    zh = "授权 {grant} 下没有可下链的内容：{reason_zh}"
    en = "There is nothing to fetch under grant {grant}: {reason_en}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An item of a grant; `certificate` in hex, empty for any of its type."""

    certificate_type: str
    certificate: str
    fields: Sequence[str]
    attachments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A certificate of the person's: id in hex, what it has, and the media types of its attachments."""

    certificate: str
    certificate_type: str
    fields: Sequence[str]
    attachments: Sequence[str]
    media_types: Mapping[str, str]


def outputs_of(
    grant: str, items: Iterable[Opened], held: Iterable[Held], *, file_format: str, fields: Sequence[str] = ()
) -> tuple[Output, ...]:
    """The outputs that a grant gives.

    Args:
        grant: its id in hex, for messages.
        items: what it opens.
        held: certificates that are there and valid.
        file_format: one of `FORMATS`; "files" are the attachments, "all" JSON and the attachments.
        fields: only these, where any are named.

    Raises:
        NothingToFetch: there is nothing, or more than one release takes.
    """
    found: list[Output] = []
    opened = tuple(items)
    for certificate in held:
        for item in opened:
            if item.certificate_type == certificate.certificate_type and item.certificate in {
                "",
                certificate.certificate,
            }:
                found += _of_item(item, certificate, file_format, fields)
    if not found:
        raise NothingToFetch(
            grant=grant,
            reason_zh="持证人没有有效证照，或授权未包含这些内容",
            reason_en="the person has no valid certificate, or the grant does not open what is asked for",
        )
    if len(found) > OUTPUTS_PER_RELEASE_MAX:
        raise NothingToFetch(
            grant=grant,
            reason_zh=f"文件多于 {OUTPUTS_PER_RELEASE_MAX} 个，请指明一张证照",
            reason_en=f"there are more than {OUTPUTS_PER_RELEASE_MAX} files; name one certificate",
        )
    return tuple(found)


def _of_item(item: Opened, certificate: Held, file_format: str, fields: Sequence[str]) -> list[Output]:
    found: list[Output] = []
    certificate_id = bytes.fromhex(certificate.certificate)
    names = tuple(
        name for name in certificate.fields if name in item.fields and (not fields or name in fields)
    )
    if names and file_format != "files":
        kind = OutputFormat.CSV if file_format == "csv" else OutputFormat.JSON
        found.append(Output(certificate=certificate_id, format=kind, fields=names, attachment=""))
    if file_format in {"files", "all"}:
        for name in certificate.attachments:
            media = _OF_MEDIA.get(certificate.media_types.get(name, ""))
            if name in item.attachments and media is not None:
                found.append(Output(certificate=certificate_id, format=media, fields=(), attachment=name))
    return found
