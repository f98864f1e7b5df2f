"""`POST /v1/traces/candidates`: for auditors' officers, within bounds, slowly, and with nothing but ids in the answer."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import msgspec
import pytest

from ledger.errors import Busy, Unavailable
from node.http.config import HttpConfig, Rate, RateClass, default_rates
from node.http.routes.traces import BODY_BYTES_MAX
from tests.unit import http_world as w
from zhenglian import api

PATH = "/v1/traces/candidates"


def body_of(data: bytes) -> dict[str, str]:
    return {"file": base64.b64encode(data).decode()}


async def test_an_auditors_officer_is_told_ids_and_how_they_were_found(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request("POST", PATH, actor=w.AUDITOR, json=body_of(b"leak"))
        assert answer.status == 200
        assert msgspec.json.decode(await answer.read()) == {
            "file_hash": w.SUITE.digest(b"leak").hex(),
            "candidates": [
                {"certificate": w.CERTIFICATE_ID.hex(), "found_by": ["identifier", "certificate_number"]}
            ],
            "more": True,
            "partial": True,
            "notes": ["a note"],
        }
        assert world.finding.files == [(b"leak", w.AUDITOR.key_id)]


async def test_nobody_else_may_ask(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("POST", PATH, json=body_of(b"leak"))).status == 401
        for actor in w.ACTORS:
            if actor is not w.AUDITOR:
                answer = await world.request("POST", PATH, actor=actor, json=body_of(b"leak"))
                assert answer.status == 403, actor.name
        assert world.finding.files == []


@pytest.mark.parametrize(
    "body",
    [{}, {"file": "%%%"}, {"file": 7}, {"file": "AA==", "certificates": []}, {"file": "A"}],
    ids=["nothing", "no base64", "a number", "unknown member", "broken base64"],
)
async def test_a_body_of_another_form_is_refused(tmp_path: Path, body: dict[str, object]) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request("POST", PATH, actor=w.AUDITOR, json=body)
        assert answer.status in {400, 422}
        assert world.finding.files == []


async def test_too_large_a_body_is_refused(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        answer = await world.request(
            "POST",
            PATH,
            actor=w.AUDITOR,
            data=io.BytesIO(bytes(BODY_BYTES_MAX + 1)),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status == 413
        assert world.finding.files == []


async def test_looks_are_few_so_that_nobody_tries_all_numbers(tmp_path: Path) -> None:
    usual = default_rates()[RateClass.FIND]
    assert (usual.per_s, usual.burst) == (0.1, 20)
    config = HttpConfig(rates={**default_rates(), RateClass.FIND: Rate(0.1, 2)})
    async with w.served(tmp_path, config=config) as world:
        answers = [
            await world.request("POST", PATH, actor=w.AUDITOR, json=body_of(b"leak")) for _ in range(3)
        ]
        assert [answer.status for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize("error", [Busy(what="x", retry_after_s=5), Unavailable(what="x", reason="full")])
async def test_a_node_that_cannot_look_now_says_when(tmp_path: Path, error: Exception) -> None:
    async with w.served(tmp_path) as world:
        world.finding.error = error
        answer = await world.request("POST", PATH, actor=w.AUDITOR, json=body_of(b"leak"))
        assert answer.status in {429, 503}
        assert "Retry-After" in answer.headers


def test_the_answer_has_no_room_for_data_or_holders() -> None:
    assert set(api.TraceCandidate.__struct_fields__) == {"certificate", "found_by"}


LOOKS = "/v1/traces/looks"


async def test_who_looked_is_told_page_by_page(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        path, sizes = f"{LOOKS}?limit=2", []
        while path:
            answer = await world.request("GET", path, actor=w.AUDITOR)
            assert answer.status == 200
            page = msgspec.json.decode(await answer.read(), type=list[api.TraceLookView])
            assert len(page) <= 2
            sizes += [look.size_bytes for look in page]
            link = answer.headers.get("Link", "")
            path = link.partition("<")[2].partition(">")[0]
        assert sizes == [5, 4, 3, 2, 1]
        assert (page[0].account, page[0].key_id) == (w.AUDITOR.account.hex(), w.AUDITOR.key_id.hex())
        named = api.TraceCandidate(certificate=w.CERTIFICATE_ID.hex(), found_by=["identifier", "qr_code"])
        assert page[0].found == [named]
        assert world.finding.files == []


async def test_nobody_else_is_told_who_looked(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", LOOKS)).status == 401
        for actor in w.ACTORS:
            if actor is not w.AUDITOR:
                assert (await world.request("GET", LOOKS, actor=actor)).status == 403, actor.name


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "cursor=-1", "cursor=x", f"cursor={2**64}", "what=1"]
)
async def test_a_page_of_looks_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", f"{LOOKS}?{query}", actor=w.AUDITOR)).status in {400, 422}
