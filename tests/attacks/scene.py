"""The city that is attacked: four real nodes, its offices, banks and citizens, and bare HTTP beside the SDK.

Rule: attackers use the same doors as everybody: HTTP, the peers' port, the files they stole. What the SDK would refuse to send is
sent by hand.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from contracts.records import KeyRole, Output, OutputFormat
from node.devnet import Devnet
from node.home import Home
from node.keystore import KeyFiles
from tests.e2e.cities import DAY_MS, IDENTITY, READY_S, City, Holder, Organization, found_city, height, until
from tests.suites import suite_under_test
from zhenglian import Client, KeyFile

ANSWER_BYTES_MAX = 1024 * 1024


@dataclass
class Scene:
    """A running city.

    Attributes:
        devnet: the nodes; `home(n)` are their folders, for whoever steals one.
        city: its organisations and clients.
        folder: for the attacker's own files.
    """

    devnet: Devnet
    city: City
    folder: Path

    def http(self, n: int = 1, token: str = "") -> httpx.Client:
        """Bare HTTP to node `n`, with somebody's session token or without."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.devnet.urls[n - 1], headers=headers, trust_env=False, timeout=30)

    def raw(self, line: str, headers: dict[str, str], n: int = 1) -> tuple[int, str]:
        """Send these very bytes to node `n`; the status of the answer (0 if it hung up) and the whole answer."""
        parts = urlsplit(self.devnet.urls[n - 1])
        text = "\r\n".join(
            [line, *(f"{name}: {value}" for name, value in headers.items()), "connection: close", "", ""]
        )
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as door:
            door.sendall(text.encode("utf-8", "surrogateescape"))
            answer = b""
            while len(answer) < ANSWER_BYTES_MAX and (piece := door.recv(65536)):
                answer += piece
        head = answer.split(b" ", 2)
        status = int(head[1]) if len(head) > 1 and head[1].isdigit() else 0
        return status, answer.decode("utf-8", "replace")

    def in_days(self, days: int) -> int:
        """A time so far ahead, in milliseconds."""
        return time.time_ns() // 1_000_000 + days * DAY_MS

    def officer(self, organization: Organization) -> Client:
        """A further officer of an organisation."""
        account = bytes.fromhex(organization.admin.account)
        key = KeyFile.generate(suite_under_test(), account=account, role=KeyRole.OFFICER, label="099")
        with Client(self.devnet.urls, organization.admin) as admin:
            admin.add_organization_key(key.new_key())
        self.settled()
        return Client(self.devnet.urls, key)

    def revoke(self, organization: Organization, officer: Client) -> None:
        """The organisation's admin revokes an officer's key."""
        assert officer.core.key is not None
        with Client(self.devnet.urls, organization.admin) as admin:
            admin.revoke_organization_key(officer.core.key.key_id)

    def settled(self) -> None:
        """Wait until every node is at one height."""
        until(
            lambda: len({height(self.devnet, n) for n in self.devnet.numbers}) == 1, "all nodes at one height"
        )

    def holder(self) -> Holder:
        """A new citizen with certificates on the ledger."""
        return Holder(self.city)


def token_of(client: Client) -> str:
    """The session token that a client has at its node."""
    client.account(client.core.key.account if client.core.key else "")
    return next(iter(client.core.sessions.values())).token


def node_client(scene: Scene, n: int, *, at: int) -> Client:
    """Node `n`'s own account key, in its operator's hands, at another node's door."""
    key = KeyFile.load(KeyFiles(Home(scene.devnet.home(n))).node, using=scene.devnet.sources)
    return Client(scene.devnet.url(at), key)


def name_of(holder: Holder) -> Output:
    """A file with the holder's name and nothing else."""
    return holder.output(IDENTITY, OutputFormat.JSON, "name")


@contextmanager
def city(folder: Path) -> Iterator[Scene]:
    """Found a city in `folder`, and end it."""
    with Devnet.create(folder / "devnet", suite=suite_under_test().name) as devnet:
        devnet.start_all()
        devnet.wait_ready(READY_S)
        with found_city(devnet) as made:
            yield Scene(devnet, made, folder)
