"""Plans about an account's own data: what is held, given, looked at; notices, webhooks, export.

Rule: `principal` names whose data, for who acts for another; without it, the key's own account.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from contracts.grant_calls import GrantsOpenOwn
from contracts.records import OUTPUTS_PER_RELEASE_MAX, Output, OutputFormat
from ledger.decoders import decode_json
from ledger.errors import DecodeError, LimitExceeded
from zhenglian import exchange
from zhenglian.api import CertificateTypeView, CertificateView
from zhenglian.api_mydata import (
    AccessView,
    DeliveriesPage,
    DeliveryView,
    ExportPart,
    GivenView,
    HeldView,
    MyData,
    NoticesPage,
    PendingView,
    ReadRequest,
    ReadView,
    ReplayRequest,
    ReplayView,
    RepresentedView,
    SectionPage,
    WebhookChange,
    WebhookRequest,
    WebhookView,
)
from zhenglian.exchange import Core, Keep, Plan, Request, decode, get
from zhenglian.plans import chain, releases, transactions
from zhenglian.plans.chain import query
from zhenglian.plans.releases import Retrieved
from zhenglian.progress import Report, silent

EXPORT_PARTS_MAX: Final = 1_000
# Of all files of an archive, unpacked: a node is not believed about that either.
EXPORT_BYTES_MAX: Final = 256 * 1024 * 1024
# What the library raises for bytes that are no archive, or a broken or hostile one.
_NO_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    msgspec.MsgspecError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_FORMATS: Final = {
    "application/pdf": OutputFormat.PDF,
    "image/png": OutputFormat.PNG,
    "image/jpeg": OutputFormat.JPEG,
}
_NEXT: Final = re.compile(r'<([^<>]+)>; rel="next"')

T = TypeVar("T")


def my_data(core: Core, *, principal: str = "", limit: int | None = None) -> Plan[MyData]:
    """Everything about the account, each section with its first page."""
    return (
        yield from get(core, "/v1/me/data" + query(principal=principal, limit=limit), MyData, session=True)
    )


def _section(core: Core, name: str, kind: type[T], principal: str, limit: int | None) -> Plan[list[T]]:
    """All of a section, newest first, or its newest `limit`."""
    items: list[T] = []
    cursor = ""
    while True:
        page: SectionPage[T] = yield from get(
            core,
            f"/v1/me/{name}" + query(principal=principal, cursor=cursor, limit=200),
            SectionPage[kind],  # type: ignore[valid-type]
            session=True,
        )
        items += page.items
        cursor = page.next
        if not cursor or (limit is not None and len(items) >= limit):
            return items if limit is None else items[:limit]


def my_certificates(core: Core, *, principal: str = "", limit: int | None = None) -> Plan[list[HeldView]]:
    """Certificates that the account holds."""
    return (yield from _section(core, "certificates", HeldView, principal, limit))


def my_grants(core: Core, *, principal: str = "", limit: int | None = None) -> Plan[list[GivenView]]:
    """Grants on the account's data."""
    return (yield from _section(core, "grants", GivenView, principal, limit))


def my_accesses(core: Core, *, principal: str = "", limit: int | None = None) -> Plan[list[AccessView]]:
    """Who looked, refused attempts too."""
    return (yield from _section(core, "accesses", AccessView, principal, limit))


def my_requests(core: Core, *, principal: str = "", limit: int | None = None) -> Plan[list[PendingView]]:
    """What waits for the account."""
    return (yield from _section(core, "requests", PendingView, principal, limit))


def my_representations(
    core: Core, *, principal: str = "", limit: int | None = None
) -> Plan[list[RepresentedView]]:
    """Who acts for the account, and for whom it acts."""
    return (yield from _section(core, "representations", RepresentedView, principal, limit))


def notices(
    core: Core, *, principal: str = "", cursor: str = "", limit: int | None = None
) -> Plan[NoticesPage]:
    """A page of notices, newest first."""
    path = "/v1/me/notices" + query(principal=principal, cursor=cursor, limit=limit)
    return (yield from get(core, path, NoticesPage, session=True))


def read_notices(core: Core, position: str) -> Plan[ReadView]:
    """Everything up to this position is read."""
    return (yield from _send(core, "POST", "/v1/me/notices/read", ReadView, ReadRequest(position=position)))


