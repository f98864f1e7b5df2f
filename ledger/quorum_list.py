"""Quorum certificates that list one SM2 signature for each signer.

Rule: the signature field of a certificate is the signers' signatures over the one vote message, 64 bytes each, joined in
ascending order of index; it has exactly as many as the bitmap names, and every one of them has to hold. What else makes a
certificate is said in `ledger/quorum.py`.

Lists need no proof of possession to be sound. It is demanded all the same, so that nobody enters the set under a key that
somebody else holds.
"""

from __future__ import annotations

from typing import Final

from ledger.crypto import sm2
from ledger.quorum import (
    certificate_of,
    message_to_sign,
    named_signers,
    possession_message,
    quorum_signers,
    vote_message,
    voter,
)
from ledger.types import QuorumCertificate, ValidatorSet, Vote

_NEVER_VALID: Final = bytes(sm2.SIGNATURE_SIZE_BYTES)


class SignatureListQuorumScheme:
    """`QuorumScheme` by lists of SM2 signatures."""

    __slots__ = ()

    def verify_vote(self, chain_id: bytes, validators: ValidatorSet, vote: Vote) -> bool:
        """Whether this single vote is signed by the validator it names."""
        member = voter(validators, vote)
        if member is None:
            return False
        message = vote_message(chain_id, vote.kind, vote.epoch, vote.view, vote.digest)
        return sm2.verify(member.vote_key, message, vote.signature)

    def aggregate(self, validators: ValidatorSet, votes: tuple[Vote, ...]) -> QuorumCertificate:
        """One certificate from votes of distinct validators for one thing; verifies nothing.

        A signature of another size is replaced by zeros, which are no signature, so that the certificate does not verify and
        the others keep their places.
        """
        signatures = (
            vote.signature if len(vote.signature) == sm2.SIGNATURE_SIZE_BYTES else _NEVER_VALID
            for vote in sorted(votes, key=lambda vote: vote.validator)
        )
        return certificate_of(validators, votes, b"".join(signatures))

    def verify_certificate(
        self, chain_id: bytes, validators: ValidatorSet, certificate: QuorumCertificate
    ) -> bool:
        """Whether it names a quorum of `validators` and every signature holds."""
        if quorum_signers(validators, certificate) is None:
            return False
        return self.verify_part(chain_id, validators, certificate)

    def verify_part(self, chain_id: bytes, validators: ValidatorSet, part: QuorumCertificate) -> bool:
        """Whether every signature holds, be the signers a quorum or not; nobody's signature never holds."""
        indices, size = named_signers(validators, part), sm2.SIGNATURE_SIZE_BYTES
        if not indices or len(part.signature) != len(indices) * size:
            return False
        message = vote_message(chain_id, part.kind, part.epoch, part.view, part.digest)
        return all(
            sm2.verify(
                validators.validators[index].vote_key, message, part.signature[at * size : (at + 1) * size]
            )
            for at, index in enumerate(indices)
        )

    def verify_possession(self, network: str, account: bytes, public_key: bytes, possession: bytes) -> bool:
        """Whether the holder of the key proved it for this network and account."""
        return sm2.verify(public_key, possession_message(network, account, public_key), possession)


class Sm2VoteSigner:
    """`ledger.crypto.suite.VoteSigner` with one SM2 secret key."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        """Load 32 bytes.

        Raises:
            DecodeError: no number in 1 … n − 2.
        """
        self._key = sm2.SecretKey(secret)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key

    def sign_vote(self, chain_id: bytes, vote: Vote) -> bytes:
        """Signature for `vote`, whose own `signature` field is ignored."""
        return self._key.sign(message_to_sign(chain_id, vote))

    def prove_possession(self, network: str, account: bytes) -> bytes:
        """Proof that the secret key is held, bound to network name and account id."""
        return self._key.sign(possession_message(network, account, self.public_key))
