"""Verification of bundles: every check, in its order, with its own code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey

from agent.control.bundle import LARGEST_BUNDLE, Bundle, read_envelope
from agent.control.reasons import Refusal
from agent.control.trust import Trust
from tests.support.control_bundles import (
    CONFIG,
    GATEWAY,
    Signer,
    b64,
    claims,
    code,
    envelope,
    judged,
    signed,
    trusting,
)

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

WANG, LI, ZHAO, STRANGER = Signer("Wang"), Signer("Li"), Signer(), Signer("Mallory")
TRUST = trusting(WANG)


def test_a_sound_bundle_is_taken_with_what_was_signed_and_by_whom() -> None:
    found = judged(signed(WANG), TRUST)
    assert isinstance(found, Bundle)
    assert (found.payload.revision, found.payload.config, found.payload.target) == (7, CONFIG, GATEWAY)
    assert [each.name for each in found.signers] == ["Wang"]


def test_the_hash_names_what_was_signed_and_not_who_signed() -> None:
    body = json.dumps(claims()).encode()
    first, second = (read_envelope(signed(*who, payload=body)) for who in ([WANG], [WANG, LI]))
    assert first.sha256 == second.sha256 != read_envelope(signed(WANG, revision=8)).sha256


def test_the_fully_specified_name_of_the_algorithm_is_the_same() -> None:
    body = json.dumps(claims()).encode()
    assert isinstance(judged(envelope(body, [WANG.signature(b64(body), alg="Ed25519")]), TRUST), Bundle)


def test_a_bundle_larger_than_a_token_is_taken() -> None:
    assert isinstance(judged(signed(WANG, config="# " + "x" * 400_000), TRUST), Bundle)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_checks_are_made_in_their_order(position: int) -> None:
    # Everything is wrong with it; the first check that is left speaks.
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("not_addressed", {"gateway_id": "gw-other"}),
        ("expired", {"expires_at": "2026-09-21T08:00:01Z"}),
        ("not_newer", {"revision": 6}),
    ]
    changes = {name: value for _, each in wrong[position:] for name, value in each.items()}
    assert code(judged(signed(WANG, **changes), TRUST)) == wrong[position][0]
    assert code(judged(signed(STRANGER, **changes), TRUST)) == "not_trusted"


# --- malformed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"payload": "e30", "payload": "e30", "signatures": []}',
        b'{"payload": "e30", "signatures": []}',
        b'{"payload": "e30", "protected": "e30", "signature": "e30"}',
        b'{"payload": 3, "signatures": [{"protected": "e30", "signature": "e30"}]}',
        b'{"payload": "e30=", "signatures": [{"protected": "e30", "signature": "e30"}]}',
        b'{"payload": "e30", "signatures": [{"protected": "e30"}]}',
        b'{"payload": "e30", "signatures": [{"protected": "W10", "signature": "e30"}]}',
        b'{"payload": "NaN", "signatures": "x", "more": 1}',
        b" " * (LARGEST_BUNDLE + 1),
    ],
)
def test_what_is_no_jws_in_general_form_is_malformed(data: bytes) -> None:
    assert code(judged(data, TRUST)) == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway_id": None},
        {"selector": {"park": "hongkou-01"}},
        {"gateway_id": "../etc"},
        {"gateway_id": None, "selector": {}},
        {"gateway_id": None, "selector": {"park": ""}},
        {"gateway_id": None, "selector": {"enterprise": "x"}},
        {"gateway_id": None, "selector": {"park": ["hongkou-01"]}},
        {"revision": 0},
        {"revision": True},
        {"revision": 7.0},
        {"revision": "7"},
        {"revision": 10**15},
        {"revision": None},
        {"config": None},
        {"config": {"digest": {}}},
        {"config": "\ud800"},
        {"issued_at": "2026-09-21T08:00:00"},
        {"issued_at": "yesterday"},
        {"issued_at": "2026-13-21T08:00:00Z"},
        {"issued_at": 1_790_000_000},
        {"expires_at": "2026-09-21T08:00:00Z"},
        {"trust": {"keys": []}},
        {"trust": {"keys": [WANG.jwk()], "threshold": 2}},
        {"trust": {"keys": [WANG.key.as_dict(private=True)]}},
        {"trust": "keys"},
        {"run": "rm -rf /"},
    ],
)
def test_a_payload_that_breaks_the_contract_is_malformed(changes: dict[str, Any]) -> None:
    assert code(judged(signed(WANG, **changes), TRUST)) == "malformed"


@pytest.mark.parametrize("body", [b"", b"3", b"[]", b"\xff", b'{"revision": NaN}', b'{"a": 1, "a": 2}', b"{" * 99_999])
def test_a_payload_that_is_no_object_is_malformed(body: bytes) -> None:
    assert code(judged(signed(WANG, payload=body), TRUST)) == "malformed"


@pytest.mark.parametrize("extension", [{"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": ["exp"]}, {"crit": []}])
def test_extensions_of_jws_are_refused(extension: dict[str, Any]) -> None:
    body = json.dumps(claims()).encode()
    found = judged(envelope(body, [WANG.signature(b64(body), **extension)]), TRUST)
    assert code(found) == "malformed"


def test_an_unencoded_payload_is_refused_though_it_is_signed_rightly() -> None:
    body = json.dumps(claims()).encode()
    protected = b64(json.dumps({"alg": "EdDSA", "b64": False, "crit": ["b64"]}).encode())
    signature = b64(WANG.key.private_key.sign(protected.encode() + b"." + body))
    value = {"payload": body.decode(), "signatures": [{"protected": protected, "signature": signature}]}
    assert code(judged(json.dumps(value).encode(), TRUST)) == "malformed"


@pytest.mark.parametrize("header", [{"alg": "EdDSA"}, {"b64": False}, {"jwk": STRANGER.jwk()}, {"kid": WANG.kid}])
def test_nothing_that_counts_may_stand_outside_of_what_is_signed(header: dict[str, Any]) -> None:
    body = json.dumps(claims()).encode()
    assert code(judged(envelope(body, [WANG.signature(b64(body)) | {"header": header}]), TRUST)) == "malformed"


def test_more_signatures_than_any_committee_has_are_refused() -> None:
    assert code(judged(signed(*[WANG] * 33), TRUST)) == "malformed"


# --- not trusted -----------------------------------------------------------------------------------------


def test_a_stranger_is_not_trusted_whatever_key_or_name_he_claims() -> None:
    assert code(judged(signed(STRANGER), TRUST)) == "not_trusted"
    body = json.dumps(claims()).encode()
    for header in ({"kid": WANG.kid}, {"jwk": STRANGER.jwk()}, {"jku": "https://mallory.example/keys"}):
        assert code(judged(envelope(body, [STRANGER.signature(b64(body), **header)]), TRUST)) == "not_trusted"


def test_a_gateway_without_administrators_trusts_nobody() -> None:
    found = judged(signed(WANG), Trust())
    assert isinstance(found, Refusal) and found.code == "not_trusted" and "trust_file" in found.remedy


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "ES256", "RS256", "Ed448", "EdDSA "])
def test_no_other_algorithm_counts_whatever_the_signature_is(alg: str) -> None:
    body = json.dumps(claims()).encode()
    signatures = [WANG.signature(b64(body), alg=alg)]
    signatures.append({"protected": signatures[0]["protected"], "signature": ""})
    assert code(judged(envelope(body, signatures), TRUST)) == "not_trusted"


def test_the_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: an HMAC made with the administrator's public key."""
    body = json.dumps(claims()).encode()
    for secret in (json.dumps(WANG.jwk()), WANG.jwk()["x"], WANG.key.public_key.public_bytes_raw()):
        key = OctKey.import_key(secret)
        head, _, mac = jws.serialize_compact({"alg": "HS256", "kid": WANG.kid}, body, key, algorithms=["HS256"]).split(
            "."
        )
        assert code(judged(envelope(body, [{"protected": head, "signature": mac}]), TRUST)) == "not_trusted"


