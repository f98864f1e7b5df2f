"""The description is complete, closed under its references, and agrees with the table and the structs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.http import docs_page, openapi
from node.http.routes import ROUTES
from node.http.routing import JSON, PATH_PARAMETERS
from tests.unit import http_world as w

DOCUMENT = openapi.build(ROUTES)


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)


def resolve(reference: str) -> Any:
    tree: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        tree = tree[name]
    return tree


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_described_and_nothing_else() -> None:
    assert {(method, path) for method, path, _ in operations()} == {
        (route.method, route.path) for route in ROUTES
    }


def test_every_reference_leads_somewhere_inside() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert reference.startswith("#/")
        assert isinstance(resolve(reference), dict), reference


def test_every_schema_is_used() -> None:
    used = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert set(DOCUMENT["components"]["schemas"]) <= used


def test_operation_ids_are_unique_and_parameters_match_the_path() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for _, path, operation in operations():
        parameters = [resolve(p["$ref"]) if "$ref" in p else p for p in operation["parameters"]]
        keys = [(parameter["in"], parameter["name"]) for parameter in parameters]
        assert len(set(keys)) == len(keys), path
        in_path = {name for place, name in keys if place == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for parameter in parameters:
            assert parameter["schema"], (path, parameter["name"])
            assert parameter["description"], (path, parameter["name"])
            assert "$ref" not in str(parameter["schema"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_operation_says_what_the_table_says(route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert ("security" in operation) is (not route.access.public)
    assert {str(status) for status in route.statuses} <= set(operation["responses"])
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert operation["summary"] == route.summary_en
    assert operation["x-summary-zh"] == route.summary_zh
    assert ("requestBody" in operation) is (route.request is not None or bool(route.accepts))
    if route.request is not None:
        schema = operation["requestBody"]["content"][JSON]["schema"]
        assert resolve(schema["$ref"])["additionalProperties"] is False
    assert re.search("[\u4e00-\u9fff]", route.summary_zh)
    assert all(name in PATH_PARAMETERS for name in route.parameters)


def test_problems_have_a_schema_of_their_own_media_type() -> None:
    content = DOCUMENT["components"]["responses"]["Problem"]["content"]
    assert set(content) == {"application/problem+json"}
    problem = resolve(content["application/problem+json"]["schema"]["$ref"])
    assert {"code", "detail_zh", "detail_en"} <= set(problem["properties"])


async def test_the_document_and_its_page_are_served(tmp_path: Path) -> None:
    async with w.served(tmp_path) as world:
        served = await world.request("GET", "/openapi.json")
        assert await served.json() == json.loads(json.dumps(DOCUMENT))
        again = await world.request("GET", "/openapi.json", headers={"If-None-Match": served.headers["ETag"]})
        assert again.status == 304
        for path in ("/", "/docs"):
            page = await world.request("GET", path)
            assert page.content_type == "text/html"
            assert page.headers["Content-Security-Policy"] == docs_page.CONTENT_SECURITY_POLICY


def test_the_page_fetches_nothing_from_outside_and_runs_only_its_own_script() -> None:
    page = docs_page.PAGE.decode()
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert "innerHTML" not in page
    assert not re.findall(r"\son\w+\s*=", page)
    assert page.count("<script") == page.count("<style") == 1
    policy = docs_page.CONTENT_SECURITY_POLICY
    assert "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2
