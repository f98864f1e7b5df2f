"""Access without consent: who asks, who decides, how long it is kept silent, emergencies and their review."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import (
    DeadlinesTick,
    GovernancePropose,
    GrantsPause,
    GrantsReject,
    GrantsRevoke,
    RegisterPurposes,
)
from contracts.deadlines import due
from contracts.grant_actions import SetGrantRules
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsReview,
)
from contracts.grant_records import AccessKind, GrantRules, ReviewVerdict, shown_from_ms
from contracts.grant_states import standing
from contracts.records import GrantState
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    DAY_MS,
    DEPARTMENT,
    LI,
    NODES,
    OPERATORS,
    World,
    asking_release,
    identity,
    json_of,
)
from tests.unit.grants_world import (
    COURT,
    INQUIRY,
    POLICE,
    RULES,
    TAX,
    access,
    emergency,
    grants_world,
)

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def populated() -> World:
    return grants_world()


@pytest.fixture
def world(populated: World) -> World:
    fresh = World()
    fresh.entries = dict(populated.entries)
    fresh.time_ms, fresh.height, fresh.sent = populated.time_ms, populated.height, populated.sent
    return fresh


def approved(world: World, **changes: object) -> bytes:
    grant_id = world.done(POLICE, access(world, **changes))
    world.done(COURT, GrantsDecideAccess(grant_id=grant_id, approve=True))
    return grant_id


def tick(world: World) -> list[str]:
    return [event.kind for event in world.run(NODES[0], DeadlinesTick()).events]


def test_nothing_opens_before_another_organisation_has_approved(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = world.done(POLICE, access(world))
    asked = asking_release(grant_id, json_of(certificate, "name"))
    world.refused(POLICE, asked, "grant_not_active")
    world.done(COURT, GrantsDecideAccess(grant_id=grant_id, approve=True))
    world.done(POLICE, asked)
    world.refused(POLICE, asking_release(grant_id, json_of(certificate, "major")), "field_not_granted")
    world.refused(BANK, asked, "not_grantee")
    grant = world.grant_record(grant_id)
    assert grant.access is not None
    assert (grant.access.approvers, grant.access.approver_keys) == ((COURT.account,), (COURT.key_id,))
    assert (grant.requested_by, grant.lawful_basis, grant.revocable) == (
        POLICE.key_id,
        "legal_obligation",
        False,
    )


def test_who_asks_does_not_approve_though_it_is_an_approver_itself(world: World) -> None:
    assert POLICE.account in RULES.approvers
    grant_id = world.done(POLICE, access(world))
    decide = GrantsDecideAccess(grant_id=grant_id, approve=True)
    world.refused(POLICE, decide, "not_another_organization")
    world.refused(DEPARTMENT, decide, "not_approver")
    world.refused(AUDITOR, decide, "not_approver")
    world.refused(LI, decide, "wrong_account_kind")
    world.done(TAX, GrantsDecideAccess(grant_id=grant_id, approve=False))
    assert world.grant_record(grant_id).state is GrantState.REJECTED
    world.refused(COURT, decide, "state_transition")


def test_before_operators_vote_nobody_approves_and_nobody_opens_at_once(world: World) -> None:
    world.vote(SetGrantRules(rules=GrantRules()))
    grant_id = world.done(POLICE, access(world))
    world.refused(COURT, GrantsDecideAccess(grant_id=grant_id, approve=True), "not_approver")
    world.refused(POLICE, emergency(world), "emergency_not_allowed")


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (GrantRules(approvers=(BANK.account,)), "not_an_organization"),
        (GrantRules(approvers=(identity("nobody"),)), "not_an_organization"),
        (GrantRules(emergency=(AUDITOR.account,)), "not_an_organization"),
        (GrantRules(approvers=(COURT.account, COURT.account)), "duplicate_name"),
        (GrantRules(guardian_types=("no_such_type",)), "unknown_certificate_type"),
    ],
)
def test_rules_that_make_no_sense_are_not_even_proposed(world: World, rules: GrantRules, code: str) -> None:
    world.refused(OPERATORS[0], GovernancePropose(action=SetGrantRules(rules=rules)), code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lawful_basis": "consent"}, "held_by_consent"),
        ({"purpose": "hiring", "frequency": None}, "access_not_allowed"),
        ({"purpose": "curiosity"}, "unknown_purpose"),
        ({"uses_max": 11}, "over_ask"),
        ({"pii_principal_id": POLICE.account}, "not_a_holder"),
    ],
)
def test_an_access_is_bounded_like_every_request(world: World, changes: dict[str, object], code: str) -> None:
    world.refused(POLICE, access(world, **changes), code)


def test_enterprises_have_no_access_without_consent(world: World) -> None:
    world.refused(BANK, access(world), "wrong_account_kind")


def test_the_person_decides_nothing_about_it_and_is_told_so(world: World) -> None:
    grant_id = world.done(POLICE, access(world))
    world.refused(LI, world.approval(grant_id), "is_access")
    world.refused(LI, GrantsReject(grant_id=grant_id), "is_access")
    world.done(COURT, GrantsDecideAccess(grant_id=grant_id, approve=True))
    for kind in (GrantsPause, GrantsRevoke):
        world.refused(LI, kind(grant_id=grant_id), "is_access")


def test_it_is_kept_silent_for_ninety_days_at_most(world: World) -> None:
    latest_ms = world.time_ms + 90 * DAY_MS
    over = world.refused(POLICE, access(world, notice_after_ms=latest_ms + 1), "notice_too_late")
    assert over == {"maximum_ms": latest_ms, "asked_ms": latest_ms + 1}
    latest_ms = world.time_ms + 90 * DAY_MS
    grant_id = world.done(POLICE, access(world, notice_after_ms=latest_ms))
    assert shown_from_ms(world.grant_record(grant_id)) == latest_ms


def test_a_longer_silence_needs_an_approver_that_has_agreed_to_none_before(world: World) -> None:
    grant_id = approved(world)
    held_ms = shown_from_ms(world.grant_record(grant_id))
    later = GrantsExtendNotice(grant_id=grant_id, notice_after_ms=held_ms + DAY_MS)
    world.refused(COURT, later, "not_another_organization")
    world.refused(POLICE, later, "not_another_organization")
    world.refused(DEPARTMENT, later, "not_approver")
    world.refused(TAX, replace(later, notice_after_ms=held_ms), "notice_not_later")
    world.refused(TAX, replace(later, notice_after_ms=world.time_ms + 91 * DAY_MS), "notice_too_late")
    world.time_ms = held_ms - 1
    world.done(TAX, replace(later, notice_after_ms=held_ms + 80 * DAY_MS))
    grant = world.grant_record(grant_id)
    assert grant.access is not None
    assert grant.access.approvers == (COURT.account, TAX.account)
    world.time_ms = held_ms + DAY_MS
    assert "grants.disclosed" not in tick(world)
    world.time_ms = held_ms + 80 * DAY_MS + 60_000
    assert tick(world).count("grants.disclosed") == 1
    world.refused(TAX, replace(later, notice_after_ms=world.time_ms + DAY_MS), "not_another_organization")


def test_what_is_shown_is_not_hidden_again(world: World) -> None:
    grant_id = approved(world, notice_after_ms=world.time_ms + HOUR_MS)
    world.time_ms += 2 * HOUR_MS
    later = GrantsExtendNotice(grant_id=grant_id, notice_after_ms=world.time_ms + DAY_MS)
    world.refused(TAX, later, "notice_over")
    asked = world.done(POLICE, access(world))
    unapproved = GrantsExtendNotice(grant_id=asked, notice_after_ms=world.time_ms + 61 * DAY_MS)
    world.refused(TAX, unapproved, "notice_over")


def test_the_end_of_the_silence_is_told_on_an_idle_chain_whatever_became_of_the_access(world: World) -> None:
    rejected = world.done(POLICE, access(world, notice_after_ms=world.time_ms + HOUR_MS))
    world.done(COURT, GrantsDecideAccess(grant_id=rejected, approve=False))
    world.time_ms += HOUR_MS + 60_000
    assert due(world, world.time_ms)
    result = world.run(NODES[0], DeadlinesTick())
    (event,) = result.events
    assert (event.kind, event.object_id) == ("grants.disclosed", rejected)
    assert LI.account in event.subjects


def test_an_access_ends_by_its_grantee_or_an_approver_for_good(world: World) -> None:
    certificate = world.issue("degree of li")
    for ending in (POLICE, COURT):
        grant_id = approved(world)
        world.refused(TAX, GrantsEndAccess(grant_id=grant_id), "not_grantee")
        world.done(ending, GrantsEndAccess(grant_id=grant_id))
        world.done(ending, GrantsEndAccess(grant_id=grant_id))
        assert world.grant_record(grant_id).state is GrantState.REVOKED
        asked = asking_release(grant_id, json_of(certificate, "name"))
        world.refused(POLICE, asked, "grant_not_active")


def test_a_grant_of_consent_is_not_decided_by_approvers(world: World) -> None:
    grant_id = world.grant()
    later_ms = world.time_ms + DAY_MS
    for args in (
        GrantsDecideAccess(grant_id=grant_id, approve=True),
        GrantsEndAccess(grant_id=grant_id),
        GrantsExtendNotice(grant_id=grant_id, notice_after_ms=later_ms),
        GrantsReview(grant_id=grant_id, verdict=ReviewVerdict.JUSTIFIED),
    ):
        world.refused(COURT, args, "no_access")
        world.refused(COURT, replace(args, grant_id=identity("none")), "unknown_grant")


def test_an_access_is_renewed_by_an_access_and_a_grant_by_a_grant(world: World) -> None:
    old = approved(world)
    new = world.done(POLICE, access(world, renews=old, notice_after_ms=0))
    world.done(TAX, GrantsDecideAccess(grant_id=new, approve=True))
    assert world.grant_record(old).renewed_by == new
    consented = world.done(DEPARTMENT, world.asking(purpose="inquiry", frequency=INQUIRY.frequency_max))
    world.refused(DEPARTMENT, access(world, renews=consented), "renews_another")


# --- emergencies --------------------------------------------------------------------------------------------


def test_an_emergency_opens_at_once_is_shown_at_once_and_ends_within_a_day(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = world.done(POLICE, emergency(world))
    grant = world.grant_record(grant_id)
    assert grant.access is not None
    assert (grant.state, grant.access.kind, shown_from_ms(grant)) == (
        GrantState.ACTIVE,
        AccessKind.EMERGENCY,
        0,
    )
    asked = asking_release(grant_id, json_of(certificate, "name"))
    world.done(POLICE, asked)
    world.time_ms = grant.consent_expiry_ms
    assert standing(grant, world.time_ms) is GrantState.EXPIRED
    world.refused(POLICE, asked, "grant_not_active")
    longest_ms = world.time_ms + DAY_MS
    over = world.refused(POLICE, emergency(world, consent_expiry_ms=longest_ms + 1), "over_ask")
    assert over["cap"] == "emergency_ms"
    silent = emergency(world, notice_after_ms=world.time_ms + 1)
    world.refused(POLICE, silent, "notice_too_late")
    world.refused(COURT, emergency(world), "emergency_not_allowed")
    world.vote(RegisterPurposes(purposes=(replace(INQUIRY, emergency=False),)))
    world.refused(POLICE, emergency(world), "access_not_allowed")


def test_an_emergency_is_unreviewed_until_another_organisation_has_looked_at_it_once(world: World) -> None:
    grant_id = world.done(POLICE, emergency(world))
    found = GrantsReview(grant_id=grant_id, verdict=ReviewVerdict.UNJUSTIFIED, report=identity("r", 32))
    world.refused(POLICE, found, "not_another_organization")
    world.refused(DEPARTMENT, found, "not_approver")
    world.done(AUDITOR, found)
    record = world.grant_record(grant_id).access
    assert record is not None
    assert record.review is not None
    assert (record.review.verdict, record.review.by) == (ReviewVerdict.UNJUSTIFIED, AUDITOR.account)
    world.refused(COURT, found, "no_review")
    world.refused(COURT, replace(found, grant_id=approved_by_tax(world)), "no_review")


def approved_by_tax(world: World) -> bytes:
    grant_id = world.done(POLICE, access(world))
    world.done(TAX, GrantsDecideAccess(grant_id=grant_id, approve=True))
    return grant_id


def test_a_review_that_does_not_come_is_told_once(world: World) -> None:
    grant_id = world.done(POLICE, emergency(world))
    reviewed = world.done(POLICE, emergency(world))
    world.done(COURT, GrantsReview(grant_id=reviewed, verdict=ReviewVerdict.JUSTIFIED))
    world.time_ms += 9 * DAY_MS
    result = world.run(NODES[0], DeadlinesTick())
    told = [(event.kind, event.object_id) for event in result.events]
    assert sorted(told) == sorted(
        [
            ("grants.expired", grant_id),
            ("grants.expired", reviewed),
            ("grants.review_overdue", grant_id),
        ]
    )
    assert tick(world) == []
    world.done(COURT, GrantsReview(grant_id=grant_id, verdict=ReviewVerdict.JUSTIFIED))
