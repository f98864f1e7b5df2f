"""Mandates: who may act for whom.

Rule: for the holder, the representative, who appointed him, operators and auditors.
"""

from __future__ import annotations

from typing import Final

from contracts.representation_records import Mandate
from ledger.errors import NotFound
from node.http import access
from node.http.access import SESSION
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import grants as views
from node.http.views.common import Names
from node.services.ports import Caller
from zhenglian.api_grants import MandateView


def may_see_mandate(caller: Caller, found: Mandate) -> bool:
    """Its parties, and overseers."""
    parties = {found.principal, found.representative, found.appointed_by}
    return access.oversees(caller) or caller.account in parties


async def mandate(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    found = chain.records.mandate(context.id("mandate"))
    if found is None:
        raise NotFound(what="mandate", id=context.id("mandate").hex())
    access.check(may_see_mandate(context.session, found), "mandate", found.mandate_id)
    return Reply(body=views.mandate(found, Names(chain.records), chain.head_time_ms))


async def mandates(context: Context[None, PageQuery]) -> Reply:
    """The caller's own, on whichever side; all, for operators and auditors."""
    caller, chain = context.session, context.services.chain
    listing = await collect(
        context.services.index,
        "representation.appointed",
        context.query,
        subject=None if access.oversees(caller) else caller.account,
        load=chain.records.mandate,
        keep=lambda found: may_see_mandate(caller, found),
    )
    names = Names(chain.records)
    return Reply(
        body=[views.mandate(found, names, chain.head_time_ms) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/mandates",
        access=SESSION,
        handler=mandates,
        query=PageQuery,
        response=list[MandateView],
        summary_zh="代办、监护、法定代表关系，最新在前",
        summary_en="Mandates, guardianships and legal representatives, newest first",
    ),
    Route(
        method="GET",
        path="/v1/mandates/{mandate}",
        access=SESSION,
        handler=mandate,
        response=MandateView,
        summary_zh="一项代办关系",
        summary_en="A mandate",
        etag=True,
    ),
)
