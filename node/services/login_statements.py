"""What a node states about a login with an identity provider: the paper that a registrar keeps who enrols the person.

Rule: a statement says what the provider said, to whom, when, and for which new key; it gives nobody a right. The registrar's
officer checks it, keeps it, and names its digest as the evidence of an identity assertion (`people.enroll`); on the ledger there is
only that digest. It holds the subject's id at the provider, so that it is personal data and goes to the person alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from ledger import codec, domains
from ledger.crypto.suite import CryptoSuite, Signer
from ledger.errors import VerificationFailed
from ledger.types import AccountId, Hash, KeyId, TimeMs, Wire

STATEMENT_LIFETIME_MS: Final = 10 * 60 * 1000
STATEMENT_BYTES_MAX: Final = 4096

Short = Annotated[str, Meta(max_length=255)]


class LoginStatement(Wire):
    """A login as this node saw it.

    Attributes:
        chain_id, node: which network, and whose word this is.
        issuer, client_id: the provider, and as what this node is known to it.
        subject: the person at the provider.
        level: how sure the provider is (`acr`), empty if it does not say.
        key_id: the key that is to be bound to the person.
        signed_in_ms: when the person signed in at the provider.
        issued_ms, expires_ms: when it was written, and until when a registrar may use it.
    """

    chain_id: Hash
    node: AccountId
    issuer: Annotated[str, Meta(max_length=512)]
    client_id: Short
    subject: Short
    level: Short
    key_id: KeyId
    signed_in_ms: TimeMs
    issued_ms: TimeMs
    expires_ms: TimeMs


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement, its canonical bytes, the node's signature over them, and their digest."""

    statement: LoginStatement
    data: bytes
    signature: bytes
    digest: bytes


def sign_statement(suite: CryptoSuite, signer: Signer, statement: LoginStatement) -> SignedStatement:
    """Put the node's signature under a statement."""
    data = codec.encode(statement)
    return SignedStatement(
        statement=statement,
        data=data,
        signature=signer.sign(domains.LOGIN_STATEMENT, data),
        digest=suite.hash(domains.LOGIN_STATEMENT, data),
    )


def read_statement(
    suite: CryptoSuite, data: bytes, signature: bytes, scheme: str, public_key: bytes
) -> LoginStatement:
    """A statement that the node of this key has signed; for registrars.

    Raises:
        DecodeError, LimitExceeded: the bytes are no statement.
        VerificationFailed: the signature is not over them.
    """
    statement = codec.decode(data, LoginStatement, size_bytes_max=STATEMENT_BYTES_MAX)
    if not suite.verify(scheme, public_key, domains.LOGIN_STATEMENT, data, signature):
        raise VerificationFailed(reason="login statement: signature")
    return statement
