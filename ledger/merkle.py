"""RFC 6962 Merkle trees over ordered lists, with inclusion proofs, and the counted root that binds a list's
length.

Rule: a leaf is hashed behind a 0x00 byte, an inner node behind 0x01 and a counted root behind 0x02, so none
can be taken for another; the tree of n leaves has its left half filled to the largest power of two below n.
Computed level by level, with the odd last node carried up unchanged, which gives that same tree.

A plain RFC 6962 root does not bind the number of leaves: the same sibling proves (index 1 of 2) and (index 2
of 3). What goes into a header or a certificate's commitment is therefore the counted root, `digest(0x02 ‖ n
as 8 bytes ‖ root)`.

Source: RFC 6962, sections 2.1 and 2.1.1; RFC 9162, section 2.1.3.2 for checking a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.errors import invariant
from ledger.types import MerkleProof

Digest = Callable[[bytes], bytes]


def _level_above(digest: Digest, level: list[bytes]) -> list[bytes]:
    above = [digest(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        above.append(level[-1])
    return above


def root(digest: Digest, leaves: Sequence[bytes]) -> bytes:
    """Root over the leaves, in their order; the digest of nothing for an empty list.

    Args:
        digest: plain 32-byte hash, e.g. `suite.digest`.
        leaves: the leaves' bytes, not yet hashed.
    """
    if not leaves:
        return digest(b"")
    level = [digest(b"\x00" + leaf) for leaf in leaves]
    while len(level) > 1:
        level = _level_above(digest, level)
    return level[0]


def prove(digest: Digest, leaves: Sequence[bytes], index: int) -> MerkleProof:
    """Proof that `leaves[index]` is under `root(digest, leaves)`, and under the counted root.

    Args:
        digest: plain 32-byte hash.
        leaves: all leaves of the tree.
        index: 0 … len(leaves) − 1.
    """
    invariant(0 <= index < len(leaves), "a proof is asked for a leaf that the tree has")
    siblings: list[bytes] = []
    level = [digest(b"\x00" + leaf) for leaf in leaves]
    position = index
    while len(level) > 1:
        if position ^ 1 < len(level):
            siblings.append(level[position ^ 1])
        level = _level_above(digest, level)
        position >>= 1
    return MerkleProof(index=index, size=len(leaves), siblings=tuple(siblings))


def _climb(digest: Digest, leaf: bytes, proof: MerkleProof) -> bytes | None:
    """The root that the proof leads to; None unless it has just the siblings its index and size call for."""
    position, last = proof.index, proof.size - 1
    if not 0 <= position <= last:
        return None
    node = digest(b"\x00" + leaf)
    for sibling in proof.siblings:
        if last == 0:
            return None
        if position % 2 or position == last:
            node = digest(b"\x01" + sibling + node)
            while position % 2 == 0 and position:
                position >>= 1
                last >>= 1
        else:
            node = digest(b"\x01" + node + sibling)
        position >>= 1
        last >>= 1
    return node if last == 0 else None


def verify(digest: Digest, root: bytes, leaf: bytes, proof: MerkleProof) -> bool:
    """Whether `leaf` is in the tree whose plain root is `root`; only the path's shape binds its index."""
    return _climb(digest, leaf, proof) == root


def _counted(digest: Digest, size: int, plain_root: bytes) -> bytes:
    return digest(b"\x02" + size.to_bytes(8, "big") + plain_root)


def counted_root(digest: Digest, leaves: Sequence[bytes]) -> bytes:
    """Root that also binds how many leaves there are."""
    return _counted(digest, len(leaves), root(digest, leaves))


def verify_counted(digest: Digest, root: bytes, leaf: bytes, proof: MerkleProof) -> bool:
    """Whether `leaf` is at exactly `proof.index` of `proof.size` leaves under the counted root `root`."""
    plain = _climb(digest, leaf, proof)
    return plain is not None and _counted(digest, proof.size, plain) == root
