"""Questions (提问): asked in a grant, answered with yes or no, and never so often that the value itself comes out.

Rule: what an organisation learns of a person about one subject is one bit a period. Four records keep it so:

- a grant fixes its questions with their parameters, out of those that the certificate type declares;
- an `Answer` fixes the time that the answer speaks of, once for each grant, question and certificate, so that asking
  again gives the same answer (a certificate's data never changes: a new version is another certificate); an age is as of
  when the line began, whichever certificate is asked;
- a `QuestionLine` fixes the one parameter for organisation, holder and subject, whatever the grants, types and certificates are;
- the latest answer about a certificate under any grant is given to the next grant too, until the line is open again.

The subject is a standard term, the same in every type that knows it, and so a birth date is not found out by asking
the identity card for one age and the driving licence for another. The line stays fixed even where the release fails
afterwards.
"""

from __future__ import annotations

from contracts.certificate_types import check_distinct
from contracts.denials import Denied
from contracts.methods import CallContext
from contracts.question_days import day_number, day_of
from contracts.question_records import (
    Answer,
    DeclaredPartition,
    DeclaredQuestion,
    Question,
    QuestionKind,
    QuestionLine,
)
from contracts.records import (
    Certificate,
    CertificateType,
    ConsentMode,
    Grant,
    GrantItem,
    Output,
    OutputFormat,
)
from contracts.state import (
    ANSWERS,
    CERTIFICATE_TYPE_VERSIONS,
    CERTIFICATES,
    QUESTION_ANSWERS,
    QUESTION_LINES,
    StateReader,
    certificate_type,
    present,
)

# --- in a grant ---------------------------------------------------------------------------------------------


def check_asked(
    context: CallContext,
    grantee: bytes,
    holder: bytes,
    mode: ConsentMode,
    items: tuple[GrantItem, ...],
    questions: tuple[Question, ...],
) -> None:
    """Whether an organisation may ask a holder these questions.

    Args:
        context: of the call.
        grantee, holder: accounts.
        mode: of the grant; `query` has questions, and no other has.
        items: what the grant asks for; they name the fields that the questions read.
        questions: in any order.

    Raises:
        Denied: questions_missing, questions_unexpected, question_not_declared, question_parameter, question_without_item,
            question_twice, question_asked_otherwise.
    """
    if mode is ConsentMode.QUERY and not questions:
        raise Denied("questions_missing")
    if mode is not ConsentMode.QUERY and questions:
        raise Denied("questions_unexpected", mode=mode.value)
    for position, question in enumerate(questions):
        _check_declared(context, question)
        if not _covered(items, question):
            raise Denied("question_without_item", question=shown(question), field=question.field)
        if any(_collide(question, other) for other in questions[:position]):
            raise Denied("question_twice", question=shown(question), subject=question.subject)
        if question.kind is not QuestionKind.COUNTED:
            _check_line(context.state, grantee, holder, question, context.time_ms)


def give(
    asked: tuple[Question, ...], given: tuple[Question, ...], items: tuple[GrantItem, ...]
) -> tuple[Question, ...]:
    """What may be asked once `given` of `asked` is given, with what the items then open.

    Raises:
        Denied: over_give, duplicate_name, question_without_item.
    """
    check_distinct(tuple(shown(question) for question in given))
    for question in given:
        if question not in asked:
            raise Denied("over_give", cap="questions", maximum=len(asked), asked=shown(question))
        if not _covered(items, question):
            raise Denied("question_without_item", question=shown(question), field=question.field)
    return tuple(question for question in asked if question in given)


def still_open(asked: tuple[Question, ...], items: tuple[GrantItem, ...]) -> tuple[Question, ...]:
    """Those of the questions whose field the items still open."""
    return tuple(question for question in asked if _covered(items, question))


# --- in a release -------------------------------------------------------------------------------------------


