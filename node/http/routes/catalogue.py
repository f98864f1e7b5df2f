"""Certificate types and purposes: what can be issued, what may be asked for.

Rule: public, complete, and small enough for one answer.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import NotFound
from node.http.access import PUBLIC
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import grants as grant_views
from node.http.views import records as views
from zhenglian import api


async def certificate_types(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.certificate_types()
    return Reply(body=[views.certificate_type(kind) for kind in found])


async def certificate_type(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.certificate_type(context.code("code"))
    if found is None:
        raise NotFound(what="certificate type", id=context.code("code"))
    return Reply(body=views.certificate_type(found))


async def purposes(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    return Reply(body=[grant_views.purpose(found, chain.suite) for found in chain.records.purposes()])


async def purpose(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.records.purpose(context.code("code"))
    if found is None:
        raise NotFound(what="purpose", id=context.code("code"))
    return Reply(body=grant_views.purpose(found, context.services.chain.suite))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/certificate-types",
        access=PUBLIC,
        handler=certificate_types,
        response=list[api.CertificateTypeView],
        summary_zh="证照目录",
        summary_en="The catalogue of certificate types",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/certificate-types/{code}",
        access=PUBLIC,
        handler=certificate_type,
        response=api.CertificateTypeView,
        summary_zh="一种证照的说明",
        summary_en="One certificate type",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/purposes",
        access=PUBLIC,
        handler=purposes,
        response=list[api.PurposeView],
        summary_zh="用途模板：每种用途最多可以索取什么",
        summary_en="Purpose templates: what may be asked for, at most",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/purposes/{code}",
        access=PUBLIC,
        handler=purpose,
        response=api.PurposeView,
        summary_zh="一种用途的模板",
        summary_en="One purpose template",
        etag=True,
    ),
)
