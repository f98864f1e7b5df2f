"""What a node can have to do about shared keys, and what it decides that from.

Rule: a step says what, never how; `driver.py` carries it out, tests do it in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.args import Args
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import SharedKeyRound
from contracts.state import StateReader
from ledger.crypto.suite import CryptoSuite
from node.holders.round_files import ReceivedPair, RoundMemory
from node.holders.share_file import HeldShare

Name = tuple[str | int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Make a memory of this round, with a fresh seed."""

    round: SharedKeyRound


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the dealer, or this node itself, for the pair; keep it durably if it fits."""

    round: SharedKeyRound
    dealer: int


@dataclass(frozen=True, slots=True)
class Judge:
    """See whether what a dealer revealed fits the pair (`revealed_fits`)."""

    round: SharedKeyRound
    dealer: int
    pair: ReceivedPair
    revealed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a transaction; `name` is the same as long as it is the same thing to do."""

    name: Name
    args: Args


@dataclass(frozen=True, slots=True)
class ChangeShares:
    """Keep shares and overwrite others, in one durable step."""

    keep: tuple[HeldShare, ...]
    drop: tuple[HeldShare, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Overwrite the memory of a round."""

    round_id: bytes


Step = Remember | Fetch | Judge | Submit | ChangeShares | Forget


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the plan is made from.

    Attributes:
        suite: crypto suite.
        account: this node's.
        state: the finalized state.
        clock_ms: wall clock.
        memories: durable, by round id.
        shares: durable.
        wrong: (round id, dealer) of whoever sent a pair that does not fit.
        judged: what `Judge` has found, by round id and dealer.
        waited_ms: since when, on this node's own clock, something has been as it is.
        under_way: whether a thing of that name is being done.
    """

    suite: CryptoSuite
    account: bytes
    state: StateReader
    clock_ms: int
    memories: Mapping[bytes, RoundMemory]
    shares: tuple[HeldShare, ...]
    wrong: frozenset[tuple[bytes, int]]
    judged: Mapping[tuple[bytes, int], bool]
    waited_ms: Callable[[Name], int]
    under_way: Callable[[Name], bool]

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> HeldShare | None:
        """The share of that key at that renewal."""
        wanted = (purpose, version, renewal)
        return next((one for one in self.shares if (one.purpose, one.version, one.renewal) == wanted), None)
