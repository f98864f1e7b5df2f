"""Releases: what may leave, how uses are counted, and what stops a release half-way."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import (
    CertificatesSetState,
    DeadlinesTick,
    GrantsNarrow,
    GrantsPause,
    GrantsResume,
    GrantsRevoke,
    RegisterPurposes,
    ReleasesAcknowledge,
    ReleasesFail,
    ReleasesPrepare,
    SuspendOrganization,
)
from contracts.grant_calls import GrantsOpenOwn
from contracts.records import (
    OUTPUTS_PER_RELEASE_MAX,
    UNMARKED,
    CertificateState,
    GrantState,
    Output,
    OutputFormat,
    ReleaseState,
)
from contracts.releases import RELEASE_DEADLINE_MS, RELEASE_WINDOW_MS
from contracts.state import PURPOSES, RELEASES
from ledger import codec, domains
from ledger.hashing import transaction_id
from ledger.types import Call
from tests.unit.contracts_world import (
    BANK,
    DAY_MS,
    DEPARTMENT,
    LI,
    NODES,
    SHOP,
    START_MS,
    SUITE,
    WANG,
    World,
    asking_release,
    identity,
    item,
    json_of,
    pdf_of,
    preparation,
)

CERTIFICATE = identity("degree of li")


@pytest.fixture
def world() -> World:
    world = World().populate()
    world.issue("degree of li")
    world.issue("degree of wang", WANG)
    return world


def set_state(state: CertificateState, holds: bool = True) -> CertificatesSetState:
    return CertificatesSetState(certificate_id=CERTIFICATE, state=state, holds=holds, reason="test")


def test_a_release_goes_from_requested_over_prepared_to_delivered(world: World) -> None:
    grant_id = world.grant()
    result = world.run(
        BANK, asking_release(grant_id, json_of(CERTIFICATE, "name"), pdf_of(CERTIFICATE, "scan"))
    )
    release_id = codec.decode(result.output, bytes, size_bytes_max=16)
    release = world.release_record(release_id)
    assert (release.state, release.officer, release.purpose) == (
        ReleaseState.REQUESTED,
        BANK.key_id,
        "hiring",
    )
    assert release.deadline_ms == release.requested_ms + RELEASE_DEADLINE_MS
    made = preparation(release_id, files=2)
    world.done(NODES[1], made)
    assert world.release_record(release_id).files == made.files
    hashes = tuple(file.file_hash for file in made.files)
    delivered = world.run(BANK, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes))
    assert world.release_record(release_id).state is ReleaseState.DELIVERED
    (event,) = delivered.events
    assert event.kind == "releases.delivered"
    assert {LI.account, BANK.account, CERTIFICATE, grant_id, release_id} <= set(event.subjects)
    assert (dict(event.data)["fields"], dict(event.data)["attachments"]) == ("name", "scan")


def test_a_release_id_comes_from_its_transaction_and_is_taken_once(world: World) -> None:
    grant_id = world.grant()
    transaction = world.sign(BANK, asking_release(grant_id, json_of(CERTIFICATE, "name")))
    name = transaction_id(SUITE, transaction.body)
    release_id = SUITE.hash(domains.RELEASE_ID, name)[:8]
    other = world.release_record(world.release(grant_id, CERTIFICATE))
    world.entries[RELEASES.key(release_id)] = codec.encode(other)
    (result,) = world.block([transaction]).results
    assert (result.code, dict(result.fields)) == ("id_taken", {"id": release_id.hex()})


def test_two_requests_alike_are_two_releases(world: World) -> None:
    grant_id = world.grant()
    assert world.release(grant_id, CERTIFICATE) != world.release(grant_id, CERTIFICATE)


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (json_of(CERTIFICATE, "major"), "field_not_granted"),
        (json_of(CERTIFICATE, "name", "grade"), "field_not_granted"),
        (pdf_of(CERTIFICATE, "photo"), "attachment_not_granted"),
        (json_of(CERTIFICATE, "name", "name"), "duplicate_name"),
        (json_of(CERTIFICATE), "format_mismatch"),
        (pdf_of(CERTIFICATE, ""), "format_mismatch"),
        (
            Output(certificate=CERTIFICATE, format=OutputFormat.CSV, fields=(), attachment="scan"),
            "format_mismatch",
        ),
        (
            Output(certificate=CERTIFICATE, format=OutputFormat.PNG, fields=("name",), attachment=""),
            "format_mismatch",
        ),
        (
            Output(certificate=CERTIFICATE, format=OutputFormat.JSON, fields=("name",), attachment="scan"),
            "format_mismatch",
        ),
        (json_of(identity("none"), "name"), "unknown_certificate"),
        (json_of(identity("degree of wang"), "name"), "certificate_not_held"),
    ],
)
def test_nothing_leaves_that_the_grant_does_not_open(world: World, output: Output, code: str) -> None:
    grant_id = world.grant()
    good = json_of(CERTIFICATE, "name")
    world.refused(BANK, asking_release(grant_id, output), code)
    world.refused(BANK, asking_release(grant_id, good, output), code)
    assert world.grant_record(grant_id).uses_left == 2


def test_what_the_holder_has_none_of_is_told_apart_from_what_is_not_granted(world: World) -> None:
    world.issue("sparse", fields=("name",), attachments=())
    grant_id = world.grant()
    sparse = identity("sparse")
    fields = world.refused(BANK, asking_release(grant_id, json_of(sparse, "school")), "not_in_certificate")
    assert fields["name"] == "school"
    world.refused(BANK, asking_release(grant_id, pdf_of(sparse, "scan")), "not_in_certificate")
    world.refused(BANK, asking_release(grant_id, json_of(sparse, "major")), "field_not_granted")


def test_a_grant_of_one_certificate_opens_no_other(world: World) -> None:
    world.issue("second degree")
    grant_id = world.grant(items=(item(("name",), certificate=CERTIFICATE),))
    second = json_of(identity("second degree"), "name")
    world.refused(BANK, asking_release(grant_id, second), "certificate_not_granted")
    world.done(BANK, asking_release(grant_id, json_of(CERTIFICATE, "name")))


def test_a_declined_item_opens_nothing(world: World) -> None:
    asked = (item(("name",), certificate=CERTIFICATE), item(("school",)))
    grant_id = world.done(BANK, world.asking(items=asked))
    world.done(LI, world.approval(grant_id, items=asked[:1]))
    fields = world.refused(
        BANK, asking_release(grant_id, json_of(CERTIFICATE, "name", "school")), "field_not_granted"
    )
    assert fields == {"field": "school", "granted": "name"}


def test_only_the_grantee_uses_a_grant(world: World) -> None:
    grant_id = world.grant()
    world.refused(SHOP, asking_release(grant_id, json_of(CERTIFICATE, "name")), "not_grantee")
    world.refused(BANK, asking_release(identity("none"), json_of(CERTIFICATE, "name")), "unknown_grant")


@pytest.mark.parametrize("account", [BANK.account, identity("none")])
def test_only_an_operator_can_be_named_to_release(world: World, account: bytes) -> None:
    request = asking_release(world.grant(), json_of(CERTIFICATE, "name"), by=account)
    world.refused(BANK, request, "unknown_operator")


def test_uses_are_counted_and_a_failed_release_gives_its_use_back(world: World) -> None:
    grant_id = world.grant(uses_max=2)
    request = asking_release(grant_id, json_of(CERTIFICATE, "name"))
    first, second = world.done(BANK, request), world.done(BANK, request)
    assert world.refused(BANK, request, "uses_exhausted")["maximum"] == 2
    world.done(NODES[1], ReleasesFail(release_id=first, reason="no_shares"))
    failed = world.release_record(first)
    assert (failed.state, failed.failure) == (ReleaseState.FAILED, "no_shares")
    third = world.done(BANK, request)
    world.refused(BANK, request, "uses_exhausted")
    world.prepare(second)
    assert world.grant_record(grant_id).state is GrantState.ACTIVE
    result = world.run(NODES[1], preparation(third))
    assert [event.kind for event in result.events] == ["releases.prepared", "grants.exhausted"]
    grant = world.grant_record(grant_id)
    assert (grant.state, grant.uses_left, grant.uses_reserved) == (GrantState.EXHAUSTED, 0, 0)
    assert world.refused(BANK, request, "grant_not_active")["state"] == "exhausted"


def test_the_last_use_can_be_revoked_while_it_is_on_its_way(world: World) -> None:
    grant_id = world.grant(uses_max=1)
    release_id = world.release(grant_id, CERTIFICATE)
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    assert world.refused(NODES[1], preparation(release_id), "grant_not_active")["state"] == "revoked"


def test_a_pause_stops_a_release_on_its_way_until_the_grant_is_resumed(world: World) -> None:
    grant_id = world.grant()
    release_id = world.release(grant_id, CERTIFICATE)
    world.done(LI, GrantsPause(grant_id=grant_id))
    world.refused(NODES[1], preparation(release_id), "grant_not_active")
    world.refused(BANK, asking_release(grant_id, json_of(CERTIFICATE, "name")), "grant_not_active")
    world.done(LI, GrantsResume(grant_id=grant_id))
    world.prepare(release_id)


def test_whatever_closes_in_between_stops_a_release_on_its_way(world: World) -> None:
    grant_id = world.grant()
    release_id = world.release(grant_id, CERTIFICATE)
    end_ms = world.grant_record(grant_id).consent_expiry_ms
    less = GrantsNarrow(grant_id=grant_id, items=(item(("school",)),), uses_left=1, consent_expiry_ms=end_ms)
    world.done(LI, less)
    world.refused(NODES[1], preparation(release_id), "field_not_granted")


def test_a_suspension_of_the_grantee_stops_a_release_on_its_way(world: World) -> None:
    release_id = world.release(world.grant(), CERTIFICATE)
    world.vote(SuspendOrganization(account_id=BANK.account, reason="leak"))
    world.refused(NODES[1], preparation(release_id), "organization_suspended")


def test_a_grants_end_stops_requests_and_releases_on_their_way(world: World) -> None:
    grant_id = world.grant(consent_expiry_ms=world.time_ms + 600_000)
    release_id = world.release(grant_id, CERTIFICATE)
    world.time_ms = world.grant_record(grant_id).consent_expiry_ms
    world.refused(NODES[1], preparation(release_id), "grant_not_active")
    world.refused(BANK, asking_release(grant_id, json_of(CERTIFICATE, "name")), "grant_not_active")


@pytest.mark.parametrize("state", ["suspended", "revoked", "cancelled", "abolished"])
def test_a_stopping_state_of_the_certificate_stops_its_releases(world: World, state: str) -> None:
    grant_id = world.grant()
    release_id = world.release(grant_id, CERTIFICATE)
    world.done(DEPARTMENT, set_state(CertificateState(state)))
    request = asking_release(grant_id, json_of(CERTIFICATE, "name"))
    assert world.refused(BANK, request, "certificate_not_valid")["state"] == state
    world.refused(NODES[1], preparation(release_id), "certificate_not_valid")


@pytest.mark.parametrize("state", ["mortgaged", "pledged", "renewal_due"])
def test_other_states_stop_nothing_and_a_suspension_ends(world: World, state: str) -> None:
    grant_id = world.grant()
    world.done(DEPARTMENT, set_state(CertificateState(state)))
    world.done(DEPARTMENT, set_state(CertificateState.SUSPENDED))
    world.refused(BANK, asking_release(grant_id, json_of(CERTIFICATE, "name")), "certificate_not_valid")
    world.done(DEPARTMENT, set_state(CertificateState.SUSPENDED, holds=False))
    world.release(grant_id, CERTIFICATE)


def test_a_superseded_certificate_and_one_outside_its_dates_are_not_released(world: World) -> None:
    world.issue("newer", supersedes=CERTIFICATE)
    world.issue("early", valid_from_ms=START_MS + 10 * DAY_MS)
    world.issue("late", valid_until_ms=START_MS + 1)
    grant_id = world.grant()
    for certificate, state in (
        (CERTIFICATE, "superseded"),
        (identity("early"), "not_yet"),
        (identity("late"), "ended"),
    ):
        request = asking_release(grant_id, json_of(certificate, "name"))
        assert world.refused(BANK, request, "certificate_not_valid")["state"] == state
    world.release(grant_id, identity("newer"))


def test_only_the_named_operator_prepares_and_fails(world: World) -> None:
    release_id = world.release(world.grant(), CERTIFICATE)
    for args in (preparation(release_id), ReleasesFail(release_id=release_id, reason="other")):
        assert world.refused(NODES[2], args, "not_entrusted")["operator"] == NODES[1].account.hex()
    world.refused(NODES[1], preparation(identity("none", 8)), "unknown_release")
    world.refused(NODES[1], preparation(release_id, files=2), "file_count")
    world.prepare(release_id)


def test_a_prepared_release_neither_fails_nor_is_prepared_again(world: World) -> None:
    grant_id = world.grant()
    release_id = world.release(grant_id, CERTIFICATE)
    world.prepare(release_id)
    for args in (preparation(release_id), ReleasesFail(release_id=release_id, reason="late")):
        assert world.refused(NODES[1], args, "state_transition")["state"] == "prepared"
    world.time_ms += 2 * RELEASE_DEADLINE_MS
    world.run(NODES[0], DeadlinesTick())
    assert world.release_record(release_id).state is ReleaseState.PREPARED
    assert world.grant_record(grant_id).uses_left == 1


def test_only_matching_hashes_from_the_grantee_acknowledge_a_prepared_release(world: World) -> None:
    release_id = world.release(world.grant(), CERTIFICATE)
    hashes = tuple(file.file_hash for file in preparation(release_id).files)
    good = ReleasesAcknowledge(release_id=release_id, file_hashes=hashes)
    assert world.refused(BANK, good, "state_transition")["state"] == "requested"
    world.prepare(release_id)
    world.refused(SHOP, good, "not_grantee")
    for wrong in ((bytes(32),), (*hashes, *hashes)):
        bad = ReleasesAcknowledge(release_id=release_id, file_hashes=wrong)
        world.refused(BANK, bad, "file_hashes_differ")
    world.done(BANK, good)
    assert world.refused(BANK, good, "state_transition")["state"] == "delivered"


def test_a_release_past_its_deadline_is_not_prepared_and_a_tick_returns_its_use(world: World) -> None:
    grant_id = world.grant(uses_max=1)
    release_id = world.release(grant_id, CERTIFICATE)
    world.time_ms = world.release_record(release_id).deadline_ms
    world.refused(NODES[1], preparation(release_id), "release_overdue")
    world.time_ms += 60_000
    result = world.run(NODES[3], DeadlinesTick())
    assert [event.kind for event in result.events] == ["releases.failed"]
    failed = world.release_record(release_id)
    assert (failed.state, failed.failure) == (ReleaseState.FAILED, "deadline")
    assert world.grant_record(grant_id).uses_left == 1
    world.release(grant_id, CERTIFICATE)


def test_a_prepared_release_that_nobody_acknowledges_is_closed_when_its_window_ends(world: World) -> None:
    grant_id = world.grant(uses_max=1)
    release_id = world.release(grant_id, CERTIFICATE)
    world.prepare(release_id)
    prepared = world.release_record(release_id)
    assert prepared.window_ends_ms == prepared.prepared_ms + RELEASE_WINDOW_MS
    hashes = tuple(file.file_hash for file in prepared.files)
    world.time_ms = prepared.window_ends_ms
    late = ReleasesAcknowledge(release_id=release_id, file_hashes=hashes)
    assert world.refused(BANK, late, "release_window_over")["window_ends_ms"] == prepared.window_ends_ms
    world.time_ms += 60_000
    result = world.run(NODES[3], DeadlinesTick())
    (event,) = [event for event in result.events if event.kind == "releases.closed"]
    assert {LI.account, BANK.account, grant_id, release_id} <= set(event.subjects)
    assert world.release_record(release_id).state is ReleaseState.CLOSED
    assert world.grant_record(grant_id).uses_left == 0
    for who, args in (
        (BANK, late),
        (NODES[1], preparation(release_id)),
        (NODES[1], ReleasesFail(release_id=release_id, reason="late")),
    ):
        assert world.refused(who, args, "state_transition")["state"] == "closed"


def test_a_delivered_release_is_not_closed_when_its_window_ends(world: World) -> None:
    release_id = world.release(world.grant(), CERTIFICATE)
    world.prepare(release_id)
    prepared = world.release_record(release_id)
    hashes = tuple(file.file_hash for file in prepared.files)
    world.time_ms = prepared.window_ends_ms - 1000
    world.done(BANK, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes))
    world.time_ms = prepared.window_ends_ms + 60_000
    world.run(NODES[0], DeadlinesTick())
    assert world.release_record(release_id).state is ReleaseState.DELIVERED


def test_one_output_more_than_the_limit_is_malformed(world: World) -> None:
    grant_id = world.grant()
    outputs = (json_of(CERTIFICATE, "name"),) * OUTPUTS_PER_RELEASE_MAX
    world.done(BANK, asking_release(grant_id, *outputs))
    more = asking_release(grant_id, *outputs, outputs[0])
    world.refused(
        BANK, Call(contract="releases", method="request", args=codec.encode(more)), "malformed_call"
    )


def test_the_issuing_department_can_ask_too_and_is_bound_alike(world: World) -> None:
    asked = world.asking()
    grant_id = world.done(DEPARTMENT, asked)
    world.refused(DEPARTMENT, asking_release(grant_id, json_of(CERTIFICATE, "name")), "grant_not_active")
    world.done(LI, world.approval(grant_id))
    world.done(DEPARTMENT, asking_release(grant_id, json_of(CERTIFICATE, "name")))


# --- unmarked originals ---


def original_of(certificate: bytes) -> Output:
    return Output(certificate=certificate, format=OutputFormat.ORIGINAL, fields=(), attachment="scan")


def unmarked(release_id: bytes) -> ReleasesPrepare:
    made = preparation(release_id)
    (file,) = made.files
    return replace(made, files=(replace(file, mark_commitment=UNMARKED),))


def test_an_original_is_for_the_holder_and_goes_out_unmarked(world: World) -> None:
    degree = world.issue("own degree")
    own = world.done(LI, GrantsOpenOwn(certificates=(degree,)))
    release_id = world.done(LI, asking_release(own, original_of(degree)))
    world.refused(NODES[1], preparation(release_id), "mark_missing")
    world.done(NODES[1], unmarked(release_id))
    assert world.release_record(release_id).files[0].mark_commitment == UNMARKED


def test_nothing_but_an_original_goes_out_unmarked(world: World) -> None:
    degree = world.issue("own degree")
    own = world.done(LI, GrantsOpenOwn(certificates=(degree,)))
    release_id = world.done(LI, asking_release(own, pdf_of(degree, "scan")))
    world.refused(NODES[1], unmarked(release_id), "mark_missing")


def test_others_have_originals_only_for_purposes_that_were_voted_so(world: World) -> None:
    degree = world.issue("shown degree")
    world.refused(BANK, asking_release(world.grant(), original_of(degree)), "original_not_allowed")
    purpose = PURPOSES.get(world, "hiring")
    assert purpose is not None
    world.vote(RegisterPurposes(purposes=(replace(purpose, originals=True),)))
    world.done(BANK, asking_release(world.grant(), original_of(degree)))
