"""The rules of receipts: what a proof is covered by, and what is compared with what is."""

from __future__ import annotations

from typing import Final

from tests.mutants.naming import one

_FILES: Final = "ledger/proof_files.py"
_STATE: Final = "ledger/state_receipts.py"
_EPOCHS: Final = "ledger/epochs.py"
_READABLE: Final = "ledger/readable.py"
_SUITES: Final = ("proofs",)

PROOFS: Final = (
    one(
        "state-proof-checked",
        "a state receipt's value hangs under the state root",
        _STATE,
        "check_state_proof",
        "if not verify_state(suite, receipt.header.state_root, receipt.key, receipt.value, receipt.proof):",
        "if False:",
        _SUITES,
    ),
    one(
        "state-receipt-final",
        "a state receipt's block is final",
        _EPOCHS,
        "check_finality_since",
        "    check_finality(suite, trust, header, path, certificate)",
        "",
        _SUITES,
    ),
    one(
        "state-receipt-network",
        "a state receipt is of the trusted network",
        _STATE,
        "verify_state_receipt",
        "if receipt.network != trust.network:",
        "if False:",
        _SUITES,
    ),
    one(
        "state-receipt-version",
        "a state receipt is of a known version",
        _STATE,
        "verify_state_receipt",
        "if receipt.version != STATE_RECEIPT_VERSION:",
        "if False:",
        _SUITES,
    ),
    one(
        "later-epoch-needs-changes",
        "a receipt of a later epoch needs the changes that lead there",
        _EPOCHS,
        "check_finality_since",
        "trust = trust_at(suite, trust, changes, header.epoch)",
        "trust = trust_at(suite, trust, changes[:1], header.epoch)",
        _SUITES,
    ),
    one(
        "summary-compared",
        "a receipt's summary says what the receipt says",
        _FILES,
        "check_exact",
        'if found != tree["summary"]:',
        "if False:",
        _SUITES,
    ),
    one(
        "file-is-exact",
        "a receipt's file has one form",
        _FILES,
        "check_exact",
        "if (text if isinstance(text, str) else text.decode()) != readable.render(tree):",
        "if False:",
        _SUITES,
    ),
    one(
        "member-once",
        "a member occurs once",
        _READABLE,
        "_no_duplicates",
        "if len(members) != len(pairs):",
        "if False:",
        _SUITES,
    ),
    one(
        "nesting-bounded",
        "a file is nested at most 32 deep",
        _READABLE,
        "_check_nesting",
        "if depth > NESTING_MAX:",
        "if False:",
        _SUITES,
    ),
)
