"""Plans about grants (授权): ask, give all or less, pause, take back, renew, and state a deletion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from contracts.grant_calls import (
    RELEASES_PER_STATEMENT_MAX,
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsRequest,
    GrantsResume,
    GrantsRevoke,
    GrantsStateDeletion,
)
from contracts.grant_records import (
    CertificateStateRequired,
    ConsentMode,
    FetchType,
    Frequency,
    FrequencyUnit,
    GrantItem,
)
from contracts.question_records import Question, QuestionKind
from contracts.vocabulary import CertificateState
from ledger import codec
from ledger.errors import DecodeError
from ledger.types import CALL_ARGS_SIZE_BYTES_MAX
from zhenglian.api import FrequencyView, GrantItemView, GrantView, QuestionView, TransactionView
from zhenglian.api_grants import AuthorizationDetail, DeletionView, GrantPreview, GrantPreviewRequest
from zhenglian.exchange import Core, Plan, Request, decode, exchange, get
from zhenglian.grant_details import same_request
from zhenglian.plans import transactions
from zhenglian.plans.chain import pages, query

DAY_MS: Final = 86_400_000
NO_NOTICE: Final = bytes(32)


def request_grant(
    core: Core,
    *,
    person: str,
    purpose: str,
    items: Sequence[GrantItem],
    uses_max: int,
    consent_expiry_ms: int,
    data_life_ms: int = DAY_MS,
    retention_period_ms: int = 0,
    frequency: Frequency | None = None,
    questions: Sequence[Question] = (),
    lawful_basis: str = "consent",
    legal_ref: str = "",
    privacy_notice_hash: bytes = NO_NOTICE,
    language: str = "zh-cn",
    consent_mode: ConsentMode = ConsentMode.STORE,
    fetch_type: FetchType | None = None,
    jurisdiction: str = "cn",
    revocable: bool = True,
    renews: str = "",
    template_id: str = "",
    body_commitment: bytes = b"",
) -> Plan[str]:
    """Ask a person for consent; bounded by the purpose's template. Returns the grant id (hex).

    Args:
        person: account id of the person, hex.
        purpose: code of a registered purpose.
        items: what is asked for.
        uses_max: how many releases.
        consent_expiry_ms: Unix time at which the consent ends.
        data_life_ms, retention_period_ms: how long the data may be used after a release, and kept locked after that.
        frequency: at most so many releases within a unit of time; None for any.
        questions: for consent mode `query`.
        fetch_type: once for a single use and periodic for more, unless given.
        renews: an older grant between the same two, hex.
        template_id: of the template that was read, hex; another one in force refuses the call. Empty for whichever it is.
        body_commitment: of the body off the ledger (`zhenglian.grant_bodies`), or empty.
        lawful_basis, legal_ref, privacy_notice_hash, language, consent_mode, jurisdiction, revocable:
            see `contracts.grant_records.Grant`.

    Raises:
        Denied: over-asking, unknown person or purpose; on record.
    """
    args = GrantsRequest(
        pii_principal_id=bytes.fromhex(person),
        purpose=purpose,
        lawful_basis=lawful_basis,
        legal_ref=legal_ref,
        privacy_notice_hash=privacy_notice_hash,
        language=language,
        items=tuple(items),
        consent_mode=consent_mode,
        fetch_type=fetch_type or (FetchType.ONCE if uses_max == 1 else FetchType.PERIODIC),
        uses_max=uses_max,
        consent_expiry_ms=consent_expiry_ms,
        data_life_ms=data_life_ms,
        jurisdiction=jurisdiction,
        revocable=revocable,
        renews=bytes.fromhex(renews),
        retention_period_ms=retention_period_ms,
        frequency=frequency,
        template_id=bytes.fromhex(template_id),
        body_commitment=body_commitment,
        questions=tuple(questions),
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def preview_grant(core: Core, details: Sequence[AuthorizationDetail]) -> Plan[GrantPreview]:
    """What requests in the wire form of RFC 9396 would be: the calls to sign, and the caps that they would pass."""
    body = msgspec.json.encode(GrantPreviewRequest(authorization_details=list(details)))
    request = Request(method="POST", path="/v1/grants/preview", body=body, session=True)
    return decode((yield from exchange(core, request)), GrantPreview)


def request_grant_as(core: Core, detail: AuthorizationDetail) -> Plan[str]:
    """Ask for a grant in the wire form of RFC 9396. Returns the grant id (hex).

    The node's translation is held against the detail before it is signed.

    Raises:
        DecodeError: the node's call says something else than the detail.
        Denied: as for `request_grant`.
    """
    made = (yield from preview_grant(core, [detail])).previews
    if len(made) != 1:
        raise DecodeError(what="grant preview", reason="it has not one call for the one request")
    args = codec.decode(
        bytes.fromhex(made[0].call.args), GrantsRequest, size_bytes_max=CALL_ARGS_SIZE_BYTES_MAX
    )
    if not same_request(detail, args):
        raise DecodeError(what="grant preview", reason="the node's call does not say what was asked for")
    return transactions.output((yield from transactions.settled(core, args))).hex()


def grant(core: Core, grant_id: str) -> Plan[GrantView]:
    """One grant, for its parties, operators and auditors."""
    return (yield from get(core, f"/v1/grants/{grant_id}", GrantView, session=True))


def grants(core: Core, *, role: str = "", state: str = "", purpose: str = "") -> Plan[list[GrantView]]:
    """The caller's grants, as "principal" or "grantee", all or in one state; as "approver" the accesses to decide on."""
    return (
        yield from pages(
            core,
            "/v1/grants",
            list[GrantView],
            session=True,
            query_text=query(role=role, state=state, purpose=purpose),
        )
    )


