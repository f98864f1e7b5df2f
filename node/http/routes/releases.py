"""Releases (下链): asking for one, its state, its files.

Rule: no byte of a file leaves but to an officer of the grantee, and only what the service gives: the bytes
whose hash is final on the ledger.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Final

from msgspec import Meta

from contracts.records import Release, ReleaseState
from ledger.errors import NotFound
from node.http import access, decode
from node.http.access import GRANTEE_OFFICER, SESSION
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.errors import NotTheSigner
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, Idempotency, NoQuery, Reply, Route
from node.http.views import releases as views
from node.http.views.common import Names
from node.services.ports import Services
from zhenglian import api

OCTETS: Final = "application/octet-stream"
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
    return views.release(found, transactions, names or Names(services.chain.records))


async def request(context: Context[api.TransactionRequest, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction, expected="releases.request")
    caller = context.session
    if (signed.body.account, signed.body.key_id) != (caller.account, caller.key_id):
        raise NotTheSigner
    found = await context.services.releases.request(signed, wait_s=context.wait_s)
    settled = found.state is not ReleaseState.REQUESTED
    shown = await view(context.services, found)
    return Reply(status=200 if settled else 202, body=shown, headers={"Location": shown.status_url})


def _find(context: Context[None, NoQuery]) -> Release:
    found = context.services.chain.records.release(context.id("release"))
    if found is None:
        raise NotFound(what="release", id=context.id("release").hex())
    return found


async def release(context: Context[None, NoQuery]) -> Reply:
    found = _find(context)
    access.check(access.may_see_release(context.session, found), "release")
    return Reply(body=await view(context.services, found))


async def releases(context: Context[None, ReleasesQuery]) -> Reply:
    """Of one grant, or all in which the caller has a part; all there are, for operators and auditors."""
    query, services, caller = context.query, context.services, context.session
    grant_id = bytes.fromhex(query.grant) if query.grant else None
    everybody = access.oversees(caller)

    def keep(found: Release) -> bool:
        return grant_id in {None, found.grant_id} and access.may_see_release(caller, found)

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
    found, number = _find(context), context.number("file")
    access.check(found.grantee == context.session.account, "release")
    released = await context.services.releases.file(found.release_id, number)
    digest = base64.b64encode(hashlib.sha256(released.data).digest()).decode()
    name = f"release-{found.release_id.hex()}-{number}.{SUFFIXES.get(released.prepared.media_type, 'bin')}"
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
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/releases",
        access=GRANTEE_OFFICER,
        handler=request,
        request=api.TransactionRequest,
        response=api.ReleaseView,
        statuses=(202, 200),
        body_bytes_max=TRANSACTION_BODY_BYTES_MAX,
        rate=RateClass.WRITE,
        idempotency=Idempotency.REQUIRED,
        waits=True,
        summary_zh="申请下链：提交已签名的 releases.request；用 Prefer: wait=N 等待文件就绪",
        summary_en="Ask for a release: a signed releases.request; Prefer: wait=N waits for its files",
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
        access=GRANTEE_OFFICER,
        handler=file,
        media_type=OCTETS,
        summary_zh="下载带水印的文件；重复下载得到相同字节，不再计次",
        summary_en="Download a marked file; again the same bytes, at no second use",
        etag=True,
    ),
)
