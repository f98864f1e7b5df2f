"""Agent keys: an organisation's key that a node keeps, so that officers without a key at hand can put data up and fetch it.

Rule: an agent acts for one officer at a time and says for whom, by the id of an officer key of its own organisation that is
usable at block time; the record names that officer as who acted, and the agent beside him. An officer who signs himself
names nobody. Which calls an agent may sign at all, the methods say (`methods.ISSUER`, `methods.RECIPIENT`); there are no others.
"""

from __future__ import annotations

from contracts.denials import Denied
from contracts.keys import find_key, usable
from contracts.methods import CallContext
from contracts.records import KeyRole


def acting_officer(context: CallContext, named: bytes) -> bytes:
    """The id of the officer key that answers for a call; what the call emits names it from here on.

    Args:
        context: the call.
        named: what its arguments say; empty where the officer signs himself.

    Raises:
        Denied: officer_not_named_here, agent_names_no_officer, agent_officer_unknown.
    """
    if context.key.role is not KeyRole.AGENT:
        if named:
            raise Denied("officer_not_named_here", officer=named.hex())
        return context.key.key_id
    if not named:
        raise Denied("agent_names_no_officer", key_id=context.key.key_id.hex())
    key = find_key(context.account, named)
    if key is None or key.role is not KeyRole.OFFICER or not usable(key, context.time_ms):
        raise Denied("agent_officer_unknown", officer=named.hex())
    context.officer = named
    return named


def agent_of(context: CallContext) -> bytes:
    """The id of the agent key that signed the call; empty where its officer did."""
    return context.key.key_id if context.key.role is KeyRole.AGENT else b""
