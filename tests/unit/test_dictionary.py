"""The dictionary, the rules and the catalogue agree, and a catalogue that contradicts itself is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from contracts.class_records import Grade, Sensitivity
from contracts.classes import class_of, rule_of
from contracts.question_records import QuestionKind
from contracts.records import SCHEMA_SIZE_BYTES_MAX, AccountKind
from ledger.errors import LimitExceeded
from zhenglian.catalogue import CatalogueInvalid, decode_schema, encode_schema, load_catalogue
from zhenglian.catalogue_questions import CellSpec, ParameterSpec
from zhenglian.catalogue_rules import completed
from zhenglian.dictionary import (
    DICTIONARY_SIZE_BYTES_MAX,
    DictionaryInvalid,
    decode_dictionary,
    fields_of,
    is_term,
    load_dictionary,
    term_code,
)
from zhenglian.type_records import certificate_type_of

SPECS = {spec.code: spec for spec in load_catalogue()}
CARD = SPECS["resident_identity_card"]


def test_every_standard_term_is_a_field_of_some_type() -> None:
    for term in load_dictionary().terms:
        assert any(fields_of(spec, term.term) for spec in SPECS.values()), term.term
        for pattern in term.fields:
            where, name = pattern.replace(":", ".").split(".")
            types = [
                spec
                for spec in SPECS.values()
                if where in {spec.code, spec.holder.value} and spec.field(name)
            ]
            assert types, pattern


def test_a_field_without_an_entry_has_its_own_term() -> None:
    assert term_code("vehicle_licence", "person", "seats") == "vehicle_licence.seats"
    assert is_term("vehicle_licence.seats")
    assert is_term("person.name")
    assert not is_term("person.nickname")


def test_the_same_name_means_the_holder_where_it_is_the_holders() -> None:
    assert term_code("resident_identity_card", "person", "name") == "person.name"
    assert term_code("birth_medical_certificate", "person", "mother_name") == "mother.name"


@pytest.mark.parametrize(
    "terms",
    [
        [{"term": "a", "name_zh": "甲", "name_en": "a"}, {"term": "a", "name_zh": "乙", "name_en": "b"}],
        [
            {"term": "a", "name_zh": "甲", "name_en": "a", "fields": ["person:x"]},
            {"term": "b", "name_zh": "乙", "name_en": "b", "fields": ["person:x"]},
        ],
        [{"term": "a", "name_zh": "甲", "name_en": "a", "fields": ["x"]}],
        [{"term": "A", "name_zh": "甲", "name_en": "a"}],
        [{"term": "a", "name_zh": "甲", "name_en": "a", "other": 1}],
    ],
)
def test_a_dictionary_that_contradicts_itself_is_refused(terms: list[dict[str, Any]]) -> None:
    with pytest.raises(DictionaryInvalid):
        decode_dictionary(msgspec.json.encode({"version": 1, "terms": terms}))


def test_a_dictionary_that_is_too_large_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        decode_dictionary(b" " * (DICTIONARY_SIZE_BYTES_MAX + 1))


# --- the rules ---


def test_every_part_of_the_catalogue_has_a_class() -> None:
    for spec in SPECS.values():
        for part in (*spec.fields, *spec.attachments):
            assert part.sensitivity is not None  # type: ignore[attr-defined]
            assert part.grade is not None  # type: ignore[attr-defined]


def test_what_a_type_says_itself_stays() -> None:
    fields = (replace(CARD.fields[0], sensitivity=Sensitivity.SENSITIVE, grade=Grade.CORE), *CARD.fields[1:])
    kept = completed(replace(CARD, fields=fields, questions=(), partitions=()))
    assert (kept.fields[0].sensitivity, kept.fields[0].grade) == (Sensitivity.SENSITIVE, Grade.CORE)


@pytest.mark.parametrize(
    ("kind", "name", "sensitivity"),
    [
        ("resident_identity_card", "identity_number", Sensitivity.SENSITIVE),
        ("resident_identity_card", "portrait", Sensitivity.SENSITIVE),
        ("resident_identity_card", "name", Sensitivity.PERSONAL),
        ("resident_identity_card", "issuing_authority", Sensitivity.NONE),
        ("birth_medical_certificate", "newborn_name", Sensitivity.SENSITIVE),
        ("business_licence", "legal_representative", Sensitivity.PERSONAL),
        ("business_licence", "organization_name", Sensitivity.NONE),
    ],
)
def test_the_shipped_classes(kind: str, name: str, sensitivity: Sensitivity) -> None:
    assert class_of(certificate_type_of(SPECS[kind]), name).sensitivity is sensitivity


def test_important_data_goes_to_departments_only() -> None:
    part = class_of(certificate_type_of(SPECS["mining_licence"]), "capacity")
    assert part.grade is Grade.IMPORTANT
    assert rule_of(part).askers == {AccountKind.DEPARTMENT.value}


def test_every_type_fits_into_its_record_and_reads_back() -> None:
    for spec in SPECS.values():
        data = encode_schema(spec)
        assert len(data) <= SCHEMA_SIZE_BYTES_MAX
        assert decode_schema(data) == spec
        record = certificate_type_of(spec)
        assert {one.name for one in record.questions} == {one.name for one in spec.questions}
        assert len(record.classes) == len(spec.fields) + len(spec.attachments)


def test_one_subject_is_one_term_in_every_type() -> None:
    """A birth date is the same subject on every certificate that has one, or it could be searched."""
    asked = {
        (one.kind, one.subject)
        for spec in SPECS.values()
        for one in spec.questions
        if one.kind is QuestionKind.OLDER_THAN
    }
    assert asked == {(QuestionKind.OLDER_THAN, "person.birth_date")}


# --- declarations that contradict themselves ---


def _question(**changes: Any) -> Any:
    return replace(CARD.questions[0], **changes)


def _partition(**changes: Any) -> Any:
    return replace(CARD.partitions[0], **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"field": "nobody"},
        {"field": "name"},
        {"parameters": ()},
        {"parameters": (ParameterSpec(value="18"), ParameterSpec(value="18"))},
        {"parameters": (ParameterSpec(value="-1"),)},
        {"parameters": (ParameterSpec(value="151"),)},
        {"parameters": (ParameterSpec(value="18", covered_by=("20",)),)},
        {"kind": QuestionKind.COUNTED},
        {"kind": QuestionKind.COVERS},
        {"kind": QuestionKind.AT_LEAST},
        {"kind": QuestionKind.VALID_ON},
        {"column": "base"},
        {"name": "valid_on"},
    ],
)
def test_a_question_that_contradicts_its_field_is_refused(changes: dict[str, Any]) -> None:
    spec = replace(CARD, questions=(_question(**changes), *CARD.questions[1:]))
    with pytest.raises(CatalogueInvalid):
        decode_schema(encode_schema(spec))


@pytest.mark.parametrize(
    "changes",
    [
        {"field": "nobody"},
        {"field": "name"},
        {"name": "older_than"},
        {"cells": (CellSpec(name="a", name_zh="甲", least=1), CellSpec(name="a", name_zh="乙"))},
        {"cells": (CellSpec(name="a", name_zh="甲", least=1), CellSpec(name="b", name_zh="乙", below=9))},
        {"cells": (CellSpec(name="a", name_zh="甲", values=("x",)), CellSpec(name="b", name_zh="乙"))},
        {"cells": (CellSpec(name="a", name_zh="甲"), CellSpec(name="b", name_zh="乙"))},
        {
            "cells": (
                CellSpec(name="a", name_zh="甲", below=20),
                CellSpec(name="b", name_zh="乙", least=10),
                CellSpec(name="c", name_zh="丙"),
            )
        },
        {"cells": (CellSpec(name="a", name_zh="甲", least=5, below=5), CellSpec(name="b", name_zh="乙"))},
        {"base": 1},
        {"group_min": 2},
    ],
)
def test_a_partition_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    spec = replace(CARD, partitions=(_partition(**changes), *CARD.partitions[1:]))
    with pytest.raises(CatalogueInvalid):
        decode_schema(encode_schema(spec))
