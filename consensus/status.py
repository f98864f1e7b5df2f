"""What the node shows about its consensus.

Rule: facts as they are at one moment; peers are account ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Where consensus is, and what it has noticed.

    Attributes:
        epoch, view: where it is.
        leader: account of the current view's leader.
        validators: accounts of the epoch's validators, in the order of their index.
        finalized_view: of the newest block known to be final; 0 at the beginning of an epoch.
        height: of the newest block given to the application as final.
        peer_heights: height that each peer claims.
        syncing: a final block is known that is not here yet.
        history_gone: nobody who was asked has the finalized blocks that are missing here; only a snapshot helps.
        voting: takes part in this epoch; False for a follower.
        listening: restarted, and not heard from enough validators yet to vote.
        silenced: is a validator of this epoch, but its key must not vote until it has been rotated.
        blamed: faults seen, by peer.
        clocks_apart_ms: how far ahead the last untimely proposal of each leader was; with entries for more than f leaders it is
            this node's clock that is wrong.
        evidence_count: conflicting votes proven.
        undecodable_count: messages that were no messages.
    """

    epoch: int
    view: int
    leader: bytes
    validators: tuple[bytes, ...]
    finalized_view: int
    height: int
    peer_heights: dict[bytes, int]
    syncing: bool
    voting: bool
    listening: bool
    silenced: bool
    blamed: dict[bytes, int] = field(default_factory=dict)
    clocks_apart_ms: dict[bytes, int] = field(default_factory=dict)
    evidence_count: int = 0
    undecodable_count: int = 0
    history_gone: bool = False
