"""Options of an OPC UA device: what they mean, and what is refused before anything is connected."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drivers.opcua.options import MODES, POLICIES, Options, Security, check_options
from tests.support.agents import environment

URL = "opc.tcp://192.168.1.20:4840"


def test_what_the_documentation_shows_is_valid() -> None:
    for security in ("none", "auto", "Basic256Sha256", "Aes256_Sha256_RsaPss:SignAndEncrypt", "Basic256Sha256:Sign"):
        assert check_options(Options(url=URL, security=security, username="gongfu", password="x")) == []
    assert check_options(Options(url=URL, certificate="user.der", private_key="user.pem", timeout="10s")) == []


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("opc.tcp://plc", "opc.tcp://plc:4840"),
        ("opc.tcp://plc:48010/UA/Server", "opc.tcp://plc:48010/UA/Server"),
        ("opc.tcp://[fe80::1]", "opc.tcp://[fe80::1]:4840"),
    ],
)
def test_the_port_is_4840_unless_given(url: str, endpoint: str) -> None:
    options = Options(url=url)
    assert check_options(options) == []
    assert options.endpoint == endpoint


def test_auto_is_everything_sound_strongest_first() -> None:
    assert Security.parse("auto") == Security(POLICIES, MODES)
    assert Security.parse("none").none
    assert Security.parse("Basic256Sha256") == Security(("Basic256Sha256",), MODES)
    assert Security.parse("Basic256Sha256:Sign") == Security(("Basic256Sha256",), ("Sign",))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "192.168.1.20:4840"}, "url"),
        ({"url": "opc.tcp://plc:99999"}, "url"),
        ({"url": "opc.tcp://plc:0"}, "url"),
        ({"url": "opc.https://plc:443"}, "url"),
        ({"url": "opc.tcp://"}, "url"),
        ({"security": "Basic256Sha265"}, "security"),
        ({"security": "Basic256"}, "security"),
        ({"security": "Basic256Sha256:Encrypt"}, "security"),
        ({"security": "None"}, "security"),
        ({"password": "x"}, "password"),
        ({"certificate": "user.der"}, "certificate"),
        ({"certificate": "c", "private_key": "k", "username": "u"}, "certificate"),
        ({"timeout": "1"}, "timeout"),
        ({"timeout": "5m"}, "timeout"),
        ({"publishing_interval": "1ms"}, "publishing_interval"),
    ],
)
def test_a_fault_is_told_by_its_key_with_a_remedy(given: dict[str, str], field: str) -> None:
    problems = check_options(Options(**{"url": URL, **given}))  # type: ignore[arg-type]
    assert [problem.field for problem in problems] == [f"connection.{field}"]
    assert problems[0].remedy


def test_a_misspelt_policy_is_told_the_right_one() -> None:
    for wrong in ("Basic256Sha265", "basic256sha256", "Basic256-Sha256"):
        assert "Basic256Sha256" in check_options(Options(url=URL, security=wrong))[0].remedy
    assert "Aes128_Sha256_RsaOaep" in check_options(Options(url=URL, security="Aes128Sha256RsaOaep"))[0].remedy


def test_a_password_in_the_url_is_not_repeated() -> None:
    (problem,) = check_options(Options(url="opc.tcp://user:hunter2@plc:4840"))
    assert "hunter2" not in problem.message + problem.remedy


def test_a_password_is_not_in_what_is_shown_of_the_options() -> None:
    assert "hunter2" not in repr(Options(url=URL, username="u", password="hunter2"))


def test_checking_a_configuration_imports_neither_the_protocol_nor_cryptography() -> None:
    script = (
        "import sys; from drivers.opcua import DRIVER, Options; from drivers.contract import Point;"
        f"assert not DRIVER.check(Options(url='{URL}'), [Point(index=0, name='a', address='ns=2;s=a')]);"
        "print([name for name in ('asyncua', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"
