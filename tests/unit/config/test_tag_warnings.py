"""What is valid and probably not meant is said before anybody believes a number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent.config.parse import loads
from agent.config.serial_ports import port_warnings
from agent.config.summary import summary
from tests.support.config_driver import DRIVER, device, made, tag, use_plc

MODBUS = """
[gateway]
name = "g"
[[device]]
name = "{name}"
driver = "modbus"
connection = {{ {connection} }}
"""
TCP = 'transport = "tcp", host = "127.0.0.1", unit = 1'
OPCUA = """
[gateway]
name = "g"
[[device]]
name = "c"
driver = "opcua"
connection = { url = "opc.tcp://127.0.0.1:4840", security = "none" }
"""


def modbus(*tags: str, name: str = "m", connection: str = TCP) -> str:
    return MODBUS.format(name=name, connection=connection) + "".join(f"[[device.tag]]\n{each}\n" for each in tags)


def warnings(text: str, folder: Path = Path()) -> tuple[str, ...]:
    return loads(text, folder / "config.toml").warnings


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ('address = "31435"\ntype = "int32"', "input 1434-1435 (31435), int32, order ABCD"),
        ('address = "holding:31435"', "holding 31435 (431436), uint16"),
        ('address = "40101"\ntype = "float32"\norder = "CDAB"', "holding 100-101 (40101), float32, order CDAB"),
        ('address = "holding:0x64.3"', "holding 100 bit 3 (40101), bool"),
        ('address = "coil:7"', "coil 7 (00008), bool"),
        ('address = "10008"', "discrete 7 (10008), bool"),
        ('address = "input:65535"', "input 65535 (365536), uint16"),
        ('address = "holding:9"\ntype = "string"\nlength = 5', "holding 9-11 (40010), string"),
        ('address = "holding:9"\norder = "BADC"', "holding 9 (40010), uint16, order BADC"),
        (
            'address = "holding:9"\ntype = "int32"\ncount = 3',
            "holding 9-10 (40010), int32, order ABCD; 2 more behind it",
        ),
    ],
)
def test_f4_check_shows_table_register_and_order_of_every_address(keys, shown):
    text = summary(loads(modbus(f'name = "a"\n{keys}'), Path("config.toml")))
    (row,) = [line for line in text.splitlines() if line.startswith("m.a")]
    assert row.endswith(f"  {shown}")


@pytest.mark.parametrize(
    ("address", "type_", "shown"),
    [
        ("ns=2;s=Spindle.Load", "", "node in namespace 2, text Spindle.Load, the type that the server tells"),
        ("nsu=urn:maker;i=1001", "float64", "node in namespace urn:maker, number 1001, float64"),
        ("/Objects/2:CNC/2:Load", "", "browse path /Objects/2:CNC/2:Load, the type that the server tells"),
        ("index=3;ns=2;s=Axes", "", "node in namespace 2, text Axes, element 3, the type that the server tells"),
    ],
)
def test_f4_check_shows_which_node_an_address_names(address, type_, shown):
    text = OPCUA + f'[[device.tag]]\nname = "a"\naddress = "{address}"\n' + (f'type = "{type_}"\n' if type_ else "")
    assert shown in summary(loads(text, Path("config.toml")))


def test_f4_a_bare_number_that_could_be_meant_two_ways_is_pointed_out():
    (line,) = warnings(modbus('name = "a"\naddress = "31435"\ntype = "int32"'))
    assert '"a" = input 1434-1435 (31435)' in line
    assert 'on the wire, write "holding:31435" or "input:31435"' in line


@pytest.mark.parametrize("address", ["holding:31435", "input:0x64", "coil:7"])
def test_f4_an_address_with_one_meaning_is_not(address):
    assert warnings(modbus(f'name = "a"\naddress = "{address}"')) == ()


def test_f6_two_tags_at_one_place_are_named_with_their_rows_and_the_habit(tmp_path):
    (tmp_path / "m.csv").write_text("name,address\nready,40001.1\nalarm,40001.1\n", encoding="utf-8")
    text = MODBUS.format(name="m", connection=TCP) + 'tags_file = "m.csv"\n'
    line = next(each for each in warnings(text, tmp_path) if "same" in each)
    assert line.startswith('m.csv:3: address: "alarm" reads the same as "ready" (m.csv:2)')
    assert "a spreadsheet turns 40001.10 into 40001.1: format the column as text" in line


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('address = "40101"', 'address = "holding:100"', True),
        ('address = "holding:100"\ntype = "int32"', 'address = "holding:100"\ntype = "int32"', True),
        ('address = "holding:100"\ntype = "int32"', 'address = "holding:100"\ntype = "uint16"', False),
        ('address = "holding:100"\ntype = "int32"', 'address = "holding:100"\ntype = "int32"\norder = "CDAB"', False),
        ('address = "holding:100.1"', 'address = "holding:100.2"', False),
        ('address = "holding:100"', 'address = "input:100"', False),
    ],
)
def test_f6_same_place_means_same_bytes_read_in_the_same_way(one, other, same):
    lines = warnings(modbus(f'name = "a"\n{one}', f'name = "b"\n{other}'))
    assert any('"b" reads the same as "a"' in line for line in lines) is same


def test_f6_holds_for_nodes_too():
    tags = "".join(f'[[device.tag]]\nname = "{name}"\naddress = "ns=2;s=A"\n' for name in "ab")
    (line,) = warnings(OPCUA + tags)
    assert '"b" reads the same as "a"' in line


def adapters(tmp_path: Path, *ports: str) -> Path:
    folder = tmp_path / "by-id"
    folder.mkdir()
    for port in ports:
        (folder / f"usb-maker_adapter_{port}").symlink_to(f"/dev/{port}")
    return folder


def rtu(*ports: str) -> str:
    first, *rest = (
        modbus(
            'name = "a"\naddress = "holding:1"',
            name=f"m{at}",
            connection=f'transport = "rtu", port = "{port}", unit = 1',
        )
        for at, port in enumerate(ports)
    )
    return first + "".join(text[text.index("[[device]]") :] for text in rest)


def test_f34_a_port_that_may_change_is_named_with_the_name_that_stays(tmp_path):
    by_id = adapters(tmp_path, "ttyUSB0", "ttyUSB1")
    lines = port_warnings(loads(rtu("/dev/ttyUSB0", "/dev/ttyUSB1"), Path("c.toml")), by_id)
    assert [line.split(":")[0] for line in lines] == ["m0", "m1"]
    assert f'write port = "{by_id}/usb-maker_adapter_ttyUSB1"' in lines[1]


@pytest.mark.parametrize(
    ("ports", "present", "count"),
    [
        (("/dev/ttyUSB0",), ("ttyUSB0",), 0),
        (("/dev/ttyUSB0",), ("ttyUSB0", "ttyACM0"), 1),
        (("/dev/ttyUSB0", "/dev/ttyACM0"), (), 2),
        (("/dev/ttyS0", "/dev/serial/by-id/usb-x"), ("ttyUSB0", "ttyUSB1"), 0),
    ],
)
def test_f34_only_where_there_is_more_than_one(tmp_path, ports, present, count):
    assert len(port_warnings(loads(rtu(*ports), Path("c.toml")), adapters(tmp_path, *present))) == count


def broken(_options, _points):
    raise KeyError("explain")


@pytest.mark.parametrize("explain", [broken, lambda _options, _points: [None, None, None]])
def test_a_driver_that_cannot_explain_costs_nothing(monkeypatch, explain):
    use_plc(monkeypatch, dataclasses.replace(DRIVER, explain=explain))
    assert made(device(tags=tag())).warnings == ()
