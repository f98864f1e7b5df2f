"""Lookup tickets: who may ask for how many people, with whose approval, and that no order of calls gives more."""

from __future__ import annotations

from collections import deque
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import quotas
from contracts.denials import Denied
from contracts.directory import elements_hash
from contracts.lookups import check_usable, limits
from contracts.people_actions import SetLookupLimits
from contracts.people_calls import LookupsApprove, LookupsRequest
from contracts.people_records import (
    BATCH_MAX,
    HOUR_MS,
    QUOTA_WINDOW_HOURS,
    TICKET_LIFE_MS,
    LookupCount,
    LookupLimits,
    Ticket,
)
from contracts.state import TICKETS
from tests.unit.contracts_world import (
    BANK,
    CLERK,
    DEPARTMENT,
    LI,
    NODES,
    READER_NODE,
    SHOP,
    SUITE,
    WANG,
    World,
    actor,
    directory_entries,
    identity,
    own_element,
)

WINDOW_MS: Final = QUOTA_WINDOW_HOURS * HOUR_MS


@pytest.fixture
def world() -> World:
    return World().populate()


def asking(count: int = 1, entry: bytes = NODES[0].account, **changes: object) -> LookupsRequest:
    values: dict[str, object] = {
        "entry": entry,
        "count": count,
        "elements_hash": identity("elements", 32),
        "basis": "service",
    }
    return LookupsRequest(**{**values, **changes})  # type: ignore[arg-type]


def held(world: World, ticket_id: bytes) -> Ticket:
    found = TICKETS.get(world, ticket_id)
    assert found is not None
    return found


def limited(world: World, **changes: int) -> None:
    world.vote(SetLookupLimits(limits=LookupLimits(**changes)))


def test_a_ticket_names_officer_organisation_entry_count_basis_and_elements(world: World) -> None:
    at = world.time_ms
    ticket = held(world, world.done(BANK, asking()))
    assert (ticket.account, ticket.officer) == (BANK.account, BANK.key_id)
    assert (ticket.entry, ticket.count, ticket.basis) == (NODES[0].account, 1, "service")
    assert ticket.elements_hash == identity("elements", 32)
    assert (ticket.requested_ms, ticket.expires_ms) == (at, at + TICKET_LIFE_MS)
    check_usable(world, ticket, at)


def test_a_ticket_is_worth_nothing_from_its_end_on(world: World) -> None:
    ticket = held(world, world.done(BANK, asking()))
    check_usable(world, ticket, ticket.expires_ms - 1)
    with pytest.raises(Denied, match="expired"):
        check_usable(world, ticket, ticket.expires_ms)


def test_the_entry_is_a_node_of_the_network(world: World) -> None:
    world.refused(BANK, asking(entry=BANK.account), "unknown_entry")
    world.done(BANK, asking(entry=READER_NODE.account))


def test_nobody_looks_up_before_there_is_a_directory_key(world: World) -> None:
    for key in directory_entries():
        del world.entries[key]
    world.refused(BANK, asking(), "directory_not_ready")


def test_several_people_take_another_officer_of_the_organisation(world: World) -> None:
    ticket_id = world.done(DEPARTMENT, asking(2))
    with pytest.raises(Denied, match="another officer"):
        check_usable(world, held(world, ticket_id), world.time_ms)
    world.refused(DEPARTMENT, LookupsApprove(ticket_id=ticket_id), "own_approval")
    world.refused(BANK, LookupsApprove(ticket_id=ticket_id), "ticket_of_another")
    world.refused(CLERK, LookupsApprove(ticket_id=bytes(16)), "unknown_ticket")
    world.done(CLERK, LookupsApprove(ticket_id=ticket_id))
    assert held(world, ticket_id).approver == CLERK.key_id
    check_usable(world, held(world, ticket_id), world.time_ms)
    world.refused(CLERK, LookupsApprove(ticket_id=ticket_id), "ticket_approved")


def test_what_has_expired_is_not_approved(world: World) -> None:
    ticket_id = world.done(DEPARTMENT, asking(2))
    world.time_ms = held(world, ticket_id).expires_ms
    world.refused(CLERK, LookupsApprove(ticket_id=ticket_id), "ticket_expired")


def test_a_lookup_has_a_largest_size(world: World) -> None:
    world.done(DEPARTMENT, asking(BATCH_MAX))
    world.refused(DEPARTMENT, asking(BATCH_MAX + 1), "malformed_call")
    world.refused(DEPARTMENT, asking(0), "malformed_call")


def test_a_person_has_nothing_evaluated_but_its_own_element(world: World) -> None:
    own = elements_hash(SUITE, (own_element(LI),))
    world.done(LI, asking(elements_hash=own))
    world.refused(WANG, asking(elements_hash=own), "own_number_only")
    world.refused(LI, asking(), "own_number_only")
    world.refused(LI, asking(2, elements_hash=own), "own_number_only")


@pytest.mark.parametrize(
    ("limit", "what"),
    [("officer_max", "officer"), ("organization_max", "organization"), ("entry_max", "entry")],
)
def test_each_quota_stops_an_enumeration(world: World, limit: str, what: str) -> None:
    limited(world, **{limit: 5})
    for _ in range(5):
        world.done(BANK, asking())
    assert world.refused(BANK, asking(), "lookup_quota") == {"what": what, "maximum": 5, "used": 5}


def test_a_batch_counts_every_person_and_fails_as_a_whole(world: World) -> None:
    limited(world, officer_max=5)
    world.done(DEPARTMENT, asking(4))
    world.refused(DEPARTMENT, asking(2), "lookup_quota")
    world.done(DEPARTMENT, asking(1))
    world.refused(DEPARTMENT, asking(1), "lookup_quota")


