"""Webhooks (回调): an account's notices, pushed to where it wants them.

Rule: every notice that a webhook wants is delivered at least once, under one id, until its receiver answers with a status of 200 to
299 or it has failed `ATTEMPTS_MAX` times; a restart changes nothing about that. A webhook that has been failing for too long is
disabled, its account is told so, and what it missed waits until it is enabled again. So is one whose key has ended: whoever made it
with a key that was stolen, or that he had to give back, hears no more. Another key of the account may enable it, and then
answers for it.

    notices (index) ── a window at a time ──▶ deliveries (store) ── attempts ──▶ delivered | failed
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from contracts.keys import usable
from contracts.records import AccountKind, AccountStatus
from ledger.errors import InvariantViolation, LedgerError, NotFound
from network.tasks import end
from node.index.dossiers import FoundNotice, position_of
from node.index.ports import Index
from node.services.mydata import Scope
from node.services.notices import Notice, Notices
from node.services.ports import Chain
from node.services.webhook_places import PlacePolicy
from node.services.webhook_records import (
    ATTEMPTS_MAX,
    BACKOFF,
    PLATFORM_ID,
    SECRET_GRACE_MS,
    WINDOW,
    Delivery,
    DeliveryState,
    Secret,
    Webhook,
    WebhooksOff,
    WebhookState,
)
from node.services.webhook_sender import Outcome, Sender
from node.services.webhook_store import Attempted, WebhookStore
from zhenglian.webhooks import SECRET_SIZE_BYTES, new_secret, secret_bytes, sign

ATTEMPTS_AT_ONCE_MAX: Final = 16
ATTEMPTS_PER_HOST_MAX: Final = 2
ATTEMPTS_PER_ACCOUNT_MAX: Final = 4
NOTICES_PER_ROUND_MAX: Final = 500
DUE_MAX: Final = 256
JITTER: Final = 0.2
PAUSE_MS_MAX: Final = 24 * 3_600_000
IDLE_S: Final = 5.0
PRUNE_EVERY_MS: Final = 600_000
RETRY_S: Final = 5.0
DISABLED_KIND: Final = "webhooks.disabled"
KEY_ENDED_KIND: Final = "webhooks.key_ended"
KEY_ENDED: Final = "key_ended"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """What the operator chooses.

    Attributes:
        enabled: whether this node sends webhooks at all.
        policy: where to.
        retry_ms: pause after the first failure; `BACKOFF` multiplies it.
        disable_after_ms: a webhook that has been failing for so long is disabled.
        ca_file: further certificate authorities.
        timeout_s: for one attempt.
        platform_url, platform_secret: the city's message platform, which is sent every person's notices; empty for none.
    """

    enabled: bool = True
    policy: PlacePolicy = field(default_factory=PlacePolicy)
    retry_ms: int = 5_000
    disable_after_ms: int = 3 * 24 * 3_600_000
    ca_file: Path | None = None
    timeout_s: float = 15.0
    platform_url: str = ""
    platform_secret: str = ""


class Webhooks:
    """Keeps webhooks and delivers to them.

    Args:
        chain, index, notices: where notices come from.
        store: what is durable.
        settings: the operator's.
        render: a notice as the body of a delivery.
        clock_ms: wall clock.
        is_mine: whether this node is to notify people of what a transaction did; another operator's node than the one that took
            it in does (`notifiers.py`).
        random: draws from [0, 1) for the jitter.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        index: Index,
        notices: Notices,
        store: WebhookStore,
        settings: WebhookSettings,
        render: Callable[[Notice], bytes],
        clock_ms: Callable[[], int],
        is_mine: Callable[[bytes], bool] = lambda _transaction_id: True,
        random: Callable[[], float] = lambda: secrets.randbelow(1 << 30) / (1 << 30),
    ) -> None:
        self._chain, self._index, self._notices, self._store = chain, index, notices, store
        self._settings, self._render, self._clock_ms = settings, render, clock_ms
        self._is_mine, self._random = is_mine, random
        self._tasks: dict[tuple[bytes, bytes], asyncio.Task[None]] = {}
        # Attempts under way, by host and by account: neither a slow host nor one account's many webhooks keep the others back.
        self._busy: Counter[str] = Counter()
        # Webhooks that may have something to fetch from the index; all of them at first, and each that is made or enabled.
        self._stirred: set[bytes] = set()
        self._seen = -1
        self._woken = asyncio.Event()
        self._pruned_ms = 0
        self._rest_until_ms = 0
        self._sender: Sender | None = None

    # --- what accounts ask for ---

    async def create(
        self, account: bytes, key_id: bytes, *, url: str, kinds: tuple[str, ...], name: str
    ) -> tuple[Webhook, str]:
        """Make a webhook for what happens from now on; with its secret, which is told this once.

        Raises:
            WebhooksOff, WebhookUrlRefused, TooManyWebhooks.
        """
        if not self._settings.enabled:
            raise WebhooksOff
        self._settings.policy.check_url(url)
        secret = new_secret(secrets.token_bytes(SECRET_SIZE_BYTES))
        webhook = Webhook(
            webhook_id=secrets.token_bytes(16),
            account=account,
            created_by=key_id,
            name=name,
            url=url,
            kinds=kinds,
            created_ms=self._clock_ms(),
            position=position_of(self._index.height + 1, 0) - 1,
        )
        await self._store.add(webhook, Secret(data=secret_bytes(secret)))
        self._stir(webhook.webhook_id)
        return webhook, secret

    async def of(self, account: bytes) -> tuple[Webhook, ...]:
        """An account's webhooks."""
        return await self._store.webhooks(account)

    async def get(self, account: bytes, webhook_id: bytes) -> Webhook:
        """One of an account's webhooks. Raises NotFound."""
        return await self._store.webhook(webhook_id, account)

    async def delete(self, account: bytes, webhook_id: bytes) -> None:
        """End a webhook; what it has not delivered is not delivered any more. Raises NotFound."""
        await self._store.webhook(webhook_id, account)
        await self._store.delete(webhook_id)

    async def rotate(self, account: bytes, webhook_id: bytes) -> str:
        """Another secret; for a day deliveries are signed with both. Raises NotFound."""
        await self._store.webhook(webhook_id, account)
        secret = new_secret(secrets.token_bytes(SECRET_SIZE_BYTES))
        until_ms = self._clock_ms() + SECRET_GRACE_MS
        await self._store.rotate(webhook_id, Secret(data=secret_bytes(secret)), old_until_ms=until_ms)
        return secret

    async def set_enabled(
        self, account: bytes, key_id: bytes, webhook_id: bytes, *, enabled: bool
    ) -> Webhook:
        """Go on where it stopped, from now on for this key; or stop. Raises NotFound, WebhooksOff."""
        await self._store.webhook(webhook_id, account)
        if enabled and not self._settings.enabled:
            raise WebhooksOff
        state = WebhookState.ACTIVE if enabled else WebhookState.DISABLED
        await self._store.set_state(
            webhook_id, state, "" if enabled else "by_owner", for_key=key_id if enabled else None
        )
        self._stir(webhook_id)
        return await self._store.webhook(webhook_id, account)

    async def deliveries(
        self,
        account: bytes,
        webhook_id: bytes,
        *,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
    ) -> tuple[Delivery, ...]:
        """A webhook's deliveries, newest first. Raises NotFound."""
        await self._store.webhook(webhook_id, account)
        return await self._store.deliveries(webhook_id, state=state, before=before, limit=limit)

    async def replay(self, account: bytes, webhook_id: bytes, message_id: bytes | None) -> int:
        """Send a delivery now, once more or for the first time; or all that have failed. How many. Raises NotFound."""
        await self._store.webhook(webhook_id, account)
        count = await self._store.replay(webhook_id, message_id, self._clock_ms())
        if message_id is not None and count == 0:
            raise NotFound(what="delivery", id=message_id.hex())
        self._woken.set()
        return count

    # --- the work ---

    async def run(self) -> None:
        """Fetch and deliver, until cancelled. A full disk is waited out: nothing is lost by it."""
        if not self._settings.enabled:
            return
        self._sender = Sender(
            self._settings.policy, ca_file=self._settings.ca_file, timeout_s=self._settings.timeout_s
        )
        try:
            await self._begin()
            while True:
                try:
                    await self._round()
                except InvariantViolation:
                    raise
                except LedgerError as error:
                    log.error("webhooks wait", reason=str(error))
                    await asyncio.sleep(RETRY_S)
        finally:
            await end(self._tasks.values())
            await self._sender.close()

    async def _begin(self) -> None:
        """Take up everything that there is, and the operator's own webhook as it is configured."""
        url = self._settings.platform_url
        # In this order: what is told from here on is looked for, and what was told before is fetched for every webhook.
        newest = await self._index.notices(None, limit=1, newest_first=True)
        self._seen = newest[0].position if newest else -1
        known = {webhook.webhook_id: webhook for webhook in await self._store.webhooks()}
        platform = known.pop(PLATFORM_ID, None)
        if platform is not None and platform.url != url:
            await self._store.delete(PLATFORM_ID)
            platform = None
        if url and platform is None:
            webhook = Webhook(
                webhook_id=PLATFORM_ID,
                account=b"",
                created_by=b"",
                name="platform",
                url=url,
                kinds=(),
                created_ms=self._clock_ms(),
                position=position_of(self._index.height + 1, 0) - 1,
            )
            await self._store.add(webhook, Secret(data=secret_bytes(self._settings.platform_secret)))
        self._stirred.update(known, (PLATFORM_ID,) if url else ())

    async def _round(self) -> None:
        """Fetch what is new, begin what is due, wait until there is something to do."""
        self._woken.clear()
        height = self._index.height
        await self._look()
        await self._fetch()
        await self._start_due()
        await self._prune()
        await self._wait(height)

    async def _look(self) -> None:
        """Which webhooks have news: those of the accounts that were told something since the last look."""
        accounts: set[bytes] = set()
        while found := await self._index.notices(None, after=self._seen, limit=NOTICES_PER_ROUND_MAX):
            self._seen = found[-1].position
            accounts.update(one.account for one in found)
        if accounts:
            self._stirred.update(
                webhook.webhook_id
                for webhook in await self._store.webhooks()
                if webhook.account in accounts or webhook.webhook_id == PLATFORM_ID
            )

    async def _fetch(self) -> None:
        for webhook_id in sorted(self._stirred):
            try:
                webhook = await self._store.webhook(webhook_id)
            except NotFound:
                self._stirred.discard(webhook_id)
                continue
            if webhook.state is WebhookState.ACTIVE and not self._entitled(webhook):
                await self._disable(webhook, KEY_ENDED)
                self._stirred.discard(webhook_id)
            elif webhook.state is WebhookState.DISABLED or not await self._fill(webhook):
                self._stirred.discard(webhook_id)

    def _entitled(self, webhook: Webhook) -> bool:
        """Whether the key that it is for may still act; the operator's own needs none."""
        if webhook.webhook_id == PLATFORM_ID:
            return True
        account = self._chain.records.account(webhook.account)
        now_ms = max(self._clock_ms(), self._chain.head_time_ms)
        return (
            account is not None
            and account.status is AccountStatus.ACTIVE
            and any(key.key_id == webhook.created_by and usable(key, now_ms) for key in account.keys)
        )

    async def _fill(self, webhook: Webhook) -> bool:
        """Turn notices into deliveries as far as the window goes; whether there is more that could be fetched at once."""
        room = WINDOW - await self._store.pending_count(webhook.webhook_id)
        if room <= 0:
            return False
        account = webhook.account or None
        found = await self._index.notices(account, after=webhook.position, limit=room)
        if not found:
            return False
        now_ms = self._clock_ms()
        made = [self._delivery(webhook, one, now_ms) for one in found]
        deliveries = [delivery for delivery in made if delivery is not None]
        await self._store.enqueue(webhook.webhook_id, deliveries, found[-1].position)
        return len(found) == room

    def _delivery(self, webhook: Webhook, found: FoundNotice, now_ms: int) -> Delivery | None:
        if not webhook.wants(found.kind) or (
            webhook.webhook_id == PLATFORM_ID and not self._for_platform(found)
        ):
            return None
        notice = self._notices.worded(found, Scope(found.account))
        if notice is None:
            return None
        return Delivery(
            webhook_id=webhook.webhook_id,
            message_id=notice.notice_id,
            position=found.position,
            kind=found.kind,
            state=DeliveryState.PENDING,
            attempts=0,
            created_ms=now_ms,
            next_ms=now_ms,
            finished_ms=0,
            status=0,
            error="",
            body=self._render(notice),
        )

    def _for_platform(self, found: FoundNotice) -> bool:
        """Whether this node tells the city's platform of it: a person's notice of which it is this node's turn."""
        account = self._chain.records.account(found.account)
        if account is None or account.kind is not AccountKind.PERSON or found.event is None:
            return False
        return self._is_mine(found.event.transaction_id)

    async def _start_due(self) -> None:
        if len(self._tasks) >= ATTEMPTS_AT_ONCE_MAX or self._clock_ms() < self._rest_until_ms:
            return
        # More than there is room for, because a slow host's deliveries must not keep the others back.
        for delivery in await self._store.due(self._clock_ms(), DUE_MAX, tuple(self._tasks)):
            try:
                webhook = await self._store.webhook(delivery.webhook_id)
            except NotFound:
                continue
            if webhook.state is WebhookState.DISABLED:
                # By a delivery before this one.
                continue
            if not self._entitled(webhook):
                await self._disable(webhook, KEY_ENDED)
                continue
            lanes = lanes_of(webhook)
            if any(self._busy[lane] >= maximum for lane, maximum in lanes.items()):
                continue
            if len(self._tasks) >= ATTEMPTS_AT_ONCE_MAX:
                break
            self._busy.update(lanes.keys())
            place = (delivery.webhook_id, delivery.message_id)
            task = asyncio.create_task(self._attempt(webhook, delivery))
            self._tasks[place] = task
            task.add_done_callback(partial(self._ended, place, tuple(lanes)))

    def _ended(self, place: tuple[bytes, bytes], lanes: tuple[str, ...], task: asyncio.Task[None]) -> None:
        del self._tasks[place]
        self._busy.subtract(lanes)
        self._busy = +self._busy
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Otherwise it would be sent again at once, and again.
            self._rest_until_ms = self._clock_ms() + int(RETRY_S * 1000)
            log.error("a delivery could not be recorded; it is tried again", reason=str(error))

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        """Send once and write down what came of it."""
        now_ms = self._clock_ms()
        keys = await self._store.secrets(webhook.webhook_id, now_ms)
        if not keys or self._sender is None:
            return
        headers = sign(keys, f"msg_{delivery.message_id.hex()}", now_ms // 1000, delivery.body)
        outcome = await self._sender.post(webhook.url, headers, delivery.body)
        now_ms = self._clock_ms()
        after = await self._store.attempted(
            Attempted(delivery=self._after(delivery, outcome, now_ms), through=outcome.through), now_ms
        )
        self._stir(webhook.webhook_id)
        if after is not None and after.state is WebhookState.ACTIVE and not outcome.through:
            # 0: another delivery has come through since this one was written down.
            since_ms = after.failing_since_ms
            lasting = since_ms > 0 and now_ms - since_ms >= self._settings.disable_after_ms
            if outcome.error == "gone" or lasting:
                await self._disable(after, "gone" if outcome.error == "gone" else "failing")

    def _after(self, delivery: Delivery, outcome: Outcome, now_ms: int) -> Delivery:
        attempts = delivery.attempts + 1
        tried = replace(delivery, attempts=attempts, status=outcome.status, error=outcome.error)
        if outcome.through:
            return replace(tried, state=DeliveryState.DELIVERED, finished_ms=now_ms)
        if attempts >= ATTEMPTS_MAX:
            return replace(tried, state=DeliveryState.FAILED, finished_ms=now_ms)
        pause_ms = min(self._settings.retry_ms * BACKOFF[attempts - 1], PAUSE_MS_MAX)
        pause_ms = int(pause_ms * (1 - JITTER + 2 * JITTER * self._random()))
        return replace(tried, next_ms=now_ms + max(pause_ms, outcome.retry_after_s * 1000))

    async def _disable(self, webhook: Webhook, reason: str) -> None:
        log.warning("a webhook is disabled", webhook=webhook.webhook_id.hex(), reason=reason)
        if webhook.webhook_id == PLATFORM_ID:
            # The operator's own: nobody but the operator could enable it, so it goes on trying.
            return
        # In this order: whoever stops between the two tells it twice, and not never.
        kind = KEY_ENDED_KIND if reason == KEY_ENDED else DISABLED_KIND
        await self._index.add_notice(webhook.account, kind, webhook.webhook_id, self._chain.head_time_ms)
        await self._store.set_state(webhook.webhook_id, WebhookState.DISABLED, reason)

    async def _prune(self) -> None:
        now_ms = self._clock_ms()
        if now_ms - self._pruned_ms >= PRUNE_EVERY_MS:
            self._pruned_ms = now_ms
            await self._store.prune(now_ms)

    async def _wait(self, height: int) -> None:
        """Until there is a further block, an attempt has ended or is due, or somebody has asked for something."""
        if self._stirred:
            return
        due_ms = await self._store.next_due_ms()
        if due_ms is not None:
            due_ms = max(due_ms, self._rest_until_ms)
        pause_s = IDLE_S
        if due_ms is not None and len(self._tasks) < ATTEMPTS_AT_ONCE_MAX:
            # What is due and was not begun waits for its host; the end of an attempt wakes it.
            late = due_ms <= self._clock_ms()
            pause_s = (
                IDLE_S if late and self._tasks else min(IDLE_S, max(0.0, (due_ms - self._clock_ms()) / 1000))
            )
        block = asyncio.ensure_future(self._index.wait_height(height + 1, pause_s))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait((block, woken), timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end((block, woken))

    def _stir(self, webhook_id: bytes) -> None:
        self._stirred.add(webhook_id)
        self._woken.set()


def lanes_of(webhook: Webhook) -> dict[str, int]:
    """Where an attempt queues, and how many there may be at once."""
    host = (urlsplit(webhook.url).hostname or "").rstrip(".")
    lanes = {f"host {host}": ATTEMPTS_PER_HOST_MAX}
    if webhook.webhook_id != PLATFORM_ID:
        lanes[f"account {webhook.account.hex()}"] = ATTEMPTS_PER_ACCOUNT_MAX
    return lanes
