"""Audit events: history by subject, and a stream of what concerns the caller.

Rule: whoever is no operator or auditor sees only events that concern their own account, or a record they are
a party to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

from ledger.errors import NotFound
from node.http import access, sse
from node.http.access import SESSION
from node.http.decode import json_bytes
from node.http.errors import NotYours
from node.http.pagination import SCAN_BATCH, SCAN_MAX, PageQuery, next_link
from node.http.routes.visibility import event_shown, sees_certificate, sees_grant, sees_release
from node.http.routing import EVENT_STREAM, Context, Message, Query, Reply, Route, Stream
from node.http.site import Site
from node.http.views import chain as views
from node.http.views.common import Names
from node.index.ports import IndexedEvent, cursor_of
from node.services.ports import Caller, Services
from zhenglian import api

KindPrefix = Annotated[
    str,
    Meta(pattern="^[a-z_.]{0,64}$", description='what the kind begins with, e.g. "grants."; 事件种类的开头'),
]
Subject = Annotated[
    str, Meta(pattern="^([0-9a-f]{2}){1,32}$", description="id that the events concern; 事件所涉及的编号")
]


class EventsQuery(PageQuery):
    subject: Subject | None = None
    kind: KindPrefix = ""


class StreamQuery(Query):
    kind: KindPrefix = ""


async def events(context: Context[None, EventsQuery]) -> Reply:
    """Newest first."""
    caller, query, services = context.session, context.query, context.services
    subject = bytes.fromhex(query.subject) if query.subject else None
    if subject is None and not access.oversees(caller):
        subject = caller.account
    if subject is not None and not await may_follow(services, caller, subject):
        raise NotYours(what="subject")
    shown, following = await _page(services, caller, query, subject)
    names = Names(services.chain.records)
    page = api.Page(
        items=[views.event(event, names) for event in shown],
        next="" if following is None else str(following),
    )
    return Reply(body=page, headers=next_link(context.target, following))


async def _page(
    services: Services, caller: Caller, query: EventsQuery, subject: bytes | None
) -> tuple[list[IndexedEvent], int | None]:
    """Events that the caller may see, and the cursor of the next page if there is something on it."""
    shown: list[IndexedEvent] = []
    after = query.cursor
    for _ in range(SCAN_MAX // SCAN_BATCH):
        found = await services.index.events(
            subject=subject, kind_prefix=query.kind, after=after, limit=SCAN_BATCH, newest_first=True
        )
        for event in found:
            after = event.cursor
            seen = event_shown(services.chain, caller, event, followed=subject or b"")
            if seen is None:
                continue
            if len(shown) == query.limit:
                return shown, shown[-1].cursor
            shown.append(seen)
        if len(found) < SCAN_BATCH:
            return shown, None
    return shown, after


async def may_follow(services: Services, caller: Caller, subject: bytes) -> bool:
    """Whether `subject` is the caller's own account or a record that the caller may see."""
    if access.oversees(caller) or subject == caller.account:
        return True
    records = services.chain.records
    grant, release = records.grant(subject), records.release(subject)
    try:
        if grant is not None:
            return await sees_grant(services, caller, grant)
        if release is not None:
            return await sees_release(services, caller, release)
    except NotFound:
        # Not to be known yet: answered as any id that stands for nothing is.
        return False
    certificate = records.certificate(subject)
    return certificate is not None and await sees_certificate(services, caller, certificate)


class EventFeed:
    """Events that concern a caller, as they become final; ends when the session does."""

    def __init__(self, services: Services, site: Site, token: str, kind_prefix: str, after: int) -> None:
        self._services = services
        self._site = site
        self._token = token
        self._kind_prefix = kind_prefix
        self._after = after
        self._height = 0

    async def poll(self, timeout_s: float) -> Sequence[Message]:
        """See `routing.Stream`."""
        caller = self._site.sessions.caller(self._token)
        index = self._services.index
        if not await index.wait_height(self._height + 1, timeout_s):
            return ()
        # Read the height first: what is applied meanwhile is found by the next poll.
        height = index.height
        caller = self._site.sessions.caller(self._token)
        found = await index.events(
            subject=None if access.oversees(caller) else caller.account,
            kind_prefix=self._kind_prefix,
            after=self._after,
            limit=sse.BATCH_MAX,
        )
        if len(found) < sse.BATCH_MAX:
            self._height = height
        names = Names(self._services.chain.records)
        if found:
            self._after = found[-1].cursor
        shown = (event_shown(self._services.chain, caller, event) for event in found)
        return [
            Message(event=event.kind, id=str(event.cursor), data=json_bytes(views.event(event, names)))
            for event in shown
            if event is not None
        ]


async def stream(context: Context[None, StreamQuery]) -> Stream:
    resumed = sse.resume_point(context.last_event_id)
    after = cursor_of(context.services.index.height + 1, 0, 0) - 1 if resumed is None else resumed
    feed = EventFeed(context.services, context.site, context.token, context.query.kind, after)
    return Stream(poll=feed.poll)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/events",
        access=SESSION,
        handler=events,
        query=EventsQuery,
        response=api.Page,
        summary_zh="审计事件，最新在前；默认为与本账户有关的事件",
        summary_en="Audit events, newest first; those of the caller's account unless a subject is given",
    ),
    Route(
        method="GET",
        path="/v1/events/stream",
        access=SESSION,
        handler=stream,
        query=StreamQuery,
        media_type=EVENT_STREAM,
        response=api.EventView,
        summary_zh="与本账户有关的事件流（SSE）；运营方与审计方可见全部",
        summary_en="Events of the caller's account as server-sent events; all for operators and auditors",
    ),
)
