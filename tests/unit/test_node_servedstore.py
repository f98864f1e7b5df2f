"""A running node gives what was certified or nothing: no flipped byte of its store leaves it, by whichever door."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from consensus.core.messages import FetchFinalized
from consensus.sync import Server
from contracts.state import ACCOUNTS
from ledger import codec
from ledger.errors import LedgerError, StorageDamaged
from ledger.hashing import transaction_id
from ledger.lmdb_file import DATA_FILE
from ledger.receipts import verify_receipt
from ledger.snapshot_files import make_snapshot
from ledger.state_receipts import verify_state_receipt
from ledger.store_records import number
from node.index.follower import catch_up
from node.index.sqlite import SqliteIndex
from node.servedstore import ServedDamaged, ServedStore
from node.statesync import ServeSettings, SnapshotServer
from node.statesync.messages import GetProgress
from tests.unit.contracts_world import BANK, LI
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed
from tests.unit.node_replica import CARD, Replica
from tests.unit.test_node_storecheck import change, content

FLIPS = 200
BLOCKS = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's folder with a story on its chain."""
    folder = tmp_path_factory.mktemp("made")
    replica = Replica(folder)
    replica.populate()
    while replica.commit():
        pass
    replica.close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "node"))


@pytest.fixture
def node(folder: Path) -> Iterator[Replica]:
    replica = Replica(folder)
    yield replica
    replica.close()


def flip_in_file(folder: Path, wanted: bytes) -> int:
    """Flip a bit of the last byte of every occurrence in the data file, beneath whoever has it mapped; how many there were."""
    path = folder / "store" / DATA_FILE
    data = path.read_bytes()
    found, at = 0, data.find(wanted)
    with path.open("r+b") as file:
        while at >= 0:
            end = at + len(wanted) - 1
            file.seek(end)
            file.write(bytes((data[end] ^ 1,)))
            found, at = found + 1, data.find(wanted, at + 1)
    return found


# --- what is whole is served ----------------------------------------------------------------------------------------


def test_a_whole_store_serves_everything_and_is_not_called_damaged(node: Replica) -> None:
    chain = node.chain
    for height in range(1, chain.height + 1):
        assert chain.finalized(height) == chain.contents(height)
        assert len(chain.results(height)) > 0 or not chain.finalized(height).block.transactions  # type: ignore[union-attr]
    first = chain.finalized(1)
    assert first is not None
    verify_receipt(chain.trust(), chain.receipt(transaction_id(SUITE, first.block.transactions[0].body)))
    verify_state_receipt(chain.trust(), chain.state_receipt(ACCOUNTS.key(LI.account)))
    assert chain.records.account(LI.account) is not None
    assert chain.records.account(bytes(16)) is None
    assert chain.damage == ""


# --- each door, under a live reader ---------------------------------------------------------------------------------


def first_block(node: Replica) -> Any:
    block = node.chain.finalized(1)
    assert block is not None
    return block


