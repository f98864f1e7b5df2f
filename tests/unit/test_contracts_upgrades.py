"""A contract's next version takes over at its height, on every node alike, with all of its records or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from contracts import grants, migrations, upgrades
from contracts.calls import DeadlinesTick, GovernancePropose, GrantsPause, GrantsRevoke, call
from contracts.faces import GrantUses
from contracts.genesis import genesis_state
from contracts.membership import validators
from contracts.methods import OPERATOR_NODE, CallContext, method
from contracts.migrations import MIGRATION_RECORDS_PER_BLOCK_MAX
from contracts.records import Grant, GrantState
from contracts.registry import CALL_COST_MAX, CONTRACTS_AT_GENESIS, METHODS, REGISTRY, VERSIONS, cost_of
from contracts.runtime import BlockExecution, ReleaseLacksContract
from contracts.state import (
    ACCOUNTS,
    CONTRACT_CHANGES,
    CONTRACT_INDEX,
    CONTRACTS,
    GRANTS,
    MIGRATIONS,
    PROPOSALS,
    STATE_VALUE_SIZE_BYTES_MAX,
    Table,
)
from contracts.upgrade_actions import UpgradeContract, WithdrawContractUpgrade
from contracts.upgrade_records import (
    CONTRACTS_MAX,
    ChangeOutcome,
    ContractIndex,
    ContractSchedule,
    MigrationStep,
)
from contracts.upgrades import CONTRACT_NOTICE_BLOCKS_MIN
from contracts.versions import WRITES_PER_RECORD_MAX, Contract, Lift, Move, Registry
from ledger import codec
from ledger.errors import InvariantViolation
from ledger.types import Call
from tests.releases import grants_v2
from tests.releases.grants_v2 import BY_HOLDER, GRANTS_V2, GrantsNote
from tests.unit.contracts_world import (
    BANK,
    LI,
    NODES,
    OPERATORS,
    SUITE,
    WANG,
    World,
    asking_release,
    genesis,
    identity,
    json_of,
    preparation,
    verify,
)

SECOND = REGISTRY.with_versions(grants_v2.CONTRACT)
UNTOUCHED = (b"included", b"contract", b"deadline")


@pytest.fixture
def world() -> World:
    here = World().populate()
    here.registry = SECOND
    here.issue("degree of li")
    return here


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A block moves this many records."""
    monkeypatch.setattr(migrations, "MIGRATION_RECORDS_PER_BLOCK_MAX", 3)
    return 3


def schedule(world: World, version: int = 2, contract: str = "grants", notice: int = 3) -> int:
    """Vote for it; the height."""
    height = world.height + CONTRACT_NOTICE_BLOCKS_MIN + notice
    world.vote(UpgradeContract(contract=contract, version=version, height=height))
    return height


def go_to(world: World, height: int) -> None:
    while world.height < height:
        world.block(())


def under(world: World, *tables: Table[Any, Any]) -> dict[bytes, bytes]:
    prefixes = tuple(table.prefix for table in tables)
    return {key: value for key, value in world.entries.items() if key.startswith(prefixes)}


def status(world: World, name: str = "grants") -> upgrades.ContractStatus:
    return next(one for one in upgrades.contracts(world) if one.name == name)


def failing(error: Callable[[bytes], dict[bytes, bytes]], at: int = 0) -> Registry:
    """Version 2 whose conversion misbehaves at the record of that number."""
    seen: list[bytes] = []

    def convert(name: bytes, value: bytes) -> dict[bytes, bytes]:
        if name not in seen:
            seen.append(name)
        return error(name) if seen.index(name) == at else grants_v2.migrate(name, value)

    moves = (Move(source=GRANTS, convert=convert),)
    return REGISTRY.with_versions(replace(grants_v2.CONTRACT, moves=moves))


# --- what is there from the beginning ---------------------------------------------------------------------------


def test_the_version_of_every_contract_is_part_of_the_state_from_genesis_on() -> None:
    state = World()
    assert sorted(CONTRACTS_AT_GENESIS) == sorted({contract.name for contract in VERSIONS})
    for name in CONTRACTS_AT_GENESIS:
        assert CONTRACTS.get(state, name) == ContractSchedule(version=1)
    assert CONTRACT_INDEX.get(state, None) == ContractIndex(names=CONTRACTS_AT_GENESIS)
    assert {contract for contract, _ in METHODS} == set(CONTRACTS_AT_GENESIS)


