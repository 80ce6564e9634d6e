"""What this machine is called: one answer wherever it is asked."""

from __future__ import annotations

import pytest

from agent.config.checks import url_fault
from agent.console.guard import Listen
from agent.core.loopback import is_loopback
from agent.errors import GongfuError
from agent.uplink.transport import checked_url

HOSTS = {
    "localhost": True,
    "LOCALHOST": True,
    "127.0.0.1": True,
    "127.8.9.10": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    "edge.localhost": False,
    "localhost.example": False,
    "127.0.0.1.example": False,
    "0.0.0.0": False,
    "10.0.0.1": False,
    "::ffff:10.0.0.1": False,
    "": False,
}


@pytest.mark.parametrize(("host", "expected"), HOSTS.items())
def test_d7_every_check_for_loopback_says_the_same(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    if not host:
        return
    url = f"http://[{host}]/api" if ":" in host else f"http://{host}/api"
    assert (url_fault(url) is None) is expected
    if expected:
        assert checked_url(url) == url
    else:
        with pytest.raises(GongfuError):
            checked_url(url)
    assert Listen(host, 1).loopback is expected
    assert Listen("127.0.0.1", 1).admits(f"[{host}]:1" if ":" in host else f"{host}:1") is expected
