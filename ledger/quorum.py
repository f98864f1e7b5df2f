"""Votes and quorum certificates: what is signed, who signed, and whether it is a quorum.

Rule: a certificate counts only if its bitmap has exactly ceil(n / 8) bytes with unused bits zero, names at
least `quorum_size(n)` validators, and its signature holds for the vote message rebuilt from its own fields; a
Nullify carries 32 zero bytes for a digest. A good aggregate proves the certificate as a whole, never the
single votes in it. This room has what every scheme shares, and the scheme of `intl`; that of `sm` is
`ledger/quorum_list.py`.

The vote message is `len(domain) ‖ domain ‖ chain id (32) ‖ epoch (8, big-endian) ‖ kind (1) ‖ view (8) ‖
digest (32)`: every part but the first two has a fixed size, so no two votes share a message. The signature
scheme hashes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.crypto import bls
from ledger.crypto.suite import QuorumScheme
from ledger.domains import POSSESSION, VOTE
from ledger.errors import DecodeError, VerificationFailed, invariant
from ledger.types import (
    HASH_SIZE_BYTES,
    QuorumCertificate,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    quorum_size,
)

NULLIFY_DIGEST: Final = bytes(HASH_SIZE_BYTES)
_NEVER_VALID: Final = bytes(bls.SIGNATURE_SIZE_BYTES)


def vote_message(chain_id: bytes, kind: VoteKind, epoch: int, view: int, digest: bytes) -> bytes:
    """The bytes that a vote signs.

    Args:
        chain_id: 32 bytes.
        kind: which of the three votes.
        epoch: from 1.
        view: from 1.
        digest: the block's digest; 32 zero bytes for a Nullify.
    """
    head = bytes((len(VOTE),)) + VOTE + chain_id + epoch.to_bytes(8, "big")
    return head + bytes((kind,)) + view.to_bytes(8, "big") + digest


def possession_message(network: str, account: bytes, public_key: bytes) -> bytes:
    """The bytes that a proof of possession signs.

    `len(domain) (1 byte) ‖ domain ‖ len(network) (2 bytes) ‖ network in UTF-8 ‖ account (16) ‖ public key`.
    """
    name = network.encode()
    head = bytes((len(POSSESSION),)) + POSSESSION
    return head + len(name).to_bytes(2, "big") + name + account + public_key


def bitmap(indices: Iterable[int], n: int) -> bytes:
    """Bit i of byte i // 8, least significant first, for every index; exactly ceil(n / 8) bytes."""
    bits = 0
    for index in indices:
        invariant(0 <= index < n and not bits >> index & 1, "signers are distinct members of the set")
        bits |= 1 << index
    return bits.to_bytes((n + 7) // 8, "little")


def signers(bitmap: bytes, n: int) -> tuple[int, ...]:
    """The indices that a bitmap names, ascending.

    Raises:
        DecodeError: not exactly ceil(n / 8) bytes, or a bit at or above n is set.
    """
    bits = int.from_bytes(bitmap, "little")
    if len(bitmap) != (n + 7) // 8 or bits >> n:
        raise DecodeError(what="signer bitmap", reason=f"not a bitmap of {n} validators")
    return tuple(index for index in range(n) if bits >> index & 1)


def digest_fits(kind: VoteKind, digest: bytes) -> bool:
    """Exactly the Nullify votes carry zeros in place of a block's digest."""
    return len(digest) == HASH_SIZE_BYTES and (kind is VoteKind.NULLIFY) == (digest == NULLIFY_DIGEST)


def named_signers(validators: ValidatorSet, certificate: QuorumCertificate) -> tuple[int, ...] | None:
    """The signers that a certificate of this set's epoch names, None if it is malformed; checks no signature."""
    n = len(validators.validators)
    if certificate.epoch != validators.epoch or not digest_fits(certificate.kind, certificate.digest):
        return None
    try:
        return signers(certificate.signers, n)
    except DecodeError:
        return None


def quorum_signers(validators: ValidatorSet, certificate: QuorumCertificate) -> tuple[int, ...] | None:
    """The signers that a certificate names, None if they are no quorum of this set; checks no signature."""
    indices = named_signers(validators, certificate)
    return (
        indices if indices is not None and len(indices) >= quorum_size(len(validators.validators)) else None
    )


def certificate_of(validators: ValidatorSet, votes: tuple[Vote, ...], signature: bytes) -> QuorumCertificate:
    """A certificate that says who voted for what, with the signature that a scheme made of theirs."""
    invariant(votes, "a certificate is made of votes")
    first = votes[0]
    subject = (first.kind, first.epoch, first.view, first.digest)
    for vote in votes:
        invariant((vote.kind, vote.epoch, vote.view, vote.digest) == subject, "votes agree on their subject")
    return QuorumCertificate(
        kind=first.kind,
        epoch=first.epoch,
        view=first.view,
        digest=first.digest,
        signers=bitmap((vote.validator for vote in votes), len(validators.validators)),
        signature=signature,
    )


def voter(validators: ValidatorSet, vote: Vote) -> Validator | None:
    """The member of this set that a vote of its epoch names, None if the vote is malformed; checks no signature."""
    members = validators.validators
    if vote.epoch != validators.epoch or not 0 <= vote.validator < len(members):
        return None
    return members[vote.validator] if digest_fits(vote.kind, vote.digest) else None


def message_to_sign(chain_id: bytes, vote: Vote) -> bytes:
    """What a validator signs for a vote of its own; a malformed vote is never signed."""
    invariant(
        digest_fits(vote.kind, vote.digest), "zeros stand for the digest of a Nullify and of nothing else"
    )
    return vote_message(chain_id, vote.kind, vote.epoch, vote.view, vote.digest)


class BlsQuorumScheme:
    """`QuorumScheme` by BLS12-381 multi-signatures. Sound only for keys whose possession was verified."""

    __slots__ = ()

    def verify_vote(self, chain_id: bytes, validators: ValidatorSet, vote: Vote) -> bool:
        """Whether this single vote is signed by the validator it names."""
        member = voter(validators, vote)
        if member is None:
            return False
        message = vote_message(chain_id, vote.kind, vote.epoch, vote.view, vote.digest)
        return bls.verify(member.vote_key, message, vote.signature)

    def aggregate(self, validators: ValidatorSet, votes: tuple[Vote, ...]) -> QuorumCertificate:
        """One certificate from votes of distinct validators for one thing; verifies nothing.

        A signature that is no point of the group gives a certificate that does not verify, as a wrong
        signature does, so that the caller has one way to deal with either.
        """
        try:
            signature = bls.aggregate([vote.signature for vote in votes])
        except DecodeError:
            signature = _NEVER_VALID
        return certificate_of(validators, votes, signature)

    def verify_certificate(
        self, chain_id: bytes, validators: ValidatorSet, certificate: QuorumCertificate
    ) -> bool:
        """Whether it names a quorum of `validators` and its signature holds."""
        if quorum_signers(validators, certificate) is None:
            return False
        return self.verify_part(chain_id, validators, certificate)

    def verify_part(self, chain_id: bytes, validators: ValidatorSet, part: QuorumCertificate) -> bool:
        """Whether the signature holds for the signers it names, be they a quorum or not; nobody's signature never holds."""
        indices = named_signers(validators, part)
        if not indices:
            return False
        keys = [validators.validators[index].vote_key for index in indices]
        message = vote_message(chain_id, part.kind, part.epoch, part.view, part.digest)
        return bls.fast_aggregate_verify(keys, message, part.signature)

    def verify_possession(self, network: str, account: bytes, public_key: bytes, possession: bytes) -> bool:
        """Whether the holder of the key proved it for this network and account."""
        return bls.verify_possession(public_key, possession_message(network, account, public_key), possession)


class BlsVoteSigner:
    """`ledger.crypto.suite.VoteSigner` with one BLS secret key."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        """Load 32 bytes.

        Raises:
            DecodeError: no scalar in 1 … r − 1.
        """
        self._key = bls.SecretKey(secret)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key

    def sign_vote(self, chain_id: bytes, vote: Vote) -> bytes:
        """Signature for `vote`, whose own `signature` field is ignored."""
        return self._key.sign(message_to_sign(chain_id, vote))

    def prove_possession(self, network: str, account: bytes) -> bytes:
        """Proof that the secret key is held, bound to network name and account id."""
        return self._key.prove_possession(possession_message(network, account, self.public_key))


def check_validators(scheme: QuorumScheme, network: str, validators: ValidatorSet) -> None:
    """Whether a set may vote: nobody in it twice, and each key proven to be held.

    Args:
        scheme: the suite's quorum scheme.
        network: human name of the network, to which possession is bound.
        validators: the set.

    Raises:
        VerificationFailed: an account or key occurs twice, or a proof of possession does not hold.
    """
    members = validators.validators
    if len({member.account for member in members}) != len(members):
        raise VerificationFailed(reason="a validator account occurs twice")
    if len({member.vote_key for member in members}) != len(members):
        raise VerificationFailed(reason="a vote key occurs twice")
    for member in members:
        if not scheme.verify_possession(network, member.account, member.vote_key, member.possession):
            raise VerificationFailed(
                reason=f"possession of the vote key of {member.account.hex()} is not proven"
            )
