"""Synthetic people are valid, different, and always the same; their certificates agree with them."""

from __future__ import annotations

from datetime import date
from random import Random

import pytest

from ledger.errors import LimitExceeded
from zhenglian.catalogue import CertificateTypeSpec, FieldKind, Holder, load_catalogue
from zhenglian.identifiers import Sex, check_identity_number, check_organization_code
from zhenglian_demo.certificates import (
    CertificateContent,
    CertificateUnsuitable,
    make_certificate,
    suits,
    years_after,
)
from zhenglian_demo.people import PEOPLE_MAX, REFERENCE_DATE, Person, make_family, make_people
from zhenglian_demo.values import load_values

PEOPLE = make_people(2026, 2000)
CATALOGUE = {spec.code: spec for spec in load_catalogue()}


def _holder(spec: CertificateTypeSpec, start: int = 0) -> Person:
    return next(person for person in PEOPLE[start:] if suits(spec, person))


@pytest.fixture(scope="module")
def certificates() -> dict[str, tuple[Person, CertificateContent]]:
    made = {}
    for spec in CATALOGUE.values():
        person = _holder(spec, spec.number)
        made[spec.code] = (person, make_certificate(spec, person, Random(spec.number)))
    return made


def test_two_thousand_people_have_two_thousand_valid_numbers_that_say_what_they_are() -> None:
    assert len({person.identity_number for person in PEOPLE}) == 2000
    for person in PEOPLE:
        identity = check_identity_number(person.identity_number)
        assert (identity.birth_date, identity.sex) == (person.birth_date, person.sex)
        assert identity.division.startswith("37")
        assert 20 <= (REFERENCE_DATE - person.birth_date).days // 365.25 <= 84
        assert len(person.phone) == 11
        assert person.district in person.address
        assert len(person.name) >= 2


def test_the_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    assert make_people(2026, 50) == PEOPLE[:50]
    assert make_people(2027, 50) != PEOPLE[:50]
    assert make_people(1, 0) == ()


def test_people_stay_different_where_chance_alone_would_repeat_a_number() -> None:
    people = make_people(3, 30_000)
    assert len(people) == len({person.identity_number for person in people}) == 30_000


def test_too_many_people_are_refused() -> None:
    for count in (-1, PEOPLE_MAX + 1):
        with pytest.raises(LimitExceeded):
            make_people(1, count)


def test_relatives_are_valid_people_of_the_right_generation() -> None:
    for person in PEOPLE[:300]:
        family = make_family(person)
        assert family == make_family(person)
        assert family.spouse.sex is not person.sex
        assert family.parent.birth_date < person.birth_date < family.child.birth_date <= REFERENCE_DATE
        assert family.parent.name[0] == person.name[0]
        for relative in (family.spouse, family.child, family.parent):
            assert check_identity_number(relative.identity_number).birth_date == relative.birth_date


def test_every_type_can_be_issued_with_values_of_its_declared_kinds(
    certificates: dict[str, tuple[Person, CertificateContent]],
) -> None:
    for code, (_, content) in certificates.items():
        spec = CATALOGUE[code]
        assert {field.name for field in spec.fields if field.required} <= content.fields.keys(), code
        assert list(content.fields) == [field.name for field in spec.fields if field.name in content.fields]
        for field in spec.fields:
            value = content.fields.get(field.name)
            match field.kind, value:
                case _, None:
                    assert not field.required
                case FieldKind.INTEGER, _:
                    assert isinstance(value, int)
                case FieldKind.ROWS, list():
                    columns = [column.name for column in field.columns]
                    assert all(list(row) == columns for row in value)
                    keys = [tuple(row[name] for name in field.natural_key) for row in value]
                    assert len(set(keys)) == len(keys)
                    assert len({row["row_reference"] for row in value}) == len(value)
                case FieldKind.DATE, str():
                    date.fromisoformat(value)
                case FieldKind.DECIMAL, str():
                    assert len(value.partition(".")[2]) == field.decimals
                    assert float(value) >= 0
                case FieldKind.IDENTITY_NUMBER, str():
                    check_identity_number(value)
                case FieldKind.ORGANIZATION_CODE, str():
                    check_organization_code(value)
                case FieldKind.TEXT, str():
                    assert value
                    assert "{" not in value
                case _:
                    pytest.fail(f"{code}.{field.name} is {value!r}")


