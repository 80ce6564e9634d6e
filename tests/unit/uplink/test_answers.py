"""What each answer means for a digest: settled by the platform's own word about these bytes, or kept."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.bounds import MAX_SEQ
from agent.evidence.chain import GENESIS
from agent.uplink.answers import (
    LONGEST_RETRY_AFTER_S,
    Accepted,
    Answer,
    Conflict,
    Head,
    Later,
    Rejected,
    Unauthorized,
    judge_digest,
    judge_failure,
    read_head,
)
from agent.uplink.held import held_by
from tests.support.platform_contract import CONTRACT

HASH = "ab" * 32


def answer(status: int, body: Any = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, 0)


@pytest.mark.parametrize(
    ("given_answer", "expected"),
    [
        (answer(201, {"seq": 7, "hash": HASH}), Accepted(proven=True)),
        (answer(200, {"seq": 7, "hash": HASH}), Accepted(proven=True)),
        (answer(201), Accepted(proven=False)),
        (answer(200, {"seq": 7}), Accepted(proven=False)),
        (answer(409, {"title": "other", "detail": "bytes"}), Conflict("409 other: bytes")),
        (answer(422, {"title": "schema"}), Rejected("422 schema", final=True)),
        (answer(400), Rejected("400", final=False)),
        (answer(413), Rejected("413", final=False)),
        (answer(415), Rejected("415", final=False)),
        (answer(401, {"detail": "expired"}), Unauthorized("401 expired")),
        (answer(403), Unauthorized("403")),
        (answer(429, retry_after="7"), Later("429", 7.0)),
        (answer(503, retry_after="7"), Later("503", 7.0)),
        (answer(503), Later("503", None)),
        (answer(500), Later("500", None)),
    ],
)
def test_every_answer_has_one_meaning(given_answer: Answer, expected: object) -> None:
    assert judge_digest(given_answer, 7, HASH) == expected


def test_every_answer_of_the_contract_is_foreseen() -> None:
    responses = CONTRACT["paths"]["/gateways/{id}/digests/{seq}"]["put"]["responses"]
    for status in map(int, responses):
        verdict = judge_digest(answer(status), 7, HASH)
        assert "makes no sense" not in getattr(verdict, "reason", "")


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to the Wi-Fi</html>", b"null", b"[]", b"\xff\xfe", b'{"seq": 7',
        {"seq": 8, "hash": HASH}, {"seq": 7, "hash": "cd" * 32}, {"seq": "7", "hash": HASH}, {"seq": 7, "hash": None},
    ],
)  # fmt: skip
def test_L24_a_success_that_is_not_about_these_bytes_settles_nothing(status: int, body: Any) -> None:
    assert isinstance(judge_digest(answer(status, body), 7, HASH), Later)


@given(st.integers(100, 599), st.binary(max_size=200))
def test_L24_no_noise_settles_a_digest(status: int, body: bytes) -> None:
    verdict = judge_digest(answer(status, body), 7, HASH)
    if isinstance(verdict, Accepted):
        assert status in (200, 201) and not verdict.proven  # the head has to show it
    if isinstance(verdict, Rejected) and verdict.final:
        assert status == 422


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404])
def test_a_wrong_address_is_named(status: int) -> None:
    verdict = judge_failure(answer(status))
    assert isinstance(verdict, Later) and "[platform] url" in verdict.reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"seq": 0, "hash": None}, Head(0, GENESIS)),
        ({"seq": 12, "hash": HASH}, Head(12, HASH)),
        ({"seq": 12, "hash": HASH.upper()}, None),
        ({"seq": 12, "hash": None}, None),
        ({"seq": 12}, None),
        ({"seq": -1, "hash": HASH}, None),
        ({"seq": True, "hash": HASH}, None),
        ({"seq": 1.0, "hash": HASH}, None),
        ({"seq": 1, "hash": "../../etc/passwd"}, None),
        ({"seq": MAX_SEQ, "hash": HASH}, Head(MAX_SEQ, HASH)),
        ({"seq": MAX_SEQ + 1, "hash": HASH}, None),
        ({"seq": 2**63 - 1, "hash": HASH}, None),
        ({"seq": 2**63 - 2, "hash": HASH}, None),
        ({"seq": 10**400, "hash": HASH}, None),
        ({"seq": 1e300, "hash": HASH}, None),
        ({"seq": 1, "hash": HASH + "\n"}, None),
        ({"seq": 1, "hash": HASH, "signature": "x" * 2049}, None),
        ({"seq": 1, "hash": HASH, "contract": "1" * 17}, None),
        ({"seq": 1, "hash": HASH, "more": "x" * 70_000}, None),
        ([], None),
        (b"<html>", None),
    ],
)
def test_a1_a_head_is_one_or_it_is_none(body: Any, expected: Head | None) -> None:
    assert read_head(answer(200, body)) == expected


def test_b8_what_a_platform_says_of_kind_and_time_without_a_signature_is_not_read() -> None:
    head = read_head(answer(200, {"seq": 3, "hash": HASH, "kind": 7, "period_end": "9999-12-31T23:59:59Z"}))
    assert head is not None and (head.kind, head.period_end, head.vouched_by) == ("", 0, "")


def test_an_answer_that_is_nested_without_end_is_no_answer() -> None:
    deep = answer(200, b'{"seq":' * 200_000)
    assert deep.json() is None and read_head(deep) is None
    assert isinstance(judge_digest(deep, 7, HASH), Later)


def test_retry_after_is_seconds_or_a_date_and_at_most_a_day() -> None:
    assert answer(503, retry_after="17").retry_after_s == 17.0
    assert answer(503, retry_after="9" * 40).retry_after_s == LONGEST_RETRY_AFTER_S
    assert answer(503, retry_after="soon").retry_after_s is None and answer(503).retry_after_s is None
    assert answer(503, retry_after="٣").retry_after_s is None  # digits, but not HTTP's
    now = time.time()
    dated = answer(503, date=formatdate(0, usegmt=True), retry_after=formatdate(40, usegmt=True))
    assert dated.retry_after_s == 40.0  # by the platform's own clock: ours may be decades off
    assert answer(503, retry_after=formatdate(now - 100, usegmt=True)).retry_after_s == 0.0
    assert answer(503, retry_after=formatdate(now + 10**7, usegmt=True)).retry_after_s == LONGEST_RETRY_AFTER_S


@given(st.text(max_size=60))
def test_no_header_breaks_it(text: str) -> None:
    odd = answer(503, date=text, retry_after=text)
    assert odd.date_us is None or odd.date_us > -(10**18)
    assert odd.retry_after_s is None or 0 <= odd.retry_after_s <= LONGEST_RETRY_AFTER_S


def test_a_reason_is_one_bounded_line() -> None:
    long = answer(500, {"title": "a\nb", "detail": "x" * 5000})
    assert "\n" not in long.reason() and len(long.reason()) <= 300 and long.reason().startswith("500 a b: x")
    assert answer(500, {"title": 7, "detail": None}).reason() == "500"


def test_what_an_operator_is_told() -> None:
    refused = held_by(Unauthorized("401 no"))
    assert refused.kind == "refused" and "enroll" in refused.remedy
    later = held_by(Later("503 busy", 7.0))
    assert (later.kind, later.after_s, str(later)) == ("failing", 7.0, "the platform answers 503 busy")
