"""The journal: an append-only log that holds what must be durable before a message leaves.

Rule: nothing that was made durable is forgotten unnoticed. Records are synced in batches (`journal_format`); what is read back is
judged by `journal_replay`, against an end mark outside the segments that is written now and then, never before what it names is
durable, and once more when the node stops in good order. A vote key that may have voted for what this journal does not know is
named in every segment from then on: it is silenced, and only another key may vote with this journal.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Protocol

from consensus.core.records import Record
from consensus.journal_format import (
    END_FILE,
    END_SLOT_SIZE_BYTES,
    END_SLOTS,
    SALT_SIZE_BYTES,
    SEGMENT_HEADER_SIZE_BYTES,
    SILENCED_KEY_SIZE_BYTES_MAX,
    SILENCED_KEY_SIZE_BYTES_MIN,
    EndMark,
    SegmentHeader,
    encode_batch,
    segment_name,
)
from consensus.journal_replay import RECORD_SIZE_BYTES_MAX, ReadableDisk, Segment, is_journal, replay
from ledger import codec
from ledger.errors import invariant

__all__ = ["Batch", "Journal", "JournalDisk", "is_journal", "segment_name"]

SEGMENT_SIZE_BYTES: Final = 16 * 1024 * 1024
BATCH_SIZE_BYTES_MAX: Final = 256 * 1024 * 1024


class JournalDisk(ReadableDisk, Protocol):
    """The files of one journal. Errors of the operating system pass through as OSError."""

    def create(self, name: str, content: bytes, size_bytes: int) -> None:
        """Make a file that begins with `content` and is filled with zeros, or made to grow, up to `size_bytes`; durably."""
        ...

    def write(self, name: str, offset_bytes: int, data: bytes) -> None: ...

    def sync(self, name: str) -> None:
        """Make everything written to the file durable."""
        ...

    def remove(self, name: str) -> None: ...

    def random(self, size_bytes: int) -> bytes:
        """Salt for a new segment; unpredictable to clients."""
        ...


class Journal:
    """Append records, then sync them in batches.

    One thread appends, prunes and silences; a batch may be written, and the end marked, in other threads meanwhile.

    Attributes:
        silenced: public vote key that must never vote with this journal; None when there is none.
        torn_bytes: size of the torn tail that was cut off when it was opened.
        appended: sequence number of the newest record since opening.
    """

    def __init__(self, disk: JournalDisk, *, segment_size_bytes: int) -> None:
        self._disk = disk
        self._segment_size_bytes = segment_size_bytes
        self._segments: list[Segment] = []
        self._pending: list[bytes] = []
        self._noted: list[Record] = []
        self._records: list[Record] = []
        self._next_batch = 1
        self._writing = False
        self._write_lock = threading.Lock()
        self._mark_lock = threading.Lock()
        self._mark = EndMark()
        self._durable = EndMark()
        self.appended = 0
        self.silenced: bytes | None = None
        self.torn_bytes = 0

    @classmethod
    def create(
        cls, disk: JournalDisk, *, silenced: bytes | None, segment_size_bytes: int = SEGMENT_SIZE_BYTES
    ) -> Journal:
        """Begin a journal where there is none.

        Args:
            disk: without segments.
            silenced: the public vote key, if it may have voted before.
            segment_size_bytes: size at which a new segment is begun.
        """
        invariant(not is_journal(disk), "a journal is created over another")
        journal = cls(disk, segment_size_bytes=segment_size_bytes)
        journal.silenced = _checked(silenced)
        # The mark comes first: segments without one are damage, a mark without segments is a creation cut short.
        content = bytes(journal._mark.slot_at_bytes) + journal._mark.encode()
        disk.create(END_FILE, content, END_SLOTS * END_SLOT_SIZE_BYTES)
        journal._begin_segment(1)
        return journal

    @classmethod
    def open(cls, disk: JournalDisk, *, segment_size_bytes: int = SEGMENT_SIZE_BYTES) -> Journal:
        """Replay an existing journal, and clear up what a crash left behind its end.

        Raises:
            StorageDamaged: it is not as it was written, or does not reach as far as it did.
        """
        found = replay(disk)
        journal = cls(disk, segment_size_bytes=segment_size_bytes)
        journal._segments = found.segments
        journal._records = found.records
        journal._next_batch = found.last_batch + 1
        journal._mark = found.mark
        journal.silenced = found.silenced
        journal.torn_bytes = found.torn_bytes
        if found.torn_segment is not None:
            disk.remove(found.torn_segment)
        newest = found.segments[-1]
        if found.torn_bytes:
            disk.write(newest.name, newest.end_bytes, bytes(found.torn_bytes))
            disk.sync(newest.name)
        journal._durable = EndMark(
            oldest=found.segments[0].number,
            newest=newest.number,
            batch=found.last_batch,
            checksum=found.last_checksum or found.mark.checksum,
        )
        # A mark of a clean stop must not outlive what is written next.
        journal.mark()
        return journal

    def take_records(self) -> list[Record]:
        """What replay found, in order; once."""
        records, self._records = self._records, []
        return records

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, record: Record) -> int:
        """Queue a record for the next sync; returns its sequence number since opening, from 1."""
        data = codec.encode(record)
        invariant(len(data) <= RECORD_SIZE_BYTES_MAX, "a journal record is larger than its bound")
        self._pending.append(len(data).to_bytes(4, "big") + data)
        self._noted.append(record)
        self.appended += 1
        return self.appended

    def take_batch(self) -> Batch | None:
        """Everything appended since the last batch, for one write; None when there is nothing."""
        if not self._pending:
            return None
        invariant(not self._writing, "two journal batches at a time")
        self._writing = True
        payload = b"".join(self._pending)
        invariant(len(payload) <= BATCH_SIZE_BYTES_MAX, "a journal batch is larger than its bound")
        batch = Batch(journal=self, payload=payload, records=self._noted, sequence=self.appended)
        self._pending, self._noted = [], []
        return batch

    def sync(self) -> None:
        """Write and sync whatever is queued; blocks."""
        batch = self.take_batch()
        if batch is not None:
            batch.write()

    def _write(self, payload: bytes, records: list[Record]) -> None:
        with self._write_lock:
            segment = self._segments[-1]
            full = segment.end_bytes + len(payload) > self._segment_size_bytes
            if full and segment.end_bytes > SEGMENT_HEADER_SIZE_BYTES:
                segment = self._begin_segment(segment.number + 1)
            data, checksum = encode_batch(segment.salt, self._next_batch, payload)
            self._disk.write(segment.name, segment.end_bytes, data)
            self._disk.sync(segment.name)
            segment.end_bytes += len(data)
            for record in records:
                segment.note(record)
            self._reached(batch=self._next_batch, checksum=checksum)
            self._next_batch += 1
            self._writing = False

    def _begin_segment(self, number: int) -> Segment:
        salt = self._disk.random(SALT_SIZE_BYTES)
        segment = Segment(segment_name(number), salt)
        header = SegmentHeader(first_batch=self._next_batch, salt=salt, silenced=self.silenced)
        self._disk.create(segment.name, header.encode(), self._segment_size_bytes)
        self._segments.append(segment)
        self._reached(batch=self._durable.batch, checksum=self._durable.checksum)
        return segment

    def _reached(self, *, batch: int, checksum: bytes) -> None:
        """Note what is durable now, for the next mark."""
        self._durable = EndMark(
            oldest=self._segments[0].number,
            newest=self._segments[-1].number,
            batch=batch,
            checksum=checksum,
        )

    def silence(self, key: bytes) -> None:
        """Never let a vote key vote with this journal again; durable when this returns.

        Args:
            key: the public vote key, 32 … 96 bytes; takes the place of one that was silenced before.

        Raises:
            OSError: the disk failed, and the journal must not be used any more.
        """
        if key == self.silenced:
            return
        with self._write_lock:
            self.silenced = _checked(key)
            self._begin_segment(self._segments[-1].number + 1)
        self.mark()

    def prune(self, *, height: int, epoch: int, view: int) -> int:
        """Remove the oldest segments that hold nothing above all of these.

        Args:
            height: the store's durable height.
            epoch, view: of a Finalization that the store has for a block at or below it.

        Returns:
            How many segments were removed.
        """
        if self._writing:
            return 0
        covered = 0
        for segment in self._segments[:-1]:
            if segment.height_max > height or segment.position_max > (epoch, view):
                break
            covered += 1
        if covered:
            removed, self._segments = self._segments[:covered], self._segments[covered:]
            self._reached(batch=self._durable.batch, checksum=self._durable.checksum)
            # The mark names the oldest segment that is needed before the others go, so that no other loss passes for pruning.
            self.mark()
            for segment in removed:
                self._disk.remove(segment.name)
        return covered

    # --- the end mark -------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Note durably how far the journal reaches, if it has grown since the last mark; blocks for one sync.

        May be called in any thread, at most some ten times a second: every mark is a sync beside those of the batches.

        Raises:
            OSError: it could not be written; the mark before still holds.
        """
        self._write_mark(clean=False)

    def close(self) -> None:
        """Note that the node stops in good order; nothing may be appended afterwards.

        A batch that is still being written, or whose write failed, makes it a stop like any crash.

        Raises:
            OSError: as for `mark`.
        """
        self._write_mark(clean=not self._writing)

    def _write_mark(self, *, clean: bool) -> None:
        with self._mark_lock:
            durable = self._durable
            wanted = EndMark(
                oldest=durable.oldest,
                newest=durable.newest,
                batch=durable.batch,
                checksum=durable.checksum,
                clean=clean,
            ).after(self._mark)
            if wanted.says_the_same(self._mark):
                return
            self._disk.write(END_FILE, wanted.slot_at_bytes, wanted.encode())
            self._disk.sync(END_FILE)
            self._mark = wanted


def _checked(key: bytes | None) -> bytes | None:
    sizes = range(SILENCED_KEY_SIZE_BYTES_MIN, SILENCED_KEY_SIZE_BYTES_MAX + 1)
    invariant(key is None or len(key) in sizes, "a silenced key of another size")
    return key


@dataclass(slots=True, kw_only=True)
class Batch:
    """Records on their way to the disk; `write` may run in another thread while more are appended.

    Attributes:
        sequence: number of its last record.
    """

    journal: Journal
    payload: bytes
    records: list[Record]
    sequence: int

    def write(self) -> None:
        """Write and sync; blocks. After an OSError the journal must not be used any more."""
        self.journal._write(self.payload, self.records)
