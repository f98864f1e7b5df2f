"""The HTTP API's words about the ledger's records: types, purposes, deposits, certificates, grants.

Rule: as in `zhenglian.api`, which has all of these too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from zhenglian.api_base import (
    Base64,
    Hex16,
    Hex32,
    Request,
    Response,
)

# --- certificate types and purposes ------------------------------------------------------------------------------


class CertificateTypeView(Response, frozen=True):
    """`schema` is the full description (`zhenglian.catalogue.CertificateTypeSpec`)."""

    code: str
    version: int
    number: int
    name_zh: str
    name_en: str
    issuers_zh: list[str]
    level_zh: str
    holder: str
    fields: list[str]
    attachments: list[str]
    schema: dict[str, Any]


class CertificateStateRequiredView(Response, frozen=True):
    """What a certificate must be like to be used: none of these states holds, and its dates if `within_dates`."""

    stopped_by: list[str]
    within_dates: bool


AS_EVER: Final = CertificateStateRequiredView(
    stopped_by=["suspended", "revoked", "cancelled", "abolished", "superseded"], within_dates=True
)


class FrequencyView(Response, frozen=True):
    """At most `value` releases within any stretch of one `unit` (a month is 30 days, a year 365)."""

    unit: str
    value: int


class TemplateItemView(Response, frozen=True):
    certificate_type: str
    fields: list[str]
    attachments: list[str]
    certificate_state_required: CertificateStateRequiredView


class PurposeView(Response, frozen=True):
    """What may be asked for a purpose, at most. `template_id` names this very set of caps."""

    code: str
    name_zh: str
    name_en: str
    items: list[TemplateItemView]
    uses_max: int
    period_ms_max: int
    data_life_ms_max: int
    template_id: Hex16
    ref_uri: str
    retention_ms_max: int
    modes: list[str]
    fetch_types: list[str]
    frequency_max: FrequencyView | None
    representation: list[str]
    depth_max: int
    without_consent: bool
    originals: bool
    emergency: bool


# --- deposits and certificates ----------------------------------------------------------------------------------

FieldValue = str | int | list[dict[str, str | int]]


class AttachmentUpload(Request, frozen=True):
    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
    media_type: Literal["application/pdf", "image/png", "image/jpeg"]
    data: Base64


class DepositRequest(Request, frozen=True):
    """Data to be put on the ledger. The node seals it and answers with what the issuer then signs.

    `salt_seed` is chosen by the client, so that it can recompute `commitment_root`: the salt of a field or attachment is
    the first 16 bytes of the suite's MAC under `salt_seed`, as `zhenglian.deposits` computes it.
    """

    certificate_id: Hex16
    certificate_type: Annotated[str, Meta(min_length=1, max_length=64)]
    holder: Hex16
    fields: dict[str, FieldValue]
    salt_seed: Hex32
    attachments: Annotated[list[AttachmentUpload], Meta(max_length=16)] = []


class DepositDraft(Response, frozen=True):
    """Sealed and replicated, not yet on the ledger: sign `certificates.issue` with these and submit it."""

    certificate_id: Hex16
    certificate_type: str
    type_version: int
    commitment_root: Hex32
    payload_hash: Hex32
    fields: list[str]
    attachments: list[str]
    replicas: int
    expires: datetime


class StateEntryView(Response, frozen=True):
    state: str
    since: datetime
    until: datetime | None
    reason: str


class DestructionView(Response, frozen=True):
    """A node's signed statement that it keeps no ciphertext of the certificate any more."""

    node: Hex16
    node_name: str
    time: datetime


class ErasureView(Response, frozen=True):
    """What became of the wish to erase a certificate's data; `answer` says why it was declined."""

    state: Literal["requested", "declined", "erased"]
    requested_by: Hex16
    requested: datetime
    reason: str
    answer_by: datetime | None
    answer: str
    decided: datetime | None
    destructions: list[DestructionView]


class CertificateView(Response, frozen=True):
    certificate_id: Hex16
    certificate_type: str
    certificate_type_name_zh: str
    type_version: int
    holder: Hex16
    issuer: Hex16
    issuer_name: str
    commitment_root: Hex32
    payload_hash: Hex32
    fields: list[str]
    attachments: list[str]
    issued: datetime
    valid_from: datetime
    valid_until: datetime | None
    supersedes: Hex16 | None
    superseded_by: Hex16 | None
    states: list[StateEntryView]
    valid: bool
    erased: datetime | None = None
    erasure: ErasureView | None = None


# --- grants -----------------------------------------------------------------------------------------------------


class GrantItemView(Response, frozen=True):
    certificate_type: str
    certificate: Hex16 | None
    fields: list[str]
    attachments: list[str]
    declined: list[str]
    certificate_state_required: CertificateStateRequiredView = AS_EVER


class QuestionView(Response, frozen=True):
    """A question with its parameter, as the grant fixes it."""

    certificate_type: str
    name: str
    kind: str
    field: str
    subject: str
    parameter: str


class RepresentationView(Response, frozen=True):
    """Who gave a grant in the holder's place, or which clerk helped (`assisted`), and where."""

    basis: str
    credential: Hex16
    depth: int
    depth_max: int
    until: datetime | None
    by: Hex16
    by_name: str
    key_id: Hex16
    key_label: str
    place: str


class ReviewView(Response, frozen=True):
    verdict: str
    by: Hex16
    by_name: str
    key_id: Hex16
    time: datetime
    report: Hex32 | None


class AccessView(Response, frozen=True):
    """What a grant has in place of consent. `reviewed` is null where no review is needed."""

    kind: str
    case_commitment: Hex32
    approvers: list[Hex16]
    approver_names: list[str]
    approver_keys: list[Hex16]
    notice_after: datetime | None
    review_until: datetime | None
    reviewed: bool | None
    review: ReviewView | None


class DeletionDutyView(Response, frozen=True):
    """Releases whose data the recipient has not yet stated to be deleted; `late` stops its requests under the purpose."""

    open: int
    late: bool


class GrantView(Response, frozen=True):
    """A grant. Durations are in milliseconds; `state` is as of the answering node's finalized head.

    `separately` names, as "<type>.<name>", the requested parts to which the holder has to agree each by itself.
    """

    grant_id: Hex16
    schema_version: int
    pii_principal_id: Hex16
    grantee: Hex16
    grantee_name: str
    requested_by: Hex16
    requested_by_label: str
    purpose: str
    purpose_ref_uri: str
    template_id: Hex16 | None
    lawful_basis: str
    legal_ref: str
    privacy_notice_hash: Hex32
    language: str
    items: list[GrantItemView]
    requested_items: list[GrantItemView]
    questions: list[QuestionView]
    requested_questions: list[QuestionView]
    consent_mode: str
    fetch_type: str
    frequency: FrequencyView | None
    uses_max: int
    uses_left: int
    uses_reserved: int
    requested: datetime
    consent_start: datetime | None
    consent_expiry: datetime
    data_life_ms: int
    retention_period_ms: int
    jurisdiction: str
    revocable: bool
    state: str
    state_since: datetime
    renews: Hex16 | None
    renewed_by: Hex16 | None
    body_commitment: Hex32 | None
    representation: RepresentationView | None
    access: AccessView | None
    separately: list[str] = []
    deletions: DeletionDutyView | None = None
