"""What an administrator wrote: checked as a gateway checks it, secrets sealed, changes shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from agent.config.overlay import SECTIONS
from agent.control.content import read_content
from agent.control.draft import against, of_bundle, read_draft
from agent.control.secrets import EncryptionKey
from agent.errors import ConfigurationInvalid
from tests.support.config_driver import device, tag, use_plc

FIRST, SECOND = (EncryptionKey(OKPKey.generate_key("X25519")) for _ in range(2))
KEYS = [FIRST.public_jwk(), SECOND.public_jwk()]
LOCAL = '[gateway]\nname = "g"\n[remote]\nallow = ["device", "digest"]\n'


@pytest.fixture(autouse=True)
def _plc(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plc(monkeypatch)


def _file(folder: Path, text: str, name: str = "press.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationInvalid) as error:
        read_draft(_file(folder, text), KEYS)
    return error.value.problems


def _changes(folder: Path, local: str, text: str, old: str = "") -> list[str]:
    draft = read_draft(_file(folder, text), KEYS)
    return against(_file(folder, local, "config.toml"), of_bundle(old, "old") if old else None, draft.open)


def test_a_draft_without_secrets_is_signed_word_for_word(tmp_path: Path) -> None:
    text = "# why\n" + device() + tag()
    draft = read_draft(_file(tmp_path, text))
    assert (draft.text, draft.secrets) == (text, 0)


def test_a_secret_is_sealed_for_every_recipient_and_opened_by_each(tmp_path: Path) -> None:
    draft = read_draft(_file(tmp_path, device('host = "h", password = { secret = "hunter2" }') + tag()), KEYS)
    assert "hunter2" not in draft.text and draft.secrets == 1
    assert isinstance(read_content(draft.text, SECTIONS), dict)
    sealed = tomllib.loads(draft.text)["device"][0]["connection"]["password"]["jwe"]
    assert [key.decrypt(sealed) for key in (FIRST, SECOND)] == ["hunter2", "hunter2"]


def test_a_secret_may_come_from_the_administrators_own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("from-file\n")
    monkeypatch.setenv("PRESS_USER", "from-env")
    connection = (
        'host = "h", password = { secret = { file = "pw" } }, headers = { token = { secret = { env = "PRESS_USER" } } }'
    )
    found = tomllib.loads(read_draft(_file(tmp_path, device(connection)), KEYS).text)["device"][0]["connection"]
    assert FIRST.decrypt(found["password"]["jwe"]) == "from-file"
    assert FIRST.decrypt(found["headers"]["token"]["jwe"]) == "from-env"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (device('hosst = "h"'), "hosst"),
        (device('host = "h", port = 70000'), "70000"),
        (device('host = "h", password = { file = "/etc/shadow" }'), "reference"),
        (device('host = "h", password = { env = "HOME" }'), "reference"),
        (device(tags_file="/etc/passwd"), "path"),
        (device(driver="profinet"), "profinet"),
        ('[gateway]\nname = "x"', "gateway"),
        ('[remote]\nallow = ["device"]', "remote"),
        ('[digest]\nperiod = "7s"\nperiods = "1s"', "periods"),
        ("[[device]", "press.toml:1"),
        (device('host = "h", password = { secret = 3 }'), "text"),
        (device('host = "h", password = "hunter2"'), "in the clear"),
        (device('host = "h", headers = { x_api_key = "hunter2" }'), "in the clear"),
        (device('host = "h", password = { secret = { file = "absent" } }'), "absent"),
        ('[platform]\nurl = "http://platform.example/api/v1"', "https"),
        ('[platform]\nurl = "https://platform.example"\nca = "/etc/ssl/x"', "PEM"),
        ('platform = "x"', "table"),
    ],
)
def test_what_a_gateway_would_refuse_is_not_signed(tmp_path: Path, text: str, said: str) -> None:
    assert said in "; ".join(_problems(tmp_path, text))


def test_a_faulty_secret_is_not_shown(tmp_path: Path) -> None:
    found = _problems(tmp_path, device('host = { secret = "hunter 2" }') + device('port = { secret = "hunter 2" }'))
    assert found and "hunter 2" not in "; ".join(found)


def test_a_secret_without_recipients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="--recipient"):
        read_draft(_file(tmp_path, device('host = "h", password = { secret = "x" }')))


def test_a_candidate_platform_is_sound(tmp_path: Path) -> None:
    text = '[platform]\nurl = "https://platform.example/api/v1"\nca = """-----BEGIN CERTIFICATE-----\n"""'
    assert read_draft(_file(tmp_path, text)).text == text


def test_the_changes_to_the_effective_configuration_are_shown(tmp_path: Path) -> None:
    local = LOCAL + device() + tag() + tag("b", "holding:2")
    lines = _changes(tmp_path, local, device('host = "h2"') + tag() + tag("c", "holding:3", unit='"°C"'))
    assert "device p: changed (p.a, p.c)" in lines
    assert '  ~ device.p.connection.host = "h" → "h2"' in lines
    assert '  + device.p.tag.c.unit = "°C"' in lines
    assert '  - device.p.tag.b.address = "holding:2"' in lines


def test_the_bundle_in_force_is_what_is_replaced(tmp_path: Path) -> None:
    local = LOCAL + device() + tag()
    lines = _changes(tmp_path, local, device('host = "h3"') + tag(), old=device('host = "h2"') + tag())
    assert '  ~ device.p.connection.host = "h2" → "h3"' in lines
    assert _changes(tmp_path, local, device('host = "h2"') + tag(), old=device('host = "h2"') + tag()) == []


def test_secrets_of_the_gateway_are_neither_needed_nor_shown(tmp_path: Path) -> None:
    local = LOCAL + device('host = "h", password = { file = "/absent/on/this/machine" }') + tag()
    lines = _changes(tmp_path, local, device('host = "h", password = { secret = "hunter2" }', interval="2s") + tag())
    assert '  + device.p.interval = "2s"' in lines
    assert "hunter2" not in str(lines)


def test_tags_that_the_whole_does_not_have_are_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"p\.b"):
        _changes(tmp_path, LOCAL + device() + tag(), '[digest]\nshare = ["p.b"]')
    assert _changes(tmp_path, LOCAL + device() + tag(), '[digest]\nshare = ["p.a"]')


def test_sections_that_the_gateway_does_not_allow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="sections_not_allowed"):
        _changes(tmp_path, LOCAL, '[[equipment]]\nname = "e"')


def test_a_local_file_with_problems_of_its_own_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="buffer"):
        _changes(tmp_path, LOCAL + "[buffer]\nmax_size = 3", device() + tag())
