"""Agent keys (机构代签密钥): made here at an administrator's request; put on the ledger, and ended there, by himself."""

from __future__ import annotations

from typing import Any, Final

from ledger.errors import Unavailable
from node.http.access import ISSUER_ADMIN
from node.http.config import RateClass
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import deposits as views
from node.services.agents import Agents
from zhenglian import api_deposits


def _agents(context: Context[Any, Any]) -> Agents:
    if context.services.agents is None:
        raise Unavailable(what="agent keys", reason="this node keeps none")
    return context.services.agents


async def create(context: Context[None, NoQuery]) -> Reply:
    return Reply(status=201, body=views.agent(await _agents(context).create(context.session.account)))


async def agents(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=[views.agent(found) for found in _agents(context).of(context.session.account)])


async def destroy(context: Context[None, NoQuery]) -> Reply:
    await _agents(context).destroy(context.session.account, context.id("key"))
    return Reply(status=204)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/agents",
        access=ISSUER_ADMIN,
        handler=create,
        response=api_deposits.AgentView,
        statuses=(201,),
        rate=RateClass.WRITE,
        summary_zh="在本节点生成机构代签密钥；管理员随后以 organizations.add_key（角色 agent）使其生效",
        summary_en="Make an agent key here; the administrator then puts it on the ledger by organizations.add_key, role agent",
    ),
    Route(
        method="GET",
        path="/v1/agents",
        access=ISSUER_ADMIN,
        handler=agents,
        response=list[api_deposits.AgentView],
        summary_zh="本节点保管的本机构代签密钥",
        summary_en="The organisation's agent keys that this node keeps",
    ),
    Route(
        method="DELETE",
        path="/v1/agents/{key}",
        access=ISSUER_ADMIN,
        handler=destroy,
        statuses=(204,),
        rate=RateClass.WRITE,
        summary_zh="销毁本节点保管的代签密钥；在账本上吊销请用 organizations.revoke_key",
        summary_en="Destroy an agent key here; organizations.revoke_key ends it on the ledger",
    ),
)
