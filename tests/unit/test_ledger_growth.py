"""A map that is full grows, whoever is reading; a copy is one whole moment; a view says when it is gone."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from ledger import state_tree, store_map, store_space
from ledger.errors import StorageDamaged, Unavailable
from ledger.lmdb_file import DATA_FILE
from ledger.store import BOUNDARY_BLOCKS, Store
from ledger.store_map import Gate
from ledger.store_records import CommittedBlock, OtherSchema, StoreExists, number
from ledger.store_view import HeldView
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

TINY = 1 << 18


@pytest.fixture
def world() -> World:
    return World()


def create(path: Path, world: World, **options: int) -> Store:
    return Store.create(path, SUITE, world.genesis, GENESIS_STATE, **{"map_size_bytes": TINY, **options})


def filling(world: World, blocks: int) -> list[list[CommittedBlock]]:
    certificate = world.certify(world.parent)
    return [
        [
            world.committed(
                {b"key/%d/%d" % (block, at): fixed(block, at, size=2000) for at in range(20)}
                | {b"height": b"%d" % (block + 1)},
                transactions=0,
                certificate=certificate,
            )
        ]
        for block in range(blocks)
    ]


def test_a_full_map_grows_and_nothing_is_lost(tmp_path: Path, world: World) -> None:
    with create(tmp_path / "ledger", world) as store:
        for group in filling(world, 30):
            store.commit(group)
        assert store._map.env.info()["map_size"] > TINY
        assert store.space().file_bytes > TINY
        for height in range(31):
            header = store.header(height)
            assert header is not None
            proven = store.prove_value(b"height", height)
            assert proven.value == (b"%d" % height if height else None)
            assert state_tree.verify_state(SUITE, header.state_root, b"height", proven.value, proven.proof)
    # Opened with the small map again, it goes on growing.
    with Store.open(tmp_path / "ledger", SUITE, map_size_bytes=TINY) as again:
        assert again.height == 30
        again.commit([world.committed({b"large": bytes(1 << 21)}, transactions=0)])
        assert again.get(b"large") == bytes(1 << 21)


def test_a_store_is_created_with_more_than_its_first_map_takes(tmp_path: Path, world: World) -> None:
    state = {b"key/%d" % at: fixed(at, size=3000) for at in range(300)}
    with Store.create(tmp_path / "ledger", SUITE, world.genesis, state, map_size_bytes=TINY) as store:
        assert dict(store.scan(b"", limit=1000)) == state


@pytest.fixture
def short_turns() -> Iterator[None]:
    """Threads that take turns often: more ways to meet, and none that waits long for its turn."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_readers_of_many_threads_stay_right_while_the_map_grows_under_them(
    tmp_path: Path, world: World, short_turns: None
) -> None:
    groups = filling(world, 25)
    done = threading.Event()
    with create(tmp_path / "ledger", world) as store, ThreadPoolExecutor(4) as executor:

        def read() -> int:
            reads = 0
            while not done.is_set() or reads == 0:
                proven = store.prove_value(b"height")
                header = store.header(proven.height)
                assert header is not None
                assert state_tree.verify_state(
                    SUITE, header.state_root, b"height", proven.value, proven.proof
                )
                with store.reading() as view:
                    # Reading on within a read, while the writer may be waiting.
                    assert int(store.get(b"height") or b"0") >= int(view.get("state", b"height") or b"0")
                assert len(store.scan(b"key/", limit=50)) % 20 in {0, 10}
                reads += 1
            return reads

        readers = [executor.submit(read) for _ in range(3)]
        try:
            for group in groups:
                store.commit(group)
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
        assert store.height == 25


def test_a_view_outlives_commits_and_says_so_when_growth_takes_it_away(tmp_path: Path, world: World) -> None:
    with create(tmp_path / "ledger", world) as store:
        view = store.view()
        store.commit([world.committed({b"a": b"1"}, transactions=0)])
        assert view.height() == 0
        assert dict(view.state()) == GENESIS_STATE
        going = view.state()
        next(going)
        store.commit([world.committed({b"large": bytes(1 << 20)}, transactions=0)])
        for ask in (view.height, view.state_size_bytes, lambda: dict(view.state())):
            with pytest.raises(Unavailable, match="begin again"):
                ask()
        view.close()
        view.close()
        with closing(store.view()) as fresh:
            assert fresh.height() == 2
            assert dict(fresh.state())[b"large"] == bytes(1 << 20)


