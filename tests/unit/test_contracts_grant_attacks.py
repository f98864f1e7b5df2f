"""What somebody with some right tries against grants: stopping the network, deciding for himself, staying silent too long."""

from __future__ import annotations

from dataclasses import replace as but

import pytest
from msgspec.structs import replace

from contracts.calls import (
    Args,
    DeadlinesTick,
    GovernancePropose,
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsResume,
    GrantsRevoke,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterOrganization,
    RegisterPurposes,
    SetIssuance,
    SuspendOrganization,
    call,
)
from contracts.class_records import Grade, PartClass, Sensitivity
from contracts.grant_actions import SetGrantRules
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsExtendNotice,
    GrantsOpenOwn,
    GrantsReview,
    RepresentationAccept,
)
from contracts.grant_records import (
    ITEMS_PER_GRANT_MAX,
    OWN_PURPOSE,
    ConsentMode,
    RepresentationBasis,
    ReviewVerdict,
    TemplateItem,
)
from contracts.grant_tables import DELETION_DUTIES
from contracts.records import AccountKind, GrantState, KeyRole
from contracts.registry import ARGS_SIZE_BYTES_PER_COST_UNIT, call_cost
from contracts.state import ACCOUNTS, Draft
from contracts.window_calls import GrantsApproveAtWindow
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    BANK_ADMIN,
    DAY_MS,
    DEGREE,
    DEGREE_TYPE,
    DEPARTMENT,
    LI,
    LICENCE,
    NODES,
    OPERATORS,
    SHOP,
    SHOP_ADMIN,
    WANG,
    Actor,
    World,
    actor,
    asking_release,
    identity,
    item,
    json_of,
    new_key,
    preparation,
)
from tests.unit.grants_world import (
    COURT,
    COURT_ADMIN,
    GUARDIANSHIP,
    INQUIRY,
    POLICE,
    RULES,
    TAX,
    TAX_ADMIN,
    access,
    appointment,
    emergency,
    grants_world,
    mandate,
)

HOUR_MS = 3_600_000


@pytest.fixture
def world() -> World:
    return grants_world()


# --- what would stop every node -----------------------------------------------------------------------------


def own_grant(world: World, uses: int = 1) -> bytes:
    return world.done(LI, GrantsOpenOwn(certificates=(world.issue("degree of li"),), uses_max=uses))


@pytest.mark.parametrize("step", [GrantsPause, GrantsResume, GrantsRevoke])
def test_a_representative_decides_nothing_about_what_a_person_opened_to_himself(
    world: World, step: type[Args]
) -> None:
    """A grant to oneself has no template; whoever looks for one must not stop the network."""
    own, mandated = own_grant(world), mandate(world)
    fields = world.refused(WANG, step(grant_id=own, mandate=mandated), "representation_not_allowed")
    assert fields["purpose"] == OWN_PURPOSE


def test_a_clerk_consents_to_nothing_that_a_person_opened_to_himself(world: World) -> None:
    consent = GrantsApprove(
        grant_id=own_grant(world),
        items=(item(("name",)),),
        uses_max=1,
        consent_expiry_ms=world.time_ms + 1000,
    )
    world.refused(
        DEPARTMENT,
        GrantsApproveAtWindow(consent=consent, place="hall", face=b"x"),
        "representation_not_allowed",
    )


def test_no_purpose_has_the_name_of_reading_ones_own_data(world: World) -> None:
    action = RegisterPurposes(purposes=(replace(INQUIRY, code=OWN_PURPOSE),))
    world.refused(OPERATORS[0], GovernancePropose(action=action), "purpose_reserved")


def wide_type(world: World, parts: int = 64, width: int = 64) -> tuple[str, ...]:
    """A type with as many fields of as long names as there can be."""
    names = tuple(f"f{number:02d}".ljust(width, "x") for number in range(parts))
    wide = replace(DEGREE_TYPE, code="wide", fields=names, attachments=())
    world.vote(RegisterCertificateTypes(types=(wide,)))
    world.vote(SetIssuance(account_id=DEPARTMENT.account, issues=(DEGREE, LICENCE, "wide")))
    return names


