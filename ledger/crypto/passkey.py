"""What a passkey signs with: ECDSA on P-256 with SHA-256, or Ed25519, with one pinned verdict.

Rule: there is one encoding of a key and one of a signature. A P-256 key is the 65 bytes of its uncompressed point, an Ed25519 key
its 32 bytes; which of the two it is, its size says. An ECDSA signature is DER as it has to be (X.690, 10) with 1 ≤ r < n and
1 ≤ s ≤ n / 2: whoever holds a passkey signature cannot make another one of it. Devices give s as it comes, so that a client
writes `low_s` of it before it sends it. The library is asked for the group arithmetic only.

Source: W3C Web Authentication Level 3, 5.8.5 and 6.5.5; FIPS 186-5, 6.4.2; RFC 8032.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ledger.crypto import ed25519
from ledger.errors import DecodeError

SCHEME: Final = "passkey"
P256_KEY_SIZE_BYTES: Final = 65
SIGNATURE_SIZE_BYTES_MAX: Final = 72

P256_ORDER: Final = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
_HALF: Final = P256_ORDER // 2
_UNCOMPRESSED: Final = 0x04
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_INTEGER_SIZE_BYTES_MAX: Final = 33
_KEYS_CACHED_MAX: Final = 4096


def sha256(data: bytes) -> bytes:
    """SHA-256, which Web Authentication prescribes whatever the network's suite is."""
    return hashlib.sha256(data).digest()


def acceptable_key(public_key: bytes) -> bool:
    """Whether these bytes are the one encoding of a usable public key.

    Args:
        public_key: 65 bytes of a P-256 point, or 32 of Ed25519.
    """
    match len(public_key):
        case 65:
            return _point(public_key) is not None
        case ed25519.PUBLIC_KEY_SIZE_BYTES:
            return ed25519.acceptable_key(public_key)
        case _:
            return False


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature over `message` holds; False, never an exception, for hostile keys and signatures."""
    if len(public_key) == ed25519.PUBLIC_KEY_SIZE_BYTES:
        return ed25519.verify(public_key, message, signature)
    key = _point(public_key)
    if key is None or not _canonical(signature):
        return False
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def low_s(signature: bytes) -> bytes:
    """An ECDSA signature as a device gave it, in the one form that is accepted here.

    Args:
        signature: DER.

    Raises:
        DecodeError: it is no DER signature with r and s in 1 … n − 1.
    """
    numbers = _numbers(signature)
    if numbers is None or not all(1 <= number < P256_ORDER for number in numbers):
        raise DecodeError(what="passkey signature", reason="not DER with r and s in range")
    r, s = numbers
    return encode_der(r, min(s, P256_ORDER - s))


def encode_der(r: int, s: int) -> bytes:
    """DER of two positive numbers below 2²⁵⁶."""
    body = b"".join(
        bytes((_INTEGER, len(data))) + data
        for data in (number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (r, s))
    )
    return bytes((_SEQUENCE, len(body))) + body


def _canonical(signature: bytes) -> bool:
    numbers = _numbers(signature)
    return numbers is not None and 1 <= numbers[0] < P256_ORDER and 1 <= numbers[1] <= _HALF


def _numbers(signature: bytes) -> tuple[int, int] | None:
    """r and s, if the bytes are what DER makes of two numbers that are not negative."""
    if not 8 <= len(signature) <= SIGNATURE_SIZE_BYTES_MAX:
        return None
    if signature[0] != _SEQUENCE or signature[1] != len(signature) - 2:
        return None
    found: list[int] = []
    at = 2
    for _ in range(2):
        if at + 2 > len(signature) or signature[at] != _INTEGER:
            return None
        size = signature[at + 1]
        data = signature[at + 2 : at + 2 + size]
        if len(data) != size or not 1 <= size <= _INTEGER_SIZE_BYTES_MAX or data[0] >= 0x80:
            return None
        if size > 1 and data[0] == 0 and data[1] < 0x80:
            return None
        found.append(int.from_bytes(data, "big"))
        at += 2 + size
    return (found[0], found[1]) if at == len(signature) else None


@lru_cache(maxsize=_KEYS_CACHED_MAX)
def _point(public_key: bytes) -> ec.EllipticCurvePublicKey | None:
    """A point of the curve, infinity excepted; its order is the curve's, which is prime."""
    if len(public_key) != P256_KEY_SIZE_BYTES or public_key[0] != _UNCOMPRESSED:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        return None
