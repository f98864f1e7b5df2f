"""My data, notices and webhooks on real nodes, with a real receiver that fails at first."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from node.config import load_config, write_config
from node.devnet import Devnet
from tests.e2e.cities import IDENTITY, READY_S, SUITE, City, Holder, until
from zhenglian import Client, Denied
from zhenglian import verify as verify_receipt
from zhenglian.webhooks import Delivered, verify

FAILURES = 4


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """As everywhere, but node 1 may send webhooks to this machine, and tries again soon."""
    with Devnet.create(tmp_path_factory.mktemp("e2e") / "devnet", suite=SUITE.name) as network:
        path = network.home(1) / "config.toml"
        config = load_config(path)
        allowed = msgspec.structs.replace(
            config.webhooks, allow_http=True, allow_networks=("127.0.0.0/8",), retry_s=0.2
        )
        write_config(path, msgspec.structs.replace(config, webhooks=allowed))
        network.start_all()
        network.wait_ready(READY_S)
        yield network


@dataclass
class Receiver:
    """An organisation's own server, in a thread of its own; refuses the first few deliveries."""

    secret: str = ""
    attempts: int = 0
    got: list[Delivered] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivered = verify(self.secret, request.headers, body)
        self.attempts += 1
        if self.attempts <= FAILURES:
            return web.Response(status=503)
        self.got.append(delivered)
        return web.Response(status=204)

    def run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            app = web.Application()
            app.router.add_post("/hook", self.handle)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert runner.addresses
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            ready.set()
            await asyncio.Event().wait()

        asyncio.run(serve())


@pytest.fixture
def receiver() -> Receiver:
    made, ready = Receiver(), threading.Event()
    threading.Thread(target=made.run, args=(ready,), daemon=True).start()
    assert ready.wait(READY_S)
    return made


@pytest.fixture
def holder(city: City) -> Iterator[Holder]:
    made = Holder(city)
    yield made
    made.client.close()


def test_everything_about_a_person_in_one_call_and_pushed_once_each(
    city: City, holder: Holder, devnet: Devnet, receiver: Receiver, folder: Path
) -> None:
    person = holder.client
    # Webhooks are kept by one node; this person's stands at node 1.
    with Client(devnet.urls[0], person.core.key) as at_one:
        made = at_one.create_webhook(receiver.url, kinds=["grants.", "releases."])
        receiver.secret = made.secret or ""
        bank = city.banks[0].client
        grant_id = holder.granted(bank)
        bank.retrieve(grant_id, holder.everything(), folder / "bank")
        with pytest.raises(Denied):
            city.banks[1].client.request_release(grant_id, holder.everything())
        wanted = {"grants.requested", "grants.approved", "releases.requested", "releases.delivered"}
        until(lambda: wanted <= {one.kind for one in receiver.got}, "every notice is delivered")
        until(
            lambda: not at_one.webhook_deliveries(made.webhook_id, state="pending"), "nothing waits any more"
        )
        deliveries = at_one.webhook_deliveries(made.webhook_id, limit=200)
        assert {one.state for one in deliveries} == {"delivered"}
        assert sum(one.attempts for one in deliveries) == receiver.attempts
    ids = [one.message_id for one in receiver.got]
    assert len(ids) == len(set(ids))
    assert set(ids) == {one.message_id for one in deliveries}
    assert receiver.attempts == len(ids) + FAILURES

    mine = person.my_data()
    assert mine.certificates.total == len(holder.certificates)
    assert [one.grant.grant_id for one in mine.grants.items] == [grant_id]
    looks = person.my_accesses()
    assert {one.outcome for one in looks if one.kind == "release"} == {"delivered"}
    (refused,) = [one for one in looks if one.kind == "refused"]
    assert (refused.organization_name, refused.outcome) == (city.banks[1].name, "not_grantee")
    told = {one.data["notice_id"] for one in receiver.got}
    everywhere = {one.notice_id for one in person.notices(limit=200).items}
    assert told <= everywhere


def test_notices_survive_a_restart_and_come_with_the_same_ids_from_every_node(
    city: City, holder: Holder, devnet: Devnet
) -> None:
    bank = city.banks[0].client
    holder.granted(bank)
    key = holder.client.core.key

    def seen(n: int) -> list[str]:
        with Client(devnet.urls[n - 1], key) as client:
            return [one.notice_id for one in client.notices(limit=200).items]

    until(lambda: len(seen(2)) >= 3 and seen(1) == seen(2), "both nodes tell the same")
    before = seen(1)
    devnet.kill(1)
    devnet.start(1)
    devnet.wait_ready(READY_S)
    assert seen(1) == before


def test_an_export_verifies_offline_and_its_values_are_opened_on_record(holder: Holder, folder: Path) -> None:
    person = holder.client
    archive = folder / "mine.zip"
    (part,) = person.export_my_data(archive)
    assert part.missing == []
    trust = person.trust()
    with zipfile.ZipFile(archive) as opened:
        receipts = [name for name in opened.namelist() if name.startswith("receipts/")]
        assert receipts
        for name in receipts:
            verify_receipt(opened.read(name), trust)
    got = person.my_values(folder / "values")
    files = [json.loads(path.read_bytes()) for one in got for path in one.files if path.suffix == ".json"]
    identity = next(one for one in files if one["certificate_id"] == holder.certificates[IDENTITY])
    assert identity["fields"]["name"] == holder.contents[IDENTITY].fields["name"]
    own = [one for one in person.my_accesses() if one.organization == holder.account]
    assert [one.outcome for one in own] == ["delivered"] * len(got)
