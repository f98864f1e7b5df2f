"""An agent key signs deposits and fetches for a named officer of its own organisation, and nothing else."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.admission import KeyRevoked
from contracts.calls import (
    CertificatesSetState,
    GovernancePropose,
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    ReleasesAcknowledge,
    SetIssuance,
)
from contracts.records import AccountKind, CertificateState, KeyRole, ReleaseState
from contracts.registry import METHODS
from contracts.state import CERTIFICATES
from ledger.types import Result
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    BANK_ADMIN,
    CLERK,
    DEGREE,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    OPERATORS,
    World,
    actor,
    asking_release,
    identity,
    issuance,
    json_of,
    new_key,
)

AGENT = actor("department", "agent")
OTHER_AGENT = actor("department", "other agent")
BANKS_AGENT = actor("bank", "agent")


@pytest.fixture
def world() -> World:
    made = World().populate()
    made.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=new_key(AGENT, KeyRole.AGENT)))
    return made


def facts(result: Result) -> dict[str, str | int]:
    return dict(result.events[0].data)


def test_an_agent_issues_in_the_name_of_the_officer_that_it_names(world: World) -> None:
    args = issuance("card", officer=DEPARTMENT.key_id)
    result = world.run(AGENT, args)
    assert result.code == "ok"
    assert (facts(result)["officer"], facts(result)["key_id"]) == (
        DEPARTMENT.key_id.hex(),
        AGENT.key_id.hex(),
    )
    certificate = CERTIFICATES.get(world, args.certificate_id)
    assert certificate is not None
    assert (certificate.issued_by, certificate.agent) == (DEPARTMENT.key_id, AGENT.key_id)


def test_an_officer_who_signs_himself_is_the_only_one_named(world: World) -> None:
    args = issuance("card")
    result = world.run(DEPARTMENT, args)
    assert "officer" not in facts(result)
    certificate = CERTIFICATES.get(world, args.certificate_id)
    assert certificate is not None
    assert (certificate.issued_by, certificate.agent) == (DEPARTMENT.key_id, b"")


@pytest.mark.parametrize(
    ("officer", "code"),
    [
        (b"", "agent_names_no_officer"),
        (identity("nobody"), "agent_officer_unknown"),
        (BANK.key_id, "agent_officer_unknown"),
        (DEPARTMENT_ADMIN.key_id, "agent_officer_unknown"),
        (AGENT.key_id, "agent_officer_unknown"),
    ],
)
def test_an_agent_names_a_usable_officer_of_its_own_organisation(
    world: World, officer: bytes, code: str
) -> None:
    world.refused(AGENT, issuance("card", officer=officer), code)


def test_an_officer_whose_key_has_ended_is_no_longer_named(world: World) -> None:
    world.done(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=DEPARTMENT.key_id))
    world.refused(AGENT, issuance("card", officer=DEPARTMENT.key_id), "agent_officer_unknown")


def test_an_officer_names_nobody_else(world: World) -> None:
    world.refused(DEPARTMENT, issuance("card", officer=CLERK.key_id), "officer_not_named_here")


def test_a_refused_attempt_names_the_officer_too(world: World) -> None:
    world.done(AGENT, issuance("card", officer=DEPARTMENT.key_id))
    result = world.run(AGENT, issuance("card", officer=DEPARTMENT.key_id))
    assert result.code == "certificate_exists"
    assert facts(result)["officer"] == DEPARTMENT.key_id.hex()


def test_a_revoked_agent_signs_nothing_any_more(world: World) -> None:
    world.done(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=AGENT.key_id))
    with pytest.raises(KeyRevoked):
        world.run(AGENT, issuance("card", officer=DEPARTMENT.key_id))


def test_an_agent_may_call_three_methods_and_no_other() -> None:
    allowed = {
        f"{method.contract}.{method.name}"
        for method in METHODS.values()
        if any(caller.role is KeyRole.AGENT for caller in method.callers)
    }
    assert allowed == {"certificates.issue", "releases.request", "releases.acknowledge"}
    kinds = {
        caller.kind
        for method in METHODS.values()
        for caller in method.callers
        if caller.role is KeyRole.AGENT
    }
    assert kinds == {AccountKind.DEPARTMENT, AccountKind.ENTERPRISE}


def test_only_an_administrator_gives_and_ends_an_agent_key(world: World) -> None:
    world.refused(DEPARTMENT, OrganizationsAddKey(key=new_key(OTHER_AGENT, KeyRole.AGENT)), "wrong_role")
    world.refused(AGENT, OrganizationsAddKey(key=new_key(OTHER_AGENT, KeyRole.AGENT)), "wrong_role")
    world.refused(AGENT, OrganizationsRevokeKey(key_id=DEPARTMENT.key_id), "wrong_role")


def test_an_agent_key_is_no_administrator_that_remains(world: World) -> None:
    world.refused(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=DEPARTMENT_ADMIN.key_id), "last_key")


def test_an_agent_fetches_under_a_grant_of_its_organisation_and_acknowledges(world: World) -> None:
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(BANKS_AGENT, KeyRole.AGENT)))
    certificate = world.issue("card")
    grant_id = world.grant()
    request = replace(asking_release(grant_id, json_of(certificate, "name")), officer=BANK.key_id)
    world.refused(AGENT, replace(request, officer=DEPARTMENT.key_id), "not_grantee")
    release_id = world.done(BANKS_AGENT, request)
    record = world.release_record(release_id)
    assert (record.officer, record.agent) == (BANK.key_id, BANKS_AGENT.key_id)
    world.prepare(release_id)
    hashes = tuple(file.file_hash for file in world.release_record(release_id).files)
    world.refused(
        BANKS_AGENT, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes), "agent_names_no_officer"
    )
    world.run(
        BANKS_AGENT, ReleasesAcknowledge(release_id=release_id, file_hashes=hashes, officer=BANK.key_id)
    )
    assert world.release_record(release_id).state is ReleaseState.DELIVERED


def test_an_enterprise_issues_what_is_voted_to_it(world: World) -> None:
    args = issuance("card")
    world.refused(BANK, args, "not_issuer")
    world.vote(SetIssuance(account_id=BANK.account, issues=(args.certificate_type,)))
    world.done(BANK, args)
    certificate = CERTIFICATES.get(world, args.certificate_id)
    assert certificate is not None
    assert certificate.issuer == BANK.account
    state = CertificatesSetState(
        certificate_id=args.certificate_id, state=CertificateState.SUSPENDED, holds=True, reason="check"
    )
    world.refused(DEPARTMENT, state, "not_issuer")
    world.run(BANK, state)


def test_an_auditor_issues_nothing(world: World) -> None:
    proposal = GovernancePropose(action=SetIssuance(account_id=AUDITOR.account, issues=(DEGREE,)))
    world.refused(OPERATORS[0], proposal, "issuance_not_allowed")
