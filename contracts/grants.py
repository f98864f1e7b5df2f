"""Grants (授权): the record by which a holder opens data to an organisation, for a purpose, a time and a
number of uses.

Rule: a grant opens something only while it is ACTIVE and before its end (`grant_states.py`), and only what it names
(`grant_uses.py`). What is asked is bounded by the purpose's template, what is given by what was asked, and what is open later by
what was given. Whoever decides is the holder, or somebody who represents him and says by which mandate.

A release reserves a use when it is requested and makes it when it is prepared; a failed one gives it back. So
a grant turns EXHAUSTED only when no use is left and none is reserved, and until then its holder can still
pause or revoke it.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts import classes, deletions, grant_access, own_grants, questions, window_consent
from contracts.denials import Denied
from contracts.faces import GrantUses, Representatives
from contracts.grant_calls import (
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsRequest,
    GrantsResume,
    GrantsRevoke,
)
from contracts.grant_items import check_held, give
from contracts.grant_records import Questions, Representation, RepresentationBasis
from contracts.grant_requests import COST_PER_ITEM, check_request, renewed, requested
from contracts.grant_states import (
    TRANSITIONS,
    Step,
    check_active,
    concerned,
    known,
    save,
    standing,
    stepped,
)
from contracts.grant_tables import DELETION_DUTIES, DELETIONS, DELETIONS_LATE, EMERGENCIES
from contracts.grant_terms import check_given, earlier_end, given_frequency, is_consent
from contracts.grant_uses import check_opens, check_still_opens, make_use, reserve_use, return_use
from contracts.methods import DEPARTMENT_OFFICER, GRANTEE_OFFICER, HOLDER, CallContext, method
from contracts.people import check_unrestricted
from contracts.records import AccountKind, AccountStatus, Grant, GrantItem, GrantState, PurposeTemplate
from contracts.representation_records import Mandate
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, GRANTS, PURPOSE_TEMPLATES, DeadlineKind, present
from contracts.versions import Contract
from contracts.window_calls import GrantsApproveAtWindow

__all__ = ["CONTRACT", "TRANSITIONS", "Step", "check_active", "standing"]


@method(
    GrantsRequest,
    callers=GRANTEE_OFFICER,
    cost=60,
    concerns=lambda _state, args: (args.pii_principal_id, *(item.certificate for item in args.items)),
    extra_cost=lambda args: COST_PER_ITEM * len(args.items),
)
def request(context: CallContext, args: GrantsRequest) -> bytes:
    """Ask a holder for data."""
    if is_consent(args.lawful_basis) and not args.revocable:
        raise Denied("consent_is_revocable")
    deletions.check_none_late(context, args.purpose)
    template = check_request(context, args)
    grant = requested(
        context,
        args,
        template,
        privacy_notice_hash=args.privacy_notice_hash,
        language=args.language,
        revocable=args.revocable,
    )
    schedule(context.state, grant.consent_expiry_ms, DeadlineKind.GRANT, grant.grant_id)
    save(context, "grants.requested", grant)
    return grant.grant_id


@method(
    GrantsApprove,
    callers=HOLDER,
    cost=60,
    concerns=lambda state, args: concerned(state, args.grant_id),
    extra_cost=lambda args: COST_PER_ITEM * len(args.items),
)
def approve(context: CallContext, args: GrantsApprove) -> None:
    """Give all that was asked for, or less."""
    grant, mandate = _decided(context, args.grant_id, args.mandate)
    given = _given(context, grant, args)
    given = replace(given, representation=_representation(context, given, mandate, args.assistance))
    renewed(context, given)
    save(context, "grants.approved", given, args.mandate)


@method(
    GrantsApproveAtWindow,
    callers=DEPARTMENT_OFFICER,
    cost=90,
    concerns=lambda state, args: concerned(state, args.consent.grant_id),
    extra_cost=lambda args: COST_PER_ITEM * len(args.consent.items),
)
def approve_at_window(context: CallContext, args: GrantsApproveAtWindow) -> None:
    """Give what a person without a phone consents to at this clerk's window, seen by a face service."""
    grant = known(context, args.consent.grant_id)
    _check_basis(context, grant, RepresentationBasis.ASSISTED)
    representation = window_consent.assisted(context, grant, args)
    given = replace(_given(context, grant, args.consent), representation=representation)
    renewed(context, given)
    save(context, "grants.approved", given)


