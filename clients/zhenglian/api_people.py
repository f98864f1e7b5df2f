"""The HTTP API's words about lookups, the person directory, and recoveries.

Rule: as in `zhenglian.api`. No identity number is in any of them: the client blinds it, and takes the blinding off.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from zhenglian.api import Hex16, Hex32, Request, Response

ELEMENTS_MAX: Final = 64
TAGS_MAX: Final = 3 * ELEMENTS_MAX

ElementHex = Annotated[
    str,
    Meta(
        pattern="^([0-9a-f]{2})+$",
        max_length=256,
        description="an element of the key's group as lower-case hex; 群元素",
    ),
]


class DirectoryVersion(Response, frozen=True):
    """A version of the directory key in force, and how many people are found under it."""

    version: int
    renewal: int
    group: str
    threshold: int
    holders: int
    tags: int


class QuotaView(Response, frozen=True):
    """How many people may be looked up in any 24 hours, by one of each."""

    officer_max: int
    organization_max: int
    entry_max: int
    person_max: int


class DirectoryView(Response, frozen=True):
    """The directory: `version` is the one for what is new; null before a key was made."""

    version: int | None
    versions: list[DirectoryVersion]
    quotas: QuotaView


class TicketView(Response, frozen=True):
    """A lookup ticket. `state` is waiting (for a second officer), open, or expired."""

    ticket_id: Hex16
    account: Hex16
    officer: Hex16
    entry: Hex16
    count: int
    elements_hash: Hex32
    basis: str
    state: Literal["waiting", "open", "expired"]
    requested: datetime
    expires: datetime
    approver: Hex16 | None


class SharesRequest(Request, frozen=True):
    """The blinded elements of a ticket, in its order."""

    elements: Annotated[list[ElementHex], Meta(min_length=1, max_length=ELEMENTS_MAX)]


class ProvenShare(Response, frozen=True):
    """A holder's share of one element, and the proof that it is."""

    element: ElementHex
    challenge: Hex32
    response: Hex32


class HolderShares(Response, frozen=True):
    """What one holder gave: a share for each element, in the ticket's order."""

    holder: int
    shares: list[ProvenShare]


class EvaluationView(Response, frozen=True):
    """The shares under one version of the key, from as many holders as it takes, under that renewal of their keys."""

    version: int
    renewal: int
    holders: list[HolderShares]


class SharesView(Response, frozen=True):
    """One evaluation for each version in force."""

    evaluations: list[EvaluationView]


class TagValue(Request, frozen=True):
    """A tag, and under which version."""

    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    tag: Hex32


class AccountsRequest(Request, frozen=True):
    """Tags that were computed under a ticket."""

    tags: Annotated[list[TagValue], Meta(min_length=1, max_length=TAGS_MAX)]


class AccountsView(Response, frozen=True):
    """The account under each tag, null where there is none (or, for a person, where it is not its own)."""

    accounts: list[Hex16 | None]


class RecoveryView(Response, frozen=True):
    """The latest recovery of an account.

    `completes` is when it lapses while it is opened, and when the key is bound while it is pending.
    """

    account: Hex16
    new_key: Hex16
    opened_by: Hex16
    opened_by_name: str
    confirmed_by: Hex16 | None
    confirmed_by_name: str
    state: Literal["opened", "pending", "completed", "vetoed", "lapsed"]
    state_since: datetime
    completes: datetime
    restricted_until: datetime | None
