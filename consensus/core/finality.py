"""Whether a block that a peer calls final is final.

Rule: pure; the certificate's signatures are checked by the caller's function, and last, because that is what costs.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.core.fillers import follows
from consensus.core.settings import Committee, Hashing
from ledger.types import PATH_HEADERS_MAX, FinalizedBlock, QuorumCertificate, VoteKind


def why_not_final(
    finalized: FinalizedBlock,
    digest: bytes,
    committee: Committee,
    hashing: Hashing,
    certified: Callable[[QuorumCertificate], bool],
) -> str | None:
    """None if the block is final.

    Args:
        finalized: block, path and certificate as a peer sent them.
        digest: the block's digest.
        committee: of the epoch that the block claims to be of.
        hashing: the network's hashes.
        certified: checks epoch and signatures of a quorum certificate.

    Returns:
        What is wrong, in a few words.
    """
    certificate, path, block = finalized.certificate, finalized.path, finalized.block
    if certificate.kind is not VoteKind.FINALIZE:
        return "the certificate is no Finalization"
    if block.header.epoch != committee.epoch:
        return "the block is of another epoch"
    if len(path) > PATH_HEADERS_MAX:
        return "the path is too long"
    if hashing.transactions_root(block.transactions) != block.header.transactions_root:
        return "the body is not the header's"
    tip, last = digest, block.header
    for header in path:
        if header.parent != tip or not follows(last, header, committee, hashing):
            return "the path is broken"
        tip, last = hashing.block_digest(header), header
    if tip != certificate.digest:
        return "the certificate names another block"
    return None if certified(certificate) else "the certificate does not hold"
