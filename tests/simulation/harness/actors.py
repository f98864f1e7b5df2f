"""Byzantine validators: a real engine whose words are bent on their way out, with its own key and nobody else's.

Rule: an actor may do anything that its key and the network allow. It cannot sign for others, which is what the scheme assures.
"""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from consensus.core.effects import Lane
from consensus.core.messages import (
    Certificates,
    FetchedBlock,
    FinalizedRange,
    Message,
    Propose,
    Status,
    Votes,
    encode_message,
)
from consensus.core.settings import NO_BLOCK
from ledger.types import Block, FinalizedBlock, Header, QuorumCertificate, Vote, VoteKind
from tests.simulation.harness.application import next_state_root
from tests.simulation.harness.node import SimNode, index_of, message_of


class Actor:
    """Passes everything on unchanged; subclasses bend it."""

    name = "honest"

    def __init__(self, node: SimNode, random: Random) -> None:
        self.node = node
        self.random = random
        self.others = [peer for peer in range(node.world.size) if peer != node.index]

    def send(self, peer: bytes, message: bytes, *, lane: Lane) -> None:
        self.say(message_of(message), [index_of(peer)])

    def broadcast(self, message: bytes, *, lane: Lane) -> None:
        self.say(message_of(message), self.others)

    def say(self, message: Message, to: list[int]) -> None:
        self.put(message, to)

    def put(self, message: Message, to: list[int]) -> None:
        """Onto the wire."""
        self.raw(encode_message(message), to)

    def raw(self, data: bytes, to: list[int]) -> None:
        for peer in to:
            self.node.world.network.send(self.node.index, peer, data)

    def sign(self, kind: VoteKind, view: int, digest: bytes) -> Vote:
        unsigned = Vote(
            kind=kind,
            epoch=self.node.committee.epoch,
            view=view,
            digest=digest,
            validator=self.node.committee.me or 0,
            signature=b"\0",
        )
        signer = list(self.node.signers.values())[-1]
        return replace(unsigned, signature=signer.sign_vote(self.node.committee.chain_id, unsigned))

    def halves(self) -> tuple[list[int], list[int]]:
        shuffled = self.random.sample(self.others, len(self.others))
        return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


class Silent(Actor):
    """Says nothing."""

    name = "silent"

    def say(self, message: Message, to: list[int]) -> None:
        return


class Equivocator(Actor):
    """As leader, proposes two valid blocks and votes for both."""

    name = "equivocator"

    def say(self, message: Message, to: list[int]) -> None:
        if not isinstance(message, Propose):
            self.put(message, to)
            return
        header = replace(message.block.header, time_ms=message.block.header.time_ms + 1)
        vote = self.sign(VoteKind.NOTARIZE, header.view, self.node.world.hashing.block_digest(header))
        other = replace(message, block=replace(message.block, header=header), vote=vote)
        first, second = self.halves()
        self.put(message, first)
        self.put(other, second)
        if self.random.random() < 0.5:
            self.put(Votes(votes=(vote,)), first)
            self.put(Votes(votes=(message.vote,)), second)


class Forker(Actor):
    """As leader, extends an older block than the newest notarized one, without proof that the views between were skipped."""

    name = "forker"

    def say(self, message: Message, to: list[int]) -> None:
        application = self.node.application
        engine = self.node.engine
        if (
            not isinstance(message, Propose)
            or application is None
            or engine is None
            or message.parent is None
        ):
            self.put(message, to)
            return
        rounds = engine.machine.rounds
        candidates = [
            rounds.finalized,
            *(rounds.certified(digest) for digest in application.overlay_digests()),
        ]
        older = [one for one in candidates if one is not None and one.view < message.parent.view]
        parent = self.random.choice(older) if older else None
        header = application.header(parent.digest) if parent is not None else None
        if parent is None or header is None:
            self.put(message, to)
            return
        forked = replace(
            message.block.header,
            parent=parent.digest,
            height=header.height + 1,
            transactions_root=self.node.world.hashing.transactions_root(()),
            state_root=next_state_root(header, ()),
        )
        vote = self.sign(VoteKind.NOTARIZE, forked.view, self.node.world.hashing.block_digest(forked))
        block = Block(header=forked, transactions=())
        self.put(Propose(block=block, vote=vote, parent=parent.certificate, nullifications=()), to)


