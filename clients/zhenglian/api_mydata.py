"""The API's structs about an account's own data: what is held, what is given, who looked, what waits, and notices.

Rule: as in `zhenglian.api`. Nothing here carries a value of a certificate; names of fields are public, values never leave but by a
recorded release. Every text for people is there in both languages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar

from msgspec import Meta

from zhenglian.api import CertificateView, GrantView, Hex16, Hex32, HexRelease, Request, Response
from zhenglian.api_grants import MandateView

T = TypeVar("T")

POSITION_PATTERN: Final = "^(0|[1-9][0-9]{0,18})$"

Position = Annotated[
    str, Meta(pattern=POSITION_PATTERN, description="place among all notices, a decimal number; 通知的位置")
]


class Texts(Response, frozen=True):
    """One sentence in both languages."""

    zh: str
    en: str


class PartView(Response, frozen=True):
    """A field or attachment: what it is called, its class and level, and how a screen masks its value (`zhenglian.masking`)."""

    name: str
    name_zh: str
    kind: str
    grade: str
    level: int
    sensitivity: str
    mask: str


class HeldView(Response, frozen=True):
    """A certificate of mine; `erased` is since when its data is destroyed."""

    certificate: CertificateView
    certificate_type_name_en: str
    parts: list[PartView]
    erased: datetime | None


class GivenView(Response, frozen=True):
    """A grant on my data; `consent`: whether I or who acts for me gave it, or else the law did."""

    grant: GrantView
    purpose_name: Texts
    consent: bool
    given_by: Texts


class AccessPartView(Response, frozen=True):
    """What was asked of one certificate. `question` is empty unless only an answer left."""

    certificate: Hex16
    certificate_type: str
    certificate_type_name: Texts
    fields: list[str]
    attachment: str
    format: str
    question: str


class AccessView(Response, frozen=True):
    """That somebody looked, or tried to.

    `kind`: release, refused, trace or count. `outcome` is a stable code: requested, prepared, delivered, closed, failed, or for a
    refused attempt the denial's own; `outcome_text` says it in words. `system` names the agent key that acted for the officer.
    """

    kind: str
    time: datetime
    height: int
    transaction_id: Hex32
    organization: Hex16
    organization_name: str
    officer: Hex16
    officer_label: str
    system: str
    purpose: str
    purpose_name: Texts
    grant_id: Hex16 | None
    release_id: HexRelease | None
    released_by_name: str
    parts: list[AccessPartView]
    outcome: str
    outcome_text: Texts
    ended: datetime | None


class PendingView(Response, frozen=True):
    """What waits for me: a request for a grant, a recovery that I can veto, a mandate that I was offered.

    `until` is when the time to act is over; `text` says what it is and what to do.
    """

    kind: str
    id: Hex16
    since: datetime
    until: datetime | None
    text: Texts
    grant: GrantView | None


class RepresentedView(Response, frozen=True):
    """That one account acts for another. `role` is my part: principal or representative."""

    role: str
    mandate: MandateView
    in_force: bool


class SectionPage(Response, Generic[T], frozen=True):
    """A page of a section, newest first. `total` counts the whole section; `next` is the cursor of the next page or empty."""

    items: list[T]
    total: int
    next: str


class MyData(Response, frozen=True):
    """Everything about one account, each section with its first page.

    `complete_from_height`: from that block on nothing is left out; above 1 at a node that began later than the network did, where
    another node knows more. `as_of` and `height`: of the finalized block that this is as of.
    """

    account: Hex16
    kind: str
    height: int
    as_of: datetime
    complete_from_height: int
    certificates: SectionPage[HeldView]
    grants: SectionPage[GivenView]
    accesses: SectionPage[AccessView]
    requests: SectionPage[PendingView]
    representations: SectionPage[RepresentedView]


class NoticeView(Response, frozen=True):
    """A notice: what happened, and what can be done about it.

    `position` orders notices at one node and is what a stream resumes after; `notice_id` is the same at every node. `own`: I did it
    myself. `action` is empty where there is nothing to do.
    """

    position: Position
    notice_id: Hex16
    account: Hex16
    kind: str
    time: datetime
    told: datetime
    object_id: str
    grant_id: Hex16 | None
    transaction_id: Hex32 | None
    actor_name: str
    own: bool
    important: bool
    read: bool
    text: Texts
    action: Texts


class NoticesPage(Response, frozen=True):
    """Notices, newest first; `unread` counts all that lie behind the read mark."""

    items: list[NoticeView]
    unread: int
    read_to: Position
    next: str


class ReadRequest(Request, frozen=True):
    """Everything up to this position is read."""

    position: Position


class ReadView(Response, frozen=True):
    read_to: Position
    unread: int


class ExportPart(Response, frozen=True):
    """What an export says of itself, as `manifest.json` in the archive. `next` is the cursor of the next archive or empty."""

    format: str
    network: str
    chain_id: Hex32
    account: Hex16
    height: int
    as_of: datetime
    complete_from_height: int
    values: bool
    files: dict[str, Hex32]
    missing: list[str]
    next: str


# --- webhooks ---------------------------------------------------------------------------------------------------


Kinds = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\.[a-z_]{0,32}$")], ...], Meta(max_length=32)
]


class WebhookRequest(Request, frozen=True):
    """Where to send notices.

    `kinds`: which; an exact kind ("grants.requested"), or the beginning of kinds up to a dot ("releases."); empty for all.
    """

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    kinds: Kinds = ()
    name: Annotated[str, Meta(max_length=64)] = ""


class WebhookChange(Request, frozen=True):
    """Whether it delivers; what it missed meanwhile is delivered when it goes on."""

    enabled: bool


class WebhookView(Response, frozen=True):
    """A webhook. `secret` is there only in the answer that made or rotated it; `failing_since` while nothing comes through."""

    webhook_id: Hex16
    name: str
    url: str
    kinds: list[str]
    state: str
    disabled_reason: str
    created: datetime
    created_by: Hex16
    failing_since: datetime | None
    secret: str | None = None


class DeliveryView(Response, frozen=True):
    """A message to a webhook.

    `message_id` is what its receiver drops doubles by. `error` is a stable code: url_refused, address_refused, name_unknown,
    not_connected, tls_failed, timeout, redirected, refused (`status` says how), gone, broken_answer; empty when it came through.
    """

    message_id: str
    kind: str
    state: str
    attempts: int
    created: datetime
    next_attempt: datetime | None
    finished: datetime | None
    status: int | None
    error: str


class DeliveriesPage(Response, frozen=True):
    """Deliveries, newest first; `next` is the cursor of the following page, empty at the end."""

    items: list[DeliveryView]
    next: str


class ReplayRequest(Request, frozen=True):
    """One delivery by its message id, also one that waits for its next attempt; or all that have failed when it is left out."""

    message_id: Annotated[str, Meta(pattern="^msg_[0-9a-f]{32}$")] | None = None


class ReplayView(Response, frozen=True):
    replayed: int
