"""From a bare state key to what it stands for: which table, which record, and the record itself.

Rule: for showing and for checking what somebody else claims; whatever cannot be read is said to be unknown,
and nothing here decides what a contract does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from contracts import schedule, state
from contracts.registry import REGISTRY
from contracts.state import Table
from ledger.errors import LedgerError


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """What is known of a state key.

    Attributes:
        table: the prefix of its table, without the slash; empty for a key of no table.
        name: the rest of the key: an id, a code, a number.
        record: the decoded value; None where there is none, or where this release cannot read it.
    """

    table: str
    name: bytes
    record: Any


@lru_cache(maxsize=1)
def _tables() -> tuple[Table[Any, Any], ...]:
    """Every table there is, the longest prefix first, so that none hides another."""
    found = {
        table.prefix: table
        for room in (state, schedule)
        for table in vars(room).values()
        if isinstance(table, Table)
    }
    found |= {table.prefix: table for table in REGISTRY.tables}
    return tuple(sorted(found.values(), key=lambda table: -len(table.prefix)))


def state_entry(key: bytes, value: bytes | None) -> StateEntry:
    """What a state key stands for.

    Args:
        key: any bytes.
        value: what is under it, however hostile; None for nothing.
    """
    for table in _tables():
        whole = not table.prefix.endswith(b"/")
        if key == table.prefix if whole else key.startswith(table.prefix):
            name = key.removeprefix(table.prefix)
            return StateEntry(
                table=table.prefix.decode().removesuffix("/"), name=name, record=_read(table, value)
            )
    return StateEntry(table="", name=key, record=None)


def _read(table: Table[Any, Any], value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return table.decode(value)
    except LedgerError:
        return None
