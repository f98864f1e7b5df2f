"""Deposits and fetches over the API: the SDK that signs for itself, and callers who leave that to the agent key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from contracts.calls import CertificatesIssue
from ledger import codec
from ledger.store_records import NotHeld
from node.chain import Chain
from node.services.fetches import FetchConflict, Wanted
from node.services.ports import TransactionStatus
from tests.unit.contracts_world import DEPARTMENT, LI
from tests.unit.deposits_world import Served, lines, row, served
from tests.unit.node_replica import CARD, OFFICER
from tests.unit.test_node_deposits import PDF, PNG
from zhenglian import Denied
from zhenglian.errors import ApiError
from zhenglian.plans.bulk import Resume
from zhenglian.plans.transactions import sign
from zhenglian.rows import ColumnsInvalid

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        yield made


def rows(count: int) -> list[dict[str, object]]:
    return [row(number) for number in range(1, count + 1)]


# --- the SDK signs ---


async def test_the_sdk_signs_every_row_itself_and_reports_each(city: Served) -> None:
    wanted = rows(70)
    wanted[4]["identity_number"] = "1"
    done = await city.officer.deposit_rows(wanted, certificate_type=CARD)
    assert not done.good
    assert [one.state for one in done.rows].count("issued") == 69
    assert [(one.row, one.problems[0].code) for one in done.rows if one.state != "issued"] == [
        (5, "identity_number")
    ]
    assert len(city.depot.issued()) == 69
    certificate = city.depot.node.chain.records.certificate(bytes.fromhex(done.rows[0].certificate_id))
    assert certificate is not None
    assert (certificate.issued_by, certificate.agent) == (DEPARTMENT.key_id, b"")


async def test_going_on_with_a_deposit_puts_no_row_up_twice(city: Served) -> None:
    resume = Resume(key="a" * 32, salt_seed="b" * 64)
    first = await city.officer.deposit_rows(rows(3), certificate_type=CARD, resume=resume)
    again = await city.officer.deposit_rows(rows(3), certificate_type=CARD, resume=resume)
    assert [one.certificate_id for one in first.rows] == [one.certificate_id for one in again.rows]
    assert len(city.depot.issued()) == 3


async def test_a_dry_run_asks_the_node_for_nothing(city: Served, tmp_path: Path) -> None:
    done = await city.officer.deposit_rows(rows(2), certificate_type=CARD, dry_run=True)
    assert done.good
    assert done.job is None
    assert city.depot.issued() == []


async def test_a_workbook_goes_up_with_its_days_and_its_files(city: Served, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    content = {**row(1), "payments": "[]", "document": "li.pdf", "card": "li.png"}
    sheet.append(list(content))
    sheet.append(list(content.values()))
    book.save(tmp_path / "table.xlsx")
    (tmp_path / "li.pdf").write_bytes(PDF.data)
    (tmp_path / "li.png").write_bytes(PNG.data)
    done = await city.officer.deposit_file(tmp_path / "table.xlsx", certificate_type=CARD, files=tmp_path)
    assert done.good, done.rows
    certificate = city.depot.node.chain.records.certificate(bytes.fromhex(done.rows[0].certificate_id))
    assert certificate is not None
    assert certificate.attachments == ("document", "card")


async def test_a_file_outside_the_folder_is_not_read(city: Served, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.pdf").write_bytes(PDF.data)
    content = [{**row(1), "document": "../secret.pdf"}]
    done = await city.officer.deposit_rows(content, certificate_type=CARD, files=tmp_path / "files")
    assert [one.code for one in done.rows[0].problems] == ["attachment_missing"]


async def test_a_column_of_no_field_is_refused_before_anything_is_sent(city: Served) -> None:
    with pytest.raises(ColumnsInvalid):
        await city.officer.deposit_rows([{**row(1), "备注": "x"}], certificate_type=CARD)
    done = await city.officer.deposit_rows(
        [{**row(1), "备注": "x"}], certificate_type=CARD, mapping={"备注": ""}
    )
    assert done.good


async def test_a_signature_is_taken_for_its_own_row_only(city: Served) -> None:
    headers = await city.token()
    begun = await city.http.post(
        "/v1/deposits/uploads",
        json={"certificate_type": CARD, "signed_by": "officer", "salt_seed": "0" * 64, "rows_total": 2},
        headers={**headers, "Idempotency-Key": "by hand"},
    )
    url = begun.json()["status_url"]
    fields = {name: value for name, value in row(1).items() if not name.startswith("@")}
    asked = {"rows": [{"row": n, "holder": LI.account.hex(), "fields": fields} for n in (1, 2)]}
    drafts = (await city.http.post(url + "/rows", json=asked, headers=headers)).json()
    second = drafts[1]
    args = CertificatesIssue(
        certificate_id=bytes.fromhex(second["certificate_id"]),
        certificate_type=CARD,
        type_version=second["type_version"],
        holder=LI.account,
        commitment_root=bytes.fromhex(second["commitment_root"]),
        payload_hash=bytes.fromhex(second["payload_hash"]),
        fields=tuple(second["fields"]),
        attachments=(),
        valid_from_ms=0,
        valid_until_ms=0,
        supersedes=b"",
    )
    signed = await city.officer.run(sign(city.officer.core, args))
    codes = []
    for number in (1, 3, 2):
        answer = await city.http.post(
            url + "/signatures",
            json={"signed": [{"row": number, "transaction": signed.text}]},
            headers=headers,
        )
        codes.append(answer.json().get("code", "taken"))
    assert codes == ["deposit_signature_other", "deposit_row_unknown", "taken"]
    same = (await city.http.post(url + "/rows", json=asked, headers=headers)).json()
    assert same[0] == drafts[0], "the same row again is the same draft"


# --- an agent signs ---


async def test_one_call_without_a_key_puts_a_table_up(city: Served) -> None:
    agent = await city.admin.create_agent()
    headers = {**await city.token(), "Idempotency-Key": "one-call", "Prefer": "wait=30"}
    content = json.dumps(rows(3)).encode()
    answer = await city.http.post(
        f"/v1/deposits?type={CARD}",
        content=content,
        headers={**headers, "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["state"], job["rows"]["issued"]) == ("done", 3)
    assert answer.headers["Location"] == job["status_url"]
    report = await city.http.get(job["report_url"], headers=await city.token())
    assert [one["state"] for one in report.json()["rows"]] == ["issued"] * 3
    sheet = await city.http.get(job["report_url"] + "?format=csv", headers=await city.token())
    assert sheet.text.startswith("\ufeffrow/行,")
    assert [one.standing for one in await city.admin.agents()] == ["active"]
    await city.admin.revoke_agent(agent.key_id)
    assert await city.admin.agents() == []
    refused = await city.http.post(
        f"/v1/deposits?type={CARD}",
        content=content,
        headers={**headers, "Content-Type": "application/json", "Idempotency-Key": "other"},
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "agent_missing")


async def test_multipart_brings_a_row_and_its_files(city: Served) -> None:
    await city.admin.create_agent()
    content = {**row(1), "document": "li.pdf", "card": "li.png"}
    parts = [
        ("deposit", (None, json.dumps(content).encode(), "application/json")),
        ("a", ("li.pdf", PDF.data, "application/pdf")),
        ("b", ("li.png", PNG.data, "image/png")),
    ]
    headers = {**await city.token(), "Idempotency-Key": "multi", "Prefer": "wait=30"}
    for _ in range(2):
        answer = await city.http.post(f"/v1/deposits?type={CARD}", files=parts, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"]["issued"] == 1, (
            await city.http.get(answer.json()["report_url"], headers=headers)
        ).text
    assert len(city.depot.issued()) == 1


async def test_an_upload_in_pieces(city: Served) -> None:
    await city.admin.create_agent()
    data = lines(*rows(2))
    headers = await city.token()
    begun = await city.http.post(
        "/v1/deposits/uploads",
        json={
            "certificate_type": CARD,
            "signed_by": "agent",
            "media_type": "application/x-ndjson",
            "size_bytes": len(data),
        },
        headers={**headers, "Idempotency-Key": "pieces"},
    )
    assert begun.status_code == 201, begun.text
    url = begun.json()["status_url"]
    octets = {"Content-Type": "application/octet-stream"}
    first = await city.http.patch(
        url + "/content", content=data[:500], headers={**headers, **octets, "Upload-Offset": "0"}
    )
    assert (first.status_code, first.headers["Upload-Offset"]) == (202, "500")
    wrong = await city.http.patch(
        url + "/content", content=data, headers={**headers, **octets, "Upload-Offset": "0"}
    )
    assert (wrong.status_code, wrong.json()["fields"]["expected"]) == (409, 500)
    await city.http.patch(
        url + "/content", content=data[500:], headers={**headers, **octets, "Upload-Offset": "500"}
    )
    ended = await city.http.get(url, headers={**headers, "Prefer": "wait=30"})
    assert ended.json()["rows"]["issued"] == 2


async def test_only_an_administrator_asks_for_an_agent_key(city: Served) -> None:
    with pytest.raises(ApiError) as refused:
        await city.officer.create_agent()
    assert refused.value.status == 403


async def test_an_agent_key_opens_no_session_and_does_nothing_else(city: Served) -> None:
    view = await city.admin.create_agent()
    name, signer = city.depot.parts.agents._usable(DEPARTMENT.account) or (b"", None)
    assert name.hex() == view.key_id
    assert signer is not None
    challenge = await city.http.post(
        "/v1/sessions/challenges", json={"account": DEPARTMENT.account.hex(), "key_id": view.key_id}
    )
    from ledger import domains

    signature = signer.sign(domains.SESSION, bytes.fromhex(challenge.json()["challenge"]))
    session = await city.http.post(
        "/v1/sessions",
        json={
            "account": DEPARTMENT.account.hex(),
            "key_id": view.key_id,
            "challenge": challenge.json()["challenge"],
            "signature": signature.hex(),
        },
    )
    token = session.json().get("token", "")
    answer = await city.http.get("/v1/deposits", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in {401, 403}


# --- down ---


async def grant(city: Served) -> str:
    """Li's consent to the department for what one deposited certificate says."""
    node = city.depot.node
    done = await city.officer.deposit_rows(rows(1), certificate_type=CARD)
    certificate = node.chain.records.certificate(bytes.fromhex(done.rows[0].certificate_id))
    assert certificate is not None
    from node.services.ports import Draft

    draft = Draft(
        certificate_id=certificate.certificate_id,
        certificate_type=CARD,
        type_version=1,
        commitment_root=certificate.commitment_root,
        payload_hash=certificate.payload_hash,
        fields=certificate.fields,
        attachments=(),
        replicas=1,
        expires_ms=0,
    )
    return (await node.grant(DEPARTMENT, draft)).hex()


