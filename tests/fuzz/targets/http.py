"""Requests of clients as they come over HTTP: bodies, queries, paths, headers, and the transaction in a body."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict

from ledger import codec
from ledger.errors import LedgerError
from node.http import decode
from node.http.routes import ROUTES
from node.http.routing import PATH_PARAMETERS
from node.http.sse import resume_point
from tests.fuzz.shapes import json_bodies
from tests.fuzz.target import Target, require
from tests.unit.ledger_world import World
from zhenglian import api

BODIES = sorted(
    {route.request for route in ROUTES if route.request is not None}, key=lambda kind: kind.__name__
)


def run_body(data: bytes) -> None:
    """The first byte chooses the route's body."""
    kind = BODIES[(data[0] if data else 0) % len(BODIES)]
    body = decode.body_struct(data[1:], kind)
    again = decode.body_struct(decode.json_bytes(body), kind)
    require(again == body, "a body written again reads as another")
    if isinstance(body, api.TransactionRequest):
        signed = decode.transaction(body.transaction)
        require(
            decode.base64_bytes(body.transaction, "transaction") == codec.encode(signed),
            "another transaction",
        )


def body_seeds() -> list[bytes]:
    import base64

    made = World()
    text = base64.b64encode(codec.encode(made.transaction(1))).decode()
    index = BODIES.index(api.TransactionRequest)
    whole = json.dumps({"transaction": text}).encode()
    return [bytes([index]) + whole, *(bytes([number]) + b"{}" for number in range(len(BODIES)))]


def drawn_bodies() -> st.SearchStrategy[bytes]:
    return st.one_of(*(json_bodies(kind).map(bytes([index]).__add__) for index, kind in enumerate(BODIES)))


def run_transaction(data: bytes) -> None:
    """A body's text as a transaction, in the first place whether it is base64."""
    text = data.decode("utf-8", "replace")
    decode.transaction(text, expected="releases.request" if len(text) % 2 else "")


def run_head(data: bytes) -> None:
    """Route, path, query, and headers, one a line."""
    lines = data.decode("latin-1").split("\n")
    route = ROUTES[len(lines[0]) % len(ROUTES)]
    request: Any = SimpleNamespace(
        query=MultiDict(parse_qsl(lines[0], keep_blank_values=True)),
        headers=CIMultiDict(line.partition(":")[::2] for line in lines[2:20]),
    )
    decode.path_values(route, {name: lines[1] if len(lines) > 1 else "" for name in route.parameters})
    require(0 <= decode.wait_s(request) <= 60, "a wait beyond its bound")
    cursor = resume_point(decode.header(request, "Last-Event-ID") or None)
    require(cursor is None or 0 <= cursor < 2**63, "a resume point that no index can have")
    decode.query_struct(request, route.query)


def head_seeds() -> list[bytes]:
    paths = {"account": "00" * 16, "height": "12", "file": "3", "code": "hiring", "transaction": "ab" * 32}
    queries = ["limit=20&cursor=7", "", "limit=0", "limit=1&limit=2", "kind=grants.approved", "from=1&to=2"]
    headers = "Prefer: wait=10\nLast-Event-ID: 42"
    return [f"{query}\n{path}\n{headers}".encode() for query in queries for path in list(paths.values())[:2]]


def run_parameters(data: bytes) -> None:
    """Each path parameter's form says yes only to what it can convert."""
    text = data.decode("utf-8", "replace")
    for parameter in PATH_PARAMETERS.values():
        if parameter.matches(text):
            parameter.convert(text)


TARGETS = (
    Target(name="http.body", run=run_body, seeds=body_seeds, examples=drawn_bodies, errors=(LedgerError,)),
    Target(
        name="http.transaction",
        run=run_transaction,
        seeds=lambda: [json.loads(body_seeds()[0][1:])["transaction"].encode(), b"AA==", b"AB=="],
        errors=(LedgerError,),
    ),
    Target(name="http.head", run=run_head, seeds=head_seeds, errors=(LedgerError,), size_bytes_max=2048),
    Target(
        name="http.path",
        run=run_parameters,
        seeds=lambda: [b"00" * 8, b"00" * 16, b"0", b"12", b"hiring"],
        errors=(),
        size_bytes_max=128,
    ),
)
