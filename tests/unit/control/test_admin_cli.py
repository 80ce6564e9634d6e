"""The administrators' commands: from a key to a bundle that a gateway takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from agent.cli.main import main
from agent.control.bundle import Bundle, read_envelope
from agent.control.secrets import EncryptionKey
from agent.control.trust import Trust, load_trust
from tests.support.config_driver import device, tag, use_plc
from tests.support.control_bundles import CONFIG, GATEWAY, code, judged

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

FOR = ["--gateway", GATEWAY, "--revision", "7"]


class Admin:
    """A folder with keys of Wang and Li, a trust file and a draft."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trust = folder / "admins.jwks"
        self.bundle = folder / "change.bundle"
        (folder / "change.toml").write_text(CONFIG)

    def run(self, *arguments: str) -> int:
        """``gongfu-edge admin …``; names of files are those in the folder."""
        paths = {path.name: str(path) for path in self.folder.iterdir()} | {"out": str(self.folder / "out")}
        return main(["admin", *(paths.get(each, each) for each in arguments)])

    def keygen(self, name: str, *more: str) -> int:
        """A key in ``<name>.key``, added to the trust file."""
        out, trust = str(self.folder / f"{name}.key"), str(self.trust)
        return self.run("keygen", "--name", name, "--out", out, "--trust", trust, *more)

    def trusted(self) -> Trust:
        """The trust file as a gateway reads it."""
        return load_trust(self.trust, None)


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    made = Admin(tmp_path)
    assert made.keygen("wang") == 0
    return made


def _now(data: bytes) -> int:
    return read_envelope(data).payload.issued_us


