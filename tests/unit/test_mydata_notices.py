"""Notices: everybody concerned is told, in words, once, in both languages; and can read on from where they were."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import typer
from msgspec.structs import replace

from contracts.records import GrantState, PurposeTemplate, TemplateItem
from node.cli import app
from node.index.concerns import ENDS_SOON_MS
from node.services.notice_texts import FACTS, WORDINGS, told, wording
from tests.unit import http_world as w
from tests.unit.test_mydata_sections import Facts, hidden_grant, mandate
from tests.unit.test_mydata_sections import appoint as appoint_representative

TEMPLATE = PurposeTemplate(
    code="loan",
    name_zh="贷款审批",
    name_en="loan approval",
    items=(TemplateItem(certificate_type="id_card", fields=("name",), attachments=()),),
    uses_max=1,
    period_ms_max=1,
    data_life_ms_max=1,
)


@pytest.mark.parametrize("kind", [*WORDINGS, "something.new", "something.refused"])
def test_every_kind_has_words_in_both_languages_that_use_known_facts_only(kind: str) -> None:
    words = wording(kind)
    facts = {name: f"<{name}>" for name in FACTS}
    for text in (words.zh, words.en, words.do_zh, words.do_en):
        assert "{" not in told(text, facts)
    assert words.zh
    assert words.en
    assert bool(words.do_zh) == bool(words.do_en)


def test_what_a_user_wrote_is_never_a_template() -> None:
    assert told("{who_zh}", {"who_zh": "{purpose_zh} {0} {who_en!r}"}) == "{purpose_zh} {0} {who_en!r}"


async def test_a_notice_says_who_wants_what_for_what_and_what_to_do(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.templates["loan"] = TEMPLATE
        await Facts(world).ask(found=w.grant(state=GrantState.REQUESTED))
        (one,) = (await Facts(world).get("notices"))["items"]
        assert "bank" in one["text"]["zh"]
        assert "贷款审批" in one["text"]["zh"]
        assert "loan approval" in one["text"]["en"]
        assert f"grant approve {w.GRANT_ID.hex()}" in one["action"]["zh"]
        assert (one["important"], one["own"], one["actor_name"]) == (True, False, "bank")
        (told_bank,) = (await Facts(world).get("notices", w.BANK))["items"]
        assert told_bank["own"] is True
        assert told_bank["notice_id"] != one["notice_id"]


async def test_notices_are_read_up_to_a_mark_that_never_goes_back(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        for _ in range(3):
            await facts.refuse(w.PERSON.account)
        page = await facts.get("notices")
        assert page["unread"] == 3
        newest, middle = page["items"][0]["position"], page["items"][1]["position"]
        for position, unread in ((middle, 1), (newest, 0), (middle, 0)):
            answer = await world.request(
                "POST", "/v1/me/notices/read", actor=w.PERSON, json={"position": position}
            )
            assert (await answer.json())["unread"] == unread
        # A mark beyond what has happened would swallow what is to come.
        beyond = {"position": str(2**62)}
        answer = await world.request("POST", "/v1/me/notices/read", actor=w.PERSON, json=beyond)
        assert answer.status == 200
        await facts.refuse(w.PERSON.account)
        assert (await facts.get("notices"))["unread"] == 1
        assert (await facts.get("notices", w.STRANGER))["unread"] == 0


@pytest.mark.parametrize("position", ["-1", "01", "x", "", "9" * 20, "1.0"])
async def test_a_position_that_is_none_is_refused(tmp_path: Path, position: str) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request(
            "POST", "/v1/me/notices/read", actor=w.PERSON, json={"position": position}
        )
        assert answer.status == 400


async def _stream(
    world: w.World, actor: w.Actor, count: int, *, after: str = "", query: str = ""
) -> list[dict]:
    headers = {**world.log_in(actor), **({"Last-Event-ID": after} if after else {})}
    found: list[dict] = []
    async with (
        asyncio.timeout(20),
        world.client.get("/v1/me/notices/stream" + query, headers=headers) as answer,
    ):
        assert answer.status == 200
        block: dict[str, str] = {}
        async for line in answer.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name in {"id", "event", "data"}:
                block[name] = value
            if not name and "data" in block:
                found.append({**json.loads(block["data"]), "id": block["id"]})
                block = {}
                if len(found) == count:
                    return found
    return found


async def test_a_stream_goes_on_behind_what_was_seen_with_what_is_told_late(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.issue()
        hidden = hidden_grant(world, blocks=4)
        await facts.ask("grants.access_approved", hidden, by=w.DEPARTMENT)
        await facts.refuse(w.PERSON.account)
        first = await _stream(world, w.PERSON, 2, after="0")
        assert [one["kind"] for one in first] == ["certificates.issued", "grants.refused"]
        while world.chain.head_time_ms < hidden.access.notice_after_ms:
            await facts.pass_time()
        await facts.refuse(w.PERSON.account)
        # The access happened before the refusal that was seen, and yet comes behind it: it is told only now.
        rest = await _stream(world, w.PERSON, 2, after=first[-1]["id"])
        assert [one["kind"] for one in rest] == ["grants.access_approved", "grants.refused"]
        assert rest[0]["told"] > rest[0]["time"]


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_grant_that_ends_soon_is_told_of_once_and_not_if_it_was_taken_back(
    tmp_path: Path, revoked: bool
) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        expiry_ms = world.chain.head_time_ms + ENDS_SOON_MS + 3000
        await facts.ask("grants.approved", replace(w.grant(), consent_expiry_ms=expiry_ms))
        if revoked:
            gone = replace(w.grant(state=GrantState.REVOKED), consent_expiry_ms=expiry_ms)
            await facts.ask("grants.revoked", gone, by=w.PERSON)
        for _ in range(5):
            await facts.pass_time()
        kinds = [one["kind"] for one in (await facts.get("notices"))["items"]]
        assert kinds.count("grants.ends_soon") == (0 if revoked else 1)


async def test_a_representative_reads_the_persons_notices_within_the_mandate(tmp_path: Path) -> None:
    principal = f"principal={w.PERSON.account.hex()}"
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.issue()
        await facts.ask()
        await appoint_representative(world, mandate("loan"))
        found = await facts.get(f"notices?{principal}", w.STRANGER)
        assert [one["kind"] for one in found["items"]] == ["grants.requested"]
        # How many others there are is not his to know either.
        assert found["unread"] == 1
        answer = await world.request("GET", f"/v1/me/notices?{principal}", actor=w.BANK)
        assert answer.status == 403


async def test_who_approved_an_access_is_told_of_it_while_its_holder_is_not(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts, hidden = Facts(world), hidden_grant(world, blocks=20)
        world.chain.records.grants[w.GRANT_ID] = hidden
        tried = world.chain.transaction(w.DEPARTMENT, "grants", "end_access")
        subjects = (w.PERSON.account, w.DEPARTMENT.account, w.OTHER_BANK.account)
        await world.finalize((tried, (w.event("grants.access_ended", w.GRANT_ID, *subjects),)))
        for actor, number in ((w.DEPARTMENT, 1), (w.OTHER_BANK, 1), (w.PERSON, 0)):
            found = await facts.get("notices", actor)
            assert (len(found["items"]), found["unread"]) == (number, number), actor.name


async def test_a_rebuilt_index_tells_the_same_under_the_same_ids(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        facts = Facts(world)
        await facts.all()
        before = await facts.get("notices")
        await world.index.begin(1)
        await w.catch_up(world.chain, world.index)
        assert await facts.get("notices") == before


# --- webhooks over HTTP ----------------------------------------------------------------------------------------------


async def test_a_webhook_is_its_accounts_own_and_its_secret_is_told_once(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        body = {"url": "http://127.0.0.1:9/hook", "kinds": ["grants.requested", "releases."], "name": "mine"}
        made = await (await world.request("POST", "/v1/webhooks", actor=w.BANK, json=body)).json()
        assert made["secret"].startswith("whsec_")
        path = f"/v1/webhooks/{made['webhook_id']}"
        shown = await (await world.request("GET", path, actor=w.BANK)).json()
        assert shown["secret"] is None
        assert shown["kinds"] == body["kinds"]
        for method, at, sent in (
            ("GET", path, None),
            ("PATCH", path, {"enabled": False}),
            ("DELETE", path, None),
            ("POST", f"{path}/secret", None),
            ("GET", f"{path}/deliveries", None),
            ("POST", f"{path}/replays", {}),
        ):
            options = {} if sent is None else {"json": sent}
            assert (await world.request(method, at, actor=w.OTHER_BANK, **options)).status == 404, at
        rotated = await (await world.request("POST", f"{path}/secret", actor=w.BANK)).json()
        assert rotated["secret"] not in {None, made["secret"]}
        off = await (await world.request("PATCH", path, actor=w.BANK, json={"enabled": False})).json()
        assert (off["state"], off["disabled_reason"]) == ("disabled", "by_owner")
        assert (await world.request("DELETE", path, actor=w.BANK)).status == 204
        assert await (await world.request("GET", "/v1/webhooks", actor=w.BANK)).json() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": "http://10.0.0.1/"},
        {"url": "gopher://example.org/"},
        {"url": "http://127.0.0.1/", "kinds": ["*"]},
        {"url": "http://127.0.0.1/", "kinds": ["grants.x"] * 33},
        {"url": "http://127.0.0.1/", "name": "x" * 65},
        {"url": "http://127.0.0.1/" + "x" * 3000},
        {"url": "http://127.0.0.1/", "secret": "mine"},
    ],
)
async def test_a_webhook_that_cannot_be_is_refused(tmp_path: Path, body: dict[str, object]) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request("POST", "/v1/webhooks", actor=w.BANK, json=body)
        assert answer.status == 400, await answer.text()


def test_every_command_that_a_notice_names_is_one_that_the_program_has() -> None:
    named = {
        tuple(command.split())
        for words in WORDINGS.values()
        for text in (words.do_zh, words.do_en)
        for command in re.findall(r"zhenglian ((?:[a-z]+ ?)+)", text)
    }
    assert named
    program = typer.main.get_command(app)
    for words in named:
        found = program
        for word in words:
            found = found.commands[word]  # type: ignore[attr-defined]
