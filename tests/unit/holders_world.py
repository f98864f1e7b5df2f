"""Operators that hold keys together, in process: the contract on a small ledger, each node's own files, and nothing between them.

A `HolderNode` does what `node/holders/rounds.py` plans, as `driver.py` does it, but one step at a time; a test makes it crash, be
silent or lie. `dealt` deals a key without any ledger, for tests of what keys are used for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from contracts import shared_keys
from contracts.args import Args
from contracts.calls import DeadlinesTick
from contracts.schedule import due
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.shared_key_round_records import SharedKeyRound
from contracts.shared_key_rounds import open_rounds
from contracts.shared_key_sums import dealing_of, group_for
from contracts.state import SHARED_KEYS
from ledger.crypto.threshold import dealing
from ledger.crypto.threshold.group import Element, Group
from ledger.crypto.threshold.groups import group_of
from ledger.crypto.threshold.polynomials import interpolate, random_polynomial, value_at
from ledger.crypto.threshold.shares import HolderKeys
from ledger.errors import LedgerError, Unavailable
from ledger.types import Result, quorum_size
from node.holders.pairs import number_of, pair_fits, revealed_fits
from node.holders.pieces import PieceServer
from node.holders.round_files import ReceivedPair, RoundFiles, new_memory
from node.holders.rounds import plan
from node.holders.share_file import HeldShare, SealedFolder, ShareFile
from node.holders.steps import ChangeShares, Fetch, Forget, Judge, Name, Remember, Step, Submit, View
from tests.unit.contracts_world import SUITE, Actor, World, actor, identity

GROUP: Final = group_of(SUITE)
PASSES_MAX: Final = 400
IDLE_MS: Final = 5_000


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes stop here, not the power: nothing has to be on the platter."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@dataclass(frozen=True, slots=True)
class Dealt:
    """A key and every holder's share, holder 1 first."""

    key: SharedKey
    secrets: tuple[int, ...]


def drawing(label: str, group: Group = GROUP) -> Callable[[], int]:
    """Scalars that are the same in every run."""
    count = 0

    def draw() -> int:
        nonlocal count
        count += 1
        wide = hashlib.sha512(f"{label} {count}".encode()).digest()
        return int.from_bytes(wide, "big") % (group.order - 1) + 1

    return draw


def dealt(
    group: Group, accounts: Sequence[bytes], purpose: KeyPurpose, version: int = 1, *, threshold: int = 0
) -> Dealt:
    """A key dealt in process to these accounts; the threshold is n − f unless it is given."""
    threshold = threshold or quorum_size(len(accounts))
    draw = drawing(f"{purpose} {version} {len(accounts)}", group)
    polynomial = random_polynomial(group.order, threshold, draw, secret=draw())
    commitments = dealing.commit(group, polynomial)
    holders = range(1, len(accounts) + 1)
    keys = HolderKeys(
        threshold=threshold,
        public_key=commitments[0].encode(),
        share_keys=tuple(dealing.committed_at(commitments, holder).encode() for holder in holders),
    )
    key = SharedKey(
        purpose=purpose,
        version=version,
        renewal=0,
        group=group.name,
        holders=tuple(accounts),
        keys=keys,
        since_ms=1,
    )
    return Dealt(key, tuple(value_at(group.order, polynomial, holder) for holder in holders))


