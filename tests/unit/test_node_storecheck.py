"""A store is proven equal to what was certified, or the place where it is not is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import lmdb
import pytest

from ledger import codec
from ledger.lmdb_file import DATA_FILE
from ledger.store import Retention, Store
from ledger.store_records import number
from ledger.store_view import MAP_SIZE_BYTES, TABLES
from node.storecheck import check_store
from node.storechild import StoreReport, StoreTask, read_store
from tests.tamper.campaign import Campaign
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed
from tests.unit.test_ledger_snapshot import Chain

RETAIN_VERSIONS = 5
FLIPS_IN_USE, FLIPS_SPARE = 70, 20
Content = dict[str, list[tuple[bytes, bytes]]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "store"
    with Store.create(
        folder, SUITE, world.genesis, GENESIS_STATE, retention=Retention(proof_blocks=RETAIN_VERSIONS)
    ) as store:
        for height in range(1, 13):
            writes: dict[bytes, bytes | None] = {
                b"key/%d" % at: fixed(height, at, size=100) for at in range(height, height + 20)
            }
            writes[b"key/%d" % (height - 1)] = None
            if height % 5 == 0:
                writes[b"long"] = fixed(height, size=9000)
            store.commit([world.committed(writes, transactions=2)])
    return folder


@pytest.fixture
def store(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def faults(folder: Path, world: World, *, pages: bool = True, sample: int | None = None) -> list[str]:
    found = check_store(
        folder,
        genesis=world.genesis,
        sample=sample,
        pages=pages,
        progress=lambda stage, done, total: None,
    )
    return found.faults


def content(folder: Path) -> Content:
    env = lmdb.open(str(folder), map_size=MAP_SIZE_BYTES, max_dbs=len(TABLES), readonly=True)
    try:
        with env.begin() as transaction:
            return {name: _records(env, transaction, name) for name in TABLES}
    finally:
        env.close()


def _records(env: lmdb.Environment, transaction: lmdb.Transaction, name: str) -> list[tuple[bytes, bytes]]:
    table = env.open_db(name.encode(), transaction, create=False)
    return [(bytes(key), bytes(value)) for key, value in transaction.cursor(table)]


def change(folder: Path, table: str, key: bytes, value: bytes | None) -> None:
    """Write what no commit would, as sound pages."""
    env = lmdb.open(str(folder), map_size=MAP_SIZE_BYTES, max_dbs=len(TABLES))
    opened = env.open_db(table.encode())
    with env.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key, db=opened)
        else:
            transaction.put(key, value, db=opened)
    env.close()


def test_a_store_as_it_was_written_is_proven_whole(store: Path, world: World) -> None:
    found = check_store(
        store,
        genesis=world.genesis,
        sample=None,
        pages=True,
        progress=lambda stage, done, total: None,
    )
    assert found.faults == []
    assert (found.height, found.blocks, found.certificates) == (12, 12, 12)
    assert found.state_values == len(content(store)["state"])


def test_a_sample_of_certificates_proves_the_rest_no_less(store: Path, world: World) -> None:
    found = check_store(
        store,
        genesis=world.genesis,
        sample=2,
        pages=True,
        progress=lambda stage, done, total: None,
    )
    assert (found.faults, found.blocks) == ([], 12)
    assert 2 <= found.certificates <= 4


def test_every_changed_record_of_every_table_is_found_and_named(
    store: Path, world: World, whole: Path
) -> None:
    records = content(whole)
    for table, held in records.items():
        if not held:
            continue
        key, value = held[len(held) // 2]
        changed = bytes((value[0] ^ 1,)) + value[1:] if value else b"\1"
        for new in (changed, None):
            shutil.rmtree(store)
            shutil.copytree(whole, store)
            change(store, table, key, new)
            assert faults(store, world), (table, key, new)
        shutil.rmtree(store)
        shutil.copytree(whole, store)
        change(store, table, key[:-1] + bytes((key[-1] ^ 1,)), value)
        assert faults(store, world), (table, key)


def test_the_place_of_a_wrong_value_is_named(store: Path, world: World) -> None:
    change(store, "state", b"key/13", b"other")
    found = check_store(
        store,
        genesis=world.genesis,
        sample=None,
        pages=True,
        progress=lambda stage, done, total: None,
    )
    [place] = found.places
    assert (place.table, place.key) == ("state", b"key/13")
    expected = f"state: key b'key/13' has not the value that the tree certifies (page {place.page})"
    assert found.faults == [expected]
    size = 4096
    page = (store / DATA_FILE).read_bytes()[place.page * size : (place.page + 1) * size]
    assert b"key/13other" in page


def test_a_listing_of_what_is_no_transaction_here_is_found(store: Path, world: World) -> None:
    change(store, "transactions", bytes(32), number(3) + bytes(4))
    assert faults(store, world) == ["transactions: 25 records, but the chain has 24"]


def test_a_store_that_began_with_a_snapshot_after_a_change_of_validators_is_proven_too(
    tmp_path: Path,
) -> None:
    chain = Chain(tmp_path)
    Store.create_from_snapshot(tmp_path / "synced", SUITE, chain.origin, chain.snapshot, chain.piece).close()
    chain.store.close()
    for folder in (tmp_path / "synced", chain.store.path):
        assert faults(folder, chain.world) == []


def test_a_store_of_another_network_is_refused(store: Path) -> None:
    (fault,) = faults(store, World(n=5))
    assert fault.startswith("meta: its genesis is not the network's (page ")


@pytest.mark.slow
def test_every_flip_that_changes_what_is_read_is_found_and_located_and_none_in_spare_room(
    tmp_path: Path,
) -> None:
    campaign = Campaign(tmp_path)
    in_use = [at for at, used in enumerate(campaign.used) if used]
    spare = [at for at, used in enumerate(campaign.used) if not used]
    random = Random(7)
    positions = sorted(random.sample(in_use, FLIPS_IN_USE) + random.sample(spare, FLIPS_SPARE))
    outcome = campaign.run(positions, lambda at: at % 8)
    assert outcome.wrong == []
    assert outcome.unlocated == []
    assert outcome.verdicts["contents differ, found"] > FLIPS_IN_USE // 2
    assert outcome.verdicts["spare byte"] == FLIPS_SPARE


def test_an_older_root_that_passes_for_the_newer_one_is_found(store: Path, world: World) -> None:
    data = bytearray((store / DATA_FILE).read_bytes())
    numbers = [int.from_bytes(data[at : at + 8], "little") for at in (144, 4096 + 144)]
    older = numbers.index(min(numbers))
    data[older * 4096 + 144 : older * 4096 + 152] = (min(numbers) + 2).to_bytes(8, "little")
    (store / DATA_FILE).write_bytes(data)
    [fault] = faults(store, world)
    assert "meta pages" in fault


@pytest.mark.slow
def test_a_file_cut_at_any_page_is_found_by_a_child_that_may_die(store: Path, world: World) -> None:
    task = StoreTask(folder=str(store), genesis=codec.encode(world.genesis), depth="check")
    size_bytes = (store / DATA_FILE).stat().st_size
    whole = (store / DATA_FILE).read_bytes()
    for share in (0, 1, size_bytes // 2):
        (store / DATA_FILE).write_bytes(whole[:share])
        assert read(task).faults
        assert read(StoreTask(folder=task.folder, genesis=task.genesis, depth="glance")).faults


def test_a_child_opens_and_checks_and_tells_how_far_it_is(store: Path, world: World) -> None:
    genesis = codec.encode(world.genesis)
    opened = read(StoreTask(folder=str(store), genesis=genesis, depth="glance"))
    assert (opened.faults, opened.height) == ((), 12)
    stages: list[str] = []
    task = StoreTask(folder=str(store), genesis=genesis, depth="check")
    report = read_store(task, lambda stage, done, total: stages.append(stage))
    assert (report.faults, report.blocks) == ((), 12)
    assert {"pages", "blocks", "tree", "state"} <= set(stages)


def read(task: StoreTask) -> StoreReport:
    return read_store(task, lambda stage, done, total: None)


def test_a_missing_store_is_said(tmp_path: Path, world: World) -> None:
    assert faults(tmp_path / "nothing", world)
