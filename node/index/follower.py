"""Keeps an index level with the chain, from whatever height it is at.

Rule: the follower reads finalized blocks only and never skips one; it is the only writer of its index. Where
the chain's own history begins later than the index ends, as after state sync, there would be a hole that
nobody sees; the index then begins anew with the first block there is.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, Protocol

import structlog

from ledger.errors import StorageDamaged, Unavailable, invariant
from ledger.types import FinalizedBlock, Result
from node.index.concerns import ConcernRecords, concerns
from node.index.ports import BlockFacts, Index

BLOCKS_PER_BATCH_MAX: Final = 256
EVENTS_PER_BATCH_MAX: Final = 10_000
IDLE_WAIT_S: Final = 30.0
RETRY_S: Final = 5.0
DAMAGED_RETRY_S: Final = 600.0

log = structlog.get_logger()


class FinalizedSource(Protocol):
    """What the follower reads; `node.services.ports.Chain` is one."""

    @property
    def height(self) -> int: ...

    @property
    def first_height(self) -> int: ...

    @property
    def records(self) -> ConcernRecords: ...

    def contents(self, height: int) -> FinalizedBlock | None: ...

    def results(self, height: int) -> tuple[Result, ...]: ...

    async def wait_height_above(self, height: int, timeout_s: float) -> int: ...


async def catch_up(chain: FinalizedSource, index: Index, records: ConcernRecords | None = None) -> int:
    """Apply every finalized block that the index lacks; its height afterwards.

    Args:
        chain: what is final.
        index: what follows it.
        records: whose something is; the chain's own, proven records if left out.
    """
    if index.height + 1 < chain.first_height:
        if index.height > 0:
            log.warning("the index begins anew, with a snapshot", had=index.height, first=chain.first_height)
        await index.begin(chain.first_height)
    while index.height < chain.height:
        await index.apply(_next_batch(chain, index.height + 1, records or chain.records))
    return index.height


async def follow(chain: FinalizedSource, index: Index, records: ConcernRecords | None = None) -> None:
    """Catch up and then follow, until cancelled. A full disk is waited out: the chain keeps what the index lacks."""
    while True:
        try:
            height = await catch_up(chain, index, records)
        except Unavailable as error:
            log.error("the index cannot be written; trying again", reason=str(error))
            await asyncio.sleep(RETRY_S)
            continue
        except StorageDamaged as error:
            # Told by who found it; the chain goes on, and so may the index when the node has been mended.
            log.error("the index waits: the chain cannot be read", reason=str(error))
            await asyncio.sleep(DAMAGED_RETRY_S)
            continue
        await chain.wait_height_above(height, IDLE_WAIT_S)


def _next_batch(chain: FinalizedSource, first: int, records: ConcernRecords) -> list[BlockFacts]:
    """At least one block, and no more than fit in one short database transaction."""
    batch: list[BlockFacts] = []
    events = 0
    for height in range(first, min(chain.height, first + BLOCKS_PER_BATCH_MAX - 1) + 1):
        finalized = chain.contents(height)
        invariant(finalized is not None, "the store has every block from its first one up to its height")
        if finalized is None:
            break
        results = chain.results(height)
        block = BlockFacts(
            header=finalized.block.header, transactions=finalized.block.transactions, results=results
        )
        batch.append(replace(block, concerns=concerns(block, records)))
        events += sum(len(result.events) for result in results)
        if events >= EVENTS_PER_BATCH_MAX:
            break
    return batch
