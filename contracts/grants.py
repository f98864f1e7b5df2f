"""Grants (授权): the record by which a holder opens data to an organisation, for a purpose, a time and a
number of uses.

Rule: a grant opens something only while it is ACTIVE and before its end; `TRANSITIONS` is every way its state
changes, and whatever is not in that table is refused. Time alone ends a grant: from `consent_expiry_ms` on
every contract takes it for EXPIRED, whether or not a tick has written that down.

A release reserves a use when it is requested and makes it when it is prepared; a failed one gives it back. So
a grant turns EXHAUSTED only when no use is left and none is reserved, and until then its holder can still
pause or revoke it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from contracts.calls import (
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsRequest,
    GrantsResume,
    GrantsRevoke,
)
from contracts.denials import Denied
from contracts.faces import GrantUses
from contracts.grant_items import check_asked, check_held, give
from contracts.methods import GRANTEE_OFFICER, HOLDER, HOLDERS, CallContext, method
from contracts.records import AccountStatus, FetchType, Grant, GrantItem, GrantState, PurposeTemplate
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, GRANTS, PURPOSES, DeadlineKind, StateReader, present
from contracts.versions import Contract
from ledger import domains
from ledger.errors import invariant

SCHEMA_VERSION: Final = 1
CONSENT: Final = "consent"


class Step(StrEnum):
    """What can be done to a grant."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    NARROW = "narrow"
    REVOKE = "revoke"
    EXPIRE = "expire"
    EXHAUST = "exhaust"


TRANSITIONS: Final[dict[tuple[GrantState, Step], GrantState]] = {
    (GrantState.REQUESTED, Step.APPROVE): GrantState.ACTIVE,
    (GrantState.REQUESTED, Step.REJECT): GrantState.REJECTED,
    (GrantState.REQUESTED, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.ACTIVE, Step.PAUSE): GrantState.PAUSED,
    (GrantState.ACTIVE, Step.NARROW): GrantState.ACTIVE,
    (GrantState.ACTIVE, Step.REVOKE): GrantState.REVOKED,
    (GrantState.ACTIVE, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.ACTIVE, Step.EXHAUST): GrantState.EXHAUSTED,
    (GrantState.PAUSED, Step.RESUME): GrantState.ACTIVE,
    (GrantState.PAUSED, Step.NARROW): GrantState.PAUSED,
    (GrantState.PAUSED, Step.REVOKE): GrantState.REVOKED,
    (GrantState.PAUSED, Step.EXPIRE): GrantState.EXPIRED,
    (GrantState.REVOKED, Step.REVOKE): GrantState.REVOKED,
}


def standing(grant: Grant, time_ms: int) -> GrantState:
    """The grant's state at block time `time_ms`: as written, or EXPIRED once its end has come."""
    if (grant.state, Step.EXPIRE) in TRANSITIONS and time_ms >= grant.consent_expiry_ms:
        return GrantState.EXPIRED
    return grant.state


def concerned(state: StateReader, grant_id: bytes) -> tuple[bytes, ...]:
    """The grant, its holder and its grantee, as far as the ledger knows it."""
    grant = GRANTS.get(state, grant_id)
    return (grant_id,) if grant is None else (grant_id, grant.pii_principal_id, grant.grantee)


