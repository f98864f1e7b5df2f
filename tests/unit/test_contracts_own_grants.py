"""A holder reads its own data by a recorded release like anybody else, and nobody else's."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.calls import CertificatesSetState, ReleasesAcknowledge
from contracts.grant_calls import GrantsOpenOwn
from contracts.own_grants import OWN_LIFE_MS
from contracts.records import Account, CertificateState, ReleaseState
from contracts.state import ACCOUNTS
from ledger import codec
from tests.unit.contracts_world import (
    BANK,
    DEPARTMENT,
    LI,
    NODES,
    WANG,
    World,
    asking_release,
    identity,
    json_of,
    preparation,
)

CERTIFICATE = identity("degree of li")
OTHERS = identity("degree of wang")


@pytest.fixture
def world() -> World:
    world = World().populate()
    world.issue("degree of li")
    world.issue("degree of wang", WANG)
    return world


def opened(world: World, **changes: object) -> bytes:
    values = {"certificates": (CERTIFICATE,), **changes}
    result = world.run(LI, GrantsOpenOwn(**values))  # type: ignore[arg-type]
    assert result.code == "ok", result
    return codec.decode(result.output, bytes, size_bytes_max=32)


def test_a_holder_fetches_every_field_of_its_own_by_a_release_on_record(world: World) -> None:
    grant_id = opened(world)
    fields = world.grant_record(grant_id).items[0].fields
    result = world.run(LI, asking_release(grant_id, json_of(CERTIFICATE, *fields)))
    release_id = codec.decode(result.output, bytes, size_bytes_max=16)
    made = preparation(release_id)
    world.done(NODES[1], made)
    hashes = tuple(file.file_hash for file in made.files)
    world.done(LI, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes))
    release = world.release_record(release_id)
    assert (release.state, release.grantee, release.officer) == (
        ReleaseState.DELIVERED,
        LI.account,
        LI.key_id,
    )


def test_nobody_opens_what_another_holds_nor_uses_what_another_opened(world: World) -> None:
    assert world.run(LI, GrantsOpenOwn(certificates=(OTHERS,))).code == "certificate_not_held"
    assert world.run(LI, GrantsOpenOwn(certificates=(CERTIFICATE, OTHERS))).code == "certificate_not_held"
    assert world.run(LI, GrantsOpenOwn(certificates=(identity("none"),))).code == "unknown_certificate"
    for actor in (BANK, DEPARTMENT):
        assert world.run(actor, GrantsOpenOwn(certificates=(CERTIFICATE,))).code != "ok"
    grant_id = opened(world)
    for actor in (BANK, WANG):
        assert world.run(actor, asking_release(grant_id, json_of(CERTIFICATE, "name"))).code == "not_grantee"
    # Nor another certificate than those that it names.
    assert world.run(LI, asking_release(grant_id, json_of(OTHERS, "name"))).code == "certificate_not_held"


def test_a_person_fetches_nothing_under_a_grant_to_an_organisation(world: World) -> None:
    grant_id = world.grant()
    assert world.run(LI, asking_release(grant_id, json_of(CERTIFICATE, "name"))).code == "not_grantee"


def test_a_grant_to_oneself_is_for_so_many_releases_and_an_hour(world: World) -> None:
    grant_id = opened(world)
    world.done(LI, asking_release(grant_id, json_of(CERTIFICATE, "name")))
    again = world.run(LI, asking_release(grant_id, json_of(CERTIFICATE, "name")))
    assert again.code == "uses_exhausted"
    grant_id = opened(world, uses_max=2)
    assert (
        world.grant_record(grant_id).consent_expiry_ms
        == world.grant_record(grant_id).requested_ms + OWN_LIFE_MS
    )
    world.time_ms += OWN_LIFE_MS
    late = world.run(LI, asking_release(grant_id, json_of(CERTIFICATE, "name")))
    assert late.code == "grant_not_active"


def test_a_suspended_certificate_is_still_its_holders_to_read(world: World) -> None:
    world.done(
        DEPARTMENT,
        CertificatesSetState(
            certificate_id=CERTIFICATE, state=CertificateState.SUSPENDED, holds=True, reason="test"
        ),
    )
    world.done(LI, asking_release(opened(world), json_of(CERTIFICATE, "name")))


def test_an_account_that_was_recovered_lately_opens_nothing_to_itself(world: World) -> None:
    key = ACCOUNTS.key(LI.account)
    account = codec.decode(world.entries[key], Account, size_bytes_max=1 << 16)
    world.entries[key] = codec.encode(replace(account, restricted_until_ms=world.time_ms + 10_000_000))
    assert world.run(LI, GrantsOpenOwn(certificates=(CERTIFICATE,))).code == "account_restricted"
