"""Finalized blocks, as a list, one by one, and as they come.

Rule: only finalized blocks are ever shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.errors import NotFound
from ledger.store_records import NotHeld
from node.http import sse
from node.http.access import PUBLIC
from node.http.decode import json_bytes
from node.http.pagination import PageQuery, next_link
from node.http.routing import EVENT_STREAM, Context, Message, NoQuery, Reply, Route, Stream
from node.http.views import chain as views
from node.http.views.common import Names
from node.services.ports import Chain
from zhenglian import api


async def blocks(context: Context[None, PageQuery]) -> Reply:
    """Newest first; the cursor is the height above which the page before ended."""
    chain, query = context.services.chain, context.query
    top = chain.height if query.cursor is None else min(query.cursor - 1, chain.height)
    first = chain.first_height if chain.first_height > 1 else 0
    heights = range(top, max(top - query.limit, first - 1), -1)
    names = Names(chain.records)
    found = [views.block(chain, names, height) for height in heights]
    lowest = heights[-1] if heights else 0
    return Reply(
        body=[view for view in found if view is not None],
        headers=next_link(context.target, lowest if lowest > first else None),
    )


async def block(context: Context[None, NoQuery]) -> Reply:
    chain, height = context.services.chain, context.number("height")
    view = views.block(chain, Names(chain.records), height) if height <= chain.height else None
    if view is None and 0 < height < chain.first_height:
        raise NotHeld(what="block", id=height, first_height=chain.first_height)
    if view is None:
        raise NotFound(what="block", id=height)
    return Reply(body=view)


class BlockFeed:
    """Blocks above a height, as they become final."""

    def __init__(self, chain: Chain, after: int) -> None:
        self._chain = chain
        self._after = max(after, chain.first_height - 1)

    async def poll(self, timeout_s: float) -> Sequence[Message]:
        """See `routing.Stream`."""
        height = await self._chain.wait_height_above(self._after, timeout_s)
        names = Names(self._chain.records)
        messages: list[Message] = []
        for number in range(self._after + 1, min(height, self._after + sse.BATCH_MAX) + 1):
            view = views.block(self._chain, names, number)
            if view is None:
                if number < self._chain.first_height and not messages:
                    raise NotHeld(what="block", id=number, first_height=self._chain.first_height)
                break
            messages.append(Message(event="block", id=str(number), data=json_bytes(view)))
            self._after = number
        return messages


async def stream(context: Context[None, NoQuery]) -> Stream:
    chain = context.services.chain
    resumed = sse.resume_point(context.last_event_id)
    return Stream(poll=BlockFeed(chain, chain.height if resumed is None else resumed).poll)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/blocks",
        access=PUBLIC,
        handler=blocks,
        query=PageQuery,
        response=list[api.BlockView],
        summary_zh="已最终确认的区块，最新在前",
        summary_en="Finalized blocks, newest first",
    ),
    Route(
        method="GET",
        path="/v1/blocks/stream",
        access=PUBLIC,
        handler=stream,
        media_type=EVENT_STREAM,
        response=api.BlockView,
        summary_zh="区块事件流（SSE），可用 Last-Event-ID 续传",
        summary_en="Blocks as server-sent events; Last-Event-ID resumes",
    ),
    Route(
        method="GET",
        path="/v1/blocks/{height}",
        access=PUBLIC,
        handler=block,
        response=api.BlockView,
        summary_zh="某一高度的区块",
        summary_en="The block at a height",
        etag=True,
    ),
)
