"""The trust list: what is read, and who wins between the local file and a rotation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.control.bundle import Bundle
from agent.control.trust import Rotation, load_rotation, load_trust, read_trust, rotation
from agent.errors import GongfuError
from tests.support.control_bundles import Signer, code, judged, signed, trusting

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

OLD, NEW, OTHER = Signer("old"), Signer("new"), Signer("other")


def _jwks(*signers: Signer, threshold: int = 1) -> dict[str, Any]:
    return {"keys": [each.jwk() for each in signers], "threshold": threshold}


def _write(path: Path, *signers: Signer, threshold: int = 1) -> Path:
    path.write_text(json.dumps(_jwks(*signers, threshold=threshold)))
    return path


def _names(local: Path, kept: Rotation | None = None, enrolled: dict[str, Any] | None = None) -> list[str]:
    return [each.name for each in load_trust(local, kept, enrolled).admins]


def test_the_threshold_is_one_unless_the_file_says_otherwise() -> None:
    assert read_trust({"keys": [OLD.jwk()]}).threshold == 1
    assert read_trust(_jwks(OLD, NEW, threshold=2)).threshold == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"keys": {}},
        {"keys": ["x"]},
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
        {"keys": [{"kty": "OKP", "crv": "X25519", "x": OLD.jwk()["x"]}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]},
        {"keys": [OLD.key.as_dict(private=True)]},
        {"keys": [OLD.jwk() | {"name": 3}]},
        {"keys": [OLD.jwk()], "threshold": 0},
        {"keys": [OLD.jwk()], "threshold": 2},
        {"keys": [OLD.jwk()], "threshold": True},
        {"keys": [OLD.jwk(), OLD.jwk()], "threshold": 2},
        {"keys": [OLD.jwk()] * 65},
    ],
)
def test_a_list_that_cannot_be_used_is_refused_as_a_whole(value: Any) -> None:
    with pytest.raises(ValueError):
        read_trust(value)


def test_nobody_is_trusted_where_no_list_is(tmp_path: Path) -> None:
    assert _names(tmp_path / "none") == []


def test_the_enrolments_list_serves_until_there_is_a_local_file(tmp_path: Path) -> None:
    local = tmp_path / "admins.jwks"
    assert _names(local, None, _jwks(NEW)) == ["new"]
    assert _names(_write(local, OLD), None, _jwks(NEW)) == ["old"]


def test_b1_a_named_file_that_is_missing_trusts_nobody_and_says_so(tmp_path: Path) -> None:
    local = tmp_path / "admins.jwks"
    for kept in (None, rotation(local, _jwks(NEW), 7, _jwks(OLD))):
        with pytest.raises(GongfuError, match="missing, so no administrator is trusted"):
            load_trust(local, kept, _jwks(OLD), named=True)
    assert load_trust(_write(local, OLD), None, _jwks(NEW), named=True).admins[0].name == "old"


def test_a_broken_file_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    local = tmp_path / "admins.jwks"
    for text in ("", "{", '{"keys": 3}', "[" * 9_999):
        local.write_text(text or " ")
        with pytest.raises(GongfuError) as error:
            load_trust(local, None)
        assert str(local) in error.value.line() and "→" in error.value.line()


def test_a_rotation_is_in_force_until_the_local_file_changes(tmp_path: Path) -> None:
    local = _write(tmp_path / "admins.jwks", OLD)
    kept = rotation(local, _jwks(NEW), 7)
    assert _names(local, kept) == ["new"]
    _write(local, OLD, OTHER)
    assert _names(local, kept) == ["old", "other"]


def test_a_rotation_over_the_enrolments_list_ends_with_the_first_local_file(tmp_path: Path) -> None:
    local = tmp_path / "admins.jwks"
    kept = rotation(local, _jwks(NEW), 7, _jwks(OLD))
    assert _names(local, kept, _jwks(OLD)) == ["new"]
    assert _names(_write(local, OTHER), kept, _jwks(OLD)) == ["other"]


def test_a_damaged_rotation_never_brings_the_old_keys_back(tmp_path: Path) -> None:
    local, kept = _write(tmp_path / "admins.jwks", OLD), tmp_path / "kept"
    kept.write_bytes(msgspec.json.encode(rotation(local, _jwks(NEW), 7)))
    assert _names(local, load_rotation(kept)) == ["new"]
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(GongfuError):
        load_rotation(kept)


def test_the_old_threshold_and_that_of_the_new_list_sign_it(tmp_path: Path) -> None:
    local = _write(tmp_path / "admins.jwks", OLD, OTHER, threshold=2)
    brought = {"trust": _jwks(NEW)}
    for signers in ((OLD,), (NEW,), (OLD, NEW), (OLD, OTHER)):  # the last: nobody of the new list vouches for it
        assert code(judged(signed(*signers, **brought), load_trust(local, None))) == "not_trusted"
    found = judged(signed(OLD, OTHER, NEW, **brought), load_trust(local, None))
    assert isinstance(found, Bundle) and found.payload.trust is not None
    after = load_trust(local, rotation(local, found.payload.trust, found.payload.revision))
    assert isinstance(judged(signed(NEW, revision=8), after), Bundle)
    assert code(judged(signed(OLD, OTHER, revision=8), after)) == "not_trusted"


def test_a_name_or_alias_is_shown_and_the_thumbprint_counts() -> None:
    admin = trusting(OLD).admins[0]
    assert (admin.shown, admin.kid) == ("old", OLD.kid)
    assert trusting(Signer()).admins[0].shown
