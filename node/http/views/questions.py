"""Views of questions, classes, counts and filled forms.

Rule: as in `records.py`. A suppressed cell is shown without a number; a masked value is shown without its proof,
which would not hold.
"""

from __future__ import annotations

from contracts.class_records import PartClass
from contracts.classes import class_of, rule_of
from contracts.form_records import Form
from contracts.question_records import CountRecord, CountState
from contracts.records import CertificateType
from ledger.commitments import FieldValue
from node.http.views.common import Names, instant, instant_or_none
from node.services.filling import Line, Source
from node.services.prefill import Filled
from zhenglian import api_questions as api
from zhenglian.catalogue import CatalogueInvalid, CertificateTypeSpec, decode_schema
from zhenglian.dictionary import term_code
from zhenglian.masking import mask_of, masked


def type_questions(record: CertificateType) -> api.TypeQuestionsView:
    """What may be asked about certificates of a type, and the classes of its data."""
    spec = _spec(record)
    names: dict[str, str] = {}
    cells: dict[str, list[str]] = {}
    if spec is not None:
        names = {one.name: one.name_zh for one in spec.questions}
        names |= {one.name: one.name_zh for one in spec.partitions}
        cells = {one.name: [cell.name_zh for cell in one.cells] for one in spec.partitions}
    return api.TypeQuestionsView(
        code=record.code,
        version=record.version,
        questions=[
            api.DeclaredQuestionView(
                name=one.name,
                name_zh=names.get(one.name, ""),
                kind=one.kind.value,
                field=one.field,
                subject=one.subject,
                parameters=list(one.parameters),
                days_back_max=one.days_back_max,
                days_ahead_max=one.days_ahead_max,
                repeat_after_ms=one.repeat_after_ms,
            )
            for one in record.questions
        ],
        partitions=[
            api.DeclaredPartitionView(
                name=one.name,
                name_zh=names.get(one.name, ""),
                field=one.field,
                subject=one.subject,
                cells=list(one.cells),
                cells_zh=cells.get(one.name, []),
                period=one.period.value,
                base=one.base,
                group_min=one.group_min,
            )
            for one in record.partitions
        ],
        classes=[
            _class(class_of(record, name), spec, in_fields=name in record.fields)
            for name in (*record.fields, *record.attachments)
        ],
    )


def _spec(record: CertificateType) -> CertificateTypeSpec | None:
    """The type's description; contracts take it as bytes, so it may be anything."""
    try:
        return decode_schema(record.schema)
    except CatalogueInvalid:
        return None


def _class(part: PartClass, spec: CertificateTypeSpec | None, *, in_fields: bool) -> api.PartClassView:
    rule = rule_of(part)
    said = None if spec is None else spec.field(part.name) or spec.attachment(part.name)
    mask = mask_of(spec, part.name) if spec is not None and in_fields else None
    return api.PartClassView(
        name=part.name,
        name_zh="" if said is None else said.name_zh,
        term=term_code(spec.code, spec.holder.value, part.name) if spec is not None and in_fields else "",
        grade=part.grade.value,
        level=part.level,
        sensitivity=part.sensitivity.value,
        askers=sorted(rule.askers),
        purposes=None if rule.purposes is None else sorted(rule.purposes),
        consent_separate=rule.separate,
        kept_ms_max=rule.kept_ms_max,
        mask=None if mask is None else mask.value,
    )


def count(record: CountRecord) -> api.CountView:
    """A count; its cells once it is published."""
    return api.CountView(
        count_id=record.count_id.hex(),
        organization=record.organization.hex(),
        performed_by=record.performed_by.hex(),
        certificate_type=record.certificate_type,
        partition=record.partition.name,
        subject=record.partition.subject,
        period=record.period,
        base=record.partition.base,
        group_min=record.partition.group_min,
        state=record.state.value,
        contributions=record.contributions,
        left_out=record.left_out,
        opened=instant(record.opened_ms),
        deadline=instant(record.deadline_ms),
        published=instant_or_none(record.published_ms),
        cells=[
            api.CellCountView(cell=cell.cell, count=None if cell.suppressed else cell.count)
            for cell in record.cells
            if record.state is CountState.PUBLISHED
        ],
        failure=record.failure,
    )


def form(record: Form, names: Names) -> api.FormView:
    """A form as it is in use."""
    return api.FormView(
        code=record.code,
        version=record.version,
        owner=record.owner.hex(),
        owner_name=names.account(record.owner),
        name_zh=record.name_zh,
        name_en=record.name_en,
        purpose=record.purpose,
        dictionary=record.dictionary,
        registered=instant(record.registered_ms),
        entries=[
            api.FormEntryView(
                name=entry.name,
                label_zh=entry.label_zh,
                label_en=entry.label_en,
                term=entry.term,
                required=entry.required,
            )
            for entry in record.entries
        ],
    )


def filled(found: Filled, names: Names, *, display: bool) -> api.FilledForm:
    """A filled form, masked for a screen if `display`."""
    entries = [_line(line, found.release.requested_ms, names, display=display) for line in found.lines]
    missing = [entry.name for entry in entries if entry.value is None]
    return api.FilledForm(
        code=found.form.code,
        version=found.form.version,
        grant_id=found.release.grant_id.hex(),
        release_id=found.release.release_id.hex(),
        as_of=instant(found.release.requested_ms),
        masked=display,
        complete=not any(entry.required and entry.value is None for entry in entries),
        unfilled=missing,
        entries=entries,
    )


def _line(line: Line, as_of_ms: int, names: Names, *, display: bool) -> api.FilledEntry:
    value = line.value
    if value is not None and line.sources:
        value = _shown(line.sources[0], value, display=display)
    return api.FilledEntry(
        name=line.entry.name,
        term=line.entry.term,
        required=line.entry.required,
        value=_plain(value),
        reason=line.reason,
        sources=[_source(source, as_of_ms, names, display=display) for source in line.sources],
    )


def _source(source: Source, as_of_ms: int, names: Names, *, display: bool) -> api.FilledFrom:
    certificate = source.certificate
    return api.FilledFrom(
        certificate_id=certificate.certificate_id.hex(),
        certificate_type=certificate.certificate_type,
        certificate_type_name=source.spec.name_zh,
        field=source.field,
        value=_plain(_shown(source, source.value, display=display)) or "",
        issuer=certificate.issuer.hex(),
        issuer_name=names.account(certificate.issuer),
        issued=instant(certificate.issued_ms),
        as_of=instant(as_of_ms),
        commitment_root=certificate.commitment_root.hex(),
        salt=None if display else source.salt,
        proof=None if display else source.proof,
    )


def _shown(source: Source, value: FieldValue, *, display: bool) -> FieldValue:
    return masked(source.spec, source.field, value) if display else value


def _plain(value: FieldValue | None) -> str | int | list[dict[str, str | int]] | None:
    """The value as JSON has it."""
    if value is None or isinstance(value, str | int):
        return value
    return [dict(row) for row in value]
