"""One of four turns against the others, with its real keys over real connections: they go on, and what it did is on the ledger."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from consensus.core.messages import (
    Certificates,
    FetchBlock,
    FetchCertificates,
    FetchFinalized,
    FinalizedRange,
    Status,
)
from contracts.calls import Args, OrganizationsAddKey, OrganizationsRevokeKey
from contracts.records import AccountKind, KeyRole
from ledger import codec
from ledger.hashing import sign_transaction
from ledger.types import QuorumCertificate, Transaction, VoteKind
from network.frames import PAYLOAD_BYTES_MAX, VOTES_BYTES_MAX, Channel
from network.rpc import REQUESTS_IN_FLIGHT_MAX
from node import gossip_messages
from node.devnet import Devnet
from node.exchange import GetChunk, Hold
from node.home import Home
from node.statesync.messages import GetOffer, GetPiece, GetProgress
from node.vault.blobs import BLOB_SIZE_BYTES_MAX, blob_hash
from tests.e2e.cities import COMMAND_S, READY_S, SUITE, found, same_blocks, until
from tests.e2e.harness.impostor import EPOCH, Impostor
from zhenglian import Client, KeyFile

HONEST: Final = (1, 2, 3)
TURNED: Final = 4
# A view of the one that is away or lies costs the others a time-out; a transaction waits for a few such at most.
PROMPT_S: Final = 10
ATTACK_S: Final = 1.0
# What one peer may cost each of the others in memory, with all its lanes, windows, half-read frames, and blobs in threads.
RSS_GROWTH_BYTES_MAX: Final = 192 * 1024 * 1024
VIEW_HUGE: Final = 2**53 - 1
HEIGHT_HUGE: Final = 2**53 - 1
NOISE: Final = random.Random(20)


@dataclass
class Scene:
    """Three honest nodes, one that has turned, and somebody who wants something written."""

    devnet: Devnet
    impostor: Impostor
    client: Client
    written: list[bytes] = field(default_factory=list)
    caught: tuple[str, int, int] | None = None

    def write(self) -> None:
        """Have a transaction become final, promptly: one adds an officer's key, the next revokes it."""
        assert self.client.core.key is not None
        account = bytes.fromhex(self.client.core.key.account)
        args: Args
        if self.written:
            args = OrganizationsRevokeKey(key_id=self.written.pop())
        else:
            key = KeyFile.generate(SUITE, account=account, role=KeyRole.OFFICER, label="007")
            self.written.append(bytes.fromhex(key.key_id))
            args = OrganizationsAddKey(key=key.new_key())
        done = self.client.submit(args, wait_s=PROMPT_S)
        assert done.status == "finalized", f"not final within {PROMPT_S} s"

    def view(self) -> int:
        return max(self.impostor.heard.views.values(), default=1)


def resident_bytes(devnet: Devnet, n: int) -> int:
    pid = devnet.pid(n)
    assert pid is not None, f"node {n} has ended"
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


@pytest.fixture(scope="module")
def scene(devnet: Devnet) -> Iterator[Scene]:
    organization = found(devnet, "customer", AccountKind.ENTERPRISE)
    organization.client.close()
    same_blocks(devnet)
    devnet.terminate(TURNED)
    honest = tuple(devnet.url(n) for n in HONEST)
    with Impostor(Home(devnet.home(TURNED))) as impostor, Client(honest, organization.admin) as client:
        until(lambda: impostor.connected() == len(HONEST), "the impostor is let in: its keys are good")
        made = Scene(devnet, impostor, client)
        made.write()
        until(lambda: len(impostor.heard.views) == len(HONEST), "the others say where they are")
        impostor.say(FetchFinalized(first_height=1))
        until(lambda: bool(impostor.heard.blocks), "the others answer")
        yield made


# --- what it does -------------------------------------------------------------------------------------------------------


def garbage(scene: Scene) -> None:
    for channel in (Channel.VOTES, Channel.BLOCKS, Channel.TRANSACTIONS, Channel.SYNC):
        scene.impostor.send(channel, NOISE.randbytes(NOISE.randrange(1, 2048)))
    scene.impostor.ask_all(Channel.BLOBS, [NOISE.randbytes(64)])
    scene.impostor.ask_all(Channel.SNAPSHOT, [NOISE.randbytes(64)])


