"""A group of prime order q: the elements and scalars of everything in this package.

Rule: no identity and no zero is ever encoded, decoded or multiplied with; where a sum comes out as the identity it
compares unequal to everything that was decoded. The second generator and every hashed element are points whose
logarithms nobody knows.

Source: RFC 9380 for hashing to G1 of BLS12-381 (suite BLS12381G1_XMD:SHA-256_SSWU_RO_).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

import pyblst

from ledger.crypto import bls
from ledger.domains import Domain
from ledger.errors import invariant

SCALAR_SIZE_BYTES: Final = 32
_WIDE_SIZE_BYTES: Final = 64
# One tag for the package; what an element is hashed for is in the message.
_HASH_TO_G1: Final = b"ZHENGLIAN-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
_SECOND_GENERATOR: Final = b"zhenglian/second-generator/1"

Hash = Callable[[Domain, bytes], bytes]


class Element(Protocol):
    """A point of the group, or a sum that may be its identity."""

    def encode(self) -> bytes:
        """Its one encoding, `Group.element_size_bytes` long."""
        ...

    def times(self, scalar: int) -> Self:
        """The multiple by a scalar in 1 … q − 1."""
        ...

    def __add__(self, other: Self, /) -> Self: ...


class Group(Protocol):
    """A group of prime order and its two generators."""

    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int:
        """q."""
        ...

    @property
    def element_size_bytes(self) -> int: ...

    @property
    def generator(self) -> Element: ...

    @property
    def second_generator(self) -> Element:
        """Independent of the first: nobody knows its logarithm."""
        ...

    def decode(self, data: bytes) -> Element | None:
        """The element, unless these bytes are not the one encoding of one other than the identity."""
        ...

    def hash_to_element(self, domain: Domain, message: bytes) -> Element:
        """A uniform element whose logarithm nobody knows."""
        ...

    def random_scalar(self) -> int:
        """Uniform in 1 … q − 1."""
        ...


def encode_scalar(scalar: int) -> bytes:
    """32 bytes, big-endian."""
    return scalar.to_bytes(SCALAR_SIZE_BYTES, "big")


def decode_scalar(group: Group, data: bytes) -> int | None:
    """The scalar in 1 … q − 1 that these bytes are, if they are one."""
    if len(data) != SCALAR_SIZE_BYTES:
        return None
    scalar = int.from_bytes(data, "big")
    return scalar if 0 < scalar < group.order else None


def challenge(group: Group, hash_: Hash, domain: Domain, parts: bytes) -> int:
    """A scalar in 1 … q − 1 from a transcript: 64 bytes of hash, so that the remainder is uniform.

    Args:
        group: whose order bounds it.
        hash_: the suite's domain-separated hash.
        domain: what the challenge is for.
        parts: the transcript, of items of fixed length or with their lengths in front.
    """
    wide = hash_(domain, b"\0" + parts) + hash_(domain, b"\1" + parts)
    invariant(len(wide) == _WIDE_SIZE_BYTES, "a suite hashes to 32 bytes")
    return int.from_bytes(wide, "big") % (group.order - 1) + 1


def combination(terms: list[tuple[Element, int]]) -> Element:
    """The sum of at least one multiple, each by a scalar in 1 … q − 1."""
    invariant(terms, "a combination has terms")
    total = terms[0][0].times(terms[0][1])
    for element, scalar in terms[1:]:
        total += element.times(scalar)
    return total


class _G1Element:
    """A point of G1; the library multiplies in equal time for every scalar."""

    __slots__ = ("_point",)

    def __init__(self, point: Any) -> None:
        self._point = point

    def encode(self) -> bytes:
        data: bytes = self._point.compress()
        return data

    def times(self, scalar: int) -> _G1Element:
        invariant(0 < scalar < bls.ORDER, "a scalar is in 1 … q − 1")
        return _G1Element(self._point.scalar_mul(scalar))

    def __add__(self, other: _G1Element, /) -> _G1Element:
        return _G1Element(self._point + other._point)

    def __repr__(self) -> str:
        return f"G1({self.encode().hex()})"


class Bls12381G1:
    """G1 of BLS12-381, 48-byte elements. Holds no state, so one instance serves everybody."""

    __slots__ = ("_generator", "_second")

    def __init__(self) -> None:
        self._generator: Element = _G1Element(bls.decode_g1(bls.GENERATOR))
        self._second: Element = _G1Element(pyblst.BlstP1Element.hash_to_group(_SECOND_GENERATOR, _HASH_TO_G1))

    @property
    def name(self) -> str:
        return "bls12-381-g1"

    @property
    def order(self) -> int:
        return bls.ORDER

    @property
    def element_size_bytes(self) -> int:
        return bls.PUBLIC_KEY_SIZE_BYTES

    @property
    def generator(self) -> Element:
        return self._generator

    @property
    def second_generator(self) -> Element:
        return self._second

    def decode(self, data: bytes) -> Element | None:
        point = bls.decode_g1(data)
        return None if point is None else _G1Element(point)

    def hash_to_element(self, domain: Domain, message: bytes) -> Element:
        tagged = bytes((len(domain),)) + domain + message
        return _G1Element(pyblst.BlstP1Element.hash_to_group(tagged, _HASH_TO_G1))

    def random_scalar(self) -> int:
        return secrets.randbelow(bls.ORDER - 1) + 1
