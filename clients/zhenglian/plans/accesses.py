"""Plans about access without consent (A4): ask on a legal basis, decide, end, keep silent longer, review."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsRequestAccess,
    GrantsReview,
)
from contracts.grant_records import ConsentMode, FetchType, Frequency, GrantItem, ReviewVerdict
from contracts.question_records import Question
from zhenglian.api import TransactionView
from zhenglian.exchange import Core, Plan
from zhenglian.plans import transactions


def request_access(
    core: Core,
    *,
    person: str,
    purpose: str,
    items: Sequence[GrantItem],
    lawful_basis: str,
    legal_ref: str,
    case_commitment: bytes,
    uses_max: int,
    consent_expiry_ms: int,
    data_life_ms: int,
    retention_period_ms: int = 0,
    frequency: Frequency | None = None,
    questions: Sequence[Question] = (),
    consent_mode: ConsentMode = ConsentMode.VIEW,
    fetch_type: FetchType | None = None,
    jurisdiction: str = "cn",
    notice_after_ms: int = 0,
    emergency: bool = False,
    renews: str = "",
    template_id: str = "",
    body_commitment: bytes = b"",
) -> Plan[str]:
    """Ask for access on a legal basis, by a department's officer. Returns the grant id (hex).

    Args:
        person, purpose, items, uses_max, consent_expiry_ms: as for `request_grant`.
        lawful_basis, legal_ref: code of the basis, and the provision.
        case_commitment: salted commitment of the case number (`zhenglian.grant_bodies`).
        notice_after_ms: until then the person is not shown it; at most 90 days ahead, 0 for at once.
        emergency: open it by this call, for 24 hours at most.

    Raises:
        Denied: over-asking, a purpose or organisation that may not; on record.
    """
    args = GrantsRequestAccess(
        pii_principal_id=bytes.fromhex(person),
        purpose=purpose,
        lawful_basis=lawful_basis,
        legal_ref=legal_ref,
        case_commitment=case_commitment,
        items=tuple(items),
        consent_mode=consent_mode,
        fetch_type=fetch_type or (FetchType.ONCE if uses_max == 1 else FetchType.PERIODIC),
        uses_max=uses_max,
        consent_expiry_ms=consent_expiry_ms,
        data_life_ms=data_life_ms,
        jurisdiction=jurisdiction,
        notice_after_ms=notice_after_ms,
        retention_period_ms=retention_period_ms,
        frequency=frequency,
        template_id=bytes.fromhex(template_id),
        body_commitment=body_commitment,
        renews=bytes.fromhex(renews),
        emergency=emergency,
        questions=tuple(questions),
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def decide_access(core: Core, grant_id: str, *, approve: bool) -> Plan[TransactionView]:
    """Approve or reject another organisation's access, by an approver's officer."""
    args = GrantsDecideAccess(grant_id=bytes.fromhex(grant_id), approve=approve)
    return (yield from transactions.settled(core, args))


def end_access(core: Core, grant_id: str) -> Plan[TransactionView]:
    """End an access for good, by the grantee's officer or an approver's."""
    return (yield from transactions.settled(core, GrantsEndAccess(grant_id=bytes.fromhex(grant_id))))


def extend_notice(core: Core, grant_id: str, *, notice_after_ms: int) -> Plan[TransactionView]:
    """Agree, as one more approver, that the person is shown an access later."""
    args = GrantsExtendNotice(grant_id=bytes.fromhex(grant_id), notice_after_ms=notice_after_ms)
    return (yield from transactions.settled(core, args))


def review_access(
    core: Core, grant_id: str, *, justified: bool, report: bytes = b""
) -> Plan[TransactionView]:
    """Say what came of the review of an emergency access; `report` is the hash of the report, or empty."""
    verdict = ReviewVerdict.JUSTIFIED if justified else ReviewVerdict.UNJUSTIFIED
    args = GrantsReview(grant_id=bytes.fromhex(grant_id), verdict=verdict, report=report)
    return (yield from transactions.settled(core, args))
