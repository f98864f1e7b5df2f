"""What a caller may see of single records and events, where that takes more than the record itself.

Rule: the index only finds what there may be; what the caller sees is judged by the finalized state alone. What is not to be known
yet (`access.hidden`) is told as if it were not there, and an event shows nobody whom else it concerned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.people import restricted
from contracts.records import AccountKind, Certificate, Grant, GrantState, Release
from ledger.errors import NotFound
from ledger.types import ACCOUNT_ID_SIZE_BYTES, RELEASE_ID_SIZE_BYTES, Header, Result, Transaction
from node.http import access
from node.http.errors import AccountRestricted
from node.http.pagination import SCAN_BATCH, SCAN_MAX
from node.http.views.chain import events_of
from node.http.views.common import instant
from node.index.concerns import grants_of, refused_access_shown_ms
from node.index.dossiers import Section
from node.index.ports import CURSOR_MAX, IndexedEvent
from node.services.mydata import mandates_in_force
from node.services.ports import Caller, Chain, Services

# First words of the kinds of events that anybody may see: what operators and organisations do in public is on public routes too.
PUBLIC_MATTERS: Final = frozenset(
    {
        "certificate_types",
        "contracts",
        "evidence",
        "forms",
        "governance",
        "network",
        "nodes",
        "organizations",
        "protocol",
        "purposes",
        "readers",
        "regions",
        "registrars",
        "shared_keys",
        "validators",
    }
)


def check_unrestricted(services: Services, *account_ids: bytes) -> None:
    """Refuse to give anything away to, or of, an account that was recovered lately.

    Raises:
        AccountRestricted: one of them was.
    """
    for account_id in account_ids:
        account = services.chain.records.account(account_id)
        if account is not None and restricted(account, services.chain.head_time_ms):
            raise AccountRestricted(until=instant(account.restricted_until_ms).isoformat())


async def active_grants(services: Services, principal: bytes, grantee: bytes) -> list[Grant]:
    """Active grants of one account to another, among the principal's newest `SCAN_MAX` grants."""
    records = services.chain.records
    grants: list[Grant] = []
    after: int | None = None
    for _ in range(SCAN_MAX // SCAN_BATCH):
        # As of the end of time: what is kept from the principal is not kept from the grantee.
        found = await services.index.entries(
            principal, Section.GRANTS, at_ms=CURSOR_MAX, after=after, limit=SCAN_BATCH
        )
        for entry in found:
            after = entry.cursor
            grant = records.grant(entry.key)
            if (
                grant is not None
                and grant.state is GrantState.ACTIVE
                and (grant.pii_principal_id, grant.grantee) == (principal, grantee)
            ):
                grants.append(grant)
        if len(found) < SCAN_BATCH:
            break
    return grants


async def sees_grant(services: Services, caller: Caller, grant: Grant) -> bool:
    """The parties, who represents the holder for its purpose, approvers of an access, overseers.

    Raises:
        NotFound: it is not to be known to the caller yet.
    """
    chain = services.chain
    approvers = chain.records.grant_rules().approvers if grant.access is not None else ()
    if access.hidden(caller, grant, chain.head_time_ms, approvers):
        raise NotFound(what="grant", id=grant.grant_id.hex())
    if access.may_see_grant(caller, grant, chain.head_time_ms, approvers):
        return True
    return any(
        not mandate.purposes or grant.purpose in mandate.purposes
        for mandate in await mandates_in_force(chain, services.index, caller.account, grant.pii_principal_id)
    )


async def sees_release(services: Services, caller: Caller, release: Release) -> bool:
    """Whoever sees its grant.

    Raises:
        NotFound: its grant is not to be known to the caller yet.
    """
    if caller.account == release.grantee or access.oversees(caller):
        return True
    grant = services.chain.records.grant(release.grant_id)
    if grant is None:
        return caller.account == release.pii_principal_id
    try:
        return await sees_grant(services, caller, grant)
    except NotFound:
        raise NotFound(what="release", id=release.release_id.hex()) from None


def event_shown(
    chain: Chain, caller: Caller | None, event: IndexedEvent, *, followed: bytes = b""
) -> IndexedEvent | None:
    """An event as the caller may see it, or None where he has no part in it, or is not to know of it yet.

    Left out of it are people and grants that the caller has no part in: one event may concern many.

    Args:
        chain: what is final.
        caller: who asks; None for anybody.
        event: the event.
        followed: the record whose history is read; the caller may see it. An event about something else that only names it, as
            another's release names a certificate, is not the caller's for that.
    """
    if access.oversees(caller) or _is_public(chain, event):
        return event
    if caller is None:
        return None
    records, now_ms = chain.records, chain.head_time_ms
    grants = grants_of(records, event.kind, event.object_id, event.subjects)
    approvers = records.grant_rules().approvers
    unknown = {grant.grant_id for grant in grants if access.hidden(caller, grant, now_ms, approvers)}
    own = {grant.grant_id for grant in grants if caller.account in {grant.pii_principal_id, grant.grantee}}
    if unknown & own or (grants and len(unknown) == len(grants)):
        return None
    later_ms = refused_access_shown_ms(event.kind, event.data, grants, event.time_ms)
    if now_ms < later_ms and caller.account not in {event.account, *approvers}:
        return None
    named = {event.account, event.object_id, *event.subjects}
    if not (
        caller.account in named
        or (followed and _is_history(followed, event, grants))
        or any(
            access.may_see_grant(caller, grant, now_ms, approvers if grant.access is not None else ())
            for grant in grants
        )
    ):
        return None
    others = {grant.grant_id for grant in grants} - own if len(grants) > 1 else unknown
    subjects = tuple(
        subject
        for subject in event.subjects
        if subject not in others and not _is_other(chain, caller, subject)
    )
    return replace(event, subjects=subjects)


def _is_public(chain: Chain, event: IndexedEvent) -> bool:
    """Whether anybody may see an event; whatever a person did is never so."""
    if event.kind.partition(".")[0] not in PUBLIC_MATTERS:
        return False
    actor = chain.records.account(event.account)
    return actor is None or actor.kind is not AccountKind.PERSON


def _is_history(followed: bytes, event: IndexedEvent, grants: Sequence[Grant]) -> bool:
    """Whether the event is about the record itself, or about what is under it."""
    if followed == event.object_id or any(followed == grant.grant_id for grant in grants):
        return True
    return len(followed) == RELEASE_ID_SIZE_BYTES and followed in event.subjects


@dataclass(frozen=True, slots=True)
class Sight:
    """What a caller sees of a finalized transaction: events, and whether it is the whole, signature and arguments included."""

    events: tuple[IndexedEvent, ...]
    whole: bool


def sight(
    chain: Chain, caller: Caller | None, signed: Transaction, result: Result, header: Header, index: int = 0
) -> Sight:
    """What a caller sees of a transaction: all of it who signed it, overseers, and whom every event of it concerns alone.

    Knowing a transaction's id gives no right: ids stand in notices, in releases, in reports.
    """
    events = events_of(header, index, signed, result)
    if access.oversees(caller) or (caller is not None and caller.account == signed.body.account):
        return Sight(tuple(events), whole=True)
    shown = [event_shown(chain, caller, event) for event in events]
    return Sight(tuple(event for event in shown if event is not None), whole=bool(events) and shown == events)


def _is_other(chain: Chain, caller: Caller, subject: bytes) -> bool:
    """Whether it is a person that another person is told nothing of."""
    if caller.kind is not AccountKind.PERSON or subject == caller.account:
        return False
    account = chain.records.account(subject) if len(subject) == ACCOUNT_ID_SIZE_BYTES else None
    return account is not None and account.kind is AccountKind.PERSON


async def sees_certificate(services: Services, caller: Caller, certificate: Certificate) -> bool:
    """Holder and who represents him in all, issuer, overseer, or grantee of an active grant on it."""
    if access.may_see_certificate(caller, certificate, ()):
        return True
    if access.may_see_certificate(
        caller, certificate, await active_grants(services, certificate.holder, caller.account)
    ):
        return True
    mandates = await mandates_in_force(services.chain, services.index, caller.account, certificate.holder)
    return any(not mandate.purposes for mandate in mandates)
