"""A snapshot proves itself: any wrong byte is found in the piece that holds it, and a crash leaves no store."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import codec, state_tree
from ledger.errors import InvariantViolation, LimitExceeded, StorageDamaged, Unavailable
from ledger.hashing import block_digest
from ledger.snapshot import (
    CHUNK_SIZE_BYTES,
    CHUNKS_MAX,
    MANIFEST_PATH_HEADERS_MAX,
    MANIFEST_SIZE_BYTES_MAX,
    PARTS_MAX,
    ChunkInfo,
    PartInfo,
    Snapshot,
    SnapshotManifest,
    Sorted,
    StateChunk,
    check_manifest,
    listed,
    make_chunk,
    split,
)
from ledger.snapshot_files import SnapshotFile, make_snapshot
from ledger.state_bulk import TreeBuilder, join_roots, leaf_of, subtree_root
from ledger.state_tree import EMPTY_ROOT, NodeMap
from ledger.store import BOUNDARY_BLOCKS, Store
from ledger.store_build import BUILDING_SUFFIX, Origin
from ledger.store_records import StoreExists
from ledger.store_view import StoreView
from ledger.verdicts import Check, ProofRejected
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

VALUE_SIZE = 40_000
ENTRIES = 120


def nothing() -> None:
    return None


class Chain:
    """A store of a few megabytes with a change of validators in its history, and its snapshot."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.folder = folder
        self.store = Store.create(folder / "store", SUITE, self.world.genesis, GENESIS_STATE)
        writes: dict[bytes, bytes | None] = {b"key/%d" % i: fixed(i, size=VALUE_SIZE) for i in range(ENTRIES)}
        self.store.commit([self.world.committed(writes)])
        self.store.commit(
            [self.world.committed({b"s": b"1"}, next_validators=self.world.rotated(), fillers=1)]
        )
        self.store.commit([self.world.committed({b"x": b"y"})])
        self.file = make_snapshot(SUITE, self.store.view(), folder / "snapshots", nothing)
        self.trust = replace(self.world.trust, validators=self.world.validators)
        self.origin = Origin(
            genesis=self.world.genesis, state=GENESIS_STATE, changes=self.store.epoch_changes(1)
        )

    @property
    def snapshot(self) -> Snapshot:
        return self.file.snapshot

    def piece(self, index: int) -> bytes:
        return self.file.piece(SUITE, index)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    yield made
    made.store.close()


def check_of(action: Callable[[], object]) -> str:
    with pytest.raises(ProofRejected) as caught:
        action()
    return str(caught.value.fields["check"])


# --- the tree in bulk ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(max_size=3), max_size=60))
def test_a_tree_built_from_sorted_leaves_is_the_tree_of_updates(state: dict[bytes, bytes]) -> None:
    expected = state_tree.update(SUITE, NodeMap({}), None, dict(state), 7)
    leaves = sorted(leaf_of(SUITE, key, value) for key, value in state.items())
    builder = TreeBuilder(SUITE, 7)
    nodes = [node for leaf in leaves for node in builder.add(leaf)]
    root, rest = builder.finish()
    assert root == expected.root == subtree_root(SUITE, leaves, 0)
    assert dict(nodes + rest) == expected.nodes
    assert len(nodes) + len(rest) == len(expected.nodes)


def test_leaves_out_of_order_are_our_own_fault() -> None:
    builder = TreeBuilder(SUITE, 1)
    leaf = leaf_of(SUITE, b"a", b"1")
    builder.add(leaf)
    with pytest.raises(InvariantViolation):
        builder.add(leaf)


def test_halves_join_as_the_tree_does_and_a_lone_key_rises() -> None:
    empty, one, many = (EMPTY_ROOT, 0), (fixed("one"), 1), (fixed("many"), 5)
    assert join_roots(SUITE, empty, empty) == empty
    assert join_roots(SUITE, one, empty) == join_roots(SUITE, empty, one) == one
    for left, right in ((many, empty), (empty, many), (one, one)):
        root, count = join_roots(SUITE, left, right)
        assert root not in {left[0], right[0]}
        assert count == left[1] + right[1]


