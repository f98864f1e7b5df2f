"""Deliveries: each at least once and under one id, whatever the receiver does and however often the node stops."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ledger.errors import NotFound
from node.http.views.mydata import delivery_body
from node.index.sqlite import SqliteIndex
from node.services.notices import Notices
from node.services.webhook_places import PlacePolicy, networks
from node.services.webhook_records import (
    ATTEMPTS_MAX,
    WEBHOOKS_PER_ACCOUNT_MAX,
    WINDOW,
    DeliveryState,
    TooManyWebhooks,
    WebhookState,
    WebhookUrlRefused,
)
from node.services.webhook_store import WebhookStore
from node.services.webhooks import Webhooks, WebhookSettings
from tests.unit import http_world as w
from zhenglian.webhooks import Delivered, new_secret, verify

LOOPBACK = PlacePolicy(http=True, networks=networks(("127.0.0.0/8",)))
ANSWER_S = 20.0


@dataclass
class Receiver:
    """A real server that answers as it is told, and remembers what it was given."""

    secret: str = ""
    answers: Callable[[int], int] = lambda _number: 200
    got: list[Delivered] = field(default_factory=list)
    attempts: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)
    location: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.attempts += 1
        # How late it may be is another test's; here the clock jumps.
        sent_s = float(request.headers["webhook-timestamp"])
        delivered = verify(self.secret, request.headers, body, now_s=sent_s)
        status = self.answers(self.attempts)
        if 200 <= status < 300:
            self.got.append(delivered)
        self.came.set()
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=status, headers=headers)

    async def until(self, so: Callable[[], bool | Awaitable[bool]]) -> None:
        """Wait for the receiver to be asked until it is so."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                found = so()
                if found if isinstance(found, bool) else await found:
                    return
                await self.came.wait()
                self.came.clear()
                await asyncio.sleep(0)


@dataclass
class Desk:
    """A node's webhooks over an index in memory of a test."""

    folder: Path
    chain: w.FakeChain
    index: SqliteIndex
    settings: WebhookSettings
    clock: w.Clock
    is_mine: Callable[[bytes], bool] = lambda _id: True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Webhooks]:
        """The service, at work until the block ends; starting it again is a restart of the node."""
        store = WebhookStore(self.folder / "webhooks.sqlite", w.SUITE, w.fixed("node secret"))
        service = Webhooks(
            chain=self.chain,
            index=self.index,
            notices=Notices(self.chain, self.index, store),
            store=store,
            settings=self.settings,
            render=delivery_body,
            clock_ms=self.clock,
            is_mine=self.is_mine,
            random=lambda: 0.5,
        )
        work = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            await store.close()

    async def happen(self, count: int = 1, *, account: bytes = w.PERSON.account) -> None:
        for _ in range(count):
            height = self.chain.height
            made = self.chain.transaction(w.DEPARTMENT, "certificates", "issue", height)
            event = w.event("certificates.issued", w.fixed("certificate", height, size=16), account)
            self.chain.append((made, (event,)))
        await w.catch_up(self.chain, self.index)


@asynccontextmanager
async def desk(folder: Path, **settings: object) -> AsyncIterator[tuple[Desk, Receiver, str]]:
    chain = w.FakeChain()
    index = SqliteIndex(folder / "index.sqlite", chain.chain_id)
    clock = w.Clock()
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with TestServer(app) as server:
        made = Desk(
            folder, chain, index, WebhookSettings(**{"policy": LOOPBACK, "retry_ms": 1, **settings}), clock
        )
        yield made, receiver, str(server.make_url("/hook"))
    await index.close()


def key_of(account: bytes) -> bytes:
    return next(actor.key_id for actor in w.ACTORS if actor.account == account)


async def subscribed(
    service: Webhooks, receiver: Receiver, url: str, *kinds: str, account: bytes = w.PERSON.account
) -> bytes:
    webhook, receiver.secret = await service.create(
        account, key_of(account), url=url, kinds=kinds, name="mine"
    )
    return webhook.webhook_id


async def finished(service: Webhooks, webhook_id: bytes, count: int, state: DeliveryState) -> bool:
    found = await service.deliveries(w.PERSON.account, webhook_id, state=state, before=None, limit=500)
    return len(found) >= count


