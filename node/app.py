"""The composition root: the only place that chooses implementations and wires them to each other.

Rule: everything is built in `Node.__init__` in the order of the data flow, started in `start` and stopped in reverse
in `stop`. Nothing here decides anything else.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import structlog
from aiohttp import web

from consensus.journal import Journal
from consensus.runner import ConsensusRunner
from contracts.records import NodeRecord
from ledger.crypto.suite import CryptoSuite
from ledger.errors import InvariantViolation, LedgerError, Unavailable
from ledger.types import Genesis, Vote
from network.peers import Channel, PeerAddress, PeerNetwork
from network.tasks import end
from node.assembly.doors import assemble_doors
from node.assembly.ground import Ground, PeerRequest, wall_clock_ms
from node.assembly.holding import assemble_holding
from node.assembly.vault import assemble_vault
from node.assembly.work import assemble_work
from node.bridges import PeerTransport, SuiteHashing
from node.chain import Chain, UnprovenRecords
from node.committer import Committer
from node.config import (
    consensus_timing,
    http_config,
    pool_limits,
    snapshot_serving,
)
from node.execution import Execution, FinalizedExecution
from node.foundation import Foundation
from node.founding import address_of, peer_addresses
from node.home import Home
from node.housekeeping import Housekeeping, warn_silenced
from node.http.app import SITE, build_app
from node.http.listener import BoundedSite, raise_descriptor_limit
from node.index.follower import catch_up, follow
from node.index.sqlite import SqliteIndex
from node.members import Members
from node.mempool import Mempool, SignatureCache
from node.observability import Metrics
from node.poollog import PoolLog
from node.rotation import retire_vote_key
from node.servedstore import ServedStore
from node.services.certificates import CertificateRenewal
from node.services.deadlines import watch_deadlines
from node.services.evidence import EvidenceReporter
from node.services.facts import NodeFacts, PeerFacts
from node.services.node_account import NodeAccount
from node.services.notifiers import Notifier
from node.services.submission import Submission
from node.statesync import SnapshotServer
from node.versions import CONTRACT_VERSIONS, LEDGER_VERSIONS, RELEASE

# What went wrong is outside, such as a full disk: worth a start once that is mended. A broken promise of its own is not.
EXIT_STATUS_UNAVAILABLE: Final = 3
EXIT_STATUS_BROKEN_INVARIANT: Final = 70
SHUTDOWN_S: Final = 5.0

log = structlog.get_logger()


class Node:
    """One node: an operator's replica, voter, vault and API."""

    def __init__(self, base: Foundation, journal: Journal, store: ServedStore) -> None:
        """Put everything together.

        Args:
            base: the home folder, read and locked.
            journal: its journal.
            store: its ledger.

        Raises:
            LedgerError: a file cannot be used, or the ledger has gone over to a protocol version that this release does not know.
        """
        self._base = base
        self.home, self.config, self.suite, self.identity = base.home, base.config, base.suite, base.identity
        self._journal = journal
        self.store = store
        self.metrics = Metrics()
        self._started_ms = wall_clock_ms()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._fatal: BaseException | None = None

        verify = self._wire_ledger()
        self._wire_peers()
        self._wire_consensus(base.genesis)
        self.notifier = Notifier(self.suite, self.identity.account, lambda: self.chain.validators)
        self.submission = Submission(
            suite=self.suite,
            chain=self.chain,
            mempool=self.mempool,
            pool_log=self.pool_log,
            verify=verify,
            clock_ms=wall_clock_ms,
            account=self.identity.account,
            send=lambda peer, payload: self.network.send(peer, Channel.TRANSACTIONS, payload),
            wake=self.runner.notify_work,
            taken_in=self.notifier.took_in,
        )
        self.index = SqliteIndex(self.home.index, self.store.chain_id)
        self._wire_services()

    def _wire_ledger(self) -> SignatureCache:
        """Pool, execution and chain over the store; what they check signatures with."""
        verify = SignatureCache(self.suite)
        self.snapshots = SnapshotServer(
            suite=self.suite, folder=self.home.snapshots, settings=snapshot_serving(self.config)
        )
        self.snapshots.attach(self.store)
        self.mempool = Mempool(pool_limits(self.config))
        self.pool_log = PoolLog(self.home.root / "pool.log")
        self.execution = Execution(
            suite=self.suite,
            store=self.store,
            mempool=self.mempool,
            verify=verify,
            on_finalized=self._on_finalized,
            clock_ms=wall_clock_ms,
        )
        self.execution.check_release()
        self.committer = Committer(
            self.execution,
            self.store,
            mark_journal=self._journal.mark,
            on_ready=self._on_ready,
        )
        self.chain = Chain(suite=self.suite, store=self.store, execution=self.execution, facts=self._facts)
        return verify

    def _wire_peers(self) -> None:
        account = self.identity.account

        def addresses(nodes: tuple[NodeRecord, ...]) -> tuple[PeerAddress, ...]:
            return peer_addresses(map(address_of, nodes), self.config, account)

        self.network = PeerNetwork(
            node_id=account,
            chain_id=self.store.chain_id,
            tls=self.identity.tls,
            listen=(self.config.network.host, self.config.network.port),
            peers=addresses(self.chain.nodes()),
            on_message=self._on_message,
            on_request=self._on_request,
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
            on_fatal=self._fail,
            release=RELEASE,
            ledger_versions=LEDGER_VERSIONS,
            contracts=CONTRACT_VERSIONS,
        )
        self.members = Members(
            account=account,
            nodes=self.chain.nodes,
            addresses=addresses,
            update_peers=self.network.update_peers,
            retire_vote_key=lambda in_use: _retire(self.home, self.suite, in_use),
        )

    def _wire_consensus(self, genesis: Genesis) -> None:
        self.runner = ConsensusRunner(
            chain_id=self.store.chain_id,
            account=self.identity.account,
            signers=self.identity.vote_signers,
            clock_drift_ms_max=genesis.limits.clock_drift_ms_max,
            timing=consensus_timing(self.config),
            scheme=self.suite.quorum,
            hashing=SuiteHashing(self.suite),
            application=self.execution,
            transport=PeerTransport(self.network),
            journal=self._journal,
            on_failure=self._fail,
            on_evidence=self._on_evidence,
            on_forgotten=lambda _key: warn_silenced(),
        )

    def _wire_services(self) -> None:
        """Shared keys, vault, what follows the chain, and what the API asks (`node/assembly/`)."""
        self.node_account = NodeAccount(
            suite=self.suite,
            account=self.identity.account,
            signer=self.identity.node_signer,
            chain=self.chain,
            submission=self.submission,
            clock_ms=wall_clock_ms,
        )
        ground = Ground(
            home=self.home,
            config=self.config,
            suite=self.suite,
            identity=self.identity,
            chain=self.chain,
            index=self.index,
            submission=self.submission,
            metrics=self.metrics,
            node=self.node_account,
            request=self._asking,
            connected=self.network.connected,
            syncing=lambda: self.runner.status().syncing,
        )
        self.holding = assemble_holding(ground)
        self.vault = assemble_vault(ground, self.holding)
        self.work = assemble_work(ground, self.vault)
        self.doors = assemble_doors(ground, self.holding, self.vault, self.work, self.notifier)
        self.evidence = EvidenceReporter(self.chain, self.node_account)
        self.certificates = CertificateRenewal(
            home=self.home,
            chain=self.chain,
            node=self.node_account,
            show=self.network.use_certificate,
            ready=lambda: self.network.certificate_in_use and not self.runner.status().syncing,
            clock_ms=wall_clock_ms,
        )

    def _asking(self, channel: Channel) -> PeerRequest:
        async def ask(peer: bytes, payload: bytes, timeout_s: float) -> bytes:
            return await self.network.request(peer, channel, payload, timeout_s=timeout_s)

        return ask

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
        records = UnprovenRecords(self.execution, self.store)
        await catch_up(self.chain, self.index, records)
        self._spawn(follow(self.chain, self.index, records))
        self._spawn(self.doors.webhooks.run())
        self._spawn(watch_deadlines(self.chain, self.node_account, wall_clock_ms))
        self._spawn(self.holding.driver.run())
        self._spawn(self.evidence.run())
        self._spawn(self.certificates.run())
        self._spawn(self.vault.keeper.run())
        self._spawn(self._housekeeping().run())
        await self.work.releases.resume()
        await self.work.counts.resume()
        self.work.traces.resume()
        await self.work.finding.prune()
        await self.doors.deposits.bulk.resume()
        self._spawn(self.doors.deposits.bulk.run())
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
        await self.doors.deposits.bulk.stop()
        await self.doors.checks.close()
        await self.work.releases.stop()
        await self.work.counts.stop()
        await self.work.traces.stop()
        await self.work.finding.stop()
        await self.runner.stop()
        await self.network.stop()
        await end(self._tasks)
        if self._fatal is None:
            with suppress(Unavailable):
                await self.committer.flush()
            with suppress(OSError):
                self._journal.close()
        await self.doors.logins.stop()
        await self.doors.outbox.close()
        await self.index.close()
        await self.submission.stop()
        await self.snapshots.stop()
        self.holding.work.close()
        self.pool_log.close()
        self.vault.holdings.close()
        self.store.close()
        self._base.lock.release()

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
        match self._fatal:
            case None:
                return 0
            case LedgerError():
                return EXIT_STATUS_UNAVAILABLE
            case _:
                return EXIT_STATUS_BROKEN_INVARIANT

    # --- what happens ---

    def _on_finalized(self, final: FinalizedExecution) -> None:
        self.chain.wake()
        self.committer.block_finalized()
        self.submission.block_finalized(final)
        self.members.block_finalized(final)
        self.holding.driver.wake()
        self.work.releases.block_finalized(final)
        self.work.counts.block_finalized(final)
        self.work.traces.block_finalized(final)
        self.work.finding.block_finalized(final)
        self.vault.keeper.block_finalized(final)
        self.metrics.blocks_finalized.inc()
        self.metrics.height.set(final.executed.header.height)
        for result in final.executed.results:
            self.metrics.transactions.labels("finalized" if result.code == "ok" else "denied").inc()

    def _on_message(self, sender: bytes, channel: Channel, payload: bytes) -> None:
        if channel is Channel.TRANSACTIONS:
            self.submission.receive(sender, payload)
        elif channel in {Channel.VOTES, Channel.BLOCKS, Channel.SYNC} and self.committer.ready:
            self.runner.deliver(sender, payload)

    async def _on_request(self, sender: bytes, channel: Channel, payload: bytes) -> bytes:
        match channel:
            case Channel.BLOBS:
                return await self.vault.exchange.serve(sender, payload)
            case Channel.SHARES:
                return await self.holding.channel.serve(sender, payload)
            case Channel.SNAPSHOT:
                return await self.snapshots.serve(sender, payload)
            case _:
                raise Unavailable(what=f"channel {channel.name.lower()}", reason="it takes no requests")

    def _on_connect(self, peer: bytes) -> None:
        self.submission.connected(peer)

    def _on_disconnect(self, peer: bytes) -> None:
        self.submission.disconnected(peer)

    def _on_ready(self) -> None:
        self.runner.notify_work()

    def _on_evidence(self, first: Vote, second: Vote) -> None:
        self.evidence.noticed(first, second)

    def _fail(self, error: BaseException) -> None:
        """Stop the node loudly: one of its own promises is broken."""
        if self._fatal is None:
            self._fatal = error
            # A broken promise is for developers; anything else says to the operator what to do.
            told = str(error) if isinstance(error, LedgerError) else repr(error)
            log.critical("the node stops", error=told)
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

    # --- parts ---

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            name=self.config.node.name,
            tls=self.identity.tls,
            runner=self.runner,
            execution=self.execution,
            network=self.network,
            mempool=self.mempool,
            index=self.index,
            metrics=self.metrics,
            sweep=self._sweep,
            clock_ms=wall_clock_ms,
        )

    def _sweep(self) -> None:
        self.work.releases.sweep()
        self.work.traces.sweep()

    def _facts(self) -> NodeFacts:
        status = self.runner.status()
        peers = tuple(
            PeerFacts(
                account=peer.node_id,
                name=peer.name,
                connected=peer.connected,
                height=status.peer_heights.get(peer.node_id),
                round_trip_ms=peer.rtt_ms,
                release=peer.release,
                ledger_version=peer.ledger_versions[1],
                contracts=peer.contracts,
                bad_shares=self.holding.bad_shares[peer.node_id],
            )
            for peer in self.network.status()
        )
        return NodeFacts(
            account=self.identity.account,
            release=RELEASE,
            view=status.view,
            leader=status.leader,
            peers=peers,
            pending_transactions=len(self.mempool),
            syncing=status.syncing,
            voting=status.voting,
            started_ms=self._started_ms,
            clock_ms=wall_clock_ms(),
            missing_shares=self.holding.driver.missing(),
        )

    async def _serve_http(self) -> None:
        http = self.config.http
        application = build_app(
            self.doors.services,
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
            ssl_context=self._base.users_tls,
        )
        try:
            await site.start()
        except OSError as error:
            raise Unavailable(
                what=f"API address {http.host}:{http.port}", reason=error.strerror or str(error)
            ) from None


def _retire(home: Home, suite: CryptoSuite, in_use: bytes) -> None:
    try:
        if retire_vote_key(home, suite, in_use):
            log.info("the former vote key is destroyed")
    except LedgerError as error:
        log.error("the former vote key is still there", reason=str(error))