# --- manifests ----------------------------------------------------------------------------------------------


def test_a_manifest_lists_the_certified_state(chain: Chain) -> None:
    snapshot = check_manifest(SUITE, chain.trust, chain.snapshot.manifest)
    assert snapshot == chain.snapshot
    assert snapshot.height == 3
    chunks = snapshot.manifest.chunks
    assert 4 < len(chunks) < 20
    assert sum(chunk.entries for chunk in chunks) == ENTRIES + 2 + len(GENESIS_STATE)
    for index in range(snapshot.piece_count):
        snapshot.check_piece(SUITE, index, chain.piece(index))


def reshaped(manifest: SnapshotManifest, change: Callable[[list[ChunkInfo]], object]) -> SnapshotManifest:
    chunks = list(manifest.chunks)
    change(chunks)
    return replace(manifest, chunks=tuple(chunks))


def first_with(**changes: Any) -> Callable[[list[ChunkInfo]], object]:
    return lambda chunks: chunks.__setitem__(0, replace(chunks[0], **changes))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda chunks: chunks.pop(), Check.SNAPSHOT_SHAPE),
        (lambda chunks: chunks.append(chunks[-1]), Check.SNAPSHOT_SHAPE),
        (lambda chunks: chunks.__setitem__(slice(0, 2), [chunks[0]]), Check.SNAPSHOT_SHAPE),
        (first_with(depth=0), Check.SNAPSHOT_SHAPE),
        (first_with(depth=256), Check.SNAPSHOT_SHAPE),
        (first_with(entries=0), Check.SNAPSHOT_SHAPE),
        (first_with(root=EMPTY_ROOT), Check.SNAPSHOT_SHAPE),
        (first_with(root=fixed("r")), Check.SNAPSHOT_ROOT),
        (lambda chunks: chunks.reverse(), Check.SNAPSHOT_ROOT),
        (lambda chunks: chunks.clear() or chunks.append(ChunkInfo(depth=0, root=fixed("r"), entries=9, size_bytes=9)),
         Check.SNAPSHOT_ROOT),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_make_the_root_is_rejected(
    chain: Chain, change: Callable[[list[ChunkInfo]], object], check: Check
) -> None:
    manifest = reshaped(chain.snapshot.manifest, change)
    assert check_of(lambda: check_manifest(SUITE, chain.trust, manifest)) == check


def test_a_manifest_of_a_block_that_is_not_final_is_rejected(chain: Chain) -> None:
    manifest = chain.snapshot.manifest
    header = replace(manifest.header, state_root=fixed("another"))
    cases = [
        (replace(manifest, version=2), Check.VERSION),
        (replace(manifest, header=header), Check.CERTIFICATE_SUBJECT),
        (
            replace(manifest, certificate=replace(manifest.certificate, signers=b"\x0e")),
            Check.CERTIFICATE_SIGNATURE,
        ),
    ]
    for bad, check in cases:
        assert check_of(lambda bad=bad: check_manifest(SUITE, chain.trust, bad)) == check
    assert check_of(lambda: check_manifest(SUITE, chain.world.trust, manifest)) == Check.EPOCH


def test_the_id_covers_what_can_be_fetched_and_not_who_signed(chain: Chain) -> None:
    manifest = chain.snapshot.manifest
    other_signers = replace(manifest, certificate=chain.world.certify(manifest.header, signers=(1, 2, 3)))
    assert check_manifest(SUITE, chain.trust, other_signers).id == chain.snapshot.id
    for bad in (first_with(entries=1_000), first_with(size_bytes=5)):
        assert listed(SUITE, reshaped(manifest, bad)).id != chain.snapshot.id


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_any_list_of_depths_is_either_a_cover_of_the_tree_or_refused(depths: list[int]) -> None:
    chunks = tuple(ChunkInfo(depth=depth, root=EMPTY_ROOT, entries=0, size_bytes=1) for depth in depths)
    world = World()
    header = replace(world.parent, state_root=EMPTY_ROOT)
    manifest = SnapshotManifest(
        version=1, header=header, path=(), certificate=world.certify(header), chunks=chunks, parts=()
    )
    starts, place = [], 0
    for depth in depths:
        starts.append(place)
        place += 2 ** (256 - depth)
    covers = place == 2**256 and all(
        start % 2 ** (256 - depth) == 0 for start, depth in zip(starts, depths, strict=True)
    )
    if covers:
        assert listed(SUITE, manifest).starts == tuple(starts)
    else:
        assert check_of(lambda: listed(SUITE, manifest)) == Check.SNAPSHOT_SHAPE


