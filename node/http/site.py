"""What the HTTP layer itself holds while it runs.

Rule: one `Site` per application; nothing of it is global, so that several nodes fit in one process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.http import openapi
from node.http.config import HEAD_TIMEOUT_S, HttpConfig
from node.http.idempotency import IdempotencyStore
from node.http.listener import Newcomers
from node.http.passkeys import Passkeys
from node.http.ratelimit import RateLimits
from node.http.routing import Route
from node.http.sessions import Sessions
from node.http.sse import Streams
from node.observability import Metrics
from node.services.ports import Services


def wall_clock_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
class Site:
    """Sessions, limits, memory and metrics of one HTTP application.

    Attributes:
        routes: the table that is served; `openapi` describes it.
        fatal: called with an InvariantViolation; stops the node.
        newcomers: connections that have not sent a request yet.
        in_progress: requests now being answered.
        large_bodies: permits for large bodies.
    """

    services: Services
    config: HttpConfig
    metrics: Metrics
    routes: tuple[Route, ...]
    sessions: Sessions
    passkeys: Passkeys
    idempotency: IdempotencyStore
    limits: RateLimits
    streams: Streams
    newcomers: Newcomers
    clock_ms: Callable[[], int]
    fatal: Callable[[BaseException], None]
    large_bodies: asyncio.Semaphore
    openapi: bytes
    in_progress: int = 0


def build_site(
    services: Services,
    config: HttpConfig,
    *,
    metrics: Metrics,
    routes: tuple[Route, ...],
    idempotency_path: Path,
    fatal: Callable[[BaseException], None],
    clock_ms: Callable[[], int] = wall_clock_ms,
) -> Site:
    """Put the parts of a site together."""
    return Site(
        services=services,
        config=config,
        metrics=metrics,
        routes=routes,
        sessions=Sessions(services.chain, services.chain.status().account, config, clock_ms),
        passkeys=Passkeys(services.chain, clock_ms),
        idempotency=IdempotencyStore(
            idempotency_path,
            lifetime_ms=config.idempotency_lifetime_ms,
            answers_max=config.idempotency_answers_max,
            clock_ms=clock_ms,
        ),
        limits=RateLimits(config.rates, config.buckets_max, time.monotonic),
        streams=Streams(config, metrics),
        newcomers=Newcomers(HEAD_TIMEOUT_S),
        clock_ms=clock_ms,
        fatal=fatal,
        large_bodies=asyncio.Semaphore(config.large_bodies_max),
        openapi=openapi.document(routes),
    )
