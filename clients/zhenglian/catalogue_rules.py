"""Defaults of the catalogue by rule: class of data, questions and partitions of every type.

Rule: the rules are data (`data/classification.json`, `data/questions.json`), short enough to be read and decided on;
what a type says itself is left as it is. The first rule of classification that fits a part decides; questions and
partitions go to every type that has a field of their term.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from contracts.class_records import Grade, Sensitivity
from ledger.decoders import decode_json
from ledger.errors import InvariantViolation
from zhenglian.catalogue_questions import PartitionSpec, QuestionSpec, TermCode

if TYPE_CHECKING:
    from zhenglian.catalogue import AttachmentSpec, CertificateTypeSpec, FieldSpec

RULES_MAX: Final = 256
_ANY: Final = "*"

T = TypeVar("T")
P = TypeVar("P", "FieldSpec", "AttachmentSpec")


class _Data(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what the rules are made of."""


class ClassificationRule(_Data, frozen=True):
    """What class a part gets; every condition that is given must fit.

    Attributes:
        why_zh: the provision or the reason, for whoever reviews it.
        holder: "person" or "organization".
        parts: "<name>" of fields and attachments of any type, or "<type>.<name>".
        kind: of fields; "attachment" for attachments.
        level_least: lowest class level.
        sensitivity, grade: the class.
    """

    why_zh: str
    sensitivity: Sensitivity
    grade: Grade = Grade.GENERAL
    holder: str = ""
    parts: tuple[str, ...] = ()
    kind: str = ""
    level_least: int = 1


class QuestionRule(_Data, frozen=True):
    """A question for every type with a field of the term; `types` says which, if not all."""

    term: str
    question: QuestionSpec
    types: tuple[str, ...] = ()


class PartitionRule(_Data, frozen=True):
    """A partition likewise; its field and subject are filled in."""

    term: TermCode
    partition: PartitionSpec
    types: tuple[str, ...] = ()


class _Rules(_Data, frozen=True):
    questions: Annotated[tuple[QuestionRule, ...], Meta(max_length=RULES_MAX)]
    partitions: Annotated[tuple[PartitionRule, ...], Meta(max_length=RULES_MAX)]


@cache
def classification_rules() -> tuple[ClassificationRule, ...]:
    """The shipped rules of classification, in the order in which they are tried."""
    return _load("classification.json", tuple[ClassificationRule, ...])


@cache
def declared_rules() -> _Rules:
    """The shipped questions and partitions."""
    return _load("questions.json", _Rules)


def completed(spec: CertificateTypeSpec) -> CertificateTypeSpec:
    """The type with everything that rules say and it does not."""
    return replace(
        spec,
        fields=tuple(_classified(spec, field, field.kind.value) for field in spec.fields),
        attachments=tuple(_classified(spec, part, "attachment") for part in spec.attachments),
        questions=spec.questions or _questions(spec),
        partitions=spec.partitions or _partitions(spec),
    )


def _classified(spec: CertificateTypeSpec, part: P, kind: str) -> P:
    if part.sensitivity is not None and part.grade is not None:
        return part
    rule = next((rule for rule in classification_rules() if _fits(rule, spec, part, kind)), None)
    if rule is None:
        raise InvariantViolation(f"no rule classifies {spec.code}.{part.name}")
    return replace(part, sensitivity=part.sensitivity or rule.sensitivity, grade=part.grade or rule.grade)


def _fits(
    rule: ClassificationRule, spec: CertificateTypeSpec, part: FieldSpec | AttachmentSpec, kind: str
) -> bool:
    named = not rule.parts or part.name in rule.parts or f"{spec.code}.{part.name}" in rule.parts
    return (
        named
        and rule.holder in {"", spec.holder.value}
        and rule.kind in {"", kind}
        and part.class_level >= rule.level_least
    )


def _questions(spec: CertificateTypeSpec) -> tuple[QuestionSpec, ...]:
    found = []
    for rule in declared_rules().questions:
        if rule.types and spec.code not in rule.types:
            continue
        if rule.term == _ANY:
            found.append(replace(rule.question, subject=f"{spec.code}.{rule.question.subject}"))
        found += [replace(rule.question, field=name) for name in _fields(spec, rule.term)[:1]]
    return tuple(found)


def _partitions(spec: CertificateTypeSpec) -> tuple[PartitionSpec, ...]:
    return tuple(
        replace(rule.partition, field=name, subject=rule.term)
        for rule in declared_rules().partitions
        if not rule.types or spec.code in rule.types
        for name in _fields(spec, rule.term)[:1]
    )


def _fields(spec: CertificateTypeSpec, term: str) -> list[str]:
    # Here and not above: the dictionary describes the catalogue, which is completed by this very room.
    from zhenglian.dictionary import fields_of

    return [] if term == _ANY else fields_of(spec, term)


def _load(name: str, kind: type[T]) -> T:
    data = (resources.files("zhenglian") / "data" / name).read_bytes()
    return decode_json(data, kind)
