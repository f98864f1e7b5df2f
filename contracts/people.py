"""People: opening an account under a random id, binding the first key, and the person's further keys.

Rule: nothing here says who a person is. An account is found by the tag of an identity number under the
network's directory key (`node/vault/directory.py`), once per version of that key, and events never carry the
tag.
"""

from __future__ import annotations

from typing import Final

from contracts.calls import PeopleAddKey, PeopleEnroll, PeopleRevokeKey
from contracts.denials import Denied
from contracts.keys import make_key, with_key, without_key
from contracts.methods import DEPARTMENT_OFFICER, PERSON, CallContext, method
from contracts.records import Account, AccountKind, AccountStatus, KeyRole
from contracts.state import ACCOUNTS, PERSON_TAGS, network


@method(PeopleEnroll, callers=DEPARTMENT_OFFICER, cost=25, concerns=lambda _state, args: (args.account_id,))
def enroll(context: CallContext, args: PeopleEnroll) -> bytes:
    """Open a person's account with its first key."""
    version = network(context.state).person_tag_version
    if args.tag_version != version:
        raise Denied("tag_version", version=args.tag_version, current=version)
    if PERSON_TAGS.get(context.state, (version, args.tag)) is not None:
        raise Denied("already_enrolled", version=version)
    if ACCOUNTS.get(context.state, args.account_id) is not None:
        raise Denied("account_exists", account=args.account_id.hex())
    account = Account(
        account_id=args.account_id,
        kind=AccountKind.PERSON,
        status=AccountStatus.ACTIVE,
        name="",
        credit_code="",
        issues=(),
        created_ms=context.time_ms,
        keys=(make_key(context, args.key, (KeyRole.HOLDER,)),),
    )
    ACCOUNTS.put(context.state, account.account_id, account)
    PERSON_TAGS.put(context.state, (version, args.tag), account.account_id)
    context.emit("people.enrolled", account.account_id, (), method=args.method, assertion=args.assertion)
    return account.account_id


@method(PeopleAddKey, callers=PERSON, cost=20)
def add_key(context: CallContext, args: PeopleAddKey) -> bytes:
    """Add a key to the own account."""
    key = make_key(context, args.key, (KeyRole.HOLDER,))
    ACCOUNTS.put(context.state, context.account.account_id, with_key(context.account, key, context.time_ms))
    context.emit("people.key_added", key.key_id, (), label=key.label)
    return key.key_id


@method(PeopleRevokeKey, callers=PERSON, cost=20)
def revoke_key(context: CallContext, args: PeopleRevokeKey) -> None:
    """Revoke a key of the own account."""
    account = without_key(context.account, args.key_id, KeyRole.HOLDER, context.time_ms)
    ACCOUNTS.put(context.state, account.account_id, account)
    context.emit("people.key_revoked", args.key_id, ())


METHODS: Final = (enroll, add_key, revoke_key)
