"""Releases (下链): asking for one, its state, its files.

Rule: no byte of a file leaves but to an officer of the grantee, and only what the service gives: the bytes
whose hash is final on the ledger.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from contracts.records import Release, ReleaseState
from ledger.decoders import decode_json
from ledger.errors import LimitExceeded, NotFound, Unavailable
from node.http import access, decode
from node.http.access import RECIPIENT, SESSION
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.errors import BodyInvalid, NotTheSigner
from node.http.pagination import PageQuery, collect, next_link
from node.http.routes.visibility import check_unrestricted, sees_release
from node.http.routing import JSON, OCTETS, Context, Idempotency, NoQuery, Reply, Route
from node.http.views import releases as views
from node.http.views.common import Names
from node.services.fetches import Fetches, Wanted
from node.services.ports import ReleasedFile, Services
from zhenglian import api, api_deposits
from zhenglian.fetching import FORMATS

ZIP: Final = "application/zip"
ARCHIVE_BYTES_MAX: Final = 64 * 1024 * 1024
SUFFIXES: Final = {
    "application/json": "json",
    "text/csv": "csv",
    "application/pdf": "pdf",
    "image/png": "png",
    "image/jpeg": "jpg",
}


class ReleasesQuery(PageQuery):
    grant: Annotated[api.Hex16, Meta(description="grant that they were made under; 所依据的授权")] | None = (
        None
    )


async def view(services: Services, found: Release, names: Names | None = None) -> api.ReleaseView:
    """A release with the transactions behind it."""
    transactions = await services.releases.transactions_of(found.release_id)
    marks = [_marks(await services.releases.marks(found.release_id, n)) for n in range(len(found.files))]
    return views.release(found, transactions, names or Names(services.chain.records), marks)


def _marks(manifest: bytes | None) -> api.MarksView | None:
    """What was done to a file; None where it is not known, or is not as this release of the software writes it."""
    try:
        return None if manifest is None else decode_json(manifest, api.MarksView)
    except msgspec.MsgspecError:
        return None


async def request(context: Context[api_deposits.ReleaseRequest, NoQuery]) -> Reply:
    asked, caller = context.body, context.session
    if asked.transaction is not None:
        if asked != api_deposits.ReleaseRequest(transaction=asked.transaction):
            raise BodyInvalid(
                member="transaction",
                reason="it says everything by itself",
                reason_zh="给出交易时不得另给其他成员",
            )
        signed = decode.transaction(asked.transaction, expected="releases.request")
        if (signed.body.account, signed.body.key_id) != (caller.account, caller.key_id):
            raise NotTheSigner
    else:
        signed = await _fetches(context.services).signed(_wanted(asked), caller, context.key)
    found = await context.services.releases.request(signed, wait_s=context.wait_s)
    settled = found.state is not ReleaseState.REQUESTED
    shown = await view(context.services, found)
    if asked.transaction is None and found.state is ReleaseState.PREPARED and JSON not in context.accept:
        return await _bytes(context.services, found, shown.status_url)
    return Reply(
        status=200 if settled else 202, body=shown, headers={"Location": shown.status_url}, kept=settled
    )


def _fetches(services: Services) -> Fetches:
    if services.fetches is None:
        raise Unavailable(what="fetching in one call", reason="this node does not do it")
    return services.fetches


def _wanted(asked: api_deposits.ReleaseRequest) -> Wanted:
    """What is asked for without a transaction. Raises BodyInvalid."""
    if asked.format is None:
        raise BodyInvalid(
            member="format", reason=f"one of {', '.join(FORMATS)} is expected", reason_zh="请指明格式"
        )
    if (asked.grant is None) is (asked.purpose is None or asked.holder is None):
        raise BodyInvalid(
            member="grant",
            reason="either a grant, or purpose and holder of one, is expected",
            reason_zh="请给出授权编号，或同时给出用途与持证人",
        )
    return Wanted(
        grant=bytes.fromhex(asked.grant or ""),
        purpose=asked.purpose or "" if asked.grant is None else "",
        holder=bytes.fromhex(asked.holder or "") if asked.grant is None else b"",
        certificate=bytes.fromhex(asked.certificate or ""),
        file_format=asked.format,
        fields=tuple(asked.fields),
    )


async def _bytes(services: Services, found: Release, url: str) -> Reply:
    """The files themselves: one as it is, several as a ZIP archive; their hashes are on the ledger."""
    headers = {"Location": url, "Release-Id": found.release_id.hex(), "Cache-Control": "no-store"}
    if len(found.files) == 1:
        reply = _file(await services.releases.file(found.release_id, 0), found, 0)
    else:
        reply = await _zip(services, found)
    return replace(reply, headers={**reply.headers, **headers}, kept=False)


async def _zip(services: Services, found: Release) -> Reply:
    size_bytes = sum(one.size_bytes for one in found.files)
    if size_bytes > ARCHIVE_BYTES_MAX:
        raise LimitExceeded(limit="ARCHIVE_BYTES_MAX", maximum=ARCHIVE_BYTES_MAX, actual=size_bytes)
    files = [await services.releases.file(found.release_id, number) for number in range(len(found.files))]
    body = await asyncio.to_thread(_archive, found, files)
    name = f"release-{found.release_id.hex()}.zip"
    return Reply(
        body=body,
        media_type=ZIP,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
        kept=False,
    )


def _archive(found: Release, files: Sequence[ReleasedFile]) -> bytes:
    """The same bytes each time, so that a download can go on."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, one in enumerate(files):
            info = zipfile.ZipInfo(_name(found, number, one.prepared.media_type), (1980, 1, 1, 0, 0, 0))
            info.create_system = 0
            archive.writestr(info, one.data)
    return out.getvalue()


