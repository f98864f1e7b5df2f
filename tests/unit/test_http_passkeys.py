"""Passkeys over HTTP: making one, logging in with one, and what a login by an identity provider may do."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest
from msgspec.structs import replace

from contracts.grant_records import RepresentationBasis
from contracts.passkeys import base64url
from contracts.portal_records import Portal
from contracts.records import GrantState, Key, KeyRole, PurposeTemplate, TemplateItem
from ledger import domains
from ledger.crypto.suite import key_id
from node.http.passkeys import CHALLENGE_LIFETIME_MS
from node.services.login_links import LoginLinks
from node.services.logins import Logins
from node.services.oidc import ProviderSettings
from tests.suites import suite_under_test
from tests.unit import http_world as w
from tests.unit.ledger_world import GENESIS_TIME_MS
from tests.unit.oidc_world import CLIENT, REDIRECT, SECRET, OidcProvider, provider
from tests.unit.passkey_world import (
    AT,
    ORIGIN,
    RP_ID,
    SETTINGS,
    UP,
    UV,
    Device,
    authenticator_data,
    client_data,
    unpadded,
)

SUITE = suite_under_test()
PHONE = Device()
TOKEN = Device(77, edwards=True)
CREDENTIAL_ID = b"credential"


@asynccontextmanager
async def served(folder: Path, **options: Any) -> AsyncIterator[w.World]:
    async with w.served(folder, **options) as world:
        world.chain.webauthn = SETTINGS
        yield world


def cose(device: Device) -> bytes:
    if device.edwards:
        return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: device.public_key})
    return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: device.public_key[1:33], -3: device.public_key[33:]})


def attested(device: Device, *, flags: int = UP | UV | AT, rp_id: str = RP_ID, key: bytes = b"") -> bytes:
    data = authenticator_data(rp_id=rp_id, flags=flags)
    return data + bytes(16) + len(CREDENTIAL_ID).to_bytes(2, "big") + CREDENTIAL_ID + (key or cose(device))


def credential(challenge: str, who: Device = PHONE, /, **changes: Any) -> dict[str, Any]:
    """What a browser's `credential.toJSON()` gives."""
    data = changes.pop("device", None) or attested(who)
    statement = changes.pop("statement", {"fmt": "none", "attStmt": {}})
    browser = client_data(b"", **{"type": "webauthn.create", "challenge": challenge, **changes})
    return {
        "id": unpadded(CREDENTIAL_ID),
        "rawId": unpadded(CREDENTIAL_ID),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": unpadded(browser),
            "attestationObject": unpadded(cbor2.dumps({**statement, "authData": data})),
            "transports": ["internal"],
            "publicKeyAlgorithm": -7,
        },
    }


async def options(world: w.World, **members: object) -> dict[str, Any]:
    answer = await world.request("POST", "/v1/passkeys/options", json={"label": "phone", **members})
    assert answer.status == 201
    found: dict[str, Any] = (await answer.json())["options"]
    return found


