"""The bytes of the journal: segment headers, batches and the end mark.

Segment files `journal-00000001.seg`, each a header and batches. A batch is what one sync makes durable:

    header   magic 8 ‖ version 1 ‖ first batch number 8 ‖ salt 16 ‖ key length 1 ‖ silenced key 96 ‖ checksum 16
    batch    tag 8 ‖ length 4 ‖ batch number 8 ‖ checksum 16 ‖ payload
    payload  for each record: length 4 ‖ canonical encoding

The end mark is a file of its own, `journal.end`, with two slots of one page each that are written in turn:

    mark     magic 8 ‖ sequence 8 ‖ oldest segment 8 ‖ newest segment 8 ‖ batch number 8 ‖ batch checksum 16
             ‖ clean 1 ‖ checksum 16

Rule: all integers are big-endian. A batch's tag and checksum are BLAKE2b keyed with its segment's salt, so that nothing a client
puts into a transaction can look like a batch, or like the place where one begins. Behind the last batch a segment may be filled
with zeros. Of two slots the good one with the higher sequence counts, so a mark torn while it is written leaves the one before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from ledger.errors import StorageDamaged, invariant

END_FILE: Final = "journal.end"
END_SLOT_SIZE_BYTES: Final = 4096
END_SLOTS: Final = 2

SILENCED_KEY_SIZE_BYTES_MIN: Final = 32
SILENCED_KEY_SIZE_BYTES_MAX: Final = 96

SALT_SIZE_BYTES: Final = 16
CHECKSUM_SIZE_BYTES: Final = 16
TAG_SIZE_BYTES: Final = 8
SEGMENT_HEADER_SIZE_BYTES: Final = (
    8 + 1 + 8 + SALT_SIZE_BYTES + 1 + SILENCED_KEY_SIZE_BYTES_MAX + CHECKSUM_SIZE_BYTES
)
BATCH_HEADER_SIZE_BYTES: Final = TAG_SIZE_BYTES + 4 + 8 + CHECKSUM_SIZE_BYTES

_SEGMENT_MAGIC: Final = b"ZLJRNL\r\n"
_END_MAGIC: Final = b"ZLJEND\r\n"
_VERSION: Final = 2
_NO_CHECKSUM: Final = bytes(CHECKSUM_SIZE_BYTES)


def segment_name(number: int) -> str:
    return f"journal-{number:08d}.seg"


def segment_number(name: str) -> int:
    """The number in a segment's name. Raises StorageDamaged for another name."""
    digits = name.removeprefix("journal-").removesuffix(".seg")
    if not (digits.isascii() and digits.isdigit()) or segment_name(int(digits)) != name:
        raise StorageDamaged(what="journal", reason=f"unexpected file {name}")
    return int(digits)


def _keyed(salt: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM_SIZE_BYTES, key=salt).digest()


# --- segments ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment begins with.

    Attributes:
        first_batch: number of its first batch, from 1.
        salt: 16 random bytes.
        silenced: public vote key that must never vote with this journal, or None.
    """

    first_batch: int
    salt: bytes
    silenced: bytes | None

    def encode(self) -> bytes:
        key = self.silenced or b""
        head = (
            _SEGMENT_MAGIC
            + bytes((_VERSION,))
            + self.first_batch.to_bytes(8, "big")
            + self.salt
            + bytes((len(key),))
            + key.ljust(SILENCED_KEY_SIZE_BYTES_MAX, b"\0")
        )
        return head + _keyed(self.salt, head)


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """The header that `data` begins with; None if it is none of this version, or not as it was written."""
    head = data[: SEGMENT_HEADER_SIZE_BYTES - CHECKSUM_SIZE_BYTES]
    salt = head[17 : 17 + SALT_SIZE_BYTES]
    checksum = data[len(head) : SEGMENT_HEADER_SIZE_BYTES]
    if head[:9] != _SEGMENT_MAGIC + bytes((_VERSION,)) or checksum != _keyed(salt, head):
        return None
    key_at = 17 + SALT_SIZE_BYTES + 1
    key = head[key_at : key_at + head[key_at - 1]]
    return SegmentHeader(first_batch=int.from_bytes(head[9:17], "big"), salt=salt, silenced=key or None)


def written_by_another_release(data: bytes) -> bool:
    """Whether `data` begins like a segment of a version that this release does not read."""
    return data[:8] == _SEGMENT_MAGIC and len(data) > 8 and data[8] not in {0, _VERSION}


# --- batches ----------------------------------------------------------------------------------------------------------


def batch_tag(salt: bytes) -> bytes:
    """What every batch of the segment with this salt begins with."""
    return _keyed(salt, b"batch")[:TAG_SIZE_BYTES]


def encode_batch(salt: bytes, number: int, payload: bytes) -> tuple[bytes, bytes]:
    """A batch's bytes, and its checksum."""
    subject = len(payload).to_bytes(4, "big") + number.to_bytes(8, "big")
    checksum = _keyed(salt, subject + payload)
    return batch_tag(salt) + subject + checksum + payload, checksum


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """A batch as it was read."""

    number: int
    checksum: bytes
    payload: bytes

    @property
    def size_bytes(self) -> int:
        return BATCH_HEADER_SIZE_BYTES + len(self.payload)


