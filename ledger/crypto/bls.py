"""BLS12-381 signatures with aggregation: 48-byte public keys in G1, 96-byte signatures in G2.

Rule: the library gives group operations only, so every check is made here. A key or signature counts only if
its bytes are the one encoding of a point of the prime-order subgroup that is not the identity; an aggregate
that comes out as the identity is rejected; a secret scalar is in 1 … r − 1. Aggregates are sound only over
keys whose proof of possession was verified.

Source: IETF draft-irtf-cfrg-bls-signature (minimal-pubkey-size, proof-of-possession scheme); RFC 9380 for
hashing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, Self, cast

import pyblst

from ledger.errors import DecodeError

SIGNATURE_SUITE: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_SUITE: Final = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
SECRET_KEY_SIZE_BYTES: Final = 32
PUBLIC_KEY_SIZE_BYTES: Final = 48
SIGNATURE_SIZE_BYTES: Final = 96
ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001

_KEY_CACHE_MAX: Final = 1024
_MESSAGE_CACHE_MAX: Final = 64
_INFINITY_FLAG: Final = 0x40


class _Point(Protocol):
    """What pyblst's point classes offer; the package ships no types."""

    def compress(self) -> bytes: ...
    def scalar_mul(self, scalar: int, /) -> Self: ...
    def __add__(self, other: Self, /) -> Self: ...


class _PointClass(Protocol):
    def uncompress(self, data: bytes, /) -> _Point: ...
    def hash_to_group(self, message: bytes, suite: bytes, /) -> _Point: ...


_G1: Final = cast("_PointClass", pyblst.BlstP1Element)
_G2: Final = cast("_PointClass", pyblst.BlstP2Element)
GENERATOR: Final = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
)
_GENERATOR: Final = _G1.uncompress(GENERATOR)


def _decode(group: _PointClass, data: bytes, size_bytes: int) -> _Point | None:
    if len(data) != size_bytes or data[0] & _INFINITY_FLAG:
        return None
    try:
        point = group.uncompress(data)
    except ValueError:
        return None
    return point if point.compress() == data else None


def decode_g1(data: bytes) -> _Point | None:
    """The point of G1 that these 48 bytes are the one encoding of; None for any other, the identity included."""
    return _decode(_G1, data, PUBLIC_KEY_SIZE_BYTES)


@lru_cache(maxsize=_KEY_CACHE_MAX)
def _key(data: bytes) -> _Point | None:
    return _decode(_G1, data, PUBLIC_KEY_SIZE_BYTES)


@lru_cache(maxsize=_MESSAGE_CACHE_MAX)
def _message(message: bytes, suite: bytes) -> _Point:
    """Cached, because all votes for one thing sign one message and hashing costs a tenth of verifying."""
    return _G2.hash_to_group(message, suite)


def _pairings_equal(key: _Point, message: _Point, signature: _Point) -> bool:
    """e(key, message) = e(generator, signature)."""
    blst: Any = pyblst
    return bool(blst.final_verify(blst.miller_loop(key, message), blst.miller_loop(_GENERATOR, signature)))


def _sum(points: Iterable[_Point]) -> _Point | None:
    """Sum of the points; None when there are none or the sum is the identity."""
    iterator = iter(points)
    total = next(iterator, None)
    if total is None:
        return None
    for point in iterator:
        total += point
    return None if total.compress()[0] & _INFINITY_FLAG else total


def _verify(keys: Sequence[bytes], message: bytes, signature: bytes, suite: bytes) -> bool:
    points = [_key(key) for key in keys]
    signature_point = _decode(_G2, signature, SIGNATURE_SIZE_BYTES)
    if signature_point is None or any(point is None for point in points):
        return False
    key = _sum(point for point in points if point is not None)
    return key is not None and _pairings_equal(key, _message(message, suite), signature_point)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature over the raw message holds. False, never an exception, for hostile bytes."""
    return _verify((public_key,), message, signature, SIGNATURE_SUITE)


def fast_aggregate_verify(public_keys: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """Whether the signature is the sum of one signature over `message` by each of the keys.

    Args:
        public_keys: at least one; possession of each must have been proven.
        message: the message that all of them signed.
        signature: 96 bytes.
    """
    return _verify(public_keys, message, signature, SIGNATURE_SUITE)


def verify_possession(public_key: bytes, message: bytes, proof: bytes) -> bool:
    """Like `verify`, under the ciphersuite that is reserved for proofs of possession."""
    return _verify((public_key,), message, proof, POSSESSION_SUITE)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """The sum of the signatures, 96 bytes.

    Raises:
        DecodeError: no signature, one that is no canonical subgroup point, or a sum that is the identity.
    """
    points = [_decode(_G2, signature, SIGNATURE_SIZE_BYTES) for signature in signatures]
    if any(point is None for point in points):
        raise DecodeError(what="BLS signature", reason="not a canonical point of the subgroup")
    total = _sum(point for point in points if point is not None)
    if total is None:
        raise DecodeError(what="BLS aggregate", reason="empty, or the identity")
    return total.compress()


def generate_secret() -> bytes:
    """A uniform secret scalar in 1 … r − 1, 32 bytes big-endian."""
    return (secrets.randbelow(ORDER - 1) + 1).to_bytes(SECRET_KEY_SIZE_BYTES, "big")


class SecretKey:
    """Holds one secret scalar. The library's multiplication takes equal time for every scalar."""

    __slots__ = ("_scalar", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Load 32 bytes big-endian.

        Raises:
            DecodeError: wrong length, zero, or not below the group order.
        """
        scalar = int.from_bytes(secret, "big")
        if len(secret) != SECRET_KEY_SIZE_BYTES or not 0 < scalar < ORDER:
            raise DecodeError(what="BLS secret key", reason="not 32 bytes in 1 … r − 1")
        self._scalar = scalar
        self.public_key: Final = _GENERATOR.scalar_mul(scalar).compress()

    def sign(self, message: bytes) -> bytes:
        """96 bytes over the raw message."""
        return _message(message, SIGNATURE_SUITE).scalar_mul(self._scalar).compress()

    def prove_possession(self, message: bytes) -> bytes:
        """96 bytes over the raw message, under the ciphersuite reserved for proofs of possession."""
        return _message(message, POSSESSION_SUITE).scalar_mul(self._scalar).compress()

    def __repr__(self) -> str:
        return f"SecretKey(public_key={self.public_key.hex()})"
