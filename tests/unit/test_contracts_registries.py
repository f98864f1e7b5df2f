"""Operators' votes, organisations, people, certificate types, purposes and certificates."""

from __future__ import annotations

import msgspec
import pytest

from contracts.calls import (
    Action,
    CertificatesSetState,
    DeadlinesTick,
    GovernanceApprove,
    GovernancePropose,
    OrganizationsAddKey,
    RegisterCertificateTypes,
    RegisterPurposes,
    ReinstateOrganization,
    SetIssuance,
    SuspendOrganization,
)
from contracts.certificates import FINAL, STATE_ENTRIES_PER_CERTIFICATE_MAX, holding_states
from contracts.governance import PROPOSAL_PERIOD_MS
from contracts.records import (
    Account,
    AccountKind,
    AccountStatus,
    Certificate,
    CertificateState,
    KeyRole,
    ProposalState,
    StateEntry,
    TemplateItem,
)
from contracts.state import ACCOUNTS, CERTIFICATES, PROPOSALS, PURPOSES, Draft, certificate_type
from ledger.types import quorum_size
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    BANK_ADMIN,
    DEGREE,
    DEGREE_TYPE,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    HIRING,
    LI,
    LICENCE,
    LICENCE_TYPE,
    NODES,
    OPERATORS,
    SHOP,
    START_MS,
    WANG,
    World,
    actor,
    identity,
    issuance,
    new_key,
    registration,
)

swap = msgspec.structs.replace


@pytest.fixture
def world() -> World:
    return World().populate()


def account_of(world: World, account_id: bytes) -> Account:
    account = ACCOUNTS.get(world, account_id)
    assert account is not None
    return account


def certificate_of(world: World, label: str) -> Certificate:
    certificate = CERTIFICATES.get(world, identity(label))
    assert certificate is not None
    return certificate


# --- votes ---

ADMISSION = registration(actor("clinic", "admin"), AccountKind.ENTERPRISE)


@pytest.mark.parametrize("operators", [1, 2, 3, 4])
def test_an_action_is_carried_out_by_a_quorum_and_not_one_vote_earlier(operators: int) -> None:
    world = World(operators=operators)
    votes = 1
    result = world.run(OPERATORS[0], GovernancePropose(action=ADMISSION))
    proposal_id = result.output[2:]
    while votes < quorum_size(operators):
        assert ACCOUNTS.get(world, ADMISSION.account_id) is None
        result = world.run(OPERATORS[votes], GovernanceApprove(proposal_id=proposal_id))
        votes += 1
    assert account_of(world, ADMISSION.account_id).status is AccountStatus.ACTIVE
    kinds = [event.kind for event in result.events]
    assert kinds[1:] == ["organizations.registered", "governance.executed"]
    proposal = PROPOSALS.get(world, proposal_id)
    assert proposal is not None
    assert (proposal.state, len(proposal.approvals)) == (ProposalState.EXECUTED, quorum_size(operators))


def test_an_operator_counts_once() -> None:
    world = World()
    proposal_id = world.done(OPERATORS[0], GovernancePropose(action=ADMISSION))
    world.refused(OPERATORS[0], GovernanceApprove(proposal_id=proposal_id), "already_approved")
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=proposal_id))
    world.refused(OPERATORS[1], GovernanceApprove(proposal_id=proposal_id), "already_approved")
    assert ACCOUNTS.get(world, ADMISSION.account_id) is None


def test_a_proposal_is_closed_once_executed_or_expired(world: World) -> None:
    executed = world.vote(ADMISSION)
    args = GovernanceApprove(proposal_id=executed)
    assert world.refused(OPERATORS[3], args, "state_transition")["state"] == "executed"
    action = SuspendOrganization(account_id=BANK.account, reason="leak")
    late = world.done(OPERATORS[0], GovernancePropose(action=action))
    world.time_ms += PROPOSAL_PERIOD_MS
    args = GovernanceApprove(proposal_id=late)
    assert world.refused(OPERATORS[1], args, "state_transition")["state"] == "expired"
    world.time_ms += 60_000
    result = world.run(NODES[0], DeadlinesTick())
    assert [event.kind for event in result.events] == ["governance.expired"]
    world.refused(OPERATORS[1], args, "state_transition")
    world.refused(OPERATORS[1], GovernanceApprove(proposal_id=identity("none")), "unknown_proposal")


