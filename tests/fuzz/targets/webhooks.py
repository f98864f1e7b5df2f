"""What a receiver of webhooks is sent, and what a node is asked for: signatures, URLs, positions, archives."""

from __future__ import annotations

import json

from ledger.errors import DecodeError, LedgerError, LimitExceeded
from node.http.sse import resume_point
from node.services.webhook_places import PlacePolicy, as_address
from node.services.webhook_records import WebhookUrlRefused
from tests.fuzz.target import Target, require
from tests.unit.ledger_world import SUITE
from zhenglian.plans.mydata import read_export
from zhenglian.webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SecretInvalid,
    WebhookInvalid,
    new_secret,
    secret_bytes,
    sign,
    verify,
)

SECRET = new_secret(bytes(range(32)))
NOW_S = 1_800_000_000
STRICT = PlacePolicy()


def run_delivery(data: bytes) -> None:
    """Three header lines, then the body; only what was signed with the secret is believed."""
    lines = data.split(b"\n", 3) + [b""] * 4
    names = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    headers = {name: line.decode("utf-8", "replace") for name, line in zip(names, lines, strict=False)}
    body = lines[3]
    try:
        found = verify(SECRET, headers, body, now_s=NOW_S)
    except WebhookInvalid:
        return
    again = sign([secret_bytes(SECRET)], found.message_id, found.time_s, body)
    require(again[SIGNATURE_HEADER] in headers[SIGNATURE_HEADER].split(" "), "believed without a signature")


def delivery_seeds() -> list[bytes]:
    body = json.dumps({"type": "grants.requested", "data": {}}).encode()
    headers = sign([secret_bytes(SECRET)], "msg_1", NOW_S, body)
    whole = "\n".join(headers[name] for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)).encode()
    return [whole + b"\n" + body, b"\n\n\n", b"msg_1\n1\nv1,\n{}"]


def run_secret(data: bytes) -> None:
    """A secret as an operator may have pasted it."""
    text = data.decode("utf-8", "replace")
    try:
        found = secret_bytes(text)
    except SecretInvalid:
        return
    require(secret_bytes(new_secret(found)) == found, "a secret written again is another")


def run_url(data: bytes) -> None:
    """A URL is refused, or leads to a host that is no inner address."""
    try:
        parts = STRICT.check_url(data.decode("utf-8", "replace"))
    except WebhookUrlRefused:
        return
    require(parts.scheme == "https" and bool(parts.hostname), "another scheme, or no host")
    literal = as_address(parts.hostname or "")
    require(literal is None or STRICT.allows(literal), "an inner address")


def run_cursor(data: bytes) -> None:
    """A position that a stream is to go on behind."""
    try:
        found = resume_point(data.decode("utf-8", "replace"))
    except LedgerError:
        return
    require(found is None or 0 <= found < 2**63, "a position beyond every notice")


def run_export(data: bytes) -> None:
    """An archive that a node sent."""
    try:
        read_export(data, SUITE.digest)
    except (DecodeError, LimitExceeded):
        return
    require(b"PK" in data, "no archive")


def export_seeds() -> list[bytes]:
    from node.http.export import zipped

    return [zipped({"manifest.json": b"{}"}), zipped({}), b"PK"]


TARGETS = (
    Target(name="webhooks.delivery", run=run_delivery, seeds=delivery_seeds),
    Target(
        name="webhooks.secret",
        run=run_secret,
        seeds=lambda: [SECRET.encode(), b"whsec_", b"whsec_AAAA"],
        errors=(),
        size_bytes_max=256,
    ),
    Target(
        name="webhooks.url",
        run=run_url,
        seeds=lambda: [b"https://example.org/x", b"https://127.0.0.1/", b"https://[::ffff:10.0.0.1]:8/"],
        errors=(),
        size_bytes_max=256,
    ),
    Target(
        name="notices.cursor",
        run=run_cursor,
        seeds=lambda: [b"0", b"12", b"-1", b"9" * 19],
        errors=(),
        size_bytes_max=64,
    ),
    Target(name="mydata.export", run=run_export, seeds=export_seeds, errors=()),
)
