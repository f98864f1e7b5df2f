"""Everything that the core asks of the world.

Rule: effects are carried out in order. What leaves the node (Send, Broadcast) or is acknowledged to a client (Finalize) waits until
everything persisted before it is durable; the engine sees to that, so that no rule of the core can forget it.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from consensus.core.events import Timer
from consensus.core.messages import Message
from consensus.core.records import Record
from ledger.types import Block, FinalizedBlock, QuorumCertificate, Vote, VoteKind


class Lane(IntEnum):
    """Queue of the peer network that a message waits in; votes never wait behind blocks."""

    VOTES = 1
    BLOCKS = 2
    SYNC = 3


class ProposalContext(Struct, frozen=True, kw_only=True, gc=False):
    """The header fields of a new block that consensus decides.

    Attributes:
        epoch: validator-set period.
        view: the view it is proposed in.
        height: the parent's plus one.
        time_ms: block time, milliseconds since the epoch of Unix.
        proposer: account id of the leader.
    """

    epoch: int
    view: int
    height: int
    time_ms: int
    proposer: bytes


class Persist(Struct, frozen=True, kw_only=True, gc=False):
    """Append to the journal."""

    record: Record


class Send(Struct, frozen=True, kw_only=True, gc=False):
    """To one peer, by account id; best effort."""

    peer: bytes
    message: Message
    lane: Lane


class Broadcast(Struct, frozen=True, kw_only=True, gc=False):
    """To every connected peer, best effort."""

    message: Message
    lane: Lane


class SetTimer(Struct, frozen=True, kw_only=True, gc=False):
    """Start or restart a timer."""

    timer: Timer
    delay_ms: int


class CancelTimer(Struct, frozen=True, kw_only=True, gc=False):
    """Stop a timer, if it runs."""

    timer: Timer


class SignVote(Struct, frozen=True, kw_only=True, gc=False):
    """Sign a vote of this node; answered by VoteSigned."""

    kind: VoteKind
    view: int
    digest: bytes


class BuildBlock(Struct, frozen=True, kw_only=True, gc=False):
    """Build a block on `parent`, which has been executed; answered by BlockBuilt."""

    parent: bytes
    context: ProposalContext


class ExecuteBlock(Struct, frozen=True, kw_only=True, gc=False):
    """Execute a block whose parent has been executed; answered by BlockExecuted."""

    block: Block
    digest: bytes


class Finalize(Struct, frozen=True, kw_only=True, gc=False):
    """The block is final; blocks come in height order, each exactly once."""

    finalized: FinalizedBlock
    digest: bytes


class WantBlock(Struct, frozen=True, kw_only=True, gc=False):
    """Fetch the body of a notarized block, first from `hint`."""

    digest: bytes
    height: int
    hint: bytes | None


class WantCertificates(Struct, frozen=True, kw_only=True, gc=False):
    """Fetch the certificates of a span of views, first from `hint`."""

    first_view: int
    last_view: int
    hint: bytes | None


class WantFinalized(Struct, frozen=True, kw_only=True, gc=False):
    """Fetch finalized blocks from `first_height` up."""

    first_height: int


class Blame(Struct, frozen=True, kw_only=True, gc=False):
    """A peer did what no correct node does; it is not listened to for a while."""

    peer: bytes
    reason: str


class ClockApart(Struct, frozen=True, kw_only=True, gc=False):
    """A leader's block was refused because its time is `apart_ms` ahead of this node's clock (behind, if negative)."""

    leader: bytes
    apart_ms: int


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """Two individually verified votes of one validator that exclude each other."""

    first: Vote
    second: Vote


class SilenceKey(Struct, frozen=True, kw_only=True, gc=False):
    """A quorum certificate holds a vote by this node's key that this node does not remember: the key must never vote again.

    Attributes:
        vote_key: public key.
        certificate: what showed it.
    """

    vote_key: bytes
    certificate: QuorumCertificate


Effect = (
    Persist
    | Send
    | Broadcast
    | SetTimer
    | CancelTimer
    | SignVote
    | BuildBlock
    | ExecuteBlock
    | Finalize
    | WantBlock
    | WantCertificates
    | WantFinalized
    | Blame
    | ClockApart
    | Evidence
    | SilenceKey
)
