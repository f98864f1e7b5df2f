"""A state that is larger than memory is built as a small one is: same root, same records, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bench.ledger_measure import CountingSuite, measure
from bench.ledger_state import BATCH, Population, build, make_genesis
from ledger import leaf_sorter, state_tree
from ledger.domains import STATE_LEAF, STATE_NODE
from ledger.errors import InvariantViolation
from ledger.leaf_sorter import LeafSorter
from ledger.state_bulk import leaf_of
from ledger.state_tree import NodeMap
from ledger.store import Store
from ledger.store_build import build_large
from ledger.store_map import MapSize
from ledger.store_records import StoreExists
from tests.unit.ledger_world import SUITE, World, fixed

STATE = {b"key/%05d" % number: fixed("value", number, size=number % 90) for number in range(2000)}


def content(store: Store) -> dict[str, list[tuple[bytes, bytes]]]:
    with store._map.env.begin() as transaction:
        return {name: list(transaction.cursor(table)) for name, table in store._map.tables.items()}


def test_a_store_built_from_a_stream_is_the_store_built_at_once(tmp_path: Path) -> None:
    genesis = World().genesis
    build_large(tmp_path / "large", SUITE, genesis, iter(sorted(STATE.items())), MapSize(1 << 18))
    with (
        Store.create(tmp_path / "small", SUITE, genesis, STATE) as small,
        Store.open(tmp_path / "large", SUITE) as large,
    ):
        assert content(large) == content(small)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["large", "small"]


def test_a_stream_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"1"
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError):
        build_large(tmp_path / "large", SUITE, World().genesis, broken(), MapSize())
    with pytest.raises(InvariantViolation):
        build_large(tmp_path / "large", SUITE, World().genesis, [(b"", b"1")], MapSize())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    build_large(tmp_path / "large", SUITE, World().genesis, sorted(STATE.items()), MapSize())
    with pytest.raises(StoreExists):
        build_large(tmp_path / "large", SUITE, World().genesis, [], MapSize())


@pytest.mark.parametrize("buffered", [1, 3, 10_000])
def test_leaves_come_back_in_the_order_of_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered: int
) -> None:
    monkeypatch.setattr(leaf_sorter, "BUFFER_LEAVES", buffered)
    leaves = [leaf_of(SUITE, key, value) for key, value in STATE.items()]
    with LeafSorter(tmp_path / "leaves") as sorter:
        for leaf in leaves:
            sorter.add(leaf)
        assert list(sorter.sorted()) == sorted(leaves)
    assert list(tmp_path.iterdir()) == []


# --- the bench that stands on it ----------------------------------------------------------------------------


def test_the_bench_counts_every_node_that_is_hashed_and_nothing_else() -> None:
    counting = CountingSuite(SUITE)
    tree = state_tree.update(counting, NodeMap({}), None, {b"a": b"1"}, 0)  # type: ignore[arg-type]
    assert counting.nodes == 1
    assert tree.root == SUITE.hash(STATE_LEAF, _leaf(b"a", b"1"))
    counting = CountingSuite(SUITE)
    state_tree.update(counting, NodeMap({}), None, {b"a": b"1", b"b": b"2"}, 0)  # type: ignore[arg-type]
    apart = int.from_bytes(_leaf(b"a", b"")[:32], "big") ^ int.from_bytes(_leaf(b"b", b"")[:32], "big")
    assert counting.nodes == 2 + (256 - apart.bit_length()) + 1
    assert counting.hash(STATE_NODE, b"x") == SUITE.hash(STATE_NODE, b"x")


def _leaf(key: bytes, value: bytes) -> bytes:
    leaf = leaf_of(SUITE, key, value)
    return leaf.key_hash + leaf.value_hash


def test_the_bench_builds_the_size_that_it_says_and_measures_it(tmp_path: Path) -> None:
    build(tmp_path / "store", SUITE, 500, seed=1)
    with Store.open(tmp_path / "store", SUITE) as store:
        assert store.genesis == make_genesis(SUITE)
        assert store._map.env.begin().stat(store._map.tables["state"])["entries"] == 500
    row = measure(tmp_path / "store", SUITE, 500, blocks=2, seed=1)
    counts = row["per_update"]
    assert isinstance(counts, dict)
    parts = ("tree_bytes", "state_bytes", "history_bytes", "stale_bytes")
    assert counts["bytes_written"] == pytest.approx(sum(counts[name] for name in parts), abs=0.05)
    assert 1 < counts["nodes_stored"] < counts["nodes_hashed"] < 20


def test_the_blocks_of_the_bench_are_the_same_in_every_run() -> None:
    first, second = (Population(1000, Random(3)).block() for _ in range(2))
    assert first == second
    assert len(first) == BATCH
    assert sum(value is None for value in first.values()) == 15
