"""The store: whole groups or nothing, the same after reopening, and damage is told, never fatal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import msgspec
import pytest

from ledger import state_tree
from ledger.errors import InvariantViolation, LimitExceeded, NotFound, StorageDamaged, Unavailable
from ledger.hashing import ZERO_HASH, block_digest
from ledger.lmdb_file import DATA_FILE, check_whole, expected_size_bytes
from ledger.store import SCAN_ENTRIES_MAX, Retention, Store
from ledger.store_records import CommittedBlock, StoreExists
from tests.suites import OTHER
from tests.unit.ledger_crash_writer import GROUP_BLOCKS, RETENTION
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

MAP_SIZE = 1 << 28


def open_store(path: Path, **options: int) -> Store:
    return Store.open(path, SUITE, **{"map_size_bytes": MAP_SIZE, **options})


def create_store(path: Path, world: World, **options: int) -> Store:
    options = {"map_size_bytes": MAP_SIZE, **options}
    return Store.create(path, SUITE, world.genesis, GENESIS_STATE, **options)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(tmp_path: Path, world: World) -> Iterator[Store]:
    with create_store(tmp_path / "ledger", world) as made:
        yield made


def proves(store: Store, key: bytes, value: bytes | None) -> bool:
    return state_tree.verify_state(SUITE, store.head.state_root, key, value, store.prove(key))


def test_a_new_store_is_at_genesis(store: Store, world: World) -> None:
    assert (store.height, store.head, store.genesis) == (0, world.parent, world.genesis)
    assert store.chain_id == world.chain
    assert store.head.parent == ZERO_HASH
    assert store.header(0) == store.header_by_digest(store.head_digest) == store.head
    assert store.height_of(store.head_digest) == 0
    assert store.block(0) is None
    assert store.get(b"limits") == GENESIS_STATE[b"limits"]
    assert proves(store, b"limits", GENESIS_STATE[b"limits"])
    assert proves(store, b"missing", None)


def test_what_was_committed_is_found_by_every_index_and_after_reopening(store: Store, world: World) -> None:
    first = world.committed({b"a": b"1", b"b": b"2", b"limits": None})
    second = world.committed({b"a": b"3", b"empty": b""})
    third = world.committed({}, transactions=0)
    store.commit([first, second])
    store.commit([third])
    path = store.path
    store.close()
    with open_store(path) as again:
        assert again.height == 3
        assert again.head == third.finalized.block.header
        for height, block in enumerate((first, second, third), 1):
            digest = block_digest(SUITE, block.finalized.block.header)
            assert again.block(height) == block.finalized
            assert again.results(height) == block.results
            assert again.height_of(digest) == height
            assert again.header_by_digest(digest) == again.header(height) == block.finalized.block.header
            for index, result in enumerate(block.results):
                assert again.transaction_location(result.transaction_id) == (height, index)
        assert [again.get(key) for key in (b"a", b"b", b"limits", b"empty")] == [b"3", b"2", None, b""]
        assert proves(again, b"a", b"3")
        assert proves(again, b"limits", None)


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.block(1) is store.results(1) is store.header(1) is None
    assert store.height_of(fixed("digest")) is store.header_by_digest(fixed("digest")) is None
    assert store.transaction_location(fixed("id")) is None
    assert store.height_of(b"") is store.transaction_location(b"") is None


def test_a_scan_gives_a_prefix_in_order_and_in_pages(store: Store, world: World) -> None:
    entries = {b"p/%03d" % i: b"%d" % i for i in range(25)}
    store.commit([world.committed({**entries, b"o": b"", b"q": b""})])
    assert store.scan(b"p/", limit=100) == sorted(entries.items())
    page = store.scan(b"p/", limit=10)
    rest = store.scan(b"p/", start=page[-1][0] + b"\0", limit=100)
    assert page + rest == sorted(entries.items())
    assert store.scan(b"nothing", limit=10) == []
    assert store.scan(b"p/", start=b"q", limit=10) == []
    assert len(store.scan(b"", limit=100)) == 27 + len(GENESIS_STATE)
    assert store.scan(b"p/", limit=0) == []


def test_a_scan_past_its_limit_is_refused(store: Store) -> None:
    assert store.scan(b"", limit=SCAN_ENTRIES_MAX)
    with pytest.raises(LimitExceeded):
        store.scan(b"", limit=SCAN_ENTRIES_MAX + 1)


def test_a_group_that_does_not_follow_is_our_own_fault_and_writes_nothing(store: Store, world: World) -> None:
    good = world.committed({b"a": b"1"})
    later = world.committed({b"a": b"2"})
    fork = msgspec.structs.replace(good.finalized.block.header, parent=fixed("p"))
    other_root = msgspec.structs.replace(good.finalized.block.header, state_root=fixed("s"))

    def with_header(header: object) -> CommittedBlock:
        block = msgspec.structs.replace(good.finalized.block, header=header)
        return CommittedBlock(
            finalized=msgspec.structs.replace(good.finalized, block=block),
            results=good.results,
            writes=good.writes,
            nodes=good.nodes,
            stale=good.stale,
        )

    without_result = CommittedBlock(
        finalized=good.finalized, results=good.results[:1], writes={}, nodes=good.nodes, stale=()
    )
    without_tree = CommittedBlock(
        finalized=good.finalized, results=good.results, writes={}, nodes={}, stale=()
    )
    bad = [[], [later], [good, good], [with_header(fork)], [with_header(other_root)]]
    for group in (*bad, [without_result], [without_tree]):
        with pytest.raises(InvariantViolation):
            store.commit(group)
    assert store.height == 0
    assert store.get(b"a") is None
    store.commit([good, later])
    assert store.height == 2


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_a_state_key_of_impossible_size_is_our_own_fault(store: Store, world: World, key: bytes) -> None:
    with pytest.raises(InvariantViolation):
        store.get(key)
    with pytest.raises(InvariantViolation):
        store.commit([world.committed({key: b"v"})])
    assert store.height == 0


def test_the_longest_state_key_works(store: Store, world: World) -> None:
    store.commit([world.committed({b"x" * 511: b"v"})])
    assert store.get(b"x" * 511) == b"v"


def test_retained_heights_can_be_proven_and_older_ones_are_pruned(tmp_path: Path, world: World) -> None:
    with create_store(tmp_path / "ledger", world, retention=Retention(proof_blocks=3)) as store:
        for height in range(1, 11):
            writes: dict[bytes, bytes | None] = {b"key/%d" % i: b"%d" % height for i in range(20)}
            store.commit([world.committed(writes, transactions=0)])
        for height in range(7, 11):
            header = store.header(height)
            assert header is not None
            proof = store.prove(b"key/5", height)
            assert state_tree.verify_state(SUITE, header.state_root, b"key/5", b"%d" % height, proof)
        for height in (-1, 0, 6, 11):
            with pytest.raises(NotFound):
                store.prove(b"key/5", height)
        with store._map.env.begin() as transaction:
            kept = transaction.stat(store._map.tables["tree"])["entries"]
        assert kept < 4 * 25


def test_a_value_comes_with_the_proof_of_its_own_height(store: Store, world: World) -> None:
    store.commit([world.committed({b"a": b"1"})])
    proven = store.prove_value(b"a")
    assert (proven.height, proven.value) == (1, b"1")
    assert state_tree.verify_state(SUITE, store.head.state_root, b"a", b"1", proven.proof)


def test_readers_see_whole_groups_while_another_thread_commits(store: Store, world: World) -> None:
    groups = [
        [world.committed({b"x": b"%d" % n, b"y": b"%d" % n}, transactions=0) for n in (2 * i, 2 * i + 1)]
        for i in range(30)
    ]
    with ThreadPoolExecutor(1) as executor:
        writing = executor.submit(lambda: [store.commit(group) for group in groups])
        reads = 0
        while not writing.done() or reads == 0:
            pairs = dict(store.scan(b"", limit=100))
            assert pairs.get(b"x") == pairs.get(b"y")
            assert int(pairs.get(b"x", b"1")) % 2 == 1
            proven = store.prove_value(b"x")
            header = store.header(proven.height)
            assert header is not None
            assert state_tree.verify_state(SUITE, header.state_root, b"x", proven.value, proven.proof)
            reads += 1
        writing.result()
    assert store.height == 60


# --- faults ---------------------------------------------------------------------------------------------------


def test_a_ledger_is_not_created_over_another(store: Store, world: World) -> None:
    path = store.path
    store.close()
    with pytest.raises(StoreExists):
        create_store(path, world)
    with open_store(path) as again:
        assert again.height == 0


def test_creation_that_was_cut_short_leaves_no_ledger_and_can_be_repeated(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(_path: Path) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "ledger"
    path.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("ledger.store_build.sync_folder", power_cut)
        with pytest.raises(KeyboardInterrupt):
            create_store(path, world)
    assert not any(path.iterdir())
    (tmp_path / "ledger.building").mkdir()
    (tmp_path / "ledger.building" / DATA_FILE).write_bytes(b"half a ledger")
    create_store(path, world).close()
    open_store(path).close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger"]


def test_a_folder_without_a_ledger_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageDamaged):
        open_store(tmp_path)


def test_a_full_map_writes_nothing_and_is_told(tmp_path: Path, world: World) -> None:
    with create_store(
        tmp_path / "ledger", world, map_size_bytes=1 << 20, map_size_bytes_max=1 << 20
    ) as store:
        small = world.committed({b"a": b"1"})
        store.commit([small])
        large = world.committed({b"a": b"2", b"large": bytes(2 << 20)})
        with pytest.raises(Unavailable):
            store.commit([large])
        assert (store.height, store.get(b"a")) == (1, b"1")
    with open_store(tmp_path / "ledger") as again:
        again.commit([large])
        assert (again.height, again.get(b"a")) == (2, b"2")


@pytest.fixture
def filled(tmp_path: Path, world: World) -> Path:
    path = tmp_path / "ledger"
    with create_store(path, world) as store:
        for height in range(6):
            writes: dict[bytes, bytes | None] = {b"key/%d" % i: fixed(height, i, size=700) for i in range(40)}
            store.commit([world.committed(writes)])
    return path


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 4097, 8192, 12288, 0.3, 0.5, 0.8])
def test_a_truncated_file_is_told_and_does_not_kill_the_process(filled: Path, kept: float) -> None:
    data = filled / DATA_FILE
    size = data.stat().st_size
    os.truncate(data, int(size * kept) if isinstance(kept, float) else kept)
    with pytest.raises(StorageDamaged):
        open_store(filled)


@pytest.mark.parametrize("at", [16, 20, 40, 4096 + 16])
def test_damaged_meta_pages_are_told(filled: Path, at: int) -> None:
    with (filled / DATA_FILE).open("r+b") as file:
        file.seek(at)
        file.write(b"\xff\xff\xff\xff")
    with pytest.raises(StorageDamaged):
        open_store(filled)


def test_a_file_short_of_free_pages_only_is_whole(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=MAP_SIZE, max_dbs=4) as environment:
        table = environment.open_db(b"table")
        for step in range(6):
            with environment.begin(table, write=True) as transaction:
                for i in range(50):
                    transaction.put(b"%d" % i, b"%d" % step * 300)
        data = tmp_path / DATA_FILE
        before = data.stat().st_size
        with environment.begin(table, write=True) as transaction:
            transaction.put(b"big", bytes(400_000))
        with environment.begin(table, write=True) as transaction:
            transaction.delete(b"big")
    assert expected_size_bytes(data) > before
    os.truncate(data, before)
    check_whole(tmp_path)
    os.truncate(data, before - 8 * 4096)
    with pytest.raises(StorageDamaged):
        check_whole(tmp_path)


@pytest.mark.parametrize("values", [400, 9000])
def test_cut_anywhere_a_file_is_told_damaged_or_can_be_read_and_written(tmp_path: Path, values: int) -> None:
    """Small values lie in the tree's pages, large ones in pages of their own."""
    with lmdb.open(str(tmp_path), map_size=MAP_SIZE, max_dbs=4) as environment:
        table = environment.open_db(b"table")
        for step in range(4):
            with environment.begin(table, write=True) as transaction:
                for i in range(step, 24, 3):
                    transaction.put(b"%02d" % i, bytes((step,)) * values)
    data = tmp_path / DATA_FILE
    whole = data.read_bytes()
    verdicts = set()
    for pages in range(len(whole) // 4096, 1, -1):
        os.truncate(data, pages * 4096)
        try:
            check_whole(tmp_path)
        except StorageDamaged:
            verdicts.add("damaged")
            continue
        verdicts.add("whole")
        program = READ_AND_WRITE.format(str(tmp_path), MAP_SIZE)
        subprocess.run([sys.executable, "-c", program], check=True)
        data.write_bytes(whole)
    assert verdicts == {"damaged", "whole"}


READ_AND_WRITE = """
import lmdb
with lmdb.open({!r}, map_size={}, max_dbs=4) as environment:
    table = environment.open_db(b"table")
    with environment.begin(table) as transaction:
        assert sum(len(value) for _, value in transaction.cursor()) > 0
    for step in range(3):
        with environment.begin(table, write=True) as transaction:
            for i in range(24):
                transaction.put(b"%02d" % i, bytes(5000))
"""


def overwrite(path: Path, table: bytes, key: bytes, value: bytes | None) -> None:
    with lmdb.open(str(path), map_size=MAP_SIZE, max_dbs=16) as environment:
        opened = environment.open_db(table)
        with environment.begin(opened, write=True) as transaction:
            if value is None:
                transaction.delete(key)
            else:
                transaction.put(key, value)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        (b"meta", b"schema", (2).to_bytes(8, "big")),
        (b"meta", b"schema", None),
        (b"meta", b"head", None),
        (b"meta", b"head", (7).to_bytes(8, "big")),
        (b"meta", b"head", (5).to_bytes(8, "big")),
        (b"meta", b"genesis", b"\x90"),
        (b"meta", b"genesis", None),
        (b"blocks", (6).to_bytes(8, "big"), b"\xc1"),
        (b"blocks", (6).to_bytes(8, "big"), None),
        (b"tree", (6).to_bytes(8, "big"), None),
        (b"tree", (6).to_bytes(8, "big"), bytes(1)),
    ],
)
def test_a_head_that_contradicts_itself_is_told(
    filled: Path, table: bytes, key: bytes, value: bytes | None
) -> None:
    if (table, key, value) == (b"meta", b"head", (5).to_bytes(8, "big")):
        overwrite(filled, b"tree", (5).to_bytes(8, "big"), bytes(1))
    overwrite(filled, table, key, value)
    with pytest.raises(StorageDamaged):
        open_store(filled)


