"""Plans about certificates (证照): put data on the ledger in one call, read them, change their state."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from contracts.calls import CertificatesIssue, CertificatesSetState
from contracts.erasure_calls import (
    CertificatesDeclineErasure,
    CertificatesErase,
    CertificatesRequestErasure,
)
from contracts.records import CertificateState
from ledger.decoders import convert
from ledger.types import HASH_SIZE_BYTES
from zhenglian import exchange
from zhenglian.api import (
    ATTACHMENT_SIZE_BYTES_MAX,
    AttachmentUpload,
    CertificateView,
    DepositDraft,
    DepositRequest,
    FieldValue,
    TransactionView,
)
from zhenglian.api_regions import Disclosure
from zhenglian.deposits import commitment_of, require_attachment_size
from zhenglian.disclosures import disclosure_of
from zhenglian.errors import Mismatch
from zhenglian.exchange import Core, Plan, Request, decode, get
from zhenglian.plans import transactions
from zhenglian.plans.chain import pages, query


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that belongs to a certificate: its name in the type, its media type, at most 8 MiB."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is final on the ledger.

    `disclosure` is its data with all salts and proofs, for the holder to keep and to show from (`zhenglian.disclosures`).
    """

    certificate_id: str
    draft: DepositDraft
    transaction: TransactionView
    disclosure: Disclosure


def issue_certificate(
    core: Core,
    *,
    certificate_type: str,
    holder: str,
    fields: Mapping[str, FieldValue],
    attachments: Sequence[Attachment] = (),
    valid_from_ms: int | None = None,
    valid_until_ms: int = 0,
    supersedes: str = "",
) -> Plan[Issued]:
    """Deposit a certificate's data and put it on the ledger.

    The commitment root is computed here from the data itself, and nothing is signed when the node's differs.

    Args:
        certificate_type: code of the type.
        holder: account id of the holder, hex.
        fields: values by field name, as the type's schema asks.
        attachments: files by the names that the type has.
        valid_from_ms: Unix time; now when None.
        valid_until_ms: Unix time; 0 is without end.
        supersedes: id (hex) of the certificate that this one replaces.

    Raises:
        LimitExceeded: an attachment above ATTACHMENT_SIZE_BYTES_MAX.
        Mismatch: the node's draft is not about this data; nothing was signed.
        Denied: refused on the ledger.
    """
    for attachment in attachments:
        require_attachment_size(attachment.name, len(attachment.content), ATTACHMENT_SIZE_BYTES_MAX)
    request = DepositRequest(
        certificate_id=core.random_bytes(16).hex(),
        certificate_type=certificate_type,
        holder=holder,
        fields=dict(fields),
        salt_seed=core.random_bytes(HASH_SIZE_BYTES).hex(),
        attachments=[_upload(attachment) for attachment in attachments],
    )
    draft = yield from _deposit(core, request)
    suite = yield from exchange.suite(core)
    _require_same(request, draft)
    expected = commitment_of(suite, request).hex()
    if draft.commitment_root != expected:
        raise Mismatch(what="commitment root", expected=expected, actual=draft.commitment_root)
    view = yield from transactions.settled(
        core,
        CertificatesIssue(
            certificate_id=bytes.fromhex(request.certificate_id),
            certificate_type=certificate_type,
            type_version=draft.type_version,
            holder=bytes.fromhex(holder),
            commitment_root=bytes.fromhex(expected),
            payload_hash=bytes.fromhex(draft.payload_hash),
            fields=tuple(draft.fields),
            attachments=tuple(draft.attachments),
            valid_from_ms=core.clock_ms() if valid_from_ms is None else valid_from_ms,
            valid_until_ms=valid_until_ms,
            supersedes=bytes.fromhex(supersedes),
        ),
    )
    network = yield from exchange.network(core)
    return Issued(
        certificate_id=request.certificate_id,
        draft=draft,
        transaction=view,
        disclosure=disclosure_of(suite, bytes.fromhex(network.chain_id), request),
    )


def _upload(attachment: Attachment) -> AttachmentUpload:
    return convert(
        {
            "name": attachment.name,
            "media_type": attachment.media_type,
            "data": base64.b64encode(attachment.content).decode(),
        },
        AttachmentUpload,
    )


def _deposit(core: Core, request: DepositRequest) -> Plan[DepositDraft]:
    answer = yield from exchange.exchange(
        core,
        Request(
            method="POST",
            path="/v1/deposits/drafts",
            body=msgspec.json.encode(request),
            headers=(("idempotency-key", core.random_bytes(16).hex()),),
            session=True,
        ),
    )
    return decode(answer, DepositDraft)


def _require_same(request: DepositRequest, draft: DepositDraft) -> None:
    """The draft must be about exactly what was sent: same ids, same names, nothing added or left out."""
    sent = (
        request.certificate_id,
        request.certificate_type,
        sorted(request.fields),
        sorted(attachment.name for attachment in request.attachments),
    )
    drafted = (draft.certificate_id, draft.certificate_type, sorted(draft.fields), sorted(draft.attachments))
    if sent != drafted:
        raise Mismatch(what="deposit draft", expected=str(sent), actual=str(drafted))


def certificate(core: Core, certificate_id: str) -> Plan[CertificateView]:
    """One certificate: what is public of it and its states, never its values."""
    return (yield from get(core, f"/v1/certificates/{certificate_id}", CertificateView, session=True))


def certificates(
    core: Core, *, holder: str = "", issuer: str = "", certificate_type: str = ""
) -> Plan[list[CertificateView]]:
    """Certificates of a holder, of an issuer, of a type; as far as the caller may see them."""
    return (
        yield from pages(
            core,
            "/v1/certificates",
            list[CertificateView],
            session=True,
            query_text=query(holder=holder, issuer=issuer, type=certificate_type),
        )
    )


def request_erasure(core: Core, certificate_id: str, *, reason: str) -> Plan[TransactionView]:
    """The holder asks the issuer to erase a certificate's data, for a reason code."""
    args = CertificatesRequestErasure(certificate_id=bytes.fromhex(certificate_id), reason=reason)
    return (yield from transactions.settled(core, args))


def decline_erasure(core: Core, certificate_id: str, *, reason: str) -> Plan[TransactionView]:
    """The issuer refuses to, for a reason code such as a duty to keep the record."""
    args = CertificatesDeclineErasure(certificate_id=bytes.fromhex(certificate_id), reason=reason)
    return (yield from transactions.settled(core, args))


def erase_certificate(core: Core, certificate_id: str, *, reason: str) -> Plan[TransactionView]:
    """The issuer erases a certificate's data, asked or not. Final; every node destroys what it holds and says so."""
    args = CertificatesErase(certificate_id=bytes.fromhex(certificate_id), reason=reason)
    return (yield from transactions.settled(core, args))


def set_certificate_state(
    core: Core, certificate_id: str, state: CertificateState, *, holds: bool, reason: str
) -> Plan[TransactionView]:
    """Add (`holds`) or end a state, for a reason code. Revoked, cancelled, abolished and superseded stay."""
    args = CertificatesSetState(
        certificate_id=bytes.fromhex(certificate_id), state=state, holds=holds, reason=reason
    )
    return (yield from transactions.settled(core, args))
