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
    "sm": (*_PYTEST, "tests/unit/test_quorum_list.py", "tests/unit/test_crypto_sm.py"),
    "contracts": (*_PYTEST, "tests/unit/test_contracts_runtime.py", "tests/unit/test_contracts_access.py"),
    "mydata": (
        *_PYTEST,
        "tests/unit/test_contracts_own_grants.py",
        "tests/unit/test_webhooks_signature.py",
        "tests/unit/test_webhooks_places.py",
        "tests/unit/test_mydata_sections.py",
        "tests/unit/test_mydata_notices.py",
        "tests/unit/test_webhooks_delivery.py",
    ),
    "grants": (
        *_PYTEST,
        "tests/unit/test_contracts_grant_attacks.py",
        "tests/unit/test_contracts_grant_terms.py",
        "tests/unit/test_contracts_grant_access.py",
        "tests/unit/test_contracts_representation.py",
        "tests/unit/test_contracts_deletions.py",
        "tests/unit/test_contracts_grants.py",
        "tests/unit/test_contracts_releases.py",
        "tests/unit/test_contracts_grant_machine.py",
    ),
    "questions": (
        *_PYTEST,
        "tests/unit/test_contracts_question_attacks.py",
        "tests/unit/test_contracts_questions.py",
        "tests/unit/test_contracts_counts.py",
        "tests/unit/test_contracts_classes.py",
        "tests/unit/test_questions_answers.py",
        "tests/unit/test_contracts_question_machine.py",
        "tests/unit/test_contracts_count_machine.py",
    ),
    "deposits": (
        *_PYTEST,
        "tests/unit/test_contracts_agents.py",
        "tests/unit/test_deposits_rows.py",
        "tests/unit/test_deposits_tables.py",
        "tests/unit/test_deposits_files.py",
        "tests/unit/test_deposits_bulk.py",
        "tests/unit/test_deposits_http.py",
    ),
    "leaks": (
        *_PYTEST,
        "tests/unit/test_leak_words.py",
        "tests/unit/test_leak_limits.py",
        "tests/unit/test_node_finding.py",
    ),
    "answers": (*_PYTEST, "tests/unit/test_questions_answer_file.py", "tests/unit/test_node_answers.py"),
    "people": (
        *_PYTEST,
        "tests/unit/test_contracts_people.py",
        "tests/unit/test_contracts_lookups.py",
        "tests/unit/test_contracts_recoveries.py",
        "tests/unit/test_contracts_people_attacks.py",
    ),
    "lookups": (*_PYTEST, "tests/unit/test_people_lookups.py"),
    "regions": (
        *_PYTEST,
        "tests/unit/test_contracts_regions.py",
        "tests/unit/test_contracts_recognitions.py",
        "tests/unit/test_sdk_regions.py",
    ),
    "versions": (
        *_PYTEST,
        "tests/unit/test_contracts_upgrades.py",
        "tests/unit/test_contracts_upgrade_machine.py",
        "tests/unit/test_node_upgrades.py",
    ),
    "keeping": (
        *_PYTEST,
        "tests/unit/test_contracts_erasures.py",
        "tests/unit/test_node_exchange.py",
        "tests/unit/test_node_keeper.py",
    ),
    "vault": (
        *_PYTEST,
        "tests/unit/test_node_vault.py",
        "tests/unit/test_holders_exchange.py",
        "tests/unit/test_vault_secrecy.py",
    ),
    "releases": (*_PYTEST, "tests/unit/test_contracts_releases.py", "tests/unit/test_node_releases.py"),
    "archive": (*_PYTEST, "tests/unit/test_archive_format.py", "tests/unit/test_archive_import.py"),
    "shared-keys": (
        *_PYTEST,
        "tests/unit/test_shared_keys_contract.py",
        "tests/unit/test_shared_keys_renewal.py",
        "tests/unit/test_shared_keys_generation.py",
    ),
    "shares": (
        *_PYTEST,
        "tests/unit/test_holders_driver.py",
        "tests/unit/test_holders_crash.py",
        "tests/unit/test_shares_offline.py",
    ),
    "keys": (
        *_PYTEST,
        "tests/unit/test_keys_at_rest.py",
        "tests/unit/test_node_locks.py",
        "tests/unit/test_sdk_keyfile.py",
    ),
    "passkeys": (
        *_PYTEST,
        "tests/unit/test_contracts_passkeys.py",
        "tests/unit/test_contracts_portals.py",
    ),
    "restart": (*_PYTEST, "tests/unit/test_restart.py"),
    "receipts": (*_PYTEST, "tests/unit/test_ledger_receipts.py"),
    "proofs": (
        *_PYTEST,
        "tests/unit/test_ledger_state_receipts.py",
        "tests/unit/test_ledger_receipts.py",
        "tests/unit/test_ledger_proof_vectors.py",
    ),
    "tree": (*_PYTEST, "tests/unit/test_ledger_state_tree.py"),
    "store": (
        *_PYTEST,
        "tests/unit/test_ledger_history.py",
        "tests/unit/test_ledger_retention.py",
        "tests/unit/test_ledger_growth.py",
    ),
    "scenarios": (*_PYTEST, "tests/simulation/test_scenarios.py"),
    "epochs": (*_PYTEST, "tests/simulation/test_epochs.py"),
    "seeds": (sys.executable, "-m", "tests.simulation", "--seeds", "12"),
}
# These open stores, whose maps take far more address space than memory.
MAPPING_SUITES: Final = frozenset(
    {
        "answers",
        "deposits",
        "leaks",
        "lookups",
        "keeping",
        "archive",
        "releases",
        "restart",
        "shares",
        "store",
        "versions",
    }
)
