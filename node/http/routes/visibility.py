"""Which certificates a caller may see by an active grant.

Rule: a holder's grants to the caller are looked up in the index, then judged by the finalized state alone.
"""

from __future__ import annotations

from contracts.records import Certificate, Grant, GrantState
from node.http import access
from node.http.pagination import SCAN_BATCH, SCAN_MAX
from node.services.ports import Caller, Services


async def active_grants(services: Services, principal: bytes, grantee: bytes) -> list[Grant]:
    """Active grants of one account to another, among the principal's newest `SCAN_MAX` grants."""
    grants: list[Grant] = []
    after: int | None = None
    for _ in range(SCAN_MAX // SCAN_BATCH):
        found = await services.index.objects(
            "grants.requested", subject=principal, after=after, limit=SCAN_BATCH, newest_first=True
        )
        for entry in found:
            after = entry.cursor
            grant = services.chain.records.grant(entry.object_id)
            if (
                grant is not None
                and grant.state is GrantState.ACTIVE
                and (grant.pii_principal_id, grant.grantee) == (principal, grantee)
            ):
                grants.append(grant)
        if len(found) < SCAN_BATCH:
            break
    return grants


async def sees_certificate(services: Services, caller: Caller, certificate: Certificate) -> bool:
    """Holder, issuer, overseer, or grantee of an active grant on it."""
    if access.may_see_certificate(caller, certificate, ()):
        return True
    return access.may_see_certificate(
        caller, certificate, await active_grants(services, certificate.holder, caller.account)
    )
