"""Bodies of grants: kept once under their commitment, opened on record for whom they concern, erased when the grant is over."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.bodies import OPENING_LIFE_MS, body_id
from contracts.body_calls import (
    BODIES_PER_STATEMENT_MAX,
    BodiesErase,
    BodiesKeep,
    BodiesOpen,
    BodiesStateDestruction,
)
from contracts.body_records import BodyKind
from contracts.calls import GrantsRevoke
from contracts.erasure_records import DESTRUCTIONS_PER_ERASURE_MAX
from contracts.grant_calls import GrantsDecideAccess, GrantsEndAccess
from contracts.grant_tables import BODIES, BODY_OPENINGS
from ledger import codec
from ledger.types import Call
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    DAY_MS,
    LI,
    NODES,
    OPERATORS,
    SHOP,
    SUITE,
    WANG,
    World,
    identity,
)
from tests.unit.grants_world import COURT, POLICE, TAX, access, grants_world, mandate

PAYLOAD = identity("sealed", 32)
HERE = OPERATORS[1].account


@pytest.fixture
def world() -> World:
    world = grants_world()
    world.issue("degree of li")
    return world


def granted(world: World, **changes: object) -> bytes:
    grant_id = world.done(BANK, world.asking(body_commitment=identity("body", 32), **changes))
    world.done(LI, world.approval(grant_id))
    return grant_id


def keeping(grant_id: bytes, kind: BodyKind = BodyKind.BODY) -> BodiesKeep:
    return BodiesKeep(grant_id=grant_id, kind=kind, payload_hash=PAYLOAD)


def opening(body: bytes, mandate_id: bytes = b"") -> BodiesOpen:
    return BodiesOpen(body_id=body, performed_by=HERE, mandate=mandate_id)


def test_who_asked_has_its_reasons_kept_once_and_under_its_commitment(world: World) -> None:
    grant_id = granted(world)
    world.refused(SHOP, keeping(grant_id), "not_grantee")
    world.refused(LI, keeping(grant_id), "wrong_account_kind")
    world.refused(BANK, keeping(identity("none")), "unknown_grant")
    world.refused(BANK, keeping(grant_id, BodyKind.CASE), "body_not_committed")
    world.refused(BANK, keeping(world.grant()), "body_not_committed")
    kept = world.done(BANK, keeping(grant_id))
    assert kept == body_id(SUITE, grant_id, BodyKind.BODY)
    body = BODIES.get(world, kept)
    assert body is not None
    assert (body.payload_hash, body.kept_by, body.erased_ms) == (PAYLOAD, BANK.key_id, 0)
    world.refused(BANK, keeping(grant_id), "body_kept")


def test_it_opens_for_the_parties_on_record_and_for_nobody_else(world: World) -> None:
    grant_id = granted(world)
    kept = world.done(BANK, keeping(grant_id))
    for stranger in (SHOP, WANG, AUDITOR, POLICE):
        world.refused(stranger, opening(kept), "body_of_others")
    world.refused(OPERATORS[0], opening(kept), "wrong_account_kind")
    world.refused(BANK, opening(identity("none")), "unknown_body")
    world.refused(BANK, BodiesOpen(body_id=kept, performed_by=SHOP.account), "unknown_operator")
    for reader in (BANK, LI):
        result = world.run(reader, opening(kept))
        (event,) = result.events
        assert (event.kind, event.object_id) == ("bodies.opened", kept)
        assert {grant_id, LI.account, BANK.account} <= set(event.subjects)
        opened = BODY_OPENINGS.get(world, codec.decode(result.output, bytes, size_bytes_max=20))
        assert opened is not None
        assert (opened.account, opened.key_id, opened.performed_by) == (reader.account, reader.key_id, HERE)
        assert opened.until_ms == opened.requested_ms + OPENING_LIFE_MS


def test_who_represents_the_person_reads_it_by_mandate(world: World) -> None:
    kept = world.done(BANK, keeping(granted(world)))
    held = mandate(world)
    world.done(WANG, opening(kept, held))
    world.refused(SHOP, opening(kept, held), "mandate_of_others")
    other = mandate(world, purposes=("inquiry",))
    world.refused(WANG, opening(kept, other), "mandate_purpose")


def silent(world: World, **changes: object) -> bytes:
    """An access of the police, kept from the person, with its case sealed; its body's id."""
    grant_id = world.done(POLICE, access(world, **changes))
    return world.done(POLICE, keeping(grant_id, BodyKind.CASE))


