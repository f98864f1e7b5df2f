"""Plans about agent keys: letting a node sign deposits and fetches for the own organisation, and ending that.

Rule: the node makes the key and keeps it; it means nothing until the administrator has added it on the ledger, which he ends there.
"""

from __future__ import annotations

from contracts.calls import NewKey
from contracts.records import KeyRole
from ledger.crypto.suite import key_id
from zhenglian import exchange
from zhenglian.api_deposits import AgentView
from zhenglian.errors import Mismatch
from zhenglian.exchange import Core, Plan, Request, decode, get
from zhenglian.plans import governance

AGENT_DAYS = 90
_DAY_MS = 86_400_000


def create_agent(core: Core, *, label: str = "agent", days: int = AGENT_DAYS) -> Plan[AgentView]:
    """Have the node make an agent key, and put it on the ledger; signed by the organisation's administrator.

    Args:
        label: of the key.
        days: how long it counts; 0 without end.

    Raises:
        Mismatch: the node's key is not the one that it names.
        Denied: the ledger refuses it.
    """
    answer = yield from exchange.exchange(core, Request(method="POST", path="/v1/agents", session=True))
    view = decode(answer, AgentView)
    suite = yield from exchange.suite(core)
    public = bytes.fromhex(view.public_key)
    expected = key_id(suite, view.scheme, public).hex()
    if view.key_id != expected:
        raise Mismatch(what="agent key", expected=expected, actual=view.key_id)
    key = NewKey(
        scheme=view.scheme,
        public_key=public,
        role=KeyRole.AGENT,
        label=label,
        valid_until_ms=core.clock_ms() + days * _DAY_MS if days else 0,
    )
    yield from governance.add_organization_key(core, key)
    return view


def agents(core: Core) -> Plan[list[AgentView]]:
    """The organisation's agent keys that the node keeps."""
    return (yield from get(core, "/v1/agents", list[AgentView], session=True))


def revoke_agent(core: Core, name: str) -> Plan[None]:
    """End an agent key on the ledger, at once; and have the node destroy it, if this node keeps it."""
    yield from governance.revoke_organization_key(core, name)
    for held in (yield from agents(core)):
        if held.key_id == name:
            yield from exchange.exchange(
                core, Request(method="DELETE", path=f"/v1/agents/{name}", session=True)
            )