class InvalidProposer(Actor):
    """As leader, proposes blocks that break a rule of the application or of the header."""

    name = "invalid proposer"

    def say(self, message: Message, to: list[int]) -> None:
        if not isinstance(message, Propose):
            self.put(message, to)
            return
        block = message.block
        choice = self.random.randrange(4)
        if choice == 0:
            header = replace(block.header, state_root=self.random.randbytes(32))
        elif choice == 1:
            header = replace(block.header, height=block.header.height + 1)
        elif choice == 2:
            header = replace(
                block.header, time_ms=block.header.time_ms + self.random.choice((-600_000, 600_000))
            )
        else:
            twice = block.transactions * 2
            root = self.node.world.hashing.transactions_root(twice)
            block, header = replace(block, transactions=twice), replace(block.header, transactions_root=root)
        vote = self.sign(VoteKind.NOTARIZE, header.view, self.node.world.hashing.block_digest(header))
        self.put(replace(message, block=replace(block, header=header), vote=vote), to)


class ConflictingVoter(Actor):
    """Votes one thing to some and another to others, and to some with a signature that does not hold."""

    name = "conflicting voter"

    def say(self, message: Message, to: list[int]) -> None:
        if not isinstance(message, Votes) or len(to) < 2:
            self.put(message, to)
            return
        first, second = self.halves()
        self.put(message, first)
        if self.random.random() < 0.2:
            forged = tuple(replace(vote, signature=self.random.randbytes(32)) for vote in message.votes)
            self.put(Votes(votes=forged), second)
        else:
            self.put(Votes(votes=tuple(self._other(vote) for vote in message.votes)), second)

    def _other(self, vote: Vote) -> Vote:
        match vote.kind:
            case VoteKind.NOTARIZE:
                return self.sign(vote.kind, vote.view, self.random.randbytes(32))
            case VoteKind.FINALIZE:
                return self.sign(VoteKind.NULLIFY, vote.view, NO_BLOCK)
            case VoteKind.NULLIFY:
                return self.sign(VoteKind.FINALIZE, vote.view, self.random.randbytes(32))


class AlwaysNullify(Actor):
    """Votes to skip every view, and beside it everything else that it would vote."""

    name = "always nullify"

    def say(self, message: Message, to: list[int]) -> None:
        if isinstance(message, Propose):
            self.put(Votes(votes=(self.sign(VoteKind.NULLIFY, message.vote.view, NO_BLOCK),)), self.others)
            return
        if isinstance(message, Votes):
            views = sorted({vote.view + ahead for vote in message.votes for ahead in (0, 1)})[:64]
            self.put(Votes(votes=tuple(self.sign(VoteKind.NULLIFY, view, NO_BLOCK) for view in views)), to)
        self.put(message, to)


