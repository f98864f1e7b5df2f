"""Four holders of the directory key over one node's replica, the node's HTTP API, and the SDK against it.

Nothing of the way from a number to an account is replaced: blinding, ticket, finality, permits, shares, proofs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp.test_utils import TestServer

from contracts.calls import OrganizationsAddKey
from contracts.records import KeyRole
from contracts.shared_key_records import KeyPurpose
from ledger.errors import Unavailable
from node.chain import Chain
from node.holders.channel import ShareChannel, ShareMessage
from node.holders.collector import Collector
from node.holders.ledger_keys import LedgerSharedKeys
from node.holders.lookups import KIND, LookupPermit
from node.holders.ports import OwnShare
from node.holders.server import ShareServer
from node.holders.work import ShareWork
from node.http.app import build_app
from node.http.config import HttpConfig
from node.observability import Metrics
from node.services.facts import NodeFacts
from node.services.people import People
from node.services.ports import Services
from tests.unit.contracts_world import (
    BANK,
    BANK_ADMIN,
    CLERK,
    DEPARTMENT,
    GROUP,
    OPERATORS,
    START_MS,
    SUITE,
    Actor,
    actor,
    directory_key,
    identity,
    new_key,
)
from tests.unit.node_world import Node, running
from zhenglian import AsyncClient, KeyFile

ACCOUNTS: Final = tuple(one.account for one in OPERATORS)
TELLER: Final = actor("bank", "second officer")


class HolderShares:
    """Implements `OwnShares` of one operator, from keys that were dealt."""

    def __init__(self, account: bytes) -> None:
        self.account = account

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> OwnShare | None:
        assert purpose is KeyPurpose.DIRECTORY
        assert renewal == 0
        holder = ACCOUNTS.index(self.account) + 1
        return OwnShare(holder=holder, secret=directory_key(version)[1][holder - 1])


class Office:
    """One operator as a holder."""

    def __init__(self, account: bytes, chain: Chain, time_ms: Callable[[], int]) -> None:
        self.account = account
        self.keys = LedgerSharedKeys(lambda: chain.records)
        self.work = ShareWork(GROUP, SUITE.hash)
        self.permit = LookupPermit(
            suite=SUITE, chain_id=chain.chain_id, state=chain.records, chain=chain, time_ms=time_ms
        )
        self.server = ShareServer(
            account=account,
            keys=self.keys,
            shares=HolderShares(account),
            permits={KIND: self.permit},
            work=self.work,
        )
        self.channel = ShareChannel({ShareMessage.ASK: self.server.serve})


class Directory:
    """Holders, and a node whose API asks them.

    Attributes:
        silent: accounts of holders that are away.
        between: what happens to an answer on the way: (account of the asked, payload, answer).
        seen: every payload that any holder was sent, and every answer.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.url = ""
        self.offices = {account: self._office(account) for account in ACCOUNTS}
        self.silent: set[bytes] = set()
        self.between: Callable[[bytes, bytes, bytes], bytes] = lambda _peer, _payload, answer: answer
        self.seen: list[bytes] = []
        self.account = ACCOUNTS[0]
        self.people = self.people_of(self.account)

    def _office(self, account: bytes) -> Office:
        return Office(account, self.node.chain, self.time_ms)

    def time_ms(self) -> int:
        return self.node.chain.head_time_ms

    def people_of(self, account: bytes) -> People:
        """What the node of that operator offers."""
        office = self.offices[account]

        async def request(peer: bytes, payload: bytes, _timeout_s: float) -> bytes:
            if peer in self.silent:
                raise Unavailable(what="peer", reason="it is away")
            answer = await self.offices[peer].channel.serve(account, payload)
            self.seen += [payload, answer]
            return self.between(peer, payload, answer)

        collector = Collector(
            account=account,
            keys=office.keys,
            server=office.server,
            work=office.work,
            request=request,
            collect_s=0.5,
        )
        return People(
            account=account,
            state=self.node.chain.records,
            height=lambda: self.node.chain.height,
            time_ms=self.time_ms,
            permits=office.server,
            shares=collector,
        )

    def services(self) -> Services:
        node = self.node
        return Services(
            chain=node.chain,
            submission=node.submission,
            deposits=node.deposits,
            people=self.people,
            releases=node.releases,
            traces=node.traces,
            index=node.index,
        )

    def client(self, who: Actor, role: KeyRole = KeyRole.OFFICER) -> AsyncClient:
        """Somebody's SDK; its clock is the node's."""
        client = AsyncClient(self.url, key_file(who, role))
        client.core.clock_ms = lambda: self.node.now_ms
        return client

    def facts(self) -> NodeFacts:
        return NodeFacts(
            account=self.account,
            release="0.1.0",
            view=1,
            leader=ACCOUNTS[0],
            peers=(),
            pending_transactions=0,
            syncing=False,
            voting=True,
            started_ms=START_MS,
            clock_ms=self.node.now_ms,
        )

    def serve_as(self, account: bytes) -> None:
        """The API is that operator's node from now on."""
        self.account = account
        self.people.__dict__.update(self.people_of(account).__dict__)

    def close(self) -> None:
        for office in self.offices.values():
            office.work.close()


def key_file(who: Actor, role: KeyRole) -> KeyFile:
    """The key of somebody of `contracts_world`, as the SDK takes it."""
    return KeyFile(
        account=who.account.hex(),
        scheme=who.signer.scheme,
        secret=identity(SECRETS[who.key_id], 32).hex(),
        public_key=who.signer.public_key.hex(),
        key_id=who.key_id.hex(),
        role=role,
        label="k",
    )


# What the secrets of these are derived from, as `contracts_world.actor` does it.
SECRETS: Final = {
    CLERK.key_id: "department/clerk",
    DEPARTMENT.key_id: "department/officer",
    BANK.key_id: "bank/officer",
    TELLER.key_id: "bank/second officer",
}


@asynccontextmanager
async def directory(folder: Path) -> AsyncIterator[Directory]:
    """A populated network whose four operators hold a directory key."""
    async with running(folder / "node", populated=True) as node:
        made = Directory(node)
        node.chain._facts = made.facts
        await node.send(BANK_ADMIN, OrganizationsAddKey(key=new_key(TELLER, KeyRole.OFFICER)))
        application = build_app(
            made.services(),
            HttpConfig(),
            metrics=Metrics(),
            idempotency_path=folder / "idempotency.sqlite",
            fatal=lambda error: None,
        )
        try:
            async with TestServer(application) as server:
                made.url = str(server.make_url("")).rstrip("/")
                yield made
        finally:
            made.close()
