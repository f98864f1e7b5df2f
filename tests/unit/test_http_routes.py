"""What the routes answer when all is well, decoded by the same structs that the SDK uses."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from contracts.calls import RegisterPurposes
from contracts.records import (
    AccountKind,
    CertificateType,
    GrantState,
    Proposal,
    ProposalState,
    PurposeTemplate,
    ReleaseState,
    TemplateItem,
)
from ledger import codec
from ledger.crypto.suite import chain_id
from ledger.hashing import transaction_id
from ledger.receipts import epochs_from_json, receipt_from_json, trust_from_json
from node.http.pagination import SCAN_BATCH, SCAN_MAX
from node.http.views.releases import UNNAMED_SHOWN_MAX
from node.index.ports import cursor_of
from tests.unit import http_world as w
from tests.unit.ledger_world import SUITE, fixed
from zhenglian import api
from zhenglian.api_network import ProposalView

T = TypeVar("T")
KEY = {"Idempotency-Key": "k"}


async def _get(world: w.World, path: str, kind: type[T], actor: w.Actor | None = None, **options: Any) -> T:
    answer = await world.request("GET", path, actor=actor, **options)
    body = await answer.read()
    assert answer.status == 200, body
    return msgspec.json.decode(body, type=kind)


async def test_status_network_and_trust_describe_the_same_network(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        status = await _get(world, "/v1/status", api.NodeStatus)
        assert (status.height, status.validators, status.quorum) == (0, 4, 3)
        assert status.leader == world.chain.validators.validators[1].name
        network = await _get(world, "/v1/network", api.NetworkView)
        assert network.chain_id == status.chain_id == chain_id(SUITE, world.chain.genesis).hex()
        trust = await (await world.request("GET", "/v1/trust")).text()
        assert trust_from_json(trust) == world.chain.trust()


async def test_health_is_being_alive_and_readiness_is_being_level(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", "/healthz")).status == 200
        assert (await world.request("GET", "/readyz")).status == 200
        world.chain.syncing = True
        assert (await world.request("GET", "/healthz")).status == 200
        not_ready = await world.request("GET", "/readyz")
        assert not_ready.status == 503
        assert (await not_ready.json())["code"] == "unavailable"


async def test_a_node_that_found_its_store_damaged_lives_and_is_not_ready_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        world.chain.found_damaged = "block 7: other transactions"
        assert (await world.request("GET", "/healthz")).status == 200
        not_ready = await world.request("GET", "/readyz")
        assert not_ready.status == 503
        problem = await not_ready.json()
        assert (problem["code"], problem["fields"]["what"]) == ("storage_damaged", "block 7")
        for remedy in ("zhenglian node doctor", "zhenglian node resync"):
            assert remedy in problem["detail_zh"]
            assert remedy in problem["detail_en"]


async def test_head_answers_like_get_without_a_body(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        head = await world.request("HEAD", "/v1/network")
        assert head.status == 200
        assert await head.read() == b""
        assert head.headers["ETag"] == (await world.request("GET", "/v1/network")).headers["ETag"]


async def _blocks(world: w.World, count: int) -> None:
    for number in range(count):
        transaction = world.chain.transaction(w.BANK, "grants", "request", number)
        await world.finalize((transaction, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account),)))


async def test_blocks_are_listed_newest_first_over_pages_that_meet(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 5)
        heights: list[int] = []
        path, pages = "/v1/blocks?limit=2", 0
        while path:
            answer = await world.request("GET", path)
            heights += [block["height"] for block in await answer.json()]
            link = answer.headers.get("Link", "")
            assert not link or link.endswith('>; rel="next"')
            path = link.partition(">")[0].removeprefix("<")
            pages += 1
        assert heights == [5, 4, 3, 2, 1, 0]
        assert pages == 3


async def test_a_node_that_began_with_a_snapshot_says_which_blocks_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 5)
        everything = world.chain.header
        monkeypatch.setattr(world.chain, "first_height", 3)
        monkeypatch.setattr(
            world.chain, "header", lambda height: None if 0 < height < 3 else everything(height)
        )
        answer = await world.request("GET", "/v1/blocks?limit=2")
        heights = [block["height"] for block in await answer.json()]
        link = answer.headers["Link"].partition(">")[0].removeprefix("<")
        answer = await world.request("GET", link)
        heights += [block["height"] for block in await answer.json()]
        assert heights == [5, 4, 3]
        assert "Link" not in answer.headers
        lacking = await world.request("GET", "/v1/blocks/2")
        assert lacking.status == 404
        problem = await lacking.json()
        assert (problem["code"], problem["fields"]["first_height"]) == ("not_held", 3)
        assert (await world.request("GET", "/v1/blocks/0")).status == 200


async def test_changes_of_the_validators_are_for_everybody(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert epochs_from_json(await (await world.request("GET", "/v1/epochs")).text()) == ()


async def test_a_block_shows_who_signed_and_what_it_holds(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 1)
        block = await _get(world, "/v1/blocks/1", api.BlockView)
        names = [validator.name for validator in world.chain.validators.validators]
        assert block.signers == [names[0], names[2], names[3]]
        assert block.proposer_name == "operator"
        assert block.transactions == 1
        genesis = await _get(world, "/v1/blocks/0", api.BlockView)
        assert (genesis.transactions, genesis.signers) == (0, [])
        assert (await world.request("GET", "/v1/blocks/2")).status == 404


async def test_a_transaction_goes_from_pending_to_final_with_result_events_and_receipt(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        signed = world.chain.transaction(w.BANK, "grants", "request")
        body = {"transaction": world.base64(signed)}
        identity = transaction_id(SUITE, signed.body).hex()
        assert (await world.request("GET", f"/v1/transactions/{identity}")).status == 404
        pending = await world.request("POST", "/v1/transactions", json=body)
        assert pending.status == 202
        assert pending.headers["Location"] == f"/v1/transactions/{identity}"
        view = msgspec.json.decode(await pending.read(), type=api.TransactionView)
        assert (view.transaction_id, view.status, view.result) == (identity, "pending", None)

        await world.finalize((signed, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account),)))
        final = await world.request("POST", "/v1/transactions", json=body, headers={"Prefer": "wait=5"})
        assert final.status == 200
        view = msgspec.json.decode(await final.read(), type=api.TransactionView)
        assert view.result is not None
        assert (view.status, view.height, view.result.code) == ("finalized", 1, "ok")
        assert [event.cursor for event in view.result.events] == [str(cursor_of(1, 0, 0))]
        assert view.result.events[0].data == {"hash": "0102", "n": 3}
        path = f"/v1/transactions/{identity}/receipt"
        receipt = await (await world.request("GET", path, actor=w.BANK)).text()
        assert receipt_from_json(receipt).transaction == signed


async def test_a_denied_transaction_is_final_with_the_denials_code_and_words(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        signed = world.chain.transaction(w.BANK, "grants", "request")
        fields = (("asked", "face"), ("cap", "fields"), ("maximum", "name"))
        await world.finalize((signed, ()), code="over_ask", fields=fields)
        answer = await world.request("POST", "/v1/transactions", json={"transaction": world.base64(signed)})
        view = msgspec.json.decode(await answer.read(), type=api.TransactionView)
        assert answer.status == 200
        assert view.result is not None
        assert (view.result.code, view.result.fields) == ("over_ask", dict(fields))
        assert "face" in view.result.message_zh
        assert "face" in view.result.message_en


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait=7", 7),
        ("respond-async, wait=7", 7),
        ("wait=61", 60),
        ("wait=9999", 60),
        ("wait=-1", 0),
        ("wait=soon", 0),
        ("awaiting=5", 0),
    ],
)
async def test_prefer_wait_is_bounded(tmp_path: Path, prefer: str, seconds: int) -> None:
    async with w.served(tmp_path) as world:
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "grants", "request"))}
        await world.request("POST", "/v1/transactions", json=body, headers={"Prefer": prefer})
        assert world.submission.waits == [seconds]


async def test_the_etag_spares_an_answer_that_is_already_held(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        path = f"/v1/accounts/{w.BANK.account.hex()}"
        first = await world.request("GET", path)
        for held in (first.headers["ETag"], f'"x", W/{first.headers["ETag"]}', "*"):
            again = await world.request("GET", path, headers={"If-None-Match": held})
            assert (again.status, await again.read()) == (304, b"")
        w.change_key(world, w.BANK, revoked_ms=w.NOW_MS)
        changed = await world.request("GET", path, headers={"If-None-Match": first.headers["ETag"]})
        assert changed.status == 200


async def test_organisations_are_listed_by_kind(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        actors = (w.DEPARTMENT, w.BANK, w.OTHER_BANK, w.AUDITOR)
        events = tuple(w.event("organizations.registered", actor.account) for actor in actors)
        await world.finalize((world.chain.transaction(w.OPERATOR, "governance", "approve"), events))
        everyone = await _get(world, "/v1/organizations", list[api.AccountView])
        assert [account.name for account in everyone] == ["auditor", "other bank", "bank", "department"]
        banks = await _get(world, "/v1/organizations?kind=enterprise", list[api.AccountView])
        assert [account.name for account in banks] == ["other bank", "bank"]


async def test_the_catalogue_and_purposes_are_public(tmp_path: Path) -> None:
    kind = CertificateType(
        code="id_card",
        version=1,
        number=1,
        name_zh="身份证",
        name_en="ID card",
        issuers_zh=("公安局",),
        level_zh="市级",
        holder=AccountKind.PERSON,
        fields=("name",),
        attachments=(),
        schema=b'{"code": "id_card"}',
    )
    template = PurposeTemplate(
        code="loan",
        name_zh="贷款",
        name_en="Loan",
        items=(TemplateItem(certificate_type="id_card", fields=("name",), attachments=()),),
        uses_max=1,
        period_ms_max=1,
        data_life_ms_max=1,
    )
    async with w.served(tmp_path) as world:
        world.chain.records.types["id_card"] = kind
        world.chain.records.types["odd"] = msgspec.structs.replace(kind, code="odd", schema=b"\xffno json")
        world.chain.records.templates["loan"] = template
        listed = await _get(world, "/v1/certificate-types", list[api.CertificateTypeView])
        assert [view.schema for view in listed] == [{"code": "id_card"}, {}]
        one = await _get(world, "/v1/certificate-types/id_card", api.CertificateTypeView)
        assert one.name_zh == "身份证"
        purpose = await _get(world, "/v1/purposes/loan", api.PurposeView)
        assert [purpose] == await _get(world, "/v1/purposes", list[api.PurposeView])
        for path in ("/v1/certificate-types/none", "/v1/purposes/none"):
            assert (await world.request("GET", path)).status == 404


async def test_a_deposit_reaches_the_service_decoded_and_answers_with_a_draft(tmp_path: Path) -> None:
    upload = {"name": "scan", "media_type": "image/png", "data": base64.b64encode(b"pixels").decode()}
    async with w.served(tmp_path) as world:
        answer = await world.request(
            "POST",
            "/v1/deposits/drafts",
            actor=w.DEPARTMENT,
            json=w.deposit_body(attachments=[upload], fields={"name": "张三", "rows": [{"a": 1, "b": "x"}]}),
            headers=KEY,
        )
        draft = msgspec.json.decode(await answer.read(), type=api.DepositDraft)
        (seen,) = world.deposits.seen
        assert answer.status == 201
        assert (seen.certificate_id, seen.holder) == (w.CERTIFICATE_ID, w.PERSON.account)
        assert seen.fields == {"name": "张三", "rows": [{"a": 1, "b": "x"}]}
        assert seen.attachments[0].data == b"pixels"
        assert draft.attachments == ["scan"]


async def test_a_release_is_asked_for_by_its_signer_only_and_only_with_that_call(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.releases[w.RELEASE_ID] = w.release()
        right = world.chain.transaction(w.BANK, "releases", "request")
        other = world.chain.transaction(w.OTHER_BANK, "releases", "request")
        wrong = world.chain.transaction(w.BANK, "grants", "request")
        for signed, status, code in ((other, 403, "not_the_signer"), (wrong, 400, "wrong_call")):
            answer = await world.request(
                "POST", "/v1/releases", actor=w.BANK, json={"transaction": world.base64(signed)}, headers=KEY
            )
            assert (answer.status, (await answer.json())["code"]) == (status, code)
        assert not world.releases.waits
        answer = await world.request(
            "POST",
            "/v1/releases",
            actor=w.BANK,
            json={"transaction": world.base64(right)},
            headers={**KEY, "Prefer": "wait=30"},
        )
        view = msgspec.json.decode(await answer.read(), type=api.ReleaseView)
        assert (answer.status, world.releases.waits) == (200, [30])
        assert answer.headers["Location"] == view.status_url == f"/v1/releases/{w.RELEASE_ID.hex()}"
        assert view.files[0].url == f"{view.status_url}/files/0"
        assert view.officer_label == "key of bank"
        world.chain.records.releases[w.RELEASE_ID] = w.release(ReleaseState.REQUESTED)
        again = await world.request(
            "POST",
            "/v1/releases",
            actor=w.BANK,
            json={"transaction": world.base64(right)},
            headers={"Idempotency-Key": "2"},
        )
        assert again.status == 202


async def test_a_file_comes_with_its_name_hash_and_digest(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.releases[w.RELEASE_ID] = w.release()
        path = f"/v1/releases/{w.RELEASE_ID.hex()}/files"
        answer = await world.request("GET", f"{path}/0", actor=w.BANK)
        data = await answer.read()
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        assert data == b"marked bytes"
        assert answer.content_type == "text/csv"
        assert answer.headers["ETag"] == f'"{fixed("file").hex()}"'
        assert answer.headers["Digest"] == f"sha-256={digest}"
        assert answer.headers["Content-Digest"] == f"sha-256=:{digest}:"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="release-')
        assert (await world.request("GET", f"{path}/1", actor=w.BANK)).status == 404
        assert (await world.request("GET", f"{path}/100", actor=w.BANK)).status == 400


async def test_files_of_an_own_release_are_not_for_whoever_recovered_the_account_lately(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.releases[w.RELEASE_ID] = replace(w.release(), grantee=w.PERSON.account)
        accounts = world.chain.records.accounts
        for until_ms, status in ((0, 200), (w.NOW_MS + 60_000, 403)):
            accounts[w.PERSON.account] = replace(accounts[w.PERSON.account], restricted_until_ms=until_ms)
            for path in ("files", "files/0"):
                url = f"/v1/releases/{w.RELEASE_ID.hex()}/{path}"
                answer = await world.request("GET", url, actor=w.PERSON)
                assert answer.status == status, path
                if status == 403:
                    assert (await answer.json())["code"] == "account_restricted"


async def test_a_trace_takes_the_file_and_shows_progress(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.traces[w.TRACE_ID] = w.trace()
        body = {
            "transaction": world.base64(world.chain.transaction(w.AUDITOR, "traces", "request")),
            "file": base64.b64encode(b"leak").decode(),
        }
        answer = await world.request("POST", "/v1/traces", actor=w.AUDITOR, json=body, headers=KEY)
        view = msgspec.json.decode(await answer.read(), type=api.TraceView)
        assert answer.status == 202
        assert world.traces.files == [b"leak"]
        assert (view.verdict, view.progress, view.candidates) == ("open", 0.5, 3)
        assert answer.headers["Location"] == f"/v1/traces/{w.TRACE_ID.hex()}"


async def test_of_an_untraceable_leak_the_first_who_had_it_are_shown_and_all_are_counted(
    tmp_path: Path,
) -> None:
    async with w.served(tmp_path) as world:
        world.chain.records.traces[w.TRACE_ID] = w.trace()
        world.chain.records.releases[w.RELEASE_ID] = w.release()
        everybody = (w.RELEASE_ID,) * (UNNAMED_SHOWN_MAX + 1)
        world.traces.found = dataclasses.replace(world.traces.found, unnamed=everybody)
        answer = await world.request("GET", f"/v1/traces/{w.TRACE_ID.hex()}", actor=w.OPERATOR)
        view = msgspec.json.decode(await answer.read(), type=api.TraceView)
        assert (len(view.unnamed), view.unnamed_total) == (UNNAMED_SHOWN_MAX, UNNAMED_SHOWN_MAX + 1)
        assert {(one.release_id, one.grantee) for one in view.unnamed} == {
            (w.RELEASE_ID.hex(), w.release().grantee.hex())
        }


async def test_a_proposal_spells_its_action_out(tmp_path: Path) -> None:
    template = PurposeTemplate(
        code="loan",
        name_zh="贷款",
        name_en="Loan",
        items=(TemplateItem(certificate_type="id_card", fields=("name",), attachments=()),),
        uses_max=1,
        period_ms_max=1,
        data_life_ms_max=1,
    )
    proposal = Proposal(
        proposal_id=w.PROPOSAL_ID,
        proposer=w.OPERATOR.account,
        action=codec.encode(RegisterPurposes(purposes=(template,))),
        approvals=(w.OPERATOR.account,),
        state=ProposalState.OPEN,
        proposed_ms=w.NOW_MS,
        expires_ms=w.NOW_MS + 1,
    )
    async with w.served(tmp_path) as world:
        world.chain.records.proposals[w.PROPOSAL_ID] = proposal
        transaction = world.chain.transaction(w.OPERATOR, "governance", "propose")
        await world.finalize((transaction, (w.event("governance.proposed", w.PROPOSAL_ID),)))
        view = await _get(world, f"/v1/proposals/{w.PROPOSAL_ID.hex()}", ProposalView)
        assert view.action == "register_purposes"
        assert view.summary["purposes"][0]["items"][0]["fields"] == ["name"]
        assert view.approvals == ["operator"]
        assert await _get(world, "/v1/proposals?state=open", list[ProposalView]) == [view]
        assert await _get(world, "/v1/proposals?state=expired", list[ProposalView]) == []


async def test_grants_are_listed_by_part_and_state_over_pages_that_meet(tmp_path: Path) -> None:
    states = [GrantState.ACTIVE, GrantState.REVOKED, GrantState.ACTIVE, GrantState.PAUSED, GrantState.ACTIVE]
    async with w.served(tmp_path) as world:
        for number, state in enumerate(states):
            grant = w.grant(f"grant {number}", state=state)
            world.chain.records.grants[grant.grant_id] = grant
            asked = world.chain.transaction(w.BANK, "grants", "request", number)
            event = w.event("grants.requested", grant.grant_id, w.PERSON.account, w.BANK.account)
            await world.finalize((asked, (event,)))
        session = world.log_in(w.PERSON)
        path, seen, pages = "/v1/grants?state=active&limit=2&role=principal", [], 0
        while path:
            answer = await world.request("GET", path, headers=session)
            seen += [grant["grant_id"] for grant in await answer.json()]
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
            pages += 1
        assert seen == [fixed(f"grant {number}", size=16).hex() for number in (4, 2, 0)]
        assert pages == 2
        everything: list[str] = []
        path = "/v1/grants?limit=2"
        while path:
            answer = await world.request("GET", path, headers=session)
            everything += [grant["grant_id"] for grant in await answer.json()]
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
        assert everything == [fixed(f"grant {number}", size=16).hex() for number in (4, 3, 2, 1, 0)]
        as_grantee = await _get(world, "/v1/grants?role=grantee", list[api.GrantView], headers=session)
        assert as_grantee == []


async def test_a_page_does_bounded_work_and_the_next_goes_on_where_it_stopped(tmp_path: Path) -> None:
    per_block = SCAN_BATCH
    async with w.served(tmp_path) as world:
        wanted = w.grant("wanted", state=GrantState.PAUSED)
        world.chain.records.grants[wanted.grant_id] = wanted
        first = world.chain.transaction(w.BANK, "grants", "request", "first")
        await world.finalize((first, (w.event("grants.requested", wanted.grant_id, w.BANK.account),)))
        for number in range(SCAN_MAX // per_block):
            happened = []
            for part in range(per_block // 50):
                signed = world.chain.transaction(w.BANK, "grants", "request", number, part)
                events = tuple(
                    w.event("grants.requested", fixed("gone", number, i, size=16)) for i in range(50)
                )
                happened.append((signed, events))
            await world.finalize(*happened)
        session = world.log_in(w.BANK)
        answer = await world.request("GET", "/v1/grants", headers=session)
        assert await answer.json() == []
        following = answer.headers["Link"].partition(">")[0].removeprefix("<")
        rest = await world.request("GET", following, headers=session)
        assert [grant["grant_id"] for grant in await rest.json()] == [wanted.grant_id.hex()]
        assert "Link" not in rest.headers


async def test_events_are_listed_newest_first_over_pages_that_meet(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _blocks(world, 5)
        session = world.log_in(w.PERSON)
        cursors: list[str] = []
        following = ""
        while True:
            path = f"/v1/events?limit=2&kind=grants.{'&cursor=' + following if following else ''}"
            answer = await world.request("GET", path, headers=session)
            page = msgspec.json.decode(await answer.read(), type=api.Page)
            cursors += [item.cursor for item in page.items]
            following = page.next
            if not following:
                break
        assert cursors == [str(cursor_of(height, 0, 0)) for height in (5, 4, 3, 2, 1)]
