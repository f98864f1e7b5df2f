"""My data: everything about an account, nothing about anybody else, and nothing before its time."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.grant_records import Access, AccessKind, RepresentationBasis
from contracts.people_records import Recovery, RecoveryState
from contracts.records import AccountKind, Grant, GrantState, KeyRole, ReleaseState
from contracts.representation_records import Mandate, MandateState
from ledger.receipts import receipt_from_json
from node.index.concerns import NOTICE_DELAY_MS_MAX
from tests.unit import http_world as w

DAY_MS = 86_400_000
GUARDIAN = w.STRANGER
MANDATE_ID = w.fixed("mandate", size=16)
SECTIONS = ("certificates", "grants", "accesses", "requests", "representations")


@dataclass
class Facts:
    """A person's certificate, grant and release, on the ledger of a served world."""

    world: w.World

    async def all(self) -> None:
        await self.issue()
        await self.ask()
        await self.release()

    async def issue(self) -> None:
        records, chain = self.world.chain.records, self.world.chain
        records.certificates[w.CERTIFICATE_ID] = w.certificate()
        issued = chain.transaction(w.DEPARTMENT, "certificates", "issue")
        event = w.event("certificates.issued", w.CERTIFICATE_ID, w.PERSON.account)
        await self.world.finalize((issued, (event,)))

    async def ask(
        self, kind: str = "grants.requested", found: Grant | None = None, by: w.Actor = w.BANK
    ) -> None:
        records, chain = self.world.chain.records, self.world.chain
        records.grants[w.GRANT_ID] = found or w.grant()
        asked = chain.transaction(by, *kind.split("."), chain.height)
        event = w.event(kind, w.GRANT_ID, w.GRANT_ID, by.account, w.PERSON.account)
        await self.world.finalize((asked, (event,)))

    async def release(self, by: w.Actor = w.BANK) -> None:
        records, chain = self.world.chain.records, self.world.chain
        records.releases[w.RELEASE_ID] = replace(w.release(ReleaseState.DELIVERED), grantee=by.account)
        asked = chain.transaction(by, "releases", "request", chain.height)
        subjects = (w.RELEASE_ID, by.account, w.GRANT_ID, w.PERSON.account)
        await self.world.finalize((asked, (w.event("releases.requested", w.RELEASE_ID, *subjects),)))

    async def refuse(self, *subjects: bytes, method: str = "request", by: w.Actor = w.BANK) -> None:
        chain = self.world.chain
        tried = chain.transaction(by, "grants", method, chain.height)
        event = replace(
            w.event("grants.refused", subjects[0], by.account, *subjects),
            data=(("code", "over_ask"), ("contract", "grants"), ("method", method)),
        )
        await self.world.finalize((tried, (event,)), code="over_ask")

    async def pass_time(self) -> None:
        tick = self.world.chain.transaction(w.OPERATOR, "deadlines", "tick", self.world.chain.height)
        await self.world.finalize((tick, ()))

    async def get(self, path: str, actor: w.Actor = w.PERSON) -> dict[str, object]:
        answer = await self.world.request("GET", f"/v1/me/{path}", actor=actor)
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


def hidden_grant(world: w.World, *, blocks: int, state: GrantState = GrantState.ACTIVE) -> Grant:
    """An access without consent of which the person is told so many blocks from now."""
    access = Access(
        kind=AccessKind.LEGAL,
        case_commitment=w.fixed("case"),
        approvers=(w.OTHER_BANK.account,),
        approver_keys=(w.OTHER_BANK.key_id,),
        notice_after_ms=world.chain.head_time_ms + 1000 * blocks,
        review_until_ms=0,
    )
    return replace(w.grant(grantee=w.DEPARTMENT, state=state), access=access, lawful_basis="law")


def mandate(*purposes: str, state: MandateState = MandateState.ACTIVE) -> Mandate:
    return Mandate(
        mandate_id=MANDATE_ID,
        principal=w.PERSON.account,
        representative=GUARDIAN.account,
        basis=RepresentationBasis.MANDATE,
        appointed_by=w.PERSON.account,
        key_id=w.PERSON.key_id,
        credential=b"",
        purposes=purposes,
        parent=b"",
        depth=0,
        depth_max=0,
        appointed_ms=1,
        until_ms=w.NOW_MS + DAY_MS,
        state=state,
        state_since_ms=1,
    )


async def appoint(world: w.World, found: Mandate) -> None:
    world.chain.records.mandates[MANDATE_ID] = found
    made = world.chain.transaction(w.PERSON, "representation", "appoint", world.chain.height)
    event = w.event("representation.appointed", MANDATE_ID, w.PERSON.account, GUARDIAN.account)
    await world.finalize((made, (event,)))


