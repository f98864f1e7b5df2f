"""Waiting for this node's replica to come as far as an asker's.

Rule: bounded; who asks may be ahead by a moment, and says nothing that this replica would believe without seeing it.
"""

from __future__ import annotations

from typing import Final, Protocol

from ledger.errors import Unavailable

WAIT_FINAL_S: Final = 2.0


class Heights(Protocol):
    """The finalized chain, as far as it is waited for."""

    @property
    def height(self) -> int: ...

    async def wait_height_above(self, height: int, timeout_s: float) -> int: ...


async def wait_final(chain: Heights, height: int) -> None:
    """Wait until this replica has finalized `height`, at most `WAIT_FINAL_S`.

    Raises:
        Unavailable: it has not; ask again.
    """
    if chain.height < height and await chain.wait_height_above(height - 1, WAIT_FINAL_S) < height:
        raise Unavailable(what="replica", reason=f"it is at height {chain.height}, not yet at {height}")
