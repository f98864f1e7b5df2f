"""How trust passes from one validator set to the next, from the genesis document to this day.

Rule: pure logic over what the caller holds. A set is trusted only because the set before it finalized the
block that names it; every check fails with its own `Check`. Nothing is skipped: the change from epoch e to
e + 1 is accepted by who trusts the set of epoch e, and by nobody else.

What this proves is as good as the keys of the old sets: a quorum of former validators that still have their
old keys could write another history. Retired keys are therefore destroyed, and whoever verifies keeps a trust
point that is not older than need be.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace

from ledger.crypto.suite import CryptoSuite
from ledger.errors import VerificationFailed
from ledger.hashing import validators_hash
from ledger.light import check_finality, is_seal
from ledger.quorum import check_validators
from ledger.types import EpochChange, Header, QuorumCertificate, Trust
from ledger.verdicts import Check, rejected


def advance_trust(suite: CryptoSuite, trust: Trust, change: EpochChange) -> Trust:
    """The trust point of the next epoch.

    Args:
        suite: the suite that `trust.suite` names.
        trust: trusted already.
        change: the end of the trusted epoch, however hostile.

    Returns:
        `trust` with the new set.

    Raises:
        ProofRejected: EPOCH (the change ends another epoch: it is stale, replayed, or one was skipped), SEAL,
            NEXT_VALIDATORS, NEXT_EPOCH, NEXT_KEYS, or what `check_finality` rejects.
    """
    check_finality(suite, trust, change.header, change.path, change.certificate)
    if not is_seal(change.header):
        raise rejected(Check.SEAL, f"height {change.header.height}")
    if validators_hash(suite, change.validators) != change.header.next_validators_hash:
        raise rejected(Check.NEXT_VALIDATORS)
    if change.validators.epoch != trust.validators.epoch + 1:
        raise rejected(Check.NEXT_EPOCH, f"{change.validators.epoch} after {trust.validators.epoch}")
    try:
        check_validators(suite.quorum, trust.network, change.validators)
    except VerificationFailed as error:
        raise rejected(Check.NEXT_KEYS, str(error.fields["reason"])) from None
    return replace(trust, validators=change.validators)


def trust_at(suite: CryptoSuite, trust: Trust, changes: Sequence[EpochChange], epoch: int) -> Trust:
    """The trust point of a later epoch, by way of every change between.

    Args:
        suite: the suite that `trust.suite` names.
        trust: trusted already.
        changes: consecutive changes; those before the trusted epoch and from `epoch` on are not looked into.
        epoch: whose set is wanted.

    Returns:
        The trust point of `epoch`, or of the last epoch that `changes` lead to where that is earlier; `trust`
        itself where `epoch` is not later than its own.

    Raises:
        ProofRejected: EPOCH_ORDER, or as for `advance_trust`.
    """
    for before, after in pairwise(changes):
        if after.header.epoch != before.header.epoch + 1:
            raise rejected(Check.EPOCH_ORDER, f"{after.header.epoch} after {before.header.epoch}")
    for change in changes:
        if trust.validators.epoch <= change.header.epoch < epoch:
            trust = advance_trust(suite, trust, change)
    return trust


def check_finality_since(
    suite: CryptoSuite,
    trust: Trust,
    changes: Sequence[EpochChange],
    header: Header,
    path: Sequence[Header],
    certificate: QuorumCertificate,
) -> Trust:
    """Whether a block of the trusted epoch or a later one is final.

    Args:
        suite: the suite that `trust.suite` names.
        trust: trusted already.
        changes: as for `trust_at`, however hostile.
        header, path, certificate: as for `ledger.light.check_finality`.

    Returns:
        The trust point of the block's epoch.

    Raises:
        ProofRejected: EPOCH where the changes do not lead to the block's epoch, or as for `trust_at` and
            `check_finality`.
    """
    trust = trust_at(suite, trust, changes, header.epoch)
    if header.epoch > trust.validators.epoch:
        needed = f"{trust.validators.epoch} to {header.epoch}"
        raise rejected(Check.EPOCH, f"the changes from epoch {needed} are needed to verify it")
    check_finality(suite, trust, header, path, certificate)
    return trust
