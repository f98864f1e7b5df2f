"""What a request may contain: each refusal names what is wrong, and nothing is read beyond its bound."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from ledger import codec
from node.http.config import TRANSACTION_BODY_BYTES_MAX, HttpConfig
from node.http.decode import translated
from node.http.routes import ROUTES, deposits
from tests.unit import http_world as w
from zhenglian import api

JSON = {"Content-Type": "application/json"}


MALFORMED = [
    (b"", "$"),
    (b"{", "$"),
    (b"[]", "$"),
    (b"null", "$"),
    (b'{"transaction": "AA=="} x', "$"),
    (b"\xff\xfe", "$"),
    (b'{"transaction": "\xff"}', "$"),
    (b"[" * 100_000, "$"),
    (b"{}", "transaction"),
    (b'{"transaction": 7}', "transaction"),
    (b'{"transaction": null}', "transaction"),
    (b'{"transaction": "not base64!"}', "transaction"),
    (b'{"transaction": "AA"}', "transaction"),
    (b'{"transaction": "AB=="}', "transaction"),
    (b'{"transaction": "AA==", "extra": 1}', "extra"),
]


async def test_a_malformed_body_names_the_member(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for body, member in MALFORMED:
            answer = await world.request("POST", "/v1/transactions", data=body, headers=JSON)
            problem = await answer.json()
            assert (answer.status, problem["code"]) == (400, "body_invalid"), problem
            assert problem["fields"]["member"] == member, body
            assert member in problem["detail_zh"]
            assert member in problem["detail_en"]
        assert not world.submission.waits


WRONG_MEMBERS = [
    ({"holder": "zz"}, "holder"),
    ({"fields": {"name": 1.5}}, "fields[...]"),
    ({"fields": {"name": {"a": "b"}}}, "fields[...]"),
    ({"salt_seed": "AB" * 32}, "salt_seed"),
    ({"attachments": [{"name": "scan", "media_type": "text/html", "data": ""}]}, "attachments[0].media_type"),
    ({"attachments": [{"name": "../x", "media_type": "image/png", "data": ""}]}, "attachments[0].name"),
    ({"attachments": [{"name": "scan", "media_type": "image/png", "data": "A"}]}, "attachments[0].data"),
    (
        {"attachments": [{"name": "scan", "media_type": "image/png", "data": "", "x": 1}]},
        "attachments[0].x",
    ),
    ({"attachments": [{"name": "scan", "media_type": "image/png", "data": ""}] * 17}, "attachments"),
    ({"certificate_type": ""}, "certificate_type"),
]


async def test_a_wrong_member_deep_inside_is_named_by_its_path(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for changes, member in WRONG_MEMBERS:
            answer = await world.request(
                "POST",
                "/v1/deposits/drafts",
                actor=w.DEPARTMENT,
                json=w.deposit_body(**changes),
                headers={"Idempotency-Key": "k"},
            )
            problem = await answer.json()
            assert answer.status == 400, changes
            assert problem["fields"]["member"] == member, problem
        assert not world.deposits.seen


IDS = {"code": "code", "release": "0" * 16}


async def test_every_route_with_a_body_refuses_one_byte_too_many(tmp_path: Path) -> None:
    small = [
        route for route in ROUTES if route.request and route.body_bytes_max <= TRANSACTION_BODY_BYTES_MAX
    ]
    assert len(small) >= 5
    async with w.served(tmp_path) as world:
        for route in small:
            actor = None if route.access.public else w.BANK
            headers = {**JSON, "Idempotency-Key": "k"}
            path = re.sub(r"\{(\w+)\}", lambda found: IDS.get(found[1], "0" * 32), route.path)
            fits = await world.request(
                route.method, path, actor=actor, data=b" " * route.body_bytes_max, headers=headers
            )
            assert fits.status == 400, route.path
            over = await world.request(
                route.method, path, actor=actor, data=b" " * (route.body_bytes_max + 1), headers=headers
            )
            assert over.status == 413, route.path
            assert (await over.json())["fields"] == {"maximum": route.body_bytes_max}


async def test_a_body_of_unstated_length_is_cut_off_at_the_bound(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 16 * 1024

    async with w.served(tmp_path) as world:
        answer = await world.request("POST", "/v1/transactions", data=endless(), headers=JSON)
        assert answer.status == 413


async def test_the_large_routes_take_what_the_api_promises_and_no_more(tmp_path: Path) -> None:
    largest = base64.b64encode(bytes(api.ATTACHMENT_SIZE_BYTES_MAX)).decode()
    over = base64.b64encode(bytes(api.ATTACHMENT_SIZE_BYTES_MAX + 1)).decode()

    def upload(data: str) -> dict[str, object]:
        return w.deposit_body(attachments=[{"name": "scan", "media_type": "image/png", "data": data}])

    async with w.served(tmp_path) as world:
        for number, (data, status) in enumerate(((largest, 201), (over, 413))):
            answer = await world.request(
                "POST",
                "/v1/deposits/drafts",
                actor=w.DEPARTMENT,
                data=io.BytesIO(json.dumps(upload(data)).encode()),
                headers={**JSON, "Idempotency-Key": str(number)},
            )
            assert answer.status == status
        assert len(world.deposits.seen[0].attachments[0].data) == api.ATTACHMENT_SIZE_BYTES_MAX


async def test_a_stated_length_beyond_the_bound_is_refused_before_any_of_it_comes(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        server = world.client.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        lines = [
            "POST /v1/deposits/drafts HTTP/1.1",
            "Host: localhost",
            f"Authorization: {world.log_in(w.DEPARTMENT)['Authorization']}",
            "Content-Type: application/json",
            "Idempotency-Key: k",
            f"Content-Length: {deposits.BODY_BYTES_MAX + 1}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
        writer.close()
        await writer.wait_closed()


async def test_more_large_bodies_than_there_is_room_for_are_sent_away_with_a_time(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=HttpConfig(large_bodies_max=1)) as world:
        world.deposits.gate = asyncio.Event()
        padded = json.dumps(w.deposit_body()).encode() + b" " * 1024 * 1024
        session = world.log_in(w.DEPARTMENT)

        async def deposit(key: str) -> ClientResponse:
            headers = {**JSON, **session, "Idempotency-Key": key}
            return await world.request(
                "POST", "/v1/deposits/drafts", data=io.BytesIO(padded), headers=headers
            )

        first = asyncio.ensure_future(deposit("1"))
        async with asyncio.timeout(10):
            await world.deposits.entered.wait()
        second = await deposit("2")
        assert second.status == 429
        assert int(second.headers["Retry-After"]) >= 1
        world.deposits.gate.set()
        assert (await first).status == 201
        assert (await deposit("2")).status == 201


WRONG_PARAMETERS = [
    ("/v1/blocks?limit=0", "limit"),
    (f"/v1/blocks?limit={api.PAGE_SIZE_MAX + 1}", "limit"),
    ("/v1/blocks?limit=ten", "limit"),
    ("/v1/blocks?cursor=-1", "cursor"),
    (f"/v1/blocks?cursor={2**63}", "cursor"),
    ("/v1/blocks?cursor=1&cursor=2", "cursor"),
    ("/v1/blocks?colour=red", "colour"),
    ("/v1/status?x=1", "x"),
    ("/v1/organizations?kind=person", "kind"),
    ("/v1/blocks/01", "height"),
    ("/v1/blocks/" + "9" * 40, "height"),
    ("/v1/accounts/xyz", "account"),
    ("/v1/accounts/" + "A" * 32, "account"),
    ("/v1/transactions/00", "transaction"),
    ("/v1/purposes/UPPER", "code"),
]


async def test_a_wrong_parameter_is_named(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for path, parameter in WRONG_PARAMETERS:
            answer = await world.request("GET", path)
            problem = await answer.json()
            assert (answer.status, problem["code"]) == (400, "parameter_invalid"), problem
            assert problem["fields"]["parameter"] == parameter, path
            assert parameter in problem["detail_zh"]


async def test_the_largest_page_is_allowed(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await world.request("GET", f"/v1/blocks?limit={api.PAGE_SIZE_MAX}")).status == 200


async def test_bytes_that_are_no_canonical_transaction_are_refused(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        good = codec.encode(world.chain.transaction(w.BANK, "grants", "request"))
        for wrong in (b"", b"\x00", good[:-1], good + b"\x00", bytes(66_000)):
            body = {"transaction": base64.b64encode(wrong).decode()}
            answer = await world.request("POST", "/v1/transactions", json=body)
            assert answer.status == (413 if len(wrong) > 65_536 else 400), len(wrong)
        assert not world.submission.waits


@pytest.mark.parametrize(
    ("reason", "zh"),
    [
        ("Object contains unknown field `x`", "没有名为 x 的成员"),
        ("Expected `str`, got `int`", "应为 str，实为 int"),
        ("Expected `str` of length <= 64", "应为长度 <= 64 的 str"),
        ("Expected `int` >= 1", "应为 >= 1 的 int"),
        ("something new", "something new"),
    ],
)
def test_the_decoders_reasons_are_told_in_chinese(reason: str, zh: str) -> None:
    assert translated(reason) == zh
