"""The driver between real coroutines: four of them make the keys, one dies and comes back, and nothing secret is logged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from contracts import shared_keys
from contracts.args import Args
from contracts.calls import DeadlinesTick
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import RoundPhase
from contracts.shared_key_rounds import PHASE_MS, open_rounds
from contracts.state import StateReader
from ledger import codec
from ledger.errors import Busy, DecodeError, LedgerError, NotFound, Unavailable
from node.holders.channel import ShareChannel, ShareMessage, framed
from node.holders.driver import KeyDriver
from node.holders.errors import KeyRefused
from node.holders.ledger_keys import LedgerSharedKeys
from node.holders.pieces import PIECES_PER_PEER_PER_S, PieceAsk, PieceServer, decode_pair
from node.holders.round_files import RoundFiles
from node.holders.share_file import SealedFolder, ShareFile
from tests.unit.contracts_world import NODES, SUITE, World, identity
from tests.unit.holders_world import HolderNet
from tests.unit.node_world import eventually


@pytest.fixture(autouse=True)
def output() -> Iterator[LogCapture]:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.reset_defaults()


class Refused(LedgerError):
    code = "refused_here"


class Cluster:
    """Drivers over one ledger; peers are function calls."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.folder = folder
        self.level = True
        self.drivers: dict[int, KeyDriver] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.shares: dict[int, ShareFile] = {}

    def start(self, number: int) -> KeyDriver:
        files = SealedFolder(self.folder / f"{number}", SUITE, identity(f"seal {number}", 32))
        files.prepare()
        account = NODES[number].account
        self.shares[number] = ShareFile(files, self.world.chain_id, account)

        async def request(peer: bytes, payload: bytes, _timeout_s: float) -> bytes:
            other = next(n for n, node in enumerate(NODES) if node.account == peer)
            if other not in self.tasks:
                raise Unavailable(what="peer", reason="it is down")
            channel = ShareChannel({ShareMessage.PIECES: self.drivers[other].pieces.serve})
            return await channel.serve(account, payload)

        async def submit(args: Args) -> None:
            await asyncio.sleep(0)
            result = self.world.run(NODES[number], args)
            for driver in self.drivers.values():
                driver.wake()
            if result.code != "ok":
                raise Refused(reason=result.code)

        def state() -> StateReader:
            return self.world

        driver = KeyDriver(
            suite=SUITE,
            account=account,
            state=state,
            shares=self.shares[number],
            memories=RoundFiles(files),
            request=request,
            submit=submit,
            ready=lambda: self.level,
            clock_ms=lambda: self.world.time_ms,
        )
        self.drivers[number] = driver
        self.tasks[number] = asyncio.get_running_loop().create_task(driver.run())
        return driver

    async def kill(self, number: int) -> None:
        task = self.tasks.pop(number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        for number in tuple(self.tasks):
            await self.kill(number)

    def whole(self) -> bool:
        return shared_keys.ready(self.world) and all(
            driver.missing() == () and self.shares[number].held() != ()
            for number, driver in self.drivers.items()
        )


async def test_four_drivers_make_every_key_and_each_has_its_share(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    keys = LedgerSharedKeys(lambda: cluster.world)
    with pytest.raises(Unavailable):
        keys.in_use(KeyPurpose.VAULT)
    for number in range(4):
        cluster.start(number)
    await eventually(cluster.whole)
    await cluster.stop()
    assert not open_rounds(cluster.world)
    for purpose in KeyPurpose:
        held = keys.in_use(purpose)
        assert held == keys.version(purpose, 1)
        assert held.holders.keys.threshold == 3
        for number in range(4):
            own = cluster.shares[number].share(purpose, 1, 0)
            assert own is not None
            assert held.accounts[own.holder - 1] == NODES[number].account
    assert keys.version(KeyPurpose.VAULT, 2) is None


async def test_a_driver_that_dies_while_keys_are_made_goes_on_when_it_comes_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    for number in range(4):
        cluster.start(number)

    def dealt() -> bool:
        return any(one.dealt for one in open_rounds(cluster.world))

    await eventually(dealt)
    await cluster.kill(2)
    cluster.start(2)
    await eventually(cluster.whole)
    await cluster.stop()


async def test_a_node_that_is_not_level_with_the_network_does_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.level = False
    cluster.start(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert cluster.world.height == 0
    cluster.level = True
    cluster.drivers[0].wake()
    await eventually(lambda: cluster.world.height > 0)
    await cluster.stop()


async def test_nothing_secret_is_logged(tmp_path: Path, output: LogCapture) -> None:
    cluster = Cluster(tmp_path)
    for number in range(4):
        cluster.start(number)
    await eventually(cluster.whole)
    await cluster.stop()
    told = repr(output.entries)
    assert "key share kept" in told
    for shares in cluster.shares.values():
        for held in shares.held():
            secret = int.from_bytes(held.secret, "big")
            assert held.secret.hex() not in told
            assert str(secret) not in told
            assert repr(held.secret) not in told


# --- who is given what ------------------------------------------------------------------------------------------


def serving(net: HolderNet, number: int) -> PieceServer:
    return net.nodes[number].pieces


async def test_a_pair_goes_to_the_holder_it_is_for_and_to_nobody_else(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    one = open_rounds(net.world)[0]
    ask = codec.encode(PieceAsk(round_id=one.round_id))
    with pytest.raises(Unavailable):
        await serving(net, 0).serve(NODES[1].account, ask)
    net.nodes[0].advance()
    # The seed is durable, the commitments are not final: nothing is given yet.
    with pytest.raises(Unavailable):
        await serving(net, 0).serve(NODES[1].account, ask)
    net.nodes[0].advance()
    assert open_rounds(net.world)[0].phase is RoundPhase.DEALING
    given = {number: await serving(net, 0).serve(NODES[number].account, ask) for number in range(4)}
    assert len(set(given.values())) == 4
    for stranger in (identity("stranger"), identity("department")):
        with pytest.raises(KeyRefused):
            await serving(net, 0).serve(stranger, ask)
    with pytest.raises(NotFound):
        await serving(net, 0).serve(NODES[1].account, codec.encode(PieceAsk(round_id=bytes(16))))


async def test_a_peer_that_asks_without_end_is_held_off(tmp_path: Path) -> None:
    net = HolderNet(tmp_path, 4)
    for _ in range(PIECES_PER_PEER_PER_S):
        with pytest.raises(DecodeError):
            await serving(net, 0).serve(NODES[1].account, b"\0")
    with pytest.raises(Busy):
        await serving(net, 0).serve(NODES[1].account, b"\0")
    with pytest.raises(DecodeError):
        await serving(net, 0).serve(NODES[2].account, b"\0")


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x91\xc4\x00", bytes(300), b"\x91" * 200])
async def test_what_is_no_request_or_no_answer_is_the_peers_fault(tmp_path: Path, body: bytes) -> None:
    net = HolderNet(tmp_path, 4)
    with pytest.raises(LedgerError):
        await serving(net, 0).serve(NODES[1].account, body)
    with pytest.raises(LedgerError):
        decode_pair(body, 1)
    with pytest.raises(DecodeError):
        await ShareChannel({}).serve(NODES[1].account, framed(ShareMessage.PIECES, body))


async def test_a_dealer_that_answers_only_when_the_round_has_begun_again_stops_nobody(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    for number in range(4):
        cluster.start(number)
    late = asyncio.Event()
    asked = asyncio.Event()
    answer = cluster.drivers[0].pieces.serve

    async def slowly(sender: bytes, body: bytes) -> bytes:
        pair = await answer(sender, body)
        asked.set()
        await late.wait()
        return pair

    cluster.drivers[0].pieces.serve = slowly  # type: ignore[method-assign]
    try:
        await eventually(asked.is_set)
        before = {one.round_id for one in open_rounds(cluster.world)}
        await cluster.kill(2)
        await cluster.kill(3)
        cluster.world.time_ms += 10 * PHASE_MS
        for _ in range(8):
            cluster.world.run(NODES[1], DeadlinesTick())
            cluster.world.time_ms += 10 * PHASE_MS
        assert before.isdisjoint(one.round_id for one in open_rounds(cluster.world))
        late.set()
        cluster.drivers[0].pieces.serve = answer  # type: ignore[method-assign]
        for number in (2, 3):
            cluster.start(number)
        await eventually(cluster.whole)
    finally:
        await cluster.stop()
    assert unhandled == []


async def test_a_driver_that_has_ended_writes_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path)
    cluster.start(0)
    writing, may_end = threading.Event(), threading.Event()
    write = SealedFolder.write

    def slowly(files: SealedFolder, name: str, data: bytes) -> None:
        writing.set()
        may_end.wait()
        write(files, name, data)

    monkeypatch.setattr(SealedFolder, "write", slowly)
    await asyncio.to_thread(writing.wait)
    killed = asyncio.create_task(cluster.kill(0))
    done, _ = await asyncio.wait((killed,), timeout=0.05)
    assert not done
    may_end.set()
    await killed
    before = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert before
    cluster.start(0)
    await cluster.stop()