def check_output(
    state: StateReader, grant: Grant, output: Output, certificate: Certificate, time_ms: int
) -> None:
    """Whether an output may be answered under a grant now: its form, the question, the certificate's own declaration, the line.

    Everything else about the certificate (who holds it, its states) is for who calls.

    Raises:
        Denied: format_mismatch, question_not_granted, certificate_not_granted, not_in_certificate, question_not_declared,
            question_asked_otherwise.
    """
    question = output.question
    if output.format is not OutputFormat.ANSWER or question is None or output.fields or output.attachment:
        raise Denied("format_mismatch", format=output.format.value)
    if question not in grant.questions or question.kind is QuestionKind.COUNTED:
        raise Denied("question_not_granted", question=shown(question), grant=grant.grant_id.hex())
    if certificate.certificate_type != question.certificate_type or not covers(
        grant.items, certificate, question.field
    ):
        raise Denied(
            "certificate_not_granted",
            certificate=certificate.certificate_id.hex(),
            type=certificate.certificate_type,
        )
    _check_answerable(state, certificate, question)
    if answer_of(state, grant.grant_id, certificate.certificate_id, question) is None:
        _check_line(state, grant.grantee, grant.pii_principal_id, question, time_ms)


def fix(context: CallContext, grant: Grant, release_id: bytes, outputs: tuple[Output, ...]) -> None:
    """Fix what the questions among a release's outputs are answered for, for ever. They have been checked."""
    for output in outputs:
        if output.question is not None:
            _fix(context, grant, release_id, output.certificate, output.question)


def answer_of(state: StateReader, grant_id: bytes, certificate: bytes, question: Question) -> Answer | None:
    """The answer's record, if the question was asked under this grant about this certificate."""
    return ANSWERS.get(state, (grant_id, certificate, question.name))


# --- what several rooms of this need ------------------------------------------------------------------------


def shown(question: Question) -> str:
    """The question as a text for messages and events."""
    return f"{question.certificate_type}.{question.name}:{question.parameter}"


def covers(items: tuple[GrantItem, ...], certificate: Certificate, field: str) -> bool:
    """Whether the items open that field of a certificate; with an empty name, anything of it."""
    return any(
        (field in item.fields if field else bool(item.fields or item.attachments))
        for item in items
        if item.certificate_type == certificate.certificate_type
        and item.certificate in {b"", certificate.certificate_id}
    )


def partition_of(kind: CertificateType, name: str) -> DeclaredPartition | None:
    """The partition of that name, if the type declares it."""
    return next((one for one in kind.partitions if one.name == name), None)


def question_of(kind: CertificateType, name: str) -> DeclaredQuestion | None:
    """The question of that name, if the type declares it."""
    return next((one for one in kind.questions if one.name == name), None)


def _check_declared(context: CallContext, question: Question) -> None:
    kind = certificate_type(context.state, question.certificate_type)
    if kind is None:
        raise Denied("unknown_certificate_type", type=question.certificate_type)
    if not declares(kind, question):
        raise Denied("question_not_declared", question=shown(question))
    declared = question_of(kind, question.name)
    if declared is None:
        if question.parameter:
            raise Denied("question_parameter", question=shown(question), allowed="")
    elif declared.kind is QuestionKind.VALID_ON:
        _check_day(declared, question, context.time_ms)
    elif question.parameter not in declared.parameters:
        allowed = ", ".join(declared.parameters)[:1000]
        raise Denied("question_parameter", question=shown(question), allowed=allowed)


def declares(kind: CertificateType, question: Question) -> bool:
    """Whether a type declares this very question, its parameter apart."""
    if question.kind is QuestionKind.COUNTED:
        partition = partition_of(kind, question.name)
        return partition is not None and (partition.field, partition.subject) == (
            question.field,
            question.subject,
        )
    declared = question_of(kind, question.name)
    return declared is not None and (declared.kind, declared.field, declared.subject) == (
        question.kind,
        question.field,
        question.subject,
    )


def _check_day(declared: DeclaredQuestion, question: Question, time_ms: int) -> None:
    today = day_of(time_ms)
    day = day_number(question.parameter)
    if day is None or not today - declared.days_back_max <= day <= today + declared.days_ahead_max:
        allowed = f"-{declared.days_back_max} … +{declared.days_ahead_max} d"
        raise Denied("question_parameter", question=shown(question), allowed=allowed)


def _covered(items: tuple[GrantItem, ...], question: Question) -> bool:
    return any(
        (question.field in item.fields if question.field else bool(item.fields or item.attachments))
        for item in items
        if item.certificate_type == question.certificate_type
    )


