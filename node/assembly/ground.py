"""What the rooms of a node stand on, once ledger, peers and consensus are there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ledger.crypto.suite import CryptoSuite
from network.peers import Channel
from node.chain import Chain
from node.config import NodeConfig
from node.home import Home
from node.identity import NodeIdentity
from node.index.sqlite import SqliteIndex
from node.observability import Metrics
from node.services.node_account import NodeAccount
from node.services.submission import Submission

PeerRequest = Callable[[bytes, bytes, float], Awaitable[bytes]]


def wall_clock_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every room may use.

    Attributes:
        request: gives how peers are asked on a channel.
        connected: the peers that are connected now.
        syncing: whether this node is catching up.
        node: signs what the node itself has to say.
    """

    home: Home
    config: NodeConfig
    suite: CryptoSuite
    identity: NodeIdentity
    chain: Chain
    index: SqliteIndex
    submission: Submission
    metrics: Metrics
    node: NodeAccount
    request: Callable[[Channel], PeerRequest]
    connected: Callable[[], tuple[bytes, ...]]
    syncing: Callable[[], bool]

    def time_ms(self) -> int:
        """Block time of the head, or this node's clock when that is later: what ends, ends on an idle chain too."""
        return max(self.chain.head_time_ms, wall_clock_ms())
