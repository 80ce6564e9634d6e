"""Two files that mean the same have the same hash, and no others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agent.config.canonical import canonical
from tests.support.config_driver import device, made, tag, use_plc

HEAD = '[gateway]\nname = "g"\n'
BASE = HEAD + device(tags=tag("a", scale="2", invalid="[7]") + tag("b"))


@pytest.fixture(autouse=True)
def plc(monkeypatch):
    use_plc(monkeypatch)


def _hash(text: str, **environ: str) -> str:
    return made(text, **environ).hash


@pytest.mark.parametrize(
    "same",
    [
        "# a remark\n" + BASE.replace(" = ", "="),
        device(tags=tag("a", scale="2.0", invalid="['7']") + tag("b")) + HEAD,
        HEAD + device(tags=tag("b") + tag("a", scale="2", invalid="[0x7]")),
        BASE + "[buffer]\nflush = '5000ms'\nmax_size = '2000MB'\n",
        BASE + "[digest]\nrollups = ['week', 'day', 'month', 'shift']\n",
        HEAD + device('port = 502, host = "h"', tag("a", scale="2", invalid="[7.0]") + tag("b", count="1")),
        HEAD + device('host = { env = "HOST" }', tag("a", scale="2", invalid="[7]") + tag("b")),
    ],
)
def test_the_same_meaning_has_the_same_hash(same):
    assert _hash(same, HOST="h") == _hash(BASE)


def test_the_order_of_devices_does_not_matter():
    one, other = device(), device(name="q")
    assert _hash(HEAD + one + other) == _hash(HEAD + other + one)


def test_a_tag_means_the_same_in_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("name,address,scale,invalid\na,holding:1,2,7\nb,holding:1,,\n")
    assert _hash(HEAD + device(tags_file=str(tmp_path / "t.csv"))) == _hash(BASE)
    (tmp_path / "t.csv").write_text("name,address,scale,invalid\na,holding:1,2,7\nb,holding:2,,\n")
    assert _hash(HEAD + device(tags_file=str(tmp_path / "t.csv"))) != _hash(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"g"', '"h"'),
        ("scale = 2", "scale = 3"),
        ("[7]", '["nan"]'),
        ("[7]", "[8]"),
        ('name = "b"', 'name = "c"'),
        ('host = "h"', 'host = "i"'),
        ('host = "h"', 'host = "h", password = "x"'),
        ('name = "p"', 'name = "p"\ninterval = "2s"'),
        ("[gateway]", '[digest]\nshare = ["p.a"]\n[gateway]'),
        ("[gateway]", '[digest]\nrollups = ["day"]\n[gateway]'),
        ("[gateway]", '[platform]\nurl = "https://x"\nproxy = "http://u:pw@proxy:1"\n[gateway]'),
    ],
)
def test_another_meaning_has_another_hash(old, new):
    assert _hash(BASE.replace(old, new, 1)) != _hash(BASE)


def test_a_changed_secret_changes_the_hash_and_is_not_in_the_form():
    text = (
        HEAD
        + '[platform]\nurl = "https://x"\nproxy = { env = "PROXY" }\n'
        + device('host = "h", password = { env = "PW" }')
    )
    one = made(text, PROXY="http://u:swordfish@proxy:1", PW="hunter2")
    assert made(text, PROXY="http://u:two@proxy:1", PW="hunter2").hash != one.hash
    assert made(text, PROXY="http://u:swordfish@proxy:1", PW="hunter3").hash != one.hash
    form = canonical(one.file, one.devices)
    assert b"hunter2" not in form
    assert b"swordfish" not in form


def test_the_hash_is_the_same_in_every_process():
    program = (
        "from pathlib import Path; from agent.config.parse import loads;"
        """print(loads('[gateway]\\nname = "g"\\n[remote]\\nallow = ["device", "digest"]', Path("c.toml"), {}).hash)"""
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1
