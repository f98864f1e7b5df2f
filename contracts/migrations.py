"""Switches contracts to their next versions at the beginning of blocks, and moves their records.

    pending ── its height ──▶ COPYING ── all copied ──▶ switched, SWEEPING ── all swept ──▶ done
                                 └── cannot be converted ──▶ failed, UNDOING ── all undone ──▶ done

Rule: the former version's records are neither changed nor removed until every one has been copied into the new version's own
tables; then one write switches, and sweeping begins. So at every height there is one version whose records are whole, and that
is the one that the state names; a half-migrated state is never in force, and a migration that fails leaves no trace but its
note. What a block does of it is bounded, depends on the state alone, and is part of the block's writes, so that it is proven,
repeated, carried over in snapshots and taken up after a restart like everything else.

A conversion that raises, or writes what it may not, cancels the switch on every node alike, since it is a pure function of one
record: the network goes on with the former version, and the note says why. (A stop would stop every node at once, for good.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from msgspec.structs import replace

from contracts.methods import BlockContext
from contracts.state import CONTRACTS, MIGRATIONS, STATE_VALUE_SIZE_BYTES_MAX, Draft, OrderedState, present
from contracts.upgrade_records import (
    ChangeOutcome,
    ContractChange,
    ContractMigration,
    MigrationStep,
)
from contracts.upgrades import close_schedule, index, unlist
from contracts.versions import WRITES_PER_RECORD_MAX, Contract, Move, Registry
from ledger.errors import InvariantViolation

# What one block does for all migrations together, besides its transactions: records read, and bytes read and written. The last
# record may go beyond the bytes.
MIGRATION_RECORDS_PER_BLOCK_MAX: Final = 512
MIGRATION_BYTES_PER_BLOCK_MAX: Final = 1024 * 1024
REASON_CHARS_MAX: Final = 200
_SCAN_ENTRIES: Final = 128


class _Unconvertible(Exception):
    """A record has no place in the new version; the reason is the same on every node."""


@dataclass(slots=True)
class _Budget:
    """What this block may still do."""

    records: int
    size_bytes: int

    @property
    def spent(self) -> bool:
        return self.records <= 0 or self.size_bytes <= 0

    def take(self, size_bytes: int) -> None:
        self.records -= 1
        self.size_bytes -= size_bytes


def begin_block(registry: Registry, state: OrderedState, draft: Draft, context: BlockContext) -> None:
    """Do what this block has to do for contracts whose height has come, before its first transaction.

    Args:
        registry: the versions that this release has.
        state: as the parent block left it.
        draft: the block's, over that state, with nothing written.
        context: the block.

    Raises:
        ReleaseLacksContract: this release does not have a version that is to take over now.
    """
    budget = _Budget(MIGRATION_RECORDS_PER_BLOCK_MAX, MIGRATION_BYTES_PER_BLOCK_MAX)
    for name in index(draft).changing:
        _Switch(registry, state, draft, context, name).run(budget)


def require_versions(registry: Registry, state: OrderedState, height: int) -> None:
    """See that a release has every version by which a block at `height` on `state` is judged.

    Raises:
        ReleaseLacksContract: it lacks one.
    """
    for name in index(state).names:
        schedule = present(CONTRACTS.get(state, name), "the schedule of a contract")
        if schedule.version != 0:
            registry.require(name, schedule.version, schedule.since_height)
        if 0 < schedule.next_height <= height:
            registry.require(name, schedule.next_version, schedule.next_height)


class _Switch:
    """One contract's change, as far as one block takes it."""

    def __init__(
        self, registry: Registry, state: OrderedState, draft: Draft, context: BlockContext, name: str
    ) -> None:
        self._registry = registry
        self._state = state
        self._draft = draft
        self._context = context
        self._name = name

    def run(self, budget: _Budget) -> None:
        migration = MIGRATIONS.get(self._draft, self._name)
        if migration is None:
            schedule = present(CONTRACTS.get(self._draft, self._name), "the schedule of a contract")
            if self._context.height < schedule.next_height:
                return
            migration = ContractMigration(version=schedule.next_version, step=MigrationStep.COPYING)
        contract = self._registry.require(self._name, migration.version, self._context.height)
        going_on: ContractMigration | None = migration
        while going_on is not None and not budget.spent:
            going_on = self._advance(contract, going_on, budget)
        if going_on is not None:
            MIGRATIONS.put(self._draft, self._name, going_on)
            return
        MIGRATIONS.delete(self._draft, self._name)
        unlist(self._draft, self._name)

    def _advance(
        self, contract: Contract, migration: ContractMigration, budget: _Budget
    ) -> ContractMigration | None:
        """Go on with one table as far as the budget goes; None when all is done."""
        match migration.step:
            case MigrationStep.COPYING:
                if migration.table == len(contract.moves):
                    return self._end(migration, ChangeOutcome.SWITCHED, "")
                try:
                    return self._copy(contract, contract.moves[migration.table], migration, budget)
                except _Unconvertible as error:
                    return self._end(migration, ChangeOutcome.FAILED, str(error)[:REASON_CHARS_MAX])
            case MigrationStep.SWEEPING:
                prefixes = tuple(move.source.prefix for move in contract.moves)
                return self._clear(prefixes, migration, budget)
            case MigrationStep.UNDOING:
                return self._clear(self._fresh(contract), migration, budget)
            case _:
                assert_never(migration.step)

    def _fresh(self, contract: Contract) -> tuple[bytes, ...]:
        """The tables that this version has and the one before had not."""
        former = self._registry.find(contract.name, contract.version - 1)
        before = former.prefixes if former is not None else ()
        return tuple(prefix for prefix in contract.prefixes if prefix not in before)

    def _copy(
        self, contract: Contract, move: Move, migration: ContractMigration, budget: _Budget
    ) -> ContractMigration:
        fresh = self._fresh(contract)
        prefix, after, entries = move.source.prefix, migration.after, migration.entries
        while not budget.spent:
            found = self._scan(prefix, after, budget)
            if not found:
                return replace(migration, table=migration.table + 1, after=b"", entries=entries)
            for key, value in found:
                if budget.spent:
                    break
                written = self._convert(move, fresh, key.removeprefix(prefix), value)
                budget.take(len(value) + sum(map(len, written.values())))
                for new_key, new_value in written.items():
                    self._draft.put(new_key, new_value)
                after, entries = key, entries + 1
        return replace(migration, after=after, entries=entries)

    def _convert(self, move: Move, fresh: tuple[bytes, ...], name: bytes, value: bytes) -> dict[bytes, bytes]:
        try:
            written = {bytes(key): bytes(record) for key, record in sorted(move.convert(name, value).items())}
        except (MemoryError, RecursionError):
            raise  # of this machine at this moment, not of the record
        except (Exception, InvariantViolation) as error:
            # The words of an exception may change with a library; its name belongs to the version's code.
            raise _Unconvertible(
                f"{move.source.prefix.decode()}{name.hex()}: {type(error).__name__}"
            ) from error
        where = f"{move.source.prefix.decode()}{name.hex()}"
        if len(written) > WRITES_PER_RECORD_MAX:
            raise _Unconvertible(f"{where}: it became more than {WRITES_PER_RECORD_MAX} records")
        for key, new_value in written.items():
            if not key.startswith(fresh):
                raise _Unconvertible(f"{where}: {key.hex()} is not a key of the new version's tables")
            if len(new_value) > STATE_VALUE_SIZE_BYTES_MAX:
                raise _Unconvertible(f"{where}: a record of {len(new_value)} bytes is too large")
            if self._draft.get(key) is not None:
                raise _Unconvertible(f"{where}: {key.hex()} is another record's already")
        return written

    def _clear(
        self, prefixes: tuple[bytes, ...], migration: ContractMigration, budget: _Budget
    ) -> ContractMigration | None:
        """Empty one table as far as the budget goes; what this block itself has written is forgotten."""
        if migration.table == len(prefixes):
            return None
        prefix, after = prefixes[migration.table], migration.after
        for key in [key for key in self._draft.writes if key.startswith(prefix)]:
            self._draft.delete(key)
        while not budget.spent:
            found = self._scan(prefix, after, budget)
            if not found:
                return replace(migration, table=migration.table + 1, after=b"")
            for key, value in found:
                if budget.spent:
                    break
                budget.take(len(value))
                self._draft.delete(key)
                after = key
        return replace(migration, after=after)

    def _scan(self, prefix: bytes, after: bytes, budget: _Budget) -> list[tuple[bytes, bytes]]:
        start = after + b"\0" if after else prefix
        return self._state.scan(prefix, start=start, limit=min(_SCAN_ENTRIES, budget.records))

    def _end(self, migration: ContractMigration, outcome: ChangeOutcome, reason: str) -> ContractMigration:
        """Switch, or keep the former version; what is of no use any more goes next."""
        change = ContractChange(
            version=migration.version,
            outcome=outcome,
            height=self._context.height,
            time_ms=self._context.time_ms,
            entries=migration.entries,
            reason=reason,
        )
        close_schedule(self._draft, self._name, change)
        step = MigrationStep.SWEEPING if outcome is ChangeOutcome.SWITCHED else MigrationStep.UNDOING
        return ContractMigration(version=migration.version, step=step, entries=migration.entries)
