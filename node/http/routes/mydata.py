"""An account's own data, in one call and section by section; its notices; its export.

Rule: only the account itself, and who acts for it within his mandate. Operators and auditors have routes of their own and no view
into somebody's own data here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from ledger.errors import Busy, Unavailable
from node.http import export, sse
from node.http.access import SESSION
from node.http.config import RateClass
from node.http.decode import json_bytes
from node.http.pagination import Cursor, Limit, next_link
from node.http.routes.visibility import check_unrestricted
from node.http.routing import (
    EVENT_STREAM,
    Context,
    Idempotency,
    Message,
    NoQuery,
    Query,
    Reply,
    Route,
    Stream,
)
from node.http.site import Site
from node.http.views import mydata as views
from node.http.views.common import instant
from node.index.dossiers import Section, position_of
from node.services.mydata import Found, MyData, Scope
from node.services.notices import Notices, without_advice
from node.services.ports import Services
from zhenglian import api, api_mydata

ZIP: Final = "application/zip"
EXPORTS_AT_ONCE_MAX: Final = 2
T = TypeVar("T")

Principal = Annotated[
    api.Hex16, Meta(description="whose data, for who acts for another; 被代理的账户，缺省为本人")
]


class MyQuery(Query):
    principal: Principal | None = None
    limit: Limit = 50


class SectionQuery(MyQuery):
    cursor: Cursor | None = None


class NoticeStreamQuery(Query):
    principal: Principal | None = None


class ExportQuery(Query):
    principal: Principal | None = None
    cursor: Cursor | None = None


async def _scope(context: Context[Any, Any], principal: str | None) -> Scope:
    caller = context.session
    wanted = bytes.fromhex(principal) if principal else caller.account
    return await MyData(context.services.chain, context.services.index).scope(caller.account, wanted)


async def _page(
    services: Services,
    scope: Scope,
    section: Section,
    show: Callable[[views.Shown], Callable[[Found], T | None]],
    *,
    cursor: int | None,
    limit: int,
    total: int,
) -> api_mydata.SectionPage[T]:
    mine = MyData(services.chain, services.index)
    page = await mine.page(scope, section, after=cursor, limit=limit)
    shown = map(show(views.Shown(services, scope)), page.items)
    return api_mydata.SectionPage(
        items=[one for one in shown if one is not None],
        total=total,
        next="" if page.next is None else str(page.next),
    )


async def overview(services: Services, scope: Scope, limit: int) -> api_mydata.MyData:
    """Every section with its first page."""
    chain = services.chain
    counts = await MyData(chain, services.index).counts(scope)
    account = chain.records.account(scope.account)

    async def page(
        section: Section, show: Callable[[views.Shown], Callable[[Found], T | None]]
    ) -> api_mydata.SectionPage[T]:
        return await _page(services, scope, section, show, cursor=None, limit=limit, total=counts[section])

    return api_mydata.MyData(
        account=scope.account.hex(),
        kind="" if account is None else account.kind.value,
        height=chain.height,
        as_of=instant(chain.head_time_ms),
        complete_from_height=services.index.first_height,
        certificates=await page(Section.CERTIFICATES, lambda shown: shown.certificate),
        grants=await page(Section.GRANTS, lambda shown: shown.grant),
        accesses=await page(Section.ACCESSES, lambda shown: shown.access),
        requests=await page(Section.REQUESTS, lambda shown: shown.request),
        representations=await page(Section.REPRESENTATIONS, lambda shown: shown.representation),
    )


async def data(context: Context[None, MyQuery]) -> Reply:
    scope = await _scope(context, context.query.principal)
    found = await overview(context.services, scope, context.query.limit)
    # Of what it says, not of when it was asked: it is the same while nothing about the account has changed.
    timeless = msgspec.structs.replace(found, height=0, as_of=instant(0))
    tag = context.services.chain.suite.digest(json_bytes(timeless))[:16].hex()
    return Reply(body=found, etag=tag)


def _section(
    section: Section, show: Callable[[views.Shown], Callable[[Found], Any]]
) -> Callable[[Context[None, SectionQuery]], Any]:
    async def handler(context: Context[None, SectionQuery]) -> Reply:
        query, services = context.query, context.services
        scope = await _scope(context, query.principal)
        counts = await MyData(services.chain, services.index).counts(scope)
        page = await _page(
            services, scope, section, show, cursor=query.cursor, limit=query.limit, total=counts[section]
        )
        return Reply(body=page, headers=next_link(context.target, int(page.next) if page.next else None))

    return handler


# --- notices ----------------------------------------------------------------------------------------------------


def _notices(services: Services) -> Notices:
    if services.notices is None:
        raise Unavailable(what="notices", reason="this node does not keep them")
    return services.notices


async def notices(context: Context[None, SectionQuery]) -> Reply:
    query, found = context.query, _notices(context.services)
    scope = await _scope(context, query.principal)
    page = await found.page(scope, after=query.cursor, limit=query.limit)
    own = scope.account == context.session.account
    read_to, unread = await found.unread(scope)
    body = api_mydata.NoticesPage(
        items=[views.notice(one if own else without_advice(one), read_to) for one in page.items],
        unread=unread,
        read_to=str(max(0, read_to)),
        next="" if page.next is None else str(page.next),
    )
    return Reply(body=body, headers=next_link(context.target, page.next))


async def read(context: Context[api_mydata.ReadRequest, NoQuery]) -> Reply:
    found, account = _notices(context.services), context.session.account
    newest = position_of(context.services.index.height + 1, 0) - 1
    mark = await found.marks.set_read(account, min(int(context.body.position), newest))
    _, unread = await found.unread(Scope(account))
    return Reply(body=api_mydata.ReadView(read_to=str(mark), unread=unread))


class NoticeFeed:
    """An account's notices as they come; ends when the session or the mandate does."""

    def __init__(self, services: Services, site: Site, token: str, principal: bytes, after: int) -> None:
        self._services, self._site, self._token = services, site, token
        self._principal, self._after = principal, after
        self._height = 0

    async def poll(self, timeout_s: float) -> Sequence[Message]:
        """See `routing.Stream`."""
        services, index = self._services, self._services.index
        caller = self._site.sessions.caller(self._token)
        if not await index.wait_height(self._height + 1, timeout_s):
            return ()
        # Read the height first: what is applied meanwhile is found by the next poll.
        height = index.height
        caller = self._site.sessions.caller(self._token)
        scope = await MyData(services.chain, index).scope(caller.account, self._principal)
        found = await index.notices(scope.account, after=self._after, limit=sse.BATCH_MAX)
        if len(found) < sse.BATCH_MAX:
            self._height = height
        if found:
            self._after = found[-1].position
        worded = _notices(services).all_worded(found, scope)
        return [
            Message(event=one.kind, id=str(one.position), data=json_bytes(views.notice(one, -1)))
            for one in worded
        ]


