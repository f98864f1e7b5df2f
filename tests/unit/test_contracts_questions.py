"""A yes or no is all that an organisation gets out of a question, however it goes about asking."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import (
    CertificatesSetState,
    GrantsNarrow,
    GrantsPause,
    ReleasesFail,
    ReleasesRequest,
)
from contracts.grant_records import CertificateStateRequired
from contracts.question_records import Question
from contracts.questions import answer_of
from contracts.records import CertificateState, ConsentMode, Output, OutputFormat
from contracts.state import QUESTION_LINES
from tests.unit.contracts_world import Actor
from tests.unit.questions_world import (
    BANK,
    BUREAU,
    CARD,
    DAY_MS,
    INSURANCE,
    LI,
    LICENCE,
    NODES,
    SHOP,
    SPECS,
    WANG,
    Questions,
    answer_to,
    fresh,
    item_for,
    older,
    question,
)

STEPS = [one.value for one in SPECS[CARD].questions[0].parameters]


@pytest.fixture
def world() -> Questions:
    return fresh()


# --- what may be asked at all ---


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (older(17), "question_parameter"),
        (question(CARD, "valid_on", "2026-02-30"), "question_parameter"),
        (question(CARD, "valid_on", "1901-01-01"), "question_parameter"),
        (question(CARD, "by_age", "x"), "question_parameter"),
    ],
)
def test_only_declared_parameters_may_be_asked(world: Questions, asked: Question, code: str) -> None:
    world.refused(BANK, world.request_for(asked), code)


def test_only_declared_questions_may_be_asked(world: Questions) -> None:
    for changes in ({"name": "older"}, {"field": "name"}, {"subject": "person.name"}):
        asked = replace(older(18), **changes)
        items = (item_for(older(18)), item_for(replace(older(18), field="name"), certificate=bytes(16)))
        world.refused(BANK, world.request_for(asked, items=items[:1]), "question_not_declared")


def test_a_question_needs_its_field_among_the_items(world: Questions) -> None:
    items = (item_for(question(CARD, "valid_on", "2027-01-15")),)
    world.refused(BANK, world.request_for(older(18), items=items), "question_without_item")


def test_questions_go_with_query_and_with_nothing_else(world: Questions) -> None:
    asked = older(18)
    world.refused(BANK, world.request_for(asked, consent_mode=ConsentMode.VIEW), "questions_unexpected")
    world.refused(BANK, world.request_for(asked, questions=()), "questions_missing")


def test_one_grant_has_one_parameter_about_one_subject(world: Questions) -> None:
    world.refused(BANK, world.request_for(older(18), older(22)), "question_twice")
    world.refused(BANK, world.request_for(older(18), older(22, LICENCE)), "question_twice")
    world.allow(older(18), older(18, LICENCE))


# --- what is handed out ---


def test_a_question_grant_opens_answers_and_no_field(world: Questions) -> None:
    card = world.certify("card")
    grant = world.allow(older(18))
    for output in (
        Output(certificate=card, format=OutputFormat.JSON, fields=("birth_date",), attachment=""),
        Output(certificate=card, format=OutputFormat.CSV, fields=("birth_date",), attachment=""),
    ):
        asked = ReleasesRequest(grant_id=grant, outputs=(output,), released_by=NODES[1].account)
        world.refused(BANK, asked, "answers_only")
    both = Output(
        certificate=card,
        format=OutputFormat.ANSWER,
        fields=("birth_date",),
        attachment="",
        question=older(18),
    )
    asked = ReleasesRequest(grant_id=grant, outputs=(both,), released_by=NODES[1].account)
    world.refused(BANK, asked, "format_mismatch")
    disguised = Output(
        certificate=card, format=OutputFormat.JSON, fields=("name",), attachment="", question=older(18)
    )
    asked = ReleasesRequest(grant_id=grant, outputs=(disguised,), released_by=NODES[1].account)
    world.refused(BANK, asked, "answers_only")


def test_a_data_grant_opens_no_answer_and_no_question_rides_along(world: Questions) -> None:
    card = world.certify("card")
    asked = world.request_for(older(18), consent_mode=ConsentMode.VIEW, questions=())
    grant = world.done(BANK, asked)
    world.done(LI, world.approval(grant))
    result = world.release_of(grant, card, older(18))
    assert result.code == "question_not_granted"
    rider = Output(
        certificate=card, format=OutputFormat.JSON, fields=("birth_date",), attachment="", question=older(18)
    )
    result = world.run(BANK, ReleasesRequest(grant_id=grant, outputs=(rider,), released_by=NODES[1].account))
    assert result.code == "format_mismatch"


def test_an_answer_costs_a_use_and_fixes_its_time(world: Questions) -> None:
    card = world.certify("card")
    grant = world.allow(older(18), uses_max=2)
    first_ms = world.time_ms
    assert world.release_of(grant, card, older(18)).code == "ok"
    world.time_ms += 40 * DAY_MS
    assert world.release_of(grant, card, older(18)).code == "ok"
    answer = answer_of(world, grant, card, older(18))
    assert answer is not None
    assert answer.as_of_ms == first_ms
    assert world.release_of(grant, card, older(18)).code == "uses_exhausted"


def test_only_the_granted_question_with_its_parameter_is_answered(world: Questions) -> None:
    card, licence = world.certify("card"), world.certify("licence", kind=LICENCE)
    grant = world.allow(older(18))
    assert world.release_of(grant, card, older(22)).code == "question_not_granted"
    assert world.release_of(grant, licence, older(18, LICENCE)).code == "certificate_not_granted"
    assert world.release_of(grant, licence, older(18)).code == "certificate_not_granted"


def test_a_declined_field_takes_its_question_with_it(world: Questions) -> None:
    card = world.certify("card")
    day = "2027-01-15"
    asked = (older(18), question(CARD, "valid_on", day))
    items = (item_for(older(18), question(CARD, "valid_on", day)),)
    grant = world.done(BANK, world.request_for(*asked, items=items))
    less = (item_for(question(CARD, "valid_on", day)),)
    world.refused(
        LI, world.approval(grant, items=less, questions=asked, separately=SEPARATE), "question_without_item"
    )
    world.done(LI, world.approval(grant, items=less, separately=SEPARATE))
    assert world.release_of(grant, card, older(18)).code == "question_not_granted"
    assert world.release_of(grant, card, asked[1]).code == "ok"


SEPARATE = ("resident_identity_card.identity_number",)


def test_nobody_gives_a_question_that_was_not_asked(world: Questions) -> None:
    grant = world.ask(older(18))
    world.refused(LI, world.approval(grant, questions=(older(22),)), "over_give")
    world.refused(LI, world.approval(grant, questions=(older(18), older(18))), "duplicate_name")


def test_narrowing_takes_a_question_away(world: Questions) -> None:
    card = world.certify("card")
    day = question(CARD, "valid_on", "2027-01-15")
    grant = world.allow(older(18), day)
    record = world.grant_record(grant)
    world.done(
        LI,
        GrantsNarrow(
            grant_id=grant,
            items=record.items,
            uses_left=record.uses_left,
            consent_expiry_ms=record.consent_expiry_ms,
            questions=(day,),
        ),
    )
    assert world.release_of(grant, card, older(18)).code == "question_not_granted"
    assert world.release_of(grant, card, day).code == "ok"


def test_a_paused_grant_answers_nothing(world: Questions) -> None:
    card = world.certify("card")
    grant = world.allow(older(18))
    world.done(LI, GrantsPause(grant_id=grant))
    assert world.release_of(grant, card, older(18)).code == "grant_not_active"


def test_another_holders_certificate_is_not_asked_about(world: Questions) -> None:
    card = world.certify("card of wang", WANG)
    grant = world.allow(older(18))
    assert world.release_of(grant, card, older(18)).code == "certificate_not_held"


def test_a_certificate_without_the_field_has_no_answer(world: Questions) -> None:
    card = world.certify("card", fields=("name",))
    grant = world.allow(older(18))
    assert world.release_of(grant, card, older(18)).code == "not_in_certificate"


# --- binary search ---


def as_of_ms_of(world: Questions, grant: bytes, certificate: bytes) -> int:
    """Of when the recorded answer is to whether the holder is 18."""
    found = answer_of(world, grant, certificate, older(18))
    assert found is not None
    return found.as_of_ms


def search(world: Questions, by: list[tuple[Actor, Question, bytes]]) -> list[str]:
    """Every answer that these tries get, as the parameter asked: tries are (actor, question, certificate)."""
    got: list[str] = []
    for who, asked, certificate in by:
        result = world.run(who, world.request_for(asked))
        if result.code != "ok":
            assert result.code == "question_asked_otherwise"
            continue
        grant = result.output[-16:]
        world.done(LI, world.approval(grant))
        if world.release_of(grant, certificate, asked, by=who).code == "ok":
            got.append(asked.parameter)
    return got


def test_several_grants_of_one_organisation_get_one_threshold(world: Questions) -> None:
    card = world.certify("card")
    assert search(world, [(BANK, older(int(years)), card) for years in STEPS]) == [STEPS[0]]


def test_grants_that_stand_at_once_get_one_threshold_between_them(world: Questions) -> None:
    card = world.certify("card")
    grants = [(world.allow(older(int(years))), older(int(years))) for years in STEPS]
    codes = [world.release_of(grant, card, asked).code for grant, asked in grants]
    assert codes == ["ok"] + ["question_asked_otherwise"] * (len(STEPS) - 1)


def test_two_thresholds_in_one_block_through_two_nodes_get_one_answer(world: Questions) -> None:
    card = world.certify("card")
    grants = [(world.allow(older(years)), older(years)) for years in (18, 60)]
    transactions = [
        world.sign(
            BANK,
            ReleasesRequest(
                grant_id=grant, outputs=(answer_to(card, asked),), released_by=NODES[node].account
            ),
        )
        for node, (grant, asked) in enumerate(grants)
    ]
    outcome = world.block(transactions)
    assert sorted(result.code for result in outcome.results) == ["ok", "question_asked_otherwise"]


def test_one_release_with_two_thresholds_of_two_grants_is_not_to_be_had(world: Questions) -> None:
    card = world.certify("card")
    grant = world.allow(older(18))
    outputs = (answer_to(card, older(18)), answer_to(card, older(60)))
    asked = ReleasesRequest(grant_id=grant, outputs=outputs, released_by=NODES[1].account)
    world.refused(BANK, asked, "question_not_granted")


def test_other_certificates_with_the_same_birth_date_help_nothing(world: Questions) -> None:
    card, licence = world.certify("card"), world.certify("licence", kind=LICENCE)
    insurance = world.certify("insurance", kind=INSURANCE)
    tries = [
        (BANK, older(18), card),
        (BANK, older(22, LICENCE), licence),
        (BANK, older(60, INSURANCE), insurance),
    ]
    assert search(world, tries) == ["18"]


def test_renewed_grants_get_the_recorded_answer_and_no_other_threshold(world: Questions) -> None:
    card = world.certify("card")
    first = world.allow(older(18))
    world.release_of(first, card, older(18))
    as_of_ms = as_of_ms_of(world, first, card)
    world.time_ms += 10 * DAY_MS
    second = world.allow(older(18), renews=first)
    assert world.release_of(second, card, older(18)).code == "ok"
    assert as_of_ms_of(world, second, card) == as_of_ms
    world.refused(BANK, world.request_for(older(22), renews=second), "question_asked_otherwise")


def test_a_superseding_certificate_answers_the_same_question_only(world: Questions) -> None:
    old = world.certify("card")
    grant = world.allow(older(18))
    other = world.allow(older(22))
    world.release_of(grant, old, older(18))
    world.time_ms += DAY_MS
    new = world.certify("new card", supersedes=old)
    assert world.release_of(other, new, older(22)).code == "question_asked_otherwise"
    assert world.release_of(grant, new, older(18)).code == "ok"
    first, second = (answer_of(world, grant, one, older(18)) for one in (old, new))
    assert first is not None
    assert second is not None
    assert first.as_of_ms < second.as_of_ms


def test_asking_every_day_whether_somebody_is_18_by_now_gets_one_answer(world: Questions) -> None:
    card = world.certify("card")
    times = set()
    for _ in range(6):
        grant = world.allow(older(18))
        assert world.release_of(grant, card, older(18)).code == "ok"
        times.add(as_of_ms_of(world, grant, card))
        world.time_ms += 60 * DAY_MS
    assert len(times) == 1


def test_after_the_declared_time_another_grant_may_ask_anew_and_the_old_one_may_not(world: Questions) -> None:
    card = world.certify("card")
    old = world.allow(older(18))
    world.release_of(old, card, older(18))
    world.time_ms += 366 * DAY_MS
    new = world.allow(older(60))
    assert world.release_of(new, card, older(60)).code == "ok"
    before = answer_of(world, old, card, older(18))
    assert world.release_of(old, card, older(18)).code == "ok"
    assert answer_of(world, old, card, older(18)) == before
    second = world.certify("second card")
    assert world.release_of(old, second, older(18)).code == "question_asked_otherwise"


def test_a_release_that_fails_leaves_the_threshold_fixed(world: Questions) -> None:
    card = world.certify("card")
    grant, other = world.allow(older(18)), world.allow(older(60))
    release = world.release_of(grant, card, older(18)).output[-8:]
    world.done(NODES[1], ReleasesFail(release_id=release, reason="internal_error"))
    assert world.release_of(other, card, older(60)).code == "question_asked_otherwise"
    assert world.release_of(grant, card, older(18)).code == "ok"


def test_days_of_validity_cannot_be_searched_either(world: Questions) -> None:
    card = world.certify("card")
    days = [question(CARD, "valid_on", f"2027-{month:02}-01") for month in range(1, 8)]
    grants = [(world.allow(day), day) for day in days]
    codes = [world.release_of(grant, card, day).code for grant, day in grants]
    assert codes.count("ok") == 1


def test_steps_of_income_cannot_be_searched_either(world: Questions) -> None:
    card = world.certify("insurance", kind=INSURANCE)
    steps = [question(INSURANCE, "contribution_base_at_least", step) for step in ("3000", "8000", "20000")]
    grants = [(world.allow(step), step) for step in steps]
    codes = [world.release_of(grant, card, step).code for grant, step in grants]
    assert codes.count("ok") == 1


def test_organisations_that_put_their_answers_together_learn_a_declared_interval_and_no_more(
    world: Questions,
) -> None:
    """What collusion can do (docs/questions.md): as many thresholds as organisations, out of those that are declared."""
    card = world.certify("card")
    bank = search(world, [(BANK, older(18), card), (BANK, older(60), card)])
    shop = search(world, [(SHOP, older(22), card), (SHOP, older(60), card)])
    assert (bank, shop) == (["18"], ["22"])
    for years in (17, 19, 20, 21):
        result = world.run(SHOP, world.request_for(older(years)))
        assert result.code in {"question_parameter", "question_asked_otherwise"}


def test_other_people_are_other_lines(world: Questions) -> None:
    cards = {LI.account: world.certify("card"), WANG.account: world.certify("card of wang", WANG)}
    for who, years in ((LI, 18), (WANG, 60)):
        grant = world.allow(older(years), of=who)
        assert world.release_of(grant, cards[who.account], older(years)).code == "ok"
    assert QUESTION_LINES.get(world, (BANK.account, LI.account, "person.birth_date")) is not None


# --- the certificate's state ---


def test_a_stopped_certificate_is_answered_for_only_where_the_grant_says_so(world: Questions) -> None:

    card = world.certify("card")
    strict = (replace(item_for(older(18)), certificate_state_required=CertificateStateRequired()),)
    grant = world.allow(older(18), items=strict)
    lenient = world.allow(older(18))
    world.done(
        BUREAU,
        CertificatesSetState(
            certificate_id=card, state=CertificateState.SUSPENDED, holds=True, reason="check"
        ),
    )
    assert world.release_of(grant, card, older(18)).code == "certificate_not_valid"
    assert world.release_of(lenient, card, older(18)).code == "ok"


def test_consent_to_be_counted_answers_no_question(world: Questions) -> None:
    card = world.certify("card")
    counted = question(CARD, "by_age")
    grant = world.allow(counted)
    assert world.release_of(grant, card, counted).code == "question_not_granted"
