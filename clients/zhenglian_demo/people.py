"""Synthetic people and organisations, made from a seed.

Rule: the same seed and count give the same people, today and on every machine; each identity number is valid
under GB 11643, each organisation code under GB 32100, and no two people share a number. They belong to
nobody.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Final

from faker import Faker
from msgspec import Struct

from ledger.errors import LimitExceeded
from zhenglian.identifiers import (
    ORGANIZATION_ALPHABET,
    Sex,
    body_check_character,
    identity_check_character,
    organization_check_character,
)
from zhenglian_demo.places import DONGYING_DIVISIONS, OTHER_DIVISIONS, ROADS, draw_address

PEOPLE_MAX: Final = 100_000
AGE_YEARS_MIN: Final = 20
AGE_YEARS_MAX: Final = 84
REFERENCE_DATE: Final = date(2026, 6, 30)

_ETHNIC_GROUPS: Final = ("汉族", "回族", "满族", "蒙古族", "朝鲜族")
_ETHNIC_WEIGHTS: Final = (960, 24, 8, 4, 4)
_MOBILE_PREFIXES: Final = ("133", "135", "138", "150", "152", "158", "177", "186", "189", "199")
_BRANDS: Final = (
    "海晟",
    "鲁源",
    "渤华",
    "瑞禾",
    "胜泰",
    "河润",
    "金沙",
    "众诚",
    "蓝湾",
    "恒信",
    "东辰",
    "万和",
)


class Person(Struct, frozen=True):
    """One synthetic citizen. `ethnic_group` and `address` are as certificates print them."""

    name: str
    sex: Sex
    birth_date: date
    ethnic_group: str
    address: str
    district: str
    identity_number: str
    phone: str


class Organization(Struct, frozen=True):
    """A synthetic organisation whose legal representative is a synthetic person."""

    name: str
    brand: str
    code: str
    address: str
    legal_representative: str


class OrganizationForm(Struct, frozen=True):
    """What an organisation's name ends in; its authority and category (GB 32100, two characters)."""

    suffix: str = "商贸有限公司"
    category: str = "91"


class Family(Struct, frozen=True):
    """A person's relatives, as marriage, birth and death documents name them."""

    spouse: Person
    child: Person
    parent: Person


def make_people(seed: int, count: int) -> tuple[Person, ...]:
    """Make `count` people, all with different identity numbers.

    Args:
        seed: any integer; decides everything.
        count: 0 to `PEOPLE_MAX`.

    Returns:
        The people, aged `AGE_YEARS_MIN` to `AGE_YEARS_MAX` at `REFERENCE_DATE`, living in Dongying.

    Raises:
        LimitExceeded: more than `PEOPLE_MAX`.
    """
    if not 0 <= count <= PEOPLE_MAX:
        raise LimitExceeded(limit="people", maximum=PEOPLE_MAX, actual=count)
    rng = Random(seed)
    faker = _faker(rng)
    people: dict[str, Person] = {}
    while len(people) < count:
        age_days = rng.randint(AGE_YEARS_MIN * 366, AGE_YEARS_MAX * 365)
        person = _make_person(rng, faker, rng.choice(tuple(Sex)), REFERENCE_DATE - timedelta(days=age_days))
        people.setdefault(person.identity_number, person)
    return tuple(people.values())


def make_family(person: Person) -> Family:
    """The person's relatives; the same ones for every certificate."""
    rng = Random(f"family/{person.identity_number}")
    faker = _faker(rng)
    other = Sex.FEMALE if person.sex is Sex.MALE else Sex.MALE
    newest = date(REFERENCE_DATE.year - AGE_YEARS_MIN, 1, 1)
    spouse_birth = min(person.birth_date + timedelta(days=rng.randint(-1400, 1400)), newest)
    spouse = _make_person(rng, faker, other, spouse_birth)
    surname = (person if person.sex is Sex.MALE else spouse).name[:1]
    child_birth = min(
        max(person.birth_date, spouse.birth_date) + timedelta(days=rng.randint(8000, 11000)),
        REFERENCE_DATE - timedelta(days=rng.randint(60, 400)),
    )
    child = _make_person(rng, faker, rng.choice(tuple(Sex)), child_birth, surname)
    parent_birth = person.birth_date - timedelta(days=rng.randint(8000, 11500))
    parent = _make_person(rng, faker, Sex.MALE, parent_birth, person.name[:1])
    return Family(spouse, child, parent)


def make_organization(person: Person, form: OrganizationForm) -> Organization:
    """The organisation of that form which the person represents; the same one for every certificate."""
    rng = Random(f"organization/{person.identity_number}")
    brand = rng.choice(_BRANDS) + rng.choice(("", "源", "达", "盛", "通", "祥"))
    address = f"山东省东营市{person.district}{rng.choice(ROADS)}{rng.randint(1, 400)}号"
    rng = Random(f"organization/{person.identity_number}/{form.category}/{form.suffix}")
    code = _make_organization_code(rng, form.category, DONGYING_DIVISIONS[person.district])
    return Organization(f"东营{brand}{form.suffix}", brand, code, address, person.name)


def _make_organization_code(rng: Random, category: str, division: str) -> str:
    body = "MA" + "".join(rng.choice(ORGANIZATION_ALPHABET) for _ in range(6))
    first17 = category + division + body + body_check_character(body)
    return first17 + organization_check_character(first17)


def draw_name(rng: Random, sex: Sex) -> str:
    """A name for somebody who appears in a document only once: a registrar, a physician, a contact."""
    faker = _faker(rng)
    return str(faker.name_male() if sex is Sex.MALE else faker.name_female())


def draw_phone(rng: Random) -> str:
    """An eleven-digit mobile number."""
    return rng.choice(_MOBILE_PREFIXES) + f"{rng.randrange(10**8):08d}"


def _faker(rng: Random) -> Faker:
    faker = Faker("zh_CN", use_weighting=True)
    faker.seed_instance(rng.getrandbits(64))
    return faker


def _make_person(rng: Random, faker: Faker, sex: Sex, birth_date: date, surname: str = "") -> Person:
    given = faker.first_name_male() if sex is Sex.MALE else faker.first_name_female()
    district = rng.choices(tuple(DONGYING_DIVISIONS), weights=(46, 12, 14, 18, 10))[0]
    division = DONGYING_DIVISIONS[district] if rng.random() < 0.8 else rng.choice(OTHER_DIVISIONS)
    sequence = 2 * rng.randrange(0, 499) + (1 if sex is Sex.MALE else 2)
    first17 = f"{division}{birth_date:%Y%m%d}{sequence:03d}"
    return Person(
        name=(surname or str(faker.last_name())) + str(given),
        sex=sex,
        birth_date=birth_date,
        ethnic_group=rng.choices(_ETHNIC_GROUPS, weights=_ETHNIC_WEIGHTS)[0],
        address=draw_address(rng, district),
        district=district,
        identity_number=first17 + identity_check_character(first17),
        phone=draw_phone(rng),
    )