def test_a_certificate_agrees_with_its_holder(
    certificates: dict[str, tuple[Person, CertificateContent]],
) -> None:
    for code, (person, content) in certificates.items():
        fields = content.fields
        if CATALOGUE[code].holder is Holder.ORGANIZATION:
            assert person.name in {fields.get(n, person.name) for n in ("legal_representative", "operator")}
            continue
        assert person.name in fields.values() or code == "birth_medical_certificate"
        for name, expected in (
            ("identity_number", person.identity_number),
            ("birth_date", person.birth_date.isoformat()),
            ("sex", person.sex.value),
            ("name", person.name),
        ):
            assert fields.get(name, expected) == expected, code


def test_a_certificate_is_issued_to_an_adult_and_valid_on_the_day_it_is_made_for(
    certificates: dict[str, tuple[Person, CertificateContent]],
) -> None:
    for code, (person, content) in certificates.items():
        assert years_after(person.birth_date, 18) <= content.issued_on <= REFERENCE_DATE, code
        assert content.expires_on is None or content.expires_on > REFERENCE_DATE, code
        if "valid_until" in content.fields and content.expires_on:
            assert content.fields["valid_until"] == content.expires_on.isoformat()


def test_what_two_certificates_of_one_person_both_state_is_the_same() -> None:
    person = PEOPLE[3]
    licence, mark = (
        make_certificate(CATALOGUE[code], person, Random(code)).fields
        for code in ("vehicle_licence", "vehicle_inspection_mark")
    )
    assert (licence["plate_number"], licence["vin"]) == (mark["plate_number"], mark["vin"])
    one, two = (
        make_certificate(CATALOGUE[code], person, Random(code)).fields
        for code in ("construction_safety_licence", "construction_enterprise_qualification")
    )
    assert one["organization_code"] == two["organization_code"]


def test_the_same_input_makes_the_same_certificate() -> None:
    spec, person = CATALOGUE["social_security_card"], PEOPLE[5]
    first, second = (make_certificate(spec, person, Random(9)) for _ in range(2))
    assert first == second
    assert make_certificate(spec, person, Random(10)).fields != first.fields


def test_social_security_payments_have_240_rows_of_months_and_insurances() -> None:
    content = make_certificate(CATALOGUE["social_security_card"], PEOPLE[5], Random(1))
    rows = content.fields["payments"]
    assert isinstance(rows, list)
    assert len(rows) == 240
    assert len({row["month"] for row in rows}) == 48
    assert len({row["insurance"] for row in rows}) == 5
    assert all(str(row["arrival_date"]).startswith(str(row["month"])) for row in rows)
    assert all(float(row["interest_estimate"]) > 0.05 for row in rows)


def test_an_identity_card_lasts_as_long_as_the_law_says_for_the_age_at_issue() -> None:
    for person in PEOPLE[:16]:
        content = make_certificate(
            CATALOGUE["resident_identity_card"], person, Random(person.identity_number)
        )
        issued = content.issued_on
        if issued < years_after(person.birth_date, 26):
            expected: date | None = years_after(issued, 10)
        elif issued < years_after(person.birth_date, 46):
            expected = years_after(issued, 20)
        else:
            expected = None
        assert content.expires_on == expected
        assert ("valid_until" in content.fields) == (expected is not None)


def test_a_birth_certificate_names_child_mother_and_father() -> None:
    spec = CATALOGUE["birth_medical_certificate"]
    person = _holder(spec)
    fields = make_certificate(spec, person, Random(1)).fields
    family = make_family(person)
    assert fields["newborn_name"] == family.child.name
    own = "mother_identity_number" if person.sex is Sex.FEMALE else "father_identity_number"
    assert fields[own] == person.identity_number


def test_who_is_too_young_for_a_type_does_not_get_it() -> None:
    spec = CATALOGUE["senior_citizen_card"]
    young = next(person for person in PEOPLE if person.birth_date.year > 1990)
    assert not suits(spec, young)
    with pytest.raises(CertificateUnsuitable):
        make_certificate(spec, young, Random(1))


def test_every_listed_wording_belongs_to_a_field_of_the_catalogue() -> None:
    fields = {field.name for spec in CATALOGUE.values() for field in spec.fields}
    full = {f"{spec.code}.{field.name}" for spec in CATALOGUE.values() for field in spec.fields}
    assert set(load_values()) <= fields | full
