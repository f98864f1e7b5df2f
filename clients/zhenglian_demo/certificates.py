"""What synthetic certificates say: fields that agree with the person, tables, and drawn attachments.

Rule: everything follows from the type, the person, the random source and the day it is made for. What two
certificates of one person both state (name, number, birth date, spouse, organisation, vehicle, home) is the
same in both. A certificate is issued at an age at which one can have it, and has not expired on that day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Final

from msgspec import Struct

from ledger.errors import LedgerError
from zhenglian.catalogue import CertificateTypeSpec, FieldKind, FieldSpec
from zhenglian.identifiers import Sex
from zhenglian_demo.drawing import draw_attachment
from zhenglian_demo.people import (
    REFERENCE_DATE,
    Family,
    Organization,
    OrganizationForm,
    Person,
    make_family,
    make_organization,
)
from zhenglian_demo.tables import TABLES, Rows
from zhenglian_demo.values import draw_value, patterns_of

Value = str | int | Rows

AGE_MIN: Final = 18
RECENT_YEARS: Final = 8

# Type → age at issue, from and to, where it is not “any adult”.
_AGES: Final = {
    "education_proof": (20, 21),
    "education_certificate": (22, 24),
    "degree_proof": (22, 25),
    "employment_registration_card": (22, 24),
    "marriage_certificate": (22, 34),
    "family_planning_handbook": (23, 40),
    "divorce_certificate": (26, 60),
    "birth_medical_certificate": (22, 46),
    "professional_qualification": (24, 60),
    "physician_practice_certificate": (25, 60),
    "nurse_practice_certificate": (21, 60),
    "lawyer_practice_certificate": (24, 70),
    "senior_citizen_card": (60, 100),
}
# Type → what kind of organisation holds it, where it is not any company.
_FORMS: Final = {
    "charity_fundraising_qualification": OrganizationForm("慈善基金会", "53"),
    "social_group_registration": OrganizationForm("行业协会", "51"),
    "private_nonprofit_registration": OrganizationForm("社会服务中心", "52"),
    "maternal_infant_care_licence": OrganizationForm("妇产医院有限公司"),
    "medical_institution_licence": OrganizationForm("综合门诊部有限公司"),
    "hygiene_licence": OrganizationForm("酒店管理有限公司"),
    "hazardous_chemicals_trading_licence": OrganizationForm("化工有限公司"),
    "mining_licence": OrganizationForm("矿业有限公司"),
    "food_production_licence": OrganizationForm("食品有限公司"),
    "food_trading_licence": OrganizationForm("餐饮管理有限公司"),
    "drug_trading_licence": OrganizationForm("大药房有限公司"),
    "industrial_product_licence": OrganizationForm("工业制造有限公司"),
    "special_equipment_inspection_approval": OrganizationForm("特种设备检测有限公司"),
    "small_food_workshop_registration": OrganizationForm("小吃店", "92"),
    "tcm_clinic_filing": OrganizationForm("中医诊所", "92"),
    "construction_safety_licence": OrganizationForm("建设工程有限公司"),
    "construction_enterprise_qualification": OrganizationForm("建设工程有限公司"),
    "property_developer_qualification": OrganizationForm("房地产开发有限公司"),
    "construction_testing_qualification": OrganizationForm("工程检测有限公司"),
    "engineering_survey_qualification": OrganizationForm("勘察设计有限公司"),
    "engineering_supervision_qualification": OrganizationForm("工程监理有限公司"),
    "law_firm_licence": OrganizationForm("律师事务所", "31"),
    "water_abstraction_licence": OrganizationForm("水务有限公司"),
}
# Facts of a person that several types state: drawn from the person, not from the certificate.
_LASTING: Final = frozenset(
    {"plate_number", "vin", "blood_type", "location", "unit_number", "practice_place"}
)
_SCHOOL_DATES: Final = frozenset({"enrolment_date", "graduation_date"})


class CertificateUnsuitable(LedgerError):
    """This person is too young, or too old, for this type on that day. Fields: certificate_type."""

    code = "certificate_unsuitable"
    zh = "此人不具备持有 {certificate_type} 的条件"
    en = "This person cannot hold a {certificate_type}"


class CertificateContent(Struct, frozen=True):
    """What one certificate says.

    Attributes:
        fields: values by field name, in the order of the schema, written as its kinds say; optional ones may
            be absent.
        attachments: (name, media type, bytes), in the order of the schema.
        issued_on: first day of its validity.
        expires_on: last day, None when it does not expire.
    """

    fields: dict[str, Value]
    attachments: list[tuple[str, str, bytes]]
    issued_on: date
    expires_on: date | None


class _Facts(Struct, frozen=True):
    """What the fields of one certificate are made from."""

    spec: CertificateTypeSpec
    person: Person
    family: Family
    organization: Organization
    issued: date
    expires: date | None
    tables: dict[str, Rows]


def suits(spec: CertificateTypeSpec, person: Person, as_of: date = REFERENCE_DATE) -> bool:
    """Whether the person can have a certificate of this type on that day."""
    first, last = _issue_window(spec, person, as_of)
    return first <= last


def make_certificate(
    spec: CertificateTypeSpec, person: Person, rng: Random, as_of: date = REFERENCE_DATE
) -> CertificateContent:
    """Make one certificate, valid on the day `as_of`.

    Args:
        spec: its type.
        person: its holder; for a type that organisations hold, the organisation's legal representative.
        rng: decides what the person does not.
        as_of: the day it is made for.

    Raises:
        CertificateUnsuitable: when `suits` says no.
    """
    first, last = _issue_window(spec, person, as_of)
    if first > last:
        raise CertificateUnsuitable(certificate_type=spec.code)
    issued = first + timedelta(days=rng.randint(0, (last - first).days))
    facts = _Facts(
        spec=spec,
        person=person,
        family=make_family(person),
        organization=make_organization(person, _FORMS.get(spec.code, OrganizationForm())),
        issued=issued,
        expires=_expiry(spec, person, issued),
        tables={
            field.name: TABLES[field.name](person, rng, issued if field.required else as_of)
            for field in spec.fields
            if field.kind is FieldKind.ROWS
        },
    )
    fields = _make_fields(facts, rng)
    attachments = [
        (attachment.name, attachment.media_type, draw_attachment(spec, attachment, fields, person))
        for attachment in spec.attachments
    ]
    return CertificateContent(fields, attachments, issued, facts.expires)


def _issue_window(spec: CertificateTypeSpec, person: Person, as_of: date) -> tuple[date, date]:
    """First and last day on which it can have been issued; first > last when there is none."""
    if spec.code == "birth_medical_certificate":
        born = make_family(person).child.birth_date
        age = born.year - person.birth_date.year
        low, high = _AGES[spec.code]
        first = born + timedelta(days=3)
        return (first, min(first + timedelta(days=20), as_of)) if low <= age <= high else (as_of, date.min)
    low, high = _AGES.get(spec.code, (AGE_MIN, 120))
    first, last = years_after(person.birth_date, low), min(years_after(person.birth_date, high), as_of)
    bounded_years = min(spec.validity_years or RECENT_YEARS, RECENT_YEARS)
    if spec.validity_years is not None or spec.code not in _AGES or high >= 60:
        first = max(first, years_after(as_of, -bounded_years) + timedelta(days=1))
    return first, last


def _expiry(spec: CertificateTypeSpec, person: Person, issued: date) -> date | None:
    if spec.validity_years is None:
        return None
    if spec.code == "resident_identity_card":
        # Ten years under 26, twenty under 46, then for life (居民身份证法, article 5).
        age = _age(person.birth_date, issued)
        return years_after(issued, 10 if age < 26 else 20) if age < 46 else None
    return years_after(issued, spec.validity_years)


def _make_fields(facts: _Facts, rng: Random) -> dict[str, Value]:
    words = {
        "district": facts.person.district,
        "id": facts.person.identity_number,
        "phone": facts.person.phone,
        "brand": facts.organization.brand,
        "org": make_organization(facts.person, OrganizationForm("石油装备有限公司")).name,
        "y": str(facts.issued.year),
        "date": f"{facts.family.child.birth_date:%Y年%m月%d日}",
    }
    place = rng.random()
    fields: dict[str, Value] = {}
    for field in facts.spec.fields:
        value = _decided_value(field, facts)
        if value is None and (patterns := patterns_of(facts.spec.code, field.name)):
            if not field.required and rng.random() < 0.25:
                continue
            source = Random(f"{facts.person.identity_number}/{field.name}") if field.name in _LASTING else rng
            at = source.random() if field.name in _LASTING else place
            earliest = (
                date.min if field.name in _SCHOOL_DATES else years_after(facts.person.birth_date, AGE_MIN)
            )
            value = draw_value(
                field, patterns[int(at * len(patterns))], words, source, facts.issued, earliest
            )
        if value is not None:
            fields[field.name] = value
    if fields.get("change_item") == "名称变更":
        fields["after_change"] = facts.organization.name
    return fields


def _decided_value(field: FieldSpec, facts: _Facts) -> Value | None:
    """The value that the person, a relative, the organisation or the dates decide; None when none does."""
    if field.kind is FieldKind.ROWS:
        return facts.tables[field.name]
    for prefix, relative in _relatives(facts).items():
        if field.name.startswith(prefix):
            return _PERSON_VALUES[field.name.removeprefix(prefix)](relative)
    if field.name in _PERSON_VALUES:
        return _PERSON_VALUES[field.name](facts.person)
    if patterns_of(facts.spec.code, field.name):
        return None
    return _SUBJECT_VALUES[field.name](facts)


def _relatives(facts: _Facts) -> dict[str, Person]:
    person, family = facts.person, facts.family
    mother, father = (person, family.spouse) if person.sex is Sex.FEMALE else (family.spouse, person)
    return {
        "spouse_": family.spouse,
        "newborn_": family.child,
        "mother_": mother,
        "father_": father,
        "cancelled_": family.parent,
        "deceased_": family.parent,
    }


_PERSON_VALUES: Final[dict[str, Callable[[Person], str]]] = {
    "name": lambda person: person.name,
    "sex": lambda person: person.sex.value,
    "ethnic_group": lambda person: person.ethnic_group,
    "birth_date": lambda person: person.birth_date.isoformat(),
    "identity_number": lambda person: person.identity_number,
    "address": lambda person: person.address,
}
_SUBJECT_VALUES: Final[dict[str, Callable[[_Facts], Value | None]]] = {
    "organization_name": lambda facts: facts.organization.name,
    "organization_code": lambda facts: facts.organization.code,
    "registered_address": lambda facts: facts.organization.address,
    "after_change": lambda facts: facts.organization.address,
    "legal_representative": lambda facts: facts.organization.legal_representative,
    "principal": lambda facts: facts.organization.legal_representative,
    "operator": lambda facts: facts.organization.legal_representative,
    "issue_date": lambda facts: facts.issued.isoformat(),
    "valid_from": lambda facts: facts.issued.isoformat(),
    "valid_until": lambda facts: facts.expires.isoformat() if facts.expires else None,
    "age": lambda facts: _age(facts.person.birth_date, facts.issued),
    "property_count": lambda facts: len(facts.tables["properties"]),
}


def years_after(day: date, years: int) -> date:
    """The same day so many years later, 28 February standing for 29 where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _age(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
