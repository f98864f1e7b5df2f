"""Grants: who may have what of whom.

Rule: for the two parties, operators and auditors; for who represents the holder; and, where access is without consent, for those
who decide on it. What the holder is not to know yet is not there for him.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from contracts.grant_states import standing
from contracts.records import Grant, GrantState
from ledger.errors import NotFound
from node.http import access
from node.http.access import SESSION
from node.http.pagination import PageQuery, collect, next_link
from node.http.routes.visibility import sees_grant
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import grants as views
from node.http.views.common import Names
from node.services import grant_previews
from node.services.ports import Records, Services
from zhenglian import api
from zhenglian.api_grants import DeletionView, GrantPreview, GrantPreviewRequest

MADE_BY: Final = ("grants.requested", "grants.access_requested", "grants.emergency_opened")
ACCESS_MADE_BY: Final = MADE_BY[1:]


class GrantsQuery(PageQuery):
    role: (
        Annotated[
            Literal["principal", "grantee", "approver"],
            Meta(description="the caller's part; 本账户的身份：持证人、被授权方、批准机构"),
        ]
        | None
    ) = None
    state: Annotated[GrantState, Meta(description="state; 状态")] | None = None
    purpose: Annotated[str, Meta(max_length=64, description="purpose code; 用途代码")] | None = None


async def _found(context: Context[Any, Any]) -> Grant:
    found = context.services.chain.records.grant(context.id("grant"))
    if found is None:
        raise NotFound(what="grant", id=context.id("grant").hex())
    template = context.services.chain.records.purpose(found.purpose)
    helps = access.may_help_with(context.session, found, template)
    access.check(helps or await sees_grant(context.services, context.session, found), "grant", found.grant_id)
    return found


async def grant(context: Context[None, NoQuery]) -> Reply:
    found = await _found(context)
    return Reply(body=_view(context.services, found, Names(context.services.chain.records)))


async def grants(context: Context[None, GrantsQuery]) -> Reply:
    """The caller's own; without `role`, operators and auditors see all; approvers all accesses as `approver`."""
    query, services, caller = context.query, context.services, context.session
    records, now_ms = services.chain.records, services.chain.head_time_ms
    everybody = query.role is None and access.oversees(caller)
    approvers = records.grant_rules().approvers

    def keep(found: Grant) -> bool:
        approved = () if found.access is None else found.access.approvers
        parts: dict[str | None, bool] = {
            None: True,
            "principal": caller.account == found.pii_principal_id,
            "grantee": caller.account == found.grantee,
            "approver": found.access is not None and caller.account in {*approvers, *approved},
        }
        return (
            parts[query.role]
            and query.state in {None, standing(found, now_ms)}
            and query.purpose in {None, found.purpose}
            and access.may_see_grant(caller, found, now_ms, approvers if found.access is not None else ())
        )

    listing = await collect(
        services.index,
        ACCESS_MADE_BY if query.role == "approver" else MADE_BY,
        query,
        subject=None if everybody or query.role == "approver" else caller.account,
        load=records.grant,
        keep=keep,
    )
    names = Names(records)
    return Reply(
        body=[_view(services, found, names) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def deletions(context: Context[None, PageQuery]) -> Reply:
    """Releases under a `store` grant, each with what the recipient has to delete of it."""
    found, records = await _found(context), context.services.chain.records
    listing = await collect(
        context.services.index,
        "releases.prepared",
        context.query,
        subject=found.grant_id,
        load=records.deletion,
        keep=lambda deletion: deletion.grant_id == found.grant_id,
    )
    return Reply(
        body=[views.deletion(one) for one in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def preview(context: Context[GrantPreviewRequest, NoQuery]) -> Reply:
    """From the wire form to the calls to sign; nothing is sent."""
    chain = context.services.chain
    previews = [grant_previews.preview(chain, detail) for detail in context.body.authorization_details]
    return Reply(body=GrantPreview(previews=previews))


def _view(services: Services, found: Grant, names: Names) -> api.GrantView:
    chain = services.chain
    return views.grant(
        found,
        names,
        chain.head_time_ms,
        duty=chain.records.deletion_duty(found.grant_id),
        separately=_separately(chain.records, found),
    )


def _separately(records: Records, found: Grant) -> tuple[str, ...]:
    return grant_previews.separate_parts(records, found.requested_items) if found.access is None else ()


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/grants",
        access=SESSION,
        handler=grants,
        query=GrantsQuery,
        response=list[api.GrantView],
        summary_zh="授权列表，最新在前",
        summary_en="Grants, newest first",
    ),
    Route(
        method="POST",
        path="/v1/grants/preview",
        access=SESSION,
        handler=preview,
        request=GrantPreviewRequest,
        response=GrantPreview,
        summary_zh="把 RFC 9396 形式的授权请求转成待签名的调用",
        summary_en="The call to sign for a request in the wire form of RFC 9396",
    ),
    Route(
        method="GET",
        path="/v1/grants/{grant}",
        access=SESSION,
        handler=grant,
        response=api.GrantView,
        summary_zh="一项授权",
        summary_en="A grant",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/grants/{grant}/deletions",
        access=SESSION,
        handler=deletions,
        query=PageQuery,
        response=list[DeletionView],
        summary_zh="一项授权下的删除义务，最新在前",
        summary_en="What has to be deleted under a grant, newest first",
    ),
)
