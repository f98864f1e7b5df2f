"""Grants (授权) and the templates that bound them, as structs without behaviour.

Rule: as in `records.py`. The words are those of the standards (`docs/grants.md` says which field is whose); what is free text, a
name or a case number lives in the grant's body off the chain, of which there is a salted commitment here and no more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.question_records import Question
from contracts.vocabulary import (
    ATTACHMENTS_PER_TYPE_MAX,
    FIELDS_PER_TYPE_MAX,
    STOPPING_STATES,
    AttachmentNames,
    CertificateState,
    Code,
    FieldName,
    FieldNames,
    OptionalHash,
    OptionalId16,
    TypeCode,
)
from ledger.types import AccountId, Count, Hash, Id16, KeyId, Name, ReleaseId, Text, TimeMs, Wire

ITEMS_PER_GRANT_MAX: Final = 32
QUESTIONS_PER_GRANT_MAX: Final = 32
USES_MAX: Final = 1_000_000
# So many releases of one window are remembered with the grant; who needs more often takes a shorter unit.
FREQUENCY_VALUE_MAX: Final = 60
# Of grants to oneself (`own_grants.py`), which no template bounds; so no template has it.
OWN_PURPOSE: Final = "own_data"
MANDATE_DEPTH_MAX: Final = 4
NOTICE_APPROVERS_MAX: Final = 16
RULE_ACCOUNTS_MAX: Final = 64
RULE_TYPES_MAX: Final = 16

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS

Uri = Annotated[str, Meta(max_length=256, pattern=r"^([a-z][a-z0-9+.-]*:[!-~]+)?$")]


class GrantState(StrEnum):
    REQUESTED = "requested"
    ACTIVE = "active"
    REJECTED = "rejected"
    PAUSED = "paused"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


class ConsentMode(StrEnum):
    """Look at it, keep it, ask about it, or get each new version of it."""

    VIEW = "view"
    STORE = "store"
    QUERY = "query"
    STREAM = "stream"


class FetchType(StrEnum):
    ONCE = "once"
    PERIODIC = "periodic"


class FrequencyUnit(StrEnum):
    """A month is 30 days and a year 365: windows of block time, no dates of a calendar."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


UNIT_MS: Final = {
    FrequencyUnit.MINUTE: _MINUTE_MS,
    FrequencyUnit.HOUR: 60 * _MINUTE_MS,
    FrequencyUnit.DAY: _DAY_MS,
    FrequencyUnit.WEEK: 7 * _DAY_MS,
    FrequencyUnit.MONTH: 30 * _DAY_MS,
    FrequencyUnit.YEAR: 365 * _DAY_MS,
}


class Frequency(Wire):
    """At most `value` releases begin within any stretch of one `unit`."""

    unit: FrequencyUnit
    value: Annotated[int, Meta(ge=1, le=FREQUENCY_VALUE_MAX)]


class CertificateStateRequired(Wire):
    """What a certificate must be like to be used.

    Attributes:
        stopped_by: any of these states, while it holds, stops the use.
        within_dates: it must have begun and not have ended.
    """

    stopped_by: Annotated[tuple[CertificateState, ...], Meta(max_length=len(CertificateState))] = (
        STOPPING_STATES
    )
    within_dates: bool = True


class RepresentationBasis(StrEnum):
    """Why somebody acts for another: guardian of a ward, mandate, legal representative of an enterprise; or acts himself,
    helped at a service window."""

    GUARDIAN = "guardian"
    MANDATE = "mandate"
    LEGAL_REPRESENTATIVE = "legal_representative"
    ASSISTED = "assisted"


class TemplateItem(Wire):
    """At most these fields and attachments of this type, of certificates in this state or a better one."""

    certificate_type: TypeCode
    fields: FieldNames
    attachments: AttachmentNames
    certificate_state_required: CertificateStateRequired = CertificateStateRequired()


