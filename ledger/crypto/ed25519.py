"""Ed25519 (RFC 8032) with one pinned verdict, because which signatures hold is a consensus rule.

Rule: cofactorless verification as libsodium does it; on top of that S >= L and every non-canonical or
small-order A and R is rejected here, by our own comparison, so that a change of library cannot change the
verdict unseen.
`tests/vectors/ed25519_edge.json` pins it, and `ledger.crypto.self_test` runs the same cases at node start.
"""

from __future__ import annotations

import hashlib
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from ledger.domains import Domain
from ledger.errors import invariant

SCHEME: Final = "ed25519"
SEED_SIZE_BYTES: Final = 32
PUBLIC_KEY_SIZE_BYTES: Final = 32
SIGNATURE_SIZE_BYTES: Final = 64

_FIELD: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_SIGN_BIT: Final = 1 << 255
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset((0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y))


def tagged(domain: Domain, message: bytes) -> bytes:
    """The 32 bytes that are signed: SHA-256 of `len(domain) as one byte ‖ domain ‖ message`."""
    return hashlib.sha256(bytes((len(domain),)) + domain + message).digest()


def _acceptable_point(encoded: bytes) -> bool:
    """Whether the y coordinate is reduced and belongs to no point of order 1, 2, 4 or 8.

    The points with x = 0, whose sign bit would be ambiguous, are of small order, so the sign needs no look.
    """
    y = int.from_bytes(encoded, "little") & ~_SIGN_BIT
    return y < _FIELD and y not in _SMALL_ORDER_Y


def acceptable_key(public_key: bytes) -> bool:
    """Whether these are the bytes of a key that can ever verify anything: a reduced point of the group of prime order."""
    return (
        len(public_key) == PUBLIC_KEY_SIZE_BYTES
        and _acceptable_point(public_key)
        and bindings.crypto_core_ed25519_is_valid_point(public_key)
    )


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over the raw `message` holds.

    Args:
        public_key: 32 bytes, A.
        message: any bytes.
        signature: 64 bytes, R ‖ S.

    Returns:
        The verdict; False for any input of wrong size or form.

    Source: RFC 8032, section 5.1.7, without the cofactor.
    """
    if len(public_key) != PUBLIC_KEY_SIZE_BYTES or len(signature) != SIGNATURE_SIZE_BYTES:
        return False
    if int.from_bytes(signature[32:], "little") >= _ORDER:
        return False
    if not _acceptable_point(public_key) or not _acceptable_point(signature[:32]):
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except CryptoError:
        return False
    return True


def verify_tagged(public_key: bytes, domain: Domain, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `tagged(domain, message)` holds."""
    return verify(public_key, tagged(domain, message), signature)


class Ed25519Signer:
    """Holds one secret seed of 32 bytes; a `ledger.crypto.suite.Signer`."""

    __slots__ = ("_public_key", "_secret_key")

    def __init__(self, seed: bytes) -> None:
        invariant(len(seed) == SEED_SIZE_BYTES, "an Ed25519 seed has 32 bytes")
        self._public_key, self._secret_key = bindings.crypto_sign_seed_keypair(seed)

    @property
    def scheme(self) -> str:
        return SCHEME

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """64 bytes R ‖ S over `tagged(domain, message)`; deterministic."""
        return bindings.crypto_sign(tagged(domain, message), self._secret_key)[:SIGNATURE_SIZE_BYTES]

    def __repr__(self) -> str:
        return f"Ed25519Signer(public_key={self._public_key.hex()})"