async def test_one_call_gives_what_is_held_given_looked_at_and_waiting(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        found = await facts.get("data")
        assert [found[section]["total"] for section in SECTIONS] == [1, 1, 1, 0, 0]
        (held,) = found["certificates"]["items"]
        assert held["certificate"]["issuer_name"] == "department"
        assert [part["name"] for part in held["parts"]] == ([] if not held["parts"] else ["name"])
        (given,) = found["grants"]["items"]
        assert given["grant"]["grantee_name"] == "bank"
        assert given["consent"] is True
        (looked,) = found["accesses"]["items"]
        assert looked["organization_name"] == "bank"
        assert looked["officer_label"] == "key of bank"
        assert looked["outcome"] == "delivered"
        assert looked["parts"][0]["fields"] == ["name"]
        assert looked["purpose_name"] == {"zh": "loan", "en": "loan"}
        assert found["complete_from_height"] == 1


async def test_nobody_else_has_any_of_it(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        for actor in (w.STRANGER, w.BANK, w.AUDITOR, w.OPERATOR, w.DEPARTMENT):
            found = await facts.get("data", actor)
            assert [found[section]["total"] for section in SECTIONS] == [0] * 5, actor.name
            answer = await world.request(
                "GET", f"/v1/me/data?principal={w.PERSON.account.hex()}", actor=actor
            )
            assert answer.status == 403
            assert (await answer.json())["code"] == "not_represented"


async def test_a_refused_attempt_is_an_access_of_the_person_it_was_about(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.refuse(w.PERSON.account)
        (tried,) = (await facts.get("accesses"))["items"]
        assert (tried["kind"], tried["outcome"], tried["organization_name"]) == (
            "refused",
            "over_ask",
            "bank",
        )
        assert (await facts.get("accesses", w.BANK))["total"] == 0
        assert (await facts.get("accesses", w.STRANGER))["total"] == 0


async def test_pages_of_a_section_have_everything_once(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        for _ in range(5):
            await facts.refuse(w.PERSON.account)
        seen: list[str] = []
        path = "accesses?limit=2"
        while path:
            page = await facts.get(path)
            assert page["total"] == 5
            seen += [item["transaction_id"] for item in page["items"]]
            path = f"accesses?limit=2&cursor={page['next']}" if page["next"] else ""
        assert len(seen) == len(set(seen)) == 5


async def test_a_request_waits_until_it_is_decided(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.ask(found=w.grant(state=GrantState.REQUESTED))
        (waiting,) = (await facts.get("requests"))["items"]
        assert waiting["kind"] == "grant"
        assert waiting["grant"]["grantee_name"] == "bank"
        await facts.ask("grants.approved", w.grant())
        assert (await facts.get("requests"))["total"] == 0


async def test_a_recovery_waits_for_a_veto(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        recovery = Recovery(
            account=w.PERSON.account,
            key_id=w.fixed("new key", size=16),
            key=b"",
            own_element=bytes(48),
            opened_by=w.DEPARTMENT.account,
            opened_key=w.DEPARTMENT.key_id,
            confirmed_by=b"",
            confirmed_key=b"",
            state=RecoveryState.OPENED,
            state_since_ms=1,
            completes_ms=w.NOW_MS,
            fresh_from_ms=0,
        )
        for state, waits in (
            (RecoveryState.OPENED, 1),
            (RecoveryState.PENDING, 1),
            (RecoveryState.VETOED, 0),
        ):
            world.chain.records.lost[w.PERSON.account] = replace(recovery, state=state)
            made = world.chain.transaction(w.DEPARTMENT, "recoveries", "open", state.value)
            event = w.event("recoveries.opened", w.PERSON.account, w.DEPARTMENT.account)
            await world.finalize((made, (event,)))
            found = await Facts(world).get("requests")
            assert (found["total"], len(found["items"])) == (waits, waits)


# --- what is not to be known yet ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 50])
async def test_an_access_that_is_not_to_be_known_is_nowhere_until_its_time_and_then_everywhere(
    tmp_path: Path, limit: int
) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.issue()
        before = await facts.get(f"data?limit={limit}")
        notices_before = await facts.get(f"notices?limit={limit}")
        events_before = await (await world.request("GET", f"/v1/events?limit={limit}", actor=w.PERSON)).json()
        hidden = hidden_grant(world, blocks=6)
        await facts.ask("grants.access_approved", hidden, by=w.DEPARTMENT)
        await facts.release(by=w.DEPARTMENT)
        await facts.refuse(w.GRANT_ID, w.PERSON.account, by=w.DEPARTMENT)
        while world.chain.head_time_ms < hidden.access.notice_after_ms:
            found = await facts.get(f"data?limit={limit}")
            assert [found[section] for section in SECTIONS] == [before[section] for section in SECTIONS]
            assert await facts.get(f"notices?limit={limit}") == notices_before
            events = await (await world.request("GET", f"/v1/events?limit={limit}", actor=w.PERSON)).json()
            assert events == events_before
            for path in (
                f"grants/{w.GRANT_ID.hex()}",
                f"releases/{w.RELEASE_ID.hex()}",
                f"grants/{w.GRANT_ID.hex()}/proof",
                f"releases/{w.RELEASE_ID.hex()}/proof",
            ):
                assert (await world.request("GET", f"/v1/{path}", actor=w.PERSON)).status == 404, path
            nothing = w.fixed("nothing", size=16)
            answers = [
                await world.request("GET", f"/v1/events?subject={one.hex()}", actor=w.PERSON)
                for one in (w.GRANT_ID, w.RELEASE_ID, nothing)
            ]
            assert len({(answer.status, await answer.text()) for answer in answers}) == 1
            for listed in ("grants", "releases"):
                answer = await world.request("GET", f"/v1/{listed}?limit={limit}", actor=w.PERSON)
                assert await answer.json() == []
                assert "Link" not in answer.headers
            for actor in (w.DEPARTMENT, w.OTHER_BANK, w.AUDITOR, w.OPERATOR):
                shown = await world.request("GET", f"/v1/grants/{w.GRANT_ID.hex()}", actor=actor)
                assert shown.status == 200, actor.name
            await facts.pass_time()
        found = await facts.get("data")
        assert [found[section]["total"] for section in SECTIONS] == [1, 1, 2, 0, 0]
        assert found["grants"]["items"][0]["consent"] is False
        kinds = [notice["kind"] for notice in (await facts.get("notices"))["items"]]
        assert kinds == [
            "grants.refused",
            "releases.requested",
            "grants.access_approved",
            "certificates.issued",
        ]
        assert (await world.request("GET", f"/v1/grants/{w.GRANT_ID.hex()}", actor=w.PERSON)).status == 200


async def test_a_silence_that_is_extended_lasts_longer(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        first = hidden_grant(world, blocks=2)
        await facts.ask("grants.access_approved", first, by=w.DEPARTMENT)
        longer = replace(
            first, access=replace(first.access, notice_after_ms=first.access.notice_after_ms + 3000)
        )
        await facts.ask("grants.notice_extended", longer, by=w.OTHER_BANK)
        for _ in range(2):
            assert (await facts.get("grants"))["total"] == 0
            assert (await facts.get("notices"))["items"] == []
            await facts.pass_time()
        while world.chain.head_time_ms < longer.access.notice_after_ms:
            await facts.pass_time()
        assert (await facts.get("grants"))["total"] == 1
        assert len((await facts.get("notices"))["items"]) == 2


async def test_a_refused_request_for_access_is_shown_when_the_longest_silence_is_over(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.refuse(w.PERSON.account, method="request_access", by=w.DEPARTMENT)
        assert (await facts.get("accesses"))["total"] == 0
        assert (await facts.get("notices"))["items"] == []
        assert (await (await world.request("GET", "/v1/events", actor=w.PERSON)).json())["items"] == []
        at_ms = world.chain.head_time_ms + NOTICE_DELAY_MS_MAX
        counts = await world.index.entry_counts(w.PERSON.account, at_ms=at_ms)
        assert sum(counts.values()) == 1


async def test_an_event_of_many_shows_nobody_the_others(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        other = replace(w.grant("other"), pii_principal_id=w.STRANGER.account)
        world.chain.records.grants = {w.GRANT_ID: w.grant(), other.grant_id: other}
        made = world.chain.transaction(w.BANK, "counts", "contribute")
        count_id = w.fixed("count", size=16)
        subjects = (w.PERSON.account, w.STRANGER.account, w.GRANT_ID, other.grant_id, w.BANK.account)
        await world.finalize((made, (w.event("counts.contributed", count_id, *subjects),)))
        answer = await (await world.request("GET", "/v1/events", actor=w.PERSON)).json()
        (event,) = answer["items"]
        assert set(event["subjects"]) == {w.PERSON.account.hex(), w.GRANT_ID.hex(), w.BANK.account.hex()}
        assert (await Facts(world).get("accesses"))["total"] == 1


# --- who acts for another -------------------------------------------------------------------------------------------


async def test_a_representative_sees_what_the_mandate_covers(tmp_path: Path) -> None:
    principal = f"principal={w.PERSON.account.hex()}"
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        for found, totals in (
            (mandate(), [1, 1, 1, 0, 1]),
            (mandate("loan"), [0, 1, 1, 0, 0]),
            (mandate("school"), [0, 0, 0, 0, 0]),
        ):
            await appoint(world, found)
            shown = await facts.get(f"data?{principal}", GUARDIAN)
            assert [shown[section]["total"] for section in SECTIONS] == totals, found.purposes
            grant = await world.request("GET", f"/v1/grants/{w.GRANT_ID.hex()}", actor=GUARDIAN)
            assert grant.status == (200 if totals[1] else 404)
        for ended in (
            mandate(state=MandateState.OFFERED),
            mandate(state=MandateState.ENDED),
            replace(mandate(), until_ms=world.chain.head_time_ms),
        ):
            await appoint(world, ended)
            answer = await world.request("GET", f"/v1/me/data?{principal}", actor=GUARDIAN)
            assert answer.status == 403


async def test_a_representative_is_kept_from_what_the_person_is_kept_from(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await appoint(world, mandate())
        await facts.ask("grants.access_approved", hidden_grant(world, blocks=50), by=w.DEPARTMENT)
        shown = await facts.get(f"data?principal={w.PERSON.account.hex()}", GUARDIAN)
        assert shown["grants"]["total"] == 0
        assert (await world.request("GET", f"/v1/grants/{w.GRANT_ID.hex()}", actor=GUARDIAN)).status == 404


# --- ETag, export ---------------------------------------------------------------------------------------------------


async def test_the_etag_is_the_same_until_something_about_the_account_changes(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.issue()
        first = await world.request("GET", "/v1/me/data", actor=w.PERSON)
        await facts.pass_time()
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await world.request("GET", "/v1/me/data", actor=w.PERSON, headers=known)).status == 304
        await facts.ask()
        assert (await world.request("GET", "/v1/me/data", actor=w.PERSON, headers=known)).status == 200


async def test_an_export_has_everything_with_its_proofs_and_the_same_bytes_again(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        answer = await world.request("GET", "/v1/me/export", actor=w.PERSON)
        assert answer.status == 200
        assert answer.content_type == "application/zip"
        data = await answer.read()
        again = await world.request("GET", "/v1/me/export", actor=w.PERSON)
        assert await again.read() == data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            assert names == sorted(names)
            manifest = json.loads(archive.read("manifest.json"))
            for name, digest in manifest["files"].items():
                assert w.SUITE.digest(archive.read(name)).hex() == digest
            assert set(manifest["files"]) | {"manifest.json"} == set(names)
            assert manifest["missing"] == []
            assert manifest["values"] is False
            accesses = json.loads(archive.read("data/accesses.json"))
            receipt = receipt_from_json(
                archive.read(f"receipts/{accesses[0]['transaction_id']}.json").decode()
            )
            assert receipt.transaction.body.account == w.BANK.account
            assert f"proofs/certificate-{w.CERTIFICATE_ID.hex()}.json" in names
            assert f"proofs/grant-{w.GRANT_ID.hex()}.json" in names
            readme = archive.read("README.md").decode()
            assert "我的数据" in readme
            assert "How to check" in readme


async def test_an_account_that_was_recovered_lately_exports_nothing(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        accounts = world.chain.records.accounts
        accounts[w.PERSON.account] = replace(
            accounts[w.PERSON.account], restricted_until_ms=w.NOW_MS + DAY_MS
        )
        answer = await world.request("GET", "/v1/me/export", actor=w.PERSON)
        assert answer.status == 403
        assert (await answer.json())["code"] == "account_restricted"


@pytest.mark.parametrize("whose", [GUARDIAN, w.PERSON])
async def test_neither_half_of_a_mandate_that_was_recovered_lately_lets_data_be_exported(
    tmp_path: Path, whose: w.Actor
) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        await appoint(world, mandate())
        path = f"/v1/me/export?principal={w.PERSON.account.hex()}"
        assert (await world.request("GET", path, actor=GUARDIAN)).status == 200
        accounts = world.chain.records.accounts
        accounts[whose.account] = replace(accounts[whose.account], restricted_until_ms=w.NOW_MS + DAY_MS)
        answer = await world.request("GET", path, actor=GUARDIAN)
        assert answer.status == 403
        assert (await answer.json())["code"] == "account_restricted"


def test_the_world_has_the_roles_that_these_tests_speak_of() -> None:
    assert (w.PERSON.kind, w.PERSON.role) == (AccountKind.PERSON, KeyRole.HOLDER)