def batch_at(salt: bytes, data: bytes, at: int) -> FoundBatch | None:
    """The good batch that begins at byte `at` of a segment, if one does."""
    if data[at : at + TAG_SIZE_BYTES] != batch_tag(salt):
        return None
    subject = data[at + TAG_SIZE_BYTES : at + TAG_SIZE_BYTES + 12]
    start = at + BATCH_HEADER_SIZE_BYTES
    length = int.from_bytes(subject[:4], "big")
    payload = data[start : start + length]
    checksum = data[start - CHECKSUM_SIZE_BYTES : start]
    if len(payload) != length or checksum != _keyed(salt, subject + payload):
        return None
    return FoundBatch(int.from_bytes(subject[4:], "big"), checksum, payload)


# --- the end mark -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMark:
    """How far the journal reached, at least, when this was written.

    Attributes:
        sequence: number of the mark, from 1.
        oldest: number of the oldest segment that is still needed.
        newest: number of the segment that is written to.
        batch: number of the last durable batch, 0 before the first.
        checksum: of that batch; zeros when there is none.
        clean: the node stopped in good order, and has written nothing since.
    """

    sequence: int = 1
    oldest: int = 1
    newest: int = 1
    batch: int = 0
    checksum: bytes = _NO_CHECKSUM
    clean: bool = False

    def after(self, other: EndMark) -> EndMark:
        """This mark, to be written after `other`."""
        return replace(self, sequence=other.sequence + 1)

    def says_the_same(self, other: EndMark) -> bool:
        return replace(self, sequence=0) == replace(other, sequence=0)

    @property
    def slot_at_bytes(self) -> int:
        """Where in the file it belongs."""
        return self.sequence % END_SLOTS * END_SLOT_SIZE_BYTES

    def encode(self) -> bytes:
        invariant(len(self.checksum) == CHECKSUM_SIZE_BYTES, "a batch checksum of another size")
        numbers = (self.sequence, self.oldest, self.newest, self.batch)
        body = _END_MAGIC + b"".join(number.to_bytes(8, "big") for number in numbers)
        body += self.checksum + bytes((self.clean,))
        return body + _keyed(b"", body)


_END_SIZE_BYTES: Final = len(EndMark().encode())


def decode_end_mark(data: bytes) -> EndMark | None:
    """The mark that counts in the file's bytes; None if no slot is good."""
    slots = (_decode_slot(data, at * END_SLOT_SIZE_BYTES) for at in range(END_SLOTS))
    good = [mark for mark in slots if mark is not None]
    return max(good, key=lambda mark: mark.sequence, default=None)


def _decode_slot(data: bytes, at: int) -> EndMark | None:
    slot = data[at : at + _END_SIZE_BYTES]
    body = slot[:-CHECKSUM_SIZE_BYTES]
    if slot[:8] != _END_MAGIC or len(slot) != _END_SIZE_BYTES or slot[len(body) :] != _keyed(b"", body):
        return None
    sequence, oldest, newest, batch = (int.from_bytes(body[8 * at : 8 * at + 8], "big") for at in range(1, 5))
    return EndMark(
        sequence=sequence,
        oldest=oldest,
        newest=newest,
        batch=batch,
        checksum=body[40 : 40 + CHECKSUM_SIZE_BYTES],
        clean=body[-1] == 1,
    )
