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
from contracts.body_calls import BODY_CALLS
from contracts.erasure_calls import ERASURE_CALLS
from contracts.grant_actions import SetGrantRules
from contracts.grant_calls import (
    GRANT_CALLS,
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsRequest,
    GrantsResume,
    GrantsRevoke,
)
from contracts.new_keys import NewKey
from contracts.people_actions import PeopleAction
from contracts.people_calls import (
    PEOPLE_CALLS,
    LookupsApprove,
    LookupsRequest,
    MovedTag,
    PeopleAddKey,
    PeopleEnroll,
    PeopleMoveTags,
    PeopleRetag,
    PeopleRevokeKey,
    PeopleSetReachable,
    RecoveriesConfirm,
    RecoveriesOpen,
    RecoveriesVeto,
)
from contracts.portal_actions import PortalAction
from contracts.question_calls import QUESTION_CALLS
from contracts.records import (
    CERTIFICATES_PER_TRACE_MAX,
    OUTPUTS_PER_RELEASE_MAX,
    TYPES_PER_ORGANIZATION_MAX,
    AccountKind,
    AttachmentNames,
    CertificateState,
    CertificateType,
    Code,
    FieldNames,
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
from contracts.shared_key_actions import SharedKeyAction
from contracts.shared_key_calls import (
    SharedKeysAbstain,
    SharedKeysAnswer,
    SharedKeysCheck,
    SharedKeysConclude,
    SharedKeysConfirm,
    SharedKeysDeal,
    SharedKeysDispute,
    SharedKeysOpen,
    SharedKeysRenew,
    SharedKeysReveal,
)
from contracts.upgrade_actions import UpgradeAction
from contracts.window_calls import WINDOW_CALLS
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
    ReleaseId,
    Text,
    Vote,
    Wire,
)

# What a room of its own holds, found here as ever.
__all__ = [
    "GrantsApprove",
    "GrantsNarrow",
    "GrantsPause",
    "GrantsReject",
    "GrantsRequest",
    "GrantsResume",
    "GrantsRevoke",
    "LookupsApprove",
    "LookupsRequest",
    "MovedTag",
    "NewKey",
    "PeopleAddKey",
    "PeopleEnroll",
    "PeopleMoveTags",
    "PeopleRetag",
    "PeopleRevokeKey",
    "PeopleSetReachable",
    "RecoveriesConfirm",
    "RecoveriesOpen",
    "RecoveriesVeto",
]


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
    """Replace the list of types that a department or enterprise may issue."""

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
    | SharedKeyAction
    | PortalAction
    | SetGrantRules
    | PeopleAction
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
    """Organisation admin. Adds an officer, admin or agent key to the own account."""

    key: NewKey


class OrganizationsRevokeKey(Args):
    """Organisation admin. The last valid admin key cannot be revoked."""

    key_id: KeyId


# --- certificates: officers of a department that may issue the type -----------------------------------------


class CertificatesIssue(Args):
    """Issuer's officer, or its agent, which then names the `officer`.

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
    officer: OptionalId16 = b""


class CertificatesSetState(Args):
    """Issuer's officer.

    Adds (`holds`) or ends a state; REVOKED, CANCELLED, ABOLISHED and SUPERSEDED never end.
    """

    certificate_id: Id16
    state: CertificateState
    holds: bool
    reason: Code


# --- releases -----------------------------------------------------------------------------------------------


class ReleasesRequest(Args):
    """Grantee's officer, or its agent, which then names the `officer`.

    Checks the grant, reserves one use. Output: release id (8 bytes), derived from the transaction.
    """

    grant_id: Id16
    outputs: Annotated[tuple[Output, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]
    released_by: AccountId
    officer: OptionalId16 = b""


class ReleasesPrepare(Args):
    """Operator named `released_by`, node key. One file per output, same order. REQUESTED → PREPARED."""

    release_id: ReleaseId
    files: Annotated[tuple[PreparedFile, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]


class ReleasesAcknowledge(Args):
    """Grantee's officer, or its agent: received, and these are the hashes of what came. PREPARED → DELIVERED."""

    release_id: ReleaseId
    file_hashes: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=OUTPUTS_PER_RELEASE_MAX)]
    officer: OptionalId16 = b""


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


class TracesApprove(Args):
    """Officer of another auditor, or another operator's administrator: lets a trace be performed. Once."""

    trace_id: Id16


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
    ("certificates", "issue"): CertificatesIssue,
    ("certificates", "set_state"): CertificatesSetState,
    ("releases", "request"): ReleasesRequest,
    ("releases", "prepare"): ReleasesPrepare,
    ("releases", "acknowledge"): ReleasesAcknowledge,
    ("releases", "fail"): ReleasesFail,
    ("traces", "request"): TracesRequest,
    ("traces", "approve"): TracesApprove,
    ("traces", "conclude"): TracesConclude,
    ("deadlines", "tick"): DeadlinesTick,
    ("regions", "follow"): RegionsFollow,
    ("regions", "report_fork"): RegionsReportFork,
    ("recognitions", "recognize"): RecognitionsRecognize,
    ("recognitions", "refresh"): RecognitionsRefresh,
    ("shared_keys", "deal"): SharedKeysDeal,
    ("shared_keys", "abstain"): SharedKeysAbstain,
    ("shared_keys", "check"): SharedKeysCheck,
    ("shared_keys", "answer"): SharedKeysAnswer,
    ("shared_keys", "reveal"): SharedKeysReveal,
    ("shared_keys", "dispute"): SharedKeysDispute,
    ("shared_keys", "confirm"): SharedKeysConfirm,
    ("shared_keys", "open"): SharedKeysOpen,
    ("shared_keys", "conclude"): SharedKeysConclude,
    ("shared_keys", "renew"): SharedKeysRenew,
    **ERASURE_CALLS,
    **GRANT_CALLS,
    **WINDOW_CALLS,
    **PEOPLE_CALLS,
    **BODY_CALLS,
    **QUESTION_CALLS,
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
