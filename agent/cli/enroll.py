"""``gongfu-edge enroll``: make the gateway known to a platform with a one-time token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.cli.main import parser_for


def main(arguments: Sequence[str]) -> int:
    """Enrol; prints the gateway's id."""
    parser = parser_for(
        "enroll", example="  sudo gongfu-edge enroll --url https://platform.example/api/v1 --token K7QF-…"
    )
    parser.add_argument("--url", required=True, help="the platform's base URL, as in [platform] url")
    parser.add_argument("--token", required=True, help="one-time token from the platform")
    options = parser.parse_args(arguments)
    from agent.config.parse import load
    from agent.control.secrets import EncryptionKey
    from agent.uplink.enrol import enroll

    file = load(options.config).file
    platform = file.platform
    folder = Path(file.gateway.data_dir) / "identity"
    encryption_key = EncryptionKey.load_or_create(folder)
    enrolled = enroll(
        options.url,
        options.token,
        folder,
        encryption_key=encryption_key.public_jwk(),
        ca_file=platform.ca_file if platform else "",
        proxy=platform.proxy.plain if platform else "",
    )
    print(f"enrolled as {enrolled.gateway_id} at {options.url}")
    print(f"secrets for this gateway are sealed for key {encryption_key.thumbprint}")
    if platform is None or platform.url.rstrip("/") != options.url.rstrip("/"):
        print(f'next: set [platform] url = "{options.url}" in {options.config} and restart the agent')
    return 0
