"""Certificates of other regions that are recognised here, and checking what people show of them.

Rule: for organisations; a list has what the caller's own organisation asked for, and everything for operators and
auditors. Whoever knows a recognition's id, or region and certificate, which only somebody who has the certificate's
proof can tell him, sees that one. What is disclosed in a check is personal data: it is judged, answered by names
alone, and kept nowhere.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from msgspec import Meta

from contracts.recognitions import recognition_id
from contracts.region_records import Recognition
from contracts.state import ACCOUNTS, CERTIFICATES, CONTRACTS, RECOGNITIONS
from ledger.crypto.registry import load_suite
from ledger.errors import NotFound
from ledger.receipts import StateReceipt, state_receipt_to_json
from node.http import access
from node.http.access import ORGANIZATION, SESSION
from node.http.config import KIB, RateClass
from node.http.pagination import PageQuery, collect, next_link
from node.http.routes.proofs import ProofQuery
from node.http.routes.visibility import sees_certificate
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import regions as views
from node.http.views.common import Names
from node.services.ports import Services
from zhenglian import api, api_regions, certificate_proofs, disclosures
from zhenglian.certificate_proofs import certificate_proof

DISCLOSURE_BYTES_MAX: Final = 2048 * KIB


class RecognitionsQuery(PageQuery):
    region: Annotated[api.Hex32, Meta(description="chain id of its home; 所属地区网络")] | None = None
    certificate: Annotated[api.Hex16, Meta(description="certificate id at home; 证照编号")] | None = None


def _view(services: Services, record: Recognition) -> api_regions.RecognitionView:
    chain = services.chain
    return views.recognition(record, chain.records, Names(chain.records), chain.head_time_ms)


def _found(services: Services, identity: bytes) -> Recognition:
    found = services.chain.records.recognition(identity)
    if found is None:
        raise NotFound(what="recognition", id=identity.hex())
    return found


async def recognition(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=_view(context.services, _found(context.services, context.id("recognition"))))


async def recognitions(context: Context[None, RecognitionsQuery]) -> Reply:
    query, services, caller = context.query, context.services, context.session
    region = bytes.fromhex(query.region) if query.region else None
    certificate = bytes.fromhex(query.certificate) if query.certificate else None
    if region is not None and certificate is not None:
        found = services.chain.records.recognition(recognition_id(services.chain.suite, region, certificate))
        return Reply(body=[] if found is None else [_view(services, found)])

    def keep(record: Recognition) -> bool:
        own = access.oversees(caller) or record.recognized_by == caller.account
        return own and region in {None, record.region} and certificate in {None, record.certificate_id}

    listing = await collect(
        services.index,
        "recognitions.recognized",
        query,
        subject=(certificate or region) if access.oversees(caller) else caller.account,
        load=services.chain.records.recognition,
        keep=keep,
    )
    return Reply(
        body=[_view(services, record) for record in listing.items],
        headers=next_link(context.target, listing.next),
    )


async def proof(context: Context[None, ProofQuery]) -> Reply:
    chain, height = context.services.chain, context.query.height
    key = chain.record_key(RECOGNITIONS, context.id("recognition"), height)
    receipt = chain.state_receipt(key, height)
    return Reply(body=state_receipt_to_json(receipt).encode())


async def home_proof(context: Context[None, ProofQuery]) -> Reply:
    """Of a certificate of this network, for others."""
    services, certificate_id = context.services, context.id("certificate")
    found = services.chain.records.certificate(certificate_id)
    if found is not None:
        access.check(
            await sees_certificate(services, context.session, found), "certificate", found.certificate_id
        )
    height = services.chain.height if context.query.height is None else context.query.height

    def entry(key: bytes) -> StateReceipt:
        return services.chain.state_receipt(key, height)

    certificate = entry(services.chain.record_key(CERTIFICATES, certificate_id, height))
    issuer = None
    if certificate.value is not None and found is not None:
        issuer = entry(ACCOUNTS.key(found.issuer))
    proof = certificate_proof(certificate_id, certificate, entry(CONTRACTS.key("certificates")), issuer)
    return Reply(body=certificate_proofs.to_json(proof).encode())


async def check(context: Context[api_regions.Disclosure, NoQuery]) -> Reply:
    view = _view(context.services, _found(context.services, context.id("recognition")))
    return Reply(body=await asyncio.to_thread(disclosures.check, load_suite(view.suite), view, context.body))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/certificates/{certificate}/home-proof",
        access=SESSION,
        handler=home_proof,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="供其他地区网络互认的证照证明，或证明当时没有该证照",
        summary_en="What this network proves of a certificate for other networks to recognise it, or of its absence",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/recognitions",
        access=ORGANIZATION,
        handler=recognitions,
        query=RecognitionsQuery,
        response=list[api_regions.RecognitionView],
        summary_zh="跨省互认记录，最新在前",
        summary_en="Recognised certificates of other regions, newest first",
    ),
    Route(
        method="GET",
        path="/v1/recognitions/{recognition}",
        access=ORGANIZATION,
        handler=recognition,
        response=api_regions.RecognitionView,
        summary_zh="一份互认记录及其当前是否有效",
        summary_en="A recognition, and whether it holds now",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/recognitions/{recognition}/proof",
        access=ORGANIZATION,
        handler=proof,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="可离线验证的互认记录证明，或证明当时没有该记录",
        summary_en="A recognition's record after a block, or its absence, with a proof that anyone can verify offline",
        etag=True,
    ),
    Route(
        method="POST",
        path="/v1/recognitions/{recognition}/check",
        access=ORGANIZATION,
        handler=check,
        request=api_regions.Disclosure,
        response=api_regions.DisclosureCheckView,
        body_bytes_max=DISCLOSURE_BYTES_MAX,
        rate=RateClass.UPLOAD,
        summary_zh="核验他人出示的证照字段与互认记录是否相符、当前是否有效；数据不留存",
        summary_en="Check what somebody shows of a certificate against its recognition, now; the data is kept nowhere",
    ),
)
