"""Version 2 of the contract `grants`: uses are kept as an account of their own, a holder's grants have an index, and a holder can
leave a note.

Rule: what a grant is and how its state changes is as in version 1, whose pure rules are used here; only the records differ. Where a
former reader asks for a grant, it gets it in the shape that it knows.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import asdict, replace

from contracts import grants as former
from contracts.args import Args
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
from contracts.grant_items import check_asked, check_held
from contracts.grants import Step, check_active, standing
from contracts.methods import GRANTEE_OFFICER, HOLDER, CallContext, method
from contracts.records import AccountStatus, Grant, GrantState
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, GRANTS, PURPOSES, DeadlineKind, Table, present
from contracts.versions import Contract, Lift, Move, Reading
from ledger import codec, domains
from ledger.errors import invariant
from ledger.types import Count, Id16, Text, Wire


class Uses(Wire):
    """What may be and was used of a grant."""

    left: Count
    reserved: Count
    made: Count


class GrantV2(Wire):
    """A grant without its uses, and they; `uses_left` and `uses_reserved` of the first are 0."""

    uses: Uses
    grant: Grant
    note: Text = ""


class GrantsNote(Args):
    """The holder. Leaves a note at an own grant; an empty one takes it away."""

    grant_id: Id16
    note: Text


GRANTS_V2: Final = Table[bytes, GrantV2]("grants_v2/", GrantV2, lambda key: key)
BY_HOLDER: Final = Table[bytes, int]("grants_by_holder/", int, lambda key: key)


def raised(grant: Grant, note: str = "") -> GrantV2:
    """A grant of version 1 in the shape of version 2."""
    made = grant.uses_max - grant.uses_left - grant.uses_reserved if grant.consent_start_ms else 0
    uses = Uses(left=grant.uses_left, reserved=grant.uses_reserved, made=made)
    return GrantV2(uses=uses, grant=replace(grant, schema_version=2, uses_left=0, uses_reserved=0), note=note)


def lowered(record: GrantV2) -> Grant:
    """What former readers know of it."""
    return replace(record.grant, uses_left=record.uses.left, uses_reserved=record.uses.reserved)


def migrate(name: bytes, value: bytes) -> dict[bytes, bytes]:
    """One grant of version 1: the record, and its place in the index."""
    grant = codec.decode(value, Grant, size_bytes_max=len(value))
    return {
        GRANTS_V2.key(name): codec.encode(raised(grant)),
        BY_HOLDER.key(grant.pii_principal_id + name): codec.encode(grant.requested_ms),
    }


def _concerned(state: Reading, grant_id: bytes) -> tuple[bytes, ...]:
    grant = state.record(GRANTS, grant_id)
    return (grant_id,) if grant is None else (grant_id, grant.pii_principal_id, grant.grantee)


@method(
    GrantsRequest,
    callers=GRANTEE_OFFICER,
    cost=38,
    concerns=lambda _state, args: (args.pii_principal_id, *(item.certificate for item in args.items)),
)
def request(context: CallContext, args: GrantsRequest) -> bytes:
    """Ask a holder for data."""
    purpose = PURPOSES.get(context.state, args.purpose)
    if purpose is None:
        raise Denied("unknown_purpose", purpose=args.purpose)
    former._check_parties(context, replace(args, renews=b""))
    if args.renews:
        renewed = context.record(GRANTS, args.renews)
        parties = None if renewed is None else (renewed.pii_principal_id, renewed.grantee)
        if parties != (args.pii_principal_id, context.account.account_id):
            raise Denied("renews_another", grant=args.renews.hex())
    check_asked(purpose, args.items)
    for item in args.items:
        check_held(context, item, args.pii_principal_id)
    former._check_caps(purpose, args, context.time_ms)
    grant_id = context.new_id(GRANTS_V2, domains.GRANT_ID, 16)
    asked = asdict(args) | {
        "grant_id": grant_id,
        "schema_version": 2,
        "grantee": context.account.account_id,
        "requested_by": context.key.key_id,
        "items": (),
        "requested_items": tuple(replace(item, declined=()) for item in args.items),
        "uses_left": 0,
        "requested_ms": context.time_ms,
        "consent_start_ms": 0,
        "state": GrantState.REQUESTED,
        "state_since_ms": context.time_ms,
    }
    grant = Grant(**asked)
    BY_HOLDER.put(context.state, grant.pii_principal_id + grant_id, context.time_ms)
    schedule(context.state, grant.consent_expiry_ms, DeadlineKind.GRANT, grant_id)
    _save(context, "grants.requested", grant)
    return grant_id


@method(GrantsApprove, callers=HOLDER, cost=32, concerns=lambda state, args: _concerned(state, args.grant_id))
def approve(context: CallContext, args: GrantsApprove) -> None:
    """Give all that was asked for, or less."""
    grant = _held(context, args.grant_id)
    active = former._step(grant, Step.APPROVE, context.time_ms)
    grantee = present(ACCOUNTS.get(context.state, grant.grantee), "the grantee of a grant")
    if grantee.status is AccountStatus.SUSPENDED:
        raise Denied("organization_suspended", account=grant.grantee.hex())
    former._check_uses(args.uses_max, grant.uses_max)
    given = replace(
        active,
        items=former._opened(context, grant, grant.requested_items, args.items),
        uses_max=args.uses_max,
        uses_left=args.uses_max,
        consent_start_ms=context.time_ms,
        consent_expiry_ms=former._earlier_end(context, grant, args.consent_expiry_ms),
    )
    _save(context, "grants.approved", given)


@method(GrantsReject, callers=HOLDER, cost=20, concerns=lambda state, args: _concerned(state, args.grant_id))
def reject(context: CallContext, args: GrantsReject) -> None:
    """Refuse a request."""
    grant = _held(context, args.grant_id)
    _save(context, "grants.rejected", former._step(grant, Step.REJECT, context.time_ms))


@method(GrantsPause, callers=HOLDER, cost=20, concerns=lambda state, args: _concerned(state, args.grant_id))
def pause(context: CallContext, args: GrantsPause) -> None:
    """Stop a grant until it is resumed."""
    grant = former._step(_held(context, args.grant_id), Step.PAUSE, context.time_ms)
    former._check_revocable(grant)
    _save(context, "grants.paused", grant)


@method(GrantsResume, callers=HOLDER, cost=20, concerns=lambda state, args: _concerned(state, args.grant_id))
def resume(context: CallContext, args: GrantsResume) -> None:
    """Let a paused grant go on."""
    grant = _held(context, args.grant_id)
    _save(context, "grants.resumed", former._step(grant, Step.RESUME, context.time_ms))


@method(GrantsNarrow, callers=HOLDER, cost=32, concerns=lambda state, args: _concerned(state, args.grant_id))
def narrow(context: CallContext, args: GrantsNarrow) -> None:
    """Leave less open than now."""
    grant = _held(context, args.grant_id)
    narrowed = former._step(grant, Step.NARROW, context.time_ms)
    former._check_revocable(grant)
    former._check_uses(args.uses_left, grant.uses_left)
    if args.uses_left == 0 < grant.uses_left:
        raise Denied("nothing_left", grant=grant.grant_id.hex())
    narrowed = replace(
        narrowed,
        items=former._opened(context, grant, grant.items, args.items),
        uses_max=grant.uses_max - (grant.uses_left - args.uses_left),
        uses_left=args.uses_left,
        consent_expiry_ms=former._earlier_end(context, grant, args.consent_expiry_ms),
    )
    _save(context, "grants.narrowed", narrowed)


@method(GrantsRevoke, callers=HOLDER, cost=20, concerns=lambda state, args: _concerned(state, args.grant_id))
def revoke(context: CallContext, args: GrantsRevoke) -> None:
    """End a grant for good. Doing it again changes nothing."""
    grant = _held(context, args.grant_id)
    revoked = former._step(grant, Step.REVOKE, context.time_ms)
    former._check_revocable(grant)
    if grant.state is not GrantState.REVOKED:
        _save(context, "grants.revoked", revoked)


@method(
    GrantsNote,
    callers=HOLDER,
    cost=20,
    concerns=lambda state, args: _concerned(state, args.grant_id),
    named=("grants", "note"),
)
def note(context: CallContext, args: GrantsNote) -> None:
    """Leave a note at an own grant."""
    grant = _held(context, args.grant_id)
    GRANTS_V2.put(context.state, args.grant_id, raised(grant, args.note))
    context.emit("grants.noted", args.grant_id, (grant.grantee,), empty=int(not args.note))


def expire(context: CallContext, grant_id: bytes) -> None:
    """Write down that a grant's end has come, if it has and nothing ended it before."""
    grant = _found(context, grant_id)
    if grant.state is not standing(grant, context.time_ms):
        ended = replace(grant, state=GrantState.EXPIRED, state_since_ms=context.time_ms)
        _save(context, "grants.expired", ended)


