"""Counts tell numbers of groups, and no two of them whose difference is one person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.calls import DeadlinesTick, GrantsPause, GrantsRevoke
from contracts.counting import told, why_not_told
from contracts.counts import COUNT_DEADLINE_MS, contribution_of
from contracts.question_calls import (
    CountsContribute,
    CountsFail,
    CountsOpen,
    CountsPublish,
    CountsRequest,
)
from contracts.question_records import (
    CONTRIBUTIONS_PER_CALL_MAX,
    CellCount,
    Contribution,
    CountRecord,
    CountState,
    DeclaredPartition,
    PeriodUnit,
)
from contracts.records import ConsentMode
from contracts.state import COUNTS, GRANTS
from ledger import codec
from tests.unit.contracts_world import Actor, identity
from tests.unit.questions_world import (
    BANK,
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

GROUP_MIN = 20
CITIZENS = people(GROUP_MIN + 4)
BY_AGE, BY_SEX = question(CARD, "by_age"), question(CARD, "by_sex")


def _crowd() -> Questions:
    """Citizens with a card each, who let the bank and the shop count them by age."""
    world = fresh()
    for number, person in enumerate(CITIZENS):
        world.enroll(person)
        world.certify(f"card {number}", person)
    return world


_CROWD = _crowd()


@pytest.fixture
def world() -> Questions:
    made = fresh()
    made.entries = dict(_CROWD.entries)
    made.time_ms, made.height, made.sent = _CROWD.time_ms, _CROWD.height, _CROWD.sent
    return made


def card(number: int) -> bytes:
    return identity(f"card {number}")


def opened(world: Questions, by: Actor = BANK, kind: str = CARD, name: str = "by_age") -> bytes:
    return world.done(by, CountsOpen(certificate_type=kind, partition=name, performed_by=NODES[1].account))


def contribution(world: Questions, number: int, by: Actor = BANK, **changes: object) -> Contribution:
    grant = world.allow(BY_AGE, by=by, of=CITIZENS[number], **changes)
    return Contribution(certificate=card(number), grant=grant)


def filled(world: Questions, numbers: range, by: Actor = BANK) -> bytes:
    count = opened(world, by)
    world.done(
        by,
        CountsContribute(
            count_id=count, contributions=tuple(contribution(world, number, by) for number in numbers)
        ),
    )
    return count


def record(world: Questions, count: bytes) -> CountRecord:
    found = COUNTS.get(world, count)
    assert found is not None
    return found


def result_of(world: Questions, count: bytes, counts: list[int]) -> CountsPublish:
    return CountsPublish(count_id=count, cells=told(record(world, count).partition, counts), left_out=0)


def test_a_count_goes_from_collecting_to_published(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN))
    world.done(BANK, CountsRequest(count_id=count))
    world.done(NODES[1], result_of(world, count, [0, GROUP_MIN, 0, 0, 0]))
    published = record(world, count)
    assert published.state is CountState.PUBLISHED
    assert published.period == "2027"
    assert [cell.suppressed for cell in published.cells] == [True] * 5


def test_a_contribution_takes_a_use_and_is_recorded(world: Questions) -> None:
    count = opened(world)
    one = contribution(world, 0, uses_max=1)
    world.done(BANK, CountsContribute(count_id=count, contributions=(one,)))
    assert world.grant_record(one.grant).state.value == "exhausted"
    assert contribution_of(world.registry_reading(), record(world, count), CITIZENS[0].account) == one


@pytest.mark.parametrize("what", ["view", "questions", "partition", "revoked", "paused", "other", "nobody"])
def test_only_grants_to_be_counted_contribute(world: Questions, what: str) -> None:
    count = opened(world)
    by, number = BANK, 0
    if what == "questions":
        grant = world.allow(older(18), of=CITIZENS[0])
    elif what == "partition":
        grant = world.allow(BY_SEX, of=CITIZENS[0])
    elif what == "other":
        grant = world.allow(BY_AGE, by=SHOP, of=CITIZENS[0])
    elif what == "view":
        asked = world.request_for(BY_AGE, of=CITIZENS[0], consent_mode=ConsentMode.VIEW, questions=())
        grant = world.done(BANK, asked)
        world.done(CITIZENS[0], world.approval(grant))
    else:
        grant = world.allow(BY_AGE, of=CITIZENS[0])
    if what == "revoked":
        world.done(CITIZENS[0], GrantsRevoke(grant_id=grant))
    if what == "paused":
        world.done(CITIZENS[0], GrantsPause(grant_id=grant))
    if what == "nobody":
        number = 1
    expected = {
        "view": "not_to_be_counted",
        "questions": "not_to_be_counted",
        "partition": "not_to_be_counted",
        "revoked": "grant_not_active",
        "paused": "grant_not_active",
        "other": "not_grantee",
        "nobody": "certificate_not_granted",
    }[what]
    one = Contribution(certificate=card(number), grant=grant)
    world.refused(by, CountsContribute(count_id=count, contributions=(one,)), expected)


def test_a_recorded_legal_basis_contributes_like_consent(world: Questions) -> None:
    """The grant of an access without consent is a grant: what counts is its mode and its question."""
    count = opened(world)
    one = contribution(world, 0)
    record_ = world.grant_record(one.grant)
    changed = replace(record_, lawful_basis="statistics_law", revocable=False)
    world.entries[GRANTS.key(one.grant)] = codec.encode(changed)
    world.done(BANK, CountsContribute(count_id=count, contributions=(one,)))


# --- differencing ---


def test_an_organisation_counts_once_a_period(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN))
    asked = CountsOpen(certificate_type=CARD, partition="by_age", performed_by=NODES[2].account)
    world.refused(BANK, asked, "count_repeated")
    world.done(BANK, CountsRequest(count_id=count))
    world.refused(BANK, asked, "count_repeated")
    world.done(NODES[1], result_of(world, count, [0, 0, GROUP_MIN, 0, 0]))
    world.refused(BANK, asked, "count_repeated")


def test_the_same_subject_of_another_type_is_the_same_count(world: Questions) -> None:
    opened(world)
    asked = CountsOpen(certificate_type=LICENCE, partition="by_age", performed_by=NODES[2].account)
    world.refused(BANK, asked, "count_repeated")
    opened(world, name="by_sex")


def test_overlapping_counts_of_two_organisations_are_refused(world: Questions) -> None:
    """All but one by the bank, all by the shop: the difference would be one person's age."""
    filled(world, range(GROUP_MIN))
    count = opened(world, SHOP)
    for number in range(GROUP_MIN):
        one = contribution(world, number, SHOP)
        world.refused(SHOP, CountsContribute(count_id=count, contributions=(one,)), "counted_already")
    target = contribution(world, GROUP_MIN, SHOP)
    world.done(SHOP, CountsContribute(count_id=count, contributions=(target,)))
    denied = world.refused(SHOP, CountsRequest(count_id=count), "count_too_small")
    assert denied["contributions"] == 1


