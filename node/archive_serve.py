"""A ledger that was imported from an archive, served for reading: the same API as a node's, and nothing that changes anything.

Rule: no keys, no peers, no votes. What a session may read is decided by the accounts in the ledger itself, as at any node; whatever
would need another node, the vault's keys or a new block is refused with the reason.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from contracts.people_records import PersonTag, Recovery, Ticket
from contracts.records import Release, Trace
from ledger.crypto.registry import load_suite
from ledger.errors import Category, LedgerError, NotFound, Unavailable
from ledger.types import ACCOUNT_ID_SIZE_BYTES, Transaction
from node.chain import Chain
from node.execution import Execution
from node.founding import BUNDLE_BYTES_MAX, genesis_from_json
from node.home import FileUnusable, Home, read_file
from node.http.app import SITE, build_app
from node.http.config import HttpConfig
from node.http.listener import BoundedSite, raise_descriptor_limit
from node.index.follower import catch_up
from node.index.sqlite import SqliteIndex
from node.mempool import Mempool, PoolLimits, SignatureCache
from node.observability import Metrics
from node.servedstore import ServedStore
from node.services.facts import Location, NodeFacts
from node.services.people_ports import DirectoryFacts, Evaluation
from node.services.ports import (
    Caller,
    DepositInput,
    Draft,
    ReleasedFile,
    ReleaseTransactions,
    Services,
    Standing,
    TraceReport,
    TransactionStatus,
)
from node.versions import RELEASE

NOBODY: Final = bytes(ACCOUNT_ID_SIZE_BYTES)


class ReadOnly(LedgerError):
    """Asked of a ledger that is only read."""

    code = "read_only"
    category = Category.FORBIDDEN
    zh = "这是只读的归档账本，不接受交易，也不提供证件内容；请向运行中的节点提交"
    en = "This is an archived ledger to read: it takes no transactions and gives out no documents; ask a running node"


@dataclass(frozen=True, slots=True)
class _Finished:
    """Every port that would change something or open a document; what is final is read from the chain."""

    chain: Chain

    async def submit(self, transaction: Transaction, *, wait_s: float) -> TransactionStatus:
        raise ReadOnly

    def status(self, transaction_id: bytes) -> TransactionStatus:
        location = self.chain.locate(transaction_id)
        header = None if location is None else self.chain.header(location.height)
        if location is None or header is None:
            raise NotFound(what="transaction", id=transaction_id.hex())
        return TransactionStatus(
            transaction_id=transaction_id,
            standing=Standing.FINALIZED,
            location=Location(height=location.height, index=location.index),
            time_ms=header.time_ms,
            result=self.chain.results(location.height)[location.index],
        )

    async def prepare(self, deposit: DepositInput, caller: Caller) -> Draft:
        raise ReadOnly


@dataclass(frozen=True, slots=True)
class _NoPeople:
    def directory(self) -> DirectoryFacts:
        raise ReadOnly

    def ticket(self, ticket_id: bytes) -> Ticket | None:
        raise ReadOnly

    def recovery(self, account: bytes) -> Recovery | None:
        raise ReadOnly

    async def evaluate(
        self, ticket_id: bytes, elements: Sequence[bytes], caller: Caller
    ) -> tuple[Evaluation, ...]:
        raise ReadOnly

    def accounts(
        self, ticket_id: bytes, tags: Sequence[PersonTag], caller: Caller
    ) -> tuple[bytes | None, ...]:
        raise ReadOnly


@dataclass(frozen=True, slots=True)
class _NoReleases:
    async def request(self, transaction: Transaction, *, wait_s: float) -> Release:
        raise ReadOnly

    async def file(self, release_id: bytes, index: int) -> ReleasedFile:
        raise ReadOnly

    async def marks(self, release_id: bytes, index: int) -> bytes | None:
        return None

    async def transactions_of(self, release_id: bytes) -> ReleaseTransactions:
        raise ReadOnly


@dataclass(frozen=True, slots=True)
class _NoTraces:
    async def request(self, transaction: Transaction, file: bytes) -> Trace:
        raise ReadOnly

    def kept_report(self, trace_id: bytes) -> bytes | None:
        return None

    def report(self, trace_id: bytes) -> TraceReport:
        return TraceReport(progress=0.0, matches=(), candidates=0, phantom_best_log10_np=None, notes=())


class ArchiveSite:
    """A home's ledger with its API; made in a running event loop.

    Args:
        home: with a ledger; its lock is held.
        host, port: where the API listens; port 0 lets the system choose.
        on_fatal: told when a promise of our own is broken.
    """

    def __init__(
        self, home: Home, host: str, port: int, *, on_fatal: Callable[[BaseException], None]
    ) -> None:
        genesis = genesis_from_json(read_file(home.genesis, size_bytes_max=BUNDLE_BYTES_MAX))
        suite = load_suite(genesis.suite)
        if not any(home.store.iterdir()):
            raise FileUnusable(path=str(home.store), reason="there is no ledger; import an archive first")
        self._home, self._host, self._port = home, host, port
        self._on_fatal = on_fatal
        self._began_ms = _now_ms()
        self._store = ServedStore.open(home.store, suite)
        execution = Execution(
            suite=suite,
            store=self._store,
            mempool=Mempool(PoolLimits()),
            verify=SignatureCache(suite),
            on_finalized=lambda _final: None,
            clock_ms=_now_ms,
        )
        self.chain = Chain(suite=suite, store=self._store, execution=execution, facts=self._facts)
        self._index = SqliteIndex(home.index, self._store.chain_id)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bring the index level, and listen.

        Raises:
            Unavailable: the address cannot be listened at.
        """
        await catch_up(self.chain, self._index)
        finished = _Finished(self.chain)
        services = Services(
            chain=self.chain,
            submission=finished,
            deposits=finished,
            people=_NoPeople(),
            releases=_NoReleases(),
            traces=_NoTraces(),
            index=self._index,
        )
        config = HttpConfig()
        application = build_app(
            services,
            config,
            metrics=Metrics(),
            idempotency_path=self._home.root / "idempotency.sqlite",
            fatal=self._on_fatal,
        )
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = BoundedSite(
            self._runner,
            self._host,
            self._port,
            connections_max=min(config.connections_max, raise_descriptor_limit() // 2),
            newcomers=application[SITE].newcomers,
        )
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unavailable(what=f"API address {self._host}:{self._port}", reason=reason) from None

    @property
    def url(self) -> str:
        """Where it is served."""
        addresses = self._runner.addresses if self._runner is not None else []
        port = addresses[0][1] if addresses else self._port
        return f"http://{self._host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self._index.close()
        self._store.close()

    def _facts(self) -> NodeFacts:
        return NodeFacts(
            account=NOBODY,
            release=RELEASE,
            view=0,
            leader=NOBODY,
            peers=(),
            pending_transactions=0,
            syncing=False,
            voting=False,
            started_ms=self._began_ms,
            clock_ms=_now_ms(),
        )


def serve_archive(folder: Path, host: str, port: int, ready: Callable[[str, int], None]) -> None:
    """Serve a home's ledger until told to stop; the caller holds its lock.

    Args:
        folder: the home.
        host, port: where the API listens.
        ready: told the address and the height.

    Raises:
        LedgerError: it cannot start. InvariantViolation: a promise of our own is broken.
    """
    failed: list[BaseException] = []

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)

        def fatal(error: BaseException) -> None:
            failed.append(error)
            stopping.set()

        site = ArchiveSite(Home(folder), host, port, on_fatal=fatal)
        try:
            await site.start()
            ready(site.url, site.chain.height)
            await stopping.wait()
        finally:
            await site.stop()

    asyncio.run(main())
    if failed:
        raise failed[0]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
