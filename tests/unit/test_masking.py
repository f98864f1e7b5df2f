"""A mask shows what its kind says and no more, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhenglian.catalogue import load_catalogue
from zhenglian.masking import HIDDEN, Mask, mask, mask_of, masked

SPECS = {spec.code: spec for spec in load_catalogue()}


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        (Mask.NAME, "王明", "王*"),
        (Mask.NAME, "王小明", "王**"),
        (Mask.NAME, "欧阳修", "欧阳*"),
        (Mask.NAME, "欧阳", "欧*"),
        (Mask.NAME, "买买提·吐尔逊", "买******"),
        (Mask.NAME, "王", "*"),
        (Mask.NAME, "", "*"),
        (Mask.NAME, "John Smith", "J****"),
        (Mask.IDENTITY_NUMBER, "370102199001011234", "370102********1234"),
        (Mask.IDENTITY_NUMBER, "370102900101123", "370102*****1123"),
        (Mask.IDENTITY_NUMBER, "3701021990", HIDDEN),
        (Mask.PHONE, "13812345678", "138****5678"),
        (Mask.PHONE, "5678", HIDDEN),
        (Mask.BANK_CARD, "6222 0202 0202 0202 020", "**** **** **** 2020"),
        (Mask.BANK_CARD, "12345", HIDDEN),
        (Mask.ADDRESS, "山东省济南市历下区经十路100号", "山东省济南市历下区****"),
        (Mask.ADDRESS, "北京市海淀区中关村1号", "北京市海淀区****"),
        (
            Mask.ADDRESS,
            "内蒙古自治区呼伦贝尔市鄂温克族自治旗巴彦托海镇",
            "内蒙古自治区呼伦贝尔市鄂温克族自治旗****",
        ),
        (Mask.ADDRESS, "经十路100号小区3号楼", HIDDEN),
        (Mask.DATE, "1990-01-01", "1990-**-**"),
        (Mask.DATE, "1990年1月1日", HIDDEN),
        (Mask.CODE, "鲁A12388", "鲁A***88"),
        (Mask.ALL, "anything", HIDDEN),
    ],
)
def test_each_kind_shows_what_the_convention_says(kind: Mask, text: str, shown: str) -> None:
    assert mask(kind, text) == shown


@given(kind=st.sampled_from(list(Mask)), text=st.text(max_size=60))
def test_no_mask_shows_the_whole_of_a_text(kind: Mask, text: str) -> None:
    shown = mask(kind, text)
    assert "*" in shown
    assert text.strip() not in shown or not text.strip().replace("*", "").strip()


@given(text=st.text("0123456789X", min_size=0, max_size=30))
def test_an_identity_number_shows_at_most_ten_characters(text: str) -> None:
    shown = mask(Mask.IDENTITY_NUMBER, text)
    assert sum(character != "*" for character in shown) <= 10


@pytest.mark.parametrize(
    ("kind", "field", "expected"),
    [
        ("resident_identity_card", "name", Mask.NAME),
        ("resident_identity_card", "birth_date", Mask.DATE),
        ("birth_medical_certificate", "mother_identity_number", Mask.IDENTITY_NUMBER),
        ("disability_certificate", "disability_grade", Mask.ALL),
        ("social_security_card", "payments", Mask.ALL),
        ("resident_identity_card", "issuing_authority", None),
        ("business_licence", "organization_name", None),
        ("business_licence", "no_such_field", Mask.ALL),
    ],
)
def test_a_field_is_masked_by_its_term_kind_and_class(kind: str, field: str, expected: Mask | None) -> None:
    assert mask_of(SPECS[kind], field) is expected


def test_every_identity_number_and_every_sensitive_field_of_the_catalogue_is_masked() -> None:
    for spec in SPECS.values():
        for field in spec.fields:
            if field.kind == "identity_number" or field.sensitivity == "sensitive_personal":
                assert mask_of(spec, field.name) is not None, f"{spec.code}.{field.name}"


def test_a_table_is_shown_as_how_many_rows_it_has() -> None:
    assert masked(SPECS["social_security_card"], "payments", [{"month": "2026-01"}]) == f"{HIDDEN} (1)"
    assert masked(SPECS["resident_identity_card"], "issuing_authority", "公安局") == "公安局"
