"""Counts, and what may be asked and counted about certificates of a type.

Rule: public. What a count tells is rounded and suppressed on the ledger, where anybody can read it, so that nobody
has to count again.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import NotFound
from node.http.access import PUBLIC
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import questions as views
from zhenglian import api_questions as api


async def count(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.count(context.id("count"))
    if found is None:
        raise NotFound(what="count", id=context.id("count").hex())
    return Reply(body=views.count(found))


async def counts(context: Context[None, PageQuery]) -> Reply:
    services = context.services
    listing = await collect(
        services.index,
        "counts.opened",
        context.query,
        subject=None,
        load=services.chain.records.count,
        keep=lambda _found: True,
    )
    return Reply(
        body=[views.count(found) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def type_questions(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.certificate_type(context.code("code"))
    if found is None:
        raise NotFound(what="certificate type", id=context.code("code"))
    return Reply(body=views.type_questions(found))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/certificate-types/{code}/questions",
        access=PUBLIC,
        handler=type_questions,
        response=api.TypeQuestionsView,
        summary_zh="一种证照可以怎样提问与统计，以及各字段的分类分级",
        summary_en="What may be asked and counted about a type, and the class of each of its parts",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/counts",
        access=PUBLIC,
        handler=counts,
        query=PageQuery,
        response=list[api.CountView],
        summary_zh="统计列表，最新在前",
        summary_en="Counts, newest first",
    ),
    Route(
        method="GET",
        path="/v1/counts/{count}",
        access=PUBLIC,
        handler=count,
        response=api.CountView,
        summary_zh="一次统计及其结果",
        summary_en="One count and what it told",
        etag=True,
    ),
)
