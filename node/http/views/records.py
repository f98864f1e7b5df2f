"""Views of accounts, the catalogue, certificates, grants and proposals.

Rule: one function a record, members in the order of the struct.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.calls import Action
from contracts.certificates import why_not_valid
from contracts.erasure_records import Erasure
from contracts.records import (
    Account,
    Certificate,
    CertificateType,
    Key,
    Proposal,
)
from ledger import codec
from ledger.decoders import decode_json
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from node.services.ports import Draft, Records
from zhenglian import api
from zhenglian.api_network import ProposalView

SUMMARY_DEPTH_MAX: Final = 8


def account(record: Account) -> api.AccountView:
    """An account and its keys."""
    return api.AccountView(
        account=record.account_id.hex(),
        kind=record.kind.value,
        status=record.status.value,
        name=record.name,
        credit_code=record.credit_code,
        issues=list(record.issues),
        created=instant(record.created_ms),
        keys=[key(held) for held in record.keys],
    )


def key(record: Key) -> api.KeyView:
    """A key of an account."""
    return api.KeyView(
        key_id=record.key_id.hex(),
        scheme=record.scheme,
        public_key=record.public_key.hex(),
        role=record.role.value,
        label=record.label,
        valid_from=instant(record.valid_from_ms),
        valid_until=instant_or_none(record.valid_until_ms),
        revoked=instant_or_none(record.revoked_ms),
    )


def certificate_type(record: CertificateType) -> api.CertificateTypeView:
    """A kind of certificate with its full description."""
    return api.CertificateTypeView(
        code=record.code,
        version=record.version,
        number=record.number,
        name_zh=record.name_zh,
        name_en=record.name_en,
        issuers_zh=list(record.issuers_zh),
        level_zh=record.level_zh,
        holder=record.holder.value,
        fields=list(record.fields),
        attachments=list(record.attachments),
        schema=_schema(record.schema),
    )


def _schema(data: bytes) -> dict[str, Any]:
    """The description as it was voted on; contracts take it as bytes, so it may be anything."""
    try:
        return decode_json(data, dict[str, Any]) if data else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def draft(prepared: Draft) -> api.DepositDraft:
    """What the issuer signs next."""
    return api.DepositDraft(
        certificate_id=prepared.certificate_id.hex(),
        certificate_type=prepared.certificate_type,
        type_version=prepared.type_version,
        commitment_root=prepared.commitment_root.hex(),
        payload_hash=prepared.payload_hash.hex(),
        fields=list(prepared.fields),
        attachments=list(prepared.attachments),
        replicas=prepared.replicas,
        expires=instant(prepared.expires_ms),
    )


def certificate(record: Certificate, records: Records, names: Names, now_ms: int) -> api.CertificateView:
    """A certificate and its states."""
    kind = records.certificate_type(record.certificate_type)
    return api.CertificateView(
        certificate_id=record.certificate_id.hex(),
        certificate_type=record.certificate_type,
        certificate_type_name_zh=kind.name_zh if kind else "",
        type_version=record.type_version,
        holder=record.holder.hex(),
        issuer=record.issuer.hex(),
        issuer_name=names.account(record.issuer),
        commitment_root=record.commitment_root.hex(),
        payload_hash=record.payload_hash.hex(),
        fields=list(record.fields),
        attachments=list(record.attachments),
        issued=instant(record.issued_ms),
        valid_from=instant(record.valid_from_ms),
        valid_until=instant_or_none(record.valid_until_ms),
        supersedes=hex_or_none(record.supersedes),
        superseded_by=hex_or_none(record.superseded_by),
        states=[
            api.StateEntryView(
                state=entry.state.value,
                since=instant(entry.since_ms),
                until=instant_or_none(entry.until_ms),
                reason=entry.reason,
            )
            for entry in record.states
        ],
        valid=not why_not_valid(record, now_ms),
        erased=instant_or_none(record.erased_ms),
        erasure=_erasure(records.erasure(record.certificate_id), names),
    )


def _erasure(record: Erasure | None, names: Names) -> api.ErasureView | None:
    if record is None:
        return None
    return api.ErasureView(
        state=record.state.value,
        requested_by=record.requested_by.hex(),
        requested=instant(record.requested_ms),
        reason=record.reason,
        answer_by=instant_or_none(record.answer_by_ms),
        answer=record.answer,
        decided=instant_or_none(record.decided_ms),
        destructions=[
            api.DestructionView(
                node=stated.node.hex(), node_name=names.account(stated.node), time=instant(stated.time_ms)
            )
            for stated in record.destructions
        ],
    )


def proposal(record: Proposal, names: Names) -> ProposalView:
    """A governance proposal, its action spelled out."""
    action: Any = codec.decode(record.action, Action, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX)  # type: ignore[arg-type]
    return ProposalView(
        proposal_id=record.proposal_id.hex(),
        proposer=record.proposer.hex(),
        proposer_name=names.account(record.proposer),
        action=str(action.__struct_config__.tag),
        summary=_spelled(action, SUMMARY_DEPTH_MAX),
        approvals=[names.account(operator) or operator.hex() for operator in record.approvals],
        state=record.state.value,
        proposed=instant(record.proposed_ms),
        expires=instant(record.expires_ms),
    )


def _spelled(value: Any, depth: int) -> Any:
    """A wire struct as JSON with member names; short bytes as hex, long ones (schemas) as their length."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 128 else {"size_bytes": len(value)}
    if isinstance(value, msgspec.Struct) and depth > 0:
        # What is one of several says which: it stands in a list of a proposal's parts.
        tag = {"type": value.__struct_config__.tag} if value.__struct_config__.tag is not None else {}
        return tag | {name: _spelled(getattr(value, name), depth - 1) for name in value.__struct_fields__}
    if isinstance(value, tuple | list) and depth > 0:
        return [_spelled(item, depth - 1) for item in value]
    return value if isinstance(value, str | int | bool) else str(value)
