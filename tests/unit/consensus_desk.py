"""One core on a desk: events go in by hand, signing and executing are done at once, every other effect is laid out to look at."""

from __future__ import annotations

from msgspec.structs import replace

from consensus.core.effects import (
    Broadcast,
    BuildBlock,
    Effect,
    ExecuteBlock,
    Finalize,
    Persist,
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
from consensus.core.messages import Message, Propose, Votes
from consensus.core.records import Record
from consensus.core.restore import restore
from consensus.core.settings import NO_BLOCK, Timing
from ledger.types import Block, Header, QuorumCertificate, Transaction, ValidatorSet, Vote, VoteKind
from tests.simulation.harness.application import SimApplication, make_transaction, next_state_root
from tests.simulation.harness.cluster import CHAIN_ID, Cluster
from tests.simulation.harness.node import EPOCH_START_MS, account_of
from tests.simulation.harness.scheme import SimScheme
from tests.simulation.harness.words import in_words


class Desk:
    """The core of validator `me` of `size`.

    Attributes:
        invalid: digests that execution calls invalid.
        records: everything persisted.
    """

    def __init__(
        self,
        me: int = 0,
        size: int = 4,
        *,
        voting: bool = True,
        wary: bool = False,
        records: list[Record] | None = None,
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
            committee=self.cluster.committee(me),
            timing=Timing(),
            scheme=self.scheme,
            hashing=self.hashing,
            root=self.application.head(),
            certificate=None,
            voting=voting,
            wary=wary,
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
        """From the machine of that number."""
        return self.put(Received(peer=account_of(peer), message=message))

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
        return replace(unsigned, signature=self.cluster.signer(validator).sign_vote(CHAIN_ID, unsigned))

    def certificate(self, kind: VoteKind, view: int, digest: bytes = NO_BLOCK) -> QuorumCertificate:
        """By a quorum of validators, without this one where they are enough."""
        others = [one for one in range(self.size) if one != self.me]
        signers = sorted([*others, self.me][: self.machine.committee.quorum])
        votes = tuple(self.vote(one, kind, view, digest) for one in signers)
        return self.scheme.aggregate(self.cluster.validators, votes)

    def block(
        self,
        view: int,
        parent: Header | None = None,
        *,
        transactions: tuple[int, ...] = (),
        time_ms: int = 0,
        change: ValidatorSet | None = None,
    ) -> tuple[Block, bytes]:
        """A valid block of that view's leader on `parent` (genesis by default), and its digest; a seal if it changes the set."""
        above = parent if parent is not None else self.cluster.genesis
        body: tuple[Transaction, ...] = tuple(make_transaction(CHAIN_ID, number) for number in transactions)
        after = above.next_validators_hash
        if change is not None:
            body = (*body, make_transaction(CHAIN_ID, 10**6, change))
            after = self.hashing.validators_hash(change)
        header = replace(
            above,
            view=view,
            height=above.height + 1,
            parent=self.hashing.block_digest(above),
            time_ms=time_ms or max(self.now_ms, above.time_ms + 1),
            proposer=self.machine.committee.account(self.machine.committee.leader(view)),
            transactions_root=self.hashing.transactions_root(body),
            state_root=next_state_root(above, body),
            next_validators_hash=after,
        )
        return Block(header=header, transactions=body), self.hashing.block_digest(header)

    def next_set(self) -> ValidatorSet:
        """The set of the second epoch: the first validator has left."""
        return ValidatorSet(epoch=2, validators=self.cluster.validators.validators[1:])

    def filler(self, view: int, parent: Header, **changed: int | bytes) -> tuple[Block, bytes]:
        """What that view's leader may put above a seal or filler, and its digest; with some header fields changed."""
        committee = self.machine.committee
        header = replace(
            parent,
            view=view,
            parent=self.hashing.block_digest(parent),
            time_ms=parent.time_ms + 1,
            proposer=committee.account(committee.leader(view)),
            transactions_root=self.hashing.transactions_root(()),
            results_root=self.hashing.empty_results_root(),
        )
        header = replace(header, **changed)
        return Block(header=header, transactions=()), self.hashing.block_digest(header)

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


def readable(effects: list[Effect]) -> list[str]:
    """One line for each effect."""
    return [in_words(effect) for effect in effects]
