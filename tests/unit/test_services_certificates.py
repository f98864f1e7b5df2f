"""The renewal of a node's certificate: each step from what folder and ledger say, and none skipped by a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.calls import Args, NodesSetCertificates
from contracts.records import NodeRecord, NodeRole
from ledger.types import Result
from network.tls import CERTIFICATE_LIFE_S, TlsIdentity
from node.cards import read_card
from node.home import Home
from node.identity import create_identity
from node.keystore import KeyFiles
from node.rotation import certificate_of, make_next_certificate
from node.services.certificates import OVERLAP_S, CertificateRenewal, Situation, Step, next_step
from node.services.ports import Denied
from tests.suites import suite_under_test

OLD, NEW, OTHER = b"old", b"new", b"other"
BORN_MS = 1_700_000_000_000
LIFE_MS = CERTIFICATE_LIFE_S * 1000


def situation(
    named: tuple[bytes, ...],
    *,
    own: bytes = OLD,
    waiting: bytes | None = None,
    due: bool = False,
    settled: bool = True,
) -> Situation:
    return Situation(named=named, own=own, waiting=waiting, due=due, settled=settled)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (situation(()), Step.NOTHING),
        (situation((), waiting=NEW, due=True), Step.NOTHING),
        (situation((OLD,)), Step.NOTHING),
        (situation((OLD,), due=True), Step.MAKE),
        (situation((OLD,), waiting=NEW, due=True), Step.ANNOUNCE),
        (situation((OLD, NEW), waiting=NEW, due=True, settled=False), Step.NOTHING),
        (situation((OLD, NEW), waiting=NEW, due=True), Step.SWITCH),
        (situation((OLD, NEW), own=NEW, settled=False), Step.NOTHING),
        (situation((OLD, NEW), own=NEW), Step.FINISH),
        (situation((NEW,), own=NEW), Step.NOTHING),
        (situation((OTHER,), own=NEW, settled=False), Step.FINISH),
    ],
)
def test_each_situation_has_one_next_step(now: Situation, step: Step) -> None:
    assert next_step(now) is step


@given(
    named=st.lists(st.sampled_from([OLD, NEW, OTHER]), max_size=2, unique=True).map(tuple),
    waiting=st.sampled_from([None, NEW]),
    due=st.booleans(),
    settled=st.booleans(),
)
def test_nothing_is_shown_that_peers_may_not_know(
    named: tuple[bytes, ...], waiting: bytes | None, due: bool, settled: bool
) -> None:
    now = situation(named, waiting=waiting, due=due, settled=settled)
    if next_step(now) is Step.SWITCH:
        assert waiting in named
        assert settled


class Ledger:
    """What the renewal sees of chain and node account; names what was last announced."""

    def __init__(self, account: bytes, certificate: bytes) -> None:
        self.account = account
        self.taken: set[bytes] = set()
        self.record = NodeRecord(
            account=account,
            name="operator",
            role=NodeRole.VALIDATOR,
            host="127.0.0.1",
            port=1,
            certificates=(certificate,),
            wrap_key=b"w",
        )

    def nodes(self) -> tuple[NodeRecord, ...]:
        return (self.record,)

    async def submit(self, args: Args) -> None:
        assert isinstance(args, NodesSetCertificates)
        if self.taken.intersection(args.certificates):
            raise Denied(Result(transaction_id=bytes(32), code="key_taken"))
        self.record = NodeRecord(
            **{name: getattr(self.record, name) for name in self.record.__struct_fields__}
            | {"certificates": args.certificates}
        )


class World:
    """A home, its ledger, and two clocks; `restart` is what a crash leaves."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        card = create_identity(
            self.home,
            network="test",
            name="operator",
            suite=suite_under_test(),
            peer_host="127.0.0.1",
            peer_port=1,
            http_host="127.0.0.1",
            http_port=2,
            now_ms=BORN_MS,
        )
        self.ledger = Ledger(bytes.fromhex(card.account), self.own)
        self.clock_ms = BORN_MS
        self.now_s = 0.0
        self.shown: list[bytes] = []
        self.restart()

    @property
    def own(self) -> bytes:
        return certificate_of(KeyFiles(self.home).tls)

    def restart(self) -> None:
        self.renewal = CertificateRenewal(
            home=self.home,
            chain=self.ledger,  # type: ignore[arg-type]
            node=self.ledger,  # type: ignore[arg-type]
            show=self._show,
            ready=lambda: True,
            clock_ms=lambda: self.clock_ms,
            now_s=lambda: self.now_s,
        )

    def _show(self, tls: TlsIdentity) -> None:
        self.shown.append(certificate_of(tls))

    async def step(self) -> Step:
        step = await self.renewal.step()
        self.now_s += OVERLAP_S
        return step