async def notice_stream(context: Context[None, NoticeStreamQuery]) -> Stream:
    scope = await _scope(context, context.query.principal)
    resumed = sse.resume_point(context.last_event_id)
    after = position_of(context.services.index.height + 1, 0) - 1 if resumed is None else resumed
    feed = NoticeFeed(context.services, context.site, context.token, scope.account, after)
    return Stream(poll=feed.poll)


# --- export -----------------------------------------------------------------------------------------------------

_EXPORTING: Final = asyncio.Semaphore(EXPORTS_AT_ONCE_MAX)


async def exported(context: Context[None, ExportQuery]) -> Reply:
    services = context.services
    scope = await _scope(context, context.query.principal)
    check_unrestricted(services, context.session.account, scope.account)
    if _EXPORTING.locked():
        raise Busy(what="export", retry_after_s=5)
    async with _EXPORTING:
        archive = await export.build(services, scope, cursor=context.query.cursor)
    return Reply(
        body=archive.data,
        media_type=ZIP,
        headers={
            "Content-Disposition": f'attachment; filename="{archive.name}"',
            **next_link(context.target, archive.next),
        },
    )


_SECTIONS: Final = (
    (
        Section.CERTIFICATES,
        lambda shown: shown.certificate,
        api_mydata.HeldView,
        "本人的证照",
        "My certificates",
    ),
    (
        Section.GRANTS,
        lambda shown: shown.grant,
        api_mydata.GivenView,
        "本人数据上的授权",
        "Grants on my data",
    ),
    (
        Section.ACCESSES,
        lambda shown: shown.access,
        api_mydata.AccessView,
        "谁查看过，含被拒绝的尝试",
        "Who looked, refused attempts too",
    ),
    (
        Section.REQUESTS,
        lambda shown: shown.request,
        api_mydata.PendingView,
        "等待本人处理的事项",
        "What waits for me",
    ),
    (
        Section.REPRESENTATIONS,
        lambda shown: shown.representation,
        api_mydata.RepresentedView,
        "代理关系",
        "Who acts for whom",
    ),
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/me/data",
        access=SESSION,
        handler=data,
        query=MyQuery,
        response=api_mydata.MyData,
        summary_zh="我的数据：持有、授出、被查看、待办，一次取得",
        summary_en="My data: held, given, looked at, waiting, in one call",
        etag=True,
    ),
    *(
        Route(
            method="GET",
            path=f"/v1/me/{section.value}",
            access=SESSION,
            handler=_section(section, show),
            query=SectionQuery,
            response=api_mydata.SectionPage[kind],  # type: ignore[valid-type]
            summary_zh=zh,
            summary_en=en,
            etag=True,
        )
        for section, show, kind, zh, en in _SECTIONS
    ),
    Route(
        method="GET",
        path="/v1/me/notices",
        access=SESSION,
        handler=notices,
        query=SectionQuery,
        response=api_mydata.NoticesPage,
        summary_zh="通知，最新在前",
        summary_en="Notices, newest first",
        etag=True,
    ),
    Route(
        method="POST",
        path="/v1/me/notices/read",
        access=SESSION,
        handler=read,
        request=api_mydata.ReadRequest,
        response=api_mydata.ReadView,
        rate=RateClass.WRITE,
        idempotency=Idempotency.OPTIONAL,
        summary_zh="将此位置及之前的通知标为已读",
        summary_en="Everything up to a position is read",
    ),
    Route(
        method="GET",
        path="/v1/me/notices/stream",
        access=SESSION,
        handler=notice_stream,
        query=NoticeStreamQuery,
        media_type=EVENT_STREAM,
        response=api_mydata.NoticeView,
        summary_zh="通知流（SSE），以 Last-Event-ID 续传",
        summary_en="Notices as server-sent events, resumed by Last-Event-ID",
    ),
    Route(
        method="GET",
        path="/v1/me/export",
        access=SESSION,
        handler=exported,
        query=ExportQuery,
        media_type=ZIP,
        rate=RateClass.UPLOAD,
        summary_zh="导出：我的数据与可离线验证的凭据（ZIP）",
        summary_en="Export: my data with receipts and proofs that anyone can verify offline (ZIP)",
    ),
)
