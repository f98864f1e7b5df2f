"""Webhooks (回调) and their deliveries as a node keeps them, and the limits that hold.

Rule: a webhook reads notices from a position of its own, so the index is its queue: what waits is never lost and takes no room
here. Only a window of deliveries is under way at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger.errors import Category, LedgerError

WEBHOOKS_PER_ACCOUNT_MAX: Final = 16
WEBHOOKS_MAX: Final = 10_000
KINDS_MAX: Final = 32
URL_LENGTH_MAX: Final = 2048
NAME_LENGTH_MAX: Final = 64
SECRETS_KEPT_MAX: Final = 2
# Deliveries of one webhook that are under way; what comes after waits in the index.
WINDOW: Final = 100
# Finished deliveries that can be looked at and replayed.
DELIVERIES_KEPT_MAX: Final = 1_000
DELIVERIES_KEPT_MS: Final = 30 * 24 * 3_600_000
SECRET_GRACE_MS: Final = 24 * 3_600_000
ERROR_LENGTH_MAX: Final = 200
# Pauses after the first, second, … failure, as multiples of the first pause; after the last of them it has failed.
BACKOFF: Final = (1, 6, 24, 120, 360, 720, 1440, 2880, 4320, 5760, 8640, 8640)
ATTEMPTS_MAX: Final = len(BACKOFF) + 1


class WebhookState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """Failed is what has had its `ATTEMPTS_MAX`; it can be replayed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A signing secret; `until_ms` is when it ends after another took its place, 0 while it is the one in use."""

    data: bytes
    until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where an account wants its notices.

    Attributes:
        webhook_id: random, 16 bytes; the operator's own, to the city's platform, has `PLATFORM_ID`.
        account: whose notices; empty for those of every person.
        created_by: key that made it, or enabled it last; it rests when that key may act no more.
        kinds: what the kinds of notices begin with; empty for all.
        position: up to here notices have become deliveries.
        failing_since_ms: since when nothing has come through; 0 while it does.
        disabled_reason: code, while it is disabled.
    """

    webhook_id: bytes
    account: bytes
    created_by: bytes
    name: str
    url: str
    kinds: tuple[str, ...]
    created_ms: int
    position: int
    state: WebhookState = WebhookState.ACTIVE
    failing_since_ms: int = 0
    disabled_reason: str = ""

    def wants(self, kind: str) -> bool:
        """Whether a kind of notice is wanted."""
        return not self.kinds or any(
            kind == one or (one.endswith(".") and kind.startswith(one)) for one in self.kinds
        )


PLATFORM_ID: Final = b"city-platform---"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one webhook.

    Attributes:
        message_id: the notice's id; the same at every repetition, and at every node.
        position: of the notice.
        next_ms: wall clock of the next attempt.
        status: of the last answer; 0 where none came.
        error: stable code of what went wrong last, or empty.
        body: what is sent.
    """

    webhook_id: bytes
    message_id: bytes
    position: int
    kind: str
    state: DeliveryState
    attempts: int
    created_ms: int
    next_ms: int
    finished_ms: int
    status: int
    error: str
    body: bytes


class TooManyWebhooks(LedgerError):
    """Fields: maximum."""

    code = "too_many_webhooks"
    category = Category.CONFLICT
    zh = "回调数量已达上限 {maximum}；请先删除不用的回调"
    en = "There are {maximum} webhooks, the most there may be; delete one that is not needed"


class WebhooksOff(LedgerError):
    """This node sends no webhooks."""

    code = "webhooks_off"
    category = Category.UNAVAILABLE
    zh = "本节点未启用回调；请使用通知流 /v1/me/notices/stream，或在其他节点创建"
    en = "This node sends no webhooks; use the stream /v1/me/notices/stream, or make it at another node"


class WebhookUrlRefused(LedgerError):
    """Fields: reason_zh, reason_en."""

    code = "webhook_url_refused"
    zh = "回调地址不可用：{reason_zh}"
    en = "This URL cannot be used: {reason_en}"
