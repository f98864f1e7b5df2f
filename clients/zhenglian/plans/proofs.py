"""Proofs: check a receipt against a trusted validator set, with no network at all.

Rule: `verify` decides from its arguments alone; only `check_receipt`, which has a client behind it,
may ask for the trust that it was not given.
"""

from __future__ import annotations

from ledger.receipts import (
    VerifiedReceipt,
    epochs_from_json,
    receipt_from_json,
    trust_from_json,
    verify_receipt,
)
from ledger.types import Trust
from zhenglian.exchange import Core, Plan
from zhenglian.plans import chain


def verify(
    receipt: str | bytes, trust: str | bytes | Trust, epochs: str | bytes | None = None
) -> VerifiedReceipt:
    """Check a receipt offline.

    Args:
        receipt: the receipt's file, as it was got: a changed member order or escape is a changed receipt.
        trust: the trusted validator set, as its file or decoded.
        epochs: for a receipt of a later epoch than the trusted one, the file of the changes between, from
            whomever: it is proven by the trusted set.

    Returns:
        What is proven: this transaction was finalized with this result.

    Raises:
        ProofRejected: it does not hold; `fields["check"]` says which check failed.
        LimitExceeded: a file is too large.
    """
    trusted = trust if isinstance(trust, Trust) else trust_from_json(trust)
    changes = () if epochs is None else epochs_from_json(epochs)
    return verify_receipt(trusted, receipt_from_json(receipt), changes)


def check_receipt(core: Core, receipt: str) -> Plan[VerifiedReceipt]:
    """`verify` against the client's trust; without one, against what the first node named, once."""
    if core.trust is None:
        core.trust = trust_from_json((yield from chain.trust(core)))
    epochs = None
    if receipt_from_json(receipt).header.epoch > core.trust.validators.epoch:
        epochs = yield from chain.epochs(core)
    return verify(receipt, core.trust, epochs)
