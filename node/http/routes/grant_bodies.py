"""Bodies of grants: sealed for who asked, listed for who sees the grant, read by the signer of an opening.

Rule: nothing is read but by a call on the ledger, which says who may (`contracts/bodies.py`).
"""

from __future__ import annotations

from typing import Final

from contracts.bodies import body_id
from contracts.body_records import Body, BodyKind
from ledger.errors import NotFound, Unavailable
from node.http import access, decode
from node.http.access import GRANTEE_OFFICER, SESSION
from node.http.config import RateClass
from node.http.errors import NotTheSigner
from node.http.routes.visibility import sees_grant
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views.common import hex_or_none, instant, instant_or_none
from node.services.ports import GrantBodies, Services
from zhenglian import api_bodies as api
from zhenglian.grant_bodies import GrantBody


def _bodies(services: Services) -> GrantBodies:
    if services.bodies is None:
        raise Unavailable(what="bodies of grants", reason="this node does not serve them")
    return services.bodies


async def listed(context: Context[None, NoQuery]) -> Reply:
    services = context.services
    grant = services.chain.records.grant(context.id("grant"))
    if grant is None:
        raise NotFound(what="grant", id=context.id("grant").hex())
    access.check(await sees_grant(services, context.session, grant), "grant", grant.grant_id)
    return Reply(body=[_view(body) for body in _bodies(services).bodies_of(grant.grant_id)])


async def seal(context: Context[api.SealBody, NoQuery]) -> Reply:
    services, asked = context.services, context.body
    grant = services.chain.records.grant(context.id("grant"))
    if grant is None or grant.grantee != context.session.account:
        raise NotFound(what="grant", id=context.id("grant").hex())
    kind = BodyKind(asked.kind)
    body = GrantBody(asked.texts, bytes.fromhex(asked.salt))
    payload_hash = await _bodies(services).seal(grant.grant_id, kind, body)
    name = body_id(services.chain.suite, grant.grant_id, kind)
    return Reply(body=api.SealedBody(body_id=name.hex(), payload_hash=payload_hash.hex()))


async def opened(context: Context[api.OpenBody, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction, expected="bodies.open")
    caller = context.session
    if (signed.body.account, signed.body.key_id) != (caller.account, caller.key_id):
        raise NotTheSigner
    body, content = await _bodies(context.services).open(signed)
    return Reply(
        body=api.OpenedBody(
            body_id=body.body_id.hex(),
            grant_id=body.grant_id.hex(),
            kind=body.kind.value,
            texts=dict(content.texts),
        )
    )


def _view(body: Body) -> api.BodyView:
    return api.BodyView(
        body_id=body.body_id.hex(),
        grant_id=body.grant_id.hex(),
        kind=body.kind.value,
        payload_hash=body.payload_hash.hex(),
        kept=instant(body.kept_ms),
        kept_by=body.kept_by.hex(),
        erased=instant_or_none(body.erased_ms),
        erased_by=hex_or_none(body.erased_by),
        destroyed_by=len(body.destructions),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/grants/{grant}/bodies",
        access=SESSION,
        handler=listed,
        response=list[api.BodyView],
        summary_zh="一项授权的附文：是否保管、是否已删除",
        summary_en="The bodies of a grant: whether they are kept or erased",
        etag=True,
    ),
    Route(
        method="POST",
        path="/v1/grants/{grant}/bodies",
        access=GRANTEE_OFFICER,
        handler=seal,
        request=api.SealBody,
        response=api.SealedBody,
        rate=RateClass.UPLOAD,
        summary_zh="加密保管授权附文，返回待签名的哈希",
        summary_en="Seal the body of a grant; the hash to sign `bodies.keep` with",
    ),
    Route(
        method="POST",
        path="/v1/bodies/openings",
        access=SESSION,
        handler=opened,
        request=api.OpenBody,
        response=api.OpenedBody,
        rate=RateClass.UPLOAD,
        summary_zh="凭已签名的 bodies.open 阅读授权附文，阅读上链留痕",
        summary_en="Read a body by a signed `bodies.open`; the reading is on record",
    ),
)
