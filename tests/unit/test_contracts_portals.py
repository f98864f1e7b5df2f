"""What operators decide about how people come: origins, bundles, face services; and what a face assertion opens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from contracts import face_assertions
from contracts.calls import GovernancePropose, GrantsApprove, GrantsReject, OrganizationsAddKey
from contracts.denials import Denied
from contracts.face_assertions import bound_hash, consume, parse
from contracts.grant_records import RepresentationBasis
from contracts.methods import CallContext
from contracts.portal_actions import ApprovePortal, SetIdentityServices
from contracts.portal_records import FACE_USES_MAX, IDENTITY_SERVICES_MAX, PORTALS_MAX, FaceUse, FaceUses
from contracts.portals import identity_services, portals
from contracts.records import GrantState, KeyRole
from contracts.state import ACCOUNTS, FACE_USES, Draft, present
from contracts.window_calls import FACE_ASSERTION_BYTES_MAX, GrantsApproveAtWindow
from ledger.crypto import ed25519, sm2
from tests.suites import suite_under_test
from tests.unit.contracts_world import (
    AUDITOR,
    BANK,
    BANK_ADMIN,
    DEPARTMENT,
    LI,
    OPERATORS,
    SHOP,
    SHOP_ADMIN,
    WANG,
    Actor,
    World,
    identity,
    new_key,
)
from tests.unit.grants_world import HOURLY, grants_world

SUITE = suite_under_test()
HASH = identity("bundle", 32)


def test_a_bundle_is_approved_by_vote_and_the_former_one_is_remembered() -> None:
    world = World().populate()
    world.vote(ApprovePortal(name="citizen", bundle_hash=HASH))
    world.vote(ApprovePortal(name="clerk", bundle_hash=HASH))
    world.vote(ApprovePortal(name="citizen", bundle_hash=bytes(32)))
    assert [(one.name, one.bundle_hash, one.former_hash) for one in portals(world)] == [
        ("citizen", bytes(32), HASH),
        ("clerk", HASH, b""),
    ]
    again = GovernancePropose(action=ApprovePortal(name="clerk", bundle_hash=HASH))
    world.refused(OPERATORS[0], again, "portal_unchanged")


def test_portals_are_bounded() -> None:
    world = World().populate()
    for number in range(PORTALS_MAX):
        world.vote(ApprovePortal(name=f"portal{number}", bundle_hash=HASH))
    more = GovernancePropose(action=ApprovePortal(name="more", bundle_hash=HASH))
    assert world.refused(OPERATORS[0], more, "too_many_portals") == {"maximum": PORTALS_MAX}
    world.vote(ApprovePortal(name="portal0", bundle_hash=bytes(32)))


def test_only_organisations_become_face_services_and_each_once() -> None:
    world = World().populate()
    world.vote(SetIdentityServices(services=(SHOP.account,)))
    assert identity_services(world) == (SHOP.account,)
    for services, code in (
        ((LI.account,), "not_an_organization"),
        ((identity("nobody"),), "not_an_organization"),
        ((SHOP.account, SHOP.account), "duplicate_name"),
    ):
        world.refused(OPERATORS[0], GovernancePropose(action=SetIdentityServices(services=services)), code)
    world.vote(SetIdentityServices(services=()))
    assert identity_services(world) == ()
    assert IDENTITY_SERVICES_MAX >= 2


# --- face assertions ---

CONSENTED = GrantsReject(grant_id=bytes(16))
BOUND = bound_hash(SUITE, CONSENTED)


@pytest.fixture
def world() -> World:
    world = World().populate()
    world.vote(SetIdentityServices(services=(SHOP.account, BANK.account)))
    return world


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def raw_signature(who: Actor, message: bytes) -> bytes:
    """As JWS has it, under no domain of the ledger's."""
    if who.signer.scheme == ed25519.SCHEME:
        from nacl.signing import SigningKey

        secret: bytes = who.signer._secret_key[:32]  # type: ignore[attr-defined]
        return bytes(SigningKey(secret).sign(message).signature)
    key: sm2.SecretKey = who.signer._key  # type: ignore[attr-defined]
    return key.sign(message)


ALGORITHM = {"ed25519": "EdDSA", "sm2": "SM2"}[SHOP.signer.scheme]


def claims_of(world: World, **changes: object) -> dict[str, object]:
    now_s = world.time_ms // 1000
    return {
        "iss": SHOP.account.hex(),
        "sub": LI.account.hex(),
        "aud": world.chain_id.hex(),
        "jti": identity("nonce").hex(),
        "iat": now_s,
        "exp": now_s + 120,
        "purpose": "hiring",
        "txh": BOUND.hex(),
        **changes,
    }


def asserted(
    world: World, who: Actor = SHOP, header: dict[str, object] | None = None, **changes: object
) -> bytes:
    head = {"alg": ALGORITHM, "kid": who.key_id.hex(), "typ": face_assertions.TYPE, **(header or {})}
    signed = f"{part(head)}.{part(claims_of(world, **changes))}".encode()
    return signed + b"." + part(raw_signature(who, signed)).encode()


