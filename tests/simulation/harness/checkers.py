"""What must hold in every run. Each checker knows the property and nothing of how consensus keeps it.

Rule: checkers see honest nodes only, through what leaves them and what they hand to their applications. What they know of validator
sets they read from the transactions of finalized blocks themselves.
"""

from __future__ import annotations

from consensus.core.effects import Broadcast, Effect, Send
from consensus.core.messages import Certificates, Propose, Status, Votes
from ledger import codec
from ledger.types import Block, FinalizedBlock, QuorumCertificate, ValidatorSet, Vote, VoteKind


class PropertyBroken(AssertionError):
    """A run broke a property."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise PropertyBroken(message)


class Agreement:
    """All nodes finalize the same block with the same state root at every height, whatever the epoch."""

    def __init__(self) -> None:
        self._chain: dict[int, tuple[bytes, bytes]] = {}

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        agreed = self._chain.setdefault(header.height, (digest, header.state_root))
        require(agreed == (digest, header.state_root), f"node {node} disagrees at height {header.height}")


class Ancestry:
    """Each finalized block is the child of the one before, one higher, later, and of a later view or epoch."""

    def __init__(self, genesis: bytes) -> None:
        self._last: dict[int, tuple[bytes, int, tuple[int, int], int]] = {}
        self._genesis = genesis

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        parent, height, position, time_ms = self._last.get(node, (self._genesis, 0, (1, 0), 0))
        require(header.parent == parent, f"node {node}: block {header.height} is no child of the one before")
        require(
            header.height == height + 1, f"node {node}: a height is missing or repeated at {header.height}"
        )
        here = (header.epoch, header.view)
        require(here > position, f"node {node}: views do not grow at height {header.height}")
        require(header.time_ms > time_ms, f"node {node}: time does not grow at height {header.height}")
        self._last[node] = (digest, header.height, here, header.time_ms)

    def on_restart(self, node: int, chain: list[tuple[bytes, FinalizedBlock]]) -> None:
        """The node starts again from its store."""
        self._last.pop(node, None)
        for digest, finalized in chain:
            self.on_final(node, finalized, digest)


class Membership:
    """An epoch ends with the block that changes the set, the next begins after it, and only members of an epoch vote in it."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._accounts = {1: [one.account for one in validators.validators]}
        self._seals: dict[int, int] = {}
        self._entered: dict[int, int] = {}

    def on_final(self, node: int, finalized: FinalizedBlock) -> None:
        header = finalized.block.header
        ended = self._seals.get(header.epoch)
        require(
            ended is None or header.height <= ended,
            f"node {node}: block {header.height} of epoch {header.epoch} is above its seal at {ended}",
        )
        require(
            header.epoch == 1 or self._seals.get(header.epoch - 1, header.height) < header.height,
            f"node {node}: epoch {header.epoch} begins before the one before has ended",
        )
        after = self._change_in(finalized.block)
        seals = header.next_validators_hash != header.validators_hash
        require(seals == (after is not None), f"node {node}: a seal without a change at {header.height}")
        if after is not None:
            self._accounts[after.epoch] = [one.account for one in after.validators]
            self._seals[header.epoch] = header.height
            self._entered[node] = max(after.epoch, self._entered.get(node, 1))

    def on_vote(self, node: int, vote: Vote) -> None:
        members = self._accounts.get(vote.epoch, [])
        require(
            vote.validator < len(members) and members[vote.validator] == node.to_bytes(16, "big"),
            f"node {node} voted in epoch {vote.epoch} without being validator {vote.validator} of it",
        )
        require(
            vote.epoch <= self._entered.get(node, 1),
            f"node {node} voted in epoch {vote.epoch} before the seal of the one before was final for it",
        )

    def _change_in(self, block: Block) -> ValidatorSet | None:
        for transaction in block.transactions:
            call = transaction.body.call
            if call.method == "validators":
                wanted = codec.decode(call.args, ValidatorSet, size_bytes_max=2**20, what="validators")
                if wanted.epoch == block.header.epoch + 1:
                    return wanted
        return None


