"""What the state holds: one struct per kind of record, without behaviour.

Rule: no attribute value, no person's name and no identity number is ever in here (docs/privacy: random
account ids, salted commitments, hashes). Organisations' names and codes are public facts and may be. Times
are milliseconds, and 0 where a time is an option that was not taken.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

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
    Wire,
)

KEYS_PER_ACCOUNT_MAX: Final = 64
FIELDS_PER_TYPE_MAX: Final = 64
ATTACHMENTS_PER_TYPE_MAX: Final = 16
ITEMS_PER_GRANT_MAX: Final = 32
OUTPUTS_PER_RELEASE_MAX: Final = 32
CERTIFICATES_PER_TRACE_MAX: Final = 20
SCHEMA_SIZE_BYTES_MAX: Final = 16 * 1024
TYPES_PER_ORGANIZATION_MAX: Final = 128
USES_MAX: Final = 1_000_000
NODE_CERTIFICATES_MAX: Final = 2
DIRECTORY_WRAP_BYTES_MAX: Final = 256

FieldName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
FieldNames = Annotated[tuple[FieldName, ...], Meta(max_length=FIELDS_PER_TYPE_MAX)]
AttachmentName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
AttachmentNames = Annotated[tuple[AttachmentName, ...], Meta(max_length=ATTACHMENTS_PER_TYPE_MAX)]
TypeCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
Code = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
OptionalId16 = Annotated[bytes, Meta(max_length=16)]


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
    """What a key may do for its account: govern it, be its officer, its node, or the person."""

    ADMIN = "admin"
    OFFICER = "officer"
    NODE = "node"
    HOLDER = "holder"


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
    """

    account_id: AccountId
    kind: AccountKind
    status: AccountStatus
    name: Text
    credit_code: Text
    issues: Annotated[tuple[TypeCode, ...], Meta(max_length=TYPES_PER_ORGANIZATION_MAX)]
    created_ms: TimeMs
    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_PER_ACCOUNT_MAX)]


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


class TemplateItem(Wire):
    """At most these fields and attachments of this type."""

    certificate_type: TypeCode
    fields: FieldNames
    attachments: AttachmentNames


class PurposeTemplate(Wire):
    """What may be asked for a purpose, at most (`over-asking` is refused with the cap named)."""

    code: Code
    name_zh: Name
    name_en: Text
    items: Annotated[tuple[TemplateItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    period_ms_max: TimeMs
    data_life_ms_max: TimeMs


class CertificateState(StrEnum):
    """States of C3; several can hold at once. A certificate with none of them is valid within its dates."""

    RENEWAL_DUE = "renewal_due"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    ABOLISHED = "abolished"
    MORTGAGED = "mortgaged"
    PLEDGED = "pledged"
    SUPERSEDED = "superseded"


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
        holder, issuer: accounts; issued_by is the officer's key.
        commitment_root: Merkle root over the salted field and attachment leaves (`ledger/commitments.py`).
        payload_hash: hash of the sealed record's manifest, which names every ciphertext and key header.
        fields, attachments: which of the type's it has (names are public; values never are).
        issued_ms, valid_from_ms, valid_until_ms: until 0 means without end.
        supersedes, superseded_by: id or empty.
        states: its states with their history, oldest first.
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


class GrantState(StrEnum):
    REQUESTED = "requested"
    ACTIVE = "active"
    REJECTED = "rejected"
    PAUSED = "paused"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


class ConsentMode(StrEnum):
    VIEW = "view"
    STORE = "store"
    QUERY = "query"
    STREAM = "stream"


class FetchType(StrEnum):
    ONCE = "once"
    PERIODIC = "periodic"


class GrantItem(Wire):
    """Data that a grant opens: of one certificate, or of any certificate of a type when `certificate` is
    empty.

    `declined` names the fields and attachments (no type gives both the same name) that were asked for and not
    given: the person's choice, apart from “the holder has none”. An item declined as a whole stays, with
        nothing but `declined`.
    """

    certificate_type: TypeCode
    certificate: OptionalId16
    fields: FieldNames
    attachments: AttachmentNames
    declined: Annotated[
        tuple[FieldName, ...], Meta(max_length=FIELDS_PER_TYPE_MAX + ATTACHMENTS_PER_TYPE_MAX)
    ] = ()


class Grant(Wire):
    """A grant (授权): ISO/IEC TS 27560 consent record.

    Attributes:
        items: what is open now; as many as `requested_items` and in their order. Empty until it is approved.
        uses_max: uses asked for, then uses given; never less than uses left, reserved and made.
        uses_left: uses that can still be requested.
        uses_reserved: uses taken by releases that are neither prepared nor failed; a failed one goes back to
            `uses_left`.
        consent_expiry_ms: from this block time on it opens nothing.
    """

    grant_id: Id16
    schema_version: Count
    pii_principal_id: AccountId
    grantee: AccountId
    requested_by: KeyId
    purpose: Code
    lawful_basis: Code
    legal_ref: Text
    privacy_notice_hash: Hash
    language: Code
    items: Annotated[tuple[GrantItem, ...], Meta(max_length=ITEMS_PER_GRANT_MAX)]
    requested_items: Annotated[tuple[GrantItem, ...], Meta(max_length=ITEMS_PER_GRANT_MAX)]
    consent_mode: ConsentMode
    fetch_type: FetchType
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    uses_left: Count
    requested_ms: TimeMs
    consent_start_ms: TimeMs
    consent_expiry_ms: TimeMs
    data_life_ms: TimeMs
    jurisdiction: Code
    revocable: bool
    state: GrantState
    state_since_ms: TimeMs
    renews: OptionalId16
    uses_reserved: Count = 0


class OutputFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"


class Output(Wire):
    """One file of a release: fields of a certificate as JSON or CSV, or an attachment as PDF, PNG, JPEG."""

    certificate: Id16
    format: OutputFormat
    fields: FieldNames
    attachment: Annotated[str, Meta(max_length=64)]


class PreparedFile(Wire):
    """What a prepared file is: its hash, and a commitment to the mark in it, before any byte leaves."""

    media_type: Name
    size_bytes: Count
    file_hash: Hash
    mark_commitment: Hash


class ReleaseState(StrEnum):
    REQUESTED = "requested"
    PREPARED = "prepared"
    DELIVERED = "delivered"
    FAILED = "failed"


class Release(Wire):
    """A release (下链): data handed out under a grant."""

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


class TraceVerdict(StrEnum):
    """Empty while the trace is open; then what the watermark engine said."""

    OPEN = "open"
    ACCUSED = "accused"
    INVESTIGATE = "investigate"
    NONE = "none"
    UNTRACEABLE = "untraceable"


class Trace(Wire):
    """A trace (反向追溯): a recorded look for the source of a leaked file."""

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
        person_tag_version: version of the person-directory key under which people are enrolled now.
    """

    network: Name
    suite: Name
    limits: Limits
    person_tag_version: Count


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
        wrap_key: to which data keys are wrapped for it.
        directory_wrap: the network's person-directory key, sealed to `wrap_key`; empty if it was not given it.
    """

    account: AccountId
    name: Name
    role: NodeRole
    host: Host
    port: Port
    certificates: NodeCertificates
    wrap_key: PublicKey
    directory_wrap: Annotated[bytes, Meta(max_length=DIRECTORY_WRAP_BYTES_MAX)]


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
