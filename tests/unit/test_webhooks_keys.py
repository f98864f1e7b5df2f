"""A webhook is for the key that made it: whoever had to give that key back hears no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.records import Account, AccountStatus
from node.services.webhook_records import PLATFORM_ID, Webhook, WebhookState
from node.services.webhooks import ATTEMPTS_PER_ACCOUNT_MAX, ATTEMPTS_PER_HOST_MAX, Webhooks, lanes_of
from tests.unit import http_world as w
from tests.unit.test_webhooks_delivery import Desk, Receiver, desk, subscribed

OTHER_KEY = w.fixed("another key", size=16)


def _revoked(account: Account) -> Account:
    """The key is revoked, and there is another, as after a theft or a recovery."""
    (key,) = account.keys
    return replace(account, keys=(replace(key, revoked_ms=1), replace(key, key_id=OTHER_KEY)))


def _ended(account: Account) -> Account:
    (key,) = account.keys
    return replace(account, keys=(replace(key, valid_until_ms=w.NOW_MS),))


def _suspended(account: Account) -> Account:
    return replace(account, status=AccountStatus.SUSPENDED)


async def _told(made: Desk) -> list[str]:
    return [one.kind for one in await made.index.notices(w.PERSON.account, limit=10, newest_first=True)]


@pytest.mark.parametrize("change", [_revoked, _ended, _suspended])
async def test_a_webhook_whose_key_ended_gets_nothing_more_and_its_account_is_told(
    tmp_path: Path, change: Callable[[Account], Account]
) -> None:
    async with desk(tmp_path) as (made, receiver, url), made.running() as service:
        webhook_id = await subscribed(service, receiver, url)
        await made.happen()
        await receiver.until(lambda: len(receiver.got) == 1)
        accounts = made.chain.records.accounts
        accounts[w.PERSON.account] = change(accounts[w.PERSON.account])
        await made.happen()
        await _until_disabled(service, made, receiver, webhook_id)
        assert (await service.get(w.PERSON.account, webhook_id)).disabled_reason == "key_ended"
        assert (await _told(made)).count("webhooks.key_ended") == 1
        assert receiver.attempts == 1


async def test_deliveries_that_waited_when_the_key_ended_are_not_sent_either(tmp_path: Path) -> None:
    async with desk(tmp_path, retry_ms=60_000) as (made, receiver, url), made.running() as service:
        receiver.answers = lambda _attempt: 500
        webhook_id = await subscribed(service, receiver, url)
        await made.happen(3)
        await receiver.until(lambda: receiver.attempts == 3)
        accounts = made.chain.records.accounts
        accounts[w.PERSON.account] = _revoked(accounts[w.PERSON.account])
        made.clock.now_ms += 600_000
        await service.replay(w.PERSON.account, webhook_id, None)
        await _until_disabled(service, made, receiver, webhook_id)
        assert receiver.attempts == 3
        assert (await _told(made)).count("webhooks.key_ended") == 1


async def test_another_key_takes_a_webhook_over_with_what_it_missed(tmp_path: Path) -> None:
    async with desk(tmp_path) as (made, receiver, url), made.running() as service:
        webhook_id = await subscribed(service, receiver, url)
        accounts = made.chain.records.accounts
        accounts[w.PERSON.account] = _revoked(accounts[w.PERSON.account])
        await made.happen(2)
        await _until_disabled(service, made, receiver, webhook_id)
        shown = await service.set_enabled(w.PERSON.account, OTHER_KEY, webhook_id, enabled=True)
        assert (shown.state, shown.created_by) == (WebhookState.ACTIVE, OTHER_KEY)
        # The two that it missed, and the word that it had been disabled.
        await receiver.until(lambda: len(receiver.got) == 3)


async def _until_disabled(service: Webhooks, made: Desk, receiver: Receiver, webhook_id: bytes) -> None:
    """Blocks until the service has looked; each of them wakes it."""

    async def disabled() -> bool:
        await made.happen(account=w.STRANGER.account)
        receiver.came.set()
        found = await service.get(w.PERSON.account, webhook_id)
        return found.state is WebhookState.DISABLED

    await receiver.until(disabled)


async def test_a_delivery_that_waits_can_be_sent_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path, retry_ms=3_600_000) as (made, receiver, url), made.running() as service:
        receiver.answers = lambda attempt: 500 if attempt == 1 else 200
        webhook_id = await subscribed(service, receiver, url)
        await made.happen()
        await receiver.until(lambda: receiver.attempts == 1)
        (one,) = await service.deliveries(w.PERSON.account, webhook_id, state=None, before=None, limit=2)
        assert await service.replay(w.PERSON.account, webhook_id, one.message_id) == 1
        await receiver.until(lambda: len(receiver.got) == 1)
        assert receiver.got[0].message_id == f"msg_{one.message_id.hex()}"


def test_an_attempt_queues_for_its_host_and_its_account_however_the_url_is_spelled() -> None:
    made = Webhook(
        webhook_id=b"w" * 16,
        account=w.PERSON.account,
        created_by=w.PERSON.key_id,
        name="",
        url="https://example.org/hook",
        kinds=(),
        created_ms=0,
        position=0,
    )
    lanes = {
        "host example.org": ATTEMPTS_PER_HOST_MAX,
        f"account {w.PERSON.account.hex()}": ATTEMPTS_PER_ACCOUNT_MAX,
    }
    for url in ("https://example.org/hook", "https://EXAMPLE.org?1", "https://example.org.:8443/x"):
        assert lanes_of(dataclasses.replace(made, url=url)) == lanes
    operators = dataclasses.replace(made, webhook_id=PLATFORM_ID, account=b"")
    assert lanes_of(operators) == {"host example.org": ATTEMPTS_PER_HOST_MAX}
