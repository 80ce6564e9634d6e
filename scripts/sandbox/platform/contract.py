"""Validators made of the published contract, so that the platform obeys the very file that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from agent.uplink.contract import DIGEST_SCHEMA, OPENAPI, load_digest_schema, load_openapi

MAX_PROBLEMS = 20
MAX_MESSAGE = 300


@cache
def registry() -> Registry[Any]:
    """Both files of the contract under the names by which they refer to each other."""
    openapi = DRAFT202012.create_resource(load_openapi())
    digest = DRAFT202012.create_resource(load_digest_schema())
    return Registry().with_resources([(OPENAPI, openapi), (DIGEST_SCHEMA, digest)])


@cache
def component(name: str) -> Draft202012Validator:
    """The validator of ``#/components/schemas/{name}``."""
    return _validator(f"{OPENAPI}#/components/schemas/{name}")


@cache
def digest() -> Draft202012Validator:
    """The validator of a digest."""
    return _validator(DIGEST_SCHEMA)


def _validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": reference}, registry=registry())


def problems(validator: Draft202012Validator, value: Any) -> list[dict[str, str]]:
    """What is wrong with ``value``, as ``problems`` of a problem's body; empty: nothing."""
    found: list[dict[str, str]] = []
    for error in _innermost(validator.iter_errors(value)):
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.absolute_path)
        # A forbidden member is a secret (a private key): its value must not be repeated.
        message = "holds a member that must not be sent" if error.validator is None else _short(error.message)
        found.append({"path": pointer[:MAX_MESSAGE], "message": message})
        if len(found) == MAX_PROBLEMS:
            break
    return found


def _innermost(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    # "is not valid under any of the given schemas" tells nobody anything; what lies below it does.
    for error in errors:
        if error.context:
            yield max(error.context, key=lambda each: len(each.absolute_path))
        else:
            yield error


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " …"
