"""A node that begins with a snapshot: whatever peers send, what it ends with is the certified state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger import codec
from ledger.errors import Busy, DecodeError, LedgerError, LimitExceeded, NotFound, Unavailable
from ledger.store import BOUNDARY_BLOCKS, Store
from ledger.types import EpochChange
from network.frames import SNAPSHOT_BYTES_MAX
from node.statesync import Outcome, ServeSettings, SnapshotServer, StateSync, SyncSettings
from node.statesync import download as download_module
from node.statesync import server as server_module
from node.statesync.messages import (
    MESSAGE_SIZE_BYTES_MAX,
    CertifiedHead,
    GetOffer,
    GetPiece,
    GetProgress,
    Offer,
    Piece,
    Progress,
    decode_request,
)
from tests.unit.ledger_world import GENESIS_STATE, SUITE, World, fixed

ENTRIES = 100
VALUE_SIZE = 40_000
HEIGHT = 12
SERVE = ServeSettings(snapshot_every_blocks=5, snapshot_interval_s=0.0, boundary_wait_s=0.01)
SYNC = SyncSettings(
    state_sync_above_blocks=5,
    discover_s=0.5,
    make_wait_s=5.0,
    gather_s=5.0,
    poll_s=0.01,
    request_timeout_s=0.2,
    piece_timeout_s=0.2,
)

Handler = Callable[[bytes], Awaitable[bytes]]
PEERS = tuple(fixed("peer", number, size=16) for number in range(3))


def grow(world: World, store: Store, blocks: int, value: bytes = b"v") -> None:
    for _ in range(blocks):
        height = world.parent.height + 1
        store.commit([world.committed({b"n": b"%d" % height, b"w": value}, transactions=1)])


class Network:
    """Peers in one process; each answers by its handler, within the time-out that the real network keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World()
        self.store = Store.create(folder / "source", SUITE, self.world.genesis, GENESIS_STATE)
        writes: dict[bytes, bytes | None] = {b"key/%d" % i: fixed(i, size=VALUE_SIZE) for i in range(ENTRIES)}
        self.store.commit([self.world.committed(writes)])
        self.store.commit([self.world.committed({}, next_validators=self.world.rotated(1), fillers=2)])
        grow(self.world, self.store, HEIGHT - 2)
        self.servers: dict[bytes, SnapshotServer] = {}
        self.handlers: dict[bytes, Handler] = {}
        self.asked: list[tuple[bytes, object]] = []
        for peer in PEERS:
            self.add(peer)

    def add(self, peer: bytes, store: Store | None = None, settings: ServeSettings = SERVE) -> SnapshotServer:
        server = SnapshotServer(suite=SUITE, folder=self.folder / f"serve-{peer.hex()}", settings=settings)
        server.attach(store or self.store)
        self.servers[peer] = server
        self.handlers[peer] = lambda payload: server.serve(b"newcomer", payload)
        return server

    async def request(self, peer: bytes, payload: bytes, timeout_s: float) -> bytes:
        self.asked.append((peer, decode_request(payload)))
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.handlers[peer](payload)
        except TimeoutError:
            raise Unavailable(what=peer.hex(), reason="no answer") from None
        assert len(answer) <= SNAPSHOT_BYTES_MAX
        return answer

    def newcomer(self, *, settings: SyncSettings = SYNC, **changes: Any) -> StateSync:
        arguments: dict[str, Any] = {
            "suite": SUITE,
            "genesis": self.world.genesis,
            "genesis_state": GENESIS_STATE,
            "store_path": self.folder / "new",
            "folder": self.folder / "incoming",
            "request": self.request,
            "peers": lambda: tuple(self.handlers),
            "settings": settings,
        }
        return StateSync(**{**arguments, **changes})

    def pieces_asked(self, peer: bytes | None = None) -> int:
        return sum(isinstance(what, GetPiece) and peer in {None, who} for who, what in self.asked)

    def check_synced(self) -> None:
        with Store.open(self.folder / "new", SUITE) as new:
            assert new.first_height == new.height
            assert new.head == self.store.header(new.height)
            assert new.epoch_changes(1) == self.store.epoch_changes(1)
            if new.height == self.store.height:
                assert dict(new.view().state()) == dict(self.store.view().state())
        assert not (self.folder / "incoming").exists()


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Network]:
    made = Network(tmp_path)
    yield made
    for server in made.servers.values():
        await server.stop()
    made.store.close()


