"""B1: the platform's list of administrators counts only after the operator accepted every fingerprint on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.cli.enroll import accepted
from agent.evidence.identity import Identity
from tests.support.control_bundles import Signer

WANG, EVIL = Signer("wang\u202egnil"), Signer("evil")


def jwks(*signers: Signer) -> dict[str, Any]:
    return {"keys": [each.jwk() for each in signers], "threshold": 1}


@pytest.mark.parametrize(
    ("admins", "given", "trusted"),
    [
        (jwks(WANG), [WANG.kid], True),
        (jwks(WANG), [f"SHA256:{WANG.kid}"], True),
        (jwks(WANG), None, False),  # nobody was there to be asked
        (jwks(WANG, EVIL), [WANG.kid], False),
        (jwks(WANG), [WANG.kid, EVIL.kid], False),
        (jwks(EVIL), [WANG.kid], False),
        ({}, [WANG.kid], False),
        ({"keys": [{"kty": "OKP"}]}, [WANG.kid], False),
    ],
)
def test_b1_only_a_list_of_accepted_administrators_counts(
    tmp_path: Path, admins: dict[str, Any], given: list[str] | None, trusted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    identity.save_enrolment("gw-1", "https://p.example", admins, accepted=accepted(admins, given))
    assert identity.refresh() and identity.enrolment is not None
    assert bool(identity.enrolment.trusted_admins) is trusted
    assert bool(capsys.readouterr().err) is not trusted


def test_b1_an_enrolment_of_an_earlier_version_was_accepted_by_nobody(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "identity")
    old = {"gateway_id": "gw-1", "url": "https://p.example", "admins": jwks(WANG), "enterprise": ""}
    (tmp_path / "identity" / "enrolment.json").write_bytes(msgspec.json.encode(old))
    assert identity.refresh() and identity.enrolment is not None and identity.enrolment.trusted_admins == {}


def test_b9_b1_the_prompt_shows_names_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _text: "yes")
    assert accepted(jwks(WANG), None) == (WANG.kid,)
    said = capsys.readouterr().out
    assert f"SHA256:{WANG.kid}" in said and "\\u202e" in said and "\u202e" not in said
