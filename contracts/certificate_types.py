"""Certificate types and purpose templates: what can be issued, and what may be asked for.

Rule: a type's versions only grow by one and never change, so that a certificate always finds the version it
names. A template can be replaced; a grant was bounded by it when it was requested and stands on its own
afterwards.
"""

from __future__ import annotations

from contracts.calls import RegisterCertificateTypes, RegisterPurposes
from contracts.denials import Denied
from contracts.grant_records import OWN_PURPOSE
from contracts.grant_rules import template_id
from contracts.methods import HOLDERS, CallContext
from contracts.question_records import DeclaredPartition, DeclaredQuestion, QuestionKind
from contracts.records import CertificateType, PurposeTemplate
from contracts.state import (
    CERTIFICATE_TYPE_VERSIONS,
    CERTIFICATE_TYPES,
    PURPOSE_TEMPLATES,
    PURPOSES,
    StateReader,
    certificate_type,
)


def register_types(context: CallContext, action: RegisterCertificateTypes) -> None:
    """Add types or new versions of them, in order.

    Raises:
        Denied: type_version, holder_kind_not_allowed, duplicate_name, empty_item, unknown_name, question_declaration,
            subject_differs.
    """
    for new in action.types:
        expected = (CERTIFICATE_TYPES.get(context.state, new.code) or 0) + 1
        if new.version != expected:
            raise Denied("type_version", type=new.code, version=new.version, expected=expected)
        _check_type(new)
        CERTIFICATE_TYPES.put(context.state, new.code, new.version)
        CERTIFICATE_TYPE_VERSIONS.put(context.state, (new.code, new.version), new)
        context.emit("certificate_types.registered", b"", (), type=new.code, version=new.version)


def register_purposes(context: CallContext, action: RegisterPurposes) -> None:
    """Add or replace purpose templates.

    Raises:
        Denied: purpose_reserved, unknown_certificate_type, unknown_name, duplicate_name, empty_item, empty_period.
    """
    for purpose in action.purposes:
        _check_purpose(context.state, purpose)
        PURPOSES.put(context.state, purpose.code, purpose)
        PURPOSE_TEMPLATES.put(context.state, template_id(context.block.suite, purpose), purpose)
        context.emit("purposes.registered", b"", (), purpose=purpose.code)


def check_distinct(names: tuple[str, ...]) -> None:
    """Raise Denied (duplicate_name) if a name comes twice."""
    for position, name in enumerate(names):
        if name in names[:position]:
            raise Denied("duplicate_name", name=name)


def check_known(names: tuple[str, ...], known: tuple[str, ...], code: str) -> None:
    """Raise Denied if a name comes twice or is none of the `known` names of certificate type `code`."""
    check_distinct(names)
    for name in names:
        if name not in known:
            raise Denied("unknown_name", name=name, type=code)


def _check_type(new: CertificateType) -> None:
    if new.holder not in HOLDERS:
        raise Denied("holder_kind_not_allowed", kind=new.holder.value)
    # Fields and attachments share one name space, because what a person declines is one list of names.
    check_distinct(new.fields + new.attachments)
    if not new.fields + new.attachments:
        raise Denied("empty_item", type=new.code)
    check_known(tuple(part.name for part in new.classes), new.fields + new.attachments, new.code)
    _check_declared(new)


def _check_declared(new: CertificateType) -> None:
    """Whether what may be asked and counted can be kept to one bit a period: each field has one subject, and one line."""
    read: list[DeclaredQuestion | DeclaredPartition] = [*new.questions, *new.partitions]
    check_distinct(tuple(one.name for one in read))
    for question in new.questions:
        check_distinct(question.parameters)
        without = question.kind is QuestionKind.VALID_ON
        wrong = without is bool(question.field) or without is bool(question.parameters)
        if wrong or question.kind is QuestionKind.COUNTED:
            raise Denied("question_declaration", type=new.code, question=question.name)
    for partition in new.partitions:
        check_distinct(partition.cells)
    subjects: dict[str, str] = {}
    for one in read:
        if one.field and one.field not in new.fields:
            raise Denied("unknown_name", name=one.field, type=new.code)
        if subjects.setdefault(one.field, one.subject) != one.subject:
            raise Denied("subject_differs", type=new.code, field=one.field, subject=one.subject)


def _check_purpose(state: StateReader, purpose: PurposeTemplate) -> None:
    if purpose.code == OWN_PURPOSE:
        raise Denied("purpose_reserved", purpose=purpose.code)
    check_distinct(tuple(item.certificate_type for item in purpose.items))
    if purpose.period_ms_max == 0:
        raise Denied("empty_period", purpose=purpose.code)
    for item in purpose.items:
        kind = certificate_type(state, item.certificate_type)
        if kind is None:
            raise Denied("unknown_certificate_type", type=item.certificate_type)
        check_known(item.fields, kind.fields, kind.code)
        check_known(item.attachments, kind.attachments, kind.code)
        if not item.fields + item.attachments:
            raise Denied("empty_item", type=kind.code)
