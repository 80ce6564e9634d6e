"""A7: what comes from outside can only tighten who is told what, however it names, reads or scales the data."""

from __future__ import annotations

import pytest

from agent.config.model import Configuration
from agent.config.overlay import Overlay
from agent.config.parse import loads
from agent.digest.equipment.spec import compile_machines
from agent.errors import ConfigurationInvalid
from tests.support.config_driver import CONFIG

LOCAL = """
[gateway]
name = "g"
[remote]
allow = ["device", "equipment", "digest"]
[digest]
share = []
[[device]]
name = "press"
driver = "modbus"
connection = { host = "10.0.0.5", unit = 1 }
[[device.tag]]
name = "temp"
address = "holding:10"
[[device.tag]]
name = "recipe"
address = "holding:100"
type = "float32"
sensitivity = 3
[[device.tag]]
name = "force"
address = "holding:110"
type = "float32"
[[device.tag]]
name = "order"
address = "holding:200"
type = "string"
length = 20
[[device]]
name = "cnc"
driver = "opcua"
connection = { url = "opc.tcp://10.0.0.6" }
[[device.tag]]
name = "load"
address = "ns=2;s=Load"
[[device.tag]]
name = "program"
address = "ns=2;s=Program"
sensitivity = 3
"""


def laid_over(overlay: str, local: str = LOCAL) -> Configuration:
    return loads(local, CONFIG, {}, Overlay(overlay, "revision 7"))


def device(
    tag: str, name: str = "press", connection: str = 'host = "10.0.0.5", unit = 1', driver: str = "modbus"
) -> str:
    return f'[[device]]\nname = "{name}"\ndriver = "{driver}"\nconnection = {{ {connection} }}\n[[device.tag]]\n{tag}\n'


def sensitivity(configuration: Configuration, series: str) -> int:
    return next(tag.sensitivity for each in configuration.devices for tag in each.tags if tag.series == series)


OPCUA = {"driver": "opcua", "name": "x"}
SECRET_AGAIN = {
    "the same name without its sensitivity": device('name = "recipe"\naddress = "holding:100"\ntype = "float32"'),
    "the same name at another address": device('name = "recipe"\naddress = "holding:900"'),
    "another name": device('name = "x"\naddress = "holding:100"\ntype = "float32"'),
    "another notation": device('name = "x"\naddress = "40101"'),
    "hexadecimal": device('name = "x"\naddress = "holding:0x64"'),
    "a scaled copy": device('name = "x"\naddress = "holding:100"\ntype = "float32"\nscale = 3.0\noffset = 1.0'),
    "one half of it": device('name = "x"\naddress = "holding:101"'),
    "one bit of it": device('name = "x"\naddress = "holding:101.3"\ntype = "bool"'),
    "an array over it": device('name = "x"\naddress = "holding:98"\ncount = 4'),
    "the same register in the other table": device('name = "x"\naddress = "input:100"\ntype = "float32"'),
    "a device of another name": device('name = "x"\naddress = "holding:100"', name="other"),
    "another unit id of the same host": device(
        'name = "x"\naddress = "holding:100"', name="other", connection='host = "10.0.0.5", unit = 9'
    ),
    "another transport": device(
        'name = "x"\naddress = "holding:100"', name="other", connection='transport = "udp", host = "10.0.0.5"'
    ),
    "the host by a name": device('name = "x"\naddress = "holding:100"', name="other", connection='host = "plc.local"'),
    "the host in IPv6": device(
        'name = "x"\naddress = "holding:100"', name="other", connection='host = "::ffff:10.0.0.5"'
    ),
    "text read as a number": device('name = "x"\naddress = "holding:205"'),
    "a node by the namespace's URI": device(
        'name = "x"\naddress = "nsu=urn:cnc;s=Program"', connection='url = "opc.tcp://10.0.0.6:4841"', **OPCUA
    ),
    "a node by a browse path": device(
        'name = "x"\naddress = "/Objects/2:Program"', connection='url = "opc.tcp://10.0.0.6"', **OPCUA
    ),
}


@pytest.mark.parametrize("overlay", SECRET_AGAIN.values(), ids=SECRET_AGAIN)
def test_a7_secret_data_stays_secret(overlay: str) -> None:
    outside = "other" if '"other"' in overlay else "x" if "opcua" in overlay else "press"
    configuration = laid_over(overlay)
    theirs = [tag for each in configuration.devices if each.name == outside for tag in each.tags]
    assert theirs and max(tag.sensitivity for tag in theirs) == 3
    name = theirs[0].series.partition("[")[0]
    with pytest.raises(ConfigurationInvalid, match="never leaves the plant"):
        laid_over(f'digest.share = ["{name}", "{theirs[-1].series}"]\n{overlay}')


