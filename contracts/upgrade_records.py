"""What the state keeps about the versions of contracts: which holds, which is to come, how far a migration is, what became of it.

Rule: a structure, no behaviour; `upgrades.py` and `migrations.py` write these records and nobody else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from ledger.types import Count, Text, TimeMs, Wire

# Names of contracts that a network can have in all, for every release there will be.
CONTRACTS_MAX: Final = 64

ContractName = Annotated[str, Meta(pattern=r"\A[a-z][a-z_]{0,31}\Z")]
ContractNames = Annotated[tuple[ContractName, ...], Meta(max_length=CONTRACTS_MAX)]


class ContractSchedule(Wire):
    """Which version of a contract holds, and which is to come.

    Attributes:
        version: the version by which calls are carried out; 0 while the contract is not there yet.
        next_version, next_height: what takes over at that height; both 0 when nothing is set. They stay until a
            migration that began at that height has ended.
        since_height: from which height on `version` holds; 0 since genesis.
        changes: how many changes have been tried; the number of the next `ContractChange`.
    """

    version: Count
    next_version: Count = 0
    next_height: Count = 0
    since_height: Count = 0
    changes: Count = 0


class ContractIndex(Wire):
    """The contracts of the network.

    Attributes:
        names: all that ever were there or were scheduled, in the order of their coming.
        changing: those with a version to come or a migration that goes on, sorted.
    """

    names: ContractNames
    changing: ContractNames = ()


class MigrationStep(StrEnum):
    """Where a migration is.

    While it is COPYING the former version's records are whole and are what everybody reads, and calls of the contract are
    denied. SWEEPING follows the switch and takes the former version's records away; UNDOING follows a failure and takes away
    what was copied. Calls are carried out as ever in both.
    """

    COPYING = "copying"
    SWEEPING = "sweeping"
    UNDOING = "undoing"


class ContractMigration(Wire):
    """How far the migration of a contract is.

    Attributes:
        version: the version that takes over, or was to.
        step: what is going on.
        table: index of the table that is being read, in the order of the migration's moves, or of the tables to clear.
        after: the last state key that is done in it; empty before the first.
        entries: how many records have been copied.
    """

    version: Count
    step: MigrationStep
    table: Count = 0
    after: bytes = b""
    entries: Count = 0


class ChangeOutcome(StrEnum):
    """What became of a version that was set."""

    SWITCHED = "switched"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class ContractChange(Wire):
    """One change of a contract's version, as it ended.

    Attributes:
        version: the version that was to take over.
        outcome: whether it did.
        height, time_ms: of the block in which it ended.
        entries: records copied for it.
        reason: of a failure; empty otherwise.
    """

    version: Count
    outcome: ChangeOutcome
    height: Count
    time_ms: TimeMs
    entries: Count = 0
    reason: Text = ""
