"""A person with nothing but a browser: a passkey made on a plain page, enrolled, and a grant approved with it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from contracts.calls import (
    Args,
    GrantsApprove,
    GrantsRevoke,
    NewKey,
    PeopleAddKey,
    RegisterPurposes,
    call,
)
from contracts.grant_records import ConsentMode, RepresentationBasis
from contracts.portal_actions import SetIdentityServices
from contracts.records import AccountKind, GrantItem, KeyRole, PurposeTemplate, TemplateItem
from ledger.crypto.suite import key_id
from node.devnet import Devnet
from tests.browser.chromium import Page, PageError, chromium
from tests.browser.portal import portal
from tests.e2e.cities import DAY_MS, IDENTITY, READY_S, SUITE, City, citizen, decide, found, found_city
from zhenglian import Client, Denied
from zhenglian_demo.people import make_people

PERSON = make_people(77, 1)[0]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def city_with_portal(folder: Path) -> AsyncIterator[tuple[City, str, str]]:
    """A city, the address of the portal that its genesis lists, and of one that it does not."""
    listed, strange = free_port(), free_port()
    devnet = Devnet.create(folder / "devnet", suite=SUITE.name, origins=(f"http://localhost:{listed}",))
    with devnet:
        devnet.start_all()
        await asyncio.to_thread(devnet.wait_ready, READY_S)
        city_manager = found_city(devnet)
        city = await asyncio.to_thread(city_manager.__enter__)
        async with portal(listed, devnet.url(1)) as known, portal(strange, devnet.url(1)) as unknown:
            yield city, known, unknown
        city_manager.__exit__(None, None, None)


def new_key(made: dict[str, Any]) -> NewKey:
    """The key that the page was answered, as the clerk takes it."""
    return NewKey(
        scheme=made["scheme"],
        public_key=bytes.fromhex(made["public_key"]),
        role=KeyRole(made["role"]),
        label=made["label"],
        valid_until_ms=0,
    )


def enrolled(city: City, key: NewKey) -> str:
    """At the counter: a clerk says whose key it is, another officer opens the account."""
    clerk = city.police.client
    request, _ = clerk.identity_request(PERSON.identity_number, key)
    return city.registrar.enroll(key, clerk.assert_identity(PERSON.identity_number, request))


def asked(city: City, account: str, purpose: str = "loan") -> str:
    return city.banks[0].client.request_grant(
        person=account,
        purpose=purpose,
        items=[GrantItem(certificate_type=IDENTITY, certificate=b"", fields=("name",), attachments=())],
        uses_max=1,
        consent_mode=ConsentMode.STORE,
        consent_expiry_ms=time.time_ns() // 1_000_000 + DAY_MS,
    )


def asking(account: str, key: dict[str, Any], args: Args) -> dict[str, str]:
    """What the page signs."""
    wanted = call(args)
    return {
        "account": account,
        "key_id": key["key_id"],
        "credential_id": key["credential_id"],
        "contract": wanted.contract,
        "method": wanted.method,
        "args": wanted.args.hex(),
    }


def approval(city: City, grant_id: str) -> GrantsApprove:
    with Client(city.devnet.urls, city.banks[0].officer) as bank:
        view = bank.grant(grant_id)
    return GrantsApprove(
        grant_id=bytes.fromhex(grant_id),
        items=(GrantItem(certificate_type=IDENTITY, certificate=b"", fields=("name",), attachments=()),),
        uses_max=view.uses_max,
        consent_expiry_ms=int(view.consent_expiry.timestamp() * 1000),
    )


async def refused(page: Page, code: str, function: str, *args: object) -> None:
    with pytest.raises(PageError, match=code):
        await page.call(function, *args)


@pytest.mark.slow
async def test_a_passkey_is_made_enrolled_and_approves_a_grant_in_a_real_browser(tmp_path: Path) -> None:
    profile = tmp_path / "chromium"
    async with (
        city_with_portal(tmp_path) as (city, known, unknown),
        chromium(profile) as page,
    ):
        await page.authenticator()
        await page.open(known)
        key = await page.call("register", "phone")
        assert (key["scheme"], key["label"]) == ("passkey", "phone")
        account = await asyncio.to_thread(enrolled, city, new_key(key))

        session = await page.call("logIn", account)
        assert (session["account"], session["key_id"]) == (account, key["key_id"])
        mine = await page.call("mine", account, session["token"])
        assert [(one["scheme"], one["label"]) for one in mine["keys"]] == [("passkey", "phone")]

        grant_id = await asyncio.to_thread(asked, city, account)
        consent = await asyncio.to_thread(approval, city, grant_id)
        signed = await page.call("sign", asking(account, key, consent))
        sent = await page.call("send", signed)
        assert sent["result"]["code"] == "ok", sent
        assert sent["passkey"]["origin"] == known
        assert sent["passkey"]["counter"] > 0
        view = await asyncio.to_thread(lambda: city.banks[0].client.grant(grant_id))
        assert view.state == "active"

        await _what_another_page_or_hand_made_of_it(page, city, account, key, grant_id, unknown)
        await page.open(known)
        await _another_device(page, account, key)
        await asyncio.to_thread(_at_a_kiosk, city)


async def _what_another_page_or_hand_made_of_it(
    page: Page, city: City, account: str, key: dict[str, Any], grant_id: str, unknown: str
) -> None:
    """The same passkey on a page that the network does not list, and an assertion that is put under another call."""
    revoking = asking(account, key, GrantsRevoke(grant_id=bytes.fromhex(grant_id)))
    swapped = (
        f"passkeys.sign({revoking}, (body) => [...body.slice(0, 3), new Uint8Array(16), ...body.slice(4)])"
    )
    swapped = swapped.replace("'", '"')
    transaction = await page.run(swapped)
    await refused(page, "passkey_invalid", "send", transaction)
    await page.open(unknown)
    elsewhere = await page.call("sign", revoking)
    await refused(page, "origin_not_listed", "send", elsewhere)
    await refused(page, "login_refused", "logIn", account)
    view = await asyncio.to_thread(lambda: city.banks[0].client.grant(grant_id))
    assert view.state == "active"


async def _another_device(page: Page, account: str, key: dict[str, Any]) -> None:
    """A second passkey, which the first one has to add; and one whose device does not verify who holds it."""
    second_key = await _second(page, account, key)
    adding = asking(account, key, PeopleAddKey(key=new_key(second_key)))
    sent = await page.call("send", await page.call("sign", adding))
    assert sent["result"]["code"] == "ok", sent
    revoked = await page.call("mine", account, (await page.call("logIn", account))["token"])
    assert [one["label"] for one in revoked["keys"]] == ["phone", "tablet"]
    await page.command("WebAuthn.setUserVerified", authenticatorId=page.device, isUserVerified=False)
    with pytest.raises(PageError, match="NotAllowedError"):
        await page.call("sign", adding)


async def _second(page: Page, account: str, key: dict[str, Any]) -> dict[str, Any]:
    """Made in another authenticator, which is then taken away again: the first has its keys still."""
    first = await page.command("WebAuthn.getCredentials", authenticatorId=page.device)
    await page.command("WebAuthn.removeVirtualAuthenticator", authenticatorId=page.device)
    await page.authenticator()
    made: dict[str, Any] = await page.call("register", "tablet", account, [key["credential_id"]])
    assert made["public_key"] != key["public_key"]
    await refused(page, "login_refused", "logIn", account)
    await page.command("WebAuthn.removeVirtualAuthenticator", authenticatorId=page.device)
    await page.authenticator()
    for credential in first["credentials"]:
        await page.command("WebAuthn.addCredential", authenticatorId=page.device, credential=credential)
    return made


def _at_a_kiosk(city: City) -> None:
    """Somebody without a phone: a face service signs with an ordinary JOSE library, a clerk brings it."""
    service = found(city.devnet, "人脸核验", AccountKind.ENTERPRISE)
    camera = OKPKey.generate_key("Ed25519")
    public_key: bytes = camera.public_key.public_bytes_raw()  # type: ignore[union-attr]
    with Client(city.devnet.urls, service.admin) as admin:
        added = NewKey(
            scheme="ed25519",
            public_key=public_key,
            role=KeyRole.OFFICER,
            label="camera-1",
            valid_until_ms=0,
        )
        admin.add_organization_key(added)
    decide(city.devnet, SetIdentityServices(services=(bytes.fromhex(service.admin.account),)))
    purpose = PurposeTemplate(
        code="pension",
        name_zh="养老金",
        name_en="Pension",
        items=(TemplateItem(certificate_type=IDENTITY, fields=("name",), attachments=()),),
        uses_max=1,
        period_ms_max=10 * DAY_MS,
        data_life_ms_max=DAY_MS,
        representation=(RepresentationBasis.ASSISTED,),
    )
    decide(city.devnet, RegisterPurposes(purposes=(purpose,)))
    with citizen(city, make_people(78, 1)[0].identity_number) as person:
        assert person.core.key is not None
        grant_id = asked(city, person.core.key.account, "pension")
    clerk = city.police.client
    shown = clerk.window_consent(grant_id)
    now_s = int(time.time())
    claims = {
        "iss": service.admin.account,
        "sub": shown.subject,
        "aud": shown.audience,
        "jti": os.urandom(16).hex(),
        "iat": now_s,
        "exp": now_s + 120,
        "purpose": shown.purpose,
        "txh": shown.bound,
    }
    header = {
        "alg": "Ed25519",
        "kid": key_id(SUITE, "ed25519", public_key).hex(),
        "typ": "zhenglian-face+jwt",
    }
    face = jws.serialize_compact(header, json.dumps(claims), camera, algorithms=["Ed25519"]).encode()
    done = clerk.approve_at_window(shown.consent, place="city-hall.window-3", face=face)
    assert done.result is not None
    assert [event.kind for event in done.result.events] == ["representation.assisted", "grants.approved"]
    with pytest.raises(Denied, match="face_used"):
        clerk.approve_at_window(shown.consent, place="city-hall.window-3", face=face)
