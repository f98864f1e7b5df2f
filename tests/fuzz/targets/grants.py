"""Requests for grants in the wire form of RFC 9396, and the files of grants' bodies."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import strategies as st

from contracts.grant_calls import GrantsRequest
from ledger import codec
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from node.http import decode
from tests.fuzz.shapes import json_bodies
from tests.fuzz.target import Grammar, Target, require
from tests.suites import suite_under_test
from zhenglian.api_grants import AuthorizationDetail
from zhenglian.grant_bodies import SALT_SIZE_BYTES, GrantBody
from zhenglian.grant_details import request_of, same_request


def run_detail(data: bytes) -> None:
    """What becomes a call is one that a node reads, says the same as the detail, and nothing else does."""
    detail = decode.body_struct(data, AuthorizationDetail)
    args = request_of(detail)
    again = codec.decode(codec.encode(args), GrantsRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)
    require(again == args, "a call that reads as another")
    require(same_request(detail, args), "a request that is not its own wire form")


def detail_seeds() -> list[bytes]:
    whole = {
        "type": "urn:zhenglian:grant:2",
        "identifier": "ab" * 16,
        "actions": ["view"],
        "purpose": {"code": "loan"},
        "items": [
            {
                "certificate_type": "degree",
                "fields": ["name"],
                "certificate_state_required": {"stopped_by": ["mortgaged"]},
            }
        ],
        "consent_expiry": "2027-01-31T00:00:00Z",
        "uses_max": 3,
        "frequency": {"unit": "hour", "value": 2},
    }
    return [json.dumps(whole).encode(), b"{}"]


def run_body(data: bytes) -> None:
    """A body that is read is written as the same, and commits to the same."""
    body = GrantBody.from_json(data)
    again = GrantBody.from_json(body.to_json())
    require(again == body, "a body written again reads as another")
    suite = suite_under_test()
    require(again.commitment(suite) == body.commitment(suite), "one body, two commitments")


def body_seeds() -> list[bytes]:
    whole = GrantBody({"case_number": "（2026）1"}, bytes(SALT_SIZE_BYTES)).to_json()
    return [whole, whole.replace("（2026）1".encode(), rb"\ud800")]


def drawn_details() -> st.SearchStrategy[bytes]:
    return json_bodies(AuthorizationDetail)


TARGETS: Final = (
    Target(
        name="grants.detail",
        run=run_detail,
        seeds=detail_seeds,
        examples=drawn_details,
        grammar=Grammar.JSON,
    ),
    Target(name="grants.body", run=run_body, seeds=body_seeds, grammar=Grammar.JSON),
)
