"""Requests and their answers over one connection, in both directions.

Rule: every request ends, and soon: with an answer, with the peer's refusal, with its time-out, or with the
connection. Both the requests under way and those being served are bounded; above the bound the asker gets
Busy at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ledger import codec
from ledger.errors import Busy, InvariantViolation, LedgerError, LimitExceeded, Unavailable
from ledger.types import Count, Name, Text, Wire
from network.errors import RemoteError
from network.frames import ERROR_BYTES_MAX, Channel, Frame, FrameKind, check_payload
from network.logs import Logger

REQUESTS_IN_FLIGHT_MAX: Final = 64
REQUESTS_SERVED_MAX: Final = 64
REFUSAL_REASON_CHARS_MAX: Final = 256
BUSY_RETRY_AFTER_S: Final = 1

RequestHandler = Callable[[bytes, Channel, bytes], Awaitable[bytes]]
FatalHandler = Callable[[InvariantViolation], None]


class Refusal(Wire, frozen=True):
    """Payload of an ERROR frame.

    Attributes:
        code: stable code of the error.
        reason: its message in English, cut to `REFUSAL_REASON_CHARS_MAX`.
        retry_after_s: for Busy, when to try again; otherwise 0.
    """

    code: Name
    reason: Text
    retry_after_s: Count = 0


def refusal_of(error: LedgerError) -> Refusal:
    """What a peer is told of an error."""
    retry_after_s = error.fields.get("retry_after_s", 0)
    return Refusal(
        code=error.code,
        reason=error.message("en")[:REFUSAL_REASON_CHARS_MAX],
        retry_after_s=retry_after_s if isinstance(retry_after_s, int) else 0,
    )


class PeerRequests:
    """The requests of one connection.

    Args:
        peer: the peer's account id.
        name: the peer's name, for messages.
        send: queues a frame on the connection.
        serve: answers the peer's requests; a LedgerError it raises is told to the peer.
        on_fatal: called when `serve` broke an invariant.
        logger: where faults of `serve` go.
    """

    def __init__(
        self,
        *,
        peer: bytes,
        name: str,
        send: Callable[[Frame], bool],
        serve: RequestHandler,
        on_fatal: FatalHandler,
        logger: Logger,
    ) -> None:
        self._peer = peer
        self._name = name
        self._send = send
        self._handler = serve
        self._on_fatal = on_fatal
        self._logger = logger
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def ask(self, channel: Channel, payload: bytes, *, timeout_s: float) -> bytes:
        """Send a request and wait for its answer; arguments and errors as for `PeerNetwork.request`."""
        if len(self._waiting) >= REQUESTS_IN_FLIGHT_MAX:
            raise Busy(what=f"the request queue to {self._name}", retry_after_s=BUSY_RETRY_AFTER_S)
        self._last_id += 1
        request_id = self._last_id
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            if not self._send(Frame(FrameKind.REQUEST, channel, request_id, payload)):
                raise Busy(what=f"the send queue to {self._name}", retry_after_s=BUSY_RETRY_AFTER_S)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise Unavailable(what=self._name, reason=f"no answer within {timeout_s:g} s") from None
        finally:
            del self._waiting[request_id]
            answer.cancel()

    def receive(self, frame: Frame) -> None:
        """Take a REQUEST, RESPONSE or ERROR frame.

        Raises:
            DecodeError: the peer sent a malformed ERROR.
        """
        match frame.kind:
            case FrameKind.REQUEST:
                self._serve(frame)
            case FrameKind.ERROR:
                refusal = codec.decode(frame.payload, Refusal, size_bytes_max=ERROR_BYTES_MAX, what="refusal")
                self._fail(frame.request_id, self._error_of(refusal))
            case _:
                answer = self._waiting.get(frame.request_id)
                if answer is not None and not answer.done():
                    answer.set_result(frame.payload)

    def unsent(self, frame: Frame) -> None:
        """A full lane cost this frame; whoever waits for an answer is told that we are busy."""
        if frame.kind is FrameKind.RESPONSE:
            self._refuse(frame, refusal_of(Busy(what="the response queue", retry_after_s=BUSY_RETRY_AFTER_S)))

    def end(self, error: LedgerError) -> None:
        """The connection is gone: fail what waits, stop what is being served."""
        for request_id in tuple(self._waiting):
            self._fail(request_id, Unavailable(what=self._name, reason=error.message("en")))
        for task in tuple(self._serving):
            task.cancel()

    def _error_of(self, refusal: Refusal) -> LedgerError:
        if refusal.code == Busy.code:
            return Busy(what=self._name, retry_after_s=refusal.retry_after_s)
        return RemoteError(peer=self._name, code=refusal.code, reason=refusal.reason)

    def _fail(self, request_id: int, error: LedgerError) -> None:
        answer = self._waiting.get(request_id)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _refuse(self, request: Frame, refusal: Refusal) -> None:
        self._send(Frame(FrameKind.ERROR, request.channel, request.request_id, codec.encode(refusal)))

    def _serve(self, request: Frame) -> None:
        if len(self._serving) >= REQUESTS_SERVED_MAX:
            self._refuse(
                request, refusal_of(Busy(what="the request queue", retry_after_s=BUSY_RETRY_AFTER_S))
            )
            return
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._serving.add(task)
        task.add_done_callback(lambda done: self._served(request, done))

    async def _answer(self, request: Frame) -> None:
        channel = request.channel
        if channel is None:
            return
        try:
            payload = await self._handler(self._peer, channel, request.payload)
            check_payload(channel, payload)
        except LedgerError as error:
            if isinstance(error, LimitExceeded):
                self._logger.warning("peer.request_over_limit", peer=self._name, reason=str(error))
            self._refuse(request, refusal_of(error))
            return
        self._send(Frame(FrameKind.RESPONSE, channel, request.request_id, payload))

    def _served(self, request: Frame, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if task.cancelled():
            return
        match task.exception():
            case None:
                pass
            case InvariantViolation() as violation:
                self._on_fatal(violation)
            case error:
                self._logger.error("peer.request_failed", peer=self._name, exc_info=error)
                self._refuse(
                    request, Refusal(code="internal", reason="the peer failed to answer; its log says why")
                )
