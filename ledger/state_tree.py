"""Authenticated key-value state: one root for all of it, compact proofs of presence and of absence.

Rule: the root depends only on the keys and values, never on the order or the batches in which they came.

The tree is binary over the bits of `hash(STATE_KEY, key)`, most significant first. An empty subtree hashes to
32 zero bytes; a subtree with one key is that key's leaf, however high, `hash(STATE_LEAF, key hash ‖ value
hash)`; every other one is `hash(STATE_NODE, left ‖ right)`. The value hash is the suite's plain digest of the
value.

It is stored four levels at a time. A stored node stands for a subtree of two or more keys at a depth
divisible by four (in bits) and holds its sixteen children: nothing, a leaf, or the version under which the
node below was written. Nodes are never overwritten: an update writes under its own version, and names the
ones it replaced as stale. Each version, even one without a change, has a root record, so any version that is
still kept can be proven against.

Source: the structure of the Jellyfish Merkle tree (Gao, Hu and Wu, Diem Association 2021) with its shortcuts,
and with the leaves kept inside their parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

from msgspec import Meta

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY, STATE_LEAF, STATE_NODE
from ledger.errors import StorageDamaged, invariant
from ledger.types import HASH_SIZE_BYTES, Hash, Wire

EMPTY_ROOT: Final = bytes(HASH_SIZE_BYTES)
DEPTH_BITS_MAX: Final = HASH_SIZE_BYTES * 8

FAN_OUT: Final = 16
_VERSION_SIZE_BYTES: Final = 8
_LEAF_RECORD_BYTES: Final = 2 * HASH_SIZE_BYTES
_BRANCH_RECORD_BYTES: Final = _VERSION_SIZE_BYTES + HASH_SIZE_BYTES


class NodeReader(Protocol):
    """Where stored nodes are read: the store, or unfinalized blocks' nodes laid over it."""

    def tree_node(self, key: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class NodeMap:
    """Nodes in memory, as a `NodeReader`."""

    nodes: Mapping[bytes, bytes]

    def tree_node(self, key: bytes) -> bytes | None:
        return self.nodes.get(key)


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


class Leaf(NamedTuple):
    """One key of the tree."""

    key_hash: bytes
    value_hash: bytes
    hash: bytes


class Branch(NamedTuple):
    """A stored node below another: the version that wrote it, and its subtree's hash."""

    version: int
    hash: bytes


Child = Leaf | Branch | None
_Change = tuple[bytes, bytes | None]


def root_key(version: int) -> bytes:
    """Key of a version's root record."""
    return b"R" + version.to_bytes(_VERSION_SIZE_BYTES, "big")


def node_key(version: int, depth: int, key_hash: bytes) -> bytes:
    """Key of the node that is `depth` nibbles down the path of `key_hash`, as written by `version`."""
    whole, half = divmod(depth, 2)
    path = key_hash[:whole]
    if half:
        path += bytes((key_hash[whole] & 0xF0,))
    return b"N" + version.to_bytes(_VERSION_SIZE_BYTES, "big") + bytes((depth,)) + path


def nibble_at(key_hash: bytes, depth: int) -> int:
    """The step that the path of `key_hash` takes at `depth` nibbles."""
    byte = key_hash[depth >> 1]
    return byte & 0x0F if depth & 1 else byte >> 4


def make_leaf(suite: CryptoSuite, key_hash: bytes, value_hash: bytes) -> Leaf:
    """A leaf with its hash."""
    return Leaf(key_hash, value_hash, suite.hash(STATE_LEAF, key_hash + value_hash))


# --- stored records -----------------------------------------------------------------------------------------


def encode_children(children: list[Child]) -> bytes:
    """Bitmap of the leaves, bitmap of the branches (2 bytes each, big-endian), then each child's record."""
    leaves = branches = 0
    records: list[bytes] = []
    for slot, child in enumerate(children):
        if isinstance(child, Leaf):
            leaves |= 1 << slot
            records.append(child.key_hash + child.value_hash)
        elif child is not None:
            branches |= 1 << slot
            records.append(child.version.to_bytes(_VERSION_SIZE_BYTES, "big") + child.hash)
    return leaves.to_bytes(2, "big") + branches.to_bytes(2, "big") + b"".join(records)


def _decode_children(suite: CryptoSuite, data: bytes) -> list[Child]:
    leaves, branches = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    size = 4 + _LEAF_RECORD_BYTES * leaves.bit_count() + _BRANCH_RECORD_BYTES * branches.bit_count()
    if len(data) != size or leaves & branches:
        raise StorageDamaged(what="state tree", reason="malformed node")
    children: list[Child] = []
    at = 4
    for slot in range(FAN_OUT):
        if leaves >> slot & 1:
            middle, end = at + HASH_SIZE_BYTES, at + _LEAF_RECORD_BYTES
            children.append(make_leaf(suite, data[at:middle], data[middle:end]))
            at = end
        elif branches >> slot & 1:
            middle, end = at + _VERSION_SIZE_BYTES, at + _BRANCH_RECORD_BYTES
            children.append(Branch(int.from_bytes(data[at:middle], "big"), data[middle:end]))
            at = end
        else:
            children.append(None)
    return children


def encode_root(top: Child) -> bytes:
    """A root record is written like a node whose only child, in slot 0, is the top of the tree."""
    return encode_children([top])


def _read(reader: NodeReader, key: bytes) -> bytes:
    data = reader.tree_node(key)
    if data is None:
        raise StorageDamaged(what="state tree", reason=f"node {key.hex()} is missing")
    return data


def _read_root(suite: CryptoSuite, reader: NodeReader, version: int) -> Child:
    return _decode_children(suite, _read(reader, root_key(version)))[0]


def has_version(reader: NodeReader, version: int) -> bool:
    """Whether that version's root record is still kept, so that it can be proven against."""
    return reader.tree_node(root_key(version)) is not None


def root_at(suite: CryptoSuite, reader: NodeReader, version: int) -> bytes:
    """The root of a version that is kept.

    Raises:
        StorageDamaged: it is not there.
    """
    child = _read_root(suite, reader, version)
    return EMPTY_ROOT if child is None else child.hash


# --- hashing ------------------------------------------------------------------------------------------------

_Entry = Leaf | bytes | None


def _entry_hash(entry: _Entry) -> bytes:
    if entry is None:
        return EMPTY_ROOT
    return entry.hash if isinstance(entry, Leaf) else entry


def _levels(suite: CryptoSuite, children: list[Child]) -> list[list[_Entry]]:
    """The binary tree within a node, from its children up to its top; a leaf rises while it is alone."""
    level: list[_Entry] = [child.hash if isinstance(child, Branch) else child for child in children]
    levels = [level]
    node_hash = suite.hash
    while len(level) > 1:
        above: list[_Entry] = []
        for left, right in zip(level[::2], level[1::2], strict=True):
            if left is None and (right is None or isinstance(right, Leaf)):
                above.append(right)
            elif right is None and isinstance(left, Leaf):
                above.append(left)
            else:
                left_hash = left if isinstance(left, bytes) else _entry_hash(left)
                right_hash = right if isinstance(right, bytes) else _entry_hash(right)
                above.append(node_hash(STATE_NODE, left_hash + right_hash))
        levels.append(above)
        level = above
    return levels


def node_hash_of(suite: CryptoSuite, children: list[Child]) -> bytes:
    """The hash of a stored node's subtree."""
    return _entry_hash(_levels(suite, children)[-1][0])


# --- update -------------------------------------------------------------------------------------------------

_Keyed = TypeVar("_Keyed", Leaf, _Change)


def _by_nibble(items: Sequence[_Keyed], depth: int) -> Iterator[tuple[int, Sequence[_Keyed]]]:
    """Runs of sorted items (key hash first) that share the nibble at `depth`."""
    start = 0
    while start < len(items):
        nibble = nibble_at(items[start][0], depth)
        end = start + 1
        while end < len(items) and nibble_at(items[end][0], depth) == nibble:
            end += 1
        yield nibble, items[start:end]
        start = end


class _Updater:
    """One update: reads the nodes on the changed paths, writes the new ones, notes the stale ones."""

    __slots__ = ("_reader", "_suite", "_version", "nodes", "stale")

    def __init__(self, suite: CryptoSuite, reader: NodeReader, version: int) -> None:
        self._suite = suite
        self._reader = reader
        self._version = version
        self.nodes: dict[bytes, bytes] = {}
        self.stale: list[bytes] = []

    def apply(self, child: Child, depth: int, changes: Sequence[_Change]) -> Child:
        """The subtree at `depth` nibbles after `changes`: sorted, distinct, at least one, all within it."""
        if isinstance(child, Branch):
            return self._apply_to_branch(child, depth, changes)
        leaves = [make_leaf(self._suite, key_hash, value) for key_hash, value in changes if value is not None]
        if child is not None and all(key_hash != child.key_hash for key_hash, _ in changes):
            leaves.append(child)
            leaves.sort()
        return self._build(leaves, depth)

    def _apply_to_branch(self, branch: Branch, depth: int, changes: Sequence[_Change]) -> Child:
        old_key = node_key(branch.version, depth, changes[0][0])
        children = _decode_children(self._suite, _read(self._reader, old_key))
        changed = False
        for slot, group in _by_nibble(changes, depth):
            after = self.apply(children[slot], depth + 1, group)
            changed |= after != children[slot]
            children[slot] = after
        if not changed:
            return branch
        self.stale.append(old_key)
        present = [child for child in children if child is not None]
        if not present:
            return None
        if len(present) == 1 and isinstance(present[0], Leaf):
            return present[0]
        return self._write(children, depth, changes[0][0])

    def _build(self, leaves: Sequence[Leaf], depth: int) -> Child:
        """A fresh subtree of these leaves, sorted by key hash."""
        if len(leaves) <= 1:
            return leaves[0] if leaves else None
        children: list[Child] = [None] * FAN_OUT
        for slot, group in _by_nibble(leaves, depth):
            children[slot] = self._build(group, depth + 1)
        return self._write(children, depth, leaves[0].key_hash)

    def _write(self, children: list[Child], depth: int, key_hash: bytes) -> Branch:
        self.nodes[node_key(self._version, depth, key_hash)] = encode_children(children)
        return Branch(self._version, node_hash_of(self._suite, children))


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
        top = _read_root(suite, reader, base_version)
        updater.stale.append(root_key(base_version))
    if hashed:
        top = updater.apply(top, 0, hashed)
    updater.nodes[root_key(version)] = encode_root(top)
    root = EMPTY_ROOT if top is None else top.hash
    return TreeUpdate(root=root, nodes=updater.nodes, stale=tuple(updater.stale))


# --- proofs -------------------------------------------------------------------------------------------------


def prove(suite: CryptoSuite, reader: NodeReader, version: int, key: bytes) -> StateProof:
    """Proof of what `version` holds under `key`, be it a value or nothing.

    Raises:
        StorageDamaged: a node is missing or malformed.
    """
    key_hash = suite.hash(STATE_KEY, key)
    child = _read_root(suite, reader, version)
    siblings: list[bytes] = []
    depth = 0
    while isinstance(child, Branch):
        children = _decode_children(suite, _read(reader, node_key(child.version, depth, key_hash)))
        slot = nibble_at(key_hash, depth)
        levels = _levels(suite, children)
        child = children[slot]
        for height in (3, 2, 1, 0):
            position = slot >> height
            siblings.append(_entry_hash(levels[height][position ^ 1]))
            entry = levels[height][position]
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
