"""Accounts, organisations, and finding a person's account.

Rule: organisations and operators are public; people are not. An identity number comes in, is never stored or
logged, and never goes out.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from contracts.records import Account
from ledger.errors import NotFound
from node.http import access
from node.http.access import GRANTEE_OFFICER, PUBLIC
from node.http.config import RateClass
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import records as views
from node.observability import get_logger
from zhenglian import api

OrganizationKind = Annotated[
    Literal["department", "enterprise", "auditor"], Meta(description="kind of organisation; 机构类型")
]

_log = get_logger("audit")


class OrganizationsQuery(PageQuery):
    kind: OrganizationKind | None = None


async def account(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.account(context.id("account"))
    if found is None:
        raise NotFound(what="account", id=context.id("account").hex())
    access.check(access.may_see_account(context.caller, found), "account")
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


async def lookup(context: Context[api.LookupRequest, NoQuery]) -> Reply:
    caller = context.session
    found = await context.services.people.lookup(context.body.identity_number, caller)
    _log.info(
        "person_looked_up",
        account=caller.account.hex(),
        key_id=caller.key_id.hex(),
        found=found.account is not None,
        person=found.account.hex() if found.account else "",
    )
    return Reply(body=views.lookup(found, caller.kind))


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
    Route(
        method="POST",
        path="/v1/people/lookup",
        access=GRANTEE_OFFICER,
        handler=lookup,
        request=api.LookupRequest,
        response=api.LookupView,
        rate=RateClass.LOOKUP,
        summary_zh="按公民身份号码查找账户（限速、留痕，号码不保存）",
        summary_en="Find a person's account by identity number: rate limited, logged, never stored",
    ),
)
