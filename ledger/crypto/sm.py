"""The suite of the national standards: SM2, SM3, SM4-GCM, and certificates that list the votes' signatures."""

from __future__ import annotations

from typing import Final

from ledger.crypto import libcrypto, sm2, sm3, sm4
from ledger.crypto.suite import QuorumScheme, Signer, VoteSigner
from ledger.domains import Domain
from ledger.quorum_list import SignatureListQuorumScheme, Sm2VoteSigner

NAME: Final = "sm"


class SmSuite:
    """`CryptoSuite` under the name "sm". Holds no state, so one instance serves everybody."""

    __slots__ = ("_quorum",)

    def __init__(self) -> None:
        """Find the libraries.

        Raises:
            SuiteUnavailable: this computer's do not have SM2 and SM3.
        """
        libcrypto.require()
        self._quorum = SignatureListQuorumScheme()

    @property
    def name(self) -> str:
        return NAME

    @property
    def signature_schemes(self) -> tuple[str, ...]:
        return (sm2.SCHEME,)

    @property
    def quorum(self) -> QuorumScheme:
        return self._quorum

    def digest(self, data: bytes) -> bytes:
        return sm3.digest(data)

    def hash(self, domain: Domain, data: bytes) -> bytes:
        return sm3.tagged(domain, data)

    def mac(self, key: bytes, domain: Domain, data: bytes) -> bytes:
        return sm3.mac(key, domain, data)

    def verify(
        self, scheme: str, public_key: bytes, domain: Domain, message: bytes, signature: bytes
    ) -> bool:
        return scheme == sm2.SCHEME and sm2.verify_tagged(public_key, domain, message, signature)

    def generate_signer(self) -> tuple[bytes, Signer]:
        secret = sm2.generate_secret()
        return secret, sm2.Sm2Signer(secret)

    def load_signer(self, secret: bytes) -> Signer:
        """Load an account key.

        Raises:
            DecodeError: not 32 bytes, or no number in 1 … n − 2.
        """
        return sm2.Sm2Signer(secret)

    def generate_vote_signer(self) -> tuple[bytes, VoteSigner]:
        secret = sm2.generate_secret()
        return secret, Sm2VoteSigner(secret)

    def load_vote_signer(self, secret: bytes) -> VoteSigner:
        """Load a consensus key.

        Raises:
            DecodeError: not 32 bytes, or no number in 1 … n − 2.
        """
        return Sm2VoteSigner(secret)

    def seal(self, key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return sm4.seal(key, plaintext, associated)

    def open(self, key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        return sm4.unseal(key, ciphertext, associated)

    def generate_wrap_key(self) -> tuple[bytes, bytes]:
        secret = sm2.generate_secret()
        return secret, sm2.SecretKey(secret).public_key

    def wrap(self, public_key: bytes, secret: bytes) -> bytes:
        return sm2.encrypt(public_key, secret)

    def unwrap(self, wrap_secret: bytes, wrapped: bytes) -> bytes:
        return sm2.decrypt(wrap_secret, wrapped)
