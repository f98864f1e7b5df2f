"""Authenticated encryption with SM4-GCM under a 32-byte key, of which each text gets an SM4 key of its own.

Rule: what does not open is `VerificationFailed`, whatever the cause; nothing tells a forger which byte was wrong.

SM4 takes 16 bytes of key and GCM 12 of nonce, too few to draw at random for many texts. So 24 random bytes lead the ciphertext:
the first 12 and the whole 32-byte key give the SM4 key by HMAC-SM3, the other 12 are the nonce.

Source: GB/T 32907-2016 (SM4); GB/T 36624-2018 and RFC 8998 (GCM with it).
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM

from ledger.crypto import sm3
from ledger.domains import SM4_KEY
from ledger.errors import VerificationFailed, invariant

KEY_SIZE_BYTES: Final = 32
NONCE_SIZE_BYTES: Final = 24
TAG_SIZE_BYTES: Final = 16
_KEY_NONCE_SIZE_BYTES: Final = 12
_SM4_KEY_SIZE_BYTES: Final = 16


def _cipher(key: bytes, nonce: bytes, tag: bytes | None = None) -> Cipher[GCM]:
    derived = sm3.mac(key, SM4_KEY, nonce[:_KEY_NONCE_SIZE_BYTES])[:_SM4_KEY_SIZE_BYTES]
    return Cipher(SM4(derived), GCM(nonce[_KEY_NONCE_SIZE_BYTES:], tag))


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt under a fresh random nonce.

    Args:
        key: 32 secret bytes.
        plaintext: any bytes.
        associated: authenticated but not contained in the result.

    Returns:
        nonce (24 bytes) ‖ ciphertext ‖ tag (16 bytes).
    """
    invariant(len(key) == KEY_SIZE_BYTES, "a sealing key has 32 bytes")
    nonce = secrets.token_bytes(NONCE_SIZE_BYTES)
    return nonce + seal_with(nonce, key, plaintext, associated)


def seal_with(nonce: bytes, key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Ciphertext ‖ tag under a given nonce of 24 bytes, which must never serve twice under one key."""
    encryptor = _cipher(key, nonce).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def unseal(key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """The plaintext of `seal`.

    Raises:
        VerificationFailed: key, ciphertext or associated data differ, or one of them has the wrong size.
    """
    if len(key) != KEY_SIZE_BYTES or len(ciphertext) < NONCE_SIZE_BYTES + TAG_SIZE_BYTES:
        raise VerificationFailed(reason="sealed data does not open")
    nonce, tag = ciphertext[:NONCE_SIZE_BYTES], ciphertext[-TAG_SIZE_BYTES:]
    decryptor = _cipher(key, nonce, tag).decryptor()
    decryptor.authenticate_additional_data(associated)
    try:
        return decryptor.update(ciphertext[NONCE_SIZE_BYTES:-TAG_SIZE_BYTES]) + decryptor.finalize()
    except InvalidTag:
        raise VerificationFailed(reason="sealed data does not open") from None
