"""Secrets: sealed for a gateway, opened by it alone, hidden wherever they might show."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey, OKPKey

from agent.config.overlay import Overlay
from agent.config.parse import loads
from agent.control.redact import redacted
from agent.control.secrets import EncryptionKey, HidesSecrets, recipient, seal
from agent.errors import ConfigurationInvalid, GongfuError
from tests.support.config_driver import CONFIG, device, use_plc
from tests.support.control_bundles import b64


def _key() -> EncryptionKey:
    return EncryptionKey(OKPKey.generate_key("X25519"))


MINE, OTHER = _key(), _key()


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = EncryptionKey.load_or_create(tmp_path / "identity")
    path = tmp_path / "identity" / "encryption.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert EncryptionKey.load_or_create(tmp_path / "identity").thumbprint == first.thumbprint
    assert path.stat().st_mode & 0o777 == 0o600
    assert "d" not in first.public_jwk() and first.public_jwk()["kid"] == first.thumbprint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kty": "OKP"}', json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True))]
)
def test_a_damaged_key_is_an_error_and_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "encryption.json").write_text(text)
    with pytest.raises(GongfuError) as error:
        EncryptionKey.load_or_create(tmp_path)
    assert "→" in error.value.line()
    assert (tmp_path / "encryption.json").read_text() == text


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GongfuError, match="file"):
        EncryptionKey.load_or_create(tmp_path / "file")


@given(st.text(st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=50)
def test_what_is_sealed_for_several_is_opened_by_each_of_them(text: str) -> None:
    sealed = seal(text, [MINE.public_jwk(), OTHER.public_jwk()])
    assert (MINE.decrypt(sealed), OTHER.decrypt(sealed)) == (text, text)
    assert not text or len(text) < 8 or text not in sealed


def test_nobody_else_opens_it() -> None:
    with pytest.raises(ValueError, match="not sealed for this gateway"):
        MINE.decrypt(seal("hunter2", [OTHER.public_jwk()]))


@pytest.mark.parametrize("jwk", [None, {}, {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))}, {"kty": "oct"}])
def test_what_is_no_x25519_key_is_no_recipient(jwk: Any) -> None:
    with pytest.raises(ValueError):
        recipient(jwk)
    with pytest.raises(ValueError):
        seal("x", [jwk])


def test_a_secret_for_nobody_or_of_any_length_is_refused() -> None:
    for text, keys in (("x", []), ("x" * 70_000, [MINE.public_jwk()])):
        with pytest.raises(ValueError):
            seal(text, keys)


def _foreign(header: dict[str, Any], key: Any, algorithms: list[str]) -> str:
    return jwe.encrypt_compact({"kid": MINE.thumbprint, **header}, b"x" * 9, key, algorithms=algorithms)


def test_no_other_way_of_encrypting_is_taken() -> None:
    public = OKPKey.import_key({name: MINE.public_jwk()[name] for name in ("kty", "crv", "x")})
    every = ["ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128KW", "A256GCM", "A128GCM", "DEF", "dir", "PBES2-HS256+A128KW"]
    for header in (
        {"alg": "ECDH-ES", "enc": "A256GCM"},
        {"alg": "ECDH-ES+A128KW", "enc": "A256GCM"},
        {"alg": "ECDH-ES+A256KW", "enc": "A128GCM"},
        {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "zip": "DEF"},
    ):
        with pytest.raises(ValueError):
            MINE.decrypt(_foreign(header, public, every))
    for header, key in (
        ({"alg": "dir", "enc": "A256GCM"}, OctKey.generate_key(256)),
        ({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM"}, OctKey.import_key("a password of some length")),
    ):
        with pytest.raises(ValueError):
            MINE.decrypt(_foreign(header, key, every))


SEALED = seal("hunter2-and-more", [MINE.public_jwk()])


@settings(max_examples=400)
@given(st.integers(0, len(SEALED) - 1), st.sampled_from("ABCxyz019-_. é{"))
def test_what_was_changed_is_never_opened_as_something_else(position: int, sign: str) -> None:
    changed = SEALED[:position] + sign + SEALED[position + 1 :]
    try:
        assert MINE.decrypt(changed) == "hunter2-and-more"  # the last bits of base64 may mean nothing
    except ValueError as error:
        assert "hunter2" not in str(error)


@settings(max_examples=200)
@given(st.text(max_size=80) | st.text("eyJ.- {}", max_size=80))
def test_no_text_breaks_the_opener(text: str) -> None:
    with pytest.raises(ValueError):
        MINE.decrypt(text)


def test_an_ephemeral_key_that_gives_nothing_away_is_refused() -> None:
    """A small-order point, by which the agreed key would be known to everybody."""
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": MINE.thumbprint}
    epk = {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}
    parts = [b64(json.dumps({**header, "epk": epk}).encode()), b64(bytes(40)), b64(bytes(12)), "", b64(bytes(16))]
    with pytest.raises(ValueError):
        MINE.decrypt(".".join(parts))


# --- hiding ----------------------------------------------------------------------------------------------


def test_an_opened_secret_is_hidden_in_every_log_line() -> None:
    key = _key()
    key.decrypt(seal("hunter2", [key.public_jwk()]))
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(HidesSecrets(key))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("login %s with %s refused", "admin", "hunter2")
    try:
        raise ValueError("bad password hunter2")
    except ValueError:
        log.exception("device failed")
    log.warning("100 %")
    assert "hunter2" not in out.getvalue()
    assert "login admin with … refused" in out.getvalue() and "bad password …" in out.getvalue()


def test_a_secret_of_two_letters_does_not_blot_out_the_log() -> None:
    key = _key()
    key.decrypt(seal("ok", [key.public_jwk()]))
    assert key.hide("ok, took 3 s") == "ok, took 3 s"


def test_a_sealed_secret_reaches_the_driver_and_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plc(monkeypatch)
    text = device(f'host = "h", password = {{ jwe = "{SEALED}" }}')
    made = loads('[gateway]\nname = "g"', CONFIG, {}, Overlay(text, "revision 7", MINE.decrypt))
    assert made.devices[0].options.password.plain == "hunter2-and-more"
    with pytest.raises(ConfigurationInvalid) as error:
        loads('[gateway]\nname = "g"', CONFIG, {}, Overlay(text, "revision 7", OTHER.decrypt))
    assert "not sealed for this gateway" in error.value.problems[0] and SEALED not in error.value.problems[0]


def test_the_effective_configuration_is_shown_without_secrets() -> None:
    shown = redacted(
        {
            "device": [
                {
                    "name": "p",
                    "connection": {
                        "host": "192.168.1.10",
                        "url": "opc.tcp://admin:hunter2@10.0.0.1:4840/x?token=hunter2",
                        "password": "hunter2",
                        "PassPhrase": "hunter2",
                        "pin": 1234,
                        "user_token": {"env": "hunter2"},
                        "other": {"jwe": SEALED},
                        "username": {"secret": "hunter2"},
                        "servers": [{"api_key": "hunter2"}],
                        "port": 502,
                    },
                }
            ],
            "digest": {"share": ["p.keys"]},
        }
    )
    connection = shown["device"][0]["connection"]
    assert "hunter2" not in json.dumps(shown) and "1234" not in json.dumps(shown)
    assert (connection["host"], connection["port"], connection["url"]) == (
        "192.168.1.10",
        502,
        "opc.tcp://10.0.0.1:4840/x",
    )
    assert shown["digest"] == {"share": ["p.keys"]}
