"""Every fault is a problem document with a stable code, in two languages, and says nothing about our insides."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
import structlog

from contracts.denials import denial_message
from ledger.errors import Category, InvariantViolation, LedgerError
from ledger.types import Result
from node.http import problems
from node.http.errors import IdempotencyConflict
from node.http.problems import language_of
from node.services.ports import Denied
from tests.unit import http_world as w
from zhenglian.api import Problem

EXPECTED = {
    Category.INVALID: 400,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.MISSING: 404,
    Category.CONFLICT: 409,
    Category.GONE: 410,
    Category.TOO_LARGE: 413,
    Category.BUSY: 429,
    Category.UNAVAILABLE: 503,
}


def error_of(category: Category) -> LedgerError:
    kind = type(
        "Fault",
        (LedgerError,),
        {"code": f"fault_{category.value}", "category": category, "zh": "错在 {what}", "en": "wrong: {what}"},
    )
    return kind(what="x", retry_after_s=9)


def test_every_category_has_a_status() -> None:
    assert set(problems.STATUS) == set(Category)


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_each_category_becomes_its_status_in_both_languages(tmp_path: Path, language: str) -> None:
    async with w.served(tmp_path) as world:
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "grants", "request"))}
        for category, status in EXPECTED.items():
            world.submission.error = error_of(category)
            answer = await world.request(
                "POST", "/v1/transactions", json=body, headers={"Accept-Language": language}
            )
            assert answer.status == status
            assert answer.content_type == "application/problem+json"
            assert answer.headers["Content-Language"] == language
            problem = await answer.json()
            assert set(problem) == set(Problem.__struct_fields__)
            assert problem["code"] == f"fault_{category.value}"
            assert problem["type"] == f"urn:zhenglian:problem:fault_{category.value}"
            assert problem["status"] == status
            assert (problem["detail_zh"], problem["detail_en"]) == ("错在 x", "wrong: x")
            assert problem["detail"] == ("错在 x" if language == "zh" else "wrong: x")
            assert problem["fields"] == {"what": "x", "retry_after_s": 9}
            assert answer.headers.get("Retry-After") == ("9" if status in {429, 503} else None)


async def test_a_denial_speaks_with_the_contracts_code_words_and_fields(tmp_path: Path) -> None:
    fields = (("asked", "face"), ("cap", "fields"), ("maximum", "name"))
    async with w.served(tmp_path) as world:
        world.releases.error = Denied(Result(transaction_id=b"t" * 32, code="over_ask", fields=fields))
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "releases", "request"))}
        answer = await world.request(
            "POST", "/v1/releases", actor=w.BANK, json=body, headers={"Idempotency-Key": "k"}
        )
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (403, "over_ask")
        assert problem["fields"] == dict(fields)
        assert problem["detail_zh"] == denial_message("over_ask", dict(fields), "zh")
        assert problem["detail_en"] == denial_message("over_ask", dict(fields), "en")


async def test_the_unexpected_is_a_500_with_a_reference_and_nothing_else(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.submission.error = ZeroDivisionError("secret detail")
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "grants", "request"))}
        with structlog.testing.capture_logs() as logs:
            answer = await world.request("POST", "/v1/transactions", json=body)
        text = await answer.text()
        problem = json.loads(text)
        assert (answer.status, problem["code"]) == (500, "internal_error")
        assert "secret detail" not in text
        assert "Traceback" not in text
        logged = next(line for line in logs if line["event"] == "unexpected_error")
        assert logged["reference"] == problem["fields"]["reference"]
        assert isinstance(logged["exc_info"], ZeroDivisionError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_our_own_broken_promise_stops_the_node(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        world.submission.error = InvariantViolation("broken")
        body = {"transaction": world.base64(world.chain.transaction(w.BANK, "grants", "request"))}
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await world.request("POST", "/v1/transactions", json=body)
        assert [str(error) for error in world.fatal] == ["broken"]


async def test_what_the_http_machinery_refuses_is_a_problem_too(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        missing = await world.request("GET", "/v1/nothing")
        assert (missing.status, (await missing.json())["code"]) == (404, "no_such_route")
        wrong = await world.request("PUT", "/v1/status", data=b"")
        assert (wrong.status, (await wrong.json())["code"]) == (405, "method_not_allowed")
        assert "GET" in wrong.headers["Allow"]
        form = await world.request("POST", "/v1/transactions", data={"transaction": "AA=="})
        assert (form.status, (await form.json())["code"]) == (415, "unsupported_media_type")
        packed = await world.request(
            "POST",
            "/v1/transactions",
            data=b"x",
            headers={"Content-Type": "application/json", "Content-Encoding": "br"},
        )
        assert packed.status == 415
        for answer in (missing, wrong, form, packed):
            assert answer.content_type == "application/problem+json"
            problem = await answer.json()
            assert problem["detail_zh"] != problem["detail_en"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,zh;q=0.9", "en"),
        ("fr, zh;q=0.1", "zh"),
        ("en;q=0.2, zh-Hant;q=0.3", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=nonsense", "en"),
        ("zh;q=inf", "en"),
        ("*", "en"),
        (",;;,q=1," * 500 + "zh", "en"),
    ],
)
def test_the_language_is_what_is_asked_for(header: str, language: str) -> None:
    assert language_of(header) == language


async def test_every_answer_has_the_security_headers(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        for path in ("/v1/status", "/v1/nothing", "/healthz", "/docs", "/v1/grants"):
            answer = await world.request("GET", path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Referrer-Policy"] == "no-referrer", path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            assert "Access-Control-Allow-Origin" not in answer.headers, path


def test_a_fault_without_fields_for_its_template_still_has_words() -> None:
    answer = problems.from_error(IdempotencyConflict(), "zh")
    problem = json.loads(answer.body)
    assert problem["title"] == "冲突"
    assert problem["detail"]
