"""F8: values of the secondary side of a transformer are told, or multiplied; never simply too small."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.model import Configuration
from agent.config.parse import loads
from tests.support.config_driver import problems_of

METER = """
[gateway]
name = "g"
[[device]]
name = "m"
driver = "modbus"
template = "chint-dtsu666"
connection = { host = "h" }
"""


def meter(keys: str = "") -> Configuration:
    return loads(METER + keys, Path("config.toml"))


def points(keys: str) -> dict[str, tuple[float, tuple[str, ...]]]:
    (device,) = meter(keys).devices
    return {tag.point.name: (round(tag.point.scale, 9), tag.point.factors) for tag in device.tags}


def test_f8_a_template_of_the_secondary_side_says_so_until_the_ratios_are_given() -> None:
    (line,) = meter().warnings
    assert "values of the secondary side of a transformer" in line
    assert 'ct_ratio = "holding:0x0006" and vt_ratio = "holding:0x0007*0.1"' in line
    (half,) = meter("ct_ratio = 33\n").warnings
    assert "vt_ratio" in half and "ct_ratio =" not in half
    assert meter("ct_ratio = 33\nvt_ratio = 1\n").warnings == ()


def test_f8_numbers_multiply_what_needs_them() -> None:
    found = points("ct_ratio = 33\nvt_ratio = 100\n")
    assert found["u_a"] == (10.0, ())
    assert found["i_a"] == (0.033, ())
    assert found["p_total"] == (330.0, ())
    assert found["energy"] == (3300.0, ())
    assert found["freq"] == (0.01, ())


def test_f8_registers_are_read_with_the_values() -> None:
    found = points('ct_ratio = "holding:0x0006"\nvt_ratio = "holding:0x0007*0.1"\n')
    assert found["i_a"] == (0.001, ("holding:0x0006",))
    assert found["p_total"] == (0.01, ("holding:0x0006", "holding:0x0007"))
    assert found["freq"] == (0.01, ())


@pytest.mark.parametrize(
    "ratio", ["0", "-3", "nan", "inf", '""', '" "', '"holding:6*0"', '"nonsense:6"', "true", "[33]"]
)
def test_f8_what_is_no_ratio_is_refused(ratio: str) -> None:
    assert problems_of(METER + f"ct_ratio = {ratio}\nvt_ratio = 1\n")


def test_f8_a_template_of_the_primary_side_asks_for_nothing() -> None:
    text = METER.replace("chint-dtsu666", "eastron-sdm630")
    assert loads(text, Path("config.toml")).warnings == ()