def export_my_data(core: Core, path: Path, *, principal: str = "") -> Plan[list[ExportPart]]:
    """Write everything into one or more ZIP archives.

    Args:
        path: of the archive; further ones, where there is more than fits into one, get a number behind their name.
        principal: whose data.

    Returns:
        What each archive says of itself.

    Raises:
        DecodeError: what came is no such archive, or its files are not as its manifest says.
    """
    target = "/v1/me/export" + query(principal=principal)
    parts: list[ExportPart] = []
    while True:
        answer = yield from exchange.exchange(core, Request(method="GET", path=target, session=True))
        suite = yield from exchange.suite(core)
        manifest = read_export(answer.body, suite.digest)
        number = f"-{len(parts) + 1}" if parts else ""
        yield Keep(path=path.with_name(f"{path.stem}{number}{path.suffix or '.zip'}"), data=answer.body)
        parts.append(manifest)
        following = _NEXT.search(answer.headers.get("link", ""))
        if following is None or len(parts) >= EXPORT_PARTS_MAX:
            return parts
        target = following[1]


def open_own(core: Core, certificates: Sequence[str], *, uses_max: int = 1) -> Plan[str]:
    """Open certificates of one's own to oneself, for an hour and so many releases; the grant's id.

    Raises:
        Denied: one of them is not the account's, or is erased; or the account was recovered lately.
    """
    args = GrantsOpenOwn(certificates=tuple(map(bytes.fromhex, certificates)), uses_max=uses_max)
    return transactions.output((yield from transactions.settled(core, args))).hex()


def my_values(core: Core, to_dir: Path, *, report: Report = silent) -> Plan[list[Retrieved]]:
    """Every field and attachment of the account's own certificates, by releases that the ledger records.

    Args:
        to_dir: folder for the files, each named by its release; made when missing.
        report: told of each step.
    """
    held = yield from my_certificates(core)
    wanted: list[tuple[str, tuple[Output, ...]]] = []
    for one in held:
        if one.erased is None:
            certificate = one.certificate
            kind = yield from chain.certificate_type(core, certificate.certificate_type)
            wanted.append((certificate.certificate_id, _outputs(certificate, kind)))
    got: list[Retrieved] = []
    for batch in _batches(wanted):
        grant = yield from open_own(core, [certificate_id for certificate_id, _ in batch])
        outputs = [output for _, outputs in batch for output in outputs]
        got.append((yield from releases.retrieve(core, grant, outputs, to_dir, report=report)))
    return got


def _outputs(certificate: CertificateView, kind: CertificateTypeView) -> tuple[Output, ...]:
    certificate_id = bytes.fromhex(certificate.certificate_id)
    media = {one["name"]: one["media_type"] for one in kind.schema.get("attachments", ())}
    outputs = [
        Output(
            certificate=certificate_id,
            format=_FORMATS.get(str(media.get(name)), OutputFormat.PDF),
            fields=(),
            attachment=name,
        )
        for name in certificate.attachments
    ]
    if certificate.fields:
        fields = tuple(certificate.fields)
        outputs.insert(
            0, Output(certificate=certificate_id, format=OutputFormat.JSON, fields=fields, attachment="")
        )
    return tuple(outputs)


def _batches(
    wanted: Sequence[tuple[str, tuple[Output, ...]]],
) -> list[list[tuple[str, tuple[Output, ...]]]]:
    """As many certificates together as one release has room for."""
    batches: list[list[tuple[str, tuple[Output, ...]]]] = []
    room = 0
    for one in wanted:
        size = len(one[1])
        if size == 0:
            continue
        if size > room:
            batches.append([])
            room = OUTPUTS_PER_RELEASE_MAX
        batches[-1].append(one)
        room -= size
    return batches