def used(world: World, assertion: bytes, *, bound: bytes = BOUND, purpose: str = "hiring") -> None:
    """Consume it in a clerk's call, and keep what that wrote."""
    draft = Draft(world)
    account = present(ACCOUNTS.get(world, DEPARTMENT.account), "the clerk's account")
    context = CallContext(
        state=draft,
        block=world.context(),
        contracts=world.registry.in_force(world),
        transaction_id=bytes(32),
        account=account,
        key=next(key for key in account.keys if key.key_id == DEPARTMENT.key_id),
    )
    consume(context, assertion, principal=LI.account, purpose=purpose, bound=bound)
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})


def why(world: World, assertion: bytes, **changes: object) -> str:
    with pytest.raises(Denied) as denied:
        used(world, assertion, **changes)  # type: ignore[arg-type]
    assert "{" not in denied.value.message("zh") + denied.value.message("en")
    return denied.value.code


def test_a_face_assertion_opens_one_consent_once(world: World) -> None:
    assertion = asserted(world)
    used(world, assertion)
    assert why(world, assertion) == "face_used"
    used(world, asserted(world, jti=identity("other").hex()))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": bytes(32).hex()}, "face_not_bound"),
        ({"sub": WANG.account.hex()}, "face_not_bound"),
        ({"purpose": "loan"}, "face_not_bound"),
        ({"txh": bytes(32).hex()}, "face_not_bound"),
        ({"iss": AUDITOR.account.hex()}, "face_service_unknown"),
        ({"iss": BANK.account.hex()}, "face_service_unknown"),
        ({"iss": identity("nobody").hex()}, "face_service_unknown"),
        ({"iss": "xyz"}, "face_malformed"),
        ({"jti": "AA" * 16}, "face_malformed"),
        ({"iat": "1"}, "face_malformed"),
        ({"iat": 1.5}, "face_malformed"),
        ({"exp": -1}, "face_malformed"),
        ({"exp": 10**12}, "face_malformed"),
        ({"purpose": None}, "face_malformed"),
        ({"template": "biometric data"}, "face_malformed"),
    ],
)
def test_each_claim_is_checked(world: World, changes: dict[str, object], code: str) -> None:
    assert why(world, asserted(world, **changes)) == code


@pytest.mark.parametrize(
    ("from_s", "until_s", "good"),
    [
        (0, 120, True),
        (0, 121, False),
        (0, 0, False),
        (0, 1, True),
        (5, 4, False),
        (-120, 0, False),
        (-119, 1, True),
        (10, 130, True),
        (11, 131, False),
    ],
)
def test_it_lives_two_minutes_at_most_and_counts_only_in_them(
    world: World, from_s: int, until_s: int, good: bool
) -> None:
    now_s = world.time_ms // 1000
    assertion = asserted(world, iat=now_s + from_s, exp=now_s + until_s)
    if good:
        used(world, assertion)
    else:
        assert why(world, assertion) == "face_expired"


def test_only_an_officer_key_of_a_registered_service_signs(world: World) -> None:
    for who, service in ((SHOP_ADMIN, SHOP), (BANK, SHOP), (BANK_ADMIN, BANK), (AUDITOR, AUDITOR)):
        assert why(world, asserted(world, who, iss=service.account.hex())) == "face_service_unknown"
    forged = asserted(world, BANK, header={"kid": SHOP.key_id.hex()})
    assert why(world, forged) == "face_signature"
    other = {"EdDSA": "SM2", "SM2": "EdDSA"}[ALGORITHM]
    assert why(world, asserted(world, header={"alg": other})) == "face_signature"
    used(world, asserted(world, BANK, iss=BANK.account.hex()))


@pytest.mark.parametrize(
    "change",
    [
        lambda jws: b"",
        lambda jws: jws.rpartition(b".")[0],
        lambda jws: jws + b".x",
        lambda jws: jws + b"=",
        lambda jws: jws.replace(b".", b"..", 1),
        lambda jws: b" " + jws,
        lambda jws: jws + b"\xff",
        lambda jws: jws.rpartition(b".")[0] + b".",
        lambda jws: part({"alg": "none"}).encode() + b"." + jws.split(b".", 1)[1],
        lambda jws: part(b'{"alg":"x","alg":"y"}').encode() + b"." + jws.split(b".", 1)[1],
        lambda jws: part(b"[]").encode() + b"." + jws.split(b".", 1)[1],
        lambda jws: b"x" * (FACE_ASSERTION_BYTES_MAX + 1),
    ],
)
def test_what_is_no_strict_jws_is_refused(world: World, change: Callable[[bytes], bytes]) -> None:
    assert why(world, change(asserted(world))) == "face_malformed"


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"crit": ["x"]}, {"alg": "HS256"}, {"kid": 1}])
def test_headers_are_the_three_there_are(world: World, header: dict[str, object]) -> None:
    assert why(world, asserted(world, header=header)) == "face_malformed"


def test_no_character_of_an_assertion_can_be_changed(world: World) -> None:
    good = asserted(world)
    for at in range(0, len(good), 7):
        other = b"B" if good[at : at + 1] != b"B" else b"C"
        with pytest.raises(Denied):
            used(world, good[:at] + other + good[at + 1 :])
    assert parse(good).person == LI.account


