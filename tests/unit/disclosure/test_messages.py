"""A6: what messages may say of failures: codes, names and causes."""

from __future__ import annotations

import pytest

from agent.control.reasons import Refusal
from agent.disclosure.messages import code_of, enrolment, headers, reason


def test_a6_a_reason_names_tags_to_whom_they_are_known_and_counts_them_for_others() -> None:
    bad = [("press-1.oil_temp", "timeout"), ("press-1.recipe", "address")]
    assert reason("dry_run_failed", tags=bad, with_tags=True) == (
        "dry_run_failed: press-1.oil_temp (timeout), press-1.recipe (address)"
    )
    assert reason("dry_run_failed", tags=bad, with_tags=False) == "dry_run_failed: 2 tags"
    assert reason("invalid", places=["device[2].tag[7].address"], with_tags=False) == (
        "invalid: device[2].tag[7].address"
    )
    many = [(f"d.t{number}", "bad") for number in range(10_000)]
    assert len(reason("dry_run_failed", tags=many, with_tags=True)) < 2_000


def test_a6_no_text_gets_in_as_a_cause_or_a_place() -> None:
    assert reason("probation_failed", devices=[("press-1", "10.0.0.5:502 refused")], with_tags=True) == (
        "probation_failed: press-1"
    )
    assert reason("invalid", places=["device[0].connection.host = 10.0.0.5"], with_tags=True) == "invalid"


@pytest.mark.parametrize(
    ("line", "code"),
    [("malformed: at 10.0.0.5", "malformed"), ("/var/lib: no space", "other"), ("10.0.0.5 refused", "other"), ("", "")],
)
def test_a6_of_a_line_the_code_alone_leaves(line: str, code: str) -> None:
    assert code_of(line) == code


def test_a6_a_refusal_keeps_its_text_at_home() -> None:
    refusal = Refusal("platform_unreachable", "no connection to 10.9.9.9:3128", "check the proxy")
    assert refusal.told(with_tags=True) == "platform_unreachable" and "10.9.9.9" in refusal.line()


def test_a6_headers_and_members_that_nobody_decided_on_do_not_leave() -> None:
    assert headers({"Authorization": "Bearer x", "Digest-Signature": "y"})
    with pytest.raises(ValueError, match="may not leave"):
        headers({"X-Path": "/var/lib"})
    with pytest.raises(ValueError, match="may not leave"):
        enrolment({"token": "t", "interfaces": ["10.0.0.5"]})
