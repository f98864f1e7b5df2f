"""The core and the engine against a liar: one validator of four that says whatever the input tells it to.

Rule: one liar is no more than f, so nothing that it says may raise, break an invariant, make the machine vote against its own
votes, or let its memory grow with the number of messages.
"""

from __future__ import annotations

from msgspec.structs import replace

from consensus.core.effects import Effect
from consensus.core.events import Timer, WorkNoticed
from consensus.core.messages import (
    Certificates,
    FetchBlock,
    FetchCertificates,
    FetchedBlock,
    FetchFinalized,
    FinalizedRange,
    Message,
    Propose,
    Status,
    Votes,
    encode_message,
)
from consensus.core.settings import NO_BLOCK
from ledger.types import Block, QuorumCertificate, Vote, VoteKind
from tests.fuzz.target import Script, Target, require
from tests.fuzz.targets.history import LIAR, ME, SIZE, History, history
from tests.simulation.harness.application import make_transaction
from tests.simulation.harness.cluster import CHAIN_ID, Cluster
from tests.unit.consensus_desk import Desk, votes_in

# The history has seven views; a liar leads each fourth and may fill the one view ahead of the current one.
ROUNDS_MAX = 12
BODIES_MAX = 24
STEPS_MAX = 200
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 2**31, 2**53 - 1)
KINDS = tuple(VoteKind)


class Liar:
    """Makes messages out of choices and what there is to lie with."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._past: History = history()
        self._certificates = list(self._past.certificates.values())
        self._blocks = list(self._past.blocks.values())
        self._digests = [NO_BLOCK, b"\7" * 32, *self._past.digests.values()]

    def number(self) -> int:
        return NUMBERS[self._script.below(len(NUMBERS))]

    def message(self) -> tuple[int, Message]:
        """From whom, and what; honest validators say what they said in the past."""
        script, past = self._script, self._past
        if script.below(2):
            said = past.messages()
            return said[script.below(len(said))]
        match script.below(9):
            case 0:
                votes = tuple(self.vote() for _ in range(1 + script.below(3)))
                return LIAR, Votes(votes=votes, admitted_by=self.certificate() if script.below(2) else None)
            case 1:
                return LIAR, Certificates(
                    certificates=tuple(self.certificate() for _ in range(1 + script.below(3)))
                )
            case 2 | 3:
                return LIAR, self.propose()
            case 4:
                certificate = self.certificate() if script.below(2) else None
                return LIAR, Status(
                    epoch=self.number(), view=self.number(), height=self.number(), finalization=certificate
                )
            case 5:
                return LIAR, FetchedBlock(block=self.block())
            case 6:
                return LIAR, self.finalized_range()
            case 7:
                return LIAR, FetchCertificates(epoch=1, first_view=self.number(), last_view=self.number())
            case _:
                if script.below(2):
                    return LIAR, FetchFinalized(first_height=self.number())
                return LIAR, FetchBlock(epoch=1, height=self.number(), digest=self.digest())

    def digest(self) -> bytes:
        return self._digests[self._script.below(len(self._digests))]

    def vote(self) -> Vote:
        script = self._script
        validator = LIAR if script.below(2) else (0, 1, 2, 4, 127)[script.below(5)]
        kind, view, digest = KINDS[script.below(3)], self.number(), self.digest()
        return self._past.vote(validator, kind, view, digest, forged=script.below(4) == 3)

    def certificate(self) -> QuorumCertificate:
        """A good one, or one with a field changed."""
        script = self._script
        good = self._certificates[script.below(len(self._certificates))]
        match script.below(7):
            case 1:
                return replace(good, view=self.number())
            case 2:
                return replace(good, digest=self.digest())
            case 3:
                return replace(good, kind=KINDS[script.below(3)])
            case 4:
                return replace(good, signers=script.some(script.below(3)))
            case 5:
                return replace(good, signature=b"\1" + script.some(2))
            case 6:
                return replace(good, epoch=self.number())
            case _:
                return good

    def block(self) -> Block:
        script = self._script
        block = self._blocks[script.below(len(self._blocks))]
        for _ in range(script.below(3)):
            block = self._past.altered(block, script.below(16), self.number())
        return block

    def propose(self) -> Propose:
        """A proposal of the past with another vote, or one of the liar's own."""
        script, desk = self._script, self._past.desk
        if script.below(2):
            past = [message for _, message in self._past.proposals()]
            again = past[script.below(len(past))]
            return replace(again, vote=self.altered(again.vote))
        block = self.block()
        vote = desk.vote(LIAR, VoteKind.NOTARIZE, block.header.view, desk.hashing.block_digest(block.header))
        return Propose(
            block=block,
            vote=vote if script.below(4) else self.altered(vote),
            parent=self.certificate() if script.below(4) else None,
            nullifications=tuple(self.certificate() for _ in range(script.below(4))),
        )

    def altered(self, vote: Vote) -> Vote:
        """The vote with one field changed, mostly without a signature that fits."""
        script = self._script
        match script.below(6):
            case 0:
                return self.vote()
            case 1:
                return replace(vote, validator=(0, 1, 2, 4, 127)[script.below(5)])
            case 2:
                return replace(vote, digest=self.digest())
            case 3:
                return replace(vote, kind=KINDS[script.below(3)])
            case 4:
                return replace(vote, view=self.number())
            case _:
                return replace(vote, signature=b"\1" + script.some(1))

    def finalized_range(self) -> FinalizedRange:
        script = self._script
        blocks = list(self._past.finalized())[script.below(4) :]
        if blocks and script.below(2):
            at = script.below(len(blocks))
            blocks[at] = replace(blocks[at], block=self.block())
        elif blocks and script.below(2):
            at = script.below(len(blocks))
            blocks[at] = replace(blocks[at], certificate=self.certificate(), path=blocks[0].path)
        return FinalizedRange(first_height=self.number(), blocks=tuple(blocks))


