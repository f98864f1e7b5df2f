"""The journal gives back what was synced, forgives a torn tail, and refuses damage."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.disk import FileDisk
from consensus.journal import Journal, segment_name
from ledger.errors import InvariantViolation, StorageDamaged
from ledger.types import Block, Header, QuorumCertificate, Vote, VoteKind
from tests.simulation.harness.disk import SimDisk


def vote(view: int) -> VoteRecord:
    return VoteRecord(
        vote=Vote(
            kind=VoteKind.NOTARIZE,
            epoch=1,
            view=view,
            digest=b"\x01" * 32,
            validator=0,
            signature=b"\x02" * 32,
        )
    )


def certificate(view: int) -> QuorumCertificate:
    return QuorumCertificate(
        kind=VoteKind.FINALIZE,
        epoch=1,
        view=view,
        digest=b"\x01" * 32,
        signers=b"\x07",
        signature=b"\x02" * 32,
    )


def block(height: int, view: int) -> BlockRecord:
    header = Header(
        version=1,
        chain_id=bytes(32),
        epoch=1,
        view=view,
        height=height,
        parent=bytes(32),
        time_ms=height,
        proposer=bytes(16),
        transactions_root=bytes(32),
        results_root=bytes(32),
        state_root=bytes(32),
        validators_hash=bytes(32),
        next_validators_hash=bytes(32),
    )
    return BlockRecord(block=Block(header=header, transactions=()))


def disk() -> SimDisk:
    return SimDisk(Random(1))


def written(*batches: tuple[Record, ...], on: SimDisk, segment_size_bytes: int = 1 << 20) -> Journal:
    journal = Journal.create(on, follow_only=False, segment_size_bytes=segment_size_bytes)
    for batch in batches:
        for record in batch:
            journal.append(record)
        journal.sync()
    return journal


def replayed(on: SimDisk) -> list[Record]:
    return Journal.open(on).take_records()


def copy_with(on: SimDisk, name: str, content: bytes) -> SimDisk:
    other = disk()
    for each in on.names():
        other.create(each, content if each == name else on.read(each), 0)
    return other


records = st.one_of(
    st.builds(vote, st.integers(1, 1000)),
    st.builds(lambda view: CertificateRecord(certificate=certificate(view)), st.integers(1, 1000)),
    st.builds(lambda view: FinalizationRecord(certificate=certificate(view)), st.integers(1, 1000)),
    st.builds(block, st.integers(1, 1000), st.integers(1, 1000)),
)


@given(st.lists(st.lists(records, max_size=4), max_size=6), st.sampled_from([1, 400, 1 << 20]))
@settings(max_examples=60)
def test_replay_gives_back_every_synced_record_in_order(
    batches: list[list[Record]], segment_size_bytes: int
) -> None:
    on = disk()
    written(*[tuple(batch) for batch in batches], on=on, segment_size_bytes=segment_size_bytes)
    assert replayed(on) == [record for batch in batches for record in batch]


def test_a_journal_cut_at_every_byte_of_its_last_record_loses_that_record_alone() -> None:
    on = disk()
    journal = written((vote(1),), (block(1, 1), vote(2)), on=on)
    name = segment_name(1)
    before = on.size_bytes(name)
    journal.append(vote(3))
    journal.sync()
    whole = on.read(name)
    for end in range(before, len(whole)):
        cut = copy_with(on, name, whole[:end])
        opened = Journal.open(cut)
        assert opened.take_records() == [vote(1), block(1, 1), vote(2)], end
        assert opened.torn_bytes == (len(whole[before:end].rstrip(b"\0")))
        opened.append(vote(4))
        opened.sync()
        assert replayed(cut)[-1] == vote(4)
    assert replayed(on)[-1] == vote(3)


def test_a_last_record_whose_pages_were_lost_in_the_middle_counts_as_torn() -> None:
    on = disk()
    journal = written((vote(1),), on=on)
    start = on.size_bytes(segment_name(1))
    journal.append(block(1, 1))
    journal.sync()
    whole = bytearray(on.read(segment_name(1)))
    whole[start + 40 : start + 80] = bytes(40)
    assert replayed(copy_with(on, segment_name(1), bytes(whole))) == [vote(1)]


def test_a_flipped_bit_anywhere_before_the_last_record_is_refused() -> None:
    on = disk()
    journal = written((vote(1),), (vote(2),), on=on)
    last = on.size_bytes(segment_name(1))
    journal.append(vote(3))
    journal.sync()
    for at in range(last):
        whole = bytearray(on.read(segment_name(1)))
        whole[at] ^= 1
        with pytest.raises(StorageDamaged):
            Journal.open(copy_with(on, segment_name(1), bytes(whole)))


def test_damage_at_the_end_of_a_segment_that_is_not_the_last_is_refused() -> None:
    on = disk()
    written((vote(1),), (vote(2),), (vote(3),), on=on, segment_size_bytes=1)
    assert len(on.names()) == 3
    first = on.read(segment_name(2))
    with pytest.raises(StorageDamaged):
        Journal.open(copy_with(on, segment_name(2), first[:-1]))


def test_a_missing_segment_is_refused() -> None:
    on = disk()
    written((vote(1),), (vote(2),), (vote(3),), on=on, segment_size_bytes=1)
    on.remove(segment_name(2))
    with pytest.raises(StorageDamaged, match="missing"):
        Journal.open(on)


def test_a_segment_whose_creation_was_cut_short_is_begun_again() -> None:
    on = disk()
    written((vote(1),), (vote(2),), on=on, segment_size_bytes=1)
    on.create(segment_name(3), b"ZLJR", 0)
    journal = Journal.open(on, segment_size_bytes=1)
    assert journal.take_records() == [vote(1), vote(2)]
    journal.append(vote(3))
    journal.sync()
    assert replayed(on) == [vote(1), vote(2), vote(3)]


def test_bytes_that_look_like_a_batch_inside_a_record_do_not_make_a_torn_tail_into_damage() -> None:
    on, other = disk(), SimDisk(Random(2))
    written((vote(1),), on=on)
    written((vote(1),), (vote(2),), (vote(3),), on=other)
    foreign = other.read(segment_name(1))
    torn = on.read(segment_name(1)) + b"ZLJB torn" + foreign[foreign.index(b"ZLJB") :]
    assert replayed(copy_with(on, segment_name(1), torn)) == [vote(1)]


def test_only_segments_that_the_store_covers_are_pruned_and_the_rest_replays() -> None:
    on = disk()
    journal = written((block(1, 1),), (vote(2),), (block(2, 3),), (vote(4),), on=on, segment_size_bytes=1)
    assert journal.prune(height=1, view=1) == 1
    assert journal.prune(height=1, view=2) == 1
    assert journal.prune(height=1, view=9) == 0
    assert replayed(on) == [block(2, 3), vote(4)]
    assert journal.prune(height=2, view=9) == 1, "the segment that is written to stays"
    journal.append(vote(5))
    journal.sync()
    assert replayed(on) == [vote(4), vote(5)]


def test_a_batch_in_flight_takes_no_later_record_and_a_second_one_cannot_start() -> None:
    on = disk()
    journal = written(on=on)
    journal.append(vote(1))
    batch = journal.take_batch()
    assert batch is not None
    journal.append(vote(2))
    with pytest.raises(InvariantViolation):
        journal.take_batch()
    batch.write()
    assert replayed(on) == [vote(1)]
    journal.sync()
    assert replayed(on) == [vote(1), vote(2)]


def test_a_journal_begun_to_follow_only_says_so_for_ever() -> None:
    on = disk()
    assert not Journal.create(on, follow_only=False).follow_only
    assert not Journal.open(on).follow_only
    on.wipe()
    journal = Journal.create(on, follow_only=True)
    assert journal.follow_only
    journal.append(vote(1))
    journal.sync()
    assert Journal.open(on).follow_only


def test_the_same_journal_on_a_real_disk(tmp_path: Path) -> None:
    first = FileDisk(tmp_path / "journal")
    journal = Journal.create(first, follow_only=False, segment_size_bytes=4096)
    for view in range(1, 60):
        journal.append(vote(view))
        journal.sync()
    assert len(first.names()) > 1
    journal.prune(height=0, view=45)
    first.close()
    second = FileDisk(tmp_path / "journal")
    opened = Journal.open(second)
    found = [record.vote.view for record in opened.take_records() if isinstance(record, VoteRecord)]
    assert found[-1] == 59
    assert found == list(range(found[0], 60))
    assert 1 < found[0] <= 46
    second.close()
