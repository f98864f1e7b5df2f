"""Executed blocks that are not in the store yet, and state as of one of them.

Rule: an overlay is never changed; a view of state is put together for one use, and what lies beneath it must not move
meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.state_tree import TreeUpdate
from ledger.store import Store
from ledger.types import Block, Header, Result, ValidatorSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A block and everything that executing it gave.

    Attributes:
        next_validators: the set that votes on its successor, by the state after it.
    """

    block: Block
    digest: bytes
    transaction_ids: tuple[bytes, ...]
    results: tuple[Result, ...]
    writes: Mapping[bytes, bytes | None]
    update: TreeUpdate
    next_validators: ValidatorSet

    @property
    def seals(self) -> bool:
        """Whether it is the last block of its epoch."""
        return self.header.next_validators_hash != self.header.validators_hash

    @property
    def header(self) -> Header:
        return self.block.header


class LayeredState:
    """State as of one block: the overlays from the store up to it, newest first, then the store."""

    __slots__ = ("_store", "layers")

    def __init__(self, store: Store, layers: Sequence[Executed]) -> None:
        self._store = store
        self.layers = layers

    def get(self, key: bytes) -> bytes | None:
        for layer in self.layers:
            if key in layer.writes:
                return layer.writes[key]
        return self._store.get(key)

    def tree_node(self, key: bytes) -> bytes | None:
        for layer in self.layers:
            node = layer.update.nodes.get(key)
            if node is not None:
                return node
        return self._store.tree_node(key)
