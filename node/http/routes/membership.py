"""Who makes up the network: validators of each epoch, nodes, evidence against validators, versions of protocol and contracts.

Rule: all of it is on the ledger and public.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.errors import NotFound
from node.http.access import PUBLIC
from node.http.pagination import PageQuery, next_link
from node.http.routing import Context, NoQuery, Query, Reply, Route
from node.http.views import membership as views
from node.http.views.common import Names
from zhenglian import api_network


class EpochQuery(Query):
    epoch: (
        Annotated[
            int,
            Meta(
                ge=1, le=2**53 - 1, description="of which epoch; the present one if left out; 任期，默认当前"
            ),
        ]
        | None
    ) = None


async def validators(context: Context[None, EpochQuery]) -> Reply:
    chain, epoch = context.services.chain, context.query.epoch
    found = chain.validators if epoch is None else chain.validator_set(epoch)
    if found is None:
        raise NotFound(what="epoch", id=str(epoch))
    return Reply(body=views.validator_set(found))


async def nodes(context: Context[None, PageQuery]) -> Reply:
    chain, query = context.services.chain, context.query
    first = query.cursor or 0
    every = chain.nodes()
    facts = chain.status()
    page = every[first : first + query.limit]
    following = first + query.limit if first + query.limit < len(every) else None
    return Reply(
        body=[views.node(record, facts, chain) for record in page],
        headers=next_link(context.target, following),
    )


async def evidence(context: Context[None, PageQuery]) -> Reply:
    """Newest first: a cursor is the number below which the page begins."""
    chain, query = context.services.chain, context.query
    count = chain.evidence_count()
    end = count if query.cursor is None else min(query.cursor, count)
    first = max(0, end - query.limit)
    names = Names(chain.records)
    records = chain.evidence(first, end - first)
    numbered = list(enumerate(records, start=first))
    return Reply(
        body=[views.evidence(number, record, names) for number, record in reversed(numbered)],
        headers=next_link(context.target, first if first > 0 else None),
    )


async def protocol(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=views.protocol(context.services.chain))


async def contracts(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=views.contracts(context.services.chain))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/validators",
        access=PUBLIC,
        handler=validators,
        query=EpochQuery,
        response=api_network.ValidatorSetView,
        summary_zh="当前（或某一任期）的验证节点",
        summary_en="The validators of the present epoch, or of another",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/nodes",
        access=PUBLIC,
        handler=nodes,
        query=PageQuery,
        response=list[api_network.NodeView],
        summary_zh="网络中的全部节点：验证节点与只读节点",
        summary_en="Every node of the network: validators and read nodes",
    ),
    Route(
        method="GET",
        path="/v1/evidence",
        access=PUBLIC,
        handler=evidence,
        query=PageQuery,
        response=list[api_network.EvidenceView],
        summary_zh="验证节点矛盾投票的证据，最新在前",
        summary_en="Evidence of validators' conflicting votes, newest first",
    ),
    Route(
        method="GET",
        path="/v1/protocol",
        access=PUBLIC,
        handler=protocol,
        response=api_network.ProtocolView,
        summary_zh="协议版本及待启用的版本",
        summary_en="The protocol version, and the one that is to come into force",
    ),
    Route(
        method="GET",
        path="/v1/contracts",
        access=PUBLIC,
        handler=contracts,
        response=list[api_network.ContractView],
        summary_zh="各合约的版本：现行、待启用、迁移进度，以及本节点软件支持的版本",
        summary_en="Versions of contracts: in force, set, being migrated to, and the latest that this node's release has",
    ),
)
