"""The state at height 0.

Rule: a genesis document is checked as a whole before anything is built on it; every node refuses the same
ones.
"""

from __future__ import annotations

from contracts import membership, shared_keys, upgrades
from contracts.denials import Denied
from contracts.passkeys import why_not_settings
from contracts.records import Network, ProtocolSchedule
from contracts.registry import CALL_COST_MAX, CONTRACTS_AT_GENESIS
from contracts.state import NETWORK, PROTOCOL, Draft
from ledger.crypto.suite import CryptoSuite
from ledger.errors import LedgerError
from ledger.hashing import PROTOCOL_VERSION
from ledger.types import (
    BLOCK_SIZE_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Genesis,
    Limits,
)


class GenesisInvalid(LedgerError):
    """The genesis document contradicts itself or its suite. Fields: reason."""

    code = "genesis_invalid"
    zh = "创世文件无效：{reason}"
    en = "Invalid genesis: {reason}"


class _Nothing:
    """The state before genesis."""

    @staticmethod
    def get(_key: bytes) -> bytes | None:
        return None


def genesis_state(suite: CryptoSuite, genesis: Genesis) -> dict[bytes, bytes]:
    """The first state: the network's record, its validators, its operators' accounts and nodes.

    Args:
        suite: the suite that genesis names.
        genesis: the document.

    Returns:
        Key and value of every entry.

    Raises:
        GenesisInvalid: see the reason.
    """
    _check(genesis.suite == suite.name, f"suite {genesis.suite} is not {suite.name}")
    _check_limits(genesis.limits)
    wrong = why_not_settings(genesis.webauthn)
    _check(wrong is None, f"webauthn: {wrong} is not what browsers use")
    operators = tuple(operator.account for operator in genesis.operators)
    validators = tuple(validator.account for validator in genesis.validators.validators)
    _check(operators == validators, "operators and validators are not the same accounts in the same order")
    _check(len(dict.fromkeys(operators)) == len(operators), "an account operates twice")
    first = genesis.validators.epoch
    _check(first == membership.EPOCH_FIRST, f"the first epoch is {membership.EPOCH_FIRST}, not {first}")
    draft = Draft(_Nothing())
    record = Network(
        network=genesis.network,
        suite=genesis.suite,
        limits=genesis.limits,
        webauthn=genesis.webauthn,
    )
    NETWORK.put(draft, None, record)
    PROTOCOL.put(draft, None, ProtocolSchedule(version=PROTOCOL_VERSION))
    upgrades.found(draft, CONTRACTS_AT_GENESIS)
    try:
        membership.found(suite, draft, genesis)
        shared_keys.found(suite, draft)
    except Denied as denial:
        raise GenesisInvalid(reason=denial.message("en")) from None
    return {key: value for key, value in sorted(draft.writes.items()) if value is not None}


def _check_limits(limits: Limits) -> None:
    _check(
        1 <= limits.block_transactions_max <= BLOCK_TRANSACTIONS_MAX, "block_transactions_max is out of range"
    )
    _check(limits.account_transactions_per_block_max >= 1, "account_transactions_per_block_max is nothing")
    _check(1024 <= limits.block_bytes_max <= BLOCK_SIZE_BYTES_MAX, "block_bytes_max is out of range")
    _check(limits.transaction_lifetime_ms_max >= 1, "transaction_lifetime_ms_max is nothing")
    _check(
        limits.block_cost_max >= CALL_COST_MAX,
        f"block_cost_max has no room for one call of cost {CALL_COST_MAX}",
    )


def _check(condition: bool, reason: str) -> None:
    if not condition:
        raise GenesisInvalid(reason=reason)