def large_garbage(scene: Scene) -> None:
    for channel in (Channel.BLOCKS, Channel.SYNC):
        scene.impostor.send(channel, b"\xc1" * PAYLOAD_BYTES_MAX[channel])
    time.sleep(0.2)


def stale_and_huge_views(scene: Scene) -> None:
    impostor = scene.impostor
    for view in (0, 1, scene.view() + 1000, VIEW_HUGE):
        for kind in VoteKind:
            impostor.cast(impostor.vote(kind, view))
    impostor.cast(impostor.vote(VoteKind.NOTARIZE, scene.view(), epoch=HEIGHT_HUGE))
    time.sleep(0.01)


def forged_certificates(scene: Scene) -> None:
    view = scene.view()
    forged = tuple(
        QuorumCertificate(
            kind=kind,
            epoch=EPOCH,
            view=at,
            digest=bytes(32) if kind is VoteKind.NULLIFY else os.urandom(32),
            signers=b"\x0f",
            signature=scene.impostor.vote(VoteKind.NULLIFY, at).signature,
        )
        for kind in VoteKind
        for at in (view, view + 1, VIEW_HUGE)
    )
    scene.impostor.say(Certificates(certificates=forged), Channel.VOTES)
    time.sleep(0.01)


def questions(scene: Scene) -> None:
    impostor = scene.impostor
    for _ in range(200):
        impostor.say(FetchFinalized(first_height=1))
        impostor.say(FetchCertificates(epoch=EPOCH, first_view=0, last_view=VIEW_HUGE))
        impostor.say(FetchBlock(epoch=EPOCH, height=1, digest=os.urandom(32)))
        impostor.say(Status(epoch=EPOCH, view=1, height=0, finalization=None, asks=True), Channel.VOTES)
    time.sleep(0.1)


def snapshot_questions(scene: Scene) -> None:
    asked = [
        *[codec.encode(GetProgress(from_epoch=1))] * 20,
        *[codec.encode(GetOffer())] * 20,
        *[codec.encode(GetPiece(snapshot=os.urandom(32), index=HEIGHT_HUGE))] * 20,
    ]
    scene.impostor.ask_all(Channel.SNAPSHOT, asked)


def blob_questions(scene: Scene) -> None:
    """It has the others keep the largest blob there may be, and asks for its pieces, as many at once as a connection takes."""
    impostor = scene.impostor
    if not impostor.blobs:
        data = NOISE.randbytes(BLOB_SIZE_BYTES_MAX)
        impostor.blobs[blob_hash(SUITE, data)] = data
        impostor.ask_all(
            Channel.BLOBS, [codec.encode(Hold(certificate=bytes(16), blobs=tuple(impostor.blobs)))]
        )
    (name,) = impostor.blobs
    question = codec.encode(GetChunk(blob=name, offset=0))
    impostor.ask_all(Channel.BLOBS, [question] * REQUESTS_IN_FLIGHT_MAX)


def claims_and_forged_ranges(scene: Scene) -> None:
    """It says that it is far ahead, and to who asks it tells blocks that never were."""
    impostor = scene.impostor
    real = impostor.heard.blocks[-1]

    def forge(asked: FetchFinalized) -> FinalizedRange:
        header = replace(real.block.header, height=asked.first_height, time_ms=real.block.header.time_ms + 1)
        block = replace(real, block=replace(real.block, header=header))
        return FinalizedRange(first_height=asked.first_height, blocks=(block,))

    impostor.answer = forge
    impostor.say(Status(epoch=EPOCH, view=VIEW_HUGE, height=HEIGHT_HUGE, finalization=None), Channel.VOTES)
    impostor.say(Status(epoch=9, view=1, height=HEIGHT_HUGE, finalization=None), Channel.VOTES)
    impostor.say(FinalizedRange(first_height=1, blocks=(real,)))
    time.sleep(0.05)


def duplicates(scene: Scene) -> None:
    known = scene.impostor.heard.transactions[-1]
    push = gossip_messages.Push(transactions=(known,) * 256)
    for _ in range(4):
        scene.impostor.send(Channel.TRANSACTIONS, gossip_messages.encode(push))
    offer = gossip_messages.Offer(ids=tuple(os.urandom(32) for _ in range(gossip_messages.IDS_MAX)))
    scene.impostor.send(Channel.TRANSACTIONS, gossip_messages.encode(offer))
    time.sleep(0.05)