def test_what_became_impossible_before_its_quorum_is_denied_then(world: World) -> None:
    first = world.done(OPERATORS[0], GovernancePropose(action=ADMISSION))
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=first))
    world.vote(ADMISSION)
    world.refused(OPERATORS[2], GovernanceApprove(proposal_id=first), "account_exists")


def test_an_action_is_carried_out_as_a_whole_or_not_at_all(world: World) -> None:
    newer = swap(DEGREE_TYPE, version=2)
    both = RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="permit"), newer))
    proposal_id = world.done(OPERATORS[0], GovernancePropose(action=both))
    world.done(OPERATORS[1], GovernanceApprove(proposal_id=proposal_id))
    world.vote(RegisterCertificateTypes(types=(newer,)))
    world.refused(OPERATORS[2], GovernanceApprove(proposal_id=proposal_id), "type_version")
    assert certificate_type(world, "permit") is None


IMPOSSIBLE: tuple[tuple[Action, str], ...] = (
    (registration(BANK_ADMIN, AccountKind.ENTERPRISE), "account_exists"),
    (registration(actor("x", "y"), AccountKind.PERSON), "not_an_organization"),
    (registration(actor("x", "y"), AccountKind.OPERATOR), "not_an_organization"),
    (registration(actor("x", "y"), AccountKind.AUDITOR, (DEGREE,)), "issuance_not_allowed"),
    (registration(actor("x", "y"), AccountKind.DEPARTMENT, ("passport",)), "unknown_certificate_type"),
    (registration(actor("x", "y"), AccountKind.DEPARTMENT, (DEGREE, DEGREE)), "duplicate_name"),
    (
        swap(
            registration(actor("x", "y"), AccountKind.AUDITOR),
            admin=new_key(actor("x", "y"), KeyRole.OFFICER),
        ),
        "key_role_not_allowed",
    ),
    (SuspendOrganization(account_id=LI.account, reason="test"), "not_an_organization"),
    (SuspendOrganization(account_id=OPERATORS[1].account, reason="test"), "not_an_organization"),
    (SuspendOrganization(account_id=identity("none"), reason="test"), "not_an_organization"),
    (ReinstateOrganization(account_id=BANK.account), "status_unchanged"),
    (SetIssuance(account_id=AUDITOR.account, issues=(DEGREE,)), "issuance_not_allowed"),
    (RegisterCertificateTypes(types=(DEGREE_TYPE,)), "type_version"),
    (RegisterCertificateTypes(types=(swap(DEGREE_TYPE, version=3),)), "type_version"),
    (RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="new", version=2),)), "type_version"),
    (
        RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="new", holder=AccountKind.AUDITOR),)),
        "holder_kind_not_allowed",
    ),
    (RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="new", fields=("a", "a")),)), "duplicate_name"),
    (
        RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="new", attachments=("name",)),)),
        "duplicate_name",
    ),
    (
        RegisterCertificateTypes(types=(swap(DEGREE_TYPE, code="new", fields=(), attachments=()),)),
        "empty_item",
    ),
    (RegisterPurposes(purposes=(swap(HIRING, period_ms_max=0),)), "empty_period"),
    (
        RegisterPurposes(
            purposes=(
                swap(
                    HIRING, items=(TemplateItem(certificate_type="passport", fields=("a",), attachments=()),)
                ),
            )
        ),
        "unknown_certificate_type",
    ),
    (
        RegisterPurposes(
            purposes=(
                swap(
                    HIRING, items=(TemplateItem(certificate_type=DEGREE, fields=("wage",), attachments=()),)
                ),
            )
        ),
        "unknown_name",
    ),
    (RegisterPurposes(purposes=(swap(HIRING, items=HIRING.items * 2),)), "duplicate_name"),
    (
        RegisterPurposes(
            purposes=(
                swap(HIRING, items=(TemplateItem(certificate_type=DEGREE, fields=(), attachments=()),)),
            )
        ),
        "empty_item",
    ),
)


