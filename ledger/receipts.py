"""Receipts: the proof a person can keep that a transaction was finalized with its result. Built, checked,
written.

Rule: whatever a receipt or its file says is either covered by the quorum certificate or compared with what
is, and the file is compared with what `receipt_to_json` writes, so any change to it is rejected. The transaction's own
signature is covered as a part of the certified transaction; the signer's key is not in the receipt, as
validators checked it.

The file is a JSON object with the members `format`, `summary` (a few lines for people, all derived from the
rest) and `receipt` (the struct, as `ledger.readable` writes it). Receipts of the state have a room of their
own, `ledger.state_receipts`, and trust points and epoch changes `ledger.proof_files`; whoever has proofs in
hand finds all of it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger import readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.epochs import check_finality_since
from ledger.errors import LimitExceeded, invariant
from ledger.hashing import block_digest, prove_item, transaction_id, verify_item
from ledger.proof_files import (
    EPOCH_CHANGES_MAX,
    EPOCHS_FILE_SIZE_BYTES_MAX,
    EPOCHS_FORMAT,
    RECEIPT_FILE_SIZE_BYTES_MAX,
    RECEIPT_SIZE_BYTES_MAX,
    TRUST_FILE_SIZE_BYTES_MAX,
    TRUST_FORMAT,
    check_exact,
    epochs_from_json,
    epochs_to_json,
    read_exact,
    read_file,
    signer_count,
    time_text,
    trust_from_json,
    trust_to_json,
)
from ledger.quorum import quorum_signers
from ledger.state_receipts import (
    STATE_RECEIPT_FORMAT,
    StateReceipt,
    VerifiedState,
    build_state_receipt,
    state_receipt_from_json,
    state_receipt_of,
    state_receipt_to_json,
    verify_state_receipt,
)
from ledger.types import PATH_HEADERS_MAX, EpochChange, FinalizedBlock, Receipt, Result, Trust
from ledger.verdicts import Check, rejected

__all__ = [
    "EPOCHS_FILE_SIZE_BYTES_MAX",
    "EPOCHS_FORMAT",
    "EPOCH_CHANGES_MAX",
    "RECEIPT_FILE_SIZE_BYTES_MAX",
    "RECEIPT_FORMAT",
    "RECEIPT_SIZE_BYTES_MAX",
    "RECEIPT_VERSION",
    "STATE_RECEIPT_FORMAT",
    "TRUST_FILE_SIZE_BYTES_MAX",
    "TRUST_FORMAT",
    "StateReceipt",
    "VerifiedReceipt",
    "VerifiedState",
    "build_receipt",
    "build_state_receipt",
    "epochs_from_json",
    "epochs_to_json",
    "proof_from_json",
    "receipt_from_json",
    "receipt_to_json",
    "state_receipt_from_json",
    "state_receipt_to_json",
    "time_text",
    "trust_from_json",
    "trust_to_json",
    "verify_proof",
    "verify_receipt",
    "verify_state_receipt",
]

RECEIPT_VERSION: Final = 1
RECEIPT_FORMAT: Final = "zhenglian-receipt-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt proves.

    Attributes:
        receipt: the receipt itself; all of it is proven.
        transaction_id: 32 bytes.
        block_digest: digest of the block that holds the transaction.
        height: of that block.
        time_ms: block time, milliseconds since the Unix epoch.
        signers: names of the validators that signed, from the trusted set.
        validator_count: how many there are in all.
    """

    receipt: Receipt
    transaction_id: bytes
    block_digest: bytes
    height: int
    time_ms: int
    signers: tuple[str, ...]
    validator_count: int


def build_receipt(
    suite: CryptoSuite, network: str, finalized: FinalizedBlock, results: Sequence[Result], index: int
) -> Receipt:
    """The receipt of one transaction of a finalized block.

    Args:
        suite: the network's suite.
        network: `Genesis.network`.
        finalized: the block with its proof of finality.
        results: the results of all its transactions, in order.
        index: position of the transaction in the block.

    Raises:
        LimitExceeded: the path to the certified header is longer than a receipt may carry.
    """
    transactions = finalized.block.transactions
    invariant(len(results) == len(transactions), "a block has one result for each transaction")
    if len(finalized.path) > PATH_HEADERS_MAX:
        raise LimitExceeded(
            limit="receipt path headers", maximum=PATH_HEADERS_MAX, actual=len(finalized.path)
        )
    return Receipt(
        version=RECEIPT_VERSION,
        network=network,
        transaction=transactions[index],
        result=results[index],
        transaction_proof=prove_item(suite, transactions, index),
        result_proof=prove_item(suite, results, index),
        header=finalized.block.header,
        path=finalized.path,
        certificate=finalized.certificate,
    )


