"""Registrars: organisations whose word on who somebody is counts, and how that word is checked.

Rule: an organisation is a registrar by vote of the operators, never by being a department; an assertion counts for one network,
one use, one key and at most an hour, and only with the signature of a key that its issuer's officer has at that moment.
"""

from __future__ import annotations

from contracts.denials import Denied
from contracts.directory import check_versions
from contracts.keys import find_key, usable
from contracts.methods import ORGANIZATIONS, CallContext
from contracts.people_actions import SetLookupLimits, SetRegistrar
from contracts.people_records import (
    ASSERTION_LIFE_MS_MAX,
    AssertionMethod,
    AssertionUse,
    IdentityAssertion,
    Registrar,
    SignedAssertion,
)
from contracts.records import AccountStatus, KeyRole
from contracts.state import ACCOUNTS, LOOKUP_LIMITS, REGISTRARS, StateReader
from ledger import codec, domains
from ledger.crypto.threshold.groups import group_of

# Checking a signature and an element, in the cost units of `methods.Method`.
ASSERTION_COST = 60


def set_registrar(context: CallContext, action: SetRegistrar) -> None:
    """Say what an organisation may assert.

    Raises:
        Denied: not_an_organization, duplicate_name.
    """
    account = ACCOUNTS.get(context.state, action.account_id)
    if account is None or account.kind not in ORGANIZATIONS:
        raise Denied("not_an_organization", account=action.account_id.hex())
    for names in (action.methods, action.uses):
        for position, name in enumerate(names):
            if name in names[:position]:
                raise Denied("duplicate_name", name=name.value)
    if action.methods and action.uses:
        registrar = Registrar(account=action.account_id, methods=action.methods, uses=action.uses)
        REGISTRARS.put(context.state, action.account_id, registrar)
    else:
        REGISTRARS.delete(context.state, action.account_id)
    context.emit(
        "registrars.set",
        action.account_id,
        (),
        methods=" ".join(method.value for method in action.methods),
        uses=" ".join(use.value for use in action.uses),
    )


def set_lookup_limits(context: CallContext, action: SetLookupLimits) -> None:
    """Replace the quotas of lookups."""
    limits = action.limits
    LOOKUP_LIMITS.put(context.state, None, limits)
    context.emit(
        "lookups.limits_set",
        b"",
        (),
        officer_max=limits.officer_max,
        organization_max=limits.organization_max,
        entry_max=limits.entry_max,
        person_max=limits.person_max,
    )


def check_registrar(
    state: StateReader, account_id: bytes, use: AssertionUse, method: AssertionMethod | None = None
) -> None:
    """Check that an organisation may assert identities for this use, and by this method if one is given.

    Raises:
        Denied: not_a_registrar.
    """
    registrar = REGISTRARS.get(state, account_id)
    if (
        registrar is None
        or use not in registrar.uses
        or (method is not None and method not in registrar.methods)
    ):
        named = "any" if method is None else method.value
        raise Denied("not_a_registrar", account=account_id.hex(), use=use.value, method=named)


def asserts(state: StateReader, account_id: bytes, use: AssertionUse) -> bool:
    """Whether an organisation may still assert identities for this use: it has the right, and is not suspended."""
    account = ACCOUNTS.get(state, account_id)
    registrar = REGISTRARS.get(state, account_id)
    active = account is not None and account.status is AccountStatus.ACTIVE
    return active and registrar is not None and use in registrar.uses


def check_assertion(
    context: CallContext, signed: SignedAssertion, use: AssertionUse, key_id: bytes
) -> IdentityAssertion:
    """Check everything that makes an assertion count here and now.

    Args:
        context: the call that brings it.
        signed: from whomever.
        use: what it is brought for.
        key_id: the person's key that it must be about.

    Raises:
        Denied: assertion_for_another, assertion_time, not_a_registrar, tag_version, directory_not_ready, element_invalid,
            assertion_signature.
    """
    assertion = signed.assertion
    wrong = _mismatch(context, assertion, use, key_id)
    if wrong:
        raise Denied("assertion_for_another", what=wrong)
    life_ms = assertion.expires_ms - assertion.issued_ms
    current = assertion.issued_ms <= context.time_ms < assertion.expires_ms
    if not current or life_ms > ASSERTION_LIFE_MS_MAX:
        raise Denied(
            "assertion_time",
            issued_ms=assertion.issued_ms,
            expires_ms=assertion.expires_ms,
            maximum_ms=ASSERTION_LIFE_MS_MAX,
            time_ms=context.time_ms,
        )
    check_registrar(context.state, assertion.issuer, use, assertion.method)
    check_versions(context.state, assertion.tags)
    if group_of(context.block.suite).decode(assertion.own_element) is None:
        raise Denied("element_invalid")
    _check_signature(context, signed)
    return assertion


def _mismatch(context: CallContext, assertion: IdentityAssertion, use: AssertionUse, key_id: bytes) -> str:
    if assertion.chain_id != context.block.chain_id:
        return "network"
    if assertion.use is not use:
        return "use"
    return "" if assertion.key_id == key_id else "key"


def _check_signature(context: CallContext, signed: SignedAssertion) -> None:
    issuer = ACCOUNTS.get(context.state, signed.assertion.issuer)
    key = None if issuer is None else find_key(issuer, signed.key_id)
    if (
        issuer is None
        or issuer.status is not AccountStatus.ACTIVE
        or key is None
        or key.role is not KeyRole.OFFICER
        or not usable(key, context.time_ms)
        or not context.block.suite.verify(
            key.scheme,
            key.public_key,
            domains.IDENTITY_ASSERTION,
            codec.encode(signed.assertion),
            signed.signature,
        )
    ):
        raise Denied("assertion_signature")
