"""State receipts: the proof a person can keep that the state held a value under a key, or nothing, after one
block.

Rule: as for receipts of transactions (`ledger.receipts`), whatever is said is covered by the quorum
certificate, by way of the header's state root, or compared with what is. A state receipt says what was true
after that block and nothing about later ones; who needs a fresh one looks at its time.

The key is the raw state key and the value the raw bytes under it; what they mean is for the contracts to say
(`contracts/state.py`), and no part of what is proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger import readable
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite
from ledger.epochs import check_finality_since
from ledger.errors import LimitExceeded
from ledger.hashing import block_digest
from ledger.proof_files import check_exact, read_exact, read_file, signer_count, time_text
from ledger.quorum import quorum_signers
from ledger.state_tree import StateProof, verify_state
from ledger.store_records import STATE_KEY_SIZE_BYTES_MAX
from ledger.types import (
    PATH_HEADERS_MAX,
    Count,
    EpochChange,
    FinalizedBlock,
    Header,
    Name,
    QuorumCertificate,
    Trust,
    Wire,
)
from ledger.verdicts import Check, rejected

STATE_RECEIPT_VERSION: Final = 1
STATE_RECEIPT_FORMAT: Final = "zhenglian-state-receipt-1"
STATE_RECEIPT_VALUE_SIZE_BYTES_MAX: Final = 1024 * 1024


class StateReceipt(Wire):
    """The proof of what the state held under one key after one block.

    Attributes:
        version: 1.
        network: human name of the network, shown, never trusted.
        key: the state key.
        value: the bytes under it; None where there was nothing.
        proof: how key and value hang under `header.state_root`.
        header: header of the block.
        path: headers from that block's child to the certified one (empty when it is certified itself).
        certificate: the Finalization.
    """

    version: Count
    network: Name
    key: Annotated[bytes, Meta(min_length=1, max_length=STATE_KEY_SIZE_BYTES_MAX)]
    value: Annotated[bytes, Meta(max_length=STATE_RECEIPT_VALUE_SIZE_BYTES_MAX)] | None
    proof: StateProof
    header: Header
    path: Annotated[tuple[Header, ...], Meta(max_length=PATH_HEADERS_MAX)]
    certificate: QuorumCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedState:
    """What a state receipt proves.

    Attributes:
        receipt: the receipt itself; all of it is proven.
        key: the state key.
        value: what was under it; None where there was nothing.
        block_digest: digest of the block after which it was so.
        height: of that block.
        time_ms: block time, milliseconds since the Unix epoch.
        signers: names of the validators that signed, from the trusted set.
        validator_count: how many there are in all.
    """

    receipt: StateReceipt
    key: bytes
    value: bytes | None
    block_digest: bytes
    height: int
    time_ms: int
    signers: tuple[str, ...]
    validator_count: int


def build_state_receipt(
    network: str, finalized: FinalizedBlock, key: bytes, value: bytes | None, proof: StateProof
) -> StateReceipt:
    """The receipt of one state entry, or of its absence, after a finalized block.

    Args:
        network: `Genesis.network`.
        finalized: the block with its proof of finality.
        key: the state key.
        value: what is under it after that block; None for nothing.
        proof: the proof of that against the block's state root (`Store.prove_value`).

    Raises:
        LimitExceeded: the path to the certified header, or the value, is longer than a receipt may carry.
    """
    if len(finalized.path) > PATH_HEADERS_MAX:
        raise LimitExceeded(
            limit="receipt path headers", maximum=PATH_HEADERS_MAX, actual=len(finalized.path)
        )
    if value is not None and len(value) > STATE_RECEIPT_VALUE_SIZE_BYTES_MAX:
        raise LimitExceeded(
            limit="state receipt value bytes",
            maximum=STATE_RECEIPT_VALUE_SIZE_BYTES_MAX,
            actual=len(value),
        )
    return StateReceipt(
        version=STATE_RECEIPT_VERSION,
        network=network,
        key=key,
        value=value,
        proof=proof,
        header=finalized.block.header,
        path=finalized.path,
        certificate=finalized.certificate,
    )


def check_state_proof(suite: CryptoSuite, receipt: StateReceipt) -> None:
    """Whether value and key hang under the state root of the receipt's own header, final or not.

    Raises:
        ProofRejected: STATE_PROOF.
    """
    if not verify_state(suite, receipt.header.state_root, receipt.key, receipt.value, receipt.proof):
        raise rejected(Check.STATE_PROOF, f"height {receipt.header.height}")


def verify_state_receipt(
    trust: Trust, receipt: StateReceipt, changes: Sequence[EpochChange] = ()
) -> VerifiedState:
    """Check a state receipt against a trust point; needs nothing else.

    Args:
        trust: what the verifier trusts (`ledger.light.check_trust` once, where its keys may be in doubt).
        receipt: any state receipt, however hostile.
        changes: as for `ledger.receipts.verify_receipt`.

    Returns:
        What is proven.

    Raises:
        ProofRejected: `fields["check"]` says which check failed.
        UnknownSuite: this release does not have the suite of `trust`.
    """
    suite = load_suite(trust.suite)
    if receipt.version != STATE_RECEIPT_VERSION:
        raise rejected(Check.VERSION, f"state receipt {receipt.version}")
    if receipt.network != trust.network:
        raise rejected(Check.NETWORK)
    trust = check_finality_since(suite, trust, changes, receipt.header, receipt.path, receipt.certificate)
    check_state_proof(suite, receipt)
    members = trust.validators.validators
    indices = quorum_signers(trust.validators, receipt.certificate) or ()
    return VerifiedState(
        receipt=receipt,
        key=receipt.key,
        value=receipt.value,
        block_digest=block_digest(suite, receipt.header),
        height=receipt.header.height,
        time_ms=receipt.header.time_ms,
        signers=tuple(members[index].name for index in indices),
        validator_count=len(members),
    )


def _state_receipt_tree(receipt: StateReceipt) -> dict[str, readable.Tree]:
    summary: dict[str, readable.Tree] = {
        "network": receipt.network,
        "key": receipt.key.hex(),
        "state": "absent" if receipt.value is None else "present",
        "block_height": receipt.header.height,
        "block_time": time_text(receipt.header.time_ms),
        "validators_signed": signer_count(receipt.certificate),
    }
    tree = readable.to_tree(receipt, StateReceipt)
    return {"format": STATE_RECEIPT_FORMAT, "summary": summary, "receipt": tree}


def state_receipt_to_json(receipt: StateReceipt) -> str:
    """The file form of a state receipt."""
    return readable.render(_state_receipt_tree(receipt))


def state_receipt_from_json(text: bytes | str) -> StateReceipt:
    """Read a state receipt's file. Proves nothing yet, but its summary says what the receipt in it says.

    Raises:
        LimitExceeded: more than 16 MiB of text, or 4 MiB once encoded.
        ProofRejected: FORMAT, SUMMARY or NOT_CANONICAL, as for `ledger.receipts.receipt_from_json`.
    """
    return state_receipt_of(text, read_file(text))


def state_receipt_of(text: bytes | str, tree: dict[str, Any]) -> StateReceipt:
    """As `state_receipt_from_json`, of a file whose members were read already."""
    receipt = read_exact(tree, STATE_RECEIPT_FORMAT, StateReceipt)
    check_exact(text, tree["summary"], _state_receipt_tree(receipt))
    return receipt
