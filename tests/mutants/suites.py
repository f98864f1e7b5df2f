"""What must fail when a rule is gone: small suites, quickest first."""

from __future__ import annotations

import sys
from typing import Final

_PYTEST: Final = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly")

SUITES: Final[dict[str, tuple[str, ...]]] = {
    "rules": (
        *_PYTEST,
        "tests/unit/test_consensus_core.py",
        "tests/unit/test_consensus_rules.py",
        "tests/unit/test_consensus_votes.py",
        "tests/unit/test_consensus_memory.py",
        "tests/unit/test_consensus_epochs.py",
    ),
    "engine": (*_PYTEST, "tests/unit/test_consensus_rules.py", "tests/unit/test_consensus_runner.py"),
    "journal": (*_PYTEST, "tests/unit/test_consensus_journal.py"),
    "quorum": (*_PYTEST, "tests/unit/test_ledger_quorum.py", "tests/unit/test_ledger_crypto.py"),
    "contracts": (*_PYTEST, "tests/unit/test_contracts_runtime.py", "tests/unit/test_contracts_access.py"),
    "receipts": (*_PYTEST, "tests/unit/test_ledger_receipts.py"),
    "scenarios": (*_PYTEST, "tests/simulation/test_scenarios.py"),
    "epochs": (*_PYTEST, "tests/simulation/test_epochs.py"),
    "seeds": (sys.executable, "-m", "tests.simulation", "--seeds", "12"),
}
