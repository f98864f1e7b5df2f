"""What a key held at every height that is kept: the value of that height, proven, or a plain no; never another value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import state_tree, store_retention
from ledger.domains import STATE_KEY
from ledger.errors import InvariantViolation, NotFound, StorageDamaged
from ledger.store import Retention, Store
from ledger.store_history import history_key
from ledger.store_records import STALE_KEYS_PER_RECORD, stale_keys, stale_records
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

MAP_SIZE = 1 << 26
KEYS = tuple(b"key/%d" % number for number in range(6))

Writes = dict[bytes, bytes | None]
batches = st.dictionaries(
    st.sampled_from(KEYS), st.none() | st.sampled_from((b"", b"x", b"y", bytes(5000))), max_size=4
)


class History:
    """A store, and what it should say of every height; certificates are made only where somebody checks them."""

    def __init__(self, path: Path, retention: Retention, *, certified: bool = False) -> None:
        self.world = World()
        self.certificate = None if certified else self.world.certify(self.world.parent)
        self.store = Store.create(
            path, SUITE, self.world.genesis, GENESIS_STATE, retention=retention, map_size_bytes=MAP_SIZE
        )
        self.states: list[dict[bytes, bytes]] = [dict(GENESIS_STATE)]
        self.roots = [self.store.head.state_root]

    def commit(self, *group: Mapping[bytes, bytes | None], transactions: int = 0) -> None:
        blocks = []
        for writes in group:
            blocks.append(
                self.world.committed(writes, transactions=transactions, certificate=self.certificate)
            )
            state = {**self.states[-1], **writes}
            self.states.append({key: value for key, value in state.items() if value is not None})
            self.roots.append(self.world.parent.state_root)
        self.store.commit(blocks)

    def reopen(self, retention: Retention) -> None:
        self.store.close()
        self.store = Store.open(self.store.path, SUITE, retention=retention, map_size_bytes=MAP_SIZE)

    def check(self, keys: tuple[bytes, ...] = KEYS) -> None:
        """Every height that can be proven against tells the truth, every other one says no."""
        first, head = self.store.first_provable_height, self.store.height
        for height in range(-1, head + 2):
            for key in keys:
                if not first <= height <= head:
                    for ask in (self.store.value_at, self.store.prove_value, self.store.prove):
                        with pytest.raises(NotFound):
                            ask(key, height)
                    continue
                expected = self.states[height].get(key)
                proven = self.store.prove_value(key, height)
                assert (proven.height, proven.value) == (height, expected)
                assert self.store.value_at(key, height) == expected
                root = self.roots[height]
                assert state_tree.verify_state(SUITE, root, key, expected, proven.proof)


@settings(max_examples=30)
@given(st.lists(st.lists(batches, min_size=1, max_size=3), min_size=1, max_size=6), st.integers(0, 8))
def test_every_kept_height_tells_what_it_held(groups: list[list[Writes]], proof_blocks: int) -> None:
    with TemporaryDirectory() as folder:
        history = History(Path(folder) / "ledger", Retention(proof_blocks=proof_blocks))
        with history.store:
            for group in groups:
                history.commit(*group)
            assert history.store.first_provable_height == max(0, history.store.height - proof_blocks)
            history.check()


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "ledger", Retention(proof_blocks=20))


def test_a_value_that_comes_back_deleted_and_made_again_is_told_at_each_of_its_heights(
    history: History,
) -> None:
    with history.store:
        for value in (b"a", b"b", b"a", None, b"a", b"a", b"c"):
            history.commit({KEYS[0]: value})
        history.check()


def test_one_group_may_write_a_key_in_each_of_its_blocks(history: History) -> None:
    with history.store:
        history.commit({KEYS[0]: b"1"}, {KEYS[0]: None, KEYS[1]: b"x"}, {KEYS[0]: b"2"}, {KEYS[0]: b"2"})
        history.commit({KEYS[0]: b"3"})
        history.check()


def test_only_what_is_overwritten_is_kept(history: History) -> None:
    with history.store as store:
        history.commit({KEYS[0]: b"1", KEYS[1]: b"1", KEYS[2]: None})
        history.commit({KEYS[0]: b"1", KEYS[1]: b"2", KEYS[2]: b"new"})
        with store.reading() as view:
            kept = {
                (height, key)
                for height in (1, 2)
                for key in KEYS
                if view.get("history", history_key(height, SUITE.hash(STATE_KEY, key))) is not None
            }
        assert kept == {(2, KEYS[1])}


def test_a_kept_value_that_was_changed_or_lost_is_damage_and_no_answer(history: History) -> None:
    with history.store as store:
        history.commit({KEYS[0]: b"old"})
        history.commit({KEYS[0]: b"new"})
        name = history_key(2, SUITE.hash(STATE_KEY, KEYS[0]))
        for damage in (b"other", None):
            with store._map.env.begin(store._map.tables["history"], write=True) as transaction:
                if damage is None:
                    transaction.delete(name)
                else:
                    transaction.put(name, damage)
            for ask in (store.value_at, store.prove_value):
                with pytest.raises(StorageDamaged):
                    ask(KEYS[0], 1)
            assert store.value_at(KEYS[0], 2) == b"new"


def test_a_state_value_that_was_changed_is_damage_and_no_answer(history: History) -> None:
    with history.store as store:
        history.commit({KEYS[0]: b"1"})
        with store._map.env.begin(store._map.tables["state"], write=True) as transaction:
            transaction.put(KEYS[0], b"2")
        with pytest.raises(StorageDamaged):
            store.prove_value(KEYS[0])


def test_what_was_let_go_of_does_not_come_back_when_more_is_retained(history: History) -> None:
    history.reopen(Retention(proof_blocks=2))
    for number in range(8):
        history.commit({KEYS[number % 3]: b"%d" % number})
    assert history.store.first_provable_height == 6
    history.reopen(Retention(proof_blocks=5))
    history.check()
    assert history.store.first_provable_height == 6
    history.commit({KEYS[0]: b"x"}, {KEYS[0]: b"y"}, {KEYS[0]: b"z"})
    with history.store:
        assert history.store.first_provable_height == 6
        history.check()


def test_clearing_up_a_bit_at_a_time_leaves_no_height_half_provable(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tuple(b"many/%d" % number for number in range(300))
    for number in range(6):
        history.commit({key: fixed(number, key, size=40) for key in many})
    monkeypatch.setattr("ledger.store.PRUNED_NODES_PER_COMMIT_MIN", STALE_KEYS_PER_RECORD)
    history.reopen(Retention(proof_blocks=1))
    seen = [history.store.first_provable_height]
    steps = 1
    while not history.store.prune():
        seen.append(history.store.first_provable_height)
        history.check(many[:3])
        steps += 1
    assert steps > 6
    assert seen == sorted(seen)
    # No step got through with more than it may.
    assert {2, 3, 4} <= set(seen)
    assert history.store.first_provable_height == 5
    history.check(many[:3])
    with history.store._map.env.begin() as transaction:
        kept = transaction.stat(history.store._map.tables["history"])["entries"]
    assert kept == len(many)
    history.store.close()


def test_a_store_that_began_with_a_snapshot_tells_the_heights_since(history: History) -> None:
    """The shape of such a store is that of one that let go of everything below its first height."""
    history.reopen(Retention(proof_blocks=0))
    with history.store as store:
        history.commit({KEYS[0]: b"1"}, {KEYS[0]: b"2"})
        assert store.first_provable_height == store.height == 2
        history.check()


@pytest.mark.parametrize("count", [0, 1, STALE_KEYS_PER_RECORD, STALE_KEYS_PER_RECORD + 1, 1000])
def test_lists_of_stale_nodes_are_read_as_they_were_written(count: int) -> None:
    keys = sorted(fixed("node", number, size=9 + number % 32) for number in range(count))
    read = [key for data in stale_records(7, reversed(keys)).values() for key in stale_keys(data)]
    assert read == keys


@pytest.mark.parametrize("data", [b"\x05abcd", b"\x01a\x09", b"\xff"])
def test_a_list_of_stale_nodes_that_is_cut_short_is_damage(data: bytes) -> None:
    with pytest.raises(StorageDamaged):
        stale_keys(data)


@pytest.mark.parametrize("bounds", [{"proof_blocks": -1}, {"blocks": 0}, {"age_ms": -1}])
def test_a_retention_that_means_nothing_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(InvariantViolation):
        store_retention.Retention(**bounds)
