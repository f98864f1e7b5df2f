"""Authenticated key-value state: one root for all of it, compact proofs of presence and of absence.

Rule: the root depends only on the keys and values, never on the order or the batches in which they came.

The tree is binary over the bits of `hash(STATE_KEY, key)`, most significant first. An empty subtree hashes to
32 zero bytes; a subtree with one key is that key's leaf, however high, `hash(STATE_LEAF, key hash ‖ value
hash)`; every other one is `hash(STATE_NODE, left ‖ right)`. The value hash is the suite's plain digest of the
value.

It is stored two levels at a time (`ledger/state_nodes.py`). Nodes are never overwritten: an update writes
under its own version, and names the ones it replaced as stale. Each version, even one without a change, has a
root record, so any version that is still kept can be proven against.

An update hashes the nodes on the changed paths, and what is beside them in stored nodes that have leaves; all
else keeps the hash that is stored for it.

Source: the structure of the Jellyfish Merkle tree (Gao, Hu and Wu, Diem Association 2021) with its shortcuts,
and with the leaves kept inside their parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY, STATE_LEAF, STATE_NODE
from ledger.errors import StorageDamaged, invariant
from ledger.state_nodes import (
    ALL_BRANCHES,
    ALL_BRANCHES_SIZE_BYTES,
    DEPTH_BITS_MAX,
    EMPTY_ROOT,
    FAN_OUT,
    NODE_PREFIX,
    PAIRS_AT,
    SHIFTS,
    TAILS,
    VERSION_SIZE_BYTES,
    VERSIONS_AT,
    Branch,
    Child,
    Leaf,
    NodeMap,
    NodeReader,
    child_hash,
    decode_children,
    encode_node,
    encode_root,
    entry_hash,
    entry_of,
    join,
    node_key,
    read_node,
    read_top,
    root_key,
    slot_at,
)
from ledger.types import HASH_SIZE_BYTES, Hash, Wire

__all__ = [
    "DEPTH_BITS_MAX",
    "EMPTY_ROOT",
    "NodeMap",
    "NodeReader",
    "StateLeaf",
    "StateProof",
    "TreeUpdate",
    "has_version",
    "leaf_at",
    "prove",
    "root_at",
    "update",
    "verify_state",
]

_Change = tuple[bytes, bytes | None]
_Passed = tuple[bytes, "bytes | list[Child]", int]


class StateLeaf(Wire):
    """A leaf: hash of the key, digest of the value."""

    key_hash: Hash
    value_hash: Hash


class StateProof(Wire):
    """What is at the place of a key, and how it hangs under the root.

    Attributes:
        leaf: the leaf where the key's path ends, its own or another's; None when the path ends in nothing.
        siblings: hashes beside the path, from the root downwards.
    """

    leaf: StateLeaf | None
    siblings: Annotated[tuple[Hash, ...], Meta(max_length=DEPTH_BITS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUpdate:
    """What an update gives.

    Attributes:
        root: root of the tree after it.
        nodes: stored nodes it adds, by key, the version's root record among them.
        stale: keys of the stored nodes that no later version needs.
    """

    root: bytes
    nodes: dict[bytes, bytes]
    stale: tuple[bytes, ...]


def has_version(reader: NodeReader, version: int) -> bool:
    """Whether that version's root record is there."""
    return reader.tree_node(root_key(version)) is not None


def root_at(suite: CryptoSuite, reader: NodeReader, version: int) -> bytes:
    """The root of a version that is kept.

    Raises:
        StorageDamaged: it is not there.
    """
    return child_hash(suite, read_top(reader, version))


def leaf_at(reader: NodeReader, version: int, key_hash: bytes) -> Leaf | None:
    """The leaf of a key in a version that is kept, found without hashing anything.

    Raises:
        StorageDamaged: a node is missing or malformed.
    """
    child, depth = read_top(reader, version), 0
    while isinstance(child, Branch):
        children = decode_children(read_node(reader, node_key(child.version, depth, key_hash)))
        child = children[slot_at(key_hash, depth)]
        depth += 1
    return child if child is not None and child.key_hash == key_hash else None


# --- update -------------------------------------------------------------------------------------------------

_Keyed = TypeVar("_Keyed", Leaf, _Change)


def _by_slot(items: Sequence[_Keyed], depth: int) -> Iterator[tuple[int, Sequence[_Keyed]]]:
    """Runs of sorted items (key hash first) that take the same step at `depth`."""
    byte, shift = depth >> 2, SHIFTS[depth & 3]
    start = 0
    while start < len(items):
        slot = items[start][0][byte] >> shift & 3
        end = start + 1
        while end < len(items) and items[end][0][byte] >> shift & 3 == slot:
            end += 1
        yield slot, items[start:end]
        start = end


