"""Acting for others: who appoints whom, for how long, and what it is good for.

    OFFERED ── accept ──▶ ACTIVE
       └────────┴── end ──▶ ENDED, or its time ──▶ EXPIRED

Rule: nobody acts for a holder but by an ACTIVE mandate, and every mandate above it must be ACTIVE too and every certificate on
which one rests be valid, at the block time of the call. A holder names representatives himself; a guardian or a legal
representative is named by the department that issued the certificate which shows it, of a type that operators have voted for.
A representative can name another below, for no more than he has himself, as deep as his own mandate says.

Assisted consent is not representation: the person signs, and the clerk who helped is on record with his key and the place.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.certificates import why_not_valid
from contracts.denials import Denied
from contracts.faces import Representatives
from contracts.grant_calls import (
    RepresentationAccept,
    RepresentationAppoint,
    RepresentationAssist,
    RepresentationEnd,
)
from contracts.grant_records import RepresentationBasis
from contracts.grant_rules import rules
from contracts.grant_tables import ASSISTANCES, MANDATES
from contracts.methods import DEPARTMENT_OFFICER, HOLDER, HOLDERS, CallContext, method
from contracts.people import check_unrestricted
from contracts.records import Account, AccountKind, AccountStatus, Grant
from contracts.representation_records import Assistance, Mandate, MandateState
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, CERTIFICATES, GRANTS, DeadlineKind, StateReader, present
from contracts.versions import Contract
from ledger import domains

ASSISTANCE_TIME_MS: Final = 30 * 60 * 1000
_SHOWN_BY: Final = {
    RepresentationBasis.GUARDIAN: AccountKind.PERSON,
    RepresentationBasis.LEGAL_REPRESENTATIVE: AccountKind.ENTERPRISE,
}


def mandate_standing(mandate: Mandate, time_ms: int) -> MandateState:
    """The mandate's state at block time `time_ms`: as written, or EXPIRED once its end has come."""
    if mandate.state in {MandateState.OFFERED, MandateState.ACTIVE} and time_ms >= mandate.until_ms:
        return MandateState.EXPIRED
    return mandate.state


def check_represents(context: CallContext, mandate_id: bytes, principal: bytes, purpose: str) -> Mandate:
    """The mandate by which the acting account decides for another, if it may.

    Args:
        context: the call; its account is the representative.
        mandate_id: what it names.
        principal: for whom.
        purpose: of the grant that is decided on.

    Raises:
        Denied: unknown_mandate, mandate_of_others, mandate_not_active, mandate_purpose, mandate_credential, organization_suspended.
    """
    mandate = _known(context.state, mandate_id)
    if (mandate.principal, mandate.representative) != (principal, context.account.account_id):
        raise Denied("mandate_of_others", mandate=mandate_id.hex(), principal=principal.hex())
    if mandate.purposes and purpose not in mandate.purposes:
        raise Denied("mandate_purpose", mandate=mandate_id.hex(), purpose=purpose)
    _check_stands(context, mandate)
    holder = present(ACCOUNTS.get(context.state, principal), "the holder of a mandate")
    if holder.status is AccountStatus.SUSPENDED:
        raise Denied("organization_suspended", account=principal.hex())
    return mandate


def bases(context: CallContext, mandate: Mandate) -> tuple[RepresentationBasis, ...]:
    """Every basis on which a mandate rests: a guardian's sub-mandate is a guardianship, too."""
    found = [mandate.basis]
    while mandate.parent:
        mandate = _known(context.state, mandate.parent)
        found.append(mandate.basis)
    return tuple(dict.fromkeys(found))


def take_assistance(context: CallContext, assistance_id: bytes, grant: Grant) -> Assistance:
    """The record of a clerk's help to the acting person with this grant.

    Raises:
        Denied: unknown_assistance.
    """
    found = ASSISTANCES.get(context.state, assistance_id)
    wanted = (context.account.account_id, grant.grant_id)
    if found is None or (found.principal, found.grant_id) != wanted or context.time_ms >= found.until_ms:
        raise Denied("unknown_assistance", assistance=assistance_id.hex())
    return found


