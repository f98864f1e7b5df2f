"""Nodes that exchange blobs in memory, and peers that answer as they please."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import LedgerError
from node.exchange import BlobExchange
from node.vault.blobs import LocalBlobStore
from node.vault.custody import Custody
from node.vault.holdings import Holdings
from tests.unit.contracts_world import START_MS, SUITE

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


class Net:
    """Exchanges joined in memory, and peers that do as they please."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exchanges: dict[bytes, BlobExchange] = {}
        self.stores: dict[bytes, LocalBlobStore] = {}
        self.custodies: dict[bytes, Custody] = {}
        self.time_ms = START_MS
        self.rogues: dict[bytes, Rogue] = {}
        self.asked: list[tuple[bytes, bytes]] = []

    def join(self, name: bytes) -> BlobExchange:
        async def request(peer: bytes, payload: bytes, timeout_s: float) -> bytes:
            assert timeout_s > 0
            self.asked.append((peer, payload))
            if peer in self.rogues:
                return self.rogues[peer].answer(payload)
            return await self.exchanges[peer].serve(name, payload)

        def peers() -> tuple[bytes, ...]:
            return tuple(peer for peer in (*self.rogues, *self.exchanges) if peer != name)

        self.stores[name] = LocalBlobStore(self.folder / name.hex(), SUITE)
        self.custodies[name] = Custody(
            store=self.stores[name],
            holdings=Holdings(self.folder / f"{name.hex()}.sqlite"),
            clock_ms=lambda: self.time_ms,
        )
        self.exchanges[name] = BlobExchange(
            suite=SUITE,
            custody=self.custodies[name],
            request=request,
            peers=peers,
        )
        return self.exchanges[name]


class Rogue:
    """Answers with the chunks it was given, one after the other, the last one for ever."""

    def __init__(self, *answers: bytes | LedgerError) -> None:
        self.answers = list(answers)
        self.count = 0

    def answer(self, _payload: bytes) -> bytes:
        self.count += 1
        assert self.count < 100, "asked without end"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, LedgerError):
            raise answer
        return answer
