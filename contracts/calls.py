"""What a transaction can ask for: the argument struct of every method of every contract.

Rule: this file is the contracts' whole public face. `CALLS` maps ("contract", "method") to its struct; a
client encodes the struct, the runtime decodes it strictly. Who may call is written beside each struct and
enforced by the contract.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from msgspec import Meta

from contracts.actions import MembershipAction
from contracts.args import Args as Args  # noqa: PLC0414  # part of this face
from contracts.records import (
    CERTIFICATES_PER_TRACE_MAX,
    ITEMS_PER_GRANT_MAX,
    OUTPUTS_PER_RELEASE_MAX,
    TYPES_PER_ORGANIZATION_MAX,
    USES_MAX,
    AccountKind,
    AttachmentNames,
    CertificateState,
    CertificateType,
    Code,
    ConsentMode,
    FetchType,
    FieldNames,
    GrantItem,
    KeyRole,
    NodeCertificates,
    OptionalId16,
    Output,
    PreparedFile,
    PurposeTemplate,
    TraceVerdict,
    TypeCode,
)
from contracts.region_actions import RegionAction
from contracts.region_calls import (
    RecognitionsRecognize,
    RecognitionsRefresh,
    RegionsFollow,
    RegionsReportFork,
)
from contracts.upgrade_actions import UpgradeAction
from ledger import codec
from ledger.types import (
    AccountId,
    Call,
    Count,
    DayMs,
    Hash,
    Host,
    Id16,
    KeyId,
    Name,
    Port,
    PublicKey,
    ReleaseId,
    Text,
    TimeMs,
    Vote,
    Wire,
)


class NewKey(Wire):
    """A key to be added.

    Its id is derived (`ledger.crypto.suite.key_id`). `valid_until_ms` 0 means without end.
    """

    scheme: Name
    public_key: PublicKey
    role: KeyRole
    label: Text
    valid_until_ms: TimeMs


# --- governance: operators' admin keys ----------------------------------------------------------------------


class RegisterOrganization(Wire, tag="register_organization"):
    """Admit a department, enterprise or auditor with its first admin key and the types it may issue."""

    account_id: AccountId
    kind: AccountKind
    name: Name
    credit_code: Text
    issues: Annotated[tuple[TypeCode, ...], Meta(max_length=TYPES_PER_ORGANIZATION_MAX)]
    admin: NewKey


class SuspendOrganization(Wire, tag="suspend_organization"):
    """From then on nothing that its keys sign is carried out, and its grants release nothing."""

    account_id: AccountId
    reason: Code


class ReinstateOrganization(Wire, tag="reinstate_organization"):
    account_id: AccountId


class SetIssuance(Wire, tag="set_issuance"):
    """Replace the list of types that a department may issue."""

    account_id: AccountId
    issues: Annotated[tuple[TypeCode, ...], Meta(max_length=TYPES_PER_ORGANIZATION_MAX)]


class RegisterCertificateTypes(Wire, tag="register_certificate_types"):
    """Add types, or new versions of types (version = old + 1)."""

    types: Annotated[tuple[CertificateType, ...], Meta(min_length=1, max_length=32)]


class RegisterPurposes(Wire, tag="register_purposes"):
    """Add or replace purpose templates."""

    purposes: Annotated[tuple[PurposeTemplate, ...], Meta(min_length=1, max_length=32)]


Action = (
    RegisterOrganization
    | SuspendOrganization
    | ReinstateOrganization
    | SetIssuance
    | RegisterCertificateTypes
    | RegisterPurposes
    | MembershipAction
    | RegionAction
    | UpgradeAction
)


class GovernancePropose(Args):
    """Operator.

    The proposer approves by proposing. Output: proposal id (16 bytes), derived from the transaction.
    """

    action: Action


class GovernanceApprove(Args):
    """Operator. Carried out in the same transaction once a quorum (n − f) of operators has approved."""

    proposal_id: Id16


# --- nodes: of operators and readers, by their own keys -----------------------------------------------------


class NodesSetCertificates(Args):
    """Operator or reader, admin or node key. The X.509 certificates by which peers know the own node."""

    certificates: NodeCertificates


class NodesSetAddress(Args):
    """Operator or reader, admin or node key. Where peers reach the own node."""

    host: Host
    port: Port


class EvidenceReport(Args):
    """Operator, node key.

    Two votes of one validator that exclude each other; each names its epoch. Output: number of the record.
    """

    first: Vote
    second: Vote


# --- organizations: the organisation's admin keys -----------------------------------------------------------


class OrganizationsAddKey(Args):
    """Organisation admin. Adds an officer or admin key to the own account."""

    key: NewKey


class OrganizationsRevokeKey(Args):
    """Organisation admin. The last valid admin key cannot be revoked."""

    key_id: KeyId


# --- people -------------------------------------------------------------------------------------------------


class PeopleEnroll(Args):
    """Department officer. Opens a person's account and binds its first key.

    `tag` is the person-directory tag of the identity number under directory key `tag_version`
    (`node/vault/directory.py`), `assertion` the hash of the signed identity assertion kept off chain.
    """

    account_id: AccountId
    tag_version: Count
    tag: Hash
    key: NewKey
    method: Code
    assertion: Hash


class PeopleAddKey(Args):
    """The person, with a valid key."""

    key: NewKey


class PeopleRevokeKey(Args):
    """The person. The last valid key cannot be revoked."""

    key_id: KeyId


# --- certificates: officers of a department that may issue the type -----------------------------------------


class CertificatesIssue(Args):
    """Issuer's officer.

    See `records.Certificate`. `supersedes` marks the old one SUPERSEDED; both must have one holder.
    """

    certificate_id: Id16
    certificate_type: TypeCode
    type_version: Count
    holder: AccountId
    commitment_root: Hash
    payload_hash: Hash
    fields: FieldNames
    attachments: AttachmentNames
    valid_from_ms: DayMs
    valid_until_ms: DayMs
    supersedes: OptionalId16


class CertificatesSetState(Args):
    """Issuer's officer.

    Adds (`holds`) or ends a state; REVOKED, CANCELLED, ABOLISHED and SUPERSEDED never end.
    """

    certificate_id: Id16
    state: CertificateState
    holds: bool
    reason: Code


# --- grants: “the person” below is the holder, `pii_principal_id`; an enterprise acts by an admin key -------


class GrantsRequest(Args):
    """Grantee's officer (department or enterprise). Bounded by the purpose's template. Output: grant id (16
    bytes).

    `declined` of an item is the contract's to fill in; what a call says there is ignored. `fetch_type` ONCE
    goes with `uses_max` 1. A grant whose `lawful_basis` is "consent" is revocable. `renews` names an older
    grant between the same two, or is empty.
    """

    pii_principal_id: AccountId
    purpose: Code
    lawful_basis: Code
    legal_ref: Text
    privacy_notice_hash: Hash
    language: Code
    items: Annotated[tuple[GrantItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    consent_mode: ConsentMode
    fetch_type: FetchType
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    consent_expiry_ms: TimeMs
    data_life_ms: TimeMs
    jurisdiction: Code
    revocable: bool
    renews: OptionalId16


class GrantsApprove(Args):
    """The person.

    Gives all or less: each item a part of the requested one, same order, fewer fields; fewer uses; earlier
    end.
    """

    grant_id: Id16
    items: Annotated[tuple[GrantItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    uses_max: Annotated[int, Meta(ge=1, le=USES_MAX)]
    consent_expiry_ms: TimeMs


class GrantsReject(Args):
    """The person."""

    grant_id: Id16


class GrantsPause(Args):
    """The person."""

    grant_id: Id16


class GrantsResume(Args):
    """The person."""

    grant_id: Id16


class GrantsNarrow(Args):
    """The person.

    ACTIVE or PAUSED stays as it is with less: same rule as approve, against what is granted now.
    """

    grant_id: Id16
    items: Annotated[tuple[GrantItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    uses_left: Count
    consent_expiry_ms: TimeMs


class GrantsRevoke(Args):
    """The person. Idempotent and final."""

    grant_id: Id16


# --- releases -----------------------------------------------------------------------------------------------


class ReleasesRequest(Args):
    """Grantee's officer.

    Checks the grant, reserves one use. Output: release id (8 bytes), derived from the transaction.
    """

    grant_id: Id16
    outputs: Annotated[tuple[Output, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]
    released_by: AccountId


class ReleasesPrepare(Args):
    """Operator named `released_by`, node key. One file per output, same order. REQUESTED → PREPARED."""

    release_id: ReleaseId
    files: Annotated[tuple[PreparedFile, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]


class ReleasesAcknowledge(Args):
    """Grantee's officer: received, and these are the hashes of what came. PREPARED → DELIVERED."""

    release_id: ReleaseId
    file_hashes: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]