async def registered(world: w.World, made: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    body = {"label": "phone", "credential": made}
    answer = await world.request("POST", "/v1/passkeys/registrations", json=body)
    return answer.status, await answer.json()


@pytest.mark.parametrize("device", [PHONE, TOKEN], ids=["p256", "ed25519"])
async def test_a_new_passkey_becomes_a_key_as_the_ledger_takes_it(tmp_path: Path, device: Device) -> None:
    async with served(tmp_path) as world:
        asked = await options(world)
        assert asked["rp"]["id"] == RP_ID
        assert [one["alg"] for one in asked["pubKeyCredParams"]] == [-7, -8]
        assert asked["attestation"] == "none"
        assert asked["authenticatorSelection"]["userVerification"] == "required"
        assert asked["authenticatorSelection"]["residentKey"] == "required"
        status, key = await registered(world, credential(asked["challenge"], device))
        assert status == 201
        assert bytes.fromhex(key["public_key"]) == device.public_key
        assert bytes.fromhex(key["key_id"]) == key_id(SUITE, "passkey", device.public_key)
        assert (key["scheme"], key["role"], key["label"]) == ("passkey", "holder", "phone")
        assert key["credential_id"] == unpadded(CREDENTIAL_ID)


async def test_a_further_passkey_is_for_an_account_and_another_device(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        asked = await options(world, account=w.PERSON.account.hex(), exclude=[unpadded(b"old")])
        assert asked["user"]["id"] == unpadded(w.PERSON.account)
        assert [one["id"] for one in asked["excludeCredentials"]] == [unpadded(b"old")]
        assert (await options(world))["user"]["id"] != (await options(world))["user"]["id"]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "webauthn.get"},
        {"origin": "https://evil.example.cn"},
        {"crossOrigin": True},
        {"topOrigin": ORIGIN},
        {"challenge": unpadded(bytes(56))},
        {"challenge": ""},
        {"challenge": None},
        {"device": attested(PHONE, rp_id="evil.example.cn")},
        {"device": attested(PHONE, flags=UP | AT)},
        {"device": attested(PHONE, flags=UV | AT)},
        {"device": authenticator_data()},
        {"device": attested(PHONE)[:-3]},
        {"device": attested(PHONE) + b"x"},
        {"device": attested(PHONE, key=cbor2.dumps({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}))},
        {"device": attested(PHONE, key=cbor2.dumps({1: 2, 3: -7, -1: 2, -2: bytes(48), -3: bytes(48)}))},
        {"device": attested(PHONE, key=cbor2.dumps({1: 3, 3: -257, -1: bytes(256), -2: b"\1\0\1"}))},
        {"device": attested(PHONE, key=cbor2.dumps({1: 2, 3: -35, -1: 2, -2: bytes(48), -3: bytes(48)}))},
        {"device": attested(PHONE, key=b"\xa0")},
        {"device": attested(TOKEN, key=cbor2.dumps({1: 1, 3: -8, -1: 6, -2: bytes(32)}))},
        {"device": attested(TOKEN, key=cbor2.dumps({1: 1, 3: -8, -1: 6, -2: b"short"}))},
        {"statement": {"fmt": "tpm", "attStmt": {}}},
        {"statement": {"fmt": "android-key", "attStmt": {"x5c": [b""]}}},
        {"statement": {"fmt": "none", "attStmt": {"sig": b"x"}}},
        {"statement": {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x"}}},
        {"statement": {"fmt": "packed", "attStmt": {}}},
        {"statement": {}},
        {"statement": {"fmt": [], "attStmt": 1}},
    ],
)
async def test_a_registration_that_does_not_hold_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with served(tmp_path) as world:
        challenge = (await options(world))["challenge"]
        status, problem = await registered(world, credential(challenge, **changes))
        assert (status, problem["code"]) == (400, "registration_refused")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda made: made["response"].update(attestationObject="AAAA"), 400),
        (lambda made: made["response"].update(attestationObject=""), 400),
        (lambda made: made["response"].update(attestationObject=unpadded(b"\x9f" * 9000)), 400),
        (lambda made: made["response"].update(attestationObject=unpadded(b"\x81" * 9000)), 400),
        (lambda made: made["response"].update(clientDataJSON=unpadded(b"{}")), 400),
        (lambda made: made["response"].update(clientDataJSON=unpadded(b"\xff")), 400),
        (lambda made: made["response"].update(clientDataJSON="A"), 400),
        (lambda made: made.update(id="other"), 400),
        (lambda made: made.update(rawId="A"), 400),
        (lambda made: made.update(type="password"), 400),
        (lambda made: made.pop("response"), 400),
        (lambda made: made["response"].update(attestationObject="A" * 20_000), 400),
        (lambda made: made.update(padding="x" * 40_000), 413),
    ],
)
async def test_hostile_credentials_get_a_plain_refusal(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], status: int
) -> None:
    async with served(tmp_path) as world:
        made = credential((await options(world))["challenge"])
        change(made)
        assert (await registered(world, made))[0] == status
        assert world.fatal == []


