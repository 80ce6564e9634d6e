"""What the platform checks of bytes, link and content."""

import gzip
import hashlib
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.sandbox.platform.intake import Link, decompress, examine, parse_json
from scripts.sandbox.platform.problems import Problem
from tests.support.platform_gateway import GENESIS, START, encode, make_digest

NOW = START.timestamp() + 86_400
IDS = {"gw-1", "gw-own"}


def _kind(function: Any, *arguments: Any) -> str:
    with pytest.raises(Problem) as caught:
        function(*arguments)
    return caught.value.kind


def test_gzip_and_plain_bytes_come_out_exactly() -> None:
    body = b"{}" * 100
    assert decompress(gzip.compress(body), "gzip", 200) == body
    assert decompress(body, "", 200) == decompress(body, "identity", 200) == body


def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert _kind(decompress, bomb, "gzip", 1_000_000) == "too-large"
    assert _kind(decompress, b"x" * 11, "", 10) == "too-large"


@pytest.mark.parametrize("cut", [1, 5, 12, -1])
def test_a_cut_gzip_is_malformed(cut: int) -> None:
    assert _kind(decompress, gzip.compress(b"some body")[:cut], "gzip", 100) == "malformed"


def test_what_follows_a_gzip_is_malformed() -> None:
    assert _kind(decompress, gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 100) == "malformed"


def test_other_encodings_are_refused() -> None:
    assert _kind(decompress, b"", "br", 100) == "encoding"


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"{", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"1" * 5000]
)
def test_what_is_no_strict_json_is_malformed(body: bytes) -> None:
    assert _kind(parse_json, body) == "malformed"


def test_a_digest_that_continues_the_chain_is_accepted() -> None:
    first = encode(make_digest(1, GENESIS, "gw-1"))
    verdict = examine(first, 1, Link(), IDS, NOW)
    assert (verdict.hash, verdict.previous, verdict.problems) == (hashlib.sha256(first).hexdigest(), GENESIS, [])
    second = encode(make_digest(2, verdict.hash, "gw-1"))
    assert examine(second, 2, Link(1, verdict.hash), IDS, NOW).problems == []


def test_a_digest_under_the_keys_own_id_is_accepted() -> None:
    assert examine(encode(make_digest(1, GENESIS, "gw-own")), 1, Link(), IDS, NOW).problems == []


@pytest.mark.parametrize(
    ("sent_as", "seq", "previous", "head"),
    [
        (2, 2, GENESIS, Link()),  # a gap
        (1, 2, GENESIS, Link()),  # not the number of the address
        (1, 1, "1" * 64, Link()),  # not the genesis
        (2, 2, GENESIS, Link(1, "a" * 64)),  # another history
        (2, 2, "A" * 64, Link(1, "a" * 64)),  # hashes are lower case
        (1, True, GENESIS, Link()),  # true is no number
        (1, 1.0, GENESIS, Link()),
    ],
)
def test_a_digest_that_does_not_continue_the_chain_breaks_it(sent_as: int, seq: Any, previous: str, head: Link) -> None:
    digest = make_digest(1, previous, "gw-1")
    digest["header"]["seq"] = seq
    with pytest.raises(Problem) as caught:
        examine(encode(digest), sent_as, head, IDS, NOW)
    assert caught.value.kind == "chain"
    assert caught.value.members == {"head": head.body(), "stored": False}


@pytest.mark.parametrize("body", [b"no json", b"[]", b"null", b'{"header": 3}', b'{"header": {}}', b"[" * 50_000])
def test_bytes_without_a_place_in_the_chain_break_it(body: bytes) -> None:
    assert _kind(examine, body, 1, Link(), IDS, NOW) == "chain"


def test_a_linked_digest_that_breaks_the_schema_gets_a_tombstone() -> None:
    verdict = examine(encode(make_digest(1, GENESIS, "gw-1", kind="decade")), 1, Link(), IDS, NOW)
    assert verdict.problems[0]["path"] == "/kind"
    assert "/kind" in verdict.reason


def test_a_digest_about_another_gateway_is_rejected() -> None:
    verdict = examine(encode(make_digest(1, GENESIS, "gw-2")), 1, Link(), IDS, NOW)
    assert verdict.problems[0]["path"] == "/header/gateway"


@pytest.mark.parametrize(
    ("stream", "audience"), [("", "park"), ("park", ""), ("park", "chain-owner"), ("park", "park")]
)
def test_a_chain_takes_what_is_meant_for_its_audience_alone(stream: str, audience: str) -> None:
    digest = make_digest(1, GENESIS, "gw-1")
    if audience:
        digest["header"]["audience"] = audience
        digest["granted"] = {"sections": ["coverage"], "equipment": [], "tags": []}
    problems = examine(encode(digest), 1, Link(), IDS, NOW, stream).problems
    assert [each["path"] for each in problems] == ([] if audience in ("", stream) else ["/header/audience"])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-02T06:00:00Z", "2026-03-02T06:00:00Z"),
        ("2026-03-02T06:15:00Z", "2026-03-02T06:00:00Z"),
        ("2026-03-02T06:00:00Z", "2027-04-02T06:00:00Z"),
        ("2026-03-03T06:00:00Z", "2026-03-03T06:15:00Z"),
        ("2026-03-02T06:00:00", "2026-03-02T06:15:00"),
        ("2026-03-02T06:00:00+08:00", "2026-03-02T06:15:00+08:00"),
        ("yesterdayZ", "todayZ"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_period_that_cannot_be_is_rejected(start: str, end: str) -> None:
    digest = make_digest(1, GENESIS, "gw-1")
    digest["header"]["period"] = {"start": start, "end": end}
    verdict = examine(encode(digest), 1, Link(), IDS, NOW)
    assert verdict.problems
    assert all(each["path"].startswith("/header/period") for each in verdict.problems)


def test_a_period_may_end_now_and_carry_microseconds() -> None:
    digest = make_digest(1, GENESIS, "gw-1")
    digest["header"]["period"]["start"] = "2026-03-02T06:00:00.000001Z"
    end = datetime.fromisoformat(digest["header"]["period"]["end"])
    assert examine(encode(digest), 1, Link(), IDS, end.timestamp()).problems == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["header", "affiliation", "coverage", "tags", "ledger", "kind", "schema"]), JSON)
def test_any_content_is_either_refused_or_judged(member: str, value: Any) -> None:
    body = encode(make_digest(1, GENESIS, "gw-1", **{member: value}))
    try:
        examine(body, 1, Link(), IDS, NOW)
    except Problem as problem:
        assert problem.kind == "chain"
