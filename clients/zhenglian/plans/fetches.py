"""Plans that fetch what a grant gives in one call (傻瓜式下链): find what there is, request, download, check, acknowledge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from ledger.errors import DecodeError
from zhenglian.api import CertificateView, GrantView
from zhenglian.catalogue import decode_schema
from zhenglian.exchange import Core, Plan
from zhenglian.fetching import FORMATS, Held, NothingToFetch, Opened, outputs_of
from zhenglian.plans import certificates, chain, grants, releases
from zhenglian.plans.releases import PATIENCE_S, Retrieved
from zhenglian.progress import Report, silent

_ACTIVE: Final = "active"


def fetch(
    core: Core,
    grant: str = "",
    *,
    purpose: str = "",
    holder: str = "",
    file_format: str = "json",
    certificate: str = "",
    fields: Sequence[str] = (),
    to_dir: Path,
    node: str = "",
    patience_s: int = PATIENCE_S,
    report: Report = silent,
) -> Plan[Retrieved]:
    """Data in one call: whatever a grant opens, as files that are checked against the ledger and acknowledged.

    Args:
        grant: its id in hex; or else
        purpose, holder: of an active grant to the caller's organisation, the newest one.
        file_format: "json", "csv", "files" (the attachments) or "all".
        certificate: only this one, id in hex.
        fields: only these.
        to_dir: where the files go.
        node: operator account (hex) of the node that is to do it; the first that answers when empty.
        patience_s, report: as `retrieve`.

    Raises:
        NothingToFetch: there is no such grant, or nothing that it opens.
        and what `retrieve` raises.
    """
    if file_format not in FORMATS:
        raise DecodeError(what="format", reason=f"one of {', '.join(FORMATS)} is expected")
    view = (yield from grants.grant(core, grant)) if grant else (yield from _newest(core, purpose, holder))
    held = yield from _held(core, view, certificate)
    items = [
        Opened(
            certificate_type=item.certificate_type,
            certificate=item.certificate or "",
            fields=item.fields,
            attachments=item.attachments,
        )
        for item in view.items
    ]
    outputs = outputs_of(view.grant_id, items, held, file_format=file_format, fields=fields)
    return (
        yield from releases.retrieve(
            core, view.grant_id, outputs, to_dir, node=node, patience_s=patience_s, report=report
        )
    )


def _newest(core: Core, purpose: str, holder: str) -> Plan[GrantView]:
    for view in (yield from grants.grants(core, role="grantee", state=_ACTIVE)):
        if (view.purpose, view.pii_principal_id) == (purpose, holder):
            return view
    raise NothingToFetch(
        grant="—",
        reason_zh=f"没有持证人对用途 {purpose} 的有效授权，请先申请授权",
        reason_en=f"there is no active grant of this person for {purpose}; request one first",
    )


def _held(core: Core, view: GrantView, certificate: str) -> Plan[list[Held]]:
    named = [item.certificate for item in view.items if item.certificate]
    found: dict[str, CertificateView] = {}
    for name in [certificate] if certificate else named:
        found[name] = yield from certificates.certificate(core, name)
    if not certificate:
        for code in sorted({item.certificate_type for item in view.items if not item.certificate}):
            for one in (
                yield from certificates.certificates(
                    core, holder=view.pii_principal_id, certificate_type=code
                )
            ):
                found[one.certificate_id] = one
    media: dict[str, dict[str, str]] = {}
    held: list[Held] = []
    for one in sorted(found.values(), key=lambda one: (one.issued, one.certificate_id)):
        if not one.valid:
            continue
        if one.certificate_type not in media:
            kind = yield from chain.certificate_type(core, one.certificate_type)
            spec = decode_schema(msgspec.json.encode(kind.schema))
            media[one.certificate_type] = {part.name: part.media_type for part in spec.attachments}
        held.append(
            Held(
                certificate=one.certificate_id,
                certificate_type=one.certificate_type,
                fields=one.fields,
                attachments=one.attachments,
                media_types=media[one.certificate_type],
            )
        )
    return held
