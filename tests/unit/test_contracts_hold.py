"""The week after a recovery: on no path does the account, or anybody for it, give something new away."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import GrantsPause, GrantsReject, GrantsResume, GrantsRevoke
from contracts.grant_calls import GrantsOpenOwn
from contracts.portal_actions import SetIdentityServices
from contracts.records import GrantState
from contracts.state import ACCOUNTS, Draft, present
from tests.unit.contracts_world import BANK, DAY_MS, DEPARTMENT, LI, SHOP, WANG, Actor, World
from tests.unit.grants_world import HOURLY, appointment, grants_world, mandate
from tests.unit.test_contracts_portals import at_window


@pytest.fixture
def world() -> World:
    made = grants_world()
    made.vote(SetIdentityServices(services=(SHOP.account,)))
    return made


def recovered(world: World, who: Actor = LI) -> int:
    """The account was recovered just now; when the week is over."""
    draft = Draft(world)
    until_ms = world.time_ms + 7 * DAY_MS
    account = present(ACCOUNTS.get(world, who.account), "an account")
    ACCOUNTS.put(draft, who.account, replace(account, restricted_until_ms=until_ms))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    return until_ms


def asked(world: World, **changes: object) -> bytes:
    values: dict[str, object] = {
        "purpose": "inquiry",
        "frequency": HOURLY,
        "consent_expiry_ms": world.time_ms + 30 * DAY_MS,
    }
    return world.done(BANK, world.asking(**{**values, **changes}))


def test_no_clerk_takes_its_consent_at_a_window(world: World) -> None:
    grant_id = asked(world)
    until_ms = recovered(world)
    consent = world.approval(grant_id)
    fields = world.refused(DEPARTMENT, at_window(world, consent), "account_restricted")
    assert fields == {"until_ms": until_ms}
    world.time_ms = until_ms
    world.done(DEPARTMENT, at_window(world, consent))


@pytest.mark.parametrize("who", [LI, WANG])
def test_no_representative_gives_for_it_and_it_gives_for_nobody(world: World, who: Actor) -> None:
    grant_id = asked(world)
    right = mandate(world, until_ms=world.time_ms + 60 * DAY_MS)
    until_ms = recovered(world, who)
    world.refused(WANG, world.approval(grant_id, mandate=right), "account_restricted")
    world.done(WANG, GrantsReject(grant_id=grant_id, mandate=right))
    world.time_ms = until_ms
    world.done(WANG, world.approval(asked(world), mandate=right))


def test_it_appoints_nobody_and_what_was_paused_stays_so(world: World) -> None:
    grant_id = asked(world)
    world.done(LI, world.approval(grant_id))
    world.done(LI, GrantsPause(grant_id=grant_id))
    degree = world.issue("degree of li")
    recovered(world)
    world.refused(LI, appointment(), "account_restricted")
    world.refused(LI, GrantsResume(grant_id=grant_id), "account_restricted")
    world.refused(LI, GrantsOpenOwn(certificates=(degree,)), "account_restricted")


def test_it_can_still_take_back_what_it_gave(world: World) -> None:
    grant_id = asked(world)
    world.done(LI, world.approval(grant_id))
    recovered(world)
    world.done(LI, GrantsPause(grant_id=grant_id))
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    assert world.grant_record(grant_id).state is GrantState.REVOKED


def test_a_renewal_is_a_new_grant(world: World) -> None:
    grant_id = asked(world)
    world.done(LI, world.approval(grant_id))
    renewal = asked(world, renews=grant_id)
    recovered(world)
    world.refused(LI, world.approval(renewal), "account_restricted")
