"""What people write becomes what the ledger commits to by named rules, or is refused; nothing is guessed."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhenglian.catalogue import load_catalogue
from zhenglian.field_checks import check_value
from zhenglian.rows import ColumnsInvalid, RowRules, check_row, match_columns
from zhenglian.rows.checking import field_value
from zhenglian.rows.normalising import (
    ValueRefused,
    date_value,
    decimal_value,
    integer_value,
    text_value,
    tidied,
)
from zhenglian.rows.problems import PROBLEMS, RULES, Problem
from zhenglian.tables.rows import Row

SPECS = {spec.code: spec for spec in load_catalogue()}
CARD = SPECS["resident_identity_card"]
GOOD = {
    "姓名": "张三",
    "性别": "男",
    "民族": "汉",
    "出生日期": "1949年12月31日",
    "住址": "东营区",
    "公民身份号码": "11010519491231002x",
    "签发机关": "公安局",
    "有效期起始": "2020.1.2",
    "有效期截止": "长期",
    "持证人账户": "0" * 32,
}


def problems(**changes: str) -> dict[str, str]:
    cells = {name: value for name, value in {**GOOD, **changes}.items() if value}
    return {found.field: found.code for found in check_row(RowRules(spec=CARD), Row(2, cells)).problems}


def test_a_row_as_an_office_writes_it_is_what_the_ledger_asks_for() -> None:
    row = check_row(RowRules(spec=CARD), Row(2, dict(GOOD)))
    assert row.problems == ()
    assert row.fields["birth_date"] == "1949-12-31"
    assert row.fields["identity_number"] == "11010519491231002X"
    assert "valid_until" not in row.fields
    assert {(note.field, note.rule) for note in row.notes} == {
        ("birth_date", "date_written"),
        ("identity_number", "check_x"),
        ("valid_from", "date_written"),
        ("valid_until", "endless"),
    }
    for name, value in row.fields.items():
        field = CARD.field(name)
        assert field is not None
        check_value(field, value)


def test_every_problem_of_a_row_is_told_at_once() -> None:
    found = problems(姓名="", 出生日期="3/5/2024", 公民身份号码="1")
    assert found == {"name": "required", "birth_date": "date_order", "identity_number": "identity_number"}


def test_no_report_names_a_value() -> None:
    row = check_row(RowRules(spec=CARD), Row(2, {**GOOD, "公民身份号码": "11010519491231002Y"}))
    assert all("11010519491231002" not in " ".join(found.words()) for found in row.problems)


def test_the_holder_is_the_rows_own_number_when_no_account_is_given() -> None:
    cells = {name: value for name, value in GOOD.items() if name != "持证人账户"}
    row = check_row(RowRules(spec=CARD), Row(2, cells))
    assert (row.holder, row.holder_number) == ("", "11010519491231002X")
    assert check_row(RowRules(spec=CARD, holder="a" * 32), Row(2, cells)).holder == "a" * 32


def test_a_last_day_counts_until_its_end() -> None:
    row = check_row(RowRules(spec=CARD), Row(2, {**GOOD, "有效期截止": "2020-01-02"}))
    assert row.valid_from_ms is not None
    assert row.valid_until_ms - row.valid_from_ms == 86_400_000
    assert problems(有效期截止="2019-12-31") == {"valid_until": "validity"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024年3月5日", "2024-03-05"),
        ("2024 年 3 月 5 日", "2024-03-05"),
        ("２０２４年３月５日", "2024-03-05"),
        ("2024/3/5", "2024-03-05"),
        ("2024.03.05", "2024-03-05"),
        ("20240305", "2024-03-05"),
        ("2024-3-5 00:00:00", "2024-03-05"),
        ("2024-03-05T00:00:00Z", "2024-03-05"),
        ("二〇二四年三月五日", "2024-03-05"),
        ("二零二四年十二月三十一日", "2024-12-31"),
        ("二○二四年十月二十日", "2024-10-20"),
    ],
)
def test_days_as_they_are_written_in_china(text: str, expected: str) -> None:
    assert date_value(tidied(text)) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("3/5/2024", "date_order"),
        ("05-03-24", "date_order"),
        ("2024年2月30日", "date_none"),
        ("二〇二四年十三月一日", "date_none"),
        ("2024年3月", "date"),
        ("2024-03-05 12:00", "date"),
        ("明天", "date"),
        ("长期", "date_endless"),
        ("9" * 500, "date"),
        ("二〇二四年十十月一日", "date"),
    ],
)
def test_a_day_that_is_not_certain_is_refused(text: str, code: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        date_value(tidied(text))
    assert refused.value.code == code


@given(st.dates())
def test_every_day_that_is_read_is_that_day(day: date) -> None:
    for text in (
        day.isoformat(),
        f"{day.year:04}年{day.month}月{day.day}日",
        f"{day.year:04}{day.month:02}{day.day:02}",
    ):
        assert date_value(tidied(text)) == day.isoformat()


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("1,234.5", 2, "1234.50"),
        ("１２３４．５", 2, "1234.50"),
        ("￥1,000", 2, "1000.00"),
        ("-0", 2, "0.00"),
        ("12.500", 1, "12.5"),
        ("+7", 0, "7"),
        (".5", 1, "0.5"),
        ("-1,234.00", 2, "-1234.00"),
    ],
)
def test_numbers_get_their_places_and_lose_their_ornaments(text: str, decimals: int, expected: str) -> None:
    assert decimal_value(tidied(text), decimals) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("12.345", "number_places"),
        ("12,34", "number_grouping"),
        ("1,2345", "number_grouping"),
        ("007", "number_zeros"),
        ("1.1E+17", "number_mangled"),
        ("12 34", "number"),
        ("一百", "number"),
        ("5%", "number"),
        ("--5", "number"),
        ("9" * 30, "number_large"),
        ("9" * 50, "number_large"),
        ("²", "number"),
        ("٣", "number"),
    ],
)
def test_a_number_that_is_not_certain_is_refused(text: str, code: str) -> None:
    if text == "²":
        assert decimal_value(tidied(text), 0) == "2"
        return
    with pytest.raises(ValueRefused) as refused:
        decimal_value(tidied(text), 2)
    assert refused.value.code == code


def test_a_whole_number_is_never_made_of_a_broken_one() -> None:
    assert integer_value(tidied("12.00")) == 12
    with pytest.raises(ValueRefused):
        integer_value(tidied("12.5"))


def test_sentences_keep_their_punctuation_and_codes_become_plain() -> None:
    assert text_value(tidied("东营区，府前路１号")) == "东营区，府前路１号"
    assert text_value(tidied("ＡＢ－１２３")) == "AB-123"
    assert text_value(tidied(" x\u200b\r\ny ")) == "x\ny"


def test_columns_are_found_by_code_label_or_mapping_and_never_guessed() -> None:
    found = match_columns(CARD, ["姓 名*", "ＳＥＸ", "号码", "备注"], {"号码": "公民身份号码", "备注": ""})
    assert dict(found.fields) == {"姓 名*": "name", "ＳＥＸ": "sex", "号码": "identity_number", "备注": ""}
    for columns, mapping in ((["姓"], {}), (["姓名", "name"], {}), (["x"], {"x": "no such field"})):
        with pytest.raises(ColumnsInvalid):
            match_columns(CARD, columns, mapping)


def test_the_chinese_label_of_every_field_of_every_type_is_found() -> None:
    for spec in SPECS.values():
        labels = [field.name_zh for field in spec.fields]
        assert list(match_columns(spec, labels, {}).fields.values()) == [field.name for field in spec.fields]


def test_a_table_inside_a_row_has_exactly_its_columns() -> None:
    field = next(field for field in SPECS["social_security_card"].fields if field.columns)
    row = {column.name_zh: "1" if column.kind in {"integer", "decimal"} else "x" for column in field.columns}
    row.update({column.name_zh: "2024年1月" + "1日" for column in field.columns if column.kind == "date"})
    value, _ = field_value(field, [row])
    check_value(field, value)
    short = dict(list(row.items())[1:])
    for wrong in ([short], [{**row, "x": "1"}], "not JSON", '{"a": 1}'):
        with pytest.raises(ValueRefused):
            field_value(field, wrong)  # type: ignore[arg-type]


@given(st.sampled_from(sorted(SPECS)), st.text(max_size=60), st.integers(0, 30))
def test_whatever_is_in_a_cell_is_a_value_that_holds_or_a_problem(code: str, text: str, place: int) -> None:
    spec = SPECS[code]
    field = spec.fields[place % len(spec.fields)]
    row = check_row(RowRules(spec=spec, holder="0" * 32), Row(1, {field.name: text} if text.strip() else {}))
    if field.name in row.fields:
        check_value(field, row.fields[field.name])
    else:
        assert not field.required or any(found.field == field.name for found in row.problems)


def test_every_problem_and_rule_has_words_in_two_languages() -> None:
    for code in PROBLEMS:
        zh, zh_do, en, en_do = Problem(code=code).words()
        assert all((zh, zh_do, en, en_do))
        assert zh != en
    assert all(zh and en and zh != en for zh, en in RULES.values())
