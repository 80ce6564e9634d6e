"""Holds answers against the published contract: path, status, headers, media type and body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from agent.uplink.contract import OPENAPI, load_openapi
from scripts.sandbox.platform.contract import registry

CONTRACT = load_openapi()
METHODS = ("get", "put", "post", "delete", "patch", "head")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path template, operation) of everything in the contract."""
    for path, item in CONTRACT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """``node``, or what its ``$ref`` names."""
    if "$ref" not in node:
        return node
    found: dict[str, Any] = registry().resolver(OPENAPI).lookup(node["$ref"]).contents
    return found


def check_answer(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail unless the contract foresees exactly such an answer. ``path`` starts behind the base path."""
    template, operation = _operation(method, path)
    where = f"{method} {template} → {status}"
    assert str(status) in operation["responses"], f"{where} is not in the contract: {body[:300]!r}"
    assert "Date" in headers, f"{where} has no Date"
    response = resolve(operation["responses"][str(status)])
    for name, header in response.get("headers", {}).items():
        assert not header["required"] or name in headers, f"{where} lacks {name}"
    if "content" not in response:
        assert body == b"", f"{where} has a body"
        return
    media = headers.get("Content-Type", "").split(";")[0]
    assert media in response["content"], f"{where} is {media}"
    problems = errors(response["content"][media]["schema"], json.loads(body))
    assert not problems, f"{where}: {problems}"
    if media == "application/problem+json":
        assert json.loads(body)["status"] == status


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    """What the schema, as it stands in the contract, has against ``value``."""
    if "$ref" in schema and schema["$ref"].startswith("#"):
        schema = {"$ref": OPENAPI + schema["$ref"]}
    return [error.message for error in Draft202012Validator(schema, registry=registry()).iter_errors(value)]


def _operation(method: str, path: str) -> tuple[str, dict[str, Any]]:
    # A fixed path wins over one with a parameter, as OpenAPI has it.
    for template in sorted(CONTRACT["paths"], key=lambda each: each.count("{")):
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path.split("?")[0]) and method.lower() in CONTRACT["paths"][template]:
            return template, CONTRACT["paths"][template][method.lower()]
    raise AssertionError(f"{method} {path} is not in the contract")