class HolderNode:
    """One operator's node, on real files."""

    def __init__(self, net: HolderNet, label: str, folder: Path) -> None:
        self.net, self.label, self.folder = net, label, folder
        self.actor: Actor = actor(label, "node")
        self.alive = True
        self.start()

    @property
    def account(self) -> bytes:
        return self.actor.account

    def start(self) -> None:
        """As a process that begins: nothing is known but what is on disk."""
        files = SealedFolder(self.folder, SUITE, identity(f"seal {self.label}", 32))
        files.prepare()
        self.shares = ShareFile(files, self.net.world.chain_id, self.account)
        self.memories = RoundFiles(files)
        self.wrong: set[tuple[bytes, int]] = set()
        self.judged: dict[tuple[bytes, int], bool] = {}
        self.since: dict[Name, int] = {}
        self.pieces = PieceServer(
            suite=SUITE,
            account=self.account,
            state=lambda: self.net.world,
            memory=self.memories.find,
            share=lambda one: self.share(one.purpose, one.version, one.renewal - 1),
            clock_s=lambda: 0.0,
        )

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> HeldShare | None:
        wanted = (purpose, version, renewal)
        held = self.shares.held()
        return next((one for one in held if (one.purpose, one.version, one.renewal) == wanted), None)

    def waited_ms(self, name: Name) -> int:
        return self.net.world.time_ms - self.since.setdefault(name, self.net.world.time_ms)

    def view(self) -> View:
        return View(
            suite=SUITE,
            account=self.account,
            state=self.net.world,
            clock_ms=self.net.world.time_ms,
            memories={memory.round_id: memory for memory in self.memories.all()},
            shares=self.shares.held(),
            wrong=frozenset(self.wrong),
            judged=self.judged,
            waited_ms=self.waited_ms,
            under_way=lambda _name: False,
        )

    def plan(self) -> tuple[Step, ...]:
        """What is to be done now; a hostile node does something else."""
        return plan(self.view())

    def give(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        """What a peer is given that asks for its pair."""
        return self.pieces.pair_for(asking, round_id)

    def carry_out(self, step: Step) -> bool:
        """Do one thing; whether anything came of it."""
        match step:
            case Remember(round=one):
                seed = identity(f"seed {self.label} {one.round_id.hex()} {self.net.entropy()}", 32)
                self.memories.keep(new_memory(one, seed))
            case ChangeShares(keep=keep, drop=drop):
                self.shares.change(keep=keep, drop=drop)
            case Forget(round_id=round_id):
                self.memories.forget(round_id)
            case Fetch(round=one, dealer=dealer):
                return self.fetch(one, dealer)
            case Judge(round=one, dealer=dealer, pair=pair, revealed=revealed):
                holder = number_of(self.account, one.holders)
                self.judged[one.round_id, dealer] = revealed_fits(group_for(one), revealed, holder, pair)
            case Submit(args=args):
                return self.submit(args).code == "ok"
        return True

    def fetch(self, one: SharedKeyRound, dealer: int) -> bool:
        try:
            pair = self.net.by_account(one.dealers[dealer - 1]).asked(self.account, one.round_id)
        except LedgerError:
            return False
        pair = ReceivedPair(dealer=dealer, value=pair.value, blinding=pair.blinding)
        commitments = dealing_of(self.net.world, one, dealer).commitments
        holder = number_of(self.account, one.holders)
        memory = self.memories.find(one.round_id)
        if memory is None or not pair_fits(group_for(one), commitments, one.renewal, holder, pair):
            self.wrong.add((one.round_id, dealer))
        else:
            self.memories.keep(memory.with_pair(pair))
        return True

    def asked(self, asking: bytes, round_id: bytes) -> ReceivedPair:
        if not self.alive:
            raise Unavailable(what="peer", reason="it is down")
        return self.give(asking, round_id)

    def submit(self, args: Args) -> Result:
        return self.net.world.run(self.actor, args)

    def advance(self) -> bool:
        """One plan, carried out; whether anything came of it."""
        if not self.alive:
            return False
        steps = self.plan()
        durable = [step for step in steps if isinstance(step, Remember | ChangeShares | Forget)]
        return True in [self.carry_out(step) for step in durable or steps]


class HolderNet:
    """A ledger and its operators' nodes.

    Args:
        folder: for their files.
        operators: how many there are at genesis.
        kinds: what the nodes of these numbers, from 0, are instead of honest.
    """

    def __init__(
        self,
        folder: Path,
        operators: int,
        kinds: dict[int, Callable[[HolderNet, str, Path], HolderNode]] | None = None,
    ) -> None:
        self.world = World(operators=operators)
        self._folder = folder
        self._entropy = 0
        self.nodes: list[HolderNode] = []
        for n in range(operators):
            self.add(f"operator {n}", (kinds or {}).get(n, HolderNode))

    def add(self, label: str, kind: Callable[[HolderNet, str, Path], HolderNode] = HolderNode) -> HolderNode:
        self.nodes.append(kind(self, label, self._folder / label.replace(" ", "-")))
        return self.nodes[-1]

    def entropy(self) -> int:
        """Another number each time, so that what is not durable is never drawn alike again."""
        self._entropy += 1
        return self._entropy

    def by_account(self, account: bytes) -> HolderNode:
        found = next((node for node in self.nodes if node.account == account), None)
        if found is None:
            raise Unavailable(what="peer", reason="there is none")
        return found

    def settle(self, done: Callable[[], bool] | None = None) -> None:
        """Let everybody act until it is done; time passes while nobody has anything to do, and deadlines fire."""
        finished = done or (lambda: shared_keys.ready(self.world) and not open_rounds(self.world))
        for _ in range(PASSES_MAX):
            moved = True in [node.advance() for node in self.nodes]
            if finished() and not moved:
                return
            if not moved:
                self.pass_time(IDLE_MS)
        raise AssertionError(f"not done: {open_rounds(self.world)}")

    def pass_time(self, ms: int) -> None:
        self.world.time_ms += ms
        ticking = next((node for node in self.nodes if node.alive), None)
        if ticking is not None and due(self.world, self.world.time_ms):
            ticking.submit(DeadlinesTick())

    # --- what came of it ---

    def key(self, purpose: KeyPurpose, version: int = 1) -> SharedKey:
        found = SHARED_KEYS.get(self.world, (purpose, version))
        assert found is not None
        return found

    def holding(self, key: SharedKey) -> dict[int, int]:
        """The secret shares of that key at that renewal, by holder, of nodes that have them."""
        found: dict[int, int] = {}
        for node in self.nodes:
            share = node.share(key.purpose, key.version, key.renewal)
            if share is not None:
                found[share.holder] = int.from_bytes(share.secret, "big")
        return found

    def opens(self, key: SharedKey, holders: Sequence[int]) -> bool:
        """Whether the shares of these holders give the secret of the public key."""
        held = self.holding(key)
        secret = interpolate(GROUP.order, {holder: held[holder] for holder in holders})
        made: Element = GROUP.generator.times(secret)
        return made.encode() == key.keys.public_key
