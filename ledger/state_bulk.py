"""The state tree from all of its leaves in order: the root of any part of it, and every node to be stored.

Rule: what is built here is what `state_tree.update` builds of the same keys and values; it is built in one
pass over sorted leaves, from the bottom up, and holds no more than one path of open nodes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_KEY, STATE_NODE
from ledger.errors import invariant
from ledger.state_nodes import (
    DEPTH_BITS_MAX,
    EMPTY_ROOT,
    FAN_OUT,
    STEP_BITS,
    Branch,
    Child,
    Leaf,
    child_hash,
    encode_node,
    encode_root,
    node_key,
    root_key,
    slot_at,
)


def leaf_of(suite: CryptoSuite, key: bytes, value: bytes) -> Leaf:
    """The leaf of a state entry; leaves sort in the order of the tree."""
    return Leaf(suite.hash(STATE_KEY, key), suite.digest(value))


def subtree_root(suite: CryptoSuite, leaves: Sequence[Leaf], depth_bits: int) -> bytes:
    """Root of the part of the tree that holds exactly these leaves.

    Args:
        suite: the network's suite.
        leaves: sorted, distinct, alike in their first `depth_bits` bits.
        depth_bits: how far below the root of the whole tree that part hangs, 0 … 256.
    """
    paths = [int.from_bytes(leaf.key_hash, "big") for leaf in leaves]

    def root(first: int, end: int, depth: int) -> bytes:
        if end - first <= 1:
            return child_hash(suite, leaves[first]) if end > first else EMPTY_ROOT
        bit = 1 << (DEPTH_BITS_MAX - 1 - depth)
        middle = bisect_left(paths, paths[first] & -(bit << 1) | bit, first, end)
        left, right = root(first, middle, depth + 1), root(middle, end, depth + 1)
        return suite.hash(STATE_NODE, left + right)

    return root(0, len(leaves), depth_bits)


def join_roots(suite: CryptoSuite, left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
    """(root, number of keys) of a subtree from those of its two halves; a key that is alone rises."""
    if left[1] == 0 and right[1] <= 1:
        return right
    if right[1] == 0 and left[1] == 1:
        return left
    return suite.hash(STATE_NODE, left[0] + right[0]), left[1] + right[1]


class TreeBuilder:
    """Builds a whole tree under one version.

    Args:
        suite: the network's suite.
        version: of every node; in the ledger, a block's height.
    """

    def __init__(self, suite: CryptoSuite, version: int) -> None:
        self._suite = suite
        self._version = root_key(version)
        self._open: list[list[Child]] = []
        self._pending: Leaf | None = None
        self._shared = -1

    def add(self, leaf: Leaf) -> list[tuple[bytes, bytes]]:
        """Take the next leaf, above all before it.

        Returns:
            The stored nodes that can no longer change: keys and values.
        """
        last, self._pending = self._pending, leaf
        if last is None:
            return []
        invariant(leaf.key_hash > last.key_hash, "leaves come in order")
        shared = _steps_shared(last.key_hash, leaf.key_hash)
        nodes = self._place(last, max(self._shared, shared), shared)
        self._shared = shared
        return nodes

    def finish(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """The root, and the nodes that were still open, the version's root record among them."""
        last = self._pending
        if last is None or not self._open:
            top: Child = last
            nodes: list[tuple[bytes, bytes]] = []
        else:
            nodes = self._place(last, self._shared, 0)
            record, node_hash = encode_node(self._suite, self._open[0])
            top = Branch(node_hash, self._version)
            nodes.append((node_key(self._version, 0, last.key_hash), record))
        nodes.append((self._version, encode_root(top)))
        return child_hash(self._suite, top), nodes

    def _place(self, leaf: Leaf, home: int, keep: int) -> list[tuple[bytes, bytes]]:
        """Hang a leaf into the node at depth `home` of its path, and close the nodes below depth `keep`."""
        while len(self._open) <= home:
            self._open.append([None] * FAN_OUT)
        self._open[home][slot_at(leaf.key_hash, home)] = leaf
        nodes: list[tuple[bytes, bytes]] = []
        while len(self._open) > keep + 1:
            children = self._open.pop()
            depth = len(self._open)
            record, node_hash = encode_node(self._suite, children)
            nodes.append((node_key(self._version, depth, leaf.key_hash), record))
            self._open[-1][slot_at(leaf.key_hash, depth - 1)] = Branch(node_hash, self._version)
        return nodes


def _steps_shared(one: bytes, other: bytes) -> int:
    """How many leading steps two distinct key hashes have in common."""
    apart = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return (DEPTH_BITS_MAX - apart.bit_length()) // STEP_BITS
