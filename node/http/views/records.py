"""Views of accounts, the catalogue, certificates, grants and proposals.

Rule: one function a record, members in the order of the struct.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.calls import Action
from contracts.certificates import why_not_valid
from contracts.records import (
    Account,
    AccountKind,
    Certificate,
    CertificateType,
    Grant,
    GrantItem,
    Key,
    Proposal,
    PurposeTemplate,
)
from ledger import codec
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from node.services.ports import Draft, PersonTag, Records
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


def lookup(found: PersonTag, asker: AccountKind) -> api.LookupView:
    """What a lookup tells; the tag only to departments, who enrol."""
    return api.LookupView(
        account=found.account.hex() if found.account else None,
        tag_version=found.version,
        tag=found.tag.hex() if asker is AccountKind.DEPARTMENT else None,
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
        return msgspec.json.decode(data, type=dict[str, Any]) if data else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def purpose(record: PurposeTemplate) -> api.PurposeView:
    """What may be asked for a purpose."""
    return api.PurposeView(
        code=record.code,
        name_zh=record.name_zh,
        name_en=record.name_en,
        items=[
            api.TemplateItemView(
                certificate_type=item.certificate_type,
                fields=list(item.fields),
                attachments=list(item.attachments),
            )
            for item in record.items
        ],
        uses_max=record.uses_max,
        period_ms_max=record.period_ms_max,
        data_life_ms_max=record.data_life_ms_max,
    )


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
    )


def grant(record: Grant, names: Names) -> api.GrantView:
    """A grant: what was asked, what is given, how it stands."""
    return api.GrantView(
        grant_id=record.grant_id.hex(),
        pii_principal_id=record.pii_principal_id.hex(),
        grantee=record.grantee.hex(),
        grantee_name=names.account(record.grantee),
        requested_by=record.requested_by.hex(),
        purpose=record.purpose,
        lawful_basis=record.lawful_basis,
        legal_ref=record.legal_ref,
        language=record.language,
        items=[_item(item) for item in record.items],
        requested_items=[_item(item) for item in record.requested_items],
        consent_mode=record.consent_mode.value,
        fetch_type=record.fetch_type.value,
        uses_max=record.uses_max,
        uses_left=record.uses_left,
        requested=instant(record.requested_ms),
        consent_start=instant_or_none(record.consent_start_ms),
        consent_expiry=instant(record.consent_expiry_ms),
        data_life_ms=record.data_life_ms,
        jurisdiction=record.jurisdiction,
        revocable=record.revocable,
        state=record.state.value,
        state_since=instant(record.state_since_ms),
        renews=hex_or_none(record.renews),
    )


def _item(item: GrantItem) -> api.GrantItemView:
    return api.GrantItemView(
        certificate_type=item.certificate_type,
        certificate=hex_or_none(item.certificate),
        fields=list(item.fields),
        attachments=list(item.attachments),
        declined=list(item.declined),
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