def test_the_state_of_genesis_does_not_hang_on_what_a_later_release_has() -> None:
    later = REGISTRY.with_versions(grants_v2.CONTRACT, Contract(name="new", methods=()))
    assert later.known == REGISTRY.known | {"grants": 2, "new": 1}
    assert genesis_state(SUITE, genesis()) == World().entries


# --- setting a version ------------------------------------------------------------------------------------------


def test_only_the_next_version_can_be_set_with_notice_and_one_at_a_time(world: World) -> None:
    far = world.height + 1000

    def refused(action: UpgradeContract | WithdrawContractUpgrade, code: str) -> dict[str, str | int]:
        return world.refused(OPERATORS[0], GovernancePropose(action=action), code)

    for version in (0, 1, 3):
        wanted = UpgradeContract(contract="grants", version=version, height=far)
        assert refused(wanted, "contract_not_next")["expected"] == 2
    minimum = world.height + 1 + CONTRACT_NOTICE_BLOCKS_MIN
    soon = UpgradeContract(contract="grants", version=2, height=minimum - 1)
    assert refused(soon, "contract_too_soon")["minimum"] == minimum
    refused(WithdrawContractUpgrade(contract="grants", version=2), "contract_not_pending")
    world.vote(UpgradeContract(contract="grants", version=2, height=far))
    world.vote(UpgradeContract(contract="traces", version=2, height=far))
    assert [(one.contract, one.version, one.height) for one in upgrades.pending(world)] == [
        ("grants", 2, far),
        ("traces", 2, far),
    ]
    again = refused(UpgradeContract(contract="grants", version=2, height=far + 1), "contract_pending")
    assert again == {"contract": "grants", "version": 2, "height": far}
    refused(WithdrawContractUpgrade(contract="grants", version=3), "contract_not_pending")


def test_a_version_is_withdrawn_before_its_height_and_not_after(world: World) -> None:
    height = schedule(world)
    world.vote(WithdrawContractUpgrade(contract="grants", version=2))
    assert upgrades.pending(world) == ()
    assert [change.outcome for change in status(world).changes] == [ChangeOutcome.WITHDRAWN]
    go_to(world, height + 1)
    assert status(world).schedule.version == 1
    go_to(world, schedule(world))
    code = "contract_not_pending"
    action = WithdrawContractUpgrade(contract="grants", version=2)
    world.refused(OPERATORS[0], GovernancePropose(action=action), code)
    assert status(world).schedule.version == 2


def test_a_network_has_a_bounded_number_of_contracts() -> None:
    world = World()
    known = CONTRACT_INDEX.get(world, None)
    assert known is not None
    for number in range(len(known.names), CONTRACTS_MAX):
        name = "contract_" + "".join(chr(ord("a") + int(digit)) for digit in str(number))
        world.vote(UpgradeContract(contract=name, version=1, height=world.height + 10_000))
    action = UpgradeContract(contract="one_more", version=1, height=world.height + 10_000)
    world.refused(OPERATORS[0], GovernancePropose(action=action), "too_many_contracts")


@pytest.mark.parametrize("name", ["", "Grants", "a/b", "1st", "g" * 33, "授权", "grants\n"])
def test_a_contract_has_a_plain_name(name: str) -> None:
    world = World()
    args = GovernancePropose(action=UpgradeContract(contract=name, version=1, height=1000))
    world.refused(OPERATORS[0], args, "malformed_call")


# --- the switch -------------------------------------------------------------------------------------------------


