"""A fault of a store with its place: what the parts of `node check` tell each other.

Rule: whoever finds that a record is wrong names its table and key; the page in the file is looked up at the end.
"""

from __future__ import annotations

from typing import Protocol

from ledger.errors import StorageDamaged


class Misplaced(StorageDamaged):
    """A record is not what it must be. Fields: what, reason, table, key (hex)."""


def misplaced(table: str, key: bytes, reason: str) -> Misplaced:
    """The error that names a record."""
    return Misplaced(what="ledger store", reason=reason, table=table, key=key.hex())


class Findings(Protocol):
    """What is found goes there; `node.storecheck.StoreCheck` is one.

    Attributes:
        state_values, tree_nodes: how many were proven.
    """

    state_values: int
    tree_nodes: int

    def fault(self, text: str, table: str = "", key: bytes = b"", height: int = -1) -> None: ...
