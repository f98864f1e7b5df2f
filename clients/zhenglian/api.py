"""The HTTP API's requests and responses, as typed structs.

Rule: these structs are the one description of the API. The node validates requests with them and generates
`/openapi.json` from them; the SDK encodes and decodes with them. Ids, hashes and keys are lower-case hex, binary
contents base64, times RFC 3339 in UTC. Requests refuse unknown members; responses may grow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

ATTACHMENT_SIZE_BYTES_MAX: Final = 8 * 1024 * 1024
DEPOSIT_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
LEAK_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
PAGE_SIZE_MAX: Final = 200
WAIT_S_MAX: Final = 60

Hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="16 bytes as lower-case hex")]
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="32 bytes as lower-case hex")]
HexRelease = Annotated[
    str, Meta(pattern="^[0-9a-f]{16}$", description="release id, 8 bytes as lower-case hex")
]
Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", max_length=8192, description="bytes as lower-case hex")]
Base64 = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$", description="RFC 4648 base64 with padding")]
TransactionBase64 = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9+/]*={0,2}$",
        max_length=90_000,
        description="canonical bytes of a signed transaction",
    ),
]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class Response(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of response bodies."""


# --- problems (RFC 9457) ----------------------------------------------------------------------------------------


class Problem(Response, frozen=True):
    """An error. `code` is stable; `detail` is in the language that Accept-Language asks for.

    `detail_zh` and `detail_en` are always both there.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    detail_zh: str
    detail_en: str
    instance: str = ""
    fields: dict[str, str | int] = {}


# --- sessions ---------------------------------------------------------------------------------------------------


class ChallengeRequest(Request, frozen=True):
    account: Hex16
    key_id: Hex16


class Challenge(Response, frozen=True):
    """Sign `hash(SESSION, challenge)` by signing the bytes of `challenge` under the SESSION domain."""

    challenge: Hex
    expires: datetime


class SessionRequest(Request, frozen=True):
    account: Hex16
    key_id: Hex16
    challenge: Hex
    signature: Hex


class Session(Response, frozen=True):
    """Send `Authorization: Bearer <token>`. `by`: how it was opened; one by `oidc` may only read."""

    token: str
    expires: datetime
    account: Hex16
    kind: str
    role: str
    key_id: Hex16 | None = None
    by: str = "key"


# --- network and chain ------------------------------------------------------------------------------------------


class PeerView(Response, frozen=True):
    """`bad_shares`: key shares that it gave the answering node since that node's start and that do not hold."""

    account: Hex16
    name: str
    connected: bool
    height: int | None
    round_trip_ms: float | None
    bad_shares: int = 0


class UpgradeView(Response, frozen=True):
    """A version that is set: of a contract, or of the protocol where `contract` is null.

    `supported` is the latest version that the answering node's release has; if that is less, the node stops at `height`.
    """

    contract: str | None
    version: int
    height: int
    supported: int


class NodeStatus(Response, frozen=True):
    """How this node and its network are; `upgrades` are versions that are set and do not hold yet.

    `keys_ready`: the operators have made the keys that they hold together. `missing_shares`: those whose share this node lacks.
    """

    network: str
    chain_id: Hex32
    account: Hex16
    name: str
    release: str
    height: int
    block_time: datetime
    head: Hex32
    view: int
    leader: str
    validators: int
    quorum: int
    peers: list[PeerView]
    pending_transactions: int
    syncing: bool
    voting: bool
    started: datetime
    clock: datetime
    upgrades: list[UpgradeView] = []
    keys_ready: bool = False
    missing_shares: list[str] = []


class ValidatorView(Response, frozen=True):
    account: Hex16
    name: str
    vote_key: Hex


class NetworkView(Response, frozen=True):
    network: str
    suite: str
    chain_id: Hex32
    epoch: int
    validators: list[ValidatorView]


class BlockView(Response, frozen=True):
    """A block. `transactions` is their number: who knows a transaction's id may read it, so ids are not listed here."""

    height: int
    digest: Hex32
    parent: Hex32
    view: int
    time: datetime
    proposer: Hex16
    proposer_name: str
    transactions: int
    transactions_root: Hex32
    results_root: Hex32
    state_root: Hex32
    signers: list[str]


