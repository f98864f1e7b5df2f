"""The node's process: from its folder to an exit status.

Rule: whatever ends the process ends here in a status that a supervisor can act on; what was promised was made durable before.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from ledger.errors import InvariantViolation
from node.app import EXIT_STATUS_BROKEN_INVARIANT, Node
from node.assembly.ground import wall_clock_ms
from node.bootstrap import begin, fetch_snapshot, open_store, wants_snapshot
from node.foundation import lay_foundation
from node.home import FileUnusable

log = structlog.get_logger()


def run_node(folder: Path) -> int:
    """Run the node in `folder` until it is told to stop; the process's exit status.

    Raises:
        LedgerError: it cannot start; the message says what to do.
    """
    import uvloop

    async def main() -> int:
        base, journal, store = begin(lay_foundation(folder))
        if store is None and wants_snapshot(base, wall_clock_ms()):
            await fetch_snapshot(base)
        return await Node(base, journal, store or open_store(base)).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(main())
        except InvariantViolation as error:
            log.critical("the node stops", error=repr(error))
            os._exit(EXIT_STATUS_BROKEN_INVARIANT)
        except OSError as error:
            # Only while it starts: once it runs, every task's failure ends in `Node._fail`.
            reason = error.strerror or str(error)
            raise FileUnusable(path=str(error.filename or folder), reason=reason) from None
