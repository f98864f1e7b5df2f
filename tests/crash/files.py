"""Append-only files cut at every byte of their last record and flipped at each byte.

Rule: they open or are refused as documented; nothing is lost silently.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from structlog.testing import capture_logs

from consensus.core.records import VoteRecord
from consensus.disk import FileDisk
from consensus.journal import Journal, segment_name
from consensus.journal_format import END_SLOT_SIZE_BYTES, EndMark
from ledger.errors import StorageDamaged
from ledger.types import Vote, VoteKind
from node.poollog import DAMAGED_SUFFIX, PoolLog

SEGMENT_SIZE_BYTES = 4096
MARK_SIZE_BYTES = len(EndMark().encode())


def campaign(scratch: Path, *, every: int, show: Callable[[str], None]) -> tuple[int, int]:
    """Every `every`-th cut and flip.

    Returns:
        How many went as documented, and how many did not.
    """
    passed = failed = 0
    for part in (journal_faults, pool_log_faults):
        for what, fault in part(scratch, every):
            passed, failed = passed + (not fault), failed + bool(fault)
            if fault:
                show(f"FAILED {what}: {fault}")
    return passed, failed


def vote(view: int) -> VoteRecord:
    return VoteRecord(
        vote=Vote(
            kind=VoteKind.NOTARIZE, epoch=1, view=view, digest=b"\1" * 32, validator=0, signature=b"\2" * 96
        )
    )


# --- the journal ------------------------------------------------------------------------------------------------------


def journal_faults(scratch: Path, every: int) -> Iterator[tuple[str, str]]:
    """What was tried, and what went wrong.

    Three batches; the end mark names the second or the third. Behind the mark a damaged last batch is a torn one; up to the mark
    nothing may be missing.
    """
    for marked in (2, 3):
        home = scratch / f"journal-{marked}"
        start, end = _write_journal(home, marked)
        whole = (home / segment_name(1)).read_bytes()
        for at in range(start, end, every):
            cut = whole[:at] + bytes(len(whole) - at)
            yield (
                f"journal cut at byte {at}, marked {marked}",
                _open_journal(home, cut, marked, refuse=marked == 3),
            )
        for at in range(0, end, every):
            flipped = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
            refuse = at < start or marked == 3
            yield (
                f"journal flipped at byte {at}, marked {marked}",
                _open_journal(home, flipped, marked, refuse=refuse),
            )
        mark = (home / "journal.end").read_bytes()
        for at in (at for at in range(0, len(mark), every) if at % END_SLOT_SIZE_BYTES < MARK_SIZE_BYTES):
            flipped = mark[:at] + bytes((mark[at] ^ 1,)) + mark[at + 1 :]
            yield f"end mark flipped at byte {at}", _open_with_mark(home, whole, flipped)


def _write_journal(home: Path, marked: int) -> tuple[int, int]:
    """Where the last batch begins and ends."""
    disk = FileDisk(home)
    journal = Journal.create(disk, silenced=None, segment_size_bytes=SEGMENT_SIZE_BYTES)
    ends = []
    for view in range(1, 4):
        journal.append(vote(view))
        journal.sync()
        if view == marked:
            journal.mark()
        ends.append(journal._segments[-1].end_bytes)
    disk.close()
    return ends[1], ends[2]


def _open_journal(home: Path, content: bytes, least: int, *, refuse: bool) -> str:
    trial = home.with_name("trial")
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(home, trial)
    (trial / segment_name(1)).write_bytes(content)
    return _opened(trial, least, refuse=refuse)


def _open_with_mark(home: Path, segment: bytes, mark: bytes) -> str:
    """A damaged slot leaves the one before, or none; all batches are there in any case."""
    trial = home.with_name("trial")
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir()
    (trial / segment_name(1)).write_bytes(segment)
    (trial / "journal.end").write_bytes(mark)
    return _opened(trial, 3, refuse=False)


def _opened(trial: Path, least: int, *, refuse: bool) -> str:
    disk = FileDisk(trial)
    try:
        records = Journal.open(disk, segment_size_bytes=SEGMENT_SIZE_BYTES).take_records()
    except StorageDamaged:
        return "" if refuse else "it was refused"
    finally:
        disk.close()
    if refuse:
        return "it was opened"
    return "" if len(records) >= least else f"{len(records)} records are left"


# --- the pool log -----------------------------------------------------------------------------------------------------


def pool_log_faults(scratch: Path, every: int) -> Iterator[tuple[str, str]]:
    """What was tried, and what went wrong: never more than the damaged transaction is missing, and it is logged."""
    path = scratch / "pool" / "pool.log"
    path.parent.mkdir()
    sent = [bytes((number,)) * 40 for number in range(1, 4)]
    log = PoolLog(path)
    for one in sent:
        log.append(one)
    log.sync()
    log.close()
    whole = path.read_bytes()
    size_bytes = len(whole) // len(sent)
    for at in range(2 * size_bytes, len(whole), every):
        yield (
            f"pool log cut at byte {at}",
            _open_pool(path, whole[:at], sent[:2], silent=at == 2 * size_bytes),
        )
    for at in range(0, len(whole), every):
        flipped = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        left = [one for number, one in enumerate(sent) if number != at // size_bytes]
        yield f"pool log flipped at byte {at}", _open_pool(path, flipped, left, silent=False)


def _open_pool(path: Path, content: bytes, expected: list[bytes], *, silent: bool) -> str:
    copy = path.with_name(path.name + DAMAGED_SUFFIX)
    copy.unlink(missing_ok=True)
    path.write_bytes(content)
    with capture_logs() as said:
        log = PoolLog(path)
    log.close()
    if log.recovered() != expected:
        return "another transaction is missing"
    if not silent and not said:
        return "nothing was logged"
    skipped = any("skipped" in one["event"] for one in said)
    if skipped and copy.read_bytes() != content:
        return "the damaged file was not kept"
    return ""
