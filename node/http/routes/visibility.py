"""What a caller may see of single records and events, where that takes more than the record itself.

Rule: the index only finds what there may be; what the caller sees is judged by the finalized state alone. What is not to be known
yet (`access.hidden`) is told as if it were not there, and an event shows nobody whom else it concerned.
"""

from __future__ import annotations

from dataclasses import replace

from contracts.records import AccountKind, Certificate, Grant, GrantState, Release
from ledger.errors import NotFound
from ledger.types import ACCOUNT_ID_SIZE_BYTES
from node.http import access
from node.http.pagination import SCAN_BATCH, SCAN_MAX
from node.index.concerns import grants_of, refused_access_shown_ms
from node.index.dossiers import Section
from node.index.ports import CURSOR_MAX, IndexedEvent
from node.services.mydata import mandates_in_force
from node.services.ports import Caller, Services


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


def event_shown(services: Services, caller: Caller, event: IndexedEvent) -> IndexedEvent | None:
    """An event as the caller may see it, or None while it is not to be known to the caller.

    Left out of it are people and grants that the caller has no part in: one event may concern many.
    """
    if access.oversees(caller):
        return event
    chain = services.chain
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
    others = {grant.grant_id for grant in grants} - own if len(grants) > 1 else unknown
    subjects = tuple(
        subject
        for subject in event.subjects
        if subject not in others and not _is_other(services, caller, subject)
    )
    return replace(event, subjects=subjects)


def _is_other(services: Services, caller: Caller, subject: bytes) -> bool:
    """Whether it is a person that another person is told nothing of."""
    if caller.kind is not AccountKind.PERSON or subject == caller.account:
        return False
    account = services.chain.records.account(subject) if len(subject) == ACCOUNT_ID_SIZE_BYTES else None
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
