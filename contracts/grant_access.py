"""Access without consent (A4): a grant with a legal basis and an approver from another organisation in the place of the holder's
decision.

    legal:     REQUESTED ── another organisation decides ──▶ ACTIVE | REJECTED
    emergency: ACTIVE at once, for 24 hours at most, shown at once ── review by another organisation, once

Rule: it is never off the ledger. Nothing opens by one organisation's word alone, but in an emergency by one that operators gave
that right, and then it is shown at once and reviewed. The person is shown every access in the end: at once, or after a silence
that another organisation agreed to, of 90 days at most; each longer silence needs one more organisation that has agreed to none
before. Who approves is on a list that operators vote, and is never who asks.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts import deletions
from contracts.denials import Denied
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsRequestAccess,
    GrantsReview,
)
from contracts.grant_records import NOTICE_APPROVERS_MAX, Access, AccessKind, Review, ReviewVerdict
from contracts.grant_requests import COST_PER_ITEM, check_request, renewed, renewed_unseen, requested
from contracts.grant_rules import rules
from contracts.grant_states import Step, concerned, known, save, standing, stepped
from contracts.grant_tables import EMERGENCIES
from contracts.grant_terms import is_consent
from contracts.methods import AUDITOR_OFFICER, DEPARTMENT_OFFICER, CallContext, method
from contracts.records import AccountKind, Grant, GrantState, PurposeTemplate
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, GRANTS, DeadlineKind, present

DAY_MS: Final = 24 * 60 * 60 * 1000
NOTICE_DELAY_MS_MAX: Final = 90 * DAY_MS
EMERGENCY_MS_MAX: Final = DAY_MS
REVIEW_TIME_MS: Final = 7 * DAY_MS
LANGUAGE: Final = "zh"

_OFFICERS: Final = (*DEPARTMENT_OFFICER, *AUDITOR_OFFICER)


@method(
    GrantsRequestAccess,
    callers=DEPARTMENT_OFFICER,
    cost=70,
    concerns=lambda _state, args: (args.pii_principal_id, *(item.certificate for item in args.items)),
    extra_cost=lambda args: COST_PER_ITEM * len(args.items),
)
def request_access(context: CallContext, args: GrantsRequestAccess) -> bytes:
    """Ask another organisation for access without consent, or open it in an emergency."""
    if is_consent(args.lawful_basis):
        raise Denied("held_by_consent")
    template = check_request(context, args)
    _check_allowed(context, args, template)
    grant = requested(
        context, args, template, privacy_notice_hash=bytes(32), language=LANGUAGE, revocable=False
    )
    kind = AccessKind.EMERGENCY if args.emergency else AccessKind.LEGAL
    access = Access(
        kind=kind,
        case_commitment=args.case_commitment,
        approvers=(),
        approver_keys=(),
        notice_after_ms=args.notice_after_ms,
        review_until_ms=0,
        shown=args.notice_after_ms == 0,
    )
    grant = replace(grant, access=access)
    schedule(context.state, grant.consent_expiry_ms, DeadlineKind.GRANT, grant.grant_id)
    if args.notice_after_ms:
        schedule(context.state, args.notice_after_ms, DeadlineKind.GRANT, grant.grant_id)
    if args.emergency:
        _open_at_once(context, grant, access)
    else:
        save(context, "grants.access_requested", grant, access=kind.value)
    return grant.grant_id


@method(
    GrantsDecideAccess,
    callers=_OFFICERS,
    cost=50,
    concerns=lambda state, args: concerned(state, args.grant_id),
)
def decide_access(context: CallContext, args: GrantsDecideAccess) -> None:
    """Open what was asked for on a legal basis, or reject it."""
    grant, access = _of_access(context, args.grant_id)
    step = Step.APPROVE if args.approve else Step.REJECT
    decided = stepped(grant, step, context.time_ms)
    approved = _approved(context, grant, access)
    if not args.approve:
        save(context, "grants.access_rejected", decided)
        return
    decided = _opened(context, decided, approved)
    renewed(context, decided)
    save(context, "grants.access_approved", decided, access=access.kind.value)


@method(
    GrantsEndAccess,
    callers=_OFFICERS,
    cost=40,
    concerns=lambda state, args: concerned(state, args.grant_id),
)
def end_access(context: CallContext, args: GrantsEndAccess) -> None:
    """End an access for good. Doing it again changes nothing."""
    grant, access = _of_access(context, args.grant_id)
    if context.account.account_id not in {grant.grantee, *access.approvers}:
        raise Denied("not_grantee", grant=args.grant_id.hex())
    ended = stepped(grant, Step.REVOKE, context.time_ms)
    if grant.state is not GrantState.REVOKED:
        save(context, "grants.access_ended", ended)
        deletions.hasten(context, ended)


@method(
    GrantsExtendNotice,
    callers=_OFFICERS,
    cost=40,
    concerns=lambda state, args: concerned(state, args.grant_id),
)
def extend_notice(context: CallContext, args: GrantsExtendNotice) -> None:
    """Agree that the person is shown an access later."""
    grant, access = _of_access(context, args.grant_id)
    approved = _approved(context, grant, access)
    if not access.approvers or context.time_ms >= access.notice_after_ms:
        raise Denied("notice_over", grant=args.grant_id.hex())
    if args.notice_after_ms <= access.notice_after_ms:
        raise Denied("notice_not_later", held_ms=access.notice_after_ms)
    _check_notice(context, args.notice_after_ms)
    approved = replace(approved, notice_after_ms=args.notice_after_ms)
    schedule(context.state, args.notice_after_ms, DeadlineKind.GRANT, grant.grant_id)
    save(
        context,
        "grants.notice_extended",
        replace(grant, access=approved),
        notice_after_ms=args.notice_after_ms,
    )


@method(
    GrantsReview, callers=_OFFICERS, cost=35, concerns=lambda state, args: concerned(state, args.grant_id)
)
def review(context: CallContext, args: GrantsReview) -> None:
    """Say what became of the look at an emergency access; one that was none ends with that."""
    grant, access = _of_access(context, args.grant_id)
    _check_another(context, grant, access)
    if context.account.kind is not AccountKind.AUDITOR:
        _check_approver(context)
    if access.kind is not AccessKind.EMERGENCY or access.review is not None:
        raise Denied("no_review", grant=args.grant_id.hex())
    found = Review(
        verdict=args.verdict,
        by=context.account.account_id,
        key_id=context.key.key_id,
        time_ms=context.time_ms,
        report=args.report,
    )
    reviewed = replace(grant, access=replace(access, review=found))
    ends = args.verdict is ReviewVerdict.UNJUSTIFIED and standing(grant, context.time_ms) is GrantState.ACTIVE
    if ends:
        reviewed = stepped(reviewed, Step.REVOKE, context.time_ms)
    save(context, "grants.reviewed", reviewed, verdict=args.verdict.value)
    if ends:
        deletions.hasten(context, reviewed)


def look_again(context: CallContext, grant: Grant) -> bool:
    """Say that the silence about an access has ended, or that its review is late; whether there was anything to say."""
    access = grant.access
    if access is None:
        return False
    if not access.shown and context.time_ms >= access.notice_after_ms:
        save(context, "grants.disclosed", replace(grant, access=replace(access, shown=True)))
        renewed_unseen(context, grant)
        return True
    due = access.review_until_ms and access.review is None and not access.review_overdue
    if due and context.time_ms >= access.review_until_ms:
        save(context, "grants.review_overdue", replace(grant, access=replace(access, review_overdue=True)))
        return True
    return False


def _check_allowed(context: CallContext, args: GrantsRequestAccess, template: PurposeTemplate) -> None:
    """Whether the template and the voted rules let this organisation ask, or open at once."""
    kind = AccessKind.EMERGENCY if args.emergency else AccessKind.LEGAL
    if not (template.emergency if args.emergency else template.without_consent):
        raise Denied("access_not_allowed", purpose=template.code, kind=kind.value)
    if not args.emergency:
        deletions.check_none_late(context, args.purpose)
        _check_notice(context, args.notice_after_ms)
        return
    if context.account.account_id not in rules(context.state).emergency:
        raise Denied("emergency_not_allowed", account=context.account.account_id.hex())
    if args.notice_after_ms:
        raise Denied("notice_too_late", maximum_ms=0, asked_ms=args.notice_after_ms)
    period_ms = args.consent_expiry_ms - context.time_ms
    if period_ms > EMERGENCY_MS_MAX:
        raise Denied("over_ask", cap="emergency_ms", maximum=EMERGENCY_MS_MAX, asked=period_ms)
    _check_reviewed(context, args)


def _check_reviewed(context: CallContext, args: GrantsRequestAccess) -> None:
    """Emergencies about one person that nobody else has looked at end within a day of the first, however many there are."""
    first = _unreviewed(context, context.account.account_id, args.pii_principal_id)
    if first is None:
        return
    latest_ms = first.consent_start_ms + EMERGENCY_MS_MAX
    if args.consent_expiry_ms > latest_ms:
        raise Denied("emergency_unreviewed", grant=first.grant_id.hex(), latest_ms=latest_ms)


def _unreviewed(context: CallContext, grantee: bytes, holder: bytes) -> Grant | None:
    """The emergency that began the present stretch, as long as it is not reviewed."""
    began = EMERGENCIES.get(context.state, (grantee, holder))
    if began is None:
        return None
    grant = present(GRANTS.get(context.state, began), "an emergency's grant")
    return grant if grant.access is not None and grant.access.review is None else None


def _open_at_once(context: CallContext, grant: Grant, access: Access) -> None:
    review_until_ms = grant.consent_expiry_ms + REVIEW_TIME_MS
    schedule(context.state, review_until_ms, DeadlineKind.GRANT, grant.grant_id)
    active = stepped(grant, Step.APPROVE, context.time_ms)
    opened = _opened(context, active, replace(access, review_until_ms=review_until_ms))
    if _unreviewed(context, grant.grantee, grant.pii_principal_id) is None:
        EMERGENCIES.put(context.state, (grant.grantee, grant.pii_principal_id), grant.grant_id)
    renewed(context, opened)
    save(context, "grants.emergency_opened", opened)


def _opened(context: CallContext, active: Grant, access: Access) -> Grant:
    return replace(
        active,
        items=active.requested_items,
        questions=active.requested_questions,
        uses_left=active.uses_max,
        consent_start_ms=context.time_ms,
        access=access,
    )


def _check_notice(context: CallContext, notice_after_ms: int) -> None:
    maximum_ms = context.time_ms + NOTICE_DELAY_MS_MAX
    if notice_after_ms > maximum_ms:
        raise Denied("notice_too_late", maximum_ms=maximum_ms, asked_ms=notice_after_ms)


def _of_access(context: CallContext, grant_id: bytes) -> tuple[Grant, Access]:
    grant = known(context, grant_id)
    if grant.access is None:
        raise Denied("no_access", grant=grant_id.hex())
    return grant, grant.access


def _check_approver(context: CallContext) -> None:
    if context.account.account_id not in rules(context.state).approvers:
        raise Denied("not_approver", account=context.account.account_id.hex())


def _check_another(context: CallContext, grant: Grant, access: Access) -> None:
    """Another organisation, and another key: neither an account nor a credit code nor an officer's key agrees with itself."""
    acting = context.account
    before = [
        present(ACCOUNTS.get(context.state, one), "an organisation of an access") for one in _parties(grant)
    ]
    codes = {account.credit_code for account in before if account.credit_code}
    keys = {grant.requested_by, *access.approver_keys}
    if acting.account_id in _parties(grant) or acting.credit_code in codes or context.key.key_id in keys:
        raise Denied("not_another_organization", account=acting.account_id.hex())


def _parties(grant: Grant) -> tuple[bytes, ...]:
    return (grant.grantee, *(() if grant.access is None else grant.access.approvers))


def _approved(context: CallContext, grant: Grant, access: Access) -> Access:
    """The access with the acting organisation among those that approved, if it may approve."""
    _check_another(context, grant, access)
    _check_approver(context)
    if len(access.approvers) >= NOTICE_APPROVERS_MAX:
        raise Denied("too_many_approvers", maximum=NOTICE_APPROVERS_MAX)
    return replace(
        access,
        approvers=(*access.approvers, context.account.account_id),
        approver_keys=(*access.approver_keys, context.key.key_id),
    )


METHODS: Final = (request_access, decide_access, end_access, extend_notice, review)