def test_used_assertions_are_forgotten_when_they_end_and_bounded_until_then(world: World) -> None:
    until_ms = world.time_ms + 1000
    full = tuple(FaceUse(nonce=identity(f"use {n}"), expires_ms=until_ms) for n in range(FACE_USES_MAX))
    draft = Draft(world)
    FACE_USES.put(draft, SHOP.account, FaceUses(uses=full))
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    assert why(world, asserted(world)) == "face_busy"
    world.time_ms = until_ms
    used(world, asserted(world))
    held = present(FACE_USES.get(world, SHOP.account), "uses")
    assert [use.nonce for use in held.uses] == [identity("nonce")]


# --- consent at a window ---


@pytest.fixture
def city() -> World:
    world = grants_world()
    world.vote(SetIdentityServices(services=(SHOP.account, BANK.account, DEPARTMENT.account)))
    return world


def at_window(
    world: World, consent: GrantsApprove, who: Actor = SHOP, **changes: object
) -> GrantsApproveAtWindow:
    values: dict[str, object] = {
        "iss": who.account.hex(),
        "purpose": "inquiry",
        "txh": bound_hash(SUITE, consent).hex(),
        **changes,
    }
    return GrantsApproveAtWindow(
        consent=consent, place="city-hall.window-3", face=asserted(world, who, None, **values)
    )


def asked(world: World, **changes: object) -> bytes:
    return world.done(BANK, world.asking(**{"purpose": "inquiry", "frequency": HOURLY, **changes}))


def test_a_person_without_a_phone_consents_at_a_window_by_face_naming_the_clerk(city: World) -> None:
    grant_id = asked(city)
    result = city.run(DEPARTMENT, at_window(city, city.approval(grant_id)))
    assert result.code == "ok", result
    grant = city.grant_record(grant_id)
    given = grant.representation
    assert grant.state is GrantState.ACTIVE
    assert given is not None
    assert (given.basis, given.place) == (RepresentationBasis.ASSISTED, "city-hall.window-3")
    assert (given.by, given.key_id) == (DEPARTMENT.account, DEPARTMENT.key_id)
    helped, approved = result.events
    assert (helped.kind, approved.kind) == ("representation.assisted", "grants.approved")
    assert LI.account in helped.subjects
    assert SHOP.account in helped.subjects
    assert LI.account in approved.subjects


def test_what_was_not_shown_to_the_person_is_not_given(city: World) -> None:
    grant_id = asked(city)
    shown = at_window(city, city.approval(grant_id, uses_max=1))
    more = replace(shown, consent=city.approval(grant_id))
    assert city.refused(DEPARTMENT, more, "face_not_bound") == {"what": "txh"}
    other = asked(city)
    elsewhere = replace(shown, consent=city.approval(other, uses_max=1))
    city.refused(DEPARTMENT, elsewhere, "face_not_bound")
    of_wang = asked(city, pii_principal_id=WANG.account)
    city.refused(DEPARTMENT, at_window(city, city.approval(of_wang)), "face_not_bound")
    city.done(DEPARTMENT, shown)
    city.refused(DEPARTMENT, shown, "face_used")


def test_asker_clerk_and_face_service_are_three(city: World) -> None:
    grant_id = asked(city)
    consent = city.approval(grant_id)
    city.refused(DEPARTMENT, at_window(city, consent, BANK), "window_not_independent")
    city.refused(DEPARTMENT, at_window(city, consent, DEPARTMENT), "window_not_independent")
    city.refused(BANK, at_window(city, consent), "wrong_account_kind")
    own = city.done(DEPARTMENT, city.asking(purpose="inquiry", frequency=HOURLY))
    city.refused(DEPARTMENT, at_window(city, city.approval(own)), "window_not_independent")


def test_a_purpose_that_does_not_allow_help_is_not_consented_to_at_a_window(city: World) -> None:
    hiring = city.done(BANK, city.asking())
    consent = city.approval(hiring)
    city.refused(DEPARTMENT, at_window(city, consent, purpose="hiring"), "representation_not_allowed")
    grant_id = asked(city)
    for named in ({"mandate": identity("x")}, {"assistance": identity("x")}):
        consent = city.approval(grant_id, **named)
        city.refused(DEPARTMENT, at_window(city, consent), "unknown_assistance")


def test_one_key_in_two_organisations_is_not_two_of_the_three(city: World) -> None:
    grant_id = asked(city)
    consent = city.approval(grant_id)
    both = Actor(SHOP.account, DEPARTMENT.signer)
    city.done(SHOP_ADMIN, OrganizationsAddKey(key=new_key(DEPARTMENT, KeyRole.OFFICER)))
    city.refused(DEPARTMENT, at_window(city, consent, both), "window_not_independent")
    asker = Actor(SHOP.account, BANK.signer)
    city.done(SHOP_ADMIN, OrganizationsAddKey(key=new_key(BANK, KeyRole.OFFICER)))
    city.refused(DEPARTMENT, at_window(city, consent, asker), "window_not_independent")
    city.done(DEPARTMENT, at_window(city, consent))
