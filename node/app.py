"""The composition root: the only place that chooses implementations and wires them to each other.

Rule: everything is built in `Node.__init__` in the order of the data flow, started in `start` and stopped in reverse
in `stop`. Nothing here decides anything else.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import ssl
import time
from collections.abc import Coroutine
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from consensus.core.settings import Committee
from consensus.disk import FileDisk
from consensus.runner import ConsensusRunner
from contracts.genesis import genesis_state
from ledger.crypto.registry import load_suite
from ledger.crypto.self_test import check_vectors
from ledger.errors import InvariantViolation, LedgerError, Unavailable
from ledger.hashing import validators_hash
from ledger.store import Store
from ledger.types import Genesis
from network.peers import Channel, PeerNetwork
from node.bridges import PeerTransport, SuiteHashing
from node.chain import Chain
from node.committer import Committer
from node.config import HttpSection, consensus_timing, http_config, load_config, pool_limits
from node.exchange import BlobExchange
from node.execution import Execution, FinalizedExecution
from node.founding import NetworkBundle, load_network, open_directory_key, peer_addresses
from node.home import FileUnusable, Home, read_file
from node.http.app import SITE, build_app
from node.http.listener import BoundedSite, raise_descriptor_limit
from node.identity import load_identity
from node.index.follower import catch_up, follow
from node.index.sqlite import SqliteIndex
from node.journal import begin_journal
from node.lock import HomeLock
from node.mempool import Mempool, SignatureCache
from node.observability import Metrics, configure_logging
from node.poollog import PoolLog
from node.provenance import require_own_packages
from node.services.deadlines import watch_deadlines
from node.services.deposits import Deposits
from node.services.marking import Renderer
from node.services.node_account import NodeAccount
from node.services.people import People
from node.services.ports import NodeFacts, PeerFacts, Services
from node.services.releases import Releases
from node.services.spool import Spool
from node.services.submission import Submission
from node.services.traces import Traces
from node.vault.blobs import LocalBlobStore
from node.vault.directory import KeyedDirectory
from node.vault.keys import OperatorKeys
from node.vault.records import RecordReader

EXIT_STATUS_BROKEN_INVARIANT: Final = 70
RELEASE: Final = version("zhenglian")
TICK_S: Final = 5.0
SWEEP_EVERY_TICKS: Final = 120
SHUTDOWN_S: Final = 5.0

log = structlog.get_logger()


def wall_clock_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Node:
    """One node: an operator's replica, voter, vault and API."""

    def __init__(self, folder: Path) -> None:
        """Read and check everything that the node starts from.

        Raises:
            LedgerError: configuration, identity, genesis or store cannot be used; the message says what to do.
        """
        require_own_packages()
        check_vectors()
        self.home = Home(folder)
        self.config = load_config(self.home.config)
        configure_logging(json=self.config.log.format == "json", level=self.config.log.level)
        self._users_tls = _tls_for_users(self.config.http)
        network = load_network(self.home)
        genesis = network.genesis
        self.suite = suite = load_suite(genesis.suite)
        self.identity = load_identity(self.home, suite)
        self._lock = HomeLock(self.home.root / "lock")
        self.home.create_folders()
        self.metrics = Metrics()
        self._started_ms = wall_clock_ms()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._fatal: BaseException | None = None

        self._accounts = tuple(validator.account for validator in genesis.validators.validators)
        verify = self._wire_ledger(genesis)
        self._wire_peers(network)
        self._wire_consensus(genesis)
        self.submission = Submission(
            suite=suite,
            chain=self.chain,
            mempool=self.mempool,
            pool_log=self.pool_log,
            verify=verify,
            clock_ms=wall_clock_ms,
            spread=lambda encoded: self.network.broadcast(Channel.TRANSACTIONS, encoded),
            wake=self.runner.notify_work,
        )
        self.index = SqliteIndex(self.home.index, self.store.chain_id)
        self._wire_services(genesis)

    def _wire_ledger(self, genesis: Genesis) -> SignatureCache:
        """Store, pool, execution and chain; what they check signatures with."""
        verify = SignatureCache(self.suite)
        self.store = self._open_store(genesis)
        self.mempool = Mempool(pool_limits(self.config))
        self.pool_log = PoolLog(self.home.root / "pool.log")
        self.execution = Execution(
            suite=self.suite,
            store=self.store,
            mempool=self.mempool,
            verify=verify,
            on_finalized=self._on_finalized,
        )
        self.committer = Committer(self.execution, self.store)
        self.chain = Chain(suite=self.suite, store=self.store, execution=self.execution, facts=self._facts)
        return verify

    def _wire_peers(self, network: NetworkBundle) -> None:
        self.network = PeerNetwork(
            node_id=self.identity.account,
            chain_id=self.store.chain_id,
            tls=self.identity.tls,
            listen=(self.config.network.host, self.config.network.port),
            peers=peer_addresses(network, self.config, self.identity.account),
            on_message=self._on_message,
            on_request=self._on_request,
            on_connect=self._on_connect,
            on_fatal=self._fail,
            release=RELEASE,
        )

    def _wire_consensus(self, genesis: Genesis) -> None:
        journal = begin_journal(self.home, FileDisk(self.home.journal), store_height=self.store.height)
        if journal.follow_only:
            log.warning(
                "this node follows without voting",
                reason="its journal was lost, so it may have forgotten votes; see docs/operations.md",
            )
        self.runner = ConsensusRunner(
            committee=Committee(
                chain_id=self.store.chain_id,
                validators=genesis.validators,
                validators_hash=validators_hash(self.suite, genesis.validators),
                me=self._accounts.index(self.identity.account),
                clock_drift_ms_max=genesis.limits.clock_drift_ms_max,
            ),
            timing=consensus_timing(self.config),
            scheme=self.suite.quorum,
            signer=self.identity.vote_signer,
            hashing=SuiteHashing(self.suite),
            application=self.execution,
            transport=PeerTransport(self._accounts, self.network),
            journal=journal,
            on_failure=self._fail,
        )

    def _wire_services(self, genesis: Genesis) -> None:
        suite, identity = self.suite, self.identity
        blobs = LocalBlobStore(self.home.blobs, suite)
        self.exchange = BlobExchange(
            suite=suite,
            store=blobs,
            request=lambda peer, payload, timeout_s: self.network.request(
                peer, Channel.BLOBS, payload, timeout_s=timeout_s
            ),
            peers=self.network.connected,
        )
        keys = OperatorKeys(
            suite=suite,
            operator=identity.account,
            wrap_secret=identity.wrap_secret,
            wrap_keys={operator.account: operator.wrap_key for operator in genesis.operators},
            state=self.chain.records,
            time_ms=lambda: self.chain.head_time_ms,
        )
        renderer = Renderer(suite, RecordReader(suite, keys, blobs, self.exchange.fetch))
        self.node_account = NodeAccount(
            suite=suite,
            account=identity.account,
            signer=identity.node_signer,
            chain=self.chain,
            submission=self.submission,
            clock_ms=wall_clock_ms,
        )
        spool = Spool(self.home.spool, suite, identity.wrap_secret)
        self.releases = Releases(
            suite=suite,
            chain=self.chain,
            index=self.index,
            submission=self.submission,
            node=self.node_account,
            renderer=renderer,
            spool=spool,
            clock_ms=wall_clock_ms,
        )
        self.traces = Traces(
            suite=suite,
            chain=self.chain,
            index=self.index,
            submission=self.submission,
            node=self.node_account,
            renderer=renderer,
            spool=spool,
        )
        directory_key = open_directory_key(identity, genesis, suite)
        self.services = Services(
            chain=self.chain,
            submission=self.submission,
            deposits=Deposits(
                suite=suite,
                chain=self.chain,
                keys=keys,
                blobs=blobs,
                exchange=self.exchange,
                replicas_min=(len(self._accounts) - 1) // 3,
                clock_ms=wall_clock_ms,
            ),
            people=People(KeyedDirectory(suite, directory_key), self.chain.records),
            releases=self.releases,
            traces=self.traces,
            index=self.index,
        )

    # --- life ---

    async def start(self) -> None:
        """Recover, listen and take part.

        Raises:
            Unavailable: an address cannot be listened at.
            StorageDamaged: journal or store cannot be trusted.
        """
        pending = self.submission.recover(self.pool_log.recovered())
        self._spawn(self.committer.run())
        await self.runner.start()
        await self.network.start()
        await catch_up(self.chain, self.index)
        self._spawn(follow(self.chain, self.index))
        self._spawn(watch_deadlines(self.chain, self.node_account, wall_clock_ms))
        self._spawn(self._housekeeping())
        await self.releases.resume()
        self.traces.resume()
        await self._serve_http()
        if pending:
            self.runner.notify_work()
        log.info(
            "node started",
            name=self.config.node.name,
            height=self.chain.height,
            api=f"http://{self.config.http.host}:{self.config.http.port}",
            pending=pending,
        )

    async def stop(self) -> None:
        """Leave in good order: nothing that was acknowledged depends on it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await self._http.cleanup()
        await self.releases.stop()
        await self.traces.stop()
        await self.runner.stop()
        await self.network.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fatal is None:
            with suppress(Unavailable):
                await self.committer.flush()
        await self.index.close()
        await self.submission.stop()
        self.pool_log.close()
        self.store.close()
        self._lock.release()

    async def run(self) -> int:
        """Start, run until told to stop, stop; the process's exit status."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_unhandled)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        self._http = web.AppRunner(web.Application())
        await self.start()
        await self._stopping.wait()
        await self.stop()
        return EXIT_STATUS_BROKEN_INVARIANT if self._fatal is not None else 0

    # --- what happens ---

    def _on_finalized(self, final: FinalizedExecution) -> None:
        self.chain.wake()
        self.committer.block_finalized()
        self.submission.block_finalized(final)
        self.releases.block_finalized(final)
        self.traces.block_finalized(final)
        self.metrics.blocks_finalized.inc()
        self.metrics.height.set(final.executed.header.height)
        for result in final.executed.results:
            self.metrics.transactions.labels("finalized" if result.code == "ok" else "denied").inc()

    def _on_message(self, sender: bytes, channel: Channel, payload: bytes) -> None:
        if channel is Channel.TRANSACTIONS:
            self.submission.receive(payload)
        elif channel is not Channel.BLOBS:
            self.runner.deliver(self._accounts.index(sender), payload)

    async def _on_request(self, sender: bytes, channel: Channel, payload: bytes) -> bytes:
        if channel is not Channel.BLOBS:
            raise Unavailable(what=f"channel {channel.name.lower()}", reason="it takes no requests")
        return await self.exchange.serve(sender, payload)

    def _on_connect(self, peer: bytes) -> None:
        for entry in self.mempool:
            if not self.network.send(peer, Channel.TRANSACTIONS, entry.encoded):
                break

    def _fail(self, error: BaseException) -> None:
        """Stop the node loudly: one of its own promises is broken."""
        if self._fatal is None:
            self._fatal = error
            log.critical("the node stops", error=repr(error))
            self._stopping.set()

    def _on_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a task or callback that nobody awaits raised: a broken promise stops the node, anything else is logged."""
        error = context.get("exception")
        if isinstance(error, InvariantViolation):
            self._fail(error)
        else:
            loop.default_exception_handler(context)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _housekeeping(self) -> None:
        faulty_max = (len(self._accounts) - 1) // 3
        for tick in itertools.count():
            status = self.runner.status()
            if len(status.clocks_apart_ms) > faulty_max:
                log.error(
                    "this node's clock differs from its peers'", apart_ms=max(status.clocks_apart_ms.values())
                )
            self.metrics.view.set(status.view)
            self.metrics.epoch.set(status.epoch)
            self.metrics.peers_connected.set(len(self.network.connected()))
            self.metrics.mempool_transactions.set(len(self.mempool))
            self.metrics.index_height.set(self.index.height)
            if tick % SWEEP_EVERY_TICKS == 0:
                await asyncio.to_thread(self.releases.sweep)
            await asyncio.sleep(TICK_S)

    # --- parts ---

    def _open_store(self, genesis: Genesis) -> Store:
        if any(self.home.store.iterdir()):
            store = Store.open(self.home.store, self.suite)
        else:
            store = Store.create(self.home.store, self.suite, genesis, genesis_state(self.suite, genesis))
        if store.genesis != genesis:
            store.close()
            raise OtherNetwork(path=str(self.home.store))
        return store

    def _facts(self) -> NodeFacts:
        status = self.runner.status()
        peers = tuple(
            PeerFacts(
                account=peer.node_id,
                name=peer.name,
                connected=peer.connected,
                height=status.peer_heights.get(self._accounts.index(peer.node_id)),
                round_trip_ms=peer.rtt_ms,
            )
            for peer in self.network.status()
        )
        return NodeFacts(
            account=self.identity.account,
            release=RELEASE,
            view=status.view,
            leader=self._accounts[status.leader],
            peers=peers,
            pending_transactions=len(self.mempool),
            syncing=status.syncing,
            voting=status.voting,
            started_ms=self._started_ms,
            clock_ms=wall_clock_ms(),
        )

    async def _serve_http(self) -> None:
        http = self.config.http
        application = build_app(
            self.services,
            http_config(self.config),
            metrics=self.metrics,
            idempotency_path=self.home.root / "idempotency.sqlite",
            fatal=self._fail,
        )
        self._http = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._http.setup()
        site = BoundedSite(
            self._http,
            http.host,
            http.port,
            connections_max=min(http_config(self.config).connections_max, raise_descriptor_limit() // 2),
            newcomers=application[SITE].newcomers,
            ssl_context=self._users_tls,
        )
        try:
            await site.start()
        except OSError as error:
            raise Unavailable(
                what=f"API address {http.host}:{http.port}", reason=error.strerror or str(error)
            ) from None


def _tls_for_users(http: HttpSection) -> ssl.SSLContext | None:
    """The operator's certificate for the API; None when something else does TLS in front."""
    if not http.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (http.tls_certificate, http.tls_key):
        read_file(Path(path))
    try:
        context.load_cert_chain(http.tls_certificate, http.tls_key)
    except ssl.SSLError as error:
        reason = f"not a PEM certificate with its own key, {http.tls_key} ({error.reason or error})"
        raise FileUnusable(path=http.tls_certificate, reason=reason) from None
    return context


class OtherNetwork(LedgerError):
    """The store belongs to another genesis. Fields: path."""

    code = "other_network"
    zh = "{path} 中的账本属于另一个网络；请检查 genesis.json 或换用空目录"
    en = "The ledger in {path} belongs to another network; check genesis.json or use an empty folder"


def run_node(folder: Path) -> int:
    """Run the node in `folder` until it is told to stop; the process's exit status.

    Raises:
        LedgerError: it cannot start; the message says what to do.
    """
    import uvloop

    async def main() -> int:
        return await Node(folder).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(main())
        except InvariantViolation as error:
            log.critical("the node stops", error=repr(error))
            os._exit(EXIT_STATUS_BROKEN_INVARIANT)
        except OSError as error:
            # Only while it starts: once it runs, every task's failure ends in `Node._fail`.
            reason = error.strerror or str(error)
            raise FileUnusable(path=str(error.filename or folder), reason=reason) from None