class EventView(Response, frozen=True):
    """`cursor` orders events over the whole chain; it is the `id:` of server-sent events too."""

    cursor: str
    kind: str
    object_id: Hex
    subjects: list[Hex]
    data: dict[str, str | int]
    height: int
    time: datetime
    transaction_id: Hex32
    account: Hex16
    account_name: str
    key_id: Hex16
    key_label: str
    code: str


class Page(Response, frozen=True):
    """A page of events; `next` is the cursor of the following page, empty at the end."""

    items: list[EventView]
    next: str


# --- transactions -----------------------------------------------------------------------------------------------


class TransactionRequest(Request, frozen=True):
    transaction: TransactionBase64


class ResultView(Response, frozen=True):
    """`code` is "ok" or the denial's stable code."""

    code: str
    message_zh: str
    message_en: str
    fields: dict[str, str | int]
    output: Hex
    events: list[EventView]


class PasskeyFactsView(Response, frozen=True):
    """What the device and the browser said when they signed: uses of the key so far (0 where it does not count), and the page."""

    counter: int
    backed_up: bool
    origin: str


class TransactionView(Response, frozen=True):
    """pending: accepted and durable here; finalized: see `result`; expired: can never be included any more.

    `passkey` is there where a finalized one was signed by a passkey.
    """

    transaction_id: Hex32
    status: Literal["pending", "finalized", "expired"]
    height: int | None
    time: datetime | None
    result: ResultView | None
    passkey: PasskeyFactsView | None = None


# --- accounts and people ----------------------------------------------------------------------------------------


class KeyView(Response, frozen=True):
    key_id: Hex16
    scheme: str
    public_key: Hex
    role: str
    label: str
    valid_from: datetime
    valid_until: datetime | None
    revoked: datetime | None


class AccountView(Response, frozen=True):
    account: Hex16
    kind: str
    status: str
    name: str
    credit_code: str
    issues: list[str]
    created: datetime
    keys: list[KeyView]


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


# --- releases ---------------------------------------------------------------------------------------------------


class OutputView(Response, frozen=True):
    certificate: Hex16
    format: str
    fields: list[str]
    attachment: str
    question: QuestionView | None = None


class FileView(Response, frozen=True):
    media_type: str
    size_bytes: int
    file_hash: Hex32
    mark_commitment: Hex32
    url: str


class ReleaseView(Response, frozen=True):
    """`status_url` is where to ask again; `files` appear once PREPARED is final."""

    release_id: HexRelease
    grant_id: Hex16
    pii_principal_id: Hex16
    grantee: Hex16
    grantee_name: str
    officer: Hex16
    officer_label: str
    released_by: Hex16
    released_by_name: str
    purpose: str
    outputs: list[OutputView]
    state: str
    requested: datetime
    deadline: datetime
    prepared: datetime | None
    delivered: datetime | None
    failure: str
    files: list[FileView]
    request_transaction: Hex32
    prepare_transaction: Hex32 | None
    status_url: str


# --- traces -----------------------------------------------------------------------------------------------------


class TraceRequest(Request, frozen=True):
    """`transaction` is the auditor's signed `traces.request`, which names the file's hash and the certificates to compare with."""

    transaction: TransactionBase64
    file: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$", max_length=LEAK_SIZE_BYTES_MAX * 4 // 3 + 4)]


class TraceMatch(Response, frozen=True):
    """One release that the leak carries the mark of. log10_np: common logarithm of candidates × p-value."""

    release_id: HexRelease
    certificate: Hex16
    output: int
    log10_np: float
    channels: list[str]
    release: ReleaseView
    receipt: dict[str, Any]


class TraceView(Response, frozen=True):
    """`verdict` is "open" while the work goes on; `progress` is from 0 to 1."""

    trace_id: Hex16
    file_hash: Hex32
    auditor: Hex16
    officer: Hex16
    performed_by: Hex16
    reason: str
    certificates: list[Hex16]
    verdict: str
    progress: float
    matches: list[TraceMatch]
    candidates: int
    phantom_best_log10_np: float | None
    notes: list[str]
    requested: datetime
    concluded: datetime | None
    status_url: str
