"""The queue of deadlines: what has to be looked at again, and when.

Rule: a deadline falls into the first whole minute that is not before it, and is due once block time has
reached that minute; so it never fires early and is noticed at most a minute late. Nothing depends on that
minute: every contract compares block time with the record itself, and a deadline only makes the change of
state visible.

Finding the earliest minute takes five reads however many deadlines there are and however long the chain was
idle: `DEADLINE_INDEX` is a tree over the minute's five bytes, each node a bitmap of its 256 children, and
only minutes that hold something are in it. One minute's deadlines are a queue, so that many ending at once
cost no more each than one.
"""

from __future__ import annotations

from typing import Final

from contracts.state import (
    DEADLINE_BUCKETS,
    DEADLINE_INDEX,
    DEADLINES,
    Deadline,
    DeadlineBucket,
    DeadlineKind,
    Draft,
    StateReader,
    present,
)
from ledger.errors import invariant

MINUTE_MS: Final = 60_000
_MINUTE_SIZE_BYTES: Final = 5
_BITMAP_SIZE_BYTES: Final = 32


def schedule(draft: Draft, at_ms: int, kind: DeadlineKind, object_id: bytes) -> None:
    """Have the record looked at once block time reaches `at_ms`."""
    minute = -(-at_ms // MINUTE_MS)
    bucket = DEADLINE_BUCKETS.get(draft, minute)
    if bucket is None:
        _mark(draft, minute)
        bucket = DeadlineBucket(head=0, tail=0)
    DEADLINES.put(draft, (minute, bucket.tail), Deadline(kind=kind, object_id=object_id))
    DEADLINE_BUCKETS.put(draft, minute, DeadlineBucket(head=bucket.head, tail=bucket.tail + 1))


def due(state: StateReader, time_ms: int) -> bool:
    """Whether a `deadlines.tick` at block time `time_ms` would find something to do."""
    minute = _earliest(state)
    return minute is not None and minute * MINUTE_MS <= time_ms


def pop_due(draft: Draft, time_ms: int) -> Deadline | None:
    """Take the earliest deadline out if it is due at `time_ms`."""
    minute = _earliest(draft)
    if minute is None or minute * MINUTE_MS > time_ms:
        return None
    bucket = present(DEADLINE_BUCKETS.get(draft, minute), "the bucket of an indexed minute")
    deadline = present(DEADLINES.get(draft, (minute, bucket.head)), "an entry of a deadline bucket")
    DEADLINES.delete(draft, (minute, bucket.head))
    if bucket.head + 1 < bucket.tail:
        DEADLINE_BUCKETS.put(draft, minute, DeadlineBucket(head=bucket.head + 1, tail=bucket.tail))
    else:
        DEADLINE_BUCKETS.delete(draft, minute)
        _unmark(draft, minute)
    return deadline


def _bitmap(state: StateReader, path: bytes) -> int:
    return int.from_bytes(DEADLINE_INDEX.get(state, path) or b"", "big")


def _earliest(state: StateReader) -> int | None:
    path = b""
    while len(path) < _MINUTE_SIZE_BYTES:
        bitmap = _bitmap(state, path)
        if bitmap == 0:
            invariant(path == b"", "an empty node in the deadline index")
            return None
        path += bytes([(bitmap & -bitmap).bit_length() - 1])
    return int.from_bytes(path, "big")


def _mark(draft: Draft, minute: int) -> None:
    path = minute.to_bytes(_MINUTE_SIZE_BYTES, "big")
    for depth in reversed(range(_MINUTE_SIZE_BYTES)):
        bitmap = _bitmap(draft, path[:depth])
        marked = bitmap | 1 << path[depth]
        DEADLINE_INDEX.put(draft, path[:depth], marked.to_bytes(_BITMAP_SIZE_BYTES, "big"))
        if bitmap:
            return  # a node with a child is marked in its parent already


def _unmark(draft: Draft, minute: int) -> None:
    path = minute.to_bytes(_MINUTE_SIZE_BYTES, "big")
    for depth in reversed(range(_MINUTE_SIZE_BYTES)):
        rest = _bitmap(draft, path[:depth]) & ~(1 << path[depth])
        if rest:
            DEADLINE_INDEX.put(draft, path[:depth], rest.to_bytes(_BITMAP_SIZE_BYTES, "big"))
            return
        DEADLINE_INDEX.delete(draft, path[:depth])
