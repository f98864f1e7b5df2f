"""The journal: an append-only log that holds what must be durable before a message leaves.

Layout. Segment files `journal-00000001.seg`, each a header and batches. A batch is what one sync makes durable:

    header   magic 8 ‖ version 1 ‖ flags 1 ‖ first batch number 8 ‖ salt 16 ‖ checksum 16
    batch    magic 4 ‖ length 4 ‖ batch number 8 ‖ checksum 16 ‖ payload
    payload  for each record: length 4 ‖ canonical encoding

All integers are big-endian. A checksum is BLAKE2b keyed with the segment's salt, so that nothing a client puts into a
transaction can look like a batch. Behind the last batch a segment may be filled with zeros.

Rule: one batch is written at a time, so after a crash only the last may be torn. Bytes that are no batch are a torn tail if no good
batch follows, and damage otherwise: then the journal refuses to open, because a vote may be lost. Batches are numbered
without gaps over all segments, so a missing segment is noticed too. A journal that was made anew for a node that had
one before is marked “follow only” in every segment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol, cast

from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from ledger import codec
from ledger.errors import LedgerError, StorageDamaged, invariant
from ledger.types import BLOCK_SIZE_BYTES_MAX

SEGMENT_SIZE_BYTES: Final = 16 * 1024 * 1024
RECORD_SIZE_BYTES_MAX: Final = BLOCK_SIZE_BYTES_MAX + 4 * 1024 * 1024
BATCH_SIZE_BYTES_MAX: Final = 256 * 1024 * 1024

_SEGMENT_MAGIC: Final = b"ZLJRNL\r\n"
_BATCH_MAGIC: Final = b"ZLJB"
_VERSION: Final = 1
_FOLLOW_ONLY: Final = 1
_SALT_SIZE_BYTES: Final = 16
_CHECKSUM_SIZE_BYTES: Final = 16
_SEGMENT_HEADER_SIZE_BYTES: Final = 8 + 1 + 1 + 8 + _SALT_SIZE_BYTES + _CHECKSUM_SIZE_BYTES
_BATCH_HEADER_SIZE_BYTES: Final = 4 + 4 + 8 + _CHECKSUM_SIZE_BYTES


class JournalDisk(Protocol):
    """The files of one journal. Errors of the operating system pass through as OSError."""

    def names(self) -> list[str]:
        """Every segment file."""
        ...

    def read(self, name: str) -> bytes: ...

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


@dataclass(slots=True)
class _Segment:
    """A file, and the highest height and view of what it holds, so that it can be pruned."""

    name: str
    salt: bytes
    end_bytes: int
    height_max: int = 0
    view_max: int = 0

    def note(self, record: Record) -> None:
        match record:
            case BlockRecord(block=block):
                self.height_max = max(self.height_max, block.header.height)
                self.view_max = max(self.view_max, block.header.view)
            case VoteRecord(vote=vote):
                self.view_max = max(self.view_max, vote.view)
            case CertificateRecord(certificate=certificate) | FinalizationRecord(certificate=certificate):
                self.view_max = max(self.view_max, certificate.view)


def segment_name(number: int) -> str:
    return f"journal-{number:08d}.seg"


def _segment_number(name: str) -> int:
    try:
        return int(name.removeprefix("journal-").removesuffix(".seg"))
    except ValueError:
        raise StorageDamaged(what="journal", reason=f"unexpected file {name}") from None


def _checksum(salt: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_SIZE_BYTES, key=salt).digest()


class Journal:
    """Append records, then sync them in batches.

    Attributes:
        follow_only: the node lost its votes once and must not vote.
        records: what was replayed; taken once with `take_records`.
        torn_bytes: size of the torn tail that was cut off when it was opened.
    """

    def __init__(self, disk: JournalDisk, *, segment_size_bytes: int = SEGMENT_SIZE_BYTES) -> None:
        self._disk = disk
        self._segment_size_bytes = segment_size_bytes
        self._segments: list[_Segment] = []
        self._pending: list[bytes] = []
        self._noted: list[Record] = []
        self._records: list[Record] = []
        self._next_batch = 1
        self._next_segment = 1
        self._writing = False
        self.appended = 0
        self.follow_only = False
        self.torn_bytes = 0

    @classmethod
    def create(
        cls, disk: JournalDisk, *, follow_only: bool, segment_size_bytes: int = SEGMENT_SIZE_BYTES
    ) -> Journal:
        """Begin a journal where there is none.

        Args:
            disk: without segments.
            follow_only: True if this node may have voted before.
            segment_size_bytes: size at which a new segment is begun.
        """
        journal = cls(disk, segment_size_bytes=segment_size_bytes)
        invariant(not disk.names(), "a journal is created over another")
        journal.follow_only = follow_only
        journal._begin_segment()
        return journal

    @classmethod
    def open(cls, disk: JournalDisk, *, segment_size_bytes: int = SEGMENT_SIZE_BYTES) -> Journal:
        """Replay an existing journal.

        Raises:
            StorageDamaged: something other than the last batch is not as it was written, or a segment is missing.
        """
        journal = cls(disk, segment_size_bytes=segment_size_bytes)
        journal._replay()
        return journal

    def take_records(self) -> list[Record]:
        """What replay found, in order; once."""
        records, self._records = self._records, []
        return records

    # --- writing ----------------------------------------------------------------------------------------------------

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
        segment = self._segments[-1]
        if (
            segment.end_bytes + len(payload) > self._segment_size_bytes
            and segment.end_bytes > _SEGMENT_HEADER_SIZE_BYTES
        ):
            segment = self._begin_segment()
        number = self._next_batch.to_bytes(8, "big")
        length = len(payload).to_bytes(4, "big")
        data = _BATCH_MAGIC + length + number + _checksum(segment.salt, length + number + payload) + payload
        self._disk.write(segment.name, segment.end_bytes, data)
        self._disk.sync(segment.name)
        segment.end_bytes += len(data)
        for record in records:
            segment.note(record)
        self._next_batch += 1
        self._writing = False

    def _begin_segment(self) -> _Segment:
        salt = self._disk.random(_SALT_SIZE_BYTES)
        flags = _FOLLOW_ONLY if self.follow_only else 0
        head = _SEGMENT_MAGIC + bytes([_VERSION, flags]) + self._next_batch.to_bytes(8, "big") + salt
        segment = _Segment(
            name=segment_name(self._next_segment), salt=salt, end_bytes=_SEGMENT_HEADER_SIZE_BYTES
        )
        self._disk.create(segment.name, head + _checksum(salt, head), self._segment_size_bytes)
        self._next_segment += 1
        self._segments.append(segment)
        return segment

    def prune(self, *, height: int, view: int) -> int:
        """Remove the oldest segments that hold nothing above both.

        Args:
            height: the store's durable height.
            view: view of a Finalization that the store has for a block at or below it.

        Returns:
            How many segments were removed.
        """
        removed = 0
        while not self._writing and len(self._segments) > 1:
            oldest = self._segments[0]
            if oldest.height_max > height or oldest.view_max > view:
                break
            self._disk.remove(oldest.name)
            del self._segments[0]
            removed += 1
        return removed

    # --- replaying --------------------------------------------------------------------------------------------------

    def _replay(self) -> None:
        names = sorted(self._disk.names(), key=_segment_number)
        if not names:
            raise StorageDamaged(what="journal", reason="there are no segments")
        for index, name in enumerate(names):
            number = _segment_number(name)
            if index and number != self._next_segment:
                raise StorageDamaged(what="journal", reason=f"segment {self._next_segment} is missing")
            self._next_segment = number + 1
            self._replay_segment(name, last=index == len(names) - 1)
        invariant(bool(self._segments), "a journal without segments")

    def _replay_segment(self, name: str, *, last: bool) -> None:
        data = self._disk.read(name)
        head, checksum = (
            data[: _SEGMENT_HEADER_SIZE_BYTES - _CHECKSUM_SIZE_BYTES],
            data[_SEGMENT_HEADER_SIZE_BYTES - _CHECKSUM_SIZE_BYTES : _SEGMENT_HEADER_SIZE_BYTES],
        )
        salt = head[-_SALT_SIZE_BYTES:]
        good = len(checksum) == _CHECKSUM_SIZE_BYTES and checksum == _checksum(salt, head)
        if not good or head[:8] != _SEGMENT_MAGIC or head[8] != _VERSION:
            if last and self._segments and len(data.rstrip(b"\0")) <= _SEGMENT_HEADER_SIZE_BYTES:
                self._disk.remove(name)
                self._next_segment -= 1
                return
            raise StorageDamaged(what="journal", reason=f"{name} has no good header")
        first = int.from_bytes(head[10:18], "big")
        if not self._segments:
            self._next_batch = first
            self.follow_only = bool(head[9] & _FOLLOW_ONLY)
        elif first != self._next_batch:
            raise StorageDamaged(
                what="journal", reason=f"{name} begins with batch {first}, not {self._next_batch}"
            )
        segment = _Segment(name=name, salt=salt, end_bytes=_SEGMENT_HEADER_SIZE_BYTES)
        self._segments.append(segment)
        self._replay_batches(segment, data, last=last)

    def _replay_batches(self, segment: _Segment, data: bytes, *, last: bool) -> None:
        while (found := self._batch_at(segment, data, segment.end_bytes, self._next_batch)) is not None:
            self._replay_records(segment, found)
            segment.end_bytes += _BATCH_HEADER_SIZE_BYTES + len(found)
            self._next_batch += 1
        rest = len(data[segment.end_bytes :].rstrip(b"\0"))
        if not rest:
            return
        if not last or self._good_batch_after(segment, data):
            raise StorageDamaged(what="journal", reason=f"{segment.name} at byte {segment.end_bytes}")
        self.torn_bytes = rest
        self._disk.write(segment.name, segment.end_bytes, bytes(rest))
        self._disk.sync(segment.name)

    def _batch_at(self, segment: _Segment, data: bytes, at: int, number: int | None) -> bytes | None:
        """Payload of a good batch that begins there, with that number (None: any later one)."""
        start = at + _BATCH_HEADER_SIZE_BYTES
        if data[at : at + 4] != _BATCH_MAGIC or start > len(data):
            return None
        length, found = (
            int.from_bytes(data[at + 4 : at + 8], "big"),
            int.from_bytes(data[at + 8 : at + 16], "big"),
        )
        payload = data[start : start + length]
        if len(payload) != length or (found != number if number is not None else found < self._next_batch):
            return None
        return (
            payload
            if _checksum(segment.salt, data[at + 4 : at + 16] + payload) == data[at + 16 : start]
            else None
        )

    def _good_batch_after(self, segment: _Segment, data: bytes) -> bool:
        at = data.find(_BATCH_MAGIC, segment.end_bytes + 1)
        while at >= 0:
            if self._batch_at(segment, data, at, None) is not None:
                return True
            at = data.find(_BATCH_MAGIC, at + 1)
        return False

    def _replay_records(self, segment: _Segment, payload: bytes) -> None:
        at = 0
        while at < len(payload):
            length = int.from_bytes(payload[at : at + 4], "big")
            data = payload[at + 4 : at + 4 + length]
            try:
                record = codec.decode(
                    data, cast("type[Record]", Record), size_bytes_max=RECORD_SIZE_BYTES_MAX
                )
            except LedgerError as error:
                raise StorageDamaged(what="journal", reason=f"{segment.name}: {error}") from None
            segment.note(record)
            self._records.append(record)
            at += 4 + length


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
