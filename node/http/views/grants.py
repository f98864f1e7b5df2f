"""Views of purposes, grants and mandates.

Rule: one function a record, members in the order of the struct.
"""

from __future__ import annotations

from contracts.deletions import STATEMENT_TIME_MS, is_late
from contracts.grant_records import (
    Access,
    AccessKind,
    CertificateStateRequired,
    Deletion,
    DeletionDuty,
    Frequency,
    Grant,
    GrantItem,
    PurposeTemplate,
    Representation,
    Review,
)
from contracts.grant_rules import template_id
from contracts.grant_states import standing
from contracts.question_records import Question
from contracts.representation import mandate_standing
from contracts.representation_records import Mandate
from ledger.crypto.suite import CryptoSuite
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from zhenglian import api
from zhenglian.api_grants import DeletionView, MandateView


def purpose(record: PurposeTemplate, suite: CryptoSuite) -> api.PurposeView:
    """What may be asked for a purpose."""
    return api.PurposeView(
        code=record.code,
        name_zh=record.name_zh,
        name_en=record.name_en,
        items=[
            api.TemplateItemView(
                certificate_type=item.certificate_type,
                fields=list(item.fields),
                attachments=list(item.attachments),
                certificate_state_required=_state_required(item.certificate_state_required),
            )
            for item in record.items
        ],
        uses_max=record.uses_max,
        period_ms_max=record.period_ms_max,
        data_life_ms_max=record.data_life_ms_max,
        template_id=template_id(suite, record).hex(),
        ref_uri=record.ref_uri,
        retention_ms_max=record.retention_ms_max,
        modes=[mode.value for mode in record.modes],
        fetch_types=[kind.value for kind in record.fetch_types],
        frequency_max=_frequency(record.frequency_max),
        representation=[basis.value for basis in record.representation],
        depth_max=record.depth_max,
        without_consent=record.without_consent,
        originals=record.originals,
        emergency=record.emergency,
    )


def grant(
    record: Grant,
    names: Names,
    now_ms: int,
    duty: DeletionDuty | None = None,
    separately: tuple[str, ...] = (),
) -> api.GrantView:
    """A grant: what was asked, what is given, how it stands at block time `now_ms`."""
    return api.GrantView(
        grant_id=record.grant_id.hex(),
        schema_version=record.schema_version,
        pii_principal_id=record.pii_principal_id.hex(),
        grantee=record.grantee.hex(),
        grantee_name=names.account(record.grantee),
        requested_by=record.requested_by.hex(),
        requested_by_label=names.key(record.grantee, record.requested_by),
        purpose=record.purpose,
        purpose_ref_uri=record.purpose_ref_uri,
        template_id=hex_or_none(record.template_id),
        lawful_basis=record.lawful_basis,
        legal_ref=record.legal_ref,
        privacy_notice_hash=record.privacy_notice_hash.hex(),
        language=record.language,
        items=[_item(item) for item in record.items],
        requested_items=[_item(item) for item in record.requested_items],
        questions=[question(one) for one in record.questions],
        requested_questions=[question(one) for one in record.requested_questions],
        consent_mode=record.consent_mode.value,
        fetch_type=record.fetch_type.value,
        frequency=_frequency(record.frequency),
        uses_max=record.uses_max,
        uses_left=record.uses_left,
        uses_reserved=record.uses_reserved,
        requested=instant(record.requested_ms),
        consent_start=instant_or_none(record.consent_start_ms),
        consent_expiry=instant(record.consent_expiry_ms),
        data_life_ms=record.data_life_ms,
        retention_period_ms=record.retention_period_ms,
        jurisdiction=record.jurisdiction,
        revocable=record.revocable,
        state=standing(record, now_ms).value,
        state_since=instant(record.state_since_ms),
        renews=hex_or_none(record.renews),
        renewed_by=hex_or_none(record.renewed_by),
        body_commitment=hex_or_none(record.body_commitment),
        representation=_representation(record.representation, names),
        access=_access(record.access, names),
        separately=list(separately),
        deletions=None if duty is None else api.DeletionDutyView(open=duty.open, late=is_late(duty)),
    )