class Witness:
    """Remembers the machine's votes, also over restarts, and holds them against the rules."""

    def __init__(self) -> None:
        self._voted: dict[tuple[str, int], bytes] = {}

    def saw(self, desk: Desk, effects: list[Effect]) -> None:
        votes_in(effects)
        for found in desk.machine.rounds.all():
            for kind, vote in found.own_votes.items():
                earlier = self._voted.setdefault((kind.name, found.view), vote.digest)
                require(earlier == vote.digest, f"two {kind.name} votes in view {found.view}")
            both = {VoteKind.NULLIFY, VoteKind.FINALIZE} <= found.own_votes.keys()
            require(not both, f"Nullify and Finalize in view {found.view}")


def forward(desk: Desk, view: int) -> list[Effect]:
    """The machine hears, up to a view, whatever certificate ended each view."""
    past = history().certificates
    chosen = {one.view: one for one in past.values() if one.view <= view}
    return [effect for one in chosen.values() for effect in desk.hear(1, Certificates(certificates=(one,)))]


def run_core(data: bytes) -> None:
    """Play a script against one machine."""
    script, witness = Script(data), Witness()
    desk, liar = Desk(ME, SIZE), Liar(script)
    witness.saw(desk, desk.start())
    for step in range(STEPS_MAX):
        if script.ended:
            break
        match script.below(16):
            case 0:
                timers = list(Timer)
                effects = desk.fire(timers[script.below(len(timers))])
            case 1:
                desk.application.submit(make_transaction(CHAIN_ID, 100 + step))
                effects = desk.put(WorkNoticed(pending=bool(script.below(2))))
            case 2:
                desk.now_ms += (1, 1000, 60_000, -60_000)[script.below(4)]
                effects = []
            case 3:
                desk = desk.restarted()
                effects = desk.start()
            case 4:
                effects = forward(desk, script.below(8))
            case _:
                effects = desk.hear(*liar.message())
        witness.saw(desk, effects)
        require(len(desk.machine.rounds.all()) <= ROUNDS_MAX, "rounds pile up")
        require(len(desk.machine.tree._entries) <= BODIES_MAX, "bodies pile up")


def core_seeds() -> list[bytes]:
    """Everything honest in order, then some lies."""
    count = len(history().messages())
    honest = b"".join(bytes((8, 1, index)) for index in range(count))
    lies = b"".join(bytes((8, 0, kind, 1, 1, 2, 3, 0, 1, 0)) for kind in range(9))
    alone = [bytes((4, view, 8, 0, kind, 0, 2, 1, 1, 3)) for view in (3, 7) for kind in range(9)]
    twice = [bytes((4, 3, 8, 1, 2, 8, 0, 2, 1, 2, kind, 1)) for kind in range(6)]
    return [*alone, *twice, honest, lies, lies + honest, b"\1\1" + honest + b"\0\1" * 6 + b"\3" + lies]


def run_engine(data: bytes) -> None:
    """Deliver whatever bytes to a node: for each message a peer, two bytes of length, and the message."""
    cluster = Cluster(SIZE, seed=7)
    node = cluster.nodes[ME]
    node.start()
    cluster.run(1)
    script = Script(data)
    for _ in range(STEPS_MAX):
        if script.ended:
            break
        peer = script.below(8)
        size_bytes = int.from_bytes(script.some(2), "big")
        if peer < SIZE:
            node.deliver(peer, script.some(min(size_bytes, len(data))))
        else:
            cluster.run(200 * (peer - SIZE))
    engine = node.engine
    require(engine is not None and node.up, "the node went down")
    if engine is not None:
        require(len(engine.machine.rounds.all()) <= ROUNDS_MAX, "rounds pile up")
        require(len(engine.machine.tree._entries) <= BODIES_MAX, "bodies pile up")


def engine_seeds() -> list[bytes]:
    """Every honest message alone, and all of them."""
    framed = []
    for peer, message in history().messages():
        encoded = encode_message(message)
        framed.append(bytes([peer]) + len(encoded).to_bytes(2, "big") + encoded)
    return [*framed, b"".join(framed), b"".join(framed[::-1])]


TARGETS = (
    Target(name="consensus.core", run=run_core, seeds=core_seeds, errors=(), size_bytes_max=1024),
    Target(name="consensus.engine", run=run_engine, seeds=engine_seeds, errors=(), size_bytes_max=32 * 1024),
)
