"""A node votes only with the journal that it has had from its first start on."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.disk import FileDisk
from consensus.journal import Journal
from node.home import Home
from node.journal import MARK, begin_journal, mark_as_new

KEY = b"k" * 48


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder as `node init` leaves it."""
    made = Home(tmp_path)
    made.create_folders()
    mark_as_new(made)
    return made


def begin(home: Home, *, store_height: int = 0) -> Journal:
    disk = FileDisk(home.journal)
    journal = begin_journal(home, disk, store_height=store_height, vote_key=KEY)
    disk.close()
    return journal


def lose(home: Home) -> None:
    for file in home.journal.iterdir():
        file.unlink()


def test_a_new_node_votes_and_still_does_after_a_restart(home: Home) -> None:
    assert begin(home).silenced is None
    assert not (home.journal / MARK).exists()
    assert begin(home, store_height=5).silenced is None


@pytest.mark.parametrize("store_height", [0, 5])
def test_a_node_without_its_journal_follows_for_good(home: Home, store_height: int) -> None:
    begin(home)
    lose(home)
    assert begin(home, store_height=store_height).silenced == KEY
    assert begin(home, store_height=store_height).silenced == KEY


def test_a_store_with_blocks_outweighs_the_mark(home: Home) -> None:
    assert begin(home, store_height=1).silenced == KEY


def test_a_mark_that_a_crash_left_beside_the_journal_makes_nobody_new_again(home: Home) -> None:
    begin(home)
    mark_as_new(home)
    begin(home)
    for file in home.journal.glob("journal-*"):
        file.unlink()
    assert begin(home).silenced == KEY


def test_a_first_start_that_was_cut_short_behind_the_end_mark_is_begun_again(home: Home) -> None:
    begin(home)
    for file in home.journal.glob("*.seg"):
        file.unlink()
    mark_as_new(home)
    assert begin(home).silenced is None


def test_a_node_without_a_vote_key_silences_none(home: Home) -> None:
    (home.journal / MARK).unlink()
    disk = FileDisk(home.journal)
    assert begin_journal(home, disk, store_height=5, vote_key=None).silenced is None
    disk.close()
