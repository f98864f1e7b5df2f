"""Grants: the transition table, what may be asked, what may be given, and time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.calls import (
    Args,
    DeadlinesTick,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
    SuspendOrganization,
)
from contracts.deadlines import due
from contracts.grants import TRANSITIONS, Step, standing
from contracts.records import ConsentMode, FetchType, GrantState
from tests.unit.contracts_world import (
    BANK,
    BANK_ADMIN,
    DAY_MS,
    DEGREE,
    DEPARTMENT,
    LI,
    LICENCE,
    NODES,
    SHOP,
    SHOP_ADMIN,
    WANG,
    World,
    asking_release,
    identity,
    item,
    json_of,
)


@pytest.fixture
def world() -> World:
    return World().populate()


def narrowing(world: World, grant_id: bytes, **changes: object) -> GrantsNarrow:
    grant = world.grant_record(grant_id)
    values: dict[str, object] = {
        "grant_id": grant_id,
        "items": tuple(part for part in grant.items if part.fields + part.attachments),
        "uses_left": grant.uses_left,
        "consent_expiry_ms": grant.consent_expiry_ms,
    }
    return GrantsNarrow(**{**values, **changes})  # type: ignore[arg-type]


def in_state(world: World, state: GrantState) -> bytes:
    """A grant brought into a state by real calls."""
    certificate = world.issue(f"for {state}")
    grant_id = world.done(BANK, world.asking(uses_max=1, consent_mode=ConsentMode.VIEW))
    if state is GrantState.REQUESTED:
        return grant_id
    if state is GrantState.REJECTED:
        world.done(LI, GrantsReject(grant_id=grant_id))
        return grant_id
    world.done(LI, world.approval(grant_id))
    match state:
        case GrantState.PAUSED:
            world.done(LI, GrantsPause(grant_id=grant_id))
        case GrantState.REVOKED:
            world.done(LI, GrantsRevoke(grant_id=grant_id))
        case GrantState.EXPIRED:
            world.time_ms += DAY_MS
        case GrantState.EXHAUSTED:
            world.prepare(world.release(grant_id, certificate))
        case _:
            pass
    return grant_id


CALL_OF: dict[Step, Callable[[World, bytes], Args]] = {
    Step.APPROVE: lambda world, grant_id: world.approval(grant_id),
    Step.REJECT: lambda _world, grant_id: GrantsReject(grant_id=grant_id),
    Step.PAUSE: lambda _world, grant_id: GrantsPause(grant_id=grant_id),
    Step.RESUME: lambda _world, grant_id: GrantsResume(grant_id=grant_id),
    Step.NARROW: lambda world, grant_id: narrowing(
        world, grant_id, items=world.grant_record(grant_id).requested_items
    ),
    Step.REVOKE: lambda _world, grant_id: GrantsRevoke(grant_id=grant_id),
}

ALLOWED = {
    ("requested", "approve"): "active",
    ("requested", "reject"): "rejected",
    ("active", "pause"): "paused",
    ("active", "narrow"): "active",
    ("active", "revoke"): "revoked",
    ("paused", "resume"): "active",
    ("paused", "narrow"): "paused",
    ("paused", "revoke"): "revoked",
    ("revoked", "revoke"): "revoked",
}


@pytest.mark.parametrize("step", CALL_OF)
@pytest.mark.parametrize("state", GrantState)
def test_every_state_allows_exactly_the_steps_of_the_table(
    world: World, state: GrantState, step: Step
) -> None:
    grant_id = in_state(world, state)
    assert standing(world.grant_record(grant_id), world.time_ms) is state
    args = CALL_OF[step](world, grant_id)
    target = ALLOWED.get((state.value, step.value))
    assert TRANSITIONS.get((state, step)) == target
    if target is None:
        fields = world.refused(LI, args, "state_transition")
        assert fields == {"what": "grant", "state": state.value, "step": step.value}
    else:
        world.done(LI, args)
        assert world.grant_record(grant_id).state.value == target


@pytest.mark.parametrize("state", GrantState)
def test_time_ends_what_is_open_or_asked_and_nothing_else(world: World, state: GrantState) -> None:
    grant_id = in_state(world, state)
    world.time_ms += DAY_MS + 60_000
    assert due(world, world.time_ms)
    result = world.run(NODES[0], DeadlinesTick())
    ends = (GrantState.REQUESTED, GrantState.ACTIVE, GrantState.PAUSED, GrantState.EXPIRED)
    after = GrantState.EXPIRED if state in ends else state
    assert world.grant_record(grant_id).state is after
    kinds = [event.kind for event in result.events if event.object_id == grant_id]
    assert kinds == (["grants.expired"] if state in ends else [])
    assert not due(world, world.time_ms)


def test_revoking_again_changes_nothing_and_says_nothing(world: World) -> None:
    grant_id = world.grant()
    assert [event.kind for event in world.run(LI, GrantsRevoke(grant_id=grant_id)).events] == [
        "grants.revoked"
    ]
    before = world.grant_record(grant_id)
    again = world.run(LI, GrantsRevoke(grant_id=grant_id))
    assert (again.code, again.events) == ("ok", ())
    assert world.grant_record(grant_id) == before


@pytest.mark.parametrize(
    ("changes", "cap", "maximum", "asked"),
    [
        ({"items": (item(("name", "grade")),)}, "fields", "name, school, major", "grade"),
        ({"items": (item(("name",), ("photo",)),)}, "attachments", "scan", "photo"),
        (
            {"items": (item(("name",), kind="passport"),)},
            "certificate_type",
            f"{DEGREE}, {LICENCE}",
            "passport",
        ),
        ({"uses_max": 6}, "uses_max", 5, 6),
        ({"data_life_ms": 90 * DAY_MS + 1}, "data_life_ms", 90 * DAY_MS, 90 * DAY_MS + 1),
        ({"uses_max": 2, "fetch_type": FetchType.ONCE}, "uses_max (fetch_type once)", 1, 2),
    ],
)
def test_over_asking_is_refused_with_the_cap_named(
    world: World, changes: dict[str, object], cap: str, maximum: str | int, asked: str | int
) -> None:
    fields = world.refused(BANK, world.asking(**changes), "over_ask")
    assert fields == {"cap": cap, "maximum": maximum, "asked": asked}


def test_a_period_is_bounded_to_the_millisecond(world: World) -> None:
    longest = world.asking(consent_expiry_ms=world.time_ms + 30 * DAY_MS + 1)
    assert world.refused(BANK, longest, "over_ask")["cap"] == "period_ms"
    world.done(BANK, world.asking(consent_expiry_ms=world.time_ms + 30 * DAY_MS))
    world.refused(BANK, world.asking(consent_expiry_ms=world.time_ms), "ends_in_the_past")


def test_everything_the_template_allows_can_be_asked(world: World) -> None:
    every = (item(("name", "school", "major"), ("scan",)), item(("title",), kind=LICENCE))
    grant_id = world.done(BANK, world.asking(items=every, uses_max=5, data_life_ms=90 * DAY_MS))
    grant = world.grant_record(grant_id)
    assert grant.requested_items == every
    assert (grant.items, grant.uses_left, grant.state) == ((), 0, GrantState.REQUESTED)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "curiosity"}, "unknown_purpose"),
        ({"pii_principal_id": identity("nobody")}, "not_a_holder"),
        ({"pii_principal_id": DEPARTMENT.account}, "not_a_holder"),
        ({"pii_principal_id": BANK.account}, "grant_to_oneself"),
        ({"items": (item(()),)}, "empty_item"),
        ({"items": (item(("name", "name")),)}, "duplicate_name"),
        ({"items": (item(("name",)), item(("school",)))}, "duplicate_item"),
        ({"items": (item(("name",), certificate=identity("none")),)}, "unknown_certificate"),
        ({"items": (item(("name",), certificate=b"short"),)}, "unknown_certificate"),
        ({"revocable": False}, "consent_is_revocable"),
        ({"renews": identity("none")}, "renews_another"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    world: World, changes: dict[str, object], code: str
) -> None:
    world.refused(BANK, world.asking(**changes), code)


def test_a_request_names_only_certificates_of_that_person_and_type(world: World) -> None:
    of_wang = world.issue("degree of wang", WANG)
    asked = world.asking(items=(item(("name",), certificate=of_wang),))
    world.refused(BANK, asked, "certificate_not_held")
    of_li = world.issue("degree of li")
    licence = world.asking(items=(item(("title",), kind=LICENCE, certificate=of_li),))
    world.refused(BANK, licence, "certificate_not_held")
    world.done(BANK, world.asking(items=(item(("name",), certificate=of_li),)))


def test_a_renewal_names_an_older_grant_between_the_same_two(world: World) -> None:
    old = world.grant()
    world.refused(SHOP, world.asking(renews=old), "renews_another")
    world.refused(BANK, world.asking(renews=old, pii_principal_id=WANG.account), "renews_another")
    renewed = world.done(BANK, world.asking(renews=old))
    assert world.grant_record(renewed).renews == old


def test_giving_less_keeps_what_was_left_out_as_the_persons_choice(world: World) -> None:
    asked = (item(("name", "school"), ("scan",)), item(("title",), kind=LICENCE))
    grant_id = world.done(BANK, world.asking(items=asked, uses_max=3))
    end_ms = world.time_ms + DAY_MS // 2
    world.done(LI, world.approval(grant_id, items=(item(("name",)),), uses_max=2, consent_expiry_ms=end_ms))
    grant = world.grant_record(grant_id)
    assert [
        (part.certificate_type, part.fields, part.attachments, part.declined) for part in grant.items
    ] == [
        (DEGREE, ("name",), (), ("school", "scan")),
        (LICENCE, (), (), ("title",)),
    ]
    assert (grant.uses_max, grant.uses_left, grant.consent_expiry_ms) == (2, 2, end_ms)
    assert grant.requested_items == asked
    assert grant.state is GrantState.ACTIVE


def test_any_certificate_can_be_narrowed_to_a_certain_one_of_ones_own(world: World) -> None:
    certificate = world.issue("degree of li")
    of_wang = world.issue("degree of wang", WANG)
    grant_id = world.done(BANK, world.asking())
    other = world.approval(grant_id, items=(item(("name",), certificate=of_wang),))
    world.refused(LI, other, "certificate_not_held")
    world.done(LI, world.approval(grant_id, items=(item(("name",), certificate=certificate),)))
    assert world.grant_record(grant_id).items[0].certificate == certificate


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ({"items": (item(("name", "major")),)}, "fields"),
        ({"items": (item(("name",), ("photo",)),)}, "attachments"),
        ({"items": (item(("title",), kind=LICENCE),)}, "items"),
        ({"items": (item(("name",)), item(("school",)))}, "items"),
        ({"uses_max": 3}, "uses"),
        ({"consent_expiry_ms": 2**53 - 1}, "consent_expiry_ms"),
    ],
)
def test_nothing_is_given_that_was_not_asked(world: World, changes: dict[str, object], cap: str) -> None:
    grant_id = world.done(BANK, world.asking())
    assert world.refused(LI, world.approval(grant_id, **changes), "over_give")["cap"] == cap


def test_another_certificate_than_the_one_asked_for_cannot_be_given(world: World) -> None:
    asked, other = world.issue("degree of li"), world.issue("second degree")
    grant_id = world.done(BANK, world.asking(items=(item(("name",), certificate=asked),)))
    for certificate in (other, b""):
        given = (item(("name",), certificate=certificate),)
        assert world.refused(LI, world.approval(grant_id, items=given), "over_give")["cap"] == "items"


def test_items_are_given_in_the_order_in_which_they_were_asked(world: World) -> None:
    asked = (item(("name",)), item(("title",), kind=LICENCE))
    grant_id = world.done(BANK, world.asking(items=asked))
    world.refused(LI, world.approval(grant_id, items=asked[::-1]), "over_give")
    world.refused(LI, world.approval(grant_id, items=(item(()),)), "empty_item")
    world.refused(LI, world.approval(grant_id, items=(item(("name", "name")),)), "duplicate_name")
    world.refused(LI, world.approval(grant_id, consent_expiry_ms=world.time_ms), "ends_in_the_past")


def test_only_the_holder_decides(world: World) -> None:
    grant_id = world.grant()
    pending = world.done(BANK, world.asking())
    world.refused(WANG, world.approval(pending), "not_holder")
    for kind in (GrantsReject, GrantsPause, GrantsResume, GrantsRevoke):
        world.refused(WANG, kind(grant_id=grant_id), "not_holder")
        world.refused(LI, kind(grant_id=identity("none")), "unknown_grant")
    world.refused(WANG, narrowing(world, grant_id), "not_holder")


def test_narrowing_leaves_less_and_never_more(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = world.grant(uses_max=4)
    world.release(grant_id, certificate)
    world.done(LI, narrowing(world, grant_id, items=(item(("name",)),), uses_left=1))
    grant = world.grant_record(grant_id)
    assert grant.items[0].declined == ("school", "scan")
    assert (grant.uses_max, grant.uses_left, grant.uses_reserved) == (2, 1, 1)
    wider = narrowing(world, grant_id, items=(item(("name", "school")),))
    assert world.refused(LI, wider, "over_give")["cap"] == "fields"
    assert world.refused(LI, narrowing(world, grant_id, uses_left=2), "over_give")["cap"] == "uses"
    later = narrowing(world, grant_id, consent_expiry_ms=grant.consent_expiry_ms + 1)
    assert world.refused(LI, later, "over_give")["cap"] == "consent_expiry_ms"
    world.refused(LI, narrowing(world, grant_id, uses_left=0), "nothing_left")


def test_an_earlier_end_is_noticed_when_it_comes(world: World) -> None:
    grant_id = world.grant()
    end_ms = world.time_ms + 120_000
    world.done(LI, narrowing(world, grant_id, consent_expiry_ms=end_ms))
    world.time_ms = end_ms + 60_000
    world.run(NODES[0], DeadlinesTick())
    assert world.grant_record(grant_id).state is GrantState.EXPIRED


def test_a_grant_on_another_basis_than_consent_may_be_irrevocable(world: World) -> None:
    grant_id = world.grant(lawful_basis="contract", revocable=False)
    for args in (GrantsRevoke(grant_id=grant_id), GrantsPause(grant_id=grant_id), narrowing(world, grant_id)):
        world.refused(LI, args, "not_revocable")


def test_nothing_is_given_to_a_suspended_organisation(world: World) -> None:
    grant_id = world.done(BANK, world.asking())
    world.vote(SuspendOrganization(account_id=BANK.account, reason="leak"))
    world.refused(LI, world.approval(grant_id), "organization_suspended")


def test_an_enterprise_consents_for_its_own_certificates_by_an_admin_key(world: World) -> None:
    licence = world.issue(
        "licence of the shop",
        SHOP,
        certificate_type=LICENCE,
        fields=("title", "address"),
        attachments=(),
    )
    asked = world.asking(pii_principal_id=SHOP.account, items=(item(("title",), kind=LICENCE),))
    grant_id = world.done(BANK, asked)
    world.refused(SHOP, world.approval(grant_id), "wrong_role")
    world.refused(BANK_ADMIN, world.approval(grant_id), "not_holder")
    world.done(SHOP_ADMIN, world.approval(grant_id))
    world.done(BANK, asking_release(grant_id, json_of(licence, "title")))


def test_every_step_is_told_to_both_sides_with_the_officers_key(world: World) -> None:
    grant_id = world.done(BANK, world.asking())
    result = world.run(LI, world.approval(grant_id))
    (event,) = result.events
    assert (event.kind, event.object_id) == ("grants.approved", grant_id)
    assert set(event.subjects) == {grant_id, LI.account, BANK.account}
    data = dict(event.data)
    assert (data["purpose"], data["state"], data["uses_left"]) == ("hiring", "active", 2)
    assert data["key_id"] == LI.key_id.hex()