def test_a_key_of_another_curve_does_not_count() -> None:
    body = json.dumps(claims()).encode()
    made = jws.serialize_compact({"alg": "ES256"}, body, ECKey.generate_key("P-256"), algorithms=["ES256"]).split(".")
    assert code(judged(envelope(body, [{"protected": made[0], "signature": made[2]}]), TRUST)) == "not_trusted"


def test_two_of_three_means_two_different_ones() -> None:
    trust = trusting(WANG, LI, ZHAO, threshold=2)
    assert code(judged(signed(WANG), trust)) == "not_trusted"
    assert code(judged(signed(WANG, WANG), trust)) == "not_trusted"
    assert code(judged(signed(WANG, STRANGER), trust)) == "not_trusted"
    for pair in ([WANG, LI], [ZHAO, WANG], [LI, STRANGER, ZHAO], [WANG, WANG, LI]):
        found = judged(signed(*pair), trust)
        assert isinstance(found, Bundle) and len(found.signers) == 2


def test_one_key_that_the_list_holds_under_two_names_is_one_administrator() -> None:
    twin = Signer("Wang again", OKPKey.import_key(WANG.key.as_dict(private=True)))
    with pytest.raises(ValueError, match="threshold"):
        trusting(WANG, twin, threshold=2)
    found = judged(signed(WANG, twin, LI), trusting(WANG, twin, LI, threshold=2))
    assert isinstance(found, Bundle) and [each.name for each in found.signers] == ["Wang", "Li"]


