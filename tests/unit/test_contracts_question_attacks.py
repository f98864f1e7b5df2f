"""What an organisation tries that wants a value out of answers and counts, and types that would let it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import (
    CertificatesSetState,
    DeadlinesTick,
    GovernancePropose,
    RegisterCertificateTypes,
    RegisterPurposes,
    SetIssuance,
)
from contracts.class_records import Grade, PartClass, Sensitivity
from contracts.counts import COUNT_DEADLINE_MS
from contracts.grant_records import CertificateStateRequired
from contracts.question_calls import CountsContribute, CountsFail, CountsOpen, CountsPublish, CountsRequest
from contracts.question_days import overlapping
from contracts.question_records import (
    REPEAT_AFTER_MS_MAX,
    Contribution,
    CountState,
    DeclaredPartition,
    DeclaredQuestion,
    PeriodUnit,
    QuestionKind,
)
from contracts.questions import answer_of
from contracts.records import CertificateState, CertificateType
from contracts.state import CERTIFICATE_TYPE_VERSIONS, COUNTS, present
from contracts.vocabulary import STOPPING_STATES
from ledger import codec
from ledger.types import Call
from tests.unit.contracts_world import OPERATORS, identity
from tests.unit.questions_world import (
    ASKING,
    BANK,
    BUREAU,
    CARD,
    DAY_MS,
    LI,
    LICENCE,
    NODES,
    SHOP,
    Questions,
    fresh,
    older,
    people,
    question,
)

BY_AGE = question(CARD, "by_age")
CITIZENS = people(3)


@pytest.fixture
def world() -> Questions:
    return fresh()


# --- answers ------------------------------------------------------------------------------------------------


def test_asking_one_certificate_after_the_other_tells_no_birthday(world: Questions) -> None:
    """The day between a no and a yes would be the birthday: all that one line answers speaks of one time."""
    held = [world.certify("card"), world.certify("licence", kind=LICENCE)]
    asked = [older(18), older(18, LICENCE)]
    times = set()
    for certificate, about in zip(held, asked, strict=True):
        grant = world.allow(about)
        assert world.release_of(grant, certificate, about).code == "ok"
        found = answer_of(world, grant, certificate, about)
        assert found is not None
        times.add(found.as_of_ms)
        world.time_ms += 100 * DAY_MS
    assert len(times) == 1


def test_a_certificate_issued_since_speaks_of_when_it_was_issued(world: Questions) -> None:
    """A new version is a new answer, of a time that its issuer has chosen and nobody who asks."""
    card = world.certify("card")
    grant = world.allow(older(18))
    world.release_of(grant, card, older(18))
    world.time_ms += 50 * DAY_MS
    issued_ms = world.time_ms
    new = world.certify("new card", supersedes=card)
    world.time_ms += 50 * DAY_MS
    world.release_of(grant, new, older(18))
    found = answer_of(world, grant, new, older(18))
    assert found is not None
    assert found.as_of_ms == issued_ms


# --- types that would let values out ------------------------------------------------------------------------


def declared(**changes: object) -> CertificateType:
    base = present(CERTIFICATE_TYPE_VERSIONS.get(fresh(), (CARD, 1)), "the card's type")
    return replace(base, version=2, **changes)


AGE = DeclaredQuestion(
    name="older_than",
    kind=QuestionKind.OLDER_THAN,
    field="birth_date",
    subject="person.birth_date",
    parameters=("18",),
    repeat_after_ms=365 * DAY_MS,
)
CELLS = DeclaredPartition(
    name="by_age",
    field="birth_date",
    subject="person.birth_date",
    cells=("young", "old"),
    period=PeriodUnit.YEAR,
    base=5,
    group_min=10,
)
PLAIN = PartClass(name="birth_date", grade=Grade.GENERAL, level=2, sensitivity=Sensitivity.PERSONAL)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"questions": (AGE, AGE)}, "duplicate_name"),
        ({"questions": (AGE,), "partitions": (replace(CELLS, name="older_than"),)}, "duplicate_name"),
        ({"questions": (replace(AGE, parameters=("18", "18")),)}, "duplicate_name"),
        ({"partitions": (replace(CELLS, cells=("old", "old")),)}, "duplicate_name"),
        ({"classes": (PLAIN, PLAIN)}, "duplicate_name"),
        ({"classes": (replace(PLAIN, name="no_such"),)}, "unknown_name"),
        ({"questions": (replace(AGE, field="no_such"),)}, "unknown_name"),
        ({"partitions": (replace(CELLS, field="no_such"),)}, "unknown_name"),
        ({"questions": (replace(AGE, field=""),)}, "question_declaration"),
        ({"questions": (replace(AGE, parameters=()),)}, "question_declaration"),
        ({"questions": (replace(AGE, kind=QuestionKind.COUNTED),)}, "question_declaration"),
        ({"questions": (replace(AGE, kind=QuestionKind.VALID_ON),)}, "question_declaration"),
        (
            {"questions": (AGE, replace(AGE, name="otherwise", subject="person.age"))},
            "subject_differs",
        ),
        (
            {"questions": (AGE,), "partitions": (replace(CELLS, subject="person.age"),)},
            "subject_differs",
        ),
    ],
)
def test_a_type_declares_only_what_can_be_kept_to_one_bit(
    world: Questions, changes: dict[str, object], code: str
) -> None:
    """One field under two subjects would be two lines, and so two thresholds a period."""
    values: dict[str, object] = {"questions": (), "partitions": (), "classes": (), **changes}
    action = RegisterCertificateTypes(types=(declared(**values),))
    world.refused(OPERATORS[0], GovernancePropose(action=action), code)


def test_a_time_beyond_all_calendars_is_no_time_to_ask_again(world: Questions) -> None:
    """The end of a line is a time on the ledger: added to the clock it must stay one that can be read."""
    longest = replace(AGE, repeat_after_ms=REPEAT_AFTER_MS_MAX)
    world.vote(RegisterCertificateTypes(types=(declared(questions=(longest,)),)))
    endless = replace(AGE, repeat_after_ms=2**53 - 1)
    kind = replace(declared(questions=(endless,)), version=3)
    args = codec.encode(GovernancePropose(action=RegisterCertificateTypes(types=(kind,))))
    call = Call(contract="governance", method="propose", args=args)
    assert world.run(OPERATORS[0], call).code == "malformed_call"
    card = world.certify("card", type_version=2)
    grant = world.allow(older(18))
    assert world.release_of(grant, card, older(18)).code == "ok"
    assert world.release_of(grant, card, older(18)).code == "ok"


# --- counts -------------------------------------------------------------------------------------------------


def test_periods_overlap_where_they_share_a_day() -> None:
    assert overlapping("2027-09") == ("2027-09", "2027", "2027-Q3")
    assert overlapping("2027-Q1") == ("2027-Q1", "2027", "2027-01", "2027-02", "2027-03")
    whole = overlapping("2027")
    assert whole[0] == "2027"
    assert len(set(whole)) == 1 + 4 + 12
    for period in whole:
        assert all((period in overlapping(other)) == (other in overlapping(period)) for other in whole)


def monthly(world: Questions) -> str:
    """A type that is counted by the same subject, but every month."""
    base = present(CERTIFICATE_TYPE_VERSIONS.get(world, (CARD, 1)), "the card's type")
    by_age = next(one for one in base.partitions if one.name == "by_age")
    kind = replace(
        base,
        code="monthly_card",
        questions=(),
        partitions=(replace(by_age, period=PeriodUnit.MONTH),),
    )
    world.vote(RegisterCertificateTypes(types=(kind,)))
    world.vote(SetIssuance(account_id=BUREAU.account, issues=(CARD, LICENCE, "monthly_card")))
    return "monthly_card"


def opening(kind: str) -> CountsOpen:
    return CountsOpen(certificate_type=kind, partition="by_age", performed_by=NODES[1].account)


@pytest.mark.parametrize("first", ["month", "year"])
def test_a_month_and_its_year_are_not_both_counted(world: Questions, first: str) -> None:
    """A year's number less that of all its months but for one person is that person."""
    kinds = [monthly(world), CARD]
    earlier, later = kinds if first == "month" else reversed(kinds)
    count = world.done(BANK, opening(earlier))
    world.refused(BANK, opening(later), "count_repeated")
    world.done(BANK, CountsFail(count_id=count, reason="mistake"))
    world.done(BANK, opening(later))


