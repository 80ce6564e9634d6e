"""The published contract is sound in itself and says the same as the code on both sides."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.digest import report
from agent.uplink.contract import DIGEST_SCHEMA, OPENAPI, load_digest_schema, load_openapi
from scripts.sandbox.platform import create_app
from scripts.sandbox.platform.api import SANDBOX_ONLY
from scripts.sandbox.platform.contract import digest, problems, registry
from scripts.sandbox.platform.problems import TITLES, Problem
from tests.support.platform_contract import CONTRACT, operations, resolve
from tests.support.platform_gateway import GENESIS, encode, make_digest

SIGNED = ("ConfigurationBundle", "Prescription")
"""What is within a signature; the schemas around it only say so."""


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)


def test_every_reference_resolves_within_the_two_files() -> None:
    resolver = registry().resolver(OPENAPI)
    references = {node["$ref"] for node in _nodes(CONTRACT) if isinstance(node.get("$ref"), str)}
    assert DIGEST_SCHEMA in references
    for reference in references:
        resolver.lookup(reference)


def test_every_component_is_used() -> None:
    text = str(load_openapi())
    for kind, components in CONTRACT["components"].items():
        for name in components:
            used = f"#/components/{kind}/{name}" in text or kind == "securitySchemes" or name in SIGNED
            assert used, f"{kind}/{name}"


def test_every_schema_is_valid_json_schema() -> None:
    for schema in CONTRACT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    Draft202012Validator.check_schema(load_digest_schema())


def test_every_operation_parameter_and_response_is_described() -> None:
    for method, path, operation in operations():
        assert operation["summary"] and operation["operationId"], (method, path)
        for response in operation["responses"].values():
            assert resolve(response)["description"]
        item = CONTRACT["paths"][path]
        for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]:
            assert resolve(parameter)["description"]
        declared = {resolve(each)["name"] for each in item.get("parameters", []) if resolve(each)["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))


async def test_the_platform_serves_every_request_of_the_contract_and_no_other(tmp_path: Any) -> None:
    app = create_app(tmp_path, "http://127.0.0.1:1/api/v1")
    served = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if path.startswith("/api/v1"):
            served.add((route.method.lower(), path.removeprefix("/api/v1")))
    await app.cleanup()
    assert served - {("get", path) for path in SANDBOX_ONLY} == {(method, path) for method, path, _ in operations()}


def test_every_kind_of_problem_is_in_the_contract_and_the_reverse() -> None:
    published = CONTRACT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert {Problem(kind, "").body()["type"] for kind in TITLES} == set(published)


def test_the_digest_schema_takes_what_the_agent_encodes() -> None:
    body = encode(make_digest(1, GENESIS, "gw-1"))
    decoded = report.decode(body)
    assert not problems(digest(), make_digest(1, GENESIS, "gw-1"))
    assert report.decode(report.encode(decoded)) == decoded


@pytest.mark.parametrize("member", ["schema", "kind", "header", "affiliation", "coverage", "tags", "ledger"])
def test_a_digest_without_one_of_its_members_breaks_the_schema(member: str) -> None:
    value = make_digest(1, GENESIS, "gw-1")
    del value[member]
    assert problems(digest(), value)