def approve_grant(
    core: Core,
    grant_id: str,
    *,
    items: Sequence[GrantItem] | None = None,
    uses_max: int | None = None,
    consent_expiry_ms: int | None = None,
    frequency: Frequency | None = None,
    questions: Sequence[Question] | None = None,
    separately: Sequence[str] | None = None,
    mandate: str = "",
    assistance: str = "",
) -> Plan[TransactionView]:
    """Consent. What is not given here is taken as requested.

    Args:
        grant_id: hex.
        items: the requested items in the same order, each with all or fewer fields.
        uses_max: at most the requested number of uses.
        consent_expiry_ms: at most the requested end.
        frequency: no more often than requested.
        questions: some of those requested; None for all whose fields are given.
        separately: parts, as "<type>.<name>", that the person has agreed to each by itself; None says that he was asked about every
            one of the grant's `separately` that is given. A program that shows a person a request asks him.
        mandate: by which somebody acts in the person's place, hex.
        assistance: record of a clerk's help, hex.
    """
    view = yield from grant(core, grant_id)
    given = given_items(view.requested_items) if items is None else tuple(items)
    args = GrantsApprove(
        grant_id=bytes.fromhex(grant_id),
        items=given,
        uses_max=view.uses_max if uses_max is None else uses_max,
        consent_expiry_ms=_expiry_ms(view) if consent_expiry_ms is None else consent_expiry_ms,
        frequency=frequency,
        mandate=bytes.fromhex(mandate),
        assistance=bytes.fromhex(assistance),
        questions=None if questions is None else tuple(questions),
        separately=separate_parts(view, given) if separately is None else tuple(separately),
    )
    return (yield from transactions.settled(core, args))


def narrow_grant(
    core: Core,
    grant_id: str,
    *,
    items: Sequence[GrantItem] | None = None,
    uses_left: int | None = None,
    consent_expiry_ms: int | None = None,
    frequency: Frequency | None = None,
    questions: Sequence[Question] | None = None,
    mandate: str = "",
) -> Plan[TransactionView]:
    """Give less from now on. What is not given here stays as it is."""
    view = yield from grant(core, grant_id)
    args = GrantsNarrow(
        grant_id=bytes.fromhex(grant_id),
        items=given_items(view.items) if items is None else tuple(items),
        uses_left=view.uses_left if uses_left is None else uses_left,
        consent_expiry_ms=_expiry_ms(view) if consent_expiry_ms is None else consent_expiry_ms,
        frequency=frequency,
        mandate=bytes.fromhex(mandate),
        questions=None if questions is None else tuple(questions),
    )
    return (yield from transactions.settled(core, args))


def reject_grant(core: Core, grant_id: str, *, mandate: str = "") -> Plan[TransactionView]:
    """Refuse a request."""
    args = GrantsReject(grant_id=bytes.fromhex(grant_id), mandate=bytes.fromhex(mandate))
    return (yield from transactions.settled(core, args))


def pause_grant(core: Core, grant_id: str, *, mandate: str = "") -> Plan[TransactionView]:
    """Suspend a grant; nothing is released until it is resumed."""
    args = GrantsPause(grant_id=bytes.fromhex(grant_id), mandate=bytes.fromhex(mandate))
    return (yield from transactions.settled(core, args))