def test_a_key_is_private_and_its_public_half_can_be_pinned(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.keygen("li") == 0
    private = json.loads((admin.folder / "li.key").read_bytes())
    assert (admin.folder / "li.key").stat().st_mode & 0o777 == 0o600
    out = capsys.readouterr().out
    assert json.loads(out)["name"] == "li" and private["d"] not in out
    assert private["d"] not in admin.trust.read_text()
    assert [each.name for each in admin.trusted().admins] == ["wang", "li"]


def test_a_key_is_never_overwritten(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    before = (admin.folder / "wang.key").read_bytes()
    assert admin.keygen("wang") == 1
    assert "not overwritten" in capsys.readouterr().err
    assert (admin.folder / "wang.key").read_bytes() == before


def test_a_threshold_that_nobody_could_reach_is_refused(admin: Admin) -> None:
    assert admin.keygen("li", "--threshold", "3") == 1
    assert admin.trusted().threshold == 1


def test_a_key_that_others_may_read_does_not_sign(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    (admin.folder / "wang.key").chmod(0o644)
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key") == 1
    assert "chmod 600" in capsys.readouterr().err and not admin.bundle.exists()


@pytest.mark.parametrize("text", ["", "{}", '{"kty": "OKP"}', "[]", "-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_key_is_said_so(admin: Admin, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (admin.folder / "bad.key").write_text(text)
    (admin.folder / "bad.key").chmod(0o600)
    assert admin.run("sign", "change.toml", *FOR, "--key", "bad.key") == 1
    assert "no administrator's key" in capsys.readouterr().err


def test_what_is_signed_is_taken_by_the_gateway(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key") == 0
    data = admin.bundle.read_bytes()
    found = judged(data, admin.trusted(), now_us=_now(data))
    assert isinstance(found, Bundle) and found.payload.config == CONFIG
    assert found.payload.expires_us - found.payload.issued_us == 30 * 86_400_000_000
    assert admin.run("verify", "change.bundle", "--trust", "admins.jwks", "--show") == 0
    out = capsys.readouterr().out
    assert GATEWAY in out and "signed by  wang" in out and CONFIG.strip() in out and out.endswith("verified\n")


def test_a_selector_addresses_all_that_match(admin: Admin) -> None:
    chosen = ["--selector", "park=hongkou-01, chain=auto-parts", "--revision", "7"]
    assert admin.run("sign", "change.toml", *chosen, "--key", "wang.key", "--out", "out") == 0
    data = (admin.folder / "out").read_bytes()
    assert isinstance(judged(data, admin.trusted(), now_us=_now(data)), Bundle)


def test_two_administrators_sign_one_after_the_other(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.keygen("li", "--threshold", "2") == 0
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key") == 0
    assert admin.run("sign", "--add", "change.bundle", "--key", "wang.key") == 0
    assert admin.run("verify", "change.bundle", "--trust", "admins.jwks") == 1
    data = admin.bundle.read_bytes()
    assert code(judged(data, admin.trusted(), now_us=_now(data))) == "not_trusted"
    capsys.readouterr()
    assert admin.run("sign", "--add", "change.bundle", "--key", "li.key") == 0
    assert CONFIG.strip() in capsys.readouterr().out  # nobody signs what he has not seen
    assert admin.run("verify", "change.bundle", "--trust", "admins.jwks") == 0
    data = admin.bundle.read_bytes()
    assert isinstance(judged(data, admin.trusted(), now_us=_now(data)), Bundle)


def test_administrators_are_rotated_by_a_bundle(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    new = admin.folder / "new.jwks"
    assert admin.run("keygen", "--name", "zhao", "--out", "out", "--trust", str(new)) == 0
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key", "--trust", "new.jwks") == 0
    assert "rotates    the administrators to zhao" in capsys.readouterr().out
    assert read_envelope(admin.bundle.read_bytes()).payload.trust == json.loads(new.read_bytes())


@pytest.mark.parametrize("period", ["7s", "1x"])
def test_an_unsound_draft_is_not_signed(admin: Admin, capsys: pytest.CaptureFixture[str], period: str) -> None:
    (admin.folder / "change.toml").write_text(f'[digest]\nperiod = "{period}"\nshar = []')
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key") == 78
    assert "digest.shar" in capsys.readouterr().err and not admin.bundle.exists()


def test_with_a_gateways_file_the_changes_are_shown_first(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    (admin.folder / "config.toml").write_text('[gateway]\nname = "g"\n[remote]\nallow = ["digest"]\n')
    signing = ["sign", "change.toml", "--gateway", GATEWAY, "--key", "wang.key", "--against", "config.toml"]
    (admin.folder / "change.toml").write_text('[digest]\nperiod = "5m"')
    assert admin.run(*signing, "--revision", "7") == 0
    assert '+ digest.period = "5m"' in capsys.readouterr().out
    (admin.folder / "change.toml").write_text('[digest]\nperiod = "10m"')
    assert admin.run(*signing, "--revision", "8", "--replaces", "change.bundle") == 0
    assert '~ digest.period = "5m" → "10m"' in capsys.readouterr().out
    (admin.folder / "change.toml").write_text('[digest]\nshare = ["p.a"]')
    assert admin.run(*signing, "--revision", "9") == 78


def test_secrets_are_sealed_for_the_keys_that_are_named(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_plc(monkeypatch)
    key = EncryptionKey(OKPKey.generate_key("X25519"))
    (admin.folder / "gateways.jwks").write_text(json.dumps({"keys": [key.public_jwk()]}))
    (admin.folder / "change.toml").write_text(device('host = "h", password = { secret = "hunter2" }') + tag())
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key", "--recipient", "gateways.jwks") == 0
    assert f"1 sealed for {key.thumbprint}" in capsys.readouterr().out
    assert "hunter2" not in read_envelope(admin.bundle.read_bytes()).payload.config
    (admin.folder / "gateways.jwks").write_text('{"keys": [{"kty": "OKP"}]}')
    assert admin.run("sign", "change.toml", *FOR, "--key", "wang.key", "--recipient", "gateways.jwks") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign", "--key", "wang.key"],
        ["sign", "change.toml", "--key", "wang.key"],
        ["sign", "change.toml", "--key", "wang.key", "--gateway", GATEWAY],
        ["sign", "change.toml", "--key", "wang.key", *FOR, "--valid", "long"],
        ["sign", "change.toml", "--key", "wang.key", "--gateway", GATEWAY, "--revision", "0"],
        ["sign", "change.toml", "--key", "wang.key", "--gateway", "../x", "--revision", "7"],
        ["sign", "change.toml", "--key", "absent.key", *FOR],
        ["sign", "--add", "change.toml", "--key", "wang.key"],
        ["sign", "--add", "absent", "--key", "wang.key"],
        ["sign", "change.toml", "--key", "wang.key", *FOR, "--trust", "change.toml"],
        ["verify", "change.toml", "--trust", "admins.jwks"],
        ["verify", "change.toml", "--trust", "absent"],
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_the_remedy(
    admin: Admin, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    capsys.readouterr()
    assert admin.run(*arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "→" in said and not admin.bundle.exists()


@pytest.mark.parametrize("text", ["park", "park=", "enterprise=x", "park=a,park=b", ""])
def test_a_selector_that_selects_nothing_is_a_matter_of_usage(admin: Admin, text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        admin.run("sign", "change.toml", "--key", "wang.key", "--revision", "7", "--selector", text)
    assert ended.value.code == 2
