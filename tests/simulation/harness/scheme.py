"""A keyed-hash stand-in for quorum certificates, as fast as simulation needs and as malleable as the real ones.

Rule: a vote's signature is a MAC under a key that only its signer object and the scheme have, so actors cannot forge. An
aggregate is the XOR of its signatures: like sums of BLS signatures, two forged ones may cancel out in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ledger import codec
from ledger.crypto.suite import QuorumScheme
from ledger.types import (
    HASH_SIZE_BYTES,
    Header,
    QuorumCertificate,
    Transaction,
    ValidatorSet,
    Vote,
    quorum_size,
)


class SimHashing:
    """Block digests and roots over the canonical encoding; each header is encoded once."""

    def __init__(self) -> None:
        self._digests: dict[Header, bytes] = {}
        self._sets: dict[ValidatorSet, bytes] = {}

    def block_digest(self, header: Header) -> bytes:
        found = self._digests.get(header)
        if found is None:
            found = self._digests[header] = hashlib.blake2b(codec.encode(header), digest_size=32).digest()
        return found

    def empty_results_root(self) -> bytes:
        return bytes(32)

    def validators_hash(self, validators: ValidatorSet) -> bytes:
        found = self._sets.get(validators)
        if found is None:
            data = codec.encode(validators)
            found = hashlib.blake2b(data, digest_size=HASH_SIZE_BYTES, key=b"set").digest()
            self._sets[validators] = found
        return found

    def transactions_root(self, transactions: tuple[Transaction, ...]) -> bytes:
        return hashlib.blake2b(codec.encode(transactions), digest_size=HASH_SIZE_BYTES, key=b"body").digest()


class SimSigner:
    """Holds one secret key."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.public_key = hashlib.blake2b(secret, digest_size=48).digest()

    def sign_vote(self, chain_id: bytes, vote: Vote) -> bytes:
        return _mac(self._secret, chain_id, (vote.kind, vote.epoch, vote.view, vote.digest))

    def prove_possession(self, network: str, account: bytes) -> bytes:
        return hashlib.blake2b(network.encode() + account, key=self._secret).digest()


def _mac(secret: bytes, chain_id: bytes, voted: tuple[int, int, int, bytes]) -> bytes:
    kind, epoch, view, digest = voted
    data = b"%d/%d/%d/" % (kind, epoch, view) + digest + chain_id
    return hashlib.blake2b(data, digest_size=32, key=secret).digest()


def _xor(signatures: Sequence[bytes]) -> bytes:
    total = 0
    for signature in signatures:
        total ^= int.from_bytes(signature, "big")
    return total.to_bytes(32, "big")


class SimScheme:
    """Implements `QuorumScheme`. Counts what it verifies, so that tests can tell lazy from eager."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}
        self._certified: dict[tuple[ValidatorSet, QuorumCertificate], bool] = {}
        self.parts_verified = 0
        self.votes_verified = 0
        self.certificates_verified = 0

    def signer(self, secret: bytes) -> SimSigner:
        """Make a key known to the scheme."""
        signer = SimSigner(secret)
        self._secrets[signer.public_key] = secret
        return signer

    def _secret(self, validators: ValidatorSet, index: int) -> bytes:
        return self._secrets[validators.validators[index].vote_key]

    def verify_vote(self, chain_id: bytes, validators: ValidatorSet, vote: Vote) -> bool:
        self.votes_verified += 1
        if vote.validator >= len(validators.validators) or vote.epoch != validators.epoch:
            return False
        expected = _mac(
            self._secret(validators, vote.validator),
            chain_id,
            (vote.kind, vote.epoch, vote.view, vote.digest),
        )
        return vote.signature == expected

    def aggregate(self, validators: ValidatorSet, votes: tuple[Vote, ...]) -> QuorumCertificate:
        bitmap = 0
        for vote in votes:
            bitmap |= 1 << vote.validator
        first = votes[0]
        return QuorumCertificate(
            kind=first.kind,
            epoch=first.epoch,
            view=first.view,
            digest=first.digest,
            signers=bitmap.to_bytes((len(validators.validators) + 7) // 8, "little"),
            signature=_xor([vote.signature for vote in votes]),
        )

    def verify_certificate(
        self, chain_id: bytes, validators: ValidatorSet, certificate: QuorumCertificate
    ) -> bool:
        self.certificates_verified += 1
        key = (validators, certificate)
        known = self._certified.get(key)
        if known is None:
            enough = quorum_size(len(validators.validators))
            known = self._certified[key] = self._holds(chain_id, validators, certificate, enough)
        return known

    def verify_part(self, chain_id: bytes, validators: ValidatorSet, part: QuorumCertificate) -> bool:
        self.parts_verified += 1
        return self._holds(chain_id, validators, part, 1)

    def _holds(
        self, chain_id: bytes, validators: ValidatorSet, one: QuorumCertificate, signers_min: int
    ) -> bool:
        size = len(validators.validators)
        bitmap = int.from_bytes(one.signers, "little")
        signers = [index for index in range(size) if bitmap >> index & 1]
        if len(one.signers) != (size + 7) // 8 or bitmap >> size or len(signers) < signers_min:
            return False
        if one.epoch != validators.epoch:
            return False
        voted = (one.kind, one.epoch, one.view, one.digest)
        macs = [_mac(self._secret(validators, index), chain_id, voted) for index in signers]
        return one.signature == _xor(macs)

    def verify_possession(self, network: str, account: bytes, public_key: bytes, possession: bytes) -> bool:
        return any(
            SimSigner(secret).prove_possession(network, account) == possession
            for secret in self._secrets.values()
        )


class VerifiedOnce:
    """A real scheme whose verdicts are remembered: verification is a pure function, and many machines ask the same."""

    def __init__(self, scheme: QuorumScheme) -> None:
        self._scheme = scheme
        self._votes: dict[tuple[ValidatorSet, Vote], bool] = {}
        self._certificates: dict[tuple[ValidatorSet, QuorumCertificate], bool] = {}

    def verify_vote(self, chain_id: bytes, validators: ValidatorSet, vote: Vote) -> bool:
        key = (validators, vote)
        if key not in self._votes:
            self._votes[key] = self._scheme.verify_vote(chain_id, validators, vote)
        return self._votes[key]

    def aggregate(self, validators: ValidatorSet, votes: tuple[Vote, ...]) -> QuorumCertificate:
        return self._scheme.aggregate(validators, votes)

    def verify_certificate(
        self, chain_id: bytes, validators: ValidatorSet, certificate: QuorumCertificate
    ) -> bool:
        key = (validators, certificate)
        if key not in self._certificates:
            self._certificates[key] = self._scheme.verify_certificate(chain_id, validators, certificate)
        return self._certificates[key]

    def verify_part(self, chain_id: bytes, validators: ValidatorSet, part: QuorumCertificate) -> bool:
        return self._scheme.verify_part(chain_id, validators, part)

    def verify_possession(self, network: str, account: bytes, public_key: bytes, possession: bytes) -> bool:
        return self._scheme.verify_possession(network, account, public_key, possession)
