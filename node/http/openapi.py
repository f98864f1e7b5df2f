"""OpenAPI 3.1, made from the route table and the structs that validate requests.

Rule: nothing is written by hand that the table or a struct already says.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from node.http.config import IDEMPOTENCY_KEY_LENGTH_MAX
from node.http.problems import MEDIA_TYPE as PROBLEM
from node.http.routing import EVENT_STREAM, JSON, OCTETS, PATH_PARAMETERS, Idempotency, Query, Route
from zhenglian.api import WAIT_S_MAX, Problem

TITLE: Final = "证链 Zhenglian"
API_VERSION: Final = "1"
REF: Final = "#/components/schemas/{name}"
BEARER: Final = "session"

_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "required": False,
        "description": "zh or en, for the text of problems; 错误说明所用的语言",
        "schema": {"type": "string"},
    },
    "PreferWait": {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": f"wait=N: wait up to N ≤ {WAIT_S_MAX} s; 最多等待 N 秒",
        "schema": {"type": "string"},
        "example": "wait=20",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "the same key and request again gets the same answer; 相同的键与请求得到相同的答复",
        "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_LENGTH_MAX},
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "id of the last event received; 最后收到的事件编号",
        "schema": {"type": "string"},
    },
    "Range": {
        "name": "Range",
        "in": "header",
        "required": False,
        "description": "one range of bytes: bytes=N- or bytes=N-M; 断点续传",
        "schema": {"type": "string"},
        "example": "bytes=1024-",
    },
    "UploadOffset": {
        "name": "Upload-Offset",
        "in": "header",
        "required": True,
        "description": "where the bytes of this request begin; 本次上传的起始位置",
        "schema": {"type": "integer", "minimum": 0},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "ETag already held: answered with 304 when unchanged; 已持有的 ETag，未变时返回 304",
        "schema": {"type": "string"},
    },
}


def document(routes: Sequence[Route]) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(build(routes))


def build(routes: Sequence[Route]) -> dict[str, Any]:
    """The document for a route table."""
    types = [Problem, *_types(routes)]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": API_VERSION,
            "description": (
                "Every error is a problem document (RFC 9457) with a stable `code` and its text "
                "in Chinese and English.\n\n"
                "所有错误均以问题文档（RFC 9457）返回，带有稳定的 `code` 以及中英文说明。"
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": _HEADERS,
            "responses": {
                "Problem": {
                    "description": "What was wrong; 出错说明",
                    "content": {PROBLEM: {"schema": schema_of[repr(Problem)]}},
                }
            },
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Token of POST /v1/sessions; 登录所得的令牌",
                }
            },
        },
    }


def _types(routes: Sequence[Route]) -> list[Any]:
    """Every request, response and query type once."""
    found: dict[str, Any] = {}
    for route in routes:
        for kind in (route.request, route.response):
            if kind is not None:
                found[repr(kind)] = kind
    found.pop(repr(Problem), None)
    return list(found.values())


def _operation(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary_en,
        "description": f"{route.summary_zh}\n\n{route.summary_en}",
        "x-summary-zh": route.summary_zh,
        "tags": [_tag(route.path)],
        "x-access": _access(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_header_parameters(route)],
        "responses": _responses(route, schema_of),
    }
    if not route.access.public:
        operation["security"] = [{BEARER: []}]
    if route.accepts:
        operation["requestBody"] = {
            "required": True,
            "description": f"at most {route.body_bytes_max} bytes; 最多 {route.body_bytes_max} 字节",
            "content": {kind: {"schema": _raw_schema(kind)} for kind in route.accepts},
        }
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "description": f"at most {route.body_bytes_max} bytes; 最多 {route.body_bytes_max} 字节",
            "content": {JSON: {"schema": schema_of[repr(route.request)]}},
        }
    return operation


def _raw_schema(media_type: str) -> dict[str, Any]:
    """What OpenAPI says of a body that is a file."""
    if media_type == "multipart/form-data":
        return {
            "type": "object",
            "properties": {
                "deposit": {"type": "string", "contentMediaType": JSON},
                "file": {"type": "string"},
            },
            "additionalProperties": {"type": "string"},
        }
    return {} if media_type == JSON else {"type": "string"}


def _responses(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in route.statuses:
        described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if route.response is not None:
            schema = schema_of[repr(route.response)]
            if route.media_type == EVENT_STREAM:
                described["content"] = {EVENT_STREAM: {"schema": {"type": "string"}, "x-event-data": schema}}
            else:
                described["content"] = {route.media_type: {"schema": schema}}
        elif status != HTTPStatus.NO_CONTENT:
            described["content"] = {route.media_type: {"schema": {"type": "string"}}}
        responses[str(status)] = described
    if route.ranges:
        responses["206"] = {"description": HTTPStatus.PARTIAL_CONTENT.phrase}
        responses["416"] = {"description": HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE.phrase}
    if route.etag:
        responses["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    for status in _problem_statuses(route):
        responses[str(status)] = {"$ref": "#/components/responses/Problem"}
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    return responses


def _problem_statuses(route: Route) -> list[int]:
    statuses = [400, 429]
    if not route.access.public:
        statuses += [401, 403]
    if route.parameters:
        statuses.append(404)
    if route.request is not None or route.accepts:
        statuses += [413, 415]
    if route.idempotency is not Idempotency.IGNORED:
        statuses.append(409)
    return sorted(statuses)


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"{PATH_PARAMETERS[name].en}; {PATH_PARAMETERS[name].zh}",
            "schema": {"type": "string", "pattern": f"^({PATH_PARAMETERS[name].pattern})$"},
        }
        for name in route.parameters
    ]


def _query_parameters(kind: type[Query]) -> list[dict[str, Any]]:
    (_,), components = msgspec.json.schema_components([kind], ref_template=REF)
    own = components[kind.__name__]
    parameters = []
    for name, schema in own.get("properties", {}).items():
        inline = _inlined(schema, components)
        description = inline.pop("description", "") or next(
            (part["description"] for part in inline.get("anyOf", ()) if "description" in part), ""
        )
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in own.get("required", ()),
                "description": description,
                "schema": inline,
            }
        )
    return parameters


def _inlined(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A query parameter's schema without references, which the shared components do not have."""
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {**_inlined(components[schema["$ref"].rpartition("/")[2]], components), **rest}
    if "anyOf" in schema:
        # A parameter that may be left out is not thereby null.
        parts = [_inlined(part, components) for part in schema["anyOf"] if part.get("type") != "null"]
        rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
        return {**parts[0], **rest} if len(parts) == 1 else {"anyOf": parts, **rest}
    return dict(schema)


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    names = ["AcceptLanguage"]
    if route.waits:
        names.append("PreferWait")
    if route.idempotency is not Idempotency.IGNORED:
        names.append("IdempotencyKey")
    if route.media_type == EVENT_STREAM:
        names.append("LastEventId")
    if route.etag:
        names.append("IfNoneMatch")
    if route.ranges:
        names.append("Range")
    if OCTETS in route.accepts:
        names.append("UploadOffset")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _access(route: Route) -> dict[str, Any]:
    if route.access.public:
        return {"public": True}
    return {
        "public": False,
        "kinds": sorted(kind.value for kind in route.access.kinds),
        "roles": sorted(role.value for role in route.access.roles),
    }


def _operation_id(route: Route) -> str:
    words = [part.strip("{}").replace("-", "_").replace(".", "_") for part in route.path.split("/") if part]
    return "_".join([route.method.lower(), *(word for word in words if word != "v1")]) or route.method.lower()


def _tag(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return parts[1] if parts[:1] == ["v1"] else "system"
