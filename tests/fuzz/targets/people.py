"""What comes to a holder about a lookup, and to a clerk from a person.

Rule: no elements but those of the ticket are ever multiplied, and no identity request is taken that its number did not make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from contracts.directory import elements_hash
from contracts.people_calls import LookupsRequest
from contracts.records import KeyRole
from contracts.shared_key_records import KeyPurpose
from ledger import codec
from ledger.crypto.suite import key_id
from ledger.domains import PERSON_TAG
from ledger.errors import DecodeError, LimitExceeded
from node.holders.errors import KeyRefused
from node.holders.lookups import KIND, LookupAsk, LookupPermit
from node.holders.ports import ShareAsk
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Target, require
from tests.unit.contracts_world import BANK, GROUP, LI, NODES, SUITE, World, new_key
from zhenglian.own_numbers import (
    REQUEST_SIZE_BYTES_MAX,
    IdentityRequest,
    check_request,
    identity_request,
    request_from_json,
)

NUMBER = "11010119900307109X"
ELEMENT = GROUP.hash_to_element(PERSON_TAG, b"somebody, blinded").encode()


class _Here:
    """A replica that has come far enough."""

    height = 2**53

    async def wait_height_above(self, height: int, _timeout_s: float) -> int:
        return max(self.height, height)


@lru_cache(maxsize=1)
def permit_and_ticket() -> tuple[LookupPermit, bytes]:
    """A holder with one live ticket for one element."""
    world = World().populate()
    asked = LookupsRequest(
        entry=NODES[0].account, count=1, elements_hash=elements_hash(SUITE, (ELEMENT,)), basis="fuzz"
    )
    ticket_id = world.done(BANK, asked)
    permit = LookupPermit(
        suite=SUITE,
        chain_id=world.chain_id,
        state=world,
        chain=_Here(),
        time_ms=lambda: world.time_ms,
    )
    return permit, ticket_id


def run_permit(data: bytes) -> None:
    permit, ticket_id = permit_and_ticket()
    ask = ShareAsk(
        kind=KIND,
        record_id=ticket_id,
        purpose=KeyPurpose.DIRECTORY,
        version=1,
        renewal=0,
        payload=data,
    )
    permitted = asyncio.run(permit.permit(NODES[0].account, ask))
    require([base.encode() for base in permitted.bases] == [ELEMENT], "an element of no ticket is multiplied")


@lru_cache(maxsize=1)
def honest_request() -> IdentityRequest:
    return identity_request(SUITE, GROUP, NUMBER, new_key(LI, KeyRole.HOLDER))[0]


def run_request(data: bytes) -> None:
    request = request_from_json(data)
    key = request.key()
    key_id(SUITE, key.scheme, key.public_key)
    element = check_request(SUITE, GROUP, NUMBER, request)
    require(
        element.hex() == honest_request().element, "an element that the number did not make is vouched for"
    )


def requests() -> Iterable[bytes]:
    return [msgspec.json.encode(honest_request())]


TARGETS = (
    Target(
        name="people.permit",
        run=run_permit,
        seeds=lambda: [codec.encode(LookupAsk(height=1, elements=(ELEMENT,)))],
        examples=lambda: encodings(LookupAsk),
        errors=(DecodeError, LimitExceeded, KeyRefused),
        grammar=Grammar.MSGPACK,
        size_bytes_max=8192,
    ),
    Target(
        name="people.request",
        run=run_request,
        seeds=requests,
        errors=(DecodeError,),
        grammar=Grammar.JSON,
        size_bytes_max=REQUEST_SIZE_BYTES_MAX,
    ),
)
