"""Proofs: fetch what the ledger proves, and check it against a trusted validator set with no network at all.

Rule: `verify` and `verify_state` decide from their arguments alone; only `check_receipt`, which has a client
behind it, may ask for the trust that it was not given.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.receipts import (
    VerifiedReceipt,
    VerifiedState,
    epochs_from_json,
    proof_from_json,
    receipt_from_json,
    state_receipt_from_json,
    trust_from_json,
    verify_proof,
    verify_receipt,
    verify_state_receipt,
)
from ledger.types import EpochChange, Trust
from zhenglian import exchange
from zhenglian.exchange import Core, Plan, Request
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
    trusted, changes = _trusted(trust, epochs)
    return verify_receipt(trusted, receipt_from_json(receipt), changes)


def verify_state(
    receipt: str | bytes, trust: str | bytes | Trust, epochs: str | bytes | None = None
) -> VerifiedState:
    """Check a state receipt offline; arguments and faults as for `verify`.

    Returns:
        What is proven: after this block this was under that state key, or nothing was.
    """
    trusted, changes = _trusted(trust, epochs)
    return verify_state_receipt(trusted, state_receipt_from_json(receipt), changes)


def verify_any(
    receipt: str | bytes, trust: str | bytes | Trust, epochs: str | bytes | None = None
) -> VerifiedReceipt | VerifiedState:
    """Check a receipt of either kind offline; arguments and faults as for `verify`."""
    trusted, changes = _trusted(trust, epochs)
    return verify_proof(trusted, proof_from_json(receipt), changes)


def _trusted(trust: str | bytes | Trust, epochs: str | bytes | None) -> tuple[Trust, Sequence[EpochChange]]:
    trusted = trust if isinstance(trust, Trust) else trust_from_json(trust)
    return trusted, () if epochs is None else epochs_from_json(epochs)


def check_receipt(core: Core, receipt: str) -> Plan[VerifiedReceipt]:
    """`verify` against the client's trust; without one, against what the first node named, once."""
    if core.trust is None:
        core.trust = trust_from_json((yield from chain.trust(core)))
    epochs = None
    if receipt_from_json(receipt).header.epoch > core.trust.validators.epoch:
        epochs = yield from chain.epochs(core)
    return verify(receipt, core.trust, epochs)


def certificate_proof(core: Core, certificate_id: str, *, height: int | None = None) -> Plan[str]:
    """A certificate's record after a block (the newest by default), or its absence, proven: a state receipt's file."""
    return (yield from _proof(core, f"/v1/certificates/{certificate_id}/proof", height))


def grant_proof(core: Core, grant_id: str, *, height: int | None = None) -> Plan[str]:
    """A grant's record, as for `certificate_proof`."""
    return (yield from _proof(core, f"/v1/grants/{grant_id}/proof", height))


def release_proof(core: Core, release_id: str, *, height: int | None = None) -> Plan[str]:
    """A release's record, as for `certificate_proof`."""
    return (yield from _proof(core, f"/v1/releases/{release_id}/proof", height))


def state_proof(core: Core, key: bytes, *, height: int | None = None) -> Plan[str]:
    """Whatever is under a state key, or nothing, proven. For operators and auditors."""
    return (yield from _proof(core, f"/v1/state/{key.hex()}", height))


def _proof(core: Core, path: str, height: int | None) -> Plan[str]:
    request = Request(method="GET", path=path + chain.query(height=height), session=True)
    return chain.text((yield from exchange.exchange(core, request)))
