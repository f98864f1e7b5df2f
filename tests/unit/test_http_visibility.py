"""Who is shown what of somebody else's doings: by events, by transactions, by receipts."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.records import GrantState
from ledger.hashing import transaction_id
from ledger.types import Transaction
from tests.unit import http_world as w
from tests.unit.test_mydata_sections import Facts, hidden_grant

OTHERS_GRANT = w.fixed("other grant", size=16)
OTHERS_RELEASE = w.fixed("other release", size=8)


def path_of(signed: Transaction) -> str:
    return f"/v1/transactions/{transaction_id(w.SUITE, signed.body).hex()}"


async def _kinds(world: w.World, path: str, actor: w.Actor) -> list[str]:
    answer = await world.request("GET", path, actor=actor)
    assert answer.status == 200, await answer.text()
    return [item["kind"] for item in (await answer.json())["items"]]


async def _two_grantees(world: w.World) -> None:
    """One certificate, an active grant to each of two banks, and a release under the other bank's."""
    facts, chain = Facts(world), world.chain
    await facts.issue()
    chain.records.grants[w.GRANT_ID] = w.grant()
    theirs = replace(w.grant(grantee=w.OTHER_BANK), grant_id=OTHERS_GRANT)
    chain.records.grants[OTHERS_GRANT] = theirs
    chain.records.releases[OTHERS_RELEASE] = replace(
        w.release(), release_id=OTHERS_RELEASE, grant_id=OTHERS_GRANT, grantee=w.OTHER_BANK.account
    )
    for actor, found in ((w.BANK, w.GRANT_ID), (w.OTHER_BANK, OTHERS_GRANT)):
        asked = chain.transaction(actor, "grants", "request", found)
        subjects = (w.PERSON.account, actor.account, w.CERTIFICATE_ID)
        await world.finalize((asked, (w.event("grants.approved", found, *subjects),)))
    fetched = chain.transaction(w.OTHER_BANK, "releases", "request")
    subjects = (OTHERS_GRANT, w.PERSON.account, w.OTHER_BANK.account, w.CERTIFICATE_ID)
    await world.finalize((fetched, (w.event("releases.requested", OTHERS_RELEASE, *subjects),)))
    tried = chain.transaction(w.OTHER_BANK, "grants", "request", "more")
    refused = w.event("grants.refused", w.PERSON.account, w.PERSON.account, w.CERTIFICATE_ID)
    await world.finalize((tried, (refused,)), code="over_ask")


async def test_who_may_see_a_certificate_is_not_told_who_else_uses_it(tmp_path: Path) -> None:
    history = f"/v1/events?subject={w.CERTIFICATE_ID.hex()}"
    async with w.served(tmp_path) as world:
        await _two_grantees(world)
        assert await _kinds(world, history, w.DEPARTMENT) == ["certificates.issued"]
        assert await _kinds(world, history, w.BANK) == ["grants.approved", "certificates.issued"]
        theirs = ["grants.refused", "releases.requested", "grants.approved", "certificates.issued"]
        assert await _kinds(world, history, w.OTHER_BANK) == theirs
        everything = ["grants.refused", "releases.requested", *["grants.approved"] * 2, "certificates.issued"]
        assert await _kinds(world, history, w.PERSON) == everything
        assert await _kinds(world, history, w.AUDITOR) == everything


