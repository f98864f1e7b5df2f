"""The route table, one file a resource.

Rule: a handler is a few lines: find, check the object's access, call one service, map the answer.
"""

from __future__ import annotations

from node.http.routes import (
    accounts,
    blocks,
    catalogue,
    certificates,
    deposits,
    events,
    grants,
    membership,
    proofs,
    proposals,
    recognitions,
    regions,
    releases,
    sessions,
    system,
    traces,
    transactions,
)
from node.http.routing import Route

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *sessions.ROUTES,
    *blocks.ROUTES,
    *events.ROUTES,
    *transactions.ROUTES,
    *accounts.ROUTES,
    *catalogue.ROUTES,
    *deposits.ROUTES,
    *certificates.ROUTES,
    *grants.ROUTES,
    *releases.ROUTES,
    *traces.ROUTES,
    *proposals.ROUTES,
    *proofs.ROUTES,
    *membership.ROUTES,
    *regions.ROUTES,
    *recognitions.ROUTES,
)
