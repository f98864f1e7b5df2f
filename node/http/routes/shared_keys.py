"""Keys that the operators hold together: what is in force, and what is under way.

Rule: public; a client that seals or looks up needs the public halves, and everybody may see who holds what up.
"""

from __future__ import annotations

from typing import Final

from node.http.access import PUBLIC
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import shared_keys as views
from node.http.views.common import Names
from zhenglian import api_keys


async def shared_keys(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    missing = chain.status().missing_shares
    return Reply(body=views.shared_keys(chain.shared_keys(), missing, Names(chain.records)))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/shared-keys",
        access=PUBLIC,
        handler=shared_keys,
        response=api_keys.SharedKeysView,
        summary_zh="运营方共管的密钥：公钥、持有方、门限，以及进行中的生成或更新",
        summary_en="Keys that operators hold together: public keys, holders, thresholds, and rounds under way",
    ),
)