@pytest.mark.parametrize(("action", "code"), IMPOSSIBLE)
def test_nobody_is_asked_to_vote_on_what_cannot_be_done(world: World, action: Action, code: str) -> None:
    world.refused(OPERATORS[0], GovernancePropose(action=action), code)


def test_a_second_suspension_is_refused(world: World) -> None:
    action = SuspendOrganization(account_id=BANK.account, reason="leak")
    world.vote(action)
    world.refused(OPERATORS[0], GovernancePropose(action=action), "status_unchanged")


def test_a_type_grows_by_versions_and_keeps_the_old_ones(world: World) -> None:
    newer = swap(DEGREE_TYPE, version=2, fields=("name", "honours"))
    world.vote(RegisterCertificateTypes(types=(newer,)))
    assert certificate_type(world, DEGREE) == newer
    assert certificate_type(world, "passport") is None
    world.issue("old form")
    world.issue("new form", type_version=2, fields=("honours",), attachments=())
    world.refused(DEPARTMENT, issuance("third form", type_version=3), "unknown_certificate_type")


def test_a_purpose_can_be_replaced(world: World) -> None:
    world.vote(RegisterPurposes(purposes=(swap(HIRING, uses_max=1),)))
    found = PURPOSES.get(world, "hiring")
    assert found is not None
    assert world.refused(BANK, world.asking(uses_max=2), "over_ask")["maximum"] == found.uses_max == 1


# --- certificates ---


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"certificate_type": "passport"}, "not_issuer"),
        ({"type_version": 2}, "unknown_certificate_type"),
        ({"holder": SHOP.account}, "holder_mismatch"),
        ({"holder": identity("none")}, "holder_mismatch"),
        ({"fields": ("name", "wage")}, "unknown_name"),
        ({"fields": ("name", "name")}, "duplicate_name"),
        ({"attachments": ("name",)}, "unknown_name"),
        ({"fields": (), "attachments": ()}, "empty_item"),
        ({"valid_until_ms": START_MS}, "dates_reversed"),
        ({"supersedes": identity("none")}, "unknown_certificate"),
        ({"supersedes": b"short"}, "unknown_certificate"),
    ],
)
def test_a_certificate_that_contradicts_its_type_is_refused(
    world: World, changes: dict[str, object], code: str
) -> None:
    world.refused(DEPARTMENT, issuance("bad", **changes), code)


def test_a_certificate_id_is_taken_once(world: World) -> None:
    world.issue("degree of li")
    world.refused(DEPARTMENT, issuance("degree of li", WANG), "certificate_exists")


def test_a_department_issues_only_what_operators_let_it_issue(world: World) -> None:
    world.vote(SetIssuance(account_id=DEPARTMENT.account, issues=(LICENCE,)))
    world.refused(DEPARTMENT, issuance("degree"), "not_issuer")
    world.done(
        DEPARTMENT,
        issuance("licence", SHOP, certificate_type=LICENCE, fields=LICENCE_TYPE.fields, attachments=()),
    )


def test_a_new_certificate_supersedes_one_of_the_same_holder_type_and_issuer_once(world: World) -> None:
    other_admin, other = actor("school", "admin"), actor("school", "officer")
    world.vote(registration(other_admin, AccountKind.DEPARTMENT, (DEGREE,)))
    world.done(other_admin, OrganizationsAddKey(key=new_key(other, KeyRole.OFFICER)))
    world.issue("first")
    supersedes = {"supersedes": identity("first")}
    world.refused(DEPARTMENT, issuance("second", WANG, **supersedes), "supersedes_another")
    world.refused(other, issuance("second", **supersedes), "not_issuer")
    result = world.run(DEPARTMENT, issuance("second", **supersedes))
    assert [event.kind for event in result.events] == ["certificates.superseded", "certificates.issued"]
    old = certificate_of(world, "first")
    assert holding_states(old) == (CertificateState.SUPERSEDED,)
    assert old.superseded_by == identity("second")
    assert certificate_of(world, "second").supersedes == identity("first")
    world.refused(DEPARTMENT, issuance("third", **supersedes), "already_superseded")


