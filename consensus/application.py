"""What consensus asks of the rest of the node, as Protocols; the node and the simulation implement them.

Rule: every call is synchronous and returns soon. Nothing here may raise for a peer's fault; an exception means that this node
is broken, and stops it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consensus.core.effects import Lane, ProposalContext
from consensus.core.events import Timer
from ledger.types import Block, FinalizedBlock, Header, ValidatorSet

__all__ = ["Application", "Clock", "Lane", "ProposalContext", "Syncer", "Timers", "Transport"]


class Application(Protocol):
    """Executes blocks. Unfinalized ones live in overlays that are kept until a block of their height is final."""

    def has_work(self) -> bool:
        """Whether a valid transaction is pending or an expiry undecided. Cheap: asked often."""
        ...

    def propose(self, parent: bytes, context: ProposalContext, /) -> Block | None:
        """Build a block by executing on `parent`'s state, and keep its overlay.

        Args:
            parent: digest of the finalized head or of a block that `propose` or `verify` has executed.
            context: the header fields that consensus decides.

        Returns:
            The block, without transactions if none fit; None when it cannot build.
        """
        ...

    def verify(self, block: Block, digest: bytes, /) -> bool:
        """Execute on the parent's state; keep the overlay if version, both validator hashes and every root are as expected.

        Never asked of fillers, which consensus judges itself. The verdict depends on the chain alone, never on clocks, pools
        or load: consensus stops the node when a certified block is found invalid.
        """
        ...

    def finalize(self, finalized: FinalizedBlock, digest: bytes, /) -> None:
        """The block is final; called in height order, once its body and Finalization are durable in the journal."""
        ...

    def finalized_height(self) -> int: ...

    def durable_height(self) -> int:
        """Height up to which the store is durable; the journal above it must be kept."""
        ...

    def head(self) -> tuple[bytes, Header]:
        """Digest and header of the finalized head."""
        ...

    def validators(self) -> ValidatorSet:
        """The set that votes on the successor of the finalized head; its hash is the head's `next_validators_hash`."""
        ...

    def block(self, height: int, /) -> FinalizedBlock | None:
        """A finalized block, 1 ≤ height ≤ finalized_height(); None when it is not held here."""
        ...


class Transport(Protocol):
    """The authenticated peer network. Best effort; calls never block. A peer is an account id of 16 bytes."""

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None: ...

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        """To every connected peer, validators and read nodes."""
        ...


class Clock(Protocol):
    """The wall clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class Timers(Protocol):
    """Steady timers, indifferent to changes of the wall clock; each fires by `Engine.on_timer`."""

    def set(self, timer: Timer | str, delay_ms: int, /) -> None:
        """Start `timer`, or start it anew."""
        ...

    def cancel(self, timer: Timer | str, /) -> None: ...


class Syncer(Protocol):
    """Runs one blocking write at a time, off the event loop where there is one."""

    def run(self, work: Callable[[], None], done: Callable[[BaseException | None], None], /) -> None:
        """Do `work`, then call `done` where the engine runs, with what went wrong or None."""
        ...