def test_a_signature_over_another_payload_does_not_count() -> None:
    body, other = (json.dumps(claims(revision=revision)).encode() for revision in (7, 8))
    assert code(judged(envelope(other, [WANG.signature(b64(body))]), TRUST)) == "not_trusted"


def test_an_alias_from_the_list_names_the_key_too() -> None:
    trust = trusting(WANG)
    aliased = Trust((*(type(each)(each.kid, each.key, each.name, "wang-2026") for each in trust.admins),))
    body = json.dumps(claims()).encode()
    assert isinstance(judged(envelope(body, [WANG.signature(b64(body), kid="wang-2026")]), aliased), Bundle)
    assert code(judged(envelope(body, [WANG.signature(b64(body), kid="li-2026")]), aliased)) == "not_trusted"


# --- addressee, expiry, revision ------------------------------------------------------------------------


def test_expired_is_said_by_a_trusted_clock_only() -> None:
    late = signed(WANG, expires_at="2026-09-21T08:00:01Z")
    assert code(judged(late, TRUST)) == "expired"
    held = judged(late, TRUST, now_us=None)
    assert isinstance(held, Refusal) and held.held and held.code == "clock_untrusted"
    assert code(judged(signed(WANG), TRUST, now_us=None)) == "clock_untrusted"


def test_the_last_moment_of_a_bundle_is_before_its_expiry() -> None:
    data = signed(WANG, expires_at="2026-10-21T08:00:00.000000+08:00")
    expiry = read_envelope(data).payload.expires_us
    assert expiry % 86_400_000_000 == 0
    assert isinstance(judged(data, TRUST, now_us=expiry - 1), Bundle)
    assert code(judged(data, TRUST, now_us=expiry)) == "expired"


def test_replay_and_downgrade_are_refused() -> None:
    assert code(judged(signed(WANG, revision=7), TRUST, newest=7)) == "not_newer"
    assert code(judged(signed(WANG, revision=6), TRUST, newest=7)) == "not_newer"
    assert isinstance(judged(signed(WANG, revision=8), TRUST, newest=7), Bundle)


def test_only_what_passes_by_itself_is_held() -> None:
    assert [code for code in ("expired", "not_newer", "malformed") if Refusal(code, "").held] == []  # type: ignore[arg-type]


def test_the_status_line_begins_with_the_code_and_is_one_line() -> None:
    assert Refusal("invalid", "a\nb", "mend it").line() == "invalid: a b → mend it"
    assert len(Refusal("invalid", "x" * 9_000).line()) == 2000
