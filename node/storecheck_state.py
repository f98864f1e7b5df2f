"""The state and its tree, proven against the state roots of certified headers.

Rule: every version that is kept is walked from the root that its header names; each stored node is hashed from its children and
compared with what its parent says. Every value of the state is compared with its leaf in the newest version. A node that no version
reaches is listed as stale under the version that let go of it, and nothing else is. A value that a version replaced is kept under
that version, has the digest of the leaf that was let go of, and nothing else is kept.

A node's hash covers everything in it but the versions of its children; those are where the next nodes are looked for, so a wrong
one does not lead to a node with the right hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import lmdb

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY
from ledger.errors import LedgerError
from ledger.state_nodes import (
    FAN_OUT,
    VERSION_SIZE_BYTES,
    Branch,
    Child,
    Leaf,
    child_hash,
    decode_children,
    encode_node,
    encode_root,
    node_key,
    path_below,
    root_key,
    slot_at,
)
from ledger.store_history import history_key
from ledger.store_records import stale_keys, stale_records
from ledger.store_view import StoreView
from node.storecheck_places import Findings, Misplaced, misplaced

_PATH_SIZE_BYTES: Final = 32
VERSION_MAX: Final = (1 << 8 * VERSION_SIZE_BYTES) - 1


def check_state(
    suite: CryptoSuite,
    view: StoreView,
    transaction: lmdb.Transaction,
    tables: Mapping[str, lmdb._Database],
    state_roots: Mapping[int, bytes],
    found: Findings,
    progress: Callable[[str, int, int], None],
) -> None:
    """Prove the state.

    Args:
        suite: gives the hashes.
        view, transaction, tables: the store, as of one moment.
        state_roots: of the headers that were proven, by height.
        found: told what is wrong, and where; gets the numbers of values and nodes.
        progress: told the stage, and how much of it is done.
    """
    walk = _TreeWalk(suite, view, found)
    versions = _versions(transaction, tables["tree"])
    head = max(state_roots, default=0)
    if not versions or versions[-1] != head or versions != list(range(versions[0], head + 1)):
        found.fault("tree: the kept versions do not go up to the head without a gap", "tree", root_key(head))
        return
    stale = _Stale(transaction, tables["stale"])
    # Clearing up takes the oldest nodes first, a bounded number with each commit: what only versions below the first that can be
    # proven against need may be gone in part.
    first = view.first_provable()
    if first not in versions or not stale.whole_above(first):
        found.fault("meta: another first provable height than what is kept", "meta", b"proofs")
    for done, version in enumerate(versions):
        if version < first:
            continue
        walk.version(version, state_roots.get(version))
        progress("tree", done, len(versions))
    stale.check(walk, [version for version in versions if version >= first], found)
    found.tree_nodes = len(walk.hashes)
    _check_unlisted(transaction, tables["tree"], walk, stale, found)
    _check_history(suite, transaction, tables["history"], walk, first, found)
    _check_values(suite, transaction, tables["state"], walk, found, progress)


def _versions(transaction: lmdb.Transaction, tree: lmdb._Database) -> list[int]:
    cursor = transaction.cursor(tree)
    found: list[int] = []
    more = cursor.first()
    while more:
        # A version's root record comes first among its nodes.
        key = bytes(cursor.key())
        version = int.from_bytes(key[:VERSION_SIZE_BYTES], "big")
        if len(key) == VERSION_SIZE_BYTES:
            found.append(version)
        more = version < VERSION_MAX and cursor.set_range(root_key(version + 1))
    return found


class _TreeWalk:
    """All nodes that the kept versions reach.

    Attributes:
        hashes: proven hash of each node, by its key; some 200 bytes of memory for each.
        dropped: by version, the nodes of the one before that it no longer reaches.
        replaced: digests of the values that each version replaced or deleted, by the key of their record.
        top: of the newest version that was walked.
    """

    def __init__(self, suite: CryptoSuite, view: StoreView, found: Findings) -> None:
        self._suite = suite
        self._view = view
        self._found = found
        self.hashes: dict[bytes, bytes] = {}
        self.dropped: dict[int, set[bytes]] = {}
        self.replaced: dict[bytes, bytes] = {}
        self.top: Child = None
        self._walked: int | None = None

    def version(self, version: int, expected: bytes | None) -> None:
        """Walk what is new in a version, and note what it let go of."""
        data = self._view.tree_node(root_key(version))
        try:
            top = self._children(data, root_key(version))[0]
            root = child_hash(self._suite, top)
            if root != expected:
                raise misplaced("tree", root_key(version), "not the root that its header names")
            if data != encode_root(top):
                raise misplaced("tree", root_key(version), "more in it than a root")
            if isinstance(top, Branch):
                self._prove(top, 0, bytes(_PATH_SIZE_BYTES))
            if self._walked == version - 1:
                dropped = self.dropped.setdefault(version, {root_key(self._walked)})
                leaves: list[Leaf] = []
                self._compare(self.top, top, 0, bytes(_PATH_SIZE_BYTES), dropped, leaves)
                for leaf in leaves:
                    if self._leaf_below(top, leaf.key_hash) != leaf:
                        self.replaced[history_key(version, leaf.key_hash)] = leaf.value_hash
        except Misplaced as error:
            key = bytes.fromhex(str(error.fields["key"]))
            self._found.fault(f"tree: version {version}: {error.fields['reason']}", "tree", key, version)
            return
        self.hashes[root_key(version)] = root
        self.top, self._walked = top, version

    def _children(self, data: bytes | None, key: bytes) -> list[Child]:
        if data is None:
            raise misplaced("tree", key, f"node {key.hex()} is missing")
        try:
            return decode_children(data)
        except LedgerError:
            raise misplaced("tree", key, f"node {key.hex()} is malformed") from None

    def children(self, branch: Branch, depth: int, path: bytes) -> list[Child]:
        key = node_key(branch.version, depth, path)
        return self._children(self._view.tree_node(key), key)

    def _prove(self, branch: Branch, depth: int, path: bytes) -> None:
        """Hash a node and everything below that is not proven yet."""
        key = node_key(branch.version, depth, path)
        proven = self.hashes.get(key)
        if proven is None:
            children = self.children(branch, depth, path)
            record, proven = encode_node(self._suite, children)
            if record != self._view.tree_node(key):
                raise misplaced("tree", key, f"node {key.hex()} is not what its children make")
            for slot, child in enumerate(children):
                below = path_below(path, depth, slot)
                if isinstance(child, Branch):
                    self._prove(child, depth + 1, below)
            self.hashes[key] = proven
        if proven != branch.hash:
            raise misplaced("tree", key, f"node {key.hex()} has another hash than its parent says")

    def _compare(
        self, old: Child, new: Child, depth: int, path: bytes, dropped: set[bytes], leaves: list[Leaf]
    ) -> None:
        """Note the nodes of `old` that `new` has not, and the leaves in them."""
        if isinstance(old, Leaf):
            leaves.append(old)
        if not isinstance(old, Branch):
            return
        if isinstance(new, Branch) and new.version == old.version:
            return
        dropped.add(node_key(old.version, depth, path))
        after: list[Child] = self.children(new, depth, path) if isinstance(new, Branch) else [None] * FAN_OUT
        for slot, child in enumerate(self.children(old, depth, path)):
            self._compare(child, after[slot], depth + 1, path_below(path, depth, slot), dropped, leaves)

    def leaf(self, key_hash: bytes) -> Leaf | None:
        """The leaf of a key in the newest version."""
        return self._leaf_below(self.top, key_hash)

    def _leaf_below(self, top: Child, key_hash: bytes) -> Leaf | None:
        child, depth = top, 0
        while isinstance(child, Branch):
            child = self.children(child, depth, key_hash)[slot_at(key_hash, depth)]
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
                pending += [(one, depth + 1, path_below(path, depth, slot)) for slot, one in enumerate(below)]
        return count


class _Stale:
    """What is to be cleared up.

    Attributes:
        listed: node keys by version.
    """

    def __init__(self, transaction: lmdb.Transaction, table: lmdb._Database) -> None:
        self.listed: dict[int, set[bytes]] = {}
        self._records: dict[int, dict[bytes, bytes]] = {}
        self._malformed: list[bytes] = []
        for each, value in transaction.cursor(table):
            key, version = bytes(each), int.from_bytes(each[:VERSION_SIZE_BYTES], "big")
            self._records.setdefault(version, {})[key] = bytes(value)
            try:
                self.listed.setdefault(version, set()).update(stale_keys(bytes(value)))
            except LedgerError:
                self._malformed.append(key)

    def whole_above(self, first: int) -> bool:
        """Whether clearing up has begun with what was listed under `first`, and with nothing above it."""
        oldest = min(self._records, default=first)
        return oldest >= first and root_key(first) + bytes(4) not in self._records.get(first, {})

    def check(self, walk: _TreeWalk, versions: list[int], found: Findings) -> None:
        """Exactly what each version let go of is listed under it."""
        for key in self._malformed:
            found.fault("stale: a record is malformed", "stale", key)
        walked = set(versions[1:])
        for version in sorted(walked | self.listed.keys()):
            place = min(self._records.get(version, {}), default=root_key(version))
            listed = self.listed.get(version, set())
            if version in walked:
                for key in sorted(listed ^ walk.dropped.get(version, set())):
                    text = f"stale: version {version} and node {key.hex()} do not belong together"
                    found.fault(text, "stale", self._place(version, key), version)
                if self._records.get(version, {}) != stale_records(version, listed):
                    found.fault(
                        f"stale: version {version} is listed in another form", "stale", place, version
                    )
            else:
                for key in sorted(listed & walk.hashes.keys()):
                    text = f"stale: node {key.hex()} is listed under version {version}, but still needed"
                    found.fault(text, "stale", self._place(version, key), version)

    def _place(self, version: int, node: bytes) -> bytes:
        """Key of the record that lists a node, or of the first one that might."""
        records = self._records.get(version, {})
        return next(
            (key for key, value in records.items() if node in value), min(records, default=root_key(version))
        )


def _check_unlisted(
    transaction: lmdb.Transaction,
    tree: lmdb._Database,
    walk: _TreeWalk,
    stale: _Stale,
    found: Findings,
) -> None:
    """Every node is reached or listed, and what is listed is there."""
    listed = set().union(*stale.listed.values())
    for key in transaction.cursor(tree).iternext(keys=True, values=False):
        name = bytes(key)
        if name not in walk.hashes and name not in listed:
            found.fault(f"tree: node {name.hex()} belongs to nothing", "tree", name)
        listed.discard(name)
    for name in sorted(listed):
        found.fault(f"stale: node {name.hex()} is listed, but not there", "tree", name)


def _check_history(
    suite: CryptoSuite,
    transaction: lmdb.Transaction,
    history: lmdb._Database,
    walk: _TreeWalk,
    first: int,
    found: Findings,
) -> None:
    """Every value that was replaced since the first provable height is kept, and is what the leaf let go of says."""
    missing = dict(walk.replaced)
    for each, value in transaction.cursor(history):
        key = bytes(each)
        version = int.from_bytes(key[:VERSION_SIZE_BYTES], "big")
        expected = missing.pop(key, None)
        if expected is None and version > first:
            found.fault(f"history: record {key.hex()} belongs to nothing", "history", key, version)
        elif expected is not None and suite.digest(bytes(value)) != expected:
            text = f"history: record {key.hex()} is not the value that version {version} replaced"
            found.fault(text, "history", key, version)
    for key in sorted(missing):
        found.fault(f"history: record {key.hex()} is missing", "history", key)


def _check_values(
    suite: CryptoSuite,
    transaction: lmdb.Transaction,
    state: lmdb._Database,
    walk: _TreeWalk,
    found: Findings,
    progress: Callable[[str, int, int], None],
) -> None:
    """Every value has its leaf, and every leaf its value."""
    entries = int(transaction.stat(state)["entries"])
    try:
        leaves = walk.count_leaves()
        for seen, (key, value) in enumerate(transaction.cursor(state)):
            leaf = walk.leaf(suite.hash(STATE_KEY, bytes(key)))
            if leaf is None or leaf.value_hash != suite.digest(bytes(value)):
                text = f"state: key {bytes(key)!r} has not the value that the tree certifies"
                found.fault(text, "state", bytes(key))
            found.state_values += 1
            if seen % 1024 == 0:
                progress("state", seen, entries)
    except Misplaced as error:
        found.fault(f"state: {error.fields['reason']}", "tree", bytes.fromhex(str(error.fields["key"])))
        return
    if leaves != entries:
        found.fault(f"state: {entries} values, but the tree has {leaves} leaves", "state")