Door = Callable[[Replica, bytes], object]
DOORS: dict[str, tuple[Callable[[Replica], bytes], Door]] = {
    "block": (
        lambda node: first_block(node).block.header.state_root,
        lambda node, _: node.chain.finalized(1),
    ),
    "header": (
        lambda node: first_block(node).block.header.results_root,
        lambda node, _: node.chain.header(1),
    ),
    "certificate": (
        lambda node: first_block(node).certificate.signature,
        lambda node, _: node.chain.finalized(1),
    ),
    "transaction": (
        lambda node: first_block(node).block.transactions[0].signature,
        lambda node, _: node.chain.finalized(1),
    ),
    "contents for the index": (
        lambda node: first_block(node).block.transactions[0].body.nonce,
        lambda node, _: node.chain.contents(1),
    ),
    "results": (
        lambda node: codec.encode(node.chain.results(1)),
        lambda node, _: node.chain.results(1),
    ),
    "receipt": (
        lambda node: codec.encode(node.chain.results(1)),
        lambda node, _: node.chain.receipt(
            transaction_id(SUITE, first_block(node).block.transactions[0].body)
        ),
    ),
    "state value": (
        lambda node: node.store.get(ACCOUNTS.key(LI.account)) or b"",
        lambda node, _: node.chain.records.account(LI.account),
    ),
    "listed state": (
        lambda node: getattr(node.chain.records.certificate_type(CARD), "schema", b"")[-64:],
        lambda node, _: node.chain.records.certificate_types(),
    ),
    "state receipt": (
        lambda node: node.store.get(ACCOUNTS.key(BANK.account)) or b"",
        lambda node, _: node.chain.state_receipt(ACCOUNTS.key(BANK.account)),
    ),
    "validators": (
        lambda node: node.chain.validators.validators[0].vote_key,
        lambda node, _: node.chain.validators,
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_differs_is_refused_by_a_node_that_has_not_read_it_yet(folder: Path, door: str) -> None:
    wanted_of, read = DOORS[door]
    with closing(Replica(folder)) as whole:
        wanted = wanted_of(whole)
    with closing(Replica(folder)) as node:
        assert wanted
        assert flip_in_file(folder, wanted) > 0
        with pytest.raises(StorageDamaged):
            read(node, wanted)
        assert node.chain.damage


@pytest.mark.parametrize("door", DOORS)
def test_what_differs_is_refused_by_a_node_that_has_served_it_before(folder: Path, door: str) -> None:
    wanted_of, read = DOORS[door]
    with closing(Replica(folder)) as node:
        wanted = wanted_of(node)
        read(node, wanted)
        flip_in_file(folder, wanted)
        with pytest.raises(StorageDamaged):
            read(node, wanted)


@pytest.mark.parametrize("table", ["blocks", "results", "digests", "state"])
def test_what_is_missing_is_not_told_as_nothing(folder: Path, table: str) -> None:
    key = {"state": ACCOUNTS.key(LI.account)}.get(table, number(1))
    if table == "digests":
        with closing(Replica(folder)) as whole:
            key = whole.store.block(2).block.header.parent  # type: ignore[union-attr]
    change(folder / "store", table, key, None)
    with closing(Replica(folder)) as node:
        read: Callable[[], object] = {
            "results": lambda: node.chain.results(1),
            "state": lambda: node.chain.records.account(LI.account),
        }.get(table, lambda: node.chain.finalized(1))
        with pytest.raises(StorageDamaged):
            read()


def test_a_transaction_that_is_listed_elsewhere_is_refused(folder: Path) -> None:
    with closing(Replica(folder)) as whole:
        name = transaction_id(SUITE, first_block(whole).block.transactions[0].body)
    change(folder / "store", "transactions", name, number(2) + bytes(4))
    with closing(Replica(folder)) as node, pytest.raises(ServedDamaged):
        node.chain.receipt(name)


def test_peers_that_ask_for_blocks_get_what_is_whole_before_the_damage_and_none_of_it(folder: Path) -> None:
    with closing(Replica(folder)) as whole:
        third = whole.store.block(3)
    assert third is not None
    with closing(Replica(folder)) as node:
        flip_in_file(folder, third.certificate.signature)
        served = Server(node.execution)
        answer = served.finalized_range(FetchFinalized(first_height=1))
        assert [one.block.header.height for one in answer.blocks] == [1, 2]
        assert served.finalized_range(FetchFinalized(first_height=3)).blocks == ()
        assert node.chain.damage.startswith("block 3")


async def test_the_index_gets_no_damaged_block(folder: Path) -> None:
    with closing(Replica(folder)) as whole:
        nonce = first_block(whole).block.transactions[0].body.nonce
    with closing(Replica(folder)) as node:
        flip_in_file(folder, nonce)
        index = SqliteIndex(folder / "index.sqlite", node.store.chain_id)
        with pytest.raises(StorageDamaged):
            await catch_up(node.chain, index)
        assert index.height == 0
        await index.close()


# --- epochs and snapshots -------------------------------------------------------------------------------------------


@pytest.fixture
def epochs(tmp_path: Path) -> Iterator[ServedStore]:
    """A store over two changes of validators."""
    world = World()
    with ServedStore.create(tmp_path / "epochs", SUITE, world.genesis, GENESIS_STATE) as store:
        for height in range(1, BLOCKS):
            following = world.rotated() if height in {3, 5} else None
            writes: dict[bytes, bytes | None] = {b"key/%d" % height: fixed(height, size=300)}
            store.commit([world.committed(writes, transactions=1, next_validators=following)])
    with ServedStore.open(tmp_path / "epochs", SUITE) as store:
        yield store


def test_blocks_of_every_epoch_are_proven_by_the_sets_that_genesis_leads_to(epochs: ServedStore) -> None:
    assert [epochs.block(height) is not None for height in range(1, BLOCKS)] == [True] * (BLOCKS - 1)
    assert len(epochs.epoch_changes(1)) == 2
    assert epochs.damage == ""


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("how", ["flipped", "missing", "other"])
def test_a_change_of_validators_that_differs_is_refused(epochs: ServedStore, epoch: int, how: str) -> None:
    epochs.close()
    records = dict(content(epochs.path)["epochs"])
    value = bytearray(records[number(epoch)])
    value[-20] ^= 1
    new = {"flipped": bytes(value), "missing": None, "other": records[number(3 - epoch)]}[how]
    change(epochs.path, "epochs", number(epoch), new)
    try:
        store = ServedStore.open(epochs.path, SUITE)
    except StorageDamaged:
        return  # the head's certificate could not be proven
    with store, pytest.raises(StorageDamaged):
        store.epoch_changes(1)


async def test_a_newcomer_gets_no_damaged_head_and_no_snapshot_of_a_damaged_state(
    folder: Path, tmp_path: Path
) -> None:
    with closing(Replica(folder)) as whole:
        head = whole.store.block(whole.store.height)
        value = whole.store.get(ACCOUNTS.key(LI.account))
    assert head is not None
    assert value is not None
    with closing(Replica(folder)) as node:
        server = SnapshotServer(suite=SUITE, folder=tmp_path / "snapshots", settings=ServeSettings())
        server.attach(node.store)
        flip_in_file(folder, value)
        with pytest.raises(LedgerError):
            make_snapshot(SUITE, node.store.view(), tmp_path / "made", lambda: None)
        assert not list((tmp_path / "made").glob("*"))
        flip_in_file(folder, head.certificate.signature)
        with pytest.raises(StorageDamaged):
            await server.serve(bytes(16), codec.encode(GetProgress(from_epoch=1)))
        await server.stop()


# --- any byte -------------------------------------------------------------------------------------------------------


def served(folder: Path) -> dict[str, object]:
    """Everything that a node of this folder gives, None where it refuses."""
    given: dict[str, object] = {}

    def note(name: str, read: Callable[[], object]) -> None:
        try:
            given[name] = read()
        except LedgerError:
            given[name] = None

    try:
        node = Replica(folder)
    except LedgerError:
        return {}
    with closing(node):
        chain = node.chain
        for height in range(1, node.store.height + 1):
            note(f"block {height}", lambda at=height: chain.finalized(at))  # type: ignore[misc]
            note(f"results {height}", lambda at=height: chain.results(at))  # type: ignore[misc]
        note("account", lambda: codec.encode(chain.records.account(LI.account)))
        note("types", lambda: codec.encode(chain.records.certificate_types()))
        note("validators", lambda: chain.validators)
        note("receipt", lambda: codec.encode(chain.state_receipt(ACCOUNTS.key(BANK.account))))
        note("peers", lambda: Server(node.execution).finalized_range(FetchFinalized(first_height=1)))
    return given


@pytest.mark.slow
def test_no_flipped_byte_of_the_file_is_ever_served(made: Path, folder: Path) -> None:
    random = Random(11)
    data = (made / "store" / DATA_FILE).read_bytes()
    expected = served(folder)
    refused = 0
    for _ in range(FLIPS):
        at = random.randrange(len(data))
        flipped = bytearray(data)
        flipped[at] ^= 1 << random.randrange(8)
        (folder / "store" / DATA_FILE).write_bytes(flipped)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            verdict = b"died"
            try:
                given = served(folder)
                wrong = [
                    name
                    for name, value in given.items()
                    if value is not None and name != "peers" and value != expected[name]
                ]
                blocks = getattr(given.get("peers"), "blocks", ())
                whole = getattr(expected["peers"], "blocks", ())
                if blocks != whole[: len(blocks)]:
                    wrong.append("peers")
                less = len(given) < len(expected) or None in given.values() or len(blocks) < len(whole)
                verdict = ("wrong " + ",".join(wrong)).encode() if wrong else b"less" if less else b"same"
            finally:
                os.write(writer, verdict)
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            verdict = pipe.read() or b"died"
        os.waitpid(child, 0)
        assert not verdict.startswith(b"wrong"), (at, verdict)
        refused += verdict != b"same"
    assert refused > FLIPS // 20
