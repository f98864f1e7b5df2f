"""Recovery of an account whose keys are lost: two organisations, three days, a veto by any key, a week of restriction."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.calls import DeadlinesTick, PeopleAddKey, PeopleRevokeKey, PeopleSetReachable
from contracts.keys import usable
from contracts.people import restricted
from contracts.people_actions import SetRegistrar
from contracts.people_calls import RecoveriesConfirm, RecoveriesOpen, RecoveriesVeto
from contracts.people_records import (
    RECOVERY_CONFIRM_MS,
    RECOVERY_DELAY_MS,
    RESTRICTION_MS,
    AssertionMethod,
    AssertionUse,
    Recovery,
    RecoveryState,
    SignedAssertion,
)
from contracts.records import Account, KeyRole
from contracts.state import ACCOUNTS, PERSONS, RECOVERIES
from tests.unit.contracts_world import (
    BANK,
    CLERK,
    DEPARTMENT,
    LI,
    NODES,
    SHOP,
    WANG,
    Actor,
    World,
    assertion,
    new_key,
    own_element,
    person,
    tag_of,
)

MINUTE_MS: Final = 60_000
# Li's new phone, brought after the old one was lost.
NEW: Final = person("li", "new phone")
AT_NEW: Final = Actor(LI.account, NEW.signer)
TABLET: Final = Actor(LI.account, person("li", "tablet").signer)


def notary(world: World) -> None:
    """The bank may say who people are too: the second organisation."""
    world.vote(
        SetRegistrar(account_id=BANK.account, methods=tuple(AssertionMethod), uses=(AssertionUse.RECOVER,))
    )


@pytest.fixture
def world() -> World:
    made = World().populate()
    notary(made)
    return made


def word(world: World, by: Actor = CLERK, who: Actor = LI, **changes: object) -> SignedAssertion:
    values: dict[str, object] = {
        "use": AssertionUse.RECOVER,
        "key_id": NEW.key_id,
        "tags": (tag_of(who),),
        "own_element": own_element(NEW),
    }
    return assertion(NEW, world.chain_id, world.time_ms, by=by, **{**values, **changes})


def opening(world: World, **changes: object) -> RecoveriesOpen:
    return RecoveriesOpen(assertion=word(world, **changes), key=new_key(NEW, KeyRole.HOLDER))  # type: ignore[arg-type]


def confirming(world: World, **changes: object) -> RecoveriesConfirm:
    return RecoveriesConfirm(account=LI.account, assertion=word(world, **{"by": BANK, **changes}))  # type: ignore[arg-type]


def account_of(world: World, who: Actor = LI) -> Account:
    found = ACCOUNTS.get(world, who.account)
    assert found is not None
    return found


def held(world: World) -> Recovery:
    found = RECOVERIES.get(world, LI.account)
    assert found is not None
    return found


def pending(world: World) -> Recovery:
    world.done(DEPARTMENT, opening(world))
    world.done(BANK, confirming(world))
    return held(world)


def tick(world: World) -> None:
    world.done(NODES[0], DeadlinesTick())


def complete(world: World) -> None:
    world.time_ms = pending(world).completes_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.COMPLETED


def test_two_organisations_and_three_days_bind_a_new_key_and_end_the_old_ones(world: World) -> None:
    assert world.done(DEPARTMENT, opening(world)) == LI.account
    assert held(world).state is RecoveryState.OPENED
    at = world.time_ms
    world.done(BANK, confirming(world))
    assert held(world).state is RecoveryState.PENDING
    assert held(world).completes_ms == at + RECOVERY_DELAY_MS
    world.time_ms = held(world).completes_ms + MINUTE_MS
    at = world.time_ms
    tick(world)
    account = account_of(world)
    assert [key.key_id for key in account.keys if usable(key, at)] == [NEW.key_id]
    assert account.restricted_until_ms == at + RESTRICTION_MS
    record = PERSONS.get(world, LI.account)
    assert record is not None
    assert record.own_element == own_element(NEW)
    world.done(AT_NEW, PeopleSetReachable(reachable=True))


def test_it_is_never_completed_a_moment_before_its_time(world: World) -> None:
    due_ms = pending(world).completes_ms
    for at in (world.time_ms, due_ms - RECOVERY_DELAY_MS // 2, due_ms - 1):
        world.time_ms = at
        tick(world)
        assert held(world).state is RecoveryState.PENDING
        assert NEW.key_id not in {key.key_id for key in account_of(world).keys}


def test_the_deadline_of_the_opening_completes_nothing_that_was_confirmed_later(world: World) -> None:
    world.done(DEPARTMENT, opening(world))
    lapses_ms = held(world).completes_ms
    world.time_ms = lapses_ms - MINUTE_MS
    world.done(BANK, confirming(world))
    world.time_ms = lapses_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.PENDING


def test_any_key_that_the_person_still_has_ends_it(world: World) -> None:
    world.done(LI, PeopleAddKey(key=new_key(TABLET, KeyRole.HOLDER)))
    due_ms = pending(world).completes_ms
    world.done(TABLET, RecoveriesVeto())
    assert held(world).state is RecoveryState.VETOED
    world.time_ms = due_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.VETOED
    assert NEW.key_id not in {key.key_id for key in account_of(world).keys}
    assert account_of(world).restricted_until_ms == 0


def test_a_veto_counts_before_the_second_organisation_too_and_until_it_is_completed(world: World) -> None:
    world.done(DEPARTMENT, opening(world))
    world.done(LI, RecoveriesVeto())
    world.refused(BANK, confirming(world), "no_recovery")
    world.time_ms = pending(world).completes_ms + MINUTE_MS
    world.done(LI, RecoveriesVeto())
    tick(world)
    assert held(world).state is RecoveryState.VETOED


def test_there_is_nothing_to_veto_without_a_recovery_of_ones_own(world: World) -> None:
    world.refused(LI, RecoveriesVeto(), "no_recovery")
    pending(world)
    world.refused(WANG, RecoveriesVeto(), "no_recovery")
    world.done(LI, RecoveriesVeto())
    world.refused(LI, RecoveriesVeto(), "no_recovery")


def test_one_organisation_alone_recovers_nothing(world: World) -> None:
    world.done(DEPARTMENT, opening(world))
    world.refused(CLERK, confirming(world, by=CLERK), "same_organization")
    world.refused(DEPARTMENT, confirming(world, by=BANK), "assertion_for_another")
    world.refused(SHOP, confirming(world, by=SHOP), "not_a_registrar")
    world.time_ms = held(world).completes_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.LAPSED
    world.refused(BANK, confirming(world), "no_recovery")


def test_nobody_brings_another_organisations_word(world: World) -> None:
    world.refused(BANK, opening(world, by=CLERK), "assertion_for_another")


def test_both_organisations_must_mean_the_same_person_and_key(world: World) -> None:
    world.done(DEPARTMENT, opening(world))
    world.refused(BANK, confirming(world, who=WANG), "assertion_for_another")
    world.refused(BANK, confirming(world, key_id=WANG.key_id), "assertion_for_another")
    world.refused(BANK, confirming(world, use=AssertionUse.ENROLL), "assertion_for_another")


def test_who_has_no_account_has_nothing_to_recover(world: World) -> None:
    world.refused(DEPARTMENT, opening(world, who=person("zhao")), "unknown_tag")


def test_one_recovery_at_a_time_and_another_after_it(world: World) -> None:
    pending(world)
    world.refused(DEPARTMENT, opening(world), "recovery_under_way")
    world.done(LI, RecoveriesVeto())
    world.done(DEPARTMENT, opening(world))


def test_a_key_that_the_account_has_is_nothing_to_recover(world: World) -> None:
    world.done(LI, PeopleAddKey(key=new_key(NEW, KeyRole.HOLDER)))
    world.refused(DEPARTMENT, opening(world), "key_exists")


def test_a_key_that_would_end_before_it_counts_is_refused(world: World) -> None:
    latest_ms = world.time_ms + RECOVERY_CONFIRM_MS + RECOVERY_DELAY_MS
    short = RecoveriesOpen(assertion=word(world), key=new_key(NEW, KeyRole.HOLDER, until_ms=latest_ms))
    world.refused(DEPARTMENT, short, "ends_in_the_past")


def test_without_a_channel_for_notices_both_identify_in_person(world: World) -> None:
    world.done(LI, PeopleSetReachable(reachable=False))
    for method in (AssertionMethod.FACE, AssertionMethod.OIDC):
        world.refused(DEPARTMENT, opening(world, method=method), "in_person_only")
    world.done(DEPARTMENT, opening(world))
    world.refused(BANK, confirming(world, method=AssertionMethod.FACE), "in_person_only")
    world.done(BANK, confirming(world))


def test_with_a_channel_a_face_service_will_do(world: World) -> None:
    world.done(DEPARTMENT, opening(world, method=AssertionMethod.FACE))
    world.done(BANK, confirming(world, method=AssertionMethod.OIDC))


def test_a_recovered_account_gives_nothing_away_for_a_week(world: World) -> None:
    complete(world)
    until_ms = account_of(world).restricted_until_ms
    assert restricted(account_of(world), until_ms - 1)
    assert not restricted(account_of(world), until_ms)
    world.time_ms = until_ms - 10_000
    grant_id = world.done(BANK, world.asking())
    assert world.refused(AT_NEW, world.approval(grant_id), "account_restricted") == {"until_ms": until_ms}
    world.time_ms = until_ms
    world.done(AT_NEW, world.approval(grant_id))


def test_everybody_whom_a_recovery_concerns_is_told_of_each_step(world: World) -> None:
    opened = world.run(DEPARTMENT, opening(world))
    confirmed = world.run(BANK, confirming(world))
    world.time_ms = held(world).completes_ms + MINUTE_MS
    ticked = world.run(NODES[0], DeadlinesTick())
    for result, kind in ((opened, "opened"), (confirmed, "confirmed"), (ticked, "completed")):
        event = next(event for event in result.events if event.kind == f"recoveries.{kind}")
        assert event.object_id == LI.account
        assert LI.account in event.subjects
        assert tag_of(LI).tag.hex() not in {value for _, value in event.data}


def test_a_refused_attempt_concerns_the_person(world: World) -> None:
    result = world.run(SHOP, opening(world, by=SHOP))
    assert result.code == "not_a_registrar"
    assert LI.account in result.events[0].subjects


def test_a_new_key_that_was_added_meanwhile_stays_and_breaks_no_deadline(world: World) -> None:
    due_ms = pending(world).completes_ms
    world.done(LI, PeopleAddKey(key=new_key(NEW, KeyRole.HOLDER)))
    world.time_ms = due_ms + MINUTE_MS
    tick(world)
    keys = account_of(world).keys
    assert [key.key_id for key in keys if usable(key, world.time_ms)] == [NEW.key_id]


def test_a_new_key_that_the_person_has_added_and_revoked_meanwhile_is_not_bound(world: World) -> None:
    due_ms = pending(world).completes_ms
    world.done(LI, PeopleAddKey(key=new_key(NEW, KeyRole.HOLDER)))
    world.done(LI, PeopleRevokeKey(key_id=NEW.key_id))
    world.time_ms = due_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.LAPSED
    keys = account_of(world).keys
    assert [key.key_id for key in keys if usable(key, world.time_ms)] == [LI.key_id]


def test_a_new_key_that_has_ended_before_anybody_ticked_locks_nobody_out(world: World) -> None:
    until_ms = world.time_ms + RECOVERY_CONFIRM_MS + RECOVERY_DELAY_MS + MINUTE_MS
    world.done(
        DEPARTMENT, RecoveriesOpen(assertion=word(world), key=new_key(NEW, KeyRole.HOLDER, until_ms=until_ms))
    )
    world.done(BANK, confirming(world))
    world.time_ms = until_ms
    tick(world)
    assert held(world).state is RecoveryState.LAPSED
    world.done(LI, PeopleSetReachable(reachable=True))


class Started:
    """A world with two registrars, made once."""

    _made: World | None = None

    def copy(self) -> World:
        if self._made is None:
            self._made = World().populate()
            notary(self._made)
            self._made.done(LI, PeopleAddKey(key=new_key(TABLET, KeyRole.HOLDER)))
        fresh = World()
        fresh.entries = dict(self._made.entries)
        fresh.time_ms, fresh.height, fresh.sent = self._made.time_ms, self._made.height, self._made.sent
        return fresh


STARTED: Final = Started()


class Recoveries(RuleBasedStateMachine):
    """Whatever is called in whatever order: never before its time, never against a veto, never by one organisation."""

    def __init__(self) -> None:
        super().__init__()
        self.world = STARTED.copy()
        self.opened_by: Actor | None = None
        self.confirmed_ms = 0
        self.vetoed = False

    def over(self) -> bool:
        return RECOVERIES.get(self.world, LI.account) is not None and held(self.world).state is (
            RecoveryState.COMPLETED
        )

    @rule(by=st.sampled_from([(DEPARTMENT, CLERK), (BANK, BANK), (SHOP, SHOP), (DEPARTMENT, BANK)]))
    def open(self, by: tuple[Actor, Actor]) -> None:
        if self.world.run(by[0], opening(self.world, by=by[1])).code == "ok":
            self.opened_by, self.confirmed_ms, self.vetoed = by[0], 0, False

    @rule(by=st.sampled_from([(DEPARTMENT, CLERK), (BANK, BANK), (SHOP, SHOP), (BANK, CLERK)]))
    def confirm(self, by: tuple[Actor, Actor]) -> None:
        at = self.world.time_ms
        if self.world.run(by[0], confirming(self.world, by=by[1])).code == "ok":
            assert self.opened_by is not None
            assert self.opened_by.account != by[0].account
            assert not self.vetoed
            self.confirmed_ms = at

    @rule(by=st.sampled_from([LI, TABLET]))
    @precondition(lambda self: not self.over())
    def veto(self, by: Actor) -> None:
        if self.world.run(by, RecoveriesVeto()).code == "ok":
            self.vetoed = True

    @rule(by=st.sampled_from([WANG, SHOP]))
    def another_vetoes(self, by: Actor) -> None:
        assert self.world.run(by, RecoveriesVeto()).code != "ok"

    @rule(
        wait_ms=st.sampled_from([0, MINUTE_MS, RECOVERY_DELAY_MS // 3, RECOVERY_DELAY_MS - MINUTE_MS])
        | st.integers(0, 2 * RECOVERY_DELAY_MS)
    )
    def time_passes(self, wait_ms: int) -> None:
        self.world.time_ms += wait_ms
        tick(self.world)

    @invariant()
    def it_is_completed_only_by_two_organisations_time_and_no_veto(self) -> None:
        bound = NEW.key_id in {key.key_id for key in account_of(self.world).keys}
        assert bound is self.over()
        if not bound:
            assert account_of(self.world).restricted_until_ms == 0
            return
        assert not self.vetoed
        assert self.confirmed_ms
        assert held(self.world).state_since_ms >= self.confirmed_ms + RECOVERY_DELAY_MS
        assert account_of(self.world).restricted_until_ms == held(self.world).state_since_ms + RESTRICTION_MS


TestNoOrderOfCallsRecoversTooSoon = Recoveries.TestCase
TestNoOrderOfCallsRecoversTooSoon.settings = settings(max_examples=25, stateful_step_count=14, deadline=None)