async def _renew(world: World, *, crash_before_each: bool) -> list[Step]:
    steps: list[Step] = []
    for _ in range(12):
        if crash_before_each:
            world.restart()
            assert await world.renewal.step() in Step  # looks once, so that it knows since when
            world.now_s += OVERLAP_S
        steps.append(await world.step())
    return [step for step in steps if step is not Step.NOTHING]


async def test_with_a_third_of_its_life_left_a_certificate_is_replaced(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    old = world.own
    world.clock_ms = BORN_MS + LIFE_MS // 2
    assert await _renew(world, crash_before_each=False) == []
    world.clock_ms = BORN_MS + LIFE_MS * 2 // 3 + 1000
    assert await _renew(world, crash_before_each=False) == [
        Step.MAKE,
        Step.ANNOUNCE,
        Step.SWITCH,
        Step.FINISH,
    ]
    assert world.own != old
    assert world.shown == [world.own]
    assert world.ledger.record.certificates == (world.own,)
    assert not KeyFiles(world.home).tls_next.path.exists()
    assert read_card(world.home.card).certificate_pem.startswith("-----BEGIN CERTIFICATE-----")


async def test_who_names_a_certificate_first_that_is_on_its_way_does_not_keep_a_node_from_renewing(
    tmp_path: Path,
) -> None:
    """An announcement is public before it is final; whoever was faster let a certificate run out, and the node with it."""
    world = World(tmp_path / "home")
    world.clock_ms = BORN_MS + LIFE_MS * 2 // 3 + 1000
    assert await world.step() is Step.MAKE
    stolen = certificate_of(KeyFiles(world.home).tls_next)
    world.ledger.taken.add(stolen)
    assert await _renew(world, crash_before_each=False) == [
        Step.ANNOUNCE,
        Step.ANNOUNCE,
        Step.SWITCH,
        Step.FINISH,
    ]
    assert world.ledger.record.certificates == (world.own,)
    assert world.own != stolen


async def test_a_crash_before_every_step_leaves_a_certificate_that_the_ledger_names(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    world.clock_ms = BORN_MS + LIFE_MS
    make_next_certificate(world.home, now_ms=world.clock_ms)
    for _ in range(12):
        world.restart()
        await world.renewal.step()
        assert world.own in world.ledger.record.certificates
        world.now_s += OVERLAP_S
        await world.renewal.step()
        assert world.own in world.ledger.record.certificates
    assert world.ledger.record.certificates == (world.own,)


async def test_what_was_announced_a_moment_ago_is_not_shown_yet(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    old = world.own
    make_next_certificate(world.home, now_ms=world.clock_ms)
    assert await world.renewal.step() is Step.ANNOUNCE
    assert await world.renewal.step() is Step.NOTHING
    world.now_s += OVERLAP_S - 1
    assert await world.renewal.step() is Step.NOTHING
    assert world.own == old
    world.now_s += 1
    assert await world.renewal.step() is Step.SWITCH


async def test_an_operator_who_asks_twice_gets_one_certificate(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    first = make_next_certificate(world.home, now_ms=world.clock_ms)
    assert make_next_certificate(world.home, now_ms=world.clock_ms) == first