def read_export(data: bytes, digest: Callable[[bytes], bytes]) -> ExportPart:
    """The manifest of an archive, once every file in it is as the manifest says.

    Args:
        data: the ZIP.
        digest: the network's hash.

    Raises:
        DecodeError: it is none.
        LimitExceeded: a file in it is too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
            if size_bytes > EXPORT_BYTES_MAX:
                raise LimitExceeded(limit="EXPORT_BYTES_MAX", maximum=EXPORT_BYTES_MAX, actual=size_bytes)
            manifest = decode_json(archive.read("manifest.json"), ExportPart)
            names = set(archive.namelist()) - {"manifest.json"}
            if names != set(manifest.files):
                raise DecodeError(what="export", reason="its files are not those of its manifest")
            for name, wanted in manifest.files.items():
                if digest(archive.read(name)).hex() != wanted:
                    raise DecodeError(what="export", reason=f"{name} is not as the manifest says")
    except _NO_ARCHIVE as error:
        raise DecodeError(what="export", reason=str(error)) from None
    return manifest


# --- webhooks ---------------------------------------------------------------------------------------------------


def create_webhook(
    core: Core, url: str, *, kinds: Sequence[str] = (), name: str = "", base: str | None = None
) -> Plan[WebhookView]:
    """Have notices pushed to a URL; the answer holds the secret, which is told this once.

    Args:
        url: where to, https.
        kinds: which kinds of notices, as "grants.requested" or "releases."; empty for all.
        name: for people.
        base: the node that is to deliver; a webhook is kept by one node, without it by the one that the client asks first.
    """
    body = WebhookRequest(url=url, kinds=tuple(kinds), name=name)
    return (yield from _send(core, "POST", "/v1/webhooks", WebhookView, body, base=base or core.base))


def webhooks(core: Core, *, base: str | None = None) -> Plan[list[WebhookView]]:
    """The account's webhooks at the node."""
    return (yield from get(core, "/v1/webhooks", list[WebhookView], session=True, base=base or core.base))


def webhook(core: Core, webhook_id: str, *, base: str | None = None) -> Plan[WebhookView]:
    """One webhook."""
    return (yield from get(core, _path(webhook_id), WebhookView, session=True, base=base or core.base))


def enable_webhook(
    core: Core, webhook_id: str, *, enabled: bool = True, base: str | None = None
) -> Plan[WebhookView]:
    """Let a webhook go on, or stop it; what it missed is delivered when it goes on."""
    return (
        yield from _send(
            core,
            "PATCH",
            _path(webhook_id),
            WebhookView,
            WebhookChange(enabled=enabled),
            base=base or core.base,
        )
    )


def rotate_webhook_secret(core: Core, webhook_id: str, *, base: str | None = None) -> Plan[WebhookView]:
    """Another secret; for a day deliveries are signed with both."""
    return (
        yield from _send(
            core, "POST", _path(webhook_id) + "/secret", WebhookView, None, base=base or core.base
        )
    )


def delete_webhook(core: Core, webhook_id: str, *, base: str | None = None) -> Plan[None]:
    """End a webhook."""
    request = Request(method="DELETE", path=_path(webhook_id), session=True, base=base or core.base)
    yield from exchange.exchange(core, request)


def webhook_deliveries(
    core: Core, webhook_id: str, *, state: str = "", limit: int = 50, base: str | None = None
) -> Plan[list[DeliveryView]]:
    """A webhook's newest deliveries and what became of them; `state`: pending, delivered or failed."""
    items: list[DeliveryView] = []
    cursor = ""
    while len(items) < limit:
        path = _path(webhook_id) + "/deliveries" + query(state=state, cursor=cursor, limit=min(200, limit))
        page = yield from get(core, path, DeliveriesPage, session=True, base=base or core.base)
        items += page.items
        cursor = page.next
        if not cursor:
            break
    return items[:limit]


def replay_webhook(
    core: Core, webhook_id: str, message_id: str | None = None, *, base: str | None = None
) -> Plan[int]:
    """Have one finished delivery sent again, or all that have failed; how many."""
    body = ReplayRequest(message_id=message_id)
    view = yield from _send(
        core, "POST", _path(webhook_id) + "/replays", ReplayView, body, base=base or core.base
    )
    return view.replayed


def _path(webhook_id: str) -> str:
    return f"/v1/webhooks/{quote(webhook_id, safe='')}"


def _send(
    core: Core, method: str, path: str, kind: type[T], body: object, *, base: str | None = None
) -> Plan[T]:
    data = b"" if body is None else msgspec.json.encode(body)
    answer = yield from exchange.exchange(
        core, Request(method=method, path=path, body=data, session=True, base=base)
    )
    return decode(answer, kind)
