"""Authenticated encryption: XChaCha20-Poly1305 under a shared key, and sealed boxes for wrapping such keys.

Rule: what does not open is `VerificationFailed`, whatever the cause; nothing tells a forger which byte was
wrong.
"""

from __future__ import annotations

import secrets
from typing import Final

from nacl import bindings, exceptions

from ledger.errors import LimitExceeded, VerificationFailed, invariant

KEY_SIZE_BYTES: Final = 32
NONCE_SIZE_BYTES: Final = 24
TAG_SIZE_BYTES: Final = 16
WRAPPED_SECRET_SIZE_BYTES_MAX: Final = 1024
WRAP_OVERHEAD_BYTES: Final = 48


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt under a fresh random nonce.

    Args:
        key: 32 secret bytes.
        plaintext: any bytes.
        associated: authenticated but not contained in the result.

    Returns:
        nonce (24 bytes) ‖ ciphertext ‖ tag (16 bytes).

    Source: draft-irtf-cfrg-xchacha, section 2.
    """
    invariant(len(key) == KEY_SIZE_BYTES, "a sealing key has 32 bytes")
    nonce = secrets.token_bytes(NONCE_SIZE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def unseal(key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext of `seal`.

    Raises:
        VerificationFailed: key, ciphertext or associated data differ, or one of them has the wrong size.
    """
    if len(key) != KEY_SIZE_BYTES or len(ciphertext) < NONCE_SIZE_BYTES + TAG_SIZE_BYTES:
        raise VerificationFailed(reason="sealed data does not open")
    nonce, body = ciphertext[:NONCE_SIZE_BYTES], ciphertext[NONCE_SIZE_BYTES:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(body, associated, nonce, key)
    except exceptions.CryptoError:
        raise VerificationFailed(reason="sealed data does not open") from None


def generate_wrap_key() -> tuple[bytes, bytes]:
    """(secret, public) X25519 key pair, 32 bytes each."""
    public, secret = bindings.crypto_box_keypair()
    return secret, public


def wrap(public_key: bytes, secret: bytes) -> bytes:
    """Anonymous public-key encryption of at most 1,024 bytes; 48 bytes longer than `secret`.

    Raises:
        LimitExceeded: `secret` is too long.
        VerificationFailed: `public_key` is no usable X25519 key.
    """
    if len(secret) > WRAPPED_SECRET_SIZE_BYTES_MAX:
        raise LimitExceeded(
            limit="wrapped secret bytes", maximum=WRAPPED_SECRET_SIZE_BYTES_MAX, actual=len(secret)
        )
    if len(public_key) != KEY_SIZE_BYTES:
        raise VerificationFailed(reason="wrap key has the wrong size")
    try:
        return bindings.crypto_box_seal(secret, public_key)
    except (exceptions.CryptoError, AssertionError):
        raise VerificationFailed(reason="wrap key is not usable") from None


def unwrap(wrap_secret: bytes, wrapped: bytes) -> bytes:
    """The secret that `wrap` encrypted to the public half of `wrap_secret`.

    Raises:
        VerificationFailed: it was made for another key, was changed, or has an impossible size.
    """
    if len(wrap_secret) != KEY_SIZE_BYTES:
        raise VerificationFailed(reason="wrap secret has the wrong size")
    if not WRAP_OVERHEAD_BYTES <= len(wrapped) <= WRAP_OVERHEAD_BYTES + WRAPPED_SECRET_SIZE_BYTES_MAX:
        raise VerificationFailed(reason="wrapped secret has the wrong size")
    try:
        public_key = bindings.crypto_scalarmult_base(wrap_secret)
        return bindings.crypto_box_seal_open(wrapped, public_key, wrap_secret)
    except exceptions.CryptoError:
        raise VerificationFailed(reason="wrapped secret does not open") from None
