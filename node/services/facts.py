"""What a running node says of itself, of its peers and of its chain's bounds, beside what is on the ledger.

Rule: plain facts of this moment, and two answers about heights; `ports.py` says who is asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import SharedKeyRound
from ledger.errors import Category, LedgerError


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """One other node as seen from here.

    `height` and `round_trip_ms` are None while unknown; `release`, `ledger_version` (the latest that it judges) and
    `contracts` (the latest version of each that it has) are empty while it was never connected. `bad_shares`: key
    shares it gave since this node's start that do not hold.
    """

    account: bytes
    name: str
    connected: bool
    height: int | None
    round_trip_ms: float | None
    release: str = ""
    ledger_version: int = 0
    contracts: Mapping[str, int] = field(default_factory=dict)
    bad_shares: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKeysFacts:
    """What the ledger says of keys that the operators hold together.

    Attributes:
        ready: whether there is one for every purpose.
        keys: those in force.
        in_use: purpose and version of those that what is new uses.
        rounds: what is under way.
    """

    ready: bool
    keys: tuple[SharedKey, ...]
    in_use: frozenset[tuple[KeyPurpose, int]]
    rounds: tuple[SharedKeyRound, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What only the running node knows about itself.

    Attributes:
        account: this node's operator.
        release: version of the software.
        view, leader: consensus view now, and the account whose turn it is.
        peers: every other validator.
        pending_transactions: transactions in the mempool.
        syncing: catching up with the others.
        voting: takes part in consensus.
        started_ms, clock_ms: wall clock at start, and now.
        missing_shares: shared keys, by purpose and version, whose share this node should have and has not.
    """

    account: bytes
    release: str
    view: int
    leader: bytes
    peers: tuple[PeerFacts, ...]
    pending_transactions: int
    syncing: bool
    voting: bool
    started_ms: int
    clock_ms: int
    missing_shares: tuple[str, ...] = ()


class HeightNotProvable(LedgerError):
    """The state of that height is no longer kept here. Fields: height, first_height, last_height."""

    code = "height_not_provable"
    category = Category.GONE
    zh = (
        "本节点已不保留区块高度 {height} 的状态，可证明的高度为 {first_height} 至 {last_height}；"
        "请使用已保存的回执，或向保存更久的节点查询"
    )
    en = (
        "The state at height {height} is no longer kept here: heights {first_height} to {last_height} can be "
        "proven; use a receipt kept from then, or ask a node that keeps more"
    )


class HeightNotFinal(LedgerError):
    """There is no finalized block of that height yet. Fields: height, last_height."""

    code = "height_not_final"
    category = Category.MISSING
    zh = "区块高度 {height} 尚未最终确认，当前高度为 {last_height}"
    en = "Height {height} is not final yet; the chain is at height {last_height}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a finalized transaction is: block height, and index in that block."""

    height: int
    index: int