OTHER_DATA = {
    "beside it": device('name = "x"\naddress = "holding:102"'),
    "another host": device('name = "x"\naddress = "holding:100"', name="other", connection='host = "10.0.0.7"'),
    "another unit of a serial line": device(
        'name = "x"\naddress = "holding:100"',
        name="other",
        connection='transport = "rtu", port = "/dev/ttyUSB0", unit = 4',
    ),
    "the tag that it was": device('name = "temp"\naddress = "holding:10"'),
    "another node": device('name = "x"\naddress = "ns=2;s=Load"', connection='url = "opc.tcp://10.0.0.6"', **OPCUA),
}


@pytest.mark.parametrize("overlay", OTHER_DATA.values(), ids=OTHER_DATA)
def test_a7_other_data_is_what_the_overlay_says(overlay: str) -> None:
    local = LOCAL.replace(
        '[[device]]\nname = "cnc"',
        '[[device]]\nname = "meter"\ndriver = "modbus"\nconnection = { transport = "rtu", '
        'port = "/dev/ttyUSB0", unit = 3 }'
        '\n[[device.tag]]\nname = "p"\naddress = "holding:100"\nsensitivity = 3\n[[device]]\nname = "cnc"',
    )
    configuration = laid_over(overlay, local)
    outside = [each for each in configuration.devices if f'name = "{each.name}"' in overlay.partition("tag")[0]]
    assert [tag.sensitivity for each in outside for tag in each.tags] == [1]


def test_a7_never_share_holds_against_everything() -> None:
    local = LOCAL.replace("[digest]\n", '[digest]\nnever_share = ["*.FORCE*", "*.formula"]\n')
    assert sensitivity(loads(local, CONFIG, {}), "press.force") == 3
    for name, address in (
        ("force", "holding:110"),
        ("x", "holding:111"),
        ("ＦＯＲＣＥ_2", "holding:500"),
        ("formula", "holding:500"),
    ):
        overlay = device(f'name = "{name}"\naddress = "{address}"\nsensitivity = 1')
        with pytest.raises(ConfigurationInvalid, match="never"):
            laid_over(f'digest.share = ["press.{name}"]\n{overlay}', local)
    for change in ("never_share = []", 'never_share = ["nothing"]'):
        with pytest.raises(ConfigurationInvalid, match="cannot be changed from outside"):
            laid_over(f"[digest]\n{change}\n", local)
    with pytest.raises(ConfigurationInvalid, match="never_share"):
        loads(local.replace("share = []", 'share = ["press.force"]'), CONFIG, {})


def test_a7_a_local_share_is_of_the_data_that_it_was_given_for() -> None:
    local = LOCAL.replace('"equipment", "digest"', '"equipment"').replace("share = []", 'share = ["press.temp"]')
    moved = device('name = "temp"\naddress = "holding:110"\ntype = "float32"')
    with pytest.raises(ConfigurationInvalid, match="which the local file does not share"):
        laid_over(moved, local)
    assert laid_over(
        device('name = "temp"\naddress = "holding:11"'), local
    )  # data of which the local file says nothing


AUDIENCES = (
    LOCAL.replace("share = []", 'share = ["press.temp", "cnc.load"]')
    + """
[[equipment]]
name = "press"
produced = "press.temp"
[[equipment]]
name = "cnc"
produced = "cnc.load"
[[audience]]
name = "owner"
url = "https://owner.example"
sections = ["tags", "equipment"]
equipment = ["press"]
tags = ["press.temp"]
"""
)


@pytest.mark.parametrize(
    "overlay",
    [
        '[[equipment]]\nname = "press"\nproduced = "cnc.load"\n',
        device('name = "temp"\naddress = "ns=2;s=Load"', connection='url = "opc.tcp://10.0.0.6"', driver="opcua"),
    ],
    ids=["a machine", "a tag"],
)
def test_a7_a_grant_is_of_the_data_that_it_was_given_for(overlay: str) -> None:
    assert loads(AUDIENCES, CONFIG, {})
    with pytest.raises(ConfigurationInvalid, match=r"which is (of|not granted)"):
        laid_over(overlay, AUDIENCES)


def test_a7_a_machine_that_is_measured_by_secret_data_is_withheld() -> None:
    overlay = device('name = "x"\naddress = "40101"') + '[[equipment]]\nname = "m"\nenergy = "press.x"\n'
    assert [each.refusal for each in compile_machines(laid_over(overlay))] == ["sensitivity 3 never leaves the plant"]
