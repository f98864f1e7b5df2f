"""Concurrent clients over the HTTP API, who write down all that they were told.

Rule: a transaction is signed once; the same bytes are sent as often, and to as many nodes, as it takes. A roaming client
waits for finality and goes on to another node after a time-out; a pinned one hands in at its own node whatever happens
to that node, and asks what became of it only in the end. Both are paced, for the load is there to be disturbed, not to measure
throughput.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from contracts.calls import Args, OrganizationsAddKey, RegisterOrganization, call
from contracts.records import AccountKind, KeyRole
from ledger import codec
from ledger.hashing import sign_transaction, transaction_id
from ledger.types import TransactionBody
from tests.e2e.harness import api, history
from tests.e2e.harness.api import Api, Silent
from tests.e2e.harness.cluster import SUITE, Cluster, NotInTime
from tests.e2e.harness.history import Fate, History, Read, Write
from zhenglian import Client, KeyFile
from zhenglian.plans.transactions import Signed

LIFETIME_MS: Final = 60_000
WAIT_S: Final = 2
VOTES: Final = 3
ROAMING_PAUSE_S: Final = 0.15
PINNED_PAUSE_S: Final = 0.4
RETRY_PAUSE_S: Final = 0.1
GIVE_UP_S: Final = 40.0
DECIDED_S: Final = LIFETIME_MS / 1000 + 40.0


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes labels: an organisation's admin key, on one network; how long what it signs is valid."""

    key: KeyFile
    chain_id: bytes
    lifetime_ms: int

    @property
    def account(self) -> str:
        return self.key.account

    def sign(self, args: Args) -> Signed:
        """Sign a call under a fresh nonce, valid for `lifetime_ms`."""
        body = TransactionBody(
            chain_id=self.chain_id,
            account=bytes.fromhex(self.key.account),
            key_id=bytes.fromhex(self.key.key_id),
            nonce=os.urandom(16),
            valid_until_ms=time.time_ns() // 1_000_000 + self.lifetime_ms,
            call=call(args),
        )
        signed = sign_transaction(SUITE, self.key.signer(), body)
        return Signed(transaction_id=transaction_id(SUITE, body), data=codec.encode(signed))

    def write(self, label: str, past: History) -> Signed:
        """A transaction that puts a label into the account; written down before it leaves."""
        account = bytes.fromhex(self.key.account)
        key = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label=label)
        signed = self.sign(OrganizationsAddKey(key=key.new_key()))
        past.wrote(Write(transaction=signed.transaction_id.hex(), account=self.key.account, label=label))
        return signed


def register(cluster: Cluster, names: Sequence[str], lifetime_ms: int = LIFETIME_MS) -> list[Writer]:
    """New organisations, each by the votes of the first VOTES operators, a quorum of four."""
    urls = [cluster.wires.url(number) for number in cluster.numbers]
    admins = [cluster.admin(number) for number in cluster.numbers[:VOTES]]

    def one(name: str) -> Writer:
        key = KeyFile.generate(SUITE, role=KeyRole.ADMIN, label="admin")
        action = RegisterOrganization(
            account_id=bytes.fromhex(key.account),
            kind=AccountKind.ENTERPRISE,
            name=name,
            credit_code="",
            issues=(),
            admin=key.new_key(),
        )
        with Client(urls, admins[0]) as client:
            chain_id = bytes.fromhex(client.network().chain_id)
            proposal = client.propose(action)
            for admin in admins[1:]:
                client.core.key = admin
                client.approve_proposal(proposal)
        return Writer(key, chain_id, lifetime_ms)

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(one, names))


class Asker:
    """Asks nodes and writes down what they say. For one thread; close it."""

    def __init__(self, cluster: Cluster, past: History) -> None:
        self._apis = {number: Api(cluster.wires.url(number)) for number in cluster.numbers}
        self.past = past

    def close(self) -> None:
        for node_api in self._apis.values():
            node_api.close()

    def submit(self, node: int, signed: Signed, wait_s: int) -> api.Told | None:
        """Hand in; None when no answer came."""
        began_s = time.monotonic()
        try:
            told = self._apis[node].submit(signed, wait_s)
        except Silent:
            return None
        self._note(began_s, node, signed.transaction_id.hex(), told, told.height)
        return told

    def ask(self, node: int, transaction: str) -> api.Told | None:
        """How it stands there; None when no answer came."""
        try:
            height = self._apis[node].status().height
            began_s = time.monotonic()
            told = self._apis[node].transaction(transaction)
        except Silent:
            return None
        self._note(began_s, node, transaction, told, told.height if told.fate is Fate.FINALIZED else height)
        return told

    def read(self, node: int, account: str) -> None:
        """What stands in the account there; nothing is noted when no answer came."""
        try:
            height = self._apis[node].status().height
            began_s = time.monotonic()
            labels = self._apis[node].labels(account)
        except Silent:
            return
        self.past.add(Read(began_s=began_s, node=node, account=account, height=height, labels=labels))

    def _note(self, began_s: float, node: int, transaction: str, told: api.Told, height: int) -> None:
        self.past.add(
            history.Told(
                began_s=began_s,
                ended_s=time.monotonic(),
                node=node,
                transaction=transaction,
                fate=told.fate,
                height=height,
                code=told.code,
            )
        )


