"""What the state holds: one struct per kind of record, without behaviour.

Rule: no attribute value, no person's name and no identity number is ever in here (docs/privacy: random
account ids, salted commitments, hashes). Organisations' names and codes are public facts and may be. Times
are milliseconds, and 0 where a time is an option that was not taken.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.class_records import PartClasses
from contracts.grant_records import (
    ITEMS_PER_GRANT_MAX,
    USES_MAX,
    ConsentMode,
    FetchType,
    Grant,
    GrantItem,
    GrantState,
    PurposeTemplate,
    TemplateItem,
)
from contracts.question_records import DeclaredPartitions, DeclaredQuestions, Question
from contracts.vocabulary import (
    ATTACHMENTS_PER_TYPE_MAX,
    FIELDS_PER_TYPE_MAX,
    AttachmentName,
    AttachmentNames,
    CertificateState,
    Code,
    FieldName,
    FieldNames,
    OptionalId16,
    TypeCode,
)
from ledger.types import (
    AccountId,
    CertificateDer,
    Count,
    DayMs,
    Hash,
    Host,
    Id16,
    KeyId,
    Limits,
    Name,
    Port,
    PublicKey,
    ReleaseId,
    Text,
    TimeMs,
    Vote,
    WebAuthn,
    Wire,
)

# What rooms of their own hold, found here as ever.
__all__ = [
    "ATTACHMENTS_PER_TYPE_MAX",
    "FIELDS_PER_TYPE_MAX",
    "ITEMS_PER_GRANT_MAX",
    "USES_MAX",
    "AttachmentName",
    "AttachmentNames",
    "CertificateState",
    "Code",
    "ConsentMode",
    "FetchType",
    "FieldName",
    "FieldNames",
    "Grant",
    "GrantItem",
    "GrantState",
    "OptionalId16",
    "PurposeTemplate",
    "TemplateItem",
    "TypeCode",
]

KEYS_PER_ACCOUNT_MAX: Final = 64
OUTPUTS_PER_RELEASE_MAX: Final = 32
CERTIFICATES_PER_TRACE_MAX: Final = 20
SCHEMA_SIZE_BYTES_MAX: Final = 16 * 1024
TYPES_PER_ORGANIZATION_MAX: Final = 128
NODE_CERTIFICATES_MAX: Final = 2


class AccountKind(StrEnum):
    OPERATOR = "operator"
    READER = "reader"
    DEPARTMENT = "department"
    ENTERPRISE = "enterprise"
    AUDITOR = "auditor"
    PERSON = "person"


class AccountStatus(StrEnum):
    """Only an active account can act; removed is what an operator or a read node is after its membership."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


class KeyRole(StrEnum):
    """What a key may do for its account: govern it, be its officer, its node, or the person; or, as its agent, be kept by a node
    that deposits and fetches for its officers (`agents.py`)."""

    ADMIN = "admin"
    OFFICER = "officer"
    NODE = "node"
    HOLDER = "holder"
    AGENT = "agent"


class Key(Wire):
    """A key of an account. `label` is a staff number or device label, never a person's name."""

    key_id: KeyId
    scheme: Name
    public_key: PublicKey
    role: KeyRole
    label: Text
    valid_from_ms: TimeMs
    valid_until_ms: TimeMs
    revoked_ms: TimeMs


class Account(Wire):
    """Who can act.

    `name` and `credit_code` (GB 32100) are empty for people; `issues` lists certificate-type codes.
    `restricted_until_ms`: until then a recovered account gives nothing away (`people.check_unrestricted`).
    """

    account_id: AccountId
    kind: AccountKind
    status: AccountStatus
    name: Text
    credit_code: Text
    issues: Annotated[tuple[TypeCode, ...], Meta(max_length=TYPES_PER_ORGANIZATION_MAX)]
    created_ms: TimeMs
    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_PER_ACCOUNT_MAX)]
    restricted_until_ms: TimeMs = 0


