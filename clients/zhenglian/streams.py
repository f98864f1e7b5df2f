"""Server-sent events: blocks and events as they become final, resumed where they broke off.

Rule: a stream is a plan too (`zhenglian.exchange`); it further yields `Open`, `Read` and `Item`. An
item is handed out once: after a break the stream goes on behind the last id it has seen, at another
node if need be.

Source: WHATWG HTML, section 9.2, “Server-sent events”.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from ledger.decoders import decode_json
from ledger.errors import LimitExceeded
from zhenglian import exchange
from zhenglian.api import BlockView, EventView, Session
from zhenglian.api_mydata import NoticeView
from zhenglian.errors import NotReachable, UnexpectedAnswer, problem_from
from zhenglian.exchange import Answer, Core, Outcome, Pause, Request, Send, Unreached, Wanted
from zhenglian.plans.chain import query

T = TypeVar("T")

EVENT_SIZE_BYTES_MAX: Final = 1024 * 1024
READ_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Wanted: send this and keep the body open; outcome as for `Send`, less the body."""

    send: Send


@dataclass(frozen=True, slots=True)
class Read:
    """Wanted: some more of the body; outcome `Chunk` or `Unreached` at its end."""


@dataclass(frozen=True, slots=True)
class Chunk:
    data: bytes


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Wanted: hand this to the program."""

    value: T


StreamPlan = Generator[Wanted | Open | Read | Item[T], Outcome | Chunk, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    event: str
    data: str
    event_id: str | None


class EventDecoder:
    """Bytes in, server-sent events out. Comments (keep-alive) and unknown fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._size = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take bytes, give the events that are complete.

        Raises:
            LimitExceeded: an event above EVENT_SIZE_BYTES_MAX.
        """
        events: list[ServerEvent] = []
        lines = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        self._bound(len(self._rest))
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))
            else:
                if self._data:
                    events.append(
                        ServerEvent(event=self._event, data="\n".join(self._data), event_id=self._id)
                    )
                self._event, self._data, self._size = "", [], 0
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value)
            self._bound(self._size)
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    @staticmethod
    def _bound(size: int) -> None:
        if size > EVENT_SIZE_BYTES_MAX:
            raise LimitExceeded(limit="EVENT_SIZE_BYTES_MAX", maximum=EVENT_SIZE_BYTES_MAX, actual=size)


def blocks(core: Core, *, after: int | None = None) -> StreamPlan[BlockView]:
    """Blocks as they become final.

    Args:
        after: height behind which to begin; from now on when None.
    """
    request = Request(method="GET", path="/v1/blocks/stream")
    return _stream(core, request, BlockView, "" if after is None else str(after))


def events(core: Core, *, kind: str = "", after: str = "") -> StreamPlan[EventView]:
    """Events that concern the caller's account, as they become final.

    Args:
        kind: only kinds with this prefix, as "releases.".
        after: cursor behind which to begin; from now on when empty.
    """
    request = Request(method="GET", path="/v1/events/stream" + query(kind=kind), session=True)
    return _stream(core, request, EventView, after)


def notices(core: Core, *, principal: str = "", after: str = "") -> StreamPlan[NoticeView]:
    """Notices as they come.

    Args:
        principal: whose, for who acts for another; the key's own account when empty.
        after: position behind which to begin; from now on when empty. After a break at one node, another goes on from there; a
            notice's id says which of them were there before.
    """
    request = Request(method="GET", path="/v1/me/notices/stream" + query(principal=principal), session=True)
    return _stream(core, request, NoticeView, after)


def _stream(core: Core, request: Request, kind: type[T], last_id: str) -> StreamPlan[T]:
    failures = 0
    renewed = False
    while True:
        base = core.base
        outcome: Outcome | Chunk = yield from _open(core, request, base, last_id)
        if isinstance(outcome, Answer) and outcome.status < 400:
            decoder = EventDecoder()
            while isinstance(outcome := (yield Read()), Chunk):
                for event in decoder.feed(outcome.data):
                    failures, renewed = 0, False
                    last_id = event.event_id if event.event_id is not None else last_id
                    yield Item(_value(event, kind, base))
        elif isinstance(outcome, Answer):
            if outcome.status == 401 and request.session and not renewed:
                renewed = True
                core.sessions.pop(base, None)
                continue
            if outcome.status not in {429, 503}:
                raise problem_from(outcome.status, outcome.body, outcome.url)
        failures += 1
        core.preferred += 1
        if failures >= core.policy.attempts_max:
            reason = outcome.reason if isinstance(outcome, Unreached) else "busy"
            raise NotReachable(nodes=", ".join(core.bases), reason=reason)
        yield Pause(seconds=exchange.backoff_s(core.policy, failures - 1, len(core.bases)))


def _open(
    core: Core, request: Request, base: str, last_id: str
) -> Generator[Wanted | Open, Outcome | Chunk, Outcome | Chunk]:
    headers = {"accept": "text/event-stream", "accept-language": core.language}
    if last_id:
        headers["last-event-id"] = last_id
    if request.session:
        session = yield from exchange.session_at(core, base)
        if not isinstance(session, Session):
            return session
        headers["authorization"] = f"Bearer {session.token}"
    send = Send(method="GET", url=base + request.path, headers=headers, body=b"", timeout_s=READ_TIMEOUT_S)
    return (yield Open(send=send))


def _value(event: ServerEvent, kind: type[T], base: str) -> T:
    try:
        return decode_json(event.data, kind)
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(url=base, reason=str(error)) from None
