"""config.example.toml is valid as it is and with every setting switched on, and names every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.config import templates
from agent.config.model import FileSection
from agent.config.parse import load
from agent.config.problems import Problems

EXAMPLE = Path(__file__).parents[3] / "config.example.toml"
ON = re.sub(r"(?m)^#(?=[^\s#])", "", EXAMPLE.read_text(encoding="utf-8"))


def test_it_is_valid_as_it_is():
    configuration = load(EXAMPLE, {})
    assert configuration.file.platform is None
    assert configuration.file.digest.share == ()
    assert configuration.file.remote.allow == ()
    assert [device.name for device in configuration.devices] == ["press-1", "meter-1", "cnc-1"]


def test_it_is_valid_with_everything_switched_on(tmp_path):
    (tmp_path / "press-1.csv").write_text("name,address,type\nspeed,holding:400,uint16\n")
    path = tmp_path / "config.toml"
    path.write_text(ON, encoding="utf-8")
    configuration = load(path, {})
    assert configuration.file.platform is not None
    assert configuration.file.equipment[0].energy == "meter-1.energy"


def test_it_shows_every_key():
    assert list(_absent(tomllib.loads(ON), FileSection, "")) == []


def _absent(given: Any, struct: type[msgspec.Struct], path: str):
    tables = given if isinstance(given, list) else [given]
    for field in msgspec.structs.fields(struct):
        here = f"{path}{field.encode_name}"
        values = [table[field.encode_name] for table in tables if field.encode_name in table]
        if not values:
            yield here
        for inner in (field.type, *get_args(field.type)):
            if values and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                flat = [each for value in values for each in (value if isinstance(value, list) else [value])]
                yield from _absent(flat, inner, f"{here}.")


@pytest.mark.parametrize("name", templates.names())
def test_templates_are_usable(name):
    problems = Problems()
    template = templates.load(name, problems)
    assert template is not None
    assert problems.lines == ()
    assert template.driver == "modbus"
    tags = {str(values["name"]): values for _, values in template.rows}
    assert {"u_a", "u_b", "u_c", "i_a", "i_b", "i_c", "p_total", "energy"} <= set(tags)
    assert (tags["u_a"]["unit"], tags["p_total"]["unit"], tags["energy"]["unit"]) == ("V", "W", "kWh")
    assert tags["energy"]["kind"] == "counter"


@pytest.mark.parametrize("name", templates.names())
def test_templates_are_accepted_by_their_driver(name, tmp_path):
    path = tmp_path / "config.toml"
    connection = '{ transport = "tcp", host = "h" }'
    path.write_text(
        f'[gateway]\nname = "g"\n[[device]]\nname = "m"\ndriver = "modbus"\n'
        f'connection = {connection}\ntemplate = "{name}"\n'
    )
    assert len(load(path, {}).devices[0].tags) >= 8


def test_templates_say_that_they_are_unverified():
    for path in (Path(templates.__file__).parent / "templates").glob("*.csv"):
        assert templates.head(path.read_bytes())["verified"] == "no"


def test_the_five_meters_have_templates():
    assert templates.names() == [
        "acrel-adw300",
        "chint-dtsu666",
        "eastron-sdm630",
        "schneider-iem3000",
        "siemens-pac2200",
    ]


def test_a_template_can_be_overridden_key_by_key(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        '[gateway]\nname = "g"\n[[device]]\nname = "m"\ndriver = "modbus"\ntemplate = "chint-dtsu666"\n'
        'connection = { transport = "tcp", host = "h" }\n'
        '[[device.tag]]\nname = "p_total"\nscale = 4\n'
        '[[device.tag]]\nname = "own"\naddress = "holding:1"\ntype = "uint16"\n'
    )
    tags = {tag.series: tag for tag in load(path, {}).devices[0].tags}
    assert (tags["m.p_total"].point.scale, tags["m.p_total"].point.address) == (4.0, "holding:0x2012")
    assert "m.own" in tags
