"""What validators send to each other: a tagged union of strict, bounded structs.

Rule: whatever decodes here re-encodes to the same bytes, and every list has a named bound. A decoded message is
well-formed, never yet trusted.
"""

from __future__ import annotations

from typing import Annotated, Final, cast

from msgspec import Meta

from ledger import codec
from ledger.types import (
    BLOCK_SIZE_BYTES_MAX,
    Block,
    Count,
    FinalizedBlock,
    Hash,
    QuorumCertificate,
    Vote,
    Wire,
)

# Nullifications that a proposal carries for its gap; more are fetched from the leader.
GAP_CERTIFICATES_MAX: Final = 32
# Certificates in one Certificates message.
CERTIFICATES_MAX: Final = 64
# Votes in one Votes message: three kinds for as many views as a standstill repeats.
VOTES_MAX: Final = 192
# Finalized blocks in one answer, however small they are.
RANGE_BLOCKS_MAX: Final = 64
# Finalized blocks stop being added to an answer once they take so much.
RANGE_SIZE_BYTES: Final = 2 * 1024 * 1024
# A range that is nearly full, one more block of the largest size, and the proof of that one.
MESSAGE_SIZE_BYTES_MAX: Final = RANGE_SIZE_BYTES + BLOCK_SIZE_BYTES_MAX + 2 * 1024 * 1024
# Votes and certificates that are repeated together; votes travel in small frames.
REPETITION_SIZE_BYTES: Final = 48 * 1024


class Propose(Wire, tag=1):
    """The leader's block for a view, with what a voter needs to accept it.

    Attributes:
        block: the proposed block; its header names epoch and view.
        vote: the leader's own Notarize vote, which signs the proposal.
        parent: Notarization or Finalization of the parent; None for the epoch's root (genesis, or the seal before it).
        nullifications: of the views between the parent's and this one, newest first, at most GAP_CERTIFICATES_MAX.
    """

    block: Block
    vote: Vote
    parent: QuorumCertificate | None
    nullifications: Annotated[tuple[QuorumCertificate, ...], Meta(max_length=GAP_CERTIFICATES_MAX)]


class Votes(Wire, tag=2):
    """The sender's own votes, and on repetition the certificate that admitted it to its view."""

    votes: Annotated[tuple[Vote, ...], Meta(min_length=1, max_length=VOTES_MAX)]
    admitted_by: QuorumCertificate | None = None


class Certificates(Wire, tag=3):
    """Quorum certificates, newly formed, repeated or asked for."""

    certificates: Annotated[tuple[QuorumCertificate, ...], Meta(min_length=1, max_length=CERTIFICATES_MAX)]


class Status(Wire, tag=4):
    """Where the sender is; sent at a steady pace, also when idle. Only the certificate in it moves anybody.

    Attributes:
        epoch, view, height: of the sender; claims.
        finalization: the newest of its epoch.
        asks: the receiver is to answer with its own.
    """

    epoch: Count
    view: Count
    height: Count
    finalization: QuorumCertificate | None
    asks: bool = False


class FetchBlock(Wire, tag=5):
    """Asks for the body of a block that is notarized and perhaps final."""

    epoch: Count
    height: Count
    digest: Hash


class FetchedBlock(Wire, tag=6):
    """Answers FetchBlock."""

    block: Block


class FetchCertificates(Wire, tag=7):
    """Asks for every certificate of the views from `first_view` to `last_view`; answered by Certificates."""

    epoch: Count
    first_view: Count
    last_view: Count


class FetchFinalized(Wire, tag=8):
    """Asks for finalized blocks of any epoch from `first_height` up, as many as the answerer likes to send."""

    first_height: Count


class FinalizedRange(Wire, tag=9):
    """Answers FetchFinalized with consecutive blocks; empty when the answerer has none of them."""

    first_height: Count
    blocks: Annotated[tuple[FinalizedBlock, ...], Meta(max_length=RANGE_BLOCKS_MAX)]


Message = (
    Propose
    | Votes
    | Certificates
    | Status
    | FetchBlock
    | FetchedBlock
    | FetchCertificates
    | FetchFinalized
    | FinalizedRange
)


def encode_message(message: Message) -> bytes:
    """The canonical bytes of a message."""
    return codec.encode(message)


def decode_message(data: bytes) -> Message:
    """Read one message.

    Raises:
        LimitExceeded: more than MESSAGE_SIZE_BYTES_MAX bytes.
        DecodeError: anything but the canonical encoding of one message within its bounds.
    """
    kind = cast("type[Message]", Message)
    return codec.decode(data, kind, size_bytes_max=MESSAGE_SIZE_BYTES_MAX, what="consensus message")