@pytest.mark.parametrize("first", ["month", "year"])
def test_a_holder_in_a_month_is_not_in_its_year_too(world: Questions, first: str) -> None:
    month = monthly(world)
    cap = replace(ASKING.items[0], certificate_type=month)
    world.vote(RegisterPurposes(purposes=(replace(ASKING, code=month, items=(cap,)),)))
    kinds = [month, CARD]
    earlier, later = kinds if first == "month" else reversed(kinds)
    counts = [(BANK, earlier, "ok"), (SHOP, later, "counted_already")]
    for by, kind, code in counts:
        certificate = world.certify(f"{kind} of {by.account.hex()}", kind=CARD, certificate_type=kind)
        asked = replace(BY_AGE, certificate_type=kind)
        grant = world.allow(asked, by=by, purpose=month if kind == month else "asking")
        count = world.done(by, opening(kind))
        one = CountsContribute(
            count_id=count, contributions=(Contribution(certificate=certificate, grant=grant),)
        )
        assert world.run(by, one).code == code


def test_a_state_that_the_grant_says_stops_keeps_a_certificate_out_of_counts(world: Questions) -> None:
    """Consent to be counted has conditions like every other."""
    card = world.certify("card")
    strict = CertificateStateRequired(stopped_by=(*STOPPING_STATES, CertificateState.PLEDGED))
    asked = world.request_for(BY_AGE)
    items = tuple(replace(item, certificate_state_required=strict) for item in asked.items)
    grant = world.done(BANK, replace(asked, items=items))
    world.done(LI, world.approval(grant))
    count = world.done(BANK, opening(CARD))
    one = CountsContribute(count_id=count, contributions=(Contribution(certificate=card, grant=grant),))
    pledged = CertificatesSetState(
        certificate_id=card, state=CertificateState.PLEDGED, holds=True, reason="x"
    )
    world.done(BUREAU, pledged)
    assert world.refused(BANK, one, "certificate_state_stops")["state"] == "pledged"
    world.done(BUREAU, replace(pledged, holds=False))
    world.done(BANK, one)


