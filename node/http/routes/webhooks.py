"""Webhooks (回调): where an account wants its notices, and what became of each delivery.

Rule: an account's own only; those of an organisation belong to its officers and admins together.
A secret leaves once, in the answer that made it, and is therefore never remembered for an Idempotency-Key.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.records import AccountKind, KeyRole
from ledger.errors import Unavailable
from node.http.access import Access
from node.http.config import RateClass
from node.http.pagination import Cursor, Limit, next_link
from node.http.routing import Context, NoQuery, Query, Reply, Route
from node.http.views import mydata as views
from node.services.ports import Services
from node.services.webhook_records import DeliveryState
from node.services.webhooks import Webhooks
from zhenglian import api_mydata as api

OWNER: Final = Access(frozenset(AccountKind), frozenset({KeyRole.ADMIN, KeyRole.OFFICER, KeyRole.HOLDER}))


class DeliveriesQuery(Query):
    state: Annotated[DeliveryState, Meta(description="state; 状态")] | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


def _webhooks(services: Services) -> Webhooks:
    if services.webhooks is None:
        raise Unavailable(what="webhooks", reason="this node does not keep them")
    return services.webhooks


async def create(context: Context[api.WebhookRequest, NoQuery]) -> Reply:
    caller, body = context.session, context.body
    made, secret = await _webhooks(context.services).create(
        caller.account, caller.key_id, url=body.url, kinds=tuple(dict.fromkeys(body.kinds)), name=body.name
    )
    return Reply(
        status=201,
        body=views.webhook(made, secret),
        headers={"Location": f"/v1/webhooks/{made.webhook_id.hex()}"},
    )


async def webhooks(context: Context[None, NoQuery]) -> Reply:
    found = await _webhooks(context.services).of(context.session.account)
    return Reply(body=[views.webhook(one) for one in found])


async def webhook(context: Context[None, NoQuery]) -> Reply:
    found = await _webhooks(context.services).get(context.session.account, context.id("webhook"))
    return Reply(body=views.webhook(found))


async def change(context: Context[api.WebhookChange, NoQuery]) -> Reply:
    found = await _webhooks(context.services).set_enabled(
        context.session.account,
        context.session.key_id,
        context.id("webhook"),
        enabled=context.body.enabled,
    )
    return Reply(body=views.webhook(found))


async def delete(context: Context[None, NoQuery]) -> Reply:
    await _webhooks(context.services).delete(context.session.account, context.id("webhook"))
    return Reply(status=204)


async def rotate(context: Context[None, NoQuery]) -> Reply:
    found, account = _webhooks(context.services), context.session.account
    secret = await found.rotate(account, context.id("webhook"))
    return Reply(body=views.webhook(await found.get(account, context.id("webhook")), secret))


async def deliveries(context: Context[None, DeliveriesQuery]) -> Reply:
    query = context.query
    found = await _webhooks(context.services).deliveries(
        context.session.account,
        context.id("webhook"),
        state=query.state,
        before=query.cursor,
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    following = shown[-1].position if len(found) > query.limit else None
    body = api.DeliveriesPage(
        items=[views.delivery(one) for one in shown], next="" if following is None else str(following)
    )
    return Reply(body=body, headers=next_link(context.target, following))


async def replay(context: Context[api.ReplayRequest, NoQuery]) -> Reply:
    named = context.body.message_id
    message_id = None if named is None else bytes.fromhex(named.removeprefix("msg_"))
    count = await _webhooks(context.services).replay(
        context.session.account, context.id("webhook"), message_id
    )
    return Reply(status=202, body=api.ReplayView(replayed=count))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/webhooks",
        access=OWNER,
        handler=create,
        request=api.WebhookRequest,
        response=api.WebhookView,
        statuses=(201,),
        rate=RateClass.WRITE,
        summary_zh="新建回调；签名密钥只在此答复中出现一次",
        summary_en="Make a webhook; its signing secret is in this answer and never again",
    ),
    Route(
        method="GET",
        path="/v1/webhooks",
        access=OWNER,
        handler=webhooks,
        response=list[api.WebhookView],
        summary_zh="本账户在此节点的回调",
        summary_en="The account's webhooks at this node",
    ),
    Route(
        method="GET",
        path="/v1/webhooks/{webhook}",
        access=OWNER,
        handler=webhook,
        response=api.WebhookView,
        summary_zh="一个回调及其状态",
        summary_en="A webhook and how it is",
        etag=True,
    ),
    Route(
        method="PATCH",
        path="/v1/webhooks/{webhook}",
        access=OWNER,
        handler=change,
        request=api.WebhookChange,
        response=api.WebhookView,
        rate=RateClass.WRITE,
        summary_zh="启用或停用；停用期间的通知在重新启用后补投",
        summary_en="Enable or disable; what it missed is delivered once it goes on",
    ),
    Route(
        method="DELETE",
        path="/v1/webhooks/{webhook}",
        access=OWNER,
        handler=delete,
        statuses=(204,),
        rate=RateClass.WRITE,
        summary_zh="删除回调",
        summary_en="End a webhook",
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{webhook}/secret",
        access=OWNER,
        handler=rotate,
        response=api.WebhookView,
        rate=RateClass.WRITE,
        summary_zh="更换签名密钥；旧密钥一天内仍同时签名",
        summary_en="Another signing secret; for a day deliveries are signed with both",
    ),
    Route(
        method="GET",
        path="/v1/webhooks/{webhook}/deliveries",
        access=OWNER,
        handler=deliveries,
        query=DeliveriesQuery,
        response=api.DeliveriesPage,
        summary_zh="投递记录，最新在前",
        summary_en="Deliveries and what became of them, newest first",
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{webhook}/replays",
        access=OWNER,
        handler=replay,
        request=api.ReplayRequest,
        response=api.ReplayView,
        statuses=(202,),
        rate=RateClass.WRITE,
        summary_zh="重新投递一条，或全部失败的",
        summary_en="Send one delivery again, or all that have failed",
    ),
)