async def test_what_happens_is_delivered_once_each_with_the_notices_id(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        await subscribed(service, receiver, url)
        await node.happen(7)
        await node.happen(2, account=w.STRANGER.account)
        await receiver.until(lambda: len(receiver.got) >= 7)
        assert len({one.message_id for one in receiver.got}) == 7
        assert {one.kind for one in receiver.got} == {"certificates.issued"}
        one = receiver.got[0]
        assert one.message_id == f"msg_{one.data['notice_id']}"
        assert one.data["text"]["zh"]
        assert one.data["text"]["en"]


async def test_a_receiver_that_fails_at_first_gets_everything_under_the_same_ids(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url):
        ids: list[str] = []
        receiver.answers = lambda number: 500 if number <= 5 else 200
        async with node.running() as service:
            webhook_id = await subscribed(service, receiver, url)
            await node.happen(3)
            while len(receiver.got) < 3:
                await _next_attempt(node, receiver, service)
            found = await service.deliveries(w.PERSON.account, webhook_id, state=None, before=None, limit=10)
            ids = [f"msg_{one.message_id.hex()}" for one in found]
            assert {one.state for one in found} == {DeliveryState.DELIVERED}
            assert max(one.attempts for one in found) > 1
        assert sorted(one.message_id for one in receiver.got) == sorted(ids)


async def _until(so: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; for what nobody outside the service is told of."""
    async with asyncio.timeout(ANSWER_S):
        while not await so():  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(0)


async def _has_webhooks(service: Webhooks) -> bool:
    return bool(await service._store.webhooks())


async def _next_attempt(node: Desk, receiver: Receiver, service: Webhooks) -> None:
    """Let the time of whatever waits come, and an attempt be made. Time stands still while one is under way."""
    before = receiver.attempts
    await _settled(service)
    if receiver.attempts == before:
        node.clock.now_ms += 10_000
        service._woken.set()
    await receiver.until(lambda: receiver.attempts > before)
    await _settled(service)


async def _settled(service: Webhooks) -> None:
    """Until no attempt is under way."""
    while service._tasks:
        await asyncio.wait(list(service._tasks.values()))
        await asyncio.sleep(0)


async def test_a_restart_loses_nothing_and_repeats_nothing_that_was_answered(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url):
        async with node.running() as service:
            webhook_id = await subscribed(service, receiver, url)
            await node.happen(4)
            await receiver.until(lambda: len(receiver.got) >= 4)
            await _settled(service)
            assert await finished(service, webhook_id, 4, DeliveryState.DELIVERED)
        # While the node is down the chain goes on elsewhere.
        await node.happen(5)
        async with node.running() as service:
            await receiver.until(lambda: len(receiver.got) >= 9)
            await _settled(service)
        ids = [one.message_id for one in receiver.got]
        assert len(ids) == len(set(ids)) == 9


async def test_after_so_many_attempts_it_has_failed_and_can_be_replayed(tmp_path: Path) -> None:
    async with desk(tmp_path, disable_after_ms=10**12) as (node, receiver, url), node.running() as service:
        receiver.answers = lambda _number: 500
        webhook_id = await subscribed(service, receiver, url)
        await node.happen(1)
        while receiver.attempts < ATTEMPTS_MAX:
            await _next_attempt(node, receiver, service)
        (failed,) = await service.deliveries(
            w.PERSON.account, webhook_id, state=DeliveryState.FAILED, before=None, limit=9
        )
        assert (failed.attempts, failed.status, failed.error) == (ATTEMPTS_MAX, 500, "refused")
        receiver.answers = lambda _number: 204
        assert await service.replay(w.PERSON.account, webhook_id, None) == 1
        await receiver.until(lambda: len(receiver.got) == 1)
        await _settled(service)
        with pytest.raises(NotFound):
            await service.replay(w.PERSON.account, webhook_id, b"x" * 16)
        # One that has come through can be had again, too: under the same id.
        assert await service.replay(w.PERSON.account, webhook_id, failed.message_id) == 1
        await receiver.until(lambda: len(receiver.got) == 2)
        assert len({one.message_id for one in receiver.got}) == 1


@pytest.mark.parametrize(("status", "reason"), [(410, "gone"), (500, "failing")])
async def test_a_webhook_that_fails_for_good_is_disabled_told_of_and_misses_nothing(
    tmp_path: Path, status: int, reason: str
) -> None:
    async with desk(tmp_path, disable_after_ms=0) as (node, receiver, url), node.running() as service:
        receiver.answers = lambda _number: status
        webhook_id = await subscribed(service, receiver, url)
        await node.happen(1)
        await receiver.until(lambda: receiver.attempts >= 1)
        await _settled(service)
        webhook = await service.get(w.PERSON.account, webhook_id)
        assert (webhook.state, webhook.disabled_reason) == (WebhookState.DISABLED, reason)
        (told,) = await node.index.notices(w.PERSON.account, limit=1, newest_first=True)
        assert (told.kind, told.object_id) == ("webhooks.disabled", webhook_id)
        await node.happen(3)
        receiver.answers = lambda _number: 200
        node.clock.now_ms += 10**6
        await service.set_enabled(w.PERSON.account, w.PERSON.key_id, webhook_id, enabled=True)
        # What failed, what came meanwhile, and the word that it was disabled.
        await receiver.until(lambda: len(receiver.got) >= 5)
        assert len({one.message_id for one in receiver.got}) == 5


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        receiver.answers, receiver.location = lambda _number: 307, url
        webhook_id = await subscribed(service, receiver, url)
        await node.happen(1)
        await receiver.until(lambda: receiver.attempts >= 1)
        await _settled(service)
        (tried,) = await service.deliveries(w.PERSON.account, webhook_id, state=None, before=None, limit=9)
        assert (tried.status, tried.error) == (307, "redirected")
        assert receiver.attempts == tried.attempts


async def test_an_inner_address_is_refused_when_made_and_when_the_operator_takes_it_back(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as (node, receiver, url):
        async with node.running() as service:
            webhook_id = await subscribed(service, receiver, url)
        node.settings = WebhookSettings(policy=PlacePolicy(http=True), retry_ms=1)
        await node.happen(1)
        async with node.running() as service:
            with pytest.raises(WebhookUrlRefused):
                await subscribed(service, receiver, url)
            store = service._store

            async def tried() -> bool:
                found = await store.deliveries(webhook_id, state=None, before=None, limit=9)
                return bool(found) and found[0].attempts > 0

            await _until(tried)
            found = await store.deliveries(webhook_id, state=None, before=None, limit=9)
            assert found[0].error == "url_refused"
        assert receiver.attempts == 0


async def test_only_the_kinds_that_are_wanted_are_delivered(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        await subscribed(service, receiver, url, "grants.", "certificates.erased")
        await node.happen(2)
        chain = node.chain
        asked = chain.transaction(w.BANK, "grants", "request")
        chain.append((asked, (w.event("grants.requested", w.GRANT_ID, w.PERSON.account),)))
        await w.catch_up(chain, node.index)
        await receiver.until(lambda: len(receiver.got) >= 1)
        await _settled(service)
        assert [one.kind for one in receiver.got] == ["grants.requested"]


async def test_a_rotated_secret_signs_beside_the_old_one_until_its_day_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        webhook_id = await subscribed(service, receiver, url)
        old = receiver.secret
        receiver.secret = await service.rotate(w.PERSON.account, webhook_id)
        assert receiver.secret != old
        keys = await service._store.secrets(webhook_id, node.clock())
        assert len(keys) == 2
        await node.happen(1)
        await receiver.until(lambda: len(receiver.got) == 1)
        assert len(await service._store.secrets(webhook_id, node.clock() + 24 * 3_600_000)) == 1


async def test_more_than_a_window_waits_in_the_index_and_is_delivered_all_the_same(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        await subscribed(service, receiver, url)
        await node.happen(WINDOW + 30)
        await receiver.until(lambda: len(receiver.got) >= WINDOW + 30)
        assert len({one.message_id for one in receiver.got}) == WINDOW + 30


async def test_there_are_only_so_many_webhooks_of_an_account(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        for _ in range(WEBHOOKS_PER_ACCOUNT_MAX):
            await subscribed(service, receiver, url)
        with pytest.raises(TooManyWebhooks):
            await subscribed(service, receiver, url)
        await subscribed(service, receiver, url, account=w.STRANGER.account)


async def test_the_citys_platform_gets_every_persons_notices_of_which_it_is_this_nodes_turn(
    tmp_path: Path,
) -> None:
    secret = new_secret(bytes(32))
    async with desk(tmp_path) as (node, receiver, url):
        receiver.secret = secret
        node.settings = WebhookSettings(policy=LOOPBACK, retry_ms=1, platform_url=url, platform_secret=secret)
        mine: list[bytes] = []
        node.is_mine = lambda transaction_id: transaction_id in mine
        async with node.running() as service:
            await _until(lambda: _has_webhooks(service))
            await node.happen(1)
            turn = node.chain.transaction(w.DEPARTMENT, "certificates", "issue", "turn")
            event = w.event(
                "certificates.issued", w.fixed("one", size=16), w.STRANGER.account, w.BANK.account
            )
            node.chain.append((turn, (event,)))
            mine.append(node.chain.blocks[-1][1][0].transaction_id)
            await w.catch_up(node.chain, node.index)
            await receiver.until(lambda: len(receiver.got) >= 1)
            await _settled(service)
            (one,) = receiver.got
            assert one.data["account"] == w.STRANGER.account.hex()


async def test_secrets_are_not_readable_in_the_file(tmp_path: Path) -> None:
    async with desk(tmp_path) as (node, receiver, url), node.running() as service:
        await subscribed(service, receiver, url)
        raw = await asyncio.to_thread(_bytes_of, tmp_path)
        assert receiver.secret.encode() not in raw
        assert base64.b64decode(receiver.secret.removeprefix("whsec_")) not in raw


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("webhooks.sqlite*"))
