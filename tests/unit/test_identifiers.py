"""Identity numbers and organisation codes: what the standards allow passes, any slip of the pen is caught."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zhenglian.identifiers import (
    ORGANIZATION_ALPHABET,
    ORGANIZATION_CATEGORIES,
    PROVINCES,
    Fault,
    IdentityNumberInvalid,
    OrganizationCodeInvalid,
    Sex,
    body_check_character,
    check_identity_number,
    check_organization_code,
    identity_check_character,
    organization_check_character,
)

# The worked examples of GB 11643 and GB 32100, and codes that institutions publish.
IDENTITY_EXAMPLES = {
    "11010519491231002X": (date(1949, 12, 31), Sex.FEMALE, "110105"),
    "440524188001010014": (date(1880, 1, 1), Sex.MALE, "440524"),
}
ORGANIZATION_EXAMPLES = ("91350100M000100Y43", "91110000600037341L", "9144030071526726XG")


@st.composite
def identity_numbers(draw: st.DrawFn) -> str:
    province = draw(st.sampled_from(sorted(PROVINCES)))
    born = draw(st.dates(date(1850, 1, 1), date(2026, 12, 31)))
    first17 = f"{province}{draw(st.integers(0, 9999)):04d}{born:%Y%m%d}{draw(st.integers(1, 999)):03d}"
    return first17 + identity_check_character(first17)


@st.composite
def organization_codes(draw: st.DrawFn) -> str:
    authority = draw(st.sampled_from(sorted(ORGANIZATION_CATEGORIES)))
    category = draw(st.sampled_from(ORGANIZATION_CATEGORIES[authority]))
    division = draw(st.sampled_from(sorted(PROVINCES))) + f"{draw(st.integers(0, 9999)):04d}"
    body = draw(st.text(ORGANIZATION_ALPHABET, min_size=8, max_size=8))
    first17 = authority + category + division + body + body_check_character(body)
    return first17 + organization_check_character(first17)


@pytest.mark.parametrize(("number", "meaning"), IDENTITY_EXAMPLES.items())
def test_the_standards_examples_are_read(number: str, meaning: tuple[date, Sex, str]) -> None:
    identity = check_identity_number(number)
    assert (identity.birth_date, identity.sex, identity.division) == meaning


@given(identity_numbers())
def test_a_well_made_identity_number_says_birth_date_sex_and_division(number: str) -> None:
    identity = check_identity_number(number)
    assert f"{identity.division}{identity.birth_date:%Y%m%d}" == number[:14]
    assert (identity.sex is Sex.MALE) == (number[16] in "13579")


@given(identity_numbers(), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_any_single_changed_character_of_an_identity_number_is_caught(number: str, at: int, to: str) -> None:
    assume(number[at] != to)
    with pytest.raises(IdentityNumberInvalid):
        check_identity_number(number[:at] + to + number[at + 1 :])


@given(identity_numbers(), st.integers(0, 16))
def test_any_two_swapped_neighbours_in_an_identity_number_are_caught(number: str, at: int) -> None:
    assume(number[at] != number[at + 1])
    with pytest.raises(IdentityNumberInvalid):
        check_identity_number(number[:at] + number[at + 1] + number[at] + number[at + 2 :])


def _identity(first17: str) -> str:
    return first17 + identity_check_character(first17)


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("", Fault.LENGTH),
        ("11010549123100", Fault.LENGTH),
        ("11010519491231002X ", Fault.LENGTH),
        ("11010519491231002x", Fault.CHARACTER),
        ("１1010519491231002X", Fault.CHARACTER),
        ("1101051949123100²X", Fault.CHARACTER),
        (_identity("99010519491231002"), Fault.DIVISION),
        (_identity("37050219990229001"), Fault.BIRTH_DATE),
        (_identity("37050218491231001"), Fault.BIRTH_DATE),
        (_identity("37050219991301001"), Fault.BIRTH_DATE),
        (_identity("37050219990228000"), Fault.SEQUENCE),
        ("110105194912310021", Fault.CHECK),
    ],
)
def test_an_identity_number_is_refused_with_what_is_wrong(number: str, fault: Fault) -> None:
    with pytest.raises(IdentityNumberInvalid) as caught:
        check_identity_number(number)
    assert caught.value.fault is fault
    assert fault.value[0] in caught.value.message("zh")
    assert fault.value[1] in caught.value.message("en")


def test_a_refusal_never_repeats_the_number() -> None:
    with pytest.raises(IdentityNumberInvalid) as caught:
        check_identity_number("370502199902280011")
    assert "370502" not in str(caught.value) + caught.value.message("zh") + repr(caught.value.fields)


@pytest.mark.parametrize("code", ORGANIZATION_EXAMPLES)
def test_published_organization_codes_are_read(code: str) -> None:
    assert check_organization_code(code).body == code[8:17]


@given(organization_codes())
def test_a_well_made_organization_code_says_its_parts(code: str) -> None:
    parts = check_organization_code(code)
    assert parts.authority + parts.category + parts.division + parts.body == code[:17]


@given(organization_codes(), st.integers(0, 17), st.sampled_from(ORGANIZATION_ALPHABET))
def test_any_single_changed_character_of_an_organization_code_is_caught(code: str, at: int, to: str) -> None:
    assume(code[at] != to)
    with pytest.raises(OrganizationCodeInvalid):
        check_organization_code(code[:at] + to + code[at + 1 :])


@given(organization_codes(), st.integers(0, 16))
def test_any_two_swapped_neighbours_in_an_organization_code_are_caught(code: str, at: int) -> None:
    assume(code[at] != code[at + 1])
    with pytest.raises(OrganizationCodeInvalid):
        check_organization_code(code[:at] + code[at + 1] + code[at] + code[at + 2 :])


def _organization(first17: str) -> str:
    return first17 + organization_check_character(first17)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("91350100M000100Y4", Fault.LENGTH),
        ("91350100M000100y43", Fault.CHARACTER),
        ("91350100M0001O0Y43", Fault.CHARACTER),
        ("9135010AM000100Y43", Fault.CHARACTER),
        (_organization("94350100M000100Y4"), Fault.CATEGORY),
        (_organization("B1350100M000100Y4"), Fault.CATEGORY),
        (_organization("91990100M000100Y4"), Fault.DIVISION),
        (_organization("91350100M000100Y5"), Fault.BODY_CHECK),
        ("91350100M000100Y44", Fault.CHECK),
    ],
)
def test_an_organization_code_is_refused_with_what_is_wrong(code: str, fault: Fault) -> None:
    with pytest.raises(OrganizationCodeInvalid) as caught:
        check_organization_code(code)
    assert caught.value.fault is fault
    assert fault.value[0] in caught.value.message("zh")


def test_a_body_registered_by_the_centre_has_a_division_of_its_own() -> None:
    assert check_organization_code(_organization("11100000M000100Y4")).division == "100000"
