"""The HTTP API's requests and responses, as typed structs.

Rule: these structs are the one description of the API. The node validates requests with them and generates
`/openapi.json` from them; the SDK encodes and decodes with them. Ids, hashes and keys are lower-case hex, binary
contents base64, times RFC 3339 in UTC. Requests refuse unknown members; responses may grow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

# Rooms of their own, found here as ever.
from zhenglian.api_base import (
    ATTACHMENT_SIZE_BYTES_MAX as ATTACHMENT_SIZE_BYTES_MAX,
)
from zhenglian.api_base import (
    DEPOSIT_SIZE_BYTES_MAX as DEPOSIT_SIZE_BYTES_MAX,
)
from zhenglian.api_base import (
    LEAK_SIZE_BYTES_MAX as LEAK_SIZE_BYTES_MAX,
)
from zhenglian.api_base import (
    PAGE_SIZE_MAX as PAGE_SIZE_MAX,
)
from zhenglian.api_base import (
    WAIT_S_MAX as WAIT_S_MAX,
)
from zhenglian.api_base import (
    Base64 as Base64,
)
from zhenglian.api_base import (
    Hex as Hex,
)
from zhenglian.api_base import (
    Hex16 as Hex16,
)
from zhenglian.api_base import (
    Hex32 as Hex32,
)
from zhenglian.api_base import (
    HexRelease as HexRelease,
)
from zhenglian.api_base import (
    Request as Request,
)
from zhenglian.api_base import (
    Response as Response,
)
from zhenglian.api_base import (
    TransactionBase64 as TransactionBase64,
)
from zhenglian.api_records import (
    AS_EVER as AS_EVER,
)
from zhenglian.api_records import (
    AccessView as AccessView,
)
from zhenglian.api_records import (
    AttachmentUpload as AttachmentUpload,
)
from zhenglian.api_records import (
    CertificateStateRequiredView as CertificateStateRequiredView,
)
from zhenglian.api_records import (
    CertificateTypeView as CertificateTypeView,
)
from zhenglian.api_records import (
    CertificateView as CertificateView,
)
from zhenglian.api_records import (
    DeletionDutyView as DeletionDutyView,
)
from zhenglian.api_records import (
    DepositDraft as DepositDraft,
)
from zhenglian.api_records import (
    DepositRequest as DepositRequest,
)
from zhenglian.api_records import (
    DestructionView as DestructionView,
)
from zhenglian.api_records import (
    ErasureView as ErasureView,
)
from zhenglian.api_records import (
    FieldValue as FieldValue,
)
from zhenglian.api_records import (
    FrequencyView as FrequencyView,
)
from zhenglian.api_records import (
    GrantItemView as GrantItemView,
)
from zhenglian.api_records import (
    GrantView as GrantView,
)
from zhenglian.api_records import (
    PurposeView as PurposeView,
)
from zhenglian.api_records import (
    QuestionView as QuestionView,
)
from zhenglian.api_records import (
    RepresentationView as RepresentationView,
)
from zhenglian.api_records import (
    ReviewView as ReviewView,
)
from zhenglian.api_records import (
    StateEntryView as StateEntryView,
)
from zhenglian.api_records import (
    TemplateItemView as TemplateItemView,
)

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


# --- releases ---------------------------------------------------------------------------------------------------


class OutputView(Response, frozen=True):
    certificate: Hex16
    format: str
    fields: list[str]
    attachment: str
    question: QuestionView | None = None


class WordsView(Response, frozen=True):
    zh: str
    en: str


class MarksView(Response, frozen=True):
    """What was done to a copy: carriers by channel, measures of quality, and in what it may differ from the original."""

    media_type: str
    carriers: dict[str, int]
    quality: dict[str, float | None]
    differences: list[WordsView]
    notes: list[WordsView]


class FileView(Response, frozen=True):
    """One file. `marks` is null for an original, and at nodes that do not keep the file."""

    media_type: str
    size_bytes: int
    file_hash: Hex32
    mark_commitment: Hex32
    url: str
    marks: MarksView | None = None


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


class TraceFindRequest(Request, frozen=True):
    """A leaked file, whose records are not known."""

    file: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$", max_length=LEAK_SIZE_BYTES_MAX * 4 // 3 + 4)]


class TraceCandidate(Response, frozen=True):
    """A certificate that a leak may come from. `found_by`, the surest first: file_hash, original, embedded_file, qr_code,
    identifier, copy_reference, certificate_number."""

    certificate: Hex16
    found_by: list[str]


class TraceCandidatesView(Response, frozen=True):
    """What a leaked file leads to at the node that was asked, no more than a trace may name, the surest first.

    `more`: there are others. `partial`: not everything in the file was looked at; `notes` say why.
    """

    file_hash: Hex32
    candidates: list[TraceCandidate]
    more: bool
    partial: bool
    notes: list[str]


class TraceLookView(Response, frozen=True):
    """Who looked for a leak's record at the node that is asked, for which file, and what it was told."""

    time_ms: int
    account: Hex16
    key_id: Hex16
    file_hash: Hex32
    size_bytes: int
    found: list[TraceCandidate]


class TraceMatch(Response, frozen=True):
    """One release that the leak carries the mark of. log10_np: common logarithm of candidates × p-value."""

    release_id: HexRelease
    certificate: Hex16
    output: int
    log10_np: float
    channels: list[str]
    release: ReleaseView
    receipt: dict[str, Any]


class TraceSource(Response, frozen=True):
    """A release that a leak without marks may come from. It accuses nobody."""

    release_id: HexRelease
    grantee: Hex16
    grantee_name: str
    officer: Hex16
    officer_label: str
    released_by: Hex16
    purpose: str
    prepared: datetime


class EvidenceRelease(Response, frozen=True):
    """A release that a verdict names, with receipts of what was done: requested, prepared, delivered where it was acknowledged."""

    release_id: HexRelease
    receipts: dict[str, dict[str, Any]]


class EvidenceView(Response, frozen=True):
    """What a third party needs to check a trace offline (`zhenglian.evidence`).

    `report` is the text whose hash is on the ledger, to the letter: it holds seeds and layout keys, by which the named marks could
    be written again, so that whoever has the evidence keeps it secret. `receipts`: of requested, approved and concluded.
    """

    format: str
    trace_id: Hex16
    report: str
    receipts: dict[str, dict[str, Any]]
    releases: list[EvidenceRelease]


class TraceView(Response, frozen=True):
    """What is known of a trace.

    Attributes:
        verdict: "open" while it waits for its approver and while the work goes on.
        progress: from 0 to 1.
        unnamed: of an untraceable leak, the first 100 releases that it may come from, the oldest first.
        unnamed_total: how many such releases there are.
    """

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
    unnamed: list[TraceSource]
    unnamed_total: int
    requested: datetime
    approved_by: Hex16 | None
    approver: Hex16 | None
    approved: datetime | None
    concluded: datetime | None
    status_url: str
