"""From an administrator's file to a prescription that a gateway takes; every mistake is one line with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.main import main
from agent.control.prescription import Verified, read_signed
from agent.control.trust import Trust, load_trust
from tests.support.control_bundles import GATEWAY, code
from tests.support.prescriptions import judged

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

DRAFT = """
id = "rx-1"
revision = 2
from = 2026-09-01
until = "2026-12-31"
text = { en = "A third is idle.", zh = "空载" }
measure = { zh = "停泵" }
target = { indicator = "ENPI.IDLE_SHARE", machine = "press-1", at_most = 0.15 }
finding = [{ rule = "idle_energy", name = "press-1", seq = 812 }, { rule = "clock_quality", name = "" }]
"""


class Admin:
    """A folder with keys of Wang and Li, both in the trust file, and a draft."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signed = folder / "rx.prescription"
        for name in ("wang", "li"):
            made = main(["admin", "keygen", "--name", name, "--out", str(folder / f"{name}.key"),
                         "--trust", str(folder / "admins.jwks")])  # fmt: skip
            assert made == 0
        self.write(DRAFT)

    def write(self, text: str) -> None:
        """The draft."""
        (self.folder / "rx.toml").write_text(text, encoding="utf-8")

    def run(self, *arguments: str, key: str = "wang") -> int:
        """``gongfu-edge admin prescribe …``; names of files are those in the folder."""
        paths = {path.name: str(path) for path in self.folder.iterdir()}
        given = [paths.get(each, each) for each in arguments]
        return main(["admin", "prescribe", *given, "--key", str(self.folder / f"{key}.key")])

    def trust(self, threshold: int = 1) -> Trust:
        """Whom the gateway trusts."""
        found = load_trust(self.folder / "admins.jwks", None)
        return Trust(found.admins, threshold)


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    return Admin(tmp_path)


def test_what_was_written_is_what_the_gateway_takes(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.run("rx.toml", "--gateway", GATEWAY) == 0
    found = judged(admin.signed.read_bytes(), admin.trust())
    assert isinstance(found, Verified)
    content = found.prescription
    assert (content.id, content.revision, str(content.until), content.measure.zh) == ("rx-1", 2, "2026-12-31", "停泵")
    assert (content.target.side, content.target.value, len(content.findings)) == ("at_most", 0.15, 2)
    assert "ENPI.IDLE_SHARE of press-1 at most 0.15" in capsys.readouterr().out


def test_a_second_administrator_adds_a_signature_and_nothing_else(admin: Admin) -> None:
    assert admin.run("rx.toml", "--gateway", GATEWAY) == 0
    before = admin.signed.read_bytes()
    assert code(judged(before, admin.trust(2))) == "not_trusted"
    for _ in range(2):  # again: the signature is replaced
        assert admin.run("--add", "rx.prescription", key="li") == 0
    after = admin.signed.read_bytes()
    assert isinstance(judged(after, admin.trust(2)), Verified)
    assert read_signed(after).sha256 == read_signed(before).sha256 and len(read_signed(after).signatures) == 2


def test_the_file_may_say_for_whom_it_is(admin: Admin) -> None:
    admin.write(f'gateway = "{GATEWAY}"\n{DRAFT}')
    assert admin.run("rx.toml") == 0
    assert isinstance(judged(admin.signed.read_bytes(), admin.trust()), Verified)
    assert admin.run("rx.toml", "--gateway", "gw-other") == 1


@pytest.mark.parametrize(
    ("old", "new", "clue"),
    [
        ("measure", "mesure", "did you mean measure?"),
        ("ENPI.IDLE_SHARE", "ENPI.IDLE_SHARES", "did you mean ENPI.IDLE_SHARE?"),
        ("at_most = 0.15", "value = 0.15", "at_most"),
        ("at_most = 0.15", "at_most = 0.15, at_least = 0.1", "at_most"),
        ("at_most = 0.15", 'at_most = "low"', "target.value"),
        ('until = "2026-12-31"', 'until = "2026-08-31"', "until"),
        ("revision = 2", "revision = 0", "revision"),
        ('measure = { zh = "停泵" }', "", "measure"),
        ('id = "rx-1"', 'id = "../rx"', "id must be"),
        ("A third is idle.", "\\u001b[2J", "control characters"),
    ],
)
def test_mistakes_are_said_in_one_line_and_nothing_is_written(
    admin: Admin, capsys: pytest.CaptureFixture[str], old: str, new: str, clue: str
) -> None:
    admin.write(DRAFT.replace(old, new))
    assert admin.run("rx.toml", "--gateway", GATEWAY) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert clue in said and "→" in said and not admin.signed.exists()


def test_for_nobody_or_of_nothing_is_an_error(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["rx.toml"], [], ["rx.toml", "--add", "rx.prescription"], ["--add", "nowhere"]):
        assert admin.run(*arguments) == 1
        assert "→" in capsys.readouterr().err


def test_no_toml_is_an_invalid_configuration(admin: Admin) -> None:
    admin.write("id = ")
    assert admin.run("rx.toml", "--gateway", GATEWAY) == 78


def test_help_shows_a_whole_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["admin", "prescribe", "--help"])
    assert "withdrawn = true" in capsys.readouterr().out