def lie(net: Network, peer: bytes, kind: type, change: Callable[[Any], object]) -> None:
    """Have a peer change its answers of one kind."""
    honest = net.handlers[peer]

    async def handler(payload: bytes) -> bytes:
        answer = await honest(payload)
        try:
            message = codec.decode(answer, kind, size_bytes_max=MESSAGE_SIZE_BYTES_MAX)
        except DecodeError:
            return answer
        changed = change(message)
        return changed if isinstance(changed, bytes) else codec.encode(changed)

    net.handlers[peer] = handler


# --- honest peers -------------------------------------------------------------------------------------------


async def test_an_empty_node_begins_with_the_certified_state(net: Network) -> None:
    sync = net.newcomer()
    assert await sync.run() is Outcome.SYNCED
    net.check_synced()
    status = sync.status
    assert (status.stage, status.height, status.head_height) == ("done", HEIGHT, HEIGHT)
    assert status.pieces_done == status.pieces_total > 4
    assert status.bytes_done == status.bytes_total > ENTRIES * VALUE_SIZE


async def test_pieces_come_from_several_peers_and_each_comes_once(net: Network) -> None:
    for server in net.servers.values():
        await made_by(server)
    sync = net.newcomer()
    await sync.run()
    assert sync.status.sources == tuple(sorted(PEERS))
    assert net.pieces_asked() == sync.status.pieces_total
    assert sum(net.pieces_asked(peer) > 0 for peer in PEERS) >= 2


async def test_a_node_that_is_not_far_behind_takes_every_block(net: Network) -> None:
    for above, outcome in (
        (HEIGHT, Outcome.NOT_NEEDED),
        (0, Outcome.NOT_NEEDED),
        (HEIGHT - 1, Outcome.SYNCED),
    ):
        settings = SyncSettings(**{**_fields(SYNC), "state_sync_above_blocks": above})
        assert await net.newcomer(settings=settings).run() is outcome
    assert net.pieces_asked() > 0


def _fields(settings: SyncSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in SyncSettings.__slots__}


async def test_a_node_that_was_told_to_takes_a_snapshot_however_near_it_is(net: Network) -> None:
    settings = SyncSettings(**{**_fields(SYNC), "state_sync_above_blocks": 0})
    assert await net.newcomer(settings=settings).run(force=True) is Outcome.SYNCED
    net.check_synced()


async def test_when_a_network_is_founded_nobody_waits_for_anybody(net: Network, tmp_path: Path) -> None:
    """Nodes without a store ask each other: none is ahead, and that is known at once."""
    for peer in PEERS:
        server = SnapshotServer(suite=SUITE, folder=tmp_path / f"none-{peer.hex()}", settings=SERVE)
        net.handlers[peer] = lambda payload, server=server: server.serve(b"newcomer", payload)
    settings = SyncSettings(**{**_fields(SYNC), "discover_s": 3600.0})
    assert await net.newcomer(settings=settings).run() is Outcome.NOT_NEEDED
    assert not any(isinstance(what, GetOffer) for _, what in net.asked)


async def test_without_peers_it_waits_a_while_and_begins_at_genesis(net: Network) -> None:
    assert await net.newcomer(peers=lambda: ()).run() is Outcome.NOT_NEEDED


async def test_a_peer_that_connects_late_is_found(net: Network) -> None:
    rounds = itertools.count()
    peers = lambda: PEERS if next(rounds) > 3 else ()  # noqa: E731
    assert await net.newcomer(peers=peers).run() is Outcome.SYNCED


