"""This node as one of those who hold keys together, and as one who asks the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ledger.crypto.threshold.groups import group_of
from network.peers import Channel
from node.assembly.ground import Ground, wall_clock_ms
from node.holders import lookups
from node.holders.channel import ShareChannel, ShareMessage
from node.holders.collector import Collector
from node.holders.driver import KeyDriver
from node.holders.ledger_keys import LedgerSharedKeys
from node.holders.ports import Permit
from node.holders.round_files import RoundFiles
from node.holders.server import ShareServer
from node.holders.share_file import ShareFile, open_shares
from node.holders.work import ShareWork
from node.vault.bodies import BodyPermit
from node.vault.count_permits import CountPermit
from node.vault.mark_permits import ReleaseMarksPermit, TraceMarksPermit
from node.vault.mark_seeds import RELEASE_MARKS, TRACE_MARKS
from node.vault.permits import ReleasePermit, Replica, TracePermit


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Keys in force, this node's shares, and their use.

    Attributes:
        bad_shares: how many shares of a node did not hold, by its account.
    """

    keys: LedgerSharedKeys
    work: ShareWork
    server: ShareServer
    collector: Collector
    driver: KeyDriver
    channel: ShareChannel
    bad_shares: Counter[bytes]


def assemble_holding(ground: Ground) -> Holding:
    """Put it together.

    Raises:
        LedgerError: the share files cannot be read.
    """
    suite, account, chain = ground.suite, ground.identity.account, ground.chain
    files = open_shares(ground.home, suite, ground.identity.wrap_secret)
    keys = LedgerSharedKeys(chain.records.state)
    shares = ShareFile(files, chain.chain_id, account)
    work = ShareWork(group_of(suite), suite.hash, ground.metrics.share_step)
    server = ShareServer(
        account=account,
        keys=keys,
        shares=shares,
        permits=_permits(ground, work),
        work=work,
        recorded=ground.metrics.share_asked,
    )
    bad_shares: Counter[bytes] = Counter()

    def on_bad_share(node: bytes) -> None:
        bad_shares[node] += 1
        ground.metrics.bad_shares.labels(node.hex()).inc()

    ask = ground.request(Channel.SHARES)
    collector = Collector(
        account=account, keys=keys, server=server, work=work, request=ask, bad_share=on_bad_share
    )
    driver = KeyDriver(
        suite=suite,
        account=account,
        state=chain.executed_state,
        shares=shares,
        memories=RoundFiles(files),
        request=ask,
        submit=ground.node.submit,
        ready=lambda: not ground.syncing(),
        clock_ms=wall_clock_ms,
    )
    channel = ShareChannel({ShareMessage.ASK: server.serve, ShareMessage.PIECES: driver.pieces.serve})
    return Holding(
        keys=keys,
        work=work,
        server=server,
        collector=collector,
        driver=driver,
        channel=channel,
        bad_shares=bad_shares,
    )


def _permits(ground: Ground, work: ShareWork) -> dict[str, Permit]:
    """Who decides on this node's own replica, by the kind of ask."""
    chain = ground.chain
    replica = Replica(
        suite=ground.suite,
        chain_id=chain.chain_id,
        state=chain.records,
        reading=chain.records.reading,
        chain=chain,
        time_ms=ground.time_ms,
    )
    return {
        "release": ReleasePermit(replica, work),
        "trace": TracePermit(replica, work),
        "count": CountPermit(replica, work),
        "body": BodyPermit(replica, work),
        RELEASE_MARKS: ReleaseMarksPermit(replica, work),
        TRACE_MARKS: TraceMarksPermit(replica, work),
        lookups.KIND: lookups.LookupPermit(
            suite=ground.suite,
            chain_id=chain.chain_id,
            state=chain.records,
            chain=chain,
            time_ms=ground.time_ms,
        ),
    }
