"""The state and its tree, proven against the state roots of certified headers.

Rule: every version that is kept is walked from the root that its header names; each stored node is hashed from its children and
compared with what its parent says. Every value of the state is compared with its leaf in the newest version. A node that no version
reaches is listed as stale under the version that let go of it, and nothing else is.

A node's hash covers everything in it but the versions of its children; those are where the next nodes are looked for, so a wrong
one does not lead to a node with the right hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import lmdb

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY
from ledger.errors import LedgerError, StorageDamaged
from ledger.state_tree import (
    EMPTY_ROOT,
    Branch,
    Child,
    Leaf,
    _decode_children,
    encode_children,
    nibble_at,
    node_hash_of,
    node_key,
    root_key,
)
from ledger.store_view import StoreView

_PATH_SIZE_BYTES: Final = 32


class Counts(Protocol):
    state_values: int
    tree_nodes: int


def check_state(
    suite: CryptoSuite,
    view: StoreView,
    transaction: lmdb.Transaction,
    tables: Mapping[str, lmdb._Database],
    state_roots: Mapping[int, bytes],
    retain_versions: int,
    fault: Callable[[str], None],
    counts: Counts,
    progress: Callable[[str, int, int], None],
) -> None:
    """Prove the state.

    Args:
        suite: gives the hashes.
        view, transaction, tables: the store, as of one moment.
        state_roots: of the headers that were proven, by height.
        retain_versions: how many versions below the head's the store keeps whole.
        fault: told what is wrong, and where.
        counts: gets the numbers of values and nodes.
        progress: told the stage, and how much of it is done.
    """
    walk = _TreeWalk(suite, view, fault)
    versions = _versions(transaction, tables["tree"])
    head = max(state_roots, default=0)
    if not versions or versions[-1] != head or versions != list(range(versions[0], head + 1)):
        fault("tree: the kept versions do not go up to the head without a gap")
        return
    stale = _Stale(transaction, tables["stale"])
    # Clearing up takes the oldest nodes first, a bounded number with each commit: what only versions below the retained ones need
    # may be gone in part.
    oldest = stale.oldest
    partial = range(oldest if oldest is not None and oldest <= head - retain_versions else 0)
    for done, version in enumerate(versions):
        if version in partial:
            continue
        walk.version(version, state_roots.get(version))
        progress("tree", done, len(versions))
    stale.check(walk, [version for version in versions if version not in partial], fault)
    counts.tree_nodes = len(walk.hashes)
    _check_unlisted(transaction, tables["tree"], walk, stale, fault)
    _check_values(suite, transaction, tables["state"], walk, fault, counts, progress)


def _versions(transaction: lmdb.Transaction, tree: lmdb._Database) -> list[int]:
    cursor = transaction.cursor(tree)
    found: list[int] = []
    if cursor.set_range(b"R"):
        for key in cursor.iternext(keys=True, values=False):
            if not bytes(key).startswith(b"R"):
                break
            found.append(int.from_bytes(key[1:], "big"))
    return found


class _TreeWalk:
    """All nodes that the kept versions reach.

    Attributes:
        hashes: proven hash of each node, by its key; some 200 bytes of memory for each.
        dropped: by version, the nodes of the one before that it no longer reaches.
        top: of the newest version that was walked.
    """

    def __init__(self, suite: CryptoSuite, view: StoreView, fault: Callable[[str], None]) -> None:
        self._suite = suite
        self._view = view
        self._fault = fault
        self.hashes: dict[bytes, bytes] = {}
        self.dropped: dict[int, set[bytes]] = {}
        self.top: Child = None
        self._walked: int | None = None

    def version(self, version: int, expected: bytes | None) -> None:
        """Walk what is new in a version, and note what it let go of."""
        data = self._view.tree_node(root_key(version))
        try:
            top = self._children(data, root_key(version))[0]
            root = EMPTY_ROOT if top is None else top.hash
            if root != expected:
                raise StorageDamaged(what="tree", reason="not the root that its header names")
            if data != encode_children([top]):
                raise StorageDamaged(what="tree", reason="more in it than a root")
            if isinstance(top, Branch):
                self._prove(top, 0, bytes(_PATH_SIZE_BYTES))
            if self._walked == version - 1:
                dropped = self.dropped.setdefault(version, {root_key(self._walked)})
                self._compare(self.top, top, 0, bytes(_PATH_SIZE_BYTES), dropped)
        except LedgerError as error:
            self._fault(f"tree: version {version}: {error.fields.get('reason', error.message())}")
            return
        self.hashes[root_key(version)] = root
        self.top, self._walked = top, version

    def _children(self, data: bytes | None, key: bytes) -> list[Child]:
        if data is None:
            raise StorageDamaged(what="tree", reason=f"node {key.hex()} is missing")
        return _decode_children(self._suite, data)

    def children(self, branch: Branch, depth: int, path: bytes) -> list[Child]:
        key = node_key(branch.version, depth, path)
        return self._children(self._view.tree_node(key), key)

    def _prove(self, branch: Branch, depth: int, path: bytes) -> None:
        """Hash a node and everything below that is not proven yet."""
        key = node_key(branch.version, depth, path)
        proven = self.hashes.get(key)
        if proven is None:
            children = self.children(branch, depth, path)
            proven = node_hash_of(self._suite, children)
            for slot, child in enumerate(children):
                below = _step(path, depth, slot)
                if isinstance(child, Branch):
                    self._prove(child, depth + 1, below)
            self.hashes[key] = proven
        if proven != branch.hash:
            raise StorageDamaged(
                what="tree", reason=f"node {key.hex()} has another hash than its parent says"
            )

    def _compare(self, old: Child, new: Child, depth: int, path: bytes, dropped: set[bytes]) -> None:
        if not isinstance(old, Branch):
            return
        if isinstance(new, Branch) and new.version == old.version:
            return
        dropped.add(node_key(old.version, depth, path))
        after: list[Child] = self.children(new, depth, path) if isinstance(new, Branch) else [None] * 16
        for slot, child in enumerate(self.children(old, depth, path)):
            self._compare(child, after[slot], depth + 1, _step(path, depth, slot), dropped)

    def leaf(self, key_hash: bytes) -> Leaf | None:
        """The leaf of a key in the newest version."""
        child, depth = self.top, 0
        while isinstance(child, Branch):
            child = self.children(child, depth, key_hash)[nibble_at(key_hash, depth)]
            depth += 1
        return child if child is not None and child.key_hash == key_hash else None

    def count_leaves(self) -> int:
        """How many leaves the newest version has."""
        count = 0
        pending = [(self.top, 0, bytes(_PATH_SIZE_BYTES))]
        while pending:
            child, depth, path = pending.pop()
            count += isinstance(child, Leaf)
            if isinstance(child, Branch):
                below = self.children(child, depth, path)
                pending += [(one, depth + 1, _step(path, depth, slot)) for slot, one in enumerate(below)]
        return count


def _step(path: bytes, depth: int, slot: int) -> bytes:
    """The path that goes on by one nibble."""
    at, low = divmod(depth, 2)
    nibble = slot if low else slot << 4
    return path[:at] + bytes((path[at] | nibble,)) + path[at + 1 :]


class _Stale:
    """What is to be cleared up.

    Attributes:
        oldest: version under which the oldest is listed; None when nothing is.
        listed: node keys by version.
    """

    def __init__(self, transaction: lmdb.Transaction, table: lmdb._Database) -> None:
        self.listed: dict[int, set[bytes]] = {}
        self._values = False
        for key, value in transaction.cursor(table):
            self.listed.setdefault(int.from_bytes(key[:8], "big"), set()).add(bytes(key[8:]))
            self._values |= bool(value)
        self.oldest = min(self.listed, default=None)

    def check(self, walk: _TreeWalk, versions: list[int], fault: Callable[[str], None]) -> None:
        """Exactly what each version let go of is listed under it."""
        if self._values:
            fault("stale: a record has a value")
        walked = set(versions[1:])
        for version in sorted(walked | self.listed.keys()):
            listed = self.listed.get(version, set())
            if version in walked:
                for key in sorted(listed ^ walk.dropped.get(version, set())):
                    fault(f"stale: version {version} and node {key.hex()} do not belong together")
            else:
                for key in sorted(listed & walk.hashes.keys()):
                    fault(f"stale: node {key.hex()} is listed under version {version}, but still needed")


def _check_unlisted(
    transaction: lmdb.Transaction,
    tree: lmdb._Database,
    walk: _TreeWalk,
    stale: _Stale,
    fault: Callable[[str], None],
) -> None:
    """Every node is reached or listed, and what is listed is there."""
    listed = set().union(*stale.listed.values())
    for key in transaction.cursor(tree).iternext(keys=True, values=False):
        name = bytes(key)
        if name not in walk.hashes and name not in listed:
            fault(f"tree: node {name.hex()} belongs to nothing")
        listed.discard(name)
    for name in sorted(listed):
        fault(f"stale: node {name.hex()} is listed, but not there")


def _check_values(
    suite: CryptoSuite,
    transaction: lmdb.Transaction,
    state: lmdb._Database,
    walk: _TreeWalk,
    fault: Callable[[str], None],
    counts: Counts,
    progress: Callable[[str, int, int], None],
) -> None:
    """Every value has its leaf, and every leaf its value."""
    entries = int(transaction.stat(state)["entries"])
    try:
        leaves = walk.count_leaves()
        for seen, (key, value) in enumerate(transaction.cursor(state)):
            leaf = walk.leaf(suite.hash(STATE_KEY, bytes(key)))
            if leaf is None or leaf.value_hash != suite.digest(bytes(value)):
                fault(f"state: key {bytes(key)!r} has not the value that the tree certifies")
            counts.state_values += 1
            if seen % 1024 == 0:
                progress("state", seen, entries)
    except StorageDamaged as error:
        fault(f"state: {error.fields['reason']}")
        return
    if leaves != entries:
        fault(f"state: {entries} values, but the tree has {leaves} leaves")
