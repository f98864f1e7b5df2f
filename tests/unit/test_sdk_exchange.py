"""Retries, failover and sessions, played without any network: the test is the driver."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.errors import Category
from tests.unit.sdk_ledger import KEY
from zhenglian import ApiError, KeyNeeded, NotReachable, UnexpectedAnswer, WrongNetwork
from zhenglian.api import NetworkView, Problem
from zhenglian.exchange import (
    RETRY_AFTER_S_MAX,
    Answer,
    Core,
    Outcome,
    Pause,
    Plan,
    Request,
    RetryPolicy,
    Send,
    Unreached,
    exchange,
    network,
)
from zhenglian.keyfile import KeyFile

A, B = "http://a.example", "http://b.example"
GET = Request(method="GET", path="/v1/status")
NETWORK = NetworkView(network="city", suite="intl", chain_id="ab" * 32, epoch=1, validators=[])


def core(*bases: str, key: KeyFile | None = None, attempts_max: int = 8) -> Core:
    return Core(
        bases=bases or (A,),
        key=key,
        language="zh",
        policy=RetryPolicy(attempts_max=attempts_max),
        clock_ms=lambda: 1_000,
        random_bytes=bytes,
        network=None if key is None else NETWORK,
    )


class Played:
    """Drives a plan with given outcomes; remembers what it wanted."""

    def __init__(self, plan: Plan[Any], *outcomes: Outcome) -> None:
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        waiting = list(outcomes)
        outcome: Outcome = None
        while True:
            try:
                wanted = plan.send(outcome)
            except StopIteration as end:
                self.value = end.value
                assert not waiting, "the plan ended before its outcomes were used up"
                return
            outcome = None
            if isinstance(wanted, Send):
                self.sent.append(wanted)
                outcome = waiting.pop(0)
            elif isinstance(wanted, Pause):
                self.pauses.append(wanted.seconds)


def answer(status: int, body: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=msgspec.json.encode(body), url=A)


def problem(status: int, code: str, **headers: str) -> Answer:
    detail = Problem(
        type="urn:x",
        title="x",
        status=status,
        code=code,
        detail="x",
        detail_zh="中",
        detail_en="en",
        fields={"n": 3},
    )
    return answer(status, detail, **headers)


GONE = Unreached(reason="connection refused")


def test_a_node_that_is_away_is_left_for_the_next_at_once() -> None:
    played = Played(exchange(core(A, B), GET), GONE, answer(200))
    assert [send.url for send in played.sent] == [A + "/v1/status", B + "/v1/status"]
    assert played.pauses == [0.0]


def test_once_every_node_was_tried_the_pauses_grow() -> None:
    played = Played(exchange(core(A, B), GET), *[GONE] * 6, answer(200))
    assert played.pauses[0] == 0.0
    assert played.pauses == sorted(played.pauses)
    assert played.pauses[-1] > played.pauses[1] > 0


def test_it_gives_up_after_the_policys_attempts_and_names_the_reason() -> None:
    plan = exchange(core(A, attempts_max=3), GET)
    with pytest.raises(NotReachable) as caught:
        Played(plan, *[GONE] * 3)
    assert caught.value.fields == {"nodes": A, "reason": "connection refused"}
    assert caught.value.category is Category.UNAVAILABLE


@pytest.mark.parametrize("status", [429, 503])
def test_a_full_queue_is_waited_for_as_long_as_the_node_says(status: int) -> None:
    played = Played(exchange(core(), GET), problem(status, "busy", retry_after="7"), answer(200))
    assert played.pauses == [7.0]


def test_an_absurd_retry_after_is_bounded() -> None:
    played = Played(exchange(core(), GET), problem(429, "busy", retry_after="99999999999"), answer(200))
    assert played.pauses == [float(RETRY_AFTER_S_MAX)]


def test_a_queue_that_stays_full_is_reported_as_the_node_put_it() -> None:
    with pytest.raises(ApiError) as caught:
        Played(exchange(core(attempts_max=2), GET), *[problem(429, "busy")] * 2)
    assert (caught.value.code, caught.value.category) == ("busy", Category.BUSY)


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, Category.INVALID),
        (401, Category.UNAUTHENTICATED),
        (403, Category.FORBIDDEN),
        (404, Category.MISSING),
        (409, Category.CONFLICT),
        (413, Category.TOO_LARGE),
        (500, Category.UNAVAILABLE),
    ],
)
def test_a_refusal_is_not_repeated_and_keeps_its_code_and_both_languages(
    status: int, category: Category
) -> None:
    with pytest.raises(ApiError) as caught:
        Played(exchange(core(A, B), GET), problem(status, "some_code"))
    error = caught.value
    assert (error.code, error.category, error.fields) == ("some_code", category, {"n": 3})
    assert (error.message("zh"), error.message("en")) == ("中", "en")


def test_a_refusal_without_a_problem_document_is_named_as_such() -> None:
    with pytest.raises(UnexpectedAnswer, match="502"):
        Played(exchange(core(), GET), Answer(status=502, headers={}, body=b"<html>", url=A))


def test_what_is_sent_again_is_the_same_to_the_byte() -> None:
    request = Request(method="POST", path="/v1/x", body=b"{}", headers=(("idempotency-key", "k"),))
    played = Played(exchange(core(A, B), request), GONE, GONE, answer(200))
    assert len({(send.body, tuple(sorted(send.headers.items()))) for send in played.sent}) == 1


def test_a_request_bound_to_one_node_never_goes_to_another() -> None:
    request = Request(method="GET", path="/v1/x", base=B)
    played = Played(exchange(core(A, B), request), GONE, GONE, answer(200))
    assert {send.url for send in played.sent} == {B + "/v1/x"}


def challenge(text: str) -> Answer:
    return answer(201, {"challenge": text, "expires": "2030-01-01T00:00:00Z"})


CHALLENGE = challenge(NETWORK.chain_id + "0e" * 16 + KEY.account + KEY.key_id + "00" * 32)


def session(expires: str) -> Answer:
    return answer(
        201,
        {"token": "secret", "expires": expires, "account": KEY.account, "kind": "person", "role": "holder"},
    )


SESSION = session("2030-01-01T00:00:00Z")
PRIVATE = Request(method="GET", path="/v1/grants", session=True)


def test_a_session_is_opened_once_and_used_again() -> None:
    shared = core(key=KEY)
    first = Played(exchange(shared, PRIVATE), CHALLENGE, SESSION, answer(200))
    assert [send.method for send in first.sent] == ["POST", "POST", "GET"]
    assert first.sent[-1].headers["authorization"] == "Bearer secret"
    assert len(Played(exchange(shared, PRIVATE), answer(200)).sent) == 1


def test_a_session_about_to_expire_is_renewed_before_use() -> None:
    shared = core(key=KEY)
    Played(exchange(shared, PRIVATE), CHALLENGE, session("1970-01-01T00:00:20Z"), answer(200))
    assert len(Played(exchange(shared, PRIVATE), CHALLENGE, SESSION, answer(200)).sent) == 3


def test_a_session_that_the_node_forgot_is_opened_anew_once() -> None:
    shared = core(key=KEY)
    Played(exchange(shared, PRIVATE), CHALLENGE, SESSION, answer(200))
    forgotten = problem(401, "session_unknown")
    Played(exchange(shared, PRIVATE), forgotten, CHALLENGE, SESSION, answer(200))
    with pytest.raises(ApiError, match="session_unknown"):
        Played(exchange(shared, PRIVATE), forgotten, CHALLENGE, SESSION, forgotten)


def test_each_node_has_a_session_of_its_own() -> None:
    shared = core(A, B, key=KEY)
    Played(exchange(shared, PRIVATE), CHALLENGE, SESSION, answer(200))
    played = Played(exchange(shared, PRIVATE), GONE, CHALLENGE, SESSION, answer(200))
    assert [send.url.removeprefix(B) for send in played.sent[1:]] == [
        "/v1/sessions/challenges",
        "/v1/sessions",
        "/v1/grants",
    ]


@pytest.mark.parametrize(
    "text",
    ["cd" * 32 + KEY.account + KEY.key_id, NETWORK.chain_id + "00" * 16 + KEY.key_id, NETWORK.chain_id, "00"],
)
def test_a_challenge_for_another_network_or_key_is_not_signed(text: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        Played(exchange(core(key=KEY), PRIVATE), challenge(text))


def test_a_session_without_a_key_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(KeyNeeded):
        Played(exchange(core(), PRIVATE))


def unmet(key: KeyFile) -> Core:
    """A client that has not asked which network this is."""
    made = core(key=key)
    made.network = None
    return made


def test_a_key_bound_to_another_network_signs_nothing_here() -> None:
    bound = msgspec.structs.replace(KEY, network="cd" * 32)
    with pytest.raises(WrongNetwork):
        Played(network(unmet(bound)), answer(200, NETWORK))
    same = msgspec.structs.replace(KEY, network="ab" * 32)
    assert Played(network(unmet(same)), answer(200, NETWORK)).value == NETWORK
