"""Consent at a window or kiosk, of a person without a phone: assisted consent, which names the clerk.

Rule: three organisations have to agree before a grant comes about that no key of the person has signed: the one that asks, the
clerk's, and the service that has just seen the person's face for this very consent. They are three different ones, the template of
the purpose allows it, and it is recorded as assisted, with clerk, window and service, in an event that becomes the person's notice.
"""

from __future__ import annotations

from contracts import face_assertions
from contracts.denials import Denied
from contracts.grant_records import Representation, RepresentationBasis
from contracts.grant_tables import ASSISTANCES
from contracts.methods import CallContext
from contracts.records import AccountKind, Grant
from contracts.representation_records import Assistance
from contracts.state import ACCOUNTS, present
from contracts.window_calls import GrantsApproveAtWindow
from ledger import domains


def assisted(context: CallContext, grant: Grant, args: GrantsApproveAtWindow) -> Representation:
    """See that this consent may be given so, use the assertion up, and say who stands in for the person's key.

    Raises:
        Denied: is_access, not_holder, unknown_assistance, window_not_independent, and those of `face_assertions.consume`.
    """
    if grant.access is not None:
        raise Denied("is_access", grant=grant.grant_id.hex())
    principal = present(ACCOUNTS.get(context.state, grant.pii_principal_id), "the holder of a grant")
    if principal.kind is not AccountKind.PERSON:
        raise Denied("not_holder", grant=grant.grant_id.hex())
    for named in (args.consent.mandate, args.consent.assistance):
        if named:
            raise Denied("unknown_assistance", assistance=named.hex())
    bound = face_assertions.bound_hash(context.block.suite, args.consent)
    seen = face_assertions.consume(
        context, args.face, principal=grant.pii_principal_id, purpose=grant.purpose, bound=bound
    )
    clerk = context.account.account_id
    # A key may be in the accounts of two organisations; its owner is one officer.
    same_key = len({context.key.key_id, grant.requested_by, seen.key_id}) != 3
    if same_key or len({clerk, grant.grantee, seen.service}) != 3:
        raise Denied("window_not_independent", clerk=clerk.hex(), service=seen.service.hex())
    return _recorded(context, grant, args.place, seen.service)


def _recorded(context: CallContext, grant: Grant, place: str, service: bytes) -> Representation:
    """The record of the help, of no use for anything else."""
    assistance_id = context.new_id(ASSISTANCES, domains.MANDATE_ID, 16)
    assistance = Assistance(
        assistance_id=assistance_id,
        principal=grant.pii_principal_id,
        grant_id=grant.grant_id,
        clerk_account=context.account.account_id,
        clerk_key=context.key.key_id,
        place=place,
        until_ms=context.time_ms,
    )
    ASSISTANCES.put(context.state, assistance_id, assistance)
    subjects = (grant.pii_principal_id, grant.grant_id, service)
    context.emit("representation.assisted", assistance_id, subjects, place=place, service=service)
    return Representation(
        basis=RepresentationBasis.ASSISTED,
        credential=assistance_id,
        depth=0,
        depth_max=0,
        until_ms=0,
        by=context.account.account_id,
        key_id=context.key.key_id,
        place=place,
    )
