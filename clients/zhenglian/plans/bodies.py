"""Plans about bodies of grants: keep one, read one, erase one."""

from __future__ import annotations

import msgspec

from contracts.bodies import body_id
from contracts.body_calls import BodiesErase, BodiesKeep, BodiesOpen
from contracts.body_records import BodyKind
from zhenglian import exchange
from zhenglian.api import TransactionView
from zhenglian.api_bodies import BodyView, OpenBody, OpenedBody, SealBody, SealedBody
from zhenglian.errors import ApiError
from zhenglian.exchange import Core, Plan, Request, decode, get
from zhenglian.grant_bodies import GrantBody
from zhenglian.plans import transactions
from zhenglian.plans.releases import any_node


def grant_bodies(core: Core, grant_id: str) -> Plan[list[BodyView]]:
    """The bodies of a grant that are or were kept; nothing of what they say."""
    return (yield from get(core, f"/v1/grants/{grant_id}/bodies", list[BodyView], session=True))


def keep_grant_body(core: Core, grant_id: str, body: GrantBody, *, kind: str = "body") -> Plan[str]:
    """Have the body of one's own request sealed and kept. Returns the body id (hex).

    Args:
        grant_id: hex.
        body: the one that the grant commits to.
        kind: "body" for `body_commitment`, "case" for `case_commitment`.

    Raises:
        ApiError: it is another body, or too few nodes hold it now.
        Denied: it is kept already, or the grant is another organisation's.
    """
    asked = SealBody(
        kind="case" if kind == BodyKind.CASE else "body", salt=body.salt.hex(), texts=dict(body.texts)
    )
    request = Request(
        method="POST", path=f"/v1/grants/{grant_id}/bodies", body=msgspec.json.encode(asked), session=True
    )
    sealed = decode((yield from exchange.exchange(core, request)), SealedBody)
    call = BodiesKeep(
        grant_id=bytes.fromhex(grant_id),
        kind=BodyKind(kind),
        payload_hash=bytes.fromhex(sealed.payload_hash),
    )
    return transactions.output((yield from transactions.settled(core, call))).hex()


def open_grant_body(
    core: Core, grant_id: str, *, kind: str = "body", mandate: str = ""
) -> Plan[dict[str, str]]:
    """Read the body of a grant; the reading is on record. The texts by name.

    Args:
        grant_id: hex.
        kind: "body" or "case".
        mandate: by which one represents the person, hex; empty for oneself.

    Raises:
        Denied: it is nothing of the caller's, is not kept, or is erased.
        ApiError, NotReachable: the node could not open it.
    """
    suite = yield from exchange.suite(core)
    base, operator = yield from any_node(core)
    call = BodiesOpen(
        body_id=body_id(suite, bytes.fromhex(grant_id), BodyKind(kind)),
        performed_by=bytes.fromhex(operator),
        mandate=bytes.fromhex(mandate),
    )
    signed = yield from transactions.sign(core, call)
    request = Request(
        method="POST",
        path="/v1/bodies/openings",
        body=msgspec.json.encode(OpenBody(transaction=signed.text)),
        session=True,
        base=base,
    )
    try:
        opened = decode((yield from exchange.exchange(core, request)), OpenedBody)
    except ApiError as error:
        yield from transactions.raise_denial(core, signed)
        raise error from None
    return opened.texts


def erase_grant_body(core: Core, grant_id: str, *, kind: str = "body") -> Plan[TransactionView]:
    """Erase the body of a grant that is over, on every node. Raises Denied."""
    suite = yield from exchange.suite(core)
    call = BodiesErase(body_id=body_id(suite, bytes.fromhex(grant_id), BodyKind(kind)))
    return (yield from transactions.settled(core, call))
