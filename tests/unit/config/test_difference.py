"""What changes between two configurations: devices by what they mean, tags by how they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.difference import Difference, difference, difference_of_forms
from agent.config.parse import loads
from agent.control.in_force import form

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


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        BASE.replace('"constant:2"', '"constant:3"'),
        BASE[: BASE.rindex("[[device]]")],
        BASE + '[[device]]\nname = "c"\ndriver = "simulated"\ntag = [{ name = "z", address = "constant:1" }]\n',
        BASE + '[digest]\nperiod = "5m"\n[buffer]\nflush = "1s"\n',
        BASE + '[platform]\nurl = "https://one.example/api/v1"\n',
        BASE + '[platform]\nurl = "https://two.example/api/v1"\n',
        BASE + '[[audience]]\nname = "owner"\nurl = "https://two.example/api/v1"\nsections = ["coverage"]\n',
    ],
)
@pytest.mark.parametrize("with_platform", [False, True])
def test_n10_the_canonical_forms_differ_as_the_configurations_do(new: str, with_platform: bool) -> None:
    old = BASE + ('[platform]\nurl = "https://one.example/api/v1"\n' if with_platform else "")
    before, after = (loads(text, Path("config.toml"), {}) for text in (old, new))
    found, expected = difference_of_forms(form(before), form(after)), difference(before, after)
    assert set(found.sections) == set(expected.sections)
    for name in ("added", "removed", "altered", "tags", "moves"):
        assert getattr(found, name) == getattr(expected, name), name
