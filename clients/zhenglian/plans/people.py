"""Plans about people: find, enrol, add and revoke keys. An identity number goes to the node, nowhere else."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.calls import NewKey, PeopleAddKey, PeopleEnroll, PeopleRevokeKey
from ledger.errors import Category, LedgerError
from zhenglian import exchange
from zhenglian.api import LookupRequest, LookupView, TransactionView
from zhenglian.exchange import Core, Plan, Request, decode
from zhenglian.plans import transactions

COUNTER_METHOD: Final = "counter"


class AlreadyEnrolled(LedgerError):
    """The identity number has an account. Fields: account."""

    code = "already_enrolled"
    category = Category.CONFLICT
    zh = "此人已开户：{account}"
    en = "This person is already enrolled: {account}"


class NoTag(LedgerError):
    """The node gives the caller no directory tag: only departments enrol."""

    code = "no_tag"
    category = Category.FORBIDDEN
    zh = "只有政府部门可以为个人开户；请使用部门经办人密钥。"
    en = "Only departments enrol people; use a department officer's key."


def lookup_person(core: Core, identity_number: str) -> Plan[LookupView]:
    """Find a person's account by identity number (rate limited, recorded)."""
    request = Request(
        method="POST",
        path="/v1/people/lookup",
        body=msgspec.json.encode(LookupRequest(identity_number=identity_number)),
        session=True,
    )
    return decode((yield from exchange.exchange(core, request)), LookupView)


def enroll_person(
    core: Core,
    identity_number: str,
    key: NewKey,
    *,
    assertion: bytes,
    method: str = COUNTER_METHOD,
    account: bytes | None = None,
) -> Plan[str]:
    """Open a person's account and bind its first key.

    Args:
        identity_number: checked by the node, never stored.
        key: the person's own public key.
        assertion: 32-byte hash of the signed identity assertion, which stays off chain.
        method: how the person was identified, a code.
        account: 16-byte id that the person's key file already names; random when None.

    Returns:
        The account id, hex.

    Raises:
        AlreadyEnrolled: the number has an account.
        NoTag: the caller is no department.
    """
    found = yield from lookup_person(core, identity_number)
    if found.account is not None:
        raise AlreadyEnrolled(account=found.account)
    if found.tag is None:
        raise NoTag
    account_id = core.random_bytes(16) if account is None else account
    args = PeopleEnroll(
        account_id=account_id,
        tag_version=found.tag_version,
        tag=bytes.fromhex(found.tag),
        key=key,
        method=method,
        assertion=assertion,
    )
    yield from transactions.settled(core, args)
    return account_id.hex()


def add_person_key(core: Core, key: NewKey) -> Plan[TransactionView]:
    """Add a key (another device) to the own account."""
    return (yield from transactions.settled(core, PeopleAddKey(key=key)))


def revoke_person_key(core: Core, key_id: str) -> Plan[TransactionView]:
    """Revoke a key of the own account."""
    return (yield from transactions.settled(core, PeopleRevokeKey(key_id=bytes.fromhex(key_id))))