async def test_when_nobody_has_a_snapshot_every_block_is_taken(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.statesync.client.PAUSE_S_MAX", 0.01)
    for peer in PEERS:
        lie(net, peer, Offer, lambda _: Offer(manifest=None, making=False))
    assert await net.newcomer().run() is Outcome.NOT_SERVED
    assert not (net.folder / "new").exists()


# --- peers that lie -----------------------------------------------------------------------------------------


def forged_changes(progress: Progress) -> Progress:
    forged: list[EpochChange] = []
    for change in progress.changes:
        members = change.validators.validators
        forged.append(replace(change, validators=replace(change.validators, validators=members[:3])))
    return replace(progress, changes=tuple(forged))


def forged_head(progress: Progress) -> Progress:
    head = progress.head
    if head is None:
        return progress
    return replace(progress, head=replace(head, header=replace(head.header, height=10**6)))


def forged_state(offer: Offer) -> Offer:
    manifest = offer.manifest
    if manifest is None:
        return offer
    header = replace(manifest.header, state_root=fixed("mine"))
    return replace(offer, manifest=replace(manifest, header=header))


def forged_list(offer: Offer) -> Offer:
    """Makes the right root, and another number of entries than there are."""
    manifest = offer.manifest
    if manifest is None:
        return offer
    chunks = (replace(manifest.chunks[0], entries=manifest.chunks[0].entries + 1), *manifest.chunks[1:])
    return replace(offer, manifest=replace(manifest, chunks=chunks))


def forged_piece(piece: Piece) -> Piece:
    return replace(piece, data=piece.data[:-1] + bytes((piece.data[-1] ^ 1,)))


FORGERIES: list[tuple[type, Callable[[Any], object]]] = [
    (Progress, forged_changes),
    (Progress, forged_head),
    (Progress, lambda progress: replace(progress, changes=progress.changes[:1] * 2)),
    (Progress, lambda _: b"\xc1"),
    (Offer, forged_state),
    (Offer, forged_list),
    (Offer, lambda _: b""),
    (Piece, forged_piece),
    (Piece, lambda piece: replace(piece, data=b"")),
    (Piece, lambda _: bytes(MESSAGE_SIZE_BYTES_MAX + 1)[:MESSAGE_SIZE_BYTES_MAX]),
]


@pytest.mark.parametrize(("kind", "change"), FORGERIES)
async def test_one_peer_that_forges_is_survived(
    net: Network, kind: type, change: Callable[[Any], object]
) -> None:
    lie(net, PEERS[0], kind, change)
    assert await net.newcomer().run() is Outcome.SYNCED
    net.check_synced()


@pytest.mark.parametrize(("kind", "change"), FORGERIES)
async def test_no_number_of_forging_peers_makes_a_wrong_store(
    net: Network, kind: type, change: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.statesync.client.PAUSE_S_MAX", 0.01)
    for peer in PEERS:
        lie(net, peer, kind, change)
    assert await net.newcomer().run() in {Outcome.NOT_NEEDED, Outcome.NOT_SERVED}
    assert not (net.folder / "new").exists()


@pytest.mark.parametrize(("liars", "outcome"), [(2, Outcome.SYNCED), (3, Outcome.NOT_SERVED)])
async def test_a_snapshot_at_a_seal_needs_the_proof_of_the_next_validators(
    net: Network, liars: int, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on from a seal has to know who votes next, and a peer may withhold just that."""
    monkeypatch.setattr("node.statesync.client.PAUSE_S_MAX", 0.01)
    net.store.commit([net.world.committed({}, next_validators=net.world.rotated(2))])
    final = net.store.block(net.store.height)
    assert final is not None
    head = CertifiedHead(header=final.block.header, path=final.path, certificate=final.certificate)

    def withhold(progress: Progress) -> Progress:
        known = tuple(change for change in progress.changes if change.header.epoch < 2)
        return Progress(changes=known, head=None if known else head)

    for peer in PEERS[:liars]:
        lie(net, peer, Progress, withhold)
    assert await net.newcomer().run() is outcome
    if outcome is Outcome.SYNCED:
        net.check_synced()


async def test_a_forger_is_not_asked_again(net: Network) -> None:
    lie(net, PEERS[0], Piece, forged_piece)
    await net.newcomer().run()
    assert 0 < net.pieces_asked(PEERS[0]) <= download_module.REQUESTS_PER_PEER


async def test_a_wrong_block_behind_right_digests_is_its_makers_fault(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts' digests are whatever the manifest says: only the header tells that the block is another."""
    monkeypatch.setattr("node.statesync.client.PAUSE_S_MAX", 0.01)
    wrong = codec.encode(((), ()))

    def with_part(offer: Offer) -> Offer:
        manifest = offer.manifest
        if manifest is None:
            return offer
        part = replace(manifest.parts[0], digest=SUITE.digest(wrong), size_bytes=len(wrong))
        return replace(offer, manifest=replace(manifest, parts=(part,)))

    sync = net.newcomer()
    for peer in PEERS:
        honest = net.handlers[peer]
        lie(net, peer, Offer, with_part)
        offering = net.handlers[peer]

        async def handler(
            payload: bytes, honest: Handler = honest, offering: Handler = offering, peer: bytes = peer
        ) -> bytes:
            message = decode_request(payload)
            if not isinstance(message, GetPiece):
                return await offering(payload)
            if message.index == sync.status.pieces_total - 1:
                return codec.encode(Piece(data=wrong))
            manifest = codec.decode(
                await honest(codec.encode(GetOffer())), Offer, size_bytes_max=MESSAGE_SIZE_BYTES_MAX
            ).manifest
            assert manifest is not None
            real = net.servers[peer]._files[-1].snapshot.id
            return await honest(codec.encode(GetPiece(snapshot=real, index=message.index)))

        net.handlers[peer] = handler
    assert await sync.run() is Outcome.NOT_SERVED
    assert not (net.folder / "new").exists()


# --- peers that do not answer -------------------------------------------------------------------------------


async def never(_payload: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


async def gone(_payload: bytes) -> bytes:
    raise Unavailable(what="peer", reason="connection lost")


async def crowded(_payload: bytes) -> bytes:
    raise Busy(what="peer", retry_after_s=0)


async def refusing(_payload: bytes) -> bytes:
    raise NotFound(what="snapshot piece", id="")


@pytest.mark.parametrize("fault", [never, gone, crowded, refusing])
async def test_a_peer_that_gives_nothing_from_the_start_is_survived(net: Network, fault: Handler) -> None:
    net.handlers[PEERS[0]] = fault
    assert await net.newcomer().run() is Outcome.SYNCED
    net.check_synced()


@pytest.mark.parametrize("fault", [never, gone, crowded, refusing])
async def test_peers_that_stop_giving_in_the_middle_are_left(
    net: Network, fault: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "PAUSE_S_MAX", 0.01)
    for peer in PEERS[:2]:
        honest, count = net.handlers[peer], itertools.count()

        async def handler(payload: bytes, honest: Handler = honest, count: Any = count) -> bytes:
            if isinstance(decode_request(payload), GetPiece) and next(count) >= 1:
                return await fault(payload)
            return await honest(payload)

        net.handlers[peer] = handler
    assert await net.newcomer().run() is Outcome.SYNCED
    net.check_synced()


async def test_a_silent_peer_is_left_after_a_few_pieces(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "PAUSE_S_MAX", 0.01)
    for server in net.servers.values():
        await made_by(server)
    for peer in PEERS[:2]:
        honest = net.handlers[peer]

        async def handler(payload: bytes, honest: Handler = honest) -> bytes:
            return await (never if isinstance(decode_request(payload), GetPiece) else honest)(payload)

        net.handlers[peer] = handler
    assert await net.newcomer().run() is Outcome.SYNCED
    for peer in PEERS[:2]:
        assert net.pieces_asked(peer) <= download_module.STRIKES_MAX + download_module.REQUESTS_PER_PEER


async def test_all_peers_vanish_and_come_back(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "PAUSE_S_MAX", 0.01)
    count = itertools.count()
    for peer in PEERS:
        honest = net.handlers[peer]

        async def handler(payload: bytes, honest: Handler = honest) -> bytes:
            if isinstance(decode_request(payload), GetPiece) and 2 <= next(count) < 25:
                return await gone(payload)
            return await honest(payload)

        net.handlers[peer] = handler
    assert await net.newcomer().run() is Outcome.SYNCED
    net.check_synced()


# --- crashes ------------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """The process ends here."""


STEPS = (
    "node.statesync.client.check_manifest",
    "node.statesync.client.advance_trust",
    "node.statesync.download.PieceFolder.keep_only",
    "node.statesync.download.PieceFolder.write",
    "node.statesync.download.PieceFolder.read",
    "node.statesync.download.PieceFolder.remove",
    "ledger.store_build.open_environment",
    "ledger.store_build._Filler.flush",
    "ledger.store_build.sync_folder",
)


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_is_made_good_by_starting_again(
    net: Network, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_arguments: object, **_named: object) -> object:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(step, power_cut)
        with pytest.raises(PowerCut):
            await net.newcomer().run()
    if step.endswith("remove"):
        assert (net.folder / "new" / "data.mdb").exists()
        return
    assert not (net.folder / "new").exists()
    assert await net.newcomer().run() is Outcome.SYNCED
    net.check_synced()


async def test_what_was_fetched_before_a_restart_is_not_fetched_again(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ledger.store_build.sync_folder", lambda _path: (_ for _ in ()).throw(PowerCut))
        with pytest.raises(PowerCut):
            await net.newcomer().run()
    folder = net.folder / "incoming"
    kept = sorted(folder.iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    (folder / "stray.part").write_bytes(b"torn")
    net.asked.clear()
    assert await net.newcomer().run() is Outcome.SYNCED
    assert net.pieces_asked() == 1
    net.check_synced()


async def test_pieces_that_a_newer_snapshot_shares_are_not_fetched_again(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ledger.store_build.sync_folder", lambda _path: (_ for _ in ()).throw(PowerCut))
        with pytest.raises(PowerCut):
            await net.newcomer().run()
    grow(net.world, net.store, 10, b"other")
    net.asked.clear()
    sync = net.newcomer()
    assert await sync.run() is Outcome.SYNCED
    assert sync.status.height == HEIGHT + 10
    assert 0 < net.pieces_asked() < sync.status.pieces_total - 1
    net.check_synced()


async def test_a_full_disk_is_told_and_not_taken_for_a_peers_fault(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(Unavailable, match="No space left"):
            await net.newcomer().run()
    assert await net.newcomer().run() is Outcome.SYNCED


# --- serving ------------------------------------------------------------------------------------------------


async def offer_of(server: SnapshotServer) -> Offer:
    answer = await server.serve(b"asker", codec.encode(GetOffer()))
    return codec.decode(answer, Offer, size_bytes_max=MESSAGE_SIZE_BYTES_MAX)


async def made_by(server: SnapshotServer) -> Offer:
    while (offer := await offer_of(server)).making:
        assert server._making is not None
        await asyncio.wait([server._making])
    return offer


async def test_a_snapshot_is_made_when_asked_and_the_newest_is_old(net: Network) -> None:
    server = net.servers[PEERS[0]]
    first = (await made_by(server)).manifest
    assert first is not None
    assert first.header.height == HEIGHT
    grow(net.world, net.store, SERVE.snapshot_every_blocks - 1)
    assert (await made_by(server)).manifest == first
    for _ in range(3):
        grow(net.world, net.store, SERVE.snapshot_every_blocks)
        await made_by(server)
    assert len(list(server._folder.iterdir())) == server_module.SNAPSHOTS_KEPT


async def test_attempts_keep_their_distance(net: Network) -> None:
    clock = [0.0]
    settings = ServeSettings(snapshot_every_blocks=1, snapshot_interval_s=60.0, boundary_wait_s=0.0)
    server = SnapshotServer(
        suite=SUITE, folder=net.folder / "slow", settings=settings, now_s=lambda: clock[0]
    )
    server.attach(net.store)
    first = (await made_by(server)).manifest
    grow(net.world, net.store, 3)
    assert (await made_by(server)).manifest == first
    clock[0] = 61.0
    second = (await made_by(server)).manifest
    assert second is not None
    assert second.header.height == HEIGHT + 3
    await server.stop()


async def test_nodes_make_the_same_snapshot_while_the_chain_grows(tmp_path: Path) -> None:
    """Each has its own store, and groups its commits its own way."""
    world = World()
    blocks = [world.committed({b"n": b"%d" % n}, transactions=1) for n in range(1, BOUNDARY_BLOCKS + 9)]
    settings = ServeSettings(boundary_wait_s=3600.0)
    offers: list[Offer] = []
    for number, group in enumerate((3, 16)):
        store = Store.create(tmp_path / f"store-{number}", SUITE, world.genesis, GENESIS_STATE)
        server = SnapshotServer(suite=SUITE, folder=tmp_path / f"served-{number}", settings=settings)
        server.attach(store)
        store.commit(blocks[:2])
        assert (await offer_of(server)).making
        await asyncio.sleep(0)  # the maker runs until it waits for the boundary
        for start in range(2, len(blocks), group):
            store.commit(blocks[start : start + group])
        offers.append(await made_by(server))
        await server.stop()
        store.close()
    assert offers[0] == offers[1]
    assert offers[0].manifest is not None
    assert offers[0].manifest.header.height == BOUNDARY_BLOCKS


async def test_a_node_that_stops_does_not_wait_for_a_boundary(net: Network) -> None:
    server = net.add(b"waiting", settings=ServeSettings(boundary_wait_s=3600.0))
    assert (await offer_of(server)).making
    await asyncio.sleep(0)
    await server.stop()
    assert not server._files


async def test_snapshots_outlive_a_restart_and_broken_ones_do_not(net: Network) -> None:
    server = net.servers[PEERS[0]]
    first = (await made_by(server)).manifest
    folder = server._folder
    [kept] = folder.iterdir()
    (folder / "000000000000099-dead").mkdir()
    (folder / "000000000000099.making").mkdir()
    again = SnapshotServer(suite=SUITE, folder=folder, settings=SERVE)
    again.attach(net.store)
    assert await offer_of(again) == Offer(manifest=first, making=False)
    assert list(folder.iterdir()) == [kept]


async def test_a_damaged_snapshot_is_never_sent_and_is_made_anew(net: Network) -> None:
    server = net.servers[PEERS[0]]
    assert (await made_by(server)).manifest is not None
    [file] = server._files
    data = bytearray((file.path / "pieces").read_bytes())
    data[1000] ^= 1
    (file.path / "pieces").write_bytes(data)
    question = codec.encode(GetPiece(snapshot=file.snapshot.id, index=0))
    with pytest.raises(NotFound):
        await server.serve(b"asker", question)
    assert (await made_by(server)).manifest is not None
    assert codec.decode(await server.serve(b"asker", question), Piece, size_bytes_max=1 << 21).data


async def test_a_full_disk_costs_the_snapshot_and_nothing_else(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    server = net.servers[PEERS[0]]
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert (await offer_of(server)).making
        assert server._making is not None
        await asyncio.wait([server._making])
    assert server._files == list(server._folder.iterdir()) == []
    assert (await made_by(server)).manifest is not None


async def test_requests_of_a_peer_are_bounded(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    server = net.servers[PEERS[0]]
    ask = codec.encode(GetProgress(from_epoch=1))
    answers = await asyncio.gather(
        *(server.serve(b"greedy", ask) for _ in range(server_module.REQUESTS_PER_PEER_MAX + 3)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Busy) for answer in answers) == 3
    peers = [b"%d" % number for number in range(server_module.REQUESTS_MAX + 2)]
    crowd = await asyncio.gather(*(server.serve(peer, ask) for peer in peers), return_exceptions=True)
    assert sum(isinstance(answer, Busy) for answer in crowd) == 2
    monkeypatch.setattr(server_module, "REQUESTS_PER_WINDOW_MAX", 2)
    for _ in range(2):
        await server.serve(b"often", ask)
    with pytest.raises(Busy):
        await server.serve(b"often", ask)


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x92\xa9get_piece\xc4\x00", codec.encode(GetOffer()) + b"\0"]
)
async def test_a_malformed_request_is_told(net: Network, payload: bytes) -> None:
    with pytest.raises(DecodeError):
        await net.servers[PEERS[0]].serve(b"asker", payload)
    with pytest.raises(LimitExceeded):
        await net.servers[PEERS[0]].serve(b"asker", bytes(1000))


async def test_a_piece_that_is_not_there_is_told(net: Network) -> None:
    server = net.servers[PEERS[0]]
    await made_by(server)
    [file] = server._files
    for name, index in ((file.snapshot.id, file.snapshot.piece_count), (fixed("id"), 0)):
        with pytest.raises(LedgerError, match="not_found"):
            await server.serve(b"asker", codec.encode(GetPiece(snapshot=name, index=index)))


@pytest.mark.slow
async def test_a_hundred_thousand_entries_are_synced_in_reasonable_time(net: Network, tmp_path: Path) -> None:
    world = World()
    with Store.create(tmp_path / "large", SUITE, world.genesis, GENESIS_STATE) as store:
        writes: dict[bytes, bytes | None] = {b"entry/%d" % i: b"%060d" % i for i in range(100_000)}
        store.commit([world.committed(writes)])
        grow(world, store, 9)
        server = net.add(PEERS[0], store)
        sync = net.newcomer(genesis=world.genesis, peers=lambda: PEERS[:1])
        async with asyncio.timeout(60):
            assert await sync.run() is Outcome.SYNCED
        await server.stop()
        with Store.open(tmp_path / "new", SUITE) as new:
            assert (new.height, new.head) == (10, store.head)
