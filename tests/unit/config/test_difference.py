"""What changes between two configurations: devices by what they mean, tags by how they are read."""

from __future__ import annotations

from pathlib import Path

from agent.config.difference import Difference, difference
from agent.config.parse import loads

BASE = """
[gateway]
name = "g"
[[device]]
name = "a"
driver = "simulated"
[[device.tag]]
name = "x"
address = "constant:1"
[[device.tag]]
name = "y"
address = "constant:2"
invalid = ["nan"]
[[device]]
name = "b"
driver = "simulated"
[[device.tag]]
name = "x"
address = "constant:1"
"""


def between(old: str, new: str) -> Difference:
    return difference(loads(old, Path("config.toml"), {}), loads(new, Path("config.toml"), {}))


def test_layout_and_comments_are_no_change() -> None:
    head, first, second = BASE.split("[[device]]")
    assert not between(BASE, f"# mine\n{head}[[device]]{second}\n[[device]]{first}")


def test_a_tag_that_is_read_differently_is_named() -> None:
    found = between(BASE, BASE.replace('"constant:2"', '"constant:3"'))
    assert found.altered == ("a",) and found.tags == ("a.y",) and not found.added and not found.removed
    assert found.lines() == ["device a: changed (a.y)"]


def test_a_tag_that_only_means_something_else_need_not_be_proven() -> None:
    found = between(BASE, BASE.replace('address = "constant:2"', 'address = "constant:2"\nunit = "bar"'))
    assert found.altered == ("a",) and found.tags == ()


def test_devices_come_and_go() -> None:
    less = BASE[: BASE.rindex("[[device]]")]
    assert between(less, BASE).added == ("b",) and between(less, BASE).tags == ("b.x",)
    assert between(BASE, less).removed == ("b",)


def test_a_device_that_is_switched_on_must_prove_all_its_tags() -> None:
    off = BASE.replace('name = "b"', 'name = "b"\nenabled = false')
    assert between(off, BASE).tags == ("b.x",)
    assert between(BASE, off).altered == ("b",) and between(BASE, off).tags == ()


def test_sections_say_whether_they_need_a_restart() -> None:
    found = between(BASE, BASE + '[digest]\nperiod = "5m"\n[buffer]\nflush = "1s"\n')
    assert set(found.sections) == {"digest", "buffer"} and found.needs_restart == ("buffer",)