def test_a_quota_is_one_officers_organisations_or_nodes_own(world: World) -> None:
    limited(world, officer_max=1, organization_max=2, entry_max=3)
    world.done(DEPARTMENT, asking())
    world.refused(DEPARTMENT, asking(), "lookup_quota")
    world.done(CLERK, asking())
    world.done(BANK, asking())
    assert world.refused(SHOP, asking(), "lookup_quota")["what"] == "entry"
    world.done(SHOP, asking(entry=NODES[1].account))


def test_a_person_has_a_quota_too(world: World) -> None:
    limited(world, person_max=1)
    own = elements_hash(SUITE, (own_element(LI),))
    world.done(LI, asking(elements_hash=own))
    assert world.refused(LI, asking(elements_hash=own), "lookup_quota")["what"] == "person"


def test_a_lowered_quota_holds_at_once_and_a_day_later_there_is_room_again(world: World) -> None:
    for _ in range(3):
        world.done(BANK, asking())
    limited(world, officer_max=3)
    world.refused(BANK, asking(), "lookup_quota")
    world.time_ms += WINDOW_MS + HOUR_MS
    world.done(BANK, asking())


def test_what_is_refused_does_not_count(world: World) -> None:
    limited(world, officer_max=2)
    world.refused(BANK, asking(entry=bytes(16)), "unknown_entry")
    world.refused(BANK, asking(3), "lookup_quota")
    world.done(BANK, asking())
    world.done(BANK, asking())


def test_default_quotas_are_bounded() -> None:
    found = limits(World())
    assert 0 < found.person_max < found.officer_max < found.organization_max < found.entry_max


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40 * HOUR_MS) | st.sampled_from([0, 1, HOUR_MS - 1, HOUR_MS, WINDOW_MS]),
        st.integers(1, 8),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 20))
def test_no_sequence_of_lookups_has_more_than_the_quota_in_any_window(
    steps: list[tuple[int, int]], maximum: int
) -> None:
    count, time_ms = quotas.NOTHING, 1_800_000_000_000
    granted: deque[tuple[int, int]] = deque()
    for wait_ms, amount in steps:
        time_ms += wait_ms
        try:
            count = quotas.counted(count, time_ms, amount, maximum, "officer")
        except Denied:
            continue
        granted.append((time_ms, amount))
        within = sum(n for at, n in granted if at > time_ms - WINDOW_MS)
        assert within <= maximum
        assert len(count.hours) <= QUOTA_WINDOW_HOURS + 1
    assert quotas.used(count, time_ms + WINDOW_MS + HOUR_MS) == 0


def test_the_hour_in_which_the_window_begins_still_counts() -> None:
    last_moment = 500_000 * HOUR_MS - 1
    count = quotas.counted(quotas.NOTHING, last_moment, 1, 1, "officer")
    for within in (0, 1, WINDOW_MS - 1, WINDOW_MS):
        with pytest.raises(Denied):
            quotas.counted(count, last_moment + within, 1, 1, "officer")
    assert quotas.used(count, last_moment + WINDOW_MS + HOUR_MS) == 0


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_quota_that_is_not_reached_refuses_nothing(steps: list[tuple[int, int]]) -> None:
    count: LookupCount = quotas.NOTHING
    time_ms = 0
    for wait_ms, amount in steps:
        time_ms += wait_ms
        count = quotas.counted(count, time_ms, amount, 8 * 40, "officer")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([DEPARTMENT, CLERK, BANK, SHOP]),
            st.sampled_from([NODES[0].account, NODES[1].account]),
            st.integers(1, 3),
            st.sampled_from([0, HOUR_MS, 13 * HOUR_MS]),
        ),
        max_size=14,
    )
)
def test_no_sequence_of_calls_by_anybody_goes_beyond_any_quota(
    calls: list[tuple[object, bytes, int, int]],
) -> None:
    world = STARTED.copy()
    caps = {"officer": 3, "organization": 4, "entry": 5}
    taken: list[tuple[int, dict[tuple[str, bytes], int]]] = []
    for who, entry, count, wait_ms in calls:
        assert isinstance(who, type(BANK))
        world.time_ms += wait_ms
        at = world.time_ms
        if world.run(who, asking(count, entry)).code != "ok":
            continue
        names = {
            ("officer", who.key_id): count,
            ("organization", who.account): count,
            ("entry", entry): count,
        }
        taken.append((at, names))
        for kind, name in names:
            used = sum(one.get((kind, name), 0) for then, one in taken if then > at - WINDOW_MS)
            assert used <= caps[kind], (kind, used)


class Started:
    """A populated world with small quotas, made once and copied."""

    def __init__(self) -> None:
        self._made: World | None = None

    def copy(self) -> World:
        if self._made is None:
            self._made = World().populate()
            limited(self._made, officer_max=3, organization_max=4, entry_max=5)
        fresh = World()
        fresh.entries = dict(self._made.entries)
        fresh.time_ms, fresh.height, fresh.sent = self._made.time_ms, self._made.height, self._made.sent
        return fresh


STARTED: Final = Started()


def test_a_key_that_an_organisation_adds_does_not_widen_the_organisations_quota(world: World) -> None:
    from contracts.calls import OrganizationsAddKey
    from contracts.records import KeyRole
    from tests.unit.contracts_world import BANK_ADMIN, new_key

    limited(world, officer_max=2, organization_max=3)
    world.done(BANK, asking(2))
    second = actor("bank", "second officer")
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(second, KeyRole.OFFICER)))
    world.done(second, asking(1))
    assert world.refused(second, asking(1), "lookup_quota")["what"] == "organization"
