"""Consensus messages, journal records, and the journal's files."""

from __future__ import annotations

from random import Random
from typing import Any

from consensus.core.messages import MESSAGE_SIZE_BYTES_MAX, Message, decode_message, encode_message
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.journal import Journal
from ledger import codec
from ledger.errors import DecodeError, LimitExceeded, StorageDamaged
from tests.fuzz.shapes import encodings
from tests.fuzz.target import Grammar, Script, Target, require
from tests.fuzz.targets.history import history
from tests.simulation.harness.disk import SimDisk

SEGMENT_SIZE_BYTES = 2048
MALFORMED = (DecodeError, LimitExceeded)
_MESSAGE: Any = Message
_RECORD: Any = Record


def run_message(data: bytes) -> None:
    message = decode_message(data)
    require(encode_message(message) == data, "a message re-encodes to other bytes")


def message_seeds() -> list[bytes]:
    return [encode_message(message) for _, message in history().messages()]


def records() -> list[Record]:
    """Some of each kind."""
    past = history()
    return [
        *(BlockRecord(block=block) for block in past.blocks.values()),
        *(VoteRecord(vote=vote) for vote in past.votes[:4]),
        CertificateRecord(certificate=past.notarization(3)),
        FinalizationRecord(certificate=past.finalization(2)),
        FinalizationRecord(certificate=past.finalization(6), path=(past.blocks["D"].header,)),
    ]


def run_record(data: bytes) -> None:
    record = codec.decode(data, _RECORD, size_bytes_max=MESSAGE_SIZE_BYTES_MAX)
    require(codec.encode(record) == data, "a record re-encodes to other bytes")


def journal_with(parts: list[list[Record]]) -> SimDisk:
    """A journal of one batch for each part, in segments so small that there are several."""
    disk = SimDisk(Random(1))
    journal = create_journal(disk)
    for part in parts:
        for record in part:
            journal.append(record)
        journal.sync()
    return disk


def create_journal(disk: SimDisk) -> Journal:
    return Journal.create(disk, silenced=None, segment_size_bytes=SEGMENT_SIZE_BYTES)


def run_journal(data: bytes) -> None:
    """Damage the files of a journal; it opens with a part of what was written and goes on, or says that it is damaged."""
    script = Script(data)
    written = records()
    disk = journal_with([written[at : at + 3] for at in range(0, len(written), 3)])
    for _ in range(1 + script.below(4)):
        damage(disk, script)
    journal = Journal.open(disk, segment_size_bytes=SEGMENT_SIZE_BYTES)
    read = journal.take_records()
    runs = (written[at : at + len(read)] for at in range(len(written) + 1))
    require(any(read == run for run in runs), "the journal gives back what was not written in that order")
    journal.append(written[0])
    journal.sync()
    again = Journal.open(disk, segment_size_bytes=SEGMENT_SIZE_BYTES).take_records()
    require(again == [*read, written[0]], "a journal that opened does not hold what was appended")


def damage(disk: SimDisk, script: Script) -> None:
    """One change of one file."""
    names = disk.names()
    if not names:
        return
    name = names[script.below(len(names))]
    content = disk._files[name]
    at = script.below(2**32) % (len(content) + 1)
    match script.below(6):
        case 0:
            del content[at:]
        case 1:
            content[at : at + 1] = bytes([script.below(256)])
        case 2:
            content[at:] = bytes(len(content) - at)
        case 3:
            content += script.some(script.below(64))
        case 4:
            disk.remove(name)
        case _:
            disk._files[f"journal-{script.below(100_000_000):08d}.seg"] = bytearray(content)


TARGETS = (
    Target(
        name="consensus.message",
        run=run_message,
        seeds=message_seeds,
        examples=lambda: encodings(_MESSAGE),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
        size_bytes_max=16 * 1024,
    ),
    Target(
        name="consensus.record",
        run=run_record,
        seeds=lambda: [codec.encode(record) for record in records()],
        examples=lambda: encodings(_RECORD),
        errors=MALFORMED,
        grammar=Grammar.MSGPACK,
    ),
    Target(
        name="consensus.journal",
        run=run_journal,
        seeds=lambda: [
            bytes((0, number, 0, 0, 0, 0, 0, 0, 0, 99, kind, 7)) for number in range(3) for kind in range(6)
        ],
        errors=(StorageDamaged,),
        size_bytes_max=256,
    ),
)
