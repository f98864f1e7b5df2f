"""Values that were overwritten, for as long as a height that had them can be proven against.

Rule: the tree says what a height held, and the history only has the bytes: a value is found by its digest in
the tree of that height, and one with another digest is damage, never an answer.

A record is written when a value is replaced or deleted, under the height that did so, so records are added
at the end of the table and let go of at its beginning, whatever the size of the state. Where a value was
overwritten is found in the trees: it stands at the height asked for, and at the head something else does, so
halving the heights between them leads to a height that has it and whose next one has not.
"""

from __future__ import annotations

from collections.abc import Mapping

import lmdb

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY
from ledger.errors import StorageDamaged
from ledger.state_tree import leaf_at
from ledger.store_map import Tables, put_all
from ledger.store_records import number
from ledger.store_view import StoreView


def history_key(height: int, key_hash: bytes) -> bytes:
    """Key of the value that the block at `height` replaced."""
    return number(height) + key_hash


def value_at(suite: CryptoSuite, view: StoreView, key: bytes, height: int) -> bytes | None:
    """What the state at a height that can be proven against holds under a key.

    Raises:
        StorageDamaged: the tree or the value is not there.
    """
    key_hash = suite.hash(STATE_KEY, key)
    leaf = leaf_at(view, height, key_hash)
    if leaf is None:
        return None
    newest = view.get("state", key)
    if newest is not None and suite.digest(newest) == leaf.value_hash:
        return newest
    has, has_not = height, view.height()
    while has_not - has > 1:
        middle = (has + has_not) // 2
        if leaf_at(view, middle, key_hash) == leaf:
            has = middle
        else:
            has_not = middle
    found = view.get("history", history_key(has_not, key_hash))
    if found is None or suite.digest(found) != leaf.value_hash:
        raise StorageDamaged(
            what="ledger store", reason=f"the value of key {key!r} at height {height} is lost"
        )
    return found


def write_state(
    suite: CryptoSuite,
    transaction: lmdb.Transaction,
    tables: Tables,
    blocks: Mapping[int, Mapping[bytes, bytes | None]],
) -> None:
    """Bring the state to the newest of some blocks, and keep what they overwrite.

    Args:
        suite: the network's suite.
        transaction, tables: the store.
        blocks: what each block writes, by height, in order; None deletes.
    """
    touched = sorted({key for writes in blocks.values() for key in writes})
    with transaction.cursor(tables["state"]) as cursor:
        values: dict[bytes, bytes | None] = {
            bytes(key): bytes(value) for key, value in cursor.getmulti(touched)
        }
    before = dict(values)
    replaced: list[tuple[bytes, bytes]] = []
    for height, writes in blocks.items():
        for key, value in writes.items():
            old = values.get(key)
            if old is not None and old != value:
                replaced.append((history_key(height, suite.hash(STATE_KEY, key)), old))
            values[key] = value
    put_all(transaction, tables["history"], replaced)
    state = tables["state"]
    changed: list[tuple[bytes, bytes]] = []
    for key in touched:
        value = values[key]
        if value is not None:
            changed.append((key, value))
        elif key in before:
            transaction.delete(key, db=state)
    put_all(transaction, state, changed)
