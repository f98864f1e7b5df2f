"""Secrets on disk: a key out of a passphrase by Argon2id, and sealed boxes that know what they are.

Rule: what a box holds is bound to its header, so that no box passes for another kind, another key or other parameters. Costs that
a file may ask for are bounded on both sides; a file cannot take a machine's memory. Every suite keeps its secrets in this way,
because what protects a file from its thief is nobody's business but its owner's and no signature depends on it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated, Final

from msgspec import Meta, Struct
from nacl import exceptions, pwhash

from ledger.crypto import sealing
from ledger.domains import KEY_AT_REST
from ledger.errors import Unavailable, invariant

SALT_SIZE_BYTES: Final = 16
KEY_SIZE_BYTES: Final = sealing.KEY_SIZE_BYTES
MEMORY_KIB_MIN: Final = 8 * 1024
MEMORY_KIB_MAX: Final = 1024 * 1024
PASSES_MAX: Final = 16
# Memory times passes: some seconds on one core of a common machine.
WORK_KIB_MAX: Final = 4 * 1024 * 1024


class KdfCost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one guess costs.

    Attributes:
        memory_kib: memory to be filled, KiB.
        passes: times that it is.
        lanes: always one; libsodium has no more.

    Raises:
        ValueError: together they are more than WORK_KIB_MAX.
    """

    memory_kib: Annotated[int, Meta(ge=MEMORY_KIB_MIN, le=MEMORY_KIB_MAX)]
    passes: Annotated[int, Meta(ge=1, le=PASSES_MAX)]
    lanes: Annotated[int, Meta(ge=1, le=1)] = 1

    def __post_init__(self) -> None:
        if self.memory_kib * self.passes > WORK_KIB_MAX:
            raise ValueError(f"memory_kib times passes is more than {WORK_KIB_MAX}")


# RFC 9106, section 4, second recommended option, but with one lane: 64 MiB, three passes.
COST_DEFAULT: Final = KdfCost(memory_kib=64 * 1024, passes=3)
# For a passphrase that a program has drawn at random, which nobody can guess at any cost.
COST_LEAST: Final = KdfCost(memory_kib=MEMORY_KIB_MIN, passes=1)


def derive_key(passphrase: bytes, salt: bytes, cost: KdfCost) -> bytes:
    """32 bytes out of a passphrase.

    Args:
        passphrase: any bytes.
        salt: 16 random bytes.
        cost: what it takes.

    Raises:
        Unavailable: this machine has not so much memory.

    Source: RFC 9106, Argon2id version 1.3 with one lane.
    """
    invariant(len(salt) == SALT_SIZE_BYTES, "a salt has 16 bytes")
    try:
        return pwhash.argon2id.kdf(
            KEY_SIZE_BYTES, passphrase, salt, opslimit=cost.passes, memlimit=cost.memory_kib * 1024
        )
    except (exceptions.RuntimeError, MemoryError):
        raise Unavailable(what="memory", reason=f"a passphrase needs {cost.memory_kib} KiB") from None


def new_key() -> bytes:
    """A fresh key for boxes, 32 bytes."""
    return secrets.token_bytes(KEY_SIZE_BYTES)


def subkey(key: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose only; says nothing of `key` or of the others."""
    return hmac.digest(key, _framed(b"subkey", purpose.encode()), hashlib.sha256)


def seal(key: bytes, secret: bytes, header: bytes) -> bytes:
    """The box: XChaCha20-Poly1305 over `secret`, bound to `header`."""
    return sealing.seal(key, secret, _framed(b"box", header))


def unseal(key: bytes, box: bytes, header: bytes) -> bytes:
    """What is in the box. Raises VerificationFailed when key, box or header differ from those of `seal`."""
    return sealing.unseal(key, box, _framed(b"box", header))


def _framed(use: bytes, data: bytes) -> bytes:
    return bytes((len(KEY_AT_REST),)) + KEY_AT_REST + bytes((len(use),)) + use + data
