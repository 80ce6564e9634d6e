"""What ``gongfu-edge check`` prints."""

from __future__ import annotations

import pytest

from agent.config.summary import redacted_url, summary, where
from agent.table import width
from tests.support.config_driver import device, made, tag, use_plc


@pytest.fixture(autouse=True)
def plc(monkeypatch):
    use_plc(monkeypatch)


def test_everything_that_matters_is_in_it():
    text = (
        '[gateway]\nname = "冲压车间"\n[digest]\nshare = ["p.a"]\n[platform]\nurl = "https://platform.example/api/v1"\n'
    )
    connection = 'transport = "rtu", host = "h", port = "/dev/ttyUSB0", unit = 3'
    shown = summary(made(text + device(connection, tag() + tag("b", interval='"250ms"', count="4"))))
    for part in ("冲压车间", "Asia/Shanghai", "https://platform.example/api/v1, at most 50MB a day", "2GB or 30d"):
        assert part in shown
    assert "every 15m; shared: p.a" in shown
    assert "p       plc     rtu h:/dev/ttyUSB0 unit 3     5  1s        4 every 250ms, 1 every 1s" in shown
    assert shown.endswith("1 device, 5 tags: the configuration is valid")


def test_columns_are_aligned_where_names_are_chinese():
    shown = summary(made(device(tags=tag(), name="压机-1") + device(tags=tag(), name="p")))
    table = shown.split("\n\n")[1].splitlines()
    columns = {width(line[: line.index(word)]) for line, word in zip(table, ("DRIVER", "plc", "plc"), strict=True)}
    assert len(columns) == 1


def test_no_secret_is_ever_in_it():
    text = '[platform]\nurl = "https://x"\nproxy = "http://user:hunter2@proxy:3128"\n'
    text += device('host = { env = "HOST" }, password = "hunter2", port = { env = "HOST" }')
    shown = summary(made(text, HOST="hunter2"))
    assert "hunter2" not in shown
    assert "…:…" in shown


def test_where_a_device_is():
    assert where({}) == "-"
    assert where({"url": "opc.tcp://user:pw@10.0.0.1:4840/x?token=1"}) == "opc.tcp://10.0.0.1:4840/x"
    assert redacted_url("http://[") == "…"
