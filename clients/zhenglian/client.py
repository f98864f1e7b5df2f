"""The two clients, `Client` for threads and `AsyncClient` for asyncio: the same operations, listed once.

Rule: an operation is a plan (`zhenglian.operations`), and a client is a driver that carries out what
the plan wants. Nothing is decided here, so the two cannot differ.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self, TypeVar, assert_never
from urllib.parse import urlsplit

import httpx

from ledger.errors import DecodeError
from ledger.types import Trust
from zhenglian.exchange import (
    ANSWER_SIZE_BYTES_MAX,
    ERROR_BODY_SIZE_BYTES_MAX,
    Answer,
    Core,
    Keep,
    Outcome,
    Pause,
    Plan,
    RetryPolicy,
    Send,
    Unreached,
    Wanted,
    Work,
)
from zhenglian.keyfile import KeyFile
from zhenglian.operations import Operations
from zhenglian.streams import Chunk, Item, Open, Read, StreamPlan

R = TypeVar("R")

NODES_MAX: Final = 64


def _core(
    nodes: str | Sequence[str],
    key: KeyFile | None,
    language: str,
    trust: Trust | None,
    policy: RetryPolicy | None,
) -> Core:
    bases = tuple(url.rstrip("/") for url in ((nodes,) if isinstance(nodes, str) else nodes))
    if not 1 <= len(bases) <= NODES_MAX:
        raise DecodeError(what="node list", reason=f"one to {NODES_MAX} addresses are expected")
    for base in bases:
        parts = urlsplit(base)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise DecodeError(what="node address", reason=f"{base!r} is no http or https URL")
    return Core(
        bases=bases,
        key=key,
        language=language,
        policy=policy or RetryPolicy(),
        clock_ms=lambda: time.time_ns() // 1_000_000,
        random_bytes=os.urandom,
        trust=trust,
    )


def _uses_environment(core: Core) -> bool:
    """Proxies of the environment are for hosts elsewhere, never for this one."""
    return not all(_is_loopback(urlsplit(base).hostname or "") for base in core.bases)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _verification(core: Core, ca_file: Path | None) -> ssl.SSLContext | bool:
    """How X.509 is checked. Reading the system's authorities is slow; it is left out where nothing is https."""
    if not any(base.startswith("https:") for base in core.bases):
        return False
    return True if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


def _answer(response: httpx.Response, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status_code, headers=headers, body=body, url=str(response.url))


