"""A catalogue's type as the ledger registers it.

Rule: what contracts decide by (names, questions, partitions, classes) stands in the record; how things are printed,
read and computed stands in its schema. Both come of the same spec, here and nowhere else.
"""

from __future__ import annotations

from typing import Final

from contracts.class_records import Grade, PartClass, Sensitivity
from contracts.question_records import DeclaredPartition, DeclaredQuestion
from contracts.records import AccountKind, CertificateType
from zhenglian.catalogue import AttachmentSpec, CertificateTypeSpec, FieldSpec, Holder, encode_schema
from zhenglian.catalogue_questions import PartitionSpec, QuestionSpec

DAY_MS: Final = 24 * 60 * 60 * 1000


def certificate_type_of(spec: CertificateTypeSpec, version: int = 1) -> CertificateType:
    """The record of a type.

    Args:
        spec: from a catalogue.
        version: 1 for a new type, one more than the one in use for the next.
    """
    return CertificateType(
        code=spec.code,
        version=version,
        number=spec.number,
        name_zh=spec.name_zh,
        name_en=spec.name_en,
        issuers_zh=tuple(spec.issuers_zh),
        level_zh=spec.level_zh,
        holder=AccountKind.PERSON if spec.holder is Holder.PERSON else AccountKind.ENTERPRISE,
        fields=tuple(field.name for field in spec.fields),
        attachments=tuple(attachment.name for attachment in spec.attachments),
        schema=encode_schema(spec),
        questions=tuple(_question(one) for one in spec.questions),
        partitions=tuple(_partition(one) for one in spec.partitions),
        classes=tuple(_class(part) for part in spec.fields)
        + tuple(_class(part) for part in spec.attachments),
    )


def _question(spec: QuestionSpec) -> DeclaredQuestion:
    return DeclaredQuestion(
        name=spec.name,
        kind=spec.kind,
        field=spec.field,
        subject=spec.subject,
        parameters=tuple(one.value for one in spec.parameters),
        days_back_max=spec.days_back_max,
        days_ahead_max=spec.days_ahead_max,
        repeat_after_ms=spec.repeat_after_days * DAY_MS,
    )


def _partition(spec: PartitionSpec) -> DeclaredPartition:
    return DeclaredPartition(
        name=spec.name,
        field=spec.field,
        subject=spec.subject,
        cells=tuple(cell.name for cell in spec.cells),
        period=spec.period,
        base=spec.base,
        group_min=spec.group_min,
    )


def _class(part: FieldSpec | AttachmentSpec) -> PartClass:
    return PartClass(
        name=part.name,
        grade=part.grade or Grade.GENERAL,
        level=part.class_level,
        sensitivity=part.sensitivity or Sensitivity.PERSONAL,
    )
