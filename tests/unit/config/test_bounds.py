"""C: what would take a gateway's memory, stack or time is refused in one line before anything is built of it."""

from __future__ import annotations

import time

import pytest

from agent.config import bounds, problems
from agent.config.overlay import Overlay
from agent.config.parse import loads
from agent.control.content import read_content
from agent.control.reasons import Refusal
from agent.errors import ConfigurationInvalid
from tests.support.config_driver import CONFIG

GATEWAY = '[gateway]\nname = "g"\n[remote]\nallow = ["device", "equipment", "digest"]\n'
DEVICE = '[[device]]\nname = "d{}"\ndriver = "modbus"\nconnection = {{ host = "10.0.0.5" }}\n'
TAG = '[[device.tag]]\nname = "t{}"\naddress = "holding:0"\ncount = 65536\n'


def deep(parts: int) -> str:
    return ".".join(["a"] * parts)


TOO_MUCH = {
    "a dotted key": f"digest.{deep(5_000)} = 1",
    "a header": f"[digest.{deep(5_000)}]",
    "many dotted keys": "\n".join(f"digest.{deep(20)}{number} = 1" for number in range(400)) + f"\n[[{deep(900)}]]",
    "dotted keys within braces": "digest = " + f"{{ {deep(20)} = " * 20 + "1" + " }" * 20,
    "quoted keys": "digest." + ".".join(['"a"'] * 5_000) + " = 1",
    "lists": f"digest.share = {'[' * 5_000}{']' * 5_000}",
    "lists that do not end": f"digest.share = {'[' * 100_000}",
    "braces": "digest = " + "{a=" * 3_000 + "1" + "}" * 3_000,
    "values": f"digest.share = [{'1,' * 300_000}]",
    "keys": "[digest]\n" + "\n".join(f"a{number} = 1" for number in range(90_000)),
    "wrong values": f"digest.share = [{'1,' * 90_000}]",
    "a text": f'digest.share = ["{"x" * 300_000}"]',
    "a key": f"digest.{'a' * 100_000} = 1",
    "quotes that do not end": 'digest.x = "' + '\\"' * 450_000,
    "texts that do not end": 'digest.x = """' + '\\"' * 450_000,
    "tags": DEVICE.format("") + "".join(TAG.format(number) for number in range(7)),
    "tags of many devices": "".join(DEVICE.format(number) + TAG.format(0) for number in range(500)),
    "tags of devices that are not sound": "".join(
        DEVICE.format(number).replace("10.0.0.5", "") + TAG.format(0).replace("65536", "15000") for number in range(500)
    ),
    "devices": "".join(f'[[device]]\nname = "d{number}"\ndriver = "modbus"\n' for number in range(15_000)),
    "a long number": "digest.x = " + "1" * 900_000,
    "a long fraction": "digest.x = 0." + "1" * 900_000,
}


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_c_a_hostile_overlay_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationInvalid) as found:
        loads(GATEWAY, CONFIG, {}, Overlay(text, "revision 7"))
    refusal = read_content(text, ["device", "equipment", "digest"])
    assert isinstance(refusal, Refusal | dict) and (isinstance(refusal, dict) or len(refusal.line()) <= 2_000)
    # Far below what it took: no measurement, but a bound that a slow machine keeps as well.
    assert time.process_time() - began < 20
    assert len(found.value.problems) <= problems.MOST + 1


@pytest.mark.parametrize("name", ["a dotted key", "lists", "braces", "quoted keys", "lists that do not end"])
def test_c_the_same_in_a_local_file_is_one_line(name: str) -> None:
    with pytest.raises(ConfigurationInvalid) as found:
        loads(f"{GATEWAY}{TOO_MUCH[name]}", CONFIG, {})
    assert len(found.value.problems) == 1 and "nested too deeply" in found.value.problems[0]


def test_c_what_plants_write_is_within_the_bounds() -> None:
    tags = "".join(f'[[device.tag]]\nname = "t{n}"\naddress = "holding:{n}"\nscale = 0.1\n' for n in range(10_000))
    made = loads(GATEWAY, CONFIG, {}, Overlay(DEVICE.format("") + tags, "revision 7"))
    assert len(made.devices[0].tags) == 10_000
    bounds.check_text('a = "[[[{{{...\\"" # [[[\n' * 5_000 + "b = '''[[[\n'''\nc = 1.5", bounds.OF_OVERLAY)