def test_a_ledger_of_another_suite_is_told(filled: Path) -> None:
    class OtherSuite:
        name = OTHER

        def __getattr__(self, attribute: str) -> object:
            return getattr(SUITE, attribute)

    with pytest.raises(StorageDamaged):
        Store.open(filled, OtherSuite(), map_size_bytes=MAP_SIZE)  # type: ignore[arg-type]


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(Unavailable):
        store.get(b"a")


@pytest.mark.parametrize("groups", [1, 4, 9, 15])
def test_a_killed_writer_leaves_whole_groups_and_a_state_that_its_head_names(
    tmp_path: Path, groups: int
) -> None:
    path = tmp_path / "ledger"
    command = [sys.executable, "-m", "tests.unit.ledger_crash_writer", str(path)]
    root = str(Path(__file__).parent.parent.parent)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}
    ) as child:
        assert child.stdout is not None
        for _ in range(groups):
            announced = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    with Store.open(path, SUITE, retention=RETENTION) as store:
        assert store.height % GROUP_BLOCKS == 0
        assert announced - GROUP_BLOCKS <= store.height
        written = store.get(b"height")
        assert written == (b"%d" % store.height if store.height else None)
        state = dict(store.scan(b"", limit=SCAN_ENTRIES_MAX))
        tree = state_tree.update(SUITE, state_tree.NodeMap({}), None, state, 0)
        assert tree.root == store.head.state_root
        assert store.first_height == max(1, store.height - 6)
        for height in range(1, store.height + 2):
            held = store.first_height <= height <= store.height
            assert (store.block(height) is not None) == (store.results(height) is not None) == held
        assert store.first_provable_height == max(0, store.height - 5)
        for height in range(store.first_provable_height, store.height + 1):
            header, proven = store.header(height), store.prove_value(b"height", height)
            assert header is not None
            assert proven.value == (b"%d" % height if height else None)
            assert state_tree.verify_state(SUITE, header.state_root, b"height", proven.value, proven.proof)