def test_two_certificates_of_one_holder_do_not_count_twice(world: Questions) -> None:
    count = opened(world)
    other = world.certify("licence", CITIZENS[0], LICENCE)
    one = contribution(world, 0)
    world.done(BANK, CountsContribute(count_id=count, contributions=(one,)))
    again = world.certify("card again", CITIZENS[0])
    twice = Contribution(certificate=again, grant=one.grant)
    world.refused(BANK, CountsContribute(count_id=count, contributions=(twice,)), "counted_already")
    licence_count = opened(world, SHOP, LICENCE)
    grant = world.allow(question(LICENCE, "by_age"), by=SHOP, of=CITIZENS[0])
    asked = CountsContribute(
        count_id=licence_count, contributions=(Contribution(certificate=other, grant=grant),)
    )
    world.refused(SHOP, asked, "counted_already")


def test_one_call_cannot_bring_one_holder_twice(world: Questions) -> None:
    count = opened(world)
    one = contribution(world, 0)
    world.refused(BANK, CountsContribute(count_id=count, contributions=(one, one)), "counted_already")


def test_overlapping_counts_in_one_block_through_two_nodes_take_a_holder_once(world: Questions) -> None:
    first, second = opened(world), opened(world, SHOP)
    calls = [
        world.sign(by, CountsContribute(count_id=count, contributions=(contribution(world, 0, by),)))
        for by, count in ((BANK, first), (SHOP, second))
    ]
    codes = [result.code for result in world.block(calls).results]
    assert sorted(codes) == ["counted_already", "ok"]


def test_after_request_nothing_comes_in(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN))
    world.done(BANK, CountsRequest(count_id=count))
    one = contribution(world, GROUP_MIN)
    world.refused(BANK, CountsContribute(count_id=count, contributions=(one,)), "state_transition")
    world.refused(BANK, CountsRequest(count_id=count), "state_transition")


def test_a_count_that_failed_frees_its_holders_and_its_period(world: Questions) -> None:
    count = filled(world, range(3))
    world.done(BANK, CountsFail(count_id=count, reason="mistake"))
    again = filled(world, range(3))
    assert record(world, again).contributions == 3
    world.refused(
        BANK, CountsContribute(count_id=count, contributions=(contribution(world, 4),)), "state_transition"
    )


def test_an_old_failed_count_gives_no_contribution_of_a_new_one(world: Questions) -> None:
    count = filled(world, range(3))
    world.done(BANK, CountsFail(count_id=count, reason="mistake"))
    filled(world, range(3))
    assert contribution_of(world.registry_reading(), record(world, count), CITIZENS[0].account) is None


def test_a_published_count_never_fails(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN))
    world.done(BANK, CountsRequest(count_id=count))
    world.refused(BANK, CountsFail(count_id=count, reason="again"), "state_transition")
    world.done(NODES[1], result_of(world, count, [0, GROUP_MIN, 0, 0, 0]))
    world.refused(NODES[1], CountsFail(count_id=count, reason="again"), "state_transition")
    world.refused(NODES[1], result_of(world, count, [0, GROUP_MIN, 0, 0, 0]), "state_transition")