def mandate(record: Mandate, names: Names, now_ms: int) -> MandateView:
    """A mandate, and how it stands at block time `now_ms`."""
    return MandateView(
        mandate_id=record.mandate_id.hex(),
        principal=record.principal.hex(),
        principal_name=names.account(record.principal),
        representative=record.representative.hex(),
        representative_name=names.account(record.representative),
        basis=record.basis.value,
        appointed_by=record.appointed_by.hex(),
        appointed_by_name=names.account(record.appointed_by),
        credential=hex_or_none(record.credential),
        purposes=list(record.purposes),
        parent=hex_or_none(record.parent),
        depth=record.depth,
        depth_max=record.depth_max,
        appointed=instant(record.appointed_ms),
        until=instant(record.until_ms),
        state=mandate_standing(record, now_ms).value,
        state_since=instant(record.state_since_ms),
    )


def deletion(record: Deletion) -> DeletionView:
    """What a recipient has to delete of a release."""
    return DeletionView(
        release_id=record.release_id.hex(),
        grant_id=record.grant_id.hex(),
        due=instant(record.due_ms),
        state_by=instant(record.due_ms + STATEMENT_TIME_MS),
        late=record.overdue and not record.stated_ms,
        stated=instant_or_none(record.stated_ms),
        statement=hex_or_none(record.statement),
        key_id=hex_or_none(record.key_id),
    )


def question(one: Question) -> api.QuestionView:
    """A question as a grant fixes it."""
    return api.QuestionView(
        certificate_type=one.certificate_type,
        name=one.name,
        kind=one.kind.value,
        field=one.field,
        subject=one.subject,
        parameter=one.parameter,
    )


def _item(item: GrantItem) -> api.GrantItemView:
    return api.GrantItemView(
        certificate_type=item.certificate_type,
        certificate=hex_or_none(item.certificate),
        fields=list(item.fields),
        attachments=list(item.attachments),
        declined=list(item.declined),
        certificate_state_required=_state_required(item.certificate_state_required),
    )


def _state_required(required: CertificateStateRequired) -> api.CertificateStateRequiredView:
    return api.CertificateStateRequiredView(
        stopped_by=[state.value for state in required.stopped_by], within_dates=required.within_dates
    )


def _frequency(frequency: Frequency | None) -> api.FrequencyView | None:
    return None if frequency is None else api.FrequencyView(unit=frequency.unit.value, value=frequency.value)


def _representation(found: Representation | None, names: Names) -> api.RepresentationView | None:
    if found is None:
        return None
    return api.RepresentationView(
        basis=found.basis.value,
        credential=found.credential.hex(),
        depth=found.depth,
        depth_max=found.depth_max,
        until=instant_or_none(found.until_ms),
        by=found.by.hex(),
        by_name=names.account(found.by),
        key_id=found.key_id.hex(),
        key_label=names.key(found.by, found.key_id),
        place=found.place,
    )


def _access(found: Access | None, names: Names) -> api.AccessView | None:
    if found is None:
        return None
    return api.AccessView(
        kind=found.kind.value,
        case_commitment=found.case_commitment.hex(),
        approvers=[account.hex() for account in found.approvers],
        approver_names=[names.account(account) for account in found.approvers],
        approver_keys=[key.hex() for key in found.approver_keys],
        notice_after=instant_or_none(found.notice_after_ms),
        review_until=instant_or_none(found.review_until_ms),
        reviewed=found.review is not None if found.kind is AccessKind.EMERGENCY else None,
        review=_review(found.review, names),
    )


def _review(found: Review | None, names: Names) -> api.ReviewView | None:
    if found is None:
        return None
    return api.ReviewView(
        verdict=found.verdict.value,
        by=found.by.hex(),
        by_name=names.account(found.by),
        key_id=found.key_id.hex(),
        time=instant(found.time_ms),
        report=hex_or_none(found.report),
    )
