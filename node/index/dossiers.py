"""What the index knows of each account's own affairs: entries of its data, and what it is told (notices).

Rule: derived from finalized blocks alone, so it can be deleted and comes back. An entry or notice of an access that is not to be
known yet carries the block time from which it is; whoever reads asks as of a block time and finds nothing earlier.

A notice's *position* orders all notices: height of the block with which it was told, then its number there. What was kept back is
told with the first block of its time, so that nobody who reads on from a position misses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger.errors import invariant
from node.index.ports import CURSOR_MAX, IndexedEvent

_NUMBER_BITS: Final = 24
TOLD_PER_BLOCK_MAX: Final = 1 << _NUMBER_BITS
POSITION_MAX: Final = CURSOR_MAX
ENDS_SOON: Final = "grants.ends_soon"


def position_of(height: int, number: int) -> int:
    """Position of the notice with that number among those told with a block."""
    position = height << _NUMBER_BITS | number
    invariant(
        0 <= number < TOLD_PER_BLOCK_MAX and 0 <= position <= POSITION_MAX, "a notice's position is too high"
    )
    return position


class Section(StrEnum):
    """Parts of an account's own data."""

    CERTIFICATES = "certificates"
    GRANTS = "grants"
    ACCESSES = "accesses"
    REQUESTS = "requests"
    REPRESENTATIONS = "representations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something of an account's own data.

    Attributes:
        account: whose.
        key: what it is: id of the record, or for a refused attempt the place of its event.
        cursor: of the event that made it.
        kind: of that event.
        grant_id: grant under which it happened, or empty.
        shown_from_ms: from which block time on the account may know of it; 0 for always.
        open: for `Section.REQUESTS`: whether it still waits for the account; what does not is taken out.
    """

    account: bytes
    section: Section
    key: bytes
    cursor: int
    kind: str
    grant_id: bytes = b""
    shown_from_ms: int = 0
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """That an account is told of something, with this block or from a later time on.

    Attributes:
        cursor: of the event.
        kind: of the event, or what is told for a time of its own (`ENDS_SOON`).
        from_ms: block time from which on it is told.
    """

    account: bytes
    cursor: int
    kind: str
    object_id: bytes
    grant_id: bytes = b""
    from_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTimes:
    """What a grant's record says now, for what waits on its account.

    Attributes:
        grantee: to whom nothing of it is kept back.
        shown_from_ms: as now in force; an approver may have put it off.
        ending: what is told shortly before its end, or None where it will not end so.
    """

    grant_id: bytes
    grantee: bytes
    shown_from_ms: int
    ending: Told | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockConcerns:
    """What one block means for the accounts that it concerns."""

    entries: tuple[Entry, ...] = ()
    told: tuple[Told, ...] = ()
    grants: tuple[GrantTimes, ...] = ()


NOTHING: Final = BlockConcerns()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEntry:
    """An entry as it is read: with the event that made it."""

    cursor: int
    key: bytes
    grant_id: bytes
    event: IndexedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNotice:
    """A notice as it is read.

    Attributes:
        position: where it stands among all notices.
        time_ms: block time with which it was told.
        event: what it is about; None where this node tells something of its own.
    """

    position: int
    account: bytes
    kind: str
    object_id: bytes
    time_ms: int
    event: IndexedEvent | None
