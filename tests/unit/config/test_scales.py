"""Tags whose scale is another register's, or another tag's."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.parse import load
from agent.errors import ConfigurationInvalid

HEAD = """
[gateway]
name = "g"
[[device]]
name = "inverter"
driver = "modbus"
connection = { host = "192.168.1.10", connect_delay = "2s", transaction_id = "ignore", register_bits = 16 }
  [[device.tag]]
  name = "power"
  address = "holding:40083"
  type = "int16"
"""
SCALE = """
  [[device.tag]]
  name = "power_sf"
  address = "holding:40084"
  type = "int16"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_f2_a_scale_by_register_by_tag_and_a_block(tmp_path: Path) -> None:
    for key in ('scale_register = "holding:40084"', 'scale_tag = "power_sf"'):
        device = load(write(tmp_path, f'{HEAD}  {key}\n  block = "holding:40080+8"\n{SCALE}')).devices[0]
        point = device.tags[0].point
        assert (point.scale_register, point.block) == ("holding:40084", "holding:40080+8")


def test_f2_the_hash_of_a_configuration_tells_a_scale(tmp_path: Path) -> None:
    plain = load(write(tmp_path, HEAD + SCALE)).hash
    scaled = load(write(tmp_path, f'{HEAD}  scale_tag = "power_sf"\n{SCALE}')).hash
    assert plain != scaled


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('scale_tag = "power_fs"', "power_fs"),
        ('scale_tag = "power_sf"\n  scale_register = "holding:40084"', "scale_register"),
        ('scale_register = "input:40084"', "another table"),
        ('block = "holding:1+3"', "outside its block"),
    ],
)
def test_f2_f5_what_cannot_be_is_a_problem(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        load(write(tmp_path, f"{HEAD}  {keys}\n{SCALE}"))
    assert said in str(caught.value)
    assert "inverter" in str(caught.value) or "device[0]" in str(caught.value)
