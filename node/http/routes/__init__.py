"""The route table, one file a resource.

Rule: a handler is a few lines: find, check the object's access, call one service, map the answer.
"""

from __future__ import annotations

from node.http.routes import (
    accounts,
    agents,
    blocks,
    catalogue,
    certificates,
    counts,
    deposit_jobs,
    deposits,
    events,
    forms,
    grants,
    logins,
    lookups,
    mandates,
    membership,
    mydata,
    passkeys,
    proofs,
    proposals,
    recognitions,
    regions,
    releases,
    sessions,
    shared_keys,
    system,
    traces,
    transactions,
    webhooks,
)
from node.http.routing import Route

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *sessions.ROUTES,
    *passkeys.ROUTES,
    *logins.ROUTES,
    *blocks.ROUTES,
    *events.ROUTES,
    *transactions.ROUTES,
    *accounts.ROUTES,
    *lookups.ROUTES,
    *catalogue.ROUTES,
    *forms.ROUTES,
    *counts.ROUTES,
    *deposits.ROUTES,
    *deposit_jobs.ROUTES,
    *agents.ROUTES,
    *certificates.ROUTES,
    *grants.ROUTES,
    *mandates.ROUTES,
    *releases.ROUTES,
    *traces.ROUTES,
    *proposals.ROUTES,
    *proofs.ROUTES,
    *membership.ROUTES,
    *shared_keys.ROUTES,
    *regions.ROUTES,
    *recognitions.ROUTES,
    *mydata.ROUTES,
    *webhooks.ROUTES,
)
