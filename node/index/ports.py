"""What an audit index offers; SQLite is one implementation (`sqlite.py`), a database server may be another.

Rule: a cursor is computed from where the event is on the chain, so it is the same at every node and after a
rebuild.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ledger.errors import invariant
from ledger.types import BLOCK_TRANSACTIONS_MAX, RESULT_EVENTS_MAX, Header, Result, Transaction

if TYPE_CHECKING:
    from node.index.dossiers import BlockConcerns, FoundEntry, FoundNotice, Section

INDEX_PAGE_MAX: Final = 1000
CURSOR_MAX: Final = 2**63 - 1

_EVENT_BITS: Final = (RESULT_EVENTS_MAX - 1).bit_length()
_TRANSACTION_BITS: Final = (BLOCK_TRANSACTIONS_MAX - 1).bit_length()
HEIGHT_MAX: Final = CURSOR_MAX >> (_EVENT_BITS + _TRANSACTION_BITS)


def cursor_of(height: int, transaction: int, event: int) -> int:
    """The place of an event on the chain as one ordered integer.

    Args:
        height: of the block, 0 to `HEIGHT_MAX`.
        transaction: index in the block.
        event: index in the transaction's result.
    """
    invariant(
        0 <= height <= HEIGHT_MAX
        and 0 <= transaction < BLOCK_TRANSACTIONS_MAX
        and 0 <= event < RESULT_EVENTS_MAX,
        "an event's place is beyond the protocol's bounds",
    )
    return ((height << _TRANSACTION_BITS | transaction) << _EVENT_BITS) | event


def place_of(cursor: int) -> tuple[int, int, int]:
    """Height, transaction and event that a cursor stands for."""
    transaction = cursor >> _EVENT_BITS
    return (
        transaction >> _TRANSACTION_BITS,
        transaction & ((1 << _TRANSACTION_BITS) - 1),
        cursor & ((1 << _EVENT_BITS) - 1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """A finalized block as the index takes it: one result for each transaction, same order, and what it means for whom."""

    header: Header
    transactions: tuple[Transaction, ...]
    results: tuple[Result, ...]
    concerns: BlockConcerns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedEvent:
    """An event with where, when and by whom. `account` and `key_id` acted; `code` is the result's."""

    cursor: int
    kind: str
    object_id: bytes
    subjects: tuple[bytes, ...]
    data: tuple[tuple[str, str | int], ...]
    height: int
    time_ms: int
    transaction_id: bytes
    account: bytes
    key_id: bytes
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedObject:
    """The object of an event, and the event's cursor."""

    cursor: int
    object_id: bytes


class Index(Protocol):
    """Ordered by cursor; `after` is exclusive and, with `newest_first`, means before."""

    @property
    def height(self) -> int:
        """Height of the last block applied; `first_height` − 1 when none is."""
        ...

    @property
    def first_height(self) -> int:
        """Height from which on it knows everything: 1, unless it began with a later block."""
        ...

    async def begin(self, first_height: int) -> None:
        """Forget everything; the next block applied is the one of that height."""
        ...

    async def apply(self, blocks: Sequence[BlockFacts]) -> None:
        """Add the next blocks, all or none, durably. The first must be at `height + 1`."""
        ...

    async def events(
        self,
        *,
        subject: bytes | None = None,
        kind_prefix: str = "",
        after: int | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> tuple[IndexedEvent, ...]:
        """Events that concern `subject` (object, subject or acting account), of kinds with that prefix.

        Raises:
            Busy: too many queries are waiting.
        """
        ...

    async def objects(
        self,
        kind: str,
        *,
        subject: bytes | None = None,
        after: int | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> tuple[IndexedObject, ...]:
        """Objects of the events of exactly one kind, e.g. certificates by "certificates.issued"."""
        ...

    async def entries(
        self, account: bytes, section: Section, *, at_ms: int, after: int | None = None, limit: int
    ) -> tuple[FoundEntry, ...]:
        """A section of an account's own data, newest first, as the account may know it at block time `at_ms`."""
        ...

    async def entry(self, account: bytes, section: Section, key: bytes, *, at_ms: int) -> FoundEntry | None:
        """One entry, if the account may know of it at block time `at_ms`."""
        ...

    async def entry_counts(self, account: bytes, *, at_ms: int) -> Mapping[Section, int]:
        """How many entries each section has at block time `at_ms`."""
        ...

    async def notices(
        self, account: bytes | None, *, after: int | None = None, limit: int, newest_first: bool = False
    ) -> tuple[FoundNotice, ...]:
        """What an account, or everybody, was told, by position; `after` is exclusive."""
        ...

    async def notice_count(self, account: bytes, *, after: int) -> int:
        """How many notices an account has behind a position."""
        ...

    async def add_notice(self, account: bytes, kind: str, object_id: bytes, time_ms: int) -> None:
        """Tell an account something of this node's own; it is gone when the index is rebuilt."""
        ...

    async def wait_height(self, height: int, timeout_s: float) -> bool:
        """Wait until block `height` is applied; False when the time is over first."""
        ...

    async def close(self) -> None: ...
