"""Health, metrics, the API's own description, and how node and network are.

Rule: public, and without anything that a passer-by should not know.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ledger.errors import Unavailable
from ledger.receipts import EPOCH_CHANGES_MAX, epochs_to_json, trust_to_json
from node.http.access import PUBLIC
from node.http.docs_page import CONTENT_SECURITY_POLICY, PAGE
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import chain as views
from node.http.views.common import Names
from node.servedstore import ServedDamaged
from zhenglian import api

METRICS_MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
PLAIN: Final = "text/plain; charset=utf-8"


async def healthz(_context: Context[None, NoQuery]) -> Reply:
    """The process runs and answers."""
    return Reply(body=b"ok\n", media_type=PLAIN)


async def readyz(context: Context[None, NoQuery]) -> Reply:
    """The node is level with the network, has found nothing damaged of what it serves, and the operators have made their keys."""
    damage = context.services.chain.damage
    if damage:
        what, _, reason = damage.partition(": ")
        raise ServedDamaged(what=what, reason=reason)
    facts = context.services.chain.status()
    if facts.syncing:
        raise Unavailable(what="node", reason="it is catching up with the network")
    if not context.services.chain.shared_keys().ready:
        raise Unavailable(what="shared keys", reason="the operators have not finished making them")
    return Reply(body=b"ready\n", media_type=PLAIN)


async def metrics(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=context.site.metrics.render(), media_type=METRICS_MEDIA_TYPE)


async def openapi(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=context.site.openapi)


async def docs(_context: Context[None, NoQuery]) -> Reply:
    return Reply(body=PAGE, media_type=HTML, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


async def status(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    return Reply(body=views.node_status(chain, chain.status(), Names(chain.records)))


async def network(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=views.network(context.services.chain))


async def trust(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=trust_to_json(context.services.chain.trust()).encode())


async def epochs(context: Context[None, NoQuery]) -> Reply:
    """Every change of the validator set, each proven by the one before, so that nobody has to trust this node."""
    chain = context.services.chain

    def text() -> str:
        first = chain.genesis.validators.epoch
        return epochs_to_json(chain.epoch_changes(first, EPOCH_CHANGES_MAX))

    return Reply(body=(await asyncio.to_thread(text)).encode())


ROUTES: Final = (
    Route(
        method="GET",
        path="/healthz",
        access=PUBLIC,
        handler=healthz,
        media_type=PLAIN,
        summary_zh="进程是否存活",
        summary_en="Whether the process is alive",
    ),
    Route(
        method="GET",
        path="/readyz",
        access=PUBLIC,
        handler=readyz,
        media_type=PLAIN,
        summary_zh="节点是否已追上网络，可以提供服务",
        summary_en="Whether the node is level with the network and can serve",
    ),
    Route(
        method="GET",
        path="/metrics",
        access=PUBLIC,
        handler=metrics,
        media_type=METRICS_MEDIA_TYPE,
        summary_zh="Prometheus 指标",
        summary_en="Prometheus metrics",
    ),
    Route(
        method="GET",
        path="/openapi.json",
        access=PUBLIC,
        handler=openapi,
        response=dict[str, Any],
        summary_zh="本接口的 OpenAPI 3.1 描述",
        summary_en="The OpenAPI 3.1 description of this API",
        etag=True,
    ),
    Route(
        method="GET",
        path="/",
        access=PUBLIC,
        handler=docs,
        media_type=HTML,
        summary_zh="接口说明页",
        summary_en="The page that describes this API",
    ),
    Route(
        method="GET",
        path="/docs",
        access=PUBLIC,
        handler=docs,
        media_type=HTML,
        summary_zh="接口说明页",
        summary_en="The page that describes this API",
    ),
    Route(
        method="GET",
        path="/v1/status",
        access=PUBLIC,
        handler=status,
        response=api.NodeStatus,
        summary_zh="节点与网络的状态",
        summary_en="How this node and its network are",
    ),
    Route(
        method="GET",
        path="/v1/network",
        access=PUBLIC,
        handler=network,
        response=api.NetworkView,
        summary_zh="网络标识与共识节点",
        summary_en="The network's identity and its validators",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/trust",
        access=PUBLIC,
        handler=trust,
        response=dict[str, Any],
        summary_zh="离线验证凭证所需的信任起点（请从多个节点取得并核对）",
        summary_en="What offline verification starts from; get it from several nodes and compare",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/epochs",
        access=PUBLIC,
        handler=epochs,
        response=dict[str, Any],
        summary_zh="历次验证者集合变更的证明，用于以较早的信任起点验证较新的回执",
        summary_en="Proofs of all changes of the validator set, to verify a younger receipt from an older trust point",
        etag=True,
    ),
)
