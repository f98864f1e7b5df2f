"""Governance proposals.

Rule: what operators decide is public.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.records import Proposal, ProposalState
from ledger.errors import NotFound
from node.http.access import PUBLIC
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import records as views
from node.http.views.common import Names
from zhenglian.api_network import ProposalView


class ProposalsQuery(PageQuery):
    state: Annotated[ProposalState, Meta(description="state; 状态")] | None = None


async def proposals(context: Context[None, ProposalsQuery]) -> Reply:
    query, services = context.query, context.services

    def keep(found: Proposal) -> bool:
        return query.state in {None, found.state}

    listing = await collect(
        services.index,
        "governance.proposed",
        query,
        subject=None,
        load=services.chain.records.proposal,
        keep=keep,
    )
    names = Names(services.chain.records)
    return Reply(
        body=[views.proposal(found, names) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def proposal(context: Context[None, NoQuery]) -> Reply:
    records = context.services.chain.records
    found = records.proposal(context.id("proposal"))
    if found is None:
        raise NotFound(what="proposal", id=context.id("proposal").hex())
    return Reply(body=views.proposal(found, Names(records)))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/proposals",
        access=PUBLIC,
        handler=proposals,
        query=ProposalsQuery,
        response=list[ProposalView],
        summary_zh="治理提案，最新在前",
        summary_en="Governance proposals, newest first",
    ),
    Route(
        method="GET",
        path="/v1/proposals/{proposal}",
        access=PUBLIC,
        handler=proposal,
        response=ProposalView,
        summary_zh="一项治理提案",
        summary_en="A governance proposal",
        etag=True,
    ),
)
