"""Using a grant: what it opens at a moment, and how its uses are counted.

    uses_left ── reserve ──▶ uses_reserved ── make ──▶ made
        ▲────────── give back ──────┘

Rule: whoever wants data under a grant, the contract of releases and every key holder alike, asks `check_data`, and nobody else
says what a grant opens. It opens a part only while the grant is ACTIVE, for its own grantee's sake, of a certificate of its own
holder, by an item that names the part and whose demands on the certificate's state are met at that block time.

A use is reserved when a release begins, made when its bytes may leave, and given back when it fails before that; a release that
was given back does not count for the frequency either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from contracts import deletions
from contracts.certificate_types import check_distinct
from contracts.certificates import holding_states, why_not_valid
from contracts.denials import Denied
from contracts.erasures import check_kept
from contracts.grant_items import covering, shown
from contracts.grant_records import (
    FREQUENCY_VALUE_MAX,
    UNIT_MS,
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Grant,
    GrantItem,
)
from contracts.grant_states import Step, check_active, save, stepped, used
from contracts.methods import CallContext
from contracts.question_records import QuestionKind
from contracts.questions import check_output as check_answer
from contracts.records import AccountStatus, Certificate, Output, OutputFormat
from contracts.state import ACCOUNTS, CERTIFICATES, GRANTS, PURPOSE_TEMPLATES, RELEASES, present
from contracts.versions import Reading
from ledger.errors import invariant

FIELD_FORMATS: Final = (OutputFormat.JSON, OutputFormat.CSV)


def check_opens(context: CallContext, grant: Grant, outputs: Sequence[Output], time_ms: int) -> None:
    """Whether a use of these outputs may begin now.

    Raises:
        Denied: as `check_data`; uses_exhausted, frequency_exceeded.
    """
    check_still_opens(context, grant, outputs, time_ms)
    check_uses(grant, time_ms)


def check_still_opens(context: CallContext, grant: Grant, outputs: Sequence[Output], time_ms: int) -> None:
    """Whether a use that has begun may go on.

    Raises:
        Denied: as `check_data`.
    """
    check_data(Reading(context.state, context.contracts), grant, outputs, time_ms)


def check_data(state: Reading, grant: Grant, outputs: Sequence[Output], time_ms: int) -> None:
    """Whether a grant opens these outputs at a block time, on whichever replica's state.

    Raises:
        Denied: grant_not_active, answers_only, organization_suspended, unknown_certificate, certificate_not_held,
            certificate_erased, format_mismatch, duplicate_name, certificate_not_granted, field_not_granted,
            attachment_not_granted, certificate_not_valid, certificate_state_stops, not_in_certificate, and those of
            `questions.check_output`.
    """
    check_active(grant, time_ms)
    grantee = present(ACCOUNTS.get(state, grant.grantee), "the grantee of a grant")
    if grantee.status is AccountStatus.SUSPENDED:
        raise Denied("organization_suspended", account=grant.grantee.hex())
    for output in outputs:
        if grant.consent_mode is ConsentMode.QUERY and output.format is not OutputFormat.ANSWER:
            raise Denied("answers_only", grant=grant.grant_id.hex())
        _check_output(state, grant, output, time_ms)


def check_uses(grant: Grant, time_ms: int) -> None:
    """Whether a use is left, and whether it may be used again already.

    Raises:
        Denied: uses_exhausted, frequency_exceeded.
    """
    if grant.uses_left == 0:
        raise Denied("uses_exhausted", grant=grant.grant_id.hex(), maximum=grant.uses_max)
    frequency = grant.frequency
    if frequency is None:
        return
    unit_ms = UNIT_MS[frequency.unit]
    recent = [since_ms for since_ms in grant.used_recently if time_ms < since_ms + unit_ms]
    if len(recent) >= frequency.value:
        raise Denied(
            "frequency_exceeded",
            grant=grant.grant_id.hex(),
            unit=frequency.unit.value,
            value=frequency.value,
            again_ms=recent[-frequency.value] + unit_ms,
        )


def why_stopped(required: CertificateStateRequired, certificate: Certificate, time_ms: int) -> str:
    """Empty if the certificate is as required at block time `time_ms`, else a state, "not_yet" or "ended"."""
    for state in holding_states(certificate):
        if state in required.stopped_by:
            return state.value
    return why_not_valid(replace(certificate, states=()), time_ms) if required.within_dates else ""


def check_field_state(
    items: tuple[GrantItem, ...], certificate: Certificate, field: str, time_ms: int
) -> None:
    """Whether an item that opens a field is met by the certificate's state.

    Raises:
        Denied: certificate_not_valid, certificate_state_stops.
    """
    opening = [item for item in covering(items, certificate) if field in item.fields]
    _check_state(opening, certificate, time_ms)


def reserve_use(context: CallContext, grant_id: bytes) -> None:
    """Take one of the uses left for a release that begins.

    Raises:
        Denied: uses_exhausted, frequency_exceeded.
    """
    grant = used(context, grant_id)
    check_uses(grant, context.time_ms)
    recently = grant.used_recently
    if grant.fetch_type is FetchType.PERIODIC:
        recently = (*recently, context.time_ms)[-FREQUENCY_VALUE_MAX:]
    reserved = replace(
        grant,
        uses_left=grant.uses_left - 1,
        uses_reserved=grant.uses_reserved + 1,
        used_recently=recently,
    )
    GRANTS.put(context.state, grant.grant_id, reserved)


def make_use(context: CallContext, grant_id: bytes, release_id: bytes) -> None:
    """Count a reserved use as made; the last one exhausts the grant."""
    grant = used(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release is prepared without a reserved use")
    made = replace(grant, uses_reserved=grant.uses_reserved - 1)
    deletions.keep(context, made, release_id)
    if made.uses_left == 0 and made.uses_reserved == 0:
        save(context, "grants.exhausted", stepped(made, Step.EXHAUST, context.time_ms))
    else:
        GRANTS.put(context.state, made.grant_id, made)


def return_use(context: CallContext, grant_id: bytes, release_id: bytes) -> None:
    """Give a reserved use back, whatever has become of the grant."""
    grant = used(context, grant_id)
    invariant(grant.uses_reserved > 0, "a release fails without a reserved use")
    release = context.record(RELEASES, release_id)
    began_ms = -1 if release is None else release.requested_ms
    recently = list(grant.used_recently)
    if began_ms in recently:
        recently.remove(began_ms)
    back = replace(
        grant,
        uses_left=grant.uses_left + 1,
        uses_reserved=grant.uses_reserved - 1,
        used_recently=tuple(recently),
    )
    GRANTS.put(context.state, grant.grant_id, back)


def _check_output(state: Reading, grant: Grant, output: Output, time_ms: int) -> None:
    certificate = state.record(CERTIFICATES, output.certificate)
    if certificate is None:
        raise Denied("unknown_certificate", certificate=output.certificate.hex())
    if certificate.holder != grant.pii_principal_id:
        raise Denied(
            "certificate_not_held", certificate=output.certificate.hex(), type=certificate.certificate_type
        )
    check_kept(certificate)
    if output.format is not OutputFormat.ANSWER:
        _check_shape(output)
    if output.format is OutputFormat.ORIGINAL:
        _check_original(state, grant)
    items = covering(grant.items, certificate)
    if not items:
        raise Denied(
            "certificate_not_granted", certificate=output.certificate.hex(), type=certificate.certificate_type
        )
    if output.format is OutputFormat.ANSWER:
        check_answer(state, grant, output, certificate, time_ms)
        _check_question(items, certificate, output, time_ms)
        return
    _check_names(items, certificate, output, time_ms)
    held = certificate.fields if output.fields else certificate.attachments
    for name in output.fields or (output.attachment,):
        if name not in held:
            raise Denied("not_in_certificate", name=name, certificate=certificate.certificate_id.hex())


def _check_original(state: Reading, grant: Grant) -> None:
    """An unmarked file is for the holder himself, and for purposes that operators have voted it for."""
    template = PURPOSE_TEMPLATES.get(state, grant.template_id) if grant.template_id else None
    if grant.grantee != grant.pii_principal_id and not (template is not None and template.originals):
        raise Denied("original_not_allowed", purpose=grant.purpose)


def _check_shape(output: Output) -> None:
    """Whether an output asks for fields where its format has fields, and else for one attachment."""
    fields_wanted = output.format in FIELD_FORMATS
    wrong = fields_wanted is not bool(output.fields) or fields_wanted is bool(output.attachment)
    if wrong or output.question is not None:
        raise Denied("format_mismatch", format=output.format.value)
    check_distinct(output.fields)


def _check_names(
    items: tuple[GrantItem, ...], certificate: Certificate, output: Output, time_ms: int
) -> None:
    """Each part is in some item, and in one that the certificate's state does not stop."""
    fields = tuple(name for item in items for name in item.fields)
    attachments = tuple(name for item in items for name in item.attachments)
    for name in output.fields:
        if name not in fields:
            raise Denied("field_not_granted", field=name, granted=shown(fields))
    if output.attachment and output.attachment not in attachments:
        raise Denied("attachment_not_granted", attachment=output.attachment, granted=shown(attachments))
    for name in output.fields:
        _check_state([item for item in items if name in item.fields], certificate, time_ms)
    if output.attachment:
        _check_state([item for item in items if output.attachment in item.attachments], certificate, time_ms)


def _check_question(
    items: tuple[GrantItem, ...], certificate: Certificate, output: Output, time_ms: int
) -> None:
    question = output.question
    # Whether it is valid is what `valid_on` asks: no state of the certificate stops that question.
    if question is not None and question.kind is not QuestionKind.VALID_ON:
        _check_state([item for item in items if question.field in item.fields], certificate, time_ms)


def _check_state(opening: Sequence[GrantItem], certificate: Certificate, time_ms: int) -> None:
    """Whether one of the items that open a part is met by the certificate's state."""
    reasons = [why_stopped(item.certificate_state_required, certificate, time_ms) for item in opening]
    if "" in reasons:
        return
    if why_not_valid(certificate, time_ms):
        raise Denied("certificate_not_valid", certificate=certificate.certificate_id.hex(), state=reasons[0])
    raise Denied("certificate_state_stops", certificate=certificate.certificate_id.hex(), state=reasons[0])