def test_all_records_are_there_in_the_new_shape_from_the_height_on(world: World) -> None:
    grant_id = world.grant(uses_max=2)
    world.prepare(world.release(grant_id, identity("degree of li")))
    asked = world.done(BANK, world.asking())
    height = schedule(world)
    before = world.grant_record(grant_id)
    go_to(world, height - 1)
    assert (status(world).schedule.version, len(under(world, GRANTS))) == (1, 2)
    go_to(world, height)
    assert status(world).schedule == ContractSchedule(version=2, since_height=height, changes=1)
    assert (status(world).migration, upgrades.pending(world)) == (None, ())
    assert under(world, GRANTS) == {}
    record = GRANTS_V2.get(world, grant_id)
    assert record is not None
    assert (record.uses.left, record.uses.reserved, record.uses.made) == (1, 0, 1)
    assert world.grant_record(grant_id).uses_left == before.uses_left == 1
    assert sorted(key.removeprefix(BY_HOLDER.prefix) for key in under(world, BY_HOLDER)) == sorted(
        LI.account + one for one in (grant_id, asked)
    )
    change = CONTRACT_CHANGES.get(world, ("grants", 0))
    assert change is not None
    assert (change.version, change.outcome, change.height, change.entries, change.reason) == (
        2,
        ChangeOutcome.SWITCHED,
        height,
        2,
        "",
    )


def test_calls_deadlines_and_other_contracts_go_on_with_the_new_version(world: World) -> None:
    grant_id, ending = world.grant(uses_max=2), world.grant()
    waiting = world.release(grant_id, identity("degree of li"))
    note = Call(contract="grants", method="note", args=codec.encode(GrantsNote(grant_id=grant_id, note="n")))
    world.refused(LI, note, "unknown_method")
    go_to(world, schedule(world))
    world.prepare(waiting)
    assert world.grant_record(grant_id).uses_left == 1
    world.refused(WANG, note, "not_holder")
    world.done(LI, note)
    record = GRANTS_V2.get(world, grant_id)
    assert record is not None
    assert (record.note, record.uses.made) == ("n", 1)
    world.done(LI, GrantsPause(grant_id=grant_id))
    wanted = asking_release(grant_id, json_of(identity("degree of li"), "name"))
    world.refused(BANK, wanted, "grant_not_active")
    world.done(BANK, world.asking(renews=grant_id))
    world.time_ms += 2 * 86_400_000
    world.done(NODES[0], DeadlinesTick())
    assert world.grant_record(ending).state is GrantState.EXPIRED
    assert under(world, GRANTS) == {}


def test_a_release_reserved_before_the_switch_gives_its_use_back_after_it(world: World) -> None:
    grant_id = world.grant(uses_max=1)
    world.release(grant_id, identity("degree of li"))
    go_to(world, schedule(world))
    world.time_ms += 61 * 60_000
    world.done(NODES[0], DeadlinesTick())
    assert (world.grant_record(grant_id).uses_left, world.grant_record(grant_id).uses_reserved) == (1, 0)


def test_a_new_contract_is_brought_in_by_its_first_version(world: World) -> None:
    @method(DeadlinesTick, callers=OPERATOR_NODE, cost=10, named=("pings", "ping"))
    def ping(context: CallContext, _args: DeadlinesTick) -> int:
        return context.block.height

    asked = Call(contract="pings", method="ping", args=call(DeadlinesTick()).args)
    world.registry = SECOND.with_versions(Contract(name="pings", methods=(ping,)))
    world.refused(NODES[0], asked, "unknown_method")
    height = schedule(world, 1, "pings")
    world.refused(NODES[0], asked, "unknown_method")
    go_to(world, height - 1)
    assert codec.decode(world.run(NODES[0], asked).output, int, size_bytes_max=9) == height
    assert status(world, "pings").schedule.since_height == height


def test_several_contracts_switch_at_one_height(world: World) -> None:
    traces = Contract(
        name="traces",
        version=2,
        methods=tuple(one for one in METHODS.values() if one.contract == "traces"),
        tables=REGISTRY.require("traces", 1, 0).tables,
    )
    world.registry = SECOND.with_versions(traces)
    world.grant()
    height = world.height + 100
    for name in ("grants", "traces"):
        world.vote(UpgradeContract(contract=name, version=2, height=height))
    go_to(world, height)
    assert [status(world, name).schedule.version for name in ("grants", "traces")] == [2, 2]
    assert CONTRACT_INDEX.get(world, None) == ContractIndex(names=CONTRACTS_AT_GENESIS)


# --- one migration over several blocks --------------------------------------------------------------------------


