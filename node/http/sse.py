"""Server-sent events: blocks and audit events as they become final.

Rule: a stream pulls from the chain or the index from where its reader is, so nothing queues up for a slow
reader and nothing is skipped; what is under way is one batch and the socket's own buffer. A reader that does
not take a write within `stream_write_timeout_s` is disconnected and resumes with Last-Event-ID.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from ledger.errors import Busy, LedgerError, invariant
from network.tasks import end
from node.http.config import HttpConfig
from node.http.errors import HeaderInvalid
from node.http.routing import EVENT_STREAM, Message, Stream
from node.index.ports import CURSOR_MAX
from node.observability import Metrics, get_logger

HEARTBEAT: Final = b": heartbeat\n\n"
BATCH_MAX: Final = 100
RETRY_MS: Final = 1000

_log = get_logger("http")


class Writable(Protocol):
    """The part of a response that a stream writes to."""

    async def write(self, data: bytes) -> None: ...


def encode(message: Message) -> bytes:
    """One event on the wire; data is JSON on one line."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (message.id.encode(), message.event.encode(), message.data)


def resume_point(last_event_id: str | None) -> int | None:
    """Last-Event-ID as a number, None without it. Raises HeaderInvalid."""
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit()) or len(last_event_id) > 19:
        raise HeaderInvalid(header="Last-Event-ID", reason="expected the id of an earlier event, a number")
    number = int(last_event_id)
    if number > CURSOR_MAX:
        raise HeaderInvalid(header="Last-Event-ID", reason="beyond every event")
    return number


async def pump(stream: Stream, target: Writable, config: HttpConfig) -> str:
    """Write what comes until the reader is gone or the stream ends.

    Returns:
        Why it ended: "slow" or the code of the fault that ended it.
    """
    try:
        await _write(target, b"retry: %d\n\n" % RETRY_MS, config)
        while True:
            messages = await stream.poll(config.heartbeat_s)
            data = b"".join(encode(message) for message in messages) if messages else HEARTBEAT
            await _write(target, data, config)
    except TimeoutError:
        return "slow"
    except LedgerError as error:
        # The status is long sent; the reader comes back, and is told then.
        return error.code


async def _write(target: Writable, data: bytes, config: HttpConfig) -> None:
    async with asyncio.timeout(config.stream_write_timeout_s):
        await target.write(data)


class Streams:
    """The open streams of one node, bounded, ended at shutdown."""

    def __init__(self, config: HttpConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._tasks: set[asyncio.Task[Any] | None] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def serve(
        self, request: web.Request, stream: Stream, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer `request` with the stream, until it ends or its reader goes.

        Raises:
            Busy: too many streams are open.
        """
        if len(self._tasks) >= self._config.streams_max:
            raise Busy(what="stream table", retry_after_s=10)
        task = asyncio.current_task()
        invariant(task is not None, "a stream is served by a task")
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, **headers})
        self._tasks.add(task)
        self._metrics.http_streams.set(len(self._tasks))
        reason = "gone"
        try:
            await response.prepare(request)
            reason = await pump(stream, response, self._config)
            if reason == "slow" and request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        finally:
            self._tasks.discard(task)
            self._metrics.http_streams.set(len(self._tasks))
            _log.info("stream_ended", reason=reason)
        return response

    async def close(self) -> None:
        """End every stream."""
        await end(task for task in self._tasks if task is not None)
