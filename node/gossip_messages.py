"""What nodes say to each other about transactions: a tagged union of strict, bounded structs.

Rule: whatever decodes here re-encodes to the same bytes, and every list has a named bound. A decoded message is well-formed,
never yet believed: the transactions in it are decoded and checked one by one where they are taken in.
"""

from __future__ import annotations

from typing import Annotated, Final, cast

from msgspec import Meta

from ledger import codec
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Hash, Wire

# Transactions in one Push, however small they are.
PUSH_TRANSACTIONS_MAX: Final = 1024
# A Push takes no further transaction past this; one transaction of the largest size always fits.
PUSH_SIZE_BYTES: Final = 128 * 1024
# Ids in one Offer, and in each list of an Answer.
IDS_MAX: Final = 1024
# A full Push and its framing; the peer network's bound for its channel is no smaller.
MESSAGE_SIZE_BYTES_MAX: Final = PUSH_SIZE_BYTES + 8 * 1024

Encoded = Annotated[bytes, Meta(min_length=1, max_length=TRANSACTION_SIZE_BYTES_MAX)]
Ids = Annotated[tuple[Hash, ...], Meta(max_length=IDS_MAX)]


class Push(Wire, tag=1):
    """Transactions, each in its canonical encoding."""

    transactions: Annotated[tuple[Encoded, ...], Meta(min_length=1, max_length=PUSH_TRANSACTIONS_MAX)]


class Offer(Wire, tag=2):
    """Ids of transactions that the sender carries."""

    ids: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=IDS_MAX)]


class Answer(Wire, tag=3):
    """Answers an Offer, and asks again by itself when what was not admissible may have become so.

    Attributes:
        settled: of these the sender needs no more: it carries them, or they are decided there.
        wanted: these it asks for. Offered ids in neither list it cannot take now; they should be offered again.
    """

    settled: Ids
    wanted: Ids


Message = Push | Offer | Answer


def encode(message: Message) -> bytes:
    """The bytes that go to a peer."""
    return codec.encode(message)


def decode(data: bytes) -> Message:
    """Read what a peer sent.

    Raises:
        LimitExceeded: more than MESSAGE_SIZE_BYTES_MAX bytes.
        DecodeError: not exactly one canonical message within its bounds.
    """
    kind = cast("type[Message]", Message)
    return codec.decode(data, kind, size_bytes_max=MESSAGE_SIZE_BYTES_MAX, what="gossip message")