class CertificateType(Wire):
    """A kind of certificate (证照类型).

    Attributes:
        code, version: identity; a certificate names both.
        number: its number in the city's catalogue.
        name_zh, name_en: what people call it.
        issuers_zh: departments that answer for it, by name.
        level_zh: level of government that answers for the data.
        holder: kind of account that can hold it, person or enterprise.
        fields: names of the fields, in the order of the schema; `attachments` likewise.
        schema: the full description as canonical JSON (`zhenglian.catalogue.CertificateTypeSpec`).
        questions, partitions: what may be asked and counted without the data leaving.
        classes: class and level of fields and attachments; one that is not named counts as `classes.UNCLASSIFIED`.
    """

    code: TypeCode
    version: Count
    number: Count
    name_zh: Name
    name_en: Text
    issuers_zh: tuple[Name, ...]
    level_zh: Name
    holder: AccountKind
    fields: FieldNames
    attachments: AttachmentNames
    schema: Annotated[bytes, Meta(max_length=SCHEMA_SIZE_BYTES_MAX)]
    questions: DeclaredQuestions = ()
    partitions: DeclaredPartitions = ()
    classes: PartClasses = ()


class StateEntry(Wire):
    """A state that holds or held; `until_ms` is 0 while it holds."""

    state: CertificateState
    since_ms: TimeMs
    until_ms: TimeMs
    reason: Code
    key_id: KeyId


class Certificate(Wire):
    """A certificate (证照) on the ledger.

    Attributes:
        certificate_id: random.
        certificate_type, type_version: its kind.
        holder, issuer: accounts; issued_by is the officer's key, agent the key that signed for him, empty if he signed himself.
        commitment_root: Merkle root over the salted field and attachment leaves (`ledger/commitments.py`).
        payload_hash: hash of the sealed record's manifest, which names every ciphertext and key header.
        fields, attachments: which of the type's it has (names are public; values never are).
        issued_ms, valid_from_ms, valid_until_ms: until 0 means without end.
        supersedes, superseded_by: id or empty.
        states: its states with their history, oldest first.
        erased_ms: since when its data is erased (`erasures.py`) and it opens nothing; 0 while it is kept.
    """

    certificate_id: Id16
    certificate_type: TypeCode
    type_version: Count
    holder: AccountId
    issuer: AccountId
    issued_by: KeyId
    commitment_root: Hash
    payload_hash: Hash
    fields: FieldNames
    attachments: AttachmentNames
    issued_ms: TimeMs
    valid_from_ms: DayMs
    valid_until_ms: DayMs
    supersedes: OptionalId16
    superseded_by: OptionalId16
    states: Annotated[tuple[StateEntry, ...], Meta(max_length=256)]
    erased_ms: TimeMs = 0
    agent: OptionalId16 = b""


class OutputFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"
    ANSWER = "answer"
    ORIGINAL = "original"


# In the place of a mark's commitment: a file that is handed out as it was issued, byte for byte.
UNMARKED: Final = bytes(32)


class Output(Wire):
    """One file of a release: fields as JSON or CSV, an attachment as PDF, PNG, JPEG, the answer to a question, or an original.

    An attachment as `original` is the issuer's own file, whose seals stay whole and which nothing leads back to a recipient. It
    goes to the holder, and for purposes whose template says so (a court, an archive).
    """

    certificate: Id16
    format: OutputFormat
    fields: FieldNames
    attachment: Annotated[str, Meta(max_length=64)]
    question: Question | None = None


class PreparedFile(Wire):
    """What a prepared file is: its hash, and a commitment to the mark in it, before any byte leaves.

    Attributes:
        mark_commitment: `UNMARKED` for an original, and for nothing else.
        marks_version: of the operators' marks key, under which the mark's seed was computed.
    """

    media_type: Name
    size_bytes: Count
    file_hash: Hash
    mark_commitment: Hash
    marks_version: Count = 1


class ReleaseState(StrEnum):
    REQUESTED = "requested"
    PREPARED = "prepared"
    DELIVERED = "delivered"
    CLOSED = "closed"
    FAILED = "failed"


