"""Trust without a node: from a validator set that is trusted to a block that is final.

Rule: pure logic over what the caller holds; no clock, no network, no state. Every check fails with its own
`Check`.

A Finalization makes final the block it names and every ancestor. An ancestor is shown by the headers between
them, each naming the one before by digest; what else is checked along them is what honest validators check
before they vote, so that a broken path is named for what it is.

A **seal** is the last block of its epoch: it names another set for its successor than for itself. Above it
there are only **fillers**, which carry nothing and keep its height, until the seal is final. How trust passes
from a seal to the next set is in `ledger/epochs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.crypto.suite import CryptoSuite
from ledger.errors import VerificationFailed
from ledger.hashing import (
    PROTOCOL_VERSION_MAX,
    block_digest,
    results_root,
    transactions_root,
    validators_hash,
)
from ledger.quorum import check_validators, quorum_signers
from ledger.types import PATH_HEADERS_MAX, Header, QuorumCertificate, Trust, VoteKind
from ledger.verdicts import Check, rejected

TRUST_VERSION: Final = 1


def check_trust(suite: CryptoSuite, trust: Trust) -> None:
    """Whether a trust point is sound in itself: known version, distinct validators, every key proven.

    Args:
        suite: the suite that `trust.suite` names.
        trust: the trust point.

    Raises:
        ProofRejected: VERSION or TRUST_KEYS.
    """
    if trust.version != TRUST_VERSION:
        raise rejected(Check.VERSION, f"trust {trust.version}")
    try:
        check_validators(suite.quorum, trust.network, trust.validators)
    except VerificationFailed as error:
        raise rejected(Check.TRUST_KEYS, str(error.fields["reason"])) from None


def is_seal(header: Header) -> bool:
    """Whether the block is the last of its epoch: another set votes on its successor than on itself."""
    return header.next_validators_hash != header.validators_hash


def _check_header(trust: Trust, trusted_validators: bytes, header: Header) -> None:
    if not 1 <= header.version <= PROTOCOL_VERSION_MAX:
        raise rejected(Check.VERSION, f"header {header.version}")
    if header.chain_id != trust.chain_id:
        raise rejected(Check.CHAIN)
    if header.epoch != trust.validators.epoch:
        raise rejected(Check.EPOCH, f"{header.epoch}, trusted is {trust.validators.epoch}")
    if header.validators_hash != trusted_validators:
        raise rejected(Check.VALIDATORS)


def _check_link(suite: CryptoSuite, parent: Header, child: Header) -> None:
    place = f"above height {parent.height}"
    if child.parent != block_digest(suite, parent):
        raise rejected(Check.PATH_NOT_LINKED, place)
    rise = 0 if is_seal(parent) else 1
    if child.height != parent.height + rise or child.view <= parent.view or child.time_ms <= parent.time_ms:
        raise rejected(Check.PATH_ORDER, place)
    if is_seal(parent) and not _fills(suite, parent, child):
        raise rejected(Check.PATH_FILLER, place)


def _fills(suite: CryptoSuite, seal: Header, child: Header) -> bool:
    """Whether the child of a seal, or of a filler above it, changes nothing and carries nothing."""
    return (
        child.version == seal.version
        and child.state_root == seal.state_root
        and child.next_validators_hash == seal.next_validators_hash
        and child.transactions_root == transactions_root(suite, ())
        and child.results_root == results_root(suite, ())
    )


def check_finality(
    suite: CryptoSuite,
    trust: Trust,
    header: Header,
    path: Sequence[Header],
    certificate: QuorumCertificate,
) -> None:
    """Whether the block of `header` is final for who trusts `trust`.

    Args:
        suite: the suite that `trust.suite` names.
        trust: chain and validator set; the set's keys are taken as proven (`check_trust`).
        header: the block's header, of the trusted set's epoch.
        path: headers from its child to the certified one; empty when it is certified itself.
        certificate: a Finalization.

    Raises:
        ProofRejected: saying which check failed.
    """
    if len(path) > PATH_HEADERS_MAX:
        raise rejected(Check.PATH_TOO_LONG, f"{len(path)} headers, at most {PATH_HEADERS_MAX}")
    if certificate.kind is not VoteKind.FINALIZE:
        raise rejected(Check.CERTIFICATE_KIND)
    trusted_validators = validators_hash(suite, trust.validators)
    _check_header(trust, trusted_validators, header)
    last = header
    for child in path:
        _check_header(trust, trusted_validators, child)
        _check_link(suite, last, child)
        last = child
    if (certificate.epoch, certificate.view) != (last.epoch, last.view):
        raise rejected(Check.CERTIFICATE_SUBJECT, f"view {certificate.view}, block of view {last.view}")
    if certificate.digest != block_digest(suite, last):
        raise rejected(Check.CERTIFICATE_SUBJECT)
    if quorum_signers(trust.validators, certificate) is None:
        raise rejected(Check.CERTIFICATE_SIGNERS)
    if not suite.quorum.verify_certificate(trust.chain_id, trust.validators, certificate):
        raise rejected(Check.CERTIFICATE_SIGNATURE)
