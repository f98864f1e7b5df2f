"""Plans about questions (提问): what may be asked, asking it in a grant, and having it answered.

Rule: a question is made from what its certificate type declares, so that nobody writes one by hand; its answer is a
release like any other, and the file is read only after its hash was found on the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from contracts.grant_records import CertificateStateRequired, ConsentMode, GrantItem
from contracts.question_records import Question, QuestionKind
from contracts.records import Output, OutputFormat
from ledger.decoders import decode_json
from ledger.errors import DecodeError
from zhenglian.api_questions import AnswerFile, TypeQuestionsView
from zhenglian.errors import Mismatch
from zhenglian.exchange import Core, Plan, get
from zhenglian.plans import chain, grants, releases
from zhenglian.plans.releases import Retrieved
from zhenglian.progress import Report, silent

ANSWER_SIZE_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer in hand: what the file says, and the release that it came by."""

    answer: AnswerFile
    retrieved: Retrieved


def type_questions(core: Core, code: str) -> Plan[TypeQuestionsView]:
    """What may be asked and counted about certificates of a type, and the classes of its data."""
    return (yield from get(core, f"/v1/certificate-types/{code}/questions", TypeQuestionsView))


def question(core: Core, certificate_type: str, name: str, parameter: str = "") -> Plan[Question]:
    """A question as its type declares it; for a partition, consent to be counted.

    Args:
        certificate_type: code of the type.
        name: of the question, or of the partition.
        parameter: years, a day, a step, what is covered; empty for a partition.

    Raises:
        DecodeError: the type declares no such question, or not with this parameter.
    """
    declared = yield from type_questions(core, certificate_type)
    for one in declared.questions:
        if one.name == name:
            if one.parameters and parameter not in one.parameters:
                allowed = ", ".join(one.parameters)
                raise DecodeError(what=f"question {name}", reason=f"its parameters are {allowed}")
            return Question(
                certificate_type=certificate_type,
                name=name,
                kind=QuestionKind(one.kind),
                field=one.field,
                subject=one.subject,
                parameter=parameter,
            )
    for partition in declared.partitions:
        if partition.name == name and not parameter:
            return Question(
                certificate_type=certificate_type,
                name=name,
                kind=QuestionKind.COUNTED,
                field=partition.field,
                subject=partition.subject,
                parameter="",
            )
    names = ", ".join([one.name for one in declared.questions] + [one.name for one in declared.partitions])
    raise DecodeError(what=f"question {name}", reason=f"{certificate_type} has {names}")


def ask_questions(
    core: Core,
    *,
    person: str,
    purpose: str,
    questions: Sequence[Question],
    uses_max: int,
    consent_expiry_ms: int,
    certificate: str = "",
    certificate_state_required: CertificateStateRequired | None = None,
    renews: str = "",
) -> Plan[str]:
    """Ask a person for consent to these questions and to nothing else. Returns the grant id (hex).

    Args:
        person: account id, hex.
        purpose: code of a registered purpose.
        questions: from `question`.
        uses_max: how many answers.
        consent_expiry_ms: Unix time at which the consent ends.
        certificate: the only certificate they are about, hex; empty for any of their types.
        certificate_state_required: in which states of the certificate they are answered; the usual ones if None.
        renews: an older grant between the same two, hex.

    Raises:
        Denied: not declared, not covered by the purpose, or asked otherwise before; on record.
    """
    items: list[GrantItem] = []
    for code in dict.fromkeys(one.certificate_type for one in questions):
        fields = yield from _read_fields(core, code, questions)
        items.append(
            GrantItem(
                certificate_type=code,
                certificate=bytes.fromhex(certificate),
                fields=fields,
                attachments=(),
                certificate_state_required=certificate_state_required or CertificateStateRequired(),
            )
        )
    return (
        yield from grants.request_grant(
            core,
            person=person,
            purpose=purpose,
            items=items,
            uses_max=uses_max,
            consent_expiry_ms=consent_expiry_ms,
            questions=questions,
            consent_mode=ConsentMode.QUERY,
            renews=renews,
        )
    )


def _read_fields(core: Core, code: str, questions: Sequence[Question]) -> Plan[tuple[str, ...]]:
    """The fields that the questions about a type read; the certificate's number where they read none."""
    asked = [one for one in questions if one.certificate_type == code]
    fields = tuple(dict.fromkeys(one.field for one in asked if one.field))
    if fields:
        return fields
    kind = yield from chain.certificate_type(core, code)
    number = kind.schema.get("certificate_number_field")
    return (number if isinstance(number, str) else kind.fields[0],)


def answer(
    core: Core,
    grant_id: str,
    certificate: str,
    question: Question,
    to_dir: Path,
    *,
    node: str = "",
    report: Report = silent,
) -> Plan[Answered]:
    """Have a question answered about a certificate; costs a use, and gives the recorded answer if it was answered before.

    Args:
        grant_id, certificate: hex.
        question: one of the grant's.
        to_dir: folder for the file of the answer.
        node: operator account (hex) of the node that is to do it; the first that answers when empty.
        report: told of each step.

    Raises:
        Denied: the contract refused; on record.
        Mismatch: the file answers something else.
    """
    output = Output(
        certificate=bytes.fromhex(certificate),
        format=OutputFormat.ANSWER,
        fields=(),
        attachment="",
        question=question,
    )
    got = yield from releases.retrieve(core, grant_id, [output], to_dir, node=node, report=report)
    found = read_answer(got.files[0].read_bytes())
    said = (found.certificate_id, found.question, found.parameter)
    if said != (certificate, question.name, question.parameter):
        raise Mismatch(what="answer", expected=f"{certificate} {question.name}", actual=" ".join(said))
    return Answered(answer=found, retrieved=got)


def read_answer(data: bytes) -> AnswerFile:
    """Read the file of an answer.

    Raises:
        DecodeError: not such a file.
    """
    if len(data) > ANSWER_SIZE_BYTES_MAX:
        raise DecodeError(what="answer", reason=f"more than {ANSWER_SIZE_BYTES_MAX} bytes")
    try:
        return decode_json(data, AnswerFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(what="answer", reason=str(error)) from None
