"""What a node's retention leaves of its store, and carrying it out on a node that does not run.

Rule: a running node clears up by itself, a bounded part with each block; here all of it is done at once. Nothing is removed but
what the store's own retention lets go of, and the file does not shrink: the room is used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.crypto.registry import load_suite
from ledger.errors import invariant
from ledger.store import Store
from ledger.store_retention import Retention, StoreSpace
from node.config import load_config, retention
from node.founding import read_genesis
from node.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneState:
    """What a store keeps, and what it is to keep.

    Attributes:
        height: of the head.
        first_height, first_provable: lowest height whose block is held, and whose state can be proven.
        first_height_wanted, first_provable_wanted: as the retention has it, once all is cleared up.
        space: what it takes on disk.
    """

    height: int
    first_height: int
    first_provable: int
    first_height_wanted: int
    first_provable_wanted: int
    space: StoreSpace


def open_for(home: Home) -> tuple[Store, Retention]:
    """The store of a home, with its own retention.

    Raises:
        FileUnusable, ConfigFileInvalid, DecodeError: the home. StorageDamaged: the store.
    """
    kept = retention(load_config(home.config))
    return Store.open(home.store, load_suite(read_genesis(home).suite), retention=kept), kept


def look(store: Store, kept: Retention) -> PruneState:
    """What is, and what is to be."""
    provable = max(store.first_provable_height, store.height - kept.proof_blocks)
    return PruneState(
        height=store.height,
        first_height=store.first_height,
        first_provable=store.first_provable_height,
        first_height_wanted=_first_kept(store, kept, provable),
        first_provable_wanted=provable,
        space=store.space(),
    )


def prune(store: Store, kept: Retention, progress: Callable[[str, int, int], None]) -> PruneState:
    """Clear up all there is to, in bounded durable steps; may be stopped at any moment and done again.

    Raises:
        Unavailable: the disk is full.
    """
    wanted, began = look(store, kept).first_height_wanted, store.first_height
    while not store.prune():
        progress("prune", store.first_height - began, max(wanted - began, 1))
    return look(store, kept)


def _first_kept(store: Store, kept: Retention, provable: int) -> int:
    """The lowest block that stays; heights and times only rise, so halving finds it."""
    lowest, highest = store.first_height, max(store.first_height, min(provable, store.height))
    while lowest < highest:
        middle = (lowest + highest) // 2
        header = store.header(middle)
        invariant(header is not None, "the store has every block from its first one up to its height")
        if header is not None and kept.lets_go(header, store.head):
            lowest = middle + 1
        else:
            highest = middle
    return lowest
