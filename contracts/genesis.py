"""The state at height 0.

Rule: a genesis document is checked as a whole before anything is built on it; every node refuses the same
ones.
"""

from __future__ import annotations

from typing import Final

from contracts.records import Account, AccountKind, AccountStatus, Key, KeyRole, Network
from contracts.registry import CALL_COST_MAX
from contracts.state import ACCOUNTS, NETWORK, Draft
from ledger.crypto.suite import CryptoSuite, key_id
from ledger.errors import LedgerError
from ledger.types import (
    BLOCK_SIZE_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Genesis,
    GenesisKey,
    GenesisOperator,
    Limits,
)

PERSON_TAG_VERSION_FIRST: Final = 1
OPERATOR_ROLES: Final = (KeyRole.ADMIN, KeyRole.NODE)


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
    """The first state: the network's record and its operators' accounts.

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
    operators = tuple(operator.account for operator in genesis.operators)
    validators = tuple(validator.account for validator in genesis.validators.validators)
    _check(operators == validators, "operators and validators are not the same accounts in the same order")
    _check(len(dict.fromkeys(operators)) == len(operators), "an account operates twice")
    draft = Draft(_Nothing())
    record = Network(
        network=genesis.network,
        suite=genesis.suite,
        limits=genesis.limits,
        operators=operators,
        person_tag_version=PERSON_TAG_VERSION_FIRST,
    )
    NETWORK.put(draft, None, record)
    for operator in genesis.operators:
        ACCOUNTS.put(draft, operator.account, _operator_account(suite, operator, genesis.time_ms))
    return {key: value for key, value in sorted(draft.writes.items()) if value is not None}


def _operator_account(suite: CryptoSuite, operator: GenesisOperator, time_ms: int) -> Account:
    keys = tuple(_key(suite, operator, key, time_ms) for key in operator.keys)
    for role in OPERATOR_ROLES:
        _check(any(key.role is role for key in keys), f"operator {operator.name} has no {role.value} key")
    ids = [key.key_id for key in keys]
    _check(len(dict.fromkeys(ids)) == len(ids), f"operator {operator.name} has a key twice")
    return Account(
        account_id=operator.account,
        kind=AccountKind.OPERATOR,
        status=AccountStatus.ACTIVE,
        name=operator.name,
        credit_code="",
        issues=(),
        created_ms=time_ms,
        keys=keys,
    )


def _key(suite: CryptoSuite, operator: GenesisOperator, key: GenesisKey, time_ms: int) -> Key:
    _check(key.role in OPERATOR_ROLES, f"operator {operator.name} has a key with role {key.role}")
    _check(key.scheme in suite.signature_schemes, f"suite {suite.name} has no scheme {key.scheme}")
    derived = key_id(suite, key.scheme, key.public_key)
    _check(
        key.key_id == derived, f"key id {key.key_id.hex()} of operator {operator.name} is not {derived.hex()}"
    )
    return Key(
        key_id=key.key_id,
        scheme=key.scheme,
        public_key=key.public_key,
        role=KeyRole(key.role),
        label=key.label,
        valid_from_ms=time_ms,
        valid_until_ms=0,
        revoked_ms=0,
    )


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
