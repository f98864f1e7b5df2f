"""Which version of a contract holds, which is to come, and how operators have the next one take over.

Rule: a version takes over at a height, on every node alike, and only the next one can be set, one at a time for each contract.
Whether a release has it is no business of the chain; see `protocol_versions.py`. The switch itself is `migrations.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.state import (
    CONTRACT_CHANGES,
    CONTRACT_INDEX,
    CONTRACTS,
    MIGRATIONS,
    Draft,
    StateReader,
    present,
)
from contracts.upgrade_actions import UpgradeContract, WithdrawContractUpgrade
from contracts.upgrade_records import (
    CONTRACTS_MAX,
    ChangeOutcome,
    ContractChange,
    ContractIndex,
    ContractMigration,
    ContractSchedule,
)

# A height that cannot be reached before every node has seen the decision become final.
CONTRACT_NOTICE_BLOCKS_MIN: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractStatus:
    """What the state says of a contract.

    Attributes:
        name: its name.
        schedule: the version that holds, and what is set.
        migration: how far its migration is, if one goes on.
        changes: what became of the versions that were set, oldest first.
    """

    name: str
    schedule: ContractSchedule
    migration: ContractMigration | None
    changes: tuple[ContractChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpgrade:
    """A version that is needed from `height` on: to come, or copying its records since then."""

    contract: str
    version: int
    height: int


def found(draft: Draft, names: Iterable[str]) -> None:
    """Write what genesis begins with: version 1 of these contracts."""
    names = tuple(names)
    for name in names:
        CONTRACTS.put(draft, name, ContractSchedule(version=1))
    CONTRACT_INDEX.put(draft, None, ContractIndex(names=names))


def index(state: StateReader) -> ContractIndex:
    """The contracts of the network."""
    return CONTRACT_INDEX.get(state, None) or ContractIndex(names=())


def contracts(state: StateReader) -> tuple[ContractStatus, ...]:
    """Everything that the state says of every contract, in the order of their coming."""
    return tuple(_status(state, name) for name in index(state).names)


def pending(state: StateReader) -> tuple[PendingUpgrade, ...]:
    """What is set and does not hold yet, by name. A migration that sweeps or undoes needs nothing any more."""
    schedules = ((name, present(CONTRACTS.get(state, name), name)) for name in index(state).changing)
    return tuple(
        PendingUpgrade(contract=name, version=schedule.next_version, height=schedule.next_height)
        for name, schedule in schedules
        if schedule.next_height != 0
    )


def migrating(state: StateReader) -> bool:
    """Whether a migration goes on, so that blocks are wanted even if nobody calls anything."""
    return any(MIGRATIONS.get(state, name) is not None for name in index(state).changing)


def upgrade(context: CallContext, action: UpgradeContract) -> None:
    """Have the next version of a contract take over.

    Raises:
        Denied: contract_pending, contract_not_next, contract_too_soon, too_many_contracts.
    """
    state, height, name = context.state, context.block.height, action.contract
    schedule = CONTRACTS.get(state, name) or ContractSchedule(version=0)
    going_on = MIGRATIONS.get(state, name)
    if schedule.next_height != 0 or going_on is not None:
        version = schedule.next_version if going_on is None else going_on.version
        raise Denied(
            "contract_pending", contract=name, version=version, height=schedule.next_height or height
        )
    if action.version != schedule.version + 1:
        expected = schedule.version + 1
        raise Denied("contract_not_next", contract=name, version=action.version, expected=expected)
    minimum = height + CONTRACT_NOTICE_BLOCKS_MIN
    if action.height < minimum:
        raise Denied("contract_too_soon", height=action.height, minimum=minimum)
    known = index(state)
    names = known.names if name in known.names else (*known.names, name)
    if len(names) > CONTRACTS_MAX:
        raise Denied("too_many_contracts", maximum=CONTRACTS_MAX)
    changing = tuple(sorted((*known.changing, name)))
    CONTRACTS.put(state, name, replace(schedule, next_version=action.version, next_height=action.height))
    CONTRACT_INDEX.put(state, None, ContractIndex(names=names, changing=changing))
    _emit(context, "contracts.scheduled", name, action.version, action.height)


def withdraw(context: CallContext, action: WithdrawContractUpgrade) -> None:
    """Have what was set not take over.

    Raises:
        Denied: contract_not_pending.
    """
    state, name = context.state, action.contract
    schedule = CONTRACTS.get(state, name) or ContractSchedule(version=0)
    waiting = schedule.next_height > context.block.height
    if not waiting or schedule.next_version != action.version:
        raise Denied("contract_not_pending", contract=name, version=action.version)
    change = ContractChange(
        version=action.version,
        outcome=ChangeOutcome.WITHDRAWN,
        height=context.block.height,
        time_ms=context.time_ms,
    )
    close_schedule(state, name, change)
    unlist(state, name)
    _emit(context, "contracts.withdrawn", name, action.version, schedule.next_height)


def close_schedule(draft: Draft, name: str, change: ContractChange) -> None:
    """Note what became of the version that was set; nothing is set any more."""
    schedule = present(CONTRACTS.get(draft, name), "the schedule of a contract")
    CONTRACT_CHANGES.put(draft, (name, schedule.changes), change)
    after = replace(schedule, next_version=0, next_height=0, changes=schedule.changes + 1)
    if change.outcome is ChangeOutcome.SWITCHED:
        after = replace(after, version=change.version, since_height=change.height)
    CONTRACTS.put(draft, name, after)


def unlist(draft: Draft, name: str) -> None:
    """Nothing is to be done about this contract any more."""
    known = index(draft)
    changing = tuple(one for one in known.changing if one != name)
    CONTRACT_INDEX.put(draft, None, replace(known, changing=changing))


def _status(state: StateReader, name: str) -> ContractStatus:
    schedule = present(CONTRACTS.get(state, name), "the schedule of a contract")
    changes = (CONTRACT_CHANGES.get(state, (name, number)) for number in range(schedule.changes))
    return ContractStatus(
        name=name,
        schedule=schedule,
        migration=MIGRATIONS.get(state, name),
        changes=tuple(present(change, "a numbered change of a contract") for change in changes),
    )


def _emit(context: CallContext, kind: str, name: str, version: int, height: int) -> None:
    context.emit(kind, context.account.account_id, (), contract=name, version=version, height=height)