class _Collected:
    """A body in the making, bounded."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> bool:
        """Whether the body is still within ANSWER_SIZE_BYTES_MAX."""
        self.parts.append(part)
        self.size += len(part)
        return self.size <= ANSWER_SIZE_BYTES_MAX


_TOO_LARGE: Final = Unreached(reason=f"the answer is larger than {ANSWER_SIZE_BYTES_MAX} bytes")


def _keep(keep: Keep) -> None:
    """Write a file so that it is there whole or not at all."""
    keep.path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=keep.path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(keep.data)
        Path(temporary).replace(keep.path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Client(Operations):
    """The SDK for programs with threads.

    Args:
        nodes: URL of a node, or several; another one is asked when one is away.
        key: who signs; public operations need none.
        language: "zh" or "en", for the nodes' messages.
        trust: validator set that receipts are held against.
        policy: retries.
        ca_file: certificate authorities for https, PEM.
        transport: httpx transport, for programs that bring their own.

    Raises:
        DecodeError: an address is not a URL.
    """

    def __init__(
        self,
        nodes: str | Sequence[str],
        key: KeyFile | None = None,
        *,
        language: str = "en",
        trust: Trust | None = None,
        policy: RetryPolicy | None = None,
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.core = _core(nodes, key, language, trust, policy)
        self._http = httpx.Client(
            verify=_verification(self.core, ca_file),
            transport=transport,
            trust_env=_uses_environment(self.core),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, plan: Plan[R]) -> R:
        """Carry out a plan."""
        outcome: Outcome = None
        with closing(plan):
            while True:
                try:
                    wanted = plan.send(outcome)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                outcome = self._carry_out(wanted)

    def _carry_out(self, wanted: Wanted) -> Outcome:
        match wanted:
            case Send():
                return self._send(wanted)
            case Pause():
                time.sleep(wanted.seconds)
                return None
            case Keep():
                _keep(wanted)
                return None
            case Work():
                wanted.run()
                return None
        assert_never(wanted)

    def _send(self, send: Send) -> Answer | Unreached:
        try:
            with self._http.stream(
                send.method, send.url, headers=send.headers, content=send.body or None, timeout=send.timeout_s
            ) as response:
                body = _Collected()
                if not all(body.add(part) for part in response.iter_bytes()):
                    return _TOO_LARGE
                return _answer(response, b"".join(body.parts))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Unreached(reason=_reason(error))

    def iterate(self, plan: StreamPlan[R]) -> Iterator[R]:
        """Carry out a stream plan; closing the iterator ends the stream."""
        outcome: Outcome | Chunk = None
        response: httpx.Response | None = None
        parts: Iterator[bytes] = iter(())
        with closing(plan):
            try:
                while (wanted := _step(plan, outcome)) is not None:
                    match wanted:
                        case Item():
                            outcome = None
                            yield wanted.value
                        case Open():
                            if response is not None:
                                response.close()
                            response, outcome = self._open(wanted.send)
                            parts = response.iter_raw() if response is not None else iter(())
                        case Read():
                            outcome = _next_part(parts)
                        case _:
                            outcome = self._carry_out(wanted)
            finally:
                if response is not None:
                    response.close()

    def _open(self, send: Send) -> tuple[httpx.Response | None, Answer | Unreached]:
        request = self._http.build_request(
            send.method, send.url, headers=send.headers, timeout=send.timeout_s
        )
        try:
            response = self._http.send(request, stream=True)
            if response.status_code < 400:
                return response, _answer(response, b"")
            with closing(response):
                return None, _answer(response, response.read()[:ERROR_BODY_SIZE_BYTES_MAX])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, Unreached(reason=_reason(error))


class AsyncClient(Operations):
    """The SDK for programs with asyncio; arguments as for `Client`."""

    def __init__(
        self,
        nodes: str | Sequence[str],
        key: KeyFile | None = None,
        *,
        language: str = "en",
        trust: Trust | None = None,
        policy: RetryPolicy | None = None,
        ca_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.core = _core(nodes, key, language, trust, policy)
        self._http = httpx.AsyncClient(
            verify=_verification(self.core, ca_file),
            transport=transport,
            trust_env=_uses_environment(self.core),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, plan: Plan[R]) -> R:
        """Carry out a plan."""
        outcome: Outcome = None
        with closing(plan):
            while True:
                try:
                    wanted = plan.send(outcome)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                outcome = await self._carry_out(wanted)

    async def _carry_out(self, wanted: Wanted) -> Outcome:
        match wanted:
            case Send():
                return await self._send(wanted)
            case Pause():
                await asyncio.sleep(wanted.seconds)
                return None
            case Keep():
                await asyncio.to_thread(_keep, wanted)
                return None
            case Work():
                await asyncio.to_thread(wanted.run)
                return None
        assert_never(wanted)

    async def _send(self, send: Send) -> Answer | Unreached:
        try:
            async with self._http.stream(
                send.method, send.url, headers=send.headers, content=send.body or None, timeout=send.timeout_s
            ) as response:
                body = _Collected()
                async for part in response.aiter_bytes():
                    if not body.add(part):
                        return _TOO_LARGE
                return _answer(response, b"".join(body.parts))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Unreached(reason=_reason(error))

    async def iterate(self, plan: StreamPlan[R]) -> AsyncIterator[R]:
        """Carry out a stream plan; closing the iterator ends the stream."""
        outcome: Outcome | Chunk = None
        response: httpx.Response | None = None
        parts: AsyncIterator[bytes] | None = None
        with closing(plan):
            try:
                while (wanted := _step(plan, outcome)) is not None:
                    match wanted:
                        case Item():
                            outcome = None
                            yield wanted.value
                        case Open():
                            if response is not None:
                                await response.aclose()
                            response, outcome = await self._open(wanted.send)
                            parts = response.aiter_raw() if response is not None else None
                        case Read():
                            outcome = await _next_part_async(parts)
                        case _:
                            outcome = await self._carry_out(wanted)
            finally:
                if response is not None:
                    await response.aclose()

    async def _open(self, send: Send) -> tuple[httpx.Response | None, Answer | Unreached]:
        request = self._http.build_request(
            send.method, send.url, headers=send.headers, timeout=send.timeout_s
        )
        try:
            response = await self._http.send(request, stream=True)
            if response.status_code < 400:
                return response, _answer(response, b"")
            async with aclosing(response):
                return None, _answer(response, (await response.aread())[:ERROR_BODY_SIZE_BYTES_MAX])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, Unreached(reason=_reason(error))


def _step(plan: StreamPlan[R], outcome: Outcome | Chunk) -> Wanted | Open | Read | Item[R] | None:
    """What the plan wants next; None when it has ended."""
    try:
        return plan.send(outcome)
    except StopIteration:
        return None


def _next_part(parts: Iterator[bytes]) -> Chunk | Unreached:
    try:
        return Chunk(next(parts))
    except StopIteration:
        return Unreached(reason="the stream ended")
    except httpx.HTTPError as error:
        return Unreached(reason=_reason(error))


async def _next_part_async(parts: AsyncIterator[bytes] | None) -> Chunk | Unreached:
    if parts is None:
        return Unreached(reason="the stream ended")
    try:
        return Chunk(await anext(parts))
    except StopAsyncIteration:
        return Unreached(reason="the stream ended")
    except httpx.HTTPError as error:
        return Unreached(reason=_reason(error))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
