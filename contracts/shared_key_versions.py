"""Versions of the keys that operators hold together, and how they go with the validators.

Rule: what is stored for long depends on one version for ever; what can be worked out again may have another. Shares follow the
validators, and the validators change only as far as shares can follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from contracts import shared_key_rounds as rounds
from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import KeyName
from contracts.shared_key_rounds import index, open_rounds
from contracts.state import SHARED_KEY_INDEX, SHARED_KEYS, SHARED_KEYS_IN_USE, Draft, StateReader
from ledger.crypto.suite import CryptoSuite

# Of these keys nothing that lasts depends; of the others every record.
REPLACED: Final = (KeyPurpose.DIRECTORY, KeyPurpose.MARKS)


# --- reading ------------------------------------------------------------------------------------------------


def shared_key(state: StateReader, purpose: KeyPurpose, version: int) -> SharedKey | None:
    """That version at its latest renewal; None if it was never made, or is destroyed."""
    return SHARED_KEYS.get(state, (purpose, version))


def in_use(state: StateReader, purpose: KeyPurpose) -> SharedKey | None:
    """The version for what is new; None while none was made."""
    version = SHARED_KEYS_IN_USE.get(state, purpose)
    return None if version is None else SHARED_KEYS.get(state, (purpose, version))


def ready(state: StateReader) -> bool:
    """Whether there is a key for every purpose."""
    return all(SHARED_KEYS_IN_USE.get(state, purpose) is not None for purpose in KeyPurpose)


# --- genesis, epochs, votes -----------------------------------------------------------------------------------


def found(suite: CryptoSuite, draft: Draft) -> None:
    """Let the first validators make the first version of every key; the validators are written already."""
    for purpose in KeyPurpose:
        rounds.begin_generation(draft, suite, purpose, 1)


def check_validators(state: StateReader, accounts: Sequence[bytes]) -> None:
    """See that the shares can follow the validators to these accounts.

    Raises:
        Denied: holders_too_few, renewal_under_way.
    """
    if set(accounts) == set(rounds.validators_of(state)):
        return
    for key in rounds.keys_made(state):
        if set(accounts) == set(key.holders):
            continue
        staying = sum(account in accounts for account in key.holders)
        if staying < key.keys.threshold:
            raise Denied(
                "holders_too_few", purpose=key.purpose.value, present=staying, needed=key.keys.threshold
            )
        for one in open_rounds(state):
            moving = one.renewal > 0 and set(one.holders) != set(key.holders)
            if moving and (one.purpose, one.version) == (key.purpose, key.version):
                raise Denied("renewal_under_way", purpose=key.purpose.value)


def follow_validators(draft: Draft, suite: CryptoSuite) -> None:
    """The validators have changed: keys that are being made begin again, and shares move to whoever votes now."""
    accounts = set(rounds.validators_of(draft))
    following: set[tuple[KeyPurpose, int]] = set()
    for one in open_rounds(draft):
        if set(one.holders) == accounts:
            following.add((one.purpose, one.version))
        elif one.renewal == 0:
            rounds.begin_generation(draft, suite, one.purpose, one.version)
    for key in rounds.keys_made(draft):
        if set(key.holders) != accounts and (key.purpose, key.version) not in following:
            rounds.begin_renewal(draft, suite, key)


def begin(context: CallContext, purpose: KeyPurpose, version: int) -> None:
    """Start making another version of a key; the one in use stays so until `use`.

    Raises:
        Denied: shared_key_lasting, shared_key_version, key_round_open, key_versions_too_many.
    """
    _require_replaced(purpose)
    expected = rounds.latest_version(context.state, purpose) + 1
    if version != expected:
        raise Denied("shared_key_version", purpose=purpose.value, expected=expected, version=version)
    listed = index(context.state)
    for name in listed.open:
        if name.purpose is purpose:
            raise Denied("key_round_open", purpose=purpose.value, version=name.version)
    if sum(name.purpose is purpose for name in listed.keys) >= rounds.VERSIONS_PER_PURPOSE_MAX:
        maximum = rounds.VERSIONS_PER_PURPOSE_MAX
        raise Denied("key_versions_too_many", purpose=purpose.value, maximum=maximum)
    begun = rounds.begin_generation(context.state, context.block.suite, purpose, version)
    rounds.emit(context, "shared_keys.begun", begun, attempt=begun.attempt)


def use(context: CallContext, purpose: KeyPurpose, version: int) -> None:
    """Have what is new use this version.

    Raises:
        Denied: unknown_shared_key.
    """
    key = made(context.state, purpose, version)
    SHARED_KEYS_IN_USE.put(context.state, purpose, version)
    _emit_key(context, "shared_keys.used", key)


def destroy(context: CallContext, purpose: KeyPurpose, version: int) -> None:
    """Forget a version; every holder that sees it destroys its share.

    Raises:
        Denied: shared_key_lasting, unknown_shared_key, shared_key_in_use.
    """
    _require_replaced(purpose)
    key = made(context.state, purpose, version)
    if SHARED_KEYS_IN_USE.get(context.state, purpose) == version:
        raise Denied("shared_key_in_use", purpose=purpose.value, version=version)
    name = KeyName(purpose=purpose, version=version)
    rounds.forget_round(context.state, name)
    SHARED_KEYS.delete(context.state, (purpose, version))
    listed = index(context.state)
    left = tuple(one for one in listed.keys if one != name)
    SHARED_KEY_INDEX.put(context.state, None, replace(listed, keys=left))
    _emit_key(context, "shared_keys.destroyed", key)


# --- inside ---------------------------------------------------------------------------------------------------


def made(state: StateReader, purpose: KeyPurpose, version: int) -> SharedKey:
    """That version at its latest renewal.

    Raises:
        Denied: unknown_shared_key.
    """
    key = SHARED_KEYS.get(state, (purpose, version))
    if key is None:
        raise Denied("unknown_shared_key", purpose=purpose.value, version=version)
    return key


def _require_replaced(purpose: KeyPurpose) -> None:
    if purpose not in REPLACED:
        raise Denied("shared_key_lasting", purpose=purpose.value)


def _emit_key(context: CallContext, kind: str, key: SharedKey) -> None:
    context.emit(
        kind,
        key.keys.public_key[:16],
        (),
        purpose=key.purpose.value,
        version=key.version,
        renewal=key.renewal,
    )
