"""The files that keep keys and trust."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from drivers.contract import DriverError, FailureKind
from drivers.opcua import trust

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_the_gateways_certificate_is_made_once_and_private(tmp_path: Path) -> None:
    first, second = trust.application(tmp_path, NOW), trust.application(tmp_path, NOW)
    assert first.certificate == second.certificate
    assert first.key.key_size == 2048
    names = first.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [first.uri]
    assert names.get_values_for_type(x509.DNSName) == [os.uname().nodename]
    assert (tmp_path / "application.pem").stat().st_mode & 0o777 == 0o600
    assert first.file.read_bytes() == first.certificate.public_bytes(serialization.Encoding.DER)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["application.der", "application.pem"]


def test_several_who_need_it_at_once_get_the_same(tmp_path: Path) -> None:
    made: list[trust.Application] = []
    threads = [threading.Thread(target=lambda: made.append(trust.application(tmp_path, NOW))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len({each.certificate for each in made}) == 1
    assert len(made) == 4


def test_a_gateway_whose_clock_is_wrong_makes_a_certificate_that_lasts(tmp_path: Path) -> None:
    made = trust.application(tmp_path, datetime(1970, 1, 1, tzinfo=UTC)).certificate
    assert made.not_valid_before_utc < NOW < made.not_valid_after_utc
    assert made.not_valid_after_utc > NOW + timedelta(days=15 * 365)


def test_its_end_is_told(tmp_path: Path) -> None:
    trust.application(tmp_path, NOW)
    with pytest.raises(DriverError) as caught:
        trust.application(tmp_path, NOW + timedelta(days=30 * 365))
    assert caught.value.kind is FailureKind.PERMANENT
    assert "application.pem" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_told_and_not_overwritten(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "application.pem").write_bytes(content)
    with pytest.raises(DriverError, match="damaged"):
        trust.application(tmp_path, NOW)
    assert (tmp_path / "application.pem").read_bytes() == content


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for action in (
        lambda: trust.application(tmp_path / "file", NOW),
        lambda: trust.pin(tmp_path / "file", "plc:4840", trust.Pin(b"", NOW)),
        lambda: trust.application(None, NOW),
        lambda: trust.pin(None, "plc:4840", trust.Pin(b"", NOW)),
    ):
        with pytest.raises(DriverError) as caught:
            action()
        assert caught.value.kind is FailureKind.PERMANENT
        assert caught.value.remedy


def test_pins_are_kept_by_host_and_port(tmp_path: Path) -> None:
    for number, place in enumerate(("plc:4840", "PLC:4841", "[fe80::1]:4840", "../../etc:1")):
        trust.pin(tmp_path, place, trust.Pin(bytes([number]), NOW))
    assert trust.pinned(tmp_path, "PLC:4840") == trust.Pin(b"\0", NOW)
    assert trust.pinned(tmp_path, "plc:4841") == trust.Pin(b"\1", NOW)
    assert trust.pinned(tmp_path, "other:4840") is None
    files = list((tmp_path / "trusted").iterdir())
    assert len(files) == 4
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    assert (tmp_path / "trusted").stat().st_mode & 0o777 == 0o700


def test_a_damaged_pin_is_no_trust(tmp_path: Path) -> None:
    trust.pin(tmp_path, "plc:4840", trust.Pin(b"x", NOW))
    (next((tmp_path / "trusted").iterdir())).write_bytes(b"{}")
    with pytest.raises(DriverError, match="damaged"):
        trust.pinned(tmp_path, "plc:4840")


def _made_by_an_older_release(folder: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> trust.Application:
    monkeypatch.setattr(trust, "NOT_BEFORE_RELEASE", now)
    made = trust.application(folder, now)
    monkeypatch.undo()
    return made


@pytest.mark.parametrize("years", [-56, -1, 0, 10, 200])
def test_f21_a_certificate_made_by_a_wrong_clock_is_valid_at_the_right_time(tmp_path: Path, years: int) -> None:
    made = trust.application(tmp_path, NOW + timedelta(days=365 * years)).certificate
    assert made.not_valid_before_utc < trust.NOT_BEFORE_RELEASE
    assert made.not_valid_after_utc > NOW + timedelta(days=15 * 365)


def test_f21_a_certificate_from_the_future_is_made_anew_once_the_clock_is_trusted_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    future, told = datetime(2036, 5, 4, tzinfo=UTC), list[str]()
    old = _made_by_an_older_release(tmp_path, future, monkeypatch)
    assert trust.application(tmp_path, NOW, tell=told.append).certificate == old.certificate
    assert len(told) == 1 and "2036-05-03" in told[0] and "once the clock is trusted" in told[0]
    new = trust.application(tmp_path, NOW, clock_trusted=True, tell=told.append)
    assert new.certificate != old.certificate and new.uri == old.uri
    assert new.certificate.not_valid_before_utc < NOW
    assert len(told) == 2 and "a new one was made" in told[1] and str(new.file) in told[1]
    assert new.file.read_bytes() == new.certificate.public_bytes(serialization.Encoding.DER)
    assert trust.application(tmp_path, NOW, clock_trusted=True, tell=told.append).certificate == new.certificate
    assert len(told) == 2


def test_f21_several_devices_get_the_same_new_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_by_an_older_release(tmp_path, datetime(2036, 5, 4, tzinfo=UTC), monkeypatch)
    made: list[trust.Application] = []
    threads = [
        threading.Thread(target=lambda: made.append(trust.application(tmp_path, NOW, clock_trusted=True)))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(made) == 4 and len({each.certificate for each in made}) == 1
