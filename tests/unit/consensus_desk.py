"""One core on a desk: events go in by hand, signing and executing are done at once, every other effect is laid out to look at."""

from __future__ import annotations

from msgspec.structs import replace

from consensus.core.effects import (
    Broadcast,
    BuildBlock,
    CancelTimer,
    Effect,
    Evidence,
    ExecuteBlock,
    Finalize,
    Persist,
    Send,
    SetTimer,
    SignVote,
)
from consensus.core.events import (
    BlockBuilt,
    BlockExecuted,
    Event,
    Received,
    Started,
    Timer,
    TimerFired,
    VoteSigned,
)
from consensus.core.machine import Machine
from consensus.core.messages import Certificates, Message, Propose, Status, Votes
from consensus.core.records import BlockRecord, CertificateRecord, FinalizationRecord, Record, VoteRecord
from consensus.core.restore import restore
from consensus.core.settings import NO_BLOCK, Timing
from ledger.types import Block, Header, QuorumCertificate, Transaction, Vote, VoteKind
from tests.simulation.harness.application import SimApplication, make_transaction, next_state_root
from tests.simulation.harness.cluster import CHAIN_ID, Cluster
from tests.simulation.harness.node import EPOCH_START_MS
from tests.simulation.harness.scheme import SimScheme


class Desk:
    """The core of validator `me` of `size`.

    Attributes:
        invalid: digests that execution calls invalid.
        records: everything persisted.
    """

    def __init__(
        self, me: int = 0, size: int = 4, *, voting: bool = True, records: list[Record] | None = None
    ) -> None:
        self.cluster = Cluster(size, seed=7)
        node = self.cluster.nodes[me]
        self.me, self.size = me, size
        self.genesis = self.cluster.genesis_digest
        scheme = self.cluster.scheme
        assert isinstance(scheme, SimScheme)
        self.scheme, self.hashing = scheme, self.cluster.hashing
        self.application = SimApplication(node.store, self.hashing, lambda finalized, digest: None)
        self.machine = Machine(
            committee=node.committee,
            timing=Timing(),
            scheme=self.scheme,
            hashing=self.hashing,
            root=self.application.head(),
            certificate=None,
            voting=voting,
        )
        self.invalid: set[bytes] = set()
        self.records: list[Record] = list(records or [])
        restore(self.machine, self.records, self.hashing)
        self.now_ms = EPOCH_START_MS

    # --- putting events in ------------------------------------------------------------------------------------------

    def put(self, event: Event) -> list[Effect]:
        """Handle an event and what follows from it at once; returns all effects in order."""
        seen: list[Effect] = []
        events = [event]
        while events:
            for effect in self.machine.handle(events.pop(0), self.now_ms):
                seen.append(effect)
                match effect:
                    case SignVote(kind=kind, view=view, digest=digest):
                        events.append(VoteSigned(vote=self.vote(self.me, kind, view, digest)))
                    case ExecuteBlock(block=block, digest=digest):
                        valid = digest not in self.invalid and self.application.verify(block, digest)
                        events.append(BlockExecuted(digest=digest, valid=valid))
                    case BuildBlock(parent=parent, context=context):
                        built = self.application.propose(parent, context)
                        events.append(BlockBuilt(view=context.view, block=built))
                    case Finalize(finalized=finalized, digest=digest):
                        self.application.finalize(finalized, digest)
                    case Persist(record=record):
                        self.records.append(record)
                    case _:
                        pass
        return seen

    def start(self) -> list[Effect]:
        return self.put(Started())

    def hear(self, peer: int, message: Message) -> list[Effect]:
        return self.put(Received(peer=peer, message=message))

    def fire(self, timer: Timer) -> list[Effect]:
        return self.put(TimerFired(timer=timer))

    def hear_votes(self, kind: VoteKind, view: int, digest: bytes, *validators: int) -> list[Effect]:
        return [
            effect
            for validator in validators
            for effect in self.hear(validator, Votes(votes=(self.vote(validator, kind, view, digest),)))
        ]

    # --- making things ----------------------------------------------------------------------------------------------

    def vote(self, validator: int, kind: VoteKind, view: int, digest: bytes = NO_BLOCK) -> Vote:
        unsigned = Vote(kind=kind, epoch=1, view=view, digest=digest, validator=validator, signature=b"\0")
        return replace(unsigned, signature=self.cluster.nodes[validator].signer.sign_vote(CHAIN_ID, unsigned))

    def certificate(self, kind: VoteKind, view: int, digest: bytes = NO_BLOCK) -> QuorumCertificate:
        """By the last quorum of validators."""
        quorum = self.machine.committee.quorum
        votes = tuple(self.vote(one, kind, view, digest) for one in range(self.size - quorum, self.size))
        return self.scheme.aggregate(self.cluster.validators, votes)

    def block(
        self, view: int, parent: Header | None = None, *, transactions: tuple[int, ...] = (), time_ms: int = 0
    ) -> tuple[Block, bytes]:
        """A valid block of that view's leader on `parent` (genesis by default), and its digest."""
        above = parent if parent is not None else self.cluster.genesis
        body: tuple[Transaction, ...] = tuple(make_transaction(CHAIN_ID, number) for number in transactions)
        header = replace(
            above,
            view=view,
            height=above.height + 1,
            parent=self.hashing.block_digest(above),
            time_ms=time_ms or max(self.now_ms, above.time_ms + 1),
            proposer=self.machine.committee.account(self.machine.committee.leader(view)),
            transactions_root=self.hashing.transactions_root(body),
            state_root=next_state_root(above, body),
        )
        return Block(header=header, transactions=body), self.hashing.block_digest(header)

    def propose(
        self,
        block: Block,
        parent: QuorumCertificate | None = None,
        nullifications: tuple[QuorumCertificate, ...] = (),
    ) -> list[Effect]:
        """Have the block's leader propose it."""
        leader = self.machine.committee.leader(block.header.view)
        vote = self.vote(
            leader, VoteKind.NOTARIZE, block.header.view, self.hashing.block_digest(block.header)
        )
        return self.hear(
            leader, Propose(block=block, vote=vote, parent=parent, nullifications=nullifications)
        )

    def restarted(self) -> Desk:
        """The same validator after a crash, with what it had persisted."""
        return Desk(self.me, self.size, records=self.records)