def test_a_large_migration_takes_several_blocks_and_calls_wait_for_it(world: World, few: int) -> None:
    ids = [world.grant() for _ in range(7)]
    waiting = world.release(ids[0], identity("degree of li"))
    height = schedule(world)
    before = under(world, GRANTS)
    shown = [world.grant_record(one) for one in ids]
    go_to(world, height)
    assert status(world).migration is not None
    assert status(world).schedule.version == 1
    assert upgrades.migrating(world)
    calls = (
        (LI, GrantsRevoke(grant_id=ids[0])),
        (BANK, world.asking()),
        (BANK, asking_release(ids[0], json_of(identity("degree of li"), "name"))),
        (NODES[1], preparation(waiting)),
    )
    execution = world.execution()
    results = [
        execution.add(world.sign(who, args), identity(f"frozen {number}", 32))
        for number, (who, args) in enumerate(calls)
    ]
    world.apply(execution.finish())
    assert {result.code for result in results} == {"contract_migrating"}
    assert {event.kind for result in results for event in result.events} == {
        "grants.refused",
        "releases.refused",
    }
    assert LI.account in results[0].events[0].subjects, "whom a refused attempt concerns is known meanwhile"
    assert under(world, GRANTS) == before, "what holds is whole until the switch"
    assert [world.grant_record(one) for one in ids] == shown
    go_to(world, height + 2)
    assert status(world).schedule.version == 2
    assert len(under(world, GRANTS_V2)) == 7
    assert [world.grant_record(one) for one in ids] == [replace_version(one) for one in shown]
    migration = status(world).migration
    assert migration is not None
    assert migration.step is MigrationStep.SWEEPING
    world.done(LI, GrantsRevoke(grant_id=ids[0]))
    go_to(world, height + 6)
    assert (status(world).migration, under(world, GRANTS), upgrades.migrating(world)) == (None, {}, False)


def replace_version(grant: Grant) -> Grant:
    return structs.replace(grant, schema_version=3)


def test_a_block_moves_no_more_records_than_its_limit(world: World, few: int) -> None:
    for _ in range(8):
        world.grant()
    go_to(world, schedule(world) - 1)
    copied, left = 0, len(under(world, GRANTS))
    while status(world).schedule.version == 1 or status(world).migration is not None:
        world.block(())
        fresh, swept = len(under(world, GRANTS_V2)) - copied, left - len(under(world, GRANTS))
        assert fresh + swept <= few
        copied, left = copied + fresh, left - swept
    assert (copied, left) == (8, 0)


def test_a_block_moves_no_more_bytes_than_its_limit_and_a_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MIGRATION_BYTES_PER_BLOCK_MAX", 1)
    for _ in range(3):
        world.grant()
    height = schedule(world)
    for done in (1, 2, 3):
        go_to(world, height - 1 + done)
        assert len(under(world, GRANTS_V2)) == done


def test_what_is_being_copied_cannot_be_withdrawn_any_more(world: World, few: int) -> None:
    for _ in range(8):
        world.grant()
    go_to(world, schedule(world))
    action = WithdrawContractUpgrade(contract="grants", version=2)
    assert world.run(OPERATORS[0], GovernancePropose(action=action)).code == "contract_not_pending"
    assert status(world).schedule.version == 1


def test_the_next_version_waits_for_the_end_of_a_migration(world: World, few: int) -> None:
    for _ in range(8):
        world.grant()
    go_to(world, schedule(world) + 2)
    assert status(world).schedule.version == 2
    action = UpgradeContract(contract="grants", version=3, height=world.height + 1000)
    assert world.run(OPERATORS[0], GovernancePropose(action=action)).code == "contract_pending"
    go_to(world, world.height + 4)
    world.vote(action)


def test_who_votes_is_read_alike_while_governance_itself_migrates(few: int) -> None:
    """The ground is no contract's: a migration can neither move nor write it."""
    world = World().populate()
    table = Table[bytes, object]("proposals_v2/", object, lambda key: key)
    governance = replace(
        REGISTRY.require("governance", 1, 0),
        version=2,
        tables=(table,),
        moves=(Move(source=PROPOSALS, convert=lambda name, value: {table.key(name): value}),),
        lifts=(Lift(wanted=PROPOSALS, table=table, lift=lambda record: record),),
    )
    world.registry = REGISTRY.with_versions(governance)
    assert len(under(world, PROPOSALS)) > 2 * few
    voters, account = validators(world), ACCOUNTS.get(world, OPERATORS[0].account)
    go_to(world, schedule(world, contract="governance"))
    assert status(world, "governance").migration is not None
    assert (validators(world), ACCOUNTS.get(world, OPERATORS[0].account)) == (voters, account)
    action = UpgradeContract(contract="grants", version=2, height=world.height + 1000)
    assert world.run(OPERATORS[0], GovernancePropose(action=action)).code == "contract_migrating"
    while status(world, "governance").migration is not None:
        world.block(())
    assert validators(world) == voters
    assert under(world, PROPOSALS) == {}