def test_a_count_asked_for_at_the_last_moment_has_time_to_be_told(world: Questions) -> None:
    """Numbers that come too late are in a refused transaction for everybody to read, and their holders free to be counted again:
    who chooses the moment must not have it so."""
    crowd = people(20)
    for number, person in enumerate(crowd):
        world.enroll(person)
        world.certify(f"card {number}", person)
    count = world.done(BANK, opening(CARD))
    ones = tuple(
        Contribution(certificate=identity(f"card {number}"), grant=world.allow(BY_AGE, of=person))
        for number, person in enumerate(crowd)
    )
    world.done(BANK, CountsContribute(count_id=count, contributions=ones))
    world.time_ms = present(COUNTS.get(world, count), "the count").deadline_ms - 1
    requested_ms = world.time_ms
    world.done(BANK, CountsRequest(count_id=count))
    world.time_ms += 120_000
    world.done(NODES[0], DeadlinesTick())
    record = present(COUNTS.get(world, count), "the count")
    assert (record.state, record.deadline_ms) == (CountState.REQUESTED, requested_ms + COUNT_DEADLINE_MS)
    world.time_ms = record.deadline_ms
    made = CountsPublish(count_id=count, cells=(), left_out=0)
    assert world.run(NODES[1], made).code == "malformed_call"
    world.time_ms += 60_000
    while world.run(NODES[0], DeadlinesTick()).events:
        pass
    assert present(COUNTS.get(world, count), "the count").state is CountState.FAILED