async def test_one_call_fetches_what_a_grant_opens_and_retries_cost_no_second_use(city: Served) -> None:
    await city.admin.create_agent()
    granted = await grant(city)
    headers = {**await city.token(), "Idempotency-Key": "down", "Prefer": "wait=30", "Accept": "*/*"}
    bodies = []
    for _ in range(2):
        answer = await city.http.post(
            "/v1/releases", json={"grant": granted, "format": "json"}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        bodies.append(answer.content)
    assert bodies[0] == bodies[1]
    view = (await city.http.get(answer.headers["Location"], headers=await city.token())).json()
    assert view["officer"] == DEPARTMENT.key_id.hex()
    record = city.depot.node.chain.records.grant(bytes.fromhex(granted))
    assert record is not None
    assert record.uses_left == record.uses_max - 1
    part = await city.http.get(
        view["files"][0]["url"], headers={**await city.token(), "Range": "bytes=10-19"}
    )
    assert (part.status_code, part.content) == (206, bodies[0][10:20])
    whole = await city.http.get(view["status_url"] + "/files", headers=await city.token())
    assert whole.headers["Content-Type"] == "application/zip"
    acknowledged = await city.http.post(
        view["status_url"] + "/acknowledgement",
        json={"file_hashes": [one["file_hash"] for one in view["files"]]},
        headers=await city.token(),
    )
    assert acknowledged.json()["state"] == "delivered"


async def test_the_same_key_at_the_same_moment_costs_one_use(city: Served) -> None:
    """Each of the two had a request of its own signed and sent."""
    await city.admin.create_agent()
    granted = await grant(city)
    wish = Wanted(
        grant=bytes.fromhex(granted), purpose="", holder=b"", certificate=b"", file_format="json", fields=()
    )
    fetches = city.depot.parts.fetches
    signed = await asyncio.gather(*(fetches.signed(wish, OFFICER, "down") for _ in range(6)))
    assert len(set(map(codec.encode, signed))) == 1
    with pytest.raises(FetchConflict):
        await fetches.signed(replace(wish, file_format="csv"), OFFICER, "down")


async def test_the_same_key_costs_no_second_use_when_the_request_is_no_longer_held_here(
    city: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruned, the request was taken for expired, and another one signed."""
    await city.admin.create_agent()
    granted = await grant(city)
    headers = {**await city.token(), "Idempotency-Key": "down", "Prefer": "wait=30", "Accept": "*/*"}
    wish = {"grant": granted, "format": "json"}
    before = await city.http.post("/v1/releases", json=wish, headers=headers)
    node = city.depot.node
    later = node.now_ms + 2 * node.chain.genesis.limits.transaction_lifetime_ms_max

    def pruned(name: bytes) -> TransactionStatus:
        raise NotHeld(what="transaction", id=name.hex(), first_height=9)

    async def not_taken(_transaction: object, *, wait_s: float) -> TransactionStatus:
        raise NotHeld(what="transaction", id="", first_height=9)

    monkeypatch.setattr(node.submission, "status", pruned)
    monkeypatch.setattr(node.submission, "submit", not_taken)
    monkeypatch.setattr(Chain, "head_time_ms", property(lambda _chain: later))
    again = await city.http.post("/v1/releases", json=wish, headers=headers)
    assert (again.status_code, again.content) == (200, before.content)


async def test_the_same_key_for_another_wish_is_refused(city: Served) -> None:
    await city.admin.create_agent()
    granted = await grant(city)
    headers = {**await city.token(), "Idempotency-Key": "down", "Accept": "application/json"}
    first = await city.http.post("/v1/releases", json={"grant": granted, "format": "json"}, headers=headers)
    assert first.status_code in {200, 202}
    other = await city.http.post("/v1/releases", json={"grant": granted, "format": "csv"}, headers=headers)
    assert other.status_code == 409


async def test_purpose_and_holder_find_the_grant(city: Served, tmp_path: Path) -> None:
    granted = await grant(city)
    got = await city.officer.fetch(
        purpose="loan", holder=LI.account.hex(), file_format="json", to_dir=tmp_path / "down"
    )
    assert got.release.grant_id == granted
    assert got.release.state == "delivered"
    assert json.loads(got.files[0].read_bytes())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"format": "json"},
        {"grant": "0" * 32},
        {"grant": "0" * 32, "purpose": "loan", "holder": "1" * 32, "format": "json"},
        {"transaction": "", "grant": "0" * 32},
    ],
)
async def test_a_wish_that_is_not_one_is_refused(city: Served, body: dict[str, str]) -> None:
    answer = await city.http.post(
        "/v1/releases", json=body, headers={**await city.token(), "Idempotency-Key": "x"}
    )
    assert answer.status_code == 400
    assert Denied.code == "denied"