def finalize(
    asker: Asker, signed: Signed, nodes: Sequence[int], give_up: threading.Event, within_s: float
) -> int:
    """Send the same bytes to one node after the other until one says that they are final; that node, or 0."""
    deadline_s = time.monotonic() + within_s
    attempt = 0
    while not give_up.is_set() and time.monotonic() < deadline_s:
        node = nodes[attempt % len(nodes)]
        attempt += 1
        told = asker.submit(node, signed, WAIT_S)
        if told is not None and told.fate is Fate.FINALIZED:
            return node
        if told is not None and told.fate is Fate.EXPIRED:
            return 0
        give_up.wait(RETRY_PAUSE_S)
    return 0


class Load:
    """Roaming clients, one for each writer but the last, and a pinned one at each node, who share the last.

    Args:
        name: in every label.
        writers: at least two.
    """

    def __init__(self, cluster: Cluster, past: History, name: str, writers: Sequence[Writer]) -> None:
        self._cluster, self._past, self._name = cluster, past, name
        self._writers = writers
        self._stop = threading.Event()
        jobs: list[tuple[Callable[[int], None], int]] = [
            (self._roam, number) for number in range(len(writers) - 1)
        ]
        jobs += [(self._stay, number) for number in cluster.numbers]
        self._pool = ThreadPoolExecutor(len(jobs), thread_name_prefix="client")
        self._running = [self._pool.submit(job, number) for job, number in jobs]

    def stop(self) -> None:
        """End, and raise what a client raised."""
        self._stop.set()
        self._pool.shutdown()
        for running in self._running:
            running.result()

    def _roam(self, number: int) -> None:
        writer = self._writers[number]
        nodes = self._cluster.numbers
        first = number % len(nodes)
        nodes = [*nodes[first:], *nodes[:first]]
        asker = Asker(self._cluster, self._past)
        count = 0
        while not self._stop.is_set():
            signed = writer.write(f"{self._name}-{number}-{count}", self._past)
            at = finalize(asker, signed, nodes, self._stop, GIVE_UP_S)
            if at:
                asker.read(at, writer.account)
                other = nodes[(nodes.index(at) + 1 + count) % len(nodes)]
                asker.read(other, writer.account)
                asker.ask(other, signed.transaction_id.hex())
            count += 1
            self._stop.wait(ROAMING_PAUSE_S)
        asker.close()

    def _stay(self, node: int) -> None:
        writer = self._writers[-1]
        asker = Asker(self._cluster, self._past)
        count = 0
        while not self._stop.is_set():
            signed = writer.write(f"{self._name}-at-{node}-{count}", self._past)
            asker.submit(node, signed, 0)
            count += 1
            self._stop.wait(PINNED_PAUSE_S)
        asker.close()


def recovery_s(
    cluster: Cluster, past: History, name: str, writer: Writer, since_s: float, within_s: float
) -> float:
    """How long after `since_s` a transaction handed in at each node was final there: the slowest node's time.

    Raises:
        NotInTime: at some node it was not within `within_s`.
    """
    never = threading.Event()

    def probe(node: int) -> float:
        asker = Asker(cluster, past)
        try:
            signed = writer.write(f"{name}-probe-{node}", past)
            left_s = since_s + within_s - time.monotonic()
            return time.monotonic() - since_s if finalize(asker, signed, [node], never, left_s) else -1.0
        finally:
            asker.close()

    with ThreadPoolExecutor(len(cluster.numbers)) as pool:
        took = dict(zip(cluster.numbers, pool.map(probe, cluster.numbers), strict=True))
    late = [node for node, took_s in took.items() if not 0 <= took_s <= within_s]
    if late:
        logs = "\n".join(f"log of node {node}:\n{cluster.tail(node)}" for node in late)
        raise NotInTime(f"no transaction through nodes {late} within {within_s:.0f} s of healing\n{logs}")
    return max(took.values())


def settle(cluster: Cluster, past: History, writers: Sequence[Writer]) -> None:
    """The last questions: what became of every acceptance where it was given, and what every node's state is.

    One that stays pending for longer than it may is left as such; the checker says so.
    """
    asker = Asker(cluster, past)
    deadline_s = time.monotonic() + DECIDED_S
    never = threading.Event()
    try:
        for transaction, node in past.acceptors():
            while node in cluster.numbers:
                told = asker.ask(node, transaction)
                if told is not None and told.fate is not Fate.ACCEPTED:
                    break
                if time.monotonic() > deadline_s:
                    break
                never.wait(RETRY_PAUSE_S)
        for writer in writers:
            for node in cluster.numbers:
                asker.read(node, writer.account)
    finally:
        asker.close()
