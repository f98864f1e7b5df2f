"""Rates and room: every refusal says when to come back, and what callers can make us remember is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.http.config import ConfigInvalid, HttpConfig, Rate, RateClass, default_rates
from node.http.errors import RateLimited
from node.http.ratelimit import RateLimits, address_of
from tests.unit import http_world as w

ONE_IN_TEN_SECONDS = Rate(0.1, 2)


def _config(**rates: Rate) -> HttpConfig:
    return HttpConfig(rates={**default_rates(), **{RateClass(name): rate for name, rate in rates.items()}})


async def test_an_address_without_session_is_limited_and_told_when_to_return(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=_config(write=ONE_IN_TEN_SECONDS)) as world:
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "grants", "request"))}
        answers = [await world.request("POST", "/v1/transactions", json=body) for _ in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 429]
        problem = await answers[2].json()
        assert problem["code"] == "rate_limited"
        assert 9 <= int(answers[2].headers["Retry-After"]) <= 10
        assert problem["fields"]["retry_after_s"] == int(answers[2].headers["Retry-After"])
        assert (await world.request("GET", "/v1/status")).status == 200


async def test_each_account_has_a_bucket_of_its_own_over_all_its_sessions(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=_config(lookup=ONE_IN_TEN_SECONDS)) as world:

        async def lookup(actor: w.Actor) -> int:
            body = {"tags": [{"version": 1, "tag": "00" * 32}]}
            return (await world.request("POST", w.ACCOUNTS_OF_TICKET, actor=actor, json=body)).status

        assert [await lookup(w.BANK) for _ in range(3)] == [200, 200, 429]
        assert await lookup(w.DEPARTMENT) == 200


async def test_guessing_tokens_draws_from_the_bucket_of_the_address(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=_config(read=ONE_IN_TEN_SECONDS)) as world:
        headers = {"Authorization": "Bearer guess"}
        answers = [await world.request("GET", "/v1/grants", headers=headers) for _ in range(3)]
        assert [answer.status for answer in answers] == [401, 401, 429]


def test_tokens_flow_back_with_time_up_to_the_burst() -> None:
    now_s = 0.0
    limits = RateLimits({RateClass.READ: Rate(2.0, 3)}, 10, lambda: now_s)

    def taken() -> int:
        for count in range(10):
            try:
                limits.take(RateClass.READ, "x")
            except RateLimited:
                return count
        return 10

    assert taken() == 3
    now_s = 1.0
    assert taken() == 2
    now_s = 1000.0
    assert taken() == 3


def test_the_buckets_that_are_remembered_are_bounded_and_the_idlest_goes() -> None:
    limits = RateLimits({RateClass.READ: Rate(0.001, 1)}, 3, lambda: 0.0)
    for who in ("a", "b", "c"):
        limits.take(RateClass.READ, who)
    with pytest.raises(RateLimited):
        limits.take(RateClass.READ, "a")
    limits.take(RateClass.READ, "d")
    assert len(limits) == 3
    with pytest.raises(RateLimited):
        limits.take(RateClass.READ, "a")
    limits.take(RateClass.READ, "b")


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(remote: str | None, counted: str) -> None:
    assert address_of(remote) == counted


async def test_more_requests_than_there_is_room_for_get_503_and_are_counted(tmp_path: Path) -> None:
    async with w.served(tmp_path, config=HttpConfig(requests_max=1)) as world:
        world.deposits.gate = asyncio.Event()
        first = asyncio.ensure_future(
            world.request(
                "POST",
                "/v1/deposits/drafts",
                actor=w.DEPARTMENT,
                json=w.deposit_body(),
                headers={"Idempotency-Key": "k"},
            )
        )
        async with asyncio.timeout(10):
            await world.deposits.entered.wait()
        refused = await world.request("GET", "/v1/status")
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        world.deposits.gate.set()
        assert (await first).status == 201
        assert (await world.request("GET", "/v1/status")).status == 200
        rendered = world.metrics.render().decode()
        assert 'zhenglian_http_requests_total{method="GET",route="/v1/status",status="503"} 1.0' in rendered


async def test_metrics_have_route_patterns_and_never_what_callers_invent(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        await world.request("GET", "/v1/blocks/0")
        await world.request("GET", "/v1/invented/path")
        await world.request("PROPFIND", "/v1/status")
        rendered = (await (await world.request("GET", "/metrics")).read()).decode()
        assert 'route="/v1/blocks/{height}"' in rendered
        assert 'method="OTHER"' in rendered
        assert "invented" not in rendered
        assert "PROPFIND" not in rendered


@pytest.mark.parametrize(
    "changes",
    [
        {"requests_max": 0},
        {"session_lifetime_ms": -1},
        {"heartbeat_s": 0.0},
        {"rates": {}},
        {"rates": {**default_rates(), RateClass.READ: Rate(0.0, 1)}},
        {"rates": {**default_rates(), RateClass.READ: Rate(1.0, 0)}},
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        HttpConfig(**changes)
    assert str(refused.value.fields["name"]).startswith(next(iter(changes)))
