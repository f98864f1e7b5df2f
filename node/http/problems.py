"""The one place where a fault becomes an HTTP answer (RFC 9457, problem details).

Rule: every error answer of the API is made here, with a stable `code`, both languages, and nothing about our
insides. What we did not foresee becomes a 500 with a reference; the log has the rest under that reference.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from contracts.denials import denial_message
from ledger.errors import Category, LedgerError
from ledger.types import Result
from node.http.config import HEADER_VALUE_LENGTH_MAX
from node.observability import get_logger
from node.services.ports import Denied
from zhenglian.api import Problem

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:zhenglian:problem:"
RETRY_AFTER_S: Final = 1

STATUS: Final[Mapping[Category, int]] = {
    Category.INVALID: 400,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.MISSING: 404,
    Category.CONFLICT: 409,
    Category.GONE: 410,
    Category.TOO_LARGE: 413,
    Category.BUSY: 429,
    Category.UNAVAILABLE: 503,
}

_TITLES_ZH: Final[Mapping[int, str]] = {
    400: "请求无效",
    401: "需要身份认证",
    403: "不允许",
    404: "没有找到",
    405: "方法不允许",
    409: "冲突",
    410: "已不可用",
    413: "内容过大",
    415: "不支持的媒体类型",
    429: "请求过多",
    431: "请求头过大",
    500: "内部错误",
    503: "暂不可用",
}

# What the HTTP machinery itself refuses: status → code, zh, en.
_PROTOCOL: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("bad_request", "请求不符合 HTTP 协议", "The request is not proper HTTP"),
    404: ("no_such_route", "没有这个接口", "There is no such route"),
    405: (
        "method_not_allowed",
        "此接口不支持该方法，允许的方法见响应头 Allow",
        "Method not allowed; see the Allow header",
    ),
    413: ("body_too_large", "请求正文过大", "The request body is too large"),
    415: (
        "unsupported_media_type",
        "请求正文必须是 application/json，且不经压缩",
        "The request body must be application/json, not compressed",
    ),
}

_log = get_logger("http")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A finished answer: what is sent, what an idempotency key replays unless it is not `kept`, since it holds people's data."""

    status: int
    headers: dict[str, str]
    body: bytes
    kept: bool = True


def language_of(accept_language: str) -> str:
    """ "zh" or "en" by Accept-Language (RFC 9110, 12.5.4); "en" when neither is asked for."""
    best, best_weight = "en", 0.0
    for part in accept_language[:HEADER_VALUE_LENGTH_MAX].split(","):
        name, _, parameter = part.strip().partition(";")
        language = name.strip().lower().partition("-")[0]
        weight = 1.0
        parameter = parameter.strip().lower()
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                continue
        if language in {"zh", "en"} and best_weight < weight <= 1.0:
            best, best_weight = language, weight
    return best


def describe(error: LedgerError) -> tuple[str, str, str]:
    """Code, zh text and en text of a fault; a denial speaks with the contract's words."""
    if isinstance(error, Denied):
        zh, en = describe_result(error.result)
        return error.result.code, zh, en
    return error.code, error.message("zh"), error.message("en")


def describe_result(result: Result) -> tuple[str, str]:
    """A result in zh and en."""
    fields = dict(result.fields)
    return denial_message(result.code, fields, "zh"), denial_message(result.code, fields, "en")


def from_error(error: LedgerError, language: str, instance: str = "") -> Answer:
    """The answer to a foreseen fault."""
    status = STATUS[error.category]
    code, zh, en = describe(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="zhenglian"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(error.fields.get("retry_after_s", RETRY_AFTER_S))
    return _answer(status, code, zh, en, language, instance, headers=headers, fields=error.fields)


def from_protocol(status: int, language: str, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to what the HTTP machinery refused: unknown path, wrong method, wrong media type."""
    code, zh, en = _PROTOCOL.get(status, _PROTOCOL[400])
    return _answer(status, code, zh, en, language, "", headers=dict(headers or {}), fields={})


def from_unexpected(error: Exception, language: str, route: str) -> Answer:
    """The answer to a fault of our own; the log has it under the reference that the answer names."""
    reference = secrets.token_hex(8)
    _log.error("unexpected_error", reference=reference, route=route, exc_info=error)
    return _answer(
        500,
        "internal_error",
        f"服务器内部错误，编号 {reference}；请把编号告知运营方",
        f"Internal error, reference {reference}; please tell the operator",
        language,
        f"urn:zhenglian:error:{reference}",
        headers={},
        fields={"reference": reference},
    )


def _answer(
    status: int,
    code: str,
    zh: str,
    en: str,
    language: str,
    instance: str,
    *,
    headers: dict[str, str],
    fields: Mapping[str, str | int],
) -> Answer:
    title = _TITLES_ZH.get(status, "错误") if language == "zh" else HTTPStatus(status).phrase
    problem = Problem(
        type=TYPE_PREFIX + code,
        title=title,
        status=status,
        code=code,
        detail=zh if language == "zh" else en,
        detail_zh=zh,
        detail_en=en,
        instance=instance,
        fields=dict(fields),
    )
    return Answer(
        status=status,
        headers={
            "Content-Type": MEDIA_TYPE,
            "Content-Language": language,
            "Cache-Control": "no-store",
            **headers,
        },
        body=msgspec.json.encode(problem),
    )