# --- what cannot be converted -----------------------------------------------------------------------------------


def _raise(error: BaseException) -> dict[bytes, bytes]:
    raise error


BAD: dict[str, Callable[[bytes], dict[bytes, bytes]]] = {
    "KeyError": lambda name: _raise(KeyError("words that a library may change")),
    "InvariantViolation": lambda name: _raise(InvariantViolation("x")),
    "not a key of": lambda name: {GRANTS.key(name): b""},
    "not a key of the new": lambda name: {b"validators": b""},
    "is another record's": lambda name: {GRANTS_V2.key(b"same"): b""},
    "is too large": lambda name: {GRANTS_V2.key(name): bytes(STATE_VALUE_SIZE_BYTES_MAX + 1)},
    "more than": lambda name: {
        GRANTS_V2.key(name + bytes([n])): b"" for n in range(WRITES_PER_RECORD_MAX + 1)
    },
    "TypeError": lambda name: {GRANTS_V2.key(name): "text"},  # type: ignore[dict-item]
    "AttributeError": lambda name: None,  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("words", BAD)
@pytest.mark.parametrize("at", [0, 5])
def test_what_cannot_be_converted_cancels_the_switch_and_leaves_no_trace(
    world: World, few: int, words: str, at: int
) -> None:
    if words == "is another record's":
        world.entries[GRANTS_V2.key(b"same")] = b"there"
    for _ in range(7):
        world.grant()
    world.registry = failing(BAD[words], at)
    height = schedule(world)
    before = {key: value for key, value in world.entries.items() if not key.startswith(UNTOUCHED)}
    go_to(world, height + 12)
    world.entries.pop(GRANTS_V2.key(b"same"), None)
    before.pop(GRANTS_V2.key(b"same"), None)
    after = {key: value for key, value in world.entries.items() if not key.startswith(UNTOUCHED)}
    assert after == before
    assert status(world).schedule == ContractSchedule(version=1, changes=1)
    change = status(world).changes[0]
    assert (change.outcome, change.version) == (ChangeOutcome.FAILED, 2)
    assert words in change.reason
    assert "library" not in change.reason
    world.done(LI, GrantsRevoke(grant_id=world.grant()))


def test_a_failure_in_the_block_of_the_height_leaves_nothing_that_the_block_had_copied(world: World) -> None:
    for _ in range(4):
        world.grant()
    world.registry = failing(BAD["KeyError"], at=3)
    before = under(world, GRANTS)
    go_to(world, schedule(world))
    assert (under(world, GRANTS), under(world, GRANTS_V2, BY_HOLDER)) == (before, {})
    assert status(world).migration is None


def test_what_is_of_the_machine_and_not_of_the_record_cancels_nothing(world: World) -> None:
    world.grant()
    world.registry = failing(lambda name: _raise(MemoryError()))
    go_to(world, schedule(world) - 1)
    with pytest.raises(MemoryError):
        world.block(())


def test_calls_go_on_while_what_was_copied_is_taken_away_and_a_mended_version_can_be_set(
    world: World, few: int
) -> None:
    ids = [world.grant() for _ in range(8)]
    world.registry = failing(lambda name: _raise(ValueError()), at=7)
    height = schedule(world)
    go_to(world, height + 3)
    migration = status(world).migration
    assert migration is not None
    assert migration.step is MigrationStep.UNDOING
    world.done(LI, GrantsRevoke(grant_id=ids[0]))
    go_to(world, height + 12)
    world.registry = SECOND
    go_to(world, schedule(world) + 8)
    assert [change.outcome for change in status(world).changes] == [
        ChangeOutcome.FAILED,
        ChangeOutcome.SWITCHED,
    ]
    assert world.grant_record(ids[0]).state is GrantState.REVOKED


# --- a release without the version ------------------------------------------------------------------------------


def test_a_release_without_the_version_judges_every_block_before_its_height_and_none_from_then_on(
    world: World,
) -> None:
    height = schedule(world)
    go_to(world, height - 2)
    BlockExecution(world, world.context(), verify, REGISTRY).finish()
    migrations.require_versions(REGISTRY, world, height - 1)
    go_to(world, height - 1)
    attempts = (
        lambda: BlockExecution(world, world.context(), verify, REGISTRY),
        lambda: migrations.require_versions(REGISTRY, world, height),
    )
    for attempt in attempts:
        with pytest.raises(ReleaseLacksContract) as stopped:
            attempt()
        assert stopped.value.fields == {"contract": "grants", "version": 2, "supported": 1, "height": height}
        assert "升级" in stopped.value.message("zh")
        assert "Upgrade" in stopped.value.message("en")
    go_to(world, height)
    with pytest.raises(ReleaseLacksContract):
        migrations.require_versions(REGISTRY, world, height + 1)
    execution = BlockExecution(world, world.context(), verify, REGISTRY)
    with pytest.raises(ReleaseLacksContract):
        execution.add(world.sign(LI, GrantsRevoke(grant_id=bytes(16))), identity("late", 32))


# --- what a registry takes --------------------------------------------------------------------------------------


def _broken_registries() -> Iterator[tuple[str, Contract]]:
    second = grants_v2.CONTRACT
    other = Table[bytes, bytes]("grants_v2/more/", bytes, lambda key: key)
    bare = Table[bytes, bytes]("grants_w", bytes, lambda key: key)
    yield "no version before", replace(second, version=3)
    yield "moves other tables", replace(second, moves=())
    yield (
        "moves other tables",
        replace(second, moves=(*second.moves, Move(source=PROPOSALS, convert=lambda name, value: {}))),
    )
    yield "does not say how", replace(second, lifts=())
    yield "two methods of one name", replace(second, methods=(*second.methods, second.methods[0]))
    yield "has a method of", replace(second, methods=REGISTRY.require("traces", 1, 0).methods)
    yield "not its own", replace(second, tables=(*second.tables, other))
    yield "another's", replace(second, tables=(*second.tables, PROPOSALS))
    yield "not its own", replace(second, tables=(*second.tables, ACCOUNTS))
    yield "a slash", replace(second, tables=(*second.tables, bare))
    costly = replace(second.methods[0], cost=CALL_COST_MAX + 1)
    yield "costs more", replace(second, methods=(costly,))


@pytest.mark.parametrize(("words", "contract"), list(_broken_registries()))
def test_a_registry_takes_no_version_that_breaks_a_rule(words: str, contract: Contract) -> None:
    with pytest.raises(InvariantViolation, match=words):
        REGISTRY.with_versions(contract)


def test_a_table_that_was_given_up_is_not_used_again() -> None:
    third = replace(
        grants_v2.CONTRACT,
        version=3,
        tables=(GRANTS,),
        moves=tuple(
            Move(source=table, convert=lambda name, value: {}) for table in grants_v2.CONTRACT.tables
        ),
        lifts=tuple(
            Lift(wanted=table, table=GRANTS, lift=lambda record: record)
            for table in grants_v2.CONTRACT.tables
        ),
    )
    with pytest.raises(InvariantViolation, match="uses a table again"):
        SECOND.with_versions(third)


def test_no_version_makes_a_call_too_costly_for_a_block() -> None:
    greedy = replace(METHODS["deadlines", "tick"], extra_cost=lambda args: 10 * CALL_COST_MAX)
    assert cost_of(greedy, call(DeadlinesTick())) == CALL_COST_MAX


def test_a_face_is_the_one_that_was_asked_for() -> None:
    in_force = REGISTRY.in_force(World())
    assert in_force.face("grants", GrantUses).reserve is grants.reserve_use
    with pytest.raises(InvariantViolation):
        in_force.face("traces", GrantUses)


def test_the_limit_of_a_block_is_what_is_documented() -> None:
    assert MIGRATION_RECORDS_PER_BLOCK_MAX == 512
    assert MIGRATIONS.prefix == b"contract_migrations/"
