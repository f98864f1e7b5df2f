"""Retention bounds the disk, takes away what it says and nothing else, and clearing up never leaves half a height."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.hashing import block_digest
from ledger.lmdb_file import DATA_FILE
from ledger.store import Retention
from node.storecheck import check_store
from tests.unit.ledger_world import fixed
from tests.unit.test_ledger_history import KEYS, History

BLOCK_MS = 1000


def run(path: Path, retention: Retention, blocks: int, *, certified: bool = False) -> History:
    history = History(path, retention, certified=certified)
    for number in range(blocks):
        history.commit({KEYS[number % 4]: b"%d" % number}, transactions=1)
    return history


def held_exactly(history: History, heights: range) -> None:
    """The blocks of these heights are found by every index, and those of no other height by any."""
    store = history.store
    assert store.first_height == heights[0]
    for height in range(1, store.height + 2):
        block, results = store.block(height), store.results(height)
        assert (block is not None) == (results is not None) == (height in heights)
        if block is not None and results is not None:
            assert store.height_of(block_digest(store._suite, block.block.header)) == height
            assert store.transaction_location(results[0].transaction_id) == (height, 0)
    with store._map.env.begin() as transaction:
        count = {name: transaction.stat(table)["entries"] for name, table in store._map.tables.items()}
    assert (
        count["blocks"] == count["results"] == count["transactions"] == count["digests"] - 1 == len(heights)
    )
    assert store.header(0) is not None


def proven_whole(history: History) -> None:
    store = history.store
    store.close()
    found = check_store(
        store.path, genesis=store.genesis, sample=0, pages=True, progress=lambda stage, done, total: None
    )
    assert found.faults == []


@pytest.mark.parametrize(
    ("retention", "first"),
    [
        (Retention(proof_blocks=3), 1),
        (Retention(proof_blocks=3, blocks=1000), 1),
        (Retention(proof_blocks=3, blocks=20), 1),
        (Retention(proof_blocks=3, blocks=19), 2),
        (Retention(proof_blocks=3, blocks=8), 13),
        (Retention(proof_blocks=3, blocks=4), 17),
        (Retention(proof_blocks=3, blocks=3), 17),
        (Retention(proof_blocks=0, blocks=1), 20),
        (Retention(proof_blocks=3, age_ms=100 * BLOCK_MS), 1),
        (Retention(proof_blocks=3, age_ms=7 * BLOCK_MS), 13),
        (Retention(proof_blocks=3, age_ms=7 * BLOCK_MS + 1), 13),
        (Retention(proof_blocks=3, age_ms=7 * BLOCK_MS - 1), 14),
        (Retention(proof_blocks=0, age_ms=0), 20),
        (Retention(proof_blocks=3, blocks=8, age_ms=100 * BLOCK_MS), 13),
        (Retention(proof_blocks=3, blocks=1000, age_ms=7 * BLOCK_MS), 13),
    ],
)
def test_blocks_go_at_their_bound_and_those_that_can_be_proven_against_stay(
    tmp_path: Path, retention: Retention, first: int
) -> None:
    history = run(tmp_path / "ledger", retention, 20)
    with history.store:
        held_exactly(history, range(first, 21))
        history.check()
    history.reopen(retention)
    with history.store:
        held_exactly(history, range(first, 21))


def test_retention_that_begins_late_catches_up_a_bounded_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = run(tmp_path / "ledger", Retention(), 30)
    monkeypatch.setattr("ledger.store.PRUNED_BLOCKS_PER_COMMIT_MIN", 4)
    history.reopen(Retention(proof_blocks=2, blocks=5))
    seen = []
    while not history.store.prune():
        seen.append(history.store.first_height)
        held_exactly(history, range(seen[-1], 31))
    with history.store as store:
        assert seen == [5, 9, 13, 17, 21, 25]
        assert store.first_height == 26
        assert store.prune()


def test_epoch_changes_and_genesis_outlive_every_block(tmp_path: Path) -> None:
    history = History(tmp_path / "ledger", Retention(proof_blocks=1, blocks=2))
    world, store = history.world, history.store
    store.commit([world.committed({b"k": b"1"}, transactions=0)])
    seal = world.committed({}, transactions=0, next_validators=world.rotated())
    store.commit([seal])
    for number in range(6):
        store.commit([world.committed({b"k": b"%d" % number}, transactions=0)])
    with store:
        assert store.first_height == 7
        assert store.epoch_changes(1) == (seal.epoch_change,)
        assert store.header(0) is not None
        proven_whole(history)


def test_a_commit_that_is_repeated_passes_over_blocks_that_are_gone_already(tmp_path: Path) -> None:
    history = History(tmp_path / "ledger", Retention(proof_blocks=0, blocks=2))
    group = [history.world.committed({b"k": b"%d" % n}, transactions=0) for n in range(5)]
    with history.store as store:
        store.commit(group)
        assert store.first_height == 4
        store.commit(group)
        assert store.height == 5


def test_a_long_run_with_retention_reuses_its_room_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    history = History(tmp_path / "ledger", Retention(proof_blocks=10, blocks=10), certified=True)

    def go_on(blocks: int) -> int:
        for _ in range(blocks):
            height = history.store.height
            writes: dict[bytes, bytes | None] = {
                b"key/%d" % at: fixed(height, at, size=700) for at in range(60)
            }
            block = history.world.committed(writes, transactions=5, certificate=history.certificate)
            history.store.commit([block])
        return history.store.space().file_bytes

    with history.store as store:
        after_60, after_240 = go_on(60), go_on(180)
        assert after_240 <= after_60 * 1.1
        space = store.space()
        assert space.file_bytes == (store.path / DATA_FILE).stat().st_size
        assert 0 < space.live_bytes < space.file_bytes
        assert space.reusable_bytes > 0
        assert abs(space.live_bytes + space.reusable_bytes - space.file_bytes) <= 1 << 16
        proven_whole(history)


def test_without_retention_of_blocks_they_are_kept_for_ever(tmp_path: Path) -> None:
    history = run(tmp_path / "ledger", Retention(proof_blocks=0), 40, certified=True)
    with history.store:
        held_exactly(history, range(1, 41))
        proven_whole(history)