def votes_in(effects: list[Effect]) -> list[tuple[str, int]]:
    """Kind and view of each own vote that leaves."""
    found: list[tuple[str, int]] = []
    for effect in effects:
        match effect:
            case Broadcast(message=Votes(votes=votes)):
                found.extend((vote.kind.name, vote.view) for vote in votes)
            case Broadcast(message=Propose(vote=vote)):
                found.append((vote.kind.name, vote.view))
            case _:
                pass
    return found


def _name(record: Record) -> str:
    match record:
        case BlockRecord(block=block):
            return f"block {block.header.height}"
        case VoteRecord(vote=vote):
            return f"{vote.kind.name.lower()} {vote.view}"
        case CertificateRecord(certificate=certificate) | FinalizationRecord(certificate=certificate):
            return f"{certificate.kind.name.lower()} certificate {certificate.view}"


def _words(message: Message) -> str:
    match message:
        case Propose(block=block):
            return f"propose block {block.header.height} in view {block.header.view}"
        case Votes(votes=votes, admitted_by=admitted_by):
            said = ", ".join(f"{vote.kind.name.lower()} {vote.view}" for vote in votes)
            return said + (" with what admitted here" if admitted_by is not None else "")
        case Certificates(certificates=certificates):
            return ", ".join(f"{one.kind.name.lower()} certificate {one.view}" for one in certificates)
        case Status(view=view, height=height):
            return f"status view {view} height {height}"
        case _:
            return type(message).__name__


def readable(effects: list[Effect]) -> list[str]:
    """One line for each effect."""
    lines: list[str] = []
    for effect in effects:
        match effect:
            case Persist(record=record):
                lines.append(f"persist {_name(record)}")
            case Broadcast(message=message):
                lines.append(f"broadcast {_words(message)}")
            case Send(peer=peer, message=message):
                lines.append(f"send to {peer} {_words(message)}")
            case SetTimer(timer=timer, delay_ms=delay_ms):
                lines.append(f"set {timer.value} {delay_ms}")
            case CancelTimer(timer=timer):
                lines.append(f"cancel {timer.value}")
            case SignVote(kind=kind, view=view):
                lines.append(f"sign {kind.name.lower()} {view}")
            case BuildBlock(context=context):
                lines.append(f"build block {context.height} in view {context.view}")
            case ExecuteBlock(block=block):
                lines.append(f"execute block {block.header.height}")
            case Finalize(finalized=finalized):
                lines.append(f"finalize block {finalized.block.header.height}")
            case Evidence(first=first, second=second):
                lines.append(f"evidence against {first.validator}: {first.kind.name} and {second.kind.name}")
            case _:
                lines.append(type(effect).__name__)
    return lines
