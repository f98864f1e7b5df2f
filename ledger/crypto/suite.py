"""The seam: what the rest of the project may ask of cryptography.

Rule: a suite is named in genesis and passed as an argument, never a global. Nothing outside `ledger/crypto`
imports a cryptographic library, except TLS and X.509 in `network` and `node`.
"""

from __future__ import annotations

from typing import Protocol

from ledger.domains import Domain
from ledger.errors import Category, LedgerError
from ledger.types import Genesis, QuorumCertificate, ValidatorSet, Vote


class UnknownSuite(LedgerError):
    """Genesis names a suite that this release does not have. Fields: suite."""

    code = "unknown_suite"
    zh = "未知的密码套件：{suite}"
    en = "Unknown crypto suite: {suite}"


class SuiteUnavailable(LedgerError):
    """This computer's libraries do not have what a suite needs. Fields: suite, reason."""

    code = "suite_unavailable"
    category = Category.UNAVAILABLE
    zh = "本机的密码库不支持密码套件 {suite}（{reason}）；请使用链接 OpenSSL 3 且含 SM2、SM3 的 Python"
    en = "Crypto suite {suite} is not available here ({reason}); use a Python linked with an OpenSSL 3 that has SM2 and SM3"


class Signer(Protocol):
    """Holds one secret signing key."""

    @property
    def scheme(self) -> str: ...

    @property
    def public_key(self) -> bytes: ...

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """Signature over domain and message."""
        ...


class VoteSigner(Protocol):
    """Holds one secret consensus key."""

    @property
    def public_key(self) -> bytes: ...

    def sign_vote(self, chain_id: bytes, vote: Vote) -> bytes:
        """Signature for `vote`, whose own `signature` field is ignored."""
        ...

    def prove_possession(self, network: str, account: bytes) -> bytes:
        """Proof that the secret key is held, bound to network name and account id."""
        ...


class QuorumScheme(Protocol):
    """How votes become quorum certificates (`ledger/quorum.py`)."""

    def verify_vote(self, chain_id: bytes, validators: ValidatorSet, vote: Vote) -> bool: ...

    def aggregate(self, validators: ValidatorSet, votes: tuple[Vote, ...]) -> QuorumCertificate:
        """One certificate from votes of one kind, epoch, view and digest; verifies nothing, raises nothing.

        A signature that is no point of the group gives a certificate that does not verify.
        """
        ...

    def verify_certificate(
        self, chain_id: bytes, validators: ValidatorSet, certificate: QuorumCertificate
    ) -> bool:
        """True if it names a quorum of `validators` and its signature holds; never raises."""
        ...

    def verify_part(self, chain_id: bytes, validators: ValidatorSet, part: QuorumCertificate) -> bool:
        """As `verify_certificate`, but the signers need not be a quorum: to look for bad votes among some."""
        ...

    def verify_possession(
        self, network: str, account: bytes, public_key: bytes, possession: bytes
    ) -> bool: ...


class CryptoSuite(Protocol):
    """Everything a network's genesis chooses with one word."""

    @property
    def name(self) -> str: ...

    @property
    def signature_schemes(self) -> tuple[str, ...]:
        """Schemes that an account key may name."""
        ...

    @property
    def quorum(self) -> QuorumScheme: ...

    def digest(self, data: bytes) -> bytes:
        """Plain 32-byte hash (SHA-256, SM3); for RFC 6962 trees, which separate their domains themselves."""
        ...

    def hash(self, domain: Domain, data: bytes) -> bytes:
        """32-byte hash of `len(domain) as one byte ‖ domain ‖ data`."""
        ...

    def mac(self, key: bytes, domain: Domain, data: bytes) -> bytes:
        """32-byte keyed hash (HMAC)."""
        ...

    def verify(
        self, scheme: str, public_key: bytes, domain: Domain, message: bytes, signature: bytes
    ) -> bool:
        """Whether the signature holds. False, never an exception, for hostile keys and signatures."""
        ...

    def generate_signer(self) -> tuple[bytes, Signer]:
        """A fresh account key: (secret bytes, signer)."""
        ...

    def load_signer(self, secret: bytes) -> Signer: ...

    def generate_vote_signer(self) -> tuple[bytes, VoteSigner]: ...

    def load_vote_signer(self, secret: bytes) -> VoteSigner: ...

    def seal(self, key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Authenticated encryption under a 32-byte key; a fresh random nonce leads the ciphertext."""
        ...

    def open(self, key: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """Raises VerificationFailed when key, ciphertext or associated data differ."""
        ...

    def generate_wrap_key(self) -> tuple[bytes, bytes]:
        """(secret, public) key pair for `wrap`."""
        ...

    def wrap(self, public_key: bytes, secret: bytes) -> bytes:
        """Anonymous public-key encryption of a short secret."""
        ...

    def unwrap(self, wrap_secret: bytes, wrapped: bytes) -> bytes:
        """Raises VerificationFailed when it was not made for this key."""
        ...


def key_id(suite: CryptoSuite, scheme: str, public_key: bytes) -> bytes:
    """The 16-byte id of an account key."""
    from ledger import domains

    return suite.hash(domains.KEY_ID, scheme.encode() + b"\0" + public_key)[:16]


def chain_id(suite: CryptoSuite, genesis: Genesis) -> bytes:
    """The 32-byte identity of a network."""
    from ledger import codec, domains

    return suite.hash(domains.GENESIS, codec.encode(genesis))
