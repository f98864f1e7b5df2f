"""Other networks whose certificates are recognised here (跨省互认).

Rule: whom operators trust, from which point and for what, is on the ledger and public.
"""

from __future__ import annotations

from typing import Any, Final

from contracts.region_records import Region
from ledger.errors import NotFound
from ledger.receipts import trust_to_json
from node.http.access import PUBLIC
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import regions as views
from zhenglian import api_regions


def _found(context: Context[None, NoQuery]) -> Region:
    found = context.services.chain.records.region(context.id("region"))
    if found is None:
        raise NotFound(what="region", id=context.id("region").hex())
    return found


async def regions(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=[views.region(record) for record in context.services.chain.records.regions()])


async def region(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=views.region(_found(context)))


async def trust(context: Context[None, NoQuery]) -> Reply:
    return Reply(body=trust_to_json(_found(context).trust).encode())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/regions",
        access=PUBLIC,
        handler=regions,
        response=list[api_regions.RegionView],
        summary_zh="运营方表决过的其他地区网络及其信任状态",
        summary_en="Other networks that operators have decided on, and how they stand",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/regions/{region}",
        access=PUBLIC,
        handler=region,
        response=api_regions.RegionView,
        summary_zh="一个地区网络",
        summary_en="One other network",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/regions/{region}/trust",
        access=PUBLIC,
        handler=trust,
        response=dict[str, Any],
        summary_zh="本网络现持有的该地区信任文件，可离线验证其回执",
        summary_en="The trust point held of that network, to verify its receipts offline",
        etag=True,
    ),
)
