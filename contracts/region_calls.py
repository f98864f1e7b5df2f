"""What a transaction can ask for about other networks: see `calls.py`, whose `CALLS` names these.

Rule: proofs come as they are and prove themselves; who brings them only matters for who may.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.records import Code
from contracts.region_records import CertificateEvidence, FinalHeader
from ledger.types import EpochChange, Hash, Id16

FOLLOW_CHANGES_MAX: Final = 16


class RegionsFollow(Args):
    """Any node, or an organisation's officer.

    Ends of the other network's epochs, consecutive; those that are known already are passed over.
    """

    region: Hash
    changes: Annotated[tuple[EpochChange, ...], Meta(min_length=1, max_length=FOLLOW_CHANGES_MAX)]


class RegionsReportFork(Args):
    """Any node, or an organisation's officer.

    Two blocks of one height and epoch, the held one or the one before, final both, that cannot be on one chain.
    """

    region: Hash
    first: FinalHeader
    second: FinalHeader


class RecognitionsRecognize(Args):
    """Officer of a department or enterprise. Output: recognition id (16 bytes).

    `consent_hash` is the hash of the holder's consent, kept off the chain.
    """

    region: Hash
    certificate_id: Id16
    evidence: CertificateEvidence
    lawful_basis: Code
    consent_hash: Hash


class RecognitionsRefresh(Args):
    """Any node, or an organisation's officer.

    A later proof of the same certificate: what it says now, that it was ended, or that it is not there.
    """

    recognition_id: Id16
    evidence: CertificateEvidence