def _given(context: CallContext, grant: Grant, args: GrantsApprove) -> Grant:
    """The grant as it is given, whoever says so."""
    active = stepped(grant, Step.APPROVE, context.time_ms)
    grantee = present(ACCOUNTS.get(context.state, grant.grantee), "the grantee of a grant")
    if grantee.status is AccountStatus.SUSPENDED:
        raise Denied("organization_suspended", account=grant.grantee.hex())
    _check_unrestricted(context, grant)
    check_given(args.uses_max, grant.uses_max)
    items = _opened(context, grant, grant.requested_items, args.items)
    classes.check_separate(context.state, args.items, args.separately)
    return replace(
        active,
        items=items,
        questions=_questions(grant.requested_questions, args.questions, items),
        uses_max=args.uses_max,
        uses_left=args.uses_max,
        frequency=given_frequency(args.frequency, grant.frequency),
        consent_start_ms=context.time_ms,
        consent_expiry_ms=earlier_end(context, grant, args.consent_expiry_ms),
    )


@method(GrantsReject, callers=HOLDER, cost=30, concerns=lambda state, args: concerned(state, args.grant_id))
def reject(context: CallContext, args: GrantsReject) -> None:
    """Refuse a request."""
    grant, _ = _decided(context, args.grant_id, args.mandate)
    save(context, "grants.rejected", stepped(grant, Step.REJECT, context.time_ms), args.mandate)


@method(GrantsPause, callers=HOLDER, cost=30, concerns=lambda state, args: concerned(state, args.grant_id))
def pause(context: CallContext, args: GrantsPause) -> None:
    """Stop a grant until it is resumed."""
    grant, _ = _decided(context, args.grant_id, args.mandate)
    paused = stepped(grant, Step.PAUSE, context.time_ms)
    _check_revocable(grant)
    save(context, "grants.paused", paused, args.mandate)


@method(GrantsResume, callers=HOLDER, cost=30, concerns=lambda state, args: concerned(state, args.grant_id))
def resume(context: CallContext, args: GrantsResume) -> None:
    """Let a paused grant go on."""
    grant, _ = _decided(context, args.grant_id, args.mandate)
    resumed = stepped(grant, Step.RESUME, context.time_ms)
    _check_unrestricted(context, grant)
    save(context, "grants.resumed", resumed, args.mandate)


@method(
    GrantsNarrow,
    callers=HOLDER,
    cost=45,
    concerns=lambda state, args: concerned(state, args.grant_id),
    extra_cost=lambda args: COST_PER_ITEM * len(args.items),
)
def narrow(context: CallContext, args: GrantsNarrow) -> None:
    """Leave less open than now. Uses already reserved by releases are not touched."""
    grant, _ = _decided(context, args.grant_id, args.mandate)
    narrowed = stepped(grant, Step.NARROW, context.time_ms)
    _check_revocable(grant)
    check_given(args.uses_left, grant.uses_left)
    if args.uses_left == 0 < grant.uses_left:
        raise Denied("nothing_left", grant=grant.grant_id.hex())
    items = _opened(context, grant, grant.items, args.items)
    narrowed = replace(
        narrowed,
        items=items,
        questions=_questions(grant.questions, args.questions, items),
        uses_max=grant.uses_max - (grant.uses_left - args.uses_left),
        uses_left=args.uses_left,
        frequency=given_frequency(args.frequency, grant.frequency),
        consent_expiry_ms=earlier_end(context, grant, args.consent_expiry_ms),
    )
    save(context, "grants.narrowed", narrowed, args.mandate)


@method(GrantsRevoke, callers=HOLDER, cost=40, concerns=lambda state, args: concerned(state, args.grant_id))
def revoke(context: CallContext, args: GrantsRevoke) -> None:
    """End a grant for good. Doing it again changes nothing."""
    grant, _ = _decided(context, args.grant_id, args.mandate)
    revoked = stepped(grant, Step.REVOKE, context.time_ms)
    _check_revocable(grant)
    if grant.state is not GrantState.REVOKED:
        save(context, "grants.revoked", revoked, args.mandate)
        deletions.hasten(context, revoked)


def look_again(context: CallContext, object_id: bytes) -> None:
    """Do the one next thing that time has decided about a grant, or about a release's deletion; each gives one event at most.

    A grant's end, the end of a silence, a late review and a late deletion have a deadline each, so nothing is left over.
    """
    grant = GRANTS.get(context.state, object_id)
    if grant is None:
        deletions.remind(context, object_id)
    elif grant.state is not standing(grant, context.time_ms):
        ended = replace(grant, state=GrantState.EXPIRED, state_since_ms=context.time_ms)
        save(context, "grants.expired", ended)
    elif not grant_access.look_again(context, grant):
        deletions.press(context, grant)


