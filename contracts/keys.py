"""Keys of an account: adding, revoking, and which of them count.

Rule: a key that was revoked or has ended can authenticate nothing from then on, and an account that governs
itself always keeps one usable key of the role that it needs for that.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts.calls import NewKey
from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.records import KEYS_PER_ACCOUNT_MAX, Account, Key, KeyRole
from contracts.state import network
from ledger.crypto import passkey
from ledger.crypto.suite import key_id


def find_key(account: Account, wanted: bytes) -> Key | None:
    """The account's key of that id, usable or not."""
    return next((key for key in account.keys if key.key_id == wanted), None)


def same_officer(one: Key, other: Key) -> bool:
    """Whether two keys of one organisation are one officer's: the same key, or two under one staff number (`Key.label`).

    Keys without a staff number are told apart by themselves.
    """
    return one.key_id == other.key_id or one.label == other.label != ""


def usable(key: Key, time_ms: int) -> bool:
    """Whether what this key signs counts at block time `time_ms`."""
    ended = key.valid_until_ms != 0 and time_ms >= key.valid_until_ms
    return key.revoked_ms == 0 and key.valid_from_ms <= time_ms and not ended


def make_key(context: CallContext, new: NewKey, roles: tuple[KeyRole, ...]) -> Key:
    """The key that a call asks to add.

    Raises:
        Denied: key_role_not_allowed, unknown_scheme, ends_in_the_past; passkey_role, passkeys_not_here, passkey_key_invalid.
    """
    suite = context.block.suite
    if new.role not in roles:
        allowed = ", ".join(role.value for role in roles)
        raise Denied("key_role_not_allowed", role=new.role.value, allowed=allowed)
    if new.scheme == passkey.SCHEME:
        _check_passkey(context, new)
    elif new.scheme not in suite.signature_schemes:
        allowed = ", ".join((*suite.signature_schemes, passkey.SCHEME))
        raise Denied("unknown_scheme", scheme=new.scheme, allowed=allowed)
    if new.valid_until_ms != 0 and new.valid_until_ms <= context.time_ms:
        raise Denied("ends_in_the_past", end_ms=new.valid_until_ms, time_ms=context.time_ms)
    return Key(
        key_id=key_id(suite, new.scheme, new.public_key),
        scheme=new.scheme,
        public_key=new.public_key,
        role=new.role,
        label=new.label,
        valid_from_ms=context.time_ms,
        valid_until_ms=new.valid_until_ms,
        revoked_ms=0,
    )


def _check_passkey(context: CallContext, new: NewKey) -> None:
    """A passkey shows no clerk or officer at work, and what it signs nobody can read: it is for people, about themselves."""
    if new.role is not KeyRole.HOLDER:
        raise Denied("passkey_role", role=new.role.value)
    if not network(context.state).webauthn.rp_id:
        raise Denied("passkeys_not_here")
    if not passkey.acceptable_key(new.public_key):
        raise Denied("passkey_key_invalid")


def with_key(account: Account, key: Key, time_ms: int) -> Account:
    """The account with one key more. A full account forgets its oldest dead key; events and blocks still have
    it.

    Raises:
        Denied: key_exists, too_many_keys.
    """
    if find_key(account, key.key_id) is not None:
        raise Denied("key_exists", key_id=key.key_id.hex())
    keys = account.keys
    if len(keys) >= KEYS_PER_ACCOUNT_MAX:
        dead = next((held for held in keys if not usable(held, time_ms)), None)
        if dead is None:
            raise Denied("too_many_keys", maximum=KEYS_PER_ACCOUNT_MAX)
        keys = tuple(held for held in keys if held is not dead)
    return replace(account, keys=(*keys, key))


def without_key(account: Account, wanted: bytes, needed: KeyRole, time_ms: int) -> Account:
    """The account with one key revoked.

    Args:
        account: whose key.
        wanted: id of the key.
        needed: role of which a usable key must remain.
        time_ms: block time.

    Raises:
        Denied: unknown_key_here, key_already_revoked, last_key.
    """
    key = find_key(account, wanted)
    if key is None:
        raise Denied("unknown_key_here", key_id=wanted.hex())
    if key.revoked_ms != 0:
        raise Denied("key_already_revoked", key_id=wanted.hex())
    revoked = replace(key, revoked_ms=time_ms)
    keys = tuple(revoked if held is key else held for held in account.keys)
    if not any(held.role is needed and usable(held, time_ms) for held in keys):
        raise Denied("last_key", role=needed.value)
    return replace(account, keys=keys)