class OneVote:
    """One vote per kind, view and epoch across restarts, and never Finalize beside Nullify. An epoch gives each node one key."""

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int, int, VoteKind], bytes] = {}

    def on_vote(self, node: int, vote: Vote) -> None:
        key = (node, vote.epoch, vote.view, vote.kind)
        place = f"view {vote.view} of epoch {vote.epoch}"
        require(
            self._votes.setdefault(key, vote.digest) == vote.digest,
            f"node {node} voted twice in {place}",
        )
        if vote.kind is not VoteKind.NOTARIZE:
            other = VoteKind.NULLIFY if vote.kind is VoteKind.FINALIZE else VoteKind.FINALIZE
            require(
                (node, vote.epoch, vote.view, other) not in self._votes,
                f"node {node} voted both Finalize and Nullify in {place}",
            )


class OneFate:
    """No view has both a Finalization and a Nullification, nor certificates of two blocks."""

    def __init__(self) -> None:
        self._nullified: set[tuple[int, int]] = set()
        self._finalized: set[tuple[int, int]] = set()
        self._named: dict[tuple[int, int], bytes] = {}

    def on_certificate(self, certificate: QuorumCertificate) -> None:
        view = (certificate.epoch, certificate.view)
        if certificate.kind is VoteKind.NULLIFY:
            self._nullified.add(view)
        else:
            named = self._named.setdefault(view, certificate.digest)
            require(named == certificate.digest, f"two blocks are certified in epoch and view {view}")
            if certificate.kind is VoteKind.FINALIZE:
                self._finalized.add(view)
        require(
            not (view in self._nullified and view in self._finalized),
            f"epoch and view {view} is finalized and nullified",
        )


class NothingLost:
    """What a node called final is final for it after every restart, as long as it has its journal."""

    def __init__(self) -> None:
        self._acknowledged: dict[int, int] = {}

    def on_final(self, node: int, height: int) -> None:
        self._acknowledged[node] = max(height, self._acknowledged.get(node, 0))

    def on_recovered(self, node: int, height: int) -> None:
        known = self._acknowledged.get(node, 0)
        require(height >= known, f"node {node} had finalized {known} and came back with {height}")

    def on_journal_lost(self, node: int, height: int) -> None:
        self._acknowledged[node] = height


class AppliedOnce:
    """No transaction is in two finalized blocks, and no filler is ever applied: every block is one height above the last."""

    def __init__(self) -> None:
        self._where: dict[bytes, int] = {}

    def on_final(self, node: int, finalized: FinalizedBlock) -> None:
        height = finalized.block.header.height
        for transaction in finalized.block.transactions:
            first = self._where.setdefault(transaction.body.nonce, height)
            require(first == height, f"node {node}: a transaction is in blocks {first} and {height}")


class Checkers:
    """All of them, fed from one place."""

    def __init__(self, genesis: bytes, validators: ValidatorSet) -> None:
        self.agreement = Agreement()
        self.ancestry = Ancestry(genesis)
        self.membership = Membership(validators)
        self.one_vote = OneVote()
        self.one_fate = OneFate()
        self.nothing_lost = NothingLost()
        self.applied_once = AppliedOnce()

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        self.agreement.on_final(node, finalized, digest)
        self.ancestry.on_final(node, finalized, digest)
        self.membership.on_final(node, finalized)
        self.applied_once.on_final(node, finalized)
        self.nothing_lost.on_final(node, finalized.block.header.height)
        self.one_fate.on_certificate(finalized.certificate)

    def on_effect(self, node: int, effect: Effect) -> None:
        """What leaves an honest node."""
        if not isinstance(effect, Send | Broadcast):
            return
        match effect.message:
            case Votes(votes=votes):
                for vote in votes:
                    self._on_vote(node, vote)
            case Propose(vote=vote):
                self._on_vote(node, vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self.one_fate.on_certificate(certificate)
            case Status(finalization=finalization):
                if finalization is not None:
                    self.one_fate.on_certificate(finalization)
            case _:
                pass

    def _on_vote(self, node: int, vote: Vote) -> None:
        self.one_vote.on_vote(node, vote)
        self.membership.on_vote(node, vote)