class _Updater:
    """One update: reads the nodes on the changed paths, writes the new ones, notes the stale ones."""

    __slots__ = ("_digest", "_reader", "_suite", "_version", "nodes", "stale")

    def __init__(self, suite: CryptoSuite, reader: NodeReader, version: int) -> None:
        self._suite = suite
        self._digest = suite.digest
        self._reader = reader
        self._version = root_key(version)
        self.nodes: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []

    def apply(self, child: Child, depth: int, changes: Sequence[_Change]) -> Child:
        """The subtree at `depth` steps after `changes`: sorted, distinct, at least one, all within it."""
        if isinstance(child, Branch):
            if len(changes) == 1:
                return self._walk(child, depth, changes[0])
            return self._spread(child, depth, changes)
        leaves = [Leaf(key_hash, value) for key_hash, value in changes if value is not None]
        if child is not None and all(key_hash != child.key_hash for key_hash, _ in changes):
            leaves.append(child)
            leaves.sort()
        return self._build(leaves, depth)

    def _spread(self, branch: Branch, depth: int, changes: Sequence[_Change]) -> Child:
        """Several changes below one node."""
        old_key = node_key(branch.version, depth, changes[0][0])
        children = decode_children(read_node(self._reader, old_key))
        changed = False
        for slot, group in _by_slot(changes, depth):
            after = self.apply(children[slot], depth + 1, group)
            changed |= after != children[slot]
            children[slot] = after
        return self._rewrite(old_key, children) if changed else branch

    def _walk(self, branch: Branch, depth: int, change: _Change) -> Child:
        """One change: down to where its path ends, and up again."""
        key_hash, tree_node = change[0], self._reader.tree_node
        passed: list[_Passed] = []
        child: Child = branch
        version = branch.version
        while True:
            whole, step = depth >> 2, depth & 3
            at = key_hash[whole]
            key = version + key_hash[:whole] + TAILS[step][at]
            slot = at >> SHIFTS[step] & 3
            data = tree_node(key)
            depth += 1
            if data is not None and len(data) == ALL_BRANCHES_SIZE_BYTES and data[0] == ALL_BRANCHES:
                passed.append((key, data, slot))
                place = VERSIONS_AT + VERSION_SIZE_BYTES * slot
                version = data[place : place + VERSION_SIZE_BYTES]
                continue
            if data is None:
                raise StorageDamaged(what="state tree", reason=f"node {key.hex()} is missing")
            children = decode_children(data)
            passed.append((key, children, slot))
            child = children[slot]
            if not isinstance(child, Branch):
                break
            version = child.version
        after = self.apply(child, depth, (change,))
        if after == child:
            return branch
        for key, node, slot in reversed(passed):
            after = self._replace(key, node, slot, after)
        return after

    def _replace(self, old_key: bytes, node: bytes | list[Child], slot: int, child: Child) -> Child:
        """A node with another child in one slot."""
        if isinstance(node, bytes):
            if isinstance(child, Branch):
                return self._replace_branch(old_key, node, slot, child)
            node = decode_children(node)
        node[slot] = child
        return self._rewrite(old_key, node)

    def _replace_branch(self, old_key: bytes, data: bytes, slot: int, child: Branch) -> Branch:
        """The same where all are branches, worked on as it is stored."""
        digest, (below, version) = self._digest, child
        at = 1 + HASH_SIZE_BYTES * slot
        end = at + HASH_SIZE_BYTES
        place = VERSIONS_AT + VERSION_SIZE_BYTES * slot
        if slot & 1:
            pair = digest(NODE_PREFIX + data[at - HASH_SIZE_BYTES : at] + below)
        else:
            pair = digest(NODE_PREFIX + below + data[end : end + HASH_SIZE_BYTES])
        if slot < FAN_OUT // 2:
            pairs = pair + data[PAIRS_AT + HASH_SIZE_BYTES :]
        else:
            pairs = data[PAIRS_AT : PAIRS_AT + HASH_SIZE_BYTES] + pair
        self.stale.append(old_key)
        self.nodes[self._version + old_key[VERSION_SIZE_BYTES:]] = (
            data[:at]
            + below
            + data[end:place]
            + version
            + data[place + VERSION_SIZE_BYTES : PAIRS_AT]
            + pairs
        )
        return Branch(digest(NODE_PREFIX + pairs), self._version)

    def _rewrite(self, old_key: bytes, children: list[Child]) -> Child:
        """What takes the place of a node whose children have changed."""
        self.stale.append(old_key)
        present = [child for child in children if child is not None]
        if not present:
            return None
        if len(present) == 1 and isinstance(present[0], Leaf):
            return present[0]
        return self._write(self._version + old_key[VERSION_SIZE_BYTES:], children)

    def _build(self, leaves: Sequence[Leaf], depth: int) -> Child:
        """A fresh subtree of these leaves, sorted by key hash."""
        if len(leaves) <= 1:
            return leaves[0] if leaves else None
        children: list[Child] = [None] * FAN_OUT
        for slot, group in _by_slot(leaves, depth):
            children[slot] = self._build(group, depth + 1)
        return self._write(node_key(self._version, depth, leaves[0].key_hash), children)

    def _write(self, key: bytes, children: list[Child]) -> Branch:
        self.nodes[key], node_hash = encode_node(self._suite, children)
        return Branch(node_hash, self._version)


