"""Reading a journal and judging whether it is whole; changes nothing.

Rule: one batch is written at a time, so after a crash only the last may be torn. Bytes that are no batch are a torn tail if no
good batch follows them and the end mark does not count them as durable; everything else that is not as it was written is damage,
because a vote may be lost. Batches and segments are numbered without gaps, so a missing one is noticed; that none is missing
before the first one found is what the end mark says.

What remains: a journal whose last batches are cut off behind the newest mark, by something other than a crash and without a clean
stop, looks like one with a torn tail; one that is put back from a backup together with its mark looks whole. Neither can be told
from the folder alone. Consensus has a second line of defence: a validator that finds its signature in a certificate and does not
remember the vote silences its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol, cast

from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.journal_format import (
    END_FILE,
    SEGMENT_HEADER_SIZE_BYTES,
    EndMark,
    FoundBatch,
    SegmentHeader,
    batch_at,
    batch_tag,
    decode_end_mark,
    decode_segment_header,
    segment_name,
    segment_number,
    written_by_another_release,
)
from ledger import codec
from ledger.errors import LedgerError, StorageDamaged
from ledger.types import BLOCK_SIZE_BYTES_MAX

RECORD_SIZE_BYTES_MAX: Final = BLOCK_SIZE_BYTES_MAX + 4 * 1024 * 1024


class ReadableDisk(Protocol):
    """Where a journal is read from. Errors of the operating system pass through as OSError."""

    def names(self) -> list[str]:
        """Every file: the segments, and the end mark once there is one."""
        ...

    def read(self, name: str) -> bytes: ...


@dataclass(slots=True)
class Segment:
    """A file, and the newest of what it holds, so that it can be pruned.

    Attributes:
        end_bytes: where its batches end.
        height_max: of its blocks.
        position_max: (epoch, view) of its records; views begin at 1 again in every epoch.
    """

    name: str
    salt: bytes
    end_bytes: int = SEGMENT_HEADER_SIZE_BYTES
    height_max: int = 0
    position_max: tuple[int, int] = (0, 0)

    @property
    def number(self) -> int:
        return segment_number(self.name)

    def note(self, record: Record) -> None:
        match record:
            case BlockRecord(block=block):
                self.height_max = max(self.height_max, block.header.height)
                self._note_position(block.header.epoch, block.header.view)
            case VoteRecord(vote=vote):
                self._note_position(vote.epoch, vote.view)
            case CertificateRecord(certificate=certificate) | FinalizationRecord(certificate=certificate):
                self._note_position(certificate.epoch, certificate.view)

    def _note_position(self, epoch: int, view: int) -> None:
        self.position_max = max(self.position_max, (epoch, view))


@dataclass(slots=True)
class Replayed:
    """What a journal holds, and what a crash left to be cleared up.

    Attributes:
        mark: the end mark.
        segments: oldest first, at least one.
        records: all of them, in order.
        last_batch: number of the last good batch; 0 when there never was one.
        last_checksum: its checksum, or None when the segment that held it has been removed.
        silenced: what the newest segment says.
        torn_bytes: size of the torn tail of the newest segment.
        torn_segment: a segment whose creation was cut short.
    """

    mark: EndMark
    segments: list[Segment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    last_batch: int = 0
    last_checksum: bytes | None = None
    silenced: bytes | None = None
    torn_bytes: int = 0
    torn_segment: str | None = None


def is_journal(disk: ReadableDisk) -> bool:
    """Whether there is a journal, be it whole or not; one whose creation was cut short is none yet."""
    segments = [name for name in disk.names() if name != END_FILE]
    return bool(segments) and not (segments == [segment_name(1)] and _never_begun(disk))


def _never_begun(disk: ReadableDisk) -> bool:
    """The only segment is not even a header, and the end mark is the one that comes before it: nothing was ever synced."""
    if END_FILE not in disk.names() or decode_end_mark(disk.read(END_FILE)) != EndMark():
        return False
    data = disk.read(segment_name(1))
    return decode_segment_header(data) is None and _is_blank(data) and not written_by_another_release(data)


def _is_blank(data: bytes) -> bool:
    """Nothing is behind the place of the header."""
    return len(data.rstrip(b"\0")) <= SEGMENT_HEADER_SIZE_BYTES


def replay(disk: ReadableDisk) -> Replayed:
    """Read a whole journal.

    Raises:
        StorageDamaged: it is not as it was written; the reason says what was expected, and what was found.
    """
    names = disk.names()
    numbers = sorted(segment_number(name) for name in names if name != END_FILE)
    if not numbers:
        raise _damaged("there are no segments")
    by_number = {segment_number(name): name for name in names if name != END_FILE}
    missing = [low + 1 for low, high in pairwise(numbers) if high != low + 1]
    if missing:
        raise _damaged(f"segment {missing[0]} is missing")
    reading = _Reading(disk, Replayed(mark=_read_mark(disk, names, by_number[numbers[0]])))
    for number in numbers:
        reading.segment(by_number[number], last=number == numbers[-1])
    return reading.finish()


def _damaged(reason: str) -> StorageDamaged:
    return StorageDamaged(what="journal", reason=reason)


def _read_mark(disk: ReadableDisk, names: list[str], oldest: str) -> EndMark:
    if END_FILE not in names:
        if written_by_another_release(disk.read(oldest)):
            raise _damaged(f"{oldest} was written by another release")
        raise _damaged(f"its end mark {END_FILE} is missing")
    mark = decode_end_mark(disk.read(END_FILE))
    if mark is None:
        raise _damaged(f"its end mark {END_FILE} cannot be read")
    return mark


class _Reading:
    """One pass over the segments."""

    def __init__(self, disk: ReadableDisk, found: Replayed) -> None:
        self._disk = disk
        self._found = found
        self._marked: FoundBatch | None = None

    def segment(self, name: str, *, last: bool) -> None:
        found = self._found
        data = self._disk.read(name)
        header = decode_segment_header(data)
        if header is None:
            if last and found.segments and _is_blank(data) and segment_number(name) > found.mark.newest:
                found.torn_segment = name
                return
            if written_by_another_release(data):
                raise _damaged(f"{name} was written by another release")
            raise _damaged(f"{name} has no good header")
        if not found.segments:
            found.last_batch = header.first_batch - 1
        elif header.first_batch != found.last_batch + 1:
            raise _damaged(f"{name} begins with batch {header.first_batch}, not {found.last_batch + 1}")
        found.silenced = header.silenced
        self._batches(name, header, data, last=last)

    def _batches(self, name: str, header: SegmentHeader, data: bytes, *, last: bool) -> None:
        found = self._found
        segment = Segment(name, header.salt)
        found.segments.append(segment)
        while (batch := batch_at(header.salt, data, segment.end_bytes)) is not None:
            if batch.number != found.last_batch + 1:
                raise _damaged(f"{name} holds batch {batch.number} in place of {found.last_batch + 1}")
            _take_records(segment, batch.payload, found.records)
            segment.end_bytes += batch.size_bytes
            found.last_batch, found.last_checksum = batch.number, batch.checksum
            if batch.number == found.mark.batch:
                self._marked = batch
        rest = len(data[segment.end_bytes :].rstrip(b"\0"))
        if rest and (not last or _good_batch_after(header.salt, data, segment.end_bytes)):
            raise _damaged(f"{name} at byte {segment.end_bytes}, where batch {found.last_batch + 1} belongs")
        found.torn_bytes = rest

    def finish(self) -> Replayed:
        """What was found, once it is known to reach as far as the mark."""
        found, mark = self._found, self._found.mark
        first, newest = found.segments[0].number, found.segments[-1].number
        if first > mark.oldest:
            raise _damaged(f"it begins with segment {first}, but segment {mark.oldest} was still needed")
        if newest < mark.newest:
            raise _damaged(f"it ends with segment {newest}, but had reached segment {mark.newest}")
        if found.last_batch < mark.batch:
            end = f"{found.segments[-1].name} at byte {found.segments[-1].end_bytes}"
            raise _damaged(
                f"it ends with batch {found.last_batch} ({end}), but batch {mark.batch} was durable"
            )
        if self._marked is not None and self._marked.checksum != mark.checksum:
            raise _damaged(f"batch {mark.batch} is not the one that its end mark names")
        if mark.clean and (
            (newest, found.last_batch) != (mark.newest, mark.batch) or found.torn_bytes or found.torn_segment
        ):
            end = f"batch {found.last_batch} of segment {newest} and {found.torn_bytes} more bytes"
            expected = f"batch {mark.batch} of segment {mark.newest}"
            raise _damaged(f"the node stopped in good order with {expected}, but it ends with {end}")
        return found


def _good_batch_after(salt: bytes, data: bytes, at: int) -> bool:
    tag = batch_tag(salt)
    at = data.find(tag, at + 1)
    while at >= 0:
        if batch_at(salt, data, at) is not None:
            return True
        at = data.find(tag, at + 1)
    return False


def _take_records(segment: Segment, payload: bytes, into: list[Record]) -> None:
    at = 0
    while at < len(payload):
        length = int.from_bytes(payload[at : at + 4], "big")
        data = payload[at + 4 : at + 4 + length]
        try:
            record = codec.decode(data, cast("type[Record]", Record), size_bytes_max=RECORD_SIZE_BYTES_MAX)
        except LedgerError as error:
            raise _damaged(f"{segment.name}: {error}") from None
        segment.note(record)
        into.append(record)
        at += 4 + length
