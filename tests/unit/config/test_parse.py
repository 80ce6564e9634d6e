"""What a valid configuration becomes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from agent.config.model import Secret
from agent.config.parse import load
from agent.errors import ConfigurationInvalid
from tests.support.config_driver import device, file_problems, made, problems_of, tag, use_plc


@pytest.fixture(autouse=True)
def plc(monkeypatch):
    use_plc(monkeypatch)


def test_the_least_configuration_has_defaults_everywhere():
    configuration = made('[gateway]\nname = "g"\n')
    assert configuration.devices == ()
    assert configuration.file.platform is None
    assert configuration.file.digest.period == 900
    assert configuration.file.digest.share == ()
    assert configuration.file.console.listen == "127.0.0.1:8470"


def test_a_tag_becomes_a_point():
    keys = {"type": '"float32"', "order": '"CDAB"', "scale": "2", "offset": "-1.5", "unit": '"°C"', "deadband": "0.2"}
    keys |= {"invalid": '["nan", 0x8000, "0xFFFF", inf]', "interval": '"500ms"', "sensitivity": "2"}
    made_tag = made(device(tags=tag(**keys))).devices[0].tags[0]
    point = made_tag.point
    assert (made_tag.series, made_tag.unit, made_tag.kind, made_tag.sensitivity) == ("p.a", "°C", "gauge", 2)
    assert (point.index, point.name, point.address, point.type) == (0, "a", "holding:1", "float32")
    assert (point.order, point.scale, point.offset, point.deadband) == ("CDAB", 2.0, -1.5, 0.2)
    assert point.interval == 0.5
    assert math.isnan(point.invalid[0])
    assert point.invalid[1:] == (0x8000, 0xFFFF, math.inf)


def test_an_array_becomes_a_point_an_element():
    tags = made(device(tags=tag("zone", count="10") + tag("next"), interval="250ms")).devices[0].tags
    assert [each.series for each in tags] == [*(f"p.zone[{element}]" for element in range(10)), "p.next"]
    assert [each.point.element for each in tags] == [*range(10), 0]
    assert [each.point.index for each in tags] == list(range(11))
    assert {each.point.address for each in tags} == {"holding:1"}
    assert {each.point.interval for each in tags} == {0.25}


@pytest.mark.parametrize(
    ("keys", "kind"),
    [({}, "gauge"), ({"type": '"bool"'}, "state"), ({"type": '"string"'}, "text"), ({"kind": '"counter"'}, "counter")],
)
def test_kinds(keys, kind):
    assert made(device(tags=tag(**keys))).devices[0].tags[0].kind == kind


def test_a_template_is_below_the_table_is_below_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("name,address,unit,scale\na,holding:1,V,2\nb,holding:2,V,2\n")
    override = '[[device.tag]]\nname = "b"\nscale = 3\n'
    tags = made(device(tags=override, tags_file=str(tmp_path / "t.csv"))).devices[0].tags
    assert [(each.point.name, each.point.address, each.point.scale, each.unit) for each in tags] == [
        ("a", "holding:1", 2.0, "V"),
        ("b", "holding:2", 3.0, "V"),
    ]


def test_what_a_driver_finds_in_a_merged_tag_is_told_where_it_was_written(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("name,address\na,hodling:1\nb,holding:2\n")
    monkeypatch.chdir(tmp_path)
    override = '[[device.tag]]\nname = "a"\nscale = 3\n[[device.tag]]\nname = "b"\naddress = "x"\n'
    assert problems_of(device(tags=override, tags_file="t.csv")) == (
        't.csv:2: address: "hodling:1" is no address; such as "holding:100" (a)',
        'config.toml: device[0].tag[1].address: "x" is no address; such as "holding:100" (b)',
    )


def test_options_of_the_driver_are_typed():
    options = (
        made(device('host = "h", port = "/dev/ttyUSB0", timeout = "250ms", retry = { times = 5 }')).devices[0].options
    )
    assert (options.port, options.timeout, options.retry.times, options.retry.pause) == (
        "/dev/ttyUSB0",
        "250ms",
        5,
        0.5,
    )


def test_secrets_by_environment_and_file(tmp_path):
    secret = tmp_path / "plc.pw"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    text = device(f'host = {{ env = "HOST" }}, password = {{ file = "{secret}" }}')
    options = made(text, HOST="10.0.0.1").devices[0].options
    assert options.host == "10.0.0.1"
    assert type(options.host) is str
    assert isinstance(options.password, Secret)
    assert options.password.plain == "hunter2"


def test_an_open_secret_file_is_only_noted(tmp_path, caplog):
    secret = tmp_path / "plc.pw"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    made(device(f'host = "h", password = {{ file = "{secret}" }}'))
    assert "open to other users" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_secret_is_not_told_in_a_drivers_own_problem():
    (problem,) = problems_of(device('host = { env = "HOST" }'), HOST="correct horse")
    assert problem == 'config.toml: device[0].connection.host: "…" is no host; a name or an address (p)'


def test_a_device_with_a_mistake_does_not_make_its_tags_unknown():
    text = '[gateway]\nname = "g"\n[digest]\nshare = ["p.a", "p.b"]\n' + device(tags=tag() + tag("b", scale="0"))
    assert problems_of(text) == ("config.toml: device[0].tag[1].scale: must not be 0; leave it out for 1 (b)",)


def test_a_count_that_is_a_slip_takes_no_memory():
    tags = "".join(tag(f"a{position}", count="60000") for position in range(20))
    (problem,) = problems_of(device(tags=tags))
    assert "device[0].tag[8]: is more than the 500000 tags" in problem


def test_problems_are_one_line_whatever_they_quote():
    (problem,) = problems_of('[gateway]\nname = "g"\n"a\\nb\\u001b[31m" = 1\n')
    assert problem.startswith('config.toml: gateway."a\\nb\\x1b[31m": unknown key')


@pytest.mark.parametrize("text", ["\ufeff[gateway]\nname = 'g'\n", "[gateway]\r\nname = 'g'\r\n"])
def test_a_byte_order_mark_and_windows_lines_are_accepted(text, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode())
    assert load(path, {}).file.gateway.name == "g"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("[gateway]\nname = '冲压'".encode("gbk"), "config.toml:2: is not UTF-8; save the file as UTF-8"),
        ("[gateway]".encode("utf-16"), "config.toml: is UTF-16 and not UTF-8; save it as UTF-8"),
        (b"[gateway", "config.toml:1:9: Expected ']' at the end of a table declaration"),
        (b"a = " + b"[" * 100_000, "config.toml: is nested too deeply; write fewer brackets within one another"),
    ],
)
def test_what_is_no_toml(data, problem, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    assert file_problems(path) == (problem,)


def test_a_missing_file_is_told_with_the_remedy(tmp_path):
    (problem,) = file_problems(tmp_path / "no" / "config.toml")
    assert (
        problem
        == f"there is no file {tmp_path}/no/config.toml; copy config.example.toml there, or name another with --config"
    )


def test_a_folder_is_no_configuration(tmp_path):
    (problem,) = file_problems(tmp_path)
    assert problem.startswith(f"{tmp_path} is not a file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0)
    assert "may not be read" in file_problems(path)[0]


def test_the_error_carries_the_exit_code_and_every_line():
    with pytest.raises(ConfigurationInvalid) as caught:
        made("[gatway]\n[bufer]\n[gateway]\n")
    assert caught.value.exit_code == 78
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("period", "usable"),
    [
        ("5s", True),
        ("10s", True),
        ("15m", True),
        ("1d", True),
        ("4s", False),
        ("7m", False),
        ("7.5s", False),
        ("2d", False),
    ],
)
def test_periods(period, usable):
    assert (problems_of(f'[digest]\nperiod = "{period}"\n') == ()) is usable


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        (url, True)
        for url in ("https://platform.example/api/v1", "http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1")
    ]
    + [
        (url, False)
        for url in (
            "http://10.0.0.1",
            "ftp://x",
            "platform",
            "https://",
            "https://h:99999",
            "https://[x",
            "https://h?a",
        )
    ],
)
def test_platform_urls(url, usable):
    assert (problems_of(f'[platform]\nurl = "{url}"\n') == ()) is usable


@pytest.mark.parametrize(
    ("listen", "usable"),
    [("", True), ("127.0.0.1:8470", True), ("[::1]:8470", True), ("0.0.0.0:0", True), ("localhost:80", True)]
    + [(text, False) for text in ("8470", ":8470", "::1:8470", "h:", "h:99999", "h:-1", "a b:80")],
)
def test_listen(listen, usable):
    assert (problems_of(f'[console]\nlisten = "{listen}"\n') == ()) is usable


@pytest.mark.parametrize("zone", ["Asia", "../etc/passwd", "", "/etc/passwd", "Asia/Shanghai\\u0000"])
def test_time_zones_that_are_none(zone):
    assert "unknown time zone" in problems_of(f'[gateway]\nname = "g"\ntimezone = "{zone}"\n')[0]


def test_path_is_kept(tmp_path):
    path: Path = tmp_path / "x.toml"
    path.write_text('[gateway]\nname = "g"\n')
    assert load(path, {}).path == path


def test_n18_type_order_and_invalid_of_a_device_hold_for_tags_that_do_not_say():
    tags = tag() + tag("b", order='"ABCD"', invalid="[]") + tag("c", type='"int16"')
    text = device(tags='invalid = ["nan"]\n' + tags, order="CDAB", type="float32")
    points = [each.point for each in made(text).devices[0].tags]
    assert [point.order for point in points] == ["CDAB", "ABCD", "CDAB"]
    assert [point.type for point in points] == ["float32", "float32", "int16"]
    assert [len(point.invalid) for point in points] == [1, 0, 1]


def test_n18_a_bit_keeps_its_own_type():
    text = '[[device]]\nname = "m"\ndriver = "modbus"\ntype = "float32"\n'
    text += 'connection = { host = "h" }\n' + tag() + tag("b", "holding:9.3", kind='"state"') + tag("c", "coil:1")
    tags = made(text).devices[0].tags
    assert [each.point.type for each in tags] == ["float32", "", ""]
    assert [each.kind for each in tags] == ["gauge", "state", "gauge"]


def test_n18_what_a_table_says_counts_more(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("name,address,order\na,holding:1,DCBA\nb,holding:3,\n")
    monkeypatch.chdir(tmp_path)
    configuration = made(device(tags_file="t.csv", order="CDAB"))
    assert [each.point.order for each in configuration.devices[0].tags] == ["DCBA", "CDAB"]


def test_n12_a_wrong_header_is_said_once_and_its_rows_are_read_all_the_same(tmp_path, monkeypatch):
    rows = "".join(f"t{number},holding:{number},1\n" for number in range(60))
    (tmp_path / "t.csv").write_text(f"name,adress,scale\n{rows}t60,hodling:1,0.x\n")
    monkeypatch.chdir(tmp_path)
    assert problems_of(device(tags_file="t.csv")) == (
        't.csv:1: adress: unknown column; did you mean "address"?',
        't.csv:62: scale: is no number: "0.x" (t60)',
        't.csv:62: address: "hodling:1" is no address; such as "holding:100" (t60)',
    )


def test_n12_every_mistake_of_a_row_is_told_in_one_run(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("name,address,type,order,length\noil,holdin:1,flaot32,ACBD,3\n")
    monkeypatch.chdir(tmp_path)
    text = '[gateway]\nname = "g"\n[[device]]\nname = "m"\ndriver = "modbus"\ntags_file = "t.csv"\n'
    found = problems_of(text + 'connection = { host = "h" }\n')
    assert [line.split(": ")[1] for line in found] == ["address", "type", "order"]
    assert all(line.startswith("t.csv:2: ") and line.endswith("(oil)") for line in found)
