"""Acting for others: guardians, mandates with depth, legal representatives, and a clerk's help at a window."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import (
    CertificatesSetState,
    DeadlinesTick,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
    RegisterPurposes,
    SetIssuance,
)
from contracts.grant_calls import RepresentationAccept, RepresentationAssist, RepresentationEnd
from contracts.grant_records import RepresentationBasis
from contracts.grant_tables import MANDATES
from contracts.records import GrantState
from contracts.representation_records import MandateState
from contracts.vocabulary import CertificateState
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
    identity,
    item,
    person,
)
from tests.unit.grants_world import COURT, GUARDIANSHIP, HOURLY, INQUIRY, appointment, grants_world, mandate

ZHAO = person("zhao")
QIAN = person("qian")


@pytest.fixture(scope="module")
def populated() -> World:
    world = grants_world()
    for somebody in (ZHAO, QIAN):
        world.enroll(somebody)
    return world


@pytest.fixture
def world(populated: World) -> World:
    fresh = World()
    fresh.entries = dict(populated.entries)
    fresh.time_ms, fresh.height, fresh.sent = populated.time_ms, populated.height, populated.sent
    return fresh


def inquiry(world: World, **changes: object) -> bytes:
    return world.done(BANK, world.asking(**{"purpose": "inquiry", "frequency": HOURLY, **changes}))


def guardianship(world: World, label: str = "guardianship of li") -> bytes:
    return world.issue(label, LI, certificate_type=GUARDIANSHIP, fields=("ward", "guardian"), attachments=())


@pytest.fixture
def issuing(world: World) -> World:
    """The department may issue guardianships too."""
    world.vote(SetIssuance(account_id=DEPARTMENT.account, issues=(DEGREE, LICENCE, GUARDIANSHIP)))
    return world


# --- mandates -----------------------------------------------------------------------------------------------


def test_a_representative_decides_as_the_holder_would_and_is_on_record(world: World) -> None:
    mandate_id = mandate(world)
    grant_id = inquiry(world)
    world.refused(WANG, world.approval(grant_id), "not_holder")
    result = world.run(WANG, world.approval(grant_id, mandate=mandate_id))
    assert result.code == "ok"
    (event,) = result.events
    assert {LI.account, WANG.account, BANK.account, mandate_id} <= set(event.subjects)
    given = world.grant_record(grant_id).representation
    assert given is not None
    assert (given.basis, given.credential) == (RepresentationBasis.MANDATE, mandate_id)
    assert (given.by, given.key_id) == (WANG.account, WANG.key_id)
    assert (given.depth, given.depth_max) == (0, 1)
    for kind in (GrantsPause, GrantsResume, GrantsRevoke):
        world.refused(WANG, kind(grant_id=grant_id), "not_holder")
        world.done(WANG, kind(grant_id=grant_id, mandate=mandate_id))
    assert world.grant_record(grant_id).state is GrantState.REVOKED
    pending = inquiry(world)
    world.done(WANG, GrantsReject(grant_id=pending, mandate=mandate_id))


def test_a_representative_narrows_too(world: World) -> None:
    mandate_id = mandate(world)
    grant_id = inquiry(world)
    world.done(LI, world.approval(grant_id))
    grant = world.grant_record(grant_id)
    less = GrantsNarrow(
        grant_id=grant_id,
        items=(item(("name",)),),
        uses_left=1,
        consent_expiry_ms=grant.consent_expiry_ms,
        mandate=mandate_id,
    )
    world.refused(ZHAO, less, "mandate_of_others")
    world.done(WANG, less)


def test_a_mandate_counts_only_once_it_is_accepted_and_until_it_ends(world: World) -> None:
    offered = world.done(LI, appointment())
    grant_id = inquiry(world)
    by_mandate = world.approval(grant_id, mandate=offered)
    assert world.refused(WANG, by_mandate, "mandate_not_active")["state"] == "offered"
    world.refused(ZHAO, RepresentationAccept(mandate_id=offered), "mandate_of_others")
    world.done(WANG, RepresentationAccept(mandate_id=offered))
    world.refused(WANG, RepresentationAccept(mandate_id=offered), "state_transition")
    world.refused(ZHAO, RepresentationEnd(mandate_id=offered), "mandate_of_others")
    world.done(LI, RepresentationEnd(mandate_id=offered))
    assert world.run(LI, RepresentationEnd(mandate_id=offered)).events == ()
    assert world.refused(WANG, by_mandate, "mandate_not_active")["state"] == "ended"
    world.refused(WANG, world.approval(grant_id, mandate=identity("none")), "unknown_mandate")


def test_a_mandate_ends_by_block_time_and_a_tick_writes_it_down(world: World) -> None:
    end_ms = world.time_ms + DAY_MS
    mandate_id = mandate(world, until_ms=end_ms)
    grant_id = inquiry(world, consent_expiry_ms=end_ms + DAY_MS)
    world.time_ms = end_ms
    assert (
        world.refused(WANG, world.approval(grant_id, mandate=mandate_id), "mandate_not_active")["state"]
        == "expired"
    )
    world.time_ms = end_ms + 60_000
    kinds = [event.kind for event in world.run(NODES[0], DeadlinesTick()).events]
    assert "representation.expired" in kinds
    record = MANDATES.get(world, mandate_id)
    assert record is not None
    assert record.state is MandateState.EXPIRED


def test_what_a_representative_gives_ends_with_his_mandate(world: World) -> None:
    end_ms = world.time_ms + DAY_MS // 2
    mandate_id = mandate(world, until_ms=end_ms)
    grant_id = inquiry(world)
    over = world.refused(WANG, world.approval(grant_id, mandate=mandate_id), "over_give")
    assert over["cap"] == "representation.until"
    world.done(WANG, world.approval(grant_id, mandate=mandate_id, consent_expiry_ms=end_ms))


def test_a_mandate_is_for_its_purposes_only(world: World) -> None:
    mandate_id = mandate(world, purposes=("inquiry",))
    hiring = world.done(BANK, world.asking())
    world.refused(WANG, world.approval(hiring, mandate=mandate_id), "mandate_purpose")
    world.done(WANG, world.approval(inquiry(world), mandate=mandate_id))


def test_a_mandate_is_of_one_person_for_one_other(world: World) -> None:
    mandate_id = mandate(world)
    of_zhao = inquiry(world, pii_principal_id=ZHAO.account)
    world.refused(WANG, world.approval(of_zhao, mandate=mandate_id), "mandate_of_others")
    grant_id = inquiry(world)
    world.refused(ZHAO, world.approval(grant_id, mandate=mandate_id), "mandate_of_others")
    world.refused(LI, world.approval(grant_id, mandate=mandate_id), "mandate_of_others")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"representative": LI.account}, "represents_oneself"),
        ({"representative": DEPARTMENT.account}, "not_a_holder"),
        ({"principal": identity("nobody")}, "not_a_holder"),
        ({"principal": ZHAO.account}, "appointment_not_allowed"),
        ({"basis": RepresentationBasis.ASSISTED}, "appointment_not_allowed"),
        ({"basis": RepresentationBasis.GUARDIAN}, "appointment_not_allowed"),
        ({"basis": RepresentationBasis.LEGAL_REPRESENTATIVE}, "appointment_not_allowed"),
        ({"credential": identity("x")}, "appointment_not_allowed"),
        ({"parent": identity("x")}, "unknown_mandate"),
        ({"until_ms": 1}, "ends_in_the_past"),
    ],
)
def test_nobody_is_named_in_another_way(world: World, changes: dict[str, object], code: str) -> None:
    world.refused(LI, replace(appointment(), **changes), code)  # type: ignore[arg-type]


def test_a_sub_mandate_is_no_more_than_its_parent_and_falls_with_it(world: World) -> None:
    end_ms = world.time_ms + 10 * DAY_MS
    top = mandate(world, depth_max=2, purposes=("inquiry", "hiring"), until_ms=end_ms)
    least = {"parent": top, "purposes": ("inquiry",), "until_ms": end_ms}
    for changes, code in (
        ({"depth_max": 2}, "depth_exceeded"),
        ({"until_ms": end_ms + 1}, "wider_than_parent"),
        ({"purposes": ()}, "wider_than_parent"),
        ({"purposes": ("travel",)}, "wider_than_parent"),
        ({"basis": RepresentationBasis.GUARDIAN}, "appointment_not_allowed"),
    ):
        world.refused(WANG, appointment(LI, ZHAO, **{**least, **changes}), code)
    world.refused(QIAN, appointment(LI, ZHAO, **least), "mandate_of_others")
    below = mandate(world, WANG, LI, ZHAO, **{**least, "depth_max": 1})
    lowest = mandate(world, ZHAO, LI, QIAN, parent=below, purposes=("inquiry",), until_ms=end_ms)
    world.refused(
        QIAN,
        appointment(LI, WANG, parent=lowest, purposes=("inquiry",), until_ms=end_ms),
        "depth_exceeded",
    )
    first = inquiry(world)
    assert world.refused(QIAN, world.approval(first, mandate=lowest), "depth_exceeded") == {
        "maximum": 1,
        "depth": 2,
    }
    world.done(ZHAO, world.approval(first, mandate=below))
    assert world.refused(WANG, GrantsPause(grant_id=first), "not_holder")
    second = inquiry(world)
    world.done(LI, RepresentationEnd(mandate_id=top))
    refused = world.refused(ZHAO, world.approval(second, mandate=below), "mandate_not_active")
    assert refused["mandate"] == top.hex()


def test_the_holder_ends_any_mandate_given_in_his_name_and_who_has_it_can_resign(world: World) -> None:
    top = mandate(world, depth_max=1)
    below = mandate(world, WANG, LI, ZHAO, parent=top)
    world.done(LI, RepresentationEnd(mandate_id=below))
    again = mandate(world, WANG, LI, ZHAO, parent=top)
    world.done(ZHAO, RepresentationEnd(mandate_id=again))
    world.done(WANG, RepresentationEnd(mandate_id=top))


def test_a_purpose_can_forbid_representation(world: World) -> None:
    world.vote(RegisterPurposes(purposes=(replace(INQUIRY, representation=(RepresentationBasis.GUARDIAN,)),)))
    mandate_id = mandate(world)
    refused = world.refused(
        WANG, world.approval(inquiry(world), mandate=mandate_id), "representation_not_allowed"
    )
    assert refused == {"purpose": "inquiry", "basis": "mandate", "allowed": "guardian"}


# --- guardians and legal representatives --------------------------------------------------------------------


def test_a_guardian_is_named_by_the_department_that_issued_the_certificate(issuing: World) -> None:
    world = issuing
    certificate = guardianship(world)
    basis = {"basis": RepresentationBasis.GUARDIAN, "credential": certificate}
    world.refused(LI, appointment(**basis), "appointment_not_allowed")  # type: ignore[arg-type]
    world.refused(COURT, appointment(**basis), "credential_not_suitable")  # type: ignore[arg-type]
    mandate_id = mandate(world, DEPARTMENT, **basis)  # type: ignore[arg-type]
    grant_id = inquiry(world)
    world.done(WANG, world.approval(grant_id, mandate=mandate_id))
    # A ward does not dismiss his guardian; the department does, or the guardian resigns.
    world.refused(LI, RepresentationEnd(mandate_id=mandate_id), "mandate_of_others")
    world.done(DEPARTMENT, RepresentationEnd(mandate_id=mandate_id))


def test_a_guardian_acts_only_while_the_certificate_is_valid(issuing: World) -> None:
    world = issuing
    certificate = guardianship(world)
    mandate_id = mandate(
        world, DEPARTMENT, basis=RepresentationBasis.GUARDIAN, credential=certificate, depth_max=1
    )
    below = mandate(world, WANG, LI, ZHAO, parent=mandate_id)
    grant_id = inquiry(world)
    state = CertificatesSetState(
        certificate_id=certificate, state=CertificateState.SUSPENDED, holds=True, reason="test"
    )
    world.done(DEPARTMENT, state)
    for who, by in ((WANG, mandate_id), (ZHAO, below)):
        refused = world.refused(who, world.approval(grant_id, mandate=by), "mandate_credential")
        assert refused["mandate"] == mandate_id.hex()


def test_only_a_suitable_certificate_shows_a_guardianship(issuing: World) -> None:
    world = issuing
    basis = RepresentationBasis.GUARDIAN
    degree = world.issue("degree of li")
    of_wang = world.issue(
        "guardianship of wang",
        WANG,
        certificate_type=GUARDIANSHIP,
        fields=("ward",),
        attachments=(),
    )
    for credential in (degree, of_wang, identity("none"), b""):
        world.refused(DEPARTMENT, appointment(basis=basis, credential=credential), "credential_not_suitable")
    own = guardianship(world)
    for_a_shop = appointment(SHOP, WANG, basis=basis, credential=own)
    world.refused(DEPARTMENT, for_a_shop, "appointment_not_allowed")


def test_an_enterprise_acts_through_its_legal_representative_and_his_agents(world: World) -> None:
    licence = world.issue(
        "licence of the shop", SHOP, certificate_type=LICENCE, fields=("title",), attachments=()
    )
    legal = mandate(
        world,
        DEPARTMENT,
        SHOP,
        WANG,
        basis=RepresentationBasis.LEGAL_REPRESENTATIVE,
        credential=licence,
        depth_max=1,
    )
    agent = mandate(world, WANG, SHOP, ZHAO, parent=legal)
    asked = {"pii_principal_id": SHOP.account, "items": (item(("title",), kind=LICENCE),)}
    for who, by in ((WANG, legal), (ZHAO, agent)):
        grant_id = inquiry(world, **asked)
        world.refused(SHOP, world.approval(grant_id), "wrong_role")
        world.done(who, world.approval(grant_id, mandate=by))
    own = mandate(world, SHOP_ADMIN, SHOP_ADMIN, QIAN)
    world.done(QIAN, world.approval(inquiry(world, **asked), mandate=own))


def test_an_enterprise_can_be_a_representative_by_its_admin_key(world: World) -> None:
    mandate_id = mandate(world, LI, LI, SHOP_ADMIN)
    grant_id = inquiry(world)
    world.refused(SHOP, world.approval(grant_id, mandate=mandate_id), "wrong_role")
    world.refused(BANK_ADMIN, world.approval(grant_id, mandate=mandate_id), "mandate_of_others")
    world.done(SHOP_ADMIN, world.approval(grant_id, mandate=mandate_id))


# --- at a window --------------------------------------------------------------------------------------------


def test_assisted_consent_is_signed_by_the_person_and_names_the_clerk_and_the_place(world: World) -> None:
    grant_id = inquiry(world)
    window = RepresentationAssist(principal=LI.account, grant_id=grant_id, place="city-hall.window-3")
    help_id = world.done(DEPARTMENT, window)
    world.refused(DEPARTMENT, world.approval(grant_id, assistance=help_id), "wrong_account_kind")
    world.done(LI, world.approval(grant_id, assistance=help_id))
    given = world.grant_record(grant_id).representation
    assert given is not None
    assert (given.basis, given.place) == (RepresentationBasis.ASSISTED, "city-hall.window-3")
    assert (given.by, given.key_id) == (DEPARTMENT.account, DEPARTMENT.key_id)


def test_help_is_for_one_person_one_request_and_half_an_hour(world: World) -> None:
    grant_id, other = inquiry(world), inquiry(world)
    of_wang = inquiry(world, pii_principal_id=WANG.account)
    window = RepresentationAssist(principal=LI.account, grant_id=grant_id, place="hall")
    help_id = world.done(DEPARTMENT, window)
    world.refused(LI, world.approval(other, assistance=help_id), "unknown_assistance")
    world.refused(WANG, world.approval(of_wang, assistance=help_id), "unknown_assistance")
    mandate_id = mandate(world)
    both = world.approval(grant_id, mandate=mandate_id, assistance=help_id)
    world.refused(WANG, both, "unknown_assistance")
    strange = RepresentationAssist(principal=WANG.account, grant_id=grant_id, place="hall")
    world.refused(DEPARTMENT, strange, "not_holder")
    hiring = world.done(BANK, world.asking())
    hiring_help = RepresentationAssist(principal=LI.account, grant_id=hiring, place="hall")
    refused = world.refused(
        LI,
        world.approval(hiring, assistance=world.done(DEPARTMENT, hiring_help)),
        "representation_not_allowed",
    )
    assert refused["basis"] == "assisted"
    world.time_ms += 30 * 60_000
    world.refused(LI, world.approval(grant_id, assistance=help_id), "unknown_assistance")
