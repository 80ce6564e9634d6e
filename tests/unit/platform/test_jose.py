"""Bearer tokens and detached signatures: exactly one key, one algorithm, one audience, one use."""

import base64
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import OctKey, OKPKey

from scripts.sandbox.platform.jose import check_detached, check_token, import_public_key, own_id
from scripts.sandbox.platform.problems import Problem

KEY = OKPKey.generate_key("Ed25519")
PUBLIC = import_public_key(KEY.as_dict(private=False))
URL = "https://platform.example/api/v1"
DEEP = base64.urlsafe_b64encode(b"[" * 2000).decode() + ".e30."
NOW = 1_800_000_000.0
ALL = ["EdDSA", "Ed25519", "HS256", "none"]


def _token(*, key: Any = KEY, alg: str = "EdDSA", header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {"iss": "gw-1", "sub": "gw-1", "aud": URL, "exp": int(NOW) + 240, "jti": uuid.uuid4().hex, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": alg, **(header or {})}, kept, key, algorithms=ALL)


def _refused(token: str) -> str:
    with pytest.raises(Problem) as caught:
        check_token(token, PUBLIC, "gw-1", URL, NOW)
    assert caught.value.status == 401
    return caught.value.detail


@pytest.mark.parametrize(
    "changes", [{}, {"aud": URL + "/"}, {"aud": [URL]}, {"exp": int(NOW) + 300}, {"exp": NOW + 0.5}, {"iat": int(NOW)}]
)
def test_a_right_token_is_accepted(changes: dict[str, Any]) -> None:
    assert check_token(_token(**changes), PUBLIC, "gw-1", URL, NOW).jti


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_both_names_of_the_algorithm_and_the_right_kid_are_accepted(alg: str) -> None:
    check_token(_token(alg=alg, header={"kid": PUBLIC.thumbprint()}), PUBLIC, "gw-1", URL, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "gw-2"},
        {"sub": "gw-2"},
        {"iss": None},
        {"aud": "https://other.example/api/v1"},
        {"aud": None},
        {"aud": 3},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": int(NOW) - 31},
        {"exp": int(NOW) + 3600},
        {"exp": 10**400},
        {"nbf": int(NOW) + 3600},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 129},
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any]) -> None:
    _refused(_token(**changes))


def test_exp_may_be_late_by_the_leeway_only() -> None:
    check_token(_token(exp=int(NOW) - 29), PUBLIC, "gw-1", URL, NOW)
    assert "Date" in _refused(_token(exp=int(NOW) - 30))


def test_another_key_is_refused() -> None:
    _refused(_token(key=OKPKey.generate_key("Ed25519")))


@pytest.mark.filterwarnings('ignore:JWS algorithm "none"')
def test_alg_none_and_a_shared_secret_are_refused() -> None:
    _refused(_token(alg="none", key=None))
    _refused(_token(alg="HS256", key=OctKey.import_key(json.dumps(PUBLIC.as_dict(private=False)) * 3)))


def test_a_key_in_the_header_is_not_believed() -> None:
    stranger = OKPKey.generate_key("Ed25519")
    _refused(_token(key=stranger, header={"jwk": stranger.as_dict(private=False)}))


def test_kid_of_another_key_and_crit_are_refused() -> None:
    _refused(_token(header={"kid": "another"}))
    _refused(_token(header={"crit": ["b64"], "b64": True}))


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "é.é.é", "e30.e30.e30", "W10.W10.", "bnVsbA..", "x" * 5000, DEEP],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    _refused(token)


@given(st.text(max_size=60))
def test_any_text_as_token_is_refused(text: str) -> None:
    _refused(text)


@given(st.text(max_size=60), st.binary(max_size=20))
def test_any_text_as_signature_is_refused(text: str, body: bytes) -> None:
    with pytest.raises(Problem):
        check_detached(text, body, PUBLIC)


def _detached(body: bytes, key: OKPKey = KEY) -> str:
    header, _, signature = jws.serialize_compact({"alg": "EdDSA"}, body, key, algorithms=["EdDSA"]).split(".")
    return f"{header}..{signature}"


def test_a_detached_signature_holds_for_exactly_its_bytes() -> None:
    body = b'{"a":1}'
    check_detached(_detached(body), body, PUBLIC)
    for other in (b'{"a": 1}', b'{"a":1}\n', b"", body * 2):
        with pytest.raises(Problem):
            check_detached(_detached(body), other, PUBLIC)


def test_a_digest_larger_than_the_librarys_default_payload_is_verified() -> None:
    body = b"x" * 3_000_000
    check_detached(_detached(body), body, PUBLIC)


def test_an_attached_payload_is_no_detached_signature() -> None:
    body = b"bytes"
    with pytest.raises(Problem):
        check_detached(jws.serialize_compact({"alg": "EdDSA"}, body, KEY, algorithms=["EdDSA"]), body, PUBLIC)


def test_own_id_follows_from_the_key() -> None:
    # The key of RFC 8037, appendix A.2; its thumbprint is in appendix A.3.
    key = import_public_key({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert own_id(key.thumbprint()) == "gw-90facafea9b15566"


@pytest.mark.parametrize(
    "jwk", [{}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": "OKP", "crv": "X", "x": "11qYAYKx"}, {"kty": 3}]
)
def test_what_is_no_key_is_refused(jwk: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        import_public_key(jwk)