class PurposeTemplate(Wire):
    """What may be asked for a purpose, at most (`over-asking` is refused with the cap named).

    Attributes:
        code, name_zh, name_en: the purpose; `ref_uri` is what it is called elsewhere (W3C DPV, a statute), or empty.
        items: what may be asked for.
        uses_max, period_ms_max, data_life_ms_max, retention_ms_max: longest and most.
        modes, fetch_types: which there may be.
        frequency_max: no release more often; None if any may be.
        representation, depth_max: how somebody may give for another, and through how many sub-mandates.
        without_consent, emergency: whether it may be had on a legal basis with a second approver, and at once.
        originals: whether attachments may be handed out unmarked, as they were issued.
    """

    code: Code
    name_zh: Name
    name_en: Text
    items: Annotated[tuple[TemplateItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    period_ms_max: TimeMs
    data_life_ms_max: TimeMs
    retention_ms_max: TimeMs = 0
    ref_uri: Uri = ""
    modes: Annotated[tuple[ConsentMode, ...], Meta(min_length=1, max_length=len(ConsentMode))] = (
        ConsentMode.VIEW,
        ConsentMode.STORE,
        ConsentMode.QUERY,
    )
    fetch_types: Annotated[tuple[FetchType, ...], Meta(min_length=1, max_length=len(FetchType))] = (
        FetchType.ONCE,
        FetchType.PERIODIC,
    )
    frequency_max: Frequency | None = None
    representation: Annotated[tuple[RepresentationBasis, ...], Meta(max_length=len(RepresentationBasis))] = (
        RepresentationBasis.GUARDIAN,
        RepresentationBasis.MANDATE,
        RepresentationBasis.LEGAL_REPRESENTATIVE,
    )
    depth_max: Annotated[int, Meta(ge=0, le=MANDATE_DEPTH_MAX)] = 0
    without_consent: bool = False
    emergency: bool = False
    originals: bool = False


class GrantItem(Wire):
    """Data that a grant opens: of one certificate, or of any certificate of a type when `certificate` is
    empty.

    `declined` names the fields and attachments (no type gives both the same name) that were asked for and not
    given: the person's choice, apart from “the holder has none”. An item declined as a whole stays, with
        nothing but `declined`.
    """

    certificate_type: TypeCode
    certificate: OptionalId16
    fields: FieldNames
    attachments: AttachmentNames
    declined: Annotated[
        tuple[FieldName, ...], Meta(max_length=FIELDS_PER_TYPE_MAX + ATTACHMENTS_PER_TYPE_MAX)
    ] = ()
    certificate_state_required: CertificateStateRequired = CertificateStateRequired()


GrantItems = Annotated[tuple[GrantItem, ...], Meta(max_length=ITEMS_PER_GRANT_MAX)]
Questions = Annotated[tuple[Question, ...], Meta(max_length=QUESTIONS_PER_GRANT_MAX)]


class Representation(Wire):
    """Who gave a grant in the holder's place, or who helped.

    Attributes:
        basis: why that was right.
        credential: the mandate, or for `assisted` the record of the help (`representation_records.py`).
        depth: how many sub-mandates lie between; at most `depth_max`.
        until_ms: when the right to act ends; the grant ends no later. 0 for `assisted`.
        by, key_id: account and key that acted: the representative's, or the clerk's.
        place: code of the service window, for `assisted`.
    """

    basis: RepresentationBasis
    credential: Id16
    depth: Count
    depth_max: Count
    until_ms: TimeMs
    by: AccountId
    key_id: KeyId
    place: Text = ""


class AccessKind(StrEnum):
    """Access without consent: approved by another organisation, or at once and reviewed afterwards."""

    LEGAL = "legal"
    EMERGENCY = "emergency"


class ReviewVerdict(StrEnum):
    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"


class Review(Wire):
    """What another organisation found of an emergency access; `report` is the hash of its report."""

    verdict: ReviewVerdict
    by: AccountId
    key_id: KeyId
    time_ms: TimeMs
    report: OptionalHash = b""


class Access(Wire):
    """What a grant has in place of consent (A4).

    Attributes:
        kind: with an approver, or in an emergency.
        case_commitment: salted commitment of the case number, which is off the chain.
        approvers: organisations that approved: the access, then each longer silence. No two are the same, none is the grantee.
        approver_keys: their officers' keys, in that order.
        notice_after_ms: until this block time nothing of it is shown to the person; 0 if it is shown at once.
        review_until_ms: when the review of an emergency is overdue; 0 where none is needed.
        review: None while there is none.
        shown, review_overdue: whether an event has said so.
    """

    kind: AccessKind
    case_commitment: Hash
    approvers: Annotated[tuple[AccountId, ...], Meta(max_length=NOTICE_APPROVERS_MAX)]
    approver_keys: Annotated[tuple[KeyId, ...], Meta(max_length=NOTICE_APPROVERS_MAX)]
    notice_after_ms: TimeMs
    review_until_ms: TimeMs
    review: Review | None = None
    shown: bool = False
    review_overdue: bool = False


class Grant(Wire):
    """A grant (授权): ISO/IEC TS 27560 consent record.

    Attributes:
        items: what is open now; as many as `requested_items` and in their order. Empty until it is approved.
        uses_max: uses asked for, then uses given; never less than uses left, reserved and made.
        uses_left: uses that can still be requested.
        uses_reserved: uses taken by releases that are neither prepared nor failed; a failed one goes back to
            `uses_left`.
        consent_expiry_ms: from this block time on it opens nothing.
        data_life_ms: how long what was handed out may be used, from when it was prepared.
        retention_period_ms: how long it may be kept locked after that, where law asks for it; then it is deleted.
        frequency: no release more often; None if uses and time alone bound it.
        used_recently: when the releases began that count for `frequency`, oldest first.
        purpose, purpose_ref_uri, template_id: the purpose and the very template that bounded the request.
        requested_questions, questions: for `query`, what was asked to be asked, and what may be asked now.
        body_commitment: salted commitment of the body off the chain, or empty.
        representation: who gave it in the holder's place, or helped; None if the holder alone did.
        access: what stands in place of consent; None for every grant that a holder gives.
        renews, renewed_by: the grant before and after this one, or empty.
    """

    grant_id: Id16
    schema_version: Count
    pii_principal_id: AccountId
    grantee: AccountId
    requested_by: KeyId
    purpose: Code
    lawful_basis: Code
    legal_ref: Text
    privacy_notice_hash: Hash
    language: Code
    items: GrantItems
    requested_items: GrantItems
    consent_mode: ConsentMode
    fetch_type: FetchType
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    uses_left: Count
    requested_ms: TimeMs
    consent_start_ms: TimeMs
    consent_expiry_ms: TimeMs
    data_life_ms: TimeMs
    jurisdiction: Code
    revocable: bool
    state: GrantState
    state_since_ms: TimeMs
    renews: OptionalId16
    uses_reserved: Count = 0
    renewed_by: OptionalId16 = b""
    retention_period_ms: TimeMs = 0
    frequency: Frequency | None = None
    used_recently: Annotated[tuple[TimeMs, ...], Meta(max_length=FREQUENCY_VALUE_MAX)] = ()
    purpose_ref_uri: Uri = ""
    template_id: OptionalId16 = b""
    body_commitment: OptionalHash = b""
    representation: Representation | None = None
    access: Access | None = None
    requested_questions: Questions = ()
    questions: Questions = ()


def shown_from_ms(grant: Grant) -> int:
    """From which block time on the person is shown the grant and what came of it; 0 for always."""
    return 0 if grant.access is None else grant.access.notice_after_ms


class GrantRules(Wire):
    """What operators have voted about who may act without the holder, or in his place. Empty until they do.

    Attributes:
        approvers: organisations that may approve another's access on a legal basis, and review emergencies.
        emergency: organisations that may open at once, by one officer.
        guardian_types: certificate types that show a guardianship.
        legal_representative_types: certificate types of an enterprise that name its legal representative.
    """

    approvers: Annotated[tuple[AccountId, ...], Meta(max_length=RULE_ACCOUNTS_MAX)] = ()
    emergency: Annotated[tuple[AccountId, ...], Meta(max_length=RULE_ACCOUNTS_MAX)] = ()
    guardian_types: Annotated[tuple[TypeCode, ...], Meta(max_length=RULE_TYPES_MAX)] = ()
    legal_representative_types: Annotated[tuple[TypeCode, ...], Meta(max_length=RULE_TYPES_MAX)] = ()


class Deletion(Wire):
    """That a recipient has to delete what one release under a `store` grant gave it.

    Attributes:
        due_ms: end of its data life and retention.
        overdue: whether the time for the statement has passed without one.
        stated_ms, statement, key_id: when the recipient's officer stated it, the hash of the statement, and the key; 0 and empty
            while open.
    """

    release_id: ReleaseId
    grant_id: Id16
    due_ms: TimeMs
    overdue: bool = False
    stated_ms: TimeMs = 0
    statement: OptionalHash = b""
    key_id: OptionalId16 = b""


class DeletionDuty(Wire):
    """What a grant's recipient still has to delete.

    Attributes:
        open: releases without a statement.
        overdue: how many of them are late by their own time.
        all_late: whether the grant was revoked so long ago that all that is open is late.
    """

    open: Count = 0
    overdue: Count = 0
    all_late: bool = False
