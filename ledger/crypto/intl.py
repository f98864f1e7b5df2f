"""The international suite: Ed25519, SHA-256, HMAC, BLS12-381 votes, XChaCha20-Poly1305, X25519 boxes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import lru_cache
from typing import Final

from ledger.crypto import bls, ed25519, sealing
from ledger.crypto.suite import QuorumScheme, Signer, VoteSigner
from ledger.domains import Domain
from ledger.errors import DecodeError
from ledger.quorum import BlsQuorumScheme, BlsVoteSigner

NAME: Final = "intl"


_sha256 = hashlib.sha256


@lru_cache(maxsize=256)
def _prefix(domain: Domain) -> bytes:
    return bytes((len(domain),)) + domain


class IntlSuite:
    """`CryptoSuite` under the name "intl". Holds no state, so one instance serves everybody."""

    __slots__ = ("_quorum",)

    def __init__(self) -> None:
        self._quorum = BlsQuorumScheme()

    @property
    def name(self) -> str:
        return NAME

    @property
    def signature_schemes(self) -> tuple[str, ...]:
        return (ed25519.SCHEME,)

    @property
    def quorum(self) -> QuorumScheme:
        return self._quorum

    def digest(self, data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    def hash(self, domain: Domain, data: bytes) -> bytes:
        return _sha256(_prefix(domain) + data).digest()

    def mac(self, key: bytes, domain: Domain, data: bytes) -> bytes:
        return hmac.digest(key, _prefix(domain) + data, "sha256")

    def verify(
        self, scheme: str, public_key: bytes, domain: Domain, message: bytes, signature: bytes
    ) -> bool:
        return scheme == ed25519.SCHEME and ed25519.verify_tagged(public_key, domain, message, signature)

    def generate_signer(self) -> tuple[bytes, Signer]:
        secret = secrets.token_bytes(ed25519.SEED_SIZE_BYTES)
        return secret, ed25519.Ed25519Signer(secret)

    def load_signer(self, secret: bytes) -> Signer:
        """Load an account key.

        Raises:
            DecodeError: not 32 bytes.
        """
        if len(secret) != ed25519.SEED_SIZE_BYTES:
            raise DecodeError(what="account secret key", reason="not 32 bytes")
        return ed25519.Ed25519Signer(secret)

    def generate_vote_signer(self) -> tuple[bytes, VoteSigner]:
        secret = bls.generate_secret()
        return secret, BlsVoteSigner(secret)

    def load_vote_signer(self, secret: bytes) -> VoteSigner:
        """Load a consensus key.

        Raises:
            DecodeError: not 32 bytes, or no scalar in 1 … r − 1.
        """
        return BlsVoteSigner(secret)

    def seal(self, key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return sealing.seal(key, plaintext, associated)

    def open(self, key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        return sealing.unseal(key, ciphertext, associated)

    def generate_wrap_key(self) -> tuple[bytes, bytes]:
        return sealing.generate_wrap_key()

    def wrap(self, public_key: bytes, secret: bytes) -> bytes:
        return sealing.wrap(public_key, secret)

    def unwrap(self, wrap_secret: bytes, wrapped: bytes) -> bytes:
        return sealing.unwrap(wrap_secret, wrapped)
