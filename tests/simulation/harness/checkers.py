"""What must hold in every run. Each checker knows the property and nothing of how consensus keeps it.

Rule: checkers see honest nodes only, through what leaves them and what they hand to their applications.
"""

from __future__ import annotations

from consensus.core.effects import Broadcast, Effect, Send
from consensus.core.messages import Certificates, Propose, Status, Votes
from ledger.types import FinalizedBlock, QuorumCertificate, Vote, VoteKind


class PropertyBroken(AssertionError):
    """A run broke a property."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise PropertyBroken(message)


class Agreement:
    """All nodes finalize the same block with the same state root at every height."""

    def __init__(self) -> None:
        self._chain: dict[int, tuple[bytes, bytes]] = {}

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        agreed = self._chain.setdefault(header.height, (digest, header.state_root))
        require(agreed == (digest, header.state_root), f"node {node} disagrees at height {header.height}")


class Ancestry:
    """Each finalized block is the child of the one before, is later, and has a higher view."""

    def __init__(self, genesis: bytes) -> None:
        self._last: dict[int, tuple[bytes, int, int, int]] = {}
        self._genesis = genesis

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        parent, height, view, time_ms = self._last.get(node, (self._genesis, 0, 0, 0))
        require(header.parent == parent, f"node {node}: block {header.height} is no child of the one before")
        require(
            header.height == height + 1, f"node {node}: a height is missing or repeated at {header.height}"
        )
        require(header.view > view, f"node {node}: views do not grow at height {header.height}")
        require(header.time_ms > time_ms, f"node {node}: time does not grow at height {header.height}")
        self._last[node] = (digest, header.height, header.view, header.time_ms)

    def on_restart(self, node: int, chain: list[tuple[bytes, FinalizedBlock]]) -> None:
        """The node starts again from its store."""
        self._last.pop(node, None)
        for digest, finalized in chain:
            self.on_final(node, finalized, digest)


class OneVote:
    """One vote per kind and view across restarts, and never Finalize beside Nullify."""

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int, VoteKind], bytes] = {}

    def on_vote(self, node: int, vote: Vote) -> None:
        key = (node, vote.view, vote.kind)
        require(
            self._votes.setdefault(key, vote.digest) == vote.digest,
            f"node {node} voted twice in view {vote.view}",
        )
        if vote.kind is not VoteKind.NOTARIZE:
            other = VoteKind.NULLIFY if vote.kind is VoteKind.FINALIZE else VoteKind.FINALIZE
            require(
                (node, vote.view, other) not in self._votes,
                f"node {node} voted both Finalize and Nullify in view {vote.view}",
            )


class OneFate:
    """No view has both a Finalization and a Nullification, nor certificates of two blocks."""

    def __init__(self) -> None:
        self._nullified: set[int] = set()
        self._finalized: set[int] = set()
        self._named: dict[int, bytes] = {}

    def on_certificate(self, certificate: QuorumCertificate) -> None:
        view = certificate.view
        if certificate.kind is VoteKind.NULLIFY:
            self._nullified.add(view)
        else:
            named = self._named.setdefault(view, certificate.digest)
            require(named == certificate.digest, f"two blocks are certified in view {view}")
            if certificate.kind is VoteKind.FINALIZE:
                self._finalized.add(view)
        require(
            not (view in self._nullified and view in self._finalized),
            f"view {view} is finalized and nullified",
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
    """No transaction is in two finalized blocks of a node."""

    def __init__(self) -> None:
        self._where: dict[bytes, int] = {}

    def on_final(self, node: int, finalized: FinalizedBlock) -> None:
        height = finalized.block.header.height
        for transaction in finalized.block.transactions:
            first = self._where.setdefault(transaction.body.nonce, height)
            require(first == height, f"node {node}: a transaction is in blocks {first} and {height}")


class Checkers:
    """All of them, fed from one place."""

    def __init__(self, genesis: bytes) -> None:
        self.agreement = Agreement()
        self.ancestry = Ancestry(genesis)
        self.one_vote = OneVote()
        self.one_fate = OneFate()
        self.nothing_lost = NothingLost()
        self.applied_once = AppliedOnce()

    def on_final(self, node: int, finalized: FinalizedBlock, digest: bytes) -> None:
        self.agreement.on_final(node, finalized, digest)
        self.ancestry.on_final(node, finalized, digest)
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
                    self.one_vote.on_vote(node, vote)
            case Propose(vote=vote):
                self.one_vote.on_vote(node, vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self.one_fate.on_certificate(certificate)
            case Status(finalization=finalization):
                if finalization is not None:
                    self.one_fate.on_certificate(finalization)
            case _:
                pass