# --- pieces -------------------------------------------------------------------------------------------------


def test_a_wrong_byte_anywhere_in_a_piece_is_found_in_that_piece(chain: Chain) -> None:
    snapshot = chain.snapshot
    for index in (0, len(snapshot.manifest.chunks) - 1, snapshot.piece_count - 1):
        data = chain.piece(index)
        for at in {0, 1, 7, len(data) // 2, len(data) - 1}:
            wrong = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
            check = check_of(lambda i=index, d=wrong: snapshot.check_piece(SUITE, i, d))
            assert check in {Check.SNAPSHOT_CHUNK, Check.SNAPSHOT_BLOCK}
        for wrong in (b"", data[:-1], data + b"\0"):
            check_of(lambda i=index, d=wrong: snapshot.check_piece(SUITE, i, d))


def test_a_chunk_holds_its_own_entries_once_and_in_order(chain: Chain) -> None:
    snapshot = chain.snapshot
    entries = codec.decode(chain.piece(0), StateChunk, size_bytes_max=1 << 21).entries
    assert len(entries) > 2
    bad = [
        entries[1:],
        (entries[0], *entries),
        entries[::-1],
        (entries[0], entries[0], *entries[2:]),
        ((b"other", entries[0][1]), *entries[1:]),
        ((entries[0][0], b"other"), *entries[1:]),
    ]
    for other in bad:
        data = codec.encode(StateChunk(entries=other))
        sized = reshaped(snapshot.manifest, first_with(size_bytes=len(data), entries=len(other)))
        plan = Snapshot(id=snapshot.id, manifest=sized, starts=snapshot.starts)
        assert check_of(lambda p=plan, d=data: p.check_piece(SUITE, 0, d)) == Check.SNAPSHOT_CHUNK
        assert check_of(lambda d=data: snapshot.check_piece(SUITE, 0, d)) == Check.SNAPSHOT_CHUNK
    second = chain.piece(1)
    moved = reshaped(snapshot.manifest, first_with(**{
        name: getattr(snapshot.manifest.chunks[1], name) for name in ("root", "entries", "size_bytes")
    }))  # fmt: skip
    plan = Snapshot(id=snapshot.id, manifest=moved, starts=snapshot.starts)
    assert check_of(lambda: plan.check_piece(SUITE, 0, second)) == Check.SNAPSHOT_CHUNK


def test_an_entry_too_large_for_a_chunk_is_refused() -> None:
    value = b"x" * (CHUNK_SIZE_BYTES + 100)
    entry = Sorted(leaf_of(SUITE, b"k", value), b"k", value)
    [(depth, alone)] = split([entry], 3)
    with pytest.raises(LimitExceeded):
        make_chunk(SUITE, depth, alone)


def test_the_block_of_a_snapshot_is_its_headers(chain: Chain) -> None:
    snapshot = chain.snapshot
    parts = [chain.piece(index) for index in range(len(snapshot.manifest.chunks), snapshot.piece_count)]
    finalized, results = snapshot.block(SUITE, parts)
    assert (finalized, results) == (chain.store.block(3), chain.store.results(3))
    other = World()
    other.next_block({})
    for wrong in (
        b"",
        parts[0][:-1],
        codec.encode(((), ())),
        codec.encode((finalized.block.transactions, ())),
    ):
        assert check_of(lambda w=wrong: snapshot.block(SUITE, [w])) == Check.SNAPSHOT_BLOCK


# --- files --------------------------------------------------------------------------------------------------


def test_equal_heights_give_equal_bytes_whatever_the_history_of_the_store(
    chain: Chain, tmp_path: Path
) -> None:
    """One node had the blocks, another began with a snapshot, a third groups its commits otherwise."""
    synced = Store.create_from_snapshot(tmp_path / "a", SUITE, chain.origin, chain.snapshot, chain.piece)
    again = make_snapshot(SUITE, synced.view(), tmp_path / "snapshots", nothing)
    synced.close()
    for name in ("manifest", "pieces"):
        assert (again.path / name).read_bytes() == (chain.file.path / name).read_bytes()


def test_cutting_does_not_depend_on_how_the_state_was_dealt_out(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bucket_size in (1 << 12, 1 << 18, 1 << 30):
        monkeypatch.setattr("ledger.snapshot_files.BUCKET_SIZE_BYTES", bucket_size)
        other = make_snapshot(SUITE, chain.store.view(), tmp_path / str(bucket_size), nothing)
        assert other.encoded_manifest == chain.file.encoded_manifest
        assert (other.path / "pieces").read_bytes() == (chain.file.path / "pieces").read_bytes()


def test_a_snapshot_is_of_one_moment_while_the_chain_goes_on(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    view = chain.store.view()
    later = itertools.count()

    def commit() -> None:
        chain.store.commit([chain.world.committed({b"key/1": b"%d" % next(later)}, transactions=0)])

    made = make_snapshot(SUITE, view, tmp_path / "other", commit)
    assert next(later) > 5
    assert made.encoded_manifest == chain.file.encoded_manifest
    chain.store.close()


def test_a_damaged_or_torn_snapshot_is_told(chain: Chain, tmp_path: Path) -> None:
    made = make_snapshot(SUITE, chain.store.view(), tmp_path, nothing)
    pieces = made.path / "pieces"
    data = pieces.read_bytes()
    pieces.write_bytes(data[:100] + b"\xff" + data[101:])
    with pytest.raises(StorageDamaged):
        SnapshotFile.open(SUITE, made.path).piece(SUITE, 0)
    pieces.write_bytes(data[:-1])
    with pytest.raises(StorageDamaged):
        SnapshotFile.open(SUITE, made.path)
    pieces.unlink()
    for broken in (made.path, tmp_path / "nowhere"):
        with pytest.raises(StorageDamaged):
            SnapshotFile.open(SUITE, broken)


def test_a_state_or_a_block_too_large_for_a_snapshot_is_refused(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ledger.snapshot_files.CHUNKS_MAX", len(chain.snapshot.manifest.chunks) - 1)
        with pytest.raises(Unavailable):
            make_snapshot(SUITE, chain.store.view(), tmp_path, nothing)
    with monkeypatch.context() as patch:
        patch.setattr("ledger.snapshot.CHUNK_SIZE_BYTES", 4)
        with pytest.raises(LimitExceeded):
            make_snapshot(SUITE, chain.store.view(), tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_manifest_fits_its_bound(chain: Chain) -> None:
    large = replace(
        chain.snapshot.manifest,
        path=(replace(chain.snapshot.manifest.header, height=2**53 - 1, view=2**53 - 1),)
        * MANIFEST_PATH_HEADERS_MAX,
        chunks=(ChunkInfo(depth=256, root=fixed("r"), entries=2**40, size_bytes=1 << 20),) * CHUNKS_MAX,
        parts=(PartInfo(digest=fixed("d"), size_bytes=1 << 20),) * PARTS_MAX,
    )
    assert len(codec.encode(large)) < MANIFEST_SIZE_BYTES_MAX


def test_what_cannot_be_made_leaves_nothing_behind(chain: Chain, tmp_path: Path) -> None:
    calls = itertools.count()

    def give_up() -> None:
        if next(calls) == 5:
            raise Unavailable(what="snapshot", reason="too slow")

    with pytest.raises(Unavailable):
        make_snapshot(SUITE, chain.store.view(), tmp_path / "folder", give_up)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        make_snapshot(SUITE, chain.store.view(), tmp_path / "file", nothing)
    assert list((tmp_path / "folder").iterdir()) == []


def test_at_genesis_and_above_a_long_proof_there_is_no_snapshot(tmp_path: Path) -> None:
    world = World()
    with Store.create(tmp_path / "store", SUITE, world.genesis, GENESIS_STATE) as store:
        with pytest.raises(Unavailable):
            make_snapshot(SUITE, store.view(), tmp_path / "snapshots", nothing)
        fillers = MANIFEST_PATH_HEADERS_MAX + 1
        store.commit([world.committed({b"a": b"b"}, next_validators=world.rotated(), fillers=fillers)])
        with pytest.raises(Unavailable):
            make_snapshot(SUITE, store.view(), tmp_path / "snapshots", nothing)


# --- the store ----------------------------------------------------------------------------------------------


def test_a_store_from_a_snapshot_goes_on_like_any_other(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    path = tmp_path / "synced"
    path.mkdir()
    Store.create_from_snapshot(path, SUITE, chain.origin, chain.snapshot, chain.piece).close()
    with Store.open(path, SUITE) as store:
        assert (store.height, store.first_height, store.head) == (3, 3, chain.store.head)
        assert store.genesis == chain.world.genesis
        assert dict(store.view().state()) == dict(chain.store.view().state())
        assert store.epoch_changes(1) == chain.store.epoch_changes(1) != ()
        assert (store.block(3), store.results(3)) == (chain.store.block(3), chain.store.results(3))
        assert store.block(2) is store.results(2) is store.header(2) is None
        assert store.header(0) == chain.store.header(0)
        assert store.height_of(store.head_digest) == 3
        assert store.header_by_digest(
            block_digest(SUITE, chain.store.header(0) or store.head)
        ) == store.header(0)
        for index, result in enumerate(store.results(3) or ()):
            assert store.transaction_location(result.transaction_id) == (3, index)
        writes: dict[bytes, bytes | None] = {b"key/7": None, b"new": b"1"}
        tree = state_tree.update(SUITE, store, 3, writes, 4)
        block = chain.world.committed(writes)
        assert tree.root == block.finalized.block.header.state_root
        # The synced node commits its own tree: same root, other versions.
        store.commit([type(block)(
            finalized=block.finalized, results=block.results, writes=writes, nodes=tree.nodes, stale=tree.stale
        )])  # fmt: skip
        proof = store.prove(b"new")
        assert state_tree.verify_state(SUITE, store.head.state_root, b"new", b"1", proof)
        assert [final.block.header.height for final in store.blocks(3, blocks_max=9, size_bytes=1 << 30)] == [
            3,
            4,
        ]
        assert store.blocks(2, blocks_max=9, size_bytes=1 << 30) == ()
    chain.store.close()


def test_a_crash_at_any_piece_leaves_nothing_that_could_be_a_store(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "store"
    for at in range(chain.snapshot.piece_count):

        def power_cut(index: int, at: int = at) -> bytes:
            if index == at:
                raise KeyboardInterrupt
            return chain.piece(index)

        with pytest.raises(KeyboardInterrupt):
            Store.create_from_snapshot(path, SUITE, chain.origin, chain.snapshot, power_cut)
        assert not path.exists()
    left = tmp_path / ("store" + BUILDING_SUFFIX)
    left.mkdir()
    (left / "data.mdb").write_bytes(b"half a store")
    Store.create_from_snapshot(path, SUITE, chain.origin, chain.snapshot, chain.piece).close()
    with pytest.raises(StoreExists):
        Store.create_from_snapshot(path, SUITE, chain.origin, chain.snapshot, chain.piece)
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


KILLED_BUILDER = """
import os, signal, sys
from pathlib import Path
from ledger import store_build
from ledger.snapshot_files import SnapshotFile
from ledger.store import Store
from ledger.store_build import Origin
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World

file, place, at = SnapshotFile.open(SUITE, Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
world = World()
world.committed({})
change = world.committed({b"s": b"1"}, next_validators=world.rotated(), fillers=1).epoch_change
origin = Origin(genesis=world.genesis, state=GENESIS_STATE, changes=(change,))

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if at < 0:
    store_build.sync_folder = die
Store.create_from_snapshot(
    place, SUITE, origin, file.snapshot, lambda index: die() if index == at else file.piece(SUITE, index)
)
"""


@pytest.mark.parametrize("at", [0, 3, -1])
def test_a_process_killed_while_it_builds_leaves_nothing_that_could_be_a_store(
    chain: Chain, tmp_path: Path, at: int
) -> None:
    """At the first piece, in the middle, and when all is written but not yet in its place."""
    path = tmp_path / "store"
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", KILLED_BUILDER, str(chain.file.path), str(path), str(at)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        capture_output=True,
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
    assert (tmp_path / ("store" + BUILDING_SUFFIX)).exists()
    assert not path.exists()
    Store.create_from_snapshot(path, SUITE, chain.origin, chain.snapshot, chain.piece).close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


def test_a_store_is_not_built_of_pieces_that_are_not_the_snapshots(chain: Chain, tmp_path: Path) -> None:
    def swapped(index: int) -> bytes:
        return chain.piece(index ^ 1)

    with pytest.raises(ProofRejected):
        Store.create_from_snapshot(tmp_path / "s", SUITE, chain.origin, chain.snapshot, swapped)
    with pytest.raises(Unavailable):
        Store.create_from_snapshot(
            tmp_path / "s",
            SUITE,
            chain.origin,
            chain.snapshot,
            chain.piece,
            map_size_bytes=1 << 18,
            map_size_bytes_max=1 << 18,
        )
    without = Origin(genesis=chain.origin.genesis, state=GENESIS_STATE)
    with pytest.raises(InvariantViolation):
        Store.create_from_snapshot(tmp_path / "s", SUITE, without, chain.snapshot, chain.piece)
    assert list(tmp_path.iterdir()) == []


def test_a_view_is_taken_at_a_boundary_even_in_the_middle_of_a_group(tmp_path: Path) -> None:
    world = World()
    taken: list[StoreView] = []
    blocks = [world.committed({b"n": b"%d" % n}, transactions=0) for n in range(1, BOUNDARY_BLOCKS + 6)]
    with Store.create(tmp_path / "store", SUITE, world.genesis, GENESIS_STATE) as store:
        store.view_at_boundary(taken.append)
        store.commit(blocks[:3])
        assert taken == []
        store.commit(blocks[3:])
        assert store.height == BOUNDARY_BLOCKS + 5
        [view] = taken
        assert view.height() == BOUNDARY_BLOCKS
        assert view.get("state", b"n") == b"%d" % BOUNDARY_BLOCKS
        view.close()
        store.view_at_boundary(taken.append)
        store.view_at_boundary(None)
        store.commit([world.committed({}, transactions=0) for _ in range(BOUNDARY_BLOCKS)])
        assert len(taken) == 1


def test_a_commit_that_failed_behind_a_boundary_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    blocks = [world.committed({b"n": b"%d" % n}, transactions=0) for n in range(1, BOUNDARY_BLOCKS + 6)]
    with Store.create(tmp_path / "store", SUITE, world.genesis, GENESIS_STATE) as store:
        write = store._commit_group

        def full_disk(group: list[object]) -> None:
            if store.height == BOUNDARY_BLOCKS:
                raise Unavailable(what="ledger store", reason="no space left")
            write(group)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(store, "_commit_group", full_disk)
            with pytest.raises(Unavailable):
                store.commit(blocks)
        assert store.height == BOUNDARY_BLOCKS
        store.commit(blocks)
        assert store.height == BOUNDARY_BLOCKS + 5
        store.commit(blocks)
        fork = World()
        other = [fork.committed({b"n": b"other"}, transactions=0)]
        with pytest.raises(InvariantViolation):
            store.commit(other)
