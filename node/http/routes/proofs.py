"""Proofs of what the ledger says of a record after a block, or that it says nothing of it.

Rule: who may see a record may have it proven, at any height that is kept; that an id stands for nothing at
all, now and then, is nobody's secret. Everything under a bare state key is for operators and auditors.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta

from contracts.state import CERTIFICATES, GRANTS, RELEASES, Table
from ledger.receipts import state_receipt_to_json
from node.http import access
from node.http.access import OVERSEER, SESSION
from node.http.routes.visibility import sees_certificate, sees_grant, sees_release
from node.http.routing import Context, Query, Reply, Route

HEIGHT_MAX: Final = 2**53 - 1

V = TypeVar("V")


class ProofQuery(Query):
    height: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=HEIGHT_MAX,
                description="after which block; the newest if left out; 区块高度，缺省为最新",
            ),
        ]
        | None
    ) = None


def _proven(context: Context[None, ProofQuery], key: bytes) -> Reply:
    receipt = context.services.chain.state_receipt(key, context.query.height)
    return Reply(body=state_receipt_to_json(receipt).encode())


def _proven_record(context: Context[None, ProofQuery], table: Table[bytes, V], record_id: bytes) -> Reply:
    return _proven(context, context.services.chain.record_key(table, record_id, context.query.height))


async def certificate(context: Context[None, ProofQuery]) -> Reply:
    certificate_id = context.id("certificate")
    found = context.services.chain.records.certificate(certificate_id)
    if found is not None:
        access.check(
            await sees_certificate(context.services, context.session, found),
            "certificate",
            found.certificate_id,
        )
    return _proven_record(context, CERTIFICATES, certificate_id)


async def grant(context: Context[None, ProofQuery]) -> Reply:
    grant_id = context.id("grant")
    found = context.services.chain.records.grant(grant_id)
    if found is not None:
        access.check(await sees_grant(context.services, context.session, found), "grant", found.grant_id)
    return _proven_record(context, GRANTS, grant_id)


async def release(context: Context[None, ProofQuery]) -> Reply:
    release_id = context.id("release")
    found = context.services.chain.records.release(release_id)
    if found is not None:
        access.check(
            await sees_release(context.services, context.session, found), "release", found.release_id
        )
    return _proven_record(context, RELEASES, release_id)


async def state(context: Context[None, ProofQuery]) -> Reply:
    return _proven(context, context.id("state_key"))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/certificates/{certificate}/proof",
        access=SESSION,
        handler=certificate,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="可离线验证的证照状态证明，或证明当时没有该证照",
        summary_en="A certificate's record after a block, or its absence, with a proof that anyone can verify offline",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/grants/{grant}/proof",
        access=SESSION,
        handler=grant,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="可离线验证的授权状态证明，或证明当时没有该授权",
        summary_en="A grant's record after a block, or its absence, with a proof that anyone can verify offline",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/releases/{release}/proof",
        access=SESSION,
        handler=release,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="可离线验证的下链记录证明，或证明当时没有该记录",
        summary_en="A release's record after a block, or its absence, with a proof that anyone can verify offline",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/state/{state_key}",
        access=OVERSEER,
        handler=state,
        query=ProofQuery,
        response=dict[str, Any],
        summary_zh="任一状态键在某一区块之后的值或空缺及其证明",
        summary_en="The value under a state key after a block, or its absence, with the proof",
        etag=True,
    ),
)
