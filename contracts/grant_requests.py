"""Asking for a grant, with or without consent: the checks that both have in common, and the record that both begin as.

Rule: a request is bounded by the template that is in force when it is made, and names it; from then on the grant stands on its own.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts import classes, questions
from contracts.denials import Denied
from contracts.grant_calls import GrantsRequest, GrantsRequestAccess
from contracts.grant_items import check_asked, check_held
from contracts.grant_records import shown_from_ms
from contracts.grant_rules import template_id
from contracts.grant_states import save
from contracts.grant_terms import check_caps, template_of
from contracts.methods import HOLDERS, CallContext
from contracts.records import Grant, GrantState, PurposeTemplate
from contracts.state import ACCOUNTS, GRANTS, present
from ledger import domains

SCHEMA_VERSION: Final = 2
# The class of each of its parts is looked at, and the certificate that it names.
COST_PER_ITEM: Final = 24


def check_request(context: CallContext, args: GrantsRequest | GrantsRequestAccess) -> PurposeTemplate:
    """Whether the acting organisation may ask for this; the template that says so.

    Raises:
        Denied: unknown_purpose, template_changed, over_ask, and what else is wrong with the parties, items, terms or questions.
    """
    template = template_of(context, args)
    _check_parties(context, args)
    check_asked(template, args.items)
    for item in args.items:
        check_held(context, item, args.pii_principal_id)
    check_caps(template, args, context.time_ms)
    kept_ms = args.data_life_ms + args.retention_period_ms
    classes.check_asked(context, template, context.account, args.items, kept_ms)
    questions.check_asked(
        context,
        context.account.account_id,
        args.pii_principal_id,
        args.consent_mode,
        args.items,
        args.questions,
    )
    return template


def requested(
    context: CallContext,
    args: GrantsRequest | GrantsRequestAccess,
    template: PurposeTemplate,
    *,
    privacy_notice_hash: bytes,
    language: str,
    revocable: bool,
) -> Grant:
    """The record that a request begins as; it is not kept yet."""
    return Grant(
        grant_id=context.new_id(GRANTS, domains.GRANT_ID, 16),
        schema_version=SCHEMA_VERSION,
        pii_principal_id=args.pii_principal_id,
        grantee=context.account.account_id,
        requested_by=context.key.key_id,
        purpose=args.purpose,
        lawful_basis=args.lawful_basis,
        legal_ref=args.legal_ref,
        privacy_notice_hash=privacy_notice_hash,
        language=language,
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
        revocable=revocable,
        state=GrantState.REQUESTED,
        state_since_ms=context.time_ms,
        renews=args.renews,
        retention_period_ms=args.retention_period_ms,
        frequency=args.frequency,
        purpose_ref_uri=template.ref_uri,
        template_id=template_id(context.block.suite, template),
        body_commitment=args.body_commitment,
        requested_questions=args.questions,
    )


def renewed(context: CallContext, grant: Grant) -> None:
    """Say at the grant that this one renews, if any, that it was renewed; each is renewed once.

    What the holder is not shown yet is not said at what he is shown, either: `renewed_unseen` does when the silence ends.

    Raises:
        Denied: renewed_already.
    """
    if not grant.renews or context.time_ms < shown_from_ms(grant):
        return
    old = present(GRANTS.get(context.state, grant.renews), "the grant that is renewed")
    if old.renewed_by:
        raise Denied("renewed_already", grant=grant.renews.hex(), by=old.renewed_by.hex())
    save(context, "grants.renewed", replace(old, renewed_by=grant.grant_id), grant.grant_id)


def renewed_unseen(context: CallContext, grant: Grant) -> None:
    """Say what `renewed` has not, now that the grant is shown: if it was opened, and nothing else has renewed the old one."""
    if grant.renews and grant.items:
        old = present(GRANTS.get(context.state, grant.renews), "the grant that is renewed")
        if not old.renewed_by:
            save(context, "grants.renewed", replace(old, renewed_by=grant.grant_id), grant.grant_id)


def _check_parties(context: CallContext, args: GrantsRequest | GrantsRequestAccess) -> None:
    holder = ACCOUNTS.get(context.state, args.pii_principal_id)
    if holder is None or holder.kind not in HOLDERS:
        raise Denied("not_a_holder", account=args.pii_principal_id.hex())
    if holder.account_id == context.account.account_id:
        raise Denied("grant_to_oneself", account=args.pii_principal_id.hex())
    if not args.renews:
        return
    old = GRANTS.get(context.state, args.renews)
    without_consent = isinstance(args, GrantsRequestAccess)
    wanted = (args.pii_principal_id, context.account.account_id, args.purpose, without_consent)
    if old is None or (old.pii_principal_id, old.grantee, old.purpose, old.access is not None) != wanted:
        raise Denied("renews_another", grant=args.renews.hex())
    if old.renewed_by:
        raise Denied("renewed_already", grant=args.renews.hex(), by=old.renewed_by.hex())