def test_a_view_reads_a_state_of_many_pages_once_each(tmp_path: Path, world: World) -> None:
    state = {b"key/%04d" % at: b"%d" % at for at in range(2 * 256)}
    with (
        Store.create(tmp_path / "ledger", SUITE, world.genesis, state) as store,
        closing(store.view()) as view,
    ):
        assert list(view.state()) == sorted(state.items())


def test_a_map_does_not_grow_while_somebody_stays_inside(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_map, "GROWTH_WAIT_S", 0.01)
    large = world.committed({b"large": bytes(1 << 20)}, transactions=0)
    with create(tmp_path / "ledger", world) as store, ThreadPoolExecutor(1) as executor:
        with store.reading() as view:
            committing = executor.submit(store.commit, [large])
            with pytest.raises(Unavailable, match="while it is being read"):
                committing.result()
            assert view.get("state", b"limits") == GENESIS_STATE[b"limits"]
        assert store.height == 0
        store.commit([large])
        assert store.height == 1


def test_the_gate_lets_nobody_in_while_one_is_alone() -> None:
    gate, log = Gate(), list[str]()
    with ThreadPoolExecutor(1) as executor:

        def enter() -> None:
            with gate:
                log.append("reader")

        with gate.alone(1.0):
            entering = executor.submit(enter)
            log.append("alone")
        entering.result()
    assert log == ["alone", "reader"]
    with gate, gate, pytest.raises(Unavailable), gate.alone(0):
        pass
    with gate.alone(0):
        pass


# --- copies -------------------------------------------------------------------------------------------------


def test_a_copy_is_whole_compact_and_of_one_moment_while_the_store_goes_on(
    tmp_path: Path, world: World
) -> None:
    groups = filling(world, 30)
    told: list[tuple[int, int]] = []
    with create(tmp_path / "ledger", world, map_size_bytes=1 << 26) as store:
        for group in groups[:20]:
            store.commit(group)
        with ThreadPoolExecutor(1) as executor:
            going_on = executor.submit(lambda: [store.commit(group) for group in groups[20:]])
            height = store.copy(tmp_path / "copy", lambda done, total: told.append((done, total)))
            going_on.result()
        assert 20 <= height <= 30
        assert store.height == 30
        with Store.open(tmp_path / "copy", SUITE) as copied:
            assert (copied.height, copied.get(b"height")) == (height, b"%d" % height)
            assert copied.head == store.header(height)
            assert copied.space().reusable_bytes < store.space().file_bytes // 4
    assert told
    assert told[-1][0] == told[-1][1]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy", "ledger"]


def test_a_copy_never_takes_the_place_of_anything(tmp_path: Path, world: World) -> None:
    with create(tmp_path / "ledger", world) as store:
        with pytest.raises(StoreExists):
            store.copy(tmp_path / "ledger")
        (tmp_path / "empty").mkdir()
        assert store.copy(tmp_path / "empty") == 0
        with pytest.raises(StoreExists):
            store.copy(tmp_path / "empty")


def test_a_copy_that_fails_leaves_nothing(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_space, "sync_folder", full)
    with create(tmp_path / "ledger", world) as store, pytest.raises(Unavailable, match="No space left"):
        store.copy(tmp_path / "copy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger"]


def test_a_copy_that_has_no_room_is_not_begun(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_space.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with create(tmp_path / "ledger", world) as store, pytest.raises(Unavailable, match="100 are free"):
        store.copy(tmp_path / "copy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger"]


# --- other releases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_store_of_another_release_says_what_to_do(tmp_path: Path, world: World, language: str) -> None:
    create(tmp_path / "ledger", world).close()
    with Store.open(tmp_path / "ledger", SUITE) as store:
        store._map.write(
            lambda transaction: transaction.put(b"schema", number(2), db=store._map.tables["meta"])
        )
    with pytest.raises(OtherSchema) as caught:
        Store.open(tmp_path / "ledger", SUITE)
    assert isinstance(caught.value, StorageDamaged)
    message = caught.value.message(language)
    assert all(part in message for part in ("2", "3", "zhenglian node resync", "zhenglian node restore"))


def test_a_view_at_a_boundary_can_be_closed_by_another_thread(tmp_path: Path, world: World) -> None:
    taken: list[HeldView] = []
    with (
        create(tmp_path / "ledger", world, map_size_bytes=1 << 26) as store,
        ThreadPoolExecutor(1) as executor,
    ):
        store.view_at_boundary(taken.append)
        for group in filling(world, BOUNDARY_BLOCKS):
            store.commit(group)
        assert taken[0].height() == BOUNDARY_BLOCKS
        executor.submit(taken[0].close).result()
        assert (tmp_path / "ledger" / DATA_FILE).exists()
