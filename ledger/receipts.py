"""Receipts: the proof a person can keep that a transaction was finalized with its result. Built, checked,
written.

Rule: whatever a receipt or its file says is either covered by the quorum certificate or compared with what
is, and the file is compared with what `receipt_to_json` writes, so any change to it is rejected. The transaction's own
signature is covered as a part of the certified transaction; the signer's key is not in the receipt, as
validators checked it.

The file is a JSON object with the members `format`, `summary` (a few lines for people, all derived from the
rest) and `receipt` (the struct, as `ledger.readable` writes it). A trust point is written likewise, without a
summary, and so are the epoch changes that lead from an older trust point to a younger receipt; any node gives
them out, and they need not be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger import readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.epochs import trust_at
from ledger.errors import DecodeError, LimitExceeded, invariant
from ledger.hashing import block_digest, prove_item, transaction_id, verify_item
from ledger.light import check_finality
from ledger.quorum import quorum_signers
from ledger.types import PATH_HEADERS_MAX, EpochChange, FinalizedBlock, Receipt, Result, Trust, Wire
from ledger.verdicts import Check, rejected

RECEIPT_VERSION: Final = 1
RECEIPT_FORMAT: Final = "zhenglian-receipt-1"
TRUST_FORMAT: Final = "zhenglian-trust-1"
EPOCHS_FORMAT: Final = "zhenglian-epochs-1"
RECEIPT_SIZE_BYTES_MAX: Final = 4 * 1024 * 1024
RECEIPT_FILE_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
TRUST_SIZE_BYTES_MAX: Final = 256 * 1024
TRUST_FILE_SIZE_BYTES_MAX: Final = 1024 * 1024
EPOCHS_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
EPOCHS_FILE_SIZE_BYTES_MAX: Final = 48 * 1024 * 1024
EPOCH_CHANGES_MAX: Final = 4096

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_WRITABLE_TIME_MS: Final = 253_402_300_799_999


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
    trust = trust_at(suite, trust, changes, receipt.header.epoch)
    if receipt.header.epoch > trust.validators.epoch:
        needed = f"{trust.validators.epoch} to {receipt.header.epoch}"
        raise rejected(Check.EPOCH, f"the changes from epoch {needed} are needed to verify it")
    check_finality(suite, trust, receipt.header, receipt.path, receipt.certificate)
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


def time_text(time_ms: int) -> str:
    """UTC as ISO 8601 with milliseconds; the bare number of milliseconds after the year 9999."""
    if time_ms > _LAST_WRITABLE_TIME_MS:
        return f"{time_ms} ms"
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


def _summary(receipt: Receipt) -> readable.Tree:
    body = receipt.transaction.body
    signer_count = int.from_bytes(receipt.certificate.signers, "little").bit_count()
    return {
        "network": receipt.network,
        "transaction": receipt.result.transaction_id.hex(),
        "call": f"{body.call.contract}.{body.call.method}",
        "account": body.account.hex(),
        "key": body.key_id.hex(),
        "result": receipt.result.code,
        "block_height": receipt.header.height,
        "block_time": time_text(receipt.header.time_ms),
        "validators_signed": signer_count,
    }


def _receipt_tree(receipt: Receipt) -> readable.Tree:
    return {
        "format": RECEIPT_FORMAT,
        "summary": _summary(receipt),
        "receipt": readable.to_tree(receipt, Receipt),
    }


def _trust_tree(trust: Trust) -> readable.Tree:
    return {"format": TRUST_FORMAT, "trust": readable.to_tree(trust, Trust)}


def _expect_members(tree: dict[str, Any], file_format: str, members: tuple[str, ...]) -> None:
    if tree.get("format") != file_format:
        raise rejected(Check.FORMAT, f"not {file_format}")
    for member in (*tree, *members):
        if member not in tree:
            raise rejected(Check.FORMAT, f"member {member} is missing")
        if member not in members:
            raise rejected(Check.FORMAT, f"unknown member {member}")


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
    try:
        tree = readable.parse(text, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
        _expect_members(tree, RECEIPT_FORMAT, ("format", "summary", "receipt"))
        receipt = readable.from_tree(
            tree["receipt"], Receipt, "receipt", size_bytes_max=RECEIPT_SIZE_BYTES_MAX
        )
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None
    if tree["summary"] != _summary(receipt):
        raise rejected(Check.SUMMARY)
    shown = text if isinstance(text, str) else text.decode()
    if shown != receipt_to_json(receipt):
        raise rejected(Check.NOT_CANONICAL)
    return receipt


def trust_to_json(trust: Trust) -> str:
    """The file form of a trust point."""
    return readable.render(_trust_tree(trust))


def trust_from_json(text: bytes | str) -> Trust:
    """Read a trust point's file; what it says is trusted, not proven.

    Raises:
        LimitExceeded: more than 1 MiB of text, or 256 KiB once encoded.
        ProofRejected: FORMAT or NOT_CANONICAL.
    """
    try:
        tree = readable.parse(text, "trust", size_bytes_max=TRUST_FILE_SIZE_BYTES_MAX)
        _expect_members(tree, TRUST_FORMAT, ("format", "trust"))
        trust = readable.from_tree(tree["trust"], Trust, "trust", size_bytes_max=TRUST_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None
    if not readable.same_but_for_space(text, _trust_tree(trust)):
        raise rejected(Check.NOT_CANONICAL)
    return trust


class _Changes(Wire, frozen=True):
    """The `epochs` file's content."""

    changes: Annotated[tuple[EpochChange, ...], Meta(max_length=EPOCH_CHANGES_MAX)]


def _epochs_tree(changes: tuple[EpochChange, ...]) -> readable.Tree:
    return {"format": EPOCHS_FORMAT, "epochs": readable.to_tree(_Changes(changes=changes), _Changes)}


def epochs_to_json(changes: Sequence[EpochChange]) -> str:
    """The file form of epoch changes.

    Raises:
        LimitExceeded: more than 4,096 of them.
    """
    if len(changes) > EPOCH_CHANGES_MAX:
        raise LimitExceeded(limit="epoch changes", maximum=EPOCH_CHANGES_MAX, actual=len(changes))
    return readable.render(_epochs_tree(tuple(changes)))


def epochs_from_json(text: bytes | str) -> tuple[EpochChange, ...]:
    """Read a file of epoch changes. Proves nothing yet.

    Raises:
        LimitExceeded: more than 48 MiB of text, or 16 MiB once encoded.
        ProofRejected: FORMAT or NOT_CANONICAL.
    """
    try:
        tree = readable.parse(text, "epochs", size_bytes_max=EPOCHS_FILE_SIZE_BYTES_MAX)
        _expect_members(tree, EPOCHS_FORMAT, ("format", "epochs"))
        found = readable.from_tree(tree["epochs"], _Changes, "epochs", size_bytes_max=EPOCHS_SIZE_BYTES_MAX)
    except DecodeError as error:
        raise rejected(Check.FORMAT, error.message()) from None
    if not readable.same_but_for_space(text, _epochs_tree(found.changes)):
        raise rejected(Check.NOT_CANONICAL)
    return found.changes
