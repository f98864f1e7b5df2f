"""Presentations: chosen parts of a certificate together with the ledger's own proof of what it committed to, as one file
(`zhenglian-presentation-1`) that anybody can check offline.

Rule: pure functions. Whoever received fields, the holder or a recipient of a release, can hand on one of them: it
takes the salt and the path of that field and a state receipt of the certificate's record, and tells nothing of the
other fields but how many there are. What is proven is what the issuer committed to; whether the certificate is valid
is as of the receipt's block.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from contracts.certificates import why_not_valid
from contracts.records import Certificate
from contracts.state import CERTIFICATES
from ledger.crypto.registry import load_suite
from ledger.decoders import decode_json
from ledger.errors import DecodeError, LedgerError, LimitExceeded, VerificationFailed
from ledger.receipts import VerifiedState, trust_from_json
from ledger.types import Trust
from zhenglian import disclosures
from zhenglian.api_regions import DISCLOSURE_FORMAT, DisclosedField, DisclosedProof, Disclosure
from zhenglian.plans.proofs import verify_state

PRESENTATION_FORMAT: Final = "zhenglian-presentation-1"
PRESENTATION_SIZE_BYTES_MAX: Final = 32 * 1024 * 1024


class Presentation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file: what is shown, and the state receipt of the certificate's record, the text of its own file letter by letter."""

    format: Literal["zhenglian-presentation-1"]
    disclosure: Disclosure
    receipt: str


class _ReleasedProof(Struct, frozen=True):
    salt: str
    proof: DisclosedProof


class _Released(Struct, frozen=True):
    """What a released JSON file says; other members are not looked at."""

    chain_id: str
    certificate_id: str
    fields: dict[str, Any]
    proofs: dict[str, _ReleasedProof]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPresentation:
    """What a presentation proves.

    Attributes:
        disclosure: what is shown; every part of it is proven.
        certificate: the certificate's record after the receipt's block.
        state: what the receipt proves.
        why_not_valid: empty if the certificate was valid at that block, else a state, "not_yet" or "ended".
    """

    disclosure: Disclosure
    certificate: Certificate
    state: VerifiedState
    why_not_valid: str


def disclosure_of_release(data: bytes) -> Disclosure:
    """The fields of a released JSON file with their proofs, as a disclosure.

    Raises:
        DecodeError: not such a file, or one without proofs.
    """
    if len(data) > disclosures.DISCLOSURE_FILE_SIZE_BYTES_MAX:
        raise DecodeError(what="released file", reason="it is too large")
    try:
        released = decode_json(data, _Released)
        shown = [
            DisclosedField(
                name=name, value=value, salt=released.proofs[name].salt, proof=released.proofs[name].proof
            )
            for name, value in released.fields.items()
        ]
        plain = msgspec.json.encode(
            Disclosure(
                format=DISCLOSURE_FORMAT,
                chain_id=released.chain_id,
                certificate_id=released.certificate_id,
                fields=shown,
                attachments=[],
            )
        )
    except KeyError as error:
        raise DecodeError(what="released file", reason=f"it has no proof of {error.args[0]}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(what="released file", reason=str(error)) from None
    # Once more through its own bounds: the file may come from anybody.
    return disclosures.from_json(plain)


def read_disclosure(data: bytes) -> Disclosure:
    """A disclosure's file, or a released JSON file taken as one. Raises DecodeError, LimitExceeded."""
    try:
        return disclosures.from_json(data)
    except DecodeError:
        return disclosure_of_release(data)


def present(disclosure: Disclosure, names: Collection[str], receipt: str | bytes) -> Presentation:
    """What somebody is shown: these parts and no more.

    Args:
        disclosure: has them.
        names: of the parts; at least one.
        receipt: a state receipt's file, of the certificate's record.

    Raises:
        DecodeError: it has no part of one of the names, or none is named.
    """
    if not names:
        raise DecodeError(what="presentation", reason="no part is named")
    text = receipt if isinstance(receipt, str) else receipt.decode(errors="replace")
    return Presentation(
        format=PRESENTATION_FORMAT,
        disclosure=disclosures.selected(disclosure, names),
        receipt=text,
    )


def to_json(presentation: Presentation) -> bytes:
    """The file form."""
    return msgspec.json.format(msgspec.json.encode(presentation), indent=2) + b"\n"


def is_presentation(data: bytes) -> bool:
    """Whether a file says that it is one."""
    return b'"' + PRESENTATION_FORMAT.encode() + b'"' in data[:256]


def from_json(data: bytes) -> Presentation:
    """Read a presentation's file. It proves nothing yet.

    Raises:
        LimitExceeded: more than 32 MiB.
        DecodeError: not a presentation.
    """
    if len(data) > PRESENTATION_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="presentation bytes", maximum=PRESENTATION_SIZE_BYTES_MAX, actual=len(data))
    try:
        return decode_json(data, Presentation)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(what="presentation", reason=str(error)) from None


def verify_presentation(
    data: bytes, trust: str | bytes | Trust, epochs: str | bytes | None = None
) -> VerifiedPresentation:
    """Check a presentation offline.

    Args:
        data: the file.
        trust, epochs: as for `plans.proofs.verify`.

    Raises:
        DecodeError, LimitExceeded: it cannot be read.
        VerificationFailed: the receipt does not hold, is of something else, or a part is not what was committed to.
    """
    presentation = from_json(data)
    shown = presentation.disclosure
    trusted = trust if isinstance(trust, Trust) else trust_from_json(trust)
    if shown.chain_id != trusted.chain_id.hex():
        raise VerificationFailed(reason="the certificate is of another network than the one that is trusted")
    state = verify_state(presentation.receipt, trusted, epochs)
    certificate = _certificate(state, shown)
    unproven = disclosures.unproven(load_suite(trusted.suite), certificate.commitment_root, shown)
    if unproven or not disclosures.part_names(shown):
        what = ", ".join(unproven) or "nothing is shown"
        raise VerificationFailed(reason=f"not what the certificate says: {what}")
    return VerifiedPresentation(
        disclosure=shown,
        certificate=certificate,
        state=state,
        why_not_valid=why_not_valid(certificate, state.time_ms),
    )


def _certificate(state: VerifiedState, shown: Disclosure) -> Certificate:
    if state.key != CERTIFICATES.key(bytes.fromhex(shown.certificate_id)):
        raise VerificationFailed(reason="the receipt is not of the certificate that is shown")
    if state.value is None:
        raise VerificationFailed(reason="the ledger has no such certificate")
    try:
        certificate = CERTIFICATES.decode(state.value)
    except LedgerError:
        raise VerificationFailed(reason="the record is not one that this release can read") from None
    if certificate.erased_ms:
        raise VerificationFailed(reason="the certificate has been erased")
    return certificate
