"""Logs tell what happened and no secret; metrics have the names that are documented."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from node.observability import (
    REDACTED,
    TEXT_LENGTH_MAX,
    Metrics,
    configure_logging,
    get_logger,
    is_secret_name,
    redact,
)
from tests.unit import http_world as w

NUMBER = "110101199003074477"
TAG = "7a" * 32


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def _logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "token",
        "session_token",
        "key",
        "private_key",
        "wrap_key",
        "password",
        "identity_number",
        "Authorization",
        "salt_seed",
        "vote-secret",
        "api-key",
    ],
)
def test_secret_names_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["key_id", "public_key", "vote_key", "key_label", "keyboard", "height", "monkey"]
)
def test_public_names_are_not_hidden(name: str) -> None:
    assert not is_secret_name(name)


def test_identity_numbers_and_bearer_tokens_are_hidden_wherever_they_stand() -> None:
    event = redact(
        None,
        "info",
        {
            "event": f"looked for {NUMBER}, found",
            "nested": {"a": [f"x{{{NUMBER}}}", {"token": "t", "fine": 1}], "number": int(NUMBER)},
            "header": "Authorization: Bearer abc.def",
            "hash": "11" * 32,
            "time_ms": 1_790_000_000_000,
        },
    )
    text = str(event)
    assert NUMBER not in text
    assert "abc.def" not in text
    assert event["nested"]["a"][1] == {"token": REDACTED, "fine": 1}
    assert event["hash"] == "11" * 32
    assert event["time_ms"] == 1_790_000_000_000


def test_what_is_logged_is_bounded_in_length_and_depth() -> None:
    deep: Any = "bottom"
    for _ in range(50):
        deep = {"d": deep}
    event = redact(
        None, "info", {"long": "x" * (TEXT_LENGTH_MAX + 1), "raw": b"\x01" * 100_000, "deep": deep}
    )
    assert len(event["long"]) == TEXT_LENGTH_MAX + 1
    assert event["long"].endswith("…")
    assert len(event["raw"]) == TEXT_LENGTH_MAX
    assert "bottom" not in str(event["deep"])


def test_json_lines_carry_level_time_component_and_no_secret(lines: io.StringIO) -> None:
    configure_logging(json=True, level="info", stream=lines)
    get_logger("test").info("happened", token="t0p", account=b"\x01\x02")
    get_logger("test").debug("too fine")
    logging.getLogger("library").warning("number %s", NUMBER)
    first, second = _logged(lines)
    assert (first["event"], first["level"], first["component"], first["account"]) == (
        "happened",
        "info",
        "test",
        "0102",
    )
    assert first["token"] == REDACTED
    assert first["timestamp"].endswith("Z")
    assert second["event"] == f"number {REDACTED}"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_no_local_variables(lines: io.StringIO, as_json: bool) -> None:
    configure_logging(json=as_json, stream=lines)
    try:
        password = "hunter" + "2"
        raise RuntimeError(f"failed for {NUMBER}" + password[:0])
    except RuntimeError as error:
        get_logger("test").error("unexpected", exc_info=error)
    text = lines.getvalue()
    assert "RuntimeError" in text
    assert "hunter2" not in text
    if as_json:
        assert NUMBER not in text


@pytest.mark.parametrize("as_json", [True, False])
def test_a_caller_can_neither_paint_the_terminal_nor_forge_a_line(lines: io.StringIO, as_json: bool) -> None:
    configure_logging(json=as_json, stream=lines)
    get_logger("test").info(
        "request", path="/\x1b[31m\x9b\x00\u2028", other="/a\n2026-01-01 [critical] it stops"
    )
    text = lines.getvalue()
    assert text.count("\n") == 1
    assert not set("\x1b\x9b\x00\u2028") & set(text)
    assert "u001b" in text


def test_a_strangers_malformed_http_fills_no_log(lines: io.StringIO) -> None:
    configure_logging(json=True, stream=lines)
    server = logging.getLogger("aiohttp.server")
    server.error("Error handling request", exc_info=BadStatusLine("junk"))
    assert lines.getvalue() == ""
    server.error("Error handling request", exc_info=RuntimeError("ours"))
    assert "ours" in lines.getvalue()


async def test_the_access_log_has_no_body_no_token_and_no_query(tmp_path: Path, lines: io.StringIO) -> None:
    configure_logging(json=True, stream=lines)
    async with w.served(tmp_path) as world:
        session = world.log_in(w.BANK)
        body = {"tags": [{"version": 1, "tag": TAG}]}
        await world.request("POST", w.ACCOUNTS_OF_TICKET, headers=session, json=body)
        await world.request("GET", f"/v1/grants?{NUMBER}=1", headers=session)
        await world.request("GET", f"/v1/people/{NUMBER}", headers=session)
    text = lines.getvalue()
    assert NUMBER not in text
    assert TAG not in text
    assert session["Authorization"].partition(" ")[2] not in text
    requests = [line for line in _logged(lines) if line["event"] == "request"]
    assert [line["route"] for line in requests] == [
        "/v1/lookups/{ticket}/accounts",
        "/v1/grants",
        "unmatched",
    ]
    assert requests[0]["account"] == w.BANK.account.hex()
    assert requests[0]["status"] == 200


def test_metrics_have_their_documented_names_and_two_nodes_fit_in_one_process() -> None:
    one, other = Metrics(), Metrics()
    one.height.set(7)
    one.transactions.labels(outcome="denied").inc()
    one.fsync_seconds.labels(file="journal").observe(0.004)
    rendered = one.render().decode()
    assert "zhenglian_height 7.0" in rendered
    assert 'zhenglian_transactions_total{outcome="denied"} 1.0' in rendered
    assert "zhenglian_height 0.0" in other.render().decode()
    for name in (
        "view",
        "epoch",
        "peers_connected",
        "mempool_transactions",
        "blocks_finalized_total",
        "http_requests",
        "http_seconds",
        "http_streams",
        "release_seconds",
        "fsync_seconds_bucket",
        "index_height",
        "peer_certificate_expires_seconds",
    ):
        assert f"zhenglian_{name}" in rendered, name