class Release(Wire):
    """A release (下链): data handed out under a grant.

    Attributes:
        deadline_ms: from this block time on it can no longer be prepared.
        window_ends_ms: from this block time on its prepared files are gone; 0 until it is prepared.
        failure: why it failed, a stable code; empty otherwise.
        agent: the key that signed the request for the officer; empty if he signed himself.
    """

    release_id: ReleaseId
    grant_id: Id16
    pii_principal_id: AccountId
    grantee: AccountId
    officer: KeyId
    released_by: AccountId
    purpose: Code
    outputs: Annotated[tuple[Output, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]
    state: ReleaseState
    requested_ms: TimeMs
    deadline_ms: TimeMs
    files: Annotated[tuple[PreparedFile, ...], Meta(max_length=OUTPUTS_PER_RELEASE_MAX)]
    prepared_ms: TimeMs
    delivered_ms: TimeMs
    failure: Text
    window_ends_ms: TimeMs = 0
    agent: OptionalId16 = b""


class TraceVerdict(StrEnum):
    """Empty while the trace is open; then what the watermark engine said."""

    OPEN = "open"
    ACCUSED = "accused"
    INVESTIGATE = "investigate"
    NONE = "none"
    UNTRACEABLE = "untraceable"


class Trace(Wire):
    """A trace (反向追溯): a recorded look for the source of a leaked file.

    Attributes:
        approved_by, approver: the other organisation that let it be performed, and its officer's key; empty until then.
        approved_ms: since when it opens anything; 0 until it is approved.
    """

    trace_id: Id16
    auditor: AccountId
    officer: KeyId
    performed_by: AccountId
    file_hash: Hash
    reason: Code
    certificates: Annotated[tuple[Id16, ...], Meta(min_length=1, max_length=CERTIFICATES_PER_TRACE_MAX)]
    requested_ms: TimeMs
    verdict: TraceVerdict
    releases: Annotated[tuple[ReleaseId, ...], Meta(max_length=64)]
    report_hash: Annotated[bytes, Meta(max_length=32)]
    concluded_ms: TimeMs
    approved_by: OptionalId16 = b""
    approver: OptionalId16 = b""
    approved_ms: TimeMs = 0


class ProposalState(StrEnum):
    OPEN = "open"
    EXECUTED = "executed"
    EXPIRED = "expired"


class Proposal(Wire):
    """A governance proposal: the encoded `calls.Action`, who approved it, and what became of it."""

    proposal_id: Id16
    proposer: AccountId
    action: bytes
    approvals: tuple[AccountId, ...]
    state: ProposalState
    proposed_ms: TimeMs
    expires_ms: TimeMs


class Network(Wire):
    """What the network is, as far as contracts need to know it; written at genesis.

    Attributes:
        network: its human name.
        suite: name of its crypto suite.
        limits: bounds of blocks and transactions.
        webauthn: where passkeys are made and used.
    """

    network: Name
    suite: Name
    limits: Limits
    webauthn: WebAuthn = WebAuthn()


class NodeRole(StrEnum):
    VALIDATOR = "validator"
    READER = "reader"


NodeCertificates = Annotated[tuple[CertificateDer, ...], Meta(min_length=1, max_length=NODE_CERTIFICATES_MAX)]


class NodeRecord(Wire):
    """A node of the peer network.

    Attributes:
        account: its operator's or reader's account; the node's id among peers.
        name: what people call it.
        role: a validator votes, a reader follows.
        host, port: where peers reach it.
        certificates: X.509, DER; peers accept the keys in these and no other. Two while one replaces the other.
        wrap_key: to which secrets for it are sealed.
    """

    account: AccountId
    name: Name
    role: NodeRole
    host: Host
    port: Port
    certificates: NodeCertificates
    wrap_key: PublicKey


class ProtocolSchedule(Wire):
    """Which protocol version blocks have.

    Attributes:
        version: of blocks below `next_height`.
        next_version, next_height: what is in force from that height on; both 0 when nothing is set.
    """

    version: Count
    next_version: Count = 0
    next_height: Count = 0


class EvidenceRecord(Wire):
    """Proof that a validator voted for what excludes each other.

    Attributes:
        epoch, view: of both votes.
        validator: account of who signed them.
        first, second: the votes, each verified by itself.
        reporter: account of the operator whose node reported it.
        height, time_ms: of the block that recorded it.
    """

    epoch: Count
    view: Count
    validator: AccountId
    first: Vote
    second: Vote
    reporter: AccountId
    height: Count
    time_ms: TimeMs