def test_opening_the_widest_certificates_at_once_is_bounded(world: World) -> None:
    names = wide_type(world)
    held = tuple(
        world.issue(f"wide {number}", certificate_type="wide", fields=names, attachments=())
        for number in range(ITEMS_PER_GRANT_MAX)
    )
    fields = world.refused(LI, GrantsOpenOwn(certificates=held), "own_too_much")
    assert int(fields["actual"]) > int(fields["maximum"])
    fitting = held[: ITEMS_PER_GRANT_MAX * int(fields["maximum"]) // int(fields["actual"])]
    own = world.done(LI, GrantsOpenOwn(certificates=fitting))
    world.done(LI, GrantsRevoke(grant_id=own))


# --- who decides --------------------------------------------------------------------------------------------


def test_who_asks_does_not_approve_in_the_holders_place(world: World) -> None:
    """A mandate to the very organisation that asks would be a consent that nobody else has given."""
    mandated = mandate(world, representative=BANK_ADMIN)
    grant = world.done(BANK, world.asking(purpose="inquiry", frequency=INQUIRY.frequency_max))
    world.refused(BANK_ADMIN, world.approval(grant, mandate=mandated), "represents_grantee")
    world.done(LI, world.approval(grant))
    world.done(LI, GrantsPause(grant_id=grant))
    world.refused(BANK_ADMIN, GrantsResume(grant_id=grant, mandate=mandated), "represents_grantee")


def test_a_guardian_does_not_become_a_mandate_by_naming_another(world: World) -> None:
    """A purpose that has representatives, but no guardians, is not opened by whom a guardian names."""
    world.vote(RegisterPurposes(purposes=(replace(INQUIRY, representation=(RepresentationBasis.MANDATE,)),)))
    world.vote(SetIssuance(account_id=DEPARTMENT.account, issues=(DEGREE, LICENCE, GUARDIANSHIP)))
    shown = world.issue(
        "guardianship", certificate_type=GUARDIANSHIP, fields=("ward", "guardian"), attachments=()
    )
    guardian = world.done(
        DEPARTMENT,
        appointment(LI, WANG, basis=RepresentationBasis.GUARDIAN, credential=shown, depth_max=1),
    )
    world.done(WANG, RepresentationAccept(mandate_id=guardian))
    below = world.done(WANG, appointment(LI, SHOP_ADMIN, parent=guardian))
    world.done(SHOP_ADMIN, RepresentationAccept(mandate_id=below))
    grant = world.done(BANK, world.asking(purpose="inquiry", frequency=INQUIRY.frequency_max))
    fields = world.refused(SHOP_ADMIN, world.approval(grant, mandate=below), "representation_not_allowed")
    assert fields["basis"] == RepresentationBasis.GUARDIAN


def test_nobody_gives_for_an_enterprise_that_is_suspended(world: World) -> None:
    mandated = mandate(world, by=SHOP_ADMIN, principal=SHOP_ADMIN)
    asked = world.asking(
        purpose="inquiry",
        pii_principal_id=SHOP.account,
        items=(item(("title",), (), LICENCE),),
        frequency=INQUIRY.frequency_max,
    )
    grant = world.done(BANK, asked)
    world.vote(SuspendOrganization(account_id=SHOP.account, reason="test"))
    world.refused(WANG, world.approval(grant, mandate=mandated), "organization_suspended")


@pytest.mark.parametrize("basis", ["consent.explicit", "informed_consent", "consent-"])
def test_a_consent_by_another_word_can_be_revoked_as_well(world: World, basis: str) -> None:
    world.refused(BANK, world.asking(lawful_basis=basis, revocable=False), "consent_is_revocable")
    world.refused(POLICE, access(world, lawful_basis=basis), "held_by_consent")


def test_a_renewal_is_for_the_same_purpose(world: World) -> None:
    old = world.grant()
    asked = world.asking(purpose="inquiry", renews=old, frequency=INQUIRY.frequency_max)
    world.refused(BANK, asked, "renews_another")
    world.done(BANK, world.asking(renews=old))


# --- access without consent ---------------------------------------------------------------------------------


def test_the_same_officers_key_in_another_organisation_approves_nothing(world: World) -> None:
    """Another organisation is another person as well: one key cannot ask here and approve there."""
    twin = but(POLICE, account=COURT.account)
    world.done(COURT_ADMIN, OrganizationsAddKey(key=new_key(POLICE, KeyRole.OFFICER)))
    asked = world.done(POLICE, access(world))
    for approve in (True, False):
        world.refused(twin, GrantsDecideAccess(grant_id=asked, approve=approve), "not_another_organization")
    world.done(COURT, GrantsDecideAccess(grant_id=asked, approve=True))


def test_a_longer_silence_needs_another_key_too(world: World) -> None:
    twin = but(COURT, account=TAX.account)
    world.done(TAX_ADMIN, OrganizationsAddKey(key=new_key(COURT, KeyRole.OFFICER)))
    asked = world.done(POLICE, access(world))
    world.done(COURT, GrantsDecideAccess(grant_id=asked, approve=True))
    later = GrantsExtendNotice(grant_id=asked, notice_after_ms=world.time_ms + 80 * DAY_MS)
    world.refused(twin, later, "not_another_organization")
    world.done(TAX, later)


def registered_twice(world: World) -> Actor:
    """The police once more, under the same credit code and another account, as an approver."""
    admin, officer = actor("police again", "admin"), actor("police again", "officer")
    draft = Draft(world)
    police = ACCOUNTS.get(world, POLICE.account)
    assert police is not None
    ACCOUNTS.put(draft, POLICE.account, replace(police, credit_code="11370000004188888X"))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    world.vote(
        RegisterOrganization(
            account_id=admin.account,
            kind=AccountKind.DEPARTMENT,
            name="公安局",
            credit_code="11370000004188888X",
            issues=(),
            admin=new_key(admin, KeyRole.ADMIN),
        )
    )
    world.done(admin, OrganizationsAddKey(key=new_key(officer, KeyRole.OFFICER)))
    world.vote(SetGrantRules(rules=replace(RULES, approvers=(*RULES.approvers, officer.account))))
    return officer


def test_an_organisation_registered_twice_is_not_another_one(world: World) -> None:
    again = registered_twice(world)
    asked = world.done(POLICE, access(world))
    world.refused(again, GrantsDecideAccess(grant_id=asked, approve=True), "not_another_organization")
    opened = world.done(POLICE, emergency(world))
    world.refused(
        again, GrantsReview(grant_id=opened, verdict=ReviewVerdict.JUSTIFIED), "not_another_organization"
    )


def test_emergencies_that_nobody_reviewed_end_within_a_day_of_the_first(world: World) -> None:
    """Otherwise a day at a time one organisation reads on, by renewals or anew, and no other ever looks."""
    degree = world.issue("degree of li")
    first = world.done(POLICE, emergency(world))
    began_ms = world.grant_record(first).consent_start_ms
    world.done(POLICE, emergency(world))
    world.time_ms += 20 * HOUR_MS
    world.done(POLICE, emergency(world, renews=first))
    over = world.refused(
        POLICE, emergency(world, consent_expiry_ms=began_ms + DAY_MS + 1), "emergency_unreviewed"
    )
    assert over == {"grant": first.hex(), "latest_ms": began_ms + DAY_MS}
    world.done(POLICE, emergency(world, consent_expiry_ms=began_ms + DAY_MS))
    world.time_ms += 2 * DAY_MS
    world.refused(POLICE, emergency(world), "emergency_unreviewed")
    world.done(POLICE, emergency(world, pii_principal_id=WANG.account))
    world.done(AUDITOR, GrantsReview(grant_id=first, verdict=ReviewVerdict.JUSTIFIED))
    second = world.done(POLICE, emergency(world))
    world.done(POLICE, asking_release(second, json_of(degree, "name")))
    world.time_ms += DAY_MS
    assert world.refused(POLICE, emergency(world), "emergency_unreviewed")["grant"] == second.hex()


def test_an_emergency_that_was_none_ends_with_the_review(world: World) -> None:
    degree = world.issue("degree of li")
    opened = world.done(POLICE, emergency(world))
    world.done(COURT, GrantsReview(grant_id=opened, verdict=ReviewVerdict.UNJUSTIFIED))
    assert world.grant_record(opened).state is GrantState.REVOKED
    world.refused(POLICE, asking_release(opened, json_of(degree, "name")), "grant_not_active")


def test_a_review_after_the_end_changes_no_state(world: World) -> None:
    opened = world.done(POLICE, emergency(world))
    world.time_ms += 2 * DAY_MS
    world.done(COURT, GrantsReview(grant_id=opened, verdict=ReviewVerdict.UNJUSTIFIED))
    assert world.grant_record(opened).state is GrantState.ACTIVE
    world.done(NODES[0], DeadlinesTick())
    assert world.grant_record(opened).state is GrantState.EXPIRED


def test_a_silent_renewal_leaves_no_trace_at_what_the_person_is_shown(world: World) -> None:
    """The record of the old access is the person's to read, with proof; it says nothing before the new one is shown."""
    old = world.done(POLICE, access(world, notice_after_ms=0))
    world.done(COURT, GrantsDecideAccess(grant_id=old, approve=True))
    before = world.grant_record(old)
    new = world.done(POLICE, access(world, renews=old, notice_after_ms=world.time_ms + 10 * DAY_MS))
    result = world.run(COURT, GrantsDecideAccess(grant_id=new, approve=True))
    assert result.code == "ok"
    assert all(event.object_id != old for event in result.events)
    assert world.grant_record(old) == before
    world.time_ms += 11 * DAY_MS
    told = world.run(NODES[0], DeadlinesTick()).events
    assert [event.kind for event in told] == ["grants.disclosed", "grants.renewed"]
    assert world.grant_record(old).renewed_by == new


def test_of_two_silent_renewals_the_first_shown_is_named(world: World) -> None:
    old = world.done(POLICE, access(world, notice_after_ms=0))
    world.done(COURT, GrantsDecideAccess(grant_id=old, approve=True))
    both = [
        world.done(POLICE, access(world, renews=old, notice_after_ms=world.time_ms + days * DAY_MS))
        for days in (20, 10)
    ]
    for one in both:
        world.done(COURT, GrantsDecideAccess(grant_id=one, approve=True))
    for days in (11, 10):
        world.time_ms += days * DAY_MS
        world.done(NODES[0], DeadlinesTick())
    assert world.grant_record(old).renewed_by == both[1]
    shown = [world.grant_record(one).access for one in both]
    assert all(one is not None and one.shown for one in shown)


def test_a_silent_request_that_was_rejected_renews_nothing_when_it_is_shown(world: World) -> None:
    old = world.done(POLICE, access(world, notice_after_ms=0))
    world.done(COURT, GrantsDecideAccess(grant_id=old, approve=True))
    new = world.done(POLICE, access(world, renews=old, notice_after_ms=world.time_ms + 10 * DAY_MS))
    world.done(COURT, GrantsDecideAccess(grant_id=new, approve=False))
    world.time_ms += 11 * DAY_MS
    assert [event.kind for event in world.run(NODES[0], DeadlinesTick()).events] == ["grants.disclosed"]
    assert world.grant_record(old).renewed_by == b""


# --- classes ------------------------------------------------------------------------------------------------


def test_a_part_that_a_later_version_left_out_keeps_its_class(world: World) -> None:
    """Certificates of the former version still have it, and so what was core data stays core data."""
    core = PartClass(
        name="record",
        grade=Grade.CORE,
        level=4,
        sensitivity=Sensitivity.SENSITIVE,
        purposes=("inquiry",),
    )
    first = replace(DEGREE_TYPE, code="file", fields=("record", "name"), attachments=(), classes=(core,))
    world.vote(RegisterCertificateTypes(types=(first,)))
    cap = TemplateItem(certificate_type="file", fields=("record", "name"), attachments=())
    world.vote(RegisterPurposes(purposes=(replace(INQUIRY, code="loan", items=(cap,)),)))
    asked = world.asking(
        purpose="loan", items=(item(("record",), (), "file"),), frequency=INQUIRY.frequency_max
    )
    world.refused(BANK, asked, "class_asker")
    world.vote(RegisterCertificateTypes(types=(replace(first, version=2, fields=("name",), classes=()),)))
    world.refused(BANK, asked, "class_asker")


# --- narrowing ----------------------------------------------------------------------------------------------


def test_narrowing_all_to_nothing_is_revoking(world: World) -> None:
    grant = world.grant()
    record = world.grant_record(grant)
    nothing = GrantsNarrow(
        grant_id=grant, items=record.items, uses_left=0, consent_expiry_ms=record.consent_expiry_ms
    )
    world.refused(LI, nothing, "nothing_left")


def test_what_an_access_store_gave_is_due_when_the_review_finds_no_emergency(world: World) -> None:
    degree = world.issue("degree of li")
    opened = world.done(POLICE, emergency(world, consent_mode=ConsentMode.STORE))
    release = world.done(POLICE, asking_release(opened, json_of(degree, "name")))
    world.done(NODES[1], preparation(release))
    world.done(COURT, GrantsReview(grant_id=opened, verdict=ReviewVerdict.UNJUSTIFIED))
    duty = DELETION_DUTIES.get(world, opened)
    assert duty is not None
    assert duty.open == 1
    world.time_ms += 8 * DAY_MS
    kinds: list[str] = []
    while events := world.run(NODES[0], DeadlinesTick()).events:
        kinds += [event.kind for event in events]
    assert "grants.deletion_overdue" in kinds


# --- recovered accounts, and what calls cost ----------------------------------------------------------------


def test_a_recovered_account_fetches_nothing_of_what_it_had_opened_before(world: World) -> None:
    """No export in the days after a recovery: neither by a new grant to oneself nor by one that still runs."""
    degree = world.issue("degree of li")
    own = world.done(LI, GrantsOpenOwn(certificates=(degree,), uses_max=2))
    draft = Draft(world)
    account = ACCOUNTS.get(world, LI.account)
    assert account is not None
    ACCOUNTS.put(draft, LI.account, replace(account, restricted_until_ms=world.time_ms + 7 * DAY_MS))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    world.refused(LI, asking_release(own, json_of(degree, "name")), "account_restricted")


@pytest.mark.parametrize("parts", [1, 8, 32])
def test_what_names_more_certificates_costs_more(world: World, parts: int) -> None:
    """A block's cost bounds the time that it takes, and each of these is read and judged for itself."""
    ids = [identity(f"certificate {number}") for number in range(parts)]
    outputs = tuple(json_of(one, "name") for one in ids)
    items = tuple(item(("name",), (), DEGREE, one) for one in ids)
    asked = replace(world.asking(), items=items)
    approval = GrantsApprove(grant_id=bytes(16), items=items, uses_max=1, consent_expiry_ms=1)
    for args in (
        asking_release(bytes(16), *outputs),
        preparation(bytes(8), parts),
        asked,
        approval,
        GrantsNarrow(grant_id=bytes(16), items=items, uses_left=1, consent_expiry_ms=1),
        GrantsApproveAtWindow(consent=approval, place="hall", face=b"x"),
        replace(access(world), items=items),
        GrantsOpenOwn(certificates=tuple(ids)),
    ):
        made = call(args)
        flat = call_cost(replace(made, args=made.args[:1]))
        size = -(-len(made.args) // ARGS_SIZE_BYTES_PER_COST_UNIT)
        assert call_cost(made) - flat - size >= 7 * parts
