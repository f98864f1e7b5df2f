"""The terms of a grant: caps of the template, how often it is used, which states of a certificate stop it, renewal."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import CertificatesSetState, GrantsNarrow, RegisterPurposes, ReleasesFail
from contracts.denials import Denied
from contracts.grant_records import (
    UNIT_MS,
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Frequency,
    FrequencyUnit,
    GrantItem,
)
from contracts.grant_rules import template_id
from contracts.grant_terms import no_more_often
from contracts.grant_uses import check_data
from contracts.state import PURPOSE_TEMPLATES
from contracts.versions import Reading
from contracts.vocabulary import STOPPING_STATES, CertificateState
from tests.unit.contracts_world import (
    BANK,
    DAY_MS,
    DEPARTMENT,
    HIRING,
    LI,
    NODES,
    START_MS,
    SUITE,
    World,
    asking_release,
    item,
    json_of,
    pdf_of,
    preparation,
)
from tests.unit.grants_world import HOURLY, INQUIRY, grants_world

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


def inquiring(world: World, **changes: object) -> bytes:
    return world.done(BANK, world.asking(**{"purpose": "inquiry", "frequency": HOURLY, **changes}))


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ({"consent_mode": ConsentMode.STREAM}, "consent_mode"),
        ({"retention_period_ms": 10 * DAY_MS + 1}, "retention_period_ms"),
        ({"data_life_ms": 30 * DAY_MS + 1}, "data_life_ms"),
        ({"frequency": None}, "frequency"),
        ({"frequency": Frequency(unit=FrequencyUnit.DAY, value=5)}, "frequency"),
        ({"frequency": Frequency(unit=FrequencyUnit.MINUTE, value=1)}, "frequency"),
        ({"frequency": HOURLY, "fetch_type": FetchType.ONCE, "uses_max": 1}, "frequency (fetch_type once)"),
        ({"uses_max": 11}, "uses_max"),
    ],
)
def test_each_cap_of_a_template_is_named_when_it_is_passed(
    world: World, changes: dict[str, object], cap: str
) -> None:
    template = replace(INQUIRY, frequency_max=Frequency(unit=FrequencyUnit.DAY, value=4))
    world.vote(RegisterPurposes(purposes=(template,)))
    least = {"purpose": "inquiry", "frequency": Frequency(unit=FrequencyUnit.DAY, value=4)}
    assert world.refused(BANK, world.asking(**{**least, **changes}), "over_ask")["cap"] == cap
    world.done(BANK, world.asking(**least))


@pytest.mark.parametrize(
    ("asked", "cap", "kept"),
    [
        ((FrequencyUnit.DAY, 4), (FrequencyUnit.DAY, 4), True),
        ((FrequencyUnit.WEEK, 4), (FrequencyUnit.DAY, 4), True),
        ((FrequencyUnit.WEEK, 5), (FrequencyUnit.DAY, 4), False),
        ((FrequencyUnit.HOUR, 1), (FrequencyUnit.DAY, 24), True),
        ((FrequencyUnit.HOUR, 1), (FrequencyUnit.DAY, 23), False),
        ((FrequencyUnit.MONTH, 1), (FrequencyUnit.YEAR, 13), True),
        ((FrequencyUnit.MONTH, 1), (FrequencyUnit.YEAR, 12), False),
    ],
)
def test_one_frequency_keeps_to_another_only_if_no_stretch_of_time_can_pass_it(
    asked: tuple[FrequencyUnit, int], cap: tuple[FrequencyUnit, int], kept: bool
) -> None:
    inner = Frequency(unit=asked[0], value=asked[1])
    outer = Frequency(unit=cap[0], value=cap[1])
    assert no_more_often(inner, outer) is kept
    # The densest uses that `inner` allows, counted in one stretch of the outer unit.
    uses = [n * UNIT_MS[inner.unit] for n in range(400) for _ in range(inner.value)]
    assert (sum(use < UNIT_MS[outer.unit] for use in uses) <= outer.value) is kept


def test_a_grant_names_its_template_and_an_officer_can_insist_on_the_one_he_has_read(world: World) -> None:
    wanted = template_id(SUITE, HIRING)
    grant = world.grant_record(world.done(BANK, world.asking(template_id=wanted)))
    assert grant.template_id == wanted
    world.vote(RegisterPurposes(purposes=(replace(HIRING, uses_max=4),)))
    assert world.refused(BANK, world.asking(template_id=wanted), "template_changed")["purpose"] == "hiring"
    assert world.grant_record(world.done(BANK, world.asking())).template_id != wanted
    assert PURPOSE_TEMPLATES.get(world, wanted) == HIRING


def test_the_purpose_carries_the_uri_of_its_template(world: World) -> None:
    assert world.grant_record(inquiring(world)).purpose_ref_uri == INQUIRY.ref_uri


def test_within_any_stretch_of_a_unit_no_more_uses_begin_than_its_value(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = inquiring(world, uses_max=8)
    world.done(LI, world.approval(grant_id))
    asked = asking_release(grant_id, json_of(certificate, "name"))
    first_ms = world.time_ms
    world.done(BANK, asked)
    world.time_ms = first_ms + HOUR_MS // 2
    world.done(BANK, asked)
    world.time_ms = first_ms + HOUR_MS - 1
    fields = world.refused(BANK, asked, "frequency_exceeded")
    assert fields == {"grant": grant_id.hex(), "unit": "hour", "value": 2, "again_ms": first_ms + HOUR_MS}
    world.time_ms = first_ms + HOUR_MS
    world.done(BANK, asked)
    world.time_ms = first_ms + HOUR_MS + HOUR_MS // 2 - 1
    world.refused(BANK, asked, "frequency_exceeded")
    world.time_ms += 1
    world.done(BANK, asked)


def test_a_release_that_failed_does_not_count_for_the_frequency(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = inquiring(world, uses_max=5)
    world.done(LI, world.approval(grant_id))
    asked = asking_release(grant_id, json_of(certificate, "name"))
    world.done(BANK, asked)
    failing = world.done(BANK, asked)
    world.refused(BANK, asked, "frequency_exceeded")
    world.done(NODES[1], ReleasesFail(release_id=failing, reason="test"))
    world.done(BANK, asked)


def test_a_frequency_is_given_no_more_often_than_asked_and_can_be_narrowed(world: World) -> None:
    grant_id = inquiring(world)
    more = world.approval(grant_id, frequency=Frequency(unit=FrequencyUnit.HOUR, value=3))
    assert world.refused(LI, more, "over_give")["cap"] == "frequency"
    world.done(LI, world.approval(grant_id))
    grant = world.grant_record(grant_id)
    assert grant.frequency == HOURLY
    less = Frequency(unit=FrequencyUnit.DAY, value=1)
    narrowing = GrantsNarrow(
        grant_id=grant_id,
        items=grant.items,
        uses_left=grant.uses_left,
        consent_expiry_ms=grant.consent_expiry_ms,
        frequency=less,
    )
    world.done(LI, narrowing)
    assert world.grant_record(grant_id).frequency == less
    world.refused(LI, replace(narrowing, frequency=HOURLY), "over_give")


# --- states of the certificate ------------------------------------------------------------------------------


def set_state(world: World, certificate: bytes, state: CertificateState, holds: bool = True) -> None:
    args = CertificatesSetState(certificate_id=certificate, state=state, holds=holds, reason="test")
    world.done(DEPARTMENT, args)


@pytest.mark.parametrize("state", [state for state in CertificateState if state != "superseded"])
def test_each_state_stops_a_use_exactly_where_the_grant_says_so(
    world: World, state: CertificateState
) -> None:
    certificate = world.issue("degree of li")
    every = CertificateStateRequired(stopped_by=tuple(CertificateState))
    default = world.grant()
    strict = world.grant(items=(item_with(every),))
    asked_default = asking_release(default, json_of(certificate, "name"))
    asked_strict = asking_release(strict, json_of(certificate, "name"))
    set_state(world, certificate, state)
    if state in STOPPING_STATES:
        assert world.refused(BANK, asked_default, "certificate_not_valid")["state"] == state.value
        assert world.refused(BANK, asked_strict, "certificate_not_valid")["state"] == state.value
    else:
        world.done(BANK, asked_default)
        assert world.refused(BANK, asked_strict, "certificate_state_stops")["state"] == state.value


def item_with(required: CertificateStateRequired, *fields: str) -> GrantItem:
    return replace(item(fields or ("name",)), certificate_state_required=required)


def test_several_states_at_once_stop_until_the_last_of_them_ends(world: World) -> None:
    certificate = world.issue("degree of li")
    both = CertificateStateRequired(stopped_by=(*STOPPING_STATES, CertificateState.MORTGAGED))
    grant_id = world.grant(items=(item_with(both),))
    asked = asking_release(grant_id, json_of(certificate, "name"))
    set_state(world, certificate, CertificateState.MORTGAGED)
    set_state(world, certificate, CertificateState.SUSPENDED)
    world.refused(BANK, asked, "certificate_not_valid")
    set_state(world, certificate, CertificateState.SUSPENDED, holds=False)
    world.refused(BANK, asked, "certificate_state_stops")
    set_state(world, certificate, CertificateState.MORTGAGED, holds=False)
    world.done(BANK, asked)


def test_a_laxer_demand_than_the_templates_is_over_asking(world: World) -> None:
    lax = CertificateStateRequired(stopped_by=(CertificateState.REVOKED,), within_dates=False)
    asked = world.asking(items=(item_with(lax),))
    fields = world.refused(BANK, asked, "over_ask")
    assert fields["cap"] == "certificate_state_required"
    tolerated = inquiring(world, items=(item_with(lax),))
    none = CertificateStateRequired(stopped_by=(), within_dates=False)
    over = world.asking(purpose="inquiry", frequency=HOURLY, items=(item_with(none),))
    assert world.refused(BANK, over, "over_ask")["asked"] == "-"
    certificate = world.issue("old degree", valid_until_ms=START_MS + 1)
    set_state(world, certificate, CertificateState.SUSPENDED)
    world.done(LI, world.approval(tolerated))
    world.done(BANK, asking_release(tolerated, json_of(certificate, "name")))
    set_state(world, certificate, CertificateState.REVOKED)
    world.refused(BANK, asking_release(tolerated, json_of(certificate, "name")), "certificate_not_valid")


def test_the_person_can_have_it_stopped_by_more_states_and_never_by_fewer(world: World) -> None:
    grant_id = world.done(BANK, world.asking())
    requested = world.grant_record(grant_id).requested_items[0]
    fewer = replace(requested, certificate_state_required=CertificateStateRequired(stopped_by=()))
    refused = world.refused(LI, world.approval(grant_id, items=(fewer,)), "over_give")
    assert refused["cap"] == "certificate_state_required"
    more = CertificateStateRequired(stopped_by=tuple(CertificateState))
    world.done(LI, world.approval(grant_id, items=(replace(requested, certificate_state_required=more),)))
    assert world.grant_record(grant_id).items[0].certificate_state_required == more
    twice = CertificateStateRequired(stopped_by=(*STOPPING_STATES, CertificateState.SUSPENDED))
    world.refused(BANK, world.asking(items=(item_with(twice),)), "duplicate_name")


def test_of_two_items_for_one_certificate_each_opens_its_own_parts_in_its_own_states(world: World) -> None:
    certificate = world.issue("degree of li")
    strict = CertificateStateRequired(stopped_by=tuple(CertificateState))
    items = (item_with(strict, "name"), replace(item(("school",)), certificate=certificate))
    grant_id = world.grant(items=items)
    set_state(world, certificate, CertificateState.PLEDGED)
    world.done(BANK, asking_release(grant_id, json_of(certificate, "school")))
    world.refused(BANK, asking_release(grant_id, json_of(certificate, "name")), "certificate_state_stops")
    both = asking_release(grant_id, json_of(certificate, "school", "name"))
    world.refused(BANK, both, "certificate_state_stops")


def test_a_state_that_came_in_between_stops_the_release_before_its_bytes_leave(world: World) -> None:
    certificate = world.issue("degree of li")
    strict = CertificateStateRequired(stopped_by=tuple(CertificateState))
    grant_id = world.grant(items=(item_with(strict),))
    release_id = world.done(BANK, asking_release(grant_id, json_of(certificate, "name")))
    set_state(world, certificate, CertificateState.PLEDGED)
    world.refused(NODES[1], preparation(release_id), "certificate_state_stops")


def test_a_key_holder_asks_the_same_question_on_its_own_replica(world: World) -> None:
    certificate = world.issue("degree of li")
    grant_id = world.grant()
    reading = Reading(world, world.registry.in_force(world))

    def opens(*outputs: object, time_ms: int | None = None) -> str:
        try:
            now_ms = world.time_ms if time_ms is None else time_ms
            check_data(reading, world.grant_record(grant_id), outputs, now_ms)  # type: ignore[arg-type]
        except Denied as denial:
            return denial.code
        return ""

    assert not opens(json_of(certificate, "name"), pdf_of(certificate, "scan"))
    assert opens(json_of(certificate, "major")) == "field_not_granted"
    assert opens(pdf_of(certificate, "photo")) == "attachment_not_granted"
    assert opens(json_of(certificate, "name"), time_ms=world.time_ms + DAY_MS) == "grant_not_active"


# --- renewal ------------------------------------------------------------------------------------------------


def test_a_renewal_is_shown_at_both_grants_and_there_is_one(world: World) -> None:
    old = world.grant()
    new, other = (world.done(BANK, world.asking(renews=old)) for _ in range(2))
    assert world.grant_record(old).renewed_by == b""
    result = world.run(LI, world.approval(new))
    assert [event.kind for event in result.events] == ["grants.renewed", "grants.approved"]
    assert (world.grant_record(old).renewed_by, world.grant_record(new).renews) == (new, old)
    assert world.refused(LI, world.approval(other), "renewed_already")["by"] == new.hex()
    world.refused(BANK, world.asking(renews=old), "renewed_already")