def test_an_approver_reads_the_case_before_it_decides_and_the_person_only_when_it_is_shown(
    world: World,
) -> None:
    body = BODIES.get(world, silent(world))
    assert body is not None
    world.done(COURT, opening(body.body_id))
    world.done(TAX, opening(body.body_id))
    world.done(AUDITOR, opening(body.body_id))
    world.refused(LI, opening(body.body_id), "body_of_others")
    held = mandate(world)
    world.refused(WANG, opening(body.body_id, held), "body_of_others")
    world.refused(BANK, opening(body.body_id), "body_of_others")
    world.done(COURT, GrantsDecideAccess(grant_id=body.grant_id, approve=True))
    world.done(COURT, opening(body.body_id))
    world.refused(TAX, opening(body.body_id), "body_of_others")
    world.time_ms += 61 * DAY_MS
    world.done(LI, opening(body.body_id))


def test_it_is_erased_by_who_asked_when_the_grant_is_over(world: World) -> None:
    grant_id = granted(world)
    kept = world.done(BANK, keeping(grant_id))
    world.refused(BANK, BodiesErase(body_id=kept), "body_in_use")
    world.refused(SHOP, BodiesErase(body_id=kept), "body_of_others")
    world.refused(NODES[0], BodiesStateDestruction(bodies=(kept,)), "body_not_erased")
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    world.done(BANK, BodiesErase(body_id=kept))
    for call in (opening(kept), BodiesErase(body_id=kept)):
        world.refused(BANK, call, "body_erased")
    world.refused(BANK, keeping(grant_id), "body_kept")
    world.done(NODES[0], BodiesStateDestruction(bodies=(kept, kept)))
    world.done(NODES[0], BodiesStateDestruction(bodies=(kept,)))
    body = BODIES.get(world, kept)
    assert body is not None
    assert (body.erased_by, [one.node for one in body.destructions]) == (BANK.account, [NODES[0].account])


def test_the_person_has_it_erased_when_its_retention_is_over(world: World) -> None:
    grant_id = granted(world)
    kept = world.done(BANK, keeping(grant_id))
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    grant = world.grant_record(grant_id)
    world.refused(LI, BodiesErase(body_id=kept), "body_in_use")
    world.refused(WANG, BodiesErase(body_id=kept), "body_of_others")
    world.time_ms = grant.state_since_ms + grant.data_life_ms + grant.retention_period_ms
    world.done(LI, BodiesErase(body_id=kept))


def test_a_grant_that_ran_out_unseen_is_over_too(world: World) -> None:
    grant_id = granted(world)
    kept = world.done(BANK, keeping(grant_id))
    world.time_ms = world.grant_record(grant_id).consent_expiry_ms
    world.done(BANK, BodiesErase(body_id=kept))


def test_a_case_is_not_the_persons_to_erase_before_he_may_know_of_it(world: World) -> None:
    body = BODIES.get(world, silent(world))
    assert body is not None
    world.done(COURT, GrantsDecideAccess(grant_id=body.grant_id, approve=True))
    world.done(POLICE, GrantsEndAccess(grant_id=body.grant_id))
    world.refused(LI, BodiesErase(body_id=body.body_id), "body_of_others")
    world.done(POLICE, BodiesErase(body_id=body.body_id))


def test_limits(world: World) -> None:
    many = tuple(identity(f"body {n}") for n in range(BODIES_PER_STATEMENT_MAX + 1))
    more = Call(
        contract="bodies", method="state_destruction", args=codec.encode(BodiesStateDestruction(bodies=many))
    )
    world.refused(NODES[0], more, "malformed_call")
    grant_id = granted(world)
    kept = world.done(BANK, keeping(grant_id))
    world.done(LI, GrantsRevoke(grant_id=grant_id))
    world.done(BANK, BodiesErase(body_id=kept))
    body = BODIES.get(world, kept)
    assert body is not None
    world.done(NODES[1], BodiesStateDestruction(bodies=(kept,)))
    stated = BODIES.get(world, kept)
    assert stated is not None
    others = tuple(
        replace(stated.destructions[0], node=identity(f"node {n}"))
        for n in range(DESTRUCTIONS_PER_ERASURE_MAX)
    )
    world.entries[BODIES.key(kept)] = codec.encode(replace(stated, destructions=others))
    world.refused(NODES[0], BodiesStateDestruction(bodies=(kept,)), "too_many_body_destructions")
