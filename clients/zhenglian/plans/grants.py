"""Plans about grants (授权): ask, give all or less, pause, take back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.calls import (
    GrantsApprove,
    GrantsNarrow,
    GrantsPause,
    GrantsReject,
    GrantsRequest,
    GrantsResume,
    GrantsRevoke,
)
from contracts.records import ConsentMode, FetchType, GrantItem
from zhenglian.api import GrantItemView, GrantView, TransactionView
from zhenglian.exchange import Core, Plan, get
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
    lawful_basis: str = "consent",
    legal_ref: str = "",
    privacy_notice_hash: bytes = NO_NOTICE,
    language: str = "zh-cn",
    consent_mode: ConsentMode = ConsentMode.STORE,
    fetch_type: FetchType | None = None,
    jurisdiction: str = "cn",
    revocable: bool = True,
    renews: str = "",
) -> Plan[str]:
    """Ask a person for consent; bounded by the purpose's template. Returns the grant id (hex).

    Args:
        person: account id of the person, hex.
        purpose: code of a registered purpose.
        items: what is asked for.
        uses_max: how many releases.
        consent_expiry_ms: Unix time at which the consent ends.
        data_life_ms: how long the data may be kept after a release.
        fetch_type: once for a single use and periodic for more, unless given.
        lawful_basis, legal_ref, privacy_notice_hash, language, consent_mode, jurisdiction, revocable, renews:
            see `contracts.records.Grant`.

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
    )
    return transactions.output((yield from transactions.settled(core, args))).hex()


def grant(core: Core, grant_id: str) -> Plan[GrantView]:
    """One grant, for its parties, operators and auditors."""
    return (yield from get(core, f"/v1/grants/{grant_id}", GrantView, session=True))


def grants(core: Core, *, role: str = "", state: str = "") -> Plan[list[GrantView]]:
    """The caller's grants, as "principal" or "grantee", all or in one state."""
    return (
        yield from pages(
            core, "/v1/grants", list[GrantView], session=True, query_text=query(role=role, state=state)
        )
    )


def approve_grant(
    core: Core,
    grant_id: str,
    *,
    items: Sequence[GrantItem] | None = None,
    uses_max: int | None = None,
    consent_expiry_ms: int | None = None,
) -> Plan[TransactionView]:
    """Consent. What is not given here is taken as requested.

    Args:
        grant_id: hex.
        items: the requested items in the same order, each with all or fewer fields.
        uses_max: at most the requested number of uses.
        consent_expiry_ms: at most the requested end.
    """
    view = yield from grant(core, grant_id)
    args = GrantsApprove(
        grant_id=bytes.fromhex(grant_id),
        items=given_items(view.requested_items) if items is None else tuple(items),
        uses_max=view.uses_max if uses_max is None else uses_max,
        consent_expiry_ms=_expiry_ms(view) if consent_expiry_ms is None else consent_expiry_ms,
    )
    return (yield from transactions.settled(core, args))


def narrow_grant(
    core: Core,
    grant_id: str,
    *,
    items: Sequence[GrantItem] | None = None,
    uses_left: int | None = None,
    consent_expiry_ms: int | None = None,
) -> Plan[TransactionView]:
    """Give less from now on. What is not given here stays as it is."""
    view = yield from grant(core, grant_id)
    args = GrantsNarrow(
        grant_id=bytes.fromhex(grant_id),
        items=given_items(view.items) if items is None else tuple(items),
        uses_left=view.uses_left if uses_left is None else uses_left,
        consent_expiry_ms=_expiry_ms(view) if consent_expiry_ms is None else consent_expiry_ms,
    )
    return (yield from transactions.settled(core, args))


def reject_grant(core: Core, grant_id: str) -> Plan[TransactionView]:
    """Refuse a request."""
    return (yield from transactions.settled(core, GrantsReject(grant_id=bytes.fromhex(grant_id))))


def pause_grant(core: Core, grant_id: str) -> Plan[TransactionView]:
    """Suspend a grant; nothing is released until it is resumed."""
    return (yield from transactions.settled(core, GrantsPause(grant_id=bytes.fromhex(grant_id))))


def resume_grant(core: Core, grant_id: str) -> Plan[TransactionView]:
    """Let a paused grant act again."""
    return (yield from transactions.settled(core, GrantsResume(grant_id=bytes.fromhex(grant_id))))


def revoke_grant(core: Core, grant_id: str) -> Plan[TransactionView]:
    """Take a grant back; final, and the same again when repeated."""
    return (yield from transactions.settled(core, GrantsRevoke(grant_id=bytes.fromhex(grant_id))))


def given_items(views: Sequence[GrantItemView], *, without: Collection[str] = ()) -> tuple[GrantItem, ...]:
    """Items as the ledger takes them, less the names in `without`; what is left empty falls away."""
    items = (
        GrantItem(
            certificate_type=view.certificate_type,
            certificate=bytes.fromhex(view.certificate or ""),
            fields=tuple(name for name in view.fields if name not in without),
            attachments=tuple(name for name in view.attachments if name not in without),
        )
        for view in views
    )
    return tuple(item for item in items if item.fields or item.attachments)


def _expiry_ms(view: GrantView) -> int:
    return (view.consent_expiry - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