def resume_grant(core: Core, grant_id: str, *, mandate: str = "") -> Plan[TransactionView]:
    """Let a paused grant act again."""
    args = GrantsResume(grant_id=bytes.fromhex(grant_id), mandate=bytes.fromhex(mandate))
    return (yield from transactions.settled(core, args))


def revoke_grant(core: Core, grant_id: str, *, mandate: str = "") -> Plan[TransactionView]:
    """Take a grant back; final, and the same again when repeated."""
    args = GrantsRevoke(grant_id=bytes.fromhex(grant_id), mandate=bytes.fromhex(mandate))
    return (yield from transactions.settled(core, args))


def renew_grant(
    core: Core,
    grant_id: str,
    *,
    consent_expiry_ms: int,
    uses_max: int | None = None,
) -> Plan[str]:
    """Ask for an older grant again, as it was given. Returns the new grant's id (hex); the holder decides on it anew."""
    old = yield from grant(core, grant_id)
    return (
        yield from request_grant(
            core,
            person=old.pii_principal_id,
            purpose=old.purpose,
            items=given_items(old.items or old.requested_items),
            uses_max=old.uses_max if uses_max is None else uses_max,
            consent_expiry_ms=consent_expiry_ms,
            data_life_ms=old.data_life_ms,
            retention_period_ms=old.retention_period_ms,
            frequency=frequency_of(old.frequency),
            questions=tuple(question_of(one) for one in old.questions),
            lawful_basis=old.lawful_basis,
            legal_ref=old.legal_ref,
            privacy_notice_hash=bytes.fromhex(old.privacy_notice_hash),
            language=old.language,
            consent_mode=ConsentMode(old.consent_mode),
            jurisdiction=old.jurisdiction,
            revocable=old.revocable,
            renews=grant_id,
        )
    )


def deletions(core: Core, grant_id: str) -> Plan[list[DeletionView]]:
    """What the recipient of a grant has to delete, newest first."""
    return (yield from pages(core, f"/v1/grants/{grant_id}/deletions", list[DeletionView], session=True))


def state_deletion(
    core: Core, grant_id: str, *, statement: bytes, releases: Sequence[str] | None = None
) -> Plan[list[TransactionView]]:
    """State, by the recipient's officer, that what releases of a grant gave is deleted.

    Args:
        grant_id: hex.
        statement: hash (32 bytes) of the statement, which says what was deleted, where, and from which backups; keep it.
        releases: hex; None for all that are open.
    """
    if releases is None:
        found = yield from deletions(core, grant_id)
        releases = [one.release_id for one in found if one.stated is None]
    done: list[TransactionView] = []
    for start in range(0, len(releases), RELEASES_PER_STATEMENT_MAX):
        part = releases[start : start + RELEASES_PER_STATEMENT_MAX]
        args = GrantsStateDeletion(
            grant_id=bytes.fromhex(grant_id),
            releases=tuple(bytes.fromhex(release) for release in part),
            statement=statement,
        )
        done.append((yield from transactions.settled(core, args)))
    return done


def separate_parts(view: GrantView, given: Sequence[GrantItem]) -> tuple[str, ...]:
    """Those of the parts that need a consent each which these items give."""
    names = {f"{item.certificate_type}.{name}" for item in given for name in item.fields + item.attachments}
    return tuple(part for part in view.separately if part in names)


def frequency_of(view: FrequencyView | None) -> Frequency | None:
    """A frequency as the ledger takes it."""
    return None if view is None else Frequency(unit=FrequencyUnit(view.unit), value=view.value)


def question_of(view: QuestionView) -> Question:
    """A question as the ledger takes it."""
    return Question(
        certificate_type=view.certificate_type,
        name=view.name,
        kind=QuestionKind(view.kind),
        field=view.field,
        subject=view.subject,
        parameter=view.parameter,
    )


def given_items(views: Sequence[GrantItemView], *, without: Collection[str] = ()) -> tuple[GrantItem, ...]:
    """Items as the ledger takes them, less the names in `without`; what is left empty falls away."""
    items = (
        GrantItem(
            certificate_type=view.certificate_type,
            certificate=bytes.fromhex(view.certificate or ""),
            fields=tuple(name for name in view.fields if name not in without),
            attachments=tuple(name for name in view.attachments if name not in without),
            certificate_state_required=CertificateStateRequired(
                stopped_by=tuple(
                    CertificateState(state) for state in view.certificate_state_required.stopped_by
                ),
                within_dates=view.certificate_state_required.within_dates,
            ),
        )
        for view in views
    )
    return tuple(item for item in items if item.fields or item.attachments)


def _expiry_ms(view: GrantView) -> int:
    return (view.consent_expiry - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
