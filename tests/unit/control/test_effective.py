"""What is shown of a configuration holds its meaning and none of its secrets."""

from __future__ import annotations

from agent.config.model import (
    ByteSize,
    DeviceSection,
    DigestSection,
    EquipmentSection,
    FileSection,
    GatewaySection,
    PlatformSection,
    RemoteSection,
    Seconds,
    Secret,
    TagSection,
)
from agent.control.effective import effective
from agent.control.secrets import HIDDEN

EVERYTHING = RemoteSection(allow=("device", "equipment", "digest", "platform"))


def shown(**sections: object) -> dict[str, object]:
    return effective(FileSection(gateway=GatewaySection(name="g"), remote=EVERYTHING, **sections))  # type: ignore[arg-type]


def test_nothing_allowed_is_nothing_told() -> None:
    assert effective(FileSection(gateway=GatewaySection(name="g"), digest=DigestSection(share=("a.b",)))) == {}


def test_it_reads_like_the_file() -> None:
    device = DeviceSection(
        name="p", driver="modbus", interval=Seconds(0.25), tag=(TagSection(name="t", address="holding:1", scale=0.1),)
    )
    found = shown(
        device=(device,), digest=DigestSection(period=Seconds(300)), equipment=(EquipmentSection(name="press"),),
        platform=PlatformSection(url="https://p/api", max_bytes_per_day=ByteSize(1_500_000)),
    )  # fmt: skip
    assert found == {
        "device": [
            {"name": "p", "driver": "modbus", "interval": "250ms",
             "tag": [{"name": "t", "address": "holding:1", "scale": 0.1}]}
        ],
        "digest": {"period": "5m"},
        "equipment": [{"name": "press"}],
        "platform": {"url": "https://p/api", "max_bytes_per_day": "1.5MB"},
    }  # fmt: skip


def test_secrets_are_redacted_however_they_are_written() -> None:
    connection = {
        "url": "opc.tcp://user:s3cret@cnc:4840/x?key=s3cret",
        "username": "operator",
        "password": "s3cret",
        "Passphrase": Secret("s3cret"),
        "pin": 4711,
        "api_token": {"env": "TOKEN"},
        "label": {"file": "/etc/s3cret"},
        "sealed": {"jwe": "s3cret"},
        "nested": {"client_secret": "s3cret", "hosts": ["http://a:s3cret@b/"]},
        "keepalive": True,
        "password_file": "",
    }
    platform = PlatformSection(url="https://edge:s3cret@p/api", proxy=Secret("http://s3cret@proxy"))
    found = shown(device=(DeviceSection(name="c", driver="opcua", connection=connection),), platform=platform)
    assert "s3cret" not in str(found) and "4711" not in str(found)
    (device,) = found["device"]  # type: ignore[misc]
    assert device["connection"] == {
        "url": "opc.tcp://cnc:4840/x",
        "username": "operator",
        "password": HIDDEN,
        "Passphrase": HIDDEN,
        "pin": HIDDEN,
        "api_token": HIDDEN,
        "label": HIDDEN,
        "sealed": HIDDEN,
        "nested": {"client_secret": HIDDEN, "hosts": ["http://b/"]},
        "keepalive": True,
        "password_file": "",
    }
    assert found["platform"] == {"url": "https://p/api", "proxy": HIDDEN}