@method(
    RepresentationAppoint,
    callers=(*HOLDER, *DEPARTMENT_OFFICER),
    cost=40,
    concerns=lambda _state, args: (args.principal, args.representative, args.credential, args.parent),
)
def appoint(context: CallContext, args: RepresentationAppoint) -> bytes:
    """Let somebody act for a holder."""
    _check_parties(context.state, args)
    if args.until_ms <= context.time_ms:
        raise Denied("ends_in_the_past", end_ms=args.until_ms, time_ms=context.time_ms)
    depth = 0
    if args.basis in _SHOWN_BY:
        _check_credential(context, args)
    elif args.parent:
        depth = _check_parent(context, args)
    else:
        _check_own(context, args)
    if context.account.kind is AccountKind.PERSON:
        check_unrestricted(context, context.account.account_id)
    mandate_id = context.new_id(MANDATES, domains.MANDATE_ID, 16)
    mandate = Mandate(
        mandate_id=mandate_id,
        principal=args.principal,
        representative=args.representative,
        basis=args.basis,
        appointed_by=context.account.account_id,
        key_id=context.key.key_id,
        credential=args.credential,
        purposes=args.purposes,
        parent=args.parent,
        depth=depth,
        depth_max=args.depth_max,
        appointed_ms=context.time_ms,
        until_ms=args.until_ms,
        state=MandateState.OFFERED,
        state_since_ms=context.time_ms,
    )
    schedule(context.state, mandate.until_ms, DeadlineKind.MANDATE, mandate_id)
    _save(context, "representation.appointed", mandate)
    return mandate_id


@method(
    RepresentationAccept,
    callers=HOLDER,
    cost=30,
    concerns=lambda state, args: _concerned(state, args.mandate_id),
)
def accept(context: CallContext, args: RepresentationAccept) -> None:
    """Take a mandate on; from then on it counts."""
    mandate = _known(context.state, args.mandate_id)
    if mandate.representative != context.account.account_id:
        raise Denied("mandate_of_others", mandate=args.mandate_id.hex(), principal=mandate.principal.hex())
    state = mandate_standing(mandate, context.time_ms)
    if state is not MandateState.OFFERED:
        raise Denied("state_transition", what="mandate", state=state.value, step="accept")
    active = replace(mandate, state=MandateState.ACTIVE, state_since_ms=context.time_ms)
    _save(context, "representation.accepted", active)


@method(
    RepresentationEnd,
    callers=(*HOLDER, *DEPARTMENT_OFFICER),
    cost=30,
    concerns=lambda state, args: _concerned(state, args.mandate_id),
)
def end(context: CallContext, args: RepresentationEnd) -> None:
    """End a mandate, and with it all below it. Doing it again changes nothing."""
    mandate = _known(context.state, args.mandate_id)
    ending = {mandate.representative, mandate.appointed_by}
    if mandate.basis is RepresentationBasis.MANDATE:
        ending.add(mandate.principal)
    if context.account.account_id not in ending:
        raise Denied("mandate_of_others", mandate=args.mandate_id.hex(), principal=mandate.principal.hex())
    state = mandate_standing(mandate, context.time_ms)
    if state in {MandateState.OFFERED, MandateState.ACTIVE}:
        ended = replace(mandate, state=MandateState.ENDED, state_since_ms=context.time_ms)
        _save(context, "representation.ended", ended)


@method(
    RepresentationAssist,
    callers=DEPARTMENT_OFFICER,
    cost=25,
    concerns=lambda _state, args: (args.principal, args.grant_id),
)
def assist(context: CallContext, args: RepresentationAssist) -> bytes:
    """Put on record that this clerk helps this person here."""
    grant = context.record(GRANTS, args.grant_id)
    if grant is None:
        raise Denied("unknown_grant", grant=args.grant_id.hex())
    if grant.pii_principal_id != args.principal:
        raise Denied("not_holder", grant=args.grant_id.hex())
    assistance_id = context.new_id(ASSISTANCES, domains.MANDATE_ID, 16)
    assistance = Assistance(
        assistance_id=assistance_id,
        principal=args.principal,
        grant_id=args.grant_id,
        clerk_account=context.account.account_id,
        clerk_key=context.key.key_id,
        place=args.place,
        until_ms=context.time_ms + ASSISTANCE_TIME_MS,
    )
    ASSISTANCES.put(context.state, assistance_id, assistance)
    context.emit("representation.assisted", assistance_id, (args.principal, args.grant_id), place=args.place)
    return assistance_id


def expire(context: CallContext, mandate_id: bytes) -> None:
    """Write down that a mandate's end has come, if nothing ended it before."""
    mandate = present(MANDATES.get(context.state, mandate_id), "a mandate with a deadline")
    state = mandate_standing(mandate, context.time_ms)
    if state is not mandate.state:
        _save(
            context, "representation.expired", replace(mandate, state=state, state_since_ms=context.time_ms)
        )


def _check_stands(context: CallContext, mandate: Mandate) -> None:
    """Whether a mandate and all above it count now; `depth` bounds the way up."""
    above: Mandate | None = mandate
    while above is not None:
        state = mandate_standing(above, context.time_ms)
        if state is not MandateState.ACTIVE:
            raise Denied("mandate_not_active", mandate=above.mandate_id.hex(), state=state.value)
        if above.credential:
            certificate = present(
                context.record(CERTIFICATES, above.credential), "the certificate of a mandate"
            )
            reason = why_not_valid(certificate, context.time_ms)
            if reason:
                raise Denied(
                    "mandate_credential",
                    mandate=above.mandate_id.hex(),
                    certificate=above.credential.hex(),
                    state=reason,
                )
        above = _known(context.state, above.parent) if above.parent else None


