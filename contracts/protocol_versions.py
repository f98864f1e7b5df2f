"""Which protocol version a block has, and how operators have another come into force.

Rule: a version is switched on at a height, for every node alike, and only the next one can be. Whether a release supports it is
no business of the chain: two releases run side by side until then and must find the same, so a node asks that
of itself (`node/execution.py`), and whoever proposes a version asks it of every node before.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.actions import SetProtocolVersion, WithdrawProtocolVersion
from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.records import ProtocolSchedule
from contracts.state import PROTOCOL, StateReader, present

# A height that cannot be reached before every node has seen the decision become final.
PROTOCOL_NOTICE_BLOCKS_MIN: Final = 16


def protocol_version(state: StateReader, height: int) -> int:
    """The version of a block at `height` whose parent left `state`."""
    return _in_force(_schedule(state), height)


def pending_protocol(state: StateReader, height: int) -> tuple[int, int] | None:
    """(version, height) of what was set and does not hold at `height` yet."""
    schedule = _schedule(state)
    return (schedule.next_version, schedule.next_height) if height < schedule.next_height else None


def set_version(context: CallContext, action: SetProtocolVersion) -> None:
    """Have the next version come into force.

    Raises:
        Denied: protocol_pending, protocol_not_next, protocol_too_soon.
    """
    height = context.block.height
    pending = pending_protocol(context.state, height)
    if pending is not None:
        raise Denied("protocol_pending", version=pending[0], height=pending[1])
    version = protocol_version(context.state, height)
    if action.version != version + 1:
        raise Denied("protocol_not_next", version=action.version, expected=version + 1)
    if action.height < height + PROTOCOL_NOTICE_BLOCKS_MIN:
        raise Denied("protocol_too_soon", height=action.height, minimum=height + PROTOCOL_NOTICE_BLOCKS_MIN)
    schedule = ProtocolSchedule(version=version, next_version=action.version, next_height=action.height)
    PROTOCOL.put(context.state, None, schedule)
    _emit(context, "protocol.scheduled", action.version, action.height)


def withdraw_version(context: CallContext, action: WithdrawProtocolVersion) -> None:
    """Have what was set not come into force.

    Raises:
        Denied: protocol_not_pending.
    """
    pending = pending_protocol(context.state, context.block.height)
    if pending is None or pending[0] != action.version:
        raise Denied("protocol_not_pending", version=action.version)
    PROTOCOL.put(context.state, None, replace(_schedule(context.state), next_version=0, next_height=0))
    _emit(context, "protocol.withdrawn", *pending)


def _schedule(state: StateReader) -> ProtocolSchedule:
    return present(PROTOCOL.get(state, None), "the protocol's versions")


def _in_force(schedule: ProtocolSchedule, height: int) -> int:
    switched = schedule.next_height != 0 and height >= schedule.next_height
    return schedule.next_version if switched else schedule.version


def _emit(context: CallContext, kind: str, version: int, height: int) -> None:
    context.emit(kind, context.account.account_id, (), version=version, height=height)
