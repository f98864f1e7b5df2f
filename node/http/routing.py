"""The vocabulary of the route table: what a route is, what its handler receives, what it answers.

Rule: a route declares everything that can be checked or documented without running it; `dispatch.py` enforces
the declaration and `openapi.py` prints it, so that they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, dataclass_transform

import msgspec
from msgspec import Struct

from ledger.errors import invariant
from node.http.config import SMALL_BODY_BYTES_MAX, RateClass
from node.http.errors import SessionRequired
from node.services.ports import Caller, Services

if TYPE_CHECKING:
    from node.http.access import Access
    from node.http.site import Site

B = TypeVar("B")
Q = TypeVar("Q")

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
OCTETS: Final = "application/octet-stream"


# mypy reads `frozen` of a base only from here; it has no effect at run time.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the structs that describe query parameters; values come as text."""


class NoQuery(Query):
    """No query parameters."""


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A placeholder of a path: the form it must have, how it becomes a value, what it means."""

    pattern: str
    convert: Callable[[str], bytes | int | str]
    zh: str
    en: str

    def matches(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


def _hex(size_bytes: int, zh: str, en: str) -> PathParameter:
    return PathParameter(f"[0-9a-f]{{{size_bytes * 2}}}", bytes.fromhex, zh, en)


# One meaning for each placeholder name, over all routes.
PATH_PARAMETERS: Final[Mapping[str, PathParameter]] = {
    "account": _hex(16, "账户编号", "account id"),
    "certificate": _hex(16, "证照编号", "certificate id"),
    "grant": _hex(16, "授权编号", "grant id"),
    "mandate": _hex(16, "代办关系编号", "mandate id"),
    "release": _hex(8, "下链编号", "release id"),
    "trace": _hex(16, "追溯编号", "trace id"),
    "ticket": _hex(16, "查询票据编号", "lookup ticket id"),
    "version": PathParameter("[1-9][0-9]{0,14}", int, "版本", "version"),
    "webhook": _hex(16, "回调编号", "webhook id"),
    "proposal": _hex(16, "提案编号", "proposal id"),
    "transaction": _hex(32, "交易编号", "transaction id"),
    "region": _hex(32, "地区网络（链标识）", "another network, by its chain id"),
    "count": _hex(16, "统计编号", "count id"),
    "recognition": _hex(16, "互认记录编号", "recognition id"),
    "state_key": PathParameter("(?:[0-9a-f]{2}){1,511}", bytes.fromhex, "状态键", "state key"),
    "height": PathParameter("0|[1-9][0-9]{0,14}", int, "区块高度", "block height"),
    "file": PathParameter("0|[1-9][0-9]?", int, "文件序号（从 0 起）", "index of the file, from 0"),
    "job": _hex(16, "上链任务编号", "deposit job id"),
    "key": _hex(16, "密钥编号", "key id"),
    "code": PathParameter("[a-z][a-z0-9_.-]{0,63}", str, "代码", "code"),
}


class Idempotency(Enum):
    """What an Idempotency-Key does on a route."""

    IGNORED = "ignored"
    OPTIONAL = "optional"
    REQUIRED = "required"
    # Needed, and what it means is the service's to say, since its answer changes as work goes on.
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A body that a handler takes as it comes.

    Attributes:
        media_type: without parameters.
        size_bytes: as announced, or None.
        offset: from `Upload-Offset`, or None.
        key: the Idempotency-Key, empty without.
        chunks: the bytes, no more than the route allows.
        parts: of a multipart body, one after another; each is to be read before the next is asked for.
    """

    media_type: str
    size_bytes: int | None
    offset: int | None
    key: str
    chunks: Callable[[], AsyncIterator[bytes]]
    parts: Callable[[], AsyncIterator[Part]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a multipart body."""

    name: str
    file_name: str
    media_type: str
    chunks: Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Generic[B, Q]):
    """One checked request.

    Attributes:
        services, site: what the handler may use.
        caller: who asks; None without a session.
        token: the session's token, empty without one.
        path: values of the placeholders.
        query, body: validated structs; a body of None where the route takes none.
        wait_s: from `Prefer: wait=`, 0 to 60 s.
        target: path and query as received, for links.
        last_event_id: header of that name, or None.
        key: the Idempotency-Key, empty without.
        accept: the media types that the asker takes, as it says them.
        upload: the body of a route that takes it raw.
    """

    services: Services
    site: Site
    caller: Caller | None
    token: str
    path: Mapping[str, bytes | int | str]
    query: Q
    body: B
    wait_s: int
    target: str
    last_event_id: str | None
    key: str = ""
    accept: str = ""
    upload: Upload | None = None

    @property
    def session(self) -> Caller:
        """The caller of a route that only sessions reach."""
        if self.caller is None:
            raise SessionRequired
        return self.caller

    def id(self, name: str) -> bytes:
        """The value of a placeholder that is an id."""
        value = self.path[name]
        invariant(isinstance(value, bytes), f"path parameter {name} is an id")
        return value if isinstance(value, bytes) else b""

    def number(self, name: str) -> int:
        """The value of a placeholder that is a number."""
        value = self.path[name]
        invariant(isinstance(value, int), f"path parameter {name} is a number")
        return value if isinstance(value, int) else 0

    def code(self, name: str) -> str:
        """The value of a placeholder that is a code."""
        return str(self.path[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `body` is bytes as they are, or what becomes JSON; None is an empty body.

    `etag` overrides the hash of the body where the route has ETags. What is not `kept` never lies on disk for an idempotency key.
    """

    status: int = 200
    body: object = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A server-sent event. `id` is what Last-Event-ID resumes after."""

    event: str
    id: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer without end.

    `poll(timeout_s)` waits up to that long for further messages; none when the time is over. It raises
    LedgerError when the stream is to end.
    """

    poll: Callable[[float], Awaitable[Sequence[Message]]]


Handler = Callable[[Context[Any, Any]], Awaitable[Reply | Stream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A row of the route table.

    Attributes:
        method, path: the path's placeholders are names of `PATH_PARAMETERS`.
        access: who may; there is no default, and `build_app` refuses a route without one.
        handler: calls one service and maps the answer.
        summary_zh, summary_en: one sentence each.
        request: struct of the JSON body, or None.
        response: type of the JSON body of a success, or None.
        media_type: of a success.
        statuses: of a success, the usual one first.
        query: struct of the query parameters.
        body_bytes_max: bound of the body.
        rate: token bucket it draws from.
        idempotency: of a POST.
        waits: whether `Prefer: wait=N` means something here.
        etag: whether the answer has an ETag and If-None-Match is honoured.
        accepts: media types of a raw body, which the handler takes as it comes; it sees to idempotency itself.
        ranges: whether a part of the answer may be asked for by Range.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary_zh: str
    summary_en: str
    request: type[Struct] | None = None
    response: Any = None
    media_type: str = JSON
    statuses: tuple[int, ...] = (200,)
    query: type[Query] = NoQuery
    body_bytes_max: int = SMALL_BODY_BYTES_MAX
    rate: RateClass = RateClass.READ
    idempotency: Idempotency = Idempotency.IGNORED
    waits: bool = False
    etag: bool = False
    accepts: tuple[str, ...] = ()
    ranges: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's placeholders."""
        return tuple(re.findall(r"{(\w+)}", self.path))
