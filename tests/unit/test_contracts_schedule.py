"""The queue of deadlines and the tick that works it off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.calls import DeadlinesTick, GrantsRevoke, OrganizationsAddKey
from contracts.deadlines import DEADLINES_PER_TICK_MAX
from contracts.records import GrantState, KeyRole
from contracts.schedule import MINUTE_MS, due, pop_due, schedule
from contracts.state import DeadlineKind, Draft
from ledger.types import RESULT_EVENTS_MAX
from tests.unit.contracts_world import BANK, BANK_ADMIN, DAY_MS, LI, NODES, World, actor, new_key

TIMES = st.one_of(
    st.integers(min_value=0, max_value=20 * MINUTE_MS), st.integers(min_value=0, max_value=2**53 - 1)
)


class Nothing:
    @staticmethod
    def get(_key: bytes) -> bytes | None:
        return None


@given(st.lists(st.one_of(st.tuples(st.just("add"), TIMES), st.tuples(st.just("take"), TIMES)), max_size=40))
def test_deadlines_come_in_order_of_their_minutes_never_early_and_none_is_lost(
    steps: list[tuple[str, int]],
) -> None:
    draft = Draft(Nothing())
    waiting: list[tuple[int, int]] = []
    for number, (step, time_ms) in enumerate(steps):
        if step == "add":
            schedule(draft, time_ms, DeadlineKind.GRANT, number.to_bytes(2, "big"))
            waiting.append((-(-time_ms // MINUTE_MS), number))
            continue
        waiting.sort()
        expected = waiting[0] if waiting and waiting[0][0] * MINUTE_MS <= time_ms else None
        assert due(draft, time_ms) is (expected is not None)
        found = pop_due(draft, time_ms)
        assert (found and int.from_bytes(found.object_id, "big")) == (expected and expected[1])
        if expected is not None:
            waiting.remove(expected)
    for _, number in sorted(waiting):
        found = pop_due(draft, 2**53 + MINUTE_MS)
        assert found is not None
        assert int.from_bytes(found.object_id, "big") == number
    assert pop_due(draft, 2**54) is None
    assert all(value is None for value in draft.writes.values())


def test_a_tick_does_a_bounded_piece_of_work_and_the_next_goes_on() -> None:
    assert DEADLINES_PER_TICK_MAX <= RESULT_EVENTS_MAX
    world = World().populate()
    end_ms = world.time_ms + 10 * MINUTE_MS
    grants = [
        world.done(BANK, world.asking(consent_expiry_ms=end_ms)) for _ in range(DEADLINES_PER_TICK_MAX + 1)
    ]
    assert not due(world, end_ms - MINUTE_MS)
    world.time_ms = end_ms + MINUTE_MS
    assert len(world.run(NODES[0], DeadlinesTick()).events) == DEADLINES_PER_TICK_MAX
    assert due(world, world.time_ms)
    world.run(NODES[1], DeadlinesTick())
    assert not due(world, world.time_ms)
    assert {world.grant_record(grant_id).state for grant_id in grants} == {GrantState.EXPIRED}


def test_a_tick_with_nothing_due_changes_nothing() -> None:
    world = World().populate()
    world.grant()
    before = {key: value for key, value in world.entries.items() if not key.startswith(b"included")}
    result = world.run(NODES[0], DeadlinesTick())
    assert (result.code, result.events) == ("ok", ())
    assert before == {key: value for key, value in world.entries.items() if not key.startswith(b"included")}


def test_a_deadline_of_what_has_ended_otherwise_passes_in_silence() -> None:
    world = World().populate()
    grant_id = world.grant()
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    world.time_ms += 2 * DAY_MS
    assert due(world, world.time_ms)
    assert world.run(NODES[0], DeadlinesTick()).events == ()
    assert world.grant_record(grant_id).state is GrantState.REVOKED
    assert not due(world, world.time_ms)


def test_a_call_that_would_give_more_events_than_a_result_holds_is_denied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A result with more could not be read again, and would stop every node."""
    world = World().populate()
    monkeypatch.setattr("contracts.methods.RESULT_EVENTS_MAX", 0)
    asked = OrganizationsAddKey(key=new_key(actor("clerk", "key"), KeyRole.OFFICER))
    world.refused(BANK_ADMIN, asked, "too_many_events")