def _check_parties(state: StateReader, args: RepresentationAppoint) -> None:
    principal, representative = ACCOUNTS.get(state, args.principal), ACCOUNTS.get(state, args.representative)
    for account_id, account in ((args.principal, principal), (args.representative, representative)):
        if account is None or account.kind not in HOLDERS:
            raise Denied("not_a_holder", account=account_id.hex())
    if args.principal == args.representative:
        raise Denied("represents_oneself", account=args.principal.hex())


def _check_credential(context: CallContext, args: RepresentationAppoint) -> None:
    """Whether the certificate shows what a department says, and it is the department to say it."""
    voted = rules(context.state)
    types = {
        RepresentationBasis.GUARDIAN: voted.guardian_types,
        RepresentationBasis.LEGAL_REPRESENTATIVE: voted.legal_representative_types,
    }[args.basis]
    principal = present(ACCOUNTS.get(context.state, args.principal), "a holder")
    certificate = context.record(CERTIFICATES, args.credential)
    if context.account.kind is not AccountKind.DEPARTMENT or args.parent or not _fits(principal, args):
        raise _not_allowed(args)
    if (
        certificate is None
        or certificate.certificate_type not in types
        or certificate.issuer != context.account.account_id
        or certificate.holder != args.principal
        or why_not_valid(certificate, context.time_ms)
    ):
        raise Denied("credential_not_suitable", certificate=args.credential.hex(), basis=args.basis.value)


def _check_own(context: CallContext, args: RepresentationAppoint) -> None:
    """Whether a holder names somebody for himself."""
    own = context.account.account_id == args.principal and context.account.kind in HOLDERS
    if not own or args.basis is not RepresentationBasis.MANDATE or args.credential:
        raise _not_allowed(args)


def _fits(principal: Account, args: RepresentationAppoint) -> bool:
    return principal.kind is _SHOWN_BY[args.basis]


def _check_parent(context: CallContext, args: RepresentationAppoint) -> int:
    """Whether the representative above may name another, for this much; the new mandate's depth."""
    parent = _known(context.state, args.parent)
    if args.basis is not RepresentationBasis.MANDATE or args.credential:
        raise _not_allowed(args)
    if (parent.principal, parent.representative) != (args.principal, context.account.account_id):
        raise Denied("mandate_of_others", mandate=args.parent.hex(), principal=args.principal.hex())
    _check_stands(context, parent)
    if args.depth_max >= parent.depth_max:
        raise Denied("depth_exceeded", maximum=parent.depth_max, depth=args.depth_max + 1)
    if args.until_ms > parent.until_ms:
        raise Denied("wider_than_parent", cap="until_ms", maximum=parent.until_ms, asked=args.until_ms)
    if parent.purposes:
        for purpose in args.purposes or ("*",):
            if purpose not in parent.purposes:
                allowed = ", ".join(parent.purposes)[:1000]
                raise Denied("wider_than_parent", cap="purposes", maximum=allowed, asked=purpose)
    return parent.depth + 1


def _not_allowed(args: RepresentationAppoint) -> Denied:
    return Denied("appointment_not_allowed", principal=args.principal.hex(), basis=args.basis.value)


def _known(state: StateReader, mandate_id: bytes) -> Mandate:
    mandate = MANDATES.get(state, mandate_id)
    if mandate is None:
        raise Denied("unknown_mandate", mandate=mandate_id.hex())
    return mandate


def _concerned(state: StateReader, mandate_id: bytes) -> tuple[bytes, ...]:
    mandate = MANDATES.get(state, mandate_id)
    return (mandate_id,) if mandate is None else (mandate_id, mandate.principal, mandate.representative)


def _save(context: CallContext, kind: str, mandate: Mandate) -> None:
    MANDATES.put(context.state, mandate.mandate_id, mandate)
    context.emit(
        kind,
        mandate.mandate_id,
        (
            mandate.principal,
            mandate.representative,
            mandate.appointed_by,
            mandate.parent,
            mandate.credential,
        ),
        basis=mandate.basis.value,
        state=mandate.state.value,
        depth=mandate.depth,
        until_ms=mandate.until_ms,
    )


CONTRACT: Final = Contract(
    name="representation",
    methods=(appoint, accept, end, assist),
    tables=(MANDATES, ASSISTANCES),
    on_deadline=expire,
    face=Representatives(check_represents=check_represents, bases=bases, take_assistance=take_assistance),
)
