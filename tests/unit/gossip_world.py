"""Submissions of several replicas joined by links that lose, double and reorder on a clock of their own."""

from __future__ import annotations

from pathlib import Path
from random import Random

from ledger.types import Transaction
from node import gossip_messages
from node.gossip_messages import Push
from node.poollog import PoolLog
from node.services.submission import Submission
from tests.unit.contracts_world import OPERATORS, SUITE
from tests.unit.node_replica import Replica


class Member(Replica):
    """One node: a replica, its submission and its mail."""

    def __init__(self, town: Town, at: int) -> None:
        folder = town.folder / f"node {at}"
        folder.mkdir(exist_ok=True)
        super().__init__(folder, at=at)
        self.town = town
        self.name = OPERATORS[at].account
        self.wakes = 0
        self.pool_log = PoolLog(folder / "pool.log")
        self.submission = Submission(
            suite=SUITE,
            chain=self.chain,
            mempool=self.mempool,
            pool_log=self.pool_log,
            verify=self.verify,
            clock_ms=lambda: self.now_ms,
            account=self.name,
            send=self.send,
            wake=self.wake,
            steady_ms=lambda: town.now_ms,
            spread_timeout_s=0.001,
        )
        self.submission.recover(self.pool_log.recovered())

    def wake(self) -> None:
        self.wakes += 1

    def send(self, peer: bytes, payload: bytes) -> bool:
        return self.town.post(self.name, peer, payload)

    def on_finalized(self, final: object) -> None:
        super().on_finalized(final)  # type: ignore[arg-type]
        self.submission.block_finalized(final)  # type: ignore[arg-type]

    async def leave(self) -> None:
        await self.submission.stop()
        while self.commit():
            pass
        self.pool_log.close()
        self.close()


class Town:
    """The nodes that are up, and the mail between them; `pass_ms` lets time pass."""

    def __init__(self, folder: Path, *, seed: int = 0, loss: float = 0.0, doubling: float = 0.0) -> None:
        self.folder = folder
        self.now_ms = 1_000
        self.random = Random(seed)
        self.loss, self.doubling = loss, doubling
        self.delays_ms = (1, 2) if not loss else (1, 400)
        self.nodes: dict[bytes, Member] = {}
        self.mail: list[tuple[int, int, bytes, bytes, bytes]] = []
        self.posted = 0
        self.pushes: list[tuple[bytes, bytes, int]] = []

    def join(self, *indexes: int) -> list[Member]:
        joined = [Member(self, at) for at in indexes]
        for member in joined:
            self.nodes[member.name] = member
            for other in self.nodes.values():
                if other is not member:
                    member.submission.connected(other.name)
                    other.submission.connected(member.name)
        return joined

    async def leave(self, member: Member) -> None:
        del self.nodes[member.name]
        self.mail = [letter for letter in self.mail if member.name not in letter[2:4]]
        for other in self.nodes.values():
            other.submission.disconnected(member.name)
        await member.leave()

    async def close(self) -> None:
        for member in tuple(self.nodes.values()):
            await self.leave(member)

    def post(self, sender: bytes, receiver: bytes, payload: bytes) -> bool:
        if receiver not in self.nodes:
            return False
        message = gossip_messages.decode(payload)
        if isinstance(message, Push):
            self.pushes.append((sender, receiver, len(message.transactions)))
        copies = 0 if self.random.random() < self.loss else 1 + (self.random.random() < self.doubling)
        for _ in range(copies):
            self.posted += 1
            due_ms = self.now_ms + self.random.randint(*self.delays_ms)
            self.mail.append((due_ms, self.posted, sender, receiver, payload))
        return True

    def pass_ms(self, duration_ms: int, step_ms: int = 1) -> None:
        """Let mail arrive and timers fire."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += step_ms
            due = sorted(letter for letter in self.mail if letter[0] <= self.now_ms)
            self.mail = [letter for letter in self.mail if letter[0] > self.now_ms]
            for _, _, sender, receiver, payload in due:
                self.nodes[receiver].submission.receive(sender, payload)
            for member in self.nodes.values():
                member.submission.tick()

    def holders(self, name: bytes) -> list[int]:
        return sorted(member.at for member in self.nodes.values() if name in member.mempool)

    def finalize(self, leader: Member, *others: Member) -> None:
        """A block of the leader's pool, final there and at the others named; `catch_up` brings it to the rest."""
        block, _ = leader.propose()
        for member in (leader, *others):
            member.finalize(block)

    def catch_up(self, behind: Member, ahead: Member) -> None:
        while behind.chain.height < ahead.chain.height:
            final = ahead.execution.block(behind.chain.height + 1)
            assert final is not None
            behind.finalize(final.block)
            behind.now_ms = max(behind.now_ms, ahead.now_ms)

    async def submit(self, at: Member, transaction: Transaction) -> None:
        await at.submission.submit(transaction, wait_s=0)
