"""Whatever arrives: what was signed, or a refusal, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.overlay import SECTIONS
from agent.control.bundle import Bundle, read_envelope
from agent.control.content import read_content
from agent.control.reasons import CODES, Refusal
from agent.control.trust import read_trust
from tests.support.control_bundles import Signer, b64, claims, code, envelope, judged, signed, trusting

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG, LI, ZHAO, MALLORY = Signer("Wang"), Signer("Li"), Signer("Zhao"), Signer("Mallory")
TRUST = trusting(WANG, LI, ZHAO, threshold=2)
SOUND = signed(WANG, LI)
SIGNED = read_envelope(SOUND)

WORDS = st.sampled_from(["payload", "signatures", "protected", "header", "signature", "alg", "kid", "none", "", "e30"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def _check(data: bytes) -> None:
    """The one property: either the very payload that two of three have signed, or a refusal with its code."""
    found = judged(data, TRUST)
    if isinstance(found, Bundle):
        assert found.sha256 == SIGNED.sha256 and found.payload == SIGNED.payload
        assert {each.name for each in found.signers} <= {"Wang", "Li"} and len(found.signers) == 2
    else:
        assert found.code in CODES and found.line().startswith(f"{found.code}: ")


@settings(max_examples=600)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_bytes_that_were_changed_never_verify_as_something_else(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SOUND)
    for position, value in changes:
        data[position] = value
    _check(bytes(data))


@settings(max_examples=200)
@given(st.integers(0, len(SOUND)), st.integers(0, len(SOUND)), st.binary(max_size=30))
def test_bytes_that_were_cut_or_put_in_never_verify_as_something_else(start: int, end: int, piece: bytes) -> None:
    _check(SOUND[:start] + piece + SOUND[end:])


def _spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [spot for key, each in items for spot in [(*path, key), *_spots(each, (*path, key))]]


@settings(max_examples=400)
@given(st.sampled_from(_spots(json.loads(SOUND))), VALUES)
def test_members_that_were_replaced_never_verify_as_something_else(path: tuple[Any, ...], new: Any) -> None:
    value = json.loads(SOUND)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    _check(json.dumps(value).encode())


@settings(max_examples=400)
@given(st.sampled_from([*claims(), "selector", "trust", "new"]), VALUES)
def test_a_payload_that_was_changed_needs_new_signatures(member: str, new: Any) -> None:
    body = json.dumps(claims() | {member: new}).encode()
    old = [each.signature(SIGNED.text) for each in (WANG, LI)]
    _check(envelope(body, old))
    # Signed anew it is taken or refused by what it says, and never breaks the reader.
    found = judged(envelope(body, [each.signature(b64(body)) for each in (WANG, LI)]), TRUST)
    assert isinstance(found, Bundle) or found.code in CODES


@settings(max_examples=300)
@given(st.lists(st.sampled_from([WANG, LI, ZHAO, MALLORY]), min_size=1, max_size=8), st.data())
def test_as_many_administrators_as_the_threshold_says(signers: list[Signer], data: st.DataObject) -> None:
    body = json.dumps(claims()).encode()
    broken = data.draw(st.sets(st.integers(0, len(signers) - 1)))
    signatures = [each.signature(b64(body)) for each in signers]
    for position in broken:
        signatures[position]["signature"] = b64(bytes(64))
    good = {each.name for position, each in enumerate(signers) if position not in broken} - {"Mallory"}
    found = judged(envelope(body, signatures), TRUST)
    assert isinstance(found, Bundle) is (len(good) >= 2)
    if isinstance(found, Bundle):
        assert {each.name for each in found.signers} == good


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "jwk", "typ", "x5c", "zip"]), VALUES, max_size=4))
def test_no_header_makes_a_strangers_signature_count(header: dict[str, Any]) -> None:
    body = json.dumps(claims()).encode()
    data = envelope(body, [MALLORY.signature(b64(body), **header), MALLORY.signature(b64(body))])
    assert code(judged(data, trusting(WANG))) in ("malformed", "not_trusted")


@settings(max_examples=300)
@given(VALUES | st.fixed_dictionaries({"keys": st.lists(VALUES, max_size=3), "threshold": VALUES}))
def test_no_value_breaks_the_reader_of_trust_lists(value: Any) -> None:
    try:
        assert read_trust(value).threshold >= 1
    except ValueError as error:
        assert str(error)


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text("[]{}=\"'\n.#ab1-:\\", max_size=80), st.sets(st.sampled_from(SECTIONS)))
def test_no_text_breaks_the_reader_of_overlays(text: str, allow: set[str]) -> None:
    found = read_content(text, sorted(allow))
    assert found.code in CODES if isinstance(found, Refusal) else found.keys() <= allow


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader_of_bundles(data: bytes) -> None:
    _check(data)