def _decided(context: CallContext, grant_id: bytes, mandate_id: bytes) -> tuple[Grant, Mandate | None]:
    """The grant that the acting account decides on, and by which mandate if it is not its own.

    Raises:
        Denied: unknown_grant, not_holder, is_access, representation_not_allowed, depth_exceeded, represents_grantee, and those of
            `representation.check_represents`.
    """
    grant = known(context, grant_id)
    own = grant.pii_principal_id == context.account.account_id
    if not own and not mandate_id:
        raise Denied("not_holder", grant=grant_id.hex())
    mandate = None
    if mandate_id:
        represents = context.contracts.face("representation", Representatives)
        mandate = represents.check_represents(context, mandate_id, grant.pii_principal_id, grant.purpose)
        for basis in represents.bases(context, mandate):
            _check_basis(context, grant, basis)
        _check_depth(context, grant, mandate)
        if context.account.account_id == grant.grantee:
            raise Denied("represents_grantee", grant=grant_id.hex())
    if grant.access is not None:
        raise Denied("is_access", grant=grant_id.hex())
    return grant, mandate


def _template(context: CallContext, grant: Grant) -> PurposeTemplate | None:
    """The template that bounded it; None for what somebody opened to himself, which nobody else decides on."""
    if not grant.template_id:
        return None
    return present(PURPOSE_TEMPLATES.get(context.state, grant.template_id), "the template of a grant")


def _check_basis(context: CallContext, grant: Grant, basis: RepresentationBasis) -> None:
    template = _template(context, grant)
    allowed = () if template is None else template.representation
    if basis not in allowed:
        raise Denied(
            "representation_not_allowed",
            purpose=grant.purpose,
            basis=basis.value,
            allowed=", ".join(allowed) or "-",
        )


def _depth_max(context: CallContext, grant: Grant) -> int:
    template = _template(context, grant)
    return 0 if template is None else template.depth_max


def _check_depth(context: CallContext, grant: Grant, mandate: Mandate) -> None:
    maximum = _depth_max(context, grant)
    if mandate.depth > maximum:
        raise Denied("depth_exceeded", maximum=maximum, depth=mandate.depth)


def _representation(
    context: CallContext, grant: Grant, mandate: Mandate | None, assistance_id: bytes
) -> Representation | None:
    """Who gave it in the holder's place, or helped him to. What a representative gives ends with his right at the latest."""
    if mandate is not None:
        if assistance_id:
            raise Denied("unknown_assistance", assistance=assistance_id.hex())
        if grant.consent_expiry_ms > mandate.until_ms:
            raise Denied(
                "over_give",
                cap="representation.until",
                maximum=mandate.until_ms,
                asked=grant.consent_expiry_ms,
            )
        return Representation(
            basis=mandate.basis,
            credential=mandate.mandate_id,
            depth=mandate.depth,
            depth_max=_depth_max(context, grant),
            until_ms=mandate.until_ms,
            by=context.account.account_id,
            key_id=context.key.key_id,
        )
    if not assistance_id:
        return None
    represents = context.contracts.face("representation", Representatives)
    help_given = represents.take_assistance(context, assistance_id, grant)
    _check_basis(context, grant, RepresentationBasis.ASSISTED)
    return Representation(
        basis=RepresentationBasis.ASSISTED,
        credential=assistance_id,
        depth=0,
        depth_max=0,
        until_ms=0,
        by=help_given.clerk_account,
        key_id=help_given.clerk_key,
        place=help_given.place,
    )


def _check_unrestricted(context: CallContext, grant: Grant) -> None:
    """A recovered account opens nothing for some days, neither its own nor another's."""
    for account_id in dict.fromkeys((context.account.account_id, grant.pii_principal_id)):
        account = present(ACCOUNTS.get(context.state, account_id), "a party of a grant")
        if account.kind is AccountKind.PERSON:
            check_unrestricted(context, account_id)


def _check_revocable(grant: Grant) -> None:
    if not grant.revocable:
        raise Denied("not_revocable", grant=grant.grant_id.hex())


def _opened(
    context: CallContext, grant: Grant, asked: tuple[GrantItem, ...], given: tuple[GrantItem, ...]
) -> tuple[GrantItem, ...]:
    opened = give(asked, given)
    for item in given:
        check_held(context, item, grant.pii_principal_id)
    return opened


def _questions(asked: Questions, given: Questions | None, items: tuple[GrantItem, ...]) -> Questions:
    """What may be asked of those questions once these items are open."""
    if given is None:
        return questions.still_open(asked, items)
    return questions.give(asked, given, items)


METHODS: Final = (
    request,
    approve,
    approve_at_window,
    reject,
    pause,
    resume,
    narrow,
    revoke,
    *deletions.METHODS,
    *grant_access.METHODS,
    *own_grants.METHODS,
)
TABLES: Final = (GRANTS, DELETIONS, DELETION_DUTIES, DELETIONS_LATE, EMERGENCIES)
CONTRACT: Final = Contract(
    name="grants",
    methods=METHODS,
    tables=TABLES,
    on_deadline=look_again,
    face=GrantUses(
        check_opens=check_opens,
        check_still_opens=check_still_opens,
        check_active=check_active,
        reserve=reserve_use,
        make=make_use,
        give_back=return_use,
    ),
)