def test_the_deadline_ends_a_count_and_a_published_one_stays(world: Questions) -> None:
    count = filled(world, range(2))
    world.time_ms += COUNT_DEADLINE_MS + 60_000
    world.refused(BANK, CountsRequest(count_id=count), "count_overdue")
    for _ in range(8):
        world.run(NODES[0], DeadlinesTick())
    assert record(world, count).state is CountState.FAILED
    assert record(world, count).failure == "deadline"


def test_a_new_period_is_a_new_count(world: Questions) -> None:
    filled(world, range(2))
    world.time_ms += 366 * DAY_MS
    assert record(world, filled(world, range(2))).period == "2028"


# --- who, and what is told ---


def test_only_the_named_node_publishes(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN))
    world.done(BANK, CountsRequest(count_id=count))
    made = result_of(world, count, [0, 0, GROUP_MIN, 0, 0])
    world.refused(NODES[2], made, "not_entrusted")
    world.refused(NODES[2], CountsFail(count_id=count, reason="x"), "not_entrusted")
    world.refused(SHOP, CountsFail(count_id=count, reason="x"), "not_own_count")


def test_a_small_group_is_never_counted(world: Questions) -> None:
    count = filled(world, range(GROUP_MIN - 1))
    world.refused(BANK, CountsRequest(count_id=count), "count_too_small")


@pytest.mark.parametrize(
    ("counts", "check"),
    [
        ([21, 20, 20, 20, 20], "rounding"),
        ([10, 20, 20, 20, 20], "rounding"),
        ([20, 20, 20, 20, 20], "sum"),
        ([20, 20], "cells"),
    ],
)
def test_numbers_that_are_not_rounded_and_suppressed_are_refused(
    world: Questions, counts: list[int], check: str
) -> None:
    count = filled(world, range(GROUP_MIN))
    world.done(BANK, CountsRequest(count_id=count))
    names = record(world, count).partition.cells
    cells = tuple(
        CellCount(cell=name, count=number, suppressed=False)
        for name, number in zip(names, counts, strict=False)
    )
    denied = world.refused(
        NODES[1], CountsPublish(count_id=count, cells=cells, left_out=0), "count_not_as_declared"
    )
    assert denied["check"] == check


def test_an_unknown_partition_or_operator_opens_nothing(world: Questions) -> None:
    asked = CountsOpen(certificate_type=CARD, partition="by_name", performed_by=NODES[1].account)
    world.refused(BANK, asked, "partition_not_declared")
    asked = CountsOpen(certificate_type=CARD, partition="by_age", performed_by=BANK.account)
    world.refused(BANK, asked, "unknown_operator")
    asked = CountsOpen(certificate_type=CARD, partition="by_age", performed_by=NODES[1].account)
    world.refused(LI, asked, "wrong_account_kind")


def test_too_many_contributions_in_one_call_are_malformed(world: Questions) -> None:
    one = Contribution(certificate=bytes(16), grant=bytes(16))
    call_ = CountsContribute(count_id=bytes(16), contributions=(one,) * (CONTRIBUTIONS_PER_CALL_MAX + 1))
    world.refused(BANK, call_, "malformed_call")


# --- the arithmetic ---


def partition(cells: int, base: int, group_min: int) -> DeclaredPartition:
    return DeclaredPartition(
        name="p",
        field="f",
        subject="s",
        cells=tuple(f"c{n}" for n in range(cells)),
        period=PeriodUnit.YEAR,
        base=base,
        group_min=group_min,
    )


COUNTS_STRATEGY = st.lists(st.integers(min_value=0, max_value=200), min_size=2, max_size=8)


@given(counts=COUNTS_STRATEGY, base=st.integers(5, 50), group_min=st.integers(10, 60))
def test_what_is_told_hides_every_small_cell_and_what_others_would_tell_of_it(
    counts: list[int], base: int, group_min: int
) -> None:
    cells = told(partition(len(counts), base, group_min), counts)
    hidden = [count for cell, count in zip(cells, counts, strict=True) if cell.suppressed]
    shown = [(cell, count) for cell, count in zip(cells, counts, strict=True) if not cell.suppressed]
    assert all(count >= group_min for _, count in shown)
    assert all(cell.count % base == 0 and abs(cell.count - count) <= base // 2 for cell, count in shown)
    assert all(cell.count == 0 for cell in cells if cell.suppressed)
    if hidden and shown:
        assert len(hidden) > 1
        assert sum(hidden) >= group_min


@given(counts=COUNTS_STRATEGY, base=st.integers(5, 50), group_min=st.integers(10, 60))
def test_the_contract_takes_exactly_what_an_honest_node_tells(
    counts: list[int], base: int, group_min: int
) -> None:
    declared = partition(len(counts), base, group_min)
    assert why_not_told(declared, told(declared, counts), sum(counts)) == ""
