"""Answers are what the certificate says, at the time that they speak of, and never a guess."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.question_days import day_number, day_of, day_start_ms, full_years, period_of
from contracts.question_records import PeriodUnit, Question, QuestionKind
from contracts.records import Certificate, CertificateState, StateEntry
from ledger.errors import VerificationFailed
from zhenglian.answers import answer, cell_of, entries, valid_on
from zhenglian.catalogue import load_catalogue
from zhenglian.catalogue_questions import PartitionSpec

DAY_MS = 86_400_000
SPECS = {spec.code: spec for spec in load_catalogue()}


def at(text: str) -> int:
    """When that day begins in China."""
    day = day_number(text)
    assert day is not None
    return day_start_ms(day)


def certificate(*states: StateEntry, start: str = "2020-01-01", end: str = "") -> Certificate:
    return Certificate(
        certificate_id=bytes(16),
        certificate_type="resident_identity_card",
        type_version=1,
        holder=bytes(16),
        issuer=bytes(16),
        issued_by=bytes(16),
        commitment_root=bytes(32),
        payload_hash=bytes(32),
        fields=("name",),
        attachments=(),
        issued_ms=0,
        valid_from_ms=at(start),
        valid_until_ms=at(end) if end else 0,
        supersedes=b"",
        superseded_by=b"",
        states=states,
    )


def state(kind: CertificateState, since: str, until: str = "") -> StateEntry:
    return StateEntry(
        state=kind,
        since_ms=at(since),
        until_ms=at(until) if until else 0,
        reason="r",
        key_id=bytes(16),
    )


def asked(kind: str, name: str, parameter: str) -> Question:
    spec = next(one for one in SPECS[kind].questions if one.name == name)
    return Question(
        certificate_type=kind,
        name=name,
        kind=spec.kind,
        field=spec.field,
        subject=spec.subject,
        parameter=parameter,
    )


def ask(kind: str, name: str, parameter: str, value: object, as_of: str = "2026-06-15") -> bool:
    question = asked(kind, name, parameter)
    return answer(SPECS[kind], certificate(), question, {question.field: value}, at(as_of))  # type: ignore[dict-item]


# --- age ---


@pytest.mark.parametrize(
    ("born", "as_of", "expected"),
    [
        ("2008-06-15", "2026-06-15", True),
        ("2008-06-16", "2026-06-15", False),
        ("2008-02-29", "2026-02-28", False),
        ("2008-02-29", "2026-03-01", True),
        ("2026-06-15", "2026-06-15", False),
        ("2030-01-01", "2026-06-15", False),
    ],
)
def test_a_full_year_is_reached_on_the_birthday(born: str, as_of: str, expected: bool) -> None:
    assert ask("resident_identity_card", "older_than", "18", born, as_of) is expected


def test_the_day_is_chinas() -> None:
    """At 20:00 UTC on the eve it is the birthday in China already."""
    question = asked("resident_identity_card", "older_than", "18")
    spec, values = SPECS["resident_identity_card"], {"birth_date": "2008-06-15"}
    midnight = at("2026-06-15")
    assert answer(spec, certificate(), question, values, midnight)
    assert not answer(spec, certificate(), question, values, midnight - 1)


@given(born=st.dates(date(1900, 1, 1), date(2100, 12, 31)), days=st.integers(0, 50_000))
def test_full_years_never_fall_and_grow_once_a_year(born: date, days: int) -> None:
    today = born + timedelta(days=days)
    assert full_years(born, today) <= full_years(born, today + timedelta(days=1))
    assert 0 <= full_years(born, today) <= days // 365


@given(time_ms=st.integers(-(10**12), 10**13))
def test_a_day_begins_when_it_says(time_ms: int) -> None:
    day = day_of(time_ms)
    assert day_start_ms(day) <= time_ms < day_start_ms(day + 1)


@pytest.mark.parametrize("value", ["18 years", "2008-13-01", 20080615, [], None])
def test_a_birth_date_that_is_none_has_no_answer(value: object) -> None:
    with pytest.raises(VerificationFailed):
        ask("resident_identity_card", "older_than", "18", value)


# --- valid on a day ---


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2019-12-31", False), ("2020-01-01", True), ("2025-12-31", True), ("2026-01-01", False)],
)
def test_dates_bound_validity(day: str, expected: bool) -> None:
    assert valid_on(certificate(end="2026-01-01"), day, at("2027-01-01")) is expected


def test_a_suspension_counts_on_its_days_and_on_no_other() -> None:
    held = certificate(state(CertificateState.SUSPENDED, "2024-03-01", "2024-03-05"))
    days = {
        day: valid_on(held, f"2024-{day}", at("2025-01-01")) for day in ("02-29", "03-01", "03-04", "03-05")
    }
    assert days == {"02-29": True, "03-01": False, "03-04": False, "03-05": True}


def test_what_happened_after_the_answers_time_changes_nothing() -> None:
    """Asked again after a revocation, and after the end of a suspension, the answer of then is the same."""
    before = certificate(state(CertificateState.SUSPENDED, "2024-03-01"))
    after = certificate(
        state(CertificateState.SUSPENDED, "2024-03-01", "2024-06-01"),
        state(CertificateState.REVOKED, "2024-07-01"),
    )
    for day in ("2024-02-01", "2024-03-02", "2024-05-01", "2024-08-01"):
        assert valid_on(before, day, at("2024-04-01")) == valid_on(after, day, at("2024-04-01"))


def test_a_revocation_after_the_answers_time_is_not_known_to_it() -> None:
    revoked = certificate(state(CertificateState.REVOKED, "2024-07-01"))
    assert valid_on(revoked, "2024-08-01", at("2024-04-01"))
    assert not valid_on(revoked, "2024-08-01", at("2024-07-02"))


def test_a_mortgage_stops_nothing() -> None:
    assert valid_on(
        certificate(state(CertificateState.MORTGAGED, "2024-03-01")), "2024-04-01", at("2025-01-01")
    )


def test_a_day_that_is_none_has_no_answer() -> None:
    with pytest.raises(VerificationFailed):
        valid_on(certificate(), "2024-02-30", 0)


# --- what a licence covers ---


@pytest.mark.parametrize(
    ("permitted", "wanted", "expected"),
    [
        ("C1", "C1", True),
        ("A2", "C1", True),
        ("C1", "A2", False),
        ("C1E", "E", True),
        ("C1、D", "F", True),
        ("C2", "C1", False),
        ("B1", "B2", False),
        ("C10", "C1", False),
    ],
)
def test_a_class_of_vehicles_covers_those_below_it(permitted: str, wanted: str, expected: bool) -> None:
    assert ask("driving_licence", "covers_class", wanted, permitted) is expected


def test_entries_of_a_list_are_whole_words() -> None:
    assert entries("预包装食品销售、散装食品销售；糕点类食品制售") == [
        "预包装食品销售",
        "散装食品销售",
        "糕点类食品制售",
    ]
    assert not ask("food_trading_licence", "covers_item", "散装食品销售", "非散装食品销售")


# --- amounts ---


def row(month: str, base: str) -> dict[str, str]:
    return {"month": month, "base": base}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("2026-01", "9000.00"), row("2026-05", "7999.99")], False),
        ([row("2026-05", "8000.00"), row("2026-01", "100.00")], True),
        ([row("2026-05", "100.00"), row("2026-05", "8000.00")], True),
    ],
)
def test_the_latest_month_decides_the_base(rows: list[dict[str, str]], expected: bool) -> None:
    assert ask("social_security_card", "contribution_base_at_least", "8000", rows) is expected


@pytest.mark.parametrize("rows", [[], [row("2026-05", "NaN")], [row("2026-05", "many")], "8000", None])
def test_a_base_that_cannot_be_read_has_no_answer(rows: object) -> None:
    with pytest.raises(VerificationFailed):
        ask("social_security_card", "contribution_base_at_least", "8000", rows)


def test_capital_is_compared_exactly() -> None:
    assert ask("business_licence", "capital_at_least", "100", "100.00")
    assert not ask("business_licence", "capital_at_least", "100", "99.99")


def test_a_question_that_the_type_does_not_declare_has_no_answer() -> None:
    from msgspec.structs import replace

    question = asked("resident_identity_card", "older_than", "18")
    for changed in (
        replace(question, name="older"),
        replace(question, field="name"),
        replace(question, kind=QuestionKind.COVERS),
    ):
        with pytest.raises(VerificationFailed):
            answer(SPECS["resident_identity_card"], certificate(), changed, {"birth_date": "1990-01-01"}, 0)


# --- cells ---


def partition(kind: str, name: str) -> PartitionSpec:
    return next(one for one in SPECS[kind].partitions if one.name == name)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("2008-06-16", "under_18"),
        ("2008-06-15", "from_18"),
        ("1991-06-15", "from_35"),
        ("1966-06-15", "from_60"),
        ("unknown", "unknown"),
        ("0000-00-00", "unknown"),
        (7, "unknown"),
        (None, "unknown"),
    ],
)
def test_every_value_falls_into_one_cell(value: object, cell: str) -> None:
    by_age = partition("resident_identity_card", "by_age")
    if value == 7:
        assert by_age.cells[cell_of(by_age, 7, at("2026-06-15"))].name == "under_18"
        return
    assert by_age.cells[cell_of(by_age, value, at("2026-06-15"))].name == cell  # type: ignore[arg-type]


@given(value=st.one_of(st.none(), st.text(max_size=20), st.integers(-(2**53), 2**53)))
def test_no_value_is_without_a_cell(value: str | int | None) -> None:
    for spec in SPECS.values():
        for one in spec.partitions:
            assert 0 <= cell_of(one, value, at("2026-06-15")) < len(one.cells)


# --- periods ---


@pytest.mark.parametrize(
    ("unit", "text"),
    [(PeriodUnit.YEAR, "2027"), (PeriodUnit.QUARTER, "2027-Q1"), (PeriodUnit.MONTH, "2027-01")],
)
def test_a_period_begins_at_midnight_in_china(unit: PeriodUnit, text: str) -> None:
    assert period_of(unit, at("2027-01-01")) == text
    assert period_of(unit, at("2027-01-01") - 1) != text