async def test_a_registration_challenge_ends_and_is_this_nodes_own(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        challenge = (await options(world))["challenge"]
        world.clock.now_ms += CHALLENGE_LIFETIME_MS - 1
        assert (await registered(world, credential(challenge)))[0] == 201
        world.clock.now_ms += 1
        assert (await registered(world, credential(challenge)))[0] == 400
        stretched = bytearray(base64.urlsafe_b64decode(challenge + "=="))
        stretched[7] ^= 1
        stretched[4] ^= 0xFF
        assert (await registered(world, credential(unpadded(bytes(stretched)))))[0] == 400


async def test_a_network_without_passkeys_says_so(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for path, body in (
            ("/v1/passkeys/options", {"label": "phone"}),
            ("/v1/passkeys/registrations", {"label": "phone", "credential": credential("x")}),
            ("/v1/passkeys/challenges", None),
        ):
            answer = await world.request("POST", path, json=body)
            assert (answer.status, (await answer.json())["code"]) == (409, "passkeys_not_here")


# --- logging in ---


def holding(world: w.World, *devices: Device) -> list[bytes]:
    """Give the person these passkeys."""
    record = world.chain.records.accounts[w.PERSON.account]
    keys = tuple(
        Key(
            key_id=key_id(SUITE, "passkey", device.public_key),
            scheme="passkey",
            public_key=device.public_key,
            role=KeyRole.HOLDER,
            label="phone",
            valid_from_ms=GENESIS_TIME_MS,
            valid_until_ms=0,
            revoked_ms=0,
        )
        for device in devices
    )
    world.chain.records.accounts[w.PERSON.account] = replace(record, keys=(*record.keys, *keys))
    return [key.key_id for key in keys]


async def asked(world: w.World) -> bytes:
    answer = await world.request("POST", "/v1/passkeys/challenges")
    body = await answer.json()
    challenge = bytes.fromhex(body["challenge"])
    hashed = SUITE.hash(domains.SESSION, challenge)
    assert body["options"]["challenge"] == base64url(hashed)
    assert (body["options"]["rpId"], body["options"]["userVerification"]) == (RP_ID, "required")
    return challenge


async def logged_in(
    world: w.World, challenge: bytes, device: Device, account: bytes = w.PERSON.account, /, **changes: object
) -> tuple[int, dict[str, Any]]:
    assertion = device.consent(SUITE.hash(domains.SESSION, challenge), **changes)
    body = {"account": account.hex(), "challenge": challenge.hex(), "assertion": assertion.hex()}
    answer = await world.request("POST", "/v1/passkeys/sessions", json=body)
    return answer.status, await answer.json()


@pytest.mark.parametrize("device", [PHONE, TOKEN], ids=["p256", "ed25519"])
async def test_any_passkey_of_the_account_logs_in_once_with_a_challenge(
    tmp_path: Path, device: Device
) -> None:
    async with served(tmp_path) as world:
        keys = holding(world, PHONE, TOKEN)
        challenge = await asked(world)
        status, session = await logged_in(world, challenge, device)
        assert status == 201
        assert session["key_id"] == keys[device.edwards].hex()
        assert (session["by"], session["role"], session["kind"]) == ("passkey", "holder", "person")
        headers = {"Authorization": f"Bearer {session['token']}"}
        assert (await world.request("GET", "/v1/grants", headers=headers)).status == 200
        status, problem = await logged_in(world, challenge, device)
        assert (status, problem["code"]) == (401, "challenge_invalid")


async def test_a_passkey_logs_in_by_the_challenge_of_its_key_too(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        (key,) = holding(world, PHONE)
        body = {"account": w.PERSON.account.hex(), "key_id": key.hex()}
        answer = await world.request("POST", "/v1/sessions/challenges", json=body)
        challenge = (await answer.json())["challenge"]
        signature = PHONE.consent(SUITE.hash(domains.SESSION, bytes.fromhex(challenge))).hex()
        opened = await world.request(
            "POST", "/v1/sessions", json={**body, "challenge": challenge, "signature": signature}
        )
        assert (opened.status, (await opened.json())["by"]) == (201, "passkey")


async def test_a_login_that_does_not_hold_is_refused_without_a_reason(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        holding(world, PHONE)
        refused = (401, "login_refused")
        for device, account, changes in (
            (TOKEN, w.PERSON.account, {}),
            (PHONE, w.BANK.account, {}),
            (PHONE, bytes(16), {}),
            (PHONE, w.PERSON.account, {"origin": "https://evil.example.cn"}),
            (PHONE, w.PERSON.account, {"type": "webauthn.create"}),
            (PHONE, w.PERSON.account, {"challenge": unpadded(hashlib.sha256(b"x").digest())}),
            (PHONE, w.PERSON.account, {"crossOrigin": True}),
        ):
            status, problem = await logged_in(world, await asked(world), device, account, **changes)
            assert (status, problem["code"]) == refused


async def test_a_revoked_passkey_logs_in_no_more_and_its_sessions_end(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        holding(world, PHONE)
        _, session = await logged_in(world, await asked(world), PHONE)
        record = world.chain.records.accounts[w.PERSON.account]
        keys = tuple(replace(key, revoked_ms=1) if key.scheme == "passkey" else key for key in record.keys)
        world.chain.records.accounts[w.PERSON.account] = replace(record, keys=keys)
        headers = {"Authorization": f"Bearer {session['token']}"}
        assert (await world.request("GET", "/v1/grants", headers=headers)).status == 401
        assert (await logged_in(world, await asked(world), PHONE))[0] == 401


async def test_a_challenge_for_a_key_is_none_for_any_key_and_the_other_way_round(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        (key,) = holding(world, PHONE)
        own, _ = world.site.sessions.challenge(w.PERSON.account, key)
        assert (await logged_in(world, own, PHONE))[1]["code"] == "challenge_invalid"
        any_key = await asked(world)
        signature = PHONE.consent(SUITE.hash(domains.SESSION, any_key)).hex()
        body = {
            "account": w.PERSON.account.hex(),
            "key_id": key.hex(),
            "challenge": any_key.hex(),
            "signature": signature,
        }
        answer = await world.request("POST", "/v1/sessions", json=body)
        assert (await answer.json())["code"] == "challenge_invalid"


# --- identity providers ---


@asynccontextmanager
async def with_provider(folder: Path) -> AsyncIterator[tuple[w.World, OidcProvider, Logins]]:
    async with provider() as there:
        holder: dict[str, Logins] = {}

        def change(world: w.World) -> None:
            there.now_s = lambda: world.clock.now_ms / 1000
            holder["logins"] = Logins(
                suite=SUITE,
                chain_id=world.chain.chain_id,
                account=bytes(16),
                signer=SUITE.load_signer(b"\x01" * 32),
                providers=[
                    ProviderSettings(
                        name="city",
                        label_zh="城市",
                        label_en="City",
                        issuer=there.issuer,
                        client_id=CLIENT,
                        client_secret=SECRET,
                        redirect_uri=REDIRECT,
                    )
                ],
                links=LoginLinks(folder / "logins.sqlite", SUITE, bytes(32)),
                clock_ms=world.clock,
            )
            world.logins = holder["logins"]

        async with served(folder, change=change) as world:
            yield world, there, holder["logins"]
        await holder["logins"].stop()


async def login(
    world: w.World, there: OidcProvider, intent: str, *, actor: w.Actor | None = None, key: str | None = None
) -> tuple[int, dict[str, Any]]:
    body = {"intent": intent, "key_id": key}
    answer = await world.request("POST", "/v1/oidc/city/logins", json=body, actor=actor)
    begun = await answer.json()
    if answer.status != 201:
        return answer.status, begun
    back = {**there.consent(begun["url"]), "handle": begun["handle"]}
    answer = await world.request("POST", "/v1/oidc/completions", json=back)
    return answer.status, await answer.json()


async def test_a_provider_is_listed_and_states_who_logged_in(tmp_path: Path) -> None:
    async with with_provider(tmp_path) as (world, there, _):
        listed = await (await world.request("GET", "/v1/oidc")).json()
        assert [(one["name"], one["label_zh"], one["issuer"]) for one in listed] == [
            ("city", "城市", there.issuer)
        ]
        status, done = await login(world, there, "identify", key="ab" * 16)
        assert (status, done["statement"]["key_id"], done["token"]) == (201, "ab" * 16, None)
        missing = await world.request("POST", "/v1/oidc/none/logins", json={"intent": "sign_in"})
        assert missing.status == 404


async def test_a_linked_identity_reads_and_does_nothing_else(tmp_path: Path) -> None:
    async with with_provider(tmp_path) as (world, there, _):
        assert (await login(world, there, "sign_in"))[1]["code"] == "not_linked"
        assert (await login(world, there, "link"))[1]["code"] == "intent_refused"
        assert (await login(world, there, "link", actor=w.BANK))[1]["code"] == "intent_refused"
        status, done = await login(world, there, "link", actor=w.PERSON)
        assert (status, done["linked"]) == (201, w.PERSON.account.hex())
        status, done = await login(world, there, "sign_in")
        assert (status, done["account"]) == (201, w.PERSON.account.hex())
        headers = {"Authorization": f"Bearer {done['token']}"}
        assert (await world.request("GET", "/v1/grants", headers=headers)).status == 200
        for method, path in (("DELETE", "/v1/oidc/links"), ("POST", "/v1/transactions")):
            answer = await world.request(method, path, headers=headers, json={"transaction": "AA=="})
            if path == "/v1/oidc/links":
                assert (answer.status, (await answer.json())["code"]) == (403, "session_too_weak")
        answer = await world.request("POST", "/v1/oidc/city/logins", json={"intent": "link"}, headers=headers)
        assert (await answer.json())["code"] == "intent_refused"
        assert (await world.request("DELETE", "/v1/sessions", headers=headers)).status == 204


async def test_every_route_that_acts_for_a_session_refuses_one_that_only_reads(tmp_path: Path) -> None:
    async with with_provider(tmp_path) as (world, _, __):
        token, _, caller = world.site.sessions.begin_linked(w.PERSON.account, w.PERSON.key_id)
        headers = {"Authorization": f"Bearer {token}"}
        for route in w.ROUTES:
            if route.access.public or route.method == "GET" or not route.access.allows(caller):
                continue
            if route.path == "/v1/sessions":
                continue
            path = route.path
            for name, value in (("{code}", "x"),):
                path = path.replace(name, value)
            while "{" in path:
                start, end = path.index("{"), path.index("}")
                size = {"release": 16, "transaction": 64, "region": 64}.get(path[start + 1 : end], 32)
                path = path[:start] + "0" * size + path[end + 1 :]
            answer = await world.request(route.method, path, headers=headers, json={})
            assert (answer.status, (await answer.json())["code"]) == (403, "session_too_weak"), path


async def test_a_link_opens_nothing_once_its_key_is_revoked_or_for_an_organisation(tmp_path: Path) -> None:
    async with with_provider(tmp_path) as (world, there, _):
        await login(world, there, "link", actor=w.PERSON)
        _, done = await login(world, there, "sign_in")
        record = world.chain.records.accounts[w.PERSON.account]
        keys = tuple(replace(key, revoked_ms=1) for key in record.keys)
        world.chain.records.accounts[w.PERSON.account] = replace(record, keys=keys)
        headers = {"Authorization": f"Bearer {done['token']}"}
        assert (await world.request("GET", "/v1/grants", headers=headers)).status == 401
        assert (await login(world, there, "sign_in"))[1]["code"] == "login_refused"


async def test_without_a_provider_logins_are_unavailable(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        assert await (await world.request("GET", "/v1/oidc")).json() == []
        answer = await world.request("POST", "/v1/oidc/city/logins", json={"intent": "sign_in"})
        assert answer.status == 503


async def test_approved_portals_are_public(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        world.chain.portals_there = (
            Portal(name="citizen", bundle_hash=b"\1" * 32, former_hash=b"", approved_ms=GENESIS_TIME_MS),
        )
        view = await (await world.request("GET", "/v1/portals")).json()
        assert (view["rp_id"], view["origins"]) == (RP_ID, list(SETTINGS.origins))
        assert [(one["name"], one["bundle_hash"]) for one in view["portals"]] == [("citizen", "01" * 32)]


@pytest.mark.parametrize(
    ("actor", "state", "representation", "status"),
    [
        (w.DEPARTMENT, GrantState.REQUESTED, (RepresentationBasis.ASSISTED,), 200),
        (w.DEPARTMENT, GrantState.ACTIVE, (RepresentationBasis.ASSISTED,), 404),
        (w.DEPARTMENT, GrantState.REQUESTED, (RepresentationBasis.GUARDIAN,), 404),
        (w.OTHER_BANK, GrantState.REQUESTED, (RepresentationBasis.ASSISTED,), 404),
    ],
)
async def test_a_clerk_sees_a_request_that_a_person_may_be_helped_with(
    tmp_path: Path,
    actor: w.Actor,
    state: GrantState,
    representation: tuple[RepresentationBasis, ...],
    status: int,
) -> None:
    async with served(tmp_path) as world:
        grant = replace(w.grant(), state=state)
        world.chain.records.grants[grant.grant_id] = grant
        template = PurposeTemplate(
            code=grant.purpose,
            name_zh="x",
            name_en="x",
            items=(TemplateItem(certificate_type="id_card", fields=("name",), attachments=()),),
            uses_max=1,
            period_ms_max=1,
            data_life_ms_max=1,
            representation=representation,
        )
        world.chain.records.purpose = lambda _code: template
        answer = await world.request("GET", f"/v1/grants/{grant.grant_id.hex()}", actor=actor)
        assert answer.status == status
