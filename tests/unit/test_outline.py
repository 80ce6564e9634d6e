"""What browsing found, as a table and as entries that the configuration takes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from agent.config.parse import load
from agent.outline import outline, proposal
from drivers.browsing import Item, StateFound, Tree

URI = "nsu=urn:maker;s="


def value(name: str, depth: int = 1, **given: Any) -> Item:
    keys = {"address": URI + name, "type": "float64", "kind": "gauge", "access": "r", "place": f"ns=2;s={name}"}
    return Item(**{"name": name, "depth": depth, **keys, **given})


def folder(name: str, depth: int = 0) -> Item:
    return Item(name=name, depth=depth, place=f"ns=2;s={name}")


def tags(tree: Tree) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads("[[device]]\n" + proposal(tree, "cnc-1"))["device"][0]["tag"]
    return found


def test_the_table_shows_what_there_is() -> None:
    tree = Tree(items=(folder("CNC"), value("Load", value="51.4", unit="%"), value("Axes", count=3, note="bad")))
    head, first, second, third = outline(tree).splitlines()
    assert head.split()[:2] == ["NAME", "TYPE"]
    assert first.startswith("CNC ")
    assert second.split() == ["Load", "float64", "r", "51.4", "%", "ns=2;s=Load"]
    assert third.split()[1] == "float64[3]"


def test_entries_have_all_that_is_known() -> None:
    tree = Tree(items=(folder("CNC"), value("Load", unit="%"), value("Axes", count=3), value("Secret", kind="")))
    assert tags(tree) == [
        {"name": "Load", "address": f"{URI}Load", "type": "float64", "kind": "gauge", "unit": "%"},
        {"name": "Axes", "address": f"{URI}Axes", "type": "float64", "kind": "gauge", "count": 3},
    ]


def test_names_are_short_and_never_twice() -> None:
    tree = Tree(
        items=(
            folder("CNC"),
            folder("X axis", 1),
            value("Load", 2, address="ns=2;i=1"),
            folder("Y/axis", 1),
            value("Load", 2, address="ns=2;i=2"),
            value("Load", 2, address="ns=2;i=3"),
            value("温度 (°C)", 1, address="ns=2;i=4"),
            value("...", 1, address="ns=2;i=5"),
        )
    )
    names = [tag["name"] for tag in tags(tree)]
    assert names[0] == "X_axis.Load"
    assert names[1].endswith("Y_axis.Load")
    assert names[3] == "温度_C"
    assert len(set(names)) == 5


def test_a_state_becomes_a_tag_and_an_equipment(tmp_path: Path) -> None:
    number = value("Number", 2, type="uint32", minor=True)
    serial = value("SerialNumber", 1, type="string", kind="text", minor=True)
    odd = value('quo"te\x7f\n', 1, address='ns=2;s=a"b\\c\x7f')
    state = StateFound(machine="CNC 1", address=number.address, type="uint32", preset="machinery")
    tree = Tree(items=(folder("CNC"), value("state"), number, serial, odd), states=(state,))
    text = proposal(tree, "cnc-1")
    config = tmp_path / "config.toml"
    head = '[gateway]\nname = "g"\n[[device]]\nname = "cnc-1"\ndriver = "opcua"\n'
    config.write_text(f'{head}connection = {{ url = "opc.tcp://plc" }}\n{text}\n', "utf-8")
    loaded = load(config)
    by_name = {tag.point.name: tag for tag in loaded.devices[0].tags}
    assert by_name["state"].kind == "state"
    assert by_name["state"].point.address == number.address
    assert len(by_name) == 3
    assert odd.address in {tag.point.address for tag in by_name.values()}
    (equipment,) = loaded.file.equipment
    assert (equipment.name, equipment.state and equipment.state.preset) == ("CNC_1", "machinery")


def test_several_states_and_maps(tmp_path: Path) -> None:
    items = tuple(value(name, type="int32") for name in ("a", "b"))
    found = (
        StateFound(machine="m", address=items[0].address, type="int32", map={"4": "executing"}, note="look\nhere"),
        StateFound(machine="m", address=items[1].address, type="int32", preset="packml"),
    )
    parsed = tomllib.loads("[[device]]\n" + proposal(Tree(items=(folder("x"), *items), states=found), "d"))
    assert [tag["name"] for tag in parsed["device"][0]["tag"]] == ["m_state", "m_state_2"]
    assert parsed["equipment"] == [
        {"name": "m", "state": {"tag": "d.m_state", "map": {"4": "executing"}}},
        {"name": "m_2", "state": {"tag": "d.m_state_2", "preset": "packml"}},
    ]
