"""Who may call what: default deny, suspended organisations, keys, and the words of every denial."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

import contracts
from contracts.body_calls import BodiesErase, BodiesKeep, BodiesOpen, BodiesStateDestruction
from contracts.body_records import BodyKind
from contracts.calls import (
    CALLS,
    Args,
    CertificatesSetState,
    DeadlinesTick,
    EvidenceReport,
    GovernanceApprove,
    GovernancePropose,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsResume,
    GrantsRevoke,
    LookupsApprove,
    LookupsRequest,
    MovedTag,
    NewKey,
    NodesSetAddress,
    NodesSetCertificates,
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    PeopleAddKey,
    PeopleMoveTags,
    PeopleRetag,
    PeopleRevokeKey,
    PeopleSetReachable,
    RecoveriesConfirm,
    RecoveriesOpen,
    RecoveriesVeto,
    ReinstateOrganization,
    ReleasesAcknowledge,
    ReleasesFail,
    SuspendOrganization,
    TracesApprove,
    TracesConclude,
    TracesRequest,
)
from contracts.denials import DENIALS, Denied, denial_message
from contracts.erasure_calls import (
    CertificatesDeclineErasure,
    CertificatesErase,
    CertificatesRequestErasure,
    CertificatesStateDestruction,
)
from contracts.form_records import FormEntry
from contracts.grant_calls import (
    GrantsDecideAccess,
    GrantsEndAccess,
    GrantsExtendNotice,
    GrantsOpenOwn,
    GrantsReview,
    GrantsStateDeletion,
    RepresentationAccept,
    RepresentationAssist,
    RepresentationEnd,
)
from contracts.grant_records import ReviewVerdict
from contracts.question_calls import (
    CountsContribute,
    CountsFail,
    CountsOpen,
    CountsPublish,
    CountsRequest,
    FormsRegister,
)
from contracts.question_records import CellCount, Contribution
from contracts.records import KEYS_PER_ACCOUNT_MAX, CertificateState, KeyRole, TraceVerdict
from contracts.region_calls import RegionsReportFork
from contracts.registry import METHODS
from contracts.shared_key_calls import (
    SharedKeysAbstain,
    SharedKeysAnswer,
    SharedKeysCheck,
    SharedKeysConclude,
    SharedKeysConfirm,
    SharedKeysDeal,
    SharedKeysDispute,
    SharedKeysOpen,
    SharedKeysRenew,
    SharedKeysReveal,
)
from contracts.shared_key_records import KeyPurpose
from contracts.state import ACCOUNTS
from contracts.window_calls import GrantsApproveAtWindow
from ledger.errors import InvariantViolation
from ledger.types import Call, VoteKind
from tests.unit.contracts_world import (
    AUDITOR,
    AUDITOR_ADMIN,
    BANK,
    BANK_ADMIN,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    NODES,
    OPERATORS,
    READER_ADMIN,
    READER_NODE,
    SHOP,
    SHOP_ADMIN,
    WANG,
    Actor,
    World,
    actor,
    asking_release,
    assertion,
    ballot,
    enrolment,
    identity,
    issuance,
    item,
    json_of,
    new_key,
    person,
    preparation,
    tag_of,
)
from tests.unit.grants_world import access, appointment
from tests.unit.regions_world import Home

CALLERS: dict[str, Actor] = {
    "operator admin": OPERATORS[0],
    "operator node": NODES[0],
    "department admin": DEPARTMENT_ADMIN,
    "department officer": DEPARTMENT,
    "enterprise admin": SHOP_ADMIN,
    "enterprise officer": SHOP,
    "auditor admin": AUDITOR_ADMIN,
    "auditor officer": AUDITOR,
    "person": WANG,
    "reader admin": READER_ADMIN,
    "reader node": READER_NODE,
}

ADMINS = {"department admin", "enterprise admin", "auditor admin"}
GRANTEES = {"department officer", "enterprise officer"}
NODE = {"operator admin", "operator node", "reader admin", "reader node"}
HOLDERS = {"person", "enterprise admin"}
APPROVERS = {"department officer", "auditor officer"}
MESSENGERS = NODE | GRANTEES | {"auditor officer"}
MAY_CALL: dict[str, set[str]] = {
    "governance.propose": {"operator admin"},
    "governance.approve": {"operator admin"},
    "nodes.set_certificates": NODE,
    "nodes.set_address": NODE,
    "evidence.report": {"operator node"},
    "organizations.add_key": ADMINS,
    "organizations.revoke_key": ADMINS,
    "people.enroll": GRANTEES,
    "people.add_key": {"person"},
    "people.revoke_key": {"person"},
    "people.set_reachable": {"person"},
    "people.retag": {"person"},
    "people.move_tags": GRANTEES,
    "lookups.request": GRANTEES | {"person"},
    "lookups.approve": GRANTEES,
    "recoveries.open": GRANTEES,
    "recoveries.confirm": GRANTEES,
    "recoveries.veto": {"person"},
    "certificates.issue": GRANTEES,
    "certificates.set_state": GRANTEES,
    "certificates.request_erasure": HOLDERS,
    "certificates.decline_erasure": GRANTEES,
    "certificates.erase": GRANTEES,
    "certificates.state_destruction": {"operator node", "reader node"},
    "grants.request": GRANTEES,
    "grants.approve": HOLDERS,
    "grants.approve_at_window": {"department officer"},
    "grants.reject": HOLDERS,
    "grants.pause": HOLDERS,
    "grants.resume": HOLDERS,
    "grants.narrow": HOLDERS,
    "grants.revoke": HOLDERS,
    "grants.open_own": HOLDERS,
    "grants.state_deletion": GRANTEES,
    "grants.request_access": {"department officer"},
    "grants.decide_access": APPROVERS,
    "grants.end_access": APPROVERS,
    "grants.extend_notice": APPROVERS,
    "grants.review": APPROVERS,
    "representation.appoint": HOLDERS | {"department officer"},
    "representation.accept": HOLDERS,
    "representation.end": HOLDERS | {"department officer"},
    "representation.assist": {"department officer"},
    "counts.open": GRANTEES,
    "counts.contribute": GRANTEES,
    "counts.request": GRANTEES,
    "counts.publish": {"operator node"},
    "counts.fail": GRANTEES | {"operator node"},
    "forms.register": {"department officer"},
    "bodies.keep": GRANTEES,
    "bodies.open": GRANTEES | HOLDERS | {"auditor officer"},
    "bodies.erase": GRANTEES | HOLDERS,
    "bodies.state_destruction": {"operator node", "reader node"},
    "releases.request": GRANTEES | {"person"},
    "releases.prepare": {"operator node"},
    "releases.acknowledge": GRANTEES | {"person"},
    "releases.fail": {"operator node"},
    "traces.request": {"auditor officer"},
    "traces.approve": {"auditor officer", "operator admin"},
    "traces.conclude": {"operator node"},
    "deadlines.tick": {"operator node"},
    "regions.follow": MESSENGERS,
    "regions.report_fork": MESSENGERS,
    "recognitions.recognize": GRANTEES,
    "recognitions.refresh": MESSENGERS,
    "shared_keys.deal": {"operator node"},
    "shared_keys.abstain": {"operator node"},
    "shared_keys.check": {"operator node"},
    "shared_keys.answer": {"operator node"},
    "shared_keys.reveal": {"operator node"},
    "shared_keys.dispute": {"operator node"},
    "shared_keys.confirm": {"operator node"},
    "shared_keys.open": {"operator node"},
    "shared_keys.conclude": {"operator node"},
    "shared_keys.renew": {"operator admin", "operator node"},
}


def nothing_in(cell: str) -> CellCount:
    return CellCount(cell=cell, count=0, suppressed=True)


def form() -> FormsRegister:
    entry = FormEntry(name="name", label_zh="姓名", label_en="Name", term="person.name", required=True)
    return FormsRegister(
        code="loan", name_zh="贷款", name_en="Loan", purpose="hiring", dictionary=1, entries=(entry,)
    )


def some_calls(world: World) -> dict[str, Args]:
    """One readable call of every method."""
    grant_id = world.grant()
    x16, x8, x32 = identity("x"), identity("x", 8), identity("x", 32)
    key = new_key(actor("somebody", "key"), KeyRole.OFFICER)
    home = Home()
    calls: tuple[Args, ...] = (
        GovernancePropose(action=SuspendOrganization(account_id=AUDITOR.account, reason="test")),
        GovernanceApprove(proposal_id=x16),
        NodesSetCertificates(certificates=(x32,)),
        NodesSetAddress(host="node.test", port=1),
        EvidenceReport(first=ballot(0, 1, VoteKind.NULLIFY), second=ballot(0, 1, VoteKind.FINALIZE)),
        OrganizationsAddKey(key=key),
        OrganizationsRevokeKey(key_id=x16),
        enrolment(person("zhao")),
        PeopleAddKey(key=key),
        PeopleRevokeKey(key_id=x16),
        PeopleSetReachable(reachable=True),
        PeopleRetag(assertion=assertion(LI)),
        PeopleMoveTags(ticket_id=x16, moves=(MovedTag(known=tag_of(LI), new=tag_of(LI, 2)),)),
        LookupsRequest(entry=NODES[0].account, count=1, elements_hash=x32, basis="test"),
        LookupsApprove(ticket_id=x16),
        RecoveriesOpen(assertion=assertion(LI), key=key),
        RecoveriesConfirm(account=LI.account, assertion=assertion(LI)),
        RecoveriesVeto(),
        issuance("new"),
        CertificatesSetState(certificate_id=x16, state=CertificateState.PLEDGED, holds=True, reason="pledge"),
        CertificatesRequestErasure(certificate_id=x16, reason="test"),
        CertificatesDeclineErasure(certificate_id=x16, reason="test"),
        CertificatesErase(certificate_id=x16, reason="test"),
        CertificatesStateDestruction(certificates=(x16,)),
        CountsOpen(certificate_type="degree", partition="by_age", performed_by=NODES[0].account),
        CountsContribute(count_id=x16, contributions=(Contribution(certificate=x16, grant=x16),)),
        CountsRequest(count_id=x16),
        CountsPublish(count_id=x16, cells=(nothing_in("a"), nothing_in("b")), left_out=0),
        CountsFail(count_id=x16, reason="test"),
        form(),
        SharedKeysDeal(round_id=x16, commitments=(bytes(48),)),
        SharedKeysAbstain(round_id=x16),
        SharedKeysCheck(round_id=x16, complaints=()),
        SharedKeysAnswer(round_id=x16, holder=1, value=x32),
        SharedKeysReveal(round_id=x16, commitments=(bytes(48),)),
        SharedKeysDispute(round_id=x16, dealer=1, value=x32, blinding=x32),
        SharedKeysConfirm(round_id=x16),
        SharedKeysOpen(round_id=x16, dealer=1, value=x32, blinding=x32),
        SharedKeysConclude(round_id=x16, work=1),
        SharedKeysRenew(purpose=KeyPurpose.VAULT, version=1),
        world.asking(),
        world.approval(grant_id),
        GrantsApproveAtWindow(consent=world.approval(grant_id), place="hall", face=b"x"),
        GrantsReject(grant_id=grant_id),
        GrantsPause(grant_id=grant_id),
        GrantsResume(grant_id=grant_id),
        GrantsNarrow(grant_id=grant_id, items=(item(("name",)),), uses_left=1, consent_expiry_ms=1),
        GrantsRevoke(grant_id=grant_id),
        GrantsStateDeletion(grant_id=grant_id, releases=(x8,), statement=x32),
        access(world),
        GrantsDecideAccess(grant_id=grant_id, approve=True),
        GrantsEndAccess(grant_id=grant_id),
        GrantsExtendNotice(grant_id=grant_id, notice_after_ms=1),
        GrantsOpenOwn(certificates=(x16,)),
        GrantsReview(grant_id=grant_id, verdict=ReviewVerdict.JUSTIFIED),
        appointment(),
        RepresentationAccept(mandate_id=x16),
        RepresentationEnd(mandate_id=x16),
        RepresentationAssist(principal=LI.account, grant_id=grant_id, place="hall"),
        asking_release(grant_id, json_of(x16, "name")),
        preparation(x8),
        ReleasesAcknowledge(release_id=x8, file_hashes=(x32,)),
        ReleasesFail(release_id=x8, reason="test"),
        TracesRequest(file_hash=x32, reason="leak", certificates=(x16,), performed_by=NODES[0].account),
        BodiesKeep(grant_id=grant_id, kind=BodyKind.BODY, payload_hash=x32),
        BodiesOpen(body_id=x16, performed_by=NODES[0].account),
        BodiesErase(body_id=x16),
        BodiesStateDestruction(bodies=(x16,)),
        TracesApprove(trace_id=x16),
        TracesConclude(trace_id=x16, verdict=TraceVerdict.NONE, releases=(), report_hash=x32),
        DeadlinesTick(),
        home.following(home.seal()),
        RegionsReportFork(region=home.chain_id, first=home.final(), second=home.final()),
        home.recognizing(),
        home.refreshing(x16),
    )
    names = {kind: ".".join(name) for name, kind in CALLS.items()}
    return {names[type(args)]: args for args in calls}


def test_every_method_of_the_public_face_is_registered_and_nothing_else() -> None:
    assert set(METHODS) == set(CALLS)
    assert all(METHODS[name].args is CALLS[name] for name in CALLS)
    assert {".".join(name) for name in CALLS} == set(MAY_CALL)


@pytest.mark.parametrize("name", MAY_CALL)
def test_only_the_stated_kinds_of_account_and_key_may_call(name: str) -> None:
    world = World().populate()
    args = some_calls(world)[name]
    for caller, who in CALLERS.items():
        result = world.run(who, args)
        stopped = result.code in {"wrong_role", "wrong_account_kind"}
        assert stopped is (caller not in MAY_CALL[name]), (caller, result.code)
        if stopped:
            assert result.events[0].kind == f"{name.split('.', maxsplit=1)[0]}.refused"
            assert who.account in result.events[0].subjects


def test_a_refused_attempt_is_found_by_everyone_it_concerns() -> None:
    world = World().populate()
    certificate = world.issue("degree of li")
    grant_id = world.grant()
    result = world.run(SHOP, asking_release(grant_id, json_of(certificate, "name")))
    assert result.code == "not_grantee"
    (event,) = result.events
    assert event.kind == "releases.refused"
    assert event.object_id == grant_id
    assert set(event.subjects) == {SHOP.account, grant_id, LI.account, BANK.account, certificate}
    assert dict(event.data) == {
        "code": "not_grantee",
        "contract": "releases",
        "method": "request",
        "key_id": SHOP.key_id.hex(),
    }


def test_an_unknown_method_is_denied_and_on_record() -> None:
    world = World().populate()
    result = world.run(BANK, Call(contract="x" * 64, method="y" * 64, args=b""))
    assert result.code == "unknown_method"
    assert result.events[0].kind == "access.refused"


@pytest.mark.parametrize(
    "args", [b"", b"\x90", b"\xc1", b"\x91" * 2000, b"\x91\xc4\x01x", b"\x92\xc4\x00\xc4\x00"]
)
def test_malformed_arguments_are_denied_and_on_record(args: bytes) -> None:
    world = World().populate()
    fields = world.refused(LI, Call(contract="grants", method="pause", args=args), "malformed_call")
    assert fields == {"contract": "grants", "method": "pause"}


def test_nothing_that_a_suspended_organisation_signs_is_carried_out_until_it_is_reinstated() -> None:
    world = World().populate()
    grant_id = world.grant()
    certificate = world.issue("degree of li")
    world.vote(SuspendOrganization(account_id=BANK.account, reason="leak"))
    fields = world.refused(
        BANK, asking_release(grant_id, json_of(certificate, "name")), "organization_suspended"
    )
    assert fields == {"account": BANK.account.hex()}
    world.refused(
        BANK_ADMIN, OrganizationsAddKey(key=new_key(WANG, KeyRole.OFFICER)), "organization_suspended"
    )
    world.vote(ReinstateOrganization(account_id=BANK.account))
    world.done(BANK, asking_release(grant_id, json_of(certificate, "name")))


def test_an_organisation_adds_officers_and_admins_and_nothing_else() -> None:
    world = World().populate()
    clerk = actor("bank", "clerk")
    for role in (KeyRole.NODE, KeyRole.HOLDER):
        world.refused(BANK_ADMIN, OrganizationsAddKey(key=new_key(clerk, role)), "key_role_not_allowed")
    world.refused(LI, PeopleAddKey(key=new_key(clerk, KeyRole.OFFICER)), "key_role_not_allowed")
    assert world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(clerk, KeyRole.OFFICER))) == clerk.key_id
    world.refused(BANK_ADMIN, OrganizationsAddKey(key=new_key(clerk, KeyRole.OFFICER)), "key_exists")


def test_a_new_key_names_a_scheme_of_the_suite_and_an_end_to_come() -> None:
    world = World().populate()
    key = new_key(actor("bank", "clerk"), KeyRole.OFFICER, until_ms=world.time_ms)
    world.refused(BANK_ADMIN, OrganizationsAddKey(key=key), "ends_in_the_past")
    other = NewKey(scheme="rsa", public_key=b"k", role=KeyRole.OFFICER, label="", valid_until_ms=0)
    assert world.refused(BANK_ADMIN, OrganizationsAddKey(key=other), "unknown_scheme")["scheme"] == "rsa"


def test_the_last_key_that_governs_an_account_cannot_be_revoked() -> None:
    world = World().populate()
    world.refused(BANK_ADMIN, OrganizationsRevokeKey(key_id=BANK_ADMIN.key_id), "last_key")
    second = actor("bank", "second admin")
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(second, KeyRole.ADMIN)))
    world.done(BANK_ADMIN, OrganizationsRevokeKey(key_id=BANK_ADMIN.key_id))
    world.refused(second, OrganizationsRevokeKey(key_id=BANK_ADMIN.key_id), "key_already_revoked")
    world.refused(second, OrganizationsRevokeKey(key_id=LI.key_id), "unknown_key_here")
    world.refused(LI, PeopleRevokeKey(key_id=LI.key_id), "last_key")


def test_an_account_holds_a_bounded_number_of_usable_keys_and_forgets_dead_ones_first() -> None:
    world = World().populate()
    keys = [actor("li", f"device {n}") for n in range(KEYS_PER_ACCOUNT_MAX)]
    for key in keys[1:]:
        world.done(LI, PeopleAddKey(key=new_key(key, KeyRole.HOLDER)))
    one_more = PeopleAddKey(key=new_key(keys[0], KeyRole.HOLDER))
    assert world.refused(LI, one_more, "too_many_keys") == {"maximum": KEYS_PER_ACCOUNT_MAX}
    world.done(LI, PeopleRevokeKey(key_id=keys[1].key_id))
    world.done(LI, one_more)
    account = ACCOUNTS.get(world, LI.account)
    assert account is not None
    ids = [key.key_id for key in account.keys]
    assert len(ids) == KEYS_PER_ACCOUNT_MAX
    assert keys[0].key_id in ids
    assert keys[1].key_id not in ids


def denials_in_source() -> list[tuple[str, set[str]]]:
    """Every `Denied("code", field=…)` in the contracts, and every code handed to a helper that raises it."""
    found: list[tuple[str, set[str]]] = []
    for path in sorted(Path(contracts.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            first = node.args[0]
            fields = {keyword.arg for keyword in node.keywords if keyword.arg}
            if node.func.id == "Denied" and isinstance(first, ast.Constant):
                found.append((str(first.value), fields))
            elif node.func.id == "_check_within" and isinstance(first, ast.Constant):
                found.append((str(first.value), {"cap", "maximum", "asked"}))
    return found


def test_every_denial_has_words_that_name_its_fields_and_every_word_is_used() -> None:
    used = denials_in_source()
    assert {code for code, _ in used} == set(DENIALS)
    for code, fields in used:
        for words in DENIALS[code][1:]:
            named = {name for _, name, _, _ in string.Formatter().parse(words) if name}
            assert named <= fields, (code, words)


def test_a_denial_carries_its_own_code_and_words() -> None:
    denied = Denied("over_ask", cap="uses_max", maximum=5, asked=6)
    assert (denied.code, Denied("not_holder", grant="00").code) == ("over_ask", "not_holder")
    assert "5" in denied.message("zh")
    assert denial_message("over_ask", denied.fields, "en") == denied.message("en")
    assert denial_message("over_ask", {}, "en") == DENIALS["over_ask"][2]
    assert denial_message("from_a_later_release", {}, "en") == "from_a_later_release"
    with pytest.raises(InvariantViolation):
        Denied("no_such_reason")
