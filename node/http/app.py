"""The HTTP application: the route table, served.

Rule: this is the only file that knows both aiohttp's application and the table; a table that breaks its own
rules is not served at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from node.http import dispatch
from node.http.access import check_table
from node.http.config import HttpConfig
from node.http.routes import ROUTES
from node.http.routing import EVENT_STREAM, Route
from node.http.site import Site, build_site, wall_clock_ms
from node.observability import Metrics
from node.services.ports import Services

SITE: Final = web.AppKey("site", Site)

Served = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    services: Services,
    config: HttpConfig,
    *,
    metrics: Metrics,
    idempotency_path: Path,
    fatal: Callable[[BaseException], None],
    clock_ms: Callable[[], int] = wall_clock_ms,
    routes: tuple[Route, ...] = ROUTES,
) -> web.Application:
    """The application, to be run by `web.AppRunner(app, access_log=None)` inside a running event loop.

    Args:
        services: what the routes call.
        config: the operator's settings.
        metrics: where requests are counted.
        idempotency_path: SQLite file of remembered answers; its folder must exist.
        fatal: called with an InvariantViolation; must stop the node.
        clock_ms: wall clock.
        routes: the table.

    Raises:
        RouteTableInvalid: a route has no access rule, or comes twice.
        StorageDamaged: the file of remembered answers is no usable database.
    """
    check_table(routes)
    site = build_site(
        services,
        config,
        metrics=metrics,
        routes=routes,
        idempotency_path=idempotency_path,
        fatal=fatal,
        clock_ms=clock_ms,
    )

    @web.middleware
    async def guard(request: web.Request, handler: Served) -> web.StreamResponse:
        return await dispatch.guard(site, request, handler)

    app = web.Application(middlewares=[guard], handler_args={"auto_decompress": False})
    app[SITE] = site
    for route in routes:
        served = _served(site, route)
        app.router.add_route(route.method, route.path, served)
        if route.method == "GET" and route.media_type != EVENT_STREAM:
            app.router.add_route("HEAD", route.path, served)

    async def end_streams(_app: web.Application) -> None:
        await site.streams.close()

    async def close_memory(_app: web.Application) -> None:
        await site.idempotency.close()

    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(close_memory)
    return app


def _served(site: Site, route: Route) -> Served:
    async def served(request: web.Request) -> web.StreamResponse:
        return await dispatch.serve(site, route, request)

    return served
