"""The journal gives back what was synced, forgives a torn tail, and refuses damage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.disk import FileDisk
from consensus.journal import Journal, is_journal, segment_name
from consensus.journal_format import (
    END_FILE,
    SEGMENT_HEADER_SIZE_BYTES,
    EndMark,
    SegmentHeader,
    encode_batch,
)
from ledger.errors import InvariantViolation, StorageDamaged
from ledger.types import Block, Header, QuorumCertificate, Vote, VoteKind
from tests.simulation.harness.disk import SimDisk

KEY = b"k" * 48
OTHER_KEY = b"o" * 96
LAYOUT = ["0f2e6d405ed15b0c", "4a6d66276ceccc82", "4620ad9c759b6b27"]


def vote(view: int, epoch: int = 1) -> VoteRecord:
    return VoteRecord(
        vote=Vote(
            kind=VoteKind.NOTARIZE,
            epoch=epoch,
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


def segments(on: SimDisk) -> list[str]:
    return [name for name in on.names() if name != END_FILE]


def written(*batches: tuple[Record, ...], on: SimDisk, segment_size_bytes: int = 1 << 20) -> Journal:
    journal = Journal.create(on, silenced=None, segment_size_bytes=segment_size_bytes)
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
    assert len(segments(on)) == 3
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
    torn = on.read(segment_name(1)) + b"torn" + foreign[SEGMENT_HEADER_SIZE_BYTES:]
    assert replayed(copy_with(on, segment_name(1), torn)) == [vote(1)]


def test_only_segments_that_the_store_covers_are_pruned_and_the_rest_replays() -> None:
    on = disk()
    journal = written((block(1, 1),), (vote(2),), (block(2, 3),), (vote(4),), on=on, segment_size_bytes=1)
    assert journal.prune(height=1, epoch=1, view=1) == 1
    assert journal.prune(height=1, epoch=1, view=2) == 1
    assert journal.prune(height=1, epoch=1, view=9) == 0
    assert replayed(on) == [block(2, 3), vote(4)]
    assert journal.prune(height=2, epoch=1, view=9) == 1, "the segment that is written to stays"
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


def test_a_silenced_key_is_named_by_every_later_segment() -> None:
    on = disk()
    assert Journal.create(on, silenced=None).silenced is None
    assert Journal.open(on).silenced is None
    on.wipe()
    journal = Journal.create(on, silenced=KEY, segment_size_bytes=1)
    for view in range(1, 4):
        journal.append(vote(view))
        journal.sync()
    journal.prune(height=1, epoch=1, view=9)
    assert Journal.open(on).silenced == KEY


def test_silencing_a_running_journal_is_durable_at_once_and_keeps_every_record() -> None:
    on = disk()
    journal = written((vote(1),), on=on)
    journal.append(vote(2))
    journal.silence(KEY)
    on.crash()
    again = Journal.open(on)
    assert (again.silenced, again.take_records()) == (KEY, [vote(1)])
    again.silence(KEY)
    assert len(segments(on)) == 2, "it is silenced already"
    again.silence(OTHER_KEY)
    assert Journal.open(on).silenced == OTHER_KEY


def test_a_key_is_silenced_behind_a_batch_that_is_on_its_way() -> None:
    on = disk()
    journal = written(on=on)
    journal.append(vote(1))
    batch = journal.take_batch()
    assert batch is not None
    journal.silence(KEY)
    batch.write()
    again = Journal.open(on)
    assert (again.silenced, again.take_records()) == (KEY, [vote(1)])


@pytest.mark.parametrize("size_bytes", [0, 31, 97])
def test_a_key_of_another_size_cannot_be_silenced(size_bytes: int) -> None:
    with pytest.raises(InvariantViolation):
        Journal.create(disk(), silenced=bytes(size_bytes))


def test_a_damaged_segment_that_silences_a_key_does_not_give_it_its_voice_back() -> None:
    on = disk()
    written((vote(1),), on=on).silence(KEY)
    for at in range(SEGMENT_HEADER_SIZE_BYTES):
        whole = bytearray(on.read(segment_name(2)))
        whole[at] ^= 1
        with pytest.raises(StorageDamaged):
            Journal.open(copy_with(on, segment_name(2), bytes(whole)))
    on.remove(segment_name(2))
    with pytest.raises(StorageDamaged, match="ends with segment 1, but had reached segment 2"):
        Journal.open(on)


def test_views_of_a_later_epoch_are_above_all_of_an_earlier_one() -> None:
    on = disk()
    journal = written((vote(900),), (vote(2, epoch=2),), (vote(3, epoch=2),), on=on, segment_size_bytes=1)
    assert journal.prune(height=0, epoch=1, view=899) == 0
    assert journal.prune(height=0, epoch=2, view=1) == 1
    assert journal.prune(height=0, epoch=1, view=999) == 0, "epoch 2, view 2 is above all of epoch 1"
    assert replayed(on) == [vote(2, epoch=2), vote(3, epoch=2)]


def marked(*, clean: bool, tail: int = 0) -> SimDisk:
    """Two batches that are marked, and some more that are not."""
    on = disk()
    journal = written((vote(1),), (vote(2),), on=on)
    if clean:
        journal.close()
        return on
    journal.mark()
    for view in range(3, 3 + tail):
        journal.append(vote(view))
        journal.sync()
    return on


@pytest.mark.parametrize("clean", [False, True])
def test_a_journal_cut_short_of_its_end_mark_is_refused_at_every_byte(clean: bool) -> None:
    on = marked(clean=clean)
    whole = on.read(segment_name(1))
    for end in range(SEGMENT_HEADER_SIZE_BYTES, len(whole)):
        with pytest.raises(StorageDamaged, match="but batch 2 was durable"):
            Journal.open(copy_with(on, segment_name(1), whole[:end]))


def test_a_flipped_bit_in_the_last_marked_batch_is_refused_and_the_evidence_stays() -> None:
    on = marked(clean=False)
    whole = on.read(segment_name(1))
    for at in range(len(whole)):
        bad = bytearray(whole)
        bad[at] ^= 0x80
        damaged = copy_with(on, segment_name(1), bytes(bad))
        with pytest.raises(StorageDamaged):
            Journal.open(damaged)
        assert damaged.read(segment_name(1)) == bytes(bad)


def test_batches_behind_the_mark_count_and_a_torn_one_among_them_is_forgiven() -> None:
    on = marked(clean=False, tail=2)
    cut = copy_with(on, segment_name(1), on.read(segment_name(1))[:-1])
    assert replayed(on) == [vote(1), vote(2), vote(3), vote(4)]
    assert replayed(cut) == [vote(1), vote(2), vote(3)]


def test_after_a_clean_stop_nothing_may_be_behind_the_mark() -> None:
    on = marked(clean=True)
    whole = on.read(segment_name(1))
    with pytest.raises(StorageDamaged, match="stopped in good order"):
        Journal.open(copy_with(on, segment_name(1), whole + b"torn"))


def test_a_journal_that_was_stopped_cleanly_and_started_again_may_be_torn_as_any_other() -> None:
    on = marked(clean=True)
    journal = Journal.open(on)
    journal.append(vote(3))
    journal.sync()
    cut = copy_with(on, segment_name(1), on.read(segment_name(1))[:-1])
    assert len(replayed(cut)) == 2


def test_a_stop_with_a_batch_on_its_way_is_not_clean() -> None:
    on = disk()
    journal = written((vote(1),), on=on)
    journal.append(vote(2))
    batch = journal.take_batch()
    assert batch is not None
    journal.close()
    batch.write()
    assert replayed(on) == [vote(1), vote(2)]


def test_a_missing_or_unreadable_end_mark_is_refused() -> None:
    on = marked(clean=False)
    for content in (b"", bytes(8192), b"x" * 8192):
        with pytest.raises(StorageDamaged, match="end mark"):
            Journal.open(copy_with(on, END_FILE, content))
    on.remove(END_FILE)
    with pytest.raises(StorageDamaged, match=r"end mark journal\.end is missing"):
        Journal.open(on)


def test_a_mark_torn_at_any_byte_leaves_the_one_before() -> None:
    on = marked(clean=False)
    before = on.read(END_FILE)
    journal = Journal.open(on)
    journal.append(vote(3))
    journal.sync()
    journal.mark()
    after = on.read(END_FILE)
    changed = [at for at in range(len(after)) if before[at : at + 1] != after[at : at + 1]]
    for end in (changed[0], changed[len(changed) // 2], changed[-1]):
        torn = after[:end] + before[end:].ljust(len(after) - end, b"\0")
        assert len(replayed(copy_with(on, END_FILE, torn))) == 3, end


def test_a_journal_of_the_same_length_with_another_history_is_refused() -> None:
    on, other = disk(), disk()
    written((vote(1),), (vote(2),), on=on).mark()
    written((vote(1),), (vote(7),), on=other).mark()
    with pytest.raises(StorageDamaged, match="batch 2 is not the one"):
        Journal.open(copy_with(on, segment_name(1), other.read(segment_name(1))))


def test_oldest_segments_that_nobody_pruned_are_missed() -> None:
    on = disk()
    journal = written((vote(1),), (vote(2),), (vote(3),), (vote(4),), on=on, segment_size_bytes=1)
    journal.prune(height=1, epoch=1, view=1)
    assert len(replayed(on)) == 3
    on.remove(segment_name(2))
    with pytest.raises(StorageDamaged, match="begins with segment 3, but segment 2 was still needed"):
        Journal.open(on)


def test_a_crash_between_mark_and_removal_of_pruned_segments_is_no_damage() -> None:
    on = disk()
    journal = written((vote(1),), (vote(2),), (vote(3),), on=on, segment_size_bytes=1)
    left = on.read(segment_name(1))
    journal.prune(height=1, epoch=1, view=1)
    on.create(segment_name(1), left, 0)
    again = Journal.open(on)
    assert len(again.take_records()) == 3
    assert again.prune(height=1, epoch=1, view=2) == 2
    assert replayed(on) == [vote(3)]


def test_an_empty_newest_segment_whose_forerunners_are_pruned_opens_and_goes_on() -> None:
    on = disk()
    journal = written((vote(1),), (vote(2),), on=on, segment_size_bytes=1)
    journal.silence(KEY)
    assert journal.prune(height=1, epoch=1, view=2) == 2
    journal.close()
    again = Journal.open(on)
    assert again.take_records() == []
    again.append(vote(3))
    again.sync()
    again.mark()
    assert replayed(on) == [vote(3)]


@pytest.mark.parametrize("cut", range(SEGMENT_HEADER_SIZE_BYTES))
def test_a_creation_that_was_cut_short_is_begun_again(cut: int) -> None:
    on = disk()
    Journal.create(on, silenced=KEY)
    for torn in (on.read(segment_name(1))[:cut], on.read(segment_name(1))[:cut].ljust(4096, b"\0")):
        begun = copy_with(on, segment_name(1), torn)
        assert not is_journal(begun)
        Journal.create(begun, silenced=None)
        assert replayed(begun) == []


def test_a_creation_cut_short_before_its_first_segment_is_begun_again() -> None:
    on = disk()
    on.create(END_FILE, b"", 0)
    assert not is_journal(on)
    Journal.create(on, silenced=None)
    assert replayed(on) == []


def test_a_first_segment_without_its_header_is_damage_once_something_was_synced() -> None:
    on = disk()
    journal = written((vote(1),), on=on)
    assert is_journal(copy_with(on, segment_name(1), b"x" + on.read(segment_name(1))[1:]))
    journal.mark()
    assert is_journal(copy_with(on, segment_name(1), b""))


def test_a_journal_of_another_release_is_named_as_such() -> None:
    on = marked(clean=False)
    whole = bytearray(on.read(segment_name(1)))
    whole[8] = 1
    with pytest.raises(StorageDamaged, match="another release"):
        Journal.open(copy_with(on, segment_name(1), bytes(whole)))


def test_the_layout_on_disk_is_as_it_was() -> None:
    header = SegmentHeader(first_batch=3, salt=b"s" * 16, silenced=KEY).encode()
    batch, checksum = encode_batch(b"s" * 16, 3, b"payload")
    mark = EndMark(sequence=7, oldest=1, newest=2, batch=3, checksum=checksum, clean=True).encode()
    found = [hashlib.sha256(part).hexdigest()[:16] for part in (header, batch, mark)]
    assert found == LAYOUT


def test_the_same_journal_on_a_real_disk(tmp_path: Path) -> None:
    first = FileDisk(tmp_path / "journal")
    journal = Journal.create(first, silenced=None, segment_size_bytes=4096)
    for view in range(1, 60):
        journal.append(vote(view))
        journal.sync()
    assert len(first.names()) > 2
    journal.prune(height=0, epoch=1, view=45)
    first.close()
    second = FileDisk(tmp_path / "journal")
    opened = Journal.open(second)
    opened.silence(KEY)
    found = [record.vote.view for record in opened.take_records() if isinstance(record, VoteRecord)]
    assert found[-1] == 59
    assert found == list(range(found[0], 60))
    assert 1 < found[0] <= 46
    opened.close()
    second.close()
    third = FileDisk(tmp_path / "journal")
    assert Journal.open(third).silenced == KEY
    third.close()
