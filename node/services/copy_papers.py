"""The papers of a derived copy 授权副本: what it says of itself, and what proves it.

Rule: on the command line they come from proofs that were checked first, so that nobody makes a copy that its own check would
refuse; only the names of the two organisations are given by hand. A node writes them from its own ledger (`copy_making.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct

from contracts.records import Certificate, Release
from contracts.state import RELEASES
from ledger.errors import LedgerError, VerificationFailed
from ledger.types import Trust
from zhenglian import presentations
from zhenglian.plans.proofs import verify_state

COPY_FORMAT: Final = "zhenglian-copy-1"


class CopyStatement(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who made the copy, from what, for whom: the first of the attached files.

    Attributes:
        format: of this file.
        chain_id, release_id, certificate_id: hex.
        certificate_type: its code.
        released_by, grantee: accounts, hex; their names as the ledger has them.
        purpose: of the release, its code.
        attachment: name of the original among the certificate's attachments.
        original_hash: of the original, hex, by the network's suite.
        made: RFC 3339; the block time of the release.
    """

    format: Literal["zhenglian-copy-1"]
    chain_id: str
    release_id: str
    certificate_id: str
    certificate_type: str
    released_by: str
    released_by_name: str
    grantee: str
    grantee_name: str
    purpose: str
    attachment: str
    original_hash: str
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What a derived copy brings along.

    Attributes:
        statement: who made it for whom.
        presentation: a presentation's file (`zhenglian.presentations`): the ledger's proof of what the issuer committed to, with
            the opened parts and their proofs.
        release_receipt: a state receipt's file, of the release's record.
        made_ms: block time of the release.
    """

    statement: CopyStatement
    presentation: bytes
    release_receipt: bytes
    made_ms: int


def papers_of(
    presentation: bytes,
    release_receipt: bytes,
    trust: Trust,
    epochs: str | bytes | None = None,
    *,
    attachment: str,
    released_by_name: str,
    grantee_name: str,
) -> Papers:
    """Check the proofs and write the statement from them.

    Args:
        presentation: a presentation's file: the attachment and the fields that the copy prints.
        release_receipt: a state receipt's file, of the release's record.
        trust: of the network.
        epochs: epoch changes since the trust file.
        attachment: which of the certificate's attachments the copy is of.
        released_by_name: of the releasing organisation, as it is printed.
        grantee_name: of the receiving organisation, as it is printed.

    Raises:
        DecodeError, LimitExceeded: a proof cannot be read.
        VerificationFailed: it does not hold, or the two do not fit each other.
    """
    shown = presentations.verify_presentation(presentation, trust, epochs)
    release = _release(release_receipt, trust, epochs)
    certificate = shown.certificate
    original = {part.name: part.content_hash for part in shown.disclosure.attachments}
    if attachment not in original:
        raise VerificationFailed(reason=f"the presentation does not prove the attachment {attachment}")
    handed = [output for output in release.outputs if output.certificate == certificate.certificate_id]
    if not any(output.attachment == attachment for output in handed):
        raise VerificationFailed(reason=f"the release does not hand out {attachment} of this certificate")
    statement = statement_of(
        trust.chain_id,
        release,
        certificate,
        attachment=attachment,
        original_hash=original[attachment],
        released_by_name=released_by_name,
        grantee_name=grantee_name,
    )
    return Papers(
        statement=statement,
        presentation=presentation,
        release_receipt=release_receipt,
        made_ms=release.requested_ms,
    )


def statement_of(
    chain_id: bytes,
    release: Release,
    certificate: Certificate,
    *,
    attachment: str,
    original_hash: str,
    released_by_name: str,
    grantee_name: str,
) -> CopyStatement:
    """What a copy says of itself.

    Args:
        chain_id: of the network.
        release: that hands it out.
        certificate: whose attachment it is.
        attachment: its name.
        original_hash: of the attachment as it was deposited, hex.
        released_by_name: of the releasing organisation, as it is printed.
        grantee_name: of the recipient, as it is printed.
    """
    made = datetime.fromtimestamp(release.requested_ms / 1000, UTC)
    return CopyStatement(
        format=COPY_FORMAT,
        chain_id=chain_id.hex(),
        release_id=release.release_id.hex(),
        certificate_id=certificate.certificate_id.hex(),
        certificate_type=certificate.certificate_type,
        released_by=release.released_by.hex(),
        released_by_name=released_by_name,
        grantee=release.grantee.hex(),
        grantee_name=grantee_name,
        purpose=release.purpose,
        attachment=attachment,
        original_hash=original_hash,
        made=made.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def _release(receipt: bytes, trust: Trust, epochs: str | bytes | None) -> Release:
    state = verify_state(receipt, trust, epochs)
    try:
        release = None if state.value is None else RELEASES.decode(state.value)
    except LedgerError:
        release = None
    if release is None or state.key != RELEASES.key(release.release_id):
        raise VerificationFailed(reason="the receipt is not of a release")
    return release
