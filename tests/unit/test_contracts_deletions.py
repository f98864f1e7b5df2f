"""The end of data's life: what a recipient has to delete, its statement, and what follows when none comes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import DeadlinesTick, GrantsRevoke, RegisterPurposes, ReleasesFail
from contracts.deletions import STATEMENT_TIME_MS, is_late
from contracts.grant_calls import GrantsStateDeletion
from contracts.grant_records import ConsentMode, DeletionDuty
from contracts.grant_tables import DELETION_DUTIES, DELETIONS, DELETIONS_LATE
from tests.unit.contracts_world import (
    BANK,
    DAY_MS,
    HIRING,
    LI,
    NODES,
    SHOP,
    World,
    identity,
)
from tests.unit.grants_world import grants_world

STATEMENT = identity("statement", 32)


@pytest.fixture(scope="module")
def populated() -> World:
    return grants_world()


@pytest.fixture
def world(populated: World) -> World:
    fresh = World()
    fresh.entries = dict(populated.entries)
    fresh.time_ms, fresh.height, fresh.sent = populated.time_ms, populated.height, populated.sent
    return fresh


def ticks(world: World) -> list[str]:
    kinds: list[str] = []
    while events := world.run(NODES[0], DeadlinesTick()).events:
        kinds += [event.kind for event in events if event.kind.startswith("grants.")]
    return kinds


def handed_out(world: World, certificate: bytes, **changes: object) -> tuple[bytes, bytes]:
    """A grant, and a release under it whose bytes may have left."""
    grant_id = world.grant(**changes)
    release_id = world.release(grant_id, certificate)
    world.prepare(release_id)
    return grant_id, release_id


def stating(grant_id: bytes, *releases: bytes) -> GrantsStateDeletion:
    return GrantsStateDeletion(grant_id=grant_id, releases=releases, statement=STATEMENT)


def duty(world: World, grant_id: bytes) -> DeletionDuty:
    return DELETION_DUTIES.get(world, grant_id) or DeletionDuty()


def test_only_what_may_be_kept_has_to_be_deleted(world: World) -> None:
    certificate = world.issue("degree of li")
    viewed, _ = handed_out(world, certificate, consent_mode=ConsentMode.VIEW)
    assert duty(world, viewed) == DeletionDuty()
    kept, release_id = handed_out(world, certificate)
    failed = world.release(kept, certificate)
    world.done(NODES[1], ReleasesFail(release_id=failed, reason="test"))
    assert duty(world, kept) == DeletionDuty(open=1)
    assert DELETIONS.get(world, failed) is None
    deletion = DELETIONS.get(world, release_id)
    assert deletion is not None
    assert deletion.due_ms == world.release_record(release_id).prepared_ms + DAY_MS


def test_the_end_of_data_life_is_told_then_the_statement_is_late_and_stops_new_requests(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id, release_id = handed_out(world, certificate)
    due_ms = DELETIONS.get(world, release_id).due_ms  # type: ignore[union-attr]
    world.time_ms = due_ms + 60_000
    assert "grants.deletion_due" in ticks(world)
    world.done(BANK, world.asking())
    world.time_ms = due_ms + STATEMENT_TIME_MS + 60_000
    assert "grants.deletion_overdue" in ticks(world)
    refused = world.refused(BANK, world.asking(), "deletion_overdue")
    assert refused == {"purpose": "hiring", "grants": 1}
    world.done(SHOP, world.asking())
    other = world.asking(purpose="inquiry", consent_mode=ConsentMode.VIEW, uses_max=1, fetch_type="once")
    world.done(BANK, other)
    world.done(BANK, stating(grant_id, release_id))
    world.done(BANK, world.asking())
    assert DELETIONS_LATE.get(world, (BANK.account, "hiring")) is None


def test_a_statement_is_on_record_with_the_officer_and_tells_the_person(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id, release_id = handed_out(world, certificate)
    (event,) = world.run(BANK, stating(grant_id, release_id)).events
    assert (event.kind, event.object_id) == ("grants.deletion_stated", grant_id)
    assert {LI.account, BANK.account, release_id} <= set(event.subjects)
    assert dict(event.data)["statement"] == STATEMENT.hex()
    deletion = DELETIONS.get(world, release_id)
    assert deletion is not None
    assert (deletion.statement, deletion.key_id) == (STATEMENT, BANK.key_id)
    world.time_ms += 100 * DAY_MS
    assert not [kind for kind in ticks(world) if "deletion" in kind]


def test_nothing_is_stated_twice_for_another_or_by_another(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id, release_id = handed_out(world, certificate)
    other_grant, other = handed_out(world, certificate)
    world.refused(SHOP, stating(grant_id, release_id), "not_grantee")
    world.refused(BANK, stating(identity("none"), release_id), "unknown_grant")
    world.refused(BANK, stating(grant_id, other), "nothing_to_delete")
    world.refused(BANK, stating(grant_id, identity("none", 8)), "nothing_to_delete")
    world.refused(BANK, stating(grant_id, release_id, release_id), "nothing_to_delete")
    world.done(BANK, stating(grant_id, release_id))
    world.refused(BANK, stating(grant_id, release_id), "nothing_to_delete")
    assert (duty(world, grant_id).open, duty(world, other_grant).open) == (0, 1)


def test_retention_comes_after_data_life_and_only_then_deletion_is_due(world: World) -> None:
    world.vote(RegisterPurposes(purposes=(replace(HIRING, retention_ms_max=10 * DAY_MS),)))
    certificate = world.issue("degree of li")
    _, release_id = handed_out(world, certificate, retention_period_ms=10 * DAY_MS)
    world.time_ms += DAY_MS + 120_000
    assert "grants.deletion_due" not in ticks(world)
    world.time_ms += 10 * DAY_MS
    assert "grants.deletion_due" in ticks(world)
    deletion = DELETIONS.get(world, release_id)
    assert deletion is not None
    assert deletion.due_ms == world.release_record(release_id).prepared_ms + 11 * DAY_MS


def test_a_revocation_makes_everything_due_that_is_still_there(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = world.grant(data_life_ms=90 * DAY_MS, uses_max=3)
    releases = []
    for _ in range(2):
        releases.append(world.release(grant_id, certificate))
        world.prepare(releases[-1])
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    world.time_ms += STATEMENT_TIME_MS + 120_000
    assert ticks(world).count("grants.deletion_overdue") == 1
    assert is_late(duty(world, grant_id))
    world.refused(BANK, world.asking(), "deletion_overdue")
    world.done(BANK, stating(grant_id, releases[0]))
    world.refused(BANK, world.asking(), "deletion_overdue")
    world.done(BANK, stating(grant_id, releases[1]))
    world.done(BANK, world.asking())


def test_a_revocation_of_what_is_stated_already_asks_for_nothing(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id, release_id = handed_out(world, certificate)
    world.done(BANK, stating(grant_id, release_id))
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    world.time_ms += 30 * DAY_MS
    assert "grants.deletion_overdue" not in ticks(world)


def test_each_late_grant_counts_once_however_many_of_its_releases_are_late(world: World) -> None:
    certificate = world.issue("degree of li")
    first, second = world.grant(uses_max=3), world.grant(uses_max=3)
    releases: dict[bytes, list[bytes]] = {first: [], second: []}
    for grant_id, made in releases.items():
        for _ in range(2):
            made.append(world.release(grant_id, certificate))
            world.prepare(made[-1])
    world.time_ms += 30 * DAY_MS
    assert ticks(world).count("grants.deletion_overdue") == 4
    assert world.refused(BANK, world.asking(), "deletion_overdue")["grants"] == 2
    world.done(BANK, stating(first, *releases[first]))
    assert world.refused(BANK, world.asking(), "deletion_overdue")["grants"] == 1
    world.done(BANK, stating(second, releases[second][0]))
    assert world.refused(BANK, world.asking(), "deletion_overdue")["grants"] == 1
    world.done(BANK, stating(second, releases[second][1]))
    world.done(BANK, world.asking())
