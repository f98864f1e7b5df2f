"""SM2 signatures and public-key encryption on the recommended curve, with one pinned verdict.

Rule: the library gives group operations only, so every check is made here: sizes, the one encoding of a key, r and s in
1 … n − 1, t ≠ 0, and the comparison itself. The verdict is thereby arithmetic and no library's choice. Secrets are multiplied
and signed with by the library alone, in constant time. `tests/vectors/sm2_edge.json` pins the verdicts, and
`ledger.crypto.self_test` runs the same cases at node start.

Source: GB/T 32918.2-2016 (signatures), 32918.4-2016 (encryption), 32918.5-2017 (the curve and the default identity).
"""

from __future__ import annotations

import hmac
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ledger.crypto import libcrypto, sm3
from ledger.crypto.libcrypto import Point
from ledger.domains import Domain
from ledger.errors import DecodeError, LimitExceeded, VerificationFailed, invariant

if TYPE_CHECKING:
    from hashlib import _Hash

SCHEME: Final = "sm2"
IDENTITY: Final = b"1234567812345678"
SECRET_SIZE_BYTES: Final = 32
PUBLIC_KEY_SIZE_BYTES: Final = libcrypto.POINT_SIZE_BYTES
SIGNATURE_SIZE_BYTES: Final = 64
WRAPPED_SECRET_SIZE_BYTES_MAX: Final = 1024
WRAP_OVERHEAD_BYTES: Final = libcrypto.POINT_UNCOMPRESSED_SIZE_BYTES + sm3.DIGEST_SIZE_BYTES

FIELD: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
ORDER: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
A: Final = FIELD - 3
B: Final = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
GENERATOR_X: Final = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
GENERATOR_Y: Final = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0

_KEY_CACHE_MAX: Final = 4096
_VERDICT_CACHE_MAX: Final = 8192
_CURVE: Final = b"".join(number.to_bytes(32, "big") for number in (A, B, GENERATOR_X, GENERATOR_Y))


class _Key:
    """A public key: its point, and a hash that has taken Z."""

    __slots__ = ("_started", "point")

    def __init__(self, point: Point, coordinates: bytes) -> None:
        self.point: Final = point
        self._started: Final[_Hash] = sm3.start(identity_digest(coordinates))

    def digest(self, message: bytes) -> bytes:
        """e = SM3(Z ‖ message)."""
        started = self._started.copy()
        started.update(message)
        return started.digest()


def identity_digest(coordinates: bytes, identity: bytes = IDENTITY) -> bytes:
    """Z, which ties a signature to its signer.

    Args:
        coordinates: x ‖ y of the public key, 64 bytes.
        identity: fewer than 8,192 bytes.

    Source: GB/T 32918.2, 5.5.
    """
    return sm3.digest((len(identity) * 8).to_bytes(2, "big") + identity + _CURVE + coordinates)


def _key_of(point: Point) -> _Key | None:
    """None for infinity."""
    coordinates = point.coordinates()
    return None if coordinates is None else _Key(point, coordinates)


@lru_cache(maxsize=_KEY_CACHE_MAX)
def _key(encoded: bytes) -> _Key | None:
    """The key that these 33 bytes stand for; None where they stand for none."""
    point = libcrypto.decode_point(encoded)
    return None if point is None else _key_of(point)


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


