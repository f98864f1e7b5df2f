"""Executed blocks that are not in the store yet, and state as of one of them.

Rule: an overlay is never changed; a view of state is put together for one use, and what lies beneath it must not move
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Protocol

from ledger.state_tree import TreeUpdate
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


class StateSource(Protocol):
    """What lies beneath the overlays: a store, or what proves the values of one."""

    def get(self, key: bytes) -> bytes | None: ...

    def tree_node(self, key: bytes) -> bytes | None: ...


class OrderedSource(StateSource, Protocol):
    """A store whose entries can be gone through in the order of their keys."""

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]: ...


class LayeredState:
    """State as of one block: the overlays from the store up to it, newest first, then the store."""

    __slots__ = ("_store", "layers")

    def __init__(self, store: StateSource, layers: Sequence[Executed]) -> None:
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


class OrderedState(LayeredState):
    """A layered state that can also be gone through in the order of its keys."""

    __slots__ = ("_source",)

    def __init__(self, store: OrderedSource, layers: Sequence[Executed]) -> None:
        super().__init__(store, layers)
        self._source = store

    def scan(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` entries whose keys begin with `prefix`, from the key `start` on, sorted by key."""
        changed: dict[bytes, bytes | None] = {}
        for layer in reversed(self.layers):
            changed.update(
                (key, layer.writes[key]) for key in layer.writes if key.startswith(prefix) and key >= start
            )

        def stored() -> Iterator[tuple[bytes, bytes]]:
            seek = start
            while page := self._source.scan(prefix, start=seek, limit=limit):
                yield from (entry for entry in page if entry[0] not in changed)
                seek = page[-1][0] + b"\0"

        added = sorted((key, value) for key, value in changed.items() if value is not None)
        return list(islice(merge(stored(), added), limit))
