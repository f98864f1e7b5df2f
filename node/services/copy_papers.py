"""The papers of a derived copy 授权副本, from proofs that were checked first.

Rule: what the copy will say of itself is read out of the ledger's own proofs, so that nobody makes a copy that its own check
would refuse; only the names of the two organisations are given by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.records import Release
from contracts.state import RELEASES
from ledger.errors import LedgerError, VerificationFailed
from ledger.types import Trust
from node.services.derived_copies import COPY_FORMAT, CopyStatement, Papers
from zhenglian import presentations
from zhenglian.plans.proofs import verify_state


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
    made = datetime.fromtimestamp(release.requested_ms / 1000, UTC)
    statement = CopyStatement(
        format=COPY_FORMAT,
        chain_id=trust.chain_id.hex(),
        release_id=release.release_id.hex(),
        certificate_id=certificate.certificate_id.hex(),
        certificate_type=certificate.certificate_type,
        released_by=release.released_by.hex(),
        released_by_name=released_by_name,
        grantee=release.grantee.hex(),
        grantee_name=grantee_name,
        purpose=release.purpose,
        attachment=attachment,
        original_hash=original[attachment],
        made=made.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    return Papers(
        statement=statement,
        presentation=presentation,
        release_receipt=release_receipt,
        made_ms=release.requested_ms,
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