def update(
    suite: CryptoSuite,
    reader: NodeReader,
    base_version: int | None,
    changes: Mapping[bytes, bytes | None],
    version: int,
) -> TreeUpdate:
    """The tree after a batch of changes; nothing is stored.

    Args:
        suite: gives the hashes.
        reader: holds the nodes of `base_version`.
        base_version: version to build on; None for an empty tree.
        changes: new value by key; None deletes, also what is not there.
        version: version of the result, above `base_version`; in the ledger, the block's height.

    Returns:
        Root, new nodes and stale keys. Without changes it is a root record alone.

    Raises:
        StorageDamaged: a node is missing or malformed.
    """
    invariant(base_version is None or version > base_version, "a tree version is above its base")
    hashed = sorted(
        (suite.hash(STATE_KEY, key), None if value is None else suite.digest(value))
        for key, value in changes.items()
    )
    updater = _Updater(suite, reader, version)
    top: Child = None
    if base_version is not None:
        top = read_top(reader, base_version)
        updater.stale.append(root_key(base_version))
    if hashed:
        top = updater.apply(top, 0, hashed)
    updater.nodes[root_key(version)] = encode_root(top)
    return TreeUpdate(root=child_hash(suite, top), nodes=updater.nodes, stale=tuple(updater.stale))


# --- proofs -------------------------------------------------------------------------------------------------


def prove(suite: CryptoSuite, reader: NodeReader, version: int, key: bytes) -> StateProof:
    """Proof of what `version` holds under `key`, be it a value or nothing.

    Raises:
        StorageDamaged: a node is missing or malformed.
    """
    key_hash, digest = suite.hash(STATE_KEY, key), suite.digest
    child = read_top(reader, version)
    siblings: list[bytes] = []
    depth = 0
    while isinstance(child, Branch):
        children = decode_children(read_node(reader, node_key(child.version, depth, key_hash)))
        slot = slot_at(key_hash, depth)
        entries = [entry_of(one) for one in children]
        pairs = [join(digest, *entries[:2]), join(digest, *entries[2:])]
        child = children[slot]
        for level, position in ((pairs, slot >> 1), (entries, slot)):
            siblings.append(entry_hash(digest, level[position ^ 1]))
            entry = level[position]
            if not isinstance(entry, bytes):
                child = entry
                break
        depth += 1
    leaf = None if child is None else StateLeaf(key_hash=child.key_hash, value_hash=child.value_hash)
    return StateProof(leaf=leaf, siblings=tuple(siblings))


def verify_state(suite: CryptoSuite, root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    """Whether the state with that root holds `value` under `key`, or nothing under it where `value` is None.

    Args:
        suite: the network's suite.
        root: a state root that is trusted, e.g. from a finalized header.
        key: the state key.
        value: what is claimed to be there.
        proof: any proof, however hostile.
    """
    key_hash = suite.hash(STATE_KEY, key)
    depth = len(proof.siblings)
    if depth > DEPTH_BITS_MAX:
        return False
    leaf = proof.leaf
    if value is not None and leaf != StateLeaf(key_hash=key_hash, value_hash=suite.digest(value)):
        return False
    path = int.from_bytes(key_hash, "big")
    node = EMPTY_ROOT
    if leaf is not None:
        apart = path ^ int.from_bytes(leaf.key_hash, "big")
        if (value is None and apart == 0) or apart >> (DEPTH_BITS_MAX - depth):
            return False
        node = suite.hash(STATE_LEAF, leaf.key_hash + leaf.value_hash)
    for level in range(depth - 1, -1, -1):
        sibling = proof.siblings[level]
        right = path >> (DEPTH_BITS_MAX - 1 - level) & 1
        node = suite.hash(STATE_NODE, sibling + node if right else node + sibling)
    return node == root
