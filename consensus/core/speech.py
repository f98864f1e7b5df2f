"""What a node says: composing messages from what it knows.

Rule: pure functions; every message keeps the bounds of `messages`, newest things first where not all fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from consensus.core.messages import (
    CERTIFICATES_MAX,
    GAP_CERTIFICATES_MAX,
    REPETITION_SIZE_BYTES,
    VOTES_MAX,
    Certificates,
    FetchCertificates,
    Message,
    Propose,
    Status,
    Votes,
)
from consensus.core.view import Rounds
from ledger.errors import invariant
from ledger.types import Block, QuorumCertificate, Vote

STANDSTILL_CERTIFICATES_MAX: Final = 4 * CERTIFICATES_MAX
STANDSTILL_VOTES_MAX: Final = VOTES_MAX
# What a vote or certificate takes beside its signature, at most.
SIGNED_FIELDS_BYTES: Final = 80

Signed = TypeVar("Signed", Vote, QuorumCertificate)


def proposal(rounds: Rounds, block: Block, vote: Vote) -> Propose:
    """Propose, with the proofs that a voter needs."""
    parent = rounds.certified(block.header.parent)
    invariant(parent is not None, "proposing on a block that is not certified")
    after = parent.view if parent is not None else 0
    return Propose(
        block=block,
        vote=vote,
        parent=parent.certificate if parent is not None else None,
        nullifications=tuple(rounds.gap(after, block.header.view)[:GAP_CERTIFICATES_MAX]),
    )


def repetition(rounds: Rounds) -> Votes:
    """Own votes of the current view, with the certificate that admitted to it."""
    return Votes(votes=tuple(rounds.now.own_votes.values()), admitted_by=rounds.admitted_by)


def status(rounds: Rounds, height: int, epoch: int, *, asks: bool) -> Status:
    final = rounds.finalized.certificate
    return Status(epoch=epoch, view=rounds.current, height=height, finalization=final, asks=asks)


def standstill(rounds: Rounds) -> list[Message]:
    """The highest Finalization, then certificates and own votes above it; nothing when nothing is above it."""
    votes = [vote for found in rounds.all() for vote in found.own_votes.values()]
    above = [certificate for found in rounds.all() for certificate in found.certificates.values()]
    if not votes and not above:
        return []
    certificates = above[-STANDSTILL_CERTIFICATES_MAX:]
    if rounds.finalized.certificate is not None:
        certificates.insert(0, rounds.finalized.certificate)
    messages: list[Message] = [
        Certificates(certificates=some) for some in _portions(certificates, CERTIFICATES_MAX)
    ]
    recent = votes[-STANDSTILL_VOTES_MAX:]
    messages += [Votes(votes=some, admitted_by=rounds.admitted_by) for some in _portions(recent, VOTES_MAX)]
    return messages


def _portions(signed: list[Signed], count_max: int) -> Iterator[tuple[Signed, ...]]:
    """Parts of at most so many, and of about REPETITION_SIZE_BYTES."""
    portion: list[Signed] = []
    size_bytes = 0
    for one in signed:
        if portion and (len(portion) == count_max or size_bytes + len(one.signature) > REPETITION_SIZE_BYTES):
            yield tuple(portion)
            portion, size_bytes = [], 0
        portion.append(one)
        size_bytes += len(one.signature) + SIGNED_FIELDS_BYTES
    if portion:
        yield tuple(portion)


def certificates_asked_for(rounds: Rounds, request: FetchCertificates, epoch: int) -> Certificates | None:
    """What this node has of the asked views, as much as fits; the Finalization stands for everything below it."""
    if request.epoch != epoch:
        return None
    final = rounds.finalized.certificate
    found: list[QuorumCertificate] = []
    if final is not None and request.first_view <= final.view:
        found.append(final)
    for one in rounds.all():
        if request.first_view <= one.view <= request.last_view:
            found.extend(one.certificates.values())
    return Certificates(certificates=next(_portions(found, CERTIFICATES_MAX))) if found else None
