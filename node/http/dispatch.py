"""One order of checks for every request.

Rule: limits and identity before the body, the body before the handler:

1. room: too many requests in progress → 503
2. session, if a token came; then the token bucket of its account, else of the address
3. access of the route
4. path, query, headers
5. body, within the route's bound
6. idempotency, then the handler
7. the answer: ETag, security headers, log line, metrics

Whatever is raised on the way becomes a problem document, in `problems.py`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from ledger.errors import Busy, InvariantViolation, LedgerError, Unavailable
from node.http import access, decode, problems, ranges, uploads
from node.http.config import IDEMPOTENCY_KEY_LENGTH_MAX, LARGE_BODY_BYTES
from node.http.errors import HeaderInvalid, IdempotencyKeyRequired, SessionRequired
from node.http.problems import Answer
from node.http.ratelimit import address_of
from node.http.routing import JSON, Context, Idempotency, Reply, Route, Stream
from node.http.site import Site
from node.observability import get_logger
from node.services.ports import Caller

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # Instead of the names and versions of what it is built with.
    "Server": "zhenglian",
}
UNMATCHED: Final = "unmatched"
# What a session that is only for reading may do.
READING: Final = frozenset({"GET", "HEAD"})
LOG_OUT: Final = ("DELETE", "/v1/sessions")
PATH_LOGGED_LENGTH_MAX: Final = 200
CALLER: Final = web.RequestKey("caller", Caller)

_log = get_logger("http")


async def serve(site: Site, route: Route, request: web.Request) -> web.StreamResponse:
    """Answer a request of a route; raises what `guard` turns into a problem."""
    caller, token = _identify(site, route, request)
    reads = route.method in READING or (route.method, route.path) == LOG_OUT
    access.require(route.access, caller, reads=reads)
    context: Context[Any, Any] = Context(
        services=site.services,
        site=site,
        caller=caller,
        token=token,
        path=decode.path_values(route, request.match_info),
        query=decode.query_struct(request, route.query),
        body=None,
        wait_s=decode.wait_s(request) if route.waits else 0,
        target=request.path_qs,
        last_event_id=decode.header(request, "Last-Event-ID") or None,
        accept=decode.header(request, "Accept"),
    )
    if route.accepts:
        upload = uploads.upload_of(request, route, _idempotency_key(route, request))
        async with _room_for_body(site, route, request):
            outcome = await route.handler(replace(context, upload=upload))
            if isinstance(outcome, Stream):
                raise InvariantViolation("a stream answers a request with a body")
            return _response(_render(site, route, outcome))
    if route.request is None:
        outcome = await route.handler(context)
        if isinstance(outcome, Stream):
            return await site.streams.serve(request, outcome, SECURITY_HEADERS)
        answer = _conditional(request, _render(site, route, outcome))
        return _response(ranges.part_of(request, answer) if route.ranges else answer)
    async with _room_for_body(site, route, request):
        return _response(await _with_body(site, route, request, context))


def _identify(site: Site, route: Route, request: web.Request) -> tuple[Caller | None, str]:
    """Who asks, after taking a token from their bucket."""
    address = address_of(request.remote)
    try:
        token = _bearer(request)
        caller = site.sessions.caller(token) if token else None
    except LedgerError:
        site.limits.take(route.rate, address)
        raise
    site.limits.take(route.rate, caller.account.hex() if caller else address)
    if caller is not None:
        request[CALLER] = caller
    return caller, token


def _bearer(request: web.Request) -> str:
    value = decode.header(request, "Authorization")
    if not value:
        return ""
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise SessionRequired
    return token.strip()


@asynccontextmanager
async def _room_for_body(site: Site, route: Route, request: web.Request) -> AsyncIterator[None]:
    """A permit for a large body, from before it is read until the work on it is done."""
    stated = request.content_length
    if route.body_bytes_max < LARGE_BODY_BYTES or (stated is not None and stated < LARGE_BODY_BYTES):
        yield
        return
    if site.large_bodies.locked():
        raise Busy(what="upload", retry_after_s=2)
    async with site.large_bodies:
        yield


async def _with_body(site: Site, route: Route, request: web.Request, context: Context[Any, Any]) -> Answer:
    key = _idempotency_key(route, request)
    data = await decode.read_body(request, route)

    async def work() -> Answer:
        body = await decode.decode_body(data, route.request) if route.request else None
        outcome = await route.handler(replace(context, body=body, key=key))
        if isinstance(outcome, Stream):
            raise InvariantViolation("a stream answers a request with a body")
        return _render(site, route, outcome)

    if not key or route.idempotency is Idempotency.OWN:
        return await work()
    request_hash = site.services.chain.suite.digest(
        f"{route.method} {request.path_qs}\n".encode("utf-8", "surrogateescape") + data
    )
    return await site.idempotency.run(_scope(context, request), key, request_hash, work)


def _idempotency_key(route: Route, request: web.Request) -> str:
    """The key to go by, empty for none. A key of wrong form is refused even where it is not used."""
    key = request.headers.get("Idempotency-Key", "")
    if key and not (len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        raise HeaderInvalid(
            header="Idempotency-Key",
            reason=f"expected 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters",
        )
    if route.idempotency in {Idempotency.REQUIRED, Idempotency.OWN} and not key:
        raise IdempotencyKeyRequired
    return key if route.idempotency is not Idempotency.IGNORED else ""


def _scope(context: Context[Any, Any], request: web.Request) -> str:
    if context.caller is not None:
        return f"{context.caller.account.hex()}/{context.caller.key_id.hex()}"
    return f"address/{address_of(request.remote)}"


def _render(site: Site, route: Route, reply: Reply) -> Answer:
    headers = {**SECURITY_HEADERS, **reply.headers}
    if reply.body is None:
        return Answer(status=reply.status, headers=headers, body=b"")
    body = reply.body if isinstance(reply.body, bytes) else decode.json_bytes(reply.body)
    headers["Content-Type"] = reply.media_type
    if route.etag and reply.status == 200:
        tag = reply.etag or site.services.chain.suite.digest(body)[:16].hex()
        headers["ETag"] = f'"{tag}"'
        # May be kept, by the asker alone, but is asked for again each time.
        headers["Cache-Control"] = "private, no-cache"
    if reply.media_type == JSON and reply.status == 202:
        headers.setdefault("Retry-After", "1")
    return Answer(status=reply.status, headers=headers, body=body, kept=reply.kept)


def _conditional(request: web.Request, answer: Answer) -> Answer:
    """304 where the asker has it already (RFC 9110, 13.1.2)."""
    tag = answer.headers.get("ETag")
    wanted = decode.header(request, "If-None-Match")
    if tag is None or not wanted:
        return answer
    known = {part.strip().removeprefix("W/") for part in wanted.split(",")}
    if "*" not in known and tag not in known:
        return answer
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    return Answer(status=304, headers=headers, body=b"")


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body or None)


async def guard(
    site: Site,
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Run `handler`; whatever goes wrong becomes a problem document. Counts and logs every request."""
    site.newcomers.heard(request.protocol)
    started_s = time.monotonic()
    language = problems.language_of(request.headers.get("Accept-Language", ""))
    route = getattr(request.match_info.route.resource, "canonical", UNMATCHED)
    status = 499
    site.in_progress += 1
    try:
        response = await _guarded(site, request, handler, language, route)
        status = response.status
        return response
    finally:
        site.in_progress -= 1
        _observe(site, request, route, status, time.monotonic() - started_s)