class ReleasesFail(Args):
    """Operator named `released_by`, node key. Only before PREPARED; returns the use."""

    release_id: ReleaseId
    reason: Code


# --- traces -------------------------------------------------------------------------------------------------


class TracesRequest(Args):
    """Auditor's officer. Output: trace id (16 bytes), derived from the transaction."""

    file_hash: Hash
    reason: Code
    certificates: Annotated[tuple[Id16, ...], Meta(min_length=1, max_length=CERTIFICATES_PER_TRACE_MAX)]
    performed_by: AccountId


class TracesConclude(Args):
    """Operator named `performed_by`, node key."""

    trace_id: Id16
    verdict: TraceVerdict
    releases: Annotated[tuple[ReleaseId, ...], Meta(max_length=64)]
    report_hash: Hash


# --- deadlines ----------------------------------------------------------------------------------------------


class DeadlinesTick(Args):
    """Any operator, node key.

    Carries out what is due by block time: expired grants, proposals, releases past deadline.
    """


CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("governance", "propose"): GovernancePropose,
    ("governance", "approve"): GovernanceApprove,
    ("nodes", "set_certificates"): NodesSetCertificates,
    ("nodes", "set_address"): NodesSetAddress,
    ("evidence", "report"): EvidenceReport,
    ("organizations", "add_key"): OrganizationsAddKey,
    ("organizations", "revoke_key"): OrganizationsRevokeKey,
    ("people", "enroll"): PeopleEnroll,
    ("people", "add_key"): PeopleAddKey,
    ("people", "revoke_key"): PeopleRevokeKey,
    ("certificates", "issue"): CertificatesIssue,
    ("certificates", "set_state"): CertificatesSetState,
    ("grants", "request"): GrantsRequest,
    ("grants", "approve"): GrantsApprove,
    ("grants", "reject"): GrantsReject,
    ("grants", "pause"): GrantsPause,
    ("grants", "resume"): GrantsResume,
    ("grants", "narrow"): GrantsNarrow,
    ("grants", "revoke"): GrantsRevoke,
    ("releases", "request"): ReleasesRequest,
    ("releases", "prepare"): ReleasesPrepare,
    ("releases", "acknowledge"): ReleasesAcknowledge,
    ("releases", "fail"): ReleasesFail,
    ("traces", "request"): TracesRequest,
    ("traces", "conclude"): TracesConclude,
    ("deadlines", "tick"): DeadlinesTick,
    ("regions", "follow"): RegionsFollow,
    ("regions", "report_fork"): RegionsReportFork,
    ("recognitions", "recognize"): RecognitionsRecognize,
    ("recognitions", "refresh"): RecognitionsRefresh,
}

_NAMES: Final = {kind: name for name, kind in CALLS.items()}

A = TypeVar("A", bound=Args)


def call(args: Args) -> Call:
    """The `Call` that asks for `args`.

    Raises:
        KeyError: `args` is of no registered method.
    """
    contract, method = _NAMES[type(args)]
    return Call(contract=contract, method=method, args=codec.encode(args))
