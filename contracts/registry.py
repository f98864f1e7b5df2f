"""Every method there is, by name, and what a call costs.

Rule: a method that is not in `METHODS` does not exist; the test suite holds it against `calls.CALLS`. A cost
depends on nothing but the call itself, so that a proposer and a verifier count alike before anything runs.
"""

from __future__ import annotations

from typing import Final

from contracts import (
    certificates,
    deadlines,
    evidence,
    governance,
    grants,
    nodes,
    organizations,
    people,
    releases,
    traces,
)
from contracts.actions import CHANGES_PER_ACTION_MAX
from contracts.denials import Denied
from contracts.membership import VOTE_KEY_CHECK_COST
from contracts.methods import Method
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call

UNKNOWN_METHOD_COST: Final = 10
ARGS_SIZE_BYTES_PER_COST_UNIT: Final = 32

METHODS: Final[dict[tuple[str, str], Method]] = {
    (method.contract, method.name): method
    for method in (
        *governance.METHODS,
        *nodes.METHODS,
        *evidence.METHODS,
        *organizations.METHODS,
        *people.METHODS,
        *certificates.METHODS,
        *grants.METHODS,
        *releases.METHODS,
        *traces.METHODS,
        *deadlines.METHODS,
    )
}


def call_cost(call: Call) -> int:
    """Deterministic cost units of a call: its method's, one for each begun 32 bytes of arguments, and what these ask for."""
    method = METHODS.get((call.contract, call.method))
    base = UNKNOWN_METHOD_COST if method is None else method.cost
    return base - (-len(call.args) // ARGS_SIZE_BYTES_PER_COST_UNIT) + _extra_cost(method, call)


def _extra_cost(method: Method | None, call: Call) -> int:
    if method is None or method.extra_cost is None:
        return 0
    try:
        return method.extra_cost(method.parse(call.args))
    except Denied:
        return 0  # it will be denied as malformed, for no more than its bytes


CALL_COST_MAX: Final = (
    max(method.cost for method in METHODS.values())
    + CHANGES_PER_ACTION_MAX * VOTE_KEY_CHECK_COST
    + CALL_ARGS_SIZE_BYTES_MAX // ARGS_SIZE_BYTES_PER_COST_UNIT
)