@method(
    GrantsRequest,
    callers=GRANTEE_OFFICER,
    cost=35,
    concerns=lambda _state, args: (args.pii_principal_id, *(item.certificate for item in args.items)),
)
def request(context: CallContext, args: GrantsRequest) -> bytes:
    """Ask a holder for data."""
    purpose = PURPOSES.get(context.state, args.purpose)
    if purpose is None:
        raise Denied("unknown_purpose", purpose=args.purpose)
    _check_parties(context, args)
    check_asked(purpose, args.items)
    for item in args.items:
        check_held(context, item, args.pii_principal_id)
    _check_caps(purpose, args, context.time_ms)
    grant_id = context.new_id(GRANTS, domains.GRANT_ID, 16)
    grant = Grant(
        grant_id=grant_id,
        schema_version=SCHEMA_VERSION,
        pii_principal_id=args.pii_principal_id,
        grantee=context.account.account_id,
        requested_by=context.key.key_id,
        purpose=args.purpose,
        lawful_basis=args.lawful_basis,
        legal_ref=args.legal_ref,
        privacy_notice_hash=args.privacy_notice_hash,
        language=args.language,
        items=(),
        requested_items=tuple(replace(item, declined=()) for item in args.items),
        consent_mode=args.consent_mode,
        fetch_type=args.fetch_type,
        uses_max=args.uses_max,
        uses_left=0,
        requested_ms=context.time_ms,
        consent_start_ms=0,
        consent_expiry_ms=args.consent_expiry_ms,
        data_life_ms=args.data_life_ms,
        jurisdiction=args.jurisdiction,
        revocable=args.revocable,
        state=GrantState.REQUESTED,
        state_since_ms=context.time_ms,
        renews=args.renews,
    )
    schedule(context.state, grant.consent_expiry_ms, DeadlineKind.GRANT, grant_id)
    _save(context, "grants.requested", grant)
    return grant_id


@method(GrantsApprove, callers=HOLDER, cost=30, concerns=lambda state, args: concerned(state, args.grant_id))
def approve(context: CallContext, args: GrantsApprove) -> None:
    """Give all that was asked for, or less."""
    grant = _held(context, args.grant_id)
    active = _step(grant, Step.APPROVE, context.time_ms)
    grantee = present(ACCOUNTS.get(context.state, grant.grantee), "the grantee of a grant")
    if grantee.status is AccountStatus.SUSPENDED:
        raise Denied("organization_suspended", account=grant.grantee.hex())
    _check_uses(args.uses_max, grant.uses_max)
    given = replace(
        active,
        items=_opened(context, grant, grant.requested_items, args.items),
        uses_max=args.uses_max,
        uses_left=args.uses_max,
        consent_start_ms=context.time_ms,
        consent_expiry_ms=_earlier_end(context, grant, args.consent_expiry_ms),
    )
    _save(context, "grants.approved", given)


@method(GrantsReject, callers=HOLDER, cost=20, concerns=lambda state, args: concerned(state, args.grant_id))
def reject(context: CallContext, args: GrantsReject) -> None:
    """Refuse a request."""
    grant = _held(context, args.grant_id)
    _save(context, "grants.rejected", _step(grant, Step.REJECT, context.time_ms))


@method(GrantsPause, callers=HOLDER, cost=20, concerns=lambda state, args: concerned(state, args.grant_id))
def pause(context: CallContext, args: GrantsPause) -> None:
    """Stop a grant until it is resumed."""
    grant = _step(_held(context, args.grant_id), Step.PAUSE, context.time_ms)
    _check_revocable(grant)
    _save(context, "grants.paused", grant)


@method(GrantsResume, callers=HOLDER, cost=20, concerns=lambda state, args: concerned(state, args.grant_id))
def resume(context: CallContext, args: GrantsResume) -> None:
    """Let a paused grant go on."""
    grant = _held(context, args.grant_id)
    _save(context, "grants.resumed", _step(grant, Step.RESUME, context.time_ms))


@method(GrantsNarrow, callers=HOLDER, cost=30, concerns=lambda state, args: concerned(state, args.grant_id))
def narrow(context: CallContext, args: GrantsNarrow) -> None:
    """Leave less open than now. Uses already reserved by releases are not touched."""
    grant = _held(context, args.grant_id)
    narrowed = _step(grant, Step.NARROW, context.time_ms)
    _check_revocable(grant)
    _check_uses(args.uses_left, grant.uses_left)
    if args.uses_left == 0 < grant.uses_left:
        raise Denied("nothing_left", grant=grant.grant_id.hex())
    narrowed = replace(
        narrowed,
        items=_opened(context, grant, grant.items, args.items),
        uses_max=grant.uses_max - (grant.uses_left - args.uses_left),
        uses_left=args.uses_left,
        consent_expiry_ms=_earlier_end(context, grant, args.consent_expiry_ms),
    )
    _save(context, "grants.narrowed", narrowed)


