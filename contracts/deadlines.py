"""`deadlines.tick`: carries out on the chain what time alone has decided.

Rule: a tick looks at due deadlines in the order of their minutes and of their scheduling, a bounded number at
a time, and leaves each decision to the record's own contract. Any operator may send one; a tick that comes
too late or twice finds nothing to do and changes nothing.
"""

from __future__ import annotations

from typing import Final

from contracts.calls import DeadlinesTick
from contracts.methods import OPERATOR_NODE, CallContext, method
from contracts.schedule import due, pop_due
from contracts.state import Deadline, DeadlineKind
from ledger.types import RESULT_EVENTS_MAX

# A result that held more events could not be read; a tick ends while there is room for those of one deadline more.
EVENTS_PER_DEADLINE_MAX: Final = 8
DEADLINES_PER_TICK_MAX: Final = RESULT_EVENTS_MAX - EVENTS_PER_DEADLINE_MAX
_CONTRACTS: Final = {
    DeadlineKind.GRANT: "grants",
    DeadlineKind.RELEASE: "releases",
    DeadlineKind.PROPOSAL: "governance",
    DeadlineKind.COUNT: "counts",
    DeadlineKind.ERASURE: "certificates",
    DeadlineKind.DELETION: "grants",
    DeadlineKind.MANDATE: "representation",
    DeadlineKind.RECOVERY: "recoveries",
    DeadlineKind.SHARED_KEY: "shared_keys",
}


@method(DeadlinesTick, callers=OPERATOR_NODE, cost=600)
def tick(context: CallContext, _args: DeadlinesTick) -> int:
    """Carry out due deadlines. Output: how many were looked at."""
    count = 0
    while count < DEADLINES_PER_TICK_MAX and len(context.events) <= DEADLINES_PER_TICK_MAX:
        deadline = pop_due(context.state, context.time_ms)
        if deadline is None:
            break
        _carry_out(context, deadline)
        count += 1
    return count


def _carry_out(context: CallContext, deadline: Deadline) -> None:
    context.contracts.carry_out_deadline(_CONTRACTS[deadline.kind], context, deadline.object_id)


METHODS: Final = (tick,)

__all__ = ["DEADLINES_PER_TICK_MAX", "METHODS", "due", "tick"]
