"""What the core is told once: who votes, how long things take, how blocks are hashed.

Rule: everything consensus-relevant here comes from genesis and certified state; `Timing` alone is the operator's, since it
decides liveness only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger.types import Header, Transaction, ValidatorSet, quorum_size

NO_BLOCK: Final = bytes(32)


class Hashing(Protocol):
    """The hashes that consensus asks for (`ledger.hashing`, with the suite of genesis)."""

    def block_digest(self, header: Header) -> bytes: ...

    def transactions_root(self, transactions: tuple[Transaction, ...]) -> bytes: ...

    def empty_results_root(self) -> bytes:
        """Root over no results."""
        ...

    def validators_hash(self, validators: ValidatorSet) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the core waits, all in milliseconds.

    Attributes:
        delta_ms: Δ, the bound on one message delay that a healthy network keeps.
        delta_ms_max: Δ never grows above this.
        growth_percent: what Δ is multiplied with for each view without finality, 100 to 1000.
        repeat_ms: time between repetitions of the votes of a view that does not end.
        standstill_ms: time without finality after which everything above the last Finalization is repeated.
        status_ms: time between two Status messages.
    """

    delta_ms: int = 500
    delta_ms_max: int = 10_000
    growth_percent: int = 150
    repeat_ms: int = 2_000
    standstill_ms: int = 10_000
    status_ms: int = 2_000

    def delta_after(self, views_without_finality: int) -> int:
        """Δ after so many views in a row without finality."""
        delta = self.delta_ms
        for _ in range(min(views_without_finality, 64)):
            if delta >= self.delta_ms_max:
                break
            delta = delta * self.growth_percent // 100
        return min(delta, self.delta_ms_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """The validators of one epoch, and which of them this node is.

    Attributes:
        chain_id: hash of the genesis document.
        validators: the epoch's set; their order fixes who leads.
        validators_hash: hash of that set, as headers carry it.
        me: this node's index; None for a node that is no validator of this epoch.
        clock_drift_ms_max: how far a proposal's time may be from a voter's clock.
    """

    chain_id: bytes
    validators: ValidatorSet
    validators_hash: bytes
    me: int | None
    clock_drift_ms_max: int = 10_000
    _indexes: dict[bytes, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        indexes = {one.account: index for index, one in enumerate(self.validators.validators)}
        object.__setattr__(self, "_indexes", indexes)

    @property
    def epoch(self) -> int:
        return self.validators.epoch

    @property
    def size(self) -> int:
        return len(self.validators.validators)

    @property
    def quorum(self) -> int:
        """q = n − f."""
        return quorum_size(self.size)

    @property
    def one_honest(self) -> int:
        """f + 1: among so many validators at least one is honest."""
        return self.size - self.quorum + 1

    def leader(self, view: int) -> int:
        """Index of the validator that leads `view`; round robin, view 1 is led by validator 0."""
        return (view - 1) % self.size

    def account(self, index: int) -> bytes:
        return self.validators.validators[index].account

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """By index."""
        return tuple(one.account for one in self.validators.validators)

    def index(self, account: bytes) -> int | None:
        """The validator of that account; None when it has none in this epoch."""
        return self._indexes.get(account)

    def seals(self, header: Header) -> bool:
        """Whether only fillers may extend the block: it is this epoch's seal, or a filler above it."""
        return header.epoch == self.epoch and header.next_validators_hash != header.validators_hash