async def test_the_parties_of_a_grant_follow_all_that_is_under_it(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _two_grantees(world)
        stated = world.chain.transaction(w.OTHER_BANK, "deletions", "state")
        event = w.event("grants.deletion_stated", OTHERS_GRANT, OTHERS_RELEASE)
        await world.finalize((stated, (event,)))
        for actor in (w.PERSON, w.OTHER_BANK):
            followed = f"/v1/events?subject={OTHERS_GRANT.hex()}"
            assert await _kinds(world, followed, actor) == [
                "grants.deletion_stated",
                "releases.requested",
                "grants.approved",
            ]
            followed = f"/v1/events?subject={OTHERS_RELEASE.hex()}"
            assert await _kinds(world, followed, actor) == ["grants.deletion_stated", "releases.requested"]


async def test_a_transactions_id_tells_a_stranger_how_it_stands_and_nothing_of_what_it_says(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        signed = world.chain.blocks[-1][0].block.transactions[0]
        for actor in (w.BANK, w.PERSON, w.AUDITOR, w.OPERATOR):
            view = await (await world.request("GET", path_of(signed), actor=actor)).json()
            assert [event["kind"] for event in view["result"]["events"]] == ["releases.requested"], actor
            receipt = await world.request("GET", path_of(signed) + "/receipt", actor=actor)
            assert receipt.status == 200, actor.name
        for actor in (None, w.STRANGER, w.OTHER_BANK, w.DEPARTMENT):
            answer = await world.request("GET", path_of(signed), actor=actor)
            view = await answer.json()
            assert (view["status"], view["height"], view["result"]) == ("finalized", 3, None)
            assert w.PERSON.account.hex() not in await answer.text()
            receipt = await world.request("GET", path_of(signed) + "/receipt", actor=actor)
            nothing = await world.request("GET", f"/v1/transactions/{'00' * 32}/receipt", actor=actor)
            assert (receipt.status, nothing.status) == (404, 404)
            told = [(await one.json())["code"] for one in (receipt, nothing)]
            assert told[0] == told[1]


async def test_whoever_has_the_signed_bytes_is_told_the_result(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await Facts(world).all()
        signed = world.chain.blocks[-1][0].block.transactions[0]
        body = {"transaction": world.base64(signed)}
        view = await (await world.request("POST", "/v1/transactions", json=body)).json()
        assert view["result"]["code"] == "ok"
        assert len(view["result"]["events"]) == 1


async def test_an_access_that_is_not_to_be_known_yet_is_not_told_by_its_transaction_either(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.ask("grants.access_approved", hidden_grant(world, blocks=3), by=w.DEPARTMENT)
        signed = world.chain.blocks[-1][0].block.transactions[0]
        for hidden in (True, False):
            view = await (await world.request("GET", path_of(signed), actor=w.PERSON)).json()
            receipt = await world.request("GET", path_of(signed) + "/receipt", actor=w.PERSON)
            assert (view["result"] is None, receipt.status == 404) == (hidden, hidden)
            approver = await (await world.request("GET", path_of(signed), actor=w.OTHER_BANK)).json()
            assert approver["result"] is not None
            for _ in range(3):
                await facts.pass_time()


async def test_of_a_transaction_about_many_each_is_told_his_part_and_nobody_but_the_signer_has_the_receipt(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        other = replace(w.grant("other"), pii_principal_id=w.STRANGER.account)
        world.chain.records.grants = {w.GRANT_ID: w.grant(), other.grant_id: other}
        signed = world.chain.transaction(w.BANK, "counts", "contribute")
        subjects = (w.PERSON.account, w.STRANGER.account, w.GRANT_ID, other.grant_id, w.BANK.account)
        event = w.event("counts.contributed", w.fixed("count", size=16), *subjects)
        ended = w.event("grants.expired", other.grant_id, w.STRANGER.account, w.BANK.account)
        await world.finalize((signed, (event, ended)))
        answer = await world.request("GET", path_of(signed), actor=w.PERSON)
        (shown,) = (await answer.json())["result"]["events"]
        assert w.STRANGER.account.hex() not in await answer.text()
        assert set(shown["subjects"]) == {w.PERSON.account.hex(), w.GRANT_ID.hex(), w.BANK.account.hex()}
        assert (await answer.json())["result"]["output"] == ""
        for actor, status in ((w.BANK, 200), (w.AUDITOR, 200), (w.PERSON, 404), (w.STRANGER, 404)):
            receipt = await world.request("GET", path_of(signed) + "/receipt", actor=actor)
            assert receipt.status == status, actor.name
        exported = await world.request("GET", "/v1/me/export", actor=w.PERSON)
        with zipfile.ZipFile(io.BytesIO(await exported.read())) as archive:
            missing = json.loads(archive.read("manifest.json"))["missing"]
            text = b"".join(archive.read(name) for name in archive.namelist())
        assert any("receipts/" in line for line in missing)
        assert w.STRANGER.account.hex().encode() not in text


@pytest.mark.parametrize(
    ("actor", "kind", "public"),
    [
        (w.OPERATOR, "governance.approved", True),
        (w.BANK, "organizations.key_added", True),
        (w.BANK, "organizations.refused", True),
        (w.PERSON, "organizations.refused", False),
        (w.BANK, "access.refused", False),
        (w.DEPARTMENT, "people.enrolled", False),
    ],
)
async def test_what_operators_and_organisations_decide_in_public_has_receipts_for_everybody(
    tmp_path: Path, actor: w.Actor, kind: str, public: bool
) -> None:
    async with w.served(tmp_path) as world:
        signed = world.chain.transaction(actor, *kind.split("."))
        await world.finalize((signed, (w.event(kind, w.PROPOSAL_ID, actor.account),)))
        view = await (await world.request("GET", path_of(signed))).json()
        receipt = await world.request("GET", path_of(signed) + "/receipt")
        assert (view["result"] is not None, receipt.status == 200) == (public, public)


async def test_a_transaction_without_events_is_its_signers(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        signed = world.chain.transaction(w.BANK, "deadlines", "tick")
        await world.finalize((signed, ()))
        for actor, status in ((w.BANK, 200), (w.OPERATOR, 200), (w.STRANGER, 404), (None, 404)):
            assert (await world.request("GET", path_of(signed) + "/receipt", actor=actor)).status == status


async def test_the_grantee_of_a_grant_that_ended_follows_the_certificate_no_more(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _two_grantees(world)
        world.chain.records.grants[w.GRANT_ID] = w.grant(state=GrantState.REVOKED)
        answer = await world.request("GET", f"/v1/events?subject={w.CERTIFICATE_ID.hex()}", actor=w.BANK)
        assert answer.status == 403
