"""What a bundle's TOML may say."""

from __future__ import annotations

from typing import get_args

import pytest

from agent.config.overlay import SECTIONS
from agent.config.parse import loads
from agent.control.content import read_content, refusal_of
from agent.control.reasons import CODES, Code, Refusal
from agent.errors import ConfigurationInvalid
from tests.support.config_driver import CONFIG, device, use_plc
from tests.support.control_bundles import code

SEALED = "eyJhbGciOiJFQ0RILUVTK0EyNTZLVyJ9.a.b.c.d"


def _read(text: str, allow: tuple[str, ...] = SECTIONS) -> object:
    return read_content(text, allow)


def test_the_overlay_is_given_as_plain_values() -> None:
    assert _read('[digest]\nperiod = "5m"') == {"digest": {"period": "5m"}}
    assert _read("") == {}


def test_only_sections_that_the_local_file_allows() -> None:
    text = '[digest]\nperiod = "5m"\n[[device]]\nname = "p"\n'
    assert isinstance(_read(text, ("digest", "device")), dict)
    found = _read(text, ("digest",))
    assert isinstance(found, Refusal) and found.code == "sections_not_allowed" and "[device]" in found.text


@pytest.mark.parametrize("section", ["gateway", "enterprise", "remote", "buffer", "console", "devcie"])
def test_some_sections_are_local_whatever_is_allowed(section: str) -> None:
    assert code(_read(f"[{section}]", (*SECTIONS, section))) == "sections_not_allowed"


@pytest.mark.parametrize("text", ["=", "[digest", "a = 1\na = 2", "x = " + "[" * 9_999, "[[device]]\nname = p"])
def test_what_is_no_toml_is_invalid(text: str) -> None:
    assert code(_read(text)) == "invalid"


@pytest.mark.parametrize(
    "connection",
    [
        'password = { file = "/etc/shadow" }',
        'password = { env = "HOME" }',
        'ca_file = "ca.pem"',
        'cert_file = "/etc/ssl/x"',
        'headers = { x = { file = "y" } }',
        'port = "spy:///dev/ttyUSB0?file=/etc/cron.d/x"',
        'port = "/dev/../etc/passwd"',
        'port = "/etc/passwd"',
        'port = "socket://10.0.0.1:1"',
        'host = "/run/x.sock"',
        'host = "~/x"',
        'host = "../x"',
        'host = "a/../../x"',
        'url = "file:///etc/passwd"',
        'password = { jwe = "x" }',
        f'password = {{ jwe = "{SEALED}  {SEALED}" }}',
        f'password = {{ jwe = ["{SEALED}", 3] }}',
        "password = { jwe = [] }",
        f'port = {{ jwe = "{SEALED}" }}',
        f'key_file = {{ jwe = "{SEALED}" }}',
        f'private_key = {{ jwe = "{SEALED}" }}',
        'certificate = "user.pem"',
    ],
)
def test_nothing_from_outside_names_a_path(connection: str) -> None:
    found = _read(f'[[device]]\nname = "p"\ndriver = "modbus"\nconnection = {{ {connection} }}')
    assert code(found) == "invalid"


def test_neither_a_table_nor_a_list_of_them_hides_a_path() -> None:
    assert code(_read('[[device]]\nname = "p"\ntags_file = "p.csv"')) == "invalid"
    assert code(_read('[[device]]\nconnection = { servers = [{ key_file = "x" }] }')) == "invalid"
    assert code(_read('[platform]\nurl = "https://x.example"\nca_file = "/etc/ssl/x"')) == "invalid"
    assert code(_read('[platform]\nproxy = "http://x.example:1"')) == "invalid"


@pytest.mark.parametrize(
    "connection",
    [
        'host = "192.168.1.10", port = 502',
        'transport = "rtu", port = "/dev/ttyUSB0"',
        'port = "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"',
        'url = "opc.tcp://192.168.1.20:4840/Server"',
        f'username = {{ jwe = "{SEALED}" }}, password = {{ jwe = "{SEALED}" }}',
        f'password = {{ jwe = "{SEALED} {SEALED}" }}',
        f'password = {{ jwe = ["{SEALED}", "{SEALED}"] }}',
        'ca_file = ""',
    ],
)
def test_what_a_device_needs_is_said(connection: str) -> None:
    assert isinstance(_read(f'[[device]]\nname = "p"\nconnection = {{ {connection} }}'), dict)


def test_a_browse_path_is_an_address_and_no_file() -> None:
    text = '[[device]]\nname = "c"\n[[device.tag]]\nname = "load"\naddress = "/Objects/2:CNC/2:Load"'
    assert isinstance(_read(text), dict)


def test_a_candidate_platform_comes_with_its_certificate_as_text() -> None:
    assert isinstance(_read('[platform]\nurl = "https://x.example"\nca = "-----BEGIN CERTIFICATE-----"'), dict)


def _refused(text: str) -> Refusal:
    with pytest.raises(ConfigurationInvalid) as caught:
        loads('[gateway]\nname = "g"\n' + text, CONFIG)
    return refusal_of(caught.value)


def test_what_is_well_said_and_not_here_is_unresolvable(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plc(monkeypatch)
    assert _refused('[digest]\nshare = ["press-9.total"]').code == "unresolvable"
    assert _refused('[[device]]\nname = "p"\ndriver = "profinet"').code == "unresolvable"
    assert _refused(device(template="unheard-of")).code == "unresolvable"
    assert _refused(device() + '[[equipment]]\nname = "e"\nproduced = "p.total"').code == "unresolvable"


def test_a_fault_beside_what_is_not_here_is_invalid() -> None:
    found = _refused('[digest]\nshare = ["press-9.total"]\nperiod = "7s"')
    assert found.code == "invalid" and "press-9" in found.text


def test_many_problems_are_counted_and_few_are_told() -> None:
    found = refusal_of(ConfigurationInvalid(tuple(f"p{number}" for number in range(9))))
    assert found.line() == "invalid: p0; p1; p2; p3; p4; and 4 more"


def test_the_codes_stand_in_the_order_of_the_checks() -> None:
    assert get_args(Code) == CODES
    assert CODES[:6] == ("malformed", "not_trusted", "not_addressed", "expired", "clock_untrusted", "not_newer")
