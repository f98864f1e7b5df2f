"""What the core asks to have journaled.

Rule: a record is everything that replay needs to bring the core back to where it had spoken from; nothing is inferred.
"""

from __future__ import annotations

from ledger.types import Block, Header, QuorumCertificate, Vote, Wire


class BlockRecord(Wire, tag=1):
    """The body of a block that this node voted for or that is final."""

    block: Block


class VoteRecord(Wire, tag=2):
    """A vote of this node."""

    vote: Vote


class CertificateRecord(Wire, tag=3):
    """A Notarization or Nullification above the last finalized view."""

    certificate: QuorumCertificate


class FinalizationRecord(Wire, tag=4):
    """Proof that a block is final: a Finalization, and the headers from the block's child up to the certified one."""

    certificate: QuorumCertificate
    path: tuple[Header, ...] = ()


def epoch_of(record: Record) -> int:
    """The epoch that a record belongs to."""
    match record:
        case BlockRecord(block=block):
            return block.header.epoch
        case VoteRecord(vote=vote):
            return vote.epoch
        case CertificateRecord(certificate=certificate) | FinalizationRecord(certificate=certificate):
            return certificate.epoch


Record = BlockRecord | VoteRecord | CertificateRecord | FinalizationRecord
