"""Every method there is, by name, and what a call costs.

Rule: a method that is not in `METHODS` does not exist; the test suite holds it against `calls.CALLS`. A cost
depends on nothing but the call itself, so that a proposer and a verifier count alike before anything runs.
"""

from __future__ import annotations

from typing import Final

from contracts import (
    certificates,
    deadlines,
    governance,
    grants,
    organizations,
    people,
    releases,
    traces,
)
from contracts.methods import Method
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call

UNKNOWN_METHOD_COST: Final = 10
ARGS_SIZE_BYTES_PER_COST_UNIT: Final = 32

METHODS: Final[dict[tuple[str, str], Method]] = {
    (method.contract, method.name): method
    for method in (
        *governance.METHODS,
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
    """Deterministic cost units of a call: its method's, and one for each begun 32 bytes of arguments."""
    method = METHODS.get((call.contract, call.method))
    base = UNKNOWN_METHOD_COST if method is None else method.cost
    return base - (-len(call.args) // ARGS_SIZE_BYTES_PER_COST_UNIT)


CALL_COST_MAX: Final = (
    max(method.cost for method in METHODS.values())
    + CALL_ARGS_SIZE_BYTES_MAX // ARGS_SIZE_BYTES_PER_COST_UNIT
)