def _name(found: Release, number: int, media_type: str) -> str:
    return f"release-{found.release_id.hex()}-{number}.{SUFFIXES.get(media_type, 'bin')}"


async def files(context: Context[None, NoQuery]) -> Reply:
    return await _zip(context.services, _recipients(context))


async def acknowledge(context: Context[api_deposits.AcknowledgeRequest, NoQuery]) -> Reply:
    """By the organisation's agent, for a caller without a key."""
    found = _find(context)
    access.check(found.grantee == context.session.account, "release", found.release_id)
    hashes = tuple(bytes.fromhex(one) for one in context.body.file_hashes)
    if found.state is not ReleaseState.DELIVERED:
        await _fetches(context.services).acknowledge(found, hashes, context.session)
    return Reply(body=await view(context.services, _find(context)))


def _find(context: Context[Any, NoQuery]) -> Release:
    found = context.services.chain.records.release(context.id("release"))
    if found is None:
        raise NotFound(what="release", id=context.id("release").hex())
    return found


def _recipients(context: Context[None, NoQuery]) -> Release:
    """A release whose files are the caller's. What a person had fetched is not for whoever has recovered the account lately."""
    found = _find(context)
    access.check(found.grantee == context.session.account, "release", found.release_id)
    check_unrestricted(context.services, found.grantee)
    return found


async def release(context: Context[None, NoQuery]) -> Reply:
    found = _find(context)
    access.check(await sees_release(context.services, context.session, found), "release", found.release_id)
    return Reply(body=await view(context.services, found))


async def releases(context: Context[None, ReleasesQuery]) -> Reply:
    """Of one grant, or all in which the caller has a part; all there are, for operators and auditors."""
    query, services, caller = context.query, context.services, context.session
    grant_id = bytes.fromhex(query.grant) if query.grant else None
    everybody = access.oversees(caller)
    now_ms = services.chain.head_time_ms

    def keep(found: Release) -> bool:
        grant = services.chain.records.grant(found.grant_id)
        return grant_id in {None, found.grant_id} and access.may_see_release(caller, found, grant, now_ms)

    listing = await collect(
        services.index,
        "releases.requested",
        query,
        subject=grant_id or (None if everybody else caller.account),
        load=services.chain.records.release,
        keep=keep,
    )
    names = Names(services.chain.records)
    return Reply(
        body=[await view(services, found, names) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def file(context: Context[None, NoQuery]) -> Reply:
    found, number = _recipients(context), context.number("file")
    return _file(await context.services.releases.file(found.release_id, number), found, number)


def _file(released: ReleasedFile, found: Release, number: int) -> Reply:
    digest = base64.b64encode(hashlib.sha256(released.data).digest()).decode()
    name = _name(found, number, released.prepared.media_type)
    return Reply(
        body=released.data,
        media_type=released.prepared.media_type,
        etag=released.prepared.file_hash.hex(),
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            # RFC 9530, and its predecessor RFC 3230 for clients that know only that.
            "Content-Digest": f"sha-256=:{digest}:",
            "Digest": f"sha-256={digest}",
        },
        kept=False,
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/releases",
        access=RECIPIENT,
        handler=request,
        request=api_deposits.ReleaseRequest,
        response=api.ReleaseView,
        statuses=(202, 200),
        body_bytes_max=TRANSACTION_BODY_BYTES_MAX,
        rate=RateClass.WRITE,
        idempotency=Idempotency.REQUIRED,
        waits=True,
        summary_zh="申请下链：已签名的 releases.request，或授权与格式（由本机构代签密钥签名，等到就绪即返回文件）",
        summary_en="Ask for a release: a signed releases.request, or grant and format; with Prefer: wait=N the files themselves",
    ),
    Route(
        method="GET",
        path="/v1/releases",
        access=SESSION,
        handler=releases,
        query=ReleasesQuery,
        response=list[api.ReleaseView],
        summary_zh="下链列表，最新在前",
        summary_en="Releases, newest first",
    ),
    Route(
        method="GET",
        path="/v1/releases/{release}",
        access=SESSION,
        handler=release,
        response=api.ReleaseView,
        summary_zh="一次下链的状态",
        summary_en="How a release stands",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/releases/{release}/files/{file}",
        access=RECIPIENT,
        handler=file,
        media_type=OCTETS,
        summary_zh="下载带水印的文件；重复下载得到相同字节，不再计次；可用 Range 续传",
        summary_en="Download a marked file; again the same bytes, at no second use; Range goes on where it broke off",
        etag=True,
        ranges=True,
    ),
    Route(
        method="GET",
        path="/v1/releases/{release}/files",
        access=RECIPIENT,
        handler=files,
        media_type=ZIP,
        summary_zh="以一个 ZIP 下载全部文件",
        summary_en="All files as one ZIP archive",
        etag=True,
        ranges=True,
    ),
    Route(
        method="POST",
        path="/v1/releases/{release}/acknowledgement",
        access=RECIPIENT,
        handler=acknowledge,
        request=api_deposits.AcknowledgeRequest,
        response=api.ReleaseView,
        rate=RateClass.WRITE,
        idempotency=Idempotency.OPTIONAL,
        summary_zh="核对哈希后签收；由本机构的代签密钥签名",
        summary_en="Acknowledge what came, by its hashes; signed by the organisation's agent key",
    ),
)
