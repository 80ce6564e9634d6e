from __future__ import annotations

import pytest

from agent.console.guard import Listen
from agent.errors import GongfuError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8470", "127.0.0.1", 8470),
        ("[::1]:8470", "::1", 8470),
        ("localhost:0", "localhost", 0),
        ("0.0.0.0:80", "0.0.0.0", 80),
    ],
)
def test_listen_address(text: str, host: str, port: int) -> None:
    assert Listen.parse(text) == Listen(host, port)


@pytest.mark.parametrize("text", ["8470", ":8470", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:8470", "a:b"])
def test_listen_that_is_no_address_is_explained(text: str) -> None:
    with pytest.raises(GongfuError) as caught:
        Listen.parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize("header", ["localhost", "LOCALHOST:8470", "127.0.0.1:8470", "127.0.0.2", "[::1]:8470"])
def test_loopback_listener_answers_to_loopback_names(header: str) -> None:
    assert Listen("127.0.0.1", 8470).admits(header)


@pytest.mark.parametrize(
    "header", [None, "", "evil.example:8470", "192.168.1.5:8470", "127.0.0.1.evil.example", "[::1"]
)
def test_rebound_name_is_not_admitted(header: str | None) -> None:
    assert Listen("127.0.0.1", 8470).admits(header) is (header == "[::1")


def test_open_listener_answers_to_every_name() -> None:
    assert Listen("0.0.0.0", 8470).admits("gateway-1.plant.local:8470")
