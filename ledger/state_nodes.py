"""The stored nodes of the state tree: their keys, their records, and the hashes of what they hold.

Rule: a stored node stands for a subtree of two or more keys whose depth in bits is even, and holds its four
children: nothing, a leaf, or the branch below (its hash, and the version under which it was written). The
hashes follow the binary tree that `state_tree` defines; how nodes are cut is a matter of storage alone.

| key                                             | record                                                  |
|-------------------------------------------------|---------------------------------------------------------|
| version (8 bytes)                               | a node's record whose one child, in slot 0, is the top  |
| version, whole bytes of the path, its tail byte | kinds (1 byte), first halves (32 each), second halves   |

Two bits of `kinds` say what is in each slot, slot 0 lowest: 0 nothing, 1 a leaf, 2 a branch. The first half
of a leaf is its key hash, the second its value hash; of a branch its hash, and its version (8 bytes). Where all
four are branches, as in most nodes, the hashes of the two pairs follow (32 bytes each), so that a change below
one child hashes two nodes here and not three. The tail
byte holds what the path has beyond whole bytes, and in its two lowest bits how many steps that is. So the
nodes of a version lie in the order of the tree, each before what is below it, and those of one path lie
together: on the same few pages, when a later version lets go of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct, error
from typing import Final, NamedTuple, Protocol

from ledger.crypto.suite import CryptoSuite
from ledger.domains import STATE_LEAF, STATE_NODE
from ledger.errors import StorageDamaged
from ledger.types import HASH_SIZE_BYTES

EMPTY_ROOT: Final = bytes(HASH_SIZE_BYTES)
DEPTH_BITS_MAX: Final = HASH_SIZE_BYTES * 8

STEP_BITS: Final = 2
FAN_OUT: Final = 1 << STEP_BITS
VERSION_SIZE_BYTES: Final = 8

# What `CryptoSuite.hash` puts before the data, so that nodes are hashed with one call of `digest` each.
_LEAF_PREFIX: Final = bytes((len(STATE_LEAF),)) + STATE_LEAF
NODE_PREFIX: Final = bytes((len(STATE_NODE),)) + STATE_NODE

_A_LEAF, _A_BRANCH = 1, 2
ALL_BRANCHES: Final = 0b10101010
VERSIONS_AT: Final = 1 + FAN_OUT * HASH_SIZE_BYTES
PAIRS_AT: Final = VERSIONS_AT + FAN_OUT * VERSION_SIZE_BYTES
ALL_BRANCHES_SIZE_BYTES: Final = PAIRS_AT + 2 * HASH_SIZE_BYTES

# By step within a byte: how far its two bits are from the end, and the tail of the path above it.
SHIFTS: Final = (6, 4, 2, 0)
TAILS: Final = tuple(
    tuple(bytes((byte & mask | step,)) for byte in range(256))
    for step, mask in enumerate((0x00, 0xC0, 0xF0, 0xFC))
)


class NodeReader(Protocol):
    """Where stored nodes are read: the store, or unfinalized blocks' nodes laid over it."""

    def tree_node(self, key: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class NodeMap:
    """Nodes in memory, as a `NodeReader`."""

    nodes: Mapping[bytes, bytes]

    def tree_node(self, key: bytes) -> bytes | None:
        return self.nodes.get(key)


class Leaf(NamedTuple):
    """One key of the tree: the hash of the key, the digest of its value."""

    key_hash: bytes
    value_hash: bytes


class Branch(NamedTuple):
    """A stored node below another: its subtree's hash, and the version that wrote it, 8 bytes."""

    hash: bytes
    version: bytes


Child = Leaf | Branch | None


# --- keys ---------------------------------------------------------------------------------------------------


def root_key(version: int) -> bytes:
    """Key of a version's root record; also how a branch names its version."""
    return version.to_bytes(VERSION_SIZE_BYTES, "big")


def node_key(version: bytes, depth: int, key_hash: bytes) -> bytes:
    """Key of the node that is `depth` steps down the path of `key_hash`, as written by `version`."""
    whole = depth >> 2
    return version + key_hash[:whole] + TAILS[depth & 3][key_hash[whole]]


def slot_at(key_hash: bytes, depth: int) -> int:
    """The step that the path of `key_hash` takes at `depth` steps."""
    return key_hash[depth >> 2] >> SHIFTS[depth & 3] & 3


def path_below(path: bytes, depth: int, slot: int) -> bytes:
    """The path of 32 bytes, zero beyond `depth` steps, that goes on by one step."""
    at = depth >> 2
    return path[:at] + bytes((path[at] | slot << SHIFTS[depth & 3],)) + path[at + 1 :]


# --- records ------------------------------------------------------------------------------------------------

_Shape = tuple[Struct, tuple[tuple[int, type[Leaf] | type[Branch]], ...]]


def _shape(kinds: int) -> _Shape | None:
    """How a record with these kinds is laid out; None where no record has them."""
    slots: list[tuple[int, type[Leaf | Branch]]] = []
    for slot in range(FAN_OUT):
        match kinds >> 2 * slot & 3:
            case 0:
                continue
            case 1:
                slots.append((slot, Leaf))
            case 2:
                slots.append((slot, Branch))
            case _:
                return None
    seconds = "".join("32s" if kind is Leaf else "8s" for _, kind in slots)
    pairs = "64x" if kinds == ALL_BRANCHES else ""
    return Struct("<1x" + "32s" * len(slots) + seconds + pairs), tuple(slots)


_SHAPES: Final = tuple(_shape(kinds) for kinds in range(256))


def decode_children(data: bytes) -> list[Child]:
    """The four children that a record holds.

    Raises:
        StorageDamaged: it is no record.
    """
    shape = _SHAPES[data[0]] if data else None
    if shape is None:
        raise StorageDamaged(what="state tree", reason="malformed node")
    layout, slots = shape
    try:
        halves = layout.unpack(data)
    except error:
        raise StorageDamaged(what="state tree", reason="malformed node") from None
    children: list[Child] = [None] * FAN_OUT
    count = len(slots)
    for at, (slot, kind) in enumerate(slots):
        children[slot] = kind(halves[at], halves[at + count])
    return children


def _encode(children: Sequence[Child]) -> bytes:
    """The record of a node, save for the hashes of its pairs."""
    kinds = 0
    firsts: list[bytes] = [b""]
    seconds: list[bytes] = []
    for slot, child in enumerate(children):
        if child is not None:
            kinds |= (_A_LEAF if type(child) is Leaf else _A_BRANCH) << 2 * slot
            firsts.append(child[0])
            seconds.append(child[1])
    firsts[0] = bytes((kinds,))
    return b"".join(firsts + seconds)


def encode_root(top: Child) -> bytes:
    """A root record is written like a node whose only child, in slot 0, is the top of the tree."""
    return _encode([top])


def read_node(reader: NodeReader, key: bytes) -> bytes:
    """The record under a key.

    Raises:
        StorageDamaged: it is not there.
    """
    data = reader.tree_node(key)
    if data is None:
        raise StorageDamaged(what="state tree", reason=f"node {key.hex()} is missing")
    return data


def read_top(reader: NodeReader, version: int) -> Child:
    """The top of a version that is kept.

    Raises:
        StorageDamaged: its root record is missing or malformed.
    """
    return decode_children(read_node(reader, root_key(version)))[0]


# --- hashing ------------------------------------------------------------------------------------------------

# What is at a place of the binary tree: nothing, a leaf that is alone below it, or the hash of more.
Entry = Leaf | bytes | None
Digest = Callable[[bytes], bytes]


def entry_of(child: Child) -> Entry:
    """A child as a place of the binary tree."""
    return child.hash if isinstance(child, Branch) else child


def entry_hash(digest: Digest, entry: Entry) -> bytes:
    """The hash of what is at a place."""
    if isinstance(entry, bytes):
        return entry
    return EMPTY_ROOT if entry is None else digest(_LEAF_PREFIX + entry[0] + entry[1])


def join(digest: Digest, left: Entry, right: Entry) -> Entry:
    """What is at the place above two others; a leaf rises while it is alone."""
    if left is None:
        if right is None or type(right) is Leaf:
            return right
    elif right is None and type(left) is Leaf:
        return left
    return digest(NODE_PREFIX + entry_hash(digest, left) + entry_hash(digest, right))


def encode_node(suite: CryptoSuite, children: Sequence[Child]) -> tuple[bytes, bytes]:
    """The record of a node, and the hash of its subtree."""
    digest = suite.digest
    first, second, third, fourth = children
    left = join(digest, entry_of(first), entry_of(second))
    right = join(digest, entry_of(third), entry_of(fourth))
    record = _encode(children)
    if record[0] == ALL_BRANCHES:
        record += entry_hash(digest, left) + entry_hash(digest, right)
    return record, entry_hash(digest, join(digest, left, right))


def child_hash(suite: CryptoSuite, child: Child) -> bytes:
    """The hash of the subtree that a child stands for."""
    return entry_hash(suite.digest, entry_of(child))