class Impersonator(Actor):
    """Votes in the name of others, and passes on certificates that nobody signed."""

    name = "impersonator"

    def say(self, message: Message, to: list[int]) -> None:
        self.put(message, to)
        if self.random.random() < 0.2:
            self.put(self._forgery(message), [self.random.choice(self.others)])

    def _forgery(self, message: Message) -> Message:
        if self.random.random() < 0.5:
            view = message.votes[0].view if isinstance(message, Votes) else 1
            vote = self.sign(VoteKind.NULLIFY, view, NO_BLOCK)
            victim = self.random.randrange(self.node.committee.size)
            return Votes(votes=(replace(vote, validator=victim),))
        return Certificates(certificates=(self.certificate(1 + self.random.randrange(50)),))

    def certificate(self, view: int) -> QuorumCertificate:
        size = self.node.committee.size
        return QuorumCertificate(
            kind=self.random.choice(list(VoteKind)),
            epoch=self.node.committee.epoch,
            view=view,
            digest=self.random.randbytes(32),
            signers=((1 << size) - 1).to_bytes((size + 7) // 8, "little"),
            signature=self.random.randbytes(32),
        )


class StaleView(Actor):
    """Replays what it said long ago, and claims views, heights and epochs that nobody has reached."""

    name = "stale view"

    def __init__(self, node: SimNode, random: Random) -> None:
        super().__init__(node, random)
        self._said: list[bytes] = []

    def say(self, message: Message, to: list[int]) -> None:
        self.put(message, to)
        if len(self._said) < 256:
            self._said.append(encode_message(message))
        if self.random.random() < 0.2:
            self.raw(self._out_of_time(), [self.random.choice(self.others)])

    def _out_of_time(self) -> bytes:
        huge = 2**52
        choice = self.random.randrange(3)
        if choice == 0:
            return self.random.choice(self._said)
        if choice == 1:
            return encode_message(Votes(votes=(self.sign(VoteKind.NULLIFY, huge, NO_BLOCK),)))
        epoch = self.node.committee.epoch + self.random.choice((0, 1, 1, huge))
        return encode_message(Status(epoch=epoch, view=huge, height=huge, finalization=None, asks=True))


class Garbage(Actor):
    """Sends bytes that are no message, or were one before a bit was flipped."""

    name = "garbage"

    def say(self, message: Message, to: list[int]) -> None:
        self.put(message, to)
        if self.random.random() < 0.2:
            data = encode_message(message)
            at = self.random.randrange(len(data))
            flipped = data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1 :]
            noise = self.random.randbytes(self.random.randrange(200))
            self.raw(self.random.choice((flipped, noise)), [self.random.choice(self.others)])


class SealBreaker(Actor):
    """As leader above an epoch's seal, proposes something other than a filler; answers about the past with blocks beyond it."""

    name = "seal breaker"

    def say(self, message: Message, to: list[int]) -> None:
        if not isinstance(message, Propose) or not self.node.committee.seals(message.block.header):
            self.put(message, to)
            return
        header = message.block.header
        broken = self.random.choice(
            (
                replace(header, height=header.height + 1),
                replace(header, state_root=self.random.randbytes(32)),
                replace(header, next_validators_hash=header.validators_hash),
                replace(header, results_root=self.random.randbytes(32)),
                replace(header, epoch=header.epoch + 1, view=1),
            )
        )
        vote = self.sign(VoteKind.NOTARIZE, broken.view, self.node.world.hashing.block_digest(broken))
        self.put(replace(message, block=replace(message.block, header=broken), vote=vote), to)


class ForgingServer(Actor):
    """Takes part, but answers questions about the past with forgeries, or not at all, and claims to have everything."""

    name = "forging server"

    def say(self, message: Message, to: list[int]) -> None:
        match message:
            case FinalizedRange(blocks=blocks):
                if self.random.random() < 0.7:
                    forged = tuple(self._forge(finalized) for finalized in blocks)
                    self.put(replace(message, blocks=forged), to)
            case FetchedBlock(block=block):
                if self.random.random() < 0.7:
                    self.put(FetchedBlock(block=Block(header=_later(block.header), transactions=())), to)
            case Status():
                self.put(replace(message, height=2**40), to)
            case _:
                self.put(message, to)

    def _forge(self, finalized: FinalizedBlock) -> FinalizedBlock:
        block = replace(finalized.block, header=_later(finalized.block.header))
        if self.random.random() < 0.3:
            return replace(finalized, block=block)
        digest = self.node.world.hashing.block_digest(block.header)
        certificate = replace(finalized.certificate, digest=digest, signature=self.random.randbytes(32))
        return FinalizedBlock(block=block, path=(), certificate=certificate)


def _later(header: Header) -> Header:
    return replace(header, time_ms=header.time_ms + 7)


ACTORS: tuple[type[Actor], ...] = (
    Silent,
    Equivocator,
    Forker,
    InvalidProposer,
    ConflictingVoter,
    AlwaysNullify,
    Impersonator,
    StaleView,
    Garbage,
    ForgingServer,
    SealBreaker,
)


def corrupt(node: SimNode, kind: type[Actor], random: Random) -> Actor:
    """Make a machine, not yet started, Byzantine."""
    actor = kind(node, random)
    node.port = actor
    node.honest = False
    node.shameless = True
    return actor
