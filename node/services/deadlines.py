"""Deadlines must fire on an idle chain: a node submits `deadlines.tick` when one is due.

Rule: the operators of the day take turns, so that one tick a deadline goes on the chain, not one per node; a second is
harmless. Whose turn it is ticks until nothing is due. A node that has no vote leaves it to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from contracts.calls import DeadlinesTick
from contracts.schedule import due
from ledger.errors import LedgerError
from node.chain import Chain
from node.services.node_account import NodeAccount

CHECK_EVERY_S: Final = 5.0
TURN_S: Final = 10.0
# Of one turn, once it is known that one is not enough; a block has room for many times as many.
TICKS_AT_ONCE: Final = 8

log = structlog.get_logger()


async def watch_deadlines(chain: Chain, node: NodeAccount, clock_ms: Callable[[], int]) -> None:
    """Run for ever: look, wait for this node's turn, look again, tick."""
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        accounts = [validator.account for validator in chain.validators.validators]
        if node.account not in accounts or not due(chain.records, clock_ms()):
            continue
        rank = accounts.index(node.account)
        await asyncio.sleep(((rank + chain.height) % len(accounts)) * TURN_S)
        if due(chain.records, clock_ms()):
            await carry_out_due(chain, node)


async def carry_out_due(chain: Chain, node: NodeAccount) -> None:
    """Tick until nothing is due at the head's block time any more.

    A tick looks at a bounded number, and every release leaves two deadlines: at one tick a turn they would fall behind a busy
    network for ever, and with them what is to be disclosed, failed or forgotten in its time.
    """
    ticks = 1
    while True:
        done = await asyncio.gather(*(_tick(node) for _ in range(ticks)))
        if not all(done) or not due(chain.records, chain.head_time_ms):
            return
        ticks = TICKS_AT_ONCE


async def _tick(node: NodeAccount) -> bool:
    try:
        await node.submit(DeadlinesTick())
    except LedgerError as error:
        log.warning("tick not done", code=error.code, reason=str(error))
        return False
    return True
