"""Verification of prescriptions: every check with its code, and nothing passes for what it is not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.bundle import Bundle
from agent.control.prescription import LARGEST_PRESCRIPTION, LONGEST_TEXT, Verified
from tests.support import control_bundles
from tests.support.control_bundles import Signer, code, trusting
from tests.support.prescriptions import TARGET, claims, judged, signed

WANG, LI, STRANGER = Signer("Wang"), Signer("Li"), Signer("Mallory")
TRUST = trusting(WANG)


def test_a_sound_one_is_taken_with_what_was_signed_and_by_whom() -> None:
    found = judged(signed(WANG), TRUST)
    assert isinstance(found, Verified)
    content = found.prescription
    assert (content.id, content.revision, content.begin, content.until) == (
        "rx-1", 1, date(2026, 9, 21), date(2026, 12, 31),
    )  # fmt: skip
    assert (content.target.indicator, content.target.side, content.target.value) == ("ENPI.IDLE_SHARE", "at_most", 0.15)
    assert (content.findings[0].rule, content.findings[0].seq) == ("idle_energy", 12)
    assert content.measure.zh == "空载5分钟后停泵。" and [each.name for each in found.signers] == ["Wang"]


def test_one_language_is_enough_and_line_feeds_are_text() -> None:
    found = judged(signed(WANG, text={"zh": "第一行\n第二行"}), TRUST)
    assert isinstance(found, Verified) and found.prescription.text.en == ""


def test_the_largest_texts_fit() -> None:
    text = {"en": "x" * LONGEST_TEXT, "zh": "空" * LONGEST_TEXT}
    body = json.dumps(claims(text=text, measure=text), ensure_ascii=False).encode()
    data = signed(WANG, LI, payload=body)
    assert isinstance(judged(data, TRUST), Verified) and len(data) < LARGEST_PRESCRIPTION


@pytest.mark.parametrize(
    ("expected", "changes", "options"),
    [
        ("not_addressed", {"gateway_id": "gw-other"}, {}),
        ("clock_untrusted", {}, {"now_us": None}),
        ("expired", {"until": "2026-09-20", "begin": "2026-09-01"}, {}),
        ("not_newer", {}, {"newest": {"rx-1": 1}}),
        ("not_newer", {"revision": 3}, {"newest": {"rx-1": 4, "rx-2": 1}}),
        ("", {"until": "2026-09-21"}, {"newest": {"rx-2": 9}}),
        ("", {"revision": 2}, {"newest": {"rx-1": 1}}),
    ],
)
def test_each_check_has_its_code(expected: str, changes: dict[str, Any], options: dict[str, Any]) -> None:
    assert code(judged(signed(WANG, **changes), TRUST, **options)) == expected
    assert code(judged(signed(STRANGER, **changes), TRUST, **options)) == "not_trusted"


def test_as_many_must_sign_as_the_threshold_asks_for() -> None:
    both = trusting(WANG, LI, threshold=2)
    assert code(judged(signed(WANG), both)) == code(judged(signed(WANG, WANG), both)) == "not_trusted"
    assert isinstance(judged(signed(WANG, LI), both), Verified)
    assert code(judged(signed(WANG), trusting())) == "not_trusted"


@pytest.mark.parametrize("typ", [None, "JOSE", "JWT", "gongfu-configuration", "GONGFU-PRESCRIPTION"])
def test_a_signature_of_another_type_does_not_count(typ: str | None) -> None:
    assert code(judged(signed(WANG, typ=typ), TRUST)) == "not_trusted"


def test_neither_a_bundle_nor_a_prescription_passes_for_the_other() -> None:
    bundle, prescription = json.dumps(control_bundles.claims()).encode(), json.dumps(claims()).encode()
    assert code(judged(control_bundles.signed(WANG), TRUST)) == "malformed"
    assert code(judged(signed(WANG, payload=bundle), TRUST)) == "malformed"
    assert code(control_bundles.judged(signed(WANG), TRUST)) == "malformed"
    # Whatever the payload, the type of the signature alone keeps them apart.
    assert code(control_bundles.judged(signed(WANG, payload=bundle), TRUST)) == "not_trusted"
    assert code(judged(control_bundles.signed(WANG, payload=prescription), TRUST)) == "not_trusted"
    assert isinstance(control_bundles.judged(signed(WANG, payload=bundle, typ=None), TRUST), Bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": None},
        {"schema": "gongfu.prescription/2"},
        {"config": "[digest]"},
        {"gateway_id": "../x"},
        {"id": "../../etc/passwd"},
        {"id": ".."},
        {"id": "a/b"},
        {"id": ""},
        {"revision": 0},
        {"revision": True},
        {"revision": 1.0},
        {"issued_at": "yesterday"},
        {"begin": "2027-01-01"},
        {"until": "2028-01-01"},
        {"until": "20261231"},
        {"until": "2026-02-30"},
        {"withdrawn": 1},
        {"text": {}},
        {"text": {"en": "  \n"}},
        {"text": "a text"},
        {"text": {"en": "x", "fr": "y"}},
        {"text": {"en": "x" * (LONGEST_TEXT + 1)}},
        {"text": {"en": "\x1b[2J"}},
        {"text": {"en": "a\rb"}},
        {"measure": {"zh": "\u202eabc"}},
        {"measure": {"zh": "\ud800"}},
        {"findings": [{"rule": "idle_energy"}]},
        {"findings": [{"rule": "Idle!", "name": "x"}]},
        {"findings": [{"rule": "idle_energy", "name": "a\nb"}]},
        {"findings": [{"rule": "idle_energy", "name": "x", "seq": -1}]},
        {"findings": [{"rule": "idle_energy", "name": "x"}] * 17},
        {"target": {**TARGET, "side": "exactly"}},
        {"target": {**TARGET, "side": []}},
        {"target": {**TARGET, "value": "0.15"}},
        {"target": {**TARGET, "value": True}},
        {"target": {**TARGET, "value": 10**400}},
        {"target": {**TARGET, "machine": ""}},
        {"target": {**TARGET, "indicator": "idle share"}},
        {"target": {**TARGET, "more": 1}},
        {"target": None},
    ],
)
def test_what_is_against_the_schema_is_malformed(changes: dict[str, Any]) -> None:
    assert code(judged(signed(WANG, **changes), TRUST)) == "malformed"


def test_too_large_is_malformed() -> None:
    assert code(judged(signed(*[WANG] * 2) + b" " * LARGEST_PRESCRIPTION, TRUST)) == "malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(claims())), JSON)
def test_any_member_replaced_by_anything_is_taken_or_refused_and_never_fails(name: str, value: Any) -> None:
    body = json.dumps({**claims(), name: value}).encode()
    found = judged(signed(WANG, payload=body), TRUST)
    assert isinstance(found, Verified) or found.code in ("malformed", "not_addressed", "expired")


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    assert code(judged(data, TRUST)) == "malformed"
