"""Grants: who may have what of whom.

Rule: for the two parties, operators and auditors.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from contracts.records import Grant, GrantState
from ledger.errors import NotFound
from node.http import access
from node.http.access import SESSION
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import records as views
from node.http.views.common import Names
from zhenglian import api


class GrantsQuery(PageQuery):
    role: (
        Annotated[Literal["principal", "grantee"], Meta(description="the caller's part; 本账户的身份")] | None
    ) = None
    state: Annotated[GrantState, Meta(description="state; 状态")] | None = None


async def grant(context: Context[None, NoQuery]) -> Reply:
    records = context.services.chain.records
    found = records.grant(context.id("grant"))
    if found is None:
        raise NotFound(what="grant", id=context.id("grant").hex())
    access.check(access.may_see_grant(context.session, found), "grant")
    return Reply(body=views.grant(found, Names(records)))


async def grants(context: Context[None, GrantsQuery]) -> Reply:
    """The caller's own; without `role`, operators and auditors see all."""
    query, services, caller = context.query, context.services, context.session
    everybody = query.role is None and access.oversees(caller)

    def keep(found: Grant) -> bool:
        parts = {"principal": found.pii_principal_id, "grantee": found.grantee}
        return (
            query.state in {None, found.state}
            and (query.role is None or parts[query.role] == caller.account)
            and access.may_see_grant(caller, found)
        )

    records = services.chain.records
    listing = await collect(
        services.index,
        "grants.requested",
        query,
        subject=None if everybody else caller.account,
        load=records.grant,
        keep=keep,
    )
    names = Names(records)
    return Reply(
        body=[views.grant(found, names) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


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
        method="GET",
        path="/v1/grants/{grant}",
        access=SESSION,
        handler=grant,
        response=api.GrantView,
        summary_zh="一项授权",
        summary_en="A grant",
        etag=True,
    ),
)
