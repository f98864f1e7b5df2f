"""Accounts and organisations.

Rule: organisations and operators are public; people are not, and an account that the caller may not see is as if it were not there.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from contracts.records import Account
from ledger.errors import NotFound
from node.http import access
from node.http.access import PUBLIC
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import records as views
from zhenglian import api

OrganizationKind = Annotated[
    Literal["department", "enterprise", "auditor"], Meta(description="kind of organisation; 机构类型")
]


class OrganizationsQuery(PageQuery):
    kind: OrganizationKind | None = None


async def account(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.account(context.id("account"))
    if found is None or not access.may_see_account(context.caller, found):
        # Whether there is such a person is told to nobody who may not see it.
        raise NotFound(what="account", id=context.id("account").hex())
    return Reply(body=views.account(found))


async def organizations(context: Context[None, OrganizationsQuery]) -> Reply:
    query, services = context.query, context.services

    def keep(found: Account) -> bool:
        return query.kind is None or found.kind.value == query.kind

    listing = await collect(
        services.index,
        "organizations.registered",
        query,
        subject=None,
        load=services.chain.records.account,
        keep=keep,
    )
    return Reply(
        body=[views.account(found) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/accounts/{account}",
        access=PUBLIC,
        handler=account,
        response=api.AccountView,
        summary_zh="账户；个人账户仅本人、部门、审计方与运营方可见",
        summary_en="An account; a person's only for itself, departments, auditors and operators",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/organizations",
        access=PUBLIC,
        handler=organizations,
        query=OrganizationsQuery,
        response=list[api.AccountView],
        summary_zh="已登记的机构，最新在前",
        summary_en="Registered organisations, newest first",
    ),
)
