"""What could have happened in a network of four before the machine under test hears of it.

Validator 0 is under test, 3 is the liar, 1 and 2 are honest. Every certificate here is by 1, 2 and 3, so whatever the liar adds,
no two of them contradict each other, and the machine has no excuse.

    view 1  skipped              view 4  block C, the liar's, notarized; and skipped as well
    view 2  block A, final       view 5  skipped
    view 3  block B, notarized   view 6  block D, final, on C
                                 view 7  block E, notarized

The liar has more blocks at hand that nobody has voted for: C2 beside C, F and F2 in view 8, G in view 12.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

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
)
from consensus.core.settings import NO_BLOCK
from ledger.types import Block, FinalizedBlock, QuorumCertificate, Vote, VoteKind
from tests.unit.consensus_desk import Desk

ME, LIAR, SIZE = 0, 3, 4
HONEST = (1, 2)


class History:
    """The blocks, certificates and votes above, and the messages that carry them."""

    def __init__(self) -> None:
        desk = Desk(ME, SIZE)
        self.desk = desk
        names = {"A": (2, "", 1), "B": (3, "A", 2), "C": (4, "B", 3), "D": (6, "C", 4), "E": (7, "D", 5)}
        self.blocks: dict[str, Block] = {}
        self.digests: dict[str, bytes] = {}
        for name, (view, parent, number) in names.items():
            above = self.blocks[parent].header if parent else None
            block, digest = desk.block(view, above, transactions=(number,), time_ms=desk.now_ms + view)
            self.blocks[name], self.digests[name] = block, digest
        spare = {"C2": (4, "B", 13), "F": (8, "E", 6), "F2": (8, "E", 16), "G": (12, "E", 7)}
        for name, (view, parent, number) in spare.items():
            above = self.blocks[parent].header
            block, digest = desk.block(view, above, transactions=(number,), time_ms=desk.now_ms + view)
            self.blocks[name], self.digests[name] = block, digest
        notarize, nullify, finalize = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
        subjects = [(nullify, 1, NO_BLOCK), (nullify, 4, NO_BLOCK), (nullify, 5, NO_BLOCK)]
        subjects += [(notarize, names[name][0], self.digests[name]) for name in names]
        subjects += [(finalize, names[name][0], self.digests[name]) for name in ("A", "D")]
        self.certificates = {subject[:2]: desk.certificate(*subject) for subject in subjects}
        self.votes = [desk.vote(one, *subject) for subject in subjects for one in HONEST]

    def notarization(self, view: int) -> QuorumCertificate:
        return self.certificates[VoteKind.NOTARIZE, view]

    def finalization(self, view: int) -> QuorumCertificate:
        return self.certificates[VoteKind.FINALIZE, view]

    def proposals(self) -> list[tuple[int, Propose]]:
        """Who proposes, and what."""
        skipped = {view: self.certificates[VoteKind.NULLIFY, view] for view in (1, 4, 5)}
        plans = (("A", None, (1,)), ("B", 2, ()), ("C", 3, ()), ("D", 4, (5,)), ("E", 6, ()))
        found = []
        for name, parent, gap in plans:
            block = self.blocks[name]
            leader = (block.header.view - 1) % SIZE
            vote = self.desk.vote(leader, VoteKind.NOTARIZE, block.header.view, self.digests[name])
            message = Propose(
                block=block,
                vote=vote,
                parent=self.notarization(parent) if parent is not None else None,
                nullifications=tuple(skipped[view] for view in gap),
            )
            found.append((leader, message))
        return found

    def finalized(self) -> tuple[FinalizedBlock, ...]:
        """A to D with their proofs."""
        headers = {name: block.header for name, block in self.blocks.items()}
        paths = {"A": (), "B": ("C", "D"), "C": ("D",), "D": ()}
        return tuple(
            FinalizedBlock(
                block=self.blocks[name],
                path=tuple(headers[other] for other in path),
                certificate=self.finalization(2 if name == "A" else 6),
            )
            for name, path in paths.items()
        )

    def messages(self) -> list[tuple[int, Message]]:
        """One of everything that correct validators send."""
        certificates = tuple(self.certificates.values())
        found: list[tuple[int, Message]] = list(self.proposals())
        found += [(1, Certificates(certificates=(one,))) for one in certificates]
        found += [(vote.validator, Votes(votes=(vote,))) for vote in self.votes]
        found += [
            (1, Votes(votes=(self.votes[0],), admitted_by=self.notarization(2))),
            (2, Status(epoch=1, view=7, height=4, finalization=self.finalization(6))),
            (1, Status(epoch=1, view=1, height=0, finalization=None)),
            (2, Certificates(certificates=certificates)),
            (1, FetchBlock(epoch=1, height=1, digest=self.digests["A"])),
            (1, FetchCertificates(epoch=1, first_view=1, last_view=2**53 - 1)),
            (2, FetchFinalized(first_height=1)),
            (2, FetchedBlock(block=self.blocks["B"])),
            (2, FinalizedRange(first_height=1, blocks=self.finalized())),
            (1, FinalizedRange(first_height=1, blocks=())),
        ]
        return found

    def vote(self, validator: int, kind: VoteKind, view: int, digest: bytes, *, forged: bool) -> Vote:
        """A vote of the liar's making."""
        own = self.desk.vote(LIAR, kind, view, digest) if _signable(kind, digest) else None
        signature = b"\1" * 32 if own is None or forged else own.signature
        return Vote(kind=kind, epoch=1, view=view, digest=digest, validator=validator, signature=signature)

    def altered(self, block: Block, field: int, value: int) -> Block:
        """The block with one header field changed."""
        changes = (
            {"view": value},
            {"height": value},
            {"time_ms": value},
            {"parent": self.digests["B"]},
            {"state_root": bytes([value % 256]) * 32},
            {"epoch": value},
            {"version": value},
            {"proposer": bytes(16)},
            {"validators_hash": bytes(32)},
            {"next_validators_hash": bytes(32)},
            {"transactions_root": bytes(32)},
        )
        return Block(
            header=replace(block.header, **changes[field % len(changes)]), transactions=block.transactions
        )


def _signable(kind: VoteKind, digest: bytes) -> bool:
    return (kind is VoteKind.NULLIFY) == (digest == NO_BLOCK)


@lru_cache(maxsize=1)
def history() -> History:
    """Made once."""
    return History()
