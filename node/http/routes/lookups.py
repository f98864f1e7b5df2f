"""Lookups by identity number: the directory, tickets, shares of blinded elements, accounts under tags; and recoveries.

Rule: no identity number comes in here, and no element that is not blinded. A ticket that is not the caller's is as if it were not
there, and what stands under a tag is told only under a live ticket; so trying ids or tags tells nothing.
"""

from __future__ import annotations

from typing import Any, Final

from contracts.people_records import PersonTag
from contracts.records import AccountKind, KeyRole
from contracts.shared_key_records import KeyPurpose
from contracts.state import SHARED_KEYS
from ledger.errors import NotFound
from ledger.receipts import state_receipt_to_json
from node.http import access
from node.http.access import PUBLIC, SESSION, Access
from node.http.config import RateClass
from node.http.routes.proofs import ProofQuery
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import people as views
from node.http.views.common import Names
from zhenglian import api_people as api

# Officers of departments and enterprises; a person, for itself.
LOOKING_UP: Final = Access(
    frozenset({AccountKind.DEPARTMENT, AccountKind.ENTERPRISE, AccountKind.PERSON}),
    frozenset({KeyRole.OFFICER, KeyRole.HOLDER}),
)


async def directory(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=views.directory(context.services.people.directory()))


async def key_proof(context: Context[None, ProofQuery]) -> Reply:
    chain = context.services.chain
    key = chain.record_key(
        SHARED_KEYS, (KeyPurpose.DIRECTORY, context.number("version")), context.query.height
    )
    return Reply(body=state_receipt_to_json(chain.state_receipt(key, context.query.height)).encode())


async def ticket(context: Context[None, NoQuery]) -> Reply:
    found = context.services.people.ticket(context.id("ticket"))
    if found is None or not (access.oversees(context.session) or context.session.account == found.account):
        raise NotFound(what="ticket", id=context.id("ticket").hex())
    return Reply(body=views.ticket(found, context.services.chain.head_time_ms))


async def shares(context: Context[api.SharesRequest, NoQuery]) -> Reply:
    elements = [bytes.fromhex(element) for element in context.body.elements]
    made = await context.services.people.evaluate(context.id("ticket"), elements, context.session)
    return Reply(body=views.shares(made))


async def accounts(context: Context[api.AccountsRequest, NoQuery]) -> Reply:
    tags = [PersonTag(version=one.version, tag=bytes.fromhex(one.tag)) for one in context.body.tags]
    found = context.services.people.accounts(context.id("ticket"), tags, context.session)
    return Reply(body=views.accounts(found))


async def recovery(context: Context[None, NoQuery]) -> Reply:
    services, account_id = context.services, context.id("account")
    found = services.people.recovery(account_id)
    if found is None or not (
        access.oversees(context.session)
        or context.session.account in {account_id, found.opened_by, found.confirmed_by}
    ):
        raise NotFound(what="recovery", id=account_id.hex())
    return Reply(
        body=views.recovery(found, services.chain.records.account(account_id), Names(services.chain.records))
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/directory",
        access=PUBLIC,
        handler=directory,
        response=api.DirectoryView,
        summary_zh="人员索引：在用的密钥版本、各版本下的人数与查询配额",
        summary_en="The person directory: versions of its key in force, how many are found under each, and quotas",
    ),
    Route(
        method="GET",
        path="/v1/directory/keys/{version}/proof",
        access=PUBLIC,
        handler=key_proof,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="可离线验证的索引公钥与份额公钥证明，或证明没有该版本",
        summary_en="The public half of a version of the directory key, or its absence, with a proof that anyone can verify",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/lookups/{ticket}",
        access=SESSION,
        handler=ticket,
        response=api.TicketView,
        summary_zh="查询票据",
        summary_en="A lookup ticket",
    ),
    Route(
        method="POST",
        path="/v1/lookups/{ticket}/shares",
        access=LOOKING_UP,
        handler=shares,
        request=api.SharesRequest,
        response=api.SharesView,
        rate=RateClass.LOOKUP,
        summary_zh="凭票据请份额持有方计算盲化元素，返回带证明的份额",
        summary_en="Have the key holders evaluate the blinded elements of a ticket: proven shares for the client to combine",
    ),
    Route(
        method="POST",
        path="/v1/lookups/{ticket}/accounts",
        access=LOOKING_UP,
        handler=accounts,
        request=api.AccountsRequest,
        response=api.AccountsView,
        rate=RateClass.LOOKUP,
        summary_zh="凭票据查询标签对应的账户；个人只能得到自己的账户",
        summary_en="The accounts under tags that were computed under a ticket; a person is told of itself only",
    ),
    Route(
        method="GET",
        path="/v1/people/{account}/recovery",
        access=SESSION,
        handler=recovery,
        response=api.RecoveryView,
        summary_zh="账户最近一次找回的进展；仅本人、经办机构、审计方与运营方可见",
        summary_en="The latest recovery of an account; for itself, the two organisations, auditors and operators",
    ),
)
