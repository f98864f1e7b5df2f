"""Organisations: departments, enterprises and auditors, and the keys of their officers.

Rule: operators admit, suspend and reinstate an organisation and say what it may issue (`governance.py` calls
the functions below once enough of them have voted); its keys are its own admins' business.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.calls import (
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    RegisterOrganization,
    ReinstateOrganization,
    SetIssuance,
    SuspendOrganization,
)
from contracts.denials import Denied
from contracts.keys import make_key, with_key, without_key
from contracts.methods import ORGANIZATION_ADMIN, ORGANIZATIONS, CallContext, method
from contracts.records import Account, AccountKind, AccountStatus, KeyRole
from contracts.state import ACCOUNTS, CERTIFICATE_TYPES, StateReader


def register(context: CallContext, action: RegisterOrganization) -> None:
    """Admit an organisation.

    Raises:
        Denied: not_an_organization, account_exists, issuance_not_allowed, unknown_certificate_type,
        duplicate_name,
            and those of `keys.make_key`.
    """
    if action.kind not in ORGANIZATIONS:
        raise Denied("not_an_organization", account=action.account_id.hex())
    if ACCOUNTS.get(context.state, action.account_id) is not None:
        raise Denied("account_exists", account=action.account_id.hex())
    _check_issuance(context.state, action.kind, action.issues)
    account = Account(
        account_id=action.account_id,
        kind=action.kind,
        status=AccountStatus.ACTIVE,
        name=action.name,
        credit_code=action.credit_code,
        issues=action.issues,
        created_ms=context.time_ms,
        keys=(make_key(context, action.admin, (KeyRole.ADMIN,)),),
    )
    ACCOUNTS.put(context.state, account.account_id, account)
    context.emit(
        "organizations.registered", account.account_id, (), account_kind=account.kind.value, name=account.name
    )


def suspend(context: CallContext, action: SuspendOrganization) -> None:
    """Stop an organisation: nothing that its keys sign is carried out, and its grants release nothing."""
    account = _organization(context.state, action.account_id)
    if account.status is AccountStatus.SUSPENDED:
        raise Denied("status_unchanged", account=action.account_id.hex(), status=account.status.value)
    ACCOUNTS.put(context.state, account.account_id, replace(account, status=AccountStatus.SUSPENDED))
    context.emit("organizations.suspended", account.account_id, (), reason=action.reason)


def reinstate(context: CallContext, action: ReinstateOrganization) -> None:
    """End a suspension."""
    account = _organization(context.state, action.account_id)
    if account.status is AccountStatus.ACTIVE:
        raise Denied("status_unchanged", account=action.account_id.hex(), status=account.status.value)
    ACCOUNTS.put(context.state, account.account_id, replace(account, status=AccountStatus.ACTIVE))
    context.emit("organizations.reinstated", account.account_id, ())


def set_issuance(context: CallContext, action: SetIssuance) -> None:
    """Replace the list of types that a department may issue."""
    account = _organization(context.state, action.account_id)
    _check_issuance(context.state, account.kind, action.issues)
    ACCOUNTS.put(context.state, account.account_id, replace(account, issues=action.issues))
    context.emit("organizations.issuance_set", account.account_id, (), types=len(action.issues))


@method(OrganizationsAddKey, callers=ORGANIZATION_ADMIN, cost=20)
def add_key(context: CallContext, args: OrganizationsAddKey) -> bytes:
    """Add an officer, admin or agent key to the own account."""
    key = make_key(context, args.key, (KeyRole.OFFICER, KeyRole.ADMIN, KeyRole.AGENT))
    ACCOUNTS.put(context.state, context.account.account_id, with_key(context.account, key, context.time_ms))
    context.emit("organizations.key_added", key.key_id, (), role=key.role.value, label=key.label)
    return key.key_id


@method(OrganizationsRevokeKey, callers=ORGANIZATION_ADMIN, cost=20)
def revoke_key(context: CallContext, args: OrganizationsRevokeKey) -> None:
    """Revoke a key of the own account."""
    account = without_key(context.account, args.key_id, KeyRole.ADMIN, context.time_ms)
    ACCOUNTS.put(context.state, account.account_id, account)
    context.emit("organizations.key_revoked", args.key_id, ())


def _organization(state: StateReader, account_id: bytes) -> Account:
    account = ACCOUNTS.get(state, account_id)
    if account is None or account.kind not in ORGANIZATIONS:
        raise Denied("not_an_organization", account=account_id.hex())
    return account


def _check_issuance(state: StateReader, kind: AccountKind, issues: tuple[str, ...]) -> None:
    if issues and kind not in {AccountKind.DEPARTMENT, AccountKind.ENTERPRISE}:
        raise Denied("issuance_not_allowed", kind=kind.value)
    for position, code in enumerate(issues):
        if code in issues[:position]:
            raise Denied("duplicate_name", name=code)
        if CERTIFICATE_TYPES.get(state, code) is None:
            raise Denied("unknown_certificate_type", type=code)


METHODS: Final = (add_key, revoke_key)
