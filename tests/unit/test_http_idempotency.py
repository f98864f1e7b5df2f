"""Idempotency keys: one request, one effect, one answer."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from ledger.errors import StorageDamaged, Unavailable
from node.http.config import IDEMPOTENCY_KEY_LENGTH_MAX, HttpConfig
from node.http.idempotency import ANSWER_SIZE_BYTES_MAX, REPLAYED, IdempotencyStore
from node.http.problems import Answer
from tests.unit import http_world as w


async def _deposit(
    world: w.World, key: str, *, actor: w.Actor = w.DEPARTMENT, **changes: object
) -> tuple[int, bytes]:
    answer = await world.request(
        "POST",
        "/v1/deposits/drafts",
        actor=actor,
        json=w.deposit_body(**changes),
        headers={"Idempotency-Key": key},
    )
    return answer.status, await answer.read()


async def test_the_same_key_and_request_gets_the_same_answer_without_a_second_effect(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        first = await _deposit(world, "k")
        assert first[0] == 201
        answer = await world.request(
            "POST",
            "/v1/deposits/drafts",
            actor=w.DEPARTMENT,
            json=w.deposit_body(),
            headers={"Idempotency-Key": "k"},
        )
        assert (answer.status, await answer.read()) == first
        assert answer.headers[REPLAYED] == "true"
        assert len(world.deposits.seen) == 1
        assert (await _deposit(world, "other"))[0] == 201
        assert len(world.deposits.seen) == 2


async def test_the_answer_is_replayed_after_a_restart(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        first = await _deposit(world, "k")
    async with w.served(tmp_path) as world:
        assert await _deposit(world, "k") == first
        assert not world.deposits.seen


async def test_the_same_key_with_another_request_is_a_conflict(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await _deposit(world, "k")
        status, body = await _deposit(world, "k", certificate_type="passport")
        assert status == 409
        assert b"idempotency_conflict" in body
        assert len(world.deposits.seen) == 1


async def test_keys_of_different_callers_are_different_keys(tmp_path: Path) -> None:
    other = w.Actor(name="second department", kind=w.DEPARTMENT.kind, role=w.DEPARTMENT.role)
    async with w.served(tmp_path) as world:
        world.chain.records.accounts[other.account] = other.record()
        assert (await _deposit(world, "k"))[0] == 201
        assert (await _deposit(world, "k", actor=other, certificate_type="passport"))[0] == 201
        assert len(world.deposits.seen) == 2


async def test_concurrent_requests_under_one_key_have_one_effect(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.deposits.gate = asyncio.Event()
        together = [asyncio.ensure_future(_deposit(world, "k")) for _ in range(5)]
        async with asyncio.timeout(10):
            await world.deposits.entered.wait()
        world.deposits.gate.set()
        answers = await asyncio.gather(*together)
        assert len(set(answers)) == 1
        assert answers[0][0] == 201
        assert len(world.deposits.seen) == 1
        assert not world.site.idempotency._locks


async def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.deposits.error = Unavailable(what="replica", reason="down")
        assert (await _deposit(world, "k"))[0] == 503
        world.deposits.error = None
        assert (await _deposit(world, "k"))[0] == 201


async def test_a_key_is_required_where_a_repetition_would_do_harm(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for path, actor in (
            ("/v1/deposits/drafts", w.DEPARTMENT),
            ("/v1/releases", w.BANK),
            ("/v1/traces", w.AUDITOR),
        ):
            answer = await world.request("POST", path, actor=actor, json={})
            assert answer.status == 400
            assert (await answer.json())["code"] == "idempotency_key_required"


async def test_a_key_has_a_longest_length_and_visible_characters(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        assert (await _deposit(world, "k" * IDEMPOTENCY_KEY_LENGTH_MAX))[0] == 201
        for wrong in ("k" * (IDEMPOTENCY_KEY_LENGTH_MAX + 1), "钥匙", "a\tb"):
            status, body = await _deposit(world, wrong)
            assert status == 400
            assert b"Idempotency-Key" in body


async def test_tokens_and_tags_never_reach_the_disk(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        headers = {"Idempotency-Key": "k"}
        for actor in (w.BANK, w.DEPARTMENT):
            answer = await world.request(
                "POST",
                w.ACCOUNTS_OF_TICKET,
                actor=actor,
                json={"tags": [{"version": 1, "tag": "00" * 32}]},
                headers=headers,
            )
            assert answer.status == 200
            assert REPLAYED not in answer.headers
        body = {"account": w.BANK.account.hex(), "key_id": w.BANK.key_id.hex()}
        first = await world.request("POST", "/v1/sessions/challenges", json=body, headers=headers)
        second = await world.request("POST", "/v1/sessions/challenges", json=body, headers=headers)
        assert await first.read() != await second.read()
    with sqlite3.connect(tmp_path / "idempotency.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    connection.close()


async def test_an_answer_is_kept_for_its_time_and_the_store_for_its_number(tmp_path: Path) -> None:
    config = HttpConfig(idempotency_lifetime_ms=1000, idempotency_answers_max=3)
    async with w.served(tmp_path, config=config) as world:
        for number in range(4):
            world.clock.now_ms += 1
            await _deposit(world, f"k{number}")
        assert len(world.deposits.seen) == 4
        await _deposit(world, "k1")
        assert len(world.deposits.seen) == 4
        await _deposit(world, "k0")
        assert len(world.deposits.seen) == 5
        world.clock.now_ms += 1000
        await _deposit(world, "k3")
        assert len(world.deposits.seen) == 6


async def _store(path: Path) -> IdempotencyStore:
    return IdempotencyStore(path, lifetime_ms=1000, answers_max=10, clock_ms=lambda: 5)


async def test_an_answer_beyond_the_bound_is_given_but_not_kept(tmp_path: Path) -> None:
    store = await _store(tmp_path / "a.sqlite")
    calls = 0

    async def work(size: int) -> Answer:
        nonlocal calls
        calls += 1
        return Answer(status=200, headers={}, body=bytes(size))

    for size, expected in ((ANSWER_SIZE_BYTES_MAX, 1), (ANSWER_SIZE_BYTES_MAX + 1, 2)):
        calls = 0
        for _ in range(2):
            answer = await store.run("s", f"k{size}", b"r", lambda size=size: work(size))
            assert len(answer.body) == size
        assert calls == expected
    await store.close()


async def test_a_file_that_is_no_database_is_reported_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageDamaged) as error:
        await _store(path)
    assert error.value.fields["what"] == "a.sqlite"
