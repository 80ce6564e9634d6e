"""The digest's bytes and its schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

import agent.uplink
from agent.digest.build import build
from agent.digest.report import decode, encode, json_schema, number, schema_text
from tests.support.digest_plants import scenario

ROOT = Path(__file__).parents[3]
FOLDERS = sorted((ROOT / "tests" / "testcases").glob("digest-*"))

DIGEST_ALL = """
import hashlib, sys
from pathlib import Path
from agent.digest.build import build
from agent.digest.report import encode
from tests.support.contract_examples import COMMAND
from tests.support.digest_plants import scenario
for folder in sorted(Path(sys.argv[1]).glob("digest-*")):
    print(folder.name, hashlib.sha256(encode(build(scenario(folder)[0]))).hexdigest())
"""


def test_published_schema_is_that_of_the_types() -> None:
    published = Path(agent.uplink.__file__).parent / "contract" / "digest.schema.json"
    assert published.read_text(encoding="utf-8") == schema_text(), (
        "PYTHONPATH=. python -m tests.support.contract_examples"
    )


def test_schema_is_valid_and_closed_enough_to_catch_a_broken_digest() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    digest = json.loads(encode(build(scenario(FOLDERS[0])[0])))
    assert validator.is_valid(digest)
    for broken in (
        digest | {"schema": "gongfu.digest/2"},
        digest | {"header": digest["header"] | {"previous": "0"}},
        digest | {"header": digest["header"] | {"seq": 0}},
        digest | {"header": digest["header"] | {"period": {"start": "2026-01-01T08:00:00+08:00", "end": "x"}}},
        {key: value for key, value in digest.items() if key != "coverage"},
    ):
        assert not validator.is_valid(broken)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_scenario_keeps_the_schema_and_reads_back(folder: Path) -> None:
    body = encode(build(scenario(folder)[0]))
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(body))
    assert encode(decode(body)) == body


def test_a_reader_ignores_sections_of_a_later_version() -> None:
    digest = json.loads(encode(build(scenario(FOLDERS[0])[0])))
    later = msgspec.json.encode(digest | {"of_later": [{"name": "press-1"}]})
    assert decode(later).header.seq == 1


def test_same_input_same_bytes_in_another_process_and_hash_seed() -> None:
    def run(seed: str) -> str:
        # The same import path as here, so that the installed package is tested; the root only for ``tests``.
        path = os.pathsep.join([*filter(None, sys.path), str(ROOT)])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        command = [sys.executable, "-P", "-c", DIGEST_ALL, str(ROOT / "tests" / "testcases")]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    first = run("1")
    assert first == run("2")
    assert len(first.splitlines()) == len(FOLDERS)


def test_bytes_are_sorted_compact_and_free_of_nan() -> None:
    body = encode(build(scenario(FOLDERS[0])[0]))
    again = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert list(json.loads(body)) == sorted(json.loads(body))
    assert len(again.encode()) == len(body)
    assert b"NaN" not in body and b"Infinity" not in body


def test_numbers_have_twelve_digits_and_never_a_negative_zero() -> None:
    assert number(0.1 + 0.2) == 0.3
    assert number(4294967295.0) == 4294967295.0
    assert number(1 / 3) == 0.333333333333
    assert str(number(-0.0)) == "0.0"
    assert number(float("nan")) is None and number(float("inf")) is None