@lru_cache(maxsize=_VERDICT_CACHE_MAX)
def _verdict(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Of parts that have their sizes, so that what is remembered is bounded."""
    key = _key(public_key)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    t = (r + s) % ORDER
    if key is None or not (0 < r < ORDER and 0 < s < ORDER and t):
        return False
    found = libcrypto.multiply_sum(signature[32:], _number(t), key.point).coordinates()
    return (
        found is not None and (int.from_bytes(digest, "big") + int.from_bytes(found[:32], "big")) % ORDER == r
    )


def verify_digest(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """As `verify`, given e itself, 32 bytes.

    Verdicts are remembered: a transaction is judged when it comes in and again in its block, a vote alone and
    again in every certificate that lists it.
    """
    sizes = (len(public_key), len(digest), len(signature))
    return sizes == (
        PUBLIC_KEY_SIZE_BYTES,
        sm3.DIGEST_SIZE_BYTES,
        SIGNATURE_SIZE_BYTES,
    ) and _verdict(public_key, digest, signature)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over the raw `message` holds, for the default identity.

    Args:
        public_key: 33 bytes, the compressed point.
        message: any bytes.
        signature: 64 bytes, r ‖ s.

    Returns:
        The verdict; False for any input of wrong size or form.

    Source: GB/T 32918.2, 7.1.
    """
    if len(public_key) != PUBLIC_KEY_SIZE_BYTES:
        return False
    key = _key(public_key)
    return key is not None and verify_digest(public_key, key.digest(message), signature)


def verify_tagged(public_key: bytes, domain: Domain, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `len(domain) ‖ domain ‖ message` holds."""
    return verify(public_key, sm3.prefix(domain) + message, signature)


def generate_secret() -> bytes:
    """A uniform secret in 1 … n − 2, 32 bytes big-endian."""
    return _number(secrets.randbelow(ORDER - 2) + 1)


def _require_secret(secret: bytes) -> bytes:
    if len(secret) != SECRET_SIZE_BYTES or not 0 < int.from_bytes(secret, "big") < ORDER - 1:
        raise DecodeError(what="SM2 secret key", reason="not 32 bytes in 1 … n − 2")
    return secret


class SecretKey:
    """Holds one secret; signs raw messages."""

    __slots__ = ("_key", "_secret", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Load 32 bytes big-endian.

        Raises:
            DecodeError: wrong length, or not in 1 … n − 2.
        """
        self._secret = libcrypto.SecretKey(_require_secret(secret))
        point = libcrypto.multiply(secret)
        coordinates = point.coordinates() or b""
        invariant(coordinates, "d · G is not infinity for 0 < d < n")
        self._key = _Key(point, coordinates)
        self.public_key: Final = libcrypto.compressed(coordinates)

    def sign(self, message: bytes) -> bytes:
        """64 bytes r ‖ s over the raw message, with a fresh nonce."""
        r, s = self._secret.sign(self._key.digest(message))
        return _number(r) + _number(s)

    def __repr__(self) -> str:
        return f"SecretKey(public_key={self.public_key.hex()})"


class Sm2Signer:
    """Holds one account key; a `ledger.crypto.suite.Signer`."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        """Load 32 bytes.

        Raises:
            DecodeError: not in 1 … n − 2.
        """
        self._key = SecretKey(secret)

    @property
    def scheme(self) -> str:
        return SCHEME

    @property
    def public_key(self) -> bytes:
        return self._key.public_key

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """64 bytes r ‖ s over `len(domain) ‖ domain ‖ message`."""
        return self._key.sign(sm3.prefix(domain) + message)

    def __repr__(self) -> str:
        return f"Sm2Signer(public_key={self.public_key.hex()})"


# --- encryption ---------------------------------------------------------------------------------------------


def _stretch(shared: bytes, size: int) -> bytes:
    """The key derivation function of GB/T 32918.4, 5.4.3."""
    started = sm3.start(shared)
    blocks = []
    for counter in range(1, -(-size // sm3.DIGEST_SIZE_BYTES) + 1):
        block = started.copy()
        block.update(counter.to_bytes(4, "big"))
        blocks.append(block.digest())
    return b"".join(blocks)[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _masked(shared: bytes, data: bytes) -> bytes | None:
    """Data and derived key added up; None where the key is all zero, which hides nothing."""
    mask = _stretch(shared, len(data))
    return _xor(data, mask) if any(mask) else None


def _check(shared: bytes, secret: bytes) -> bytes:
    """C3: the hash of x₂ ‖ M ‖ y₂."""
    return sm3.digest(shared[:32] + secret + shared[32:])


def encrypt(public_key: bytes, secret: bytes) -> bytes:
    """C1 ‖ C3 ‖ C2 for the holder of a key; `WRAP_OVERHEAD_BYTES` longer than the secret.

    Args:
        public_key: 33 bytes.
        secret: 1 … 1,024 bytes.

    Raises:
        LimitExceeded: the secret is too long.
        VerificationFailed: the key is none, or there is nothing to encrypt.

    Source: GB/T 32918.4, 6.1.
    """
    if len(secret) > WRAPPED_SECRET_SIZE_BYTES_MAX:
        raise LimitExceeded(
            limit="wrapped secret bytes", maximum=WRAPPED_SECRET_SIZE_BYTES_MAX, actual=len(secret)
        )
    key = _key(public_key) if len(public_key) == PUBLIC_KEY_SIZE_BYTES else None
    if key is None:
        raise VerificationFailed(reason="wrap key is not usable")
    if not secret:
        raise VerificationFailed(reason="there is no secret to wrap")
    while True:
        wrapped = encrypt_with(generate_secret(), key.point, secret)
        if wrapped is not None:
            return wrapped


def encrypt_with(nonce: bytes, point: Point, secret: bytes) -> bytes | None:
    """C1 ‖ C3 ‖ C2 under a given nonce k, 32 bytes in 1 … n − 1; None if another has to be taken."""
    first, shared = libcrypto.multiply(nonce).coordinates(), libcrypto.multiply(nonce, point).coordinates()
    if first is None or shared is None:
        return None
    masked = _masked(shared, secret)
    return None if masked is None else libcrypto.uncompressed(first) + _check(shared, secret) + masked


def decrypt(secret_key: bytes, wrapped: bytes) -> bytes:
    """The secret that `encrypt` encrypted to the public half of `secret_key`.

    Raises:
        VerificationFailed: it was made for another key, was changed, or has an impossible size.

    Source: GB/T 32918.4, 7.1.
    """
    size = len(wrapped) - WRAP_OVERHEAD_BYTES
    if not 0 < size <= WRAPPED_SECRET_SIZE_BYTES_MAX:
        raise VerificationFailed(reason="wrapped secret has the wrong size")
    try:
        _require_secret(secret_key)
    except DecodeError:
        raise VerificationFailed(reason="wrap secret is no key") from None
    end = libcrypto.POINT_UNCOMPRESSED_SIZE_BYTES
    point = libcrypto.decode_point(wrapped[:end])
    shared = None if point is None else libcrypto.multiply(secret_key, point).coordinates()
    check, masked = wrapped[end:WRAP_OVERHEAD_BYTES], wrapped[WRAP_OVERHEAD_BYTES:]
    secret = None if shared is None else _masked(shared, masked)
    if shared is None or secret is None or not hmac.compare_digest(_check(shared, secret), check):
        raise VerificationFailed(reason="wrapped secret does not open")
    return secret