def inadmissible(scene: Scene) -> None:
    """Well signed, of accounts that nobody has heard of."""
    signer = scene.impostor.identity.node_signer
    real = codec.decode(scene.impostor.heard.transactions[-1], Transaction, size_bytes_max=1 << 20).body

    def one() -> bytes:
        body = replace(real, account=os.urandom(16), nonce=os.urandom(16))
        return codec.encode(sign_transaction(SUITE, signer, body))

    push = gossip_messages.Push(transactions=tuple(one() for _ in range(128)))
    for _ in range(8):
        scene.impostor.send(Channel.TRANSACTIONS, gossip_messages.encode(push))
    time.sleep(0.05)


def forged_transactions(scene: Scene) -> None:
    real = codec.decode(scene.impostor.heard.transactions[-1], Transaction, size_bytes_max=1 << 20)
    forged = tuple(
        codec.encode(replace(real, body=replace(real.body, nonce=os.urandom(16)))) for _ in range(64)
    )
    scene.impostor.send(
        Channel.TRANSACTIONS, gossip_messages.encode(gossip_messages.Push(transactions=forged))
    )
    time.sleep(0.05)


def oversize(scene: Scene) -> None:
    """More than a frame of its channel may hold; it is thrown out, and comes again."""
    scene.impostor.send(Channel.VOTES, bytes(4 * VOTES_BYTES_MAX))
    time.sleep(0.3)


# Those come last that a node answers by not listening for a while.
ATTACKS: Final[tuple[Callable[[Scene], None], ...]] = (
    stale_and_huge_views,
    questions,
    snapshot_questions,
    blob_questions,
    duplicates,
    inadmissible,
    claims_and_forged_ranges,
    forged_certificates,
    forged_transactions,
    garbage,
    large_garbage,
    oversize,
)


def told(url: str) -> list[tuple[str, int, int]]:
    """Whom a node's API names for voting for what excludes each other: account, epoch, view."""
    with Client(url) as client:
        return [(one.validator, one.epoch, one.view) for one in client.evidence()]


def test_two_faces_end_up_on_the_ledger_once_though_three_saw_them(scene: Scene) -> None:
    impostor, honest = scene.impostor, [scene.devnet.url(n) for n in HONEST]
    view = scene.view()
    impostor.cast(impostor.vote(VoteKind.NOTARIZE, view), impostor.vote(VoteKind.NOTARIZE, view))
    impostor.cast(impostor.vote(VoteKind.NULLIFY, view), impostor.vote(VoteKind.FINALIZE, view))
    until(lambda: all(map(told, honest)), "the evidence is final everywhere", READY_S)
    scene.caught = (scene.devnet.account(TURNED), EPOCH, view)
    assert [told(url) for url in honest] == [[scene.caught]] * len(honest)
    command = [sys.executable, "-m", "node.cli", "--json", "--node", honest[0], "gov", "evidence"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=COMMAND_S).stdout)
    assert [(one["validator"], one["epoch"], one["view"]) for one in said] == [scene.caught]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_three_go_on_promptly_and_stay_small(
    scene: Scene, attack: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if attack is oversize:
        monkeypatch.setitem(PAYLOAD_BYTES_MAX, Channel.VOTES, 4 * VOTES_BYTES_MAX)
    before = {n: resident_bytes(scene.devnet, n) for n in HONEST}
    stop = threading.Event()

    def go_on() -> int:
        rounds = 0
        while not stop.is_set():
            attack(scene)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as pool:
        attacking = pool.submit(go_on)
        try:
            ends = time.monotonic() + ATTACK_S
            while time.monotonic() < ends:
                scene.write()
        finally:
            stop.set()
        assert attacking.result() > 0
    growth = {n: resident_bytes(scene.devnet, n) - before[n] for n in HONEST}
    assert max(growth.values()) < RSS_GROWTH_BYTES_MAX


def test_when_it_is_gone_the_honest_node_comes_back_and_nobody_else_is_accused(scene: Scene) -> None:
    """Its operator starts it again with its own home; what was said in its name is no harm to it."""
    scene.impostor.stop()
    scene.devnet.start(TURNED)
    scene.devnet.wait_ready(READY_S)
    scene.write()
    same_blocks(scene.devnet)
    accused = told(scene.devnet.url(TURNED))
    assert scene.caught in accused
    assert len(accused) == len(set(accused))
    assert {account for account, _, _ in accused} == {scene.devnet.account(TURNED)}
