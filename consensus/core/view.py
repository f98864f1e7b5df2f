"""What is known of each view above the last finalized one.

Rule: a certificate above the last finalized view is never forgotten, and no vote of this node either; at or below it, where
this node never votes again, only the votes of a few views are kept, as possible evidence. Facts only: what to do about them
is the machine's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consensus.core.votes import Ballots
from ledger.errors import invariant
from ledger.types import Block, QuorumCertificate, Vote, VoteKind

# Finalized views whose ballots are kept, so that a conflicting vote that comes late is still evidence.
PAST_VIEWS_MAX: Final = 32


class Round:
    """One view.

    Attributes:
        view: its number.
        ballots: votes heard.
        certificates: by kind.
        proposal, proposal_digest: the leader's block, if heard.
        rejected: the proposal broke a rule.
        intended: what this node has decided to vote, by kind; set before the vote is signed, so that nothing decides twice.
        own_votes: the signed votes.
        timed: the leader and advance timers have been started.
        building: a block was asked for; `held`: it came without transactions and waits; `empty_allowed`: it has waited.
    """

    __slots__ = (
        "ballots",
        "building",
        "certificates",
        "empty_allowed",
        "held",
        "intended",
        "own_votes",
        "proposal",
        "proposal_digest",
        "rejected",
        "timed",
        "view",
    )

    def __init__(self, view: int) -> None:
        self.view = view
        self.ballots = Ballots()
        self.certificates: dict[VoteKind, QuorumCertificate] = {}
        self.proposal: Block | None = None
        self.proposal_digest = b""
        self.rejected = False
        self.intended: dict[VoteKind, bytes] = {}
        self.own_votes: dict[VoteKind, Vote] = {}
        self.timed = False
        self.building = False
        self.held = False
        self.empty_allowed = False

    @property
    def nullification(self) -> QuorumCertificate | None:
        return self.certificates.get(VoteKind.NULLIFY)

    @property
    def notarization(self) -> QuorumCertificate | None:
        return self.certificates.get(VoteKind.NOTARIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A block that may be extended: its digest, its view, and its certificate (None for genesis)."""

    digest: bytes
    view: int
    certificate: QuorumCertificate | None


class Rounds:
    """Every view above the last finalized one, and that one's Finalization.

    Attributes:
        current: the view this node is in.
        admitted_by: the certificate by which it entered; None in the first view.
        finalized: the newest block known to be final, perhaps not fetched yet.
    """

    def __init__(self, finalized: Parent) -> None:
        self.finalized = finalized
        self.current = finalized.view + 1
        self.admitted_by = finalized.certificate
        self._rounds: dict[int, Round] = {}
        self._notarized: dict[bytes, Parent] = {}
        self._past: dict[int, Ballots] = {}

    @property
    def now(self) -> Round:
        """The current view's round."""
        return self.at(self.current)

    def at(self, view: int) -> Round:
        """The round of a view above the last finalized one, made when it is new."""
        found = self._rounds.get(view)
        if found is None:
            invariant(view > self.finalized.view, "a round at or below the last finalized view")
            found = self._rounds[view] = Round(view)
        return found

    def find(self, view: int) -> Round | None:
        return self._rounds.get(view)

    def past(self, view: int) -> Ballots | None:
        """Votes of a finalized view, if it is one of the newest."""
        return self._past.get(view)

    def all(self) -> list[Round]:
        """Every round, oldest view first."""
        return [self._rounds[view] for view in sorted(self._rounds)]

    def any_notarized(self) -> bool:
        """Whether a notarized block above the last finalized view waits for finality."""
        return bool(self._notarized)

    def certified(self, digest: bytes) -> Parent | None:
        """The block of that digest, if it may be extended: the newest final one, or one notarized above it."""
        return self.finalized if digest == self.finalized.digest else self._notarized.get(digest)

    def store(self, certificate: QuorumCertificate) -> None:
        """Keep a verified certificate above the last finalized view.

        Raises:
            InvariantViolation: it contradicts another verified certificate, so more than f validators are faulty.
        """
        found = self.at(certificate.view)
        kinds = found.certificates
        invariant(certificate.kind not in kinds, f"two certificates of one kind in view {certificate.view}")
        kinds[certificate.kind] = certificate
        invariant(
            not (VoteKind.FINALIZE in kinds and VoteKind.NULLIFY in kinds),
            f"view {certificate.view} is both finalized and nullified",
        )
        named = {kinds[kind].digest for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE) if kind in kinds}
        invariant(len(named) < 2, f"two blocks are certified in view {certificate.view}")
        if certificate.kind is VoteKind.NOTARIZE:
            self._notarized[certificate.digest] = Parent(
                digest=certificate.digest, view=certificate.view, certificate=certificate
            )

    def finalize(self, certificate: QuorumCertificate) -> None:
        """Raise the last finalized view and forget everything at or below it."""
        self.finalized = Parent(digest=certificate.digest, view=certificate.view, certificate=certificate)
        for view in sorted(view for view in self._rounds if view <= certificate.view):
            self._past[view] = self._rounds.pop(view).ballots
        for view in list(self._past)[:-PAST_VIEWS_MAX]:
            del self._past[view]
        for digest in [digest for digest, at in self._notarized.items() if at.view <= certificate.view]:
            del self._notarized[digest]

    def unproven_gap(self, after: int, before: int) -> tuple[int, int] | None:
        """Lowest and highest view strictly between the two that has no Nullification here; None when all have one."""
        missing = [view for view in range(after + 1, before) if not self._nullified(view)]
        return (missing[0], missing[-1]) if missing else None

    def gap(self, after: int, before: int) -> list[QuorumCertificate]:
        """The Nullifications of the views strictly between the two, newest first."""
        rounds = [self._rounds.get(view) for view in range(before - 1, after, -1)]
        return [
            found.nullification for found in rounds if found is not None and found.nullification is not None
        ]

    def parent_for(self, view: int) -> Parent | None:
        """The newest block that may be extended in `view`; None when a certificate in between is missing here."""
        for below in range(view - 1, self.finalized.view, -1):
            found = self._rounds.get(below)
            if found is not None and found.notarization is not None:
                return self._notarized[found.notarization.digest]
            if not self._nullified(below):
                return None
        return self.finalized

    def _nullified(self, view: int) -> bool:
        found = self._rounds.get(view)
        return found is not None and found.nullification is not None
