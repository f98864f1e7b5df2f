"""From the bytes of a request to typed values, strictly and within bounds.

Rule: what is refused is named: the member of the body, the parameter, the header. A body is never read beyond
its route's bound, and never for longer than `BODY_TIMEOUT_S`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from ledger import codec
from ledger.decoders import convert, decode_json
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Transaction
from node.http.config import BODY_TIMEOUT_S, HEADER_VALUE_LENGTH_MAX, OFF_LOOP_DECODE_BYTES
from node.http.errors import (
    BodyIncomplete,
    BodyInvalid,
    BodyTooLarge,
    HeaderInvalid,
    ParameterInvalid,
    WrongCall,
)
from node.http.routing import PATH_PARAMETERS, Query, Route
from zhenglian.api import WAIT_S_MAX

S = TypeVar("S", bound=msgspec.Struct)

REASON_LENGTH_MAX: Final = 300
_MEMBER: Final = re.compile(r" - at `\$?\.?([^`]*)`$")
_NAMED: Final = re.compile(r"(?:unknown|missing required) field `([^`]*)`")
_PREFER_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4})\"?(?=$|[,;\s])", re.IGNORECASE)

# What the decoder says, in Chinese. Tried in order; the first that matches the whole reason is used.
_REASONS_ZH: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"Object contains unknown field `(.*)`", r"没有名为 \1 的成员"),
        (r"Object missing required field `(.*)`", r"缺少必需的成员 \1"),
        (r"Expected `(.*)`, got `(.*)`", r"应为 \1，实为 \2"),
        (r"Expected `(.*)` matching regex '(.*)'", r"应为符合正则 \2 的 \1"),
        (r"Expected `(.*)` of length (.*)", r"应为长度 \2 的 \1"),
        (r"Expected `(.*)` (<=|>=|<|>) (.*)", r"应为 \2 \3 的 \1"),
        (r"Invalid enum value (.*)", r"不允许的取值 \1"),
        (r"Input data was truncated", r"JSON 不完整"),
        (r"JSON is malformed: (.*)", r"JSON 格式错误：\1"),
        (r".*", r"\g<0>"),
    )
)


def translated(reason: str) -> str:
    """A decoder's reason in Chinese."""
    for pattern, text in _REASONS_ZH:
        match = pattern.fullmatch(reason)
        if match is not None:
            return match.expand(text)
    return reason


def _member_and_reason(error: Exception) -> tuple[str, str]:
    """Where in the body it is wrong, as a path of members, and what."""
    text = str(error)[:REASON_LENGTH_MAX] or type(error).__name__
    found = _MEMBER.search(text)
    member = found.group(1) if found else ""
    reason = text[: found.start()] if found else text
    named = _NAMED.search(reason)
    if named is not None:
        member = f"{member}.{named.group(1)}" if member else named.group(1)
    return member or "$", reason


def body_struct(data: bytes, kind: type[S]) -> S:
    """Decode a JSON body.

    Raises:
        BodyInvalid: names the member and what is wrong with it.
    """
    try:
        decoded = decode_json(data, kind)
    except RecursionError:
        raise BodyInvalid(member="$", reason="nested too deeply", reason_zh="嵌套过深") from None
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        member, reason = _member_and_reason(error)
        raise BodyInvalid(member=member, reason=reason, reason_zh=translated(reason)) from None
    return decoded


async def read_body(request: web.Request, route: Route) -> bytes:
    """The body, no more of it than the route allows.

    Raises:
        HTTPUnsupportedMediaType: it is not plain JSON.
        BodyTooLarge: beyond `route.body_bytes_max`, stated or found.
        BodyIncomplete: it broke off or took too long.
    """
    if request.content_type != "application/json" or request.headers.get("Content-Encoding"):
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > route.body_bytes_max:
        raise BodyTooLarge(maximum=route.body_bytes_max)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > route.body_bytes_max:
                    raise BodyTooLarge(maximum=route.body_bytes_max)
    except TimeoutError:
        raise BodyIncomplete(reason=f"not complete after {BODY_TIMEOUT_S:.0f} s") from None
    except web.RequestPayloadError as error:
        raise BodyIncomplete(reason=str(error)[:REASON_LENGTH_MAX]) from None
    return bytes(data)


async def decode_body(data: bytes, kind: type[S]) -> S:
    """`body_struct`, beside the event loop when the body is large."""
    if len(data) >= OFF_LOOP_DECODE_BYTES:
        return await asyncio.to_thread(body_struct, data, kind)
    return body_struct(data, kind)


def query_struct(request: web.Request, kind: type[Query]) -> Query:
    """The query parameters.

    Raises:
        ParameterInvalid: unknown, repeated, or not of the declared form.
    """
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise ParameterInvalid(parameter=name[:64], reason="given twice", reason_zh="重复")
        values[name] = value
    try:
        return convert(values, kind, strict=False)
    except msgspec.MsgspecError as error:
        member, reason = _member_and_reason(error)
        raise ParameterInvalid(parameter=member, reason=reason, reason_zh=translated(reason)) from None


def path_values(route: Route, texts: Mapping[str, str]) -> dict[str, bytes | int | str]:
    """The values of a path's placeholders. Raises ParameterInvalid."""
    values: dict[str, bytes | int | str] = {}
    for name in route.parameters:
        parameter = PATH_PARAMETERS[name]
        if not parameter.matches(texts[name]):
            raise ParameterInvalid(
                parameter=name,
                reason=f"expected {parameter.en}, matching {parameter.pattern}",
                reason_zh=f"应为{parameter.zh}，形如 {parameter.pattern}",
            )
        values[name] = parameter.convert(texts[name])
    return values


def wait_s(request: web.Request) -> int:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `WAIT_S_MAX`; 0 without it."""
    found = _PREFER_WAIT.search(header(request, "Prefer"))
    return min(int(found.group(1)), WAIT_S_MAX) if found else 0


def header(request: web.Request, name: str) -> str:
    """A header's value, empty without it. Raises HeaderInvalid when it is too long."""
    value = request.headers.get(name, "")
    if len(value) > HEADER_VALUE_LENGTH_MAX:
        raise HeaderInvalid(header=name, reason=f"longer than {HEADER_VALUE_LENGTH_MAX} characters")
    return value


def base64_bytes(text: str, member: str) -> bytes:
    """Strict RFC 4648 base64: padded, no other characters, no loose bits. Raises BodyInvalid."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data) != text.encode():
        raise BodyInvalid(member=member, reason="not canonical base64", reason_zh="不是规范的 base64")
    return data


def transaction(text: str, *, expected: str = "") -> Transaction:
    """A transaction from its base64.

    Args:
        text: base64 of its canonical bytes.
        expected: "<contract>.<method>" that it must call; empty for any.

    Raises:
        BodyInvalid: not base64.
        DecodeError, LimitExceeded: not the canonical bytes of a transaction.
        WrongCall: it calls something else than `expected`.
    """
    data = base64_bytes(text, "transaction")
    decoded = codec.decode(data, Transaction, size_bytes_max=TRANSACTION_SIZE_BYTES_MAX, what="transaction")
    call = decoded.body.call
    if expected and expected != f"{call.contract}.{call.method}":
        raise WrongCall(expected=expected, actual=f"{call.contract}.{call.method}")
    return decoded


def json_bytes(value: Any) -> bytes:
    """The JSON of an answer."""
    return msgspec.json.encode(value)