def _collide(one: Question, other: Question) -> bool:
    """Two questions of which one grant has only one: the same twice, or two parameters about one subject."""
    if (one.certificate_type, one.name) == (other.certificate_type, other.name):
        return True
    if QuestionKind.COUNTED in {one.kind, other.kind}:
        return False
    return one.subject == other.subject and (one.kind, one.parameter) != (other.kind, other.parameter)


def _check_answerable(state: StateReader, certificate: Certificate, question: Question) -> None:
    """The certificate's own version of its type declares the question, and it has the field."""
    kind = _own_type(state, certificate)
    declared = question_of(kind, question.name)
    if (
        declared is None
        or not declares(kind, question)
        or (declared.kind is not QuestionKind.VALID_ON and question.parameter not in declared.parameters)
    ):
        raise Denied("question_not_declared", question=shown(question))
    if question.field and question.field not in certificate.fields:
        raise Denied("not_in_certificate", name=question.field, certificate=certificate.certificate_id.hex())


def _check_line(state: StateReader, grantee: bytes, holder: bytes, question: Question, time_ms: int) -> None:
    line = QUESTION_LINES.get(state, (grantee, holder, question.subject))
    if line is None or _is_open(line, time_ms):
        return
    if (line.kind, line.parameter) != (question.kind, question.parameter):
        raise Denied(
            "question_asked_otherwise",
            question=shown(question),
            subject=question.subject,
            asked=line.parameter,
            open_from_ms=line.open_from_ms,
        )


def _is_open(line: QuestionLine, time_ms: int) -> bool:
    return 0 < line.open_from_ms <= time_ms


def _fix(
    context: CallContext, grant: Grant, release_id: bytes, certificate: bytes, question: Question
) -> None:
    if answer_of(context.state, grant.grant_id, certificate, question) is not None:
        return
    line = _line(context, grant, certificate, question)
    latest = (grant.grantee, grant.pii_principal_id, certificate, question.name)
    known = QUESTION_ANSWERS.get(context.state, latest)
    if known is None or known.as_of_ms < line.since_ms or known.question != question:
        as_of_ms = _as_of_ms(context, line, certificate)
        known = Answer(question=question, certificate=certificate, as_of_ms=as_of_ms, release_id=release_id)
        QUESTION_ANSWERS.put(context.state, latest, known)
    ANSWERS.put(context.state, (grant.grant_id, certificate, question.name), known)


def _as_of_ms(context: CallContext, line: QuestionLine, certificate: bytes) -> int:
    """Of when an answer is. An age grows while it is asked for, so all that a line answers is of the time when it began, or of
    when the certificate was issued, if that was later: else asking one certificate after the other would find the birthday.
    """
    if line.kind is not QuestionKind.OLDER_THAN:
        return context.time_ms
    record = present(context.record(CERTIFICATES, certificate), "the certificate of a question")
    return max(line.since_ms, record.issued_ms)


def _line(context: CallContext, grant: Grant, certificate: bytes, question: Question) -> QuestionLine:
    """The line under which this is asked, begun anew if it is open."""
    key = (grant.grantee, grant.pii_principal_id, question.subject)
    line = QUESTION_LINES.get(context.state, key)
    if line is not None and not _is_open(line, context.time_ms):
        return line
    declared = _declared(context, certificate, question)
    begun = QuestionLine(
        kind=question.kind,
        parameter=question.parameter,
        since_ms=context.time_ms,
        open_from_ms=context.time_ms + declared.repeat_after_ms if declared.repeat_after_ms else 0,
    )
    QUESTION_LINES.put(context.state, key, begun)
    return begun


def _declared(context: CallContext, certificate: bytes, question: Question) -> DeclaredQuestion:
    """As the certificate's own version of its type has it, which has been checked."""
    record = present(context.record(CERTIFICATES, certificate), "the certificate of a question")
    kind = _own_type(context.state, record)
    return present(question_of(kind, question.name), "the declaration of a question")


def _own_type(state: StateReader, certificate: Certificate) -> CertificateType:
    version = (certificate.certificate_type, certificate.type_version)
    return present(CERTIFICATE_TYPE_VERSIONS.get(state, version), "the type of a certificate")
