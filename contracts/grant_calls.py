"""What a transaction can ask for about grants, and about acting for others: see `calls.py`, whose `CALLS` names these.

Rule: every call of a holder can be made by somebody who represents him, who then names his mandate; nothing else about the
call changes. “The person” below is the holder, `pii_principal_id`; an enterprise acts by an admin key.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.grant_records import (
    ITEMS_PER_GRANT_MAX,
    MANDATE_DEPTH_MAX,
    USES_MAX,
    ConsentMode,
    FetchType,
    Frequency,
    GrantItem,
    Questions,
    RepresentationBasis,
    ReviewVerdict,
)
from contracts.representation_records import Purposes
from contracts.vocabulary import Code, OptionalHash, OptionalId16
from ledger.types import AccountId, Count, Hash, Id16, Name, ReleaseId, Text, TimeMs

RELEASES_PER_STATEMENT_MAX: Final = 64
SEPARATE_PARTS_MAX: Final = 512

AskedItems = Annotated[tuple[GrantItem, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
SeparateParts = Annotated[
    tuple[Annotated[str, Meta(max_length=129)], ...], Meta(max_length=SEPARATE_PARTS_MAX)
]
UsesMax = Annotated[int, Meta(ge=1, le=USES_MAX)]


class GrantsRequest(Args):
    """Grantee's officer (department or enterprise). Bounded by the purpose's template. Output: grant id (16
    bytes).

    `declined` of an item is the contract's to fill in; what a call says there is ignored. `fetch_type` ONCE
    goes with `uses_max` 1 and no frequency. A grant whose `lawful_basis` is "consent" is revocable. `renews` names an
    older grant between the same two, or is empty. `template_id` is the template that the officer has read, or empty;
    another one in force refuses the call. `body_commitment` commits to the body off the chain, or is empty.
    """

    pii_principal_id: AccountId
    purpose: Code
    lawful_basis: Code
    legal_ref: Text
    privacy_notice_hash: Hash
    language: Code
    items: AskedItems
    consent_mode: ConsentMode
    fetch_type: FetchType
    uses_max: UsesMax
    consent_expiry_ms: TimeMs
    data_life_ms: TimeMs
    jurisdiction: Code
    revocable: bool
    renews: OptionalId16
    retention_period_ms: TimeMs = 0
    frequency: Frequency | None = None
    template_id: OptionalId16 = b""
    body_commitment: OptionalHash = b""
    questions: Questions = ()


class GrantsApprove(Args):
    """The person.

    Gives all or less: each item a part of the requested one, same order, fewer fields, stopped by the same states of the
    certificate or more; fewer uses; earlier end; no release more often (`frequency` None leaves what was asked). `assistance`
    names the record of a clerk's help, or is empty. `questions` None gives all of those asked whose fields are given.
    `separately` names, as "<type>.<name>", each part that needs a consent of its own (`classes.consent_separate`) and is given.
    """

    grant_id: Id16
    items: AskedItems
    uses_max: UsesMax
    consent_expiry_ms: TimeMs
    frequency: Frequency | None = None
    mandate: OptionalId16 = b""
    assistance: OptionalId16 = b""
    questions: Questions | None = None
    separately: SeparateParts = ()


class GrantsReject(Args):
    """The person."""

    grant_id: Id16
    mandate: OptionalId16 = b""


class GrantsPause(Args):
    """The person."""

    grant_id: Id16
    mandate: OptionalId16 = b""


class GrantsResume(Args):
    """The person."""

    grant_id: Id16
    mandate: OptionalId16 = b""


class GrantsNarrow(Args):
    """The person.

    ACTIVE or PAUSED stays as it is with less: same rule as approve, against what is granted now.
    """

    grant_id: Id16
    items: AskedItems
    uses_left: Count
    consent_expiry_ms: TimeMs
    frequency: Frequency | None = None
    mandate: OptionalId16 = b""
    questions: Questions | None = None


class GrantsRevoke(Args):
    """The person. Idempotent and final."""

    grant_id: Id16
    mandate: OptionalId16 = b""


class GrantsStateDeletion(Args):
    """Grantee's officer: what these releases of the grant gave is deleted. `statement` is the hash of the statement.

    The statement lists what was deleted, where, and from which backups; it is the recipient's to keep and to show.
    """

    grant_id: Id16
    releases: Annotated[tuple[ReleaseId, ...], Meta(min_length=1, max_length=RELEASES_PER_STATEMENT_MAX)]
    statement: Hash


class GrantsOpenOwn(Args):
    """The person; an enterprise by an admin key: opens certificates that it holds to itself. Output: grant id (16 bytes).

    For an hour and so many releases.
    """

    certificates: Annotated[tuple[Id16, ...], Meta(min_length=1, max_length=ITEMS_PER_GRANT_MAX)]
    uses_max: Annotated[int, Meta(ge=1, le=ITEMS_PER_GRANT_MAX)] = 1


class GrantsRequestAccess(Args):
    """Officer of a department: access on a legal basis, without consent. Output: grant id (16 bytes).

    Opens nothing until an officer of another organisation, one that operators have named for it, approves. `legal_ref` cites the
    provision; `case_commitment` is a salted commitment of the case number. Until `notice_after_ms`, at most 90 days on, the person
    is not shown it; 0 for at once. `emergency` opens it by this call, for 24 hours at most, if operators gave this organisation
    the right; it is shown at once, and reviewed.
    """

    pii_principal_id: AccountId
    purpose: Code
    lawful_basis: Code
    legal_ref: Name
    case_commitment: Hash
    items: AskedItems
    consent_mode: ConsentMode
    fetch_type: FetchType
    uses_max: UsesMax
    consent_expiry_ms: TimeMs
    data_life_ms: TimeMs
    jurisdiction: Code
    notice_after_ms: TimeMs
    retention_period_ms: TimeMs = 0
    frequency: Frequency | None = None
    template_id: OptionalId16 = b""
    body_commitment: OptionalHash = b""
    renews: OptionalId16 = b""
    emergency: bool = False
    questions: Questions = ()


class GrantsDecideAccess(Args):
    """Officer of an approver, another organisation than the grantee: opens what was asked for, or rejects it."""

    grant_id: Id16
    approve: bool


class GrantsEndAccess(Args):
    """Officer of the grantee or of an approver: ends an access for good. Doing it again changes nothing."""

    grant_id: Id16


class GrantsExtendNotice(Args):
    """Officer of an approver that has not approved anything of this access: the person is shown it later.

    At most 90 days from now.
    """

    grant_id: Id16
    notice_after_ms: TimeMs


class GrantsReview(Args):
    """Officer of an auditor, or of an approver, other than the grantee: what it found of an emergency access. Once."""

    grant_id: Id16
    verdict: ReviewVerdict
    report: OptionalHash = b""


class RepresentationAppoint(Args):
    """Lets somebody act for a holder. Output: mandate id (16 bytes). It counts once the representative has accepted it.

    Basis `mandate`: the holder names a representative; or a representative, naming his own mandate as `parent`, names another for
    the same holder, for no more than his own. Basis `guardian`, `legal_representative`: an officer of the department that issued
    `credential`, a certificate of the holder of a type that operators have named for it.

    Args:
        purposes: for which purposes of grants; empty for all.
        depth_max: how many sub-mandates there may be below.
    """

    principal: AccountId
    representative: AccountId
    basis: RepresentationBasis
    credential: OptionalId16
    parent: OptionalId16
    purposes: Purposes
    depth_max: Annotated[int, Meta(ge=0, le=MANDATE_DEPTH_MAX)]
    until_ms: TimeMs


class RepresentationAccept(Args):
    """The representative."""

    mandate_id: Id16


class RepresentationEnd(Args):
    """The representative, who appointed him, or, for a mandate, the holder: it counts no more. Doing it again changes nothing."""

    mandate_id: Id16


class RepresentationAssist(Args):
    """Officer of a department at a service window: helps this person to decide on this request. Output: id (16 bytes).

    The person still signs; this names the clerk and the place, and is of use for half an hour.
    """

    principal: AccountId
    grant_id: Id16
    place: Code


GRANT_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("grants", "request"): GrantsRequest,
    ("grants", "approve"): GrantsApprove,
    ("grants", "reject"): GrantsReject,
    ("grants", "pause"): GrantsPause,
    ("grants", "resume"): GrantsResume,
    ("grants", "narrow"): GrantsNarrow,
    ("grants", "revoke"): GrantsRevoke,
    ("grants", "state_deletion"): GrantsStateDeletion,
    ("grants", "open_own"): GrantsOpenOwn,
    ("grants", "request_access"): GrantsRequestAccess,
    ("grants", "decide_access"): GrantsDecideAccess,
    ("grants", "end_access"): GrantsEndAccess,
    ("grants", "extend_notice"): GrantsExtendNotice,
    ("grants", "review"): GrantsReview,
    ("representation", "appoint"): RepresentationAppoint,
    ("representation", "accept"): RepresentationAccept,
    ("representation", "end"): RepresentationEnd,
    ("representation", "assist"): RepresentationAssist,
}
