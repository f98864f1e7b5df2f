"""A selection of the crash points; `make crash` runs them all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consensus.disk import FileDisk
from consensus.journal import Journal
from tests.crash import files, lives, lmdb_writes
from tests.crash.machine import SEGMENT_SIZE_BYTES
from tests.crash.points import CrashDisk
from tests.unit.contracts_world import VOTERS

EVERY = 24


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.mark.slow
def test_a_node_killed_at_any_point_keeps_what_it_acknowledged_and_its_votes(
    tmp_path: Path, told: list[str]
) -> None:
    passed, failed = lives.campaign(tmp_path, every=EVERY, twice_every=5, show=told.append)
    assert (failed, told) == (0, [])
    assert passed >= 10


@pytest.mark.slow
def test_these_tests_notice_a_journal_that_is_not_synced(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CrashDisk, "sync", lambda self, name: None)
    _, failed = lives.campaign(tmp_path, every=120, twice_every=9, show=told.append)
    assert failed


def test_append_only_files_cut_or_flipped_at_a_byte_open_or_are_refused_as_documented(
    tmp_path: Path, told: list[str]
) -> None:
    passed, failed = files.campaign(tmp_path, every=11, show=told.append)
    assert (failed, told) == (0, [])
    assert passed > 100


@pytest.mark.slow
def test_a_store_cut_anywhere_within_a_commit_opens_before_or_after_it(
    tmp_path: Path, told: list[str]
) -> None:
    passed, failed = lmdb_writes.campaign(tmp_path, seed=1, show=told.append)
    missing = lmdb_writes.tools()
    if missing is not None:
        assert told == [f"LMDB writes: NOT RUN, {missing} is not installed"]
        return
    assert (failed, told) == (0, [])
    assert passed > 100


def put_store_aside(folder: Path) -> None:
    """As `node resync` does it; the journal is kept."""
    (folder / "node-1" / "store").rename(folder / "aside")


def put_both_aside(folder: Path) -> None:
    """As `node resync` does it; the new journal silences the key."""
    put_store_aside(folder)
    (folder / "node-1" / "journal").rename(folder / "aside-journal")
    disk = FileDisk(folder / "node-1" / "journal")
    Journal.create(disk, silenced=VOTERS[1].public_key, segment_size_bytes=SEGMENT_SIZE_BYTES)
    disk.close()


@pytest.mark.parametrize("spoil", [put_store_aside, put_both_aside])
def test_a_node_whose_store_was_put_aside_rebuilds_it_from_its_peers(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    assert lives.lose_and_live(tmp_path, spoil) == []