def state(label: str, which: CertificateState, holds: bool = True) -> CertificatesSetState:
    return CertificatesSetState(certificate_id=identity(label), state=which, holds=holds, reason="case.7")


def test_several_states_hold_at_once_and_their_history_stays(world: World) -> None:
    world.issue("degree")
    mortgaged, suspended = CertificateState.MORTGAGED, CertificateState.SUSPENDED
    world.done(DEPARTMENT, state("degree", mortgaged))
    world.done(DEPARTMENT, state("degree", suspended))
    assert holding_states(certificate_of(world, "degree")) == (mortgaged, suspended)
    world.refused(DEPARTMENT, state("degree", suspended), "state_unchanged")
    world.done(DEPARTMENT, state("degree", suspended, holds=False))
    world.refused(DEPARTMENT, state("degree", suspended, holds=False), "state_unchanged")
    world.done(DEPARTMENT, state("degree", suspended))
    entries = certificate_of(world, "degree").states
    assert [(entry.state, entry.until_ms != 0) for entry in entries] == [
        (mortgaged, False),
        (suspended, True),
        (suspended, False),
    ]
    assert {(entry.reason, entry.key_id) for entry in entries} == {("case.7", DEPARTMENT.key_id)}


@pytest.mark.parametrize("final", FINAL)
def test_a_final_state_never_ends(world: World, final: CertificateState) -> None:
    world.issue("degree")
    if final is CertificateState.SUPERSEDED:
        world.refused(DEPARTMENT, state("degree", final), "state_not_settable")
        world.issue("newer", supersedes=identity("degree"))
    else:
        world.done(DEPARTMENT, state("degree", final))
    world.refused(DEPARTMENT, state("degree", final, holds=False), "state_not_settable")


def test_only_the_issuer_changes_a_certificate(world: World) -> None:
    world.issue("degree")
    other_admin, other = actor("school", "admin"), actor("school", "officer")
    world.vote(registration(other_admin, AccountKind.DEPARTMENT, (DEGREE,)))
    world.done(other_admin, OrganizationsAddKey(key=new_key(other, KeyRole.OFFICER)))
    world.refused(other, state("degree", CertificateState.REVOKED), "not_issuer")
    world.refused(DEPARTMENT_ADMIN, state("degree", CertificateState.REVOKED), "wrong_role")
    world.refused(DEPARTMENT, state("none", CertificateState.REVOKED), "unknown_certificate")


def test_a_long_history_is_bounded_and_still_lets_a_certificate_end(world: World) -> None:
    world.issue("degree")
    room = STATE_ENTRIES_PER_CERTIFICATE_MAX - len(FINAL)
    entry = StateEntry(
        state=CertificateState.SUSPENDED, since_ms=1, until_ms=2, reason="old", key_id=DEPARTMENT.key_id
    )
    full = swap(certificate_of(world, "degree"), states=(entry,) * (room - 1))
    draft = Draft(world)
    CERTIFICATES.put(draft, full.certificate_id, full)
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    world.done(DEPARTMENT, state("degree", CertificateState.PLEDGED))
    fields = world.refused(DEPARTMENT, state("degree", CertificateState.MORTGAGED), "too_many_states")
    assert fields == {"maximum": room}
    for final in (CertificateState.REVOKED, CertificateState.CANCELLED, CertificateState.ABOLISHED):
        world.done(DEPARTMENT, state("degree", final))
    world.issue("newer", supersedes=identity("degree"))
    assert len(certificate_of(world, "degree").states) == STATE_ENTRIES_PER_CERTIFICATE_MAX
