"""What a running node looks after every few seconds: its gauges, its clock, its certificate, what comes.

Rule: it measures, warns and sweeps; it decides nothing, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from consensus.runner import ConsensusRunner
from ledger.errors import LedgerError
from network.peers import PeerNetwork
from network.tls import TlsIdentity, certificate_expires_at_ms, load_certificate_der
from node.execution import Execution
from node.index.sqlite import SqliteIndex
from node.mempool import Mempool
from node.observability import Metrics
from node.rotation import certificate_of
from node.upgrades import Coming, coming

TICK_S: Final = 5.0
SWEEP_EVERY_TICKS: Final = 120

log = structlog.get_logger()


def warn_silenced() -> None:
    """Tell the operator that this node does not vote, and the way out."""
    log.warning(
        "this node follows without voting",
        reason="it may have forgotten votes of its key: its journal was lost or is older than what it signed",
        remedy="zhenglian node rotate-key, then a vote of the operators; see docs/operations.md",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """The parts that it looks at.

    Attributes:
        name: this node's name, the label of its own certificate's gauge.
        tls: its certificate.
        sweep: deletes files whose time is over; run in a thread, every ten minutes.
        clock_ms: current time, Unix milliseconds.
    """

    name: str
    tls: TlsIdentity
    runner: ConsensusRunner
    execution: Execution
    network: PeerNetwork
    mempool: Mempool
    index: SqliteIndex
    metrics: Metrics
    sweep: Callable[[], object]
    clock_ms: Callable[[], int]

    async def run(self) -> None:
        """Go on until cancelled."""
        for tick in itertools.count():
            self._warn()
            self._measure()
            if tick % SWEEP_EVERY_TICKS == 0:
                await asyncio.to_thread(self.sweep)
            await asyncio.sleep(TICK_S)

    def _warn(self) -> None:
        status = self.runner.status()
        faulty_max = (len(status.validators) - 1) // 3
        if len(status.clocks_apart_ms) > faulty_max:
            log.error(
                "this node's clock differs from its peers'", apart_ms=max(status.clocks_apart_ms.values())
            )
        if status.silenced:
            warn_silenced()
        if status.history_gone and status.syncing:
            log.error(
                "no peer has the blocks any more that this node lacks",
                height=status.height,
                remedy="stop the node; set state_sync_above_blocks = 1 in [sync]; zhenglian node resync --store; start it",
            )
        for one in self._lacking():
            log.error(
                "this release is too old for what comes; upgrade before that height, or the node stops there",
                contract=one.contract or "the protocol itself",
                version=one.version,
                supported=one.supported,
                height=one.height,
            )

    def _lacking(self) -> tuple[Coming, ...]:
        """What is set and this release has not got."""
        execution = self.execution
        found = coming(
            execution.pending_protocol(), execution.pending_upgrades(), known=execution.registry.known
        )
        return tuple(one for one in found if one.lacking)

    def _measure(self) -> None:
        stops = [one.height for one in self._lacking()]
        self.metrics.release_stops_height.set(min(stops, default=0))
        status = self.runner.status()
        self.metrics.view.set(status.view)
        self.metrics.epoch.set(status.epoch)
        self.metrics.peers_connected.set(len(self.network.connected()))
        self.metrics.mempool_transactions.set(len(self.mempool))
        self.metrics.index_height.set(self.index.height)
        self._measure_certificates()

    def _measure_certificates(self) -> None:
        expiry = self.metrics.certificate_expires_seconds
        try:
            own = load_certificate_der(certificate_of(self.tls), source="tls.pem")
        except LedgerError as error:
            log.error("this node's certificate cannot be read", reason=str(error))
            return
        ends_ms = {self.name: certificate_expires_at_ms(own)}
        ends_ms |= {peer.name: peer.certificate_expires_at_ms for peer in self.network.status()}
        expiry.clear()
        for name, at_ms in ends_ms.items():
            expiry.labels(name).set((at_ms - self.clock_ms()) / 1000)
