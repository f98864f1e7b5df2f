"""The handshake: the one message each side sends when the TLS session stands.

    both sides   TLS 1.3, mutual; the peer's key is pinned, so its account is known      (network/tls.py)
    both sides → HELLO{versions, chain, account, release, instance, ledger versions, contracts}
    both sides   judge the other's HELLO with `agree`, alike; on a mismatch close, naming the error
    then         frames in the highest common version

Rule: pure. A HELLO proves nothing by itself, TLS has done that; it finds honest mistakes (another network,
another release, swapped keys) before they cost anything. The shape of HELLO never changes, so that releases
that have no other version in common can still say so to each other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta

from ledger import codec
from ledger.types import AccountId, Count, Hash, Id16, Name, Text, Wire
from network.errors import ChainMismatch, NodeMismatch, VersionMismatch
from network.frames import HELLO_BYTES_MAX

PROTOCOL_VERSION_MIN: Final = 1
PROTOCOL_VERSION_MAX: Final = 1
CONTRACTS_TOLD_MAX: Final = 64


class Hello(Wire, frozen=True):
    """What a node says of itself first.

    Attributes:
        version_min: lowest protocol version that it speaks.
        version_max: highest protocol version that it speaks.
        chain_id: the network it belongs to.
        node: its account id.
        release: its software release, for people.
        instance: 16 random bytes drawn at start; a new value means that the node was restarted.
        ledger_version_min: lowest version of blocks (`Header.version`) that its release can judge.
        ledger_version_max: highest one; shown, so that operators see who is ready before they switch.
        contracts: name and latest version of each contract that its release has; shown for the same reason.
    """

    version_min: Count
    version_max: Count
    chain_id: Hash
    node: AccountId
    release: Text
    instance: Id16
    ledger_version_min: Count
    ledger_version_max: Count
    contracts: Annotated[tuple[tuple[Name, Count], ...], Meta(max_length=CONTRACTS_TOLD_MAX)]


def encode_hello(hello: Hello) -> bytes:
    """The payload of a HELLO frame."""
    return codec.encode(hello)


def decode_hello(payload: bytes) -> Hello:
    """Read the payload of a HELLO frame.

    Raises:
        DecodeError: malformed.
        LimitExceeded: larger than `HELLO_BYTES_MAX`.
    """
    return codec.decode(payload, Hello, size_bytes_max=HELLO_BYTES_MAX, what="hello")


def agree(own: Hello, theirs: Hello, holders: Collection[bytes]) -> int:
    """Judge a peer's HELLO; both sides come to the same verdict.

    Args:
        own: what this node said.
        theirs: what the peer said.
        holders: accounts that the key may belong to which the TLS session proved; mostly one, but nothing keeps a node
            from announcing another's certificate as its own too.

    Returns:
        The protocol version to speak: the highest in common.

    Raises:
        ChainMismatch: another network.
        NodeMismatch: the claimed account does not own the key.
        VersionMismatch: no version in common.
    """
    if theirs.chain_id != own.chain_id:
        raise ChainMismatch(own=own.chain_id.hex(), theirs=theirs.chain_id.hex())
    if theirs.node not in holders:
        raise NodeMismatch(
            expected=", ".join(sorted(holder.hex() for holder in holders)), claimed=theirs.node.hex()
        )
    version = min(own.version_max, theirs.version_max)
    if version < max(own.version_min, theirs.version_min) or theirs.version_min > theirs.version_max:
        raise VersionMismatch(
            own_min=own.version_min,
            own_max=own.version_max,
            own_release=own.release,
            their_min=theirs.version_min,
            their_max=theirs.version_max,
            their_release=theirs.release,
        )
    return version
