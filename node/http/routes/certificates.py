"""Certificates on the ledger.

Rule: for the holder, the issuer, whoever has an active grant on it, operators and auditors.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.records import Certificate
from ledger.errors import NotFound
from node.http import access
from node.http.access import SESSION
from node.http.pagination import PageQuery, collect, next_link
from node.http.routes.visibility import active_grants, sees_certificate
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import records as views
from node.http.views.common import Names
from zhenglian import api

TypeCode = Annotated[
    str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$", description="certificate type; 证照类型代码")
]


class CertificatesQuery(PageQuery):
    holder: Annotated[api.Hex16, Meta(description="account that holds it; 持证主体")] | None = None
    issuer: Annotated[api.Hex16, Meta(description="account that issued it; 颁发机构")] | None = None
    type: TypeCode | None = None


async def certificate(context: Context[None, NoQuery]) -> Reply:
    services = context.services
    found = services.chain.records.certificate(context.id("certificate"))
    if found is None:
        raise NotFound(what="certificate", id=context.id("certificate").hex())
    access.check(
        await sees_certificate(services, context.session, found), "certificate", found.certificate_id
    )
    records = services.chain.records
    return Reply(body=views.certificate(found, records, Names(records), services.chain.head_time_ms))


async def certificates(context: Context[None, CertificatesQuery]) -> Reply:
    """Without `holder` and `issuer`: what the caller holds or issued; all, for operators and auditors."""
    query, services, caller = context.query, context.services, context.session
    holder = bytes.fromhex(query.holder) if query.holder else None
    issuer = bytes.fromhex(query.issuer) if query.issuer else None
    subject = holder or issuer or (None if access.oversees(caller) else caller.account)
    own = caller.account in {holder, issuer} or access.oversees(caller)
    grants = await active_grants(services, holder, caller.account) if holder is not None and not own else []

    def keep(found: Certificate) -> bool:
        return (
            holder in {None, found.holder}
            and issuer in {None, found.issuer}
            and query.type in {None, found.certificate_type}
            and access.may_see_certificate(caller, found, grants)
        )

    records = services.chain.records
    listing = await collect(
        services.index, "certificates.issued", query, subject=subject, load=records.certificate, keep=keep
    )
    names = Names(records)
    now_ms = services.chain.head_time_ms
    return Reply(
        body=[views.certificate(found, records, names, now_ms) for found in listing.items],
        headers=next_link(context.target, listing.next),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/certificates",
        access=SESSION,
        handler=certificates,
        query=CertificatesQuery,
        response=list[api.CertificateView],
        summary_zh="证照列表，最新在前",
        summary_en="Certificates, newest first",
    ),
    Route(
        method="GET",
        path="/v1/certificates/{certificate}",
        access=SESSION,
        handler=certificate,
        response=api.CertificateView,
        summary_zh="一份证照及其状态",
        summary_en="A certificate and its states",
        etag=True,
    ),
)
