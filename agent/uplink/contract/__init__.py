"""The published platform contract: ``openapi.json`` and the JSON Schema of the digest beside it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

OPENAPI = "openapi.json"
DIGEST_SCHEMA = "digest.schema.json"


def contract_file(name: str) -> bytes:
    """The exact bytes of a file of the contract (:data:`OPENAPI`, :data:`DIGEST_SCHEMA` or one of :func:`examples`)."""
    return resources.files(__name__).joinpath(name).read_bytes()


def examples() -> list[str]:
    """The digests that the contract shows, as paths beside it."""
    document = load_openapi()
    shown = document["components"]["requestBodies"]["Digest"]["content"]["application/json"]["examples"]
    return [each["externalValue"] for each in shown.values()]


def load_openapi() -> dict[str, Any]:
    """The contract as an OpenAPI 3.1 document; its digest body refers to :data:`DIGEST_SCHEMA`."""
    document: dict[str, Any] = json.loads(contract_file(OPENAPI))
    return document


def load_digest_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a digest."""
    schema: dict[str, Any] = json.loads(contract_file(DIGEST_SCHEMA))
    return schema