async def _guarded(
    site: Site,
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    language: str,
    route: str,
) -> web.StreamResponse:
    try:
        if site.in_progress > site.config.requests_max:
            raise Unavailable(what="API", reason=f"{site.config.requests_max} requests are in progress")
        return await handler(request)
    except LedgerError as error:
        answer = problems.from_error(error, language, request.path[:PATH_LOGGED_LENGTH_MAX])
    except web.HTTPException as error:
        allowed = error.headers.get("Allow")
        answer = problems.from_protocol(error.status, language, {"Allow": allowed} if allowed else None)
    except ConnectionError:
        raise
    except InvariantViolation as error:
        site.fatal(error)
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: logged with a reference, told as a 500
        answer = problems.from_unexpected(error, language, route)
    return web.Response(
        status=answer.status, headers={**SECURITY_HEADERS, **answer.headers}, body=answer.body
    )


def _observe(site: Site, request: web.Request, route: str, status: int, seconds: float) -> None:
    site.metrics.http_requests.labels(
        method=_known_method(request.method), route=route, status=str(status)
    ).inc()
    site.metrics.http_seconds.labels(route=route).observe(seconds)
    caller = request.get(CALLER)
    _log.info(
        "request",
        method=_known_method(request.method),
        route=route,
        path=request.path[:PATH_LOGGED_LENGTH_MAX],
        status=status,
        duration_ms=round(seconds * 1000, 1),
        account=caller.account.hex() if caller else "",
        key_id=caller.key_id.hex() if caller else "",
        address=request.remote or "",
    )


def _known_method(method: str) -> str:
    """A caller may invent methods; a metric's labels stay few."""
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "OTHER"