def reserve_use(context: CallContext, grant_id: bytes) -> None:
    """Take one of the uses left for a release that begins."""
    grant = _found(context, grant_id)
    if grant.uses_left == 0:
        raise Denied("uses_exhausted", grant=grant_id.hex(), maximum=grant.uses_max)
    _put(context, replace(grant, uses_left=grant.uses_left - 1, uses_reserved=grant.uses_reserved + 1))


def make_use(context: CallContext, grant_id: bytes) -> None:
    """Count a reserved use as made; the last one exhausts the grant."""
    grant = _found(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release is prepared without a reserved use")
    made = replace(grant, uses_reserved=grant.uses_reserved - 1)
    if made.uses_left == 0 and made.uses_reserved == 0:
        _save(context, "grants.exhausted", former._step(made, Step.EXHAUST, context.time_ms))
    else:
        _put(context, made)


def return_use(context: CallContext, grant_id: bytes) -> None:
    """Give a reserved use back, whatever has become of the grant."""
    grant = _found(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release fails without a reserved use")
    _put(context, replace(grant, uses_left=grant.uses_left + 1, uses_reserved=grant.uses_reserved - 1))


def _found(context: CallContext, grant_id: bytes) -> Grant:
    return lowered(present(GRANTS_V2.get(context.state, grant_id), "a grant"))


def _held(context: CallContext, grant_id: bytes) -> Grant:
    record = GRANTS_V2.get(context.state, grant_id)
    if record is None:
        raise Denied("unknown_grant", grant=grant_id.hex())
    if record.grant.pii_principal_id != context.account.account_id:
        raise Denied("not_holder", grant=grant_id.hex())
    return lowered(record)


def _put(context: CallContext, grant: Grant) -> None:
    before = GRANTS_V2.get(context.state, grant.grant_id)
    GRANTS_V2.put(context.state, grant.grant_id, raised(grant, "" if before is None else before.note))


def _save(context: CallContext, kind: str, grant: Grant) -> None:
    _put(context, grant)
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
        uses_made=raised(grant).uses.made,
        consent_expiry_ms=grant.consent_expiry_ms,
    )


CONTRACT: Final = Contract(
    name="grants",
    version=2,
    methods=(request, approve, reject, pause, resume, narrow, revoke, note),
    tables=(GRANTS_V2, BY_HOLDER),
    moves=(Move(source=GRANTS, convert=migrate),),
    lifts=(Lift(wanted=GRANTS, table=GRANTS_V2, lift=lowered),),
    on_deadline=expire,
    face=GrantUses(check_active=check_active, reserve=reserve_use, make=make_use, give_back=return_use),
)
