"""Deposits in bulk on a replica whose chain moves by itself: what a node wires, and an agent key of the department."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aiohttp.test_utils import TestServer

from contracts.calls import NewKey, OrganizationsAddKey, OrganizationsRevokeKey
from contracts.records import KeyRole
from node.deposits.records import ENDED, Job, JobOptions, SignedBy
from node.deposits.wiring import DepositParts, wire
from node.http.app import build_app
from node.http.config import HttpConfig
from node.observability import Metrics
from node.services.facts import NodeFacts
from node.services.ports import Caller, Services
from tests.unit.contracts_world import (
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    OPERATORS,
    SUITE,
    Actor,
    actor,
    identity,
)
from tests.unit.node_replica import CARD, OFFICER
from tests.unit.node_world import Node, card_fields, running
from zhenglian import AsyncClient, KeyFile

JSON_LINES = "application/x-ndjson"


class Depot:
    """A node with its deposits."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.parts: DepositParts = wire(
            suite=SUITE,
            chain=node.chain,
            index=node.index,
            submission=node.submission,
            deposits=node.deposits,
            root=folder,
            node_secret=bytes(32),
            operator=OPERATORS[0].account,
            clock_ms=node.clock_ms,
        )
        self.bulk = self.parts.bulk

    async def give_agent(self) -> bytes:
        """The administrator asks for an agent key and puts it on the ledger; its id."""
        key = await self.parts.agents.create(DEPARTMENT_ADMIN.account)
        new = NewKey(
            scheme=key.scheme,
            public_key=key.public_key,
            role=KeyRole.AGENT,
            label="agent",
            valid_until_ms=0,
        )
        await self.node.send(DEPARTMENT_ADMIN, OrganizationsAddKey(key=new))
        return key.key_id

    async def revoke(self, key_id: bytes) -> None:
        await self.node.send(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=key_id))

    async def up(
        self,
        data: bytes,
        *,
        key: str = "key-1",
        media_type: str = JSON_LINES,
        caller: Caller = OFFICER,
        wait_s: float = 60,
        **options: object,
    ) -> Job:
        """One call."""
        wanted = agent_options(media_type, **options)
        job, _ = await self.bulk.begin(caller, key, wanted, size_bytes=0)
        job = await self.bulk.receiving.take_whole(caller, job.job_id, chunks(data))
        return await self.bulk.wait(job.job_id, wait_s) if wait_s else job

    async def states(self, job: Job) -> dict[int, str]:
        rows = await self.bulk.rows(job.job_id, after=0, limit=1000, problems_only=False)
        return {row.number: row.state.value for row in rows}

    async def codes(self, job: Job) -> dict[int, list[str]]:
        rows = await self.bulk.rows(job.job_id, after=0, limit=1000, problems_only=True)
        return {row.number: [found.code for found in row.report.problems] for row in rows}

    def issued(self) -> list[bytes]:
        """Certificates on the ledger, as its events tell."""
        found = []
        for height in range(1, self.node.chain.height + 1):
            for result in self.node.chain.results(height):
                found += [event.object_id for event in result.events if event.kind == "certificates.issued"]
        return found


def agent_options(media_type: str = JSON_LINES, **changes: object) -> JobOptions:
    values: dict[str, object] = {
        "certificate_type": CARD,
        "signed_by": SignedBy.AGENT,
        "media_type": media_type,
    }
    return JobOptions(**{**values, **changes})  # type: ignore[arg-type]


async def chunks(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def row(number: int = 1, **changes: object) -> dict[str, object]:
    """A good row of Li's social security card."""
    return {
        **card_fields(1),
        "card_number": f"NO-{number}",
        "valid_until": "2099-12-31",
        "@holder": LI.account.hex(),
        **changes,
    }


def lines(*rows: Mapping[str, object]) -> bytes:
    return "\n".join(json.dumps(one, ensure_ascii=False) for one in rows).encode()


@asynccontextmanager
async def depot(folder: Path, *, populated: bool = True) -> AsyncIterator[Depot]:
    async with running(folder, populated=populated) as node:
        made = Depot(node, folder)
        await made.bulk.resume()
        try:
            yield made
        finally:
            await made.bulk.stop()


def key_file(who: Actor, role: KeyRole) -> KeyFile:
    """An actor's key as the SDK holds it."""
    return KeyFile(
        account=who.account.hex(),
        scheme=who.signer.scheme,
        secret=SECRETS[who.account, who.key_id].hex(),
        public_key=who.signer.public_key.hex(),
        key_id=who.key_id.hex(),
        role=role,
        label="test",
        network=None,
    )


SECRETS = {
    (made.account, made.key_id): identity(f"{account}/{key}", 32)
    for account, key in (("department", "officer"), ("department", "admin"), ("bank", "officer"))
    for made in (actor(account, key),)
}


@dataclass
class Served:
    """A depot behind its HTTP API, and clients of it."""

    depot: Depot
    url: str
    officer: AsyncClient
    admin: AsyncClient
    http: httpx.AsyncClient

    async def token(self) -> dict[str, str]:
        """The header of an officer's session, for calls without the SDK."""
        return {"Authorization": f"Bearer {(await self.officer.login()).token}"}


def facts(node: Node) -> NodeFacts:
    return NodeFacts(
        account=OPERATORS[0].account,
        release="test",
        view=1,
        leader=OPERATORS[0].account,
        peers=(),
        pending_transactions=0,
        syncing=False,
        voting=True,
        started_ms=0,
        clock_ms=node.now_ms,
    )


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    """The API over a real socket."""
    async with depot(folder) as made:
        node = made.node
        node.chain._facts = lambda: facts(node)
        services = Services(
            chain=node.chain,
            submission=node.submission,
            deposits=node.deposits,
            people=None,  # type: ignore[arg-type]  # nobody is looked up here
            releases=node.releases,
            traces=node.traces,
            index=node.index,
            bulk=made.parts.bulk,
            agents=made.parts.agents,
            fetches=made.parts.fetches,
        )
        app = build_app(
            services,
            HttpConfig(),
            metrics=Metrics(),
            idempotency_path=folder / "idempotency.sqlite",
            fatal=lambda error: pytest.fail(str(error)),
            clock_ms=node.clock_ms,
        )
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            clients = [
                AsyncClient(url, key_file(who, role))
                for who, role in ((DEPARTMENT, KeyRole.OFFICER), (DEPARTMENT_ADMIN, KeyRole.ADMIN))
            ]
            for client in clients:
                client.core.clock_ms = node.clock_ms
            async with clients[0], clients[1], httpx.AsyncClient(base_url=url, timeout=60) as http:
                yield Served(made, url, clients[0], clients[1], http)


__all__ = ["ENDED", "Depot", "agent_options", "chunks", "depot", "key_file", "lines", "row", "served"]
