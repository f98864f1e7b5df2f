"""The HTTP API's words about bodies of grants.

Rule: as in `zhenglian.api`. A body is in an answer only where the ledger has just been told that it is opened.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from zhenglian.api import Hex16, Hex32, Request, Response

TEXTS_MAX: Final = 64

Kind = Annotated[Literal["body", "case"], Meta(description="which commitment of the grant; 授权的哪一项承诺")]
Texts = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=65_536)]],
    Meta(max_length=TEXTS_MAX, description="texts by name; 以名称为键的文本"),
]


class SealBody(Request, frozen=True):
    """A body to be sealed, with the salt that its commitment was made with."""

    kind: Kind
    salt: Hex32
    texts: Texts


class SealedBody(Response, frozen=True):
    """What the officer signs `bodies.keep` with; nothing is kept for good before that is final."""

    body_id: Hex16
    payload_hash: Hex32


class BodyView(Response, frozen=True):
    """A body as the ledger has it. `destroyed_by` counts the nodes that have stated its destruction."""

    body_id: Hex16
    grant_id: Hex16
    kind: str
    payload_hash: Hex32
    kept: datetime
    kept_by: Hex16
    erased: datetime | None
    erased_by: Hex16 | None
    destroyed_by: int


class OpenBody(Request, frozen=True):
    """A signed `bodies.open` that names the asked node's operator; base64."""

    transaction: str


class OpenedBody(Response, frozen=True):
    """A body in the clear, for the signer of the opening."""

    body_id: Hex16
    grant_id: Hex16
    kind: str
    texts: dict[str, str]