@method(GrantsRevoke, callers=HOLDER, cost=20, concerns=lambda state, args: concerned(state, args.grant_id))
def revoke(context: CallContext, args: GrantsRevoke) -> None:
    """End a grant for good. Doing it again changes nothing."""
    grant = _held(context, args.grant_id)
    revoked = _step(grant, Step.REVOKE, context.time_ms)
    _check_revocable(grant)
    if grant.state is not GrantState.REVOKED:
        _save(context, "grants.revoked", revoked)


def expire(context: CallContext, grant_id: bytes) -> None:
    """Write down that a grant's end has come, if it has and nothing ended it before."""
    grant = present(GRANTS.get(context.state, grant_id), "a grant with a deadline")
    if grant.state is not standing(grant, context.time_ms):
        ended = replace(grant, state=GrantState.EXPIRED, state_since_ms=context.time_ms)
        _save(context, "grants.expired", ended)


def check_active(grant: Grant, time_ms: int) -> None:
    """Raise Denied (grant_not_active) unless the grant opens data at block time `time_ms`."""
    state = standing(grant, time_ms)
    if state is not GrantState.ACTIVE:
        raise Denied("grant_not_active", grant=grant.grant_id.hex(), state=state.value)


def reserve_use(context: CallContext, grant_id: bytes) -> None:
    """Take one of the uses left for a release that begins.

    Raises:
        Denied: uses_exhausted.
    """
    grant = _used(context, grant_id)
    if grant.uses_left == 0:
        raise Denied("uses_exhausted", grant=grant.grant_id.hex(), maximum=grant.uses_max)
    reserved = replace(grant, uses_left=grant.uses_left - 1, uses_reserved=grant.uses_reserved + 1)
    GRANTS.put(context.state, grant.grant_id, reserved)