def verify_receipt(trust: Trust, receipt: Receipt, changes: Sequence[EpochChange] = ()) -> VerifiedReceipt:
    """Check a receipt against a trust point; needs nothing else.

    Args:
        trust: what the verifier trusts (`ledger.light.check_trust` once, where its keys may be in doubt).
        receipt: any receipt, however hostile.
        changes: for a receipt of a later epoch, the changes from the trusted epoch to that one, however
            hostile (`ledger.epochs.trust_at`).

    Returns:
        What is proven.

    Raises:
        ProofRejected: `fields["check"]` says which check failed.
        UnknownSuite: this release does not have the suite of `trust`.
    """
    suite = load_suite(trust.suite)
    if receipt.version != RECEIPT_VERSION:
        raise rejected(Check.VERSION, f"receipt {receipt.version}")
    if receipt.network != trust.network:
        raise rejected(Check.NETWORK)
    trust = check_finality_since(suite, trust, changes, receipt.header, receipt.path, receipt.certificate)
    identity = _check_contents(suite, trust, receipt)
    members = trust.validators.validators
    indices = quorum_signers(trust.validators, receipt.certificate) or ()
    return VerifiedReceipt(
        receipt=receipt,
        transaction_id=identity,
        block_digest=block_digest(suite, receipt.header),
        height=receipt.header.height,
        time_ms=receipt.header.time_ms,
        signers=tuple(members[index].name for index in indices),
        validator_count=len(members),
    )


def _check_contents(suite: CryptoSuite, trust: Trust, receipt: Receipt) -> bytes:
    """Check that transaction and result belong together and are in the block; gives the transaction's id."""
    body = receipt.transaction.body
    if body.chain_id != trust.chain_id:
        raise rejected(Check.TRANSACTION_CHAIN)
    header, proof, result_proof = receipt.header, receipt.transaction_proof, receipt.result_proof
    if not verify_item(suite, header.transactions_root, receipt.transaction, proof):
        raise rejected(Check.TRANSACTION_PROOF)
    identity = transaction_id(suite, body)
    if receipt.result.transaction_id != identity:
        raise rejected(Check.RESULT_TRANSACTION)
    if (proof.index, proof.size) != (result_proof.index, result_proof.size):
        raise rejected(Check.RESULT_POSITION)
    if not verify_item(suite, header.results_root, receipt.result, result_proof):
        raise rejected(Check.RESULT_PROOF)
    return identity


# --- files --------------------------------------------------------------------------------------------------


def _summary(receipt: Receipt) -> readable.Tree:
    body = receipt.transaction.body
    return {
        "network": receipt.network,
        "transaction": receipt.result.transaction_id.hex(),
        "call": f"{body.call.contract}.{body.call.method}",
        "account": body.account.hex(),
        "key": body.key_id.hex(),
        "result": receipt.result.code,
        "block_height": receipt.header.height,
        "block_time": time_text(receipt.header.time_ms),
        "validators_signed": signer_count(receipt.certificate),
    }


def _receipt_tree(receipt: Receipt) -> dict[str, readable.Tree]:
    return {
        "format": RECEIPT_FORMAT,
        "summary": _summary(receipt),
        "receipt": readable.to_tree(receipt, Receipt),
    }


def proof_from_json(text: bytes | str) -> Receipt | StateReceipt:
    """Read the file of a receipt of either kind.

    Raises:
        LimitExceeded, ProofRejected: as for `receipt_from_json` and `state_receipt_from_json`.
    """
    tree = read_file(text)
    if tree.get("format") == STATE_RECEIPT_FORMAT:
        return state_receipt_of(text, tree)
    if tree.get("format") == RECEIPT_FORMAT:
        return _receipt_of(text, tree)
    raise rejected(Check.FORMAT, f"not {RECEIPT_FORMAT} or {STATE_RECEIPT_FORMAT}")


def verify_proof(
    trust: Trust, proof: Receipt | StateReceipt, changes: Sequence[EpochChange] = ()
) -> VerifiedReceipt | VerifiedState:
    """Check a receipt of either kind: `verify_receipt` or `verify_state_receipt`."""
    if isinstance(proof, StateReceipt):
        return verify_state_receipt(trust, proof, changes)
    return verify_receipt(trust, proof, changes)


def receipt_to_json(receipt: Receipt) -> str:
    """The file form of a receipt."""
    return readable.render(_receipt_tree(receipt))


def receipt_from_json(text: bytes | str) -> Receipt:
    """Read a receipt's file. Proves nothing yet, but its summary says what the receipt in it says.

    Raises:
        LimitExceeded: more than 16 MiB of text, or 4 MiB once encoded.
        ProofRejected: FORMAT (not JSON, members or values not as they must be), SUMMARY (differs from the
            receipt),
            NOT_CANONICAL (order of members, escapes, white space, or other ways of writing the same).
    """
    return _receipt_of(text, read_file(text))


def _receipt_of(text: bytes | str, tree: dict[str, Any]) -> Receipt:
    receipt = read_exact(tree, RECEIPT_FORMAT, Receipt)
    check_exact(text, tree["summary"], _receipt_tree(receipt))
    return receipt
