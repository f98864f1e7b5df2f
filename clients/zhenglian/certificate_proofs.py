"""What a certificate's home network proves of it for other networks, as a file (`zhenglian-certificate-proof-1`).

Rule: pure functions. Everything in the file is an entry of one block's state, so that a network that trusts the home's
validators needs nothing else; whoever hands it on can change nothing in it.
"""

from __future__ import annotations

from typing import Final

from contracts.region_records import SHOWN_VALUE_BYTES_MAX, CertificateEvidence, FinalHeader, ShownEntry
from ledger import readable
from ledger.errors import DecodeError, LimitExceeded
from ledger.receipts import RECEIPT_FILE_SIZE_BYTES_MAX, RECEIPT_SIZE_BYTES_MAX, StateReceipt
from ledger.types import Count, Id16, Name, Wire

CERTIFICATE_PROOF_VERSION: Final = 1
CERTIFICATE_PROOF_FORMAT: Final = "zhenglian-certificate-proof-1"
_MEMBER: Final = "proof"


class CertificateProof(Wire):
    """The evidence, and which certificate of which network it is about; the network's name is shown, never trusted."""

    version: Count
    network: Name
    certificate_id: Id16
    evidence: CertificateEvidence


def certificate_proof(
    certificate_id: bytes, certificate: StateReceipt, contract: StateReceipt, issuer: StateReceipt | None
) -> CertificateProof:
    """One proof of several state receipts of one block.

    Args:
        certificate_id: which certificate.
        certificate: receipt of its record, or of its absence.
        contract: of the version of the contract that keeps it.
        issuer: of the account that issued it; None where there is no certificate.

    Raises:
        DecodeError: they are of different blocks.
        LimitExceeded: a value is larger than another network takes.
    """
    for other in (contract, issuer):
        if other is not None and other.header != certificate.header:
            raise DecodeError(what="certificate proof", reason="its receipts are of different blocks")
    return CertificateProof(
        version=CERTIFICATE_PROOF_VERSION,
        network=certificate.network,
        certificate_id=certificate_id,
        evidence=CertificateEvidence(
            final=FinalHeader(
                header=certificate.header, path=certificate.path, certificate=certificate.certificate
            ),
            contract=_shown(contract),
            certificate=_shown(certificate),
            issuer=None if issuer is None else _shown(issuer),
        ),
    )


def to_json(proof: CertificateProof) -> str:
    """The file form."""
    return readable.render(_tree(proof))


def from_json(text: bytes | str) -> CertificateProof:
    """Read a proof's file. It proves nothing yet.

    Raises:
        LimitExceeded: more than 16 MiB of text, or 4 MiB once encoded.
        DecodeError: not such a file, of another version, or not the one way to write it.
    """
    tree = readable.parse(text, "certificate proof", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    if tree.get("format") != CERTIFICATE_PROOF_FORMAT or set(tree) != {"format", _MEMBER}:
        raise DecodeError(what="certificate proof", reason=f"not {CERTIFICATE_PROOF_FORMAT}")
    proof = readable.from_tree(
        tree[_MEMBER], CertificateProof, "certificate proof", size_bytes_max=RECEIPT_SIZE_BYTES_MAX
    )
    if proof.version != CERTIFICATE_PROOF_VERSION:
        raise DecodeError(what="certificate proof", reason=f"version {proof.version}")
    if not readable.same_but_for_space(text, _tree(proof)):
        raise DecodeError(what="certificate proof", reason="not the one way to write its content")
    return proof


def _tree(proof: CertificateProof) -> readable.Tree:
    return {"format": CERTIFICATE_PROOF_FORMAT, _MEMBER: readable.to_tree(proof, CertificateProof)}


def _shown(receipt: StateReceipt) -> ShownEntry:
    size_bytes = len(receipt.value or b"")
    if size_bytes > SHOWN_VALUE_BYTES_MAX:
        raise LimitExceeded(limit="SHOWN_VALUE_BYTES_MAX", maximum=SHOWN_VALUE_BYTES_MAX, actual=size_bytes)
    return ShownEntry(value=receipt.value, proof=receipt.proof)
