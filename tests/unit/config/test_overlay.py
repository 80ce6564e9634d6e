"""What the platform lays over the local file: by name, within bounds, and never a path of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.overlay import Overlay, lay_over, origins
from agent.config.parse import check_overlay, loads, tables
from agent.errors import ConfigurationInvalid

LOCAL = """
[gateway]
name = "press-shop-1"
[digest]
period = "15m"
share = ["press-1.pressure"]
[[device]]
name = "press-1"
driver = "simulated"
[[device.tag]]
name = "pressure"
address = "constant:1"
[[device]]
name = "press-2"
driver = "simulated"
[[device.tag]]
name = "pressure"
address = "constant:2"
"""
OVER = """
[digest]
period = "5m"
[[device]]
name = "press-2"
driver = "simulated"
interval = "2s"
[[device.tag]]
name = "pressure"
address = "constant:3"
[[device]]
name = "press-3"
driver = "simulated"
[[device.tag]]
name = "pressure"
address = "constant:4"
"""
PATH = Path("/etc/gongfu-edge/config.toml")


def overlaid(text: str, decrypt: dict[str, str] | None = None) -> Overlay:
    def reveal(jwe: str) -> str:
        if decrypt is None or jwe not in decrypt:
            raise ValueError("is not for this gateway")
        return decrypt[jwe]

    return Overlay(text, "revision 7", reveal)


def test_devices_of_the_same_name_are_replaced_as_a_whole_and_others_stay() -> None:
    made = loads(LOCAL, PATH, {}, overlaid(OVER))
    assert [(device.name, device.interval, device.tags[0].point.address) for device in made.devices] == [
        ("press-1", 1.0, "constant:1"),
        ("press-2", 2.0, "constant:3"),
        ("press-3", 1.0, "constant:4"),
    ]


def test_the_digest_is_replaced_key_by_key() -> None:
    made = loads(LOCAL, PATH, {}, overlaid(OVER)).file.digest
    assert made.period == 300 and made.share == ("press-1.pressure",)


def test_neither_layer_is_changed() -> None:
    local, over = tables(LOCAL, "config.toml"), tables(OVER, "revision 7")
    before = repr((local, over))
    lay_over(local, over)
    assert repr((local, over)) == before


def test_every_value_tells_where_it_comes_from() -> None:
    told = {path: source for path, _, source in origins(tables(LOCAL, ""), tables(OVER, ""), "revision 7")}
    assert told["digest.period"] == "revision 7" and told["digest.share"] == "file"
    assert told["device.press-1.tag.pressure.address"] == "file"
    assert told["device.press-2.interval"] == told["device.press-3.driver"] == "revision 7"
    assert told["gateway.name"] == "file"


def test_a_device_can_be_switched_off() -> None:
    made = loads(LOCAL, PATH, {}, overlaid(OVER.replace('interval = "2s"', "enabled = false")))
    assert [device.enabled for device in made.devices] == [True, False, True]
    assert made.hash != loads(LOCAL, PATH, {}, overlaid(OVER)).hash


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gateway]\nname = 'mine'", "revision 7: gateway: cannot be changed from outside"),
        ("[digest]\nperoid = '5m'", 'revision 7: digest.peroid: unknown key; did you mean "period"?'),
        (OVER.replace('interval = "2s"', 'tags_file = "/etc/passwd"'), "revision 7: device[0].tags_file: names a file"),
        (
            OVER.replace('interval = "2s"', 'connection = { seed = { file = "/etc/shadow" } }'),
            "revision 7: device[0].connection.seed",
        ),
        (OVER.replace('interval = "2s"', 'driver_ = "x"'), "revision 7: device[0].driver_: unknown key"),
        ("[digest", "revision 7:1:"),
    ],
)
def test_what_is_wrong_with_an_overlay_is_told_by_its_own_name(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        check_overlay(overlaid(text))
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_what_does_not_fit_the_local_file_names_both() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        loads(LOCAL, PATH, {}, overlaid('[digest]\nshare = ["press-9.pressure"]'))
    assert caught.value.problems[0].startswith("config.toml with revision 7: digest.share[0]: there is no device")


SECRET = """
[[device]]
name = "press-1"
driver = "modbus"
connection = { transport = "tcp", host = { jwe = "eyJ…" } }
"""


def test_an_encrypted_secret_is_revealed_to_the_driver_only() -> None:
    made = loads('[gateway]\nname = "g"\n', PATH, {}, overlaid(SECRET, {"eyJ…": "s3cret"}))
    assert made.devices[0].options.host == "s3cret"


def test_a_secret_for_another_gateway_is_a_problem() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        check_overlay(overlaid(SECRET))
    assert caught.value.problems[0].startswith("revision 7: device[0].connection.host.jwe: is not for this gateway")


def test_to_whom_digests_go_is_for_the_local_file_alone():
    text = '[[audience]]\nname = "x"\nurl = "https://x.example"\nsections = ["tags"]\n'
    with pytest.raises(ConfigurationInvalid) as caught:
        check_overlay(Overlay(text, "revision 3"))
    assert caught.value.problems[0].startswith("revision 3: audience: cannot be changed from outside")
