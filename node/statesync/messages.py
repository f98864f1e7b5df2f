"""What nodes say to each other about snapshots: three questions, each with one answer.

Rule: every answer fits one frame of its channel, and says nothing that cannot be checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger import codec
from ledger.snapshot import MANIFEST_PATH_HEADERS_MAX, PIECE_SIZE_BYTES_MAX, SnapshotManifest
from ledger.types import Count, EpochChange, Hash, Header, QuorumCertificate, Wire

# An answer, within `network.frames.SNAPSHOT_BYTES_MAX`.
MESSAGE_SIZE_BYTES_MAX: Final = 1280 * 1024
REQUEST_SIZE_BYTES_MAX: Final = 256
CHANGES_PER_ANSWER_MAX: Final = 64
# No further change is added to an answer of this size.
CHANGES_SIZE_BYTES: Final = 64 * 1024

PeerRequest = Callable[[bytes, bytes, float], Awaitable[bytes]]
"""(peer, payload, time-out in seconds) -> answer; raises LedgerError."""


class GetProgress(Wire, tag="get_progress"):
    """How did the epochs from this one on end, and how far are you?"""

    from_epoch: Count


class CertifiedHead(Wire):
    """A header with the proof that its block is final."""

    header: Header
    path: Annotated[tuple[Header, ...], Meta(max_length=MANIFEST_PATH_HEADERS_MAX)]
    certificate: QuorumCertificate


class Progress(Wire, tag="progress"):
    """Consecutive epoch changes, and more may follow; when there are none, the newest head.

    Without changes and head the node is at genesis.
    """

    changes: Annotated[tuple[EpochChange, ...], Meta(max_length=CHANGES_PER_ANSWER_MAX)]
    head: CertifiedHead | None


class GetOffer(Wire, tag="get_offer"):
    """Which snapshot do you have?"""


class Offer(Wire, tag="offer"):
    """The newest one, if there is one, and whether another is being made now."""

    manifest: SnapshotManifest | None
    making: bool


class GetPiece(Wire, tag="get_piece"):
    """Send me a piece of the snapshot with this id."""

    snapshot: Hash
    index: Count


class Piece(Wire, tag="piece"):
    """It."""

    data: Annotated[bytes, Meta(max_length=PIECE_SIZE_BYTES_MAX)]


def decode_request(payload: bytes) -> GetProgress | GetOffer | GetPiece:
    """Read a peer's question.

    Raises:
        DecodeError: it is none. LimitExceeded: it is too long.
    """
    kinds: Any = GetProgress | GetOffer | GetPiece
    message: GetProgress | GetOffer | GetPiece = codec.decode(
        payload, kinds, size_bytes_max=REQUEST_SIZE_BYTES_MAX, what="snapshot request"
    )
    return message
