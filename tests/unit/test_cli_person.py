"""`zhenglian person`: from a counter's first request to a recovery, by commands, against a real node's API."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.records import KeyRole
from node.commands import person
from node.commands.context import EXIT_NEGATIVE, Settings
from tests.unit.contracts_world import BANK, CLERK, DEPARTMENT, SUITE, Actor
from tests.unit.lookups_world import TELLER, Directory, directory, key_file
from zhenglian import ApiError, Denied, KeyFile
from zhenglian.identifiers import IdentityNumberInvalid

NUMBER = "11010119900307109X"
OTHER = "110101199003074477"


class Desk:
    """Commands in one folder, by whoever holds a key file in it."""

    def __init__(self, here: Directory, folder: Path) -> None:
        self.here, self.folder = here, folder
        self.code = 0

    def key(self, who: Actor | KeyFile) -> Path:
        found = who if isinstance(who, KeyFile) else key_file(who, KeyRole.OFFICER)
        path = self.folder / f"{found.key_id}.json"
        if not path.exists():
            found.save(path, unencrypted=True)
        return path

    def public(self, key: KeyFile) -> Path:
        path = self.folder / f"{key.key_id}.public.json"
        document = {
            "account": key.account,
            "scheme": key.scheme,
            "public_key": key.public_key,
            "label": "phone",
        }
        path.write_text(json.dumps(document))
        return path

    def path(self, name: str) -> Path:
        return self.folder / name

    async def run(self, who: Actor | KeyFile, *words: object, typed: str = NUMBER) -> Any:
        """What the command printed as JSON."""

        def work() -> Any:
            options = Settings(json=True, language="zh", nodes=(self.here.url,), key_path=self.key(who))
            result = CliRunner().invoke(
                person.app, [str(word) for word in words], obj=options, input=typed + "\n"
            )
            self.code = result.exit_code
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            (answer,) = (line for line in result.stdout.splitlines() if line[:1] in {"{", "["})
            return json.loads(answer)

        return await asyncio.to_thread(work)

    async def identified(self, key: KeyFile, *words: object) -> tuple[Path, Path]:
        """Request and assertion for that key, by person and clerk."""
        request, assertion = self.path(f"{key.key_id}.request"), self.path(f"{key.key_id}.assertion")
        secret = self.path(f"{key.key_id}.secret")
        await self.run(key, "request", "--public", self.public(key), "--secret", secret, "--out", request)
        await self.run(CLERK, "assert", "--request", request, "--out", assertion, *words)
        return request, assertion

    async def enrolled(self) -> KeyFile:
        key = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="phone")
        request, assertion = await self.identified(key)
        made = await self.run(DEPARTMENT, "enroll", "--request", request, "--assertion", assertion)
        assert made == {"account": key.account}
        return key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of every client, set by `desk` to the node's."""
    made = SimpleNamespace(**vars(time))
    monkeypatch.setattr("zhenglian.client.time", made)
    return made


async def test_a_counter_enrols_and_a_bank_finds(tmp_path: Path, clock: SimpleNamespace) -> None:
    async with directory(tmp_path / "net") as here:
        clock.time_ns = lambda: here.node.now_ms * 1_000_000
        desk = Desk(here, tmp_path)
        key = await desk.enrolled()
        secret = desk.path(f"{key.key_id}.secret")
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert NUMBER not in secret.read_text() + desk.path(f"{key.key_id}.request").read_text()
        assert await desk.run(BANK, "find", "--basis", "loan.counter") == {"account": key.account}
        assert await desk.run(BANK, "find", typed=OTHER) == {"account": None}
        assert desk.code == EXIT_NEGATIVE
        assert await desk.run(key, "own", "--secret", secret) == {"account": key.account}
        with pytest.raises(IdentityNumberInvalid):
            await desk.run(BANK, "find", typed="123")
        assert (await desk.run(BANK, "directory"))["version"] == 1


async def test_many_are_found_once_a_colleague_has_approved(tmp_path: Path, clock: SimpleNamespace) -> None:
    async with directory(tmp_path / "net") as here:
        clock.time_ns = lambda: here.node.now_ms * 1_000_000
        desk = Desk(here, tmp_path)
        key = await desk.enrolled()
        clock.sleep = lambda _s: time.sleep(0)
        asked = asyncio.create_task(desk.run(BANK, "find-many", typed=f"{OTHER}\n\n{NUMBER}"))
        ticket = ""
        while not ticket:
            events = await here.node.index.events(
                subject=BANK.account, kind_prefix="lookups.requested", after=None, limit=1, newest_first=True
            )
            ticket = events[0].object_id.hex() if events else ""
            await asyncio.sleep(0)
        async with here.client(TELLER) as colleague:
            await colleague.approve_lookup(ticket)
        found = await asked
        assert found == {"ticket": ticket, "accounts": [None, key.account]}


async def test_a_second_device_vetoes_what_it_did_not_ask_for(tmp_path: Path, clock: SimpleNamespace) -> None:
    async with directory(tmp_path / "net") as here:
        clock.time_ns = lambda: here.node.now_ms * 1_000_000
        desk = Desk(here, tmp_path)
        phone = await desk.enrolled()
        tablet = KeyFile.generate(
            SUITE, account=bytes.fromhex(phone.account), role=KeyRole.HOLDER, label="tablet"
        )
        await desk.run(phone, "add-key", "--public", desk.public(tablet))
        await desk.run(tablet, "revoke-key", phone.key_id)
        await desk.run(tablet, "reachable", "--no")
        thief = KeyFile.generate(SUITE, role=KeyRole.HOLDER, label="thief")
        request, assertion = await desk.identified(thief, "--for", "recover")
        opened = await desk.run(CLERK, "recover", "--request", request, "--assertion", assertion)
        assert opened == {"account": phone.account}
        assert (await desk.run(tablet, "recovery", phone.account))["state"] == "opened"
        with pytest.raises(Denied):
            await desk.run(DEPARTMENT, "confirm", phone.account, "--assertion", assertion)
        assert await desk.run(tablet, "veto") == {"vetoed": True}
        assert (await desk.run(tablet, "recovery", phone.account))["state"] == "vetoed"
        with pytest.raises(ApiError):
            await desk.run(BANK, "recovery", phone.account)
