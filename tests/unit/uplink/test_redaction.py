"""What is said of a failure names the host and never a password."""

from __future__ import annotations

import requests
import urllib3.exceptions

from agent.uplink.transport import Transport, Unreachable

PROXY = "http://edge:s3cr3t-pass@10.0.0.1:3128"


def explained(error: Exception) -> Unreachable:
    return Transport("https://platform.example/api/v1", proxy=PROXY)._explained(error, sent=0)


def test_the_proxys_password_is_in_no_message() -> None:
    told = OSError("Tunnel connection failed: 407 for http://edge:s3cr3t-pass@10.0.0.1:3128")
    errors = [
        requests.exceptions.ProxyError(urllib3.exceptions.ProxyError("cannot connect", told)),
        requests.exceptions.SSLError(told),
        requests.exceptions.ConnectionError(told),
        urllib3.exceptions.ProtocolError("broken", told),
        told,
    ]
    for error in errors:
        line = explained(error).line()
        assert "s3cr3t-pass" not in line and "platform.example" in line and "\n" not in line
        assert explained(error).remedy


def test_a_password_within_the_platforms_address_is_not_repeated_either() -> None:
    transport = Transport("https://edge:s3cr3t-pass@platform.example/api/v1")
    assert "s3cr3t-pass" not in transport._explained(OSError("no route to host"), 0).line()


def test_a_long_story_is_cut() -> None:
    assert len(str(explained(OSError("x" * 5000)))) < 400
