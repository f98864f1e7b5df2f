"""Which nodes keep the ciphertext of a record: the same answer on every node, without asking anybody.

Rule: pure. Every validator has a rank for every record (rendezvous hashing), the first k keep it. When validators come or go, only
the records that they ranked for move.

Source: Thaler and Ravishankar, Using name-based mappings to increase hit rates (1998), the highest random weight.
"""

from __future__ import annotations

from collections.abc import Collection

from ledger.crypto.suite import CryptoSuite
from ledger.domains import BLOB_PLACE


def ranked(suite: CryptoSuite, certificate_id: bytes, validators: Collection[bytes]) -> tuple[bytes, ...]:
    """The validators' accounts, the first keeper of the record first."""
    return tuple(
        sorted(validators, key=lambda account: (suite.hash(BLOB_PLACE, certificate_id + account), account))
    )


def faults_tolerated(validators: int) -> int:
    """f of n ≥ 3f + 1."""
    return max(0, (validators - 1) // 3)


def copies_needed(validators: int) -> int:
    """With fewer copies than that, the faulty alone could have all of them: f + 1."""
    return faults_tolerated(validators) + 1


def copies_wanted(validators: int, configured: int) -> int:
    """How many nodes keep a record.

    Args:
        validators: n, at least 1.
        configured: what the operator chose; 0 for 2f + 1, so that f + 1 honest ones have it whoever fails.

    Returns:
        At least f + 1, at most n.
    """
    wanted = configured or 2 * faults_tolerated(validators) + 1
    return min(validators, max(wanted, copies_needed(validators)))
