"""Every version of every contract there is, and what a call costs.

Rule: a method that no version in `REGISTRY` has does not exist; the test suite holds it against `calls.CALLS`. A version that a
network may have run stays here for ever, as it is. A cost depends on nothing but the call and the version that holds, so that a
proposer and a verifier count alike before anything runs. How to write a version: `docs/contracts.md`.
"""

from __future__ import annotations

from typing import Final

from contracts import (
    bodies,
    certificates,
    counts,
    deadlines,
    erasures,
    evidence,
    forms,
    governance,
    grants,
    lookups,
    nodes,
    organizations,
    people,
    recognitions,
    recoveries,
    regions,
    releases,
    representation,
    shared_keys,
    traces,
)
from contracts.actions import CHANGES_PER_ACTION_MAX
from contracts.denials import Denied
from contracts.membership import VOTE_KEY_CHECK_COST
from contracts.methods import Method
from contracts.state import CERTIFICATES, ERASURES, RECOGNITIONS, TRACES
from contracts.versions import Contract, Registry
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX, Call

UNKNOWN_METHOD_COST: Final = 10
ARGS_SIZE_BYTES_PER_COST_UNIT: Final = 32

# Every version that this release has, in any order.
VERSIONS: Final[tuple[Contract, ...]] = (
    governance.CONTRACT,
    Contract(name="nodes", methods=nodes.METHODS),
    Contract(name="evidence", methods=evidence.METHODS),
    Contract(name="organizations", methods=organizations.METHODS),
    Contract(name="people", methods=people.METHODS),
    lookups.CONTRACT,
    recoveries.CONTRACT,
    Contract(
        name="certificates",
        methods=(*certificates.METHODS, *erasures.METHODS),
        tables=(CERTIFICATES, ERASURES),
        on_deadline=erasures.remind,
    ),
    grants.CONTRACT,
    bodies.CONTRACT,
    representation.CONTRACT,
    releases.CONTRACT,
    Contract(name="traces", methods=traces.METHODS, tables=(TRACES,)),
    Contract(name="deadlines", methods=deadlines.METHODS),
    counts.CONTRACT,
    forms.CONTRACT,
    Contract(name="regions", methods=regions.METHODS),
    Contract(name="recognitions", methods=recognitions.METHODS, tables=(RECOGNITIONS,)),
    shared_keys.CONTRACT,
)

# What every network begins with, version 1 of each. A contract that comes later is voted in (`upgrades.py`): nobody adds one here,
# because the state of every network's genesis hangs on it.
CONTRACTS_AT_GENESIS: Final = (
    "governance",
    "nodes",
    "evidence",
    "organizations",
    "people",
    "lookups",
    "recoveries",
    "certificates",
    "grants",
    "bodies",
    "representation",
    "releases",
    "traces",
    "deadlines",
    "counts",
    "forms",
    "regions",
    "recognitions",
    "shared_keys",
)

# The methods of the first versions, by name.
METHODS: Final[dict[tuple[str, str], Method]] = {
    (method.contract, method.name): method
    for contract in VERSIONS
    if contract.version == 1
    for method in contract.methods
}
_AT_GENESIS: Final = tuple(method for method in METHODS.values() if method.contract in CONTRACTS_AT_GENESIS)

# A network's genesis has room in every block for a call of this cost; no later version's calls may cost more.
CALL_COST_MAX: Final = (
    max(method.cost for method in _AT_GENESIS)
    + max(CHANGES_PER_ACTION_MAX * VOTE_KEY_CHECK_COST, regions.CHECK_COST_MAX)
    + CALL_ARGS_SIZE_BYTES_MAX // ARGS_SIZE_BYTES_PER_COST_UNIT
)

REGISTRY: Final = Registry(VERSIONS, cost_max=CALL_COST_MAX)


def call_cost(call: Call) -> int:
    """Deterministic cost units of a call as the first versions have it."""
    return cost_of(METHODS.get((call.contract, call.method)), call)


def cost_of(method: Method | None, call: Call) -> int:
    """Deterministic cost units: the method's, one for each begun 32 bytes of arguments, and what these ask for; at most
    `CALL_COST_MAX`.

    Args:
        method: what the call asks for in the version that holds; None if there is no such method.
        call: the call.
    """
    base = UNKNOWN_METHOD_COST if method is None else method.cost
    whole = base - (-len(call.args) // ARGS_SIZE_BYTES_PER_COST_UNIT) + _extra_cost(method, call)
    return min(whole, CALL_COST_MAX)


def _extra_cost(method: Method | None, call: Call) -> int:
    if method is None or method.extra_cost is None:
        return 0
    try:
        return method.extra_cost(method.parse(call.args))
    except Denied:
        return 0  # it will be denied as malformed, for no more than its bytes