def make_use(context: CallContext, grant_id: bytes) -> None:
    """Count a reserved use as made; the last one exhausts the grant."""
    grant = _used(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release is prepared without a reserved use")
    made = replace(grant, uses_reserved=grant.uses_reserved - 1)
    if made.uses_left == 0 and made.uses_reserved == 0:
        _save(context, "grants.exhausted", _step(made, Step.EXHAUST, context.time_ms))
    else:
        GRANTS.put(context.state, made.grant_id, made)


def return_use(context: CallContext, grant_id: bytes) -> None:
    """Give a reserved use back, whatever has become of the grant."""
    grant = _used(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release fails without a reserved use")
    back = replace(grant, uses_left=grant.uses_left + 1, uses_reserved=grant.uses_reserved - 1)
    GRANTS.put(context.state, grant.grant_id, back)


def _used(context: CallContext, grant_id: bytes) -> Grant:
    return present(GRANTS.get(context.state, grant_id), "the grant of a release")


def _check_parties(context: CallContext, args: GrantsRequest) -> None:
    holder = ACCOUNTS.get(context.state, args.pii_principal_id)
    if holder is None or holder.kind not in HOLDERS:
        raise Denied("not_a_holder", account=args.pii_principal_id.hex())
    if holder.account_id == context.account.account_id:
        raise Denied("grant_to_oneself", account=args.pii_principal_id.hex())
    if args.renews:
        renewed = GRANTS.get(context.state, args.renews)
        parties = None if renewed is None else (renewed.pii_principal_id, renewed.grantee)
        if parties != (args.pii_principal_id, context.account.account_id):
            raise Denied("renews_another", grant=args.renews.hex())


def _check_caps(purpose: PurposeTemplate, args: GrantsRequest, time_ms: int) -> None:
    if args.lawful_basis == CONSENT and not args.revocable:
        raise Denied("consent_is_revocable")
    if args.fetch_type is FetchType.ONCE and args.uses_max > 1:
        raise Denied("over_ask", cap="uses_max (fetch_type once)", maximum=1, asked=args.uses_max)
    if args.uses_max > purpose.uses_max:
        raise Denied("over_ask", cap="uses_max", maximum=purpose.uses_max, asked=args.uses_max)
    if args.consent_expiry_ms <= time_ms:
        raise Denied("ends_in_the_past", end_ms=args.consent_expiry_ms, time_ms=time_ms)
    period_ms = args.consent_expiry_ms - time_ms
    if period_ms > purpose.period_ms_max:
        raise Denied("over_ask", cap="period_ms", maximum=purpose.period_ms_max, asked=period_ms)
    if args.data_life_ms > purpose.data_life_ms_max:
        raise Denied(
            "over_ask", cap="data_life_ms", maximum=purpose.data_life_ms_max, asked=args.data_life_ms
        )


def _held(context: CallContext, grant_id: bytes) -> Grant:
    grant = GRANTS.get(context.state, grant_id)
    if grant is None:
        raise Denied("unknown_grant", grant=grant_id.hex())
    if grant.pii_principal_id != context.account.account_id:
        raise Denied("not_holder", grant=grant_id.hex())
    return grant


def _step(grant: Grant, step: Step, time_ms: int) -> Grant:
    state = standing(grant, time_ms)
    target = TRANSITIONS.get((state, step))
    if target is None:
        raise Denied("state_transition", what="grant", state=state.value, step=step.value)
    return grant if target is grant.state else replace(grant, state=target, state_since_ms=time_ms)


def _check_revocable(grant: Grant) -> None:
    if not grant.revocable:
        raise Denied("not_revocable", grant=grant.grant_id.hex())


def _check_uses(given: int, maximum: int) -> None:
    if given > maximum:
        raise Denied("over_give", cap="uses", maximum=maximum, asked=given)


def _opened(
    context: CallContext, grant: Grant, asked: tuple[GrantItem, ...], given: tuple[GrantItem, ...]
) -> tuple[GrantItem, ...]:
    opened = give(asked, given)
    for item in given:
        check_held(context, item, grant.pii_principal_id)
    return opened


def _earlier_end(context: CallContext, grant: Grant, end_ms: int) -> int:
    """`end_ms`, scheduled if it is a new end."""
    if end_ms > grant.consent_expiry_ms:
        raise Denied("over_give", cap="consent_expiry_ms", maximum=grant.consent_expiry_ms, asked=end_ms)
    if end_ms <= context.time_ms:
        raise Denied("ends_in_the_past", end_ms=end_ms, time_ms=context.time_ms)
    if end_ms != grant.consent_expiry_ms:
        schedule(context.state, end_ms, DeadlineKind.GRANT, grant.grant_id)
    return end_ms


def _save(context: CallContext, kind: str, grant: Grant) -> None:
    GRANTS.put(context.state, grant.grant_id, grant)
    certificates = tuple(item.certificate for item in grant.items or grant.requested_items)
    context.emit(
        kind,
        grant.grant_id,
        (grant.pii_principal_id, grant.grantee, grant.renews, *certificates),
        purpose=grant.purpose,
        lawful_basis=grant.lawful_basis,
        state=grant.state.value,
        uses_max=grant.uses_max,
        uses_left=grant.uses_left,
        consent_expiry_ms=grant.consent_expiry_ms,
    )


METHODS: Final = (request, approve, reject, pause, resume, narrow, revoke)
CONTRACT: Final = Contract(
    name="grants",
    methods=METHODS,
    tables=(GRANTS,),
    on_deadline=expire,
    face=GrantUses(check_active=check_active, reserve=reserve_use, make=make_use, give_back=return_use),
)
